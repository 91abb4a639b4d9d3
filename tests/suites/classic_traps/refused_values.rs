//! Values that the database does not take: the saga goes on without them, and no other saga waits for it.

use serde_json::json;
use tests::{
    Stack, StackOptions,
    interposer::{Act, Interposer},
    problem::assert_problem,
    stack::ORCHESTRATOR,
    transactions, with_stack,
};

use super::{CREATE, buy, id, options, payments, with_interposer};

const REFUSAL: &[(&str, &str)] = &[("content-type", "application/json"), ("saga-decision", "refused")];
const REFUSED: &str = "text refused by the saga log";

#[tokio::test(flavor = "multi_thread")]
async fn a_text_that_the_log_refuses_is_left_out_and_its_saga_ends_and_waits_for_a_person() {
    with_interposer("purchases", options(), async |stack: &Stack, link: &Interposer| {
        let database = stack.database(ORCHESTRATOR).await;
        database.run("alter table saga add constraint speakable check (error not like '%unspeakable%')").await;
        let message = json!({ "status": "error", "message": "unspeakable" }).to_string();
        link.next(1, CREATE, Act::AnswerWith(409, REFUSAL, message));
        let answer = buy(stack).await.expect(409);
        assert_eq!(answer.json()["details"]["error"], REFUSED);
        let id = id(&answer);
        assert_eq!(payments(stack, &id).await, ["compensated"]);
        let attention = stack.get(ORCHESTRATOR, "/saga/attention").await.expect(200).json();
        assert_eq!(attention["transactions"][0]["transaction_id"], id.as_str());
        assert_eq!(attention["transactions"][0]["attention"]["reason"], "value refused by the log: 23514");
        let note = json!({ "note": "seen" });
        stack.post(ORCHESTRATOR, &format!("/saga/{id}/resolve"), note).await.expect(200);
        let attention = stack.get(ORCHESTRATOR, "/saga/attention").await.expect(200).json();
        assert_eq!(attention["total"], 0);
        transactions::consistent(stack).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_purchase_whose_begin_the_log_refuses_is_told_so_at_once_and_others_go_on() {
    with_stack(StackOptions::default(), async |stack: &Stack| {
        let database = stack.database(ORCHESTRATOR).await;
        database.run("alter table saga add constraint speakable check (user_id <> 'unspeakable')").await;
        let buy = async |user_id: &str| {
            stack.post(ORCHESTRATOR, "/saga/transaction", json!({ "user_id": user_id, "amount": 5 })).await
        };
        let users = (0..24).map(|number| if number % 3 == 0 { "unspeakable" } else { "ada" });
        let answers = futures::future::join_all(users.clone().map(buy)).await;
        for (user, answer) in users.zip(answers) {
            if user == "ada" {
                answer.expect(200);
            } else {
                assert_problem(&answer, 503);
                assert!(answer.json()["transaction_id"].is_null() && answer.text.contains("nothing was done"));
            }
        }
    })
    .await;
}
