//! The whole way of a frame, top to bottom: memory, links, stages, threads. Start reading here.
//!
//! ```text
//!  source --> capture --link--> features --link--> fusion ==newest==> action (own clock) --> sink
//!               ^               |    ^              |  ^  ^  ^
//!               +-- slots home -+    +-- maps home -+  |  |  +-- instructions (newest)
//!                                                      |  +----- readings (link)
//!  other source --> capture and features --recent------+
//! ```
//! Which stages share a thread is the plan's business ([`crate::rt::plan`]): where two neighbours share
//! one, the link between them is a plain call. What a link does with more than its reader can take is the
//! configuration's ([`crate::link::policy`]); by default the newest goes on and the stale one goes home. Several
//! workers of the encoder get frames in turn and give their results in turn. Nothing here loops over data.
//!
//! Thread: main, before the first frame. Allocates: everything, here.

// From the start of a pipeline to its end.
mod running;

// The cameras other than the first.
mod views;

pub use running::{CameraCounts, NamedLink, Pipeline, SensorCounts};
pub use views::OtherCamera;

use std::sync::OnceLock;

use crate::action::player::Player;
use crate::action::stage::ActionStage;
use crate::action::{Chunk, Sink, start};
use crate::capture::Source;
use crate::capture::stage::{CaptureEnd, CaptureStage, Frame};
use crate::error::{Fault, Kind, Result};
use crate::features::Encoder;
use crate::features::stage::{Features, FeaturesStage, MAPS_AT_WORK};
use crate::frame::FrameFormat;
use crate::fusion::align::{AlignConfig, SensorLane};
use crate::fusion::home::MapsHome;
use crate::fusion::sensors::SensorInput;
use crate::fusion::stage::{CHUNK_COUNT, FusionStage, SideInputs};
use crate::fusion::views::{ViewLane, Views};
use crate::language::Instruction;
use crate::link::policy::{LinkPolicy, WhenFull};
use crate::link::{self, EveryReader, EveryWriter, LinkCount, NewestWriter};
use crate::policy::Policy;
use crate::record::recorder::{Recorder, Tapped};
use crate::record::tap::{FrameTap, Taps};
use crate::rt::plan::{Layout, Plan};
use crate::rt::stop::Stop;
use crate::rt::sync::Arc;
use crate::rt::thread::{self, Thread, ThreadSpec};
use crate::rt::wait::Bell;
use crate::sensor::{Reading, SensorSource};
use crate::slot::{Empty, Slot};
use crate::stage::{self, IDLE_TURN, Inlet, Next, run_from_link, until_stopped};
use crate::telemetry::collect::Collector;
use crate::telemetry::trace::Stage;
use crate::units::Nanos;

/// Runs the language side on a thread of its own: reads text, encodes it, pushes instructions, until asked to
/// stop.
pub type LanguageRun = Box<dyn FnOnce(NewestWriter<Instruction>, &Stop) + Send>;

/// What a run is made of; each part has taken its memory already.
pub struct Parts {
    /// The first camera.
    pub source: Box<dyn Source>,
    /// Of its frames, one for each worker; at least one. Several need the layout [`Layout::Apart`].
    pub encoders: Vec<Box<dyn Encoder>>,
    /// The other cameras, each with what makes features of its frames.
    pub others: Vec<OtherCamera>,
    pub policy: Box<dyn Policy>,
    /// Each with how its readings are brought to a frame's instant.
    pub sensors: Vec<(Box<dyn SensorSource>, AlignConfig)>,
    pub language: LanguageRun,
    pub player: Player,
    pub sink: Box<dyn Sink>,
    pub links: LinkPolicies,
    /// Takes the run down, if anything does. Only with one worker.
    pub recorder: Option<Recorder>,
}

