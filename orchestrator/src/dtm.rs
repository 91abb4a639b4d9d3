//! The DTM protocol: sagas of programs that were written for DTM (its server of January 2026).
//!
//! ```text
//! POST /api/dtmsvr/submit ─► Submission (checked) ─► saga of definition dtm/1, input = the submission
//!                                                        │ definition: a step for each branch, made of the input
//!                                                        └─► Branches: POST or GET to the branch's URL
//! ```
//! Each saga has a definition of its own, made of what was submitted, so any node can run it. A branch is a URL of the
//! client's choice: only those below `dtm.allowed_urls` are called.

mod branches;
mod definition;
mod submission;
mod urls;

pub(crate) use self::branches::{Branches, PARTICIPANT};
pub(crate) use self::definition::{DTM, VERSION, branch_id, definition};
pub(crate) use self::submission::{Branch, Submission, gid};
pub(crate) use self::urls::AllowedUrls;
