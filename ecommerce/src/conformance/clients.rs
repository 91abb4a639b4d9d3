//! The rules of slow clients and of clients whose connection is cut.

use std::time::Duration;

use futures::{
    FutureExt,
    future::{BoxFuture, Shared},
    stream,
};
use tokio::{
    sync::oneshot,
    time::{sleep, timeout},
};

use super::{
    answer::Decision,
    case::{Case, Contents, FOUND_DONE, Part},
    rule::Broken,
    service::{Record, Service},
};

/// Pieces of the second half of a slow body, and the pause between them.
const PIECES: usize = 10;
const PAUSE: Duration = Duration::from_millis(30);

/// Waits before each action of another client beside a slow one. It cannot be seen when the participant has read what the
/// slow client sent so far.
const BESIDE: [Duration; 5] = [
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

/// Waits before a cut, so that it happens before, during and after the participant's transaction.
const CUTS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(1),
    Duration::from_millis(3),
    Duration::from_millis(10),
    Duration::from_millis(30),
    Duration::from_millis(100),
];

/// A client that sends its body slowly delays no other one, and its action happens once.
pub(super) async fn slow_client(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let case = service.case(record);
    let body = case.body(Contents::Usual, &case.values(1)).map(|body| body.to_string().into_bytes());
    let Some(body) = body else { return Err(Broken::Skipped("the action has no body".to_owned())) };
    let length = body.len();
    let (half_sent, is_half_sent) = oneshot::channel();
    let (resume, resumed) = oneshot::channel::<()>();
    let slow = case.act_in_pieces(slowly(body, half_sent, resumed.map(drop).boxed().shared()), length);
    let other = async {
        let _ = timeout(service.plan.timeout, is_half_sent).await;
        let mut answered = Ok(());
        for wait in BESIDE {
            sleep(wait).await;
            answered = Case::done(service, record).await.map(drop);
            if answered.is_err() {
                break;
            }
        }
        // Fails only if the slow client has ended.
        let _ = resume.send(());
        answered
    };
    let (_, other) = futures::join!(slow, other);
    other.map_err(|broken| match broken {
        Broken::Violated(reason) => Broken::Violated(format!("beside a slow client: {reason}")),
        skipped @ Broken::Skipped(_) => skipped,
    })?;
    // A participant may give a slow client up; the repeat counts.
    settled_once(&case).await
}

/// Sends the first half, then waits until it may resume, and sends the rest in pieces.
fn slowly(
    body: Vec<u8>,
    half_sent: oneshot::Sender<()>,
    resumed: Shared<BoxFuture<'static, ()>>,
) -> impl futures::Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static {
    let (first, rest) = body.split_at(body.len() / 2);
    let size = rest.len().div_ceil(PIECES).max(1);
    let pieces = std::iter::once(first.to_vec()).chain(rest.chunks(size).map(<[u8]>::to_vec));
    let pieces: Vec<Vec<u8>> = pieces.collect();
    stream::unfold((pieces.into_iter(), Some(half_sent), false), move |(mut pieces, half_sent, has_begun)| {
        let resumed = resumed.clone();
        async move {
            if has_begun {
                if let Some(half_sent) = half_sent {
                    let _ = half_sent.send(());
                }
                resumed.await;
                sleep(PAUSE).await;
                let piece = pieces.next()?;
                return Some((Ok(piece), (pieces, None, true)));
            }
            let piece = pieces.next()?;
            Some((Ok(piece), (pieces, half_sent, true)))
        }
    })
}

/// A request whose connection is cut happens once, when it is repeated.
pub(super) async fn cut_client(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    for part in [Part::Half, Part::Whole] {
        for after in CUTS {
            record.clear();
            let case = service.case(record);
            case.act_and_cut(part, after).await;
            settled_once(&case).await?;
        }
    }
    for after in CUTS {
        record.clear();
        let (case, _) = Case::done(service, record).await?;
        case.undo_and_cut(after).await;
        case.undo().await.confirms(FOUND_DONE)?;
        case.expect_never_again().await?;
    }
    Ok(())
}

/// Checks that repeats of an action get one decision, with one effect if it is done.
async fn settled_once(case: &Case<'_>) -> Result<(), Broken> {
    let first = case.act().await;
    let decision = first.decision()?;
    case.act().await.expect_same(&first)?;
    match (decision, case.service.plan.refusal.as_ref()) {
        (Decision::Done, _) => case.expect_effects(1).await,
        (Decision::Refused, Some(super::plan::Refusal::Random { .. })) => case.expect_effects(0).await,
        (Decision::Refused, _) => Ok(first.expect(Decision::Done)?),
    }
}
