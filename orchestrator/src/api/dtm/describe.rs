//! The API description of `/api/dtmsvr` (how to write one: `common::http::openapi`).

use common::http::openapi::{Description, schema};
use serde_json::{Value, json};

use super::answer::Answer;
use super::{ForceStop, Found, NewGid, Page, Success, Version};

pub(super) fn version() -> Description {
    Description::new("dtmVersion", "The version of this program, for clients of DTM")
        .answer::<Version>(200, "The version.")
}

pub(super) fn new_gid() -> Description {
    Description::new("dtmNewGid", "A new gid, for clients of DTM").answer::<NewGid>(200, "The gid.")
}

pub(super) fn submit() -> Description {
    Description::new("dtmSubmit", "Submits a saga, for clients of DTM")
        .detail(
            "Bodies and answers have DTM's form. A gid that is submitted again changes nothing and is answered with what \
             became of it.",
        )
        .body::<Value>(json!({
            "gid": "order-1", "trans_type": "saga",
            "steps": [{ "action": "http://localhost:8081/pay", "compensate": "http://localhost:8081/pay-back" }],
            "payloads": ["{\"amount\":30}"]
        }))
        .answer::<Answer<'_>>(200, "SUCCESS: the saga is in the log, or, if the client waits, has succeeded.")
        .problem(400, "The submission cannot be run.")
        .answer::<Answer<'_>>(409, "FAILURE: the saga turned back.")
        .answer::<Answer<'_>>(425, "ONGOING: the client waits, and the saga has not ended yet.")
        .problem(503, "Temporarily unavailable; the same submission can be repeated.")
}

pub(super) fn query() -> Description {
    Description::new("dtmQuery", "A saga by its gid, for clients of DTM")
        .query("gid", schema::text(1, 128), "The gid.")
        .answer::<Found>(200, "The saga and its branches; null and an empty list if the gid is unknown.")
        .problem(400, "The gid is invalid.")
}

pub(super) fn all() -> Description {
    let text = || schema::string();
    Description::new("dtmAll", "The sagas of DTM's clients, newest first, in pages")
        .query("position", text(), "The `next_position` of the previous page.")
        .query("limit", text(), "Page size, 1 to 1000; 100 if omitted.")
        .query("gid", text(), "Only this saga.")
        .query("status", text(), "Only `submitted`, `aborting`, `succeed` or `failed`.")
        .query("transType", text(), "Only this kind; there are only sagas.")
        .query("createTimeStart", text(), "Only sagas accepted at this time or later, in milliseconds since 1970.")
        .query("createTimeEnd", text(), "Only sagas accepted at this time or earlier.")
        .answer::<Page>(200, "A page of the list.")
        .problem(400, "A parameter cannot be read.")
}

pub(super) fn force_stop() -> Description {
    Description::new("dtmForceStop", "Ends a running saga by force, for clients of DTM")
        .detail(
            "It ends FAILED and resolved, with the note `forceStop`. Nothing more is called, and nothing is undone.",
        )
        .body::<ForceStop>(json!({ "gid": "order-1" }))
        .answer::<Success>(200, "The saga has ended.")
        .problem(400, "The body cannot be read.")
        .problem(404, "There is no saga of this gid.")
        .problem(409, "The saga has ended before.")
}
