//! The ladder of fallbacks: which rung an action comes from, decided by the age of the data behind it.
//!
//! Thread: action. Allocates: no. Blocks: no. Locks: no. Syscalls: none.
//!
//! ```text
//!            data age > fresh_within      chunk has run out, or data age >= hold_after
//!   Fresh -----------------------> Tail ------------------> Hold <--- start, reset
//!     ^                              |                       |
//!     +--- a newer chunk plays ------+-----------------------+      data age >= stop_after, or no first
//!                                                            |      chunk in time, or the run ends
//!                                                            v
//!                                                        SafeStop: left by `reset` only
//! ```
//! Each step down may skip rungs (a process that was halted finds its data too old at once). Steps up need a
//! newer chunk; time alone never improves anything, whatever the clock does.

use super::Rung;
use crate::units::{MonoTime, Nanos};

/// The time-outs; `fresh_within <= hold_after <= stop_after`.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub fresh_within: Nanos,
    pub hold_after: Nanos,
    pub stop_after: Nanos,
    pub first_chunk_within: Nanos,
}

/// What the ladder looks at: the chunk that plays now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Playing {
    /// Now minus the capture time of the frame behind it.
    pub age: Nanos,
    /// Its last step has been played.
    pub ended: bool,
    /// It came into play on this tick.
    pub begins: bool,
}

/// The state machine.
#[derive(Clone, Debug)]
pub struct Ladder {
    timeouts: Timeouts,
    latch: bool,
    rung: Rung,
    stopping: bool,
    /// The first tick since the start or the last reset.
    waiting_since: Option<MonoTime>,
}

impl Ladder {
    pub fn new(timeouts: Timeouts, latch: bool) -> Self {
        Self {
            timeouts,
            latch,
            rung: Rung::Hold,
            stopping: false,
            waiting_since: None,
        }
    }

    pub fn rung(&self) -> Rung {
        self.rung
    }

