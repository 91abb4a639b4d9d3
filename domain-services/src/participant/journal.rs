//! Compares a request with the step journal: the pure part of idempotency.
//!
//! [`classify_action`] and [`classify_compensation`] take the recorded rows of a transaction and return the verdict on
//! a request. They use no database, no clock and no randomness. The ledger acts on the verdict, and so do the
//! participants of the simulator.

use common::request_hash::{HASH_VERSION, RequestHash};

/// A row of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recorded {
    /// HTTP status of the answer.
    pub status: i16,
    /// Body of the answer.
    pub reply: String,
    /// Hash of the request's contents; a compensation and a tombstone have none.
    pub hash: Option<Vec<u8>>,
    /// Version of the hashed fields.
    pub hash_version: i16,
    /// Whether it forbids an action that never ran.
    pub tombstone: bool,
}

impl Recorded {
    /// Returns whether the operation had its effect.
    fn is_done(&self) -> bool {
        self.status == 200
    }
}

/// The journal rows of one transaction that matter for a request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found<'a> {
    /// The row of the requested action, or of the action to undo.
    pub action: Option<&'a Recorded>,
    /// The row of its compensation.
    pub compensation: Option<&'a Recorded>,
}

/// State of the action found by its compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionSeen {
    /// It had its effect, which must be undone.
    Done,
    /// It was refused: there is nothing to undo.
    Refused,
    /// It never ran, and must never run.
    Never,
}

/// Verdict on an action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ActionVerdict<'a> {
    /// Nothing is recorded: decide it.
    New,
    /// It was decided before: send the same answer.
    Replay(&'a Recorded),
    /// Its compensation, or a tombstone, came first: 409 for any contents.
    TooLate(&'a Recorded),
    /// The transaction has other contents recorded for this operation: 422, and nothing is done.
    ContentsDiffer,
}

/// Verdict on a compensation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompensationVerdict<'a> {
    /// It is not recorded yet: carry it out.
    New(ActionSeen),
    /// It was done before: send the same answer, and the state of the action.
    Replay(&'a Recorded, ActionSeen),
}

/// Returns the verdict on an action with these contents.
pub fn classify_action<'a>(hash: &RequestHash, found: Found<'a>) -> ActionVerdict<'a> {
    // Checked before the contents: a tombstone has none, and an undone action stays undone.
    if let Some(compensation) = found.compensation {
        return ActionVerdict::TooLate(compensation);
    }
    match found.action {
        None => ActionVerdict::New,
        Some(action) if action.tombstone => ActionVerdict::TooLate(action),
        Some(action) if same_contents(hash, action) => ActionVerdict::Replay(action),
        Some(_) => ActionVerdict::ContentsDiffer,
    }
}

