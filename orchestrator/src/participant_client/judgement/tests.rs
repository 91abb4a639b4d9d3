//! The meaning of each answer, by either judgement.

use std::sync::Arc;

use saga_engine::definition::{Method, Outputs, Request};
use saga_engine::world::Urgency;

use super::*;
use crate::checkout::tests::context;

fn call(purpose: Purpose) -> Call {
    Call {
        saga_id: context(None).saga_id,
        epoch: 1,
        step: "charge".into(),
        participant: "payments".into(),
        purpose,
        urgency: Urgency::Normal,
        attempt: 1,
        operation: "charge".into(),
        request: Request::new(Method::Get, "/", None),
        context: context(None),
        read: Arc::new(|_, body| {
            let value: serde_json::Value = serde_json::from_slice(body)?;
            if value.get("without").is_some() {
                return Err(ReplyError::OutputMissing("payment_id".to_owned()));
            }
            if value.get("inexact").is_some() {
                return Err(ReplyError::OutputInexact("the output /payment_id".to_owned()));
            }
            Ok(Outputs::one("payment_id", value["payment_id"].as_str().unwrap_or_default()))
        }),
        timeout: Duration::from_secs(1),
    }
}

#[test]
fn only_a_recorded_decision_refuses_and_only_a_readable_2xx_is_done() {
    let action = Purpose::Action { refusal: None };
    let read = Purpose::Action { refusal: Some("product-not-found".into()) };
    let undo = Purpose::Compensation;
    type Case = (&'static str, Purpose, u16, Option<&'static str>, &'static str, &'static str);
    let cases: &[Case] = &[
        ("done", action.clone(), 200, None, r#"{"payment_id":1}"#, "done"),
        ("html 200", action.clone(), 200, None, "<html>", "again"),
        ("an output is missing", action.clone(), 200, None, r#"{"without":1}"#, "never"),
        ("an output is inexact", action.clone(), 200, None, r#"{"inexact":1}"#, "never"),
        (
            "refused",
            action.clone(),
            409,
            Some("refused"),
            r#"{"message":"no money"}"#,
            "409: payments conflict: no money",
        ),
        ("409 of something else", action.clone(), 409, None, r#"{"message":"no"}"#, "never"),
        ("404 of something else", action.clone(), 404, None, "{}", "never"),
        (
            "product not there",
            read.clone(),
            404,
            None,
            r#"{"type":"product-not-found","detail":"Product 7 not found"}"#,
            "404: payments conflict: Product 7 not found",
        ),
        ("path not there", read.clone(), 404, None, r#"{"type":"about:blank"}"#, "never"),
        ("accepted", action.clone(), 202, None, r#"{"payment_id":"1"}"#, "again"),
        ("accepted undo", undo.clone(), 202, None, r#"{"status":"compensated"}"#, "again"),
        ("no row holds this", action.clone(), 200, None, r#"{"payment_id":"1\u0000"}"#, "again"),
        (
            "control characters",
            action.clone(),
            409,
            Some("refused"),
            r#"{"message":"no\u0000\u001b[2J money"}"#,
            "409: payments conflict: no  [2J money",
        ),
        ("html 502", action.clone(), 502, None, "<html>", "again"),
        ("busy", action.clone(), 503, None, "{}", "again"),
        ("stopping", action.clone(), 503, None, r#"{"type":"stopping"}"#, "later"),
        ("undo while stopping", undo.clone(), 503, None, r#"{"type":"stopping"}"#, "later"),
        ("another status of a stopping one", action.clone(), 500, None, r#"{"type":"stopping"}"#, "again"),
        ("other contents", action.clone(), 422, None, "{}", "raise"),
        ("undone", undo.clone(), 200, None, r#"{"status":"compensated"}"#, "done"),
        ("html 200 to an undo", undo.clone(), 200, None, "<html>", "again"),
        ("an undo is never refused", undo.clone(), 409, Some("refused"), "{}", "never"),
    ];
    for (name, purpose, status, decision, body, expected) in cases {
        let reply = Reply {
            status: *status,
            decision: *decision,
            action: None,
            retry_after: Duration::ZERO,
            body: body.as_bytes(),
        };
        let shown = match classify("payments", &call(purpose.clone()), &reply) {
            Outcome::Done(_) | Outcome::Undone(..) => "done".to_owned(),
            Outcome::Refused(failure) => failure.to_string(),
            Outcome::Unknown(unknown) => match unknown.retry {
                Retry::After(_) => "again".to_owned(),
                Retry::Parked(_) | Retry::Ongoing(_) => "later".to_owned(),
                Retry::Never => "never".to_owned(),
                Retry::NeverAndRaise => "raise".to_owned(),
            },
        };
        assert_eq!(shown, *expected, "{name}");
    }
}

#[test]
fn a_named_participant_is_judged_by_its_decisions_or_by_its_statuses() {
    let action = Purpose::Action { refusal: None };
    let undo = Purpose::Compensation;
    let recorded = Judging::Named(Judgement::Recorded, Vec::new());
    let recorded_absent = Judging::Named(Judgement::Recorded, vec![404]);
    let status = Judging::Named(Judgement::Status, vec![404, 410]);
    let status_alone = Judging::Named(Judgement::Status, Vec::new());
    let id = r#"{"payment_id":"1"}"#;
    type Case<'a> = (&'a Judging, &'a Purpose, u16, Option<&'static str>, u64, &'static str, &'static str);
    let cases: &[Case<'_>] = &[
        // Done is any 2xx but 202, if its body is as expected.
        (&recorded, &action, 200, None, 0, id, "done"),
        (&recorded, &action, 201, None, 0, id, "done"),
        (&status, &action, 204, None, 0, "", "done"),
        (&status, &action, 299, None, 0, id, "done"),
        (&recorded, &undo, 204, None, 0, "", "undone"),
        (&status, &undo, 200, None, 0, id, "undone"),
        (&recorded, &action, 202, None, 0, id, "after 0"),
        (&status, &action, 202, None, 0, id, "after 0"),
        (&status, &undo, 202, None, 0, id, "after 0"),
        (&status, &action, 201, None, 0, "<html>", "after 0"),
        (&status, &action, 201, None, 0, r#"{"without":1}"#, "never"),
        (&status, &action, 199, None, 0, id, "never"),
        (&status, &action, 300, None, 0, id, "never"),
        // A refusal is a recorded decision, or a 409.
        (&recorded, &action, 409, Some("refused"), 0, r#"{"error":"full"}"#, "refused: flights conflict: full"),
        (&recorded, &action, 409, None, 0, r#"{"error":"full"}"#, "never"),
        (&recorded, &action, 409, Some("done"), 0, r#"{"error":"full"}"#, "never"),
        (&status, &action, 409, None, 0, r#"{"error":"full"}"#, "refused: flights conflict: full"),
        (&status, &action, 409, Some("refused"), 0, "{}", "refused: flights conflict: 409"),
        (&status, &action, 400, None, 0, "{}", "never"),
        (&status, &action, 403, Some("refused"), 0, "{}", "never"),
        // Its words are in the usual fields.
        (&status, &action, 409, None, 0, r#"{"title":"t","detail":"d"}"#, "refused: flights conflict: d"),
        (&status, &action, 409, None, 0, r#"{"title":"t","message":"m"}"#, "refused: flights conflict: m"),
        (&status, &action, 409, None, 0, r#"{"title":"t"}"#, "refused: flights conflict: t"),
        (&status, &action, 409, None, 0, r#"{"error":{"message":"m"}}"#, "refused: flights conflict: m"),
        (&status, &action, 409, None, 0, r#"{"error":7,"detail":[1]}"#, "refused: flights conflict: 409"),
        (&status, &action, 409, None, 0, r#"{"error":" "}"#, "refused: flights conflict: 409"),
        (&status, &action, 409, None, 0, "sold out", "refused: flights conflict: 409"),
        (&status, &action, 409, None, 0, "", "refused: flights conflict: 409"),
        // Still at work.
        (&status, &action, 425, None, 7, "", "ongoing 7"),
        (&status, &action, 425, None, 0, "", "ongoing 1"),
        (&status, &undo, 425, None, 0, "", "ongoing 1"),
        (&recorded, &action, 425, None, 7, "", "after 7"),
        // A compensation is never refused.
        (&status, &undo, 409, None, 0, r#"{"error":"shipped"}"#, "after 0"),
        (&status, &undo, 409, Some("refused"), 3, "", "after 3"),
        (&recorded, &undo, 409, Some("refused"), 0, "", "never"),
        // Nothing to undo.
        (&status, &undo, 404, None, 0, "", "undone"),
        (&status, &undo, 410, None, 0, "<html>", "undone"),
        (&status_alone, &undo, 404, None, 0, "", "never"),
        (&recorded_absent, &undo, 404, None, 0, "", "undone"),
        (&recorded_absent, &undo, 410, None, 0, "", "never"),
        (&recorded, &undo, 404, None, 0, "", "never"),
        (&status, &action, 404, None, 0, "", "never"),
        (&recorded_absent, &action, 404, None, 0, "", "never"),
        // The rest is as for our own.
        (&status, &action, 429, None, 5, "", "after 5"),
        (&status, &undo, 503, None, 0, "", "after 0"),
        (&status, &action, 500, None, 0, "", "after 0"),
        (&status, &action, 422, None, 0, "", "raise"),
        (&recorded, &undo, 422, None, 0, "", "raise"),
        (&status, &action, 401, None, 0, "", "never"),
        (&status, &undo, 302, None, 0, "", "never"),
        // Our own are not judged by status, and done by a 200 alone.
        (&Judging::Own, &action, 200, None, 0, id, "done"),
        (&Judging::Own, &action, 201, None, 0, id, "after 0"),
        (&Judging::Own, &undo, 204, None, 0, "", "after 0"),
        (&Judging::Own, &action, 409, None, 0, r#"{"error":"full"}"#, "never"),
        (&Judging::Own, &action, 409, Some("refused"), 0, r#"{"title":"t"}"#, "refused: flights conflict: refused"),
        (&Judging::Own, &undo, 404, None, 0, "", "never"),
        (&Judging::Own, &action, 425, None, 0, "", "after 0"),
    ];
    for (judging, purpose, status, decision, retry_after, body, expected) in cases {
        let retry_after = Duration::from_secs(*retry_after);
        let reply = Reply { status: *status, decision: *decision, action: None, retry_after, body: body.as_bytes() };
        let mut call = call((*purpose).clone());
        let read = call.read.clone();
        call.read = Arc::new(move |context, body| match body {
            b"" => Ok(Outputs::default()),
            body => read(context, body),
        });
        let shown = match judge(judging, "flights", &call, &reply) {
            Outcome::Done(_) => "done".to_owned(),
            Outcome::Undone(found, _) => {
                assert_eq!(found, Found::NotSaid);
                "undone".to_owned()
            }
            Outcome::Refused(failure) => {
                assert_eq!(failure.status, 409);
                format!("refused: {}", failure.message)
            }
            Outcome::Unknown(Unknown { retry, sent, .. }) => {
                assert_eq!(sent, Sent::Maybe);
                match retry {
                    Retry::After(wait) => format!("after {}", wait.as_secs()),
                    Retry::Ongoing(wait) => format!("ongoing {}", wait.as_secs()),
                    Retry::Parked(_) => "parked".to_owned(),
                    Retry::Never => "never".to_owned(),
                    Retry::NeverAndRaise => "raise".to_owned(),
                }
            }
        };
        assert_eq!(shown, *expected, "{judging:?} {purpose:?} {status} {decision:?} {body}");
    }
}

#[test]
fn a_named_participant_may_say_what_a_compensation_found() {
    let call = Call { read: Arc::new(|_, _| Ok(Outputs::default())), ..call(Purpose::Compensation) };
    let judging = Judging::Named(Judgement::Recorded, Vec::new());
    for (said, expected) in [("done", Found::Done), ("none", Found::Nothing), ("refused", Found::Refused)] {
        let reply = Reply { status: 200, decision: None, action: Some(said), retry_after: Duration::ZERO, body: b"" };
        let outcome = judge(&judging, "flights", &call, &reply);
        assert_eq!(outcome, Outcome::Undone(expected, Outputs::default()));
    }
}

#[test]
fn what_a_participant_says_is_cut() {
    let body = format!(r#"{{"message":"{}"}}"#, "é".repeat(10_000));
    let reply = Reply {
        status: 409,
        decision: Some("refused"),
        action: None,
        retry_after: Duration::ZERO,
        body: body.as_bytes(),
    };
    let Outcome::Refused(failure) = classify("payments", &call(Purpose::Action { refusal: None }), &reply) else {
        panic!("it is a refusal");
    };
    assert_eq!(failure.message, format!("payments conflict: {}", "é".repeat(500)));
}

#[test]
fn a_wait_is_a_number_or_a_date_and_an_hour_at_most() {
    let now = DateTime::parse_from_rfc3339("2026-11-29T12:00:00Z").unwrap().to_utc();
    for (text, seconds) in [
        ("0", 0),
        ("7", 7),
        ("3601", 3_600),
        ("99999999999999999999999", 3_600),
        ("Sun, 29 Nov 2026 12:00:30 GMT", 30),
        ("Sun, 29 Nov 2026 11:00:00 GMT", 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 3_600),
        ("", 0),
        ("-1", 0),
        ("soon", 0),
    ] {
        assert_eq!(retry_after(text, now), Duration::from_secs(seconds), "{text:?}");
    }
}

#[test]
fn what_a_named_participant_says_of_an_answer_that_decides_nothing_is_kept() {
    let detail = |judging: &Judging, status: u16, body: &str| {
        let reply = Reply { status, decision: None, action: None, retry_after: Duration::ZERO, body: body.as_bytes() };
        match judge(judging, "flights", &call(Purpose::Compensation), &reply) {
            Outcome::Unknown(unknown) => unknown.detail,
            other => panic!("{other:?}"),
        }
    };
    for judgement in [Judgement::Recorded, Judgement::Status] {
        let named = Judging::Named(judgement, Vec::new());
        for (status, body, expected) in [
            (400, r#"{"detail":"city is missing"}"#, "flights answered 400: city is missing"),
            (422, r#"{"error":{"message":"no\nsuch seat"}}"#, "flights answered 422: no such seat"),
            (409, r#"{"error":"busy"}"#, "flights answered 409: busy"),
            (503, " the printer is on fire\n", "flights answered 503: the printer is on fire"),
            (202, "later", "flights answered 202: later"),
            (503, "<html>down</html>", "flights answered 503"),
            (500, r#"{"code":7}"#, "flights answered 500"),
            (500, "", "flights answered 500"),
        ] {
            assert_eq!(detail(&named, status, body), expected, "{judgement:?}");
        }
        assert_eq!(detail(&named, 500, &"x".repeat(1_000)).chars().count(), MAX_SAID_CHARS);
    }
    assert_eq!(detail(&Judging::Own, 503, r#"{"detail":"no room"}"#), "flights answered 503");
}
