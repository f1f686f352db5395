//! Everything a run has measured so far, made of records and of nothing else.
//!
//! Thread: housekeeping. Allocates: in `new`, and up to the bounds of its parts. Reads no clock, so the same
//! records always give the same result.

use crate::action::Rung;
use crate::error::StepError;
use crate::fusion::views::VIEWS_MAX;
use crate::policy::PolicyStatus;
use crate::telemetry::changes::Changes;
use crate::telemetry::durations::Durations;
use crate::telemetry::goals::GoalsConfig;
use crate::telemetry::instructions::Instructions;
use crate::telemetry::record::{Outcome, Record, Step, Tick};
use crate::telemetry::timeline::Timeline;
use crate::telemetry::trace::{Mark, SPANS, Stage, Trace};
use crate::units::{MonoTime, Nanos};

/// Sensors that are told apart; further ones are counted with the last.
///
/// BOUND: `source_index` is a `u8`; eight sensors are more than any robot here has.
pub const SENSORS_MAX: usize = 8;

/// A duration's whole distribution and its course over the run.
#[derive(Debug)]
pub struct Series {
    pub durations: Durations,
    pub timeline: Timeline,
}

impl Series {
    fn new(began: MonoTime, limit: Nanos) -> Self {
        Self {
            durations: Durations::with_limit(limit),
            timeline: Timeline::new(began),
        }
    }

    fn record(&mut self, at: MonoTime, duration: Nanos) {
        self.durations.record(duration);
        let ns = duration.clamp_u64();
        self.timeline.record(at, ns, self.durations.bucket_of(ns));
    }
}

/// Counts by kind of failure.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Failures([u64; Self::KINDS.len()]);

