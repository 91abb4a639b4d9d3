//! Replies that are not the participant's answer to the request: from proxies, login pages or a full queue, and the
//! participant's own replies to another transaction.

use std::sync::Arc;

use serde_json::json;

use super::fate::Intermediary;
use super::participants::Reply;
use super::partitions::Operation;
use super::sim::Sim;
use saga_engine::world::Call;

/// A reply with `Retry-After`, a header that only intermediaries send here.
pub(super) struct Answered {
    pub(super) reply: Reply,
    pub(super) retry_after: Option<&'static str>,
}

impl From<Reply> for Answered {
    fn from(reply: Reply) -> Answered {
        Answered { reply, retry_after: None }
    }
}

/// Makes the reply of an intermediary in the participant's place.
pub(super) fn answer(sim: &Arc<Sim>, call: &Call, intermediary: Intermediary) -> Answered {
    let problem = |status: u16, title: &str| {
        Reply::plain(status, json!({ "type": "about:blank", "title": title, "status": status }).to_string())
    };
    let others = (intermediary == Intermediary::OtherReply).then(|| reply_to_another(sim, call)).flatten();
    {
        let tally = &mut sim.lock().tally;
        match intermediary {
            Intermediary::Json(_) => tally.json_intermediaries += 1,
            Intermediary::OtherReply if others.is_some() => tally.other_replies += 1,
            Intermediary::ComeBack(_) => tally.retry_afters += 1,
            _ => tally.intermediaries += 1,
        }
    }
    let reply = match intermediary {
        Intermediary::Busy => problem(503, "overloaded"),
        Intermediary::BadGateway => Reply::plain(502, "<html><h1>502 Bad Gateway</h1></html>"),
        Intermediary::LoginPage => Reply::plain(200, "<html>Please log in</html>"),
        Intermediary::NotFound => problem(404, "not found"),
        Intermediary::Conflict => Reply::plain(409, r#"{"status":"error","message":"conflict"}"#),
        Intermediary::TooMany => problem(429, "too many"),
        Intermediary::Json(status) => Reply::plain(200, json!({ "status": status }).to_string()),
        Intermediary::OtherReply => others.unwrap_or_else(|| problem(503, "overloaded")),
        Intermediary::ComeBack(when) => {
            return Answered { reply: problem(503, "overloaded"), retry_after: Some(when) };
        }
    };
    reply.into()
}

/// Returns the newest reply of the operation, if it belongs to another transaction and names it. A reply that does not
/// name its transaction cannot be distinguished from the right one.
fn reply_to_another(sim: &Sim, call: &Call) -> Option<Reply> {
    let inner = sim.lock();
    let (of, body) = inner.last_replies.get(&Operation::of(call))?;
    let is_told_apart = *of != call.saga_id && body.contains(&of.to_string());
    is_told_apart.then(|| Reply::plain(200, body.clone()))
}
