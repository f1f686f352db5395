//! What does the runtime itself cost on the way of a frame?
//!
//! 1080p frames come at 30 a second, open loop: each has its scheduled instant, whatever became of the one before.
//! The encoder is the null one, which touches every byte; the action clock beats at 100 Hz. A frame's overhead is
//! the time from its scheduled instant to its finished chunk, minus the touching. In it are the wake for the
//! frame, every hand-over, fusion, and all time stamps. Not in it is the wait for the action clock's
//! beat, which is a rate and not a cost (it is reported beside it).
//!
//! Beside it stands what the machine itself does: a bare thread of the same kind on the same core that waits for instants in
//! the same way and does nothing else. What it is late by, no runtime can be early by.
//!
//! `REFLEXARC_FRAMES` sets the number of frames (default 20,000: eleven minutes a layout).

#![allow(clippy::unwrap_used)]

mod support;

use reflexarc::action::config::ActionConfig;
use reflexarc::action::player::Player;
use reflexarc::action::{Action, Sink};
use reflexarc::capture::Count;
use reflexarc::capture::synthetic::{SyntheticConfig, SyntheticSource};
use reflexarc::clock;
use reflexarc::error::StepError;
use reflexarc::features::Encoder;
use reflexarc::features::encoders::{self, EncoderConfig, EncoderName};
use reflexarc::pipeline::{Parts, Pipeline};
use reflexarc::policy::still::Still;
use reflexarc::rt::latency::AwakeCores;
use reflexarc::rt::memory;
use reflexarc::rt::plan::{Layout, Machine, Plan, ThreadsConfig, WaitChoice};
use reflexarc::rt::stop::Stop;
use reflexarc::rt::thread;
use reflexarc::telemetry::collect::Collector;
use reflexarc::telemetry::goals::GoalsConfig;
use reflexarc::telemetry::record::Record;
use reflexarc::telemetry::trace::{Mark, Trace};
use reflexarc::units::Nanos;
use support::Bench;

/// Takes actions and does nothing, so that no system call of a sink is measured.
struct Nowhere;

impl Sink for Nowhere {
    fn describe(&self) -> String {
        "nowhere".to_owned()
    }
    fn write(&mut self, _action: &Action) -> Result<(), StepError> {
        Ok(())
    }
}

