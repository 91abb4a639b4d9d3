//! Two cells, each a whole system on a server of its own: purchases by user, requests about a purchase at any cell, and an
//! audit of each.

use std::{net::SocketAddr, time::Duration};

use common::ids::cell_of;
use ecommerce::facts::{self, Limits};
use futures::future::join_all;
use orchestrator::invariants::Run;
use reqwest::Method;
use saga_engine::SagaId;
use serde_json::{Value, json};
use tests::{
    PATIENCE, Stack, StackOptions,
    events::Listener,
    http::{Answer, send, try_send},
    private_cluster::PrivateCluster,
    problem::assert_problem,
    stack::{ORCHESTRATOR, with_json},
    wait_until, with_stack,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    time::timeout,
};
use uuid::Uuid;

const USERS: usize = 12;

/// Two cells, and for each the orchestrator that knows the address of the other one.
struct Cells<'a>([(&'a Stack, SocketAddr); 2]);

impl Cells<'_> {
    /// Returns the cell of a user: that of all its purchases, so that its keys are unique.
    fn of_user(user: &str) -> usize {
        user.bytes().map(usize::from).sum::<usize>() % 2
    }

    async fn ask(&self, cell: usize, method: Method, path: &str) -> Answer {
        let (stack, address) = self.0[cell];
        send(stack.request_at(method, address, path)).await
    }

    async fn get(&self, cell: usize, path: &str) -> Answer {
        self.ask(cell, Method::GET, path).await
    }

    async fn post(&self, cell: usize, path: &str, body: Value) -> Answer {
        let (stack, address) = self.0[cell];
        send(with_json(stack.request_at(Method::POST, address, path), body)).await
    }

    async fn buy(&self, user: &str) -> String {
        let order = json!({ "user_id": user, "product_id": 1, "amount": 5 });
        let answer = self.post(Self::of_user(user), "/saga/transaction", order).await.expect(200).json();
        answer["transaction_id"].as_str().expect("an id").to_owned()
    }
}