/// Returns the verdict on a compensation. Its only key is the transaction; no other field of the request matters.
pub fn classify_compensation(found: Found<'_>) -> CompensationVerdict<'_> {
    let seen = match found.action {
        None => ActionSeen::Never,
        Some(action) if action.tombstone => ActionSeen::Never,
        Some(action) if action.is_done() => ActionSeen::Done,
        Some(_) => ActionSeen::Refused,
    };
    match found.compensation {
        Some(compensation) => CompensationVerdict::Replay(compensation, seen),
        None => CompensationVerdict::New(seen),
    }
}

/// A row hashed by another version of the fields cannot be compared. It is replayed: the transaction id is the key, and
/// its decision stands.
fn same_contents(hash: &RequestHash, action: &Recorded) -> bool {
    action.hash_version != HASH_VERSION || action.hash.as_deref().is_some_and(|stored| hash.is_stored_as(stored))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(text: &str) -> RequestHash {
        RequestHash::of("charge", &[Some(text.to_owned())])
    }

    fn row(status: i16, contents: Option<&str>) -> Recorded {
        Recorded {
            status,
            reply: "{}".to_owned(),
            hash: contents.map(|text| hash(text).as_bytes().to_vec()),
            hash_version: HASH_VERSION,
            tombstone: contents.is_none(),
        }
    }

    #[test]
    fn every_state_of_the_journal_has_its_verdict_on_an_action() {
        let done = row(200, Some("a"));
        let refused = row(409, Some("a"));
        let tombstone = row(409, None);
        let undone = row(200, None);
        let all_bytes = Recorded { hash: Some([hash("a").as_bytes(), &[7; 16]].concat()), ..row(200, Some("a")) };
        let other_version = Recorded { hash_version: HASH_VERSION + 1, ..row(200, Some("z")) };
        #[rustfmt::skip]
        let cases = [
            ("a", None,                 None,          ActionVerdict::New),
            ("a", Some(&done),          None,          ActionVerdict::Replay(&done)),
            ("a", Some(&all_bytes),     None,          ActionVerdict::Replay(&all_bytes)),
            ("b", Some(&all_bytes),     None,          ActionVerdict::ContentsDiffer),
            ("a", Some(&refused),       None,          ActionVerdict::Replay(&refused)),
            ("b", Some(&done),          None,          ActionVerdict::ContentsDiffer),
            ("b", Some(&refused),       None,          ActionVerdict::ContentsDiffer),
            ("b", Some(&other_version), None,          ActionVerdict::Replay(&other_version)),
            ("a", Some(&done),          Some(&undone), ActionVerdict::TooLate(&undone)),
            ("b", Some(&done),          Some(&undone), ActionVerdict::TooLate(&undone)),
            ("a", Some(&refused),       Some(&undone), ActionVerdict::TooLate(&undone)),
            ("b", Some(&tombstone),     Some(&undone), ActionVerdict::TooLate(&undone)),
            ("a", Some(&tombstone),     None,          ActionVerdict::TooLate(&tombstone)),
        ];
        for (number, (contents, action, compensation, expected)) in cases.into_iter().enumerate() {
            let found = Found { action, compensation };
            assert_eq!(classify_action(&hash(contents), found), expected, "case {number}");
        }
    }

    #[test]
    fn every_state_of_the_journal_has_its_verdict_on_a_compensation() {
        let done = row(200, Some("a"));
        let refused = row(409, Some("a"));
        let tombstone = row(409, None);
        let undone = row(200, None);
        #[rustfmt::skip]
        let cases = [
            (None,             None,          CompensationVerdict::New(ActionSeen::Never)),
            (Some(&done),      None,          CompensationVerdict::New(ActionSeen::Done)),
            (Some(&refused),   None,          CompensationVerdict::New(ActionSeen::Refused)),
            (Some(&done),      Some(&undone), CompensationVerdict::Replay(&undone, ActionSeen::Done)),
            (Some(&refused),   Some(&undone), CompensationVerdict::Replay(&undone, ActionSeen::Refused)),
            (Some(&tombstone), Some(&undone), CompensationVerdict::Replay(&undone, ActionSeen::Never)),
        ];
        for (number, (action, compensation, expected)) in cases.into_iter().enumerate() {
            assert_eq!(classify_compensation(Found { action, compensation }), expected, "case {number}");
        }
    }

    #[test]
    fn only_equal_lists_of_fields_have_equal_hashes() {
        let lists: [&[Option<&str>]; 7] = [
            &[Some("ab"), Some("c")],
            &[Some("a"), Some("bc")],
            &[Some("abc")],
            &[Some("abc"), None],
            &[None, Some("abc")],
            &[Some("abc"), Some("")],
            &[],
        ];
        let owned = |list: &[Option<&str>]| list.iter().map(|field| field.map(str::to_owned)).collect::<Vec<_>>();
        for (i, left) in lists.iter().enumerate() {
            for (j, right) in lists.iter().enumerate() {
                let equal = RequestHash::of("charge", &owned(left)) == RequestHash::of("charge", &owned(right));
                assert_eq!(equal, i == j, "{left:?} and {right:?}");
            }
        }
        assert_ne!(RequestHash::of("charge", &[]), RequestHash::of("create", &[]));
    }

    #[test]
    fn the_hash_of_version_1_never_changes() {
        // Databases hold rows with this hash: a change of the rule needs a new version.
        let hash = RequestHash::of("charge", &[Some("user-1".to_owned()), Some("9990".to_owned()), None]);
        let hex: String = hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "8f6e82f3ced2de5ab22550e6db0a7397");
    }
}
