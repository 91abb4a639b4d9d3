//! The charts of the report, as SVG. The page sets the color of text and axes, light or dark.

use std::{collections::BTreeMap, error::Error};

use plotters::prelude::*;

use super::{
    run::RunResults,
    summary::{Share, percent},
    tally::{Kind, SLOT},
};

const SIZE: (u32, u32) = (860, 300);
/// More columns would be indistinguishable.
const COLUMNS: usize = 60;
/// Quantile at which the latency chart ends: a long tail would squeeze the rest to the left. The table has the maximum.
const SHOWN_QUANTILE: f64 = 0.995;
const FONT: (&str, i32) = ("sans-serif", 14);

type Drawn = Result<String, Box<dyn Error>>;

/// The color of an outcome; the lightness differs too.
pub(super) fn colour(kind: Kind) -> RGBColor {
    match kind {
        Kind::Completed => RGBColor(0x1b, 0x9e, 0x77),
        Kind::Compensated => RGBColor(0xe6, 0xab, 0x02),
        Kind::Failed => RGBColor(0xc5, 0x1b, 0x3a),
        Kind::Unknown => RGBColor(0x75, 0x70, 0xb3),
    }
}

/// Histogram of latencies, stacked by outcome.
pub(super) fn latencies(ran: &RunResults) -> Drawn {
    let longest = ran.tally.all_latencies().value_at_quantile(SHOWN_QUANTILE).max(1);
    let width = longest.div_ceil(COLUMNS as u64).max(1);
    let mut columns = vec![BTreeMap::new(); COLUMNS];
    for kind in Kind::ALL {
        for value in ran.tally.latencies(kind).iter_recorded() {
            let column = (value.value_iterated_to() / width) as usize;
            if let Some(column) = columns.get_mut(column) {
                *column.entry(kind).or_default() += value.count_at_value();
            }
        }
    }
    let width_ms = width as f64 / 1000.0;
    stacked(&columns, width_ms, 1.0, "milliseconds", "purchases")
}

/// Purchases ended per second.
pub(super) fn throughput(ran: &RunResults) -> Drawn {
    let slots = &ran.tally.timeline;
    let together = slots.len().div_ceil(COLUMNS).max(1);
    let columns: Vec<_> = slots
        .chunks(together)
        .map(|chunk| {
            let mut sum = BTreeMap::new();
            for (kind, count) in chunk.iter().flatten() {
                *sum.entry(*kind).or_default() += count;
            }
            sum
        })
        .collect();
    let width_s = SLOT.as_secs_f64() * together as f64;
    stacked(&columns, width_s, 1.0 / width_s, "seconds", "purchases per second")
}

/// Columns of this width, stacked by outcome.
fn stacked(columns: &[BTreeMap<Kind, u64>], width: f64, scale: f64, x: &str, y: &str) -> Drawn {
    let mut svg = String::new();
    {
        let highest = columns.iter().map(|column| column.values().sum::<u64>()).max().unwrap_or(0).max(1);
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..width * columns.len().max(1) as f64, 0.0..highest as f64 * scale * 1.05)?;
        chart
            .configure_mesh()
            .x_desc(x)
            .y_desc(y)
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .label_style(FONT)
            .axis_desc_style(FONT)
            .draw()?;
        for kind in Kind::ALL {
            let bars = columns.iter().enumerate().filter_map(|(number, column)| {
                let count = column.get(&kind).copied().filter(|count| *count > 0)?;
                let below: u64 = column.range(..kind).map(|(_, count)| count).sum();
                let left = number as f64 * width;
                let corners = [
                    (left + width * 0.05, below as f64 * scale),
                    (left + width * 0.95, (below + count) as f64 * scale),
                ];
                Some(Rectangle::new(corners, colour(kind).filled()))
            });
            chart.draw_series(bars)?;
        }
        area.present()?;
    }
    Ok(svg)
}

/// Share of each outcome, with a mark at the expected share.
pub(super) fn outcomes(shares: &[Share]) -> Drawn {
    let mut svg = String::new();
    {
        let count = shares.len().max(1);
        let highest = shares.iter().flat_map(|share| [Some(share.seen), share.expected]).flatten().fold(0.05, f64::max);
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(8)
            .x_label_area_size(44)
            .y_label_area_size(64)
            .build_cartesian_2d(0.0..count as f64, 0.0..highest * 115.0)?;
        let name = |at: &f64| {
            let share = shares.get(at.floor() as usize).filter(|_| (at.fract() - 0.5).abs() < 1e-6);
            share.map_or_else(String::new, |share| share.name.clone())
        };
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(count * 2 + 1)
            .x_label_formatter(&name)
            .y_desc("% of purchases")
            .label_style(FONT)
            .axis_desc_style(FONT)
            .draw()?;
        for (number, share) in shares.iter().enumerate() {
            let left = number as f64;
            let fill = match share.name.as_str() {
                "completed" => colour(Kind::Completed),
                "failed" => colour(Kind::Failed),
                "unknown" => colour(Kind::Unknown),
                _ => colour(Kind::Compensated),
            };
            let seen = share.seen * 100.0;
            chart.draw_series([Rectangle::new([(left + 0.2, 0.0), (left + 0.8, seen)], fill.filled())])?;
            let label = Text::new(percent(share.seen), (left + 0.42, seen + highest * 6.0), FONT);
            chart.draw_series([label])?;
            if let Some(expected) = share.expected {
                let mark = [(left + 0.1, expected * 100.0), (left + 0.9, expected * 100.0)];
                chart.draw_series([PathElement::new(mark, BLACK.stroke_width(3))])?;
            }
        }
        area.present()?;
    }
    Ok(svg)
}
