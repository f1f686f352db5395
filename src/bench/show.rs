//! A bench as text for the terminal.

use std::fmt::Write as _;

use crate::bench::compare::{self, Comparison, Row};
use crate::bench::data::{Bench, Flow, Kind, Part, Percentiles};
use crate::telemetry::columns::align;
use crate::telemetry::durations::duration;
use crate::telemetry::report::data::Verdict;

/// What a person reads.
pub fn text(bench: &Bench) -> String {
    match bench.kind {
        Kind::Beside => beside(bench),
        Kind::Latency => latency(bench),
    }
}

fn beside(bench: &Bench) -> String {
    let verdict = match bench.verdict {
        Verdict::Met => "it works",
        Verdict::Missed => "IT DOES NOT WORK",
        Verdict::NotJudged => "not judged",
    };
    let mut text = format!("bench beside a running robot: {verdict}\n");
    for reason in &bench.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    for flow in bench.parts.iter().filter_map(|part| part.flow) {
        let _ = writeln!(text, "  {}", counts(&flow));
    }
    text
}

fn counts(flow: &Flow) -> String {
    format!(
        "{} frames in, {} feature maps, {} chunks, {} actions out; {} dropped, {} failed",
        flow.frames, flow.feature_maps, flow.chunks, flow.actions, flow.dropped, flow.failed
    )
}

fn latency(bench: &Bench) -> String {
    let mut text = format!("bench: {}\n", verdict(bench));
    for reason in &bench.reasons {
        let _ = writeln!(text, "  {reason}");
    }
    let _ = writeln!(text, "\n{}", table(&rows(bench)));
    text += "What to take from it\n";
    for finding in &bench.findings {
        let _ = writeln!(text, "  - {finding}");
    }
    if let Some(comparison) = &bench.comparison {
        text += "\n";
        text += &compared(comparison);
    }
    text
}

/// In words.
pub fn verdict(bench: &Bench) -> String {
    if bench.interrupted {
        return "interrupted by a signal, not judged".to_owned();
    }
    match (bench.verdict, &bench.virtual_machine) {
        (Verdict::Met, _) => "every limit is kept".to_owned(),
        (Verdict::Missed, _) => "MISSED".to_owned(),
        (Verdict::NotJudged, Some(_)) => {
            "works; times are not judged in an emulated machine".to_owned()
        }
        (Verdict::NotJudged, None) => "not judged".to_owned(),
    }
}

fn table(rows: &[Vec<String>]) -> String {
    align(rows)
        .iter()
        .fold(String::new(), |text, line| text + "  " + line + "\n")
}

pub const HEADS: [&str; 9] = [
    "part",
    "what",
    "p50",
    "p99",
    "p99.9",
    "p99.99",
    "max",
    "count",
    "over budget",
];

/// The numbers, a row each; the first has the headings.
pub fn rows(bench: &Bench) -> Vec<Vec<String>> {
    let heads = HEADS.map(str::to_owned).to_vec();
    let parts = bench.parts.iter().flat_map(part_rows);
    std::iter::once(heads).chain(parts).collect()
}

/// Durations that everybody should see; the others are on the page and in `bench.json`.
const SHOWN: [&str; 4] = [
    "camera to action",
    "data age at action",
    "action jitter",
    "fusion",
];

fn part_rows(part: &Part) -> Vec<Vec<String>> {
    let name = if part.marks.is_empty() {
        part.name.clone()
    } else {
        format!("{} (marked)", part.name)
    };
    let row = |what: String, p: &Percentiles, budget: Option<crate::bench::data::Budget>| {
        let mut cells = vec![name.clone(), what];
        cells.extend(percentile_cells(p));
        cells.push(budget.map_or("–".to_owned(), |b| {
            format!("{} over {}", b.over, duration(b.limit_ns))
        }));
        cells
    };
    let baseline = part.baseline.iter().map(|wakes| {
        row(
            format!("wake-up of core {} ({})", wakes.core, wakes.by),
            &wakes.percentiles,
            wakes.budget,
        )
    });
    let shown = part
        .latencies
        .iter()
        .filter(|l| SHOWN.contains(&l.name.as_str()));
    let latencies = shown.map(|l| row(l.name.clone(), &l.percentiles, l.budget));
    baseline.chain(latencies).collect()
}

/// `p50 p99 p99.9 p99.99 max count`; what needs more samples is a dash.
pub fn percentile_cells(p: &Percentiles) -> Vec<String> {
    let show = |ns: Option<u64>| ns.map_or("–".to_owned(), |ns| duration(ns).to_string());
    vec![
        show(Some(p.p50_ns)),
        show(p.p99_ns),
        show(p.p999_ns),
        show(p.p9999_ns),
        show(Some(p.max_ns)),
        p.count.to_string(),
    ]
}

fn compared(comparison: &Comparison) -> String {
    let mut text = format!(
        "Compared with {} of {}\n",
        comparison.with, comparison.with_started
    );
    for difference in &comparison.differences {
        let _ = writeln!(text, "  not comparable: {difference}");
    }
    if comparison.differences.is_empty() {
        let _ = writeln!(
            text,
            "  {} numbers got worse. {}",
            comparison.worse,
            compare::rule()
        );
    }
    let heads = ["part", "number", "then", "now", "ratio", ""]
        .map(str::to_owned)
        .to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(heads)
        .chain(comparison.rows.iter().map(comparison_cells))
        .collect();
    text + &table(&rows)
}

/// `part number then now ratio worse`.
pub fn comparison_cells(row: &Row) -> Vec<String> {
    let is_count = matches!(row.number.as_str(), "missed beats" | "dropped" | "failed");
    let show = |n: u64| {
        if is_count {
            n.to_string()
        } else {
            duration(n).to_string()
        }
    };
    vec![
        row.part.clone(),
        row.number.clone(),
        show(row.before),
        show(row.now),
        row.ratio
            .map_or("–".to_owned(), |ratio| format!("{ratio:.2}")),
        if row.is_worse { "WORSE" } else { "" }.to_owned(),
    ]
}