impl Failures {
    const KINDS: [(StepError, &'static str); 7] = [
        (StepError::BadFrame, "bad frame"),
        (StepError::NotFinite, "not finite"),
        (StepError::Compute, "compute"),
        (StepError::DeviceLost, "device lost"),
        (StepError::WouldBlock, "would block"),
        (StepError::OutOfRange, "out of range"),
        (StepError::Late, "late"),
    ];

    fn add(&mut self, error: StepError) {
        for ((kind, _), count) in Self::KINDS.iter().zip(&mut self.0) {
            *count += u64::from(*kind == error);
        }
    }

    /// Reason and count of those that happened.
    pub fn by_reason(&self) -> impl Iterator<Item = (&'static str, u64)> {
        Self::KINDS
            .iter()
            .zip(self.0)
            .map(|((_, name), count)| (*name, count))
            .filter(|(_, count)| *count > 0)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// What one stage did.
#[derive(Debug)]
pub struct StageMeasured {
    pub stage: Stage,
    /// From when its input was ready until it began.
    pub wait: Durations,
    /// From when it began until its result was passed on.
    pub work: Series,
    /// From the camera's stamp until its result was passed on.
    pub age: Durations,
    pub ok: u64,
    pub dropped: u64,
    pub failed: Failures,
}

impl StageMeasured {
    fn new(stage: Stage, began: MonoTime) -> Self {
        Self {
            stage,
            wait: Durations::new(),
            work: Series::new(began, Nanos::MAX),
            age: Durations::new(),
            ok: 0,
            dropped: 0,
            failed: Failures::default(),
        }
    }

    fn count(&mut self, outcome: Outcome) {
        match outcome {
            Outcome::Ok => self.ok += 1,
            Outcome::Dropped => self.dropped += 1,
            Outcome::Failed(error) => self.failed.add(error),
        }
    }
}

/// Things that streams carried, counted where they were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Elements {
    pub frames: u64,
    pub feature_maps: u64,
    pub readings: u64,
    pub instructions: u64,
    pub chunks: u64,
    pub actions: u64,
}

impl Elements {
    pub fn total(&self) -> u64 {
        self.frames
            + self.feature_maps
            + self.readings
            + self.instructions
            + self.chunks
            + self.actions
    }
}

/// The ladder of fallbacks.
#[derive(Debug, Default)]
pub struct Rungs {
    /// Beats played from each rung, in the order of [`Rung`].
    pub ticks: [u64; Rung::COUNT],
    pub changes: Changes<(MonoTime, Rung, Rung)>,
    pub now: Option<Rung>,
}

/// All that records say.
#[derive(Debug)]
pub struct Measured {
    pub began: MonoTime,
    /// The latest instant in any record.
    pub last: MonoTime,
    pub records: u64,
    /// In the order of [`Stage::ALL`].
    pub stages: [StageMeasured; Stage::ALL.len()],
    /// Capture and features of each camera but the first, in their order.
    pub views: Vec<[StageMeasured; 2]>,
    /// In the order of [`SPANS`].
    pub spans: [Durations; SPANS.len()],
    pub camera_to_action: Series,
    /// From a feature map's completion to the decision: aligning camera, language and sensors, and deciding.
    pub fusion: Series,
    /// Age of the data behind each action when it was written, for all actions that come from a chunk.
    pub data_age: Series,
    /// How late each beat began.
    pub jitter: Series,
    /// How much the time between two beats differed from their schedule.
    pub period_jitter: Durations,
    /// The largest difference between a frame's end to end time and the sum of its spans.
    pub residual_max: Nanos,
    /// Frames that were acted on without all their marks: a fault of the program, shown and not measured.
    pub incomplete_traces: u64,
    pub missed_ticks: u64,
    pub elements: Elements,
    pub rungs: Rungs,
    pub instructions: Instructions,
    pub policy: PolicyStatus,
    pub policy_changes: Changes<(MonoTime, PolicyStatus)>,
    /// Age of sensor readings on arrival.
    pub sensors: Vec<Durations>,
    last_tick: Option<(MonoTime, MonoTime)>,
}

impl Measured {
    /// `goals` says above which durations to count.
    pub fn new(began: MonoTime, goals: &GoalsConfig) -> Self {
        Self {
            began,
            last: began,
            records: 0,
            stages: Stage::ALL.map(|stage| StageMeasured::new(stage, began)),
            views: Vec::new(),
            spans: std::array::from_fn(|_| Durations::new()),
            camera_to_action: Series::new(began, goals.camera_to_action),
            fusion: Series::new(began, goals.fusion),
            data_age: Series::new(began, goals.camera_to_action),
            jitter: Series::new(began, Nanos::MAX),
            period_jitter: Durations::new(),
            residual_max: Nanos::ZERO,
            incomplete_traces: 0,
            missed_ticks: 0,
            elements: Elements::default(),
            rungs: Rungs::default(),
            instructions: Instructions::default(),
            policy: PolicyStatus::default(),
            policy_changes: Changes::default(),
            sensors: Vec::new(),
            last_tick: None,
        }
    }

    pub fn stage(&self, stage: Stage) -> &StageMeasured {
        &self.stages[stage as usize]
    }

    /// Of a camera's frames: 0 is the first, and the only one whose frames go the whole way.
    pub fn stage_of(&self, camera: u8, stage: Stage) -> Option<&StageMeasured> {
        let Some(view) = usize::from(camera).checked_sub(1) else {
            return Some(self.stage(stage));
        };
        let stages = self.views.get(view)?;
        stages.iter().find(|measured| measured.stage == stage)
    }

    /// From the beginning to the latest record.
    pub fn elapsed(&self) -> Nanos {
        self.last - self.began
    }

    pub fn apply(&mut self, record: &Record) {
        self.records += 1;
        match record {
            Record::Step(step) => self.step(step),
            Record::Frame(trace) => self.frame(trace),
            Record::Tick(tick) => self.tick(tick),
            Record::RungChange { at, from, to } => {
                self.seen(*at);
                self.rungs.changes.add((*at, *from, *to));
                self.rungs.now = Some(*to);
            }
            Record::InstructionReady {
                id,
                received,
                encoded,
            } => {
                self.seen(*encoded);
                self.elements.instructions += 1;
                self.instructions.ready(*id, *received, *encoded);
            }
            Record::Policy { at, status } => self.policy(*at, *status),
            Record::Reading(reading) => {
                self.reading(reading.source_index, reading.at, reading.arrived);
            }
        }
    }

    fn step(&mut self, step: &Step) {
        self.seen(step.end);
        let ok = step.outcome == Outcome::Ok;
        match step.stage {
            Stage::Capture => self.elements.frames += u64::from(ok),
            Stage::Features => self.elements.feature_maps += u64::from(ok),
            Stage::Fusion => {
                self.elements.chunks += u64::from(ok);
                // A decision to say nothing was made in this time too.
                if !matches!(step.outcome, Outcome::Failed(_)) {
                    self.fusion.record(step.end, step.end - step.ready);
                }
            }
            // Actions come as ticks.
            Stage::Action => {}
        }
        self.stage_step(step);
    }

    /// A failed step counts with its work too: the time was spent.
    fn stage_step(&mut self, step: &Step) {
        let stage = match (step.source_index, step.stage) {
            (1.., Stage::Capture | Stage::Features) => self.view_stage(step),
            _ => &mut self.stages[step.stage as usize],
        };
        stage.count(step.outcome);
        stage.wait.record(step.begin - step.ready);
        stage.work.record(step.end, step.end - step.begin);
        if step.captured.is_set() && step.outcome == Outcome::Ok {
            stage.age.record(step.end - step.captured);
        }
    }

    fn view_stage(&mut self, step: &Step) -> &mut StageMeasured {
        let index = usize::from(step.source_index - 1).min(VIEWS_MAX - 1);
        let began = self.began;
        if self.views.len() <= index {
            let new = || [Stage::Capture, Stage::Features].map(|s| StageMeasured::new(s, began));
            self.views.resize_with(index + 1, new);
        }
        &mut self.views[index][usize::from(step.stage == Stage::Features)]
    }

    fn frame(&mut self, trace: &Trace) {
        if !trace.is_complete() {
            self.incomplete_traces += 1;
            return;
        }
        let written = trace.at(Mark::Written);
        self.seen(written);
        self.camera_to_action.record(written, trace.end_to_end());
        for (span, durations) in SPANS.iter().zip(&mut self.spans) {
            durations.record(trace.duration(span));
        }
        self.residual_max = self.residual_max.max(trace.residual().abs());
        self.instructions.acted(trace.instruction_id, written);
    }

    fn tick(&mut self, tick: &Tick) {
        let ok = tick.write_failed.is_none();
        // A held position or the safe action follows from no frame; it is counted by its rung.
        let captured = match tick.rung {
            Rung::Fresh | Rung::Tail => tick.captured,
            Rung::Hold | Rung::SafeStop => MonoTime::ZERO,
        };
        self.stage_step(&Step {
            stage: Stage::Action,
            source_index: 0,
            outcome: tick.write_failed.map_or(Outcome::Ok, Outcome::Failed),
            ready: tick.scheduled,
            begin: tick.begin,
            end: tick.written,
            captured,
        });
        self.seen(tick.written);
        self.elements.actions += u64::from(ok);
        self.missed_ticks += u64::from(tick.missed);
        self.rungs.ticks[tick.rung as usize] += 1;
        self.rungs.now = Some(tick.rung);
        self.jitter.record(tick.begin, tick.begin - tick.scheduled);
        if ok && captured.is_set() {
            self.data_age.record(tick.written, tick.written - captured);
        }
        if let Some((scheduled, begin)) = self.last_tick {
            let error = (tick.begin - begin) - (tick.scheduled - scheduled);
            self.period_jitter.record(error.abs());
        }
        self.last_tick = Some((tick.scheduled, tick.begin));
    }

    fn policy(&mut self, at: MonoTime, status: PolicyStatus) {
        self.seen(at);
        let key = |s: &PolicyStatus| (s.phase, s.object);
        if key(&status) != key(&self.policy) {
            self.policy_changes.add((at, status));
        }
        self.policy = status;
    }

    fn reading(&mut self, source_index: u8, at: MonoTime, arrived: MonoTime) {
        self.seen(arrived);
        self.elements.readings += 1;
        let index = usize::from(source_index).min(SENSORS_MAX - 1);
        if self.sensors.len() <= index {
            self.sensors.resize_with(index + 1, Durations::new);
        }
        self.sensors[index].record(arrived - at);
    }

    fn seen(&mut self, at: MonoTime) {
        self.last = self.last.max(at);
    }
}
