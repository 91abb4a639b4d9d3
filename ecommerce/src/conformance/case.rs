//! One saga of a test: its key, its requests, and the record of what came back.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use common::wire;
use futures::future::join_all;
use serde_json::{Map, Value};
use tokio::time::sleep;
use uuid::Uuid;

use super::{
    answer::{Answer, Decision},
    plan::Refusal,
    rule::Broken,
    service::{Record, Service},
    template::{self, Values},
};

/// The contents with which an action is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    Usual,
    /// Contents that provoke a refusal.
    Refused,
    /// Contents that differ from the usual ones.
    Other,
}

pub(super) struct Case<'a> {
    pub(super) service: &'a Service<'a>,
    record: &'a Record,
    saga_id: Uuid,
    /// The contents of this saga's action.
    contents: Contents,
    /// Attempts at action and compensation.
    attempts: [AtomicU32; 2],
}

/// The calls in words.
const ACTION: &str = "action";
const COMPENSATION: &str = "compensation";

/// The suffix of a compensation's key.
const UNDO: &str = ":undo";

impl<'a> Case<'a> {
    pub(super) fn new(service: &'a Service<'a>, record: &'a Record) -> Self {
        let saga_id = Uuid::now_v7();
        record.set_saga(saga_id);
        Self { service, record, saga_id, contents: Contents::Usual, attempts: Default::default() }
    }

    /// Makes a saga whose action is done; its first answer comes along.
    pub(super) async fn done(service: &'a Service<'a>, record: &'a Record) -> Result<(Self, Answer), Broken> {
        Self::decided(service, record, Decision::Done).await
    }

    /// Makes a saga whose action is refused.
    pub(super) async fn refused(service: &'a Service<'a>, record: &'a Record) -> Result<(Self, Answer), Broken> {
        Self::decided(service, record, Decision::Refused).await
    }

    async fn decided(service: &'a Service<'a>, record: &'a Record, wanted: Decision) -> Result<(Self, Answer), Broken> {
        let (contents, tries) = match (&service.plan.refusal, wanted) {
            (None, Decision::Refused) => return Err(Broken::Skipped("the configuration has no [refusal]".to_owned())),
            (Some(Refusal::Body(_)), Decision::Refused) => (Contents::Refused, 1),
            (Some(Refusal::Random { tries }), _) => (Contents::Usual, *tries),
            (None | Some(Refusal::Body(_)), Decision::Done) => (Contents::Usual, 1),
        };
        let mut left = tries;
        loop {
            let case = Self { contents, ..Self::new(service, record) };
            let answer = case.act_quietly(contents).await;
            left -= 1;
            let is_wanted = answer.expect(wanted);
            if is_wanted.is_ok() || left == 0 || answer.decision().is_err() {
                case.note(ACTION, "", answer.to_string());
                is_wanted.map_err(|reason| match tries {
                    1 => Broken::Violated(reason),
                    _ => Broken::Violated(format!("{reason}; none of {} keys got one", tries - left)),
                })?;
                return Ok((case, answer));
            }
        }
    }

    pub(super) fn values(&self, attempt: u32) -> Values {
        Values { saga_id: self.saga_id, step: self.service.plan.step.clone(), attempt }
    }

