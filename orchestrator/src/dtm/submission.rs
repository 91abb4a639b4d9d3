//! The checked submission of a client of DTM, which the row of the saga holds as its input.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::AllowedUrls;
use saga_engine::definition::MAX_STEPS;

/// The longest gid, in characters.
const MAX_GID: usize = 128;

/// The longest time that a client may give, in seconds: ten years. A longer one is a mistake of units.
const MAX_SECONDS: i64 = 10 * 365 * 86_400;

/// A saga as it was submitted, in the form of its row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Submission {
    pub(crate) gid: String,
    pub(crate) steps: Vec<Branch>,
    /// Whether branches run at once, as far as `orders` allows.
    pub(crate) concurrent: bool,
    /// The branches that each branch comes after, by index.
    pub(crate) orders: BTreeMap<usize, Vec<usize>>,
    /// Seconds since the submission after which the saga turns back; 0 means never.
    pub(crate) timeout_to_fail: u64,
    /// Seconds between two attempts; 0 means the default.
    pub(crate) retry_interval: u64,
    /// Unknown outcomes after which the next one turns the saga back; 0 means no limit.
    pub(crate) retry_limit: u32,
    /// Timeout of each call in seconds; 0 means the default.
    pub(crate) request_timeout: u64,
    /// Headers of each call.
    pub(crate) branch_headers: BTreeMap<String, String>,
    /// As it was sent, for queries.
    pub(crate) custom_data: String,
}

/// One branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Branch {
    /// URL of the action; empty means that it is done at once.
    pub(crate) action: String,
    /// URL of the compensation; empty means that there is nothing to undo.
    pub(crate) compensate: String,
    /// The body of both calls; empty means a `GET` without a body.
    pub(crate) payload: String,
}

