//! `reflexarc run`: makes the parts that the configuration names, starts the pipeline, watches it, stops it,
//! and reports.
//!
//! Thread: main; a housekeeping thread once the pipeline runs. It empties the probes, draws the live table and
//! looks for the end of the run. Nothing on the way of a frame waits for it.

use std::time::SystemTime;

// From configuration to parts.
pub(crate) mod parts;

// Its cameras.
mod cameras;

// Its language side.
mod speech;

// From a finished run to the facts of its report.
mod facts;

use crate::cli;
use crate::clock;
use crate::config::Config;
use crate::console;
use crate::error::{Fault, Kind, Result};
use crate::estimate::way;
use crate::pipeline::Pipeline;
use crate::record::recorder::Recording;
use crate::record::writer::About;
use crate::rt::latency::AwakeCores;
use crate::rt::notify::Notify;
use crate::rt::stop::Stop;
use crate::rt::{memory, signal, thread};
use crate::state::keeper::{self, Found, Keeper};
use crate::stream::configured::running::Streams;
use crate::telemetry::collect::Collector;
use crate::telemetry::live::{Live, LiveView};
use crate::telemetry::report::data::{Report, Verdict};
use crate::telemetry::report::folder::{Place, ReportFolder};
use crate::telemetry::report::streams::StreamReport;
use crate::telemetry::threads::ThreadWatch;
use crate::units::{MonoTime, Nanos};

use facts::Ended;

/// How long a run without an end of its own lasts.
const DEFAULT_DURATION: Nanos = Nanos::from_secs(20);
/// How often the probes are emptied. Their rings hold ten times as much (see `telemetry::probe`).
const COLLECT_EVERY: Nanos = Nanos::from_millis(25);
/// How often the threads' page faults and switches are read.
const LOOK_EVERY: Nanos = Nanos::from_secs(1);
/// A thread whose loop has not come around for this long is stuck.
// BOUND: the longest sensible step (an encoder of 1 s) twice.
const STUCK_AFTER: Nanos = Nanos::from_secs(2);

/// The configuration with the command line on top.
pub fn configure(args: &cli::Run) -> Result<Config> {
    let mut config = args
        .config
        .as_deref()
        .map_or_else(|| Ok(Config::default()), Config::load)?;
    if let Some(board) = &args.board {
        config.set_board(board)?;
    }
    if let Some(source) = &args.source {
        config.camera.first.source = source.clone();
    }
    if let Some(path) = &args.record {
        config.record.path = Some(path.clone());
    }
    if let Some(sink) = &args.sink {
        config.sink = Some(sink.clone());
    }
    config.real_time.strict |= args.strict_rt;
    config.check()?;
    Ok(config)
}

/// `reflexarc check`: everything is opened and planned, nothing runs. Returns what would run.
pub fn check(args: &cli::Run) -> Result<String> {
    let config = configure(args)?;
    let opened = parts::open(&config, args).map_err(|fault| config.locate(fault))?;
    let plan = opened.plan(&config)?;
    let way = opened.way(&config, &plan);
    let checked = way::check(&way.map_err(|fault| config.locate(fault))?);
    checked.refuse()?;
    Ok(format!(
        "{}{}{}{checked}",
        opened.describe(),
        said_of_board(&config),
        plan.why,
    ))
}

/// `reflexarc estimate --config`: the same, and only what was computed.
pub fn estimate(args: &cli::Run) -> Result<way::Check> {
    let config = configure(args)?;
    let opened = parts::open(&config, args).map_err(|fault| config.locate(fault))?;
    let plan = opened.plan(&config)?;
    let way = opened.way(&config, &plan);
    Ok(way::check(&way.map_err(|fault| config.locate(fault))?))
}

/// `reflexarc run`.
pub fn run(args: &cli::Run) -> Result<Verdict> {
    let (report, lost) = report(&configure(args)?, args)?;
    if args.quiet {
        announce_verdict(&report);
    }
    lost.map_or(Ok(report.verdict), Err)
}

