//! The rows of a list that are newer than a time, and their order: `--since`, `--sort`, `--reverse`.
//!
//! The server lists the newest rows first, a page at a time. Older rows are left out of the page here, and the page is
//! sorted here; every format shows the result.

use std::{cmp::Ordering, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use clap::{Args, ValueEnum};
use common::money::Money;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    client::{Answer, exact},
    ending::Failure,
};

#[derive(Args)]
pub(crate) struct Arrangement {
    /// Only rows created since then: 30min, 2h or 7days ago, or a time such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Order of the rows of this page
    #[arg(long, value_enum, value_name = "COLUMN", default_value = "created")]
    sort: Column,
    /// Reverse the order
    #[arg(long)]
    reverse: bool,
}

/// The earliest time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Since {
    Ago(Duration),
    Time(DateTime<Utc>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Column {
    /// Newest first
    Created,
    /// Latest end first, then the rows without an end
    Ended,
    /// Largest amount first
    Amount,
    Status,
    User,
    Definition,
}

fn since(text: &str) -> Result<Since, String> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Ok(Since::Time(time.to_utc()));
    }
    let ago = humantime::parse_duration(text).ok().map(Since::Ago);
    ago.ok_or_else(|| {
        "expected a duration such as 30min, 2h or 7days, or a time such as 2026-01-31T12:00:00Z".to_owned()
    })
}

/// A page as received; each row keeps its text.
#[derive(Deserialize, Serialize)]
struct Page {
    total: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    total_is_exact: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    transactions: Option<Vec<Box<RawValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sagas: Option<Vec<Box<RawValue>>>,
    next_cursor: Option<String>,
}

/// The values by which a row is selected and sorted.
#[derive(Deserialize)]
struct Key {
    created_at: Option<DateTime<Utc>>,
    #[serde(alias = "completed_at")]
    ended_at: Option<DateTime<Utc>>,
    status: String,
    user_id: Option<String>,
    definition: Option<String>,
    amount: Option<Box<RawValue>>,
}

impl Key {
    fn amount(&self) -> Option<Money> {
        Money::parse(exact(self.amount.as_deref()?)).ok()
    }
}

impl Arrangement {
    /// Arranges the rows of an answer with a page. An answer of another kind is left as it is.
    pub(crate) fn apply(&self, mut answer: Answer) -> Result<Answer, Failure> {
        let is_asked_for = self.since.is_some() || self.reverse || self.sort != Column::Created;
        if is_asked_for && let Ok(page) = serde_json::from_str(&answer.body) {
            let page = self.arranged(page, answer.now())?;
            answer.body = serde_json::to_string(&page).map_err(|error| Failure::broken("the list", &error))?;
        }
        Ok(answer)
    }

    fn arranged(&self, mut page: Page, now: DateTime<Utc>) -> Result<Page, Failure> {
        let Some(rows) = page.transactions.as_mut().or(page.sagas.as_mut()) else { return Ok(page) };
        let received = rows.len();
        let since = self.since.map(|since| match since {
            Since::Time(time) => time,
            Since::Ago(ago) => TimeDelta::from_std(ago)
                .ok()
                .and_then(|ago| now.checked_sub_signed(ago))
                .unwrap_or(DateTime::<Utc>::MIN_UTC),
        });
        let keyed = std::mem::take(rows).into_iter().map(|row| Ok((serde_json::from_str(row.get())?, row)));
        let keyed: Result<Vec<(Key, Box<RawValue>)>, serde_json::Error> = keyed.collect();
        let mut keyed = keyed.map_err(|error| Failure::broken("a saga of the list", &error))?;
        keyed.retain(|(key, _)| key.created_at >= since);
        // Stable, so rows that are equal stay in the order of their creation.
        keyed.sort_by(|(one, _), (other, _)| self.sort.compare(one, other));
        if self.reverse {
            keyed.reverse();
        }
        *rows = keyed.into_iter().map(|(_, row)| row).collect();
        if since.is_some() {
            // The rows of later pages are older than the oldest of this one.
            let is_complete = page.next_cursor.is_none() || rows.len() < received;
            page.total = rows.len() as u64;
            page.total_is_exact = (!is_complete).then_some(false);
            page.next_cursor = page.next_cursor.filter(|_| !is_complete);
        }
        Ok(page)
    }
}

