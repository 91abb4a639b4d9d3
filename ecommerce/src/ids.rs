//! The id of a saga on the command line: all of it, its beginning, or its end.
//!
//! A beginning is looked up by the primary key of the saga log: it is a range of ids, and the list route reads the newest
//! ids below a bound. No index finds an end, so ends are compared only with the newest [`RECENT`] sagas. Hyphens do not
//! matter.

mod completion;

use std::{collections::BTreeSet, fmt};

use reqwest::Url;
use serde::Deserialize;
use uuid::Uuid;

pub(crate) use self::completion::completer;
use crate::{
    client::{Answer, Page, Target},
    ending::Failure,
    output::{View, printable},
};

/// Minimum number of digits of a part.
const SHORTEST: usize = 4;
/// Digits of a whole id.
const DIGITS: usize = 32;
/// Maximum number of sagas that an ambiguous part lists.
const CANDIDATES: usize = 5;
/// Number of sagas whose ends are compared: one page.
const RECENT: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SagaId {
    Whole(Uuid),
    /// Hexadecimal digits in lowercase.
    Part(String),
}

impl fmt::Display for SagaId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(id) => id.fmt(formatter),
            Self::Part(digits) => formatter.write_str(digits),
        }
    }
}

/// Parses an id or a part of one, as `list` and `watch` show them.
pub(crate) fn saga_id(text: &str) -> Result<SagaId, String> {
    if let Ok(id) = Uuid::parse_str(text) {
        return Ok(SagaId::Whole(id));
    }
    let digits: String = text.trim_start_matches('…').chars().filter(|character| *character != '-').collect();
    let is_part = (SHORTEST..DIGITS).contains(&digits.len()) && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    if is_part {
        Ok(SagaId::Part(digits.to_ascii_lowercase()))
    } else {
        Err(format!(
            "expected an id as `ecommerce list` shows it, or at least {SHORTEST} digits of its beginning or end"
        ))
    }
}

/// A saga whose id may be meant.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
struct Candidate {
    transaction_id: Uuid,
    status: String,
    user_id: Option<String>,
    definition: Option<String>,
    created_at: Option<String>,
}

impl Candidate {
    fn digits(&self) -> String {
        self.transaction_id.simple().to_string()
    }

    /// Describes the saga beside its id.
    fn shown(&self, view: &View) -> String {
        let whose = self.user_id.as_ref().or(self.definition.as_ref());
        let when = self.created_at.as_deref().map(|time| view.time(time));
        let words = [Some(&self.status), whose, when.as_ref()];
        printable(&words.into_iter().flatten().cloned().collect::<Vec<_>>().join("  "))
    }
}

impl Target {
    /// Returns the id that is meant.
    ///
    /// # Errors
    /// No saga, or more than one, has an id with this part, or the sagas cannot be listed.
    pub(crate) async fn find(&self, id: &SagaId) -> Result<Uuid, Failure> {
        let part = match id {
            SagaId::Whole(id) => return Ok(*id),
            SagaId::Part(part) => part,
        };
        let (beginnings, view) = self.with_beginning(part, CANDIDATES + 1).await.map_err(not_listed)?;
        let (ends, _) = self.with_end(part).await.map_err(not_listed)?;
        let found: BTreeSet<Candidate> = beginnings.into_iter().chain(ends).collect();
        let mut found = found.into_iter().rev();
        match (found.next(), found.len()) {
            (None, _) => Err(Failure::Broken(format!(
                "there is no purchase whose id begins with {part}, and none among the newest {RECENT} whose id ends with it"
            ))),
            (Some(one), 0) => Ok(one.transaction_id),
            (Some(first), _) => {
                let line = |one: Candidate| format!("\n  {}  {}", one.transaction_id, one.shown(&view));
                let mut all: Vec<String> = std::iter::once(first).chain(found).map(line).collect();
                let more = if all.len() > CANDIDATES { "\n  and more" } else { "" };
                all.truncate(CANDIDATES);
                Err(Failure::Usage(format!(
                    "more than one purchase has an id that begins or ends with {part}:{}{more}",
                    all.concat()
                )))
            }
        }
    }

    /// Returns up to `limit` sagas, newest first, whose ids begin with these digits.
    async fn with_beginning(&self, digits: &str, limit: usize) -> Result<(Vec<Candidate>, View), Failure> {
        let mut url = self.list(limit)?;
        if let Some(bound) = bound_above(digits) {
            url.query_pairs_mut().append_pair("cursor", &bound.to_string());
        }
        self.read(url, |saga| saga.digits().starts_with(digits)).await
    }

    /// Returns the newest sagas whose ids end with these digits.
    async fn with_end(&self, digits: &str) -> Result<(Vec<Candidate>, View), Failure> {
        self.read(self.list(RECENT)?, |saga| saga.digits().ends_with(digits)).await
    }

    fn list(&self, limit: usize) -> Result<Url, Failure> {
        let mut url = self.url(&["saga", "transactions"])?;
        url.query_pairs_mut().append_pair("limit", &limit.to_string());
        Ok(url)
    }

    async fn read(&self, url: Url, is_meant: impl Fn(&Candidate) -> bool) -> Result<(Vec<Candidate>, View), Failure> {
        let answer: Answer = self.get(url).await?;
        let mut page: Page<Candidate> = answer.read()?;
        page.rows.retain(is_meant);
        Ok((page.rows, answer.view(self.output.format())))
    }
}

/// Returns the smallest id above all that begin with these digits; `None` if there is none.
fn bound_above(digits: &str) -> Option<Uuid> {
    let shift = 4 * u32::try_from(DIGITS.checked_sub(digits.len())?).ok()?;
    let first = u128::from_str_radix(digits, 16).ok()?.checked_shl(shift)?;
    Some(Uuid::from_u128(first.checked_add(1_u128.checked_shl(shift)?)?))
}

/// Adds that a whole id needs no list, for the callers that may not list.
fn not_listed(failure: Failure) -> Failure {
    match failure {
        Failure::Answered { line, status: status @ (401 | 403), problem } => {
            let line = format!(
                "{line}; a part of an id is looked up in the list of all purchases, which needs the operator token; a whole id does not"
            );
            Failure::Answered { line, status, problem }
        }
        failure => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_whole_or_a_part_with_enough_digits() {
        let whole = "0190a2f0-0000-7000-8000-0000deadbeef";
        assert_eq!(saga_id(whole), Ok(SagaId::Whole(whole.parse().unwrap())));
        for (text, digits) in [
            ("0190", "0190"),
            ("…DEADbeef", "deadbeef"),
            ("8000-0000deadbeef", "80000000deadbeef"),
            ("0190A2F0-", "0190a2f0"),
        ] {
            assert_eq!(saga_id(text), Ok(SagaId::Part(digits.to_owned())), "{text}");
        }
        for wrong in ["", "019", "-1-9-", "no-uuid", "0190a2g0", "0190a2f0-0000-7000-8000-0000deadbeef0"] {
            assert!(saga_id(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_ids_with_a_beginning_are_below_its_bound() {
        for (digits, bound) in [
            ("0190", Some("01910000-0000-0000-0000-000000000000")),
            ("0190ffff", Some("01910000-0000-0000-0000-000000000000")),
            ("0190a2f000007000800000000000bee", Some("0190a2f0-0000-7000-8000-00000000bef0")),
            ("ffff", None),
        ] {
            assert_eq!(bound_above(digits).map(|bound| bound.to_string()).as_deref(), bound, "{digits}");
        }
    }
}
