//! The same with real threads, a real link and the real clock: does the machine do what the model says?
//!
//! A source thread passes each item on at its instant; workers take it from the link and are busy, by the clock, for as
//! long as its work is. What is busy can be interrupted, and who sleeps wakes late; both are measured, and the bounds
//! within which theory and measurement must agree are widened by them. Where that is too much, nothing is claimed.
//!
//! Thread: one for the source, one a worker, of the class that a run asks for, on any core. Main waits for them.
//! Allocates: before the start. Blocks: the source sleeps until the next item is due.

use serde::Serialize;

use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::estimate::account::{Account, Latencies};
use crate::estimate::arrivals::{Arrivals, Work};
use crate::estimate::queue::{End, Item, Queue, WhenFull, pass};
use crate::estimate::setting::Setting;
use crate::link::{self, EveryReader, EveryWriter, NewestReader, NewestWriter};
use crate::rt::thread::{self, Class, Context, Thread, ThreadSpec};
use crate::rt::wait::{Bell, WaitPolicy};
use crate::units::{MonoTime, Nanos};

/// The shortest interval and work to which a setting is scaled down.
// BOUND: some ten times what a wake-up takes on a machine that is not tuned, 100 us.
const SHORTEST: Nanos = Nanos::from_millis(1);
/// What can be measured at all: below this the clock and the link are a part of the work.
const REFUSED_BELOW: Nanos = Nanos::from_micros(50);
/// The most items of a measurement.
// BOUND: their results lie in links of this size, 32 bytes an item, until the end.
const ITEMS_MAX: u32 = 100_000;
/// Wake-ups looked at before the measurement, one each millisecond.
const WAKES: usize = 200;
/// How much shorter and longer.
// BOUND: a reading of the clock and a pop take less, and it is less than 1 % of the shortest work that is measured.
const EDGE: Nanos = Nanos(400);
/// Threads get this long to begin.
const START: Nanos = Nanos::from_millis(20);
/// How long a waiting worker looks for the next item before it sleeps.
const SPIN: Nanos = Nanos::from_micros(50);
/// Priorities, as a run's: the source is above what it feeds.
const SOURCE: Class = Class::Fifo(80);
const WORKER: Class = Class::Fifo(79);
/// The longest that a blocked source sleeps until it looks again.
const LOOK_AGAIN: Nanos = Nanos::from_micros(50);

/// What is measured: the setting, made shorter.
#[derive(Clone, Debug, PartialEq)]
pub struct Trial {
    pub setting: Setting,
    /// Intervals and work are this part of the setting's, at most 1.
    pub scale: f64,
}

impl Trial {
    /// The same ratios, and if possible the same number of items, in about so much time.
    ///
    /// # Errors
    /// Links that there are not, and times too short to be told apart from the machine's own.
    pub fn plan(setting: &Setting, time: Nanos) -> Result<Self> {
        possible(setting)?;
        let makespan = Account::of(&setting.stream(), 1).makespan();
        let whole = makespan.as_secs_f64();
        let shortest = setting.interval().min(setting.work.mean());
        let at_least = (SHORTEST.as_secs_f64() / shortest.as_secs_f64()).min(1.0);
        let scale = (time.as_secs_f64() / whole).min(1.0).max(at_least);
        let mut trial = setting.clone();
        trial.arrivals = match &setting.arrivals {
            Arrivals::Periodic { interval } => Arrivals::Periodic {
                interval: times(*interval, scale),
            },
            Arrivals::Poisson { mean, seed } => Arrivals::Poisson {
                mean: times(*mean, scale),
                seed: *seed,
            },
            Arrivals::Listed(list) => {
                Arrivals::Listed(list.iter().map(|at| times(*at, scale)).collect())
            }
        };
        trial.work = match setting.work {
            Work::Fixed(work) => Work::Fixed(times(work, scale)),
            Work::Bell {
                mean,
                deviation,
                seed,
            } => Work::Bell {
                mean: times(mean, scale),
                deviation: times(deviation, scale),
                seed,
            },
        };
        let fitting = f64::from(setting.items) * (time.as_secs_f64() / (whole * scale)).min(1.0);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "between 0 and the setting's own number"
        )]
        let fitting = fitting as u32;
        trial.items = fitting.clamp(1, ITEMS_MAX);
        Ok(Self {
            setting: trial,
            scale,
        })
    }
}

fn times(time: Nanos, scale: f64) -> Nanos {
    Nanos::from_secs_f64(time.as_secs_f64() * scale)
}

