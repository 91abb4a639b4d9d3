//! The orchestrator's HTTP API, for the commands that are its clients.
//!
//! Amounts keep the text of the answer ([`RawValue`]) and are never parsed as binary numbers: 99.90 stays 99.90.

use std::{fs, time::Duration};

use chrono::{DateTime, Utc};
use clap::Args;
use common::{config::check_token, http::read_answer};
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url, header::HeaderMap};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};

use crate::{
    ending::Failure,
    output::{self, Format, OutputFormat, View, printable},
    way,
};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Longer than an orchestrator lets a client wait for the end of a saga.
const TIMEOUT: Duration = Duration::from_secs(300);
/// Time limit for an orchestrator to open a stream.
const OPEN_TIMEOUT: Duration = Duration::from_secs(30);

/// Pause between two attempts to connect.
const CONNECT_AGAIN_AFTER: Duration = Duration::from_millis(250);

/// Heading of the options that choose the orchestrator.
const HEADING: &str = "Orchestrator";

/// The orchestrator to call, and the format of its answers.
#[derive(Args)]
pub(crate) struct Target {
    /// Address of the orchestrator: http:// or https://, with the path of a proxy if it has one. SSL_CERT_FILE names a
    /// file with a CA of your own
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8000", env = "ECOMMERCE_TARGET")]
    #[arg(value_parser = way::address, help_heading = HEADING)]
    target: Url,
    /// Bearer token, if the orchestrator requires one: the API token, or the operator token for operator commands
    #[arg(long, env = "ECOMMERCE_API_TOKEN", hide_env_values = true, help_heading = HEADING)]
    token: Option<String>,
    /// File with that token
    #[arg(long, value_name = "FILE", env = "ECOMMERCE_API_TOKEN_FILE", value_parser = read_token)]
    #[arg(help_heading = HEADING)]
    token_file: Option<TokenFile>,
    /// Seconds to try again while no connection is made. A pod is often refused until network policies know its address
    #[arg(long, value_name = "SECONDS", default_value = "0", env = "ECOMMERCE_CONNECT_PATIENCE", hide = true)]
    #[arg(value_parser = clap::value_parser!(u16).range(..=3600), help_heading = HEADING)]
    connect_patience: u16,
    #[command(flatten)]
    pub(crate) output: OutputFormat,
}

/// A token that was read from a file; empty if no file is named.
#[derive(Clone)]
struct TokenFile(String);

fn read_token(file: &str) -> Result<TokenFile, String> {
    match file {
        "" => Ok(TokenFile(String::new())),
        file => match fs::read_to_string(file) {
            Ok(token) if token.trim().is_empty() => Err("it is empty, expected a token in it".to_owned()),
            Ok(token) => Ok(TokenFile(token)),
            Err(error) => Err(format!("it cannot be read: {error}")),
        },
    }
}

/// An answer with any status.
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
    url: Url,
    /// Time of day of the server; `None` if it does not send one.
    date: Option<DateTime<Utc>>,
}

/// The reason why no stream was opened.
pub(crate) enum NotOpened {
    /// No request could be sent, or no server answers.
    Unreachable(Failure),
    /// The server answered with an error.
    Refused(StatusCode, Failure),
}

impl Target {
    /// Makes the URL of a path below the target, which may have a path itself (behind a proxy).
    pub(crate) fn url(&self, segments: &[&str]) -> Result<Url, Failure> {
        let mut url = self.target.clone();
        let no_path = |()| Failure::Usage(format!("--target {}: it cannot have a path", self.target));
        url.path_segments_mut().map_err(no_path)?.pop_if_empty().extend(segments);
        Ok(url)
    }

