//! The features stage: camera frame in, feature map out; the frame's slot goes home as soon as it is read.
//!
//! Thread: features, or capture's by a plain call. Allocates: when built; the encoder may (it is counted).
//! Blocks: no, but where no frame may be lost it waits for fusion. Locks: no. Syscalls: at most one futex wake, and
//! that wait.

use crate::capture::stage::Frame;
use crate::clock;
use crate::error::StepError;
use crate::features::{Encoder, FeatureMap, FrameView};
use crate::frame::{FrameFormat, FrameMarks, FrameMeta, StampSource};
use crate::link::{EveryReader, EveryWriter};
use crate::record::tap::{FrameEvent, FrameTap};
use crate::rt::sync::Arc;
use crate::rt::wait::Bell;
use crate::slot::{Empty, Filled, Slot};
use crate::stage::{Item, Next, StageCount, Step, touch};
use crate::telemetry::probe::Probe;
use crate::telemetry::record::{self, Outcome, Record};
use crate::telemetry::trace::{Mark, Stage, Trace};
use crate::units::{MonoTime, Nanos};

/// Feature maps that circulate between a features stage and fusion, besides those that wait in the link between them.
// BOUND: 1 being filled + 1 being read + 1 on its way home.
pub const MAPS_AT_WORK: usize = 3;

/// A feature map on its way, with the description of its frame. Boxed where it moves: only its address goes from
/// stage to stage, and the boxes are recycled.
#[derive(Debug)]
pub struct Features {
    pub trace: Trace,
    pub meta: FrameMeta,
    pub map: FeatureMap,
    /// False where the encoder failed, and it is passed on only because its turn must be.
    pub is_usable: bool,
    /// The features stage that it belongs to, by its number.
    pub home: u8,
}

impl Features {
    /// An empty map for what this encoder makes of frames of this format.
    pub fn new(encoder: &dyn Encoder, format: &FrameFormat, home: u8) -> Self {
        Self {
            trace: Trace::default(),
            meta: FrameMeta {
                seq: 0,
                source_index: 0,
                format: *format,
                bytes_used: 0,
                captured: MonoTime::ZERO,
                stamp: StampSource::Arrival,
                arrived: MonoTime::ZERO,
                marks: FrameMarks::default(),
            },
            map: FeatureMap::new(encoder.shape()),
            is_usable: true,
            home,
        }
    }
}

impl Item for Box<Features> {
    fn captured(&self) -> MonoTime {
        self.meta.captured
    }

    fn is_void(&self) -> bool {
        !self.is_usable
    }
}

/// See the module.
pub struct FeaturesStage {
    encoder: Box<dyn Encoder>,
    /// Maps ready to be filled; it is made for all there are, so it never grows.
    #[expect(clippy::vec_box, reason = "the boxes are what circulates")]
    free: Vec<Box<Features>>,
    maps_home: EveryReader<Box<Features>>,
    /// Rung when a map comes home, if there may be none when a frame comes; else silent.
    maps_bell: Bell,
    slots_home: EveryWriter<Slot<Empty>>,
    next: Next<Box<Features>>,
    /// One of several workers: each frame must have a result, since the results are taken in turn.
    always_answers: bool,
    count: Arc<StageCount>,
    probe: Probe,
    tap: Option<FrameTap>,
}

/// How long a frame that must not be lost waits for a feature map to come home.
// BOUND: where it is waited for, three maps are before fusion, whose longest step (a policy of 300 ms) comes three times, and
// as much again.
const MAP_WAIT: Nanos = Nanos::from_secs(2);

impl FeaturesStage {
    pub fn new(
        encoder: Box<dyn Encoder>,
        free: Vec<Box<Features>>,
        maps_home: EveryReader<Box<Features>>,
        maps_bell: Bell,
        slots_home: EveryWriter<Slot<Empty>>,
        next: Next<Box<Features>>,
        probe: Probe,
    ) -> Self {
        let count = Arc::default();
        Self {
            encoder,
            free,
            maps_home,
            maps_bell,
            slots_home,
            next,
            always_answers: false,
            count,
            probe,
            tap: None,
        }
    }

    /// It is one of several workers.
    pub fn in_turn(mut self) -> Self {
        self.always_answers = true;
        self
    }