fn possible(setting: &Setting) -> Result<()> {
    let queue = &setting.queue;
    let refused = |why: &str, fix: &str| {
        Err(Fault::new(
            Kind::Usage,
            "this setting cannot be measured",
            why,
            fix,
        ))
    };
    if queue.when_full == WhenFull::DropOldest {
        return refused(
            "the link that drops the oldest of several is not a link of one writer and one reader; theirs are `every` \
             (drop-newest, block) and `newest`",
            "leave --measure out, or measure --when-full newest-only or drop-newest",
        );
    }
    if queue.room == Some(0) {
        return refused(
            "a link has room for at least one item",
            "give --room 1 or more",
        );
    }
    let equal = matches!(setting.work, Work::Fixed(_));
    if queue.workers > 1 && (queue.room.is_some() || queue.when_full != WhenFull::Block || !equal) {
        return refused(
            "several workers are dealt items in turn, each by a link of its own, which is the model's queue only with \
             room for all and equal work",
            "measure with one worker, or with neither --room nor --when-full nor --spread",
        );
    }
    let shortest = setting.interval().min(setting.work.mean());
    if shortest < REFUSED_BELOW {
        return refused(
            "below 50 us an interval or a step is no longer than what the machine itself takes to wake a thread",
            "measure longer ones",
        );
    }
    Ok(())
}

/// What came out.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    pub trial: Trial,
    pub items: Vec<Item>,
    /// All threads were of a real-time class.
    pub real_time: bool,
    pub theory: Account,
    /// The theory of steps a little shorter and a little longer. Where items come at the very instant at which others are
    /// done, that decides which is first, and much may hang on it.
    pub edges: [Account; 2],
    pub account: Account,
    /// How late a thread that slept until an instant ran: before, with nothing else to do.
    pub wakes: Latencies,
    /// The same of the source, while it was measured.
    pub source_late: Latencies,
    /// From when an item was there and its worker free until it began: the worker's wake-ups, and the link.
    pub handover: Latencies,
    /// How much longer than asked the steps took.
    pub overshoot: Latencies,
    /// The same, of all steps together.
    pub overshoot_sum: Nanos,
    pub replay: Replay,
}

/// The recursion, fed with what really came and what work it really was: what is left is the link and the wake-ups behind
/// it, also on a machine that is busy with something else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Replay {
    /// How far its ends are from the real ones, of items that both have done.
    pub apart: Latencies,
    /// Its mean latency, from the entry into the link.
    pub theory_ns: i64,
    /// The real one of the same items.
    pub measured_ns: i64,
}

/// Runs the trial.
pub fn measure(trial: Trial) -> Result<Measured> {
    let wakes = wake_errors()?;
    let setting = &trial.setting;
    let arrivals = setting.arrivals.instants(setting.items);
    let work = setting
        .work
        .list(u32::try_from(arrivals.len()).unwrap_or(u32::MAX));
    let run = run(&arrivals, &work, &setting.queue)?;
    let overshoots: Vec<Nanos> = run
        .items
        .iter()
        .zip(&work)
        .filter_map(|(item, work)| match item.end {
            End::Done { began, done } => Some(done - began - *work),
            End::Dropped { .. } => None,
        })
        .collect();
    let mut overshoot_sum = Nanos::ZERO;
    overshoots.iter().for_each(|o| overshoot_sum += *o);
    Ok(Measured {
        theory: Account::of(&pass(&arrivals, &work, &setting.queue), setting.item_bytes),
        edges: [-EDGE, EDGE].map(|more| {
            let work: Vec<Nanos> = work.iter().map(|work| *work + more).collect();
            Account::of(&pass(&arrivals, &work, &setting.queue), setting.item_bytes)
        }),
        account: Account::of(&run.items, setting.item_bytes),
        wakes,
        source_late: Latencies::of(run.late.iter().copied()),
        handover: handover(&run.items, setting.queue.workers),
        overshoot: Latencies::of(overshoots),
        overshoot_sum,
        replay: replay(&run.items, &work, &setting.queue),
        items: run.items,
        real_time: run.real_time,
        trial,
    })
}

