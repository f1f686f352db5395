//! Actions: chunks from the policy, played on an absolute clock, with a ladder of fallbacks.

// What a user says about it.
pub mod config;

// Which chunk plays at an instant.
pub mod schedule;

// How fast each joint may go where.
pub mod limits;

// What to do when no fresh chunk comes.
pub mod ladder;

// One tick: chunk in, action out.
pub mod player;

// Where the joints are before the first tick.
pub mod start;

// The stage.
pub mod stage;

// Where actions go.
pub mod sinks;

use crate::capture::Count;
use crate::error::StepError;
use crate::sensor::DOF_MAX;
use crate::telemetry::trace::Trace;
use crate::units::{MonoTime, Nanos};

/// Steps of one chunk, at most.
pub const CHUNK_STEPS_MAX: usize = 100;

/// A sequence of time-stamped targets: `steps()[k]` holds at `begin + k * step`.
#[derive(Clone, Copy, Debug)]
pub struct Chunk {
    /// The way of the frame it was computed from.
    pub trace: Trace,
    /// When step 0 holds.
    pub begin: MonoTime,
    /// Time between steps; above zero.
    pub step: Nanos,
    /// Values a step.
    pub dof: u8,
    len: u8,
    targets: [[f32; DOF_MAX]; CHUNK_STEPS_MAX],
}

impl Chunk {
    /// A chunk without steps.
    pub fn new(dof: u8) -> Self {
        Self {
            trace: Trace::default(),
            begin: MonoTime::ZERO,
            step: Nanos::from_millis(10),
            dof,
            len: 0,
            targets: [[0.0; DOF_MAX]; CHUNK_STEPS_MAX],
        }
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }

    /// Becomes a copy of another chunk. Touches only the steps that it has.
    pub fn copy_from(&mut self, other: &Self) {
        (self.trace, self.begin, self.step) = (other.trace, other.begin, other.step);
        (self.dof, self.len) = (other.dof, other.len);
        let len = usize::from(self.len);
        self.targets[..len].copy_from_slice(&other.targets[..len]);
    }

    /// Adds a step; values past `dof` are ignored. A full chunk is an error.
    pub fn push(&mut self, target: &[f32]) -> Result<(), StepError> {
        let len = usize::from(self.len);
        if len == CHUNK_STEPS_MAX || target.len() < usize::from(self.dof) {
            return Err(StepError::OutOfRange);
        }
        let dof = usize::from(self.dof);
        self.targets[len][..dof].copy_from_slice(&target[..dof]);
        self.len += 1;
        Ok(())
    }

    pub fn steps(&self) -> &[[f32; DOF_MAX]] {
        &self.targets[..usize::from(self.len)]
    }

    /// When the last step holds.
    pub fn end(&self) -> MonoTime {
        self.begin + self.step * i64::from(self.len.saturating_sub(1))
    }
}

/// Which rung of the ladder an action comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Rung {
    /// The newest chunk, from data within its age limit.
    Fresh,
    /// The rest of the last chunk; no newer one came in time.
    Tail,
    /// The chunk has run out: position is held, velocity is ramped to zero.
    Hold,
    /// Nothing came for too long, or the run ends: the safe action, latched until an operator's reset.
    SafeStop,
}

impl Rung {
    pub const COUNT: usize = 4;
    pub const ALL: [Self; Self::COUNT] = [Self::Fresh, Self::Tail, Self::Hold, Self::SafeStop];

    /// As in reports and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fresh => "fresh",
            Self::Tail => "tail",
            Self::Hold => "hold",
            Self::SafeStop => "stop",
        }
    }
}

/// Why a chunk will not play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Refusal {
    /// It has no steps: the policy had nothing to say. Not an error.
    Empty,
    /// Its number of joints is not the robot's, or its step is not above zero.
    BadShape,
    /// It holds a value that is not a number, or infinite.
    NotFinite,
    /// It holds a value wildly outside the joint's range (see `refuse_beyond`).
    OutOfRange,
    /// It does not say when its frame was captured, or says a time still to come.
    BadStamp,
    /// Its frame is older than that of a chunk accepted before.
    Older,
    /// It lies in the past as a whole.
    Late,
    /// It begins too far in the future (see `begin_within`).
    TooEarly,
    /// The safe stop is latched, or the run ends.
    Stopped,
}

impl Refusal {
    pub const COUNT: usize = 9;
    pub const ALL: [Self; Self::COUNT] = [
        Self::Empty,
        Self::BadShape,
        Self::NotFinite,
        Self::OutOfRange,
        Self::BadStamp,
        Self::Older,
        Self::Late,
        Self::TooEarly,
        Self::Stopped,
    ];

    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::BadShape => "bad shape",
            Self::NotFinite => "not finite",
            Self::OutOfRange => "out of range",
            Self::BadStamp => "bad stamp",
            Self::Older => "older",
            Self::Late => "late",
            Self::TooEarly => "too early",
            Self::Stopped => "stopped",
        }
    }
}

/// What the player did. Written by the action thread only; any thread may read.
///
/// `offered = accepted + refused by reason` and `accepted = played + unplayed + waiting in the player`.
#[derive(Debug, Default)]
pub struct ActionCounters {
    /// Ticks by rung.
    pub ticks: [Count; Rung::COUNT],
    /// Changes of rung: `[from][to]`.
    pub changes: [[Count; Rung::COUNT]; Rung::COUNT],
    /// Chunks given to the player.
    pub offered: Count,
    /// Chunks that were let in.
    pub accepted: Count,
    /// Chunks that were not, by reason.
    pub refused: [Count; Refusal::COUNT],
    /// Chunks that gave at least one action.
    pub played: Count,
    /// Chunks that were let in and replaced by a newer one, or dropped by a stop, before their first action.
    pub unplayed: Count,
    /// Ticks on which a limit kept a joint from where its chunk wanted it.
    pub limited: Count,
}

/// One command to the robot.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Action {
    /// Counts ticks of the action clock.
    pub tick: u64,
    /// The tick's scheduled instant.
    pub at: MonoTime,
    pub rung: Rung,
    /// The frame it was computed from.
    pub frame_seq: u64,
    pub dof: u8,
    /// In the robot's own unit (joints: radian).
    pub targets: [f32; DOF_MAX],
}

impl Action {
    pub fn targets(&self) -> &[f32] {
        &self.targets[..usize::from(self.dof)]
    }
}

/// Takes actions to the robot. Called on the action thread.
pub trait Sink: Send {
    /// One line for people: `udp 127.0.0.1:9000`.
    fn describe(&self) -> String;

    /// Writes one action without ever waiting: a sink that cannot take it at once returns `WouldBlock`
    /// (counted) and must stay usable.
    fn write(&mut self, action: &Action) -> Result<(), StepError>;
}
