//! Where a stage's output goes: on by a call, or into a link, or to several workers in turn.
//!
//! Thread: the stage's. Allocates: when built. Blocks: no. Locks: no. Syscalls: at most one futex wake.

use super::{Item, Step, touch};
use crate::link::policy::{LinkPolicy, WhenFull};
use crate::link::{EveryWriter, LinkCount, NewestWriter, RecentWriter};
use crate::rt::sync::Arc;
use crate::units::MonoTime;

/// See the module.
pub struct Next<T> {
    to: To<T>,
    /// One item of so many is passed on.
    one_of: u32,
    /// Items since the last that was.
    since: u32,
    blocks: bool,
}

/// The ways. The links' writers know what they do with an item too many.
pub(super) enum To<T> {
    /// The next stage runs on this thread, now.
    Call(Box<dyn Step<T>>, Arc<LinkCount>),
    Newest(NewestWriter<T>),
    Recent(RecentWriter<T>),
    Every(EveryWriter<T>),
    DealtNewest {
        writers: Vec<NewestWriter<T>>,
        turn: Turn,
        /// Whose link got the item before this one. At most one item waits, and it waits there: the next worker gets its
        /// item only when this one has begun, so each gets exactly one a turn.
        last: Option<usize>,
    },
    DealtEvery {
        writers: Vec<EveryWriter<T>>,
        turn: Turn,
    },
}

/// Whose turn it is.
#[derive(Debug)]
pub(super) struct Turn(usize);

impl Turn {
    pub fn first() -> Self {
        Self(0)
    }

    pub fn now(&self) -> usize {
        self.0
    }

    pub fn pass(&mut self, of: usize) {
        self.0 = (self.0 + 1) % of;
    }
}

impl<T> To<T> {
    pub fn dealt_newest(writers: Vec<NewestWriter<T>>) -> Self {
        Self::DealtNewest {
            writers,
            turn: Turn::first(),
            last: None,
        }
    }

    pub fn dealt_every(writers: Vec<EveryWriter<T>>) -> Self {
        Self::DealtEvery {
            writers,
            turn: Turn::first(),
        }
    }
}

impl<T: Item> Next<T> {
    pub(super) fn new(to: To<T>, policy: LinkPolicy) -> Self {
        Self {
            to,
            one_of: policy.one_of,
            since: 0,
            blocks: policy.when_full == WhenFull::Block,
        }
    }

    /// The next stage on this thread. Counted like a link, so that every hand-over can be accounted for. Of the policy
    /// counts what is left out: nothing ever waits.
    pub fn call(step: Box<dyn Step<T>>, policy: LinkPolicy) -> Self {
        Self::new(To::Call(step, Arc::default()), policy)
    }

    /// Passes the item on. Gives back what did not find its way: the item itself, or one that it took the place of. That has
    /// been counted.
    pub fn deliver(&mut self, item: T) -> Option<T> {
        if self.one_of > 1 {
            let chosen = self.since == 0;
            self.since = (self.since + 1) % self.one_of;
            if !chosen {
                self.count_of_turn().skip();
                return Some(item);
            }
        }
        match &mut self.to {
            To::Call(step, count) => {
                count.pass();
                step.step(item);
                None
            }
            To::Newest(writer) => writer.push(item),
            To::Recent(writer) => writer.push(item),
            To::Every(writer) => writer.push(item).err(),
            To::DealtNewest {
                writers,
                turn,
                last,
            } => {
                let mut item = item;
                if let Some(last) = *last {
                    match writers[last].replace(item) {
                        Ok(stale) => return Some(stale),
                        Err(back) => item = back,
                    }
                }
                let (at, of) = (turn.now(), writers.len());
                *last = Some(at);
                turn.pass(of);
                writers[at].push(item)
            }
            To::DealtEvery { writers, turn } => {
                let (at, of) = (turn.now(), writers.len());
                let refused = writers[at].push(item).err();
                if refused.is_none() {
                    turn.pass(of);
                }
                refused
            }
        }
    }

    /// False while the next item has to wait at its source.
    pub fn has_room(&self) -> bool {
        if !self.blocks {
            return true;
        }
        match &self.to {
            To::Every(writer) => writer.has_room(),
            To::DealtEvery { writers, turn } => writers[turn.now()].has_room(),
            To::Call(..) | To::Newest(_) | To::Recent(_) | To::DealtNewest { .. } => true,
        }
    }

    pub fn idle(&mut self, now: MonoTime) {
        if let To::Call(step, _) = &mut self.to {
            step.idle(now);
        }
    }

    /// See [`Step::rehearse`].
    pub fn rehearse(&mut self) {
        match &mut self.to {
            To::Call(step, _) => step.rehearse(),
            To::Newest(writer) => touch(writer.is_abandoned()),
            To::Recent(writer) => touch(writer.is_abandoned()),
            To::Every(writer) => touch(writer.has_room()),
            To::DealtNewest { writers, turn, .. } => touch(writers[turn.now()].is_abandoned()),
            To::DealtEvery { writers, turn } => touch(writers[turn.now()].has_room()),
        }
    }

    /// As in the report: `call`, or the kind of link.
    pub fn kind(&self) -> &'static str {
        match self.to {
            To::Call(..) => "call",
            To::Newest(_) | To::DealtNewest { .. } => "newest",
            To::Recent(_) => "recent",
            To::Every(_) | To::DealtEvery { .. } => "every",
        }
    }

    /// Of the link, or of the first of several.
    pub fn count(&self) -> Arc<LinkCount> {
        self.counts().swap_remove(0)
    }

    /// Of each link, in turn.
    pub fn counts(&self) -> Vec<Arc<LinkCount>> {
        match &self.to {
            To::Call(_, count) => vec![Arc::clone(count)],
            To::Newest(writer) => vec![writer.count()],
            To::Recent(writer) => vec![writer.count()],
            To::Every(writer) => vec![writer.count()],
            To::DealtNewest { writers, .. } => writers.iter().map(NewestWriter::count).collect(),
            To::DealtEvery { writers, .. } => writers.iter().map(EveryWriter::count).collect(),
        }
    }

    /// Where an item that is left out on purpose is counted: with the first link.
    fn count_of_turn(&self) -> &LinkCount {
        match &self.to {
            To::Call(_, count) => count,
            To::Newest(writer) => writer.counted(),
            To::Recent(writer) => writer.counted(),
            To::Every(writer) => writer.counted(),
            To::DealtNewest { writers, .. } => writers[0].counted(),
            To::DealtEvery { writers, .. } => writers[0].counted(),
        }
    }
}