    fn next(&self, call: usize) -> Values {
        self.values(self.attempts[call].fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The body of the action.
    pub(super) fn body(&self, contents: Contents, values: &Values) -> Option<Value> {
        let plan = self.service.plan;
        let changes = match (contents, &plan.refusal) {
            (Contents::Refused, Some(Refusal::Body(changes))) => Some(changes),
            (Contents::Other, _) => Some(&plan.other_contents),
            (Contents::Usual | Contents::Refused, _) => None,
        };
        let mut body = plan.action.body.clone();
        if let Some(changes) = changes {
            let members = body.get_or_insert_with(Map::new);
            members.extend(changes.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        body.map(|body| template::json(&Value::Object(body), values))
    }

    /// Sends the action.
    pub(super) async fn act(&self) -> Answer {
        self.act_with(self.contents).await
    }

    /// Sends the action with given contents.
    pub(super) async fn act_with(&self, contents: Contents) -> Answer {
        let how = match (contents, self.attempts[0].load(Ordering::Relaxed)) {
            (Contents::Other, _) => " with other contents",
            (Contents::Usual | Contents::Refused, 0) => "",
            (Contents::Usual | Contents::Refused, _) => " again",
        };
        let answer = self.act_quietly(contents).await;
        self.note(ACTION, how, answer.to_string());
        answer
    }

    async fn act_quietly(&self, contents: Contents) -> Answer {
        let started = Instant::now();
        loop {
            let values = self.next(0);
            let body = self.body(contents, &values);
            let answer = self.service.send(&self.service.plan.action, &values, "", body.as_ref()).await;
            match answer.asks_again().filter(|wait| started.elapsed() + *wait < self.service.plan.timeout) {
                Some(wait) => sleep(wait).await,
                None => return answer,
            }
        }
    }

    /// Sends the compensation.
    pub(super) async fn undo(&self) -> Answer {
        let how = if self.attempts[1].load(Ordering::Relaxed) == 0 { "" } else { " again" };
        let answer = self.undo_quietly().await;
        self.note(COMPENSATION, how, answer.to_string());
        answer
    }

    async fn undo_quietly(&self) -> Answer {
        let started = Instant::now();
        loop {
            let values = self.next(1);
            let request = &self.service.plan.compensation;
            let body = self.undo_body(&values);
            let answer = self.service.send(request, &values, UNDO, body.as_ref()).await;
            match answer.asks_again().filter(|wait| started.elapsed() + *wait < self.service.plan.timeout) {
                Some(wait) => sleep(wait).await,
                None => return answer,
            }
        }
    }

    fn undo_body(&self, values: &Values) -> Option<Value> {
        let body = self.service.plan.compensation.body.clone()?;
        Some(template::json(&Value::Object(body), values))
    }

    /// Sends the action from all callers at once.
    pub(super) async fn act_at_once(&self) -> Vec<Answer> {
        let answers = join_all((0..self.service.plan.callers).map(|_| self.act_quietly(self.contents))).await;
        self.note_all(ACTION, &answers);
        answers
    }

    /// Sends the compensation from all callers at once.
    pub(super) async fn undo_at_once(&self) -> Vec<Answer> {
        let answers = join_all((0..self.service.plan.callers).map(|_| self.undo_quietly())).await;
        self.note_all(COMPENSATION, &answers);
        answers
    }

    /// Sends action and compensation, each after its wait.
    pub(super) async fn race(&self, action_after: Duration, compensation_after: Duration) -> (Answer, Answer) {
        let action = async {
            sleep(action_after).await;
            self.act_quietly(self.contents).await
        };
        let compensation = async {
            sleep(compensation_after).await;
            self.undo_quietly().await
        };
        let answers = futures::join!(action, compensation);
        self.note(ACTION, " beside a compensation", answers.0.to_string());
        self.note(COMPENSATION, " beside the action", answers.1.to_string());
        answers
    }

    /// Sends the action and cuts the connection; of its body only the first `part` leaves.
    pub(super) async fn act_and_cut(&self, part: Part, after: Duration) {
        let values = self.next(0);
        let body = self.body(self.contents, &values).map(|body| {
            let body = body.to_string().into_bytes();
            let length = body.len();
            match part {
                Part::Whole => (body, length),
                Part::Half => (body[..length / 2].to_vec(), length),
            }
        });
        let how = match part {
            Part::Whole => "",
            Part::Half => " with half its body",
        };
        self.service.send_and_cut(&self.service.plan.action, &values, "", body, after).await;
        self.note(ACTION, how, format!("cut after {} ms", after.as_millis()));
    }

    /// Sends the compensation and cuts the connection.
    pub(super) async fn undo_and_cut(&self, after: Duration) {
        let values = self.next(1);
        let body = self.undo_body(&values).map(|body| body.to_string().into_bytes());
        let body = body.map(|body| (body.clone(), body.len()));
        self.service.send_and_cut(&self.service.plan.compensation, &values, UNDO, body, after).await;
        self.note(COMPENSATION, "", format!("cut after {} ms", after.as_millis()));
    }

    /// Sends the action with a body that comes in pieces.
    pub(super) async fn act_in_pieces(
        &self,
        pieces: impl futures::Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static,
        length: usize,
    ) -> Answer {
        let answer = self.service.send_pieces(&self.service.plan.action, &self.next(0), "", pieces, length).await;
        self.note(ACTION, " with a slow body", answer.to_string());
        answer
    }

    /// Checks the number of effects, if it can be counted.
    pub(super) async fn expect_effects(&self, expected: u64) -> Result<(), Broken> {
        let counted = self.service.effects(&self.values(1)).await?;
        let Some(counted) = counted else { return Ok(()) };
        self.record.note("effects", counted.to_string());
        match (counted, expected) {
            _ if counted == expected => Ok(()),
            (_, 0) => Err(Broken::Violated(format!("expected no effect, but there are {counted}"))),
            _ => Err(Broken::Violated(format!("expected {expected} effect, but there are {counted}"))),
        }
    }

    /// Checks that the action is refused from now on, whatever its contents.
    pub(super) async fn expect_never_again(&self) -> Result<(), Broken> {
        for contents in [self.contents, Contents::Other, self.contents] {
            self.act_with(contents).await.expect(Decision::Refused)?;
        }
        self.expect_effects(0).await
    }

    /// Records an answer; the saga's id is shown by its placeholder.
    fn note(&self, call: &str, how: &str, received: String) {
        self.record.note(format!("{call}{how}"), received.replace(&self.saga_id.to_string(), "{saga.id}"));
    }

    fn note_all(&self, call: &str, answers: &[Answer]) {
        let mut kinds: Vec<(String, usize)> = Vec::new();
        for answer in answers.iter().map(ToString::to_string) {
            match kinds.iter_mut().find(|(kind, _)| *kind == answer) {
                Some((_, count)) => *count += 1,
                None => kinds.push((answer, 1)),
            }
        }
        const SHOWN: usize = 3;
        let mut shown: Vec<String> = kinds.iter().take(SHOWN).map(|(kind, count)| format!("{count}× {kind}")).collect();
        if kinds.len() > SHOWN {
            shown.push(format!("{} other answers", kinds.len() - SHOWN));
        }
        self.note(call, &format!(" from {} callers", answers.len()), shown.join(", "));
    }
}

/// The part of a body that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Whole,
    Half,
}

/// The values of `Saga-Action` after an action that was done, was refused, or never came.
pub(super) const FOUND_DONE: &[&str] = &[wire::ACTION_DONE];
pub(super) const FOUND_REFUSED: &[&str] = &[wire::REFUSED];
pub(super) const FOUND_NONE: &[&str] = &[wire::ACTION_NONE];
