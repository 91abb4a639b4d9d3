//! Writes a batch of operations exactly once: the protocol of the participants.
//!
//! A batch is one transaction, committed by group commit:
//! 1. look up the decisions on all its transactions (in the same round trip as `begin`);
//! 2. classify each item ([`super::journal`]): repeats are answered from their rows and write nothing;
//! 3. read the data for the decisions, with the participant's own set-based statements;
//! 4. do the new work and record it. The row of an action is both its effect and its record, inserted without
//!    `on conflict`. On the happy path that is the only statement, a transaction by itself; otherwise all statements
//!    share their round trip with the commit.
//!
//! The first request for an action by its saga is not looked up: normally nothing is recorded for it. If a row exists
//! after all, step 4 detects it like a lost race.
//!
//! Why no key is claimed first: two replicas that decide the same operation at once both see no row, but only one can
//! insert it. The other's whole transaction, effects included, fails with a unique violation, and group commit runs it
//! again: now the look-up sees the winner's row. So a lost race costs a repeat and never an effect.
//!
//! The same holds for an action and its compensation. A compensation that sees no action inserts the action's row, as a
//! tombstone, under the same unique key as the action. If that insert wins, the action's insert fails and its retry
//! finds the tombstone. If the action's row wins, the compensation fails, and its retry finds an action to undo. In
//! either order one of them sees the other.
//!
//! Only the success of a compensation is recorded, so that a failed one can be retried.
//!
//! A batch that writes nothing passes a barrier ([`Connection::finish_behind_barrier`]) before it is answered: the rows
//! that answer its repeats must not be lost at a failover. The commit of a batch that writes is such a barrier for its
//! repeats.

use std::borrow::Cow;
use std::collections::HashMap;

use common::{
    db::Connection,
    faults::FailureDraw,
    group_commit::{BatchError, BatchWriter, Receipt, Try},
    http::TraceContext,
    ids::TransactionId,
    request_hash::RequestHash,
};

use super::{
    Action, Decision, Decisions, NewAction, NewCompensation, Participant, Recording, Work,
    journal::{ActionSeen, ActionVerdict, CompensationVerdict, Recorded, classify_action, classify_compensation},
    step_journal::{IS_RECORDED, Journal, Origin, bind_actions, bind_undone},
};

pub(crate) struct JournaledWriter<P> {
    participant: P,
}

/// One request to decide.
#[derive(Clone)]
pub(crate) struct Item<A> {
    pub(crate) transaction_id: TransactionId,
    pub(crate) origin: Origin,
    pub(crate) intent: Intent<A>,
}

impl<A> Item<A> {
    /// Returns whether this is the first request for an action by its saga.
    fn is_first(&self) -> bool {
        matches!(self.intent, Intent::Act { .. }) && self.origin.is_first()
    }
}

/// The request's intent.
#[derive(Clone)]
pub(crate) enum Intent<A> {
    /// Run the action.
    Act {
        action: A,
        hash: RequestHash,
        /// Used only if no decision is recorded: a replay makes no draw.
        draw: FailureDraw,
    },
    /// Undo the transaction's action, or ensure that it never happens.
    Compensate,
}

/// The outcome of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Settled {
    /// Decided now.
    Decided(Decision),
    /// Decided before; the recorded answer is repeated.
    Replayed(Decision),
    /// A compensation confirmed now, and the state of its action.
    Undone(Decision, ActionSeen),
    /// A compensation confirmed before: the recorded answer, and the state of its action.
    UndoneBefore(Decision, ActionSeen),
    /// Refused because the compensation came first; the body of the 409.
    TooLate(String),
    /// The transaction has other contents recorded for this operation.
    ContentsDiffer,
    /// A compensation that cannot be confirmed: its action's effect was not found. Nothing was written for it.
    Unexplained,
}

impl<P: Participant> JournaledWriter<P> {
    pub(crate) fn new(participant: P) -> Self {
        Self { participant }
    }

