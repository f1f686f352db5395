//! A source and its workers as real threads, joined by real links: what `measure` looks at.
//!
//! Thread: one for the source, one a worker, of the class that a run asks for, on any core. Main waits for them.
//! Allocates: before the start. Blocks: the source sleeps until the next item is due.

use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::estimate::account::Latencies;
use crate::estimate::queue::{End, Item, Queue};
use crate::link::policy::LinkPolicy;
use crate::link::{self, EveryReader, EveryWriter};
use crate::rt::thread::{self, Class, Context, Thread, ThreadSpec};
use crate::rt::wait::{Bell, WaitPolicy};
use crate::stage::{self, IDLE_TURN, Inlet, Next};
use crate::units::{MonoTime, Nanos};

/// Wake-ups looked at before the measurement, one each `WAKE_EVERY`.
const WAKES: usize = 200;
const WAKE_EVERY: Nanos = Nanos::from_millis(1);
/// Threads get this long to begin.
const START: Nanos = Nanos::from_millis(20);
/// How long a waiting worker looks for the next item before it sleeps.
const SPIN: Nanos = Nanos::from_micros(50);
/// Priorities, as a run's: the source is above what it feeds.
const SOURCE: Class = Class::Fifo(80);
const WORKER: Class = Class::Fifo(79);
/// The longest that a blocked source sleeps until it looks again.
const LOOK_AGAIN: Nanos = Nanos::from_micros(50);

/// An item on its way.
#[derive(Clone, Copy, Debug)]
struct Sent {
    index: usize,
    work: Nanos,
}

/// What a worker did.
#[derive(Clone, Copy, Debug)]
struct Worked {
    index: usize,
    began: MonoTime,
    done: MonoTime,
}

/// What the source did with an item.
#[derive(Clone, Copy, Debug)]
struct Given {
    /// When it looked at the item first.
    woke: MonoTime,
    /// When it was in the link.
    at: MonoTime,
    /// It was refused by a full link.
    refused: bool,
    /// An older item came back in its place.
    stale: Option<usize>,
}

impl stage::Item for Sent {
    /// Nothing expires here.
    fn captured(&self) -> MonoTime {
        MonoTime::ZERO
    }
}

/// Passes the item on. A link that blocks is tried again until there is room.
fn give(out: &mut Next<Sent>, item: Sent, woke: MonoTime) -> Given {
    let mut at = woke;
    // BOUND: the worker takes an item after the work of one; should it be gone, the run is.
    while !out.has_room() {
        clock::sleep_until(clock::now() + LOOK_AGAIN);
        at = clock::now();
    }
    let index = item.index;
    let back = out.deliver(item).map(|back| back.index);
    Given {
        woke,
        at,
        refused: back == Some(index),
        stale: back.filter(|back| *back != index),
    }
}

/// What the threads did.
pub(super) struct Run {
    /// All of them were of a real-time class.
    pub real_time: bool,
    pub items: Vec<Item>,
    /// How late the source looked at each item.
    pub late: Vec<Nanos>,
}

/// Sends items through real threads: they are due at `arrivals`, and `work` long.
pub(super) fn run(arrivals: &[Nanos], work: &[Nanos], queue: &Queue) -> Result<Run> {
    let count = arrivals.len().max(1);
    let bells: Vec<Bell> = (0..queue.workers).map(|_| Bell::new()).collect();
    let (out, ins) = open_links(queue, count, &bells);
    let worker = worker_class(queue.workers);
    let mut threads = Vec::new();
    let mut results = Vec::new();
    for (turn, (input, bell)) in ins.into_iter().zip(bells).enumerate() {
        let (sender, receiver) = link::every(count, &Bell::silent());
        results.push(receiver);
        threads.push(thread::spawn(
            spec(&format!("worker-{turn}"), worker),
            move |context| {
                work_off(context, input, &bell, sender);
            },
        )?);
    }
    let (giver, mut given) = link::every(count, &Bell::silent());
    let start = clock::now() + START;
    let list: Vec<(Nanos, Nanos)> = arrivals.iter().copied().zip(work.iter().copied()).collect();
    threads.push(thread::spawn(spec("source", SOURCE), move |context| {
        send(context, start, &list, out, giver);
    })?);
    let granted = threads
        .iter()
        .all(|thread| thread.granted().0.class != Class::Normal);
    threads.iter().for_each(Thread::go);
    join(&mut threads)?;
    Ok(Run {
        real_time: granted,
        ..collect(arrivals, start, &mut given, &mut results)
    })
}

