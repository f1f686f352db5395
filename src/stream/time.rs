//! How far time has come in one source: what is let in, and the bound that may be promised.
//!
//! A bound is the greatest of what five things say, each of which a source may or may not have:
//! - its data: the latest element less the disorder that is allowed for;
//! - the source itself, which knows more ([`SourceTime::advance`]);
//! - its rate: the next element of a periodic source cannot come before the shortest period has passed;
//! - the clock: nothing of it is ever more than so late;
//! - its silence: nothing came for so long, so nobody waits for it ([`Event::Idle`]).
//!
//! The last two depend on when they are asked, by [`SourceTime::tick`]; what they say goes into the stream as an event
//! like any other.
//!
//! Thread: the stream's. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::stream::element::{END, Element, Event, Origin};
use crate::stream::kept::kept;
use crate::units::{MonoTime, Nanos};

/// A rate hint that was wrong this often is not believed any more.
const VIOLATIONS_MAX: u64 = 8;

/// How many numbers back a repeated element is recognised.
// BOUND: at 1 kHz an eighth of a second; a network that repeats a datagram does so within milliseconds.
const NUMBERS_REMEMBERED: u64 = 128;

/// What is known of a source's times. By default nothing: its elements come in order, each with a stamp of its own.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SourceTimeConfig {
    /// An element may lie so far before the latest one and is still on time, 0 or more. Default 0.
    pub disorder: Nanos,
    /// Two elements never lie closer together than this, above 0. Default: not known. Only for sources in order.
    pub min_period: Option<Nanos>,
    /// No element comes later than this after its event time, 0 or more. Default: not known.
    pub max_delay: Option<Nanos>,
    /// Whose last element came so long ago is not waited for, above 0. Default: always waited for.
    pub idle_timeout: Option<Nanos>,
    /// An element further ahead of its arrival than this is put aside, 0 or more. Default 5 ms; 50 ms is right for a
    /// source on another machine.
    pub max_future: Nanos,
    /// An element older than this at its arrival is put aside, above 0. Default: none is.
    pub max_age: Option<Nanos>,
}

impl Default for SourceTimeConfig {
    fn default() -> Self {
        Self {
            disorder: Nanos::ZERO,
            min_period: None,
            max_delay: None,
            idle_timeout: None,
            max_future: Nanos::from_millis(5),
            max_age: None,
        }
    }
}

impl SourceTimeConfig {
    /// What is wrong with it, if anything.
    pub fn check(&self) -> Result<(), String> {
        let not_negative = [
            ("disorder", Some(self.disorder)),
            ("max_delay", self.max_delay),
            ("max_future", Some(self.max_future)),
        ];
        for (name, value) in not_negative {
            if let Some(value) = value.filter(|value| *value < Nanos::ZERO) {
                return Err(format!("{name} = {value} is below zero: write 0 or more"));
            }
        }
        let above_zero = [
            ("min_period", self.min_period),
            ("idle_timeout", self.idle_timeout),
            ("max_age", self.max_age),
        ];
        for (name, value) in above_zero {
            if let Some(value) = value.filter(|value| *value <= Nanos::ZERO) {
                return Err(format!(
                    "{name} = {value} is not above zero: leave it out if it is not known"
                ));
            }
        }
        if self.min_period.is_some() && self.disorder > Nanos::ZERO {
            return Err(
                "min_period speaks of a source in order, and disorder says that this one is not: leave one of them out"
                    .to_owned(),
            );
        }
        Ok(())
    }
}

/// What became of an element at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    Admitted,
    /// Its number was seen lately.
    Duplicate,
    /// Stamped with a future instant. Put aside: were it believed, it would make everything after it late.
    FromFuture,
    /// Too old at its arrival.
    TooOld,
}

/// What a source has counted. `seen = admitted + duplicates + from_future + too_old`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SourceTimeCounts {
    pub seen: u64,
    pub admitted: u64,
    pub duplicates: u64,
    pub from_future: u64,
    pub too_old: u64,
    /// Numbers that were left out and have not come since.
    pub lost: u64,
    /// Admitted elements before the bound: whoever goes by the bound finds them late.
    pub behind_bound: u64,
    /// Elements that came sooner after the one before than the rate hint says.
    pub hint_violations: u64,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct SourceTime {
    config: SourceTimeConfig,
    numbers: Numbers,
    latest: Option<MonoTime>,
    last_arrival: Option<MonoTime>,
    bound: MonoTime,
    is_idle: bool,
    counts: SourceTimeCounts,
}

kept!(impl [] SourceTimeCounts {
    seen, admitted, duplicates, from_future, too_old, lost, behind_bound, hint_violations,
});
kept!(impl [] SourceTime { numbers, latest, last_arrival, bound, is_idle, counts });

impl SourceTime {
    /// The configuration must have passed its check. A source is counted as silent from its first tick on.
    pub fn new(config: SourceTimeConfig) -> Self {
        Self {
            config,
            numbers: Numbers::default(),
            latest: None,
            last_arrival: None,
            bound: MonoTime(i64::MIN),
            is_idle: false,
            counts: SourceTimeCounts::default(),
        }
    }

    pub fn counts(&self) -> SourceTimeCounts {
        SourceTimeCounts {
            lost: self.numbers.lost,
            ..self.counts
        }
    }

