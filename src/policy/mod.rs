//! Policies: one aligned set in, one chunk of actions out.
//!
#![doc = include_str!("writing.md")]

// Points the camera at what the instruction names.
pub mod gaze;

// Holds still, for measuring the runtime.
pub mod still;

use std::fmt;

use crate::action::Chunk;
use crate::error::StepError;
use crate::features::FeatureMap;
use crate::frame::FrameMeta;
use crate::language::Instruction;
use crate::sensor::DOF_MAX;
use crate::stream::align::choice::Status;
use crate::units::MonoTime;

/// A sensor's state at one instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct State {
    pub at: MonoTime,
    /// How it was found, and from how far. `Status::Missing`: there are no values.
    pub status: Status,
    /// Nobody measured it: it was predicted, or is the configured default.
    pub is_filled: bool,
    pub len: u8,
    /// In the sensor's own unit (joints: radian).
    pub values: [f32; DOF_MAX],
}

impl State {
    /// Nobody knows.
    pub fn missing(at: MonoTime) -> Self {
        Self {
            at,
            status: Status::Missing,
            is_filled: false,
            len: 0,
            values: [0.0; DOF_MAX],
        }
    }

    pub fn values(&self) -> &[f32] {
        &self.values[..usize::from(self.len)]
    }
}

/// What another camera saw near the time of the frame.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub frame: &'a FrameMeta,
    pub features: &'a FeatureMap,
    /// How it was chosen, and how far its picture is from the frame's time.
    pub status: Status,
}

/// Everything a policy may look at: all of it brought to the time of the frame.
#[derive(Clone, Copy, Debug)]
pub struct Aligned<'a> {
    pub now: MonoTime,
    /// Of the first camera.
    pub frame: &'a FrameMeta,
    pub features: &'a FeatureMap,
    /// The other cameras, in the order of the configuration. None where one has nothing that is recent enough. A replay has
    /// none at all, since only the first camera's pictures are recorded.
    pub views: &'a [Option<View<'a>>],
    /// The newest instruction; None before the first.
    pub instruction: Option<&'a Instruction>,
    /// The state of each sensor at `frame.captured`, in the order of the configuration.
    pub states: &'a [State],
}

impl Aligned<'_> {
    /// The state of the first sensor, the joints; missing if there is no sensor.
    pub fn state(&self) -> State {
        let missing = || State::missing(self.frame.captured);
        self.states.first().copied().unwrap_or_else(missing)
    }
}

/// What a policy is doing, for people. `Copy`, so that it can leave the fusion thread.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PolicyStatus {
    pub phase: Phase,
    /// The best-matching class or object, by the policy's own number; -1 for none.
    pub object: i32,
    /// How well the instruction names that object (cosine, -1..=1).
    pub match_score: f32,
    /// How sure the policy is that it sees it (0..=1).
    pub confidence: f32,
    /// Where it sees it, in picture widths and heights from the centre (-0.5..=0.5).
    pub offset: [f32; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No instruction yet.
    #[default]
    Idle,
    /// The instruction names nothing the policy knows; it holds.
    NoMatch,
    /// Known, not in view; looking for it.
    Searching,
    /// In view, moving towards it.
    Tracking,
    /// Centred.
    Locked,
    /// Looked everywhere and did not find it; it holds.
    NotFound,
}

/// BOUND: what the built-in policies need, and a few joints more.
pub const MEMORY_BYTES_MAX: usize = 128;

/// What a policy remembers between two sets, in a layout of its own; `Copy`, so that it can leave the fusion thread. A
/// recording has it of each step, so that a replay can go on behind one that cannot be computed again.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct Memory {
    /// None: the policy does not say.
    len: Option<u8>,
    bytes: Bytes,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Bytes([u8; MEMORY_BYTES_MAX]);

impl Default for Bytes {
    fn default() -> Self {
        Self([0; MEMORY_BYTES_MAX])
    }
}

/// In hexadecimal.
impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(bytes) = self.bytes() else {
            return f.write_str("not said");
        };
        bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Memory {
    /// Of a policy that remembers nothing.
    pub const NOTHING: Self = Self {
        len: Some(0),
        bytes: Bytes([0; MEMORY_BYTES_MAX]),
    };

    /// None if there are more bytes than there is room for.
    pub fn of(bytes: &[u8]) -> Option<Self> {
        let mut memory = Self::NOTHING;
        memory.put(bytes).then_some(memory)
    }

    /// Appends to what is remembered; false, and nothing is said any more, where there is no room.
    pub fn put(&mut self, bytes: &[u8]) -> bool {
        let room = self.len.map(usize::from).and_then(|len| {
            let place = self.bytes.0.get_mut(len..len + bytes.len())?;
            Some((len + bytes.len(), place))
        });
        let Some((len, place)) = room else {
            self.len = None;
            return false;
        };
        place.copy_from_slice(bytes);
        self.len = u8::try_from(len).ok();
        self.len.is_some()
    }

    /// None: the policy does not say.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.bytes.0.get(..usize::from(self.len?))
    }
}

/// Puts a [`PolicyStatus`] into words.
pub type Explainer = Box<dyn Fn(&PolicyStatus) -> String + Send>;

/// Turns one aligned set into one chunk of time-stamped actions. Runs on the fusion thread: no allocation, no
/// lock, no blocking call, bounded time. Takes all its memory when it is made.
pub trait Policy: Send {
    /// As in the configuration: `gaze`.
    fn name(&self) -> &'static str;

    /// Values in each action.
    fn dof(&self) -> u8;

    /// Fills `chunk` (begin, step, targets). An empty chunk means: nothing to say, play on what is there.
    fn decide(&mut self, set: &Aligned<'_>, chunk: &mut Chunk) -> Result<(), StepError>;

    /// Called shortly before the next set comes: may touch the memory that `decide` will need, so that it is in the
    /// caches then. `chunk` is one that may be scribbled into. Must change nothing that can be seen.
    fn rehearse(&mut self, _chunk: &mut Chunk) {}

    /// What it remembers. By default it does not say; a policy that says must be able to [`recall`](Self::recall) it.
    fn memory(&self) -> Memory {
        Memory::default()
    }

    /// Takes on what it remembered once, when `instruction` was in force: from here on it decides as it did then. False if
    /// it cannot. Not on the way: it may allocate.
    fn recall(&mut self, _memory: &Memory, _instruction: Option<&Instruction>) -> bool {
        false
    }

    /// What it did last.
    fn status(&self) -> PolicyStatus;

    /// Says in words what a status means, and why, for the live table and the report. It outlives the policy's
    /// move to its thread: it runs on the housekeeping side and may allocate.
    fn explainer(&self) -> Explainer;
}
