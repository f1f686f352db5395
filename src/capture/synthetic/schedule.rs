//! When a synthetic camera exposes, and what is wrong with each frame: a pure function of the configuration.
//!
//! Thread: capture. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use super::config::{SyntheticConfig, random, unit};
use crate::capture::Pace;
use crate::units::{MonoTime, Nanos};

/// Salts that keep the faults of one exposure independent of each other.
const JITTER: u64 = 1;
const GAP: u64 = 2;
const STALL: u64 = 3;
const ERROR: u64 = 4;
const SHORT: u64 = 5;
const REPEAT: u64 = 6;
const FUTURE: u64 = 7;

/// One frame that the camera will deliver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exposure {
    pub seq: u64,
    /// When the picture was true. `MonoTime::ZERO` with `pace = "fastest"`: the moment it is taken.
    pub captured: MonoTime,
    /// When it can be taken.
    pub due: MonoTime,
    /// How far the driver's stamp is wrong.
    pub stamp_error: Nanos,
    pub error: bool,
    pub short: bool,
    pub repeated: bool,
    /// Sequence numbers skipped just before it.
    pub gap: u32,
}

/// Gives out the exposures in order.
#[derive(Debug)]
pub(super) struct Schedule {
    config: SyntheticConfig,
    base: MonoTime,
    exposure: u64,
    seq: u64,
    /// Sum of all pauses so far.
    shift: Nanos,
    before: Option<(u64, MonoTime)>,
}

impl Schedule {
    /// The first exposure is one period after `base`.
    pub fn new(config: &SyntheticConfig, base: MonoTime) -> Self {
        Self {
            config: config.clone(),
            base,
            exposure: 0,
            seq: 0,
            shift: Nanos::ZERO,
            before: None,
        }
    }

    /// The next frame, or None after the last one. `now` matters only with `pace = "fastest"`.
    pub fn next(&mut self, now: MonoTime) -> Option<Exposure> {
        let config = &self.config;
        let seed = config.seed;
        let mut gap = 0;
        let mut stalled = false;
        // BOUND: gaps swallow at most 90 % of the exposures, or every second, or a listed few.
        let exposure = loop {
            if config.frames.is_some_and(|end| self.exposure >= end) {
                return None;
            }
            let exposure = self.exposure;
            self.exposure += 1;
            if config.stalls.hits(exposure, seed, STALL) {
                self.shift += config.stall_length;
                stalled = true;
            }
            if !config.gaps.hits(exposure, seed, GAP) {
                break exposure;
            }
            // One period passes by counting the exposure, the others are added here.
            gap += config.gap_length;
            self.seq += u64::from(config.gap_length);
            self.shift += config.rate.period() * i64::from(config.gap_length - 1);
        };
        let (captured, due) = match config.pace {
            Pace::RealTime => {
                let captured = self.instant(exposure);
                (captured, captured + config.delay)
            }
            Pace::Fastest if stalled => (MonoTime::ZERO, now + config.stall_length),
            Pace::Fastest => (MonoTime::ZERO, now),
        };
        let mut frame = Exposure {
            seq: self.seq,
            captured,
            due,
            stamp_error: Nanos::ZERO,
            error: config.errors.hits(exposure, seed, ERROR),
            short: config.shorts.hits(exposure, seed, SHORT),
            repeated: false,
            gap,
        };
        if config.future_stamps.hits(exposure, seed, FUTURE) {
            frame.stamp_error = config.future_by;
        }
        match self.before {
            Some((seq, captured)) if config.repeats.hits(exposure, seed, REPEAT) => {
                frame.seq = seq;
                frame.captured = captured;
                frame.repeated = true;
            }
            _ => {
                self.seq += 1;
                self.before = Some((frame.seq, frame.captured));
            }
        }
        Some(frame)
    }

    /// The instant of an exposure, computed from the base so that no rounding adds up over a long run.
    #[expect(clippy::cast_precision_loss, reason = "exact below 2^53 exposures")]
    fn instant(&self, exposure: u64) -> MonoTime {
        let config = &self.config;
        let nominal = Nanos::from_secs_f64((exposure + 1) as f64 / config.rate.get());
        let chance = unit(random(config.seed, JITTER, exposure)) * 2.0 - 1.0;
        let jitter = Nanos::from_secs_f64(config.jitter.as_secs_f64() * chance);
        self.base + nominal + jitter + self.shift
    }
}
