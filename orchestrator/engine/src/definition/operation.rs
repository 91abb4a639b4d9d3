//! A call to a participant, as a definition describes it: how its request is made, and how its reply is read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use smol_str::SmolStr;
use thiserror::Error;

use crate::SagaId;

/// The longest output of a step, in bytes of JSON: several times the longest id of our own participants.
const MAX_OUTPUT_BYTES: usize = 1_000;

/// The input of a saga: a JSON value that only its definition reads. It never changes during the saga.
pub type Input = Arc<Value>;

/// Outputs of the steps so far, by name (`product_id`, `payment_id` …).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Outputs(BTreeMap<SmolStr, Value>);

impl Outputs {
    /// Makes outputs with one value.
    pub fn one(name: impl Into<SmolStr>, value: impl Into<Value>) -> Outputs {
        Outputs(BTreeMap::from([(name.into(), value.into())]))
    }

    /// Returns the output of that name, if there is one.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// Returns the output of that name, if there is one and it is a text.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_str()
    }

    /// Returns names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&SmolStr, &Value)> {
        self.0.iter()
    }

    /// Tells whether the saga log can store them: at most 1,000 bytes a value, to keep rows small, and no NUL, which
    /// PostgreSQL refuses.
    pub fn fit_the_log(&self) -> bool {
        let length = |value: &Value| match value {
            Value::String(text) => text.len(),
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::Array(_) | Value::Object(_) => value.to_string().len(),
        };
        self.0.values().all(|value| length(value) <= MAX_OUTPUT_BYTES && !has_nul(value))
    }

    /// Adds the outputs of another step; they replace outputs of the same name.
    pub fn merge(&mut self, other: Outputs) {
        self.0.extend(other.0);
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
    }
}

impl FromIterator<(SmolStr, Value)> for Outputs {
    fn from_iter<T: IntoIterator<Item = (SmolStr, Value)>>(outputs: T) -> Outputs {
        Outputs(outputs.into_iter().collect())
    }
}

/// The data from which a step makes its request.
#[derive(Clone, Debug)]
pub struct Context {
    /// The saga's id, the key of every call.
    pub saga_id: SagaId,
    /// Number of the attempt, 1 for the first.
    pub attempt: u32,
    /// The input of the saga.
    pub input: Input,
    /// Outputs of earlier steps.
    pub outputs: Outputs,
}

/// The HTTP method of a request to a participant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `GET`.
    Get,
    /// `POST`.
    Post,
    /// `PUT`.
    Put,
    /// `PATCH`.
    Patch,
    /// `DELETE`.
    Delete,
}

/// A request to a participant, without its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The HTTP method.
    pub method: Method,
    /// Path and query, percent-encoded.
    pub path: String,
    /// The JSON body, if there is one.
    pub body: Option<String>,
    /// Additional headers, as names in lower case and values.
    pub headers: Vec<(SmolStr, String)>,
}

impl Request {
    /// Makes a request without additional headers.
    pub fn new(method: Method, path: impl Into<String>, body: Option<String>) -> Request {
        Request { method, path: path.into(), body, headers: Vec::new() }
    }
}

/// Makes a request from the saga's context. The error says which output of an earlier step makes it impossible: nothing
/// is sent then, and the step is unknown.
pub type MakeRequest = Arc<dyn Fn(&Context) -> Result<Request, String> + Send + Sync>;

/// Parses the outputs to keep from the body of a reply that says "done".
pub type ReadReply = Arc<dyn Fn(&Context, &[u8]) -> Result<Outputs, ReplyError> + Send + Sync>;

/// Why a reply with a good status confirms nothing.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReplyError {
    /// It is not the participant's answer to this saga: a proxy may have answered. Another attempt follows.
    #[error("{0}")]
    NotTheAnswer(String),
    /// It lacks an output that later steps need, and a repeated answer is the same: no further attempt follows.
    #[error("the answer has no {0}")]
    OutputMissing(String),
    /// Later steps would send another number than it has, and a repeated answer is the same: no further attempt follows.
    #[error("{0} is a number that cannot be carried exactly: the participant should return it as a string")]
    OutputInexact(String),
}

impl From<serde_json::Error> for ReplyError {
    fn from(error: serde_json::Error) -> ReplyError {
        ReplyError::NotTheAnswer(error.to_string())
    }
}

/// One operation of a participant.
#[derive(Clone)]
pub struct Operation {
    /// Its name at the participant, as in `[faults]`: `charge`, `refund` …
    pub name: SmolStr,
    /// Makes the request.
    pub request: MakeRequest,
    /// Parses the reply.
    pub read: ReadReply,
}

impl Operation {
    /// Makes an operation of two functions.
    pub fn new<R: Into<ReplyError>>(
        name: impl Into<SmolStr>,
        request: impl Fn(&Context) -> Request + Send + Sync + 'static,
        read: impl Fn(&Context, &[u8]) -> Result<Outputs, R> + Send + Sync + 'static,
    ) -> Operation {
        let request = move |context: &Context| Ok(request(context));
        let read = move |context: &Context, body: &[u8]| read(context, body).map_err(Into::into);
        Operation { name: name.into(), request: Arc::new(request), read: Arc::new(read) }
    }
}

impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Operation").field(&self.name).finish()
    }
}

/// Returns participant and operation: `payments.refund`.
pub fn full_name(participant: &str, operation: &str) -> String {
    format!("{participant}.{operation}")
}
