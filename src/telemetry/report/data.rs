//! The report as data: what `report.json` holds, field by field. Its description for people is `schema.md`.
//!
//! A reader of one version accepts what a later one of the same major version adds: unknown keys are
//! ignored, absent optional ones get their default.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::capture::SourceCounters;
use crate::capture::story::Interruption;
use crate::link::LinkTotals;
use crate::state::report::StateReport;
use crate::telemetry::durations::Quantiles;
use crate::telemetry::environment::Environment;
use crate::telemetry::report::counts::{PlayerReport, SensorReport};
use crate::telemetry::report::streams::StreamReport;
use crate::units::MonoTime;

/// The name and major version of the schema. A change that breaks a reader makes a new number.
pub const SCHEMA: &str = "reflexarc-report/1";

/// Everything about a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: String,
    pub verdict: Verdict,
    /// Why the goals were missed or could not be judged; empty when they were met.
    pub reasons: Vec<String>,
    /// What a person should look at although it decides nothing: lost samples, refused real-time requests.
    pub warnings: Vec<String>,
    pub goals: Goals,
    pub end_to_end: EndToEnd,
    pub elements: ElementsReport,
    /// In the order in which a frame meets them.
    pub stages: Vec<StageReport>,
    /// The parts of a frame's way; for each frame they add up to camera to action.
    pub spans: Vec<SpanReport>,
    pub links: Vec<LinkReport>,
    pub sources: Vec<SourceReport>,
    pub sensors: Vec<SensorReport>,
    #[serde(default)]
    pub streams: Vec<StreamReport>,
    pub threads: Vec<ThreadReport>,
    pub rungs: RungsReport,
    #[serde(default)]
    pub player: PlayerReport,
    #[serde(default)]
    pub state: StateReport,
    pub policy: PolicyReport,
    pub instructions: InstructionsReport,
    /// Percentile curves, for plots.
    pub curves: Vec<Curve>,
    /// Durations over the time of the run, for plots.
    pub timelines: Vec<TimelineReport>,
    pub telemetry: TelemetryReport,
    pub run: RunInfo,
    pub environment: Environment,
}

/// Did the run, or one goal, come out as wanted?
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Met,
    Missed,
    /// There was nothing to judge.
    #[default]
    NotJudged,
}

impl Verdict {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Met => "met",
            Self::Missed => "missed",
            Self::NotJudged => "not judged",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Goals {
    pub camera_to_action: LatencyGoal,
    pub fusion: LatencyGoal,
    pub elements_per_second: RateGoal,
}

/// A latency must stay within its limit at a percentile.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LatencyGoal {
    pub verdict: Verdict,
    pub limit_ns: u64,
    /// At which percentile the goal is judged.
    pub percentile: f64,
    /// The latency at that percentile.
    pub measured_ns: u64,
    pub max_ns: u64,
    /// How many were over the limit, of how many.
    pub above: u64,
    pub count: u64,
    /// In words.
    pub why: String,
}

/// A rate must be reached, or be within reach.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RateGoal {
    pub verdict: Verdict,
    /// Elements a second.
    pub limit: f64,
    /// Elements a second that passed in this run.
    pub measured: f64,
    /// Elements a second at which the busiest thread would have no time left.
    pub sustainable: f64,
    /// That thread, and the share of the run that its stages worked (0..=1).
    pub busiest_thread: String,
    pub busiest_work_fraction: f64,
    pub why: String,
}

