//! Calls as messages on one stream.

use std::{collections::HashMap, convert::Infallible};

use bytes::{Bytes, BytesMut};
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Frame, Incoming},
    client::conn::http2,
    header::{HeaderName, HeaderValue},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{sync::mpsc, time::timeout};

use super::kit::{RequestPipeline, SOON, Server, front, routes, settings, undescribed};
use crate::{
    config::Settings,
    http::{
        Access, HttpService, Routes,
        calls::{CallAnswer, LAST, LOST, MEDIA_TYPE, Messages, OutgoingRequest, PATH},
        json,
    },
};

type Requests = mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>;

/// The client of a stream.
struct Stream {
    requests: Requests,
    answers: Incoming,
    messages: Messages,
    seen: HashMap<u64, CallAnswer>,
}

/// Opens a stream, and returns the answer to its request.
async fn open(server: &Server) -> (Requests, Response<Incoming>) {
    let (requests, mut queue) = mpsc::unbounded_channel();
    let body = StreamBody::new(stream::poll_fn(move |context| queue.poll_recv(context)));
    let io = TokioIo::new(server.connect().await);
    let (mut sender, connection) = http2::handshake(TokioExecutor::new(), io).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://{}{PATH}", server.address)).body(body).unwrap();
    (requests, timeout(SOON, sender.send_request(request)).await.unwrap().unwrap())
}

impl Stream {
    async fn to(server: &Server) -> Self {
        let (requests, response) = open(server).await;
        assert_eq!(
            (response.status(), response.headers()["content-type"].to_str().unwrap()),
            (StatusCode::OK, MEDIA_TYPE)
        );
        Self { requests, answers: response.into_body(), messages: Messages::up_to(1 << 20), seen: HashMap::new() }
    }

    fn send(&self, id: u64, method: &Method, path: &str, headers: &[(&'static str, &'static str)], body: &str) {
        let headers = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let (method, target) = (method.clone(), path.parse().unwrap());
        let mut out = BytesMut::new();
        OutgoingRequest { method, target, headers, body: Bytes::copy_from_slice(body.as_bytes()) }.put(id, &mut out);
        self.write(out.freeze());
    }

    fn post(&self, id: u64, path: &str) {
        self.send(id, &Method::POST, path, &[], "{}");
    }

    fn write(&self, bytes: Bytes) {
        let _ = self.requests.send(Ok(Frame::data(bytes)));
    }

    /// Reads the next part; `false` at the end.
    async fn read(&mut self) -> bool {
        match timeout(SOON, self.answers.frame()).await.expect("the stream goes on") {
            Some(Ok(frame)) => self.messages.push(frame.into_data().unwrap()),
            Some(Err(_)) | None => return false,
        }
        for message in self.messages.by_ref() {
            assert!(self.seen.insert(message.id, CallAnswer::read(message.rest).unwrap()).is_none());
        }
        true
    }

    async fn answer(&mut self, id: u64) -> CallAnswer {
        while !self.seen.contains_key(&id) {
            assert!(self.read().await, "the stream ended without the answer {id}");
        }
        self.seen.remove(&id).unwrap()
    }
}

async fn serving(change: impl FnOnce(&mut Settings)) -> Server {
    Server::start(front(routes(), settings(change))).await
}

#[tokio::test]
async fn calls_are_answered_out_of_order_with_what_a_request_of_their_own_gets() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(front(pipeline.routes(), settings(|_| {}))).await;
    let mut stream = Stream::to(&server).await;
    stream.post(1, "/slow/");
    pipeline.entered.notified().await;
    stream.send(2, &Method::POST, "/things/a%20b/?limit=3", &[("x-request-id", "mine")], "some text");
    let answer = stream.answer(2).await;
    assert_eq!((answer.status, answer.headers["x-request-id"].to_str().unwrap()), (200, "mine"));
    let shown: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(
        (&shown["params"]["name"], &shown["limit"], &shown["body"]),
        (&"a b".into(), &"3".into(), &"some text".into())
    );
    stream.send(3, &Method::GET, "/nothing/", &[], "");
    assert_eq!(stream.answer(3).await.status, 404);
    stream.send(4, &Method::GET, "/panic/", &[], "");
    assert_eq!(stream.answer(4).await.status, 500);
    pipeline.open.notify_one();
    assert_eq!(stream.answer(1).await.status, 200);
    // The client closes its side, and the server then its own.
    let Stream { requests, answers, .. } = stream;
    drop(requests);
    assert!(timeout(SOON, answers.collect()).await.unwrap().unwrap().to_bytes().is_empty());
    server.stop().await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_answered_413_and_the_stream_goes_on() {
    let server = serving(|settings| settings.http.body_limit_bytes = 100).await;
    let mut stream = Stream::to(&server).await;
    for (id, bytes, status) in [(1, 100, 200), (2, 101, 413), (3, 3_000_000, 413), (4, 1, 200)] {
        stream.send(id, &Method::POST, "/things/x/", &[], &"x".repeat(bytes));
        assert_eq!(stream.answer(id).await.status, status, "{bytes} bytes");
    }
    server.stop().await;
}

