//! Stages and how they are joined: by a plain call on one thread, or by a link between two.
//!
//! A stage is not a thread. The plan says which stages share a thread; a stage only knows its [`Next`].
//! Neighbours on one thread run to completion by a call, with no ring and no wake.
//!
//! Thread: the stage's. Allocates: when built. Blocks: no. Locks: no. Syscalls: at most one futex wake.

use crate::capture::Count;
use crate::clock;
use crate::link::{EveryReader, EveryWriter, LinkCount, NewestReader, NewestWriter};
use crate::rt::stop::Stop;
use crate::rt::sync::Arc;
use crate::rt::thread::Context;
use crate::rt::wait::Bell;
use crate::units::{MonoTime, Nanos};

/// What a stage does with one item. The runtime's stages read the clock for their time stamps; what users
/// write (encoders, policies) is given `now`.
pub trait Step<T>: Send {
    fn step(&mut self, item: T);

    /// Called at least every [`IDLE_TURN`] also when nothing comes: side inputs are read here.
    fn idle(&mut self, now: MonoTime);

    /// Called shortly before an item is due, by a thread that has time until then: touches the memory that the step will
    /// need, so that it is in the caches when the item comes. Changes nothing that can be seen. With 33 ms between frames
    /// everything is cold otherwise, and the way of a 1080p frame without its encoder takes 8 us instead of 3.
    fn rehearse(&mut self);
}

/// What became of a stage's items. One writer: the stage.
#[derive(Debug, Default)]
pub struct StageCount {
    /// Results passed on.
    pub passed: Count,
    /// Steps that ended without a result, on purpose.
    pub held: Count,
    /// Steps that failed.
    pub failed: Count,
}

/// The longest that a loop of the way sleeps before it looks around.
pub const IDLE_TURN: Nanos = Nanos::from_millis(50);

/// Where a stage's output goes.
pub enum Next<T> {
    /// The next stage runs on this thread, now.
    Call(Box<dyn Step<T>>, Arc<LinkCount>),
    /// Another thread gets the newest.
    Newest(NewestWriter<T>),
    /// Another thread gets all, in order.
    Every(EveryWriter<T>),
}

impl<T: Send> Next<T> {
    /// The next stage on this thread. Counted like a link, so that every hand-over can be accounted for.
    pub fn call(step: Box<dyn Step<T>>) -> Self {
        Self::Call(step, Arc::default())
    }

    /// Passes the item on. Gives back what the link would not keep: the stale item of a `newest` link
    /// or the new one of a full `every` link. The link has counted it.
    pub fn deliver(&mut self, item: T) -> Option<T> {
        match self {
            Self::Call(step, count) => {
                count.pass();
                step.step(item);
                None
            }
            Self::Newest(writer) => writer.push(item),
            Self::Every(writer) => writer.push(item).err(),
        }
    }

    pub fn idle(&mut self, now: MonoTime) {
        if let Self::Call(step, _) = self {
            step.idle(now);
        }
    }

    /// See [`Step::rehearse`].
    pub fn rehearse(&mut self) {
        match self {
            Self::Call(step, _) => step.rehearse(),
            Self::Newest(writer) => touch(writer.is_abandoned()),
            Self::Every(writer) => touch(writer.has_room()),
        }
    }

    /// As in the report: `call`, `newest` or `every`.
    pub fn policy(&self) -> &'static str {
        match self {
            Self::Call(..) => "call",
            Self::Newest(_) => "newest",
            Self::Every(_) => "every",
        }
    }

    pub fn count(&self) -> Arc<LinkCount> {
        match self {
            Self::Call(_, count) => Arc::clone(count),
            Self::Newest(writer) => writer.count(),
            Self::Every(writer) => writer.count(),
        }
    }
}

/// For rehearsals: what was read to get this answer is in the caches now, though nobody asks for the answer.
pub fn touch<T>(answer: T) {
    std::hint::black_box(answer);
}

/// The reading end of a link, whatever its policy.
#[derive(Debug)]
pub enum Inlet<T> {
    Newest(NewestReader<T>),
    Every(EveryReader<T>),
}

impl<T> Inlet<T> {
    fn is_empty(&self) -> bool {
        match self {
            Self::Newest(reader) => reader.is_empty(),
            Self::Every(reader) => reader.is_empty(),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Self::Newest(reader) => reader.is_abandoned(),
            Self::Every(reader) => reader.is_abandoned(),
        }
    }

    fn pop(&mut self) -> Option<T> {
        match self {
            Self::Newest(reader) => reader.pop(),
            Self::Every(reader) => reader.pop(),
        }
    }
}

/// The loop of a thread whose first stage takes from a link: until the writer has gone and the link is
/// empty. The link drains at the end of a run, so nothing in it is lost.
pub fn run_from_link<T>(
    context: &Context,
    bell: &Bell,
    mut inlet: Inlet<T>,
    period: Option<Nanos>,
    mut step: Box<dyn Step<T>>,
) {
    context.wait_for_go();
    context.seal();
    let mut due = None;
    // BOUND: ends with the writer; each turn waits at most IDLE_TURN.
    loop {
        let now = clock::now();
        context.beat.strike(now);
        // Looked at before `pop`: what was pushed before the writer went is then surely seen.
        let abandoned = inlet.is_abandoned();
        if let Some(item) = inlet.pop() {
            due = period.map(|period| now + period);
            step.step(item);
        } else if abandoned {
            break;
        } else {
            step.idle(now);
            let ready = || !inlet.is_empty() || inlet.is_abandoned();
            let deadline = now + IDLE_TURN;
            if let Some(near) = context.wait.near(due)
                && near > now
                && !bell.sleep(near.min(deadline), ready)
            {
                step.rehearse();
            }
            bell.wait(context.wait, due, deadline, ready);
        }
    }
    context.unseal();
}

/// A loop that only waits for the end of the run between looks: for sensors.
pub fn until_stopped(context: &Context, stop: &Stop, mut turn: impl FnMut(MonoTime)) {
    context.wait_for_go();
    context.seal();
    // BOUND: ends with the run; each turn waits at most IDLE_TURN.
    while !stop.asked() {
        let now = clock::now();
        context.beat.strike(now);
        turn(now);
    }
    context.unseal();
}
