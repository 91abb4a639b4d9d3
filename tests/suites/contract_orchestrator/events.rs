//! The changes of sagas as server-sent events.

use serde_json::json;
use tests::{
    PATIENCE, Stack, StackOptions, actors,
    events::{Event, Listener},
    http::send,
    stack::{ORCHESTRATOR, with_json},
    transactions, wait_until, with_stack,
};
use uuid::Uuid;

use super::buy;

pub(super) fn order() -> serde_json::Value {
    json!({ "user_id": "u", "product_id": 1, "amount": 5 })
}

pub(super) fn is_end(event: &Event) -> bool {
    event.data["ended"] == true
}

fn brief(events: &[Event]) -> Vec<String> {
    events.iter().map(Event::brief).collect()
}

/// Makes every event older than any is kept.
const AGE: &str = "update saga_event set at = at - interval '400 days';
                   update saga set ended_at = ended_at - interval '400 days'";

#[tokio::test(flavor = "multi_thread")]
async fn every_change_of_a_saga_and_its_steps_is_told_in_order() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut listener = Listener::open(stack, "").await;
        let bought = buy(stack, order()).await.expect(200).json();
        let events = listener.until(is_end).await;
        let steps = ["choose", "charge", "decrease", "create"];
        let mut expected = vec!["PENDING".to_owned()];
        expected.extend(steps.iter().flat_map(|step| [format!("{step} running"), format!("{step} done")]));
        expected.push("COMPLETED!".to_owned());
        assert_eq!(brief(&events), expected);
        assert!(events.iter().all(|event| event.saga() == bought["transaction_id"]));
        let charge = &events[3].data;
        assert_eq!(
            (&charge["participant"], &charge["attempts"], &charge["error"]),
            (&json!("payments"), &json!(1), &json!(null))
        );

        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        let refused = buy(stack, order()).await.expect(409).json();
        let events = listener.until(is_end).await;
        let error = &refused["details"]["error"];
        let told = brief(&events);
        let turn = told.iter().position(|event| event == "COMPENSATING").expect("it turned back");
        assert_eq!(told[turn - 1], "create refused");
        assert_eq!(told[turn + 1..], ["charge compensating", "charge compensated", "COMPENSATED!"]);
        assert_eq!((&events[turn].data["error"], &events[turn + 3].data["error"]), (error, error));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_changes_of_a_slow_step_are_told_while_the_saga_waits_for_it() {
    let options = StackOptions::default().set("http.drain_grace_ms", 100);
    with_stack(options, async |stack: &Stack| {
        let slow = json!({ "decrease": { "latency_ms": { "min": 60_000, "max": 60_000 } } });
        stack.set_faults("inventory", slow).await;
        let mut listener = Listener::open(stack, "").await;
        let purchase = buy(stack, order());
        let listen = async {
            let events = listener.until(|event| event.brief() == "decrease running").await;
            assert_eq!(brief(&events)[..3], ["PENDING", "choose running", "choose done"]);
            stack.restart("inventory").await;
        };
        let (answer, ()) = futures::join!(purchase, listen);
        assert!([200, 409].contains(&answer.status), "{}", answer.text);
        let told = brief(&listener.until(is_end).await);
        assert!(told.contains(&"decrease backing_off".to_owned()), "{told:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_is_told_once_and_every_later_attempt_to_undo_is_told_too() {
    let options = StackOptions::default().set("orchestrator.attention_after_attempts", 1);
    with_stack(options, async |stack: &Stack| {
        stack.set_faults("purchases", json!({ "create": { "failure_rate": 1 } })).await;
        stack.set_faults("payments", json!({ "refund": { "failure_rate": 1 } })).await;
        let mut listener = Listener::open(stack, "").await;
        buy(stack, order()).await.expect(502);
        listener.until(|event| event.brief() == "FAILED").await;
        let mut failures = 0;
        let later = listener
            .until(|event| {
                failures += usize::from(event.brief() == "charge compensating" && event.data["error"].is_string());
                failures == 4
            })
            .await;
        assert!(!brief(&later).contains(&"FAILED".to_owned()), "{later:?}");
        stack.set_faults("payments", json!({ "refund": { "failure_rate": 0 } })).await;
        let end = brief(&listener.until(is_end).await);
        assert_eq!(end[end.len() - 2..], ["charge compensated", "COMPENSATED!"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_with_an_id_goes_on_after_it_from_any_of_them() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut listener = Listener::open(stack, "").await;
        let start = listener.last_id.clone();
        for _ in 0..3 {
            buy(stack, order()).await.expect(200);
        }
        let mut ends = 0;
        let events = listener
            .until(|event| {
                ends += usize::from(is_end(event));
                ends == 3
            })
            .await;
        drop(listener);
        let ids: Vec<&str> = events.iter().map(|event| event.id.as_str()).collect();
        for (sent, id) in std::iter::once(start.as_str()).chain(ids.iter().copied()).enumerate().step_by(4) {
            // By the header, or by the parameter; the header counts where both are there.
            for mut listener in [
                Listener::come_back(stack, "", id).await,
                Listener::open(stack, &format!("?last_event_id={id}")).await,
                Listener::come_back(stack, &format!("?last_event_id={start}"), id).await,
            ] {
                for expected in &ids[sent..] {
                    assert_eq!(listener.next().await.expect("it goes on").id, *expected, "after {id}");
                }
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_one_saga_the_present_state_comes_first_and_then_only_what_is_its() {
    let options = StackOptions::default().set("http.drain_grace_ms", 100);
    with_stack(options, async |stack: &Stack| {
        let done = buy(stack, order()).await.expect(200).json();
        let id = done["transaction_id"].as_str().unwrap();
        let mut listener = Listener::open(stack, &format!("?saga={id}")).await;
        let first = listener.next().await.expect("the present state comes first");
        assert_eq!((first.brief().as_str(), first.saga()), ("COMPLETED!", id));

        let slow = json!({ "charge": { "latency_ms": { "min": 60_000, "max": 60_000 } } });
        stack.set_faults("payments", slow).await;
        let mut all = Listener::open(stack, "").await;
        let purchase = buy(stack, order());
        let listen = async {
            let id = all.next().await.expect("it begins").saga().to_owned();
            let mut listener = Listener::open(stack, &format!("?saga={id}")).await;
            assert_eq!(listener.next().await.expect("the present state comes first").brief(), "PENDING");
            stack.restart("payments").await;
            // The changes of another saga are not sent.
            buy(stack, order()).await.expect(200);
            let events = listener.until(is_end).await;
            assert!(events.iter().all(|event| event.saga() == id), "{events:?}");
            assert!(!brief(&events).contains(&"PENDING".to_owned()), "{events:?}");
        };
        futures::join!(purchase, listen);
    })
    .await;
}

/// Before a saga ends, its changes are written only with a flush of the outbox, which comes late here.
fn rarely_told() -> StackOptions {
    StackOptions::default().set("orchestrator.event_flush_ms", 5_000).set("http.drain_grace_ms", 100)
}

async fn charge_takes_ms(stack: &Stack, ms: u64) {
    stack.set_faults("payments", json!({ "charge": { "latency_ms": { "min": ms, "max": ms } } })).await;
}

/// Starts a purchase and leaves it to itself; returns its id.
async fn start(stack: &Stack) -> String {
    let request = stack.request(reqwest::Method::POST, ORCHESTRATOR, "/saga/transaction");
    let answer = send(with_json(request.header("prefer", "respond-async"), order())).await.expect(202);
    answer.json()["transaction_id"].as_str().expect("an id").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_listens_to_a_saga_before_anything_of_it_is_told_hears_once_that_it_has_begun() {
    with_stack(rarely_told(), async |stack: &Stack| {
        charge_takes_ms(stack, 60_000).await;
        let id = start(stack).await;
        let mut listener = Listener::open(stack, &format!("?saga={id}")).await;
        let events = listener.until(|event| event.brief() == "charge running").await;
        stack.restart("payments").await;
        let told: Vec<_> = brief(&events).into_iter().chain(brief(&listener.until(is_end).await)).collect();
        let begins = told.iter().filter(|event| *event == "PENDING").count();
        assert_eq!((begins, told[0].as_str()), (1, "PENDING"), "{told:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_the_database_refuses_takes_no_event_of_another_saga_along() {
    let options = StackOptions::default().set("orchestrator.event_flush_ms", 1_000);
    with_stack(options, async |stack: &Stack| {
        charge_takes_ms(stack, 60_000).await;
        let ids = [start(stack).await, start(stack).await];
        let refuse = format!(
            "create function refuse() returns trigger language plpgsql as $$ begin
                 raise exception 'refused' using errcode = 'check_violation';
             end $$;
             create trigger refuse before insert on saga_event for each row when (new.saga_id = '{}')
             execute function refuse()",
            ids[0]
        );
        let saga_log = stack.database(ORCHESTRATOR).await;
        saga_log.run(&refuse).await;
        let mut listener = Listener::open(stack, &format!("?saga={}", ids[1])).await;
        listener.until(|event| event.brief() == "charge running").await;
        saga_log.run("drop trigger refuse on saga_event").await;
        stack.restart("payments").await;
        for id in &ids {
            wait_until("it completes", PATIENCE, async || {
                let status = stack.get(ORCHESTRATOR, &format!("/saga/status/{id}")).await.json()["status"].clone();
                (status == "COMPLETED").then_some(())
            })
            .await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_saga_whose_owner_dies_before_it_tells_anything_is_told_from_its_begin() {
    let options = rarely_told().set("orchestrator.node_id", "the-node").set("orchestrator.event_flush_ms", 60_000);
    with_stack(options, async |stack: &Stack| {
        charge_takes_ms(stack, 60_000).await;
        let before = Listener::open(stack, "").await.last_id;
        let id = start(stack).await;
        stack.crash(ORCHESTRATOR).await;
        charge_takes_ms(stack, 0).await;
        stack.start_again(ORCHESTRATOR).await;
        let told = Listener::come_back(stack, "", &before).await.until(is_end).await;
        assert!(told.iter().all(|event| event.saga() == id), "{told:?}");
        let statuses: Vec<_> = told.iter().filter(|event| event.name == "saga").map(Event::brief).collect();
        assert_eq!((statuses.len(), told[0].brief().as_str()), (2, "PENDING"), "{told:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_away_for_longer_than_events_are_kept_is_told_of_the_gap() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut listener = Listener::open(stack, "").await;
        let start = listener.last_id.clone();
        let mut old = Vec::new();
        for _ in 0..2 {
            buy(stack, order()).await.expect(200);
            old.extend(listener.until(is_end).await);
        }
        drop(listener);
        let database = stack.database(ORCHESTRATOR).await;
        database.run(AGE).await;
        wait_until("the old events are pruned", PATIENCE, async || {
            let left = "select (select count(*) from saga_event) + (
                            select count(*) from saga join saga_event_horizon on ended_transaction > transaction)";
            (database.number(left, &[]).await == 0).then_some(())
        })
        .await;
        buy(stack, order()).await.expect(200);
        for id in [&start, &old[0].id] {
            let mut listener = Listener::come_back(stack, "", id).await;
            let gap = listener.next().await.expect("it goes on");
            assert_eq!((gap.name.as_str(), &gap.data["last_event_id"]), ("gap", &json!(id)));
            assert_eq!(brief(&listener.until(is_end).await).first().map(String::as_str), Some("PENDING"));
            // With the id of the gap, there is no gap.
            let mut again = Listener::come_back(stack, "", &gap.id).await;
            assert_eq!(again.next().await.expect("it goes on").brief(), "PENDING");
        }
        // A listener that had seen everything that was pruned misses nothing.
        let mut listener = Listener::come_back(stack, "", &old[old.len() - 1].id).await;
        assert_eq!(listener.next().await.expect("it goes on").brief(), "PENDING");
        // An id of another database, from before a dump was restored.
        let mut listener = Listener::come_back(stack, "", "999999999999-1-0").await;
        assert_eq!(listener.next().await.expect("it goes on").name, "gap");
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_committed_late_is_not_skipped_and_what_came_after_it_waits() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut listener = Listener::open(stack, "").await;
        let (early, late) = (Uuid::now_v7(), Uuid::now_v7());
        let insert = |id: Uuid| {
            let change = json!([{ "kind": "saga", "status": "PENDING", "ended": false, "error": null,
                                  "at": "2026-01-01T00:00:00Z" }]);
            format!("insert into saga_event (saga_id, changes) values ('{id}', '{change}')")
        };
        let slow = stack.new_connection(ORCHESTRATOR).await;
        slow.run("begin").await;
        slow.run(&insert(early)).await;
        stack.database(ORCHESTRATOR).await.run(&insert(late)).await;
        // The reader has looked again and again by then.
        let looks = async || {
            let tree = actors::tree(stack, ORCHESTRATOR).await;
            actors::named(&tree, "event-reader").messages_handled
        };
        let before = looks().await;
        wait_until("the reader has looked", PATIENCE, async || (looks().await > before + 6).then_some(())).await;
        slow.run("commit").await;
        for expected in [early, late] {
            assert_eq!(listener.next().await.expect("it goes on").saga(), expected.to_string());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_does_not_keep_up_misses_nothing() {
    const WRITERS: i64 = 4;
    const EACH: i64 = 3_000;
    // The listener reads nothing while they write, and a slow machine is not a dead client.
    let options = StackOptions::default().set("http.write_timeout_ms", 600_000);
    with_stack(options, async |stack: &Stack| {
        let mut listener = Listener::open(stack, "").await;
        // It reads nothing while they write more than all buffers on the way hold.
        let write = async |writer: i64| {
            let connection = stack.new_connection(ORCHESTRATOR).await;
            for number in 0..EACH {
                let insert = format!(
                    "insert into saga_event (saga_id, changes)
                     select '{}', json_build_array(json_build_object('kind', 'saga', 'status', 'PENDING', 'ended', false,
                         'error', '{number} ' || repeat('x', 2000), 'at', '2026-01-01T00:00:00Z'))",
                    Uuid::from_u64_pair(0, writer as u64)
                );
                // Every other transaction lasts for some statements, so that they overlap.
                match number % 2 {
                    0 => connection.run(&insert).await,
                    _ => {
                        for sql in ["begin", &insert, "select 1", "select 2", "commit"] {
                            connection.run(sql).await;
                        }
                    }
                }
            }
        };
        futures::future::join_all((0..WRITERS).map(write)).await;
        let mut next = vec![0; WRITERS as usize];
        for _ in 0..WRITERS * EACH {
            let event = listener.next().await.expect("it goes on");
            let writer = event.saga().parse::<Uuid>().unwrap().as_u64_pair().1 as usize;
            let text = event.data["error"].as_str().unwrap();
            let number: i64 = text.split(' ').next().unwrap().parse().unwrap();
            assert_eq!(number, next[writer], "of writer {writer}");
            next[writer] += 1;
        }
        assert_eq!(next, vec![EACH; WRITERS as usize]);
    })
    .await;
}