/// A run of this configuration, once in a process: it takes the process's memory and cores for itself. Of `args` counts what
/// no configuration says: duration, instruction, place of the report.
pub fn report(config: &Config, args: &cli::Run) -> Result<(Report, Option<Fault>)> {
    let place = args
        .report
        .clone()
        .map_or_else(Place::default, Place::Folder);
    signal::install().map_err(|e| {
        Fault::from_io(
            "signals cannot be handled",
            &e,
            Kind::Internal,
            "report this",
        )
    })?;
    let mut manager = Notify::from_environment()?;
    let folder = ReportFolder::open(&place)?;
    let found = Found::open(config, keeper::given(config, args));
    let mut found = found.map_err(|fault| config.locate(fault))?;
    let mut resume = found.as_ref().map(Found::resume).unwrap_or_default();
    let windows = std::mem::take(&mut resume.windows);
    let mut opened =
        parts::open_resumed(config, args, resume).map_err(|fault| config.locate(fault))?;
    let mut plan = opened.plan(config)?;
    let way = opened.way(config, &plan);
    let checked = way::check(&way.map_err(|fault| config.locate(fault))?);
    checked.refuse()?;
    for warning in checked.warnings {
        plan.why += &format!("warning: {warning}\n");
    }
    let title = opened.describe();
    let duration = args
        .duration
        .or((!opened.ends_by_itself).then_some(DEFAULT_DURATION));
    let duration = duration.filter(|d| *d > Nanos::ZERO);

    // What the kernel is asked for besides the threads' own requests.
    let mut refused = Vec::new();
    let wants = &config.real_time;
    let _awake = ask(
        wants.keep_cores_awake,
        "cores kept awake",
        &mut refused,
        AwakeCores::hold,
    );
    ask(
        wants.lock_memory,
        "memory locked",
        &mut refused,
        memory::lock_all,
    );
    ask(true, "housekeeping cores", &mut refused, || {
        thread::set_housekeeping_cores(&plan.housekeeping)
    });

    let stop = Stop::default();
    let mut streams = open_streams(config, &windows, found.as_mut())?;
    let mut collector = Collector::new(clock::now(), &config.goals);
    let mut pipeline = Pipeline::build(opened.take_parts(), &plan, &mut collector, &stop)?;
    refused.extend(facts::refused_by_threads(&pipeline));
    if wants.strict && !refused.is_empty() {
        stop.ask();
        pipeline.go();
        pipeline.join()?;
        return Err(refuse(&refused));
    }
    let planned = format!("{title}{}{}", said_of_board(config), plan.why);
    announce(&planned, &refused, args.quiet);
    for remark in opened.remarks.iter().filter(|remark| remark.is_warning) {
        console::line(format_args!("warning: {}", remark.text));
    }

    let kept = start_recording(&mut pipeline, config, &opened)
        .and_then(|recording| Ok((recording, found.map(Found::start).transpose()?)));
    let (mut recording, mut keeper) = match kept {
        Ok(kept) => kept,
        Err(fault) => {
            stop.ask();
            pipeline.go();
            pipeline.join()?;
            return Err(fault);
        }
    };

    if let Some(told) = recording.as_mut().and_then(Recording::take_results) {
        streams.tell_to(told);
    }

    let (started, began) = (SystemTime::now(), clock::now());
    let mut watch = ThreadWatch::new(facts::thread_infos(&pipeline, plan.layout), began);
    let mut live = if opened.sink_is_stdout {
        Live::on_stderr(args.quiet)
    } else {
        Live::on_stdout(args.quiet)
    };
    pipeline.go();
    let by = supervise(
        &pipeline,
        duration.map_or(MonoTime::FAR, |duration| began + duration),
        &mut |now, looks| {
            manager.alive(now, pipeline.works());
            collect(&mut collector, &mut streams, keeper.as_mut());
            streams.tick(now);
            opened.listen();
            if let Some(keeper) = &mut keeper {
                keep(keeper, now, &collector, &opened, &mut streams);
            }
            if looks {
                watch.look(now);
            }
            let measured = collector.measured();
            live.update(now, measured, &config.goals, || LiveView {
                title: opened.title(),
                duration,
                instruction: opened
                    .instructions
                    .values()
                    .next_back()
                    .cloned()
                    .unwrap_or_default(),
                policy: opened.policy_in_words(&measured.policy),
                links: facts::links(&pipeline),
                source_away: pipeline.cameras[0].source.is_away(),
                lost_samples: lost_samples(&collector),
            });
        },
    );
    manager.stopping(by);
    watch.look(clock::now());
    stop.ask();
    let captures = pipeline.join();
    collect(&mut collector, &mut streams, keeper.as_mut());
    streams.end();
    // Also where a thread has panicked: then the recording is what tells why.
    let recorded = recording.map(Recording::finish);
    let captures = captures?;
    let state = keeper.map(|keeper| keeper.finish(clock::now(), lost_samples(&collector)));

    let duration = clock::now() - began;
    let ended = Ended {
        by,
        captures,
        refused,
        started,
        began,
        duration,
        streams: streams
            .summaries()
            .map(|(config, summary)| StreamReport::new(config, &summary))
            .collect(),
        state: state.unwrap_or_default(),
    };
    let facts = facts::facts(
        config, args, &opened, &plan, &pipeline, &watch, &collector, &ended,
    );
    let report = Report::new(&collector, facts);
    let page = folder.write(&report, collector.measured(), started)?;
    live.finish(&report, Some(&page));
    if let Some(recorded) = recorded {
        console::piece(recorded);
    }
    let lost = ended.captures.into_iter().find_map(|capture| capture.fault);
    Ok((report, lost))
}

