//! What cyclictest (rt-tests) writes with `--json`, from version 1.10 on.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::bench::data::{Budget, Percentiles, Wakes};

/// Buckets of its histogram, in us. Later wake-ups are counted, and only the latest is known exactly.
pub const BUCKETS: u64 = 20_000;

/// The part of the file that is read.
#[derive(Debug, Deserialize)]
struct Output {
    thread: BTreeMap<String, Thread>,
}

#[derive(Debug, Deserialize)]
struct Thread {
    /// Latency in us to how often.
    #[serde(default)]
    histogram: BTreeMap<String, u64>,
    cycles: u64,
    max: u64,
    cpu: usize,
}

/// The wake-ups of each thread. An error says in words what is wrong with the text.
pub fn parse(text: &str, limit_ns: Option<u64>) -> Result<Vec<Wakes>, String> {
    let output: Output = serde_json::from_str(text).map_err(|e| e.to_string())?;
    if output.thread.is_empty() {
        return Err("it has no thread".to_owned());
    }
    output
        .thread
        .values()
        .map(|thread| thread.wakes(limit_ns))
        .collect()
}

impl Thread {
    fn wakes(&self, limit_ns: Option<u64>) -> Result<Wakes, String> {
        let read = |(us, count): (&String, &u64)| {
            let us: u64 = us.parse().map_err(|_| format!("`{us}` is no bucket"))?;
            Ok((us, *count))
        };
        let mut buckets: Vec<(u64, u64)> = self
            .histogram
            .iter()
            .map(read)
            .collect::<Result<_, String>>()?;
        buckets.sort_unstable();
        let counted: u64 = buckets.iter().map(|(_, count)| count).sum();
        let Some(over) = self.cycles.checked_sub(counted) else {
            return Err(format!(
                "its histogram has {counted} wake-ups, more than the {} that there were",
                self.cycles
            ));
        };
        if over > 0 {
            // All that is known of these is that none was later than the latest.
            buckets.push((self.max, over));
        }
        let at = |share: f64| ns(at_share(&buckets, self.cycles, share).min(self.max));
        let from = |least, share| (self.cycles >= least).then(|| at(share));
        let late = |limit_ns| {
            let is_late = |(us, _): &&(u64, u64)| ns(*us) > limit_ns;
            let late = buckets.iter().filter(is_late).map(|(_, count)| count);
            late.sum()
        };
        let budget = limit_ns.map(|limit_ns| Budget::of_wakes(limit_ns, late(limit_ns)));
        Ok(Wakes {
            by: "cyclictest".to_owned(),
            core: self.cpu,
            percentiles: Percentiles {
                count: self.cycles,
                p50_ns: at(0.5),
                p99_ns: from(100, 0.99),
                p999_ns: from(1_000, 0.999),
                p9999_ns: from(10_000, 0.9999),
                max_ns: ns(self.max),
            },
            budget,
            curve: curve(&buckets, self.cycles),
            ..Wakes::default()
        })
    }
}

fn ns(us: u64) -> u64 {
    us.saturating_mul(1_000)
}

/// The lowest bucket such that this share of all is no later.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a count below 2^52"
)]
fn at_share(buckets: &[(u64, u64)], all: u64, share: f64) -> u64 {
    let wanted = ((all as f64 * share).ceil() as u64).max(1);
    let mut seen = 0;
    for (us, count) in buckets {
        seen += count;
        if seen >= wanted {
            return *us;
        }
    }
    buckets.last().map_or(0, |(us, _)| *us)
}

/// `[quantile, ns]`, upwards: one point for each bucket with something in it.
#[expect(clippy::cast_precision_loss, reason = "a share of a count below 2^52")]
fn curve(buckets: &[(u64, u64)], all: u64) -> Vec<(f64, u64)> {
    let mut seen = 0;
    let filled = buckets.iter().filter(|(_, count)| *count > 0);
    filled
        .map(|(us, count)| {
            seen += count;
            (seen as f64 / all.max(1) as f64, ns(*us))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As version 2.40 wrote it, shortened; with `-h 30`, two wake-ups were later than the histogram reaches.
    const REAL: &str = r#"{"file_version": 1, "rt_test_version:": "2.40", "return_code": 0, "num_threads": 1,
        "thread": {"0": {"histogram": {"9": 1, "10": 12, "11": 40, "12": 946}, "cycles": 1001, "min": 9, "max": 436,
        "avg": 17.55, "cpu": 3, "node": 0}}}"#;

    #[test]
    fn percentiles_follow_from_the_histogram() {
        let wakes = parse(REAL, Some(11_000)).expect("is right");
        let p = wakes[0].percentiles;
        assert_eq!((wakes[0].core, p.count, p.max_ns), (3, 1001, 436_000));
        assert_eq!((p.p50_ns, p.p99_ns), (12_000, Some(12_000)));
        // The 1000th of 1001 is among the two that are only known to be no later than the latest.
        assert_eq!((p.p999_ns, p.p9999_ns), (Some(436_000), None));
        assert_eq!(wakes[0].budget, Some(Budget::of_wakes(11_000, 948)));
        assert_eq!(wakes[0].curve.last(), Some(&(1.0, 436_000)));
    }

    #[test]
    fn what_is_no_output_is_refused() {
        assert!(parse("", None).is_err());
        assert!(parse(r#"{"thread": {}}"#, None).is_err());
        assert!(
            parse(&REAL.replace("1001", "7"), None)
                .unwrap_err()
                .contains("more than the 7")
        );
    }
}