    /// Returns the token to send, if any, without the trailing newline that files of secrets have.
    ///
    /// It is checked here rather than when the flag is parsed, since clap's error would show it.
    pub(crate) fn bearer(&self) -> Result<Option<&str>, Failure> {
        const FLAG: &str = "--token (ECOMMERCE_API_TOKEN)";
        const FILE: &str = "--token-file (ECOMMERCE_API_TOKEN_FILE)";
        let given = |token: &&str| !token.is_empty();
        let of_flag = self.token.as_deref().map(str::trim_end).filter(given);
        let of_file = self.token_file.as_ref().map(|file| file.0.trim_end()).filter(given);
        let (name, token) = match (of_flag, of_file) {
            (None, None) => return Ok(None),
            (Some(_), Some(_)) => {
                return Err(Failure::Usage(format!("{FLAG} and {FILE} are both given: give one of them")));
            }
            (Some(token), None) => (FLAG, token),
            (None, Some(token)) => (FILE, token),
        };
        check_token(token).map_err(|message| Failure::Usage(format!("{name} {message}")))?;
        Ok(Some(token))
    }

    /// Returns how long to try again while no connection is made.
    pub(crate) fn connect_patience(&self) -> Duration {
        Duration::from_secs(self.connect_patience.into())
    }

    /// Sends a request and returns the answer, whatever its status.
    pub(crate) async fn ask(&self, method: Method, url: Url, body: Option<String>) -> Result<Answer, Failure> {
        self.ask_with(method, url, body, HeaderMap::new()).await
    }

    /// As [`Target::ask`], with headers.
    pub(crate) async fn ask_with(
        &self,
        method: Method,
        url: Url,
        body: Option<String>,
        headers: HeaderMap,
    ) -> Result<Answer, Failure> {
        let client = way::to(&url)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TIMEOUT)
            .build()
            .map_err(|error| Failure::broken("no HTTP client", &error))?;
        let mut request = client.request(method, url.clone()).headers(headers);
        if let Some(token) = self.bearer()? {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body);
        }
        let sent = send(request, self.connect_patience()).await;
        let response = sent.map_err(|error| unreachable(&url, error))?;
        let (status, date) = (response.status(), date(&response));
        let body = text_of(response).await.map_err(|reason| no_answer(&url, &reason))?;
        Ok(Answer { status, body, url, date })
    }

    /// Opens a stream of the events after `last_id`. It has no time limit.
    pub(crate) async fn open(&self, url: Url, last_id: Option<&str>) -> Result<Response, NotOpened> {
        let client = way::to(&url).connect_timeout(CONNECT_TIMEOUT).build();
        let client = client.map_err(|error| NotOpened::Unreachable(Failure::broken("no HTTP client", &error)))?;
        let mut request = client.get(url.clone()).header("accept", "text/event-stream");
        if let Some(token) = self.bearer().map_err(NotOpened::Unreachable)? {
            request = request.bearer_auth(token);
        }
        if let Some(id) = last_id {
            request = request.header("last-event-id", id);
        }
        // The timeout bounds only the opening.
        let sent = tokio::time::timeout(OPEN_TIMEOUT, send(request, self.connect_patience())).await;
        let sent = sent.map_err(|_| NotOpened::Unreachable(silent(&url)))?;
        let response = sent.map_err(|error| NotOpened::Unreachable(unreachable(&url, error)))?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response);
        }
        let date = date(&response);
        let body = text_of(response).await.unwrap_or_default();
        Err(NotOpened::Refused(status, Answer { status, body, url, date }.into_failure()))
    }

    /// Reads a resource; any answer but 200 is a failure.
    pub(crate) async fn get(&self, url: Url) -> Result<Answer, Failure> {
        let answer = self.ask(Method::GET, url, None).await?;
        match answer.status {
            StatusCode::OK => Ok(answer),
            _ => Err(answer.into_failure()),
        }
    }
}

/// The part of a list to request.
#[derive(Args)]
pub(crate) struct Part {
    /// Maximum number of rows
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Cursor printed by the previous list
    #[arg(long)]
    cursor: Option<String>,
}

