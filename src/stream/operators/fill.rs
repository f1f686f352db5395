//! `fill`: what was lost from a periodic stream, found by its missing ticks and made up as the user says.
//!
//! An element is missing when the next one comes, or the bound passes, more than one and a half periods after the last. What
//! is put in its place is marked ([`Origin::Filled`]), so that nobody downstream takes it for measured.
//!
//! Thread: whichever runs the stream. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::stream::align::choice::Between;
use crate::stream::element::{END, Element, Event, Origin};
use crate::stream::operator::Operator;
use crate::units::{MonoTime, Nanos};

/// What is put in the place of a missing element.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum With<T> {
    /// This value.
    Default(T),
    /// The last measured value, for at most so long.
    Hold { ttl: Nanos },
    /// On the line to the next measured element; waits for that one.
    Linear,
    /// As it went between the last two measured elements.
    Predict,
    /// Nothing: it is only counted.
    Skip,
    /// Nothing, and the stream has failed ([`Fill::has_failed`]): whoever runs it goes to the safe action.
    Fail,
}

/// How losses are found and filled.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FillConfig<T> {
    /// Between two elements, above 0.
    pub period: Nanos,
    pub with: With<T>,
    /// At most so many in a row; then the stream has failed until it is measured again.
    pub max_consecutive: u32,
}

/// What a filler counted. `missed = filled + left_open`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FillCounts {
    pub measured: u64,
    /// Ticks without an element.
    pub missed: u64,
    pub filled: u64,
    /// Ticks in whose place nothing was put.
    pub left_open: u64,
    /// How often there were too many in a row, or one where none may be.
    pub failures: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Fill<T> {
    config: FillConfig<T>,
    /// The last two measured elements, the later first.
    last: Option<Element<T>>,
    before: Option<Element<T>>,
    /// The last tick that was measured or filled.
    tick: MonoTime,
    consecutive: u32,
    has_failed: bool,
    bound: MonoTime,
    counts: FillCounts,
}

impl<T: Between> Fill<T> {
    pub fn new(config: FillConfig<T>) -> Self {
        let period = config.period.max(Nanos(1));
        Self {
            config: FillConfig { period, ..config },
            last: None,
            before: None,
            tick: MonoTime(i64::MIN),
            consecutive: 0,
            has_failed: false,
            bound: MonoTime(i64::MIN),
            counts: FillCounts::default(),
        }
    }

    pub fn counts(&self) -> FillCounts {
        self.counts
    }

    /// Too many were missing in a row, and none has been measured since.
    pub fn has_failed(&self) -> bool {
        self.has_failed
    }

    /// The tick after the last one, if nothing came by `now`.
    fn missing(&self, now: MonoTime) -> Option<MonoTime> {
        let period = self.config.period;
        let is_over = now > self.tick + period + Nanos(period.0 / 2);
        (self.last.is_some() && is_over).then_some(self.tick + period)
    }

    fn value(&self, at: MonoTime, next: Option<&Element<T>>) -> Option<T> {
        let last = self.last.as_ref()?;
        match self.config.with {
            With::Default(value) => Some(value),
            With::Hold { ttl } => (at - last.at <= ttl).then_some(last.value),
            With::Linear => next.map(|next| line(last, next, at)),
            With::Predict => Some(match &self.before {
                Some(before) => line(before, last, at),
                None => last.value,
            }),
            With::Skip | With::Fail => None,
        }
    }

    /// Fills the ticks before `now`. `next` is the element that ended the gap, if one did.
    fn fill(&mut self, now: MonoTime, next: Option<&Element<T>>, out: &mut impl FnMut(Event<T>)) {
        // BOUND: max_consecutive ticks; the rest of a longer gap is counted by a division.
        while let Some(tick) = self.missing(now) {
            if self.consecutive >= self.config.max_consecutive {
                self.give_up(now);
                return;
            }
            self.tick = tick;
            self.consecutive += 1;
            self.counts.missed += 1;
            match self.value(tick, next).zip(self.last.as_ref()) {
                Some((value, last)) => {
                    self.counts.filled += 1;
                    out(Event::Element(Element {
                        at: tick,
                        origin: Origin::Filled,
                        ..last.with(value)
                    }));
                }
                None => {
                    self.counts.left_open += 1;
                    if matches!(self.config.with, With::Fail) {
                        self.fail();
                    }
                }
            }
        }
    }

    /// Too many in a row: the rest of the gap is left open.
    fn give_up(&mut self, now: MonoTime) {
        let period = self.config.period;
        let ticks = (now - self.tick - Nanos(period.0 / 2)).0 / period.0;
        self.tick += period * ticks;
        self.counts.missed += ticks.unsigned_abs();
        self.counts.left_open += ticks.unsigned_abs();
        self.fail();
    }

    fn fail(&mut self) {
        self.counts.failures += u64::from(!self.has_failed);
        self.has_failed = true;
    }
}

fn line<T: Between>(from: &Element<T>, to: &Element<T>, at: MonoTime) -> T {
    #[expect(
        clippy::cast_precision_loss,
        reason = "gaps that are filled are far below 2^53 ns"
    )]
    let share = (at - from.at).0 as f64 / (to.at - from.at).0.max(1) as f64;
    from.value.between(&to.value, share)
}

impl<T: Between> Operator for Fill<T> {
    type In = Event<T>;
    type Out = Event<T>;

    fn push(&mut self, event: Event<T>, out: &mut impl FnMut(Event<T>)) {
        match event {
            Event::Element(element) => {
                // One that comes for before what was given is late, and says nothing about the period.
                if self.last.is_some() && element.at <= self.tick {
                    self.counts.measured += 1;
                    out(event);
                    return;
                }
                self.fill(element.at, Some(&element), out);
                self.counts.measured += 1;
                self.before = self.last.replace(element);
                self.tick = element.at;
                self.consecutive = 0;
                self.has_failed = false;
                out(event);
            }
            // Nothing is missing behind the end.
            Event::Bound(END) => out(event),
            Event::Bound(bound) => {
                let waits_for_next = matches!(self.config.with, With::Linear)
                    && self.consecutive == 0
                    && bound - self.tick
                        <= self.config.period * i64::from(self.config.max_consecutive);
                if !waits_for_next {
                    self.fill(bound, None, out);
                }
                // What is filled yet lies behind the last tick.
                let bound = match self.last {
                    Some(_) if !self.has_failed => bound.min(self.tick + Nanos(1)),
                    _ => bound,
                };
                if bound > self.bound {
                    self.bound = bound;
                    out(Event::Bound(bound));
                }
            }
            Event::Idle => out(event),
        }
    }
}
