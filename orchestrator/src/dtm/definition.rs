//! The definition of one submitted saga: a step for each branch.

use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use smol_str::{SmolStr, format_smolstr};

use super::branches::PARTICIPANT;
use super::{Branch, Submission};
use saga_engine::definition::{
    Definition, DefinitionError, Effect, MAX_STEPS, Method, Operation, Outputs, Refusal, ReplyError, Request, Retries,
    Start, Step,
};

/// Name and version of the definitions of submitted sagas.
pub(crate) const DTM: &str = "dtm";
pub(crate) const VERSION: i32 = 1;

/// The deadline of a saga without one: a hundred years.
const NEVER: Duration = Duration::from_secs(100 * 365 * 86_400);

/// The wait between two attempts if the client gives none.
const DEFAULT_INTERVAL: Duration = Duration::from_secs(10);

/// Makes the definition of a saga. Waits between attempts do not exceed `longest_wait`.
///
/// # Errors
/// [`DefinitionError`] if its branches wait for each other.
pub(crate) fn definition(submission: &Submission, longest_wait: Duration) -> Result<Definition, DefinitionError> {
    let branches = Arc::new(submission.clone());
    let steps = (0..branches.steps.len()).map(|index| step(&branches, index)).collect();
    let mut definition = Definition::new(DTM, VERSION, steps)?;
    definition.deadline = Some(match submission.timeout_to_fail {
        0 => NEVER,
        seconds => Duration::from_secs(seconds),
    });
    definition.max_parallel = MAX_STEPS;
    definition.retries = Some(Retries {
        interval: match submission.retry_interval {
            0 => DEFAULT_INTERVAL,
            seconds => Duration::from_secs(seconds),
        },
        longest: longest_wait,
        limit: (submission.retry_limit > 0).then_some(submission.retry_limit),
    });
    Ok(definition)
}

/// Returns the id of the branch at an index, and the name of its step: `01` …
pub(crate) fn branch_id(index: usize) -> SmolStr {
    format_smolstr!("{:02}", index + 1)
}

fn step(saga: &Arc<Submission>, index: usize) -> Step {
    let branch = &saga.steps[index];
    let effect = if branch.compensate.is_empty() {
        Effect::Uncompensated
    } else {
        Effect::Compensable(operation(saga, index, "compensate", |branch| &branch.compensate))
    };
    let after = if saga.concurrent {
        Some(saga.orders.get(&index).into_iter().flatten().map(|&earlier| branch_id(earlier)).collect())
    } else {
        None
    };
    let action = operation(saga, index, "action", |branch| &branch.action);
    Step {
        after,
        timeout: (saga.request_timeout > 0).then(|| Duration::from_secs(saga.request_timeout)),
        attempts: Some(0),
        // Branches keep no tombstones, and have a barrier that relies on the compensation of a refused action.
        start: Start::Recorded,
        refusal: Refusal::Compensated,
        ..Step::new(branch_id(index), PARTICIPANT, action, effect)
    }
}

fn operation(saga: &Arc<Submission>, index: usize, name: &'static str, url: fn(&Branch) -> &String) -> Operation {
    let saga = saga.clone();
    let request = move |_: &saga_engine::definition::Context| {
        let branch = &saga.steps[index];
        let payload = branch.payload.clone();
        let mut headers: Vec<(SmolStr, String)> =
            ["content-type", "accept"].map(|name| (SmolStr::new_static(name), "application/json".to_owned())).into();
        headers.extend(saga.branch_headers.iter().map(|(name, value)| (SmolStr::new(name), value.clone())));
        Request {
            method: if payload.is_empty() { Method::Get } else { Method::Post },
            path: with_query(url(branch), &saga.gid, index, name),
            body: (!payload.is_empty()).then_some(payload),
            headers,
        }
    };
    let read = |_: &saga_engine::definition::Context, _: &[u8]| Ok::<_, ReplyError>(Outputs::default());
    Operation::new(name, request, read)
}

