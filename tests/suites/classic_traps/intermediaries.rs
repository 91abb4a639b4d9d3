//! Answers that no participant gives, and answers that are too much: a server in between may answer anything.

use serde_json::Value;
use tests::{
    PATIENCE, Stack, StackOptions,
    interposer::{Act, Interposer},
    transactions, wait_until,
};

use super::{
    CHARGE, CREATE, REFUND, buy, ended, id, options, payments, refusing_purchases, start, status, with_interposer,
};

const CANCEL: &str = "/cancel/$";
const RESTORE: &str = "/inventory/restore/";
const DECREASE: &str = "POST /inventory/decrease/$";
const REFUSED: &[(&str, &str)] = &[("saga-decision", "refused")];
const JSON: &str = "application/json";

/// 2xx answers that confirm nothing, to whatever is asked.
const FOREIGN: [Act; 6] = [
    Act::Answer(200, JSON, r#"{"status":"maintenance"}"#),
    Act::Answer(200, JSON, r#"{"status":"compensated"}"#),
    Act::Answer(200, JSON, r#"{"status":"success","message":"ok"}"#),
    Act::Answer(200, JSON, r#"{"status":"compensated","transaction_id":"0190b0b0-0000-7000-8000-000000000000"}"#),
    Act::Answer(200, JSON, r#"{"status":"success","transaction_id":"0190b0b0-0000-7000-8000-000000000000"}"#),
    Act::Answer(204, JSON, ""),
];

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_is_confirmed_by_the_participants_own_words_alone() {
    // The step whose undo is tested, and the refusal behind it that turns the saga back.
    let restoring = refusing_purchases().set("checkout.compensate_inventory", true);
    let cases: [(&'static str, &'static str, StackOptions); 3] = [
        ("payments", REFUND, refusing_purchases()),
        ("inventory", RESTORE, restoring),
        ("purchases", CANCEL, options().set("retry.action.attempts", 2)),
    ];
    for (participant, undo, options) in cases {
        with_interposer(participant, options, async |stack: &Stack, link: &Interposer| {
            link.next(2, CREATE, Act::LoseReply);
            FOREIGN.into_iter().for_each(|foreign| link.next(1, undo, foreign));
            let answer = buy(stack).await.expect(409);
            assert_eq!(answer.json()["status"], "COMPENSATED");
            assert_eq!(link.arrived(undo), FOREIGN.len() + 1, "{undo} was asked until it was confirmed");
            transactions::consistent(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_undo_that_is_only_accepted_is_asked_for_again() {
    with_interposer("payments", refusing_purchases(), async |stack: &Stack, link: &Interposer| {
        link.next(1, REFUND, Act::ReplyAs(202));
        let answer = buy(stack).await.expect(409);
        assert_eq!(link.arrived(REFUND), 2);
        assert_eq!(payments(stack, &id(&answer)).await, ["compensated"]);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_action_is_done_by_the_participants_own_words_alone() {
    const FOREIGN: [Act; 4] = [
        Act::Answer(200, JSON, r#"{"status":"maintenance","payment_id":1,"purchase_id":1,"remaining_quantity":1}"#),
        Act::Answer(
            200,
            JSON,
            r#"{"status":"success","transaction_id":"0190b0b0-0000-7000-8000-000000000000","payment_id":1,
                "purchase_id":1,"product_id":"another","remaining_quantity":1}"#,
        ),
        Act::Answer(200, JSON, r#"{"payment_id":1,"purchase_id":1,"remaining_quantity":1}"#),
        Act::Answer(200, JSON, r#"{"product_id":3,"name":"another"}"#),
    ];
    for (participant, action) in
        [("payments", CHARGE), ("inventory", DECREASE), ("purchases", CREATE), ("catalog", "/products/2/$")]
    {
        let options = options().set("retry.action.attempts", FOREIGN.len() + 1);
        with_interposer(participant, options, async |stack: &Stack, link: &Interposer| {
            FOREIGN.into_iter().for_each(|foreign| link.next(1, action, foreign));
            let order = serde_json::json!({ "user_id": "ada", "amount": 5, "product_id": 2 });
            let answer = stack.post("orchestrator", "/saga/transaction", order).await.expect(200);
            assert_eq!(answer.json()["details"]["product_id"], "2");
            assert_eq!(link.arrived(action), FOREIGN.len() + 1);
            transactions::consistent(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_participant_says_is_kept_in_a_form_that_the_log_takes() {
    let body = format!(r#"{{"status":"error","message":"no\u0000\u001b[2J money {}"}}"#, "m".repeat(40_000));
    let options = options().set("orchestrator.wait_limit_ms", 5_000);
    with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
        link.next(1, CHARGE, Act::AnswerWith(409, REFUSED, body.clone()));
        let answer = buy(stack).await.expect(409);
        let error = answer.json()["details"]["error"].as_str().expect("an error").to_owned();
        assert!(error.starts_with("409: payments conflict: no  [2J money mmm"), "{error}");
        assert!(error.len() < 600, "{}", error.len());
        assert_eq!(status(stack, &id(&answer)).await["error_message"], error);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_an_end_is_cut_off_and_asked_for_again() {
    with_interposer("payments", refusing_purchases(), async |stack: &Stack, link: &Interposer| {
        link.next(1, CHARGE, Act::AnswerWithoutEnd(200, &[]));
        link.next(1, REFUND, Act::AnswerWithoutEnd(200, &[]));
        let answer = buy(stack).await.expect(409);
        assert_eq!((link.arrived(CHARGE), link.arrived(REFUND)), (2, 2));
        assert_eq!(payments(stack, &id(&answer)).await, ["compensated"]);
        // A window of HTTP/2 may be on its way when the stream is reset.
        assert!(link.taken() < 16 * 1024 * 1024, "{} bytes were taken", link.taken());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_one_however_much_is_said_with_it() {
    let too_much = format!(r#"{{"status":"error","message":"{}"}}"#, "m".repeat(2 * 1024 * 1024));
    for act in [Act::AnswerWith(409, REFUSED, too_much), Act::AnswerWithoutEnd(409, REFUSED)] {
        with_interposer("payments", options(), async |stack: &Stack, link: &Interposer| {
            link.next(1, CHARGE, act.clone());
            let answer = buy(stack).await.expect(409);
            let error = answer.json()["details"]["error"].to_string();
            assert!(error == r#""409: payments conflict: refused""#, "{} bytes", error.len());
            assert_eq!(link.arrived(CHARGE), 1, "a refusal is not asked for again");
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn however_long_an_undo_is_told_to_wait_a_person_is_called_in_time() {
    const FOR_EVER: &[(&str, &str)] = &[("retry-after", "999999999999")];
    const A_DATE: &[(&str, &str)] = &[("retry-after", "Fri, 31 Dec 9999 23:59:59 GMT")];
    for header in [FOR_EVER, A_DATE] {
        let options = refusing_purchases().set("orchestrator.attention_after_ms", 500);
        with_interposer("payments", options, async |stack: &Stack, link: &Interposer| {
            link.next(1_000, REFUND, Act::AnswerWith(503, header, "{}".to_owned()));
            let id = start(stack).await;
            wait_until("it stands in the attention list", PATIENCE, async || {
                (status(stack, &id).await["status"] == "FAILED").then_some(())
            })
            .await;
            link.let_pass();
            let ended = ended(stack, &id).await;
            assert_eq!(ended["status"], "COMPENSATED");
            assert_ne!(ended["completed_at"], Value::Null);
        })
        .await;
    }
}
