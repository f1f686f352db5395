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

// How the parts are joined.
mod joint;

// From the start of a pipeline to its end.
mod running;

// The cameras other than the first.
mod views;

pub use running::{CameraCounts, NamedLink, Pipeline, SensorCounts};
pub use views::OtherCamera;

use std::sync::OnceLock;

use self::joint::{Joint, Sensing, Viewing};
use crate::action::player::Player;
use crate::action::stage::ActionStage;
use crate::action::{Chunk, Sink};
use crate::capture::Source;
use crate::capture::stage::{CaptureEnd, CaptureStage};
use crate::error::{Fault, Kind, Result};
use crate::features::Encoder;
use crate::features::stage::{FeaturesStage, MAPS_AT_WORK};
use crate::fusion::align::AlignConfig;
use crate::fusion::home::MapsHome;
use crate::fusion::stage::{CHUNK_COUNT, FusionStage, SideInputs};
use crate::fusion::views::Views;
use crate::language::Instruction;
use crate::link::policy::{LinkPolicy, WhenFull};
use crate::link::{self, NewestWriter};
use crate::policy::Policy;
use crate::record::recorder::Recorder;
use crate::rt::crew::Partner;
use crate::rt::plan::Plan;
use crate::rt::stop::Stop;
use crate::rt::sync::Arc;
use crate::rt::thread::{self, Thread, ThreadSpec};
use crate::rt::wait::Bell;
use crate::sensor::{Reading, SensorSource};
use crate::stage::{IDLE_TURN, Next, run_from_link, until_stopped};
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
    /// Of its frames, one for each worker; at least one. Several need the layout [`Apart`](crate::rt::plan::Layout::Apart).
    pub encoders: Vec<Box<dyn Encoder>>,
    /// Who helps them, in the order of the plan's partners.
    pub partners: Vec<Partner>,
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
            partners: Vec::new(),
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
            partners,
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
        for (mut partner, spec) in partners.into_iter().zip(&plan.partners) {
            threads.push(thread::spawn(spec.clone(), move |context| {
                context.wait_for_go();
                context.seal();
                partner.run(context.wait, |now| context.beat.strike(now));
                context.unseal();
            })?);
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
