//! The streams of events themselves: access, limits, cost and end.

use reqwest::Method;
use tests::{
    PATIENCE, Stack, StackOptions, actors,
    events::Listener,
    http::send,
    problem::{assert_bad_fields, assert_problem},
    stack::{ORCHESTRATOR, unknown_saga},
    wait_until, with_stack,
};

use super::{
    buy,
    events::{is_end, order},
};

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_listened_to_is_refused_with_the_reason() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let unknown = format!("/saga/events?saga={}", unknown_saga());
        assert_problem(&stack.get(ORCHESTRATOR, &unknown).await, 404);
        for (query, fields) in [
            ("saga=7", &["saga"][..]),
            ("last_event_id=yesterday", &["last_event_id"]),
            ("last_event_id=1-2&saga=x", &["last_event_id", "saga"]),
        ] {
            assert_bad_fields(&stack.get(ORCHESTRATOR, &format!("/saga/events?{query}")).await, 422, fields);
        }
        for header in ["x", "1-2-3-4", "-1-0-0"] {
            let request = stack.request(Method::GET, ORCHESTRATOR, "/saga/events").header("last-event-id", header);
            let answer = send(request).await;
            assert_bad_fields(&answer, 422, &["Last-Event-ID"]);
            assert!(answer.text.contains("745-12-0"), "it says what an id looks like: {}", answer.text);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_an_api_token_is_set_listeners_need_it() {
    let options = StackOptions::default().set("auth.api_token", "client");
    with_stack(options, async |stack: &Stack| {
        assert_problem(&stack.get(ORCHESTRATOR, "/saga/events").await, 401);
        let request = stack.request(Method::HEAD, ORCHESTRATOR, "/saga/events").bearer_auth("client");
        send(request).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_so_many_and_no_more_until_one_leaves() {
    let options = StackOptions::default().set("orchestrator.max_event_listeners", 2);
    with_stack(options, async |stack: &Stack| {
        let first = Listener::open(stack, "").await;
        let _second = Listener::open(stack, "").await;
        let refused = stack.get(ORCHESTRATOR, "/saga/events").await;
        assert_problem(&refused, 503);
        assert!(refused.header("retry-after").is_some());
        drop(first);
        wait_until("there is room for another one", PATIENCE, async || {
            let request = stack.request(Method::HEAD, ORCHESTRATOR, "/saga/events");
            (send(request).await.status == 200).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn open_streams_take_neither_the_places_of_requests_nor_the_connections_of_the_pool() {
    const LISTENERS: usize = 12;
    let options = StackOptions::default().set("http.max_in_flight", 1);
    with_stack(options, async |stack: &Stack| {
        let mut listeners = Vec::new();
        for _ in 0..LISTENERS {
            listeners.push(Listener::open(stack, "").await);
        }
        let bought = buy(stack, order()).await.expect(200).json();
        for listener in &mut listeners {
            let end = listener.until(is_end).await.pop().expect("there is an end");
            assert_eq!(end.saga(), bought["transaction_id"]);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_ends_the_streams_and_is_not_held_up_by_them() {
    // Longer than the kit waits for a stop.
    let options = StackOptions::default().set("http.drain_grace_ms", PATIENCE.as_millis() * 4);
    with_stack(options, async |stack: &Stack| {
        let mut listeners = [Listener::open(stack, "").await, Listener::open(stack, "").await];
        // One that reads nothing.
        let _idle = Listener::open(stack, "").await;
        buy(stack, order()).await.expect(200);
        stack.stop(ORCHESTRATOR).await;
        for listener in &mut listeners {
            let mut ended = 0;
            while let Some(event) = listener.next().await {
                ended += usize::from(is_end(&event));
            }
            assert!(ended <= 1);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_client_takes_no_more_than_its_share_of_the_places_for_listeners() {
    let options = StackOptions::default()
        .set("orchestrator.max_event_listeners_per_client", 2)
        .set("http.trusted_proxies", "127.0.0.1");
    with_stack(options, async |stack: &Stack| {
        let listen = |client: &str| {
            let request = stack.request(Method::GET, ORCHESTRATOR, "/saga/events");
            request.header("x-forwarded-for", client.to_owned()).send()
        };
        let first = listen("198.51.100.3:4711").await.expect("an answer");
        let second = listen("198.51.100.3:4712").await.expect("an answer");
        assert_eq!((first.status().as_u16(), second.status().as_u16()), (200, 200));
        let refused = listen("198.51.100.3").await.expect("an answer");
        assert_eq!(refused.status().as_u16(), 503);
        assert!(refused.headers().contains_key("retry-after"));
        assert_eq!(listen("198.51.100.4").await.expect("an answer").status().as_u16(), 200);
        drop(first);
        wait_until("there is room for another one", PATIENCE, async || {
            let again = listen("198.51.100.3").await.expect("an answer");
            (again.status().as_u16() == 200).then_some(())
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_are_told_to_come_back_at_different_times() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let mut pauses_ms = Vec::new();
        for _ in 0..20 {
            pauses_ms.push(Listener::open(stack, "").await.retry_ms);
        }
        assert!(pauses_ms.iter().all(|pause_ms| (500..=3_000).contains(pause_ms)), "{pauses_ms:?}");
        pauses_ms.sort_unstable();
        pauses_ms.dedup();
        assert!(pauses_ms.len() > 5, "{pauses_ms:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lag_of_the_events_is_measured_from_their_commit_until_they_are_told() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let lag_ms = async || {
            let tree = actors::tree(stack, ORCHESTRATOR).await;
            actors::named(&tree, "event-reader").state["lag_ms"].as_i64().expect("a lag")
        };
        assert_eq!(lag_ms().await, 0, "nothing to tell, and nobody to be told");
        let mut listener = Listener::open(stack, "").await;
        let insert = "insert into saga_event (saga_id, changes)
                      values (gen_random_uuid(), '[[\"PENDING\", false, null, 0]]')";
        // A change that commits behind a transaction that still runs has to wait for it.
        let slow = stack.new_connection(ORCHESTRATOR).await;
        slow.run("begin").await;
        slow.run(insert).await;
        stack.database(ORCHESTRATOR).await.run(insert).await;
        wait_until("the lag grows", PATIENCE, async || (lag_ms().await > 500).then_some(())).await;
        let metrics = stack.get(ORCHESTRATOR, "/metrics").await.text;
        assert!(metrics.contains("\necommerce_event_lag_seconds "), "{metrics}");
        slow.run("commit").await;
        for _ in 0..2 {
            listener.next().await.expect("it goes on");
        }
        wait_until("the lag is over", PATIENCE, async || (lag_ms().await == 0).then_some(())).await;
    })
    .await;
}
