//! The rules of a refusal.

use super::{
    case::{Case, FOUND_REFUSED},
    rule::Broken,
    service::{Record, Service},
};

/// Repeats one after the other: a coin that is tossed again shows its other side in all but one of 65,536 runs.
const REPEATS: usize = 16;

/// A refusal is a 409 with `Saga-Decision: refused`, and leaves no effect.
pub(super) async fn refusal(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let (case, _) = Case::refused(service, record).await?;
    case.expect_effects(0).await
}

/// A repeated refusal is the same refusal: it is not decided again.
pub(super) async fn repeated_refusal(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let (case, first) = Case::refused(service, record).await?;
    for _ in 0..REPEATS {
        case.act().await.expect_same(&first)?;
    }
    for answer in case.act_at_once().await {
        answer.expect_same(&first)?;
    }
    case.expect_effects(0).await
}

/// The compensation of a refused action is confirmed, and the action stays refused.
pub(super) async fn undo_of_refused(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let (case, _) = Case::refused(service, record).await?;
    case.undo().await.confirms(FOUND_REFUSED)?;
    case.undo().await.confirms(FOUND_REFUSED)?;
    case.expect_never_again().await
}
