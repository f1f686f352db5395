//! Reads and decodes ahead of time on a thread of its own, into slots that come from the capture thread and go back
//! to it through links. How far ahead is bounded by the number of slots.
//!
//! Thread: loader (housekeeping). Allocates, blocks: yes; it can never slow the capture thread.

use super::clip::{Clip, Found};
use crate::capture::{Pace, SourceCounters};
use crate::clock;
use crate::frame::{FrameFormat, FrameMarks, FrameMeta, StampSource};
use crate::link::{EveryReader, EveryWriter};
use crate::rt::stop::Stop;
use crate::rt::sync::{Arc, AtomicI64, Ordering};
use crate::rt::wait::{Bell, WaitPolicy};
use crate::slot::{Empty, Filled, Slot};
use crate::units::{Hertz, MonoTime, Nanos};

/// How often a loader without work looks whether it should end.
const LOOK: Nanos = Nanos::from_millis(100);
/// Frames skipped in a row before one is delivered however late it is, so that a clip that cannot be read at its
/// own rate still shows something.
const SKIPS_MAX: u32 = 10;

/// When the run began: the instant of the clip's first frame. Written once by the capture thread.
#[derive(Clone, Debug, Default)]
pub(super) struct Begin(Arc<AtomicI64>);

impl Begin {
    pub fn set(&self, at: MonoTime) {
        // ORDERING(begin): Relaxed, alone. The instant is all that the loader learns.
        self.0.store(at.0, Ordering::Relaxed);
    }

    /// None before the start.
    pub fn get(&self) -> Option<MonoTime> {
        // ORDERING(begin): Relaxed, alone.
        let at = MonoTime(self.0.load(Ordering::Relaxed));
        at.is_set().then_some(at)
    }
}

/// What the loader hands over.
#[derive(Debug)]
pub(super) enum Loaded {
    /// A frame. Its time since the clip's first frame is in `captured`.
    Frame(Slot<Filled>),
    /// There are no more.
    End,
}

/// The time of a clip's frame since its first.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53 frames")]
pub(super) fn time_of(index: u64, rate: Hertz) -> Nanos {
    Nanos::from_secs_f64(index as f64 / rate.get())
}

/// See the module.
pub(super) struct Loader {
    pub clip: Box<dyn Clip>,
    pub source_index: u8,
    pub pace: Pace,
    pub repeat: bool,
    pub rate: Hertz,
    pub begin: Begin,
    pub free: EveryReader<Slot<Empty>>,
    pub loaded: EveryWriter<Loaded>,
    /// Rung when a slot comes home.
    pub bell: Bell,
    pub stop: Stop,
    /// `produced`, `unusable`, `no_slot` and `gaps` are written here, the rest by the capture thread.
    pub counters: Arc<SourceCounters>,
}

/// What is known once the loader has ended.
#[derive(Clone, Debug, Default)]
pub(super) struct Ending {
    /// Why the clip ended before its end.
    pub early: Option<String>,
    /// Frames skipped because reading could not keep up.
    pub behind: u64,
}

/// Where the loader is in the clip.
#[derive(Debug, Default)]
struct Progress {
    /// Counts frames over all rounds; the next one's.
    index: u64,
    /// Lost just before the next frame.
    gap: u32,
    skipped_in_a_row: u32,
    /// A slot had to be waited for since the loader last kept up.
    starved: bool,
    /// Frames found in this round.
    in_round: u64,
    ending: Ending,
}

impl Loader {
    /// Runs until the clip ends, the capture side is gone, or a stop is asked for.
    pub fn run(mut self) -> Ending {
        let format = self.clip.format();
        let mut at = Progress::default();
        let mut held = None;
        while !self.stop.asked() && !self.loaded.is_abandoned() {
            let Some(mut slot) = held.take().or_else(|| self.free.pop()) else {
                at.starved = true;
                self.wait_for_slot();
                continue;
            };
            let skip = self.is_too_late(&at);
            let found = match skip {
                true => self.clip.skip(),
                false => self.clip.read(slot.bytes_mut()),
            };
            match found {
                Found::Frame { .. } if skip => self.count_skipped(&mut at),
                Found::Frame { bytes } => {
                    let meta = self.describe(format, bytes, &at);
                    self.counters.produced.add(1);
                    let Ok(()) = self.loaded.push(Loaded::Frame(slot.fill(meta))) else {
                        break;
                    };
                    at.step();
                    at.gap = 0;
                    at.skipped_in_a_row = 0;
                    at.starved = false;
                    continue;
                }
                Found::Missing => {
                    self.counters.gaps.add(1);
                    at.step();
                    at.gap += 1;
                }
                Found::Damaged => {
                    self.counters.produced.add(1);
                    self.counters.unusable.add(1);
                    at.step();
                }
                Found::End(why) => {
                    if !self.begin_again(&mut at, why) {
                        break;
                    }
                }
            }
            held = Some(slot);
        }
        // There is one place more than slots, so this is refused only if nobody reads any more.
        let _ = self.loaded.push(Loaded::End);
        at.ending
    }

    /// In real time: whether the frame after the next one is due already, so that a reader would skip this one.
    fn is_too_late(&self, at: &Progress) -> bool {
        self.pace == Pace::RealTime
            && at.skipped_in_a_row < SKIPS_MAX
            && self
                .begin
                .get()
                .is_some_and(|begin| begin + time_of(at.index + 1, self.rate) <= clock::now())
    }

    fn count_skipped(&self, at: &mut Progress) {
        self.counters.produced.add(1);
        self.counters.no_slot.add(1);
        at.ending.behind += u64::from(!at.starved);
        at.skipped_in_a_row += 1;
        at.gap += 1;
        at.step();
    }

    fn describe(&self, format: FrameFormat, bytes: usize, at: &Progress) -> FrameMeta {
        FrameMeta {
            seq: at.index,
            source_index: self.source_index,
            format,
            bytes_used: u32::try_from(bytes).expect("a slot is far below 4 GB"),
            captured: MonoTime(time_of(at.index, self.rate).0),
            stamp: StampSource::Recorded,
            arrived: MonoTime::ZERO,
            marks: FrameMarks {
                gap_before: at.gap,
                ..FrameMarks::default()
            },
        }
    }

    /// True if the clip is to be read, and can be read, once more.
    fn begin_again(&mut self, at: &mut Progress, why: Option<String>) -> bool {
        if why.is_some() {
            at.ending.early = why;
        }
        // A round without a frame would be repeated for ever.
        if !self.repeat || at.in_round == 0 || self.stop.asked() {
            return false;
        }
        at.in_round = 0;
        match self.clip.rewind() {
            Ok(()) => true,
            Err(why) => {
                at.ending.early = Some(why);
                false
            }
        }
    }

    fn wait_for_slot(&mut self) {
        let (free, stop) = (&self.free, &self.stop);
        let policy = WaitPolicy::Park { spin: Nanos::ZERO };
        self.bell.wait(policy, None, clock::now() + LOOK, || {
            !free.is_empty() || stop.asked()
        });
    }
}

impl Progress {
    fn step(&mut self) {
        self.index += 1;
        self.in_round += 1;
    }
}
