//! One connection, from its first byte to its last.

use std::{error::Error, pin::pin, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::Utc;
use http_body_util::BodyExt;
use hyper::{
    Request, StatusCode, Version,
    body::{Body, Incoming},
    header::{CONNECTION, DATE, HeaderValue},
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::debug;
use warp::filters::BoxedFilter;

use super::{
    answer::{Answer, AtWork},
    calls::{self, Calls},
    line::{Line, Overdue, Refusal},
    places::Accepted,
    wire::Wire,
};
use crate::http::{
    Response,
    client::{Peer, Room},
    front::RequestPipeline,
    head::{self, Arrived},
    transport_faults::{CutConnection, LostReply},
};

/// How long a stop waits for a last request on an HTTP/1 connection: it may be in transit, and a client cut off then cannot
/// know its outcome. A proxy answers 502 in that case.
const LAST_REQUEST_TIME: Duration = Duration::from_millis(500);

/// How long a connection told to end may take to notify its client.
pub(super) const GOODBYE_TIME: Duration = Duration::from_millis(200);

/// How long the server reads on after refusing a client that is still sending: a client cut off may never see the
/// answer.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// How many bytes are read meanwhile.
const LINGER_BYTES: u64 = 16 * 1024 * 1024;

/// State shared by all connections of a server.
#[derive(Clone)]
pub(super) struct Connections {
    pub(super) service: &'static str,
    pub(super) protocol: Arc<auto::Builder<TokioExecutor>>,
    pub(super) pipeline: Arc<RequestPipeline>,
    pub(super) routes: BoxedFilter<(Response,)>,
    /// Cancelled when no further requests are accepted.
    pub(super) drain: CancellationToken,
    /// Cancelled when all connections must end.
    pub(super) cut: CancellationToken,
}

/// How HTTP ended on a connection.
enum Ended {
    /// Normally, or broken off by the client, or by hyper because of the client's bytes.
    ByItself(Result<(), Box<dyn Error + Send + Sync>>),
    /// By a time limit.
    Overdue(Overdue),
    /// By this server.
    Cut,
}

impl Connections {
    pub(super) async fn serve(self, Accepted { stream, peer, line, place }: Accepted) {
        let _place = place;
        let ended = self.speak_http(stream, peer, &line).await;
        let unsaid = match (&ended, line.refusal()) {
            (Ended::ByItself(_), Refusal::Unsaid(status)) => Some(status),
            (Ended::ByItself(Err(error)), Refusal::None) if is_half_a_head(&**error) => Some(StatusCode::BAD_REQUEST),
            (Ended::Overdue(Overdue::Head), _) => Some(StatusCode::REQUEST_TIMEOUT),
            (Ended::ByItself(_) | Ended::Overdue(_) | Ended::Cut, _) => None,
        };
        let Some(mut stream) = line.take_stream() else { return };
        if let (Some(status), Some(head)) = (unsaid, line.take_head())
            && (line.refusal() != Refusal::None || !head.is_empty())
        {
            let answer = self.refusal(&head, status).await;
            let _ = timeout(GOODBYE_TIME, stream.write_all(&answer)).await;
            linger(&mut stream).await;
        } else if line.refusal() == Refusal::Said {
            linger(&mut stream).await;
        } else if let Ended::Overdue(Overdue::Write) = ended {
            // Otherwise the kernel would keep data that the client does not read.
            let _ = stream.set_zero_linger();
        }
    }

    async fn speak_http(&self, stream: TcpStream, peer: Peer, line: &Arc<Line>) -> Ended {
        let io = TokioIo::new(Wire::new(stream, line.clone()));
        let (pipeline, routes) = (self.pipeline.clone(), self.routes.clone());
        let asked = Asked { pipeline, routes, peer, line: line.clone(), drain: self.drain.clone() };
        let answer = service_fn(move |request: Request<Incoming>| asked.answer(request));
        let mut connection = pin!(self.protocol.serve_connection(io, answer));
        let goodbye = tokio::select! {
            biased;
            () = self.cut.cancelled() => return Ended::Cut,
            () = line.cut.notified() => return Ended::Cut,
            () = told_to_end(&self.drain, line) => None,
            () = line.last.notified() => None,
            overdue = line.overdue() => match overdue {
                Overdue::Idle => Some(GOODBYE_TIME),
                Overdue::Head | Overdue::Write => return Ended::Overdue(overdue),
            },
            ended = connection.as_mut() => return self.by_itself(ended),
        };
        connection.as_mut().graceful_shutdown();
        if let Some(time) = goodbye {
            if let Ok(ended) = timeout(time, connection.as_mut()).await {
                return self.by_itself(ended);
            }
            // A request may have crossed the goodbye; then the connection lives until it is answered.
            if !line.is_at_work() {
                return Ended::Cut;
            }
        }
        tokio::select! {
            biased;
            () = self.cut.cancelled() => Ended::Cut,
            () = line.cut.notified() => Ended::Cut,
            overdue = line.overdue() => Ended::Overdue(overdue),
            ended = connection.as_mut() => self.by_itself(ended),
        }
    }

    /// Clients often break connections off, so this is logged at debug level.
    fn by_itself(&self, ended: Result<(), Box<dyn Error + Send + Sync>>) -> Ended {
        if let Err(error) = &ended {
            debug!(service = self.service, error, "a connection ended with an error");
        }
        Ended::ByItself(ended)
    }

    /// Writes the answer to a head that hyper refused.
    async fn refusal(&self, head: &[u8], status: StatusCode) -> Vec<u8> {
        let (parts, body) = self.pipeline.refuse_head(head::explain(head, status)).into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let (status, reason) = (parts.status.as_u16(), parts.status.canonical_reason().unwrap_or_default());
        let date = Utc::now().format("%a, %d %b %Y %H:%M:%S GMT");
        let mut answer =
            format!("HTTP/1.1 {status} {reason}\r\n{CONNECTION}: close\r\n{DATE}: {date}\r\n").into_bytes();
        for (name, value) in &parts.headers {
            answer.extend_from_slice(&[name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
        }
        answer.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        answer.extend_from_slice(&body);
        answer
    }
}

/// State shared by the requests of a connection.
struct Asked {
    pipeline: Arc<RequestPipeline>,
    routes: BoxedFilter<(Response,)>,
    peer: Peer,
    line: Arc<Line>,
    drain: CancellationToken,
}

impl Asked {
    fn answer(
        &self,
        mut request: Request<Incoming>,
    ) -> impl Future<Output = Result<hyper::Response<Answer<impl WarpBody + use<>>>, NoAnswer>> + Send + use<> {
        let (peer, line, version) = (self.peer, self.line.clone(), request.version());
        let at_work = AtWork::begin(line.clone(), version);
        let authority = request.uri().authority().cloned();
        request.extensions_mut().insert(Arrived { peer, version, authority });
        let refused = self.pipeline.check_head(&request);
        let stream = calls::opened_by(&request, &self.pipeline, peer);
        let (pipeline, drain) = (self.pipeline.clone(), self.drain.clone());
        let announcing = self.pipeline.clone();
        let mut routes = warp::service(self.routes.clone());
        async move {
            let (mut response, ending) = match (refused, stream) {
                (None, Some(max_running)) => {
                    (Calls::answer(pipeline, peer, line.clone(), drain, max_running, request), Ending::Open)
                }
                (None, None) => {
                    let Ok(response) = routes.call(request).await;
                    // A load balancer that forwards connections, such as kube-proxy, takes none away from a service that
                    // stops. So they end before it accepts no more work; HTTP/2 tells its clients at that moment.
                    let is_leaving = version != Version::HTTP_2 && announcing.stop_is_announced();
                    let is_last = peer.room == Room::Reserved || is_leaving || line.ends_with_next_answer();
                    (response, if is_last { Ending::Last } else { Ending::Open })
                }
                (Some(response), _) => (response, Ending::Refused),
            };
            match (ending, version) {
                (Ending::Open, _) | (Ending::Refused, Version::HTTP_2) => {}
                (Ending::Last, Version::HTTP_2) => line.last.notify_one(),
                (Ending::Last | Ending::Refused, _) => {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    if ending == Ending::Refused {
                        line.refuse();
                    }
                }
            }
            deliver(response, at_work, &line)
        }
    }
}

/// The state of a connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// More requests.
    Open,
    /// The end: the connection was accepted beyond a limit, or the service stops or, with HTTP/1, will soon.
    Last,
    /// The end with HTTP/1: the start of the next request is unknown.
    Refused,
}

/// Delivers an answer, unless it is marked as lost. An error instead of an answer resets an HTTP/2 stream, and closes
/// an HTTP/1.1 connection.
fn deliver(
    response: Response,
    at_work: AtWork,
    line: &Line,
) -> Result<hyper::Response<Answer<impl WarpBody + use<>>>, NoAnswer> {
    let marks = response.extensions();
    if marks.get::<CutConnection>().is_some() {
        line.cut.notify_one();
        return Err(NoAnswer);
    }
    if marks.get::<LostReply>().is_some() {
        return Err(NoAnswer);
    }
    let (parts, body) = response.into_parts();
    let body = Answer::new(body, &parts.headers, at_work);
    Ok(hyper::Response::from_parts(parts, body))
}

/// The body of warp's answers, a type without a name.
trait WarpBody: Body<Data = Bytes, Error = warp::Error> + Send + Unpin + 'static {}

impl<B: Body<Data = Bytes, Error = warp::Error> + Send + Unpin + 'static> WarpBody for B {}

/// Completes at a stop. With HTTP/1 a request in transit gets time to arrive, and its answer ends the connection; HTTP/2
/// itself tells the client which requests were not taken.
async fn told_to_end(drain: &CancellationToken, line: &Line) {
    drain.cancelled().await;
    line.end_with_next_answer();
    if !line.speaks_http2() {
        sleep(LAST_REQUEST_TIME).await;
    }
}

/// Returns whether the client closed its side in the middle of a message.
fn is_half_a_head(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<hyper::Error>().is_some_and(|error| error.is_incomplete_message() || error.is_parse())
}

/// Reads the rest of a client's data, within limits, while its answer is in transit.
async fn linger(stream: &mut TcpStream) {
    let read_on = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
    };
    let _ = timeout(LINGER_TIME, read_on).await;
}

/// Returned to hyper instead of an answer that must get lost.
#[derive(Debug, thiserror::Error)]
#[error("the answer is lost (simulated)")]
struct NoAnswer;
