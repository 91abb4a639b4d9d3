//! A service with branches: it notes every call and answers as the test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tests::PATIENCE;
use tests::wait_until;
use tokio::task::JoinHandle;
use warp::Filter;
use warp::http::{HeaderMap, Method, Response, StatusCode};

/// One call as the service got it.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

/// An answer, after a while.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: &'static str,
    pub(crate) after: Duration,
}

/// 200 at once.
pub(crate) const DONE: Reply = Reply { status: 200, body: r#"{"dtm_result":"SUCCESS"}"#, after: Duration::ZERO };
pub(crate) const REFUSED: Reply = Reply { status: 409, body: r#"{"dtm_result":"FAILURE"}"#, after: Duration::ZERO };
pub(crate) const ONGOING: Reply = Reply { status: 425, body: "", after: Duration::ZERO };
pub(crate) const BROKEN: Reply = Reply { status: 500, body: "", after: Duration::ZERO };

#[derive(Default)]
struct State {
    seen: Vec<Received>,
    /// Answers by path; the last one stays.
    answers: BTreeMap<String, Vec<Reply>>,
}

/// The service.
pub(crate) struct Branches {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    server: JoinHandle<()>,
}

impl Branches {
    pub(crate) async fn start() -> Branches {
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        let query = warp::query::raw().or(warp::any().map(String::new)).unify();
        let routes = warp::method()
            .and(warp::path::full())
            .and(query)
            .and(warp::header::headers_cloned())
            .and(warp::body::bytes())
            .then(move |method, path: warp::path::FullPath, query: String, headers, body: bytes::Bytes| {
                let state = shared.clone();
                async move {
                    let said = {
                        let mut state = state.lock().expect("no test panics with it");
                        let body = String::from_utf8_lossy(&body).into_owned();
                        let full = format!("{}?{query}", path.as_str());
                        state.seen.push(Received { method, path: full, headers, body });
                        match state.answers.get_mut(path.as_str()) {
                            Some(answers) if answers.len() > 1 => answers.remove(0),
                            Some(answers) => answers[0].clone(),
                            None => DONE,
                        }
                    };
                    tokio::time::sleep(said.after).await;
                    Response::builder()
                        .status(StatusCode::from_u16(said.status).expect("a status"))
                        .header("location", "http://127.0.0.1:9/")
                        .body(said.body)
                        .expect("an answer")
                }
            });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = tokio::spawn(warp::serve(routes).incoming(listener).run());
        Branches { address, state, server }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Sets the answers of a path: each once, and the last one from then on.
    pub(crate) fn answer(&self, path: &str, answers: &[Reply]) {
        self.state.lock().expect("no test panics with it").answers.insert(path.to_owned(), answers.to_vec());
    }

    pub(crate) fn seen(&self) -> Vec<Received> {
        self.state.lock().expect("no test panics with it").seen.clone()
    }

    /// Returns the paths of all calls, without their queries.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.seen().iter().map(|seen| seen.path.split('?').next().unwrap_or_default().to_owned()).collect()
    }

    pub(crate) fn count(&self, path: &str) -> usize {
        self.paths().iter().filter(|seen| *seen == path).count()
    }

    /// Waits until a path was called this often.
    pub(crate) async fn called(&self, path: &str, times: usize) {
        wait_until(&format!("{path} is called {times} times"), PATIENCE, async || {
            (self.count(path) >= times).then_some(())
        })
        .await;
    }
}

impl Drop for Branches {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// Returns the branches of a query as texts: `compensate 01 prepared` …
pub(crate) fn shown(found: &Value) -> Vec<String> {
    let one = |branch: &Value| {
        let text = |name: &str| branch[name].as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", text("op"), text("branch_id"), text("status"))
    };
    found["branches"].as_array().unwrap_or(&vec![json!(null)]).iter().map(one).collect()
}