    /// Does the new work, records it, and settles each item that may be confirmed. Returns whether it wrote anything.
    async fn decide(
        &self,
        connection: &mut Connection,
        new: &NewItems<'_, P::Action>,
        attempt: Try,
        settled: &mut [Option<Settled>],
    ) -> Result<bool, BatchError> {
        let work = new.work(attempt);
        let Decisions { actions, compensations, before, recording } =
            self.participant.perform(connection, &work).await?;
        let mut statements = before;
        let place = statements.len();
        if !new.actions.is_empty() {
            let decided: Vec<_> = new.actions.iter().map(|new| (new.item, Some(new.hash))).collect();
            let Recording { statement, parameters } = recording;
            statements.push(bind_actions(statement, &decided).with_all(parameters));
        }
        let explained =
            || new.compensations.iter().zip(&compensations).filter_map(|(new, reply)| Some((new, reply.as_deref()?)));
        let never = explained().filter(|(new, _)| new.action == ActionSeen::Never);
        let tombstones: Vec<_> = never.map(|(new, _)| (new.item, None)).collect();
        if !tombstones.is_empty() {
            statements.push(bind_actions(P::tombstones(), &tombstones));
        }
        let undone: Vec<_> = explained().map(|(new, reply)| (new.item, reply)).collect();
        if !undone.is_empty() {
            statements.push(bind_undone::<P>(&undone));
        }
        if statements.is_empty() {
            return Ok(false);
        }
        let told = if undone.len() == compensations.len() {
            connection.finish(&statements).await?
        } else {
            // Unexplained compensations still need another look in this transaction.
            connection.query_all(&statements).await?
        };
        if !new.actions.is_empty() {
            let numbers: HashMap<&str, Option<i64>> = told[place].iter().map(|row| (row.get(0), row.get(1))).collect();
            for (new, outcome) in new.actions.iter().zip(actions) {
                let transaction_id = &new.item.transaction_id;
                let number = numbers[transaction_id.as_str()].unwrap_or_default();
                let reply = P::answer(transaction_id, new.action, &outcome, number);
                settled[new.index] = Some(Settled::Decided(Decision { status: outcome.status(), reply }));
            }
        }
        for (new, reply) in new.compensations.iter().zip(compensations) {
            settled[new.index] = reply.map(|reply| Settled::Undone(Decision { status: 200, reply }, new.action));
        }
        Ok(true)
    }

    /// Looks again at the compensations that found nothing to undo. Between look-up and update another replica may have
    /// committed the same compensation: its row then exists and is the answer.
    async fn explain(
        &self,
        connection: &mut Connection,
        new: &NewItems<'_, P::Action>,
        settled: &mut [Option<Settled>],
    ) -> Result<(), BatchError> {
        let open: Vec<_> = new.compensations.iter().filter(|new| settled[new.index].is_none()).collect();
        if open.is_empty() {
            return Ok(());
        }
        let journal = Journal::look_up::<P>(connection, open.iter().map(|new| &new.item.transaction_id)).await?;
        for new in open {
            let found = journal.found::<P>(&new.item.transaction_id, P::ACTION);
            if let CompensationVerdict::Replay(recorded, action) = classify_compensation(found) {
                settled[new.index] = Some(Settled::UndoneBefore(recorded.into(), action));
            }
        }
        Ok(())
    }
}

impl<P: Participant> BatchWriter for JournaledWriter<P> {
    type Item = Item<P::Action>;
    type Answer = Settled;

