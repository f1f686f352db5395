//! Which chunk plays at an instant: the newest one whose time has come.
//!
//! Thread: action. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: none.
//!
//! A chunk that begins in the future waits, and the one before plays on until then: chunks are spliced by
//! time, not by arrival. A newer chunk replaces the waiting ones that would begin at or after it; those that
//! begin before it still get their turn, so a policy that always plans ahead is never starved.

use super::{Chunk, Refusal};
use crate::sensor::DOF_MAX;
use crate::telemetry::trace::Mark;
use crate::units::{MonoTime, Nanos};

/// BOUND: chunks that wait for their time: a policy at 100 Hz that plans 80 ms ahead.
const WAITING_MAX: usize = 8;

/// See the module.
#[derive(Debug)]
pub struct Schedule {
    /// The chunk that plays, if `plays`.
    current: Box<Chunk>,
    plays: bool,
    /// In the order in which they begin.
    waiting: Vec<Chunk>,
    /// Capture time of the newest data accepted so far.
    newest: MonoTime,
    /// The chunk that plays has given an action.
    was_played: bool,
    /// Accepted chunks that were replaced or dropped before they gave an action.
    unplayed: u64,
}

impl Schedule {
    pub fn new(dof: u8) -> Self {
        Self {
            current: Box::new(Chunk::new(dof)),
            plays: false,
            waiting: Vec::with_capacity(WAITING_MAX),
            newest: MonoTime::ZERO,
            was_played: true,
            unplayed: 0,
        }
    }

    pub fn playing(&self) -> Option<&Chunk> {
        self.plays.then_some(&*self.current)
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Accepted chunks that never gave an action, since the start.
    pub fn unplayed(&self) -> u64 {
        self.unplayed
    }

    /// True the first time for each chunk that plays.
    pub fn mark_played(&mut self) -> bool {
        !std::mem::replace(&mut self.was_played, true)
    }

    /// Takes a chunk whose values have been checked, or says why it cannot play.
    pub fn offer(&mut self, chunk: &Chunk, at: MonoTime, within: Nanos) -> Result<(), Refusal> {
        let captured = chunk.trace.at(Mark::Captured);
        if !captured.is_set() || captured - at > within {
            return Err(Refusal::BadStamp);
        }
        if captured < self.newest {
            return Err(Refusal::Older);
        }
        if runs_out(chunk) <= at {
            return Err(Refusal::Late);
        }
        if chunk.begin - at > within {
            return Err(Refusal::TooEarly);
        }
        self.newest = captured;
        // BOUND: at most WAITING_MAX chunks are looked at.
        while self.waiting.last().is_some_and(|w| w.begin >= chunk.begin) {
            self.waiting.pop();
            self.unplayed += 1;
        }
        if self.waiting.len() == WAITING_MAX {
            // The last one would play the shortest before this one takes over.
            self.waiting.pop();
            self.unplayed += 1;
        }
        self.waiting.push(*chunk);
        Ok(())
    }

    /// Lets the newest chunk whose time has come play. Returns true when that is another one than before.
    pub fn advance(&mut self, at: MonoTime) -> bool {
        let due = self.waiting.iter().take_while(|w| w.begin <= at).count();
        let Some(last) = due.checked_sub(1) else {
            return false;
        };
        *self.current = self.waiting[last];
        self.plays = true;
        self.unplayed += last as u64 + u64::from(!self.was_played);
        self.was_played = false;
        self.waiting.drain(..due);
        true
    }

    /// Drops every chunk. What is older than the newest seen so far stays refused.
    pub fn clear(&mut self) {
        self.unplayed += self.waiting.len() as u64 + u64::from(!self.was_played);
        self.was_played = true;
        self.waiting.clear();
        self.plays = false;
    }
}

/// The instant from which nothing of a chunk is left to play: its last target holds for one step.
pub fn runs_out(chunk: &Chunk) -> MonoTime {
    chunk.end() + chunk.step
}

/// The targets at an instant, linear between steps. Before the first step the first piece is extended back,
/// so that a chunk's speed is known on the tick that begins it; after the last step its targets hold.
#[expect(
    clippy::cast_precision_loss,
    reason = "an offset inside a chunk is far below 2^53 ns"
)]
pub fn targets_at(chunk: &Chunk, at: MonoTime) -> [f64; DOF_MAX] {
    let steps = chunk.steps();
    let Some(last) = steps.len().checked_sub(1) else {
        return [0.0; DOF_MAX];
    };
    if last == 0 {
        return steps[0].map(f64::from);
    }
    let position = (at - chunk.begin).0 as f64 / chunk.step.0 as f64;
    if position >= last as f64 {
        return steps[last].map(f64::from);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and last, by the checks above"
    )]
    let index = position.max(0.0) as usize;
    let share = position - index as f64;
    let (from, to) = (&steps[index], &steps[index + 1]);
    std::array::from_fn(|j| {
        let (from, to) = (f64::from(from[j]), f64::from(to[j]));
        from + (to - from) * share
    })
}
