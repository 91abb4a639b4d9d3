//! The fate of each call, write and look: drawn from a seed, or scripted by a test.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::faults::Faults;
use super::participants::{FailureDraw, Reply};
use saga_engine::record::LogWrite;
use saga_engine::world::Call;

/// Decides the fate of calls, writes and looks.
pub(super) trait Fate: Send {
    /// Returns the fate of a call.
    fn call(&mut self, call: &Call, phase: FaultPhase) -> CallFate;
    /// Returns the participant's decision about a step's action, the same for every attempt.
    fn draw(&mut self, call: &Call) -> FailureDraw;
    /// Returns the reply of a participant that has decided: its own, or one with another body.
    fn says(&mut self, _: &Call, reply: Reply, _: FaultPhase) -> Reply {
        reply
    }
    /// Returns the fate of a write.
    fn write(&mut self, write: &LogWrite, phase: FaultPhase) -> WriteFate;
    /// Returns the fate of a look at the log.
    fn look(&mut self, phase: FaultPhase) -> LookFate;
    /// Returns the time that the answer to a renewal of a lease takes.
    fn renewal_answers_after(&mut self, _: FaultPhase) -> Duration {
        Duration::ZERO
    }
    /// Returns a random number in `0.0..1.0`, for the engine's jitter.
    fn random(&mut self) -> f64;
}

/// Phase of a run: faults happen in `Wild` and not in `Calm`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FaultPhase {
    Wild,
    Calm,
}

#[derive(Clone, Debug)]
pub(super) enum CallFate {
    /// Nothing is sent; the caller learns that after this time.
    Unreachable(Duration),
    /// It is sent, as these copies.
    Sent(Vec<Copy>),
}

/// One copy of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    /// Time until it arrives; `None` if it is lost.
    pub(super) arrives: Option<Duration>,
    /// The source of its answer.
    pub(super) responder: Responder,
    /// Time that the reply takes; `None` if it is lost.
    pub(super) reply: Option<Duration>,
}

/// The source of the answer to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Responder {
    /// The participant.
    Participant,
    /// The participant does its work, but the reply is an intermediary's.
    ParticipantThen(Intermediary),
    /// An intermediary answers in its place.
    Only(Intermediary),
    /// A participant that is killed before it commits.
    Dying,
}

/// A reply that is not the participant's answer to the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intermediary {
    /// The participant's own front: 503.
    Busy,
    /// A proxy's 502, in HTML.
    BadGateway,
    /// A login page: 200, in HTML.
    LoginPage,
    /// 404, from a proxy that lost its routes.
    NotFound,
    /// 409, from a server that knows no sagas.
    Conflict,
    /// 429.
    TooMany,
    /// 200, in JSON, with this `status`: a maintenance page, or a health check.
    Json(&'static str),
    /// The participant's reply to another transaction.
    OtherReply,
    /// 503, with this `Retry-After`.
    ComeBack(&'static str),
}

/// Fate of a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteFate {
    /// Time until it commits, or would commit.
    pub(super) commits: Duration,
    /// Its result.
    pub(super) end: WriteEnd,
    /// Time that its report takes.
    pub(super) report: Duration,
    /// How long its process is paused right before the commit, if at all.
    pub(super) pause: Option<Duration>,
    /// Whether it commits if its process dies first.
    pub(super) after_death: AfterDeath,
}

/// Whether a write in flight commits when its process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterDeath {
    Yes,
    No,
}

/// Result of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteEnd {
    Committed,
    /// Nothing is written, and the report says so.
    Failed,
    /// In doubt; it is committed.
    DoubtedThere,
    /// In doubt; it is not committed.
    DoubtedGone,
    /// In doubt; it commits after this time.
    DoubtedLate(Duration),
    /// The log refuses one of its values.
    Rejected,
    /// The process is killed right before the commit.
    KilledBefore,
    /// The process is killed right after the commit.
    KilledAfter,
}

/// Fate of a look at the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookFate {
    /// Time that each of its statements takes.
    pub(super) takes: Duration,
    pub(super) end: LookEnd,
}

/// Result of a look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookEnd {
    /// Its answer arrives.
    Comes,
    /// Its answer is lost, after the claims.
    Lost,
    /// The connection is lost before the statement with this number; earlier claims stay.
    CutBefore(usize),
}