impl Part {
    /// Adds limit, cursor and the filters that are given to a URL.
    pub(crate) fn add_to<const N: usize>(&self, url: &mut Url, filters: [(&str, Option<String>); N]) {
        let mut query = url.query_pairs_mut();
        query.append_pair("limit", &self.limit.to_string());
        for (name, value) in [("cursor", self.cursor.clone())].into_iter().chain(filters) {
            if let Some(value) = value {
                query.append_pair(name, &value);
            }
        }
    }
}

/// A page of a list, as received.
#[derive(Deserialize)]
pub(crate) struct Page<T> {
    pub(crate) total: u64,
    /// Absent if the total is exact.
    total_is_exact: Option<bool>,
    #[serde(alias = "transactions", alias = "sagas")]
    pub(crate) rows: Vec<T>,
    next_cursor: Option<String>,
}

impl<T> Page<T> {
    /// Describes the size of this page and how to get the next one.
    pub(crate) fn extent(&self) -> String {
        let more = self.next_cursor.as_ref();
        let more = more.map_or_else(String::new, |cursor| format!("; more with --cursor {}", printable(cursor)));
        let about = if self.total_is_exact == Some(false) { "about " } else { "" };
        format!("{} of {about}{}{more}", self.rows.len(), self.total)
    }
}

impl Answer {
    /// Prints the answer: its document for machines, formatted by `shown` for people. It must be valid in either case.
    pub(crate) fn print<T: DeserializeOwned>(
        self,
        format: Format,
        shown: impl FnOnce(T, &View) -> String,
    ) -> Result<(), Failure> {
        let body: T = self.read()?;
        if format.is_document() {
            format.print(&self.body)?
        } else {
            output::print(&shown(body, &self.view(format)))?
        };
        Ok(())
    }

    /// Returns the view of a format at the server's time of day.
    pub(crate) fn view(&self, format: Format) -> View {
        View { format, now: self.now() }
    }

    /// Returns the server's time of day, to the second.
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.date.unwrap_or_else(Utc::now)
    }

    /// Parses the body.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        serde_json::from_str(&self.body).map_err(|_| {
            let body = match serde_json::from_str::<IgnoredAny>(&self.body) {
                Ok(_) => "JSON of another kind",
                Err(_) => "something that is not JSON",
            };
            let (url, proxy, status) = (&self.url, way::proxy(&self.url), self.status.as_u16());
            Failure::Broken(format!("{url}{proxy} answered {status} with {body}: is --target an orchestrator?"))
        })
    }

    /// Returns the wrong fields of an error answer, each with what is wrong, without control characters.
    pub(crate) fn field_errors(&self) -> Vec<(String, String)> {
        let problem: Problem = serde_json::from_str(&self.body).unwrap_or_default();
        problem.errors.into_iter().map(|error| (printable(&error.field), printable(&error.message))).collect()
    }

    /// Returns the detail of an error answer, without control characters.
    pub(crate) fn detail(&self) -> Option<String> {
        let problem: Problem = serde_json::from_str(&self.body).unwrap_or_default();
        problem.detail.map(|detail| printable(&detail))
    }

    /// Makes a failure of an error answer: RFC 9457, or any body of a proxy.
    pub(crate) fn into_failure(self) -> Failure {
        let status = self.status.as_u16();
        let problem: Problem = serde_json::from_str(&self.body).unwrap_or_default();
        let mut reason = problem
            .detail
            .or(problem.title)
            .unwrap_or_else(|| self.status.canonical_reason().unwrap_or("no reason given").to_owned());
        for error in problem.errors {
            // The detail repeats the first error.
            if !reason.contains(&format!("{} {}", error.field, error.message)) {
                reason.push_str(&format!("; {}: {}", error.field, error.message));
            }
        }
        if let Some(id) = problem.transaction_id {
            reason.push_str(&format!("; `ecommerce status {id}` shows its outcome"));
        }
        // An unknown id has a detail of its own; an unknown path suggests a wrong target.
        if status == 404 && reason.starts_with("there is no path") {
            reason.push_str("; is --target an orchestrator?");
        }
        if let Some(advice) = advice(status) {
            reason.push_str(&format!("; {advice}"));
        }
        let line = printable(&format!("{}{} answered {status}: {reason}", self.url, way::proxy(&self.url)));
        Failure::Answered { line, status, problem: serde_json::from_str(&self.body).ok() }
    }
}

