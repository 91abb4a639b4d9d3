//! Replies that get lost, and answers that come from something else than the participant.

use tests::{
    Stack,
    interposer::{Act, Interposer},
    transactions,
};

use super::{CHARGE, CREATE, buy, id, options, payments, refusing_purchases, with_interposer};

#[tokio::test(flavor = "multi_thread")]
async fn where_the_reply_of_the_payment_is_lost_it_is_charged_once_and_used_or_given_back() {
    for (options, code, payment) in [(options(), 200, "success"), (refusing_purchases(), 409, "compensated")] {
        with_interposer("payments", options, async |stack: &Stack, payments_link: &Interposer| {
            payments_link.next(2, CHARGE, Act::LoseReply);
            let answer = buy(stack).await.expect(code);
            assert_eq!(payments_link.arrived(CHARGE), 3, "it was asked again with the same key");
            assert_eq!(payments(stack, &id(&answer)).await, [payment]);
            transactions::consistent(stack).await;
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
            transactions::consistent(stack).await;
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_of_something_else_to_a_repeated_payment_is_no_refusal() {
    const NOT_FOUND: Act = Act::Answer(404, "text/html", "<h1>Not Found</h1>");
    const BAD_GATEWAY: Act = Act::Answer(502, "text/html", "<h1>Bad Gateway</h1>");
    const CONFLICT: Act = Act::Answer(409, "application/json", r#"{"status":"error","message":"edit conflict"}"#);
    for foreign in [NOT_FOUND, BAD_GATEWAY, CONFLICT] {
        with_interposer("payments", options(), async |stack: &Stack, link: &Interposer| {
            // The first payment is made, and its reply is lost.
            link.next(1, CHARGE, Act::LoseReply);
            link.next(100, CHARGE, foreign.clone());
            let answer = buy(stack).await.expect(409);
            assert_eq!(answer.json()["details"]["error"], "503: Service payments unavailable");
            assert_eq!(payments(stack, &id(&answer)).await, ["compensated"], "{foreign:?}");
            transactions::consistent(stack).await;
        })
        .await;
    }
}
