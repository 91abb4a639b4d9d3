//! What happens to each call and each write: drawn from a seed, or written down by a test.

use std::time::Duration;

use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

use super::faults::Faults;
use super::participants::{Coin, Reply};
use saga_engine::record::LogWrite;
use saga_engine::world::Call;

/// Decides what goes wrong.
pub(super) trait Fate: Send {
    /// What happens to a call.
    fn call(&mut self, call: &Call, mood: Mood) -> CallFate;
    /// How the decision on a step's action falls: the same whenever it is asked.
    fn coin(&mut self, call: &Call) -> Coin;
    /// What a participant says that has decided: its own words, or others that come from it.
    fn says(&mut self, _: &Call, reply: Reply, _: Mood) -> Reply {
        reply
    }
    /// What happens to a write.
    fn write(&mut self, write: &LogWrite, mood: Mood) -> WriteFate;
    /// What happens to a look at the log.
    fn look(&mut self, mood: Mood) -> LookFate;
    /// A number in `0.0..1.0`, for the engine's own jitter.
    fn dice(&mut self) -> f64;
}

/// Whether things go wrong now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Wild,
    Calm,
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub(super) enum CallFate {
    /// Nothing is sent; known after this time.
    Unreachable(Duration),
    /// It is sent, and these copies of it go their way.
    Sent(Vec<Copy>),
}

/// One copy of a request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Copy {
    /// When it arrives, if it does.
    pub(super) arrives: Option<Duration>,
    /// What is there.
    pub(super) there: There,
    /// How long the reply takes, if it comes.
    pub(super) reply: Option<Duration>,
}

/// What a request finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum There {
    /// The participant.
    Participant,
    /// The participant, but the reply that comes is somebody else's.
    ParticipantThen(Stranger),
    /// Somebody else, who answers in its place.
    Only(Stranger),
    /// A participant that is killed before it commits.
    Dying,
}

/// Who answers in a participant's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stranger {
    /// The participant's own front: 503.
    Busy,
    /// A proxy's 502, in HTML.
    BadGateway,
    /// A login page: 200, in HTML.
    LoginPage,
    /// 404, of a proxy that lost its routes.
    NotFound,
    /// 409, of something that knows no sagas.
    Conflict,
    /// 429.
    TooMany,
    /// 200, in JSON, with this status: a maintenance page, or a health check.
    Json(&'static str),
    /// What the participant answered another transaction.
    OtherReply,
    /// 503, with this `Retry-After`.
    ComeBack(&'static str),
}

/// What happens to a write.
#[derive(Clone, Copy, Debug)]
pub(super) struct WriteFate {
    /// When it commits, or would.
    pub(super) commits: Duration,
    /// What comes of it.
    pub(super) end: WriteEnd,
    /// How long its report takes.
    pub(super) report: Duration,
    /// How long its process is stopped, if it is, right before it commits.
    pub(super) pause: Option<Duration>,
    /// Whether it reaches the database if its process dies first.
    pub(super) outlives_process: Outlives,
}

/// Whether a write that is on its way when its process dies is committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlives {
    Yes,
    No,
}

/// What comes of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteEnd {
    Committed,
    /// Nothing is written, and that is known.
    Failed,
    /// Nobody knows; it is there.
    DoubtedThere,
    /// Nobody knows; it is not there.
    DoubtedGone,
    /// It is not known, and it commits after this time.
    DoubtedLate(Duration),
    /// The log refuses one of its values.
    Rejected,
    /// The process is killed right before the commit.
    KilledBefore,
    /// The process is killed right after the commit.
    KilledAfter,
}

/// What happens to a look at the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct LookFate {
    /// How long each of its statements takes.
    pub(super) takes: Duration,
    pub(super) end: LookEnd,
}

/// How a look ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LookEnd {
    /// Its answer comes.
    Comes,
    /// It is lost, after the claims were made.
    Lost,
    /// The connection goes before this one of its statements: what those before it claimed stays claimed.
    CutBefore(usize),
}

/// The most statements that a look runs when nothing is wrong.
const STATEMENTS_OF_A_LOOK: usize = 7;

/// Fates drawn from a seed.
pub(super) struct Drawn {
    seed: u64,
    faults: Faults,
    network: f64,
    log: f64,
    dice: ChaCha8Rng,
}

const STRANGERS: [Stranger; 5] =
    [Stranger::BadGateway, Stranger::LoginPage, Stranger::NotFound, Stranger::Conflict, Stranger::TooMany];
/// What a 200 in JSON may say that is not the participant's.
const JSON_STATUSES: [&str; 4] = ["maintenance", "ok", "success", "compensated"];
/// A refusal with a NUL and an escape sequence.
const HOSTILE: &str = r#"{"status":"error","message":"no\u0000 \u001b[31mnever","error":"no\u0000 \u001b[31mnever"}"#;
/// Times to come back, from a second to centuries, as a date, and as none.
const COME_BACK: [&str; 6] = ["1", "30", "7200", "9999999999", "Fri, 31 Dec 2199 23:59:59 GMT", "soon"];
/// How long a commit goes on at most that was reported as in doubt.
const LATEST_COMMIT_MS: u64 = 20_000;

/// How wild a run is, by kind: most seeds are moderate, some are quiet in one respect and wild in another.
const INTENSITIES: [f64; 6] = [0.0, 0.5, 1.0, 1.0, 2.0, 4.0];

impl Drawn {
    pub(super) fn new(seed: u64, faults: Faults) -> Drawn {
        let mut dice = ChaCha8Rng::seed_from_u64(seed ^ 0x5a6a_0f00);
        let network = intensity(&mut dice);
        let log = intensity(&mut dice);
        Drawn { seed, faults, network, log, dice }
    }

