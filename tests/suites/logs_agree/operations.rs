//! The operations of a sequence, and how they are drawn.

use std::time::Duration;

use proptest::prelude::*;
use saga_engine::Status;
use saga_engine::record::Mark;

/// Number of sagas of a sequence.
pub(crate) const SAGAS: usize = 3;
pub(crate) const HOUR: Duration = Duration::from_secs(3_600);

/// One operation on a log.
#[derive(Clone, Debug)]
pub(crate) enum Operation {
    Renew {
        process: usize,
        was_registered: bool,
        lease: Duration,
    },
    GiveUp {
        process: usize,
    },
    Hold,
    Release,
    /// Writes of different sagas, as one batch.
    Write {
        writer: Writer,
        writes: Vec<(usize, Write)>,
    },
    Claim {
        process: usize,
        what: What,
    },
    /// Reads without an effect.
    Look {
        process: usize,
    },
    Cancel {
        saga: usize,
    },
    RetryAll,
    WakeWaiting,
    Spoil {
        saga: usize,
    },
    ReleaseKeys,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Writer {
    /// The owner of the first saga of the batch.
    Owner,
    Process(usize),
}

#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) change: Kind,
    /// Added to the epoch of the row.
    pub(crate) epoch: i32,
    pub(crate) attention: Option<Mark>,
    pub(crate) payment: u8,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Begin { nonce: u128, key: bool, ended: bool, decided_in: i64, deadline: Duration, definition: &'static str },
    Outputs,
    TurnBack { cause: &'static str },
    MarkFailed { wake_in: Duration, marks: u32, waits: bool },
    End { status: Status, error: Option<&'static str> },
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum What {
    OfTheDead {
        processes: [bool; 3],
    },
    OwnSleepers,
    /// All rows, with this added to their epochs.
    Orphans {
        epoch: i32,
    },
    Died {
        saga: usize,
        epoch: i32,
        reason: &'static str,
    },
}

pub(crate) const OPERATION: &str = "payments.refund";

pub(crate) fn operation() -> impl Strategy<Value = Operation> {
    let process = || 0..3_usize;
    let saga = || 0..SAGAS;
    let lease = prop_oneof![4 => Just(HOUR), 1 => Just(Duration::ZERO)];
    let writer = prop_oneof![4 => Just(Writer::Owner), 1 => process().prop_map(Writer::Process)];
    let writes = prop::collection::btree_map(saga(), write(), 1..=2).prop_map(|writes| writes.into_iter().collect());
    let near = || prop_oneof![6 => Just(0), 1 => Just(-1), 1 => Just(1)];
    let reason = prop_oneof![Just("it panicked"), Just("a NUL\0 and a tab\t")];
    let what = prop_oneof![
        any::<[bool; 3]>().prop_map(|processes| What::OfTheDead { processes }),
        Just(What::OwnSleepers),
        near().prop_map(|epoch| What::Orphans { epoch }),
        (saga(), near(), reason).prop_map(|(saga, epoch, reason)| What::Died { saga, epoch, reason }),
    ];
    prop_oneof![
        2 => (process(), any::<bool>(), lease)
            .prop_map(|(process, was_registered, lease)| Operation::Renew { process, was_registered, lease }),
        1 => process().prop_map(|process| Operation::GiveUp { process }),
        1 => Just(Operation::Hold),
        2 => Just(Operation::Release),
        20 => (writer, writes).prop_map(|(writer, writes)| Operation::Write { writer, writes }),
        8 => (process(), what).prop_map(|(process, what)| Operation::Claim { process, what }),
        3 => process().prop_map(|process| Operation::Look { process }),
        2 => saga().prop_map(|saga| Operation::Cancel { saga }),
        1 => Just(Operation::RetryAll),
        4 => Just(Operation::WakeWaiting),
        1 => saga().prop_map(|saga| Operation::Spoil { saga }),
        1 => Just(Operation::ReleaseKeys),
    ]
}

pub(crate) fn write() -> impl Strategy<Value = Write> {
    let begin =
        (0..2_u128, any::<bool>(), prop::bool::weighted(0.1), prop_oneof![8 => Just(8), 1 => Just(-1), 1 => Just(60)])
            .prop_flat_map(|(nonce, key, ended, decided_in)| {
                let deadline = prop_oneof![Just(HOUR), Just(Duration::ZERO)];
                let definition = prop_oneof![3 => Just("checkout"), 1 => Just("other")];
                (deadline, definition).prop_map(move |(deadline, definition)| Kind::Begin {
                    nonce,
                    key,
                    ended,
                    decided_in,
                    deadline,
                    definition,
                })
            });
    let text = || prop_oneof![8 => Just("it was refused"), 1 => Just("a NUL: \0")];
    let status = prop::sample::select(vec![
        Status::Pending,
        Status::Compensating,
        Status::Completed,
        Status::Compensated,
        Status::Failed,
    ]);
    let change = prop_oneof![
        3 => begin,
        3 => Just(Kind::Outputs),
        3 => text().prop_map(|cause| Kind::TurnBack { cause }),
        6 => (prop_oneof![Just(HOUR), Just(Duration::ZERO)], 1..9_u32, any::<bool>())
            .prop_map(|(wake_in, marks, waits)| Kind::MarkFailed { wake_in, marks, waits }),
        2 => (status, prop::option::of(text())).prop_map(|(status, error)| Kind::End { status, error }),
    ];
    let reason = || prop_oneof![8 => Just("look at it"), 8 => Just("look again"), 1 => Just("a NUL: \0")];
    let mark = prop_oneof![
        reason().prop_map(|reason| Mark::until_end(reason.to_owned())),
        reason().prop_map(|reason| Mark::until_resolved(reason.to_owned())),
    ];
    let epoch = prop_oneof![8 => Just(0), 1 => Just(-1), 1 => Just(1)];
    let attention = prop_oneof![3 => Just(None), 2 => mark.prop_map(Some)];
    (change, epoch, attention, 0..3_u8).prop_map(|(change, epoch, attention, payment)| Write {
        change,
        epoch,
        attention,
        payment,
    })
}
