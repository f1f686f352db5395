//! The instants of one frame's way, and the spans between them.
//!
//! A [`Trace`] travels with the data from stage to stage. Each stage loop stamps the marks it passes; the
//! action thread stamps the last. Spans are differences of neighbouring marks, so they add up to the end
//! to end time exactly.

use crate::units::{MonoTime, Nanos};

/// The marks, in the order a frame passes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Mark {
    /// The camera's own time stamp.
    Captured,
    /// Taken from the driver or source.
    Arrived,
    /// The capture stage passed it on.
    HandedOver,
    /// The features stage took it.
    FeaturesBegin,
    /// The camera frame was read into the model's input; its slot went back.
    Loaded,
    /// The feature map was ready.
    Encoded,
    /// The fusion stage took it.
    FusionBegin,
    /// The chunk of actions was ready.
    Fused,
    /// The action thread's tick that first played the chunk.
    ActionBegin,
    /// The first action computed from the frame had been written to the sink.
    Written,
}

impl Mark {
    pub const COUNT: usize = 10;
    pub const ALL: [Self; Self::COUNT] = [
        Self::Captured,
        Self::Arrived,
        Self::HandedOver,
        Self::FeaturesBegin,
        Self::Loaded,
        Self::Encoded,
        Self::FusionBegin,
        Self::Fused,
        Self::ActionBegin,
        Self::Written,
    ];
}

/// A named part of a frame's way: from one mark to the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// As in the report: `camera`, `capture`, `features wait`, ...
    pub name: &'static str,
    /// The stage that the time is charged to.
    pub stage: Stage,
    /// True for time spent waiting in a link or for a clock, false for work.
    pub wait: bool,
    pub from: Mark,
    pub to: Mark,
}

/// The stages of a frame's way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stage {
    Capture,
    Features,
    Fusion,
    Action,
}

impl Stage {
    pub const ALL: [Self; 4] = [Self::Capture, Self::Features, Self::Fusion, Self::Action];

    pub fn name(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Features => "features",
            Self::Fusion => "fusion",
            Self::Action => "action",
        }
    }
}

const fn span(name: &'static str, stage: Stage, wait: bool, from: Mark, to: Mark) -> Span {
    Span {
        name,
        stage,
        wait,
        from,
        to,
    }
}

/// All spans; each begins at the mark where the one before it ends.
pub const SPANS: [Span; Mark::COUNT - 1] = [
    span(
        "camera",
        Stage::Capture,
        true,
        Mark::Captured,
        Mark::Arrived,
    ),
    span(
        "capture",
        Stage::Capture,
        false,
        Mark::Arrived,
        Mark::HandedOver,
    ),
    span(
        "features wait",
        Stage::Features,
        true,
        Mark::HandedOver,
        Mark::FeaturesBegin,
    ),
    span(
        "preprocess",
        Stage::Features,
        false,
        Mark::FeaturesBegin,
        Mark::Loaded,
    ),
    span(
        "encode",
        Stage::Features,
        false,
        Mark::Loaded,
        Mark::Encoded,
    ),
    span(
        "fusion wait",
        Stage::Fusion,
        true,
        Mark::Encoded,
        Mark::FusionBegin,
    ),
    span("fuse", Stage::Fusion, false, Mark::FusionBegin, Mark::Fused),
    span(
        "action wait",
        Stage::Action,
        true,
        Mark::Fused,
        Mark::ActionBegin,
    ),
    span(
        "write",
        Stage::Action,
        false,
        Mark::ActionBegin,
        Mark::Written,
    ),
];

/// The instants of one frame's way so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trace {
    /// The frame's sequence number.
    pub seq: u64,
    /// Index of the camera.
    pub source_index: u8,
    /// Counts instructions; 0 means none was in force when the frame was fused.
    pub instruction_id: u32,
    at: [MonoTime; Mark::COUNT],
}

impl Trace {
    pub fn new(seq: u64, source_index: u8, captured: MonoTime, arrived: MonoTime) -> Self {
        let mut trace = Self {
            seq,
            source_index,
            ..Self::default()
        };
        trace.stamp(Mark::Captured, captured);
        trace.stamp(Mark::Arrived, arrived);
        trace
    }

    pub fn stamp(&mut self, mark: Mark, now: MonoTime) {
        self.at[mark as usize] = now;
    }

    pub fn at(&self, mark: Mark) -> MonoTime {
        self.at[mark as usize]
    }

    /// True when the frame has come all the way.
    pub fn is_complete(&self) -> bool {
        self.at.iter().all(|t| t.is_set())
    }

    pub fn duration(&self, span: &Span) -> Nanos {
        self.at(span.to) - self.at(span.from)
    }

    /// Camera to action.
    pub fn end_to_end(&self) -> Nanos {
        self.at(Mark::Written) - self.at(Mark::Captured)
    }

    /// End to end minus the sum of all spans. Not 0 only if a stage stamped out of order.
    pub fn residual(&self) -> Nanos {
        SPANS.iter().fold(self.end_to_end(), |left, s| {
            left - self.duration(s).max(Nanos::ZERO)
        })
    }
}
