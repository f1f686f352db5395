//! The whole way of a frame, top to bottom: memory, links, stages, threads. Start reading here.
//!
//! ```text
//!  source --> capture ==newest==> features ==newest==> fusion ==newest==> action (own clock) --> sink
//!               ^                  |     ^               |  ^  ^
//!               +---- slots home --+     +-- maps home --+  |  +-- instructions (newest)
//!                                                           +----- readings (every)
//! ```
//! Which stages share a thread is the plan's business ([`crate::rt::plan`]): where two neighbours share
//! one, the link between them is a plain call. Nothing here loops over data.
//!
//! Thread: main, before the first frame. Allocates: everything, here.

use std::sync::OnceLock;

use crate::action::player::Player;
use crate::action::stage::ActionStage;
use crate::action::{ActionCounters, Chunk, Sink, start};
use crate::capture::stage::{CaptureEnd, CaptureStage, Frame};
use crate::capture::{Source, SourceCounters};
use crate::error::{Fault, Kind, Result};
use crate::features::stage::{Features, FeaturesStage, MAP_COUNT};
use crate::features::{Encoder, FeatureMap};
use crate::frame::{FrameFormat, FrameMarks, FrameMeta, StampSource};
use crate::fusion::align::{AlignConfig, AlignCounters, SensorLane};
use crate::fusion::sensors::SensorInput;
use crate::fusion::stage::{CHUNK_COUNT, FusionStage};
use crate::language::Instruction;
use crate::link::{self, LinkCount, NewestWriter};
use crate::policy::Policy;
use crate::record::recorder::{Recorder, Tapped};
use crate::rt::plan::{Layout, Plan};
use crate::rt::stop::Stop;
use crate::rt::sync::Arc;
use crate::rt::thread::{self, Thread};
use crate::rt::wait::Bell;
use crate::sensor::counters::SensorCounters;
use crate::sensor::{Reading, SensorSource};
use crate::stage::{IDLE_TURN, Inlet, Next, StageCount, run_from_link, until_stopped};
use crate::telemetry::collect::Collector;
use crate::telemetry::trace::{Stage, Trace};
use crate::units::{MonoTime, Nanos};

/// Runs the language side on a thread of its own: reads text, encodes it, pushes instructions, until asked to
/// stop.
pub type LanguageRun = Box<dyn FnOnce(NewestWriter<Instruction>, &Stop) + Send>;

/// What a run is made of; each part has taken its memory already.
pub struct Parts {
    pub source: Box<dyn Source>,
    pub encoder: Box<dyn Encoder>,
    pub policy: Box<dyn Policy>,
    /// Each with how its readings are brought to a frame's instant.
    pub sensors: Vec<(Box<dyn SensorSource>, AlignConfig)>,
    pub language: LanguageRun,
    pub player: Player,
    pub sink: Box<dyn Sink>,
}

/// Readings that wait for fusion.
// BOUND: 1 kHz for two idle turns (100 ms), and as much again for the longest encoder step of 100 ms.
pub const READINGS: usize = 256;

/// A running pipeline.
pub struct Pipeline {
    /// First the threads of the way, which end with the source; then those that last until the stop.
    pub threads: Vec<Thread>,
    way_count: usize,
    language: Option<std::thread::JoinHandle<()>>,
    pub links: Vec<NamedLink>,
    pub stages: Vec<(Stage, Arc<StageCount>)>,
    pub source: Arc<SourceCounters>,
    pub source_name: String,
    pub source_slots: u32,
    pub sensors: Vec<SensorCounts>,
    pub player: Arc<ActionCounters>,
    /// Where the joints are told to be as the run begins (radian).
    pub start: Vec<f32>,
    /// The run is to be recorded; whoever runs it starts this before [`Pipeline::go`].
    pub recorder: Option<Tapped>,
    capture_end: Arc<OnceLock<CaptureEnd>>,
}

/// What one sensor, if it counts, and its lane in fusion have counted.
pub struct SensorCounts {
    pub intake: Option<Arc<SensorCounters>>,
    pub align: Arc<AlignCounters>,
}

/// A link or call between two stages, for the accounts.
#[derive(Clone, Debug)]
pub struct NamedLink {
    pub name: String,
    /// `newest`, `every` or `call`.
    pub policy: &'static str,
    pub count: Arc<LinkCount>,
}

impl Pipeline {
    /// Takes all memory, joins all stages, and starts all threads; they wait for [`Pipeline::go`].
    pub fn build(
        parts: Parts,
        plan: &Plan,
        collector: &mut Collector,
        stop: &Stop,
    ) -> Result<Self> {
        Self::build_recorded(parts, plan, collector, stop, None)
    }