/// The body of `submit`. Members that are not set come as null.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Body {
    gid: Option<String>,
    trans_type: Option<String>,
    steps: Option<Vec<Step>>,
    payloads: Option<Vec<String>>,
    custom_data: Option<String>,
    wait_result: Option<bool>,
    timeout_to_fail: Option<i64>,
    retry_interval: Option<i64>,
    retry_limit: Option<i64>,
    request_timeout: Option<i64>,
    branch_headers: Option<BTreeMap<String, String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Step {
    action: Option<String>,
    compensate: Option<String>,
    /// Payloads of old clients.
    data: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Custom {
    concurrent: Option<bool>,
    /// Go sends null for no predecessors.
    orders: Option<BTreeMap<String, Option<Vec<usize>>>>,
}

impl Submission {
    /// Reads a body of `submit`, and whether the client waits for the result.
    ///
    /// # Errors
    /// Why it cannot be run.
    pub(crate) fn read(body: &[u8], allowed: &AllowedUrls) -> Result<(Submission, bool), String> {
        let body: Body = serde_json::from_slice(body).map_err(|error| format!("the body cannot be read: {error}"))?;
        match body.trans_type.as_deref() {
            Some("saga") => {}
            Some(other @ ("tcc" | "msg" | "xa" | "workflow")) => {
                return Err(format!("trans_type {other} is not supported: only sagas are"));
            }
            Some(other) => return Err(format!("trans_type {other:?} is unknown: only saga is supported")),
            None => return Err("trans_type is missing: only saga is supported".to_owned()),
        }
        let gid = gid(body.gid.unwrap_or_default())?;
        let given = body.steps.unwrap_or_default();
        if given.is_empty() {
            return Err("steps is empty".to_owned());
        }
        if given.len() > MAX_STEPS {
            return Err(format!("steps has {} members: at most {MAX_STEPS} are possible", given.len()));
        }
        let custom_data = body.custom_data.unwrap_or_default();
        let custom: Custom = match custom_data.as_str() {
            "" => Custom::default(),
            text => serde_json::from_str::<Option<Custom>>(text)
                .map_err(|error| format!("custom_data cannot be read: {error}"))?
                .unwrap_or_default(),
        };
        let concurrent = custom.concurrent.unwrap_or(false);
        let orders = if concurrent { orders(custom.orders.unwrap_or_default(), given.len())? } else { BTreeMap::new() };
        let submission = Submission {
            gid,
            steps: branches(given, body.payloads.unwrap_or_default(), allowed)?,
            concurrent,
            orders,
            timeout_to_fail: seconds("timeout_to_fail", body.timeout_to_fail)?,
            retry_interval: seconds("retry_interval", body.retry_interval)?,
            retry_limit: u32::try_from(seconds("retry_limit", body.retry_limit)?).unwrap_or(u32::MAX),
            request_timeout: seconds("request_timeout", body.request_timeout)?,
            branch_headers: headers(body.branch_headers.unwrap_or_default())?,
            custom_data,
        };
        super::definition(&submission, std::time::Duration::MAX).map_err(|error| format!("orders: {error}"))?;
        Ok((submission, body.wait_result.unwrap_or(false)))
    }

    /// Reads the input of a saga.
    pub(crate) fn of_input(input: &Value) -> Option<Submission> {
        serde_json::from_value(input.clone()).ok()
    }
}

/// Checks a gid.
///
/// # Errors
/// The reason why the text is not a gid.
pub(crate) fn gid(text: String) -> Result<String, String> {
    match text.as_str() {
        "" => Err("gid is empty".to_owned()),
        text if text.chars().count() > MAX_GID => Err(format!("gid is longer than {MAX_GID} characters")),
        text if text.chars().any(|character| character == ';' || character.is_control()) => {
            Err("gid has a semicolon or a control character in it".to_owned())
        }
        _ => Ok(text),
    }
}

fn branches(given: Vec<Step>, payloads: Vec<String>, allowed: &AllowedUrls) -> Result<Vec<Branch>, String> {
    let count = given.len();
    if !payloads.is_empty() && payloads.len() < count {
        return Err(format!("payloads has {} members, fewer than the {count} steps", payloads.len()));
    }
    let url = |index: usize, name: &str, text: Option<String>| match text.unwrap_or_default() {
        empty if empty.is_empty() => Ok(empty),
        text => allowed.check(&text).map_err(|error| format!("steps[{index}].{name}: {error}")),
    };
    let of_old_clients = payloads.is_empty();
    if of_old_clients && given.iter().any(|step| step.data.is_none()) && given.iter().any(|step| step.data.is_some()) {
        return Err("some steps have no data".to_owned());
    }
    let mut payloads = payloads.into_iter();
    let branch = |(index, step): (usize, Step)| {
        let payload = match (of_old_clients, step.data) {
            (true, Some(Value::String(text))) => text,
            (true, Some(value)) => value.to_string(),
            (true, None) => String::new(),
            (false, _) => payloads.next().unwrap_or_default(),
        };
        let (action, compensate) = (url(index, "action", step.action)?, url(index, "compensate", step.compensate)?);
        Ok(Branch { action, compensate, payload })
    };
    let branches: Result<Vec<Branch>, String> = given.into_iter().enumerate().map(branch).collect();
    match branches {
        Ok(branches) if of_old_clients && branches.iter().all(|branch| branch.payload.is_empty()) => {
            Err(format!("payloads has 0 members, fewer than the {count} steps"))
        }
        branches => branches,
    }
}

fn orders(given: BTreeMap<String, Option<Vec<usize>>>, count: usize) -> Result<BTreeMap<usize, Vec<usize>>, String> {
    let mut orders = BTreeMap::new();
    for (branch, earlier) in given {
        let earlier = earlier.unwrap_or_default();
        let index: usize = branch.parse().map_err(|_| format!("orders: {branch:?} is not the index of a step"))?;
        if let Some(bad) = earlier.iter().chain([&index]).find(|&&index| index >= count) {
            return Err(format!("orders: there is no step {bad}, the last one is {}", count - 1));
        }
        orders.insert(index, earlier);
    }
    Ok(orders)
}

fn seconds(name: &str, value: Option<i64>) -> Result<u64, String> {
    match value.unwrap_or(0) {
        value if (0..=MAX_SECONDS).contains(&value) => Ok(value.unsigned_abs()),
        value => Err(format!("{name} is {value}, expected 0 to {MAX_SECONDS}")),
    }
}

/// Headers of the connection, which clients may pass on from a request of their own. As DTM does, they are left out.
const OF_CONNECTION: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

fn headers(mut given: BTreeMap<String, String>) -> Result<BTreeMap<String, String>, String> {
    given.retain(|name, _| !OF_CONNECTION.contains(&name.to_ascii_lowercase().as_str()));
    for (name, value) in &given {
        let is_good = reqwest::header::HeaderName::try_from(name).is_ok()
            && reqwest::header::HeaderValue::try_from(value).is_ok();
        if !is_good {
            return Err(format!("branch_headers: {name:?} cannot be sent as a header"));
        }
    }
    Ok(given)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(body: &Value) -> Result<(Submission, bool), String> {
        Submission::read(body.to_string().as_bytes(), &AllowedUrls::new(&["http://a/".to_owned()]))
    }

    fn body() -> Value {
        json!({
            "gid": "g1", "trans_type": "saga", "steps": [{ "action": "http://a/1", "compensate": "" }],
            "payloads": ["{}"], "custom_data": null, "query_prepared": null, "protocol": null, "wait_result": false,
            "timeout_to_fail": 0, "request_timeout": 8, "retry_interval": 0, "passthrough_headers": [],
            "branch_headers": {}, "concurrent": false
        })
    }

    #[test]
    fn a_body_of_the_python_client_is_read() {
        let (submission, waits) = read(&body()).unwrap();
        assert!(!waits);
        assert_eq!((submission.request_timeout, submission.concurrent), (8, false));
        let branch = Branch { action: "http://a/1".into(), compensate: String::new(), payload: "{}".into() };
        assert_eq!(submission.steps, [branch]);
        let input = serde_json::to_value(&submission).unwrap();
        assert_eq!(Submission::of_input(&input), Some(submission));
    }

    #[test]
    fn headers_of_the_connection_are_left_out() {
        let mut given: BTreeMap<String, String> =
            OF_CONNECTION.iter().map(|name| (name.to_ascii_uppercase(), "5".to_owned())).collect();
        given.insert("X-Trace".to_owned(), "7".to_owned());
        given.insert("Content-Type".to_owned(), "text/plain".to_owned());
        let mut body = body();
        body["branch_headers"] = json!(given);
        let (submission, _) = read(&body).unwrap();
        assert_eq!(submission.branch_headers.keys().collect::<Vec<_>>(), ["Content-Type", "X-Trace"]);
    }

    #[test]
    fn what_cannot_be_run_is_refused_with_a_reason() {
        let two = json!([{ "action": "http://a/1" }, { "action": "http://a/2" }]);
        let orders = |orders: Value| {
            let custom = json!({ "concurrent": true, "orders": orders }).to_string();
            vec![("steps", two.clone()), ("payloads", json!(["1", "2"])), ("custom_data", json!(custom))]
        };
        let cases: Vec<(Vec<(&str, Value)>, &str)> = vec![
            (vec![("trans_type", json!("tcc"))], "trans_type tcc is not supported"),
            (vec![("trans_type", json!(null))], "trans_type is missing"),
            (vec![("gid", json!(""))], "gid is empty"),
            (vec![("gid", json!("g".repeat(129)))], "gid is longer than 128 characters"),
            (vec![("gid", json!("a;b"))], "gid has a semicolon"),
            (vec![("gid", json!("a\n"))], "gid has a semicolon or a control character"),
            (vec![("steps", json!([]))], "steps is empty"),
            (vec![("steps", two.clone())], "payloads has 1 members, fewer than the 2 steps"),
            (vec![("payloads", json!([]))], "payloads has 0 members"),
            (vec![("steps", json!([{ "action": "http://b/" }]))], "steps[0].action: http://b/ is not below"),
            (vec![("timeout_to_fail", json!(-1))], "timeout_to_fail is -1"),
            (vec![("custom_data", json!("{"))], "custom_data cannot be read"),
            (vec![("branch_headers", json!({ "a b": "c" }))], "branch_headers"),
            (orders(json!({ "2": [0] })), "orders: there is no step 2"),
            (orders(json!({ "1": [7] })), "orders: there is no step 7"),
            (orders(json!({ "x": [0] })), "orders: \"x\" is not the index"),
            (orders(json!({ "0": [1], "1": [0] })), "orders: steps of definition dtm wait for each other"),
        ];
        for (changes, expected) in cases {
            let mut body = body();
            for (name, value) in changes {
                body[name] = value;
            }
            let error = read(&body).unwrap_err();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn orders_count_only_with_concurrent_and_data_of_old_clients_is_a_payload() {
        let mut body = body();
        body["custom_data"] = json!(r#"{"orders":{"9":[0]}}"#);
        assert!(read(&body).unwrap().0.orders.is_empty());
        body["custom_data"] = json!(r#"{"concurrent":true,"orders":{"0":null}}"#);
        assert_eq!(read(&body).unwrap().0.orders, BTreeMap::from([(0, vec![])]), "a nil slice of Go");
        body["payloads"] = json!(null);
        body["steps"] = json!([{ "action": "http://a/1", "data": "{\"n\":1}" }]);
        assert_eq!(read(&body).unwrap().0.steps[0].payload, r#"{"n":1}"#);
    }
}
