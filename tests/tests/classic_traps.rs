//! The ways in which sagas are known to go wrong, one test each: what others get wrong, and what must never happen here.

use reqwest::Method;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions, books,
    http::{Answer, send},
    interposer::{Act, Interposer},
    problem::assert_problem,
    stack::{ORCHESTRATOR, with_json},
    wait_until, with_stack,
};
use tokio_util::sync::CancellationToken;

const CHARGE: &str = "POST /payments/$";
const REFUND: &str = "/refund/$";
const CREATE: &str = "POST /purchases/$";

/// Runs a test with somebody between the orchestrator and a participant.
async fn with_interposer(
    participant: &'static str,
    options: StackOptions,
    test: impl AsyncFnOnce(&Stack, &Interposer),
) {
    let interposer = Interposer::start().await;
    with_stack(options.behind(participant, &interposer.url), async |stack: &Stack| {
        interposer.before(stack.address(participant));
        test(stack, &interposer).await;
    })
    .await;
}

fn options() -> StackOptions {
    // One node id, so that a saga is taken up at once by whoever is started next.
    StackOptions::default().set("orchestrator.node_id", "trap").set("retry.action.backoff_max_ms", 20)
}

fn refusing_purchases() -> StackOptions {
    options().set("faults.purchases.create.failure_rate", 1)
}

async fn buy(stack: &Stack) -> Answer {
    stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": "ada", "amount": 5 })).await
}

/// Starts a purchase without waiting for its end, and returns its id.
async fn start(stack: &Stack) -> String {
    let request = with_json(
        stack.request(Method::POST, ORCHESTRATOR, "/saga/transaction"),
        json!({ "user_id": "ada", "amount": 5 }),
    );
    let answer = send(request.header("prefer", "respond-async")).await.expect(202);
    answer.json()["transaction_id"].as_str().expect("an id").to_owned()
}

async fn status(stack: &Stack, id: &str) -> Value {
    stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.expect(200).json()
}

async fn ended(stack: &Stack, id: &str) -> Value {
    wait_until("the saga ends", PATIENCE, async || {
        let status = status(stack, id).await;
        (!status["completed_at"].is_null()).then_some(status)
    })
    .await
}

async fn arrived(interposer: &Interposer, what: &str, times: usize) {
    wait_until(what, PATIENCE, async || (interposer.arrived(what) >= times).then_some(())).await;
}

/// Returns the statuses of the payments of a saga.
async fn payments(stack: &Stack, id: &str) -> Vec<String> {
    let rows = stack.database("payments").await;
    let rows = rows.rows("select status from app_payment where transaction_id = $1", &[&id]).await;
    rows.iter().map(|row| row.get(0)).collect()
}

