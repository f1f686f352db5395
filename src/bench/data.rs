//! A bench as data: what `bench.json` holds. `docs/benchmarking.md` explains every key.
//!
//! Within version 1 keys may be added and are never removed or changed in meaning; a reader ignores those that it does not know,
//! and those that are absent get their default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::bench::compare::Comparison;
use crate::telemetry::durations::{Durations, Quantiles};
use crate::telemetry::environment::Environment;
use crate::telemetry::report::data::{Curve, Verdict};

/// The name and major version of the schema.
pub const SCHEMA: &str = "reflexarc-bench/1";

/// Everything about a bench.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Bench {
    /// [`SCHEMA`].
    pub schema: String,
    pub kind: Kind,
    pub verdict: Verdict,
    /// Why it is not met, in words.
    pub reasons: Vec<String>,
    /// What a person should take from it, the most important first.
    pub findings: Vec<String>,
    /// Why its times mean nothing on a board: the signs of a virtual machine or a container. Null: none was seen.
    pub virtual_machine: Option<String>,
    /// A signal ended it before its time.
    pub interrupted: bool,
    pub subject: Subject,
    pub environment: Environment,
    pub cores: Cores,
    /// What was done about the clocks, in words.
    pub clocks: Clocks,
    /// In the order in which they ran.
    pub parts: Vec<Part>,
    /// Null: nothing to compare with was named.
    pub comparison: Option<Comparison>,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Latency, idle and under load.
    #[default]
    Latency,
    /// Only whether it works, beside a running robot. Its times say nothing.
    Beside,
}

/// What was measured, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Subject {
    pub started: String,
    pub started_unix_ms: u64,
    pub command: Vec<String>,
    /// How long each part was to last.
    pub seconds: u32,
    /// Empty: not known.
    pub board: String,
    /// How it was found, and which thread plan follows.
    pub board_said: String,
    /// The configuration's file, and the SHA-256 of its bytes; null: the built-in configuration.
    pub config: Option<String>,
    pub config_sha256: Option<String>,
    /// What the command line put in the place of the configuration's, such as `source = synthetic`.
    pub replaced: Vec<String>,
    /// Of this very program; empty if it could not be read.
    pub binary_sha256: String,
}

/// Which cores the way of a frame has, and which the loads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cores {
    pub way: Vec<usize>,
    pub housekeeping: Vec<usize>,
    /// Cores that are both: there a load takes time from the way.
    pub shared: Vec<usize>,
}

/// What was done about the clocks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Clocks {
    /// `--lock-clocks` was given.
    pub asked: bool,
    /// What was set, in words.
    pub set: Vec<String>,
    /// What could not be set back, in words. Empty: all was.
    pub left: Vec<String>,
}

/// One part: the way of a frame, and wake-ups by themselves, under one load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Part {
    /// `beside`, `idle` or the load's name.
    pub name: String,
    /// Why it was not run; null: it was.
    pub not_run: Option<NotRun>,
    /// Why its numbers must not be compared, in words. Empty: they may.
    pub marks: Vec<String>,
    /// What did not work, in words. Empty: all that must work did.
    pub broken: Vec<String>,
    /// Null for `idle`.
    pub load: Option<Load>,
    /// A thread's wake-ups without any pipeline, one entry for each core of the way.
    pub baseline: Vec<Wakes>,
    /// The folder of the run's own report, below this file's.
    pub report: Option<String>,
    pub flow: Option<Flow>,
    /// Of the pipeline, by name.
    pub latencies: Vec<Latency>,
    /// Percentile curves of some of them.
    pub curves: Vec<Curve>,
    /// What the run's report warns of, such as a priority that was not granted.
    pub warnings: Vec<String>,
    pub before: Surroundings,
    pub after: Surroundings,
}

/// Why something was not run, and what to do about it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NotRun {
    pub why: String,
    pub fix: String,
}

/// A load, and the proof that it was one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Load {
    pub command: Vec<String>,
    pub version: String,
    /// Work that its own stressors counted.
    pub bogo_ops: BTreeMap<String, u64>,
    /// Share of the time (0..=1) that the cores of the load were busy, of all that ran there.
    pub busy: f64,
}

/// A summary by percentiles. One that needs more samples than there were is null.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Percentiles {
    pub count: u64,
    pub p50_ns: u64,
    /// From 100 samples on.
    pub p99_ns: Option<u64>,
    /// From 1,000 on.
    pub p999_ns: Option<u64>,
    /// From 10,000 on.
    pub p9999_ns: Option<u64>,
    pub max_ns: u64,
}

impl From<Quantiles> for Percentiles {
    fn from(q: Quantiles) -> Self {
        let from = |least, ns| (q.count >= least).then_some(ns);
        Self {
            count: q.count,
            p50_ns: q.p50_ns,
            p99_ns: from(100, q.p99_ns),
            p999_ns: from(1_000, q.p999_ns),
            p9999_ns: from(10_000, q.p9999_ns),
            max_ns: q.max_ns,
        }
    }
}

impl From<&Durations> for Percentiles {
    fn from(durations: &Durations) -> Self {
        durations.quantiles().into()
    }
}

/// A budget and how often it was exceeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    pub limit_ns: u64,
    /// How many were longer.
    pub over: u64,
    /// More than may be: one of a board's wake-ups, or so many that a goal's percentile is over its limit.
    #[serde(default)]
    pub is_missed: bool,
}

impl Budget {
    /// A limit of wake-ups is a bound: once over it is too often.
    pub fn of_wakes(limit_ns: u64, over: u64) -> Self {
        Self {
            limit_ns,
            over,
            is_missed: over > 0,
        }
    }
}

/// How late a thread on one core was woken.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Wakes {
    /// `cyclictest` or `reflexarc`.
    pub by: String,
    pub core: usize,
    #[serde(flatten)]
    pub percentiles: Percentiles,
    /// The board file's; null: it has none.
    pub budget: Option<Budget>,
    pub curve: Vec<(f64, u64)>,
    /// The tool's own output, below this file's folder.
    pub raw: Option<String>,
    /// What the kernel did not grant to the thread.
    pub refused: Vec<String>,
}

/// One duration along the way.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Latency {
    pub name: String,
    #[serde(flatten)]
    pub percentiles: Percentiles,
    /// The configuration's goal; null: it has none.
    pub budget: Option<Budget>,
}

/// What surrounds a part: clocks, heat, interrupts. Read before and after it, never meanwhile: to read a core's clock wakes it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Surroundings {
    /// By core.
    pub governor: BTreeMap<usize, String>,
    pub khz: BTreeMap<usize, u64>,
    /// Lowest and highest that the kernel may choose.
    pub khz_allowed: BTreeMap<usize, (u64, u64)>,
    /// Clocks of memory, GPU and others, by device.
    pub device_hz: BTreeMap<String, u64>,
    /// By thermal zone.
    pub celsius: BTreeMap<String, f64>,
    /// Counters and flags that say that the clock was lowered for heat or supply.
    pub throttled: BTreeMap<String, u64>,
    pub power_mode: Option<String>,
    /// Interrupts since boot on each core of the way.
    pub interrupts: BTreeMap<usize, u64>,
}

/// What passed along the way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flow {
    pub frames: u64,
    pub feature_maps: u64,
    pub chunks: u64,
    pub actions: u64,
    /// Beats that played a chunk in time.
    pub fresh_beats: u64,
    /// Beats for which the action thread came too late.
    pub missed_beats: u64,
    /// Frames and results that were left behind for newer ones, at all links and sources.
    pub dropped: u64,
    /// Steps that failed, of all stages.
    pub failed: u64,
}
