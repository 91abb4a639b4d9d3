//! The report: one self-contained HTML file.

use std::error::Error;

use super::{
    charts,
    run::RunResults,
    summary::{HEADER, Summary},
    tally::Kind,
};

const STYLE: &str = include_str!("report.css");

pub(super) fn page(ran: &RunResults, summary: &Summary) -> Result<String, Box<dyn Error>> {
    let now = chrono::Utc::now().format("%Y-%m-%d %H:%M UTC");
    let head: String = HEADER.iter().map(|name| format!("<th scope=\"col\">{name}</th>")).collect();
    let rows: String = summary
        .table()
        .iter()
        .map(|[name, rest @ ..]| {
            let cells: String = rest.iter().map(|cell| format!("<td>{}</td>", escaped(cell))).collect();
            format!("<tr><th scope=\"row\">{}</th>{cells}</tr>", escaped(name))
        })
        .collect();
    let facts: String = summary.facts().iter().map(|fact| format!("<li>{}</li>", escaped(fact))).collect();
    let legend: String = Kind::ALL
        .iter()
        .filter(|kind| ran.tally.count(**kind) > 0)
        .map(|kind| {
            let plotters::style::RGBColor(red, green, blue) = charts::colour(*kind);
            format!("<li><i style=\"background:#{red:02x}{green:02x}{blue:02x}\"></i>{}</li>", kind.name())
        })
        .collect();
    let charts: String = [
        (
            "Latency",
            "Time from the request (in an open loop: from its scheduled start) to the end of the purchase. The slowest \
             0.5 % are beyond the right edge.",
            charts::latencies(ran)?,
        ),
        ("Throughput", "Purchases ended per second, by time since the start.", charts::throughput(ran)?),
        (
            "Outcomes",
            "Bars: measured shares. Lines: shares expected from the failure rates in force.",
            charts::outcomes(&summary.shares)?,
        ),
    ]
    .into_iter()
    .map(|(title, what, svg)| {
        let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{title}\" "), 1);
        format!("<section><h2>{title}</h2><p>{what}</p>{svg}</section>")
    })
    .collect();
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>ecommerce load: {} purchases</title><style>{STYLE}</style></head><body>\
         <main><h1>{} purchases, {:.1} per second</h1><p>{now}, ecommerce {}</p><ul class=\"facts\">{facts}</ul>\
         <div class=\"wide\"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>\
         <ul class=\"legend\">{legend}</ul>{charts}</main></body></html>\n",
        summary.total,
        summary.total,
        summary.per_second,
        env!("CARGO_PKG_VERSION"),
    ))
}

/// Escapes a text for HTML.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
