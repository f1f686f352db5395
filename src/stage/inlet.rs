//! Where a thread's input comes from: one link, or several workers in turn.
//!
//! Thread: the reader's. Allocates: when built. Blocks: no. Locks: no. Syscalls: no.

use super::next::Turn;
use super::{Item, Step};
use crate::clock;
use crate::link::{EveryReader, LinkCount, NewestReader, RecentReader};
use crate::units::Nanos;

/// See the module.
#[derive(Debug)]
pub struct Inlet<T> {
    from: From<T>,
    /// What is older than this is not worth working on.
    expire: Option<Nanos>,
}

#[derive(Debug)]
pub(super) enum From<T> {
    Newest(NewestReader<T>),
    Recent(RecentReader<T>),
    Every(EveryReader<T>),
    /// Results of workers who were dealt one item each in turn, and give one result for each, if a void one.
    InTurn {
        readers: Vec<EveryReader<T>>,
        turn: Turn,
        /// Whose result was popped last.
        last: usize,
        /// Of several that are there only the newest is worth working on.
        newest_only: bool,
    },
}

impl<T> From<T> {
    pub fn in_turn(readers: Vec<EveryReader<T>>, newest_only: bool) -> Self {
        Self::InTurn {
            readers,
            turn: Turn::first(),
            last: 0,
            newest_only,
        }
    }
}

impl<T: Item> Inlet<T> {
    pub(super) fn new(from: From<T>, expire: Option<Nanos>) -> Self {
        Self { from, expire }
    }

    pub fn is_empty(&self) -> bool {
        match &self.from {
            From::Newest(reader) => reader.is_empty(),
            From::Recent(reader) => reader.is_empty(),
            From::Every(reader) => reader.is_empty(),
            From::InTurn { readers, turn, .. } => {
                let reader = &readers[turn.now()];
                // A worker that is gone loses its turn.
                reader.is_empty()
                    && (!reader.is_abandoned() || readers.iter().all(EveryReader::is_empty))
            }
        }
    }

    pub fn is_abandoned(&self) -> bool {
        match &self.from {
            From::Newest(reader) => reader.is_abandoned(),
            From::Recent(reader) => reader.is_abandoned(),
            From::Every(reader) => reader.is_abandoned(),
            From::InTurn { readers, .. } => readers.iter().all(EveryReader::is_abandoned),
        }
    }

    pub fn pop(&mut self) -> Option<T> {
        match &mut self.from {
            From::Newest(reader) => reader.pop(),
            From::Recent(reader) => reader.pop(),
            From::Every(reader) => reader.pop(),
            From::InTurn {
                readers,
                turn,
                last,
                ..
            } => {
                let of = readers.len();
                for _ in 0..of {
                    *last = turn.now();
                    let reader = &mut readers[*last];
                    // Looked at before `pop`: what was pushed before the worker went is then surely seen.
                    let gone = reader.is_abandoned();
                    let item = reader.pop();
                    if item.is_none() && !gone {
                        return None;
                    }
                    turn.pass(of);
                    if item.is_some() {
                        return item;
                    }
                }
                None
            }
        }
    }

    /// The item, or a newer one that has overtaken it, if it is worth working on. What is not goes home.
    pub(super) fn worth(&mut self, mut item: T, step: &mut dyn Step<T>) -> Option<T> {
        let mut whose = self.last();
        if let From::InTurn {
            newest_only: true, ..
        } = self.from
        {
            // BOUND: the results that find room in the links of all workers.
            while let Some(newer) = self.pop() {
                if newer.is_void() {
                    step.discard(newer);
                    continue;
                }
                if !item.is_void() {
                    self.counted(whose).expire();
                }
                step.discard(std::mem::replace(&mut item, newer));
                whose = self.last();
            }
        }
        if item.is_void() || self.expires(&item, whose) {
            step.discard(item);
            return None;
        }
        Some(item)
    }

    /// True if this item, which was popped just now, is too old to be worked on; then it is counted as such.
    pub fn is_expired(&self, item: &T) -> bool {
        self.expires(item, self.last())
    }

    fn expires(&self, item: &T, whose: usize) -> bool {
        let expired = self
            .expire
            .is_some_and(|age| clock::now() - item.captured() > age);
        if expired {
            self.counted(whose).expire();
        }
        expired
    }

    /// Whose result was popped last.
    fn last(&self) -> usize {
        match self.from {
            From::InTurn { last, .. } => last,
            _ => 0,
        }
    }

    fn counted(&self, whose: usize) -> &LinkCount {
        match &self.from {
            From::Newest(reader) => reader.counted(),
            From::Recent(reader) => reader.counted(),
            From::Every(reader) => reader.counted(),
            From::InTurn { readers, .. } => readers[whose].counted(),
        }
    }
}
