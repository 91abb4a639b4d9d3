//! Runs the buyers and shows their progress.

use std::{
    io::IsTerminal,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use super::{
    buyer::{Bought, Shop},
    pace::Pace,
    tally::{Kind, Tally},
};
use crate::signals::Signals;

const REDRAW_EVERY: Duration = Duration::from_millis(250);

/// Parameters of a run.
pub(super) struct Work {
    pub(super) shop: Shop,
    pub(super) sagas: u64,
    pub(super) concurrency: u32,
    pub(super) pace: Pace,
}

/// Results of a run.
pub(super) struct RunResults {
    pub(super) tally: Tally,
    pub(super) took: Duration,
    pub(super) wanted: u64,
    pub(super) concurrency: u32,
    pub(super) pace: Pace,
    /// Purchases begun but abandoned after a second Ctrl-C; their end is not known.
    pub(super) left: u64,
}

struct Ended {
    bought: Bought,
    at: Duration,
    latency: Duration,
}

/// Makes purchases until all are done or a signal stops the run.
pub(super) async fn run(work: Work, signals: &Signals) -> RunResults {
    let Work { shop, sagas, concurrency, pace } = work;
    let start = Instant::now();
    let begun = Arc::new(AtomicU64::new(0));
    let (sender, mut ended) = mpsc::unbounded_channel();
    let mut buyers = JoinSet::new();
    for _ in 0..u64::from(concurrency).min(sagas) {
        buyers.spawn(buy_on(shop.clone(), pace, sagas, start, begun.clone(), sender.clone(), signals.clone()));
    }
    drop(sender);
    let bar = bar(sagas);
    let mut tally = Tally::default();
    let mut redraw = tokio::time::interval(REDRAW_EVERY);
    loop {
        tokio::select! {
            biased;
            () = signals.force.cancelled() => break,
            next = ended.recv() => match next {
                Some(Ended { bought, at, latency }) => tally.add(bought, at, latency),
                None => break,
            },
            _ = redraw.tick() => show(&bar, &tally, start),
        }
    }
    buyers.abort_all();
    bar.finish_and_clear();
    let left = begun.load(Ordering::Relaxed).saturating_sub(tally.total());
    RunResults { tally, took: start.elapsed(), wanted: sagas, concurrency, pace, left }
}

async fn buy_on(
    shop: Shop,
    pace: Pace,
    sagas: u64,
    start: Instant,
    begun: Arc<AtomicU64>,
    ended: mpsc::UnboundedSender<Ended>,
    signals: Signals,
) {
    loop {
        // The number is given back if no purchase begins, so that begun equals ended plus abandoned.
        let number = begun.fetch_add(1, Ordering::Relaxed);
        let is_enough = number >= sagas || signals.shutdown.begun.is_cancelled();
        let due = pace.due(number).map(|due| start + due);
        let came = async {
            match due {
                Some(due) if !is_enough => sleep_until(due).await,
                _ => {}
            }
        };
        let is_stopped = tokio::select! {
            () = came => is_enough,
            () = signals.shutdown.begun.cancelled() => true,
        };
        if is_stopped {
            begun.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        // Latency starts at the due time, not when a buyer became free.
        let from = due.unwrap_or_else(Instant::now);
        let bought = shop.buy().await;
        let now = Instant::now();
        if ended.send(Ended { bought, at: now - start, latency: now - from }).is_err() {
            return;
        }
    }
}

/// Makes the progress bar; hidden without a terminal.
fn bar(sagas: u64) -> ProgressBar {
    let target =
        if std::io::stderr().is_terminal() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
    let bar = ProgressBar::with_draw_target(Some(sagas), target);
    let template = "{elapsed_precise} {bar:30} {human_pos}/{human_len}  {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("█▉▊▋▌▍▎▏ "));
    }
    bar
}

fn show(bar: &ProgressBar, tally: &Tally, start: Instant) {
    let total = tally.total();
    bar.set_position(total);
    bar.set_message(line(tally, total, start.elapsed()));
}

/// The average rate so far, the outcomes, and unusual events.
fn line(tally: &Tally, total: u64, elapsed: Duration) -> String {
    let rate = total as f64 / elapsed.as_secs_f64().max(0.001);
    let [completed, compensated, failed, unknown] = Kind::ALL.map(|kind| tally.count(kind));
    let mut line = format!("{rate:.0}/s  {completed} completed, {compensated} compensated");
    for (count, what) in
        [(failed, "failed"), (unknown, "unknown"), (tally.asked_again, "retried"), (tally.limited, "rate-limited")]
    {
        if count > 0 {
            line.push_str(&format!(", {count} {what}"));
        }
    }
    line
}
