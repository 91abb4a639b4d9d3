//! The trace that a confirmed write has left in the row of its saga. Rows stay for ever, a saga never turns forward
//! again, and an end is final, so it is still there, whichever process owns the saga by now.

use common::group_commit::Receipt;

use super::{LogAnswer, LogItem};
use saga_engine::record::{Change, WriteReport};

const IS_THERE: &str = "
    select exists (
        select from saga
        where id = $1::text::uuid
          and case $2::text when 'ended' then ended_at is not null when 'turned' then direction = 'compensating'
                            else true end)";

/// Returns the receipt of a write, if the log has confirmed it.
pub(super) fn of(item: &LogItem, answer: &LogAnswer) -> Option<Receipt> {
    let LogAnswer::Report(WriteReport::Durable { .. }) = answer else { return None };
    let LogItem::Write(write) = item else { return None };
    let left = match write.change {
        Change::Begin { ended: None, .. } | Change::Outputs => "begun",
        Change::TurnBack { .. } | Change::MarkFailed { .. } => "turned",
        Change::Begin { ended: Some(_), .. } | Change::End { .. } => "ended",
    };
    Some(Receipt { query: IS_THERE, parameters: vec![write.saga_id.to_string(), left.to_owned()] })
}