fn id(answer: &Answer) -> String {
    answer.json()["transaction_id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_reply_of_the_payment_is_lost_it_is_charged_once_and_used_or_given_back() {
    for (options, code, payment) in [(options(), 200, "success"), (refusing_purchases(), 409, "compensated")] {
        with_interposer("payments", options, async |stack: &Stack, payments_link: &Interposer| {
            payments_link.next(2, CHARGE, Act::LoseReply);
            let answer = buy(stack).await.expect(code);
            assert_eq!(payments_link.arrived(CHARGE), 3, "it was asked again with the same key");
            assert_eq!(payments(stack, &id(&answer)).await, [payment]);
            books::balanced(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_reply_of_the_purchase_is_lost_it_is_neither_free_nor_double() {
    // Lost once: found again. Lost always: cancelled and paid back, since it may be there.
    for (losses, code) in [(1, 200), (100, 409)] {
        with_interposer("purchases", options(), async |stack: &Stack, link: &Interposer| {
            link.next(losses, CREATE, Act::LoseReply);
            let answer = buy(stack).await.expect(code);
            let rows = stack.database("purchases").await;
            let live = "select count(*) from app_purchase where transaction_id = $1 and status = 'success'";
            let expected = i64::from(code == 200);
            assert_eq!(rows.number(live, &[&id(&answer)]).await, expected);
            books::balanced(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_overtakes_its_payment_forbids_it() {
    let options = options()
        .set("participants.connect_timeout_ms", 300)
        .set("participants.timeout_ms", 300)
        .set("retry.action.attempts", 1);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        let release = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldRequest(release.clone()));
        let answer = buy(stack).await.expect(409);
        assert_eq!(answer.json()["details"]["error"], "504: Timeout while communicating with payments");
        assert_eq!(payments(stack, &id(&answer)).await, Vec::<String>::new());
        // Now the payment comes.
        release.cancel();
        let late = wait_until("the late payment is answered", PATIENCE, async || {
            link.passed().into_iter().find(|passed| passed.what.ends_with("POST /payments/"))
        })
        .await;
        assert_eq!(late.status, Some(409));
        assert!(!payments(stack, &id(&answer)).await.contains(&"success".to_owned()));
        books::balanced(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_five_times_is_compensating_until_it_is_confirmed() {
    with_interposer("payments", refusing_purchases(), async |stack: &Stack, link: &Interposer| {
        let last = CancellationToken::new();
        link.next(5, REFUND, Act::Answer(500, "text/html", "<h1>Internal Server Error</h1>"));
        link.next(1, REFUND, Act::HoldRequest(last.clone()));
        let id = start(stack).await;
        arrived(link, REFUND, 6).await;
        let standing = status(stack, &id).await;
        assert_eq!(standing["status"], "COMPENSATING");
        assert_eq!(standing["completed_at"], Value::Null);
        last.cancel();
        let ended = ended(stack, &id).await;
        assert_eq!(ended["status"], "COMPENSATED");
        assert_eq!(ended["steps"][1]["compensation"]["attempts"], 6);
        assert_eq!(payments(stack, &id).await, ["compensated"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_that_fails_for_good_is_failed_until_a_person_says_retry() {
    let options = refusing_purchases()
        .set("orchestrator.attention_after_attempts", 3)
        .set("retry.compensation.backoff_min_ms", 1)
        // It sleeps this long: the test ends before that unless it is woken.
        .set("retry.compensation.backoff_max_ms", 3_600_000);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1_000, REFUND, Act::Answer(500, "text/plain", "no"));
        let failed = buy(stack).await.expect(502);
        assert_eq!(failed.json()["status"], "FAILED");
        let id = id(&failed);
        let list = stack.get(ORCHESTRATOR, "/saga/attention").await.expect(200).json();
        assert_eq!(list["total"], 1, "{list}");
        let entry = &list["transactions"][0];
        assert_eq!(entry["transaction_id"], id);
        assert_eq!(entry["attention"]["step"], "charge");
        assert_eq!(entry["attention"]["attempts"], 3);
        assert_eq!(entry["attention"]["last_error"], "payments answered 500");
        link.let_pass();
        for _ in 0..2 {
            let retried = stack.post(ORCHESTRATOR, &format!("/saga/{id}/retry"), "{}").await;
            // The second one may find that it has ended.
            assert!(matches!(retried.status, 202 | 409), "{retried:?}");
        }
        assert_eq!(ended(stack, &id).await["status"], "COMPENSATED");
        let list = stack.get(ORCHESTRATOR, "/saga/attention").await.expect(200).json();
        assert_eq!(list["total"], 0, "{list}");
        books::balanced(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_person_has_settled_is_failed_for_ever_and_asked_no_more() {
    let options = refusing_purchases()
        .set("orchestrator.attention_after_attempts", 2)
        .set("retry.compensation.backoff_max_ms", 20);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1_000_000, REFUND, Act::Answer(500, "text/plain", "no"));
        let id = id(&buy(stack).await.expect(502));
        let path = format!("/saga/{id}/resolve");
        assert_problem(&stack.post(ORCHESTRATOR, &path, "{}").await, 422);
        let first = stack.post(ORCHESTRATOR, &path, json!({ "note": "paid back by hand" })).await.expect(200);
        let again = stack.post(ORCHESTRATOR, &path, json!({ "note": "another word" })).await.expect(200);
        assert_eq!(first.text, again.text, "the first resolution stands");
        assert_eq!(first.json()["note"], "paid back by hand");
        let standing = ended(stack, &id).await;
        assert_eq!(standing["status"], "FAILED");
        assert_problem(&stack.post(ORCHESTRATOR, &format!("/saga/{id}/retry"), "{}").await, 409);
        assert_problem(&stack.post(ORCHESTRATOR, &format!("/saga/{id}/cancel"), "{}").await, 409);
        let list = stack.get(ORCHESTRATOR, "/saga/attention").await.expect(200).json();
        assert_eq!(list["total"], 0, "{list}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_interrupts_a_back_off() {
    let options = options()
        .set("retry.action.attempts", 100)
        .set("retry.action.backoff_min_ms", 3_600_000)
        .set("retry.action.backoff_max_ms", 3_600_000);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1_000, CHARGE, Act::Answer(503, "text/plain", "later"));
        let id = start(stack).await;
        wait_until("it backs off", PATIENCE, async || {
            (status(stack, &id).await["steps"][1]["state"] == "backing_off").then_some(())
        })
        .await;
        let cancel = format!("/saga/{id}/cancel");
        stack.post(ORCHESTRATOR, &cancel, "{}").await.expect(202);
        let ended = ended(stack, &id).await;
        assert_eq!(ended["status"], "COMPENSATED");
        assert_eq!(ended["error_message"], "409: Cancelled");
        assert_problem(&stack.post(ORCHESTRATOR, &cancel, "{}").await, 409);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_reaches_a_saga_that_another_node_runs() {
    let options = StackOptions::default();
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        stack.add_replica(ORCHESTRATOR).await;
        let [first, second] = stack.addresses_of(ORCHESTRATOR)[..] else { panic!("two of them") };
        let release = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldReply(release.clone()));
        let body = json!({ "user_id": "ada", "amount": 5 });
        let request = with_json(stack.request_at(Method::POST, first, "/saga/transaction"), body);
        let id = id(&send(request.header("prefer", "respond-async")).await.expect(202));
        arrived(link, CHARGE, 1).await;
        let cancel = with_json(stack.request_at(Method::POST, second, &format!("/saga/{id}/cancel")), "{}");
        send(cancel).await.expect(202);
        let ended = ended(stack, &id).await;
        assert_eq!((&ended["status"], &ended["error_message"]), (&json!("COMPENSATED"), &json!("409: Cancelled")));
        release.cancel();
        assert_eq!(payments(stack, &id).await, ["compensated"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_passes_during_a_call_turns_the_saga_back() {
    let options = options().set("orchestrator.deadline_ms", 500);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        let release = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldReply(release.clone()));
        let answer = buy(stack).await.expect(409);
        assert_eq!(answer.json()["details"]["error"], "408: Deadline passed");
        release.cancel();
        assert_eq!(payments(stack, &id(&answer)).await, ["compensated"]);
        books::balanced(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_dies_between_a_participants_commit_and_its_own_write_charges_once() {
    with_interposer("payments", options(), async |stack: &Stack, link: &Interposer| {
        let never = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldReply(never.clone()));
        let id = start(stack).await;
        wait_until("the payment is made", PATIENCE, async || (payments(stack, &id).await.len() == 1).then_some(()))
            .await;
        stack.crash(ORCHESTRATOR).await;
        stack.start_again(ORCHESTRATOR).await;
        let ended = ended(stack, &id).await;
        assert_eq!(ended["status"], "COMPLETED");
        assert_eq!(payments(stack, &id).await, ["success"]);
        assert!(link.arrived(CHARGE) >= 2, "the next process asked again");
        books::balanced(stack).await;
    })
    .await;
}

/// Where a saga that has turned back by its deadline is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    BeforeItsRefund,
    BetweenRefundAndEnd,
}

/// Brings a saga there: its payment made, its deadline passed, its turn written, its refund on its way.
async fn turned_back(stack: &Stack, link: &Interposer, at: At) -> (String, [CancellationToken; 2]) {
    let (reply, refund) = (CancellationToken::new(), CancellationToken::new());
    link.next(1, CHARGE, Act::HoldReply(reply.clone()));
    let hold = match at {
        At::BeforeItsRefund => Act::HoldRequest(refund.clone()),
        At::BetweenRefundAndEnd => Act::HoldReply(refund.clone()),
    };
    link.next(1, REFUND, hold);
    let id = start(stack).await;
    arrived(link, REFUND, 1).await;
    let expected = if at == At::BeforeItsRefund { "success" } else { "compensated" };
    wait_until("the payment stands so", PATIENCE, async || (payments(stack, &id).await == [expected]).then_some(()))
        .await;
    (id, [reply, refund])
}

fn short_deadline() -> StackOptions {
    options().set("orchestrator.deadline_ms", 500)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_turned_back_is_never_completed_by_who_comes_after_a_crash() {
    for at in [At::BeforeItsRefund, At::BetweenRefundAndEnd] {
        with_interposer("payments", short_deadline(), async |stack: &Stack, link: &Interposer| {
            let (id, held) = turned_back(stack, link, at).await;
            stack.crash(ORCHESTRATOR).await;
            stack.start_again(ORCHESTRATOR).await;
            let ended = ended(stack, &id).await;
            assert_eq!(
                (&ended["status"], &ended["error_message"]),
                (&json!("COMPENSATED"), &json!("408: Deadline passed"))
            );
            held.iter().for_each(CancellationToken::cancel);
            assert_eq!(payments(stack, &id).await, ["compensated"], "{at:?}");
            books::balanced(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_turned_back_is_never_completed_by_who_takes_over_from_a_paused_node() {
    for at in [At::BeforeItsRefund, At::BetweenRefundAndEnd] {
        let options = StackOptions::default()
            .set("orchestrator.deadline_ms", 500)
            .set("orchestrator.lease_ms", 1_000)
            .set("orchestrator.heartbeat_ms", 100);
        with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
            let (id, held) = turned_back(stack, link, at).await;
            stack.add_replica(ORCHESTRATOR).await;
            let [_, second] = stack.addresses_of(ORCHESTRATOR)[..] else { panic!("two of them") };
            let paused = stack.pause(ORCHESTRATOR).await;
            let path = format!("/saga/status/{id}");
            let ended = wait_until("the other node ends it", PATIENCE, async || {
                let answer = send(stack.request_at(Method::GET, second, &path)).await.expect(200).json();
                (!answer["completed_at"].is_null()).then_some(answer)
            })
            .await;
            assert_eq!(ended["status"], "COMPENSATED");
            // What was held arrives, and the first owner wakes: it has nothing more to say.
            held.iter().for_each(CancellationToken::cancel);
            drop(paused);
            wait_until("both are healthy", PATIENCE, async || stack.is_healthy(ORCHESTRATOR).await.then_some(())).await;
            for address in stack.addresses_of(ORCHESTRATOR) {
                let now = send(stack.request_at(Method::GET, address, &path)).await.expect(200).json();
                assert_eq!(now, ended, "{at:?}");
            }
            assert_eq!(payments(stack, &id).await, ["compensated"]);
            books::balanced(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_something_else_to_a_repeated_payment_is_no_refusal() {
    const NOT_FOUND: Act = Act::Answer(404, "text/html", "<h1>Not Found</h1>");
    const BAD_GATEWAY: Act = Act::Answer(502, "text/html", "<h1>Bad Gateway</h1>");
    const CONFLICT: Act = Act::Answer(409, "application/json", r#"{"status":"error","message":"edit conflict"}"#);
    for stranger in [NOT_FOUND, BAD_GATEWAY, CONFLICT] {
        with_interposer("payments", options(), async |stack: &Stack, link: &Interposer| {
            // The first payment is made, and nobody hears of it.
            link.next(1, CHARGE, Act::LoseReply);
            link.next(100, CHARGE, stranger.clone());
            let answer = buy(stack).await.expect(409);
            assert_eq!(answer.json()["details"]["error"], "503: Service payments unavailable");
            assert_eq!(payments(stack, &id(&answer)).await, ["compensated"], "{stranger:?}");
            books::balanced(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_whose_replica_dies_can_ask_another_one() {
    let options = StackOptions::default().set("orchestrator.lease_ms", 1_000).set("orchestrator.heartbeat_ms", 100);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1, CHARGE, Act::HoldReply(CancellationToken::new()));
        let id = start(stack).await;
        arrived(link, CHARGE, 1).await;
        stack.add_replica(ORCHESTRATOR).await;
        let [_, second] = stack.addresses_of(ORCHESTRATOR)[..] else { panic!("two of them") };
        stack.crash(ORCHESTRATOR).await;
        let path = format!("/saga/status/{id}");
        let ended = wait_until("the other one ends it", PATIENCE, async || {
            let answer = send(stack.request_at(Method::GET, second, &path)).await.expect(200).json();
            (!answer["completed_at"].is_null()).then_some(answer)
        })
        .await;
        assert_eq!(ended["status"], "COMPLETED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sagas_park_while_a_participant_is_down_and_go_on_when_it_is_up() {
    let options = options()
        .set("participants.breaker_failures", 3)
        .set("participants.breaker_pause_ms", 100)
        // Few attempts: without parking they would be used up.
        .set("retry.action.attempts", 4)
        .set("retry.action.backoff_max_ms", 5);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(3, CHARGE, Act::Answer(503, "text/plain", "down"));
        let first = start(stack).await;
        let breaker = async || {
            let tree = stack.get(ORCHESTRATOR, "/debug/actors").await.expect(200).json();
            let children = tree["children"].as_array().expect("children").clone();
            let client = children
                .into_iter()
                .find(|child| child["name"].as_str().is_some_and(|name| name.ends_with("/payments-client")));
            client.expect("the client")["state"]["breaker"].as_str().expect("a state").to_owned()
        };
        wait_until("the breaker opens", PATIENCE, async || (breaker().await != "closed").then_some(())).await;
        let others: Vec<String> = {
            let mut ids = Vec::new();
            for _ in 0..20 {
                ids.push(start(stack).await);
            }
            ids
        };
        for id in others.iter().chain([&first]) {
            let ended = ended(stack, id).await;
            assert_eq!(ended["status"], "COMPLETED", "{ended}");
        }
        wait_until("the breaker is closed", PATIENCE, async || (breaker().await == "closed").then_some(())).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_that_makes_no_progress_is_counted_until_it_does() {
    let options = options().set("orchestrator.stalled_after_ms", 300);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        let stalled = async || {
            let tree = tests::actors::tree(stack, ORCHESTRATOR).await;
            tests::actors::named(&tree, "stall-watch").state["stalled"].as_u64().expect("a number")
        };
        let release = CancellationToken::new();
        link.next(1, CHARGE, Act::HoldReply(release.clone()));
        let id = start(stack).await;
        wait_until("it is called stalled", PATIENCE, async || (stalled().await == 1).then_some(())).await;
        release.cancel();
        assert_eq!(ended(stack, &id).await["status"], "COMPLETED");
        wait_until("nothing is stalled", PATIENCE, async || (stalled().await == 0).then_some(())).await;
    })
    .await;
}
