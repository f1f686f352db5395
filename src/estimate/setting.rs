//! Everything that a comparison of batch and stream depends on, and its limits.

use serde::Serialize;

use crate::estimate::account::Account;
use crate::estimate::arrivals::{Arrivals, Work};
use crate::estimate::closed::Periodic;
use crate::estimate::document::Formulas;
use crate::estimate::figure::ratio;
use crate::estimate::queue::{Item, Queue, WhenFull, pass};
use crate::estimate::window::Window;
use crate::units::Nanos;

/// The most items of one estimate.
// BOUND: an item takes some 100 bytes here, so 100 MB; at 30 a second they are nine hours.
pub const ITEMS_MAX: u32 = 1_000_000;
/// The longest interval and work.
// BOUND: a million items of an hour each, twice, stay below the 292 years of `Nanos`.
pub const TIME_MAX: Nanos = Nanos::from_secs(3600);

/// The largest item.
// BOUND: a million of them stay below what a u64 counts.
pub const BYTES_MAX: u64 = 1_000_000_000_000;

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub items: u32,
    pub arrivals: Arrivals,
    pub work: Work,
    pub queue: Queue,
    pub item_bytes: u64,
    /// Windows over the items, if any; each is as much work as an item.
    pub window: Option<Window>,
    /// What latencies should stay below, if anything.
    pub goal: Option<Nanos>,
}

impl Setting {
    /// One worker, room for all, 1 MB an item, and neither windows nor a goal.
    pub fn periodic(items: u32, interval: Nanos, work: Nanos) -> Self {
        Self {
            items,
            arrivals: Arrivals::Periodic { interval },
            work: Work::Fixed(work),
            queue: Queue::default(),
            item_bytes: 1_000_000,
            window: None,
            goal: None,
        }
    }

    /// Refuses what would compute nonsense, or for ever.
    pub fn check(&self) -> Result<(), String> {
        if !(1..=ITEMS_MAX).contains(&self.items) {
            return Err(format!(
                "{} items: 1 to {ITEMS_MAX} can be computed",
                self.items
            ));
        }
        if self.queue.workers == 0 {
            return Err("0 workers: somebody has to work".to_owned());
        }
        if let Arrivals::Listed(instants) = &self.arrivals
            && instants.iter().any(|at| *at < Nanos::ZERO)
        {
            return Err("an arrival before the start: instants count from 0".to_owned());
        }
        if self.item_bytes > BYTES_MAX {
            return Err(format!(
                "items of {} bytes: up to {BYTES_MAX} can be computed",
                self.item_bytes
            ));
        }
        let drops = matches!(
            self.queue.when_full,
            WhenFull::DropNewest | WhenFull::DropOldest
        );
        if drops && self.queue.room.is_none() {
            return Err(format!(
                "{} with room for all: nothing is ever dropped; say how many can wait",
                self.queue.when_full.name()
            ));
        }
        if let Work::Bell { deviation, .. } = self.work
            && !(Nanos::ZERO..=TIME_MAX).contains(&deviation)
        {
            return Err(format!(
                "a standard deviation of {deviation} is outside of 0 to 3600 s"
            ));
        }
        for (name, time) in [("an interval", self.interval()), ("work", self.work.mean())] {
            if !(Nanos(1)..=TIME_MAX).contains(&time) {
                return Err(format!("{name} of {time} is outside of 1 ns to 3600 s"));
            }
        }
        Ok(())
    }

    pub fn interval(&self) -> Nanos {
        self.arrivals.interval()
    }

    /// Work that comes over work that can be done.
    pub fn utilisation(&self) -> f64 {
        ratio(
            self.work.mean(),
            self.interval() * i64::from(self.queue.workers),
        )
    }

    /// What the document's formulas are about.
    pub fn formulas(&self) -> Formulas {
        Formulas {
            items: self.items,
            interval: self.interval(),
            work: self.work.mean(),
        }
    }

    /// What the closed forms are about, if this is such a stream.
    pub fn closed(&self) -> Option<Periodic> {
        match (&self.arrivals, self.work) {
            (Arrivals::Periodic { interval }, Work::Fixed(work)) => Some(Periodic {
                items: self.items,
                interval: *interval,
                work,
                workers: self.queue.workers,
            }),
            _ => None,
        }
    }

    /// The items of the stream: each is worked on as soon as a worker is free.
    pub fn stream(&self) -> Vec<Item> {
        self.stream_through(&self.queue)
    }

    /// The same through another queue.
    pub fn stream_through(&self, queue: &Queue) -> Vec<Item> {
        let arrived = self.arrivals.instants(self.items);
        pass(&arrived, &self.work.list(count(&arrived)), queue)
    }

    /// The items of the batch: all are collected, and then worked on, one after another for each worker.
    pub fn batch(&self) -> Vec<Item> {
        let arrived = self.arrivals.instants(self.items);
        let all_there = arrived.last().copied().unwrap_or_default();
        let released = vec![all_there; arrived.len()];
        let workers = Queue::unbounded(self.queue.workers);
        let mut items = pass(&released, &self.work.list(count(&arrived)), &workers);
        for (item, arrived) in items.iter_mut().zip(arrived) {
            item.arrived = arrived;
            item.entered = Some(arrived);
        }
        items
    }

    pub fn outcome(&self) -> Outcome {
        let (batch, stream) = (self.batch(), self.stream());
        Outcome {
            batch: Account::of_batch(&batch, self.item_bytes),
            stream: Account::of(&stream, self.item_bytes),
        }
    }
}

fn count(arrived: &[Nanos]) -> u32 {
    u32::try_from(arrived.len()).unwrap_or(u32::MAX)
}

/// The accounts of both ways.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Outcome {
    /// Latencies of results that leave one by one, as each is done.
    pub batch: Account,
    pub stream: Account,
}
