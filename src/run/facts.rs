//! From a finished run to the facts of its report, and the last lines on the terminal.

use crate::capture::stage::CaptureEnd;
use crate::cli;
use crate::config::Config;
use crate::pipeline::Pipeline;
use crate::rt::memory::LedgerTotals;
use crate::rt::plan::{Layout, Plan};
use crate::rt::thread::Thread;
use crate::rt::wait::WaitPolicy;
use crate::run::parts::Opened;
use crate::state::report::StateReport;
use crate::telemetry::collect::Collector;
use crate::telemetry::environment::Environment;
use crate::telemetry::report::assemble::Facts;
use crate::telemetry::report::counts::{PlayerReport, SensorReport};
use crate::telemetry::report::data::{InterruptionReport, LinkReport, RunInfo, SourceReport};
use crate::telemetry::report::streams::StreamReport;
use crate::telemetry::report::utc;
use crate::telemetry::threads::{ThreadInfo, ThreadWatch};
use crate::telemetry::trace::Stage;
use crate::units::{MonoTime, Nanos};

use std::time::{SystemTime, UNIX_EPOCH};

/// How the run came out, besides what was measured.
pub(super) struct Ended {
    pub by: &'static str,
    /// Of each camera.
    pub captures: Vec<CaptureEnd>,
    /// What the kernel refused, in words.
    pub refused: Vec<String>,
    pub started: SystemTime,
    pub began: MonoTime,
    pub duration: Nanos,
    pub streams: Vec<StreamReport>,
    pub state: StateReport,
}

/// The links' accounts so far.
pub(super) fn links(pipeline: &Pipeline) -> Vec<LinkReport> {
    let report = |link: &crate::pipeline::NamedLink| {
        LinkReport::new(link.name.clone(), link.kind, &link.count.totals())
    };
    pipeline.links.iter().map(report).collect()
}

/// What the cameras told and counted.
fn sources(opened: &Opened, pipeline: &Pipeline, ended: &Ended) -> Vec<SourceReport> {
    let told = ended.captures.iter().zip(&opened.cameras);
    told.zip(&pipeline.cameras)
        .map(|((capture, about), camera)| {
            let (told, more) = &capture.interruptions;
            let source = SourceReport {
                name: about.name.clone(),
                rate_hz: about.rate,
                stamp: format!("{:?}", about.stamp),
                notes: capture.notes.clone(),
                interruptions: told
                    .iter()
                    .map(|told| InterruptionReport::new(told, ended.began))
                    .collect(),
                interruptions_more: *more,
                shown: camera.view.as_ref().map(|view| view.shown.get()),
                missing: camera.view.as_ref().map(|view| view.missing.get()),
                ..SourceReport::default()
            };
            source.count(&camera.source)
        })
        .collect()
}

/// What the sensors and their lanes in fusion counted.
fn sensors(opened: &Opened, pipeline: &Pipeline) -> Vec<SensorReport> {
    let counted = opened.sensors.iter().zip(&pipeline.sensors);
    counted
        .map(|(name, counts)| {
            let sensor = SensorReport {
                name: name.clone(),
                ..SensorReport::default()
            };
            sensor.count(counts.intake.as_deref(), &counts.align)
        })
        .collect()
}

/// Requests of threads that the kernel refused.
pub(super) fn refused_by_threads(pipeline: &Pipeline) -> Vec<String> {
    let of = |thread: &Thread| {
        let (granted, _) = thread.granted();
        granted
            .refused
            .iter()
            .map(|why| format!("{}: {why}", thread.spec.name))
            .collect::<Vec<_>>()
    };
    pipeline.threads.iter().flat_map(of).collect()
}

/// The threads of the way, for who watches them.
pub(super) fn thread_infos(pipeline: &Pipeline, layout: Layout) -> Vec<ThreadInfo> {
    let info = |thread: &Thread| {
        let (granted, _) = thread.granted();
        ThreadInfo {
            name: thread.spec.name.clone(),
            tid: granted.tid,
            stages: stages_of(&thread.spec.name, layout),
            camera: camera_of(&thread.spec.name),
            class_asked: thread.spec.class.to_string(),
            class_given: granted.class.to_string(),
            cores: granted.cores.clone(),
            wait: wait_in_words(thread.spec.wait),
            refused: granted.refused.clone(),
        }
    };
    pipeline.threads.iter().map(info).collect()
}

