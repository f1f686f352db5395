//! One part: wake-ups by themselves, then the pipeline, under one load.

use std::cell::Cell;
use std::path::Path;
use std::process::Command;

use crate::bench::baseline::{self, Ask};
use crate::bench::child::{Program, Waited};
use crate::bench::data::{Budget, Cores, Flow, Latency, NotRun, Part, Surroundings};
use crate::bench::folder::BenchFolder;
use crate::bench::function;
use crate::bench::loads::{Load, Running};
use crate::bench::surroundings;
use crate::board::tree::Tree;
use crate::clock;
use crate::rt::signal;
use crate::telemetry::report::data::{LatencyGoal, Report, Verdict};
use crate::telemetry::report::text;
use crate::units::{MonoTime, Nanos};

/// What all parts have in common.
#[derive(Debug)]
pub struct Plan<'a> {
    pub tree: &'a Tree,
    pub folder: &'a BenchFolder,
    pub cores: &'a Cores,
    pub seconds: u32,
    pub with_baseline: bool,
    /// The board file's limits for a wake-up, idle and under load.
    pub limits_ns: [Option<u64>; 2],
    /// Hotter than this (C), and the part ends.
    pub hottest: f64,
    /// The words of `reflexarc run` before place and duration of the report.
    pub run: Vec<String>,
}

/// To load models, to open a camera, to write a report, also in an emulator.
// BOUND: twenty times of what was seen on an emulated board.
const RUN_GRACE: Nanos = Nanos::from_secs(600);
/// How often it is looked how hot it is.
const HEAT_EVERY: Nanos = Nanos::from_secs(1);

/// What is shown again as a plot.
const CURVES: [&str; 2] = ["camera to action", "action jitter"];

impl Plan<'_> {
    /// Runs a part. What goes wrong in it is said in it.
    pub fn run_part(&self, load: Load) -> (Part, Vec<String>) {
        let mut part = Part {
            name: load.name().to_owned(),
            ..Part::default()
        };
        let mut said = Vec::new();
        let limit_ns = self.limits_ns[usize::from(load != Load::Idle)];
        let running = match self.start(load) {
            Ok(running) => running,
            Err(not_run) => {
                part.not_run = Some(not_run);
                return (part, said);
            }
        };
        part.before = Surroundings::read(self.tree, &self.cores.way);
        let ask = Ask {
            part: load.name(),
            cores: &self.cores.way,
            seconds: self.seconds,
            limit_ns,
        };
        if self.with_baseline && !self.cores.way.is_empty() {
            let (wakes, more) = baseline::wakes(&ask, self.folder);
            part.baseline = wakes;
            said.extend(more);
            if load == Load::Idle && !signal::came() {
                said.extend(baseline::rtla(&ask, self.folder));
            }
        }
        if !signal::came() {
            self.pipeline(&mut part);
        }
        if let Some(running) = running {
            let (report, why) = running.end();
            part.marks.extend(why);
            part.load = Some(report);
        }
        part.after = Surroundings::read(self.tree, &self.cores.way);
        let changed = surroundings::marks(&part.before, &part.after, &self.cores.way);
        part.marks.extend(changed);
        if signal::came() {
            part.marks.push("a signal ended it".to_owned());
        }
        (part, said)
    }

    fn start(&self, load: Load) -> Result<Option<Running>, NotRun> {
        if load == Load::Idle {
            return Ok(None);
        }
        // Should this process be killed in a way that spares its children, the load still ends.
        let bound = 2 * self.seconds + 900;
        Running::start(load, &self.cores.housekeeping, bound, self.folder).map(Some)
    }

    /// The very `reflexarc run` of a robot, as a process of its own.
    fn pipeline(&self, part: &mut Part) {
        let (place, below) = self.folder.of_part(&part.name);
        let log = place.with_extension("log");
        let program = match std::env::current_exe() {
            Ok(program) => program,
            Err(error) => {
                part.broken
                    .push(format!("this program cannot be found: {error}"));
                return;
            }
        };
        let mut command = Command::new(program);
        command
            .args(&self.run)
            .args(["--duration", &format!("{}s", self.seconds)])
            .arg("--report")
            .arg(&place);
        let mut program = match Program::start(&mut command, &log, &[]) {
            Ok(program) => program,
            Err(error) => {
                part.broken
                    .push(format!("the run could not be started: {error}"));
                return;
            }
        };
        let until = clock::now() + Nanos::from_secs(i64::from(self.seconds)) + RUN_GRACE;
        let looked = Cell::new(MonoTime::ZERO);
        let waited = program.wait(until, || self.too_hot(&looked));
        let code = match &waited {
            Waited::Ended(status) => status.code(),
            Waited::Signal => {
                program.end();
                None
            }
            Waited::Stopped(why) => {
                program.end();
                part.marks.push(why.clone());
                None
            }
            Waited::TooLong => {
                program.end();
                part.broken.push("the run did not end".to_owned());
                None
            }
        };
        // 1: its goals were missed, which is for this bench to judge.
        if let (Waited::Ended(status), false) = (&waited, matches!(code, Some(0 | 1))) {
            part.broken
                .push(format!("the run failed ({status}): {}", fault_in(&log)));
        }
        match text::load(&place) {
            Ok(report) => take(part, &report, below),
            Err(_) if !part.broken.is_empty() || waited == Waited::Signal => {}
            Err(fault) => part.broken.push(fault.what),
        }
    }

    fn too_hot(&self, looked: &Cell<MonoTime>) -> Option<String> {
        let now = clock::now();
        if now - looked.get() < HEAT_EVERY {
            return None;
        }
        looked.set(now);
        let hottest = Surroundings::heat(self.tree)?;
        (hottest > self.hottest).then(|| {
            format!(
                "it got {hottest:.0} C hot, and {:.0} C is the limit: the part was ended",
                self.hottest
            )
        })
    }
}

