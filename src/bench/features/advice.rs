//! What holds a network back, and what would help: in words, from what was measured.

use crate::bench::features::CUDA;
use crate::bench::features::data::{Limit, Row};
use crate::telemetry::durations::duration;

/// From this share of a roof on, that roof is what holds a network back.
const NEAR: f64 = 0.5;
/// A precision has to take so little of another's time before it is advised.
const FASTER: f64 = 0.9;
/// The slowest of a thousand may be so many times the median before it is worth a word.
const TAIL_TIMES: f64 = 1.5;
/// Of the time that a thread did not have its core: so much is worth a word.
const WITHOUT_CORE: f64 = 0.02;

/// What the machine is like, as far as advice goes.
#[derive(Clone, Debug, Default)]
pub struct Place {
    /// The kernel keeps the core free of other work.
    pub is_isolated: bool,
    /// Bytes of a core's own caches, the largest of them.
    pub own_cache: Option<usize>,
    /// `performance`, `schedutil`, ...
    pub governor: Option<String>,
    /// The fastest instruction set of this processor.
    pub best: &'static str,
    /// Whether it multiplies pairs of bf16.
    pub has_pairs: bool,
}

/// The roof that is nearest.
pub fn limit(of_peak: Option<f64>, of_bandwidth: f64) -> Limit {
    let of_peak = of_peak.unwrap_or(0.0);
    if of_peak.max(of_bandwidth) < NEAR {
        Limit::Neither
    } else if of_peak >= of_bandwidth {
        Limit::Arithmetic
    } else {
        Limit::Memory
    }
}

