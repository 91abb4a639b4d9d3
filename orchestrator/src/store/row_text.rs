//! The format of a saga's steps and changes in its rows: JSON arrays, one value per position, times in microseconds. In the
//! steps, each time but the first is the difference from the one before it in the text.
//!
//! ```text
//!   saga.timeline        [["charge","payments",1,1767225600000001,2577],["decrease","inventory"], …]
//!                          step, participant
//!                          [, state, attempts, started, finished   unless it is pending; without its state it is done
//!                          [, error
//!                          [, [undoing: attempts, started, finished, error, state of the action alone]]]]
//!   saga_event.changes   [["charge","payments","running",1,null,1767225600000001],["COMPLETED",true,null,1767225600000002], …]
//!                          of a step: step, participant, state, attempts, error, at;  of the saga: status, ended, error, at
//! ```
//! The format is compact because the database receives, copies and logs every byte. Rows of earlier versions are read as
//! well: with the state of each step, with all times in full, with member names, and without the action of an undone
//! step, whose state is then unknown.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use serde::ser::SerializeSeq;
use serde::{Deserialize, Serialize, Serializer};

use saga_engine::Status;
use saga_engine::change::StateChange;
use saga_engine::log::{CompensationView, StepView};

/// Writes the steps of a saga.
pub fn of_steps(steps: &[StepView]) -> String {
    let mut times = Times::default();
    json(&steps.iter().map(|view| StepText::of(view, &mut times)).collect::<Vec<_>>())
}

/// Reads the text of [`of_steps`]. Any other text reads as no steps: no decision rests on it.
pub fn to_steps(text: &str) -> Vec<StepView> {
    let steps: Vec<StoredStep> = serde_json::from_str(text).unwrap_or_default();
    let mut times = Times::default();
    let view = |step| match step {
        StoredStep::Done(step, participant, attempts, started, finished) => {
            StepRow(step, participant, DONE.to_owned(), attempts, started, finished, None, None).into_view(&mut times)
        }
        StoredStep::Row(row) => row.into_view(&mut times),
        StoredStep::Named(view) => *view,
    };
    steps.into_iter().map(view).map(with_action).collect()
}

/// Fills in the state of the action if a row lacks it: of a step that was not undone it is the step's state; of an
/// undone step an earlier version did not store it.
fn with_action(step: StepView) -> StepView {
    let action = match &*step.state {
        _ if !step.action.is_empty() => step.action,
        "compensating" | "compensated" => Cow::Borrowed("unknown"),
        _ => step.state.clone(),
    };
    StepView { action, ..step }
}

/// Writes changes; `None` if there are none, and then no row is written.
pub fn of_changes(changes: &[StateChange]) -> Option<String> {
    (!changes.is_empty()).then(|| json(&changes.iter().map(ChangeRow::of).collect::<Vec<_>>()))
}

/// Reads the text of [`of_changes`]. Any other text reads as no changes, so that the stream continues.
pub fn to_changes(text: &str) -> Vec<StateChange> {
    let changes: Vec<Stored<ChangeRow<'static>, StateChange>> = serde_json::from_str(text).unwrap_or_default();
    changes.into_iter().map(Stored::into_it).collect()
}

