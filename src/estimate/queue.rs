//! The exact model: items pass through a room for those that wait and on to the first free worker, in order.
//!
//! With one worker and room for all this is the recursion of every textbook: item i begins at
//! `max(arrival i, end of i - 1)`; with W workers and equal work it is the end of i - W. (Lindley: The theory of queues
//! with a single server, 1952; Kiefer, Wolfowitz: On the theory of queues with many servers, 1955.)
//!
//! Where two things happen at one instant, work ends first, then the longest waiting item begins, then the new one comes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

pub use crate::link::policy::WhenFull;
use crate::units::Nanos;

/// Who works, and where items wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Queue {
    /// At least 1.
    pub workers: u16,
    /// How many items can wait, besides those being worked on. None: all.
    pub room: Option<u32>,
    pub when_full: WhenFull,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            workers: 1,
            room: None,
            when_full: WhenFull::Block,
        }
    }
}

impl Queue {
    /// Room for all.
    pub fn unbounded(workers: u16) -> Self {
        Self {
            workers,
            ..Self::default()
        }
    }

    fn room(&self) -> usize {
        let room = match self.when_full {
            WhenFull::NewestOnly => Some(1),
            _ => self.room,
        };
        room.map_or(usize::MAX, |room| {
            usize::try_from(room).unwrap_or(usize::MAX)
        })
    }
}

/// What became of an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Item {
    pub arrived: Nanos,
    /// When it came into the room (or at once to a worker). Later than `arrived` where the source had to hold it; none if
    /// there was no room for it.
    pub entered: Option<Nanos>,
    pub end: End,
}

/// How an item's passage ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Done { began: Nanos, done: Nanos },
    Dropped { at: Nanos },
}

impl Item {
    /// When its work was done.
    pub fn done(&self) -> Option<Nanos> {
        match self.end {
            End::Done { done, .. } => Some(done),
            End::Dropped { .. } => None,
        }
    }

    /// From arrival until its work was done.
    pub fn latency(&self) -> Option<Nanos> {
        self.done().map(|done| done - self.arrived)
    }

    /// When it left the room and the workers.
    pub fn left(&self) -> Nanos {
        match self.end {
            End::Done { done: at, .. } | End::Dropped { at } => at,
        }
    }
}

/// Sends items through the queue. `arrived` must not decrease; `work` has an entry for each item.
///
/// # Panics
/// If the lists differ in length, `arrived` decreases, or there is no worker.
pub fn pass(arrived: &[Nanos], work: &[Nanos], queue: &Queue) -> Vec<Item> {
    assert_eq!(arrived.len(), work.len(), "each item has its work");
    assert!(arrived.is_sorted(), "items arrive in order");
    assert!(queue.workers > 0, "somebody has to work");
    let mut state = State {
        free: (0..queue.workers).map(|_| Reverse(Nanos::ZERO)).collect(),
        waiting: VecDeque::new(),
        items: Vec::with_capacity(arrived.len()),
        work,
    };
    let room = queue.room();
    for (index, &at) in arrived.iter().enumerate() {
        state.begin_waiting_until(at);
        // Until it begins, an item's end is open; every waiting one is closed by the end of this function.
        state.items.push(Item {
            arrived: at,
            entered: Some(at),
            end: End::Dropped { at },
        });
        let has_room = queue.when_full == WhenFull::Block || state.waiting.len() < room;
        if state.waiting.is_empty() && state.free_at() <= at {
            state.begin(index, at);
        } else if has_room {
            state.waiting.push_back(index);
        } else {
            state.turn_away(index, at, queue.when_full);
        }
    }
    state.begin_waiting_until(Nanos::MAX);
    let mut items = state.items;
    if queue.when_full == WhenFull::Block {
        hold_at_source(&mut items, room);
    }
    items
}

struct State<'a> {
    /// When each worker is free, the earliest on top.
    free: BinaryHeap<Reverse<Nanos>>,
    /// Indices of items, the longest waiting first.
    waiting: VecDeque<usize>,
    items: Vec<Item>,
    work: &'a [Nanos],
}

impl State<'_> {
    fn free_at(&self) -> Nanos {
        self.free.peek().map_or(Nanos::MAX, |free| free.0)
    }

    fn begin_waiting_until(&mut self, now: Nanos) {
        while self.free_at() <= now
            && let Some(index) = self.waiting.pop_front()
        {
            let began = self.free_at().max(self.items[index].arrived);
            self.begin(index, began);
        }
    }

    fn begin(&mut self, index: usize, began: Nanos) {
        let done = began + self.work[index];
        self.free.pop();
        self.free.push(Reverse(done));
        self.items[index].end = End::Done { began, done };
    }

    fn turn_away(&mut self, index: usize, at: Nanos, when_full: WhenFull) {
        let oldest = match when_full {
            WhenFull::Block | WhenFull::DropNewest => None,
            WhenFull::DropOldest | WhenFull::NewestOnly => self.waiting.pop_front(),
        };
        match oldest {
            Some(oldest) => {
                self.items[oldest].end = End::Dropped { at };
                self.waiting.push_back(index);
            }
            None => self.items[index].entered = None,
        }
    }
}

/// An item that the source holds enters when the one `room` places before it begins.
fn hold_at_source(items: &mut [Item], room: usize) {
    for index in room..items.len() {
        let before = match items[index - room].end {
            End::Done { began, .. } => began,
            End::Dropped { at } => at,
        };
        let began = items[index].arrived.max(before);
        items[index].entered = Some(began);
    }
}

/// How many items were in the room and at work from each instant on, until the next. The source's own are not counted.
pub fn in_system(items: &[Item]) -> Vec<(Nanos, u32)> {
    let stays = items.iter().filter_map(|item| {
        let (entered, left) = (item.entered?, item.left());
        (entered < left).then_some((entered, left))
    });
    // `false` sorts first: at one instant items leave before others come.
    let mut steps: Vec<(Nanos, bool)> = stays
        .flat_map(|(entered, left)| [(entered, true), (left, false)])
        .collect();
    steps.sort_unstable();
    let mut count = 0u32;
    let count_step = |(at, enters)| {
        count = if enters { count + 1 } else { count - 1 };
        (at, count)
    };
    steps.into_iter().map(count_step).collect()
}
