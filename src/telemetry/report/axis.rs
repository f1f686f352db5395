//! Axes of plots: where a value lies, and which values get a label.

use crate::telemetry::durations::duration;

/// From a value to a place on the paper.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Axis {
    low: f64,
    high: f64,
    /// Where `low` and `high` lie.
    from: f64,
    to: f64,
    log: bool,
}

impl Axis {
    pub fn linear(low: f64, high: f64, from: f64, to: f64) -> Self {
        Self {
            low,
            high: if high > low { high } else { low + 1.0 },
            from,
            to,
            log: false,
        }
    }

    /// For values in nanoseconds that reach from `low` to `high`: logarithmic where they differ so much that
    /// the small ones would otherwise lie on the ground line.
    pub fn nanos(low: u64, high: u64, from: f64, to: f64) -> Self {
        let (low, high) = (to_f64(low.max(1)), to_f64(high.max(2)));
        if high / low < 20.0 {
            return Self::linear(0.0, high * 1.08, from, to);
        }
        Self {
            low: low / 1.25,
            high: high * 1.25,
            from,
            to,
            log: true,
        }
    }

    /// Values outside the axis lie on its ends.
    pub fn place(&self, value: f64) -> f64 {
        let value = value.clamp(self.low, self.high);
        let share = if self.log {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share * (self.to - self.from)
    }

    pub fn place_ns(&self, ns: u64) -> f64 {
        self.place(to_f64(ns))
    }

    /// Values worth a label, about `wanted` of them.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        if self.log {
            return self.log_ticks(wanted);
        }
        let step = round_step((self.high - self.low) / to_f64(wanted.max(1) as u64));
        let first = (self.low / step).ceil();
        // BOUND: a round step is at least half of the wanted one, so there are at most about 2 x `wanted`.
        (0..=wanted * 2 + 2)
            .map(|n| (first + to_f64(n as u64)) * step)
            .take_while(|tick| *tick <= self.high)
            .collect()
    }

    /// Powers of ten, with 2 and 5 between them where there is room.
    fn log_ticks(&self, wanted: usize) -> Vec<f64> {
        let decades = (self.high / self.low).log10();
        let within: &[f64] = if decades * 3.0 <= to_f64(wanted as u64) * 1.5 {
            &[1.0, 2.0, 5.0]
        } else {
            &[1.0]
        };
        (0..19)
            .flat_map(|power| within.iter().map(move |n| n * 10f64.powi(power)))
            .filter(|tick| (self.low..=self.high).contains(tick))
            .collect()
    }
}

/// The next of 1, 2, 5 times a power of ten that is not below `step`.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let round = [1.0, 2.0, 5.0, 10.0];
    let found = round.into_iter().find(|n| n * power >= step * 0.999_999);
    found.unwrap_or(10.0) * power
}

/// A duration without trailing zeros: `250 us`, `1.5 ms`.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "ticks are whole nanoseconds within the histogram's range"
)]
pub fn label_ns(ns: f64) -> String {
    let text = duration(ns.round() as u64).to_string();
    match text.split_once(' ') {
        Some((number, unit)) if number.contains('.') => {
            let number = number.trim_end_matches('0').trim_end_matches('.');
            format!("{number} {unit}")
        }
        _ => text,
    }
}

/// A time since the beginning of the run: `20 s`, `1.5 min`.
pub fn label_seconds(seconds: f64) -> String {
    if seconds < 120.0 {
        return format!("{} s", round_to_tenth(seconds));
    }
    if seconds < 7200.0 {
        return format!("{} min", round_to_tenth(seconds / 60.0));
    }
    format!("{} h", round_to_tenth(seconds / 3600.0))
}

fn round_to_tenth(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

#[expect(clippy::cast_precision_loss, reason = "places on paper")]
pub fn to_f64(n: u64) -> f64 {
    n as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_an_axis_lie_at_its_ends() {
        let axis = Axis::linear(0.0, 10.0, 100.0, 200.0);
        assert_eq!((axis.place(0.0), axis.place(10.0)), (100.0, 200.0));
        assert_eq!(axis.place(99.0), 200.0, "a value outside lies on the end");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let axis = Axis::linear(0.0, 20.0, 0.0, 1.0);
        assert_eq!(axis.ticks(5), [0.0, 5.0, 10.0, 15.0, 20.0]);
        let axis = Axis::nanos(1_000, 9_000_000, 0.0, 1.0);
        assert_eq!(axis.ticks(6), [1e3, 1e4, 1e5, 1e6, 1e7]);
    }

    #[test]
    fn labels_have_no_trailing_zeros() {
        assert_eq!(label_ns(100e6), "100 ms");
        assert_eq!(label_ns(1_500.0), "1.5 us");
        assert_eq!(label_ns(200.0), "200 ns");
        assert_eq!(label_seconds(90.0), "90 s");
        assert_eq!(label_seconds(150.0), "2.5 min");
    }

    #[test]
    fn an_axis_without_extent_has_a_place_for_everything() {
        let axis = Axis::linear(5.0, 5.0, 0.0, 1.0);
        assert!(axis.place(5.0).is_finite());
        assert!(Axis::nanos(0, 0, 0.0, 1.0).place_ns(0).is_finite());
    }
}