/// Returns texts; a saga's steps contain one of them exactly if this step has this state. Foreign text cannot contain
/// one: its quotes are escaped.
pub(crate) fn marks_of(step: &str, participant: &str, state: &str) -> Vec<String> {
    let mut marks = vec![
        format!(r#"["{step}","{participant}","{state}""#),
        format!(r#""step":"{step}","participant":"{participant}","state":"{state}""#),
    ];
    if state == DONE {
        marks.push(format!(r#"["{step}","{participant}",{ONCE},"#));
    }
    marks
}

/// The state of a step whose action was confirmed.
const DONE: &str = "done";
/// Number of attempts of most steps that are done; only these are written without their state.
const ONCE: u32 = 1;

/// A step in the format of a row: one that is done at once, or any other; or in the earlier format with member names.
#[derive(Deserialize)]
#[serde(untagged)]
enum StoredStep {
    Done(String, String, u32, Option<i64>, Option<i64>),
    Row(StepRow),
    Named(Box<StepView>),
}

/// A value in the format of a row, or in the earlier format with member names.
#[derive(Deserialize)]
#[serde(untagged)]
enum Stored<R, N> {
    Row(R),
    Named(N),
}

impl<R: Into<N>, N> Stored<R, N> {
    fn into_it(self) -> N {
        match self {
            Self::Row(row) => row.into(),
            Self::Named(it) => it,
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(transparent)]
struct Micros(#[serde(with = "chrono::serde::ts_microseconds")] DateTime<Utc>);

impl Micros {
    fn time(self) -> DateTime<Utc> {
        self.0
    }
}

/// A moment in microseconds since 1970, or the difference from the moment before it in the text. Any difference is less
/// than this, 31 years.
const FIRST_MOMENT: i64 = 1_000_000_000_000_000;

/// The times of the steps, in the order of the text.
#[derive(Default)]
struct Times {
    last: i64,
}

impl Times {
    fn write(&mut self, at: Option<DateTime<Utc>>) -> Option<i64> {
        let at = at?.timestamp_micros();
        Some(at.wrapping_sub(std::mem::replace(&mut self.last, at)))
    }

    fn read(&mut self, written: Option<i64>) -> Option<DateTime<Utc>> {
        let written = written?;
        self.last = if written < FIRST_MOMENT { self.last.wrapping_add(written) } else { written };
        DateTime::from_timestamp_micros(self.last)
    }
}

/// A step as it is written. Nothing has happened yet to most steps of a saga that begins, and most others have no error.
struct StepText<'a> {
    view: &'a StepView,
    times: [Option<i64>; 2],
    undo: Option<UndoRow<'a>>,
}

impl<'a> StepText<'a> {
    fn of(view: &'a StepView, times: &mut Times) -> Self {
        let of_action = [times.write(view.started_at), times.write(view.finished_at)];
        let undo = view.compensation.as_ref().map(|undo| {
            UndoRow(
                undo.attempts,
                times.write(undo.started_at),
                times.write(undo.finished_at),
                undo.error.as_deref().map(Cow::Borrowed),
                Cow::Borrowed(&*view.action),
            )
        });
        Self { view, times: of_action, undo }
    }
}

impl Serialize for StepText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { view, times: [started, finished], undo } = self;
        let mut values = serializer.serialize_seq(None)?;
        values.serialize_element(&view.step)?;
        values.serialize_element(&view.participant)?;
        let is_plain = view.error.is_none() && undo.is_none();
        if !(is_plain && (&*view.state, view.attempts, started, finished) == ("pending", 0, &None, &None)) {
            if !(is_plain && (&*view.state, view.attempts) == (DONE, ONCE)) {
                values.serialize_element(&view.state)?;
            }
            values.serialize_element(&view.attempts)?;
            values.serialize_element(started)?;
            values.serialize_element(finished)?;
        }
        if !is_plain {
            values.serialize_element(&view.error)?;
        }
        if let Some(undo) = undo {
            values.serialize_element(undo)?;
        }
        values.end()
    }
}

fn pending() -> String {
    "pending".to_owned()
}

/// Step, participant, state, attempts, started, finished, error, and the compensation if one was requested.
#[derive(Deserialize)]
struct StepRow(
    String,
    String,
    #[serde(default = "pending")] String,
    #[serde(default)] u32,
    #[serde(default)] Option<i64>,
    #[serde(default)] Option<i64>,
    #[serde(default)] Option<String>,
    #[serde(default)] Option<UndoRow<'static>>,
);

/// Attempts, started, finished, error, and the state of the action alone.
#[derive(Serialize, Deserialize)]
struct UndoRow<'a>(u32, Option<i64>, Option<i64>, Option<Cow<'a, str>>, #[serde(default)] Cow<'a, str>);

impl StepRow {
    fn into_view(self, times: &mut Times) -> StepView {
        let Self(step, participant, state, attempts, started, finished, error, undo) = self;
        let (started_at, finished_at) = (times.read(started), times.read(finished));
        let mut action = Cow::Borrowed("");
        let compensation = undo.map(|UndoRow(attempts, started, finished, error, of_action)| {
            action = of_action;
            CompensationView {
                attempts,
                started_at: times.read(started),
                finished_at: times.read(finished),
                error: error.map(Cow::into_owned),
            }
        });
        StepView {
            step: step.into(),
            participant: participant.into(),
            state: state.into(),
            action,
            attempts,
            started_at,
            finished_at,
            error,
            compensation,
        }
    }
}

/// The kinds differ in their number of values.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum ChangeRow<'a> {
    /// Step, participant, state, attempts, error, when.
    Step(Cow<'a, str>, Cow<'a, str>, Cow<'a, str>, u32, Option<Cow<'a, str>>, Micros),
    /// Status, whether it has ended, error, when.
    Saga(Status, bool, Option<Cow<'a, str>>, Micros),
}

impl<'a> ChangeRow<'a> {
    fn of(change: &'a StateChange) -> Self {
        match change {
            StateChange::Saga { status, ended, error, at } => {
                Self::Saga(*status, *ended, error.as_deref().map(Cow::Borrowed), Micros(*at))
            }
            StateChange::Step { step, participant, state, attempts, error, at } => Self::Step(
                Cow::Borrowed(step),
                Cow::Borrowed(participant),
                Cow::Borrowed(state),
                *attempts,
                error.as_deref().map(Cow::Borrowed),
                Micros(*at),
            ),
        }
    }
}

impl From<ChangeRow<'static>> for StateChange {
    fn from(row: ChangeRow<'static>) -> Self {
        match row {
            ChangeRow::Step(step, participant, state, attempts, error, at) => {
                let (step, participant) = (step.into(), participant.into());
                Self::Step { step, participant, state, attempts, error: error.map(Cow::into_owned), at: at.time() }
            }
            ChangeRow::Saga(status, ended, error, at) => {
                Self::Saga { status, ended, error: error.map(Cow::into_owned), at: at.time() }
            }
        }
    }
}

pub(super) fn json<T: Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).expect("plain records of strings and numbers serialise")
}

#[cfg(test)]
mod tests {
    use super::*;
    use saga_engine::change::Ending;

    /// A participant's error may contain any text.
    const ERROR: &str = r#"a " and ["charge","payments","done" and ["charge","payments",1, and "step":"charge","participant":"payments","state":"done""#;

    fn at(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(1_767_225_600_000_000 + micros).unwrap()
    }

    fn steps() -> Vec<StepView> {
        let pending = StepView {
            step: "create".into(),
            participant: "purchases".into(),
            state: "pending".into(),
            action: "pending".into(),
            attempts: 0,
            started_at: None,
            finished_at: None,
            error: None,
            compensation: None,
        };
        let undone = StepView {
            step: "charge".into(),
            participant: "payments".into(),
            state: "compensated".into(),
            action: "done".into(),
            attempts: 2,
            started_at: Some(at(1)),
            finished_at: Some(at(2)),
            error: Some(ERROR.to_owned()),
            compensation: Some(CompensationView {
                attempts: 3,
                started_at: Some(at(3)),
                finished_at: None,
                error: Some("\u{0}".to_owned()),
            }),
        };
        vec![undone, pending]
    }

    fn done() -> StepView {
        StepView {
            step: "charge".into(),
            participant: "payments".into(),
            state: "done".into(),
            action: "done".into(),
            attempts: 1,
            started_at: Some(at(7)),
            finished_at: Some(at(4)),
            error: None,
            compensation: None,
        }
    }

    fn changes() -> Vec<StateChange> {
        let step = StateChange::Step {
            step: "charge".into(),
            participant: "payments".into(),
            state: "refused".into(),
            attempts: 2,
            error: Some(ERROR.to_owned()),
            at: at(1),
        };
        vec![step, StateChange::of_saga(Status::Compensated, Ending::Ended, Some("409: no".to_owned()), at(2))]
    }

    #[test]
    fn a_row_gives_back_what_was_written() {
        let again = StepView { attempts: 12, ..done() };
        let told = StepView { error: Some(ERROR.to_owned()), ..done() };
        for written in [steps(), vec![done(), again, told, StepView { finished_at: None, ..done() }]] {
            assert_eq!(to_steps(&of_steps(&written)), written);
        }
        assert_eq!(to_changes(&of_changes(&changes()).unwrap()), changes());
        assert_eq!(of_changes(&[]), None);
    }

    #[test]
    fn a_row_of_an_earlier_version_is_read() {
        let full_times = r#"[["charge","payments","done",1,1767225600000005,1767225600000002,null],["create","purchases","pending",0,null,null,null]]"#;
        let read = to_steps(full_times);
        assert_eq!((read[0].started_at, read[0].finished_at), (Some(at(5)), Some(at(2))));
        assert_eq!(read[1..], steps()[1..]);
        assert_eq!(to_steps(&json(&steps())), steps());
        assert_eq!(to_changes(&json(&changes())), changes());
    }

    #[test]
    fn of_an_undone_step_in_a_row_without_its_action_nothing_is_said_of_that() {
        let rows = [
            r#"[["charge","payments","compensated",2,1767225600000001,1767225600000002,null,[3,1767225600000003,null,null]]]"#,
            r#"[{"step":"charge","participant":"payments","state":"compensated","attempts":2,"started_at":"2026-01-01T00:00:00.000001Z","finished_at":"2026-01-01T00:00:00.000002Z","error":null,"compensation":{"attempts":3,"started_at":"2026-01-01T00:00:00.000003Z","finished_at":null,"error":null}}]"#,
        ];
        for row in rows {
            let [step] = &to_steps(row)[..] else { panic!("{row}") };
            assert_eq!((&*step.state, &*step.action, step.attempts), ("compensated", "unknown", 2), "{row}");
            assert_eq!(step.compensation.as_ref().unwrap().attempts, 3, "{row}");
        }
        let [step] =
            &to_steps(r#"[["create","purchases","refused",1,1767225600000001,1767225600000002,"409: no"]]"#)[..]
        else {
            panic!("it is one step")
        };
        assert_eq!((&*step.state, &*step.action), ("refused", "refused"));
    }

    #[test]
    fn texts_are_spelled_as_other_programs_may_rely_on() {
        assert_eq!(of_steps(&steps()[1..]), r#"[["create","purchases"]]"#);
        let undone = StepView { error: None, ..steps().remove(0) };
        assert_eq!(
            of_steps(&[undone]),
            r#"[["charge","payments","compensated",2,1767225600000001,1,null,[3,1,null,"\u0000","done"]]]"#
        );
        let again = StepView { attempts: 2, ..done() };
        assert_eq!(
            of_steps(&[done(), again]),
            r#"[["charge","payments",1,1767225600000007,-3],["charge","payments","done",2,3,-3]]"#
        );
        assert_eq!(of_changes(&changes()[1..]).unwrap(), r#"[["COMPENSATED",true,"409: no",1767225600000002]]"#);
    }

    #[test]
    fn a_step_is_found_by_its_marks_in_both_spellings_and_not_in_what_somebody_said() {
        let is_marked = |text: &str, state: &str| {
            marks_of("charge", "payments", state).iter().any(|mark| text.contains(mark.as_str()))
        };
        for text in [of_steps(&steps()), json(&steps())] {
            assert!(is_marked(&text, "compensated"), "{text}");
            assert!(!is_marked(&text, "done"), "{text}");
        }
        for step in [done(), StepView { attempts: 12, ..done() }, StepView { error: Some(ERROR.to_owned()), ..done() }]
        {
            let step = [step];
            for text in [of_steps(&step), json(&step)] {
                assert!(is_marked(&text, "done") && !is_marked(&text, "unknown"), "{text}");
            }
        }
    }
}