/// The first line of a fault in a run's output, or its last line.
fn fault_in(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let fault = text.lines().find(|line| line.starts_with("error:"));
    let said = fault.or_else(|| text.lines().last());
    said.unwrap_or("it said nothing").to_owned()
}

/// What the bench keeps of a run's own report.
fn take(part: &mut Part, report: &Report, below: String) {
    part.broken.extend(function::broken(report));
    part.report = Some(below);
    part.flow = Some(Flow::of(report));
    part.latencies = latencies(report);
    part.warnings.clone_from(&report.warnings);
    let shown = report
        .curves
        .iter()
        .filter(|curve| CURVES.contains(&curve.name.as_str()));
    part.curves = shown.cloned().collect();
}

fn latencies(report: &Report) -> Vec<Latency> {
    let e = &report.end_to_end;
    let goal = |goal: &LatencyGoal| {
        Some(Budget {
            limit_ns: goal.limit_ns,
            over: goal.above,
            is_missed: goal.verdict == Verdict::Missed,
        })
    };
    let whole = [
        (
            "camera to action",
            e.camera_to_action,
            goal(&report.goals.camera_to_action),
        ),
        ("data age at action", e.data_age_at_action, None),
        ("fusion", e.fusion, goal(&report.goals.fusion)),
        ("action jitter", e.action_jitter, None),
        ("action period jitter", e.action_period_jitter, None),
    ];
    let whole = whole.into_iter().map(|(name, quantiles, budget)| Latency {
        name: name.to_owned(),
        percentiles: quantiles.into(),
        budget,
    });
    let stages = report.stages.iter().flat_map(|stage| {
        [("wait", stage.wait), ("work", stage.work)].map(|(kind, quantiles)| Latency {
            name: format!("{} {kind}", stage.name),
            percentiles: quantiles.into(),
            budget: None,
        })
    });
    whole
        .chain(stages)
        .filter(|latency| latency.percentiles.count > 0)
        .collect()
}