    /// The run ends: from the next step on there is only the safe action.
    pub fn begin_stop(&mut self) {
        self.stopping = true;
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// True when no chunk can change anything any more, short of a reset.
    pub fn is_latched(&self) -> bool {
        self.stopping || (self.latch && self.rung == Rung::SafeStop)
    }

    /// An operator says that it may go on. Refused (false) unless it is stopped, and when the run ends.
    pub fn reset(&mut self) -> bool {
        let possible = self.rung == Rung::SafeStop && !self.stopping;
        if possible {
            self.rung = Rung::Hold;
            self.waiting_since = None;
        }
        possible
    }

    /// One tick. `playing` is None before the first chunk, and after a stop or reset until the next.
    pub fn step(&mut self, now: MonoTime, playing: Option<Playing>) -> Rung {
        let since = *self.waiting_since.get_or_insert(now);
        self.rung = match playing {
            _ if self.is_latched() => Rung::SafeStop,
            None if now - since >= self.timeouts.first_chunk_within => Rung::SafeStop,
            None => self.rung.max(Rung::Hold),
            Some(playing) if playing.begins => self.by_age(playing),
            Some(playing) => self.rung.max(self.by_age(playing)),
        };
        self.rung
    }

    fn by_age(&self, playing: Playing) -> Rung {
        let times = &self.timeouts;
        if playing.age >= times.stop_after {
            Rung::SafeStop
        } else if playing.ended || playing.age >= times.hold_after {
            Rung::Hold
        } else if playing.age > times.fresh_within {
            Rung::Tail
        } else {
            Rung::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMES: Timeouts = Timeouts {
        fresh_within: Nanos(10),
        hold_after: Nanos(20),
        stop_after: Nanos(30),
        first_chunk_within: Nanos(40),
    };

    /// One thing that can happen on a tick.
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Event {
        Nothing,
        Plays { age: i64, ended: bool, begins: bool },
        Reset,
        Stop,
    }

    fn alphabet() -> Vec<Event> {
        let mut events = vec![Event::Nothing, Event::Reset, Event::Stop];
        for age in [0, 10, 11, 20, 30] {
            for ended in [false, true] {
                for begins in [false, true] {
                    events.push(Event::Plays { age, ended, begins });
                }
            }
        }
        events
    }

    fn apply(ladder: &mut Ladder, event: Event, now: i64) -> Rung {
        let mut playing = None;
        match event {
            Event::Nothing => {}
            Event::Plays { age, ended, begins } => {
                playing = Some(Playing {
                    age: Nanos(age),
                    ended,
                    begins,
                });
            }
            Event::Reset => {
                ladder.reset();
            }
            Event::Stop => ladder.begin_stop(),
        }
        ladder.step(MonoTime(now), playing)
    }

    /// The promises, each stated on its own, for one step from `before` to `after`.
    fn check(before: &Ladder, event: Event, after: Rung, latch: bool, waited: i64) {
        let from = before.rung;
        let improved = after < from;
        let why = || format!("{from:?} --{event:?}--> {after:?} (latch {latch})");
        if before.stopping || event == Event::Stop {
            assert_eq!(after, Rung::SafeStop, "stopping is for ever: {}", why());
            return;
        }
        if from == Rung::SafeStop && event != Event::Reset && latch {
            assert_eq!(after, Rung::SafeStop, "a latched stop stays: {}", why());
            return;
        }
        match event {
            Event::Plays { age, ended, begins } => {
                assert!(begins || !improved, "time improves nothing: {}", why());
                assert!(after != Rung::Fresh || (age <= 10 && !ended), "{}", why());
                assert!(after != Rung::Tail || (age < 20 && !ended), "{}", why());
                assert!(after == Rung::SafeStop || age < 30, "{}", why());
                if begins && age <= 10 && !ended {
                    assert_eq!(after, Rung::Fresh, "a fresh chunk recovers: {}", why());
                }
                if begins && (11..20).contains(&age) && !ended {
                    assert_eq!(after, Rung::Tail, "{}", why());
                }
            }
            Event::Reset if from == Rung::SafeStop => assert_eq!(after, Rung::Hold, "{}", why()),
            Event::Nothing | Event::Reset => {
                assert!(!improved, "{}", why());
                assert!(after >= Rung::Hold, "nothing plays: {}", why());
                assert!(waited < 40 || after == Rung::SafeStop, "{}", why());
            }
            Event::Stop => unreachable!("handled above"),
        }
    }

    /// Every sequence of four events from every reachable state: 23^4 sequences, both kinds of latch.
    #[test]
    fn every_short_sequence_of_events_keeps_every_promise() {
        fn explore(ladder: &Ladder, events: &[Event], depth: u32, now: i64, latch: bool) -> u64 {
            if depth == 0 {
                return 1;
            }
            let mut seen = 0;
            for &event in events {
                // A step of 21 lets the time-out of 40 pass within three events.
                let now = now + 21;
                let mut next = ladder.clone();
                let after = apply(&mut next, event, now);
                let since = next.waiting_since.expect("set by the step");
                check(ladder, event, after, latch, now - since.0);
                seen += explore(&next, events, depth - 1, now, latch);
            }
            seen
        }
        let events = alphabet();
        for latch in [true, false] {
            let ladder = Ladder::new(TIMES, latch);
            assert_eq!(explore(&ladder, &events, 4, 1000, latch), 23u64.pow(4));
        }
    }

    #[test]
    fn long_random_sequences_keep_every_promise() {
        let events = alphabet();
        let mut random = 0x9E37_79B9_7F4A_7C15_u64;
        for latch in [true, false] {
            for _ in 0..2_000 {
                let mut ladder = Ladder::new(TIMES, latch);
                let mut now = 1000;
                for _ in 0..100 {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    // A stop ends a sequence's interest, so it comes rarely.
                    let mut event = events[(random >> 33) as usize % events.len()];
                    if event == Event::Stop && !random.is_multiple_of(16) {
                        event = Event::Nothing;
                    }
                    // The clock may stand still or go back as well.
                    now += i64::try_from(random % 16).unwrap_or(0) - 3;
                    let before = ladder.clone();
                    let after = apply(&mut ladder, event, now);
                    let since = ladder.waiting_since.expect("set by the step");
                    check(&before, event, after, latch, now - since.0);
                }
            }
        }
    }

    #[test]
    fn the_ladder_goes_down_rung_by_rung_as_data_ages() {
        let mut ladder = Ladder::new(TIMES, true);
        let mut rungs = Vec::new();
        for age in 0..40 {
            let playing = Playing {
                age: Nanos(age),
                ended: false,
                begins: age == 0,
            };
            let rung = ladder.step(MonoTime(1000 + age), Some(playing));
            if rungs.last() != Some(&(rung, age)) && rungs.last().is_none_or(|(r, _)| *r != rung) {
                rungs.push((rung, age));
            }
        }
        let expected = [
            (Rung::Fresh, 0),
            (Rung::Tail, 11),
            (Rung::Hold, 20),
            (Rung::SafeStop, 30),
        ];
        assert_eq!(rungs, expected);
    }
}