/// How late a thread of the source's class wakes, on this machine as it is now.
fn wake_errors() -> Result<Latencies> {
    let (mut out, mut errors) = link::every(WAKES, &Bell::silent());
    let mut probe = thread::spawn(spec("wake-probe", SOURCE), move |context| {
        context.wait_for_go();
        let mut due = clock::now() + SHORTEST;
        while out.has_room() {
            clock::sleep_until(due);
            // There is room.
            let _ = out.push(clock::now() - due);
            due += SHORTEST;
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

fn handover(items: &[Item], workers: u16) -> Latencies {
    let mut free = vec![Nanos::ZERO; usize::from(workers)];
    let waits = items.iter().enumerate().filter_map(|(index, item)| {
        let End::Done { began, done } = item.end else {
            return None;
        };
        let before = std::mem::replace(&mut free[index % usize::from(workers)], done);
        Some(began - item.entered?.max(before))
    });
    Latencies::of(waits)
}

fn replay(items: &[Item], work: &[Nanos], queue: &Queue) -> Replay {
    let entered: Vec<Nanos> = items
        .iter()
        .map(|item| item.entered.unwrap_or(item.arrived))
        .scan(Nanos::ZERO, |last, at| {
            *last = at.max(*last);
            Some(*last)
        })
        .collect();
    let work: Vec<Nanos> = items
        .iter()
        .zip(work)
        .map(|(item, work)| match item.end {
            End::Done { began, done } => done - began,
            End::Dropped { .. } => *work,
        })
        .collect();
    let model = pass(&entered, &work, queue);
    let both: Vec<(Nanos, Nanos, Nanos)> = items
        .iter()
        .zip(&model)
        .filter_map(|(real, model)| Some((model.arrived, model.done()?, real.done()?)))
        .collect();
    let theory = both.iter().map(|(entered, model, _)| *model - *entered);
    let measured = both.iter().map(|(entered, _, real)| *real - *entered);
    Replay {
        apart: Latencies::of(both.iter().map(|(_, model, real)| (*real - *model).abs())),
        theory_ns: Latencies::of(theory).mean_ns,
        measured_ns: Latencies::of(measured).mean_ns,
    }
}

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

/// The way into the link, by policy.
enum Out {
    /// One for each worker, dealt in turn.
    Every {
        writers: Vec<EveryWriter<Sent>>,
        blocks: bool,
    },
    Newest(NewestWriter<Sent>),
}

impl Out {
    /// Passes the item on. A full link that blocks is tried again until there is room.
    fn give(&mut self, item: Sent, woke: MonoTime) -> Given {
        let mut given = Given {
            woke,
            at: woke,
            refused: false,
            stale: None,
        };
        match self {
            Self::Newest(writer) => given.stale = writer.push(item).map(|stale| stale.index),
            Self::Every { writers, blocks } => {
                let turn = item.index % writers.len();
                let writer = &mut writers[turn];
                // BOUND: the worker takes an item after the work of one, unless it is gone.
                while *blocks && !writer.has_room() && !writer.is_abandoned() {
                    clock::sleep_until(clock::now() + LOOK_AGAIN);
                    given.at = clock::now();
                }
                given.refused = writer.push(item).is_err();
            }
        }
        given
    }
}

/// The way out of the link.
enum In {
    Every(EveryReader<Sent>),
    Newest(NewestReader<Sent>),
}

impl In {
    fn pop(&mut self) -> Option<Sent> {
        match self {
            Self::Every(reader) => reader.pop(),
            Self::Newest(reader) => reader.pop(),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Every(reader) => reader.is_empty(),
            Self::Newest(reader) => reader.is_empty(),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Self::Every(reader) => reader.is_abandoned(),
            Self::Newest(reader) => reader.is_abandoned(),
        }
    }
}

struct Run {
    real_time: bool,
    items: Vec<Item>,
    late: Vec<Nanos>,
}

fn run(arrivals: &[Nanos], work: &[Nanos], queue: &Queue) -> Result<Run> {
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

fn open_links(queue: &Queue, count: usize, bells: &[Bell]) -> (Out, Vec<In>) {
    if queue.when_full == WhenFull::NewestOnly {
        let (writer, reader) = link::newest(&bells[0]);
        return (Out::Newest(writer), vec![In::Newest(reader)]);
    }
    let room = queue.room.map_or(count, |room| {
        usize::try_from(room).unwrap_or(usize::MAX).min(count)
    });
    let (writers, readers) = bells
        .iter()
        .map(|bell| link::every(room, bell))
        .map(|(writer, reader)| (writer, In::Every(reader)))
        .unzip();
    let blocks = queue.when_full == WhenFull::Block;
    (Out::Every { writers, blocks }, readers)
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
    mut out: Out,
    mut told: EveryWriter<Given>,
) {
    context.wait_for_go();
    for (index, &(at, work)) in list.iter().enumerate() {
        clock::sleep_until(start + at);
        let woke = clock::now();
        context.beat.strike(woke);
        let given = out.give(Sent { index, work }, woke);
        // There is room for all.
        let _ = told.push(given);
    }
}

/// A worker's thread: busy for as long as the item's work is.
fn work_off(context: &Context, mut input: In, bell: &Bell, mut told: EveryWriter<Worked>) {
    context.wait_for_go();
    // BOUND: until the source is gone and the link empty.
    loop {
        let turn = clock::now() + crate::stage::IDLE_TURN;
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
