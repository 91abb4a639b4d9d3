//! `Saga-Secret`: a saga that was started with one does not exist for anyone but the client that has it, and operators.

use std::collections::BTreeSet;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    http::{Answer, send},
    problem::{assert_bad_fields, assert_problem},
    stack::{ORCHESTRATOR, unknown_saga, with_json},
    wait_until, with_stack,
};

use super::{API, OPERATOR, SERVICE, in_production};

const SECRET: &str = "a-secret-of-the-client-0f3c";
const OTHER: &str = "a-secret-of-the-client-0f3d";

/// The credentials of a caller.
#[derive(Clone, Copy, Debug, Default)]
struct Caller {
    token: Option<&'static str>,
    secret: Option<&'static str>,
}

impl Caller {
    const STRANGER: Caller = Caller { token: None, secret: None };
    const CLIENT: Caller = Caller::with(API);

    const fn with(token: &'static str) -> Caller {
        Caller { token: Some(token), secret: None }
    }

    fn and(self, secret: &'static str) -> Caller {
        Caller { secret: Some(secret), ..self }
    }

    fn mark(self, request: RequestBuilder) -> RequestBuilder {
        let request = self.token.into_iter().fold(request, |request, token| request.bearer_auth(token));
        self.secret.into_iter().fold(request, |request, secret| request.header("saga-secret", secret))
    }
}

/// The two families of routes.
const FAMILIES: [&str; 2] = ["saga", "sagas"];

/// Sends a request about a saga. The answer's body is not read: an event stream has no end.
async fn status_of(stack: &Stack, caller: Caller, method: Method, path: &str) -> u16 {
    let request = with_json(stack.request(method, ORCHESTRATOR, path), "{}");
    caller.mark(request).send().await.expect("an answer").status().as_u16()
}

/// The requests about a saga that its secret guards.
fn requests(family: &str, id: &str) -> [(Method, String); 3] {
    let status = if family == "saga" { format!("/saga/status/{id}") } else { format!("/sagas/{id}") };
    [
        (Method::GET, status),
        (Method::GET, format!("/{family}/events?saga={id}")),
        (Method::POST, format!("/{family}/{id}/cancel")),
    ]
}

