//! What `--measure` finds, on each core of the way: how late the kernel wakes a thread, idle and under load; which gaps a
//! spinning thread sees; whether the tick stays away; and what a camera's frames look like.

use serde::Serialize;

use crate::doctor::frames;
use crate::doctor::hwlat;
use crate::doctor::live::Live;
use crate::doctor::probe;
use crate::doctor::view::Cores;
use crate::rt::latency::AwakeCores;
use crate::rt::memory;
use crate::telemetry::durations::{Durations, Quantiles};
use crate::units::Nanos;

pub use crate::doctor::frames::Frames;

/// The wake-ups of one core.
#[derive(Clone, Debug)]
pub struct CoreWakes {
    pub core: usize,
    /// How long after the instant that it asked for the kernel had the thread running.
    pub kernel: Durations,
    /// How long after the beat itself the thread was there, having spun up to it.
    pub beat: Durations,
    /// What the kernel did not grant.
    pub refused: Vec<String>,
}

/// Gaps in the time of a thread that only reads the clock.
#[derive(Clone, Debug)]
pub struct Noise {
    pub core: usize,
    pub gaps: Durations,
    /// Shorter ones are the clock's own reading and what the processor does by itself; they are not counted.
    pub least: Nanos,
    pub spun: Nanos,
}

impl Noise {
    /// The part of the time that was gone (0..=1).
    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    pub fn share(&self) -> f64 {
        self.gaps.sum_ns() as f64 / self.spun.clamp_u64().max(1) as f64
    }
}

/// Timer interrupts of a core while a thread spins on it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Ticks {
    pub core: usize,
    pub per_second: f64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Measured {
    /// How long it was to take.
    pub asked: Nanos,
    pub idle: Vec<CoreWakes>,
    pub idle_housekeeping: Option<CoreWakes>,
    /// While the housekeeping cores copy memory.
    pub loaded: Vec<CoreWakes>,
    pub loaded_housekeeping: Option<CoreWakes>,
    pub noise: Vec<Noise>,
    pub ticks: Vec<Ticks>,
    /// The longest gap that the firmware made, or why that is not known.
    pub firmware: Result<Nanos, String>,
    /// None: there is no camera.
    pub frames: Option<Result<Frames, String>>,
    /// What the process was not granted.
    pub refused: Vec<String>,
}

impl Measured {
    /// Measures for about this long. Locks the process's memory, as a run does, to its end.
    pub fn take(live: &Live, cores: &Cores, time: Nanos) -> Self {
        // The parts of the time: two fifths each for the wake-ups, the rest for what spins.
        let wakes = Nanos(time.0 / 5 * 2);
        let spins = Nanos((time.0 / 20).min(Nanos::from_secs(2).0));
        let least = Nanos::from_micros(1).max(live.clock_reading() * 3);
        let mut refused = Vec::new();
        let awake = AwakeCores::hold();
        refused.extend(
            awake
                .as_ref()
                .err()
                .map(|e| format!("cores kept awake: {e}")),
        );
        refused.extend(
            memory::lock_all()
                .err()
                .map(|e| format!("memory locked: {e}")),
        );
        // A housekeeping core that the way does not have, for comparison.
        let other = cores
            .housekeeping
            .iter()
            .copied()
            .find(|core| !cores.way.contains(core));
        let (idle, idle_housekeeping) = probe::wakes(&cores.way, other, wakes);
        let load = probe::Load::start(&cores.housekeeping);
        let (loaded, loaded_housekeeping) = probe::wakes(&cores.way, other, wakes);
        load.stop();
        Self {
            asked: time,
            idle,
            idle_housekeeping,
            loaded,
            loaded_housekeeping,
            noise: cores
                .way
                .iter()
                .filter_map(|core| probe::noise(*core, spins, least))
                .collect(),
            ticks: cores
                .way
                .iter()
                .filter_map(|core| probe::ticks(*core))
                .collect(),
            firmware: hwlat::longest_gap(Nanos::from_secs(1)),
            frames: frames::of_first_camera(),
            refused,
        }
    }

    /// The histograms by name, for people and for `--json`.
    pub fn histograms(&self) -> Vec<(String, &Durations)> {
        let named = |what: &str, wakes: &CoreWakes| format!("{what}, core {}", wakes.core);
        let idle = self
            .idle
            .iter()
            .chain(&self.idle_housekeeping)
            .map(|w| (named("wake-up, idle", w), &w.kernel));
        let loaded = self
            .loaded
            .iter()
            .chain(&self.loaded_housekeeping)
            .map(|w| (named("wake-up, under load", w), &w.kernel));
        let noise = self
            .noise
            .iter()
            .map(|n| (format!("gaps while spinning, core {}", n.core), &n.gaps));
        idle.chain(loaded).chain(noise).collect()
    }
}

/// A histogram for `--json`.
#[derive(Clone, Debug, Serialize)]
pub struct Histogram {
    pub name: String,
    #[serde(flatten)]
    pub quantiles: Quantiles,
    /// Upper end in ns, and how many were no longer and longer than the end before. Ends double.
    pub buckets: Vec<(u64, u64)>,
}

impl Histogram {
    pub fn of(name: String, durations: &Durations) -> Self {
        Self {
            name,
            quantiles: durations.quantiles(),
            buckets: buckets(durations),
        }
    }
}

/// Counts in ranges that double, from 1 us, without the empty ones at both ends.
pub fn buckets(durations: &Durations) -> Vec<(u64, u64)> {
    let mut found = Vec::new();
    let (mut below, mut end) = (0, 1_000);
    let all = durations.count();
    let mut seen = 0;
    // BOUND: the histogram's end is 60 s, 26 doublings from 1 us; what is longer is counted there.
    while seen < all && found.len() < 40 {
        let count = durations
            .histogram()
            .count_between(below, end - 1)
            .min(all - seen);
        seen += count;
        if count > 0 || !found.is_empty() {
            found.push((end, count));
        }
        (below, end) = (end, end * 2);
    }
    found
}
