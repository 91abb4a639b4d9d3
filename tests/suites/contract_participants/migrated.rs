//! Decisions of an earlier version, with a row for the effect and one for the decision, stay the same in migration V4,
//! which makes one row of both.

use common::request_hash::RequestHash;
use serde_json::Value;
use tests::{
    Stack, StackOptions,
    http::send,
    operations::{OPERATIONS, Operation, Outcome},
    with_stack,
};

/// An answer of an earlier version, which this one would word otherwise.
const REPLY: &str = r#"{"status":"error","message":"as it was worded then"}"#;

/// How the database of a service was before the migration, and the migration.
fn migrations(service: &str) -> [&'static str; 4] {
    macro_rules! of {
        ($($file:literal),*) => { [$(include_str!(concat!("../../../sql/", $file))),*] };
    }
    match service {
        "payments" => of!(
            "payments/V1__payments.sql",
            "payments/V2__domains.sql",
            "payments/V3__compensated.sql",
            "payments/V4__one_row_needs_4.sql"
        ),
        "inventory" => of!(
            "inventory/V1__inventory.sql",
            "inventory/V2__stock_must_be_there.sql",
            "inventory/V3__domains.sql",
            "inventory/V4__one_row_needs_4.sql"
        ),
        _ => of!(
            "purchases/V1__purchases.sql",
            "purchases/V2__domains.sql",
            "purchases/V3__cancelled.sql",
            "purchases/V4__one_row_needs_4.sql"
        ),
    }
}

/// The effect of the usual action of an operation, as earlier versions stored it.
fn effect(service: &str, id: &str, is_undone: bool) -> String {
    match (service, is_undone) {
        ("payments", _) => format!(
            "insert into app_payment (user_id, transaction_id, product_id, amount, status, compensated_at)
             values ('user-1', '{id}', '1', 99.90, {});",
            if is_undone { "'compensated', now()" } else { "'success', null" }
        ),
        ("inventory", false) => format!("insert into stock_movement values ('{id}', 'decrement', '1', 1);"),
        ("inventory", true) => {
            format!("insert into stock_movement values ('{id}', 'decrement', '1', 1), ('{id}', 'restore', '1', 1);")
        }
        _ => format!(
            "insert into app_purchase (user_id, transaction_id, product_id, payment_id, amount, status, cancelled_at)
             values ('user-1', '{id}', '1', '42', 99.90, {});",
            if is_undone { "'cancelled', now()" } else { "'success', null" }
        ),
    }
}

fn hash(operation: &Operation) -> String {
    let fields: &[&str] = match operation.service {
        "payments" => &["user-1", "9990", "1"],
        "inventory" => &["1", "1"],
        _ => &["user-1", "1", "42", "9990"],
    };
    let fields: Vec<Option<String>> = fields.iter().map(|field| Some((*field).to_owned())).collect();
    let hash = RequestHash::of(operation.action, &fields);
    hash.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes the database that an earlier version left, and migrates it.
async fn migrate(stack: &Stack, operation: &Operation) {
    let database = stack.database(operation.service).await;
    let [first, second, third, migration] = migrations(operation.service);
    let (act, undo, hash) = (operation.action, operation.compensation, hash(operation));
    let decided = |id: &str, operation: &str, status: i16, hash: &str, tombstone: bool| {
        format!(
            "insert into step_journal (transaction_id, operation, request_hash, hash_version, status, reply, tombstone,
                                       from_saga, step, attempt, epoch)
             values ('{id}', '{operation}', {hash}, 1, {status}, '{REPLY}', {tombstone}, true, 'a step', 2, 3);"
        )
    };
    let hash = format!("'\\x{hash}'");
    let rows: String = [
        effect(operation.service, "done", false) + &decided("done", act, 200, &hash, false),
        decided("refused", act, 409, &hash, false),
        effect(operation.service, "undone", true) + &decided("undone", act, 200, &hash, false),
        decided("undone", undo, 200, "null", false),
        decided("tombstone", act, 409, "null", true) + &decided("tombstone", undo, 200, "null", false),
    ]
    .concat();
    let refused = match operation.service {
        "payments" => effect("payments", "refused", false).replace("'success'", "'error'"),
        "inventory" => "insert into inventory_inventory (product_id, quantity, initial_quantity) values ('1', 99, 100);
                        insert into step_journal (transaction_id, operation, hash_version, status, reply, from_saga)
                        values ('delivery', 'restock', 1, 409, '{}', false);"
            .to_owned(),
        _ => String::new(),
    };
    let keep = "create schema kept; alter table refinery_schema_history set schema kept;
                drop schema public cascade; create schema public;
                alter table kept.refinery_schema_history set schema public; drop schema kept;";
    for sql in [keep, first, second, third, &rows, &refused, migration] {
        database.run(sql).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_earlier_version_recorded_is_the_same_after_the_migration() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        for operation in &OPERATIONS {
            stack.stop(operation.service).await;
            migrate(stack, operation).await;
            stack.start_again(operation.service).await;

            for (id, status) in [("done", 200), ("refused", 409)] {
                let again = operation.act(stack, id).await;
                assert_eq!((again.status, again.text.as_str()), (status, REPLY), "{} {id}", operation.service);
                assert!(again.is_replayed());
                let other = send(operation.action_with(stack, id, operation.other()[0])).await;
                assert_eq!(other.status, 422, "{} {id}", operation.service);
            }
            for (id, rows) in [("undone", 1), ("tombstone", 0)] {
                let again = operation.compensate(stack, id).await;
                assert_eq!((again.status, again.text.as_str()), (200, REPLY), "{} {id}", operation.service);
                assert!(again.is_replayed());
                assert!(operation.act(stack, id).await.expect(409).is_recorded_refusal());
                assert!(operation.rows(stack, id).await >= rows);
                assert_eq!(operation.live(stack, id).await, 0, "{} {id}", operation.service);
            }
            for (id, entries) in [("done", 1), ("refused", 1), ("undone", 2), ("tombstone", 2)] {
                let path = format!("/journal/{id}/");
                let journal = stack.get(operation.service, &path).await.expect(200).json();
                let shown = journal["entries"].as_array().expect("entries");
                assert_eq!(shown.len(), entries, "{journal}");
                for entry in shown {
                    let origin = [&entry["from_saga"], &entry["step"], &entry["attempt"], &entry["epoch"]];
                    assert_eq!(origin, [&Value::from(true), &"a step".into(), &2.into(), &3.into()], "{journal}");
                    assert_eq!(entry["reply"]["message"], "as it was worded then");
                    assert_eq!(entry["tombstone"], id == "tombstone" && entry["operation"] == operation.action);
                }
            }
            let compensated = operation.compensate(stack, "done").await;
            operation.assert_outcome(&compensated, "done", Outcome::Compensated);
            assert_eq!(operation.live(stack, "done").await, 0);
            let compensated = operation.compensate(stack, "refused").await;
            operation.assert_outcome(&compensated, "refused", Outcome::NothingToCompensate);
            operation.assert_outcome(&operation.act(stack, "new").await, "new", Outcome::Done);
        }
        let inventory = stack.database("inventory").await;
        assert_eq!(inventory.number("select count(*) from stock_difference", &[]).await, 0);
    })
    .await;
}
