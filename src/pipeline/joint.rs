//! How the parts of a pipeline are joined: the links, what circulates in them, and the stages at their ends.
//!
//! Thread: main, before the first frame. Allocates: everything, here.

use super::views;
use super::{CameraCounts, LinkPolicies, NamedLink, OtherCamera, Parts, SensorCounts};
use crate::action::player::Player;
use crate::action::start;
use crate::capture::Source;
use crate::capture::stage::{CaptureStage, Frame};
use crate::error::Result;
use crate::features::Encoder;
use crate::features::stage::{Features, FeaturesStage};
use crate::frame::FrameFormat;
use crate::fusion::align::{AlignConfig, SensorLane};
use crate::fusion::sensors::SensorInput;
use crate::fusion::stage::FusionStage;
use crate::fusion::views::ViewLane;
use crate::link::policy::WhenFull;
use crate::link::{self, EveryReader, EveryWriter, LinkCount};
use crate::record::recorder::{Recorder, Tapped};
use crate::record::tap::{FrameTap, Taps};
use crate::rt::plan::{Layout, Plan};
use crate::rt::sync::Arc;
use crate::rt::wait::Bell;
use crate::sensor::{Reading, SensorSource};
use crate::slot::{Empty, Slot};
use crate::stage::{self, Inlet, Next};
use crate::telemetry::collect::Collector;
use crate::units::Nanos;

/// What the parts are joined with, and what is known of the joints so far.
pub(super) struct Joint<'a> {
    pub plan: &'a Plan,
    pub collector: &'a mut Collector,
    pub policies: LinkPolicies,
    pub workers: usize,
    pub links: Vec<NamedLink>,
    /// For what is read when its reader comes around anyway.
    pub silent: Bell,
}

/// The sensors' side.
pub(super) struct Sensing {
    pub sensors: Vec<Box<dyn SensorSource>>,
    pub writers: Vec<Next<Reading>>,
    pub inputs: Vec<SensorInput>,
    pub bell: Bell,
    pub counts: Vec<SensorCounts>,
}

/// The other cameras' side.
pub(super) struct Viewing {
    pub captures: Vec<CaptureStage>,
    pub lanes: Vec<ViewLane>,
    pub homes: Vec<EveryWriter<Box<Features>>>,
    /// The first camera's before theirs.
    pub cameras: Vec<CameraCounts>,
}

/// A features stage's own memory.
pub(super) struct Station {
    #[expect(clippy::vec_box, reason = "the boxes are what circulates")]
    pub maps: Vec<Box<Features>>,
    pub home: EveryReader<Box<Features>>,
    pub bell: Bell,
}

impl<'a> Joint<'a> {
    pub fn new(parts: &Parts, plan: &'a Plan, collector: &'a mut Collector) -> Self {
        let lossless = !parts.source.drops_when_behind();
        let slots = parts.source.slot_count() as usize;
        let workers = parts.encoders.len();
        assert!(
            workers == 1
                || (workers > 1 && plan.layout == Layout::Apart && parts.recorder.is_none()),
            "several workers need threads of their own, and no recorder"
        );
        assert_eq!(
            plan.cameras.len(),
            parts.others.len(),
            "each other camera needs a thread: see `Plan::scaled`"
        );
        Self {
            plan,
            collector,
            policies: parts.links.suited(lossless, slots),
            workers,
            links: Vec::new(),
            silent: Bell::silent(),
        }
    }

    pub fn name(&mut self, name: &str, kind: &'static str, count: Arc<LinkCount>) {
        self.links.push(NamedLink {
            name: name.to_owned(),
            kind,
            count,
        });
    }

    /// The name of something that each worker has.
    pub fn of_worker(&self, what: &str, worker: usize) -> String {
        match self.workers {
            1 => what.to_owned(),
            _ => format!("{what} (worker {worker})"),
        }
    }

