//! The hot ends of a recording: what the stages tell the recorder, in the order in which they did it.
//!
//! Thread: each tap belongs to one stage. Allocates: when built. Blocks: no. Locks: no. Syscalls: no.
//!
//! Everything that is not decided by the bytes that came in is told: which frames were taken, which reading came before
//! which step, the instants that the stages read from the clock, which chunk a beat took. Each tap numbers what it tells.
//! A full link loses it, and the hole in the numbers shows the loss to whoever reads the recording. No frame is copied on
//! the way: its slot goes home through the recorder.

use crate::action::{Action, Chunk, Refusal};
use crate::error::StepError;
use crate::frame::FrameMeta;
use crate::language::Instruction;
use crate::link::{self, EveryReader, EveryWriter};
use crate::policy::{Memory, State};
use crate::rt::wait::Bell;
use crate::sensor::Reading;
use crate::slot::{Filled, Slot};
use crate::stream::window::Window;
use crate::telemetry::record::Outcome;
use crate::telemetry::trace::Trace;
use crate::units::MonoTime;

/// Events that wait for the recorder.
// BOUND: fusion tells a reading at 1 kHz and a step at 1 kHz: 2 s. The recorder comes by every few milliseconds.
const EVENTS: usize = 4096;
/// Instructions that wait: people and scripts give one in a while.
const INSTRUCTIONS: usize = 16;
/// Chunks that wait, of each thread.
// BOUND: 1 s at 60 frames a second.
const CHUNKS: usize = 64;
/// Slots that wait. With the one that the recorder copies, this many and one more may be away from the source.
// BOUND: the recorder, a normal thread, may be kept from its core for 130 ms at 30 frames a second.
pub const TAPPED_SLOTS: u32 = 4;

/// Something that a stage did, with its place in the order of all that this tap told. The first is 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbered<T> {
    pub order: u64,
    pub event: T,
}

/// One step of the features stage.
#[derive(Clone, Copy, Debug)]
pub struct FrameEvent {
    pub meta: FrameMeta,
    pub trace: Trace,
    /// When the step ended.
    pub end: MonoTime,
    pub outcome: Outcome,
    /// Its slot went to the recorder.
    pub tapped: bool,
}

/// What fusion did.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FusionEvent {
    /// It took a reading of this sensor.
    Read {
        sensor: u8,
        reading: Reading,
    },
    Step(FusionStep),
}

/// One step of the fusion stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FusionStep {
    /// The frame's number.
    pub seq: u64,
    /// The instant that the policy was given.
    pub begin: MonoTime,
    pub end: MonoTime,
    pub outcome: Outcome,
    /// Of the first sensor, at the frame's time.
    pub state: State,
    /// The instruction in force; 0: none.
    pub instruction_id: u32,
    /// What the policy remembered then.
    pub memory: Memory,
}

/// One beat of the action stage.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Beat {
    pub action: Action,
    pub begin: MonoTime,
    pub written: MonoTime,
    /// Beats skipped just before.
    pub missed: u32,
    /// The frame of the chunk that this beat took from its link.
    pub chunk: Option<u64>,
    pub refused: Option<Refusal>,
    /// An operator's reset was obeyed just before.
    pub reset: bool,
    /// The run was ending.
    pub stopping: bool,
    pub write_failed: Option<StepError>,
}

/// A result of a configured stream.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Given {
    /// Its place in the configuration.
    pub stream: u16,
    pub window: Window<Option<f64>>,
}

/// Tells events of one kind.
#[derive(Debug)]
struct Told<T> {
    link: EveryWriter<Numbered<T>>,
}

impl<T> Told<T> {
    fn tell(&mut self, order: u64, event: T) {
        // A full link has counted it as refused.
        drop(self.link.push(Numbered { order, event }));
    }
}

/// Copies chunks for the recorder. The boxes circulate.
#[derive(Debug)]
struct ChunkTap {
    spare: EveryReader<Box<Chunk>>,
    out: EveryWriter<Box<Chunk>>,
}

impl ChunkTap {
    fn tell(&mut self, chunk: &Chunk) {
        if let Some(mut copy) = self.spare.pop() {
            copy.copy_from(chunk);
            // There is room: the link holds all boxes.
            drop(self.out.push(copy));
        }
    }
}

/// The recorder's end of a chunk tap.
#[derive(Debug)]
pub struct ChunkEnd {
    chunks: EveryReader<Box<Chunk>>,
    spare: EveryWriter<Box<Chunk>>,
}

impl ChunkEnd {
    /// Shows each chunk that came.
    pub fn each(&mut self, mut see: impl FnMut(&Chunk)) {
        // BOUND: as many as there are boxes.
        for _ in 0..CHUNKS {
            let Some(chunk) = self.chunks.pop() else {
                return;
            };
            see(&chunk);
            drop(self.spare.push(chunk));
        }
    }
}

