//! The formulas of the document (section 4.2.3), as they stand there, right or wrong: what it would say for any setting.

use crate::estimate::figure::ratio;
use crate::units::Nanos;

/// n items, one each interval, of equal work, for one worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Formulas {
    pub items: u32,
    pub interval: Nanos,
    pub work: Nanos,
}

impl Formulas {
    /// Step 1: `n interval + n work`.
    pub fn batch_latency(&self) -> Nanos {
        (self.interval + self.work) * i64::from(self.items)
    }

    /// Step 2: `work`, or `(n - 1) (work - interval) + work` of the last item where work is longer than the interval.
    pub fn stream_latency(&self) -> Nanos {
        let behind = (self.work - self.interval).max(Nanos::ZERO);
        behind * (i64::from(self.items) - 1) + self.work
    }

    /// Step 3, in percent.
    pub fn latency_reduction(&self) -> f64 {
        let batch = self.batch_latency();
        ratio(batch - self.stream_latency(), batch) * 100.0
    }

    /// Step 3, for many items: `interval / (interval + work)`, in percent.
    pub fn latency_reduction_limit(&self) -> f64 {
        ratio(self.interval, self.interval + self.work) * 100.0
    }

    /// Step 4, items a second.
    pub fn batch_rate(&self) -> f64 {
        1.0 / (self.interval + self.work).as_secs_f64()
    }

    /// Step 4, items a second: `1 / max(interval, work)`.
    pub fn stream_rate(&self) -> f64 {
        1.0 / self.interval.max(self.work).as_secs_f64()
    }

    /// Step 4: `(interval + work) / max(interval, work)`.
    pub fn rate_improvement(&self) -> f64 {
        ratio(self.interval + self.work, self.interval.max(self.work))
    }

    /// Step 5: `(n - k) / n`, in percent, where k items are in memory at once.
    pub fn memory_reduction(&self, at_once: u32) -> f64 {
        if self.items == 0 {
            return 0.0;
        }
        (1.0 - f64::from(at_once) / f64::from(self.items)) * 100.0
    }
}