    /// Nothing admitted from now on lies before this, unless it is late.
    pub fn bound(&self) -> MonoTime {
        self.bound
    }

    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Takes an element in, and gives it and the bound that follows from it to `next`, if it is admitted.
    #[inline]
    pub fn push<T>(&mut self, element: Element<T>, next: &mut impl FnMut(Event<T>)) -> Admission {
        let admission = self.admit(&element);
        if admission == Admission::Admitted {
            let (at, origin) = (element.at, element.origin);
            next(Event::Element(element));
            if origin == Origin::Measured {
                self.learn(at, next);
            }
        }
        admission
    }

    #[inline]
    fn admit<T>(&mut self, element: &Element<T>) -> Admission {
        // What the runtime made up itself has no number of the source's.
        if element.origin == Origin::Filled {
            return Admission::Admitted;
        }
        self.counts.seen += 1;
        if element.at > element.arrived + self.config.max_future {
            self.counts.from_future += 1;
            return Admission::FromFuture;
        }
        let age = element.arrived - element.at;
        if self.config.max_age.is_some_and(|max| age > max) {
            self.counts.too_old += 1;
            return Admission::TooOld;
        }
        let is_newer = self.latest.is_none_or(|latest| element.at > latest);
        if !self.numbers.is_new(element.seq, is_newer) {
            self.counts.duplicates += 1;
            return Admission::Duplicate;
        }
        self.counts.admitted += 1;
        self.counts.behind_bound += u64::from(element.at < self.bound);
        self.last_arrival = Some(element.arrived);
        self.is_idle = false;
        Admission::Admitted
    }

    /// What an element at `at` says about those to come. For whoever admits elements himself.
    #[inline]
    pub fn learn<T>(&mut self, at: MonoTime, next: &mut impl FnMut(Event<T>)) {
        let since = self.latest.map(|latest| at - latest);
        let latest = self.latest.map_or(at, |latest| latest.max(at));
        self.latest = Some(latest);
        if self.config.disorder > Nanos::ZERO {
            self.raise(latest - self.config.disorder, next);
            return;
        }
        // In order and each at an instant of its own: the next one lies behind this one.
        let mut ahead = Nanos(1);
        if let Some(period) = self.config.min_period {
            self.counts.hint_violations += u64::from(since.is_some_and(|since| since < period));
            if self.counts.hint_violations < VIOLATIONS_MAX {
                ahead = period.max(ahead);
            }
        }
        self.raise(latest + ahead, next);
    }

    /// The source knows that nothing before `bound` comes any more.
    pub fn advance<T>(&mut self, bound: MonoTime, next: &mut impl FnMut(Event<T>)) {
        self.raise(bound, next);
    }

    /// Nothing comes any more.
    pub fn end<T>(&mut self, next: &mut impl FnMut(Event<T>)) {
        self.raise(END, next);
    }

    /// It is `now`. `is_blocked` says that the source could not give what it has because of us: that is not silence.
    pub fn tick<T>(&mut self, now: MonoTime, is_blocked: bool, next: &mut impl FnMut(Event<T>)) {
        let last = *self.last_arrival.get_or_insert(now);
        if is_blocked {
            self.last_arrival = Some(now);
        } else if let Some(timeout) = self.config.idle_timeout
            && !self.is_idle
            && now - last >= timeout
        {
            self.is_idle = true;
            next(Event::Idle);
        }
        // A silent source without a promise of its own is taken to have nothing that is older than its silence.
        let delay = self
            .config
            .max_delay
            .or(self.config.idle_timeout.filter(|_| self.is_idle));
        if let Some(delay) = delay {
            self.raise(now - delay, next);
        }
    }

    #[inline]
    fn raise<T>(&mut self, bound: MonoTime, next: &mut impl FnMut(Event<T>)) {
        if bound > self.bound {
            self.bound = bound;
            next(Event::Bound(bound));
        }
    }
}

/// The numbers seen lately.
#[derive(Clone, Debug, Default)]
struct Numbers {
    newest: Option<u64>,
    /// Bit `i`: the number `newest - i` was seen.
    seen: u128,
    lost: u64,
}

kept!(impl [] Numbers { newest, seen, lost });

impl Numbers {
    /// Takes note of a number; false if it was seen. `is_newer` says that its element lies behind all others: then it is no
    /// repetition, whatever its number, and one that is not ahead says that the sender has begun to count anew.
    fn is_new(&mut self, number: u64, is_newer: bool) -> bool {
        if let Some(newest) = self.newest
            && number == newest.wrapping_add(1)
        {
            // As nearly all come.
            self.newest = Some(number);
            self.seen = self.seen << 1 | 1;
            return true;
        }
        let newest = match self.newest {
            Some(newest) if number > newest || !is_newer => newest,
            _ => {
                self.newest = Some(number);
                self.seen = 1;
                return true;
            }
        };
        if number > newest {
            let ahead = number - newest;
            self.seen = match u32::try_from(ahead) {
                Ok(ahead) if u64::from(ahead) < NUMBERS_REMEMBERED => self.seen << ahead,
                _ => 0,
            };
            self.seen |= 1;
            self.newest = Some(number);
            self.lost += ahead - 1;
            return true;
        }
        let behind = newest - number;
        if behind >= NUMBERS_REMEMBERED {
            return true;
        }
        let bit = 1_u128 << behind;
        let is_new = self.seen & bit == 0;
        self.seen |= bit;
        // What comes late was counted as lost when it was passed over.
        self.lost -= u64::from(is_new && self.lost > 0);
        is_new
    }
}
