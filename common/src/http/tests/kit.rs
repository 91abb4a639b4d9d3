//! A small service and ways to call it.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::traces::Tracer;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Request as HttpRequest, client::conn::http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Notify,
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use warp::filters::BoxedFilter;

use crate::{
    config::{ConfigSource, Settings},
    http::{
        Access, Check, Draining, HealthCheck, HttpService, Request, Response, Routes, StatusCode, Transport,
        front as fronts, json, openapi::Description, serve, transport_faults,
    },
};

/// Longer than any step here takes.
pub(super) const SOON: Duration = Duration::from_secs(10);

/// Settings without faults, adapted by `change`.
pub(super) fn settings(change: impl FnOnce(&mut Settings)) -> Arc<Settings> {
    let mut settings = ConfigSource::embedded("bench").load().unwrap();
    change(&mut settings);
    Arc::new(settings)
}

pub(super) fn healthy() -> HealthCheck {
    Arc::new(|| Box::pin(async { Vec::<Check>::new() }))
}

/// Routes that show the request as the front passed it on.
pub(super) fn routes() -> Routes {
    let show = |request: Request| async move { Ok(shown(&request)) };
    Routes::new("test")
        .get("/things/{id}/", Access::Public, undescribed, show)
        .post("/things/{name}/", Access::Public, undescribed, show)
        .delete("/things/{id}/parts/{part}/", Access::Public, undescribed, show)
        .get("/files/{*path}", Access::Public, undescribed, show)
        .get("/", Access::Public, undescribed, show)
        .put("/fields/", Access::Public, undescribed, async |request: Request| {
            request.json_fields()?;
            Ok(json(StatusCode::OK, "fine"))
        })
        .get("/panic/", Access::Public, undescribed, async |_| panic!("a secret of the handler"))
        .post("/lost/", Access::Public, undescribed, async |_| Ok(transport_faults::lost_reply()))
        .post("/cut/", Access::Public, undescribed, async |_| Ok(transport_faults::cut_connection()))
}

/// For routes whose description is never read.
pub(super) fn undescribed() -> Description {
    Description::new("undescribed", "A route of a test")
}

fn shown(request: &Request) -> Response {
    let params: serde_json::Map<String, Value> =
        request.params.0.iter().map(|(place, value)| ((*place).to_owned(), value.as_str().into())).collect();
    let body = serde_json::json!({
        "method": request.method.as_str(),
        "path": request.path,
        "params": params,
        "limit": request.query.get("limit"),
        "body": String::from_utf8_lossy(&request.body),
        "prefix": request.prefix,
    });
    json(StatusCode::OK, &body)
}

/// A route that signals when it is entered, and answers when it is released.
#[derive(Clone, Default)]
pub(super) struct RequestPipeline {
    pub(super) entered: Arc<Notify>,
    pub(super) open: Arc<Notify>,
}

impl RequestPipeline {
    pub(super) fn routes(&self) -> Routes {
        let pipeline = self.clone();
        routes().post("/slow/", Access::Public, undescribed, move |_| {
            let pipeline = pipeline.clone();
            async move {
                pipeline.entered.notify_one();
                pipeline.open.notified().await;
                Ok(json(StatusCode::OK, "done"))
            }
        })
    }
}

pub(super) fn front(routes: Routes, settings: Arc<Settings>) -> HttpService {
    HttpService {
        service: "test",
        routes,
        settings,
        health: healthy(),
        draining: Draining::default(),
        tracer: Tracer::off(),
        calls: Some(Transport::network()),
    }
}

/// An answer with its complete body.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: hyper::HeaderMap,
    pub(super) body: Bytes,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Checks that an error is a problem with the right status, and returns it.
    pub(super) fn problem(&self) -> Value {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem = self.json();
        assert_eq!(problem["status"], self.status);
        for member in ["type", "title", "detail"] {
            assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{problem}");
        }
        problem
    }
}

/// Creates the filter of a front.
pub(super) fn filter(front: HttpService) -> BoxedFilter<(Response,)> {
    fronts::filter(Arc::new(fronts::RequestPipeline::of(front)))
}

/// Calls a front without a socket.
pub(super) async fn call(front: &HttpService, request: HttpRequest<Full<Bytes>>) -> Answer {
    let Ok(response) = warp::service(filter(front.clone())).oneshot(request).await;
    let (parts, body) = response.into_parts();
    Answer { status: parts.status.as_u16(), headers: parts.headers, body: body.collect().await.unwrap().to_bytes() }
}

pub(super) fn request(method: &str, path: &str, body: &'static str) -> HttpRequest<Full<Bytes>> {
    HttpRequest::builder().method(method).uri(path).body(Full::from(body)).unwrap()
}

/// A front on a free port.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) shutdown: CancellationToken,
    pub(super) serving: JoinHandle<()>,
}

impl Server {
    pub(super) async fn start(front: HttpService) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(serve(front, Arc::new(listener), shutdown.clone()));
        Self { address, shutdown, serving }
    }

    /// Stops the server and waits for its end.
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        tokio::time::timeout(SOON, self.serving).await.unwrap().unwrap();
    }

    pub(super) async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    /// Sends bytes on a new connection and reads until the server closes it.
    pub(super) async fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(bytes).await.unwrap();
        read_to_end(&mut stream).await
    }

    pub(super) async fn http2(&self) -> http2::SendRequest<Full<Bytes>> {
        let io = TokioIo::new(self.connect().await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    pub(super) fn post(&self, path: &str) -> HttpRequest<Full<Bytes>> {
        let uri = format!("http://{}{path}", self.address);
        HttpRequest::post(uri).body(Full::from("{}")).unwrap()
    }
}

/// Reads until the peer closes the connection, in any way.
pub(super) async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(SOON, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the server ends the connection");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads one answer and keeps the connection open.
pub(super) async fn read_answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let answer = async {
        loop {
            let text = String::from_utf8_lossy(&read).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.to_lowercase().split_once("content-length: ").map(|(_, rest)| rest.to_owned());
                let length: usize = length.map_or(0, |rest| rest.lines().next().unwrap().parse().unwrap());
                if body.len() >= length {
                    return text;
                }
            }
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).await.unwrap();
            assert!(count > 0, "the connection ended: {text:?}");
            read.extend_from_slice(&piece[..count]);
        }
    };
    tokio::time::timeout(SOON, answer).await.expect("an answer comes")
}
