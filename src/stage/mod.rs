//! Stages and how they are joined: by a plain call on one thread, or by a link between two.
//!
//! A stage is not a thread. The plan says which stages share a thread; a stage only knows its [`Next`].
//! Neighbours on one thread run to completion by a call, with no ring and no wake.
//!
//! Thread: the stage's. Allocates: when built. Blocks: no. Locks: no. Syscalls: at most one futex wake.

// Where a stage's output goes.
mod next;

// Where a thread's input comes from.
mod inlet;

pub use inlet::Inlet;
pub use next::Next;

use crate::capture::Count;
use crate::clock;
use crate::link::policy::{LinkPolicy, WhenFull};
use crate::link::{every, newest, recent};
use crate::rt::stop::Stop;
use crate::rt::thread::Context;
use crate::rt::wait::Bell;
use crate::units::{MonoTime, Nanos};

/// What a stage does with one item. The runtime's stages read the clock for their time stamps; what users
/// write (encoders, policies) is given `now`.
pub trait Step<T>: Send {
    fn step(&mut self, item: T);

    /// An item that is not worth working on any more: what it is made of goes home. The link has counted it.
    fn discard(&mut self, item: T);

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

/// What passes between stages.
pub trait Item: Send {
    /// When it was captured or measured: its age counts from here.
    fn captured(&self) -> MonoTime;

    /// True for a result that only says that there is none, from one of several workers whose results are taken in turn.
    fn is_void(&self) -> bool {
        false
    }
}

/// The longest that a loop of the way sleeps before it looks around.
pub const IDLE_TURN: Nanos = Nanos::from_millis(50);

/// For rehearsals: what was read to get this answer is in the caches now, though nobody asks for the answer.
pub fn touch<T>(answer: T) {
    std::hint::black_box(answer);
}

/// The loop of a thread whose first stage takes from a link: until the writer has gone and the link is
/// empty. The link drains at the end of a run, so nothing in it is lost.
pub fn run_from_link<T: Item>(
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
            if let Some(item) = inlet.worth(item, &mut *step) {
                step.step(item);
            }
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

/// The two ends of a link with this policy. `bell` is rung for the reader's thread.
pub fn link<T: Item>(policy: LinkPolicy, bell: &Bell) -> (Next<T>, Inlet<T>) {
    let (to, from) = match policy.when_full {
        WhenFull::NewestOnly => {
            let (writer, reader) = newest(bell);
            (next::To::Newest(writer), inlet::From::Newest(reader))
        }
        WhenFull::DropOldest => {
            let (writer, reader) = recent(policy.room, bell);
            (next::To::Recent(writer), inlet::From::Recent(reader))
        }
        WhenFull::DropNewest | WhenFull::Block => {
            let (writer, reader) = every(policy.room, bell);
            (next::To::Every(writer), inlet::From::Every(reader))
        }
    };
    (Next::new(to, policy), Inlet::new(from, policy.expire))
}

/// The ways from one stage to several workers, which get one item each in turn. Only where items are not dropped behind
/// one another's back does the turn tell their order: [`WhenFull::DropOldest`] cannot be had.
///
/// # Panics
/// With that policy, or without a bell.
pub fn deal<T: Item>(policy: LinkPolicy, bells: &[Bell]) -> (Next<T>, Vec<Inlet<T>>) {
    assert!(!bells.is_empty(), "dealt to nobody");
    let mut inlets = Vec::new();
    let to = match policy.when_full {
        WhenFull::DropOldest => panic!("several workers cannot drop the oldest"),
        WhenFull::NewestOnly => {
            let writers = bells.iter().map(|bell| {
                let (writer, reader) = newest(bell);
                inlets.push(Inlet::new(inlet::From::Newest(reader), policy.expire));
                writer
            });
            next::To::dealt_newest(writers.collect())
        }
        WhenFull::DropNewest | WhenFull::Block => {
            // Room for all together, in whole turns.
            let room = policy.room.div_ceil(bells.len());
            let writers = bells.iter().map(|bell| {
                let (writer, reader) = every(room, bell);
                inlets.push(Inlet::new(inlet::From::Every(reader), policy.expire));
                writer
            });
            next::To::dealt_every(writers.collect())
        }
    };
    (Next::new(to, policy), inlets)
}

/// The ways from several workers, whose results are taken one each in turn: in the order in which their items were dealt.
/// `bell` is rung for the reader's thread. Each way has room for `room` results.
pub fn gather<T: Item>(
    workers: usize,
    room: usize,
    policy: LinkPolicy,
    bell: &Bell,
) -> (Vec<Next<T>>, Inlet<T>) {
    let (nexts, readers) = (0..workers)
        .map(|_| {
            let (writer, reader) = every(room, bell);
            (
                Next::new(next::To::Every(writer), LinkPolicy::block(room)),
                reader,
            )
        })
        .unzip();
    let newest_only = policy.when_full == WhenFull::NewestOnly;
    let from = inlet::From::in_turn(readers, newest_only);
    (nexts, Inlet::new(from, policy.expire))
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