impl Parts {
    /// One camera and a policy that needs nothing else: no sensors, no words, links as they are by default.
    pub fn new(
        source: Box<dyn Source>,
        encoder: Box<dyn Encoder>,
        policy: Box<dyn Policy>,
        player: Player,
        sink: Box<dyn Sink>,
    ) -> Self {
        Self {
            source,
            encoders: vec![encoder],
            others: Vec::new(),
            policy,
            sensors: Vec::new(),
            language: Box::new(|_, _| {}),
            player,
            sink,
            links: LinkPolicies::default(),
            recorder: None,
        }
    }
}

/// What the links do with more than their readers can take.
#[derive(Clone, Copy, Debug)]
pub struct LinkPolicies {
    /// From capture to features. A source that must not lose frames waits, whatever this says.
    pub frames: LinkPolicy,
    /// From features to fusion.
    pub features: LinkPolicy,
    /// From each sensor to fusion.
    pub readings: LinkPolicy,
}

impl Default for LinkPolicies {
    fn default() -> Self {
        Self {
            frames: LinkPolicy::NEWEST,
            features: LinkPolicy::NEWEST,
            readings: LinkPolicy {
                when_full: WhenFull::DropOldest,
                room: READINGS,
                ..LinkPolicy::NEWEST
            },
        }
    }
}

/// Readings that wait for fusion.
// BOUND: 1 kHz for two idle turns (100 ms), and as much again for the longest encoder step of 100 ms.
pub const READINGS: usize = 256;

/// How long a sensor whose readings find no room, and must not be lost, is left alone.
const HELD_BACK: Nanos = Nanos::from_millis(1);

