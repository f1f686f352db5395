//! The same with real threads, a real link and the real clock: does the machine do what the model says?
//!
//! A source thread passes each item on at its instant; workers take it from the link and are busy, by the clock, for as
//! long as its work is. What is busy can be interrupted, and who sleeps wakes late; both are measured, and the bounds
//! within which theory and measurement must agree are widened by them. Where that is too much, nothing is claimed.
//!
//! Thread: main, which waits for those of `threads`. Allocates: yes.

use serde::Serialize;

use crate::error::{Fault, Kind, Result};
use crate::estimate::account::{Account, Latencies};
use crate::estimate::arrivals::{Arrivals, Work};
use crate::estimate::queue::{End, Item, Queue, WhenFull, pass};
use crate::estimate::setting::Setting;
use crate::estimate::threads::{run, wake_errors};
use crate::rt::thread::allowed_cores;
use crate::units::Nanos;

/// The shortest interval and work to which a setting is scaled down.
// BOUND: some ten times what a wake-up takes on a machine that is not tuned, 100 us.
const SHORTEST: Nanos = Nanos::from_millis(1);
/// What can be measured at all: below this the clock and the link are a part of the work.
const REFUSED_BELOW: Nanos = Nanos::from_micros(50);
/// The most items of a measurement.
// BOUND: their results lie in links of this size, 32 bytes an item, until the end.
const ITEMS_MAX: u32 = 100_000;
/// How much shorter and longer.
// BOUND: a reading of the clock and a pop take less, and it is less than 1 % of the shortest work that is measured.
const EDGE: Nanos = Nanos(400);

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
    let cores = allowed_cores().len();
    if usize::from(queue.workers) > cores {
        return refused(
            &format!(
                "{} workers are busy at once, and this process may run on {cores} cores",
                queue.workers
            ),
            "measure with fewer workers, or on a larger machine",
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

/// From when an item was there and its worker free until it began.
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