/// Maximum number of statements of a look.
const STATEMENTS_OF_A_LOOK: usize = 11;

/// Fates drawn from a seed.
pub(super) struct Drawn {
    seed: u64,
    faults: Faults,
    network: f64,
    log: f64,
    rng: ChaCha8Rng,
    /// Random numbers for renewals, so that their draws do not shift the others.
    renewals: ChaCha8Rng,
}

const INTERMEDIARIES: [Intermediary; 5] = [
    Intermediary::BadGateway,
    Intermediary::LoginPage,
    Intermediary::NotFound,
    Intermediary::Conflict,
    Intermediary::TooMany,
];
/// Values of `status` in an intermediary's 200 in JSON.
const JSON_STATUSES: [&str; 4] = ["maintenance", "ok", "success", "compensated"];
/// A refusal with a NUL and an escape sequence.
const HOSTILE: &str = r#"{"status":"error","message":"no\u0000 \u001b[31mnever","error":"no\u0000 \u001b[31mnever"}"#;
/// Values of `Retry-After`: from a second to centuries, a date, and an invalid one.
const COME_BACK: [&str; 6] = ["1", "30", "7200", "9999999999", "Fri, 31 Dec 2199 23:59:59 GMT", "soon"];
/// Mixed into the seed for renewals.
const RENEWALS: u64 = 0x6c65_6173_6573;
/// Maximum delay of a commit that was reported as in doubt.
const LATEST_COMMIT_MS: u64 = 20_000;

/// Factors on the rates of a run, drawn separately for network and log: most seeds are moderate, some are quiet in one
/// respect and wild in another.
const INTENSITIES: [f64; 6] = [0.0, 0.5, 1.0, 1.0, 2.0, 4.0];

impl Drawn {
    pub(super) fn new(seed: u64, faults: Faults) -> Drawn {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5a6a_0f00);
        let network = intensity(&mut rng);
        let log = intensity(&mut rng);
        Drawn { seed, faults, network, log, rng, renewals: ChaCha8Rng::seed_from_u64(seed ^ RENEWALS) }
    }

    fn chance(&mut self, rate: f64) -> bool {
        rate > 0.0 && self.rng.random::<f64>() < rate
    }

    /// Draws a travel time: nearly always milliseconds, sometimes beyond the caller's timeout.
    fn travel(&mut self, phase: FaultPhase) -> Duration {
        let late = self.faults.late_rate * self.network;
        if phase == FaultPhase::Wild && self.chance(late) {
            self.millis(200, self.faults.late_ms.max(201))
        } else {
            self.millis(1, 30)
        }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..to))
    }

    fn one_of<T: std::marker::Copy>(&mut self, all: &[T]) -> T {
        all[self.rng.random_range(0..all.len())]
    }

    /// Draws whether the participant does its work before the intermediary answers.
    fn before_or_after(&mut self, intermediary: Intermediary) -> Responder {
        if self.rng.random() { Responder::ParticipantThen(intermediary) } else { Responder::Only(intermediary) }
    }

    fn copy(&mut self, phase: FaultPhase) -> Copy {
        let (arrives, reply) = (Some(self.travel(phase)), Some(self.travel(phase)));
        let mut copy = Copy { arrives, responder: Responder::Participant, reply };
        if phase == FaultPhase::Calm {
            return copy;
        }
        let rates = self.faults.clone();
        let scale = self.network;
        if self.chance(rates.lost_request_rate * scale) {
            copy.arrives = None;
        }
        if self.chance(rates.lost_reply_rate * scale) {
            copy.reply = None;
        }
        if self.chance(rates.participant_crash_rate * scale) {
            // Killed after its commit, it has done its work and does not reply.
            copy.reply = None;
            if self.rng.random() {
                copy.responder = Responder::Dying;
            }
        } else if self.chance(rates.unavailable_rate * scale) {
            copy.responder = Responder::Only(if self.chance(rates.retry_after_rate) {
                Intermediary::ComeBack(self.one_of(&COME_BACK))
            } else {
                Intermediary::Busy
            });
        } else if self.chance(rates.json_intermediary_rate * scale) {
            let intermediary = Intermediary::Json(self.one_of(&JSON_STATUSES));
            copy.responder = self.before_or_after(intermediary);
        } else if self.chance(rates.other_reply_rate * scale) {
            copy.responder = self.before_or_after(Intermediary::OtherReply);
        } else if self.chance(rates.intermediary_rate * scale) {
            let intermediary = self.one_of(&INTERMEDIARIES);
            copy.responder = self.before_or_after(intermediary);
        }
        copy
    }
}