impl Pipeline {
    /// Takes all memory, joins all stages, and starts all threads; they wait for [`Pipeline::go`].
    pub fn build(
        parts: Parts,
        plan: &Plan,
        collector: &mut Collector,
        stop: &Stop,
    ) -> Result<Self> {
        let mut joint = Joint::new(&parts, plan, collector);
        let Parts {
            source,
            encoders,
            others,
            policy,
            sensors,
            language,
            mut player,
            sink,
            recorder,
            ..
        } = parts;
        let (format, period) = (source.format(), source.rate().map(|rate| rate.period()));
        let slots = source.slot_count() as usize;

        // Side inputs of fusion: instructions, readings, and what the other cameras see.
        let (instructions_in, instructions) = link::newest(&joint.silent);
        joint.name("language -> fusion", "newest", instructions_in.count());
        let Sensing {
            sensors,
            writers,
            inputs,
            bell: readings_bell,
            counts: sensors_count,
        } = joint.sensing(sensors, &mut player)?;
        let Viewing {
            captures,
            lanes,
            homes: view_maps_home,
            cameras,
        } = joint.viewing(&*source, others);
        let start = player.positions();

        // Memory: the frames' slots belong to the source; feature maps are made here and circulate.
        let (stations, mut maps_home) = joint.stations(&encoders, &format);
        maps_home.extend(view_maps_home);
        let capture_bell = Bell::new();
        let (taps, recorder_home, recorder) = joint.taps(recorder, &capture_bell);
        let (frame_tap, fusion_tap, action_tap) = match taps {
            Some(taps) => (Some(taps.frames), Some(taps.fusion), Some(taps.action)),
            None => (None, None, None),
        };

        // Stages, last to first, since each is given its next.
        let player_count = player.counters();
        let (chunks_in, chunks) = link::newest::<Box<Chunk>>(&joint.silent);
        joint.name("fusion -> action", "newest", chunks_in.count());
        let (chunks_home_in, chunks_home) = link::every(CHUNK_COUNT, &joint.silent);
        joint.name("chunks home", "every", chunks_home_in.count());
        let probe = joint.collector.probe("action");
        let action =
            ActionStage::new(player, sink, chunks, chunks_home_in, probe).with_tap(action_tap);
        let fusion = FusionStage::new(
            policy,
            SideInputs {
                sensors: inputs,
                readings_bell,
                views: Views::new(lanes),
                instructions,
            },
            chunks_in,
            chunks_home,
            MapsHome::new(maps_home),
            joint.collector.probe("fusion"),
        )
        .with_tap(fusion_tap);
        let fusion_count = fusion.count();
        let fusion_bell = Bell::new();
        let (to_fusion, fusion) = joint.join_fusion(fusion, &fusion_bell);
        let (features, mut homes) = joint.features(
            encoders,
            stations,
            to_fusion,
            frame_tap,
            slots,
            &capture_bell,
        );
        let features_counts = features.iter().map(FeaturesStage::count);
        let mut stages: Vec<_> = features_counts.map(|c| (Stage::Features, c)).collect();
        stages.push((Stage::Fusion, fusion_count));
        let (to_features, features) = joint.join_features(features);
        homes.extend(recorder_home);
        let probe = joint.collector.probe("capture");
        let capture = CaptureStage::new(source, 0, to_features, homes, capture_bell, probe);

        // Threads: those of the way, which end with the source; then those that last until the stop.
        let (links, workers) = (joint.links, joint.workers);
        let mut threads = Vec::new();
        let mut ends = vec![Arc::default()];
        threads.push(spawn_capture(&plan.capture, capture, &ends[0], stop)?);
        let turns = i64::try_from(workers).unwrap_or(1);
        for (index, (bell, inlet, features)) in features.into_iter().enumerate() {
            let spec = plan.workers.get(index).unwrap_or(&plan.features);
            let period = period.map(|period| period * turns);
            threads.push(thread::spawn(spec.clone(), move |context| {
                run_from_link(context, &bell, inlet, period, Box::new(features));
            })?);
        }
        if let Some((inlet, fusion)) = fusion {
            threads.push(thread::spawn(plan.fusion.clone(), move |context| {
                run_from_link(context, &fusion_bell, inlet, period, Box::new(fusion));
            })?);
        }
        let way_count = threads.len();
        let stop_action = stop.clone();
        threads.push(thread::spawn(plan.action.clone(), move |context| {
            drop(action.run(context, &stop_action));
        })?);
        for (index, (sensor, readings)) in sensors.into_iter().zip(writers).enumerate() {
            threads.push(spawn_sensor(&plan.sensor, index, sensor, readings, stop)?);
        }
        for (capture, spec) in captures.into_iter().zip(&plan.cameras) {
            let end = Arc::default();
            threads.push(spawn_capture(spec, capture, &end, stop)?);
            ends.push(end);
        }
        let stop_language = stop.clone();
        let language = thread::housekeeping("language", move || {
            language(instructions_in, &stop_language)
        })
        .map_err(|e| {
            Fault::from_io(
                "the language thread could not be started",
                &e,
                Kind::Internal,
                "raise ulimit -u",
            )
        })?;
        Ok(Self {
            threads,
            way_count,
            language: Some(language),
            links,
            stages,
            cameras,
            sensors: sensors_count,
            player: player_count,
            start,
            recorder,
            ends,
        })
    }
}

/// What the parts are joined with, and what is known of the joints so far.
struct Joint<'a> {
    plan: &'a Plan,
    collector: &'a mut Collector,
    policies: LinkPolicies,
    workers: usize,
    links: Vec<NamedLink>,
    /// For what is read when its reader comes around anyway.
    silent: Bell,
}

/// The sensors' side.
struct Sensing {
    sensors: Vec<Box<dyn SensorSource>>,
    writers: Vec<Next<Reading>>,
    inputs: Vec<SensorInput>,
    bell: Bell,
    counts: Vec<SensorCounts>,
}

/// The other cameras' side.
struct Viewing {
    captures: Vec<CaptureStage>,
    lanes: Vec<ViewLane>,
    homes: Vec<EveryWriter<Box<Features>>>,
    /// The first camera's before theirs.
    cameras: Vec<CameraCounts>,
}

