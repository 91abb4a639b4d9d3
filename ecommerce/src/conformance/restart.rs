//! The rule of a restart: the journal outlives the process.

use super::{
    Restart,
    case::{Case, Contents, FOUND_DONE, FOUND_NONE},
    rule::Broken,
    service::{Record, Service},
};

/// After a restart every decision is repeated as before it.
pub(super) async fn restart(
    service: &Service<'_>,
    record: &Record,
    restarting: Option<&Restart<'_>>,
) -> Result<(), Broken> {
    let Some(restarting) = restarting else { return Err(Broken::Skipped("no --restart command is given".to_owned())) };
    let (compensated, _) = Case::done(service, record).await?;
    let compensation = compensated.undo().await;
    compensation.confirms(FOUND_DONE)?;
    let buried = service.case(record);
    buried.undo().await.confirms(FOUND_NONE)?;
    let refused = match Case::refused(service, record).await {
        Ok(refused) => Some(refused),
        Err(Broken::Skipped(_)) => None,
        Err(violated) => return Err(violated),
    };
    let (done, first) = Case::done(service, record).await?;

    let restarted = async {
        restarting().await?;
        service.wait_until_reachable().await
    };
    match restarted.await {
        Ok(()) => record.note("restart", "answers again"),
        Err(reason) => return Err(Broken::Violated(format!("the restart failed: {reason}"))),
    }

    done.act().await.expect_same(&first)?;
    done.act_with(Contents::Other).await.expect_contents_differ()?;
    done.expect_effects(1).await?;
    if let Some((refused, first)) = &refused {
        refused.act().await.expect_same(first)?;
    }
    compensated.undo().await.expect_same(&compensation)?;
    compensated.expect_never_again().await?;
    buried.expect_never_again().await
}