    /// The same, with taps in the stages where there is a recorder.
    pub fn build_recorded(
        parts: Parts,
        plan: &Plan,
        collector: &mut Collector,
        stop: &Stop,
        recorder: Option<Recorder>,
    ) -> Result<Self> {
        let Parts {
            source,
            encoder,
            policy,
            sensors,
            language,
            mut player,
            sink,
        } = parts;
        let (mut sensors, align): (Vec<_>, Vec<_>) = sensors.into_iter().unzip();
        sensors.iter_mut().try_for_each(|sensor| sensor.start())?;
        let lossless = !source.drops_when_behind();
        let period = source.rate().map(|rate| rate.period());
        let (counters, source_name) = (source.counters(), source.describe());
        let slots = source.slot_count();
        let mut links = Vec::new();
        let mut name = |name: &str, policy, count| {
            links.push(NamedLink {
                name: name.to_owned(),
                policy,
                count,
            });
        };

        // Memory: the frames' slots belong to the source; feature maps are made here and circulate.
        let maps = feature_maps(&*encoder, &source.format());

        // Bells: one for each thread that waits for a link. What is passed with the silent one is read when the
        // thread comes around.
        let (capture_bell, features_bell, fusion_bell) = (Bell::new(), Bell::new(), Bell::new());
        let silent = Bell::silent();

        // Side inputs of fusion.
        let (instructions_in, instructions) = link::newest::<Instruction>(&silent);
        name("language -> fusion", "newest", instructions_in.count());
        let (mut reading_writers, mut sensor_inputs) = (Vec::new(), Vec::new());
        let (mut sensor_counts, player_counts) = (Vec::new(), player.counters());
        let readings_bell = if align.iter().any(|align| align.wait > Nanos::ZERO) {
            Bell::new()
        } else {
            Bell::silent()
        };
        for (index, (sensor, align)) in sensors.iter().zip(&align).enumerate() {
            let (writer, readings) = link::every::<Reading>(READINGS, &readings_bell);
            name(
                &format!("sensor-{index} -> fusion"),
                "every",
                writer.count(),
            );
            reading_writers.push(writer);
            let lane = SensorLane::new(align);
            sensor_counts.push(SensorCounts {
                intake: sensor.counters(),
                align: lane.counters(),
            });
            sensor_inputs.push(SensorInput { readings, lane });
        }
        let first = start::from_first_reading(&mut player, &mut sensors)?;
        if let (Some(reading), Some(writer)) = (first, reading_writers.first_mut()) {
            // An empty link has room.
            let _ = writer.push(reading);
        }

        let start = player.positions();

        // Ways home.
        let (slots_home_in, slots_home) = link::every(slots as usize, &capture_bell);
        name("slots home", "every", slots_home_in.count());
        // Only a features stage that may not skip, with fusion on another thread, ever waits for a map.
        let maps_bell = if lossless && plan.layout == Layout::Apart {
            Bell::new()
        } else {
            Bell::silent()
        };
        let tapped = recorder.map(|recorder| recorder.tap(&capture_bell));
        let (taps, recorder_home, recorder) = match tapped {
            Some((taps, home, tapped)) => (Some(taps), Some(home), Some(tapped)),
            None => (None, None, None),
        };
        let (frame_tap, fusion_tap, action_tap) = match taps {
            Some(taps) => (Some(taps.frames), Some(taps.fusion), Some(taps.action)),
            None => (None, None, None),
        };
        for (link, count) in recorder.iter().flat_map(Tapped::links) {
            name(link, "every", count);
        }
        let (maps_home_in, maps_home) = link::every(MAP_COUNT, &maps_bell);
        name("maps home", "every", maps_home_in.count());

        // Stages, last to first, since each is given its next.
        let (chunks_in, chunks) = link::newest::<Box<Chunk>>(&silent);
        let chunks_count = chunks_in.count();
        let (chunks_home_in, chunks_home) = link::every(CHUNK_COUNT, &silent);
        name("chunks home", "every", chunks_home_in.count());
        let action = ActionStage::new(
            player,
            sink,
            chunks,
            chunks_home_in,
            collector.probe("action"),
        )
        .with_tap(action_tap);
        let fusion = FusionStage::new(
            policy,
            (sensor_inputs, readings_bell),
            instructions,
            chunks_in,
            chunks_home,
            maps_home_in,
            collector.probe("fusion"),
        )
        .with_tap(fusion_tap);
        let fusion_count = fusion.count();
        let mut fusion_thread = None;
        let to_fusion: Next<Box<Features>> = if plan.layout == Layout::Apart {
            let (next, inlet) = join(lossless, MAP_COUNT, &fusion_bell);
            fusion_thread = Some((inlet, fusion));
            next
        } else {
            Next::call(Box::new(fusion))
        };
        let to_fusion_link = ("features -> fusion", to_fusion.policy(), to_fusion.count());

        let features = FeaturesStage::new(
            encoder,
            maps,
            maps_home,
            maps_bell,
            slots_home_in,
            to_fusion,
            collector.probe("features"),
        )
        .with_tap(frame_tap);
        let features_count = features.count();
        let mut features_thread = None;
        let to_features: Next<Frame> = if plan.layout == Layout::Together {
            Next::call(Box::new(features))
        } else {
            let (next, inlet) = join(lossless, slots as usize, &features_bell);
            features_thread = Some((inlet, features));
            next
        };
        name(
            "capture -> features",
            to_features.policy(),
            to_features.count(),
        );
        name(to_fusion_link.0, to_fusion_link.1, to_fusion_link.2);
        name("fusion -> action", "newest", chunks_count);
        let capture = CaptureStage::new(
            source,
            0,
            to_features,
            slots_home,
            capture_bell,
            collector.probe("capture"),
        )
        .with_recorder(recorder_home);

        // Threads.
        let mut threads = Vec::new();
        let capture_end = Arc::new(OnceLock::new());
        let (end, stop_capture) = (Arc::clone(&capture_end), stop.clone());
        threads.push(thread::spawn(plan.capture.clone(), move |context| {
            let _ = end.set(capture.run(context, &stop_capture));
        })?);
        if let Some((inlet, features)) = features_thread {
            threads.push(thread::spawn(plan.features.clone(), move |context| {
                run_from_link(context, &features_bell, inlet, period, Box::new(features));
            })?);
        }
        if let Some((inlet, fusion)) = fusion_thread {
            threads.push(thread::spawn(plan.fusion.clone(), move |context| {
                run_from_link(context, &fusion_bell, inlet, period, Box::new(fusion));
            })?);
        }
        let way_count = threads.len();
        let stop_action = stop.clone();
        threads.push(thread::spawn(plan.action.clone(), move |context| {
            drop(action.run(context, &stop_action));
        })?);
        for (index, (mut sensor, mut readings)) in
            sensors.into_iter().zip(reading_writers).enumerate()
        {
            let mut spec = plan.sensor.clone();
            spec.name = format!("sensor-{index}");
            let stop = stop.clone();
            threads.push(thread::spawn(spec, move |context| {
                until_stopped(context, &stop, |now| {
                    match sensor.next(now + IDLE_TURN) {
                        // A full link has counted the reading as refused.
                        Ok(Some(reading)) => drop(readings.push(reading)),
                        Ok(None) => {}
                        // A broken sensor shows as missing state; it must not make its thread spin.
                        Err(_) => crate::clock::sleep_until(now + IDLE_TURN),
                    }
                });
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

        let stages = vec![
            (Stage::Features, features_count),
            (Stage::Fusion, fusion_count),
        ];
        Ok(Self {
            threads,
            way_count,
            language: Some(language),
            links,
            stages,
            source: counters,
            source_name,
            source_slots: slots,
            sensors: sensor_counts,
            player: player_counts,
            start,
            recorder,
            capture_end,
        })
    }

    /// Lets all threads begin.
    pub fn go(&self) {
        self.threads.iter().for_each(Thread::go);
    }

    /// True once a frame has gone the whole way: the policy has answered it, if only by holding on purpose.
    pub fn works(&self) -> bool {
        let fusion = self
            .stages
            .iter()
            .find(|(stage, _)| *stage == Stage::Fusion);
        fusion.is_some_and(|(_, count)| count.passed.get() + count.held.get() > 0)
    }

    /// True when the source has ended or was lost and all that it gave has been worked off.
    pub fn way_has_ended(&self) -> bool {
        self.threads[..self.way_count]
            .iter()
            .all(Thread::is_finished)
    }

    /// Waits for all threads; the stop must have been asked for. Tells how capture ended.
    pub fn join(&mut self) -> Result<CaptureEnd> {
        let mut died = Vec::new();
        for thread in &mut self.threads {
            if !thread.join() {
                died.push(thread.spec.name.clone());
            }
        }
        if let Some(language) = self.language.take()
            && language.join().is_err()
        {
            died.push("language".to_owned());
        }
        if !died.is_empty() {
            return Err(Fault::new(
                Kind::Internal,
                format!("the thread {} panicked", died.join(", ")),
                "a bug in reflexarc or in a user's stage; the message is above",
                "report it with the message and the configuration",
            ));
        }
        let end = std::mem::take(&mut self.capture_end);
        Ok(Arc::into_inner(end)
            .and_then(OnceLock::into_inner)
            .unwrap_or(CaptureEnd {
                slots_out: self.source_slots,
                fault: None,
                notes: Vec::new(),
                interruptions: (Vec::new(), 0),
            }))
    }
}

/// The link between two stages of the way on different threads: `newest`, unless the source must not skip.
fn join<T: Send>(lossless: bool, capacity: usize, bell: &Bell) -> (Next<T>, Inlet<T>) {
    if lossless {
        let (writer, reader) = link::every(capacity, bell);
        (Next::Every(writer), Inlet::Every(reader))
    } else {
        let (writer, reader) = link::newest(bell);
        (Next::Newest(writer), Inlet::Newest(reader))
    }
}

#[expect(clippy::vec_box, reason = "the boxes are what circulates")]
fn feature_maps(encoder: &dyn Encoder, format: &FrameFormat) -> Vec<Box<Features>> {
    let meta = FrameMeta {
        seq: 0,
        source_index: 0,
        format: *format,
        bytes_used: 0,
        captured: MonoTime::ZERO,
        stamp: StampSource::Arrival,
        arrived: MonoTime::ZERO,
        marks: FrameMarks::default(),
    };
    (0..MAP_COUNT)
        .map(|_| {
            let map = FeatureMap::new(encoder.shape());
            Box::new(Features {
                trace: Trace::default(),
                meta,
                map,
            })
        })
        .collect()
}