/// The camera whose frames a thread works on, by the thread's name.
fn camera_of(thread: &str) -> u8 {
    let number = thread.strip_prefix("camera-").map(str::parse);
    number.and_then(Result::ok).unwrap_or(0)
}

fn stages_of(thread: &str, layout: Layout) -> Vec<Stage> {
    if camera_of(thread) > 0 {
        return vec![Stage::Capture, Stage::Features];
    }
    match (thread, layout) {
        ("capture", Layout::Together | Layout::Auto) => {
            vec![Stage::Capture, Stage::Features, Stage::Fusion]
        }
        ("capture", _) => vec![Stage::Capture],
        (worker, Layout::Apart) if worker.starts_with("features") => vec![Stage::Features],
        ("features", _) => vec![Stage::Features, Stage::Fusion],
        ("fusion", _) => vec![Stage::Fusion],
        ("action", _) => vec![Stage::Action],
        _ => Vec::new(),
    }
}

fn wait_in_words(wait: WaitPolicy) -> String {
    match wait {
        WaitPolicy::Spin => "spin".to_owned(),
        WaitPolicy::Park { spin } => format!("spin {spin}, then park"),
        WaitPolicy::Timed { lead, late } => format!("wake {lead} early, spin until {late} late"),
    }
}

/// Everything that the report needs besides measurements.
#[expect(
    clippy::too_many_arguments,
    reason = "each is another part of the run; none belong together"
)]
pub(super) fn facts(
    config: &Config,
    args: &cli::Run,
    opened: &Opened,
    plan: &Plan,
    pipeline: &Pipeline,
    watch: &ThreadWatch,
    collector: &Collector,
    ended: &Ended,
) -> Facts {
    let measured = collector.measured();
    let mut threads = watch.report(measured);
    for (thread, report) in pipeline.threads.iter().zip(&mut threads) {
        let (_, ledger) = thread.granted();
        let LedgerTotals {
            after_seal,
            bytes_after_seal,
            ..
        } = ledger.totals();
        report.allocations = Some(after_seal);
        report.allocated_bytes = Some(bytes_after_seal);
    }
    let mut warnings: Vec<String> = ended
        .refused
        .iter()
        .map(|why| format!("not granted: {why}"))
        .collect();
    let remarks = opened.remarks.iter().filter(|remark| remark.is_warning);
    warnings.extend(remarks.map(|remark| remark.text.clone()));
    let slots_out: u32 = ended.captures.iter().map(|capture| capture.slots_out).sum();
    if slots_out > 0 {
        warnings.push(format!("{slots_out} slots had not come home at the end"));
    }
    if ended.by == "a stuck thread" {
        warnings.push("a thread's loop did not come around in time; the run was ended".to_owned());
    }
    for (camera, about) in pipeline.cameras.iter().zip(&opened.cameras) {
        let interrupted = camera.source.interrupted.get();
        if interrupted > 0 {
            warnings.push(format!(
                "the source was interrupted, {interrupted} times in all, see its interruptions: {}",
                about.name
            ));
        }
    }
    let board = config.board.as_ref();
    let said = board.map_or("", |board| board.said.as_str()).lines();
    let since_1970 = ended.started.duration_since(UNIX_EPOCH).unwrap_or_default();
    Facts {
        goals: config.goals.clone(),
        run: RunInfo {
            started: utc::rfc3339(ended.started),
            started_unix_ms: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
            duration_ns: ended.duration.clamp_u64(),
            command: std::env::args().collect(),
            config: args.config.as_ref().map(|path| path.display().to_string()),
            board: board.and_then(|b| b.name.clone()).unwrap_or_default(),
            plan: said.chain(plan.why.lines()).map(str::to_owned).collect(),
            encoder: opened.encoder.to_owned(),
            policy: opened.policy.to_owned(),
            sink: opened.sink.clone(),
            ended_by: ended.by.to_owned(),
        },
        environment: Environment::examined(board.and_then(|b| b.name.as_deref())),
        links: links(pipeline),
        sources: sources(opened, pipeline, ended),
        threads,
        sensors: sensors(opened, pipeline),
        streams: ended.streams.clone(),
        player: PlayerReport::new(&pipeline.player),
        state: ended.state.clone(),
        policy_explanation: opened.policy_in_words(&measured.policy),
        instructions: opened.instructions.clone(),
        warnings,
    }
}