/// The traces of all frames of one run.
fn run(
    layout: Layout,
    wait: WaitChoice,
    cores: &[usize],
    encoder: EncoderName,
    frames: u64,
) -> (Vec<Trace>, u64) {
    let threads = ThreadsConfig {
        layout,
        wait,
        cores: Some(cores.to_vec()),
        housekeeping: Some(vec![0]),
        ..ThreadsConfig::default()
    };
    let plan = Plan::new(&threads, true, &Machine::detect(), Nanos::ZERO, None);
    let source = SyntheticConfig {
        frames: Some(frames),
        ..SyntheticConfig::default()
    };
    let source = SyntheticSource::open(&source, 0).unwrap();
    let format = source_format(&source);
    let config = EncoderConfig {
        name: encoder,
        ..EncoderConfig::default()
    };
    let encoder: Box<dyn Encoder> = encoders::open(&config, format).unwrap();
    let stop = Stop::default();
    let mut collector = Collector::new(clock::now(), &GoalsConfig::default());
    let parts = Parts::new(
        Box::new(source),
        encoder,
        Box::new(Still::new(2)),
        Player::new(&ActionConfig::default(), 2, &[]).unwrap(),
        Box::new(Nowhere),
    );
    let mut pipeline = Pipeline::build(parts, &plan, &mut collector, &stop).unwrap();
    let mut traces = Vec::with_capacity(usize::try_from(frames).unwrap());
    pipeline.go();
    let mut keep = |record: &Record| {
        if let Record::Frame(trace) = record {
            traces.push(*trace);
        }
    };
    while !pipeline.way_has_ended() {
        collector.collect_each(&mut keep);
        clock::sleep_until(clock::now() + Nanos::from_millis(50));
    }
    clock::sleep_until(clock::now() + Nanos::from_millis(25));
    stop.ask();
    let end = pipeline.join().unwrap().remove(0);
    collector.collect_each(&mut keep);
    // Checked before it is believed: every frame came through, whole and once.
    assert!(end.fault.is_none());
    assert_eq!(end.slots_out, 0);
    assert_eq!(pipeline.cameras[0].source.produced.get(), frames);
    assert!(traces.iter().all(Trace::is_complete));
    assert!(traces.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    // Those that did not come through are accounted for: drained or without a slot where the thread was kept away, or
    // overtaken by the next frame before the beat that would have played them, in the link or in the player (at the end: no
    // beat came).
    let lost = pipeline.cameras[0].source.drained.get() + pipeline.cameras[0].source.no_slot.get();
    let stale: u64 = pipeline.links.iter().map(|l| l.count.totals().stale).sum();
    let player = &pipeline.player;
    let unplayed = player.unplayed.get() + player.refused.iter().map(Count::get).sum::<u64>();
    let gone = lost + stale + unplayed;
    let missing = frames - traces.len() as u64;
    assert!(
        (gone..=gone + 2).contains(&missing),
        "{missing} of {frames} frames are missing: {lost} lost by the source, {stale} overtaken, {unplayed} not played"
    );
    (traces, missing)
}

fn source_format(source: &SyntheticSource) -> reflexarc::frame::FrameFormat {
    reflexarc::capture::Source::format(source)
}

fn between(traces: &[Trace], from: Mark, to: Mark) -> Vec<u64> {
    traces
        .iter()
        .map(|t| (t.at(to) - t.at(from)).clamp_u64())
        .collect()
}

fn overhead(traces: &[Trace]) -> Vec<u64> {
    let touching = |t: &Trace| t.at(Mark::Loaded) - t.at(Mark::FeaturesBegin);
    traces
        .iter()
        .map(|t| (t.at(Mark::Fused) - t.at(Mark::Captured) - touching(t)).clamp_u64())
        .collect()
}

/// The part of the overhead in which the thread was awake: what the machine and the wait make of it is not in it.
fn from_taken(traces: &[Trace]) -> Vec<u64> {
    let late = between(traces, Mark::Captured, Mark::Arrived);
    overhead(traces)
        .into_iter()
        .zip(late)
        .map(|(all, late)| all - late)
        .collect()
}

/// How late a bare thread of the way's kind is for the instants that it waits for as the way does: what the machine takes away
/// whatever runs on it. Four times as fast as frames come, since nothing has to be read in between.
fn bare(core: usize, instants: u64) -> Vec<u64> {
    const PERIOD: Nanos = Nanos::from_micros(8_333);
    let plan = Plan::new(
        &ThreadsConfig {
            cores: Some(vec![core]),
            housekeeping: Some(vec![0]),
            ..ThreadsConfig::default()
        },
        true,
        &Machine::detect(),
        Nanos::ZERO,
        None,
    );
    let (send, late) = std::sync::mpsc::sync_channel(1);
    let mut thread = thread::spawn(plan.capture, move |context| {
        context.wait_for_go();
        let mut late = Vec::with_capacity(usize::try_from(instants).unwrap());
        let mut due = clock::now() + PERIOD;
        for _ in 0..instants {
            clock::sleep_until(context.wait.near(Some(due)).unwrap());
            while clock::now() < due {
                std::hint::spin_loop();
            }
            late.push((clock::now() - due).clamp_u64());
            due = due.max(clock::now()) + PERIOD;
        }
        send.send(late).unwrap();
    })
    .unwrap();
    thread.go();
    let late = late.recv().unwrap();
    assert!(thread.join());
    late
}

fn main() {
    let mut bench = Bench::start(
        "way",
        "What does the runtime itself cost on the way of a frame?",
    );
    let _awake = AwakeCores::hold();
    let _ = memory::lock_all();
    let _ = thread::set_housekeeping_cores(&[0]);
    let wanted = std::env::var("REFLEXARC_FRAMES")
        .ok()
        .and_then(|n| n.parse().ok());
    let frames = bench.size(wanted.unwrap_or(20_000), 300) as u64;
    let rows = vec![("late for an instant".to_owned(), 1, bare(1, frames))];
    bench.record("the machine: a bare timed wait", rows);
    let plans = [
        (
            "frames on one thread, timed wait",
            Layout::Together,
            WaitChoice::Auto,
            vec![0, 1],
            frames,
        ),
        (
            "capture apart, frames on two cores, timed wait",
            Layout::CaptureApart,
            WaitChoice::Auto,
            vec![0, 1],
            frames,
        ),
        (
            "one core for frames and actions, timed wait",
            Layout::Together,
            WaitChoice::Auto,
            vec![1],
            frames / 10,
        ),
        (
            "frames on one thread, sleeping wait",
            Layout::Together,
            WaitChoice::Park,
            vec![0, 1],
            frames / 10,
        ),
    ];
    for (name, layout, wait, cores, frames) in plans {
        let (traces, missing) = run(layout, wait, &cores, EncoderName::Null, frames);
        let rows = vec![
            (
                "overhead: due to chunk, less the touching".to_owned(),
                1,
                overhead(&traces),
            ),
            (
                "  from taken to chunk, less the touching".to_owned(),
                1,
                from_taken(&traces),
            ),
            (
                "  due -> taken".to_owned(),
                1,
                between(&traces, Mark::Captured, Mark::Arrived),
            ),
            (
                "  capture -> features".to_owned(),
                1,
                between(&traces, Mark::HandedOver, Mark::FeaturesBegin),
            ),
            (
                "  fuse".to_owned(),
                1,
                between(&traces, Mark::FusionBegin, Mark::Fused),
            ),
            (
                "touching 4.1 MB".to_owned(),
                1,
                between(&traces, Mark::FeaturesBegin, Mark::Loaded),
            ),
            (
                "wait for the 100 Hz beat".to_owned(),
                1,
                between(&traces, Mark::Fused, Mark::ActionBegin),
            ),
            (
                "camera to action".to_owned(),
                1,
                between(&traces, Mark::Captured, Mark::Written),
            ),
        ];
        bench.record(name, rows);
        bench.note(
            &format!("frames that did not come through: {name}"),
            missing,
        );
    }
    let real = bench.size(wanted.unwrap_or(20_000).min(2_000), 10) as u64;
    let (traces, missing) = run(
        Layout::Together,
        WaitChoice::Auto,
        &[0, 1],
        EncoderName::default(),
        real,
    );
    let rows = vec![
        (
            "camera to action".to_owned(),
            1,
            between(&traces, Mark::Captured, Mark::Written),
        ),
        (
            "  preprocess".to_owned(),
            1,
            between(&traces, Mark::FeaturesBegin, Mark::Loaded),
        ),
        (
            "  encode".to_owned(),
            1,
            between(&traces, Mark::Loaded, Mark::Encoded),
        ),
        (
            "due to chunk".to_owned(),
            1,
            between(&traces, Mark::Captured, Mark::Fused),
        ),
    ];
    bench.note(
        "frames that did not come through: EfficientNet-Lite0",
        missing,
    );
    bench.record("EfficientNet-Lite0, frames on one thread, timed wait", rows);
    bench.finish();
}