/// The percentiles of camera to action stand at the top; the other durations across stages follow by name.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EndToEnd {
    #[serde(flatten)]
    pub camera_to_action: Quantiles,
    pub fusion: Quantiles,
    pub instruction_to_action: Quantiles,
    pub data_age_at_action: Quantiles,
    pub action_jitter: Quantiles,
    pub action_period_jitter: Quantiles,
    /// The largest difference, over all frames, between a frame's camera to action and the sum of its spans.
    pub residual_max_ns: u64,
    pub incomplete_traces: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ElementsReport {
    pub frames: u64,
    pub feature_maps: u64,
    pub readings: u64,
    pub instructions: u64,
    pub chunks: u64,
    pub actions: u64,
    pub total: u64,
    pub per_second: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageReport {
    pub name: String,
    pub wait: Quantiles,
    pub work: Quantiles,
    pub age: Quantiles,
    pub ok: u64,
    pub dropped: u64,
    /// By reason.
    pub failed: BTreeMap<String, u64>,
    /// All its work added up.
    pub work_total_ns: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SpanReport {
    pub name: String,
    pub stage: String,
    /// True for waiting, false for work.
    pub wait: bool,
    #[serde(flatten)]
    pub duration: Quantiles,
    pub total_ns: u64,
    /// Of the camera to action of all frames together (0..=1).
    pub share: f64,
}

/// What passed through a link: `in = out + dropped + in_flight`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkReport {
    pub name: String,
    /// `every`, `newest` or `recent`; `call` where there is no link.
    pub policy: String,
    #[serde(rename = "in")]
    pub entered: u64,
    #[serde(rename = "out")]
    pub left: u64,
    /// By reason.
    pub dropped: BTreeMap<String, u64>,
    pub in_flight: u64,
}

impl LinkReport {
    /// Of a link of this kind: `every`, `newest`, `recent`, or `call`.
    pub fn new(name: impl Into<String>, kind: &str, totals: &LinkTotals) -> Self {
        let reasons = [
            ("full", totals.refused, matches!(kind, "every" | "call")),
            ("stale", totals.stale, matches!(kind, "newest" | "recent")),
            ("left out", totals.skipped, false),
            ("expired", totals.expired, false),
        ];
        let dropped = reasons
            .into_iter()
            .filter(|(_, count, always)| *count > 0 || *always);
        Self {
            name: name.into(),
            policy: kind.to_owned(),
            entered: totals.pushed + totals.refused + totals.skipped,
            left: totals.popped,
            dropped: dropped
                .map(|(reason, count, _)| (reason.to_owned(), count))
                .collect(),
            in_flight: totals.in_flight,
        }
    }

    pub fn dropped_total(&self) -> u64 {
        self.dropped.values().sum()
    }

    /// True when everything that entered is accounted for.
    pub fn is_balanced(&self) -> bool {
        self.entered == self.left + self.dropped_total() + self.in_flight
    }
}

/// What a camera or file delivered: `in = out + dropped + in_flight`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SourceReport {
    /// As the source describes itself.
    pub name: String,
    /// Frames a second that it should deliver, if it knows.
    pub rate_hz: Option<f64>,
    /// What its time stamps mean: where camera to action begins.
    pub stamp: String,
    #[serde(rename = "in")]
    pub entered: u64,
    #[serde(rename = "out")]
    pub left: u64,
    /// By reason.
    pub dropped: BTreeMap<String, u64>,
    pub in_flight: u64,
    /// What was odd about frames, by kind. Such frames are among `in`, except gaps, which never came.
    pub odd: BTreeMap<String, u64>,
    pub notes: Vec<String>,
    /// In their order.
    #[serde(default)]
    pub interruptions: Vec<InterruptionReport>,
    /// Later ones that were only counted.
    #[serde(default)]
    pub interruptions_more: u64,
    /// Of a camera other than the first: decisions that had a picture of it, and those that had none recent enough.
    #[serde(default)]
    pub shown: Option<u64>,
    #[serde(default)]
    pub missing: Option<u64>,
}

/// One interruption of a source's stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InterruptionReport {
    pub cause: String,
    /// Arrival of the last good frame before it, since the beginning of the run.
    pub last_frame_at_ns: u64,
    /// From there: when the interruption was noticed,
    pub detected_after_ns: u64,
    /// the device streamed again after it had been opened anew (absent if it was not),
    pub reopened_after_ns: Option<u64>,
    /// and the first good frame arrived (absent if none did).
    pub resumed_after_ns: Option<u64>,
    /// How often it was tried to open the device.
    pub attempts: u32,
}

impl InterruptionReport {
    pub fn new(told: &Interruption, began: MonoTime) -> Self {
        let after = |instant: MonoTime| (instant - told.last_frame).clamp_u64();
        Self {
            cause: told.cause.name().to_owned(),
            last_frame_at_ns: (told.last_frame - began).clamp_u64(),
            detected_after_ns: after(told.detected),
            reopened_after_ns: told.reopened.map(after),
            resumed_after_ns: told.resumed.map(after),
            attempts: told.attempts,
        }
    }
}

impl SourceReport {
    /// The counts of a source. Exact once its thread has ended.
    pub fn count(mut self, counters: &SourceCounters) -> Self {
        self.entered = counters.produced.get();
        self.left = counters.taken.get();
        self.dropped = named(&[
            ("drained", counters.drained.get()),
            ("unusable", counters.unusable.get()),
            ("no slot", counters.no_slot.get()),
        ]);
        let gone = self.left + self.dropped.values().sum::<u64>();
        self.in_flight = self.entered.saturating_sub(gone);
        self.odd = named(&[
            ("gap", counters.gaps.get()),
            ("error flag", counters.error_flagged.get()),
            ("short", counters.short.get()),
            ("repeated", counters.repeated.get()),
            ("future stamp", counters.future_stamps.get()),
            ("frozen", counters.frozen.get()),
        ]);
        self
    }
}

