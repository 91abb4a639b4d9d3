//! The rules of a compensation.

use std::time::Duration;

use super::{
    case::{Case, FOUND_DONE, FOUND_NONE},
    rule::Broken,
    service::{Record, Service},
};

/// Head starts of the one, then of the other, so that each meets the other in all stages of its transaction.
const LEADS_MS: [u64; 8] = [0, 0, 1, 2, 3, 5, 10, 20];

/// A compensation undoes the effect.
pub(super) async fn compensation(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let (case, _) = Case::done(service, record).await?;
    case.undo().await.confirms(FOUND_DONE)?;
    case.expect_effects(0).await
}

/// A repeated compensation gets the first answer again.
pub(super) async fn repeated_compensation(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let (case, _) = Case::done(service, record).await?;
    let first = case.undo().await;
    first.confirms(FOUND_DONE)?;
    let again = case.undo().await;
    again.confirms(FOUND_DONE)?;
    again.expect_same(&first)?;
    for answer in case.undo_at_once().await {
        answer.confirms(FOUND_DONE)?;
        answer.expect_same(&first)?;
    }
    case.expect_effects(0).await
}

/// A compensated action is refused when it is repeated.
pub(super) async fn action_after_compensation(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let (case, _) = Case::done(service, record).await?;
    case.undo().await.confirms(FOUND_DONE)?;
    case.expect_never_again().await
}

/// A compensation that comes first is confirmed, and its action is refused for ever.
pub(super) async fn tombstone(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let case = service.case(record);
    let first = case.undo().await;
    first.confirms(FOUND_NONE)?;
    case.expect_never_again().await?;
    let again = case.undo().await;
    again.confirms(FOUND_NONE)?;
    again.expect_same(&first)?;
    let case = service.case(record);
    for answer in case.undo_at_once().await {
        answer.confirms(FOUND_NONE)?;
    }
    case.expect_never_again().await
}

/// Action and compensation at once leave no effect, whichever comes first.
pub(super) async fn race(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let waits = LEADS_MS.into_iter().flat_map(|lead| [(lead, 0), (0, lead)]);
    for (action_after, compensation_after) in waits {
        record.clear();
        let case = service.case(record);
        let (action_after, compensation_after) =
            (Duration::from_millis(action_after), Duration::from_millis(compensation_after));
        let (action, compensation) = case.race(action_after, compensation_after).await;
        action.decision()?;
        compensation.confirms(&["done", "refused", "none"])?;
        case.expect_never_again().await?;
    }
    Ok(())
}