/// Appends the names of the call to a URL; an empty URL stays empty: nothing is called.
fn with_query(url: &str, gid: &str, index: usize, op: &str) -> String {
    let Ok(mut url) = Url::parse(url) else { return String::new() };
    url.query_pairs_mut().extend_pairs([
        ("branch_id", branch_id(index).as_str()),
        ("gid", gid),
        ("op", op),
        ("trans_type", "saga"),
    ]);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use saga_engine::SagaId;
    use saga_engine::definition::{Context, Input};

    fn submission(changes: serde_json::Value) -> Submission {
        let mut body = json!({
            "gid": "g 1", "steps": [
                { "action": "http://a/1?x=%20&gid=mine", "compensate": "http://a/undo", "payload": "{\"n\": 1}" },
                { "action": "http://a/2", "compensate": "", "payload": "" },
                { "action": "", "compensate": "http://a/3", "payload": "x" }
            ],
            "concurrent": false, "orders": {}, "timeout_to_fail": 0, "retry_interval": 0, "retry_limit": 0,
            "request_timeout": 0, "branch_headers": { "X-Test": "1", "Accept": "text/plain" }, "custom_data": ""
        });
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        Submission::of_input(&body).unwrap()
    }

    fn context() -> Context {
        Context { saga_id: SagaId(uuid::Uuid::nil()), attempt: 1, input: Input::default(), outputs: Outputs::default() }
    }

    #[test]
    fn a_branch_is_called_as_dtm_does() {
        let definition = definition(&submission(json!({})), Duration::from_secs(60)).unwrap();
        let [first, second, third] = definition.steps() else { panic!("three branches") };
        let action = (first.action.request)(&context()).unwrap();
        assert_eq!(action.path, "http://a/1?x=%20&gid=mine&branch_id=01&gid=g+1&op=action&trans_type=saga");
        assert_eq!((action.method, action.body.as_deref()), (Method::Post, Some("{\"n\": 1}")));
        assert_eq!(action.headers.last().unwrap(), &("X-Test".into(), "1".to_owned()));
        let undo = (first.compensation().unwrap().request)(&context()).unwrap();
        assert_eq!(undo.path, "http://a/undo?branch_id=01&gid=g+1&op=compensate&trans_type=saga");
        let get = (second.action.request)(&context()).unwrap();
        assert_eq!((get.method, get.body), (Method::Get, None));
        assert!(second.compensation().is_none());
        assert_eq!((third.action.request)(&context()).unwrap().path, "", "it is done at once");
    }

    #[test]
    fn branches_run_in_turn_unless_they_are_concurrent() {
        let predecessors = |changes| {
            let definition = definition(&submission(changes), Duration::MAX).unwrap();
            [0, 1, 2].map(|index| definition.predecessors(index).to_vec())
        };
        assert_eq!(predecessors(json!({})), [vec![], vec![0], vec![1]]);
        assert_eq!(predecessors(json!({ "concurrent": true })), [Vec::<usize>::new(), vec![], vec![]]);
        let orders = json!({ "concurrent": true, "orders": { "2": [0, 1] } });
        assert_eq!(predecessors(orders), [vec![], vec![], vec![0, 1]]);
    }

    #[test]
    fn times_are_the_clients_or_the_defaults() {
        let times = |changes| {
            let definition = definition(&submission(changes), Duration::from_secs(60)).unwrap();
            let Retries { interval, longest, limit } = definition.retries.unwrap();
            (definition.deadline.unwrap(), interval.as_secs(), longest.as_secs(), limit, definition.steps()[0].timeout)
        };
        assert_eq!(times(json!({})), (NEVER, 10, 60, None, None));
        let given = json!({ "timeout_to_fail": 5, "retry_interval": 2, "retry_limit": 3, "request_timeout": 4 });
        let expected = (Duration::from_secs(5), 2, 60, Some(3), Some(Duration::from_secs(4)));
        assert_eq!(times(given), expected);
    }
}