impl Column {
    fn compare(self, one: &Key, other: &Key) -> Ordering {
        match self {
            Self::Created => other.created_at.cmp(&one.created_at),
            Self::Ended => other.ended_at.cmp(&one.ended_at),
            Self::Amount => other.amount().cmp(&one.amount()),
            Self::Status => one.status.cmp(&other.status),
            Self::User => one.user_id.cmp(&other.user_id),
            Self::Definition => one.definition.cmp(&other.definition),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-01-02T12:00:00Z";

    /// Three purchases, newest first.
    fn page(next_cursor: Option<&str>) -> Page {
        let rows =
            [("c", "11:59:00", "9.90", "zoe"), ("b", "11:00:00", "100.00", "ann"), ("a", "08:00:00", "20.10", "bob")];
        let row = |(id, time, amount, user)| {
            let row = format!(
                r#"{{"transaction_id":"{id}","status":"COMPLETED","user_id":"{user}","amount":{amount},"created_at":"2026-01-02T{time}.000001Z","completed_at":null}}"#
            );
            RawValue::from_string(row).unwrap()
        };
        Page {
            total: 7,
            total_is_exact: None,
            transactions: Some(rows.map(row).to_vec()),
            sagas: None,
            next_cursor: next_cursor.map(str::to_owned),
        }
    }

    fn arrange(since_text: Option<&str>, sort: Column, reverse: bool, next_cursor: Option<&str>) -> (String, Page) {
        let arrangement = Arrangement { since: since_text.map(|text| since(text).unwrap()), sort, reverse };
        let page = arrangement.arranged(page(next_cursor), NOW.parse().unwrap()).unwrap();
        let ids = page.transactions.as_ref().unwrap().iter().map(|row| row.get().chars().nth(19).unwrap()).collect();
        (ids, page)
    }

    #[test]
    fn older_rows_are_left_out_and_then_the_page_is_the_last_one() {
        for (since, ids, total, cursor) in [
            (Some("2h"), "cb", 2, None),
            (Some("30min"), "c", 1, None),
            (Some("2026-01-02T10:00:00+02:00"), "cba", 3, Some("next")),
            (None, "cba", 7, Some("next")),
        ] {
            let (found, page) = arrange(since, Column::Created, false, Some("next"));
            assert_eq!((found.as_str(), page.total, page.next_cursor.as_deref()), (ids, total, cursor), "{since:?}");
            let is_open = since.is_some() && cursor.is_some();
            assert_eq!(page.total_is_exact, is_open.then_some(false), "{since:?}");
        }
        for wrong in ["", "2", "yesterday", "-2h", "2026-01-02"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            arrange(Some("10000000000years"), Column::Created, false, None).0,
            "cba",
            "longer than time has been"
        );
    }

    #[test]
    fn rows_are_sorted_by_value_and_keep_their_text() {
        let sorted = |column, reverse| arrange(None, column, reverse, None).0;
        assert_eq!(sorted(Column::Amount, false), "bac");
        assert_eq!(sorted(Column::Amount, true), "cab");
        assert_eq!(sorted(Column::User, false), "bac");
        assert_eq!(sorted(Column::Status, false), "cba", "equal rows keep their order");
        assert_eq!(sorted(Column::Created, true), "abc");
        let json = serde_json::to_string(&arrange(None, Column::Amount, false, None).1).unwrap();
        assert!(json.contains(r#""amount":100.00,"#) && !json.contains("sagas"), "{json}");
    }
}