async fn with_two_cells(options: StackOptions, test: impl AsyncFnOnce(&Cells<'_>)) {
    let servers = futures::join!(PrivateCluster::start(), PrivateCluster::start());
    let first = options.clone().on_server(&servers.0.url).set("orchestrator.cell", 5);
    with_stack(first, async |first: &Stack| {
        let url = |stack: &Stack| format!("http://{}", stack.address(ORCHESTRATOR));
        let second = options.on_server(&servers.1.url).set("orchestrator.cell", 42);
        let second =
            second.set("orchestrator.cells.5.url", url(first)).set("orchestrator.cells.42.url", "http://127.0.0.1:1");
        with_stack(second, async |second: &Stack| {
            let second_url = url(second);
            first
                .add_replica_with(ORCHESTRATOR, |settings| {
                    settings.orchestrator.cells.get_mut("42").expect("there are 64").url = second_url;
                })
                .await;
            let front = first.addresses_of(ORCHESTRATOR)[1];
            test(&Cells([(first, front), (second, second.address(ORCHESTRATOR))])).await;
        })
        .await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn any_cell_answers_requests_about_the_purchases_of_both() {
    with_two_cells(StackOptions::default(), async |cells| {
        let numbers = [5, 42];
        let users: Vec<String> = (0..USERS).map(|number| format!("user-{number}")).collect();
        let ids = join_all(users.iter().map(|user| cells.buy(user))).await;
        for (user, id) in users.iter().zip(&ids) {
            let own = Cells::of_user(user);
            let uuid: Uuid = id.parse().expect("a UUID");
            assert_eq!(cell_of(uuid), Some(numbers[own]));
            let path = format!("/saga/status/{id}");
            let [near, far] = [cells.get(own, &path).await, cells.get(1 - own, &path).await];
            assert_eq!((near.status, &near.text), (far.status, &far.text), "passed on unchanged");
            assert_eq!(near.header("content-type"), far.header("content-type"));
            let status = far.expect(200).json();
            assert_eq!((&status["cell"], &status["status"]), (&json!(numbers[own]), &json!("COMPLETED")));
            let inspected = cells.get(1 - own, &format!("/saga/{id}/inspect")).await.expect(200).json();
            assert_eq!(inspected["log"]["status"], "COMPLETED");
            for action in ["cancel", "retry"] {
                let refused = cells.post(1 - own, &format!("/saga/{id}/{action}"), json!({})).await;
                assert_problem(&refused, 409);
                assert_eq!(refused.json()["transaction_id"], *id.as_str());
            }
            assert_problem(&cells.post(1 - own, &format!("/saga/{id}/resolve"), json!({ "note": "n" })).await, 409);
            let (stack, address) = cells.0[1 - own];
            let head = send(stack.request_at(Method::HEAD, address, &path)).await;
            assert_eq!((head.status, head.text.as_str()), (200, ""));
        }
        for (cell, number) in numbers.into_iter().enumerate() {
            let list = cells.get(cell, "/saga/transactions").await.expect(200).json();
            let rows = list["transactions"].as_array().expect("a list");
            let own = users.iter().filter(|user| Cells::of_user(user) == cell).count();
            assert_eq!(rows.len(), own, "a list is of one cell");
            assert!(rows.iter().all(|row| row["cell"] == number), "{list}");
            let report = facts::audit(&cells.0[cell].0.settings, Run::Over, Limits::default())
                .await
                .expect("the databases can be read");
            assert!(report.is_clean(), "{report:?}");
            assert_eq!(report.verdicts[0].looked_at, u64::try_from(own).expect("few"));
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_secret_of_a_purchase_passes_through_the_other_cell() {
    const SECRET: &str = "a-secret-of-the-client";
    with_two_cells(StackOptions::default(), async |cells| {
        let (stack, address) = cells.0[0];
        let buy = stack.request_at(Method::POST, address, "/saga/transaction").header("saga-secret", SECRET);
        let order = json!({ "user_id": "ada", "product_id": 1, "amount": 5 });
        let bought = send(with_json(buy, order)).await.expect(200).json();
        let id = bought["transaction_id"].as_str().expect("an id");
        let (other, address) = cells.0[1];
        for (method, path, done) in [
            (Method::GET, format!("/saga/status/{id}"), 200),
            (Method::HEAD, format!("/saga/events?saga={id}"), 200),
            (Method::POST, format!("/saga/{id}/cancel"), 409),
        ] {
            let ask = || with_json(other.request_at(method.clone(), address, &path), "{}");
            send(ask()).await.expect(404);
            send(ask().header("saga-secret", SECRET)).await.expect(done);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_events_and_the_cancel_of_a_running_purchase_pass_through_the_other_cell() {
    let options = StackOptions::default().through_proxy("payments");
    with_two_cells(options, async |cells| {
        let user = "user-0";
        let own = Cells::of_user(user);
        cells.0[own].0.proxy("payments").hold();
        let order = json!({ "user_id": user, "product_id": 1, "amount": 5 });
        let (stack, address) = cells.0[own];
        let request = stack.request_at(Method::POST, address, "/saga/transaction").header("prefer", "respond-async");
        let id = send(with_json(request, order)).await.expect(202).json()["transaction_id"].clone();
        let id = id.as_str().expect("an id");
        let (other, address) = cells.0[1 - own];
        let mut listener = Listener::open_at(other, address, &format!("?saga={id}")).await;
        let first = listener.next().await.expect("its state");
        assert_eq!((&first.data["cell"], first.brief().as_str()), (&json!([5, 42][own]), "PENDING"));
        cells.post(1 - own, &format!("/saga/{id}/cancel"), json!({})).await.expect(202);
        stack.proxy("payments").flow();
        listener.until(|event| event.name == "saga" && event.data["ended"] == true).await;
        let status = cells.get(1 - own, &format!("/saga/status/{id}")).await.expect(200).json();
        assert_eq!(status["status"], "COMPENSATED");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_that_leaves_ends_its_stream_at_a_silent_cell_too() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", silent.local_addr().expect("it is bound"));
    let options =
        StackOptions::default().set("orchestrator.cell", 5).set("orchestrator.cells.5.url", "http://127.0.0.1:1");
    with_stack(options.set("orchestrator.cells.42.url", url), async |stack: &Stack| {
        let id = common::ids::uuid_v7_of_cell(chrono::Utc::now(), 42);
        let query = format!("?saga={id}");
        let listen = Listener::open(stack, &query);
        let serve = async {
            let (mut connection, _) = silent.accept().await.expect("the request is forwarded");
            let mut request = [0; 16];
            connection.read_exact(&mut request).await.expect("the request is sent");
            assert_eq!(&request, b"GET /saga/events");
            let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n:\nid:1-0-0\nretry:1000\n\n";
            connection.write_all(head.as_bytes()).await.expect("the head is sent");
            connection
        };
        let (listener, mut connection) = futures::join!(listen, serve);
        drop(listener);
        let mut rest = Vec::new();
        timeout(PATIENCE, connection.read_to_end(&mut rest)).await.expect("it is closed").expect("its end is read");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_is_forwarded_once_and_only_where_its_cell_is_known_and_there() {
    with_two_cells(StackOptions::default(), async |cells| {
        let id_of = |cell| {
            let hour = Duration::from_secs(3_600);
            SagaId(common::ids::uuid_v7_of_cell((std::time::SystemTime::now() - hour).into(), cell))
        };
        // The own number, a number without an address, another version, and a young id of another cell.
        for (id, status) in [
            (id_of(42).0, 404),
            (id_of(6).0, 404),
            (Uuid::new_v4(), 404),
            (common::ids::uuid_v7_of_cell(chrono::Utc::now(), 5), 503),
        ] {
            let answer = cells.get(1, &format!("/saga/status/{id}")).await;
            assert_problem(&answer, status);
            assert_eq!(answer.json()["decided_by"].is_string(), status == 503, "{}", answer.text);
        }
        // A purchase of the first cell, asked for as if the first cell had forwarded the question.
        let user = (0..).map(|number| format!("user-{number}")).find(|user| Cells::of_user(user) == 0);
        let id = cells.buy(&user.expect("one of them")).await;
        let path = format!("/saga/status/{id}");
        let (stack, address) = cells.0[1];
        let forwarded = stack.request_at(Method::GET, address, &path).header("saga-cell-forwarded", "5");
        assert!([404, 503].contains(&send(forwarded).await.status), "it is not forwarded again");
        // A row with a number that is not its cell's, like those of before.
        let moved =
            "insert into saga select (jsonb_populate_record(s, jsonb_build_object('id', $1::text))).* from saga s";
        let foreign = id_of(42);
        cells.0[0].0.database(ORCHESTRATOR).await.rows(moved, &[&foreign.to_string()]).await;
        let own = cells.get(0, &format!("/saga/status/{foreign}")).await.expect(200).json();
        assert_eq!((&own["cell"], &own["status"]), (&json!(5), &json!("COMPLETED")));

        cells.0[0].0.stop(ORCHESTRATOR).await;
        let away = cells.get(1, &path).await;
        assert_problem(&away, 503);
        assert_eq!((&away.json()["transaction_id"], away.header("retry-after")), (&json!(id), Some("1")));
        cells.0[0].0.start_again(ORCHESTRATOR).await;
        wait_until("its cell answers again", PATIENCE, async || {
            let answer = try_send(stack.request_at(Method::GET, address, &path)).await.ok()?;
            (answer.status == 200).then_some(())
        })
        .await;
    })
    .await;
}
