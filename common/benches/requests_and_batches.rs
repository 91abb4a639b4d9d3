//! Micro-benchmarks of the code on the path of every request and every write: `cargo bench --package common`.
#![allow(missing_docs, reason = "criterion's macros make public functions")]

use std::{borrow::Cow, hint::black_box};

use common::{
    db::Connection,
    fields::Fields,
    group_commit::{BatchError, BatchWriter, Try, in_memory::InMemory},
    ids::{ProductId, TransactionId, UserId},
    money::Money,
    request_hash::RequestHash,
    wire::{payments::ChargeReply, requests::ChargeRequest},
};
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};

const CHARGE: &[u8] = br#"{"user_id":"user-123","transaction_id":"019500c6-0000-7000-8000-000000000000","amount":"99.99","product_id":"1"}"#;

fn read_charge(body: &[u8]) -> [Option<String>; 4] {
    let fields = Fields::parse(body).expect("the body is valid");
    let ChargeRequest { user_id, transaction_id, amount, product_id } =
        fields.into_body().expect("the members are valid");
    [
        Some(user_id.into_string()),
        transaction_id.map(TransactionId::into_string),
        Some(amount.cents().to_string()),
        product_id.map(ProductId::into_string),
    ]
}

fn requests(criterion: &mut Criterion) {
    criterion
        .bench_function("read a charge, field by field", |bencher| bencher.iter(|| read_charge(black_box(CHARGE))));
    let contents = read_charge(CHARGE);
    criterion
        .bench_function("hash a charge", |bencher| bencher.iter(|| RequestHash::of("charge", black_box(&contents))));
    criterion.bench_function("parse an amount", |bencher| bencher.iter(|| Money::parse(black_box("99999999.99"))));
    let reply = ChargeReply {
        payment_id: 42,
        status: "success".to_owned(),
        message: "Payment processed successfully".to_owned(),
        transaction_id: TransactionId::parse("019500c6-0000-7000-8000-000000000000").expect("the id is good"),
        user_id: UserId::parse("user-123").expect("the id is good"),
        product_id: None,
        amount: Money::parse("99.99").expect("the amount is valid"),
    };
    criterion.bench_function("write the reply to a charge", |bencher| {
        bencher.iter(|| serde_json::to_vec(black_box(&reply)));
    });
    let written = serde_json::to_vec(&reply).expect("a reply is JSON");
    criterion.bench_function("read the reply to a charge", |bencher| {
        bencher.iter(|| serde_json::from_slice::<ChargeReply>(black_box(&written)));
    });
}

/// A writer for keys as sagas have them. Its `write` is not called: the benchmark takes the batches itself.
struct InPlace;

impl BatchWriter for InPlace {
    type Item = u64;
    type Answer = u64;

    fn key(item: &u64) -> Cow<'_, str> {
        item.to_string().into()
    }

    async fn write(&self, _: &mut Connection, items: &[u64], _: Try) -> Result<Vec<u64>, BatchError> {
        Ok(items.to_vec())
    }
}

/// Maps a position in the queue to the item's key.
type KeyOfPlace = fn(u64) -> u64;

const QUEUED: u64 = 1_024;
const MAX_BATCH: usize = 256;

/// Measures batching for queues with different shares of equal keys.
fn batches(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("group commit");
    group.throughput(Throughput::Elements(QUEUED));
    let keys: [(&str, KeyOfPlace); 3] = [
        ("all keys differ", |place| place),
        ("each key twice", |place| place / 2),
        ("every eighth of one key", |place| if place.is_multiple_of(8) { 0 } else { place }),
    ];
    for (name, key) in keys {
        let fill = || {
            let mut queue = InMemory::<InPlace>::default();
            let answers: Vec<_> = (0..QUEUED).map(|place| queue.push(key(place))).collect();
            (queue, answers)
        };
        group.bench_function(name, |bencher| {
            let empty = |(mut queue, answers): (InMemory<InPlace>, Vec<_>)| {
                while queue.write_next(MAX_BATCH, <[u64]>::to_vec) > 0 {}
                answers
            };
            bencher.iter_batched(fill, empty, BatchSize::SmallInput);
        });
    }
    group.finish();
}

criterion_group!(benches, requests, batches);
criterion_main!(benches);