fn named(counts: &[(&str, u64)]) -> BTreeMap<String, u64> {
    counts.iter().map(|(n, c)| ((*n).to_owned(), *c)).collect()
}

/// What a thread was given and what it used, from the mark at the start of the run to its end.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ThreadReport {
    pub name: String,
    /// As the kernel numbers it, so that a trace of the process can be matched.
    #[serde(default)]
    pub tid: i32,
    /// The stages that run on it.
    pub stages: Vec<String>,
    /// Scheduling class asked for and given, such as `fifo 80`.
    pub class_asked: String,
    pub class_given: String,
    /// Cores that the thread may run on.
    pub cores: Vec<usize>,
    /// How it waits for work.
    pub wait: String,
    /// Requests that the kernel refused, in words.
    pub refused: Vec<String>,
    /// Allocations after the seal; absent where they are not counted.
    pub allocations: Option<u64>,
    pub allocated_bytes: Option<u64>,
    /// Wall time between the mark and the last look.
    pub wall_ns: u64,
    /// Time on a core. A thread that spins uses all of it.
    pub cpu_ns: u64,
    pub cpu_fraction: f64,
    /// Time ready to run but not on a core.
    pub run_queue_ns: u64,
    /// Share of the run that its stages worked (0..=1).
    pub work_fraction: f64,
    pub minor_faults: u64,
    pub major_faults: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungsReport {
    /// Beats played from each rung.
    pub fresh: u64,
    pub tail: u64,
    pub hold: u64,
    pub safe_stop: u64,
    /// Beats that were skipped because the thread came too late for them.
    pub missed: u64,
    /// The first changes, and how many there were in all.
    pub changes: Vec<RungChange>,
    pub changes_count: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RungChange {
    /// Since the beginning of the run.
    pub at_ns: u64,
    pub from: String,
    pub to: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PolicyReport {
    pub name: String,
    /// What it did last and why, in words.
    pub explanation: String,
    pub phase: String,
    pub changes: Vec<PolicyChange>,
    pub changes_count: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyChange {
    /// Since the beginning of the run.
    pub at_ns: u64,
    pub phase: String,
    /// The policy's own number of the object; -1 for none.
    pub object: i32,
    pub match_score: f32,
    pub confidence: f32,
    pub offset: [f32; 2],
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstructionsReport {
    pub received: u64,
    /// How many led to an action; the others were overtaken by newer ones, or the run ended.
    pub acted: u64,
    /// The last ones.
    pub ways: Vec<InstructionReport>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InstructionReport {
    pub id: u32,
    pub text: String,
    /// Since the beginning of the run.
    pub received_at_ns: Option<u64>,
    pub encode_ns: Option<u64>,
    /// Absent when it never led to an action.
    pub to_action_ns: Option<u64>,
}

/// A percentile curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    pub name: String,
    pub count: u64,
    /// `[quantile, ns]`, upwards.
    pub points: Vec<(f64, u64)>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TimelineReport {
    pub name: String,
    /// Length of one interval.
    pub interval_ns: u64,
    pub points: Vec<TimelinePoint>,
}

/// One interval of a time line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimelinePoint {
    /// Since the beginning of the run.
    pub at_ns: u64,
    pub count: u64,
    pub p50_ns: u64,
    pub p99_ns: u64,
    pub max_ns: u64,
}

/// How well the measuring itself went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryReport {
    pub samples: u64,
    pub lost_samples: u64,
    /// By thread; those that lost some.
    pub lost_by_thread: BTreeMap<String, u64>,
    /// Durations that came out negative: stamps that run backwards.
    pub negative_durations: u64,
    /// Durations over the histogram's end, 60 s; their maximum is exact, their percentiles are not.
    pub clamped_durations: u64,
}

/// What was run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RunInfo {
    /// UTC, as `2026-11-22T15:08:01Z`.
    pub started: String,
    /// The same in milliseconds since 1970.
    pub started_unix_ms: u64,
    pub duration_ns: u64,
    /// The command line.
    pub command: Vec<String>,
    /// Path of the configuration, if one was given.
    pub config: Option<String>,
    pub board: String,
    /// Which stages run on which threads, and why, a line each.
    pub plan: Vec<String>,
    pub encoder: String,
    pub policy: String,
    pub sink: String,
    /// What ended the run: `duration`, `input`, `signal`, ...
    pub ended_by: String,
}
