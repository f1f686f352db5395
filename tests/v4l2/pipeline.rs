//! The whole way on a real driver with an encoder far slower than the camera. Run by `scripts/dev vm`.
#![allow(clippy::unwrap_used)]

use reflexarc::action::config::ActionConfig;
use reflexarc::action::player::Player;
use reflexarc::action::sinks::{self, SinkConfig};
use reflexarc::capture::v4l2::V4l2Source;
use reflexarc::capture::{Count, Source};
use reflexarc::clock;
use reflexarc::error::StepError;
use reflexarc::features::{Encoder, FeatureMap, FeatureShape, FrameView};
use reflexarc::frame::PixelFormat;
use reflexarc::pipeline::{Parts, Pipeline};
use reflexarc::policy::still::Still;
use reflexarc::rt::plan::{Layout, Machine, Plan, ThreadsConfig};
use reflexarc::rt::stop::Stop;
use reflexarc::rt::sync::Arc;
use reflexarc::telemetry::collect::Collector;
use reflexarc::telemetry::goals::GoalsConfig;
use reflexarc::units::{MonoTime, Nanos};

use crate::tapped::{Taken, Tap, Tapped};
use crate::vivid;

/// Ten periods of the camera.
const WORK: Nanos = Nanos::from_millis(333);

/// Checks each frame's pixels, then takes its time.
struct Slow;

impl Encoder for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }
    fn shape(&self) -> FeatureShape {
        FeatureShape {
            rows: 1,
            columns: 1,
            channels: 1,
        }
    }
    fn load(&mut self, frame: FrameView<'_>) -> Result<(), StepError> {
        // The frame of the warm-up has no pixels.
        if frame.meta.captured.is_set() {
            vivid::assert_colour_bars_in(frame.meta, frame.bytes);
        }
        // With the slot still in hand: an encoder that reads it slowly is the worst case for the driver.
        clock::sleep_until(clock::now() + WORK);
        Ok(())
    }
    fn encode(&mut self, out: &mut FeatureMap) -> Result<(), StepError> {
        out.values_mut().fill(0.0);
        Ok(())
    }
}

/// Notes when the driver lost frames because all its buffers were full.
struct Starved(Arc<Count>);

impl Tap for Starved {
    fn take(&mut self, camera: &mut V4l2Source, now: MonoTime) -> Taken {
        let counters = camera.counters();
        let (had, produced, gaps) = (
            camera.queued() as u64,
            counters.produced.get(),
            counters.gaps.get(),
        );
        let taken = camera.take(now);
        // A gap while the driver had another buffer to fill is vivid's own, on a busy host.
        if counters.produced.get() - produced == had {
            self.0.add(counters.gaps.get() - gaps);
        }
        taken
    }
}

/// Three seconds of the whole way; gives back how many frames were lost for want of a buffer.
fn run() -> u64 {
    let camera = vivid::open(&vivid::config(PixelFormat::Yuyv));
    assert_eq!(camera.slot_count(), 4);
    let period = camera.rate().map(|rate| rate.period());
    let starved = Arc::new(Count::default());
    let threads = ThreadsConfig::default();
    let plan = Plan::new(&threads, true, &Machine::detect(), WORK, period);
    assert_ne!(
        plan.layout,
        Layout::Together,
        "the camera is drained meanwhile"
    );
    let action = ActionConfig::default();
    let parts = Parts::new(
        Box::new(Tapped {
            camera,
            tap: Starved(Arc::clone(&starved)),
        }),
        Box::new(Slow),
        Box::new(Still::new(2)),
        Player::new(&action, 2, &[]).unwrap(),
        sinks::open(&SinkConfig::default(), 2, action.rate).unwrap(),
    );
    let stop = Stop::default();
    let mut collector = Collector::new(clock::now(), &GoalsConfig::default());
    let mut pipeline = Pipeline::build(parts, &plan, &mut collector, &stop).unwrap();
    pipeline.go();
    let until = clock::now() + Nanos::from_secs(3);
    while clock::now() < until {
        collector.collect();
        clock::sleep_until(clock::now() + Nanos::from_millis(20));
    }
    stop.ask();
    let end = pipeline.join().unwrap().remove(0);
    assert!(end.fault.is_none(), "{:?}", end.fault);
    assert_eq!(end.slots_out, 0, "every slot came home");

    let camera = &pipeline.cameras[0].source;
    let onward = |name: &str| {
        let link = pipeline.links.iter().find(|l| l.name == name).unwrap();
        link.count.totals()
    };
    let frames = onward("capture -> features");
    assert_eq!(frames.pushed, camera.taken.get());
    assert_eq!(
        frames.pushed,
        frames.popped + frames.stale + frames.in_flight
    );
    assert_eq!(frames.in_flight, 0);
    assert!(frames.popped >= 3, "the encoder ran: {frames:?}");
    assert!(
        frames.stale > frames.popped,
        "it is far slower than the camera: {frames:?}"
    );
    starved.get()
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn four_buffers_are_enough_for_inference_ten_times_slower_than_the_camera() {
    vivid::without_a_gap(run);
}