    fn chance(&mut self, rate: f64) -> bool {
        rate > 0.0 && self.dice.random::<f64>() < rate
    }

    /// Nearly always a moment; now and then so long that whoever waits has given up.
    fn travel(&mut self, mood: Mood) -> Duration {
        let late = self.faults.late_rate * self.network;
        match mood == Mood::Wild && self.chance(late) {
            true => self.millis(200, self.faults.late_ms.max(201)),
            false => self.millis(1, 30),
        }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.dice.random_range(from..to))
    }

    fn one_of<T: std::marker::Copy>(&mut self, all: &[T]) -> T {
        all[self.dice.random_range(0..all.len())]
    }

    /// Draws whether the participant has done its work before something else answers.
    fn before_or_after(&mut self, stranger: Stranger) -> There {
        match self.dice.random() {
            true => There::ParticipantThen(stranger),
            false => There::Only(stranger),
        }
    }

    fn copy(&mut self, mood: Mood) -> Copy {
        let (arrives, reply) = (Some(self.travel(mood)), Some(self.travel(mood)));
        let mut copy = Copy { arrives, there: There::Participant, reply };
        if mood == Mood::Calm {
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
            // Killed after its commit, it has done its work and says nothing.
            copy.reply = None;
            if self.dice.random() {
                copy.there = There::Dying;
            }
        } else if self.chance(rates.unavailable_rate * scale) {
            copy.there = There::Only(match self.chance(rates.retry_after_rate) {
                true => Stranger::ComeBack(self.one_of(&COME_BACK)),
                false => Stranger::Busy,
            });
        } else if self.chance(rates.json_stranger_rate * scale) {
            let stranger = Stranger::Json(self.one_of(&JSON_STATUSES));
            copy.there = self.before_or_after(stranger);
        } else if self.chance(rates.other_reply_rate * scale) {
            copy.there = self.before_or_after(Stranger::OtherReply);
        } else if self.chance(rates.stranger_rate * scale) {
            let stranger = self.one_of(&STRANGERS);
            copy.there = self.before_or_after(stranger);
        }
        copy
    }
}

/// Draws how wild one kind of trouble is in a run.
pub(super) fn intensity(dice: &mut ChaCha8Rng) -> f64 {
    INTENSITIES[dice.random_range(0..INTENSITIES.len())]
}

impl Fate for Drawn {
    fn call(&mut self, _: &Call, mood: Mood) -> CallFate {
        let wild = mood == Mood::Wild;
        if wild && self.chance(self.faults.unreachable_rate * self.network) {
            return CallFate::Unreachable(self.millis(1, 20));
        }
        let copies = if wild && self.chance(self.faults.duplicate_rate * self.network) { 2 } else { 1 };
        CallFate::Sent((0..copies).map(|_| self.copy(mood)).collect())
    }

    fn coin(&mut self, call: &Call) -> Coin {
        let mut dice =
            ChaCha8Rng::seed_from_u64(self.seed ^ hash(call.step.as_bytes()) ^ hash(call.saga_id.0.as_bytes()));
        match dice.random::<f64>() < self.faults.refusal_rate {
            true => Coin::Refuse,
            false => Coin::Accept,
        }
    }

    fn says(&mut self, _: &Call, mut reply: Reply, mood: Mood) -> Reply {
        let may_be_hostile = mood == Mood::Wild && reply.decision.is_some();
        if may_be_hostile && self.chance(self.faults.hostile_text_rate) {
            reply.body = HOSTILE.to_owned();
        }
        reply
    }

    fn write(&mut self, _: &LogWrite, mood: Mood) -> WriteFate {
        let scale = if mood == Mood::Wild { self.log } else { 0.0 };
        let end = if self.chance(self.faults.failed_write_rate * scale) {
            WriteEnd::Failed
        } else if self.chance(self.faults.write_in_doubt_rate * scale) {
            if self.chance(self.faults.late_commit_rate) {
                WriteEnd::DoubtedLate(self.millis(100, LATEST_COMMIT_MS))
            } else if self.dice.random() {
                WriteEnd::DoubtedThere
            } else {
                WriteEnd::DoubtedGone
            }
        } else if self.chance(self.faults.rejected_write_rate * scale) {
            WriteEnd::Rejected
        } else if self.chance(self.faults.crash_at_write_rate * scale) {
            if self.dice.random() { WriteEnd::KilledBefore } else { WriteEnd::KilledAfter }
        } else {
            WriteEnd::Committed
        };
        let outlives_process = if self.dice.random() { Outlives::Yes } else { Outlives::No };
        let pause = self.chance(self.faults.pause_at_write_rate * scale);
        let pause = pause.then(|| self.millis(100, self.faults.pause_ms.max(101)));
        WriteFate { commits: self.millis(1, 12), end, report: self.millis(0, 5), pause, outlives_process }
    }

    fn look(&mut self, mood: Mood) -> LookFate {
        let wild = mood == Mood::Wild;
        let end = if wild && self.chance(self.faults.failed_write_rate * self.log) {
            LookEnd::Lost
        } else if wild && self.chance(self.faults.look_cut_rate * self.log) {
            LookEnd::CutBefore(self.dice.random_range(0..STATEMENTS_OF_A_LOOK))
        } else {
            LookEnd::Comes
        };
        LookFate { takes: self.millis(1, 4), end }
    }

    fn dice(&mut self) -> f64 {
        self.dice.random()
    }
}

/// FNV-1a (Fowler, Noll, Vo): spreads a name over a seed.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