    /// The run is recorded.
    pub fn with_tap(mut self, tap: Option<FrameTap>) -> Self {
        self.tap = tap;
        self
    }

    pub fn count(&self) -> Arc<StageCount> {
        Arc::clone(&self.count)
    }

    fn free_map(&mut self) -> Option<Box<Features>> {
        // BOUND: as many maps as there are.
        while let Some(map) = self.maps_home.pop() {
            self.free.push(map);
        }
        self.free.pop()
    }

    /// A map for this frame. Where frames may be skipped there is always one: a stale map comes back at once.
    fn take_map(&mut self) -> Option<Box<Features>> {
        let free = self.free_map();
        if free.is_some() || self.maps_bell.is_silent() {
            return free;
        }
        let home = &self.maps_home;
        self.maps_bell
            .sleep(clock::now() + MAP_WAIT, || !home.is_empty());
        self.free_map()
    }

    /// Sends the slot home, through the recorder if that takes it; then true.
    fn send_home(&mut self, slot: Slot<Filled>) -> bool {
        let offered = match &mut self.tap {
            Some(tap) => tap.offer(slot),
            None => Err(slot),
        };
        let Err(slot) = offered else {
            return true;
        };
        // The way home has room for every slot of the source. Where the source has gone, the slot is
        // dropped and unmaps itself.
        drop(self.slots_home.push(slot.empty()));
        false
    }

    /// There is no result for this frame.
    fn give_up(&mut self, map: Option<Box<Features>>) {
        let Some(mut map) = map else { return };
        let stale = if self.always_answers {
            map.is_usable = false;
            self.next.deliver(map)
        } else {
            Some(map)
        };
        self.free.extend(stale);
    }

    fn encode(&mut self, features: &mut Features) -> Result<(), StepError> {
        self.encoder.encode(&mut features.map)?;
        features.trace.stamp(Mark::Encoded, clock::now());
        Ok(())
    }
}

impl Step<Frame> for FeaturesStage {
    fn step(&mut self, frame: Frame) {
        let Frame { slot, mut trace } = frame;
        let meta = *slot.meta();
        let begin = clock::now();
        trace.stamp(Mark::FeaturesBegin, begin);
        let loaded = self.encoder.load(FrameView {
            meta: &meta,
            bytes: slot.bytes(),
        });
        trace.stamp(Mark::Loaded, clock::now());
        let tapped = self.send_home(slot);

        let outcome = match (loaded, self.take_map()) {
            (Err(error), map) => {
                self.give_up(map);
                Err(error)
            }
            // Every map is on its way: only when the fusion stage has died.
            (Ok(()), None) => Err(StepError::Compute),
            (Ok(()), Some(mut features)) => {
                (features.trace, features.meta, features.is_usable) = (trace, meta, true);
                match self.encode(&mut features) {
                    Ok(()) => Ok(features),
                    Err(error) => {
                        self.give_up(Some(features));
                        Err(error)
                    }
                }
            }
        };
        let end = clock::now();
        let told = match outcome {
            Ok(features) => {
                trace = features.trace;
                if let Some(stale) = self.next.deliver(features) {
                    self.free.push(stale);
                }
                self.count.passed.add(1);
                Outcome::Ok
            }
            Err(error) => {
                self.count.failed.add(1);
                Outcome::Failed(error)
            }
        };
        self.probe.record(Record::Step(record::Step {
            stage: Stage::Features,
            source_index: trace.source_index,
            outcome: told,
            ready: trace.at(Mark::HandedOver),
            begin,
            end,
            captured: trace.at(Mark::Captured),
        }));
        if let Some(tap) = &mut self.tap {
            tap.tell(FrameEvent {
                meta,
                trace,
                end,
                outcome: told,
                tapped,
            });
        }
    }

    fn discard(&mut self, frame: Frame) {
        drop(self.slots_home.push(frame.slot.empty()));
        if self.always_answers {
            // Its turn has to be passed, though there is nothing to show for it.
            let map = self.take_map();
            self.give_up(map);
        }
    }

    fn idle(&mut self, now: MonoTime) {
        self.next.idle(now);
    }

    fn rehearse(&mut self) {
        if let Some(map) = self.free_map() {
            self.free.push(map);
        }
        touch(self.slots_home.has_room());
        self.next.rehearse();
    }
}
