//! Exact percentiles of a set of samples, and the table that people read.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// The samples of one peer, sorted, with the number of operations that each stands for.
#[derive(Clone, Debug)]
pub struct Summary {
    pub name: String,
    pub operations: u64,
    /// Nanoseconds of one sample, rising.
    sorted: Vec<u64>,
}

impl Summary {
    /// # Panics
    /// If there is no sample: a bench that measured nothing has no result.
    pub fn new(name: String, operations: u64, mut ns: Vec<u64>) -> Self {
        assert!(!ns.is_empty(), "`{name}` has no samples");
        ns.sort_unstable();
        Self {
            name,
            operations,
            sorted: ns,
        }
    }

    pub fn count(&self) -> usize {
        self.sorted.len()
    }

    /// Nanoseconds of one operation at the quantile `per_mille` / 1000, by nearest rank: a value that was really
    /// measured, never an interpolation. 0 gives the least, 1000 the greatest.
    #[expect(
        clippy::cast_precision_loss,
        reason = "nanoseconds of a bench fit in 53 bits"
    )]
    pub fn at(&self, per_mille: usize) -> f64 {
        let rank = (self.sorted.len() * per_mille).div_ceil(1000).max(1);
        self.sorted[rank - 1] as f64 / self.operations as f64
    }

    pub fn min(&self) -> f64 {
        self.at(0)
    }

    pub fn p50(&self) -> f64 {
        self.at(500)
    }

    /// The percentiles, and 101 order statistics (percentiles 0 to 100) from which a plot can be drawn.
    pub fn to_json(&self) -> Value {
        let curve: Vec<f64> = (0..=100).map(|p| self.at(p * 10)).collect();
        json!({
            "name": self.name,
            "samples": self.count(),
            "operations_per_sample": self.operations,
            "unit": "ns per operation",
            "min": self.min(),
            "p50": self.p50(),
            "p90": self.at(900),
            "p99": self.at(990),
            "p999": self.at(999),
            "max": self.at(1000),
            "percentiles_0_to_100": curve,
        })
    }
}

/// The table of one comparison. The last two columns compare the least and the median with the first row's.
pub fn table(title: &str, rows: &[Summary]) -> String {
    let wide = rows
        .iter()
        .map(|r| r.name.chars().count())
        .max()
        .unwrap_or(0)
        .max(title.chars().count());
    let mut text = format!(
        "\n{title:wide$} {:>10} {:>10} {:>10} {:>10} {:>10} {:>10} {:>8} {:>7} {:>7}\n",
        "min", "p50", "p90", "p99", "p99.9", "max", "samples", "x min", "x p50"
    );
    let Some(first) = rows.first() else {
        return text;
    };
    for row in rows {
        let [min, p50, p90, p99, p999, max] =
            [0, 500, 900, 990, 999, 1000].map(|q| duration(row.at(q)));
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:wide$} {min:>10} {p50:>10} {p90:>10} {p99:>10} {p999:>10} {max:>10} {:>8} {:>7.2} {:>7.2}",
            row.name,
            row.count(),
            row.min() / first.min(),
            row.p50() / first.p50(),
        );
    }
    text
}

/// Nanoseconds with the unit that a person would choose.
fn duration(ns: f64) -> String {
    match ns {
        _ if ns < 1e1 => format!("{ns:.3} ns"),
        _ if ns < 1e3 => format!("{ns:.1} ns"),
        _ if ns < 1e6 => format!("{:.2} us", ns / 1e3),
        _ if ns < 1e9 => format!("{:.3} ms", ns / 1e6),
        _ => format!("{:.3} s", ns / 1e9),
    }
}