/// Starts the recorder, if the run is recorded.
fn start_recording(
    pipeline: &mut Pipeline,
    config: &Config,
    opened: &parts::Opened,
) -> Result<Option<Recording>> {
    let Some(tapped) = pipeline.recorder.take() else {
        return Ok(None);
    };
    let about = About {
        configuration: config.text().to_owned(),
        source: config.camera.first.source.written(),
        policy: opened.policy.to_owned(),
        encoder: opened.encoder.to_owned(),
        sensors: opened.sensors.clone(),
        streams: (config.stream.iter())
            .map(|stream| (stream.name.clone(), stream.describe()))
            .collect(),
        start: pipeline.start.clone(),
    };
    tapped.start(&about).map(Some)
}

/// Empties the probes, and shows the streams and the state what they said.
fn collect(collector: &mut Collector, streams: &mut Streams, mut keeper: Option<&mut Keeper>) {
    collector.collect_each(|record| {
        streams.take(record);
        if let Some(keeper) = &mut keeper {
            keeper.see(record);
        }
    });
}

/// Configured streams, which go on with what the state has of them.
fn open_streams(config: &Config, windows: &[u8], found: Option<&mut Found>) -> Result<Streams> {
    let opened = match found {
        Some(found) if !windows.is_empty() => {
            let resumed = Streams::resume(&config.stream, windows);
            resumed.map(|(streams, said)| {
                found.say(said);
                streams
            })
        }
        _ => Streams::open(&config.stream),
    };
    opened.map_err(|fault| config.locate(fault))
}

fn keep(
    keeper: &mut Keeper,
    now: MonoTime,
    collector: &Collector,
    opened: &parts::Opened,
    streams: &mut Streams,
) {
    if let Some((id, text)) = opened.instructions.last_key_value() {
        keeper.hear(now, *id, text);
    }
    let lost = || lost_samples(collector);
    keeper.turn(now, lost, |out| streams.keep(out));
}

fn lost_samples(collector: &Collector) -> u64 {
    collector.probes().map(|probe| probe.lost).sum()
}

fn said_of_board(config: &Config) -> &str {
    config
        .board
        .as_ref()
        .map_or("", |board| board.said.as_str())
}

/// What runs, and what the kernel did not grant. On standard error: standard output may carry actions.
fn announce(what: &str, refused: &[String], quiet: bool) {
    if !quiet {
        console::piece(what);
    }
    if !refused.is_empty() {
        console::line(
            "warning: real time was not fully granted, so latencies are those of a normal process:",
        );
        refused
            .iter()
            .for_each(|why| console::line(format_args!("  {why}")));
        console::line("  fix: run as root, or setcap cap_sys_nice,cap_ipc_lock=ep on the binary");
    }
}

fn announce_verdict(report: &Report) {
    console::line(format_args!("goals {}", report.verdict.name()));
    report
        .reasons
        .iter()
        .for_each(|why| console::line(format_args!("  {why}")));
}

/// Asks the kernel for something; a refusal is noted, not fatal.
fn ask<T>(
    wanted: bool,
    what: &str,
    refused: &mut Vec<String>,
    request: impl FnOnce() -> std::io::Result<T>,
) -> Option<T> {
    if !wanted {
        return None;
    }
    request()
        .map_err(|error| refused.push(format!("{what}: {error}")))
        .ok()
}

fn refuse(refused: &[String]) -> Fault {
    Fault::new(
        Kind::RealTime,
        "real time was asked for strictly and not granted",
        refused.join("; "),
        "run as root, or give the binary its rights: setcap cap_sys_nice,cap_ipc_lock=ep reflexarc \
         (and write access to /dev/cpu_dma_latency); or leave --strict-rt out",
    )
}

/// Watches the run until something ends it, and says what.
fn supervise(
    pipeline: &Pipeline,
    end: MonoTime,
    turn: &mut dyn FnMut(MonoTime, bool),
) -> &'static str {
    let mut next_look = clock::now();
    // BOUND: until the end of the run, a signal, the end of the input, or a stuck thread.
    loop {
        let now = clock::now();
        let looks = now >= next_look;
        if looks {
            next_look = now + LOOK_EVERY;
        }
        turn(now, looks);
        if signal::came() {
            return "signal";
        }
        if now >= end {
            return "duration";
        }
        if pipeline.way_has_ended() {
            return "input";
        }
        if pipeline
            .threads
            .iter()
            .any(|t| !t.is_finished() && now - t.beat.last() > STUCK_AFTER)
        {
            return "a stuck thread";
        }
        clock::sleep_until((now + COLLECT_EVERY).min(end));
    }
}
