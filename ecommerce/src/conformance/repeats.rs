//! The rules of an action and its repeats.

use super::{
    case::{Case, Contents},
    rule::Broken,
    service::{Record, Service},
};

/// Repeats one after the other.
const REPEATS: usize = 3;

/// An action is done and has its effect.
pub(super) async fn first_answer(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    service.case(record).expect_effects(0).await?;
    let (case, _) = Case::done(service, record).await?;
    case.expect_effects(1).await
}

/// A repeat gets the first answer again, and nothing happens twice.
pub(super) async fn repeated_answer(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let (case, first) = Case::done(service, record).await?;
    for _ in 0..REPEATS {
        case.act().await.expect_same(&first)?;
    }
    case.expect_effects(1).await
}

/// Callers at once get one answer, each within the time limit.
pub(super) async fn concurrent_repeats(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let case = service.case(record);
    let answers = case.act_at_once().await;
    let silent = answers.iter().filter(|answer| answer.decision().is_err()).count();
    for answer in &answers {
        answer.decision().map_err(|reason| match silent {
            1.. => format!("{silent} of {} callers got no decision: {reason}", answers.len()),
            0 => reason,
        })?;
        answer.expect_same(&answers[0])?;
    }
    // At once the first answer may be a random refusal.
    match answers[0].decision()? {
        super::answer::Decision::Done => case.expect_effects(1).await?,
        super::answer::Decision::Refused => case.expect_effects(0).await?,
    }
    let (case, first) = Case::done(service, record).await?;
    for answer in case.act_at_once().await {
        answer.expect_same(&first)?;
    }
    case.expect_effects(1).await
}

/// Other contents under the same key are turned down, and nothing happens.
pub(super) async fn other_contents(service: &Service<'_>, record: &Record) -> Result<(), Broken> {
    let (case, first) = Case::done(service, record).await?;
    case.act_with(Contents::Other).await.expect_contents_differ()?;
    case.act().await.expect_same(&first)?;
    case.expect_effects(1).await
}