fn chunk_tap() -> (ChunkTap, ChunkEnd) {
    let silent = Bell::silent();
    let (mut spare_in, spare) = link::every(CHUNKS, &silent);
    let (out, chunks) = link::every(CHUNKS, &silent);
    for _ in 0..CHUNKS {
        // The link was made for exactly these.
        drop(spare_in.push(Box::new(Chunk::new(0))));
    }
    let end = ChunkEnd {
        chunks,
        spare: spare_in,
    };
    (ChunkTap { spare, out }, end)
}

/// The features stage's tap.
#[derive(Debug)]
pub struct FrameTap {
    order: u64,
    events: Told<FrameEvent>,
    slots: EveryWriter<Slot<Filled>>,
    /// One picture of each so many; 0: none.
    every: u32,
    /// Pictures since the last that was chosen.
    since: u32,
}

impl FrameTap {
    /// Sends the slot home through the recorder. Gives it back if this picture is not to be recorded, or if the recorder
    /// is behind.
    pub fn offer(&mut self, slot: Slot<Filled>) -> Result<(), Slot<Filled>> {
        if self.every == 0 {
            return Err(slot);
        }
        let chosen = self.since == 0;
        self.since = (self.since + 1) % self.every;
        match chosen {
            true => self.slots.push(slot),
            false => Err(slot),
        }
    }

    pub fn tell(&mut self, event: FrameEvent) {
        self.order += 1;
        self.events.tell(self.order, event);
    }
}

/// The fusion stage's tap.
#[derive(Debug)]
pub struct FusionTap {
    order: u64,
    events: Told<FusionEvent>,
    instructions: Told<Instruction>,
    chunks: ChunkTap,
}

impl FusionTap {
    pub fn tell(&mut self, event: FusionEvent) {
        self.order += 1;
        self.events.tell(self.order, event);
    }

    pub fn hear(&mut self, instruction: &Instruction) {
        self.order += 1;
        self.instructions.tell(self.order, *instruction);
    }

    /// A chunk that no beat took.
    pub fn stale(&mut self, chunk: &Chunk) {
        self.chunks.tell(chunk);
    }
}

/// The action stage's tap.
#[derive(Debug)]
pub struct ActionTap {
    order: u64,
    events: Told<Beat>,
    chunks: ChunkTap,
}

impl ActionTap {
    /// A beat, with the chunk that it took.
    pub fn tell(&mut self, beat: Beat, chunk: Option<&Chunk>) {
        self.order += 1;
        self.events.tell(self.order, beat);
        if let Some(chunk) = chunk {
            self.chunks.tell(chunk);
        }
    }
}

/// All taps of a run.
#[derive(Debug)]
pub struct Taps {
    pub frames: FrameTap,
    pub fusion: FusionTap,
    pub action: ActionTap,
}

/// What the recorder reads.
#[derive(Debug)]
pub struct TapEnds {
    pub slots: EveryReader<Slot<Filled>>,
    pub frames: EveryReader<Numbered<FrameEvent>>,
    pub fusion: EveryReader<Numbered<FusionEvent>>,
    pub instructions: EveryReader<Numbered<Instruction>>,
    pub beats: EveryReader<Numbered<Beat>>,
    /// Of fusion and of the action stage.
    pub chunks: [ChunkEnd; 2],
}

/// Takes all memory of the taps. One picture of each `every` is recorded; 0: none.
pub fn taps(every: u32) -> (Taps, TapEnds) {
    // The recorder comes by in its own time.
    let silent = Bell::silent();
    let (slots_in, slots) = link::every(TAPPED_SLOTS as usize, &silent);
    let (frames_in, frames) = link::every(EVENTS, &silent);
    let (fusion_in, fusion) = link::every(EVENTS, &silent);
    let (instructions_in, instructions) = link::every(INSTRUCTIONS, &silent);
    let (beats_in, beats) = link::every(EVENTS, &silent);
    let (fusion_chunks, fusion_chunks_end) = chunk_tap();
    let (action_chunks, action_chunks_end) = chunk_tap();
    let taps = Taps {
        frames: FrameTap {
            order: 0,
            events: Told { link: frames_in },
            slots: slots_in,
            every,
            since: 0,
        },
        fusion: FusionTap {
            order: 0,
            events: Told { link: fusion_in },
            instructions: Told {
                link: instructions_in,
            },
            chunks: fusion_chunks,
        },
        action: ActionTap {
            order: 0,
            events: Told { link: beats_in },
            chunks: action_chunks,
        },
    };
    let ends = TapEnds {
        slots,
        frames,
        fusion,
        instructions,
        beats,
        chunks: [fusion_chunks_end, action_chunks_end],
    };
    (taps, ends)
}
