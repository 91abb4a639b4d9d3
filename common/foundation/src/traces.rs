//! Traces: spans of the work of each service, sent to an OpenTelemetry collector by OTLP.
//!
//! A span is created whole when it ends, from the data known then: requests carry only the ids that `traceparent` holds
//! anyway. So a disabled tracer costs a check of an `Option`, no process must live as long as a part of a trace, and a
//! saga's spans stay connected across all its owners.
//!
//! ```text
//! service ─► record ─► bounded queue ─► exporter thread: batches ─► OTLP ─► collector
//!                       full: dropped                               no answer: dropped, logged once
//! ```
//! Each service has its own tracer, even if several share a process: a collector tells services apart by their
//! resource.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Link, SpanContext, SpanId, TraceFlags, TraceId, TraceState};
pub use opentelemetry::trace::{SpanKind, Status};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};

use crate::trace_context::TraceContext;

/// How long a shutdown waits for the last spans to be sent.
const STOP_TIMEOUT: Duration = Duration::from_secs(3);

/// Records the spans of one service, or nothing. Clones share one queue.
#[derive(Clone, Debug, Default)]
pub struct Tracer(Option<Arc<Enabled>>);

#[derive(Debug)]
struct Enabled {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    /// Number of traces recorded out of 2^64.
    threshold: u128,
    follows_parent: FollowsParent,
}

/// Which traces are recorded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether a trace of a caller is recorded if the caller records it.
    pub follows_parent: FollowsParent,
    /// The share of the other traces that is recorded, 0 to 1.
    pub ratio: f64,
}

/// Whether a sampler follows the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowsParent {
    /// It records the traces that the caller records.
    Yes,
    /// It decides by the trace id alone.
    No,
}

/// A finished span.
#[derive(Clone, Debug)]
pub struct Span {
    /// Its name: few distinct values, without ids.
    pub name: Cow<'static, str>,
    /// Its kind, such as client or server.
    pub kind: SpanKind,
    /// The id of the parent span; `None` for the root.
    pub parent: Option<u64>,
    /// Start time.
    pub began: SystemTime,
    /// End time.
    pub ended: SystemTime,
    /// Further data.
    pub attributes: Vec<KeyValue>,
    /// Related spans of other traces.
    pub links: Vec<TraceContext>,
    /// Outcome.
    pub status: Status,
}

impl Tracer {
    /// Creates a tracer that records nothing.
    pub fn off() -> Self {
        Self(None)
    }

    /// Creates a tracer that hands spans to a processor.
    pub fn to(processor: BatchSpanProcessor, sampler: Sampler) -> Self {
        Self(Some(Arc::new(Enabled {
            processor,
            scope: InstrumentationScope::builder("ecommerce-saga").with_version(env!("CARGO_PKG_VERSION")).build(),
            threshold: threshold(sampler.ratio),
            follows_parent: sampler.follows_parent,
        })))
    }

    /// Returns whether this tracer records anything at all.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Returns whether a trace that begins here is recorded. All services and all owners of a saga agree on the result.
    pub fn samples(&self, trace_id: u128) -> bool {
        self.0.as_ref().is_some_and(|on| u128::from(spread(trace_id)) < on.threshold)
    }

    /// Begins a span in a caller's trace.
    pub fn continue_from(&self, parent: &TraceContext) -> TraceContext {
        let child = parent.child();
        match &self.0 {
            Some(on) if on.follows_parent == FollowsParent::No => {
                TraceContext { sampled: self.samples(parent.trace_id), ..child }
            }
            Some(_) | None => child,
        }
    }

    /// Records a span if its trace is sampled. It never waits, and errors are dropped.
    pub fn record(&self, context: &TraceContext, span: impl FnOnce() -> Span) {
        let Some(on) = self.0.as_ref().filter(|_| context.sampled) else { return };
        let Span { name, kind, parent, began, ended, attributes, links, status } = span();
        let mut span_links = SpanLinks::default();
        span_links.links.extend(links.iter().map(|link| Link::with_context(of(link))));
        on.processor.on_end(SpanData {
            span_context: of(context),
            parent_span_id: parent.map_or(SpanId::INVALID, |id| SpanId::from_bytes(id.to_be_bytes())),
            parent_span_is_remote: kind == SpanKind::Server,
            span_kind: kind,
            name,
            start_time: began,
            // A clock set back must not give a negative duration.
            end_time: ended.max(began),
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: span_links,
            status,
            instrumentation_scope: on.scope.clone(),
        });
    }

    /// Sends the queued spans, waiting a few seconds at most. Later spans are dropped.
    pub async fn stop(&self) {
        let Some(on) = self.0.clone() else { return };
        let stopping = tokio::task::spawn_blocking(move || on.processor.shutdown_with_timeout(STOP_TIMEOUT));
        if let Ok(Err(error)) = stopping.await {
            tracing::debug!(%error, "the last spans were not exported");
        }
    }
}

fn of(context: &TraceContext) -> SpanContext {
    let flags = if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(
        TraceId::from_bytes(context.trace_id.to_be_bytes()),
        SpanId::from_bytes(context.span_id.to_be_bytes()),
        flags,
        false,
        TraceState::NONE,
    )
}

/// Converts a ratio to a number of traces out of 2^64.
fn threshold(ratio: f64) -> u128 {
    // 2^64 is exact as a float, and so are both ends of the range.
    (ratio.clamp(0.0, 1.0) * 18_446_744_073_709_551_616.0) as u128
}

/// Spreads trace ids evenly over all 64-bit numbers, the same in every process. A saga's trace id is a UUID, whose bits
/// are not all random.
fn spread(trace_id: u128) -> u64 {
    // The finalizer of SplitMix64.
    let mut mixed = (trace_id as u64) ^ ((trace_id >> 64) as u64).rotate_left(32);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Creates an attribute of a span.
pub fn attribute(name: &'static str, value: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new(name, value.into())
}

/// An attribute of a span.
pub type Attribute = KeyValue;

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    #[test]
    fn a_ratio_of_the_sagas_is_recorded() {
        let sampled = |ratio| {
            let threshold = threshold(ratio);
            let ids = (0..10_000).map(|_| Uuid::now_v7().as_u128());
            ids.filter(|id| u128::from(spread(*id)) < threshold).count()
        };
        assert_eq!((sampled(0.0), sampled(1.0)), (0, 10_000));
        // Ten standard deviations on both sides.
        assert!((700..1_300).contains(&sampled(0.1)), "{}", sampled(0.1));
        assert!((4_500..5_500).contains(&sampled(0.5)), "{}", sampled(0.5));
    }

    #[test]
    fn a_tracer_that_is_off_does_not_even_ask_what_happened() {
        let context = TraceContext { sampled: true, ..TraceContext::start() };
        let tracer = Tracer::off();
        tracer.record(&context, || panic!("the span is not needed"));
        assert!(!tracer.is_on() && !tracer.samples(context.trace_id));
    }
}
