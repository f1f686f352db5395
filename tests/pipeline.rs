//! Promises of the pipeline, run in this process with parts of the tests' own making.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use reflexarc::action::config::ActionConfig;
use reflexarc::action::player::Player;
use reflexarc::action::{Action, Chunk, Sink};
use reflexarc::capture::synthetic::{SyntheticConfig, SyntheticSource, embedded};
use reflexarc::capture::{Pace, Readiness, Source, SourceCounters};
use reflexarc::clock;
use reflexarc::error::{Fault, StepError};
use reflexarc::features::{Encoder, FeatureMap, FeatureShape, FrameView};
use reflexarc::frame::{FrameFormat, StampSource};
use reflexarc::pipeline::{Parts, Pipeline};
use reflexarc::policy::still::Still;
use reflexarc::policy::{Aligned, Explainer, Policy, PolicyStatus};
use reflexarc::rt::plan::{Layout, Machine, Plan, ThreadsConfig};
use reflexarc::rt::stop::Stop;
use reflexarc::slot::{Empty, Filled, Slot};
use reflexarc::telemetry::collect::Collector;
use reflexarc::telemetry::goals::GoalsConfig;
use reflexarc::telemetry::trace::Stage;
use reflexarc::units::{Hertz, MonoTime, Nanos};

/// Blocks the stage, as a device or a page fault would. It leaves the core free: with fewer cores than threads a
/// stage that burned the core would take it from lower ones, and their clocks would rightly show that.
fn stall_for(time: Nanos) {
    clock::sleep_until(clock::now() + time);
}

/// Where a test lets the way stall, once.
#[derive(Clone, Copy, PartialEq)]
enum Stall {
    Nowhere,
    Capture,
    Features,
    Fusion,
    /// A millisecond at every frame.
    FusionEachTime,
    Action,
}

const STALL: Nanos = Nanos::from_millis(40);
/// The first frame from here on stalls: on a busy machine any one may give way to a newer one before it comes so far.
const STALLED_FRAME: u64 = 60;

/// An encoder that checks each frame's content, and may stall at one.
struct Checking {
    stall: bool,
    seq: u64,
    last: Option<u64>,
}

impl Encoder for Checking {
    fn name(&self) -> &'static str {
        "checking"
    }
    fn shape(&self) -> FeatureShape {
        FeatureShape {
            rows: 1,
            columns: 1,
            channels: 1,
        }
    }
    fn load(&mut self, frame: FrameView<'_>) -> Result<(), StepError> {
        let (seq, captured) = embedded(frame).expect("the pattern carries its number and stamp");
        assert_eq!(seq, frame.meta.seq, "the pixels belong to another frame");
        assert_eq!(
            captured, frame.meta.captured,
            "the pixels belong to another time"
        );
        assert!(
            self.last.is_none_or(|last| seq > last),
            "frames came out of order"
        );
        self.last = Some(seq);
        self.seq = seq;
        Ok(())
    }
    fn encode(&mut self, out: &mut FeatureMap) -> Result<(), StepError> {
        if self.stall && self.seq >= STALLED_FRAME {
            self.stall = false;
            stall_for(STALL);
        }
        out.values_mut()[0] = 1.0;
        Ok(())
    }
}

struct StallingSource {
    inner: SyntheticSource,
    stall: bool,
}

