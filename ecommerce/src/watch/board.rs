//! The state of the live view: the newest sagas, and the number of sagas by status. Pure: events and totals are
//! arguments.

use std::collections::{BTreeMap, VecDeque};

use super::change::Change;

/// Maximum number of sagas kept; no screen shows more.
const KEPT: usize = 200;

/// A row of the view: one saga.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) id: String,
    pub(super) time: String,
    pub(super) status: String,
    /// Each step and its state, in order of first appearance.
    pub(super) steps: Vec<(String, String)>,
    pub(super) error: String,
}

/// Contents of the view.
#[derive(Debug, Default)]
pub(super) struct Board {
    /// Newest first.
    pub(super) rows: VecDeque<Row>,
    /// Number of sagas by status, at the server's last count.
    pub(super) totals: BTreeMap<&'static str, u64>,
    /// Notice about the connection; empty while it works.
    pub(super) notice: String,
    /// Number of sagas seen to end.
    pub(super) ended: u64,
    /// Whether events arrived since the last count.
    pub(super) is_stale: bool,
    /// Id of the selected saga. It stays selected while newer ones come.
    selected: Option<String>,
}

impl Board {
    /// Applies an event of a saga or of a step.
    pub(super) fn hear(&mut self, kind: &str, change: &Change) {
        let Some(id) = &change.transaction_id else {
            return;
        };
        self.is_stale = true;
        let row = match self.rows.iter_mut().position(|row| row.id == *id) {
            Some(index) => &mut self.rows[index],
            None => {
                self.rows.push_front(Row { id: id.clone(), time: change.time().to_owned(), ..Row::default() });
                self.rows.truncate(KEPT);
                &mut self.rows[0]
            }
        };
        if let Some(error) = &change.error {
            row.error.clone_from(error);
        }
        match (kind, &change.status, &change.step, &change.state) {
            ("saga", Some(status), _, _) => {
                row.status.clone_from(status);
                self.ended += u64::from(change.ended);
            }
            ("step", _, Some(step), Some(state)) => {
                match row.steps.iter_mut().find(|(name, _)| name == step) {
                    Some((_, known)) => known.clone_from(state),
                    None => row.steps.push((step.clone(), state.clone())),
                }
                if row.status.is_empty() {
                    row.status = "PENDING".to_owned();
                }
            }
            _ => {}
        }
    }
}

/// The selection, by keys.
impl Board {
    /// Returns the selected saga and its place; `None` if none is, or if it is no longer kept.
    pub(super) fn selected(&self) -> Option<(usize, &Row)> {
        let id = self.selected.as_ref()?;
        self.rows.iter().enumerate().find(|(_, row)| row.id == *id)
    }

    /// Selects the saga below, at first the newest.
    pub(super) fn select_next(&mut self) {
        self.select(self.selected().map_or(0, |(index, _)| index + 1));
    }

    /// Selects the saga above, at first the newest.
    pub(super) fn select_previous(&mut self) {
        self.select(self.selected().map_or(0, |(index, _)| index.saturating_sub(1)));
    }

    /// Selects a saga by its place; beyond the last one it is the last.
    pub(super) fn select(&mut self, index: usize) {
        let index = index.min(self.rows.len().saturating_sub(1));
        self.selected = self.rows.get(index).map(|row| row.id.clone());
    }

    pub(super) fn deselect(&mut self) {
        self.selected = None;
    }
}

impl Row {
    /// Formats the steps as a word each, with a sign that is readable without color.
    pub(super) fn steps(&self) -> String {
        let sign = |state: &str| match state {
            "done" => "✓",
            "refused" => "✗",
            "compensated" => "↩",
            "compensating" => "↩…",
            "unknown" | "backing_off" => "?",
            _ => "…",
        };
        let words: Vec<String> = self.steps.iter().map(|(name, state)| format!("{name}{}", sign(state))).collect();
        words.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saga(id: &str, status: &str, ended: bool, error: Option<&str>) -> Change {
        let error = error.map(str::to_owned);
        Change {
            transaction_id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            ended,
            error,
            at: Some("2026-01-02T03:04:05.678901Z".to_owned()),
            ..Change::default()
        }
    }

    fn step(id: &str, step: &str, state: &str) -> Change {
        let text = |text: &str| Some(text.to_owned());
        Change { transaction_id: text(id), step: text(step), state: text(state), ..Change::default() }
    }

    #[test]
    fn a_saga_is_one_row_with_its_steps_as_they_stand() {
        let mut board = Board::default();
        board.hear("saga", &saga("one", "PENDING", false, None));
        board.hear("step", &step("one", "charge", "running"));
        board.hear("step", &step("two", "choose", "running"));
        board.hear("step", &step("one", "charge", "refused"));
        board.hear("saga", &saga("one", "COMPENSATED", true, Some("409: payments conflict")));
        let rows: Vec<_> = board
            .rows
            .iter()
            .map(|row| (row.id.as_str(), row.status.as_str(), row.steps(), row.error.as_str()))
            .collect();
        assert_eq!(
            rows,
            [
                ("two", "PENDING", "choose…".to_owned(), ""),
                ("one", "COMPENSATED", "charge✗".to_owned(), "409: payments conflict"),
            ]
        );
        assert_eq!((board.rows[1].time.as_str(), board.ended), ("03:04:05.678", 1));
    }

    #[test]
    fn a_selected_saga_stays_selected_while_newer_ones_come() {
        let mut board = Board::default();
        let come = |board: &mut Board, id: &str| board.hear("saga", &saga(id, "PENDING", false, None));
        board.select_next();
        assert_eq!(board.selected(), None, "there is none yet");
        for id in ["a", "b"] {
            come(&mut board, id);
        }
        let selected = |board: &Board| board.selected().map(|(index, row)| (index, row.id.clone())).unwrap();
        board.select_next();
        assert_eq!(selected(&board), (0, "b".to_owned()));
        come(&mut board, "c");
        assert_eq!(selected(&board), (1, "b".to_owned()));
        board.select_next();
        board.select_next();
        assert_eq!(selected(&board), (2, "a".to_owned()), "the last one");
        board.select_previous();
        assert_eq!(selected(&board), (1, "b".to_owned()));
        (0..KEPT).for_each(|number| come(&mut board, &number.to_string()));
        assert_eq!(board.selected(), None, "it is no longer kept");
        board.select(usize::MAX);
        assert_eq!(selected(&board).0, KEPT - 1);
        board.deselect();
        assert_eq!(board.selected(), None);
    }

    #[test]
    fn only_the_newest_are_kept() {
        let mut board = Board::default();
        for number in 0..KEPT + 5 {
            board.hear("saga", &saga(&number.to_string(), "PENDING", false, None));
        }
        assert_eq!((board.rows.len(), board.rows[0].id.as_str()), (KEPT, "204"));
    }
}