    /// Starts the sensors and makes their links. The first reading of the first tells where the joints are.
    pub fn sensing(
        &mut self,
        sensors: Vec<(Box<dyn SensorSource>, AlignConfig)>,
        player: &mut Player,
    ) -> Result<Sensing> {
        let (mut sensors, align): (Vec<_>, Vec<_>) = sensors.into_iter().unzip();
        sensors.iter_mut().try_for_each(|sensor| sensor.start())?;
        let waits = align.iter().any(|align| align.wait > Nanos::ZERO);
        let bell = if waits { Bell::new() } else { Bell::silent() };
        let (mut writers, mut inputs, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for (index, (sensor, align)) in sensors.iter().zip(&align).enumerate() {
            let (writer, readings) = stage::link(self.policies.readings, &bell);
            let title = format!("sensor-{index} -> fusion");
            self.name(&title, writer.kind(), writer.count());
            let lane = SensorLane::new(align);
            counts.push(SensorCounts {
                intake: sensor.counters(),
                align: lane.counters(),
            });
            writers.push(writer);
            inputs.push(SensorInput { readings, lane });
        }
        let first = start::from_first_reading(player, &mut sensors)?;
        if let (Some(reading), Some(writer)) = (first, writers.first_mut()) {
            // An empty link has room.
            let _ = writer.deliver(reading);
        }
        Ok(Sensing {
            sensors,
            writers,
            inputs,
            bell,
            counts,
        })
    }

    /// The other cameras: capture and features of each on one thread, and a lane in fusion.
    pub fn viewing(&mut self, first: &dyn Source, others: Vec<OtherCamera>) -> Viewing {
        let mut viewing = Viewing {
            captures: Vec::new(),
            lanes: Vec::new(),
            homes: Vec::new(),
            cameras: vec![CameraCounts::of(first, None)],
        };
        for (index, other) in others.into_iter().enumerate() {
            // The first camera's workers come before.
            let home = self.workers + index;
            let view = views::join(other, index + 1, home, self.collector);
            for (title, kind, count) in view.links {
                self.name(&format!("camera-{}: {title}", index + 1), kind, count);
            }
            viewing.cameras.push(view.counts);
            viewing.lanes.push(view.lane);
            viewing.homes.push(view.home);
            viewing.captures.push(view.stage);
        }
        viewing
    }

    /// The features stages' memory, and the ways home of their maps.
    pub fn stations(
        &mut self,
        encoders: &[Box<dyn Encoder>],
        format: &FrameFormat,
    ) -> (Vec<Station>, Vec<EveryWriter<Box<Features>>>) {
        let count = self.policies.map_count();
        // Only where fusion has a thread of its own can no map be left, and only where stale ones are not given back.
        let blocks = self.policies.features.when_full == WhenFull::Block;
        let waits = self.plan.layout == Layout::Apart && (blocks || self.workers > 1);
        let station = |(worker, encoder): (usize, &dyn Encoder)| {
            let bell = if waits { Bell::new() } else { Bell::silent() };
            let (home_in, home) = link::every(count, &bell);
            self.name(
                &self.of_worker("maps home", worker),
                "every",
                home_in.count(),
            );
            let number = u8::try_from(worker).expect("workers are few");
            let map = || Box::new(Features::new(encoder, format, number));
            let maps = std::iter::repeat_with(map).take(count).collect();
            (Station { maps, home, bell }, home_in)
        };
        let encoders = encoders.iter().map(|encoder| &**encoder);
        encoders.enumerate().map(station).unzip()
    }

    pub fn taps(
        &mut self,
        recorder: Option<Recorder>,
        capture: &Bell,
    ) -> (
        Option<Taps>,
        Option<EveryReader<Slot<Empty>>>,
        Option<Tapped>,
    ) {
        let Some(recorder) = recorder else {
            return (None, None, None);
        };
        let (taps, home, tapped) = recorder.tap(capture);
        for (link, count) in tapped.links() {
            self.name(link, "every", count);
        }
        (Some(taps), Some(home), Some(tapped))
    }

    /// The ways to fusion, one for each worker; and fusion itself, unless it is called.
    pub fn join_fusion(&mut self, fusion: FusionStage, bell: &Bell) -> (ToFusion, OwnFusion) {
        let mut policy = self.policies.features;
        if policy.when_full == WhenFull::Block {
            // What waits is bounded by the maps that there are: a stage without one waits, and no result finds the link full.
            policy.room = self.policies.map_count();
        }
        if self.plan.layout != Layout::Apart {
            return (vec![Next::call(Box::new(fusion), policy)], None);
        }
        if self.workers == 1 {
            let (next, inlet) = stage::link(policy, bell);
            return (vec![next], Some((inlet, fusion)));
        }
        let room = self.policies.map_count();
        let (nexts, inlet) = stage::gather(self.workers, room, policy, bell);
        (nexts, Some((inlet, fusion)))
    }

    /// The features stages, one for each worker, and their ways home for slots.
    pub fn features(
        &mut self,
        encoders: Vec<Box<dyn Encoder>>,
        stations: Vec<Station>,
        to_fusion: ToFusion,
        tap: Option<FrameTap>,
        slots: usize,
        capture: &Bell,
    ) -> (Vec<FeaturesStage>, Vec<EveryReader<Slot<Empty>>>) {
        let mut tap = tap;
        let (mut stages, mut homes) = (Vec::new(), Vec::new());
        let parts = encoders.into_iter().zip(stations).zip(to_fusion);
        for (worker, ((encoder, station), next)) in parts.enumerate() {
            let (home_in, home) = link::every(slots, capture);
            self.name(
                &self.of_worker("slots home", worker),
                "every",
                home_in.count(),
            );
            let title = self.of_worker("features -> fusion", worker);
            self.name(&title, next.kind(), next.count());
            let probe = self.of_worker("features", worker);
            let stage = FeaturesStage::new(
                encoder,
                station.maps,
                station.home,
                station.bell,
                home_in,
                next,
                self.collector.probe(&probe),
            );
            let stage = if self.workers > 1 {
                stage.in_turn()
            } else {
                stage
            };
            stages.push(stage.with_tap(tap.take()));
            homes.push(home);
        }
        (stages, homes)
    }

    /// The way from capture; and the features stages with their bells and links, unless there is one that is called.
    pub fn join_features(&mut self, mut stages: Vec<FeaturesStage>) -> (Next<Frame>, Workers) {
        let policy = self.policies.frames;
        let bells: Vec<Bell> = stages.iter().map(|_| Bell::new()).collect();
        let (next, inlets) = match stages.len() {
            1 if self.plan.layout == Layout::Together => {
                let next = Next::call(Box::new(stages.remove(0)), policy);
                (next, Vec::new())
            }
            1 => {
                let (next, inlet) = stage::link(policy, &bells[0]);
                (next, vec![inlet])
            }
            _ => stage::deal(policy, &bells),
        };
        for (worker, count) in next.counts().into_iter().enumerate() {
            self.name(
                &self.of_worker("capture -> features", worker),
                next.kind(),
                count,
            );
        }
        let workers = bells.into_iter().zip(inlets).zip(stages);
        let workers = workers.map(|((bell, inlet), stage)| (bell, inlet, stage));
        (next, workers.collect())
    }
}

pub(super) type ToFusion = Vec<Next<Box<Features>>>;
/// Fusion where it has a thread of its own.
pub(super) type OwnFusion = Option<(Inlet<Box<Features>>, FusionStage)>;
pub(super) type Workers = Vec<(Bell, Inlet<Frame>, FeaturesStage)>;