/// In words, the most important first. `others` are the rows of the same run.
pub fn advice(row: &Row, others: &[Row], place: &Place) -> Vec<String> {
    [
        candle(row, place),
        gpu(row),
        set(row, place),
        precision(row, others, place),
        limited(row, place),
        tail(row, place),
        taken(row),
        governor(row, place),
        few(row),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn candle(row: &Row, place: &Place) -> Option<String> {
    (row.backend == "candle").then(|| {
        format!(
            "candle is the reference: it allocates {:.0} times a forward; `--backend plan` runs the same network on {}",
            row.allocations_per_forward, place.best
        )
    })
}

fn gpu(row: &Row) -> Option<String> {
    (row.backend == CUDA).then(|| {
        "on the GPU; its own peaks are not measured here, and the processor's say nothing about it: docs/cuda.md"
            .to_owned()
    })
}

fn set(row: &Row, place: &Place) -> Option<String> {
    let is_forced = row.backend != "candle" && row.backend != CUDA && row.backend != place.best;
    is_forced.then(|| {
        format!(
            "this processor also has {}, which is faster than {}",
            place.best, row.backend
        )
    })
}

/// From what was measured beside it, or what the processor has.
fn precision(row: &Row, others: &[Row], place: &Place) -> Option<String> {
    if row.precision != "f32" || row.backend == "candle" || row.backend == CUDA {
        return None;
    }
    let same = |other: &&Row| {
        other.encoder == row.encoder && other.backend == row.backend && other.threads == row.threads
    };
    let faster = others
        .iter()
        .filter(same)
        .filter(|other| ratio(other.forwards.p50_ns, row.forwards.p50_ns) < FASTER);
    match faster.min_by_key(|other| other.forwards.p50_ns) {
        Some(other) => Some(format!(
            "{} takes {:.2} times as long here; what it costs in accuracy: docs/inference.md",
            other.precision,
            ratio(other.forwards.p50_ns, row.forwards.p50_ns)
        )),
        None if others
            .iter()
            .filter(same)
            .any(|other| other.precision != "f32") =>
        {
            None
        }
        None if place.has_pairs && row.backend == place.best => Some(
            "this processor multiplies pairs of bf16: see what `--precision bf16` gives".to_owned(),
        ),
        None => None,
    }
}

fn limited(row: &Row, place: &Place) -> Option<String> {
    let share = |part: f64| format!("{:.0} %", part * 100.0);
    match row.limit {
        Limit::Arithmetic => Some(format!(
            "bound by arithmetic: {} of what the core can multiply; fewer bits, a smaller network or a second core help",
            share(row.of_peak.unwrap_or(0.0))
        )),
        Limit::Memory => {
            let fits = place.own_cache.is_none_or(|cache| row.weight_bytes <= cache as u64);
            Some(format!(
                "bound by memory: {} of the speed at which {} of weights are read{}; fewer bits help, a second core hardly",
                share(row.of_bandwidth),
                mib(row.weight_bytes),
                if fits { "" } else { ", which do not fit into the core's own cache" }
            ))
        }
        Limit::Neither => row.of_peak.map(|of_peak| {
            format!(
                "bound by neither roof ({} of the arithmetic, {} of the reading of weights): by what goes between the layers, or by small ones",
                share(of_peak),
                share(row.of_bandwidth)
            )
        }),
    }
}

/// The slowest ones.
fn tail(row: &Row, place: &Place) -> Option<String> {
    let (name, ns) = match (row.forwards.p999_ns, row.forwards.p99_ns) {
        (Some(ns), _) => ("p99.9", ns),
        (_, Some(ns)) => ("p99", ns),
        _ => return None,
    };
    let times = ratio(ns, row.forwards.p50_ns);
    if times < TAIL_TIMES {
        return None;
    }
    let why = match place.is_isolated {
        true => "although the core is isolated: `reflexarc doctor` looks for what else disturbs it",
        false => "the core is not isolated: `reflexarc doctor` says how",
    };
    Some(format!(
        "{name} is {times:.1} times p50 ({}): {why}",
        duration(ns)
    ))
}

fn taken(row: &Row) -> Option<String> {
    (row.without_core > WITHOUT_CORE).then(|| {
        format!(
            "something else had the core for {:.0} % of the time: a quieter machine gives other numbers",
            row.without_core * 100.0
        )
    })
}

fn governor(_row: &Row, place: &Place) -> Option<String> {
    let governor = place
        .governor
        .as_deref()
        .filter(|name| *name != "performance")?;
    Some(format!(
        "the clock is governed by `{governor}`: with `performance` it does not move"
    ))
}

fn few(row: &Row) -> Option<String> {
    let count = row.forwards.count;
    (count < 1000).then(|| {
        format!(
            "{count} forwards are too few for p99.9: `--seconds {}`",
            row.seconds_for(1000)
        )
    })
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn ratio(a: u64, b: u64) -> f64 {
    a as f64 / b.max(1) as f64
}

#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::data::Percentiles;

    fn row() -> Row {
        Row {
            encoder: "vit-tiny".to_owned(),
            precision: "f32".to_owned(),
            backend: "avx512".to_owned(),
            threads: 1,
            forwards: Percentiles {
                count: 20_000,
                p50_ns: 20_000_000,
                p99_ns: Some(20_500_000),
                p999_ns: Some(21_000_000),
                p9999_ns: Some(22_000_000),
                max_ns: 23_000_000,
            },
            weight_bytes: 22 << 20,
            of_peak: Some(0.9),
            of_bandwidth: 0.1,
            limit: Limit::Arithmetic,
            ..Row::default()
        }
    }

    fn place() -> Place {
        Place {
            is_isolated: true,
            own_cache: Some(1 << 20),
            governor: Some("performance".to_owned()),
            best: "avx512",
            has_pairs: false,
        }
    }

    fn said(row: &Row, others: &[Row], place: &Place) -> String {
        advice(row, others, place).join("\n")
    }

    #[test]
    fn the_nearest_roof_is_the_limit_and_far_from_both_is_neither() {
        assert_eq!(limit(Some(0.8), 0.6), Limit::Arithmetic);
        assert_eq!(limit(Some(0.3), 0.6), Limit::Memory);
        assert_eq!(limit(None, 0.6), Limit::Memory);
        assert_eq!(limit(Some(0.4), 0.4), Limit::Neither);
    }

    #[test]
    fn a_good_run_hears_of_its_limit_alone() {
        let said = advice(&row(), &[], &place());
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(said[0].starts_with("bound by arithmetic: 90 %"), "{said:?}");
    }

    #[test]
    fn a_faster_precision_that_was_measured_is_named_with_its_factor() {
        let mut rounded = row();
        rounded.precision = "bf16".to_owned();
        rounded.forwards.p50_ns = 11_000_000;
        let text = said(&row(), &[row(), rounded.clone()], &place());
        assert!(
            text.contains("bf16 takes 0.55 times as long here"),
            "{text}"
        );
        // One that is slower is not advised, nor one of another network, nor to who has it.
        rounded.forwards.p50_ns = 30_000_000;
        assert!(!said(&row(), &[rounded.clone()], &place()).contains("bf16"));
        rounded.forwards.p50_ns = 1;
        rounded.encoder = "resnet18".to_owned();
        assert!(!said(&row(), &[rounded.clone()], &place()).contains("bf16"));
        // Not measured, but the processor has it.
        let with_pairs = Place {
            has_pairs: true,
            ..place()
        };
        assert!(said(&row(), &[], &with_pairs).contains("--precision bf16"));
    }

    #[test]
    fn weights_beyond_the_cache_are_named_where_memory_is_the_limit() {
        let mut bound = row();
        (bound.limit, bound.of_bandwidth) = (Limit::Memory, 0.8);
        let text = said(&bound, &[], &place());
        assert!(
            text.contains("80 % of the speed at which 22.0 MiB"),
            "{text}"
        );
        assert!(text.contains("do not fit"), "{text}");
        bound.weight_bytes = 1000;
        assert!(!said(&bound, &[], &place()).contains("do not fit"));
    }

    #[test]
    fn a_long_tail_is_explained_by_the_core_that_is_shared() {
        let mut slow = row();
        slow.forwards.p999_ns = Some(180_000_000);
        let shared = Place {
            is_isolated: false,
            ..place()
        };
        let text = said(&slow, &[], &shared);
        assert!(
            text.contains("p99.9 is 9.0 times p50 (180.00 ms): the core is not isolated"),
            "{text}"
        );
        assert!(said(&slow, &[], &place()).contains("although the core is isolated"));
    }

    #[test]
    fn what_makes_the_numbers_doubtful_is_said() {
        let mut doubtful = row();
        doubtful.without_core = 0.25;
        doubtful.forwards.count = 50;
        doubtful.seconds = 1;
        let place = Place {
            governor: Some("powersave".to_owned()),
            ..place()
        };
        let text = said(&doubtful, &[], &place);
        assert!(
            text.contains("something else had the core for 25 %"),
            "{text}"
        );
        assert!(text.contains("`powersave`"), "{text}");
        assert!(
            text.contains("50 forwards are too few for p99.9: `--seconds 20`"),
            "{text}"
        );
    }

    #[test]
    fn a_slower_set_and_candle_are_told_of_the_better_one() {
        let mut forced = row();
        forced.backend = "avx2".to_owned();
        assert!(said(&forced, &[], &place()).contains("also has avx512"));
        forced.backend = "candle".to_owned();
        forced.allocations_per_forward = 3589.0;
        assert!(said(&forced, &[], &place()).contains("allocates 3589 times"));
    }
}
