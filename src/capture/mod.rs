//! Where frames come from: cameras, files, synthetic patterns, a virtual scene.

// Cameras through V4L2.
pub mod v4l2;

// Recordings and pictures.
pub mod file;

// A source in one word.
pub mod spec;

// A camera made of arithmetic.
pub mod synthetic;

// What became of a stream.
pub mod story;

// The stage.
pub mod stage;

use self::story::Interruption;
use crate::error::{Result, StepError};
use crate::frame::{FrameFormat, StampSource};
use crate::rt::sync::{Arc, AtomicU64, Ordering};
use crate::slot::{Empty, Filled, Slot};
use crate::units::{Hertz, MonoTime};

/// What [`Source::wait`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// A frame can be taken.
    Ready,
    /// The deadline passed.
    TimedOut,
    /// A file has no more frames.
    Ended,
    /// Every slot is out, and this source waits for slots instead of losing frames (see
    /// [`Source::drops_when_behind`]): nothing can come before one is given back. Returned at once, so that the
    /// caller can wait for its returns.
    NoSlot,
}

/// How fast a source that is not bound to a device's clock hands frames out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Pace {
    /// At the source's own rate; frames are lost when nobody takes them in time, as with a camera.
    #[default]
    RealTime,
    /// As fast as slots come back; no frame is lost.
    Fastest,
}

impl std::str::FromStr for Pace {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "real-time" => Ok(Self::RealTime),
            "fastest" => Ok(Self::Fastest),
            _ => Err(format!(
                "`{text}` is not a pace: write \"real-time\" or \"fastest\""
            )),
        }
    }
}

/// A stream of frames in slots. All calls but `counters` come from the capture thread.
///
/// The life of a source: opened (takes all its memory, negotiates the format), `start`, then `wait` / `take` /
/// `give_back` in a loop, `stop`. After `start` it may not allocate, lock, or block outside `wait`.
pub trait Source: Send {
    /// One line for people: `v4l2 /dev/video0 "vivid" YUYV 640x360 30 Hz, 4 buffers`.
    fn describe(&self) -> String;

    fn format(&self) -> FrameFormat;

    /// Frames a second, if the source knows.
    fn rate(&self) -> Option<Hertz>;

    /// What this source's time stamps mean.
    fn stamp_source(&self) -> StampSource;

    /// Slots that this source owns.
    fn slot_count(&self) -> u32;

    /// False when frames must not be skipped (a file read as fast as possible): the pipeline then passes every
    /// frame on and the source waits for slots.
    fn drops_when_behind(&self) -> bool {
        true
    }

    /// Called shortly before the next frame is due: touches the memory that taking it will need. See
    /// [`Step::rehearse`](crate::stage::Step::rehearse).
    fn rehearse(&mut self) {}

    /// When the next frame is expected, if the source knows; for a wait that sleeps until just before it and
    /// spins from there. Not a promise.
    fn next_due(&self) -> Option<MonoTime> {
        None
    }

    /// What a person should know about the run so far, such as why a file ended early. For the report, after
    /// `stop`; it may allocate.
    fn notes(&self) -> Vec<String> {
        Vec::new()
    }

    /// Each time that the stream was interrupted and by what, the last perhaps not over yet, and how many more there were. For the
    /// report, after `stop`; it may allocate.
    fn interruptions(&self) -> (Vec<Interruption>, u64) {
        (Vec::new(), 0)
    }

    /// Begins streaming.
    fn start(&mut self) -> Result<()>;

    /// Waits until a frame can be taken, at most until `deadline`. The one call that may block.
    fn wait(&mut self, deadline: MonoTime) -> Result<Readiness, StepError>;

    /// Takes the newest ready frame. Older ready frames are put back and counted as drained.
    /// `now` is the time of arrival.
    fn take(&mut self, now: MonoTime) -> Result<Option<Slot<Filled>>, StepError>;

    /// A slot comes home and can be filled again.
    fn give_back(&mut self, slot: Slot<Empty>);

    /// Ends streaming; slots that are still out may come back later or never.
    fn stop(&mut self);

    /// The source's own counts.
    fn counters(&self) -> Arc<SourceCounters>;
}

/// What a source saw. Every field is written by the source's own threads only, one writer each.
///
/// `produced = taken + drained + unusable + lost (no slot) + waiting in the source`.
#[derive(Debug, Default)]
pub struct SourceCounters {
    /// Frames that the device or file delivered to this process.
    pub produced: Count,
    /// Frames passed on by `take`.
    pub taken: Count,
    /// Ready frames put back because a newer one was ready too.
    pub drained: Count,
    /// Frames not passed on because their bytes were unusable (error flag or short, by policy; undecodable).
    pub unusable: Count,
    /// Frames lost because no slot was free (sources that fill slots themselves).
    pub no_slot: Count,
    /// Frames the device never delivered, seen as gaps in its sequence numbers.
    pub gaps: Count,
    /// Delivered frames with the driver's error flag.
    pub error_flagged: Count,
    /// Delivered frames with too few bytes.
    pub short: Count,
    /// Delivered frames with the sequence number or the bytes of the one before.
    pub repeated: Count,
    /// Delivered frames whose stamp lay in the future.
    pub future_stamps: Count,
    /// Delivered frames not passed on because the picture had been the same for too long; among `unusable`.
    pub frozen: Count,
    /// Times that the stream was interrupted, and times that it went on: the source is away while they differ.
    pub interrupted: Count,
    pub resumed: Count,
}

impl SourceCounters {
    /// True while the stream is interrupted.
    pub fn is_away(&self) -> bool {
        self.resumed.get() < self.interrupted.get()
    }
}

/// A counter with one writer.
#[derive(Debug, Default)]
pub struct Count(AtomicU64);

impl Count {
    /// Adds `n`; only ever called by the counter's one writer.
    pub fn add(&self, n: u64) {
        // ORDERING(count): Relaxed, alone. One writer, and readers infer nothing else.
        self.0
            .store(self.0.load(Ordering::Relaxed) + n, Ordering::Relaxed);
    }
    pub fn get(&self) -> u64 {
        // ORDERING(count): Relaxed, alone.
        self.0.load(Ordering::Relaxed)
    }
}
