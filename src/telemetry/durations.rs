//! Durations counted by size: an HDR histogram with the few facts that it does not keep exactly.
//!
//! Thread: housekeeping. Allocates: in `new` only.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

use crate::units::Nanos;

/// Longest duration that is told apart. Longer ones are counted as this long, and as clamped.
///
/// BOUND: the way's goal is 100 ms and its slowest safe-stop time-out is seconds; one minute tells a stall
/// from a hang. With a resolution of 1 ns and three digits a histogram is 27 x 1024 counters of 8 bytes, 216
/// KiB; there are about 40, so 9 MiB in all whatever the run's length.
pub const DURATION_MAX: Nanos = Nanos::from_secs(60);

/// A value is known to 1 part in 10^3. Below 2048 ns it is exact.
pub const SIGNIFICANT_DIGITS: u8 = 3;

/// A summary by percentiles. All zeros, with `count` 0, when nothing was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quantiles {
    pub count: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub p999_ns: u64,
    pub p9999_ns: u64,
    /// Exact, also where it is over [`DURATION_MAX`].
    pub max_ns: u64,
}

/// All durations of one kind in a run.
#[derive(Clone, Debug)]
pub struct Durations {
    counts: Histogram<u64>,
    max: u64,
    sum: u64,
    negative: u64,
    clamped: u64,
    limit: Nanos,
    above_limit: u64,
}

impl Default for Durations {
    fn default() -> Self {
        Self::new()
    }
}

/// An empty histogram with the bounds that all durations share.
pub fn empty_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, DURATION_MAX.clamp_u64(), SIGNIFICANT_DIGITS)
        .expect("1 < DURATION_MAX / 2 and SIGNIFICANT_DIGITS <= 5")
}

impl Durations {
    pub fn new() -> Self {
        Self::with_limit(Nanos::MAX)
    }

    /// Also counts how many durations are longer than `limit`, exactly.
    pub fn with_limit(limit: Nanos) -> Self {
        Self {
            counts: empty_histogram(),
            max: 0,
            sum: 0,
            negative: 0,
            clamped: 0,
            limit,
            above_limit: 0,
        }
    }

    /// Counts a duration. A negative one counts as 0 and is shown as a fault of the stamps.
    pub fn record(&mut self, duration: Nanos) {
        let ns = duration.clamp_u64();
        self.counts.saturating_record(ns);
        self.max = self.max.max(ns);
        self.sum = self.sum.saturating_add(ns);
        self.negative += u64::from(duration < Nanos::ZERO);
        self.clamped += u64::from(duration > DURATION_MAX);
        self.above_limit += u64::from(duration > self.limit);
    }

    pub fn count(&self) -> u64 {
        self.counts.len()
    }

    /// The longest, exactly.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// All durations added up, exactly (saturating after 584 years).
    pub fn sum_ns(&self) -> u64 {
        self.sum
    }

    /// Stamps that ran backwards.
    pub fn negative(&self) -> u64 {
        self.negative
    }

    /// Durations over [`DURATION_MAX`].
    pub fn clamped(&self) -> u64 {
        self.clamped
    }

    pub fn above_limit(&self) -> u64 {
        self.above_limit
    }

    /// The smallest duration such that the share `quantile` (0..=1) of all are no longer than it, rounded up
    /// to the histogram's resolution. 0 without data.
    pub fn at_quantile(&self, quantile: f64) -> u64 {
        self.counts.value_at_quantile(quantile).min(self.max)
    }

    pub fn quantiles(&self) -> Quantiles {
        Quantiles {
            count: self.count(),
            p50_ns: self.at_quantile(0.5),
            p99_ns: self.at_quantile(0.99),
            p999_ns: self.at_quantile(0.999),
            p9999_ns: self.at_quantile(0.9999),
            max_ns: self.max,
        }
    }

    /// Points of the percentile curve, `(quantile, ns)`, denser towards 1, for plots. Ends at the maximum.
    pub fn curve(&self) -> Vec<(f64, u64)> {
        // Five ticks for each halving of what is left: over five decades of nines that is about 90 points.
        let mut points: Vec<(f64, u64)> = self
            .counts
            .iter_quantiles(5)
            .map(|step| (step.quantile_iterated_to(), step.value_iterated_to()))
            .map(|(quantile, ns)| (quantile, ns.min(self.max)))
            .collect();
        points.dedup_by_key(|point| point.1);
        if points.last().is_some_and(|last| last.0 < 1.0) {
            points.push((1.0, self.max));
        }
        points
    }

    /// The value as which this histogram counts `ns`.
    pub fn bucket_of(&self, ns: u64) -> u64 {
        self.counts
            .lowest_equivalent(ns.min(DURATION_MAX.clamp_u64()))
    }

    pub fn histogram(&self) -> &Histogram<u64> {
        &self.counts
    }
}

/// A measured number as a duration, to be read by people.
pub fn duration(ns: u64) -> Nanos {
    Nanos(i64::try_from(ns).unwrap_or(i64::MAX))
}