#[tokio::test]
async fn each_message_needs_the_token_and_names_no_other_client() {
    let guarded = Routes::new("test")
        .post("/guarded/", Access::Service, undescribed, async |_| Ok(json(StatusCode::OK, "in")))
        .post("/client/", Access::Public, undescribed, async |request: crate::http::Request| {
            Ok(json(StatusCode::OK, &request.client.map(|client| client.to_string())))
        });
    let settings = settings(|settings| {
        settings.auth.service_token = "a-token-of-services".to_owned().into();
        settings.http.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    });
    let server = Server::start(front(guarded, settings)).await;
    let mut stream = Stream::to(&server).await;
    stream.post(1, "/guarded/");
    assert_eq!(stream.answer(1).await.status, 401);
    stream.send(2, &Method::POST, "/guarded/", &[("authorization", "Bearer another-token")], "");
    assert_eq!(stream.answer(2).await.status, 403);
    stream.send(3, &Method::POST, "/guarded/", &[("authorization", "Bearer a-token-of-services")], "");
    assert_eq!(stream.answer(3).await.status, 200);
    stream.send(4, &Method::POST, "/client/", &[("x-forwarded-for", "9.9.9.9"), ("forwarded", "for=9.9.9.9")], "");
    assert_eq!(&stream.answer(4).await.body[..], br#""127.0.0.1""#);
    server.stop().await;
}

#[tokio::test]
async fn a_lost_reply_is_told_and_a_cut_ends_the_stream() {
    let server = serving(|_| {}).await;
    let mut stream = Stream::to(&server).await;
    stream.post(1, "/lost/");
    assert_eq!(stream.answer(1).await.status, LOST);
    stream.post(2, "/things/x/");
    assert_eq!(stream.answer(2).await.status, 200);
    stream.post(3, "/cut/");
    while stream.read().await {}
    assert!(stream.seen.is_empty(), "{:?}", stream.seen);
    server.stop().await;
}

#[tokio::test]
async fn a_stop_names_the_last_call_and_answers_it() {
    let pipeline = RequestPipeline::default();
    let server = Server::start(front(pipeline.routes(), settings(|_| {}))).await;
    let mut stream = Stream::to(&server).await;
    stream.post(7, "/slow/");
    pipeline.entered.notified().await;
    let (address, shutdown) = (server.address, server.shutdown.clone());
    shutdown.cancel();
    let last = stream.answer(7).await;
    assert_eq!(last.status, LAST);
    // It is not taken any more.
    stream.post(8, "/slow/");
    pipeline.open.notify_one();
    assert_eq!(stream.answer(7).await.status, 200);
    while stream.read().await {}
    assert!(stream.seen.is_empty(), "{:?}", stream.seen);
    timeout(SOON, server.serving).await.unwrap().unwrap();
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

struct Left(mpsc::UnboundedSender<&'static str>);

impl Drop for Left {
    fn drop(&mut self) {
        let _ = self.0.send("left");
    }
}

#[tokio::test]
async fn a_client_that_goes_ends_its_calls() {
    let (entered, mut left) = mpsc::unbounded_channel();
    let waiting = routes().post("/waits/", Access::Public, undescribed, move |_| {
        let entered = entered.clone();
        async move {
            let _ = entered.send("entered");
            // Dropped with the handler.
            let _left = Left(entered);
            std::future::pending().await
        }
    });
    let server = Server::start(front(waiting, settings(|_| {}))).await;
    let stream = Stream::to(&server).await;
    stream.post(1, "/waits/");
    assert_eq!(timeout(SOON, left.recv()).await.unwrap(), Some("entered"));
    drop(stream);
    assert_eq!(timeout(SOON, left.recv()).await.unwrap(), Some("left"));
    server.stop().await;
}

#[tokio::test]
async fn bytes_that_are_no_message_end_the_stream_alone() {
    let server = serving(|_| {}).await;
    for bytes in [&b"\0\0\0\x0c\0\0\0\0\0\0\0\x01\xff\xff\xff\xff"[..], b"\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n"] {
        let mut stream = Stream::to(&server).await;
        stream.write(Bytes::from_static(bytes));
        // Enough for what the length promises.
        stream.write(Bytes::from(vec![0; 2_000_000]));
        while stream.read().await {}
        assert!(stream.seen.is_empty());
    }
    let mut other = Stream::to(&server).await;
    other.post(1, "/things/x/");
    assert_eq!(other.answer(1).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn a_service_that_offers_no_stream_answers_404() {
    let server = Server::start(HttpService { calls: None, ..front(routes(), settings(|_| {})) }).await;
    assert_eq!(open(&server).await.1.status(), 404);
    server.stop().await;
}
