//! A saga in DTM's words.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use utoipa::ToSchema;

use crate::dtm::{Submission, branch_id};
use saga_engine::Status;
use saga_engine::stored::StoredSaga;

/// A saga.
#[derive(Serialize, ToSchema)]
#[schema(as = DtmGlobal)]
pub(super) struct TransactionView {
    gid: String,
    /// `saga`.
    trans_type: &'static str,
    /// `submitted`, `aborting`, `succeed` or `failed`.
    status: &'static str,
    /// The URLs of each branch; empty once the details are cleared.
    steps: Vec<BTreeMap<&'static str, String>>,
    payloads: Vec<String>,
    #[schema(format = DateTime)]
    create_time: String,
    /// When it succeeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    finish_time: Option<String>,
    /// When it was undone.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    rollback_time: Option<String>,
    /// Why it turned back.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    rollback_reason: Option<String>,
    custom_data: String,
    timeout_to_fail: u64,
    request_timeout: u64,
    retry_interval: u64,
    retry_limit: u32,
    concurrent: bool,
}

/// One call of a branch.
#[derive(Serialize, ToSchema)]
#[schema(as = DtmBranch)]
pub(super) struct BranchView {
    gid: String,
    url: String,
    /// The payload in base64.
    bin_data: String,
    branch_id: String,
    /// `compensate` or `action`.
    op: &'static str,
    /// `prepared`, `succeed` or `failed`.
    status: &'static str,
    #[schema(format = DateTime)]
    create_time: String,
    /// When it was done or refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, format = DateTime)]
    finish_time: Option<String>,
}

/// Returns the status of a saga in DTM's words.
fn status(row: &StoredSaga) -> &'static str {
    match (row.status, row.ended_at) {
        (Status::Pending, _) => "submitted",
        (Status::Completed, _) => "succeed",
        (Status::Compensated, _) | (Status::Failed, Some(_)) => "failed",
        (Status::Compensating, _) | (Status::Failed, None) => "aborting",
    }
}

impl TransactionView {
    pub(super) fn new(gid: String, row: &StoredSaga) -> TransactionView {
        let time =
            |wanted: &[&str]| row.ended_at.filter(|_| wanted.contains(&status(row))).map(common::wire::timestamp);
        let submission = Submission::of_input(&row.input);
        let branches = submission.as_ref().map(|submission| submission.steps.as_slice()).unwrap_or_default();
        let of = |number: fn(&Submission) -> u64| submission.as_ref().map(number).unwrap_or_default();
        TransactionView {
            gid,
            trans_type: "saga",
            status: status(row),
            steps: branches
                .iter()
                .map(|branch| {
                    BTreeMap::from([("action", branch.action.clone()), ("compensate", branch.compensate.clone())])
                })
                .collect(),
            payloads: branches.iter().map(|branch| branch.payload.clone()).collect(),
            create_time: common::wire::timestamp(row.created_at),
            finish_time: time(&["succeed"]),
            rollback_time: time(&["failed"]),
            rollback_reason: row.error.clone(),
            custom_data: submission.as_ref().map(|submission| submission.custom_data.clone()).unwrap_or_default(),
            timeout_to_fail: of(|submission| submission.timeout_to_fail),
            request_timeout: of(|submission| submission.request_timeout),
            retry_interval: of(|submission| submission.retry_interval),
            retry_limit: submission.as_ref().map(|submission| submission.retry_limit).unwrap_or_default(),
            concurrent: submission.is_some_and(|submission| submission.concurrent),
        }
    }
}

/// Returns the calls of a saga's branches, the compensation of each before its action, as DTM does.
pub(super) fn branches(gid: &str, row: &StoredSaga) -> Vec<BranchView> {
    let Some(submission) = Submission::of_input(&row.input) else { return Vec::new() };
    let create_time = common::wire::timestamp(row.created_at);
    let mut views = Vec::with_capacity(2 * submission.steps.len());
    for (index, branch) in submission.steps.into_iter().enumerate() {
        let branch_id = branch_id(index).to_string();
        let step = row.timeline.iter().find(|step| step.step == branch_id);
        let undone_at = step.and_then(|step| step.compensation.as_ref()).and_then(|undo| undo.finished_at);
        let action = step.map_or("prepared", |step| match &*step.action {
            "done" => "succeed",
            "refused" => "failed",
            _ => "prepared",
        });
        let settled_at = step.and_then(|step| step.finished_at).filter(|_| action != "prepared");
        let undo = if undone_at.is_some() { "succeed" } else { "prepared" };
        for (op, url, status, at) in
            [("compensate", branch.compensate, undo, undone_at), ("action", branch.action, action, settled_at)]
        {
            views.push(BranchView {
                gid: gid.to_owned(),
                url,
                bin_data: STANDARD.encode(&branch.payload),
                branch_id: branch_id.clone(),
                op,
                status,
                create_time: create_time.clone(),
                finish_time: at.map(common::wire::timestamp),
            });
        }
    }
    views
}
