//! When a sample was true, on `CLOCK_MONOTONIC`.
//!
//! The kernel says: at this instant so many frames had come ([`Status::tstamp`](super::uapi::Status), `hw_ptr`). It sees that
//! late, by as much as the device's packet is long, and unevenly. But it never sees a frame before it was there. So the
//! earliest of many sightings, each taken back by its frames at the device's rate, is nearest to the truth: that is the line
//! that stamps are read from. It is renewed twice a second, since the device's clock is not ours.
//!
//! **Bound.** With a device whose clock is off by `p`, a stamp is late by at most its least way from the converter to memory
//! (what no packet can hide: tens of microseconds on a PCI or I2S device, up to 1 ms on USB) and by `p` times 1 s, and early
//! by at most `p` times 1 s: 0.1 ms for a crystal that is off by 100 ppm, 0.5 ms for the 500 ppm that USB allows. In the first
//! tenth of a second after a start there are few sightings: a packet more.
//!
//! Thread: the sensor's. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::units::MonoTime;

/// The line of one stream, from its start to the next.
#[derive(Clone, Copy, Debug)]
pub struct SampleClock {
    /// Frames a second, as a fraction.
    rate: (u32, u32),
    /// The earliest sighting, as the instant of frame 0, nanoseconds: of the half second that runs, and the one before.
    current: i64,
    before: i64,
    /// Frame at which the next half second begins.
    turn: u64,
    /// No stamp lies before another that came earlier.
    last: MonoTime,
}

impl SampleClock {
    /// Of a device with `rate.0 / rate.1` frames a second.
    pub fn new(rate: (u32, u32)) -> Self {
        Self {
            rate,
            current: i64::MAX,
            before: i64::MAX,
            turn: 0,
            last: MonoTime::ZERO,
        }
    }

    /// The stream starts anew: frames count from 0 again.
    pub fn restart(&mut self) {
        let last = self.last;
        *self = Self {
            last,
            ..Self::new(self.rate)
        };
    }

    /// `frames` had come at `at`.
    pub fn see(&mut self, frames: u64, at: MonoTime) {
        if frames >= self.turn {
            self.before = self.current;
            self.current = i64::MAX;
            self.turn = frames + u64::from(self.rate.0 / self.rate.1 / 2);
        }
        self.current = self.current.min(at.0 - self.nanos(frames));
    }

    /// When `frame` was true. Frames must be asked for in their order.
    pub fn at(&mut self, frame: u64) -> MonoTime {
        let zero = self.current.min(self.before);
        let at = MonoTime(zero.saturating_add(self.nanos(frame)));
        self.last = at.max(self.last);
        self.last
    }

    /// The time that so many frames take.
    pub fn nanos(&self, frames: u64) -> i64 {
        let nanos =
            u128::from(frames) * 1_000_000_000 * u128::from(self.rate.1) / u128::from(self.rate.0);
        i64::try_from(nanos).unwrap_or(i64::MAX)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap)]
    use super::*;

    /// Errors of stamps for a device that is off by `ppm`, seen every 10 ms with a packet's lateness of up to 4 ms: the
    /// earliest and latest after the first tenth of a second, microseconds.
    fn errors(ppm: f64) -> (i64, i64) {
        let mut clock = SampleClock::new((16_000, 1));
        let period = 62_500.0 * (1.0 + ppm * 1e-6);
        let (mut dice, mut worst) = (1_u64, (0, 0));
        for turn in 1..6_000_u64 {
            let frames = turn * 160;
            dice = dice
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let late = (dice >> 40) as i64 % 4_000_000;
            clock.see(frames, MonoTime((frames as f64 * period) as i64 + late));
            let first = frames - 160;
            let error = clock.at(first).0 - (first as f64 * period) as i64;
            if turn > 10 {
                worst = (worst.0.min(error / 1_000), worst.1.max(error / 1_000));
            }
        }
        worst
    }

    #[test]
    fn a_stamp_is_off_by_the_drift_of_a_second_and_not_by_a_packet() {
        for ppm in [0.0, 100.0, -100.0, 500.0, -500.0] {
            let drift = (f64::abs(ppm) as i64).max(1);
            let (early, late) = errors(ppm);
            assert!(early >= -drift, "{ppm} ppm: {early} us early");
            // The best of some fifty sightings lies within a tenth of a packet or so.
            assert!(late <= drift + 900, "{ppm} ppm: {late} us late");
        }
    }

    #[test]
    fn stamps_never_go_back_also_where_the_stream_starts_anew() {
        let mut clock = SampleClock::new((48_000, 1));
        let mut last = MonoTime::ZERO;
        for (frames, at) in [(480, 20_000_000), (960, 20_100_000), (1_440, 60_000_000)] {
            clock.see(frames, MonoTime(at));
            let stamp = clock.at(frames - 480);
            assert!(stamp >= last);
            last = stamp;
        }
        clock.restart();
        clock.see(480, MonoTime(1_000));
        assert!(clock.at(0) >= last);
    }

    #[test]
    fn a_rate_that_is_no_whole_number_is_kept_exactly() {
        let clock = SampleClock::new((96_000, 7));
        assert_eq!(clock.nanos(96_000 * 3_600), 7 * 3_600 * 1_000_000_000);
    }
}