/// Draws the factor on the rates of one kind of fault in a run.
pub(super) fn intensity(rng: &mut ChaCha8Rng) -> f64 {
    INTENSITIES[rng.random_range(0..INTENSITIES.len())]
}

impl Fate for Drawn {
    fn call(&mut self, _: &Call, phase: FaultPhase) -> CallFate {
        let wild = phase == FaultPhase::Wild;
        if wild && self.chance(self.faults.unreachable_rate * self.network) {
            return CallFate::Unreachable(self.millis(1, 20));
        }
        let copies = if wild && self.chance(self.faults.duplicate_rate * self.network) { 2 } else { 1 };
        CallFate::Sent((0..copies).map(|_| self.copy(phase)).collect())
    }

    fn draw(&mut self, call: &Call) -> FailureDraw {
        let mut rng =
            ChaCha8Rng::seed_from_u64(self.seed ^ hash(call.step.as_bytes()) ^ hash(call.saga_id.0.as_bytes()));
        if rng.random::<f64>() < self.faults.refusal_rate { FailureDraw::Refuse } else { FailureDraw::Accept }
    }

    fn says(&mut self, _: &Call, mut reply: Reply, phase: FaultPhase) -> Reply {
        let may_be_hostile = phase == FaultPhase::Wild && reply.decision.is_some();
        if may_be_hostile && self.chance(self.faults.hostile_text_rate) {
            reply.body = HOSTILE.to_owned();
        }
        reply
    }

    fn write(&mut self, _: &LogWrite, phase: FaultPhase) -> WriteFate {
        let scale = if phase == FaultPhase::Wild { self.log } else { 0.0 };
        let end = if self.chance(self.faults.failed_write_rate * scale) {
            WriteEnd::Failed
        } else if self.chance(self.faults.write_in_doubt_rate * scale) {
            if self.chance(self.faults.late_commit_rate) {
                WriteEnd::DoubtedLate(self.millis(100, LATEST_COMMIT_MS))
            } else if self.rng.random() {
                WriteEnd::DoubtedThere
            } else {
                WriteEnd::DoubtedGone
            }
        } else if self.chance(self.faults.rejected_write_rate * scale) {
            WriteEnd::Rejected
        } else if self.chance(self.faults.crash_at_write_rate * scale) {
            if self.rng.random() { WriteEnd::KilledBefore } else { WriteEnd::KilledAfter }
        } else {
            WriteEnd::Committed
        };
        let after_death = if self.rng.random() { AfterDeath::Yes } else { AfterDeath::No };
        let pause = self.chance(self.faults.pause_at_write_rate * scale);
        let pause = pause.then(|| self.millis(100, self.faults.pause_ms.max(101)));
        WriteFate { commits: self.millis(1, 12), end, report: self.millis(0, 5), pause, after_death }
    }

    fn look(&mut self, phase: FaultPhase) -> LookFate {
        let wild = phase == FaultPhase::Wild;
        let end = if wild && self.chance(self.faults.failed_write_rate * self.log) {
            LookEnd::Lost
        } else if wild && self.chance(self.faults.look_cut_rate * self.log) {
            LookEnd::CutBefore(self.rng.random_range(0..STATEMENTS_OF_A_LOOK))
        } else {
            LookEnd::Comes
        };
        LookFate { takes: self.millis(1, 4), end }
    }

    fn renewal_answers_after(&mut self, phase: FaultPhase) -> Duration {
        let is_slow =
            phase == FaultPhase::Wild && self.renewals.random::<f64>() < self.faults.slow_renewal_rate * self.log;
        let late = self.renewals.random_range(200..self.faults.late_ms.max(201));
        if is_slow { Duration::from_millis(late) } else { Duration::ZERO }
    }

    fn random(&mut self) -> f64 {
        self.rng.random()
    }
}

/// FNV-1a (Fowler, Noll, Vo): mixes a name into a seed.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