/// Advice on an error that its own text does not contain.
fn advice(status: u16) -> Option<&'static str> {
    match status {
        401 => Some("give the token with --token or ECOMMERCE_API_TOKEN"),
        403 => Some("is it the right token (--token, ECOMMERCE_API_TOKEN)? Operator commands need the operator token"),
        429 | 503 => Some("nothing is lost; try again in a moment"),
        _ => None,
    }
}

/// The fields of RFC 9457 that are shown.
#[derive(Default, Deserialize)]
struct Problem {
    title: Option<String>,
    detail: Option<String>,
    #[serde(default)]
    errors: Vec<FieldProblem>,
    transaction_id: Option<String>,
}

#[derive(Deserialize)]
struct FieldProblem {
    field: String,
    message: String,
}

/// Sends a request. While no connection is made nothing was sent, so it tries again until the patience ends.
pub(crate) async fn send(mut request: RequestBuilder, patience: Duration) -> reqwest::Result<Response> {
    let begun = Instant::now();
    loop {
        let again = request.try_clone();
        match (request.send().await, again) {
            (Err(error), Some(again)) if error.is_connect() && begun.elapsed() < patience => request = again,
            (sent, _) => return sent,
        }
        sleep(CONNECT_AGAIN_AFTER).await;
    }
}

/// Returns the time of day in the header of an answer.
fn date(response: &Response) -> Option<DateTime<Utc>> {
    let date = response.headers().get("date")?.to_str().ok()?;
    DateTime::parse_from_rfc2822(date).ok().map(|date| date.to_utc())
}

/// Returns the text of a number or string as received, without quotes.
pub(crate) fn exact(value: &RawValue) -> &str {
    value.get().trim_matches('"')
}

/// Returns a value as text: a string without its quotes and escapes, anything else as received.
pub(crate) fn readable(value: &RawValue) -> String {
    serde_json::from_str::<String>(value.get()).unwrap_or_else(|_| value.get().to_owned())
}

/// Reads the body of an answer.
pub(crate) async fn text_of(response: Response) -> Result<String, String> {
    let body = read_answer(reqwest::Body::from(response)).await?;
    Ok(String::from_utf8_lossy(&body).into_owned())
}

fn unreachable(url: &Url, error: reqwest::Error) -> Failure {
    let mut reason = innermost(&error.without_url());
    if reason.contains("certificate") {
        reason.push_str("; SSL_CERT_FILE names a file with a CA of your own");
    }
    no_answer(url, &reason)
}

fn silent(url: &Url) -> Failure {
    no_answer(url, &format!("no response within {} s", OPEN_TIMEOUT.as_secs()))
}

fn no_answer(url: &Url, reason: &str) -> Failure {
    let proxy = way::proxy(url);
    Failure::Unreachable(format!(
        "no answer from {url}{proxy}: {reason}; is it running (`ecommerce up`), is --target right?"
    ))
}

/// Returns the innermost cause: "Connection refused" rather than "error sending request".
pub(crate) fn innermost(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(cause) = error.source() {
        error = cause;
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpSocket,
    };

    use super::*;

    #[tokio::test]
    async fn a_refused_connection_is_tried_again_while_the_patience_lasts() {
        // Bound, but not listening: connections are refused.
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("http://{}/", socket.local_addr().unwrap());
        let client = way::straight().build().unwrap();
        let refused = send(client.get(&url), Duration::ZERO).await.unwrap_err();
        assert!(refused.is_connect(), "{refused}");

        let patient = tokio::spawn(send(client.post(&url).body("once"), Duration::from_secs(60)));
        let listener = socket.listen(1).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"once") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert_eq!(patient.await.unwrap().unwrap().status(), StatusCode::OK);
    }
}
