//! What the threads of the way tell telemetry: one small fixed-size record for each thing that happened.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: no.
//!
//! A record holds instants, never differences: which differences mean something is decided in one
//! place, the [`Collector`](crate::telemetry::collect::Collector).

use crate::action::Rung;
use crate::error::StepError;
use crate::policy::PolicyStatus;
use crate::sensor::Reading;
use crate::telemetry::trace::{Stage, Trace};
use crate::units::MonoTime;

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its result was passed on.
    Ok,
    /// It did its work and nothing came of it, on purpose: an empty chunk, a frame that was not wanted.
    Dropped,
    Failed(StepError),
}

/// One step of capture, features or fusion.
///
/// `wait = begin - ready`, `work = end - begin`, `age = end - captured`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    pub stage: Stage,
    /// Index of the camera.
    pub source_index: u8,
    pub outcome: Outcome,
    /// When its input was ready: for capture the camera's stamp, then the instant at which the stage
    /// before passed its result on. For fusion this is [`Mark::Encoded`](super::trace::Mark), so that
    /// `end - ready` of a fusion step is the fusion latency that the goal speaks of.
    pub ready: MonoTime,
    pub begin: MonoTime,
    pub end: MonoTime,
    /// Capture time of the frame; not set if the step had none.
    pub captured: MonoTime,
}

/// One beat of the action clock.
///
/// It is the action stage's step: `wait = begin - scheduled` (the jitter), `work = written - begin`,
/// `age = written - captured`, the age of the data behind this very action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tick {
    /// The number of its action.
    pub number: u64,
    pub scheduled: MonoTime,
    pub begin: MonoTime,
    /// When the sink returned.
    pub written: MonoTime,
    /// Capture time of the frame that the action was computed from; not set before the first chunk.
    pub captured: MonoTime,
    pub rung: Rung,
    /// Beats that were skipped just before this one because the thread came too late for them.
    pub missed: u32,
    /// Why the sink did not take the action.
    pub write_failed: Option<StepError>,
}

/// Something that happened on a thread of the way.
#[derive(Clone, Copy, Debug)]
pub enum Record {
    Step(Step),
    /// The first action computed from a frame has been written: the frame's whole way, all marks stamped.
    Frame(Trace),
    Tick(Tick),
    /// The ladder of fallbacks changed its rung.
    RungChange {
        at: MonoTime,
        from: Rung,
        to: Rung,
    },
    /// An instruction was encoded and passed on. With the first [`Record::Frame`] that carries its id,
    /// the collector makes instruction to action of it; the hot threads need not remember anything.
    InstructionReady {
        id: u32,
        received: MonoTime,
        encoded: MonoTime,
    },
    /// What the policy did last. May come with every chunk; only a new phase or object is listed.
    Policy {
        at: MonoTime,
        status: PolicyStatus,
    },
    /// A sensor reading came to fusion: `age = arrived - at`.
    Reading(Reading),
}

// BOUND: 10 marks of 8 bytes, 16 bytes of identity and the tag. Two cache lines a record at most, so a
// probe never costs more than two line fills.
const _: () = assert!(size_of::<Record>() <= 128);