impl Source for StallingSource {
    fn describe(&self) -> String {
        self.inner.describe()
    }
    fn format(&self) -> FrameFormat {
        self.inner.format()
    }
    fn rate(&self) -> Option<Hertz> {
        self.inner.rate()
    }
    fn stamp_source(&self) -> StampSource {
        self.inner.stamp_source()
    }
    fn slot_count(&self) -> u32 {
        self.inner.slot_count()
    }
    fn start(&mut self) -> Result<(), Fault> {
        self.inner.start()
    }
    fn wait(&mut self, deadline: MonoTime) -> Result<Readiness, StepError> {
        self.inner.wait(deadline)
    }
    fn take(&mut self, now: MonoTime) -> Result<Option<Slot<Filled>>, StepError> {
        let slot = self.inner.take(now)?;
        if self.stall && slot.as_ref().is_some_and(|s| s.meta().seq >= STALLED_FRAME) {
            self.stall = false;
            stall_for(STALL);
        }
        Ok(slot)
    }
    fn give_back(&mut self, slot: Slot<Empty>) {
        self.inner.give_back(slot);
    }
    fn drops_when_behind(&self) -> bool {
        self.inner.drops_when_behind()
    }
    fn next_due(&self) -> Option<MonoTime> {
        self.inner.next_due()
    }
    fn stop(&mut self) {
        self.inner.stop();
    }
    fn counters(&self) -> Arc<SourceCounters> {
        self.inner.counters()
    }
}

struct Stalling {
    inner: Still,
    stall: Stall,
}

impl Policy for Stalling {
    fn name(&self) -> &'static str {
        "stalling"
    }
    fn dof(&self) -> u8 {
        self.inner.dof()
    }
    fn decide(&mut self, set: &Aligned<'_>, chunk: &mut Chunk) -> Result<(), StepError> {
        match self.stall {
            Stall::Fusion if set.frame.seq >= STALLED_FRAME => {
                self.stall = Stall::Nowhere;
                stall_for(STALL);
            }
            Stall::FusionEachTime => stall_for(Nanos::from_millis(1)),
            _ => {}
        }
        self.inner.decide(set, chunk)
    }
    fn status(&self) -> PolicyStatus {
        self.inner.status()
    }
    fn explainer(&self) -> Explainer {
        self.inner.explainer()
    }
}

struct SlowSink {
    stall: bool,
    written: u64,
}

impl Sink for SlowSink {
    fn describe(&self) -> String {
        "test".to_owned()
    }
    fn write(&mut self, _action: &Action) -> Result<(), StepError> {
        self.written += 1;
        if self.stall && self.written == STALLED_FRAME {
            stall_for(STALL);
        }
        Ok(())
    }
}

fn source(rate: f64, pace: Pace, frames: u64) -> SyntheticSource {
    let config = SyntheticConfig {
        width: 320,
        height: 240,
        rate: Hertz::new(rate).unwrap(),
        pace,
        frames: Some(frames),
        ..SyntheticConfig::default()
    };
    SyntheticSource::open(&config, 0).unwrap()
}

/// One pipeline at a time: two would share the cores of the way.
#[expect(
    clippy::disallowed_types,
    reason = "a test's own gate, far from any hot thread"
)]
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn run(layout: Layout, rate: f64, frames: u64, stall: Stall) -> (Pipeline, Collector) {
    run_source(layout, source(rate, Pace::RealTime, frames), stall)
}

/// Runs a pipeline to its source's end; gives it back with what was measured.
fn run_source(layout: Layout, source: SyntheticSource, stall: Stall) -> (Pipeline, Collector) {
    let _alone = ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    let threads = ThreadsConfig {
        layout,
        ..ThreadsConfig::default()
    };
    let plan = Plan::new(&threads, true, &Machine::detect(), Nanos::ZERO, None);
    let stop = Stop::default();
    let mut collector = Collector::new(clock::now(), &GoalsConfig::default());
    let parts = Parts::new(
        Box::new(StallingSource {
            inner: source,
            stall: stall == Stall::Capture,
        }),
        Box::new(Checking {
            stall: stall == Stall::Features,
            seq: 0,
            last: None,
        }),
        Box::new(Stalling {
            inner: Still::new(2),
            stall,
        }),
        Player::new(&ActionConfig::default(), 2, &[]).unwrap(),
        Box::new(SlowSink {
            stall: stall == Stall::Action,
            written: 0,
        }),
    );
    let mut pipeline = Pipeline::build(parts, &plan, &mut collector, &stop).unwrap();
    pipeline.go();
    while !pipeline.way_has_ended() {
        collector.collect();
        clock::sleep_until(clock::now() + Nanos::from_millis(5));
    }
    // Two more beats, so that the last chunk is played.
    clock::sleep_until(clock::now() + Nanos::from_millis(25));
    stop.ask();
    let end = pipeline.join().unwrap().remove(0);
    collector.collect();
    assert!(end.fault.is_none());
    assert_eq!(end.slots_out, 0, "every slot came home");
    (pipeline, collector)
}

