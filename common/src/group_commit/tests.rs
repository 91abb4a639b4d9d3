//! Tests of group commit against a real server. Their writer pauses where a test tells it to, and records its batches.

mod batches;
mod outages;
mod reads;
mod refusals;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use futures::future::BoxFuture;
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio_postgres::Client;

use super::{BatchError, BatchSender, BatchWriter, Ordering, Try, Written};
use crate::config::GroupCommitSettings;
use crate::db::test_server::{TestDatabase, wait_until};
use crate::db::{Connection, Pool};
use crate::supervision::{ActorEntry, Backoff, Budget, Root, SupervisorSpec, start};
use crate::traces::Tracer;

const TABLES: &str = "
    create table entry (
        id text primary key,
        key text not null,
        value smallint not null check (value >= 0),
        position bigserial
    )";
const FIND: &str = "select id from entry where id = any($1)";
const INSERT: &str = "
    insert into entry (id, key, value)
    select id, key, value from unnest($1::text[], $2::text[], $3::int[]) as i(id, key, value)";

/// One row to write.
#[derive(Clone, Debug)]
struct Entry {
    id: String,
    key: String,
    value: i32,
}

/// Creates an entry whose key is its id.
fn entry(id: impl Into<String>) -> Entry {
    let id = id.into();
    Entry { key: id.clone(), id, value: 0 }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Inserted,
    WasThere,
}

/// Callback between the look-up and the insert of the writer's `nth` call.
type Between = Arc<dyn for<'c> Fn(u64, &'c mut Connection) -> BoxFuture<'c, Result<(), BatchError>> + Send + Sync>;

struct EntryWriter {
    calls: AtomicU64,
    batches: Arc<Mutex<Vec<Vec<Entry>>>>,
    between: Between,
}

impl BatchWriter for EntryWriter {
    type Item = Entry;
    type Answer = Answer;

    fn key(item: &Entry) -> Cow<'_, str> {
        Cow::Borrowed(&item.key)
    }

    fn goes_alone(item: &Entry) -> bool {
        item.key.starts_with("alone")
    }

    async fn write(&self, connection: &mut Connection, items: &[Entry], _: Try) -> Result<Vec<Answer>, BatchError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed);
        self.batches.lock().push(items.to_vec());
        let ids: Vec<&str> = items.iter().map(|item| item.id.as_str()).collect();
        let rows = connection.query(FIND, &[&ids]).await?;
        let there: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
        (self.between)(call, connection).await?;
        let new: Vec<&Entry> = items.iter().filter(|item| !there.contains(&item.id.as_str())).collect();
        let ids: Vec<&str> = new.iter().map(|item| item.id.as_str()).collect();
        let keys: Vec<&str> = new.iter().map(|item| item.key.as_str()).collect();
        let values: Vec<i32> = new.iter().map(|item| item.value).collect();
        connection.execute(INSERT, &[&ids, &keys, &values]).await?;
        let answer = |item: &Entry| if there.contains(&item.id.as_str()) { Answer::WasThere } else { Answer::Inserted };
        Ok(items.iter().map(answer).collect())
    }
}

/// The id of an entry, and the outcome that its caller received.
type Answered = (String, Written<Answer>);

/// A ledger in its own supervision tree.
struct Bench {
    ledger: BatchSender<EntryWriter>,
    entry: Arc<ActorEntry>,
    batches: Arc<Mutex<Vec<Vec<Entry>>>>,
    root: Root,
}

fn nothing() -> Between {
    Arc::new(|_, _| Box::pin(async { Ok(()) }))
}

/// Holds every batch until the test adds a permit, one per batch.
fn gate() -> (Arc<tokio::sync::Semaphore>, Between) {
    let gate = Arc::new(tokio::sync::Semaphore::new(0));
    let held = gate.clone();
    let between: Between = Arc::new(move |_, _| {
        let gate = held.clone();
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(())
        })
    });
    (gate, between)
}

impl Bench {
    async fn new(pool: Pool, between: Between) -> Bench {
        Self::with(pool, between, GroupCommitSettings { max_batch: 512, max_queue: 8192 }).await
    }

    async fn with(pool: Pool, between: Between, settings: GroupCommitSettings) -> Bench {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let stack = format!("group-commit-test-{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let batches = Arc::<Mutex<Vec<Vec<Entry>>>>::default();
        let writer = EntryWriter { calls: AtomicU64::new(0), batches: batches.clone(), between };
        let entry = ActorEntry::new(format!("{stack}/test/ledger"), "group commit");
        let (ledger, child) = BatchSender::new(entry.clone(), "test", pool, writer, &settings, Tracer::off());
        let root = start(SupervisorSpec {
            entry: ActorEntry::new(format!("{stack}/test"), "supervisor"),
            budget: Budget { max_restarts: 5, within: Duration::from_secs(10) },
            backoff: Backoff { min: Duration::from_millis(10), max: Duration::from_millis(100) },
            children: vec![child],
        })
        .await
        .unwrap();
        Bench { ledger, entry, batches, root }
    }

    fn write(&self, entry: Entry) -> JoinHandle<Written<Answer>> {
        let ledger = self.ledger.clone();
        tokio::spawn(async move { ledger.write(entry).await })
    }

    async fn wait_for_queue(&self, depth: usize) {
        wait_until("the length of the queue", async || self.entry.view().queue_depth == Some(depth)).await;
    }

    async fn wait_for_batches(&self, count: usize) {
        wait_until("a batch", async || self.batches.lock().len() >= count).await;
    }

    fn batches(&self) -> Vec<Vec<Entry>> {
        self.batches.lock().clone()
    }

    async fn stop(self) {
        self.root.stop(Duration::from_secs(20)).await;
    }
}

/// Returns id and value of each row, in insertion order.
async fn rows(client: &Client) -> Vec<(String, i16)> {
    let rows = client.query("select id, value from entry order by position", &[]).await.unwrap();
    rows.iter().map(|row| (row.get(0), row.get(1))).collect()
}

/// Checks that no answer claims more than the table holds, and returns the number of answers of each kind.
async fn check_honesty(database: &TestDatabase<'_>, answers: &[Answered]) -> HashMap<&'static str, usize> {
    let there: Vec<String> = rows(&database.client().await).await.into_iter().map(|(id, _)| id).collect();
    let mut counts = HashMap::new();
    for (id, written) in answers {
        let kind = match written {
            Written::Committed(_) => "committed",
            Written::Rejected(_) => "rejected",
            Written::NotWritten(_) => "not written",
            Written::InDoubt(_) => "in doubt",
        };
        *counts.entry(kind).or_default() += 1;
        match written {
            Written::Committed(_) => assert!(there.contains(id), "{id} was lost"),
            Written::Rejected(_) | Written::NotWritten(_) => {
                assert!(!there.contains(id), "{id} is there, but the answer was {written:?}");
            }
            Written::InDoubt(_) => {}
        }
    }
    counts
}