async fn buy(stack: &Stack, caller: Caller, headers: &[(&'static str, &str)]) -> Answer {
    let request = with_json(
        stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"),
        json!({ "user_id": "ada", "product_id": 1, "amount": 5 }),
    );
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    send(caller.mark(request)).await
}

async fn bought(stack: &Stack, caller: Caller) -> String {
    id_of(&buy(stack, caller, &[]).await.expect(200).json())
}

fn id_of(answer: &Value) -> String {
    answer["transaction_id"].as_str().expect("an id").to_owned()
}

/// Starts a saga with a definition of the test.
async fn run(stack: &Stack, caller: Caller, headers: &[(&'static str, &str)]) -> Answer {
    let body = json!({ "definition": "pay", "input": {} });
    let request = with_json(stack.request(Method::POST, ORCHESTRATOR, "/sagas"), body);
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    send(caller.mark(request)).await
}

async fn define(stack: &Stack) {
    let body = json!({
        "input": { "type": "object" },
        "steps": [{
            "name": "charge", "participant": "payments",
            "action": {
                "method": "POST", "path": "/payments/",
                "body": { "user_id": "ada", "transaction_id": "{saga.id}", "amount": 5 }
            },
            "compensation": { "method": "POST", "path": "/payments/by-transaction/{saga.id}/refund/", "body": {} }
        }]
    });
    let request = with_json(stack.request(Method::PUT, ORCHESTRATOR, "/sagas/definitions/pay/1"), body);
    send(request.bearer_auth(OPERATOR)).await.expect(201);
}

/// Asserts that only a saga's client and operators are answered about it.
async fn assert_guarded(stack: &Stack, id: &str, ended: u16) {
    for family in FAMILIES {
        for (method, path) in requests(family, id) {
            let done = if method == Method::POST { ended } else { 200 };
            let ask = async |caller: Caller| status_of(stack, caller, method.clone(), &path).await;
            assert_eq!(ask(Caller::STRANGER.and(SECRET)).await, 401, "{path}: a secret is no token");
            for caller in [Caller::CLIENT, Caller::CLIENT.and(OTHER)] {
                assert_eq!(ask(caller).await, 404, "{path} {caller:?}");
            }
            let service = if family == "saga" { 404 } else { 403 };
            assert_eq!(ask(Caller::with(SERVICE)).await, service, "{path}");
            assert_eq!(ask(Caller::with(OPERATOR)).await, done, "{path}");
            assert_eq!(ask(Caller::CLIENT.and(SECRET)).await, done, "{path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_with_a_secret_does_not_exist_for_others() {
    with_stack(in_production(), async |stack: &Stack| {
        define(stack).await;
        let purchase = bought(stack, Caller::CLIENT.and(SECRET)).await;
        let saga = run(stack, Caller::CLIENT.and(SECRET), &[]).await.expect(200).json();
        let saga = saga["saga_id"].as_str().expect("an id").to_owned();
        for id in [&purchase, &saga] {
            assert_guarded(stack, id, 409).await;
        }
        // Its absence looks like that of any other saga.
        let ask = async |id: &str| {
            let request = stack.request(Method::GET, ORCHESTRATOR, &format!("/saga/status/{id}"));
            send(Caller::CLIENT.mark(request)).await
        };
        let unknown = unknown_saga().to_string();
        let [hidden, absent] = [ask(&purchase).await, ask(&unknown).await];
        assert_problem(&hidden, 404);
        assert_eq!(hidden.text.replace(&purchase, &unknown), absent.text);
        // From the row too, and by another process.
        stack.restart(ORCHESTRATOR).await;
        assert_guarded(stack, &purchase, 409).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_saga_with_a_secret_is_cancelled_by_its_client_alone() {
    with_stack(in_production().through_proxy("payments"), async |stack: &Stack| {
        // The held connection has worked before.
        bought(stack, Caller::CLIENT).await;
        stack.proxy("payments").hold();
        let asked = buy(stack, Caller::CLIENT.and(SECRET), &[("prefer", "respond-async")]).await.expect(202);
        let id = id_of(&asked.json());
        for family in FAMILIES {
            for (method, path) in requests(family, &id) {
                assert_eq!(status_of(stack, Caller::CLIENT, method, &path).await, 404, "{path}");
            }
            let [(_, status), ..] = requests(family, &id);
            assert_eq!(status_of(stack, Caller::CLIENT.and(SECRET), Method::GET, &status).await, 200);
        }
        let cancel = format!("/saga/{id}/cancel");
        assert_eq!(status_of(stack, Caller::CLIENT.and(SECRET), Method::POST, &cancel).await, 202);
        stack.proxy("payments").cut();
        stack.proxy("payments").flow();
        wait_until("it is reverted", PATIENCE, async || {
            let request = stack.request(Method::GET, ORCHESTRATOR, &format!("/saga/status/{id}"));
            let status = send(Caller::CLIENT.and(SECRET).mark(request)).await.expect(200).json();
            (status["status"] == "COMPENSATED").then_some(())
        })
        .await;
        assert_guarded(stack, &id, 409).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_of_a_purchase_without_a_secret_needs_a_token_in_production_and_its_status_needs_none() {
    with_stack(in_production().set("auth.api_token", ""), async |stack: &Stack| {
        let id = bought(stack, Caller::STRANGER).await;
        let [status, events, cancel] = requests("saga", &id);
        for caller in [Caller::STRANGER, Caller::STRANGER.and(SECRET)] {
            for (method, path) in [&status, &events] {
                assert_eq!(status_of(stack, caller, method.clone(), path).await, 200, "{path} {caller:?}");
            }
            assert_eq!(status_of(stack, caller, cancel.0.clone(), &cancel.1).await, 401, "{caller:?}");
        }
        for (token, expected) in [("a-token-of-a-guesser", 403), (SERVICE, 403), (OPERATOR, 409)] {
            assert_eq!(status_of(stack, Caller::with(token), Method::POST, &cancel.1).await, expected, "{token}");
        }
        // With a secret no token is needed.
        let id = bought(stack, Caller::STRANGER.and(SECRET)).await;
        for (method, path) in requests("saga", &id) {
            let done = if method == Method::POST { 409 } else { 200 };
            assert_eq!(status_of(stack, Caller::STRANGER, method.clone(), &path).await, 404, "{path}");
            assert_eq!(status_of(stack, Caller::STRANGER.and(SECRET), method, &path).await, done, "{path}");
        }
    })
    .await;
    with_stack(in_production(), async |stack: &Stack| {
        let id = bought(stack, Caller::CLIENT).await;
        let cancel = format!("/saga/{id}/cancel");
        for (caller, expected) in [(Caller::STRANGER, 401), (Caller::with(SERVICE), 403), (Caller::CLIENT, 409)] {
            assert_eq!(status_of(stack, caller, Method::POST, &cancel).await, expected, "{caller:?}");
        }
    })
    .await;
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let id = bought(stack, Caller::STRANGER).await;
        let cancel = format!("/saga/{id}/cancel");
        assert_eq!(status_of(stack, Caller::STRANGER, Method::POST, &cancel).await, 409, "in development all is open");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_a_key_needs_the_same_secret() {
    with_stack(in_production(), async |stack: &Stack| {
        define(stack).await;
        for (index, family) in ["saga", "sagas"].into_iter().enumerate() {
            let start = async |key: &str, secret: Option<&'static str>| match family {
                "saga" => buy(stack, Caller { secret, ..Caller::CLIENT }, &[("idempotency-key", key)]).await,
                _ => run(stack, Caller { secret, ..Caller::CLIENT }, &[("idempotency-key", key)]).await,
            };
            let [with, without] = [format!("with-{index}"), format!("without-{index}")];
            let first = start(&with, Some(SECRET)).await.expect(200);
            for wrong in [None, Some(OTHER)] {
                let refused = start(&with, wrong).await;
                assert_problem(&refused, 422);
                assert!(!refused.text.contains(SECRET) && refused.text.contains("Saga-Secret"), "{}", refused.text);
            }
            let again = start(&with, Some(SECRET)).await.expect(200);
            assert!(again.is_replayed());
            assert_eq!(again.text, first.text);
            start(&without, None).await.expect(200);
            assert_problem(&start(&without, Some(SECRET)).await, 422);
            assert!(start(&without, None).await.expect(200).is_replayed());
        }
        // Of many at once one secret wins, and the others are refused, not answered.
        let secrets = [Some(SECRET), Some(OTHER), None];
        let racers = (0..24).map(|racer| {
            let caller = Caller { secret: secrets[racer % 3], ..Caller::CLIENT };
            async move { (racer % 3, buy(stack, caller, &[("idempotency-key", "race")]).await) }
        });
        let answers = futures::future::join_all(racers).await;
        let won: BTreeSet<usize> =
            answers.iter().filter(|(_, answer)| answer.status == 200).map(|(secret, _)| *secret).collect();
        assert_eq!(won.len(), 1, "{answers:?}");
        assert!(answers.iter().all(|(_, answer)| [200, 422].contains(&answer.status)), "{answers:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_secret_is_refused_and_only_the_hash_of_a_good_one_is_kept() {
    with_stack(in_production(), async |stack: &Stack| {
        define(stack).await;
        let id = bought(stack, Caller::CLIENT.and(SECRET)).await;
        let long = "x".repeat(129);
        for bad in ["0123456789abcde", "0123456789 abcdef", long.as_str()] {
            let buying = buy(stack, Caller::CLIENT, &[("saga-secret", bad)]).await;
            let running = run(stack, Caller::CLIENT, &[("saga-secret", bad)]).await;
            for answer in [buying, running] {
                assert_bad_fields(&answer, 422, &["Saga-Secret"]);
                assert!(!answer.text.contains(bad), "a secret is not repeated: {}", answer.text);
            }
            let asked = stack.request(Method::GET, ORCHESTRATOR, &format!("/saga/status/{id}"));
            let asked = Caller::CLIENT.mark(asked);
            assert_bad_fields(&send(asked.header("saga-secret", bad)).await, 422, &["Saga-Secret"]);
        }
        let log = stack.database(ORCHESTRATOR).await;
        assert_eq!(log.number("select count(*) from saga", &[]).await, 1, "nothing else was started");
        let kept = "select count(*) from saga where length(secret_hash) = 32 and position($1 in saga::text) = 0";
        assert_eq!(log.number(kept, &[&SECRET]).await, 1);
        for path in [format!("/saga/{id}/inspect"), "/saga/transactions".to_owned(), format!("/sagas/{id}")] {
            let shown = send(stack.request(Method::GET, ORCHESTRATOR, &path).bearer_auth(OPERATOR)).await.expect(200);
            assert!(!shown.text.contains("secret"), "{path}: {}", shown.text);
        }
    })
    .await;
}