const LAYOUTS: [Layout; 3] = [Layout::Together, Layout::CaptureApart, Layout::Apart];

#[test]
fn every_frame_is_accounted_for_at_every_link_in_every_layout() {
    for layout in LAYOUTS {
        let (pipeline, collector) = run(layout, 400.0, 400, Stall::Nowhere);
        let source = &pipeline.cameras[0].source;
        assert_eq!(source.produced.get(), 400, "{layout:?}");
        assert_eq!(
            source.produced.get(),
            source.taken.get()
                + source.drained.get()
                + source.unusable.get()
                + source.no_slot.get()
        );
        for link in &pipeline.links {
            let totals = link.count.totals();
            assert_eq!(
                totals.pushed,
                totals.popped + totals.stale + totals.in_flight,
                "{}",
                link.name
            );
            // A chunk that no beat came for, and the maps of the last frames, stay where they are.
            if !["fusion -> action", "maps home", "chunks home"].contains(&link.name.as_str()) {
                assert_eq!(totals.in_flight, 0, "{layout:?}: {} has drained", link.name);
            }
        }
        let way = |name: &str| {
            pipeline
                .links
                .iter()
                .find(|l| l.name == name)
                .unwrap()
                .count
                .totals()
        };
        assert_eq!(way("capture -> features").pushed, source.taken.get());
        assert_eq!(
            way("capture -> features").popped,
            way("features -> fusion").pushed
        );
        assert_eq!(
            way("features -> fusion").popped,
            way("fusion -> action").pushed
        );
        assert!(collector.probes().all(|p| p.lost == 0));
    }
}

#[test]
fn no_frame_of_a_source_that_must_not_skip_fails_however_slow_a_stage_is() {
    for layout in LAYOUTS {
        let source = source(30.0, Pace::Fastest, 300);
        let (pipeline, _) = run_source(layout, source, Stall::FusionEachTime);
        for (stage, count) in &pipeline.stages {
            assert_eq!(count.passed.get(), 300, "{layout:?}: {stage:?}");
            assert_eq!(count.failed.get(), 0, "{layout:?}: {stage:?}");
        }
    }
}

#[test]
fn the_spans_of_every_frame_add_up_to_its_end_to_end_time() {
    for layout in LAYOUTS {
        let (_, collector) = run(layout, 200.0, 200, Stall::Nowhere);
        let measured = collector.measured();
        assert!(measured.camera_to_action.durations.count() > 50);
        assert_eq!(measured.incomplete_traces, 0);
        assert_eq!(measured.residual_max, Nanos::ZERO, "{layout:?}");
    }
}

#[test]
fn a_stall_shows_up_in_its_own_stage_and_nowhere_else() {
    let stages = [
        (Stall::Capture, Stage::Capture),
        (Stall::Features, Stage::Features),
        (Stall::Fusion, Stage::Fusion),
        (Stall::Action, Stage::Action),
    ];
    for layout in LAYOUTS {
        for (stall, stalled) in stages {
            let (_, collector) = run(layout, 100.0, 120, stall);
            for stage in Stage::ALL {
                let work = collector
                    .measured()
                    .stage(stage)
                    .work
                    .durations
                    .quantiles()
                    .max_ns;
                let has_it = work >= STALL.clamp_u64();
                assert_eq!(
                    has_it,
                    stage == stalled,
                    "{layout:?}: {stage:?} worked {work} ns at most"
                );
            }
        }
    }
}