/// Real time as in a run, unless busy workers would take every core from everything else.
fn worker_class(workers: u16) -> Class {
    if usize::from(workers) < thread::allowed_cores().len() {
        WORKER
    } else {
        Class::Normal
    }
}

fn open_links(queue: &Queue, count: usize, bells: &[Bell]) -> (Next<Sent>, Vec<Inlet<Sent>>) {
    let room = queue.room.map_or(count, |room| {
        usize::try_from(room).unwrap_or(usize::MAX).min(count)
    });
    let policy = LinkPolicy {
        when_full: queue.when_full,
        room,
        ..LinkPolicy::NEWEST
    };
    match bells {
        [bell] => {
            let (next, inlet) = stage::link(policy, bell);
            (next, vec![inlet])
        }
        // Room for all, for each.
        _ => stage::deal(
            LinkPolicy {
                room: room * bells.len(),
                ..policy
            },
            bells,
        ),
    }
}

fn spec(name: &str, class: Class) -> ThreadSpec {
    ThreadSpec {
        name: name.to_owned(),
        class,
        cores: Vec::new(),
        wait: WaitPolicy::Park { spin: SPIN },
    }
}

/// The source's thread.
fn send(
    context: &Context,
    start: MonoTime,
    list: &[(Nanos, Nanos)],
    mut out: Next<Sent>,
    mut told: EveryWriter<Given>,
) {
    context.wait_for_go();
    for (index, &(at, work)) in list.iter().enumerate() {
        clock::sleep_until(start + at);
        let woke = clock::now();
        context.beat.strike(woke);
        let given = give(&mut out, Sent { index, work }, woke);
        // There is room for all.
        let _ = told.push(given);
    }
}

/// A worker's thread: busy for as long as the item's work is.
fn work_off(context: &Context, mut input: Inlet<Sent>, bell: &Bell, mut told: EveryWriter<Worked>) {
    context.wait_for_go();
    // BOUND: until the source is gone and the link empty.
    loop {
        let turn = clock::now() + IDLE_TURN;
        bell.wait(context.wait, None, turn, || {
            !input.is_empty() || input.is_abandoned()
        });
        let was_last = input.is_abandoned();
        let began = clock::now();
        context.beat.strike(began);
        match input.pop() {
            Some(Sent { index, work }) => {
                let end = began + work;
                let mut done = began;
                while done < end {
                    std::hint::spin_loop();
                    done = clock::now();
                }
                // There is room for all.
                let _ = told.push(Worked { index, began, done });
            }
            None if was_last => return,
            None => {}
        }
    }
}

fn collect(
    arrivals: &[Nanos],
    start: MonoTime,
    given: &mut EveryReader<Given>,
    results: &mut [EveryReader<Worked>],
) -> Run {
    let mut items: Vec<Item> = arrivals
        .iter()
        .map(|&arrived| Item {
            arrived,
            entered: Some(arrived),
            end: End::Dropped { at: arrived },
        })
        .collect();
    let mut late = Vec::with_capacity(items.len());
    // BOUND: the items of each link.
    let mut index = 0;
    while let Some(told) = given.pop() {
        let at = told.at - start;
        late.push(told.woke - start - arrivals[index]);
        items[index].entered = (!told.refused).then_some(at);
        if let Some(stale) = told.stale {
            items[stale].end = End::Dropped { at };
        }
        index += 1;
    }
    for result in results {
        while let Some(worked) = result.pop() {
            items[worked.index].end = End::Done {
                began: worked.began - start,
                done: worked.done - start,
            };
        }
    }
    Run {
        real_time: false,
        items,
        late,
    }
}

/// How late a thread of the source's class wakes, on this machine as it is now.
pub(super) fn wake_errors() -> Result<Latencies> {
    let (mut out, mut errors) = link::every(WAKES, &Bell::silent());
    let mut probe = thread::spawn(spec("wake-probe", SOURCE), move |context| {
        context.wait_for_go();
        let mut due = clock::now() + WAKE_EVERY;
        while out.has_room() {
            clock::sleep_until(due);
            // There is room.
            let _ = out.push(clock::now() - due);
            due += WAKE_EVERY;
        }
    })?;
    probe.go();
    join(std::slice::from_mut(&mut probe))?;
    Ok(Latencies::of(std::iter::from_fn(|| errors.pop())))
}

fn join(threads: &mut [Thread]) -> Result<()> {
    // All, also after one that failed.
    let failed = threads
        .iter_mut()
        .filter_map(|t| (!t.join()).then_some(()))
        .count();
    if failed == 0 {
        return Ok(());
    }
    Err(Fault::new(
        Kind::Internal,
        "a thread of the measurement failed",
        "it panicked; its message stands above",
        "report this",
    ))
}