    fn key(item: &Self::Item) -> Cow<'_, str> {
        Cow::Borrowed(item.transaction_id.as_str())
    }

    fn traced(&self, item: &Self::Item) -> Option<(TraceContext, &'static str)> {
        let what = match &item.intent {
            Intent::Act { action, .. } => action.operation(),
            Intent::Compensate => P::COMPENSATION,
        };
        Some((item.origin.trace?, what))
    }

    fn receipt(item: &Self::Item, settled: &Settled) -> Option<Receipt> {
        let operation = match (settled, &item.intent) {
            (Settled::Decided(_) | Settled::Replayed(_), Intent::Act { action, .. }) => action.operation(),
            (Settled::Undone(..) | Settled::UndoneBefore(..), Intent::Compensate) => P::COMPENSATION,
            (Settled::Decided(_) | Settled::Replayed(_), Intent::Compensate)
            | (Settled::Undone(..) | Settled::UndoneBefore(..), Intent::Act { .. })
            | (Settled::TooLate(_) | Settled::ContentsDiffer | Settled::Unexplained, _) => return None,
        };
        let parameters = vec![item.transaction_id.to_string(), operation.to_owned()];
        Some(Receipt { query: IS_RECORDED, parameters })
    }

    async fn write(
        &self,
        connection: &mut Connection,
        items: &[Self::Item],
        attempt: Try,
    ) -> Result<Vec<Settled>, BatchError> {
        let unsure = items.iter().filter(|item| attempt == Try::Again || !item.is_first());
        let journal = Journal::look_up::<P>(connection, unsure.map(|item| &item.transaction_id)).await?;
        let (new, mut settled) = sort_out::<P>(&journal, items);
        let mut has_written = false;
        if !new.is_empty() {
            has_written = self.decide(connection, &new, attempt, &mut settled).await?;
            self.explain(connection, &new, &mut settled).await?;
        }
        if !has_written {
            connection.finish_behind_barrier(&[]).await?;
        }
        Ok(settled.into_iter().map(|settled| settled.unwrap_or(Settled::Unexplained)).collect())
    }
}

/// The undecided items of a batch, sorted by transaction id.
struct NewItems<'a, A> {
    actions: Vec<ItemToDecide<'a, A>>,
    compensations: Vec<ItemToUndo<'a, A>>,
}

struct ItemToDecide<'a, A> {
    index: usize,
    item: &'a Item<A>,
    action: &'a A,
    hash: &'a RequestHash,
    draw: FailureDraw,
}

struct ItemToUndo<'a, A> {
    index: usize,
    item: &'a Item<A>,
    action: ActionSeen,
}

impl<'a, A> NewItems<'a, A> {
    fn is_empty(&self) -> bool {
        self.actions.is_empty() && self.compensations.is_empty()
    }

    fn work(&self, attempt: Try) -> Work<'a, A> {
        let actions = self.actions.iter().map(|new| NewAction { action: new.action, draw: new.draw });
        let compensations = self
            .compensations
            .iter()
            .map(|new| NewCompensation { transaction_id: &new.item.transaction_id, action: new.action });
        Work { actions: actions.collect(), compensations: compensations.collect(), attempt }
    }
}

/// Settles the items that the journal answers, and collects the others.
fn sort_out<'a, P: Participant>(
    journal: &Journal,
    items: &'a [Item<P::Action>],
) -> (NewItems<'a, P::Action>, Vec<Option<Settled>>) {
    let mut new = NewItems { actions: Vec::new(), compensations: Vec::new() };
    let mut settled = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let transaction_id = &item.transaction_id;
        settled.push(match &item.intent {
            Intent::Act { action, hash, draw } => {
                match classify_action(hash, journal.found::<P>(transaction_id, action.operation())) {
                    ActionVerdict::Replay(recorded) => Some(Settled::Replayed(recorded.into())),
                    ActionVerdict::ContentsDiffer => Some(Settled::ContentsDiffer),
                    ActionVerdict::TooLate(recorded) => {
                        Some(Settled::TooLate(P::too_late(transaction_id, action, &recorded.reply)))
                    }
                    ActionVerdict::New => {
                        new.actions.push(ItemToDecide { index, item, action, hash, draw: *draw });
                        None
                    }
                }
            }
            Intent::Compensate => match classify_compensation(journal.found::<P>(transaction_id, P::ACTION)) {
                CompensationVerdict::Replay(recorded, action) => Some(Settled::UndoneBefore(recorded.into(), action)),
                CompensationVerdict::New(action) => {
                    new.compensations.push(ItemToUndo { index, item, action });
                    None
                }
            },
        });
    }
    new.actions.sort_by_key(|new| &new.item.transaction_id);
    new.compensations.sort_by_key(|new| &new.item.transaction_id);
    (new, settled)
}

impl From<&Recorded> for Decision {
    fn from(recorded: &Recorded) -> Self {
        Self { status: recorded.status, reply: recorded.reply.clone() }
    }
}