/// A features stage's own memory.
struct Station {
    #[expect(clippy::vec_box, reason = "the boxes are what circulates")]
    maps: Vec<Box<Features>>,
    home: EveryReader<Box<Features>>,
    bell: Bell,
}

impl<'a> Joint<'a> {
    fn new(parts: &Parts, plan: &'a Plan, collector: &'a mut Collector) -> Self {
        let lossless = !parts.source.drops_when_behind();
        let slots = parts.source.slot_count() as usize;
        let workers = parts.encoders.len();
        assert!(
            workers == 1
                || (workers > 1 && plan.layout == Layout::Apart && parts.recorder.is_none()),
            "several workers need threads of their own, and no recorder"
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

    fn name(&mut self, name: &str, kind: &'static str, count: Arc<LinkCount>) {
        self.links.push(NamedLink {
            name: name.to_owned(),
            kind,
            count,
        });
    }

    /// The name of something that each worker has.
    fn of_worker(&self, what: &str, worker: usize) -> String {
        match self.workers {
            1 => what.to_owned(),
            _ => format!("{what} (worker {worker})"),
        }
    }

    /// Starts the sensors and makes their links. The first reading of the first tells where the joints are.
    fn sensing(
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
    fn viewing(&mut self, first: &dyn Source, others: Vec<OtherCamera>) -> Viewing {
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
    fn stations(
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

    fn taps(
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
    fn join_fusion(&mut self, fusion: FusionStage, bell: &Bell) -> (ToFusion, OwnFusion) {
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
    fn features(
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
    fn join_features(&mut self, mut stages: Vec<FeaturesStage>) -> (Next<Frame>, Workers) {
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

type ToFusion = Vec<Next<Box<Features>>>;
/// Fusion where it has a thread of its own.
type OwnFusion = Option<(Inlet<Box<Features>>, FusionStage)>;
type Workers = Vec<(Bell, Inlet<Frame>, FeaturesStage)>;

impl LinkPolicies {
    /// As the source allows, with room for its slots at most.
    fn suited(self, lossless: bool, slots: usize) -> Self {
        if !lossless {
            return self;
        }
        let block = |policy: LinkPolicy, room| LinkPolicy {
            one_of: policy.one_of,
            ..LinkPolicy::block(room)
        };
        Self {
            frames: block(self.frames, slots),
            features: block(self.features, 2),
            ..self
        }
    }

    /// Feature maps that circulate between a features stage and fusion.
    fn map_count(&self) -> usize {
        match self.features.when_full {
            // Never one more than find room: a stage without a map waits.
            WhenFull::Block => self.features.room + MAPS_AT_WORK - 1,
            _ => self.features.room + MAPS_AT_WORK,
        }
    }
}

fn spawn_capture(
    spec: &ThreadSpec,
    capture: CaptureStage,
    end: &Arc<OnceLock<CaptureEnd>>,
    stop: &Stop,
) -> Result<Thread> {
    let (end, stop) = (Arc::clone(end), stop.clone());
    thread::spawn(spec.clone(), move |context| {
        let _ = end.set(capture.run(context, &stop));
    })
}

fn spawn_sensor(
    spec: &ThreadSpec,
    index: usize,
    mut sensor: Box<dyn SensorSource>,
    mut readings: Next<Reading>,
    stop: &Stop,
) -> Result<Thread> {
    let mut spec = spec.clone();
    spec.name = format!("sensor-{index}");
    let stop = stop.clone();
    thread::spawn(spec, move |context| {
        until_stopped(context, &stop, |now| {
            if !readings.has_room() {
                return crate::clock::sleep_until(now + HELD_BACK);
            }
            match sensor.next(now + IDLE_TURN) {
                // The link has counted what did not find its way.
                Ok(Some(reading)) => drop(readings.deliver(reading)),
                Ok(None) => {}
                // A broken sensor shows as missing state; it must not make its thread spin.
                Err(_) => crate::clock::sleep_until(now + IDLE_TURN),
            }
        });
    })
}
