//! The rows as a table for a terminal, and under it what follows from them.

use std::fmt::Write as _;

use crate::bench::features::advice::mib;
use crate::bench::features::data::{Features, Limit, Row};
use crate::telemetry::durations::duration;

/// Writing to a String cannot fail, so the results of `writeln!` are let go.
pub fn text(told: &Features) -> String {
    let mut text = String::new();
    let isolated = if told.isolated {
        "isolated"
    } else {
        "not isolated"
    };
    let _ = writeln!(
        text,
        "{}, Linux {}, core {isolated}\n",
        told.cpu_model, told.kernel
    );
    let _ = writeln!(
        text,
        "{:30} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>7} {:>8} {:>8}",
        "", "min", "p50", "p99", "p99.9", "max", "forwards", "allocs", "of peak", "of read"
    );
    for row in &told.rows {
        let _ = writeln!(text, "{}", line(row));
    }
    for row in &told.rows {
        let _ = writeln!(text, "\n{}", about(row));
        for said in row.advice.iter().chain(&row.refused) {
            let _ = writeln!(text, "  - {said}");
        }
    }
    text
}

fn title(row: &Row) -> String {
    let words = match row.words {
        0 => String::new(),
        words => format!(" {words} tokens"),
    };
    let threads = match row.threads {
        1 => String::new(),
        threads => format!(" x{threads}"),
    };
    format!(
        "{}{words} {} {}{threads}",
        row.encoder, row.precision, row.backend
    )
}

fn line(row: &Row) -> String {
    let forwards = row.forwards;
    let some = |ns: Option<u64>| ns.map_or_else(|| "-".to_owned(), |ns| duration(ns).to_string());
    let percent = |share: f64| format!("{:.0} %", share * 100.0);
    format!(
        "{:30} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>7.0} {:>8} {:>8}",
        title(row),
        duration(row.min_ns).to_string(),
        duration(forwards.p50_ns).to_string(),
        some(forwards.p99_ns),
        some(forwards.p999_ns),
        duration(forwards.max_ns).to_string(),
        forwards.count,
        row.allocations_per_forward,
        row.of_peak.map_or_else(|| "-".to_owned(), percent),
        percent(row.of_bandwidth),
    )
}

/// The numbers behind the shares.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
fn about(row: &Row) -> String {
    let limit = match row.limit {
        Limit::Arithmetic => "arithmetic",
        Limit::Memory => "memory",
        Limit::Neither => "neither",
    };
    let peak = row.peak_flops.map_or_else(
        || "an unknown peak".to_owned(),
        |peak| format!("a peak of {:.0} GFLOP/s", peak / 1e9),
    );
    format!(
        "{} ({} weights): {:.0} million multiply-adds at {:.0} GFLOP/s of {peak}; {} of weights at {:.1} GB/s of {:.1}; limit: {limit}",
        title(row),
        row.weights,
        row.multiply_adds as f64 / 1e6,
        row.flops / 1e9,
        mib(row.weight_bytes),
        row.bytes_per_s / 1e9,
        row.peak_bytes_per_s / 1e9,
    )
}
