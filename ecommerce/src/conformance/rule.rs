//! The rules of the protocol, by their names in `docs/participants.md`.

use super::{
    Restart, clients, refusals, repeats, restart,
    service::{Record, Service},
    undo,
};

/// A rule that a participant keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "docs/participants.md has them; the names say it in short")]
pub enum Rule {
    FirstAnswer,
    RepeatedAnswer,
    ConcurrentRepeats,
    OtherContents,
    Compensation,
    RepeatedCompensation,
    ActionAfterCompensation,
    Tombstone,
    Race,
    Refusal,
    RepeatedRefusal,
    UndoOfRefused,
    SlowClient,
    CutClient,
    Restart,
}

/// The reason why a rule does not hold.
#[derive(Debug)]
pub(super) enum Broken {
    Violated(String),
    /// The rule could not be tested.
    Skipped(String),
}

impl From<String> for Broken {
    fn from(reason: String) -> Self {
        Self::Violated(reason)
    }
}

impl Rule {
    /// All rules in the order in which they are tested.
    pub const ALL: [Self; 15] = [
        Self::FirstAnswer,
        Self::RepeatedAnswer,
        Self::ConcurrentRepeats,
        Self::OtherContents,
        Self::Compensation,
        Self::RepeatedCompensation,
        Self::ActionAfterCompensation,
        Self::Tombstone,
        Self::Race,
        Self::Refusal,
        Self::RepeatedRefusal,
        Self::UndoOfRefused,
        Self::SlowClient,
        Self::CutClient,
        Self::Restart,
    ];

    /// The name in reports and in the documentation.
    pub fn name(self) -> &'static str {
        match self {
            Self::FirstAnswer => "first-answer",
            Self::RepeatedAnswer => "repeated-answer",
            Self::ConcurrentRepeats => "concurrent-repeats",
            Self::OtherContents => "other-contents",
            Self::Compensation => "compensation",
            Self::RepeatedCompensation => "repeated-compensation",
            Self::ActionAfterCompensation => "action-after-compensation",
            Self::Tombstone => "tombstone",
            Self::Race => "race",
            Self::Refusal => "refusal",
            Self::RepeatedRefusal => "repeated-refusal",
            Self::UndoOfRefused => "undo-of-refused",
            Self::SlowClient => "slow-client",
            Self::CutClient => "cut-client",
            Self::Restart => "restart",
        }
    }

    pub(super) async fn judge(
        self,
        service: &Service<'_>,
        record: &Record,
        restarting: Option<&Restart<'_>>,
    ) -> Result<(), Broken> {
        match self {
            Self::FirstAnswer => repeats::first_answer(service, record).await,
            Self::RepeatedAnswer => repeats::repeated_answer(service, record).await,
            Self::ConcurrentRepeats => repeats::concurrent_repeats(service, record).await,
            Self::OtherContents => repeats::other_contents(service, record).await,
            Self::Compensation => undo::compensation(service, record).await,
            Self::RepeatedCompensation => undo::repeated_compensation(service, record).await,
            Self::ActionAfterCompensation => undo::action_after_compensation(service, record).await,
            Self::Tombstone => undo::tombstone(service, record).await,
            Self::Race => undo::race(service, record).await,
            Self::Refusal => refusals::refusal(service, record).await,
            Self::RepeatedRefusal => refusals::repeated_refusal(service, record).await,
            Self::UndoOfRefused => refusals::undo_of_refused(service, record).await,
            Self::SlowClient => clients::slow_client(service, record).await,
            Self::CutClient => clients::cut_client(service, record).await,
            Self::Restart => restart::restart(service, record, restarting).await,
        }
    }
}
