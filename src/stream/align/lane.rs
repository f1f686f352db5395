//! One stream's recent past, and its answer for any instant in it.
//!
//! Thread: the stream's. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: none.

use crate::state::bytes::Fields;
use crate::stream::align::choice::{Answer, Between, Choice, Status};
use crate::stream::element::{Element, Event, Origin};
use crate::stream::kept::{Kept, kept};
use crate::units::{MonoTime, Nanos};

/// What became of the elements of a lane.
///
/// `pushed = kept + too_late`, where what is kept may since have been overwritten by newer elements.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LaneCounts {
    pub pushed: u64,
    /// Came after a later one and were put before it.
    pub reordered: u64,
    /// Lay before more elements than may be moved for one, or before the oldest of a full lane: dropped.
    pub too_late: u64,
}

/// The latest elements of one stream by `(at, source, seq)`, and how far time has come in it.
#[derive(Clone, Debug)]
pub struct Lane<T> {
    /// A ring: the oldest element stands at `start`.
    ring: Box<[Element<T>]>,
    start: usize,
    len: usize,
    late_steps: usize,
    bound: MonoTime,
    is_idle: bool,
    counts: LaneCounts,
}

kept!(impl [] LaneCounts { pushed, reordered, too_late });

/// What one instant and all after it may need: nobody asks for earlier ones any more.
impl<T: Copy + Kept> Lane<T> {
    /// As [`Kept::keep`]. A choice looks back at most to the second element with another stamp at or before its instant.
    pub(super) fn keep_from(&self, asked: MonoTime, out: &mut Vec<u8>) {
        let stamp = |index: usize| self.get(index).at;
        let before = |index: usize| {
            let at = index.checked_sub(1).map(stamp)?;
            Some(self.first_after(MonoTime(at.0.saturating_sub(1))))
        };
        // The elements of the latest may lie before `asked`, and what goes on beyond it needs the one before.
        let first = self.first_after(asked);
        let first = before(first).and_then(before).unwrap_or(0);
        (self.len - first).keep(out);
        (first..self.len).for_each(|index| self.get(index).keep(out));
        self.bound.keep(out);
        self.is_idle.keep(out);
        self.counts.keep(out);
    }

    pub(super) fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        self.start = 0;
        self.len.put_back(from)?;
        self.ring.get_mut(..self.len)?.put_back(from)?;
        self.bound.put_back(from)?;
        self.is_idle.put_back(from)?;
        self.counts.put_back(from)
    }
}

impl<T: Copy + Default> Lane<T> {
    /// Keeps `capacity` elements, at least 2. A late element is put before at most `late_steps` others.
    pub fn new(capacity: usize, late_steps: usize) -> Self {
        let nothing = Element {
            at: MonoTime::ZERO,
            arrived: MonoTime::ZERO,
            seq: 0,
            source: 0,
            origin: Origin::Measured,
            value: T::default(),
        };
        Self {
            ring: vec![nothing; capacity.max(2)].into_boxed_slice(),
            start: 0,
            len: 0,
            late_steps,
            bound: MonoTime(i64::MIN),
            is_idle: false,
            counts: LaneCounts::default(),
        }
    }
}

impl<T: Copy> Lane<T> {
    pub fn counts(&self) -> LaneCounts {
        self.counts
    }

    /// Elements kept now.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// True when the next element overwrites the oldest.
    pub fn is_full(&self) -> bool {
        self.len == self.ring.len()
    }

    /// The element that lies latest.
    pub fn latest(&self) -> Option<&Element<T>> {
        self.len.checked_sub(1).map(|last| self.get(last))
    }

    /// The element that lies furthest back.
    pub fn oldest(&self) -> Option<&Element<T>> {
        (self.len > 0).then(|| self.get(0))
    }

    /// The one after the oldest.
    pub fn second(&self) -> Option<&Element<T>> {
        (self.len > 1).then(|| self.get(1))
    }

    /// No element before this comes any more, unless it is late.
    pub fn bound(&self) -> MonoTime {
        self.bound
    }

    /// Nobody waits for it.
    pub fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Takes an event of the stream.
    #[inline]
    pub fn take(&mut self, event: &Event<T>) {
        match event {
            Event::Element(element) => self.push(element),
            Event::Bound(bound) => self.raise(*bound),
            Event::Idle => self.is_idle = true,
        }
    }

    /// Nothing before `bound` comes any more.
    pub fn raise(&mut self, bound: MonoTime) {
        self.bound = self.bound.max(bound);
    }

    /// Puts an element in its place in time.
    #[inline]
    pub fn push(&mut self, element: &Element<T>) {
        self.counts.pushed += 1;
        self.is_idle = false;
        // BOUND: late_steps elements are looked at.
        let mut place = self.len;
        while place > 0 && self.get(place - 1).rank() > element.rank() {
            if self.len - place == self.late_steps {
                self.counts.too_late += 1;
                return;
            }
            place -= 1;
        }
        if self.is_full() {
            if place == 0 {
                self.counts.too_late += 1;
                return;
            }
            self.start = (self.start + 1) % self.ring.len();
            self.len -= 1;
            place -= 1;
        }
        self.counts.reordered += u64::from(place < self.len);
        // BOUND: at most late_steps elements move.
        for index in (place..self.len).rev() {
            *self.get_mut(index + 1) = *self.get(index);
        }
        *self.get_mut(place) = *element;
        self.len += 1;
    }

    /// The elements from `first` to `last`, both included, in order: Flink's interval join for one instant.
    pub fn within(&self, first: MonoTime, last: MonoTime) -> impl Iterator<Item = &Element<T>> {
        // BOUND: the capacity.
        (self.first_after(MonoTime(first.0.saturating_sub(1)))..self.len)
            .map(|index| self.get(index))
            .take_while(move |element| element.at <= last)
    }

    /// The place of the first element later than `at`; `len` if there is none.
    ///
    /// Looks from the latest backwards in steps that double, then halves: instants that are asked for lie near the end, and
    /// one that does not costs a logarithm. No cursor is kept, so a late element has none to correct.
    fn first_after(&self, at: MonoTime) -> usize {
        let (mut low, mut high, mut step) = (self.len, self.len, 1);
        while low > 0 && self.get(low - 1).at > at {
            high = low - 1;
            low = high.saturating_sub(step);
            step *= 2;
        }
        // Elements before `low` lie at or before `at`, those from `high` on after it.
        while low < high {
            let middle = low.midpoint(high);
            if self.get(middle).at <= at {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    #[inline]
    fn get(&self, index: usize) -> &Element<T> {
        let place = self.start + index;
        // A ring of any length: one comparison in place of a division.
        let wrapped = place.checked_sub(self.ring.len()).unwrap_or(place);
        &self.ring[wrapped]
    }

    #[inline]
    fn get_mut(&mut self, index: usize) -> &mut Element<T> {
        let place = self.start + index;
        let wrapped = place.checked_sub(self.ring.len()).unwrap_or(place);
        &mut self.ring[wrapped]
    }
}

impl<T: Between> Lane<T> {
    /// What the stream says for the instant `at`, by a choice.
    pub fn choose(&self, at: MonoTime, choice: &Choice<T>) -> Answer<T> {
        match *choice {
            Choice::Hold { max_age } => self.hold(at, max_age),
            Choice::Nearest { tolerance } => self.nearest(at, tolerance),
            Choice::Interpolate { max_gap } => self.interpolate(at, max_gap),
            Choice::Predict { max_ahead, max_gap } => self.predict(at, max_ahead, max_gap),
            Choice::Latest => self.last(at),
            Choice::Default(value) => Answer {
                value: Some(value),
                status: Status::Default,
                is_settled: true,
                is_filled: true,
            },
        }
    }

    /// By the first choice that has a value, as far as is known now. Settled if no earlier choice may yet get one, or if
    /// the stream is silent: then nothing is waited for.
    pub fn choose_first(&self, at: MonoTime, chain: &[Choice<T>]) -> Answer<T> {
        let mut is_settled = true;
        for choice in chain {
            let answer = self.choose(at, choice);
            is_settled &= answer.is_settled;
            if answer.value.is_some() {
                return Answer {
                    is_settled: is_settled || self.is_idle,
                    ..answer
                };
            }
        }
        Answer::missing(is_settled || self.is_idle)
    }

    fn hold(&self, at: MonoTime, max_age: Nanos) -> Answer<T> {
        let is_settled = self.bound > at;
        match self.first_after(at).checked_sub(1).map(|i| self.get(i)) {
            Some(before) if at - before.at <= max_age => Answer {
                value: Some(before.value),
                status: exact_or(at - before.at, Status::Held),
                is_settled,
                is_filled: before.origin == Origin::Filled,
            },
            _ => Answer::missing(is_settled),
        }
    }

    fn nearest(&self, at: MonoTime, tolerance: Nanos) -> Answer<T> {
        let after = self.first_after(at);
        let before = after.checked_sub(1).map(|index| self.get(index));
        // Of several with the stamp of the first after the instant, the last: the highest number.
        let next = (after < self.len).then(|| {
            let stamp = self.get(after).at;
            self.get(self.first_after(stamp) - 1)
        });
        let (chosen, offset) = match (before, next) {
            (Some(b), Some(n)) if n.at - at < at - b.at => (n, n.at - at),
            (Some(b), _) => (b, b.at - at),
            (None, Some(n)) => (n, n.at - at),
            (None, None) => return Answer::missing(self.is_over(at, tolerance, false)),
        };
        if offset.abs() > tolerance {
            return Answer::missing(self.is_over(at, tolerance, false));
        }
        // An element yet to come lies at or behind the bound. It wins if it is nearer; a later one of the same stamp by its
        // number; one as far behind as the chosen one is before loses.
        let is_before = offset <= Nanos::ZERO;
        Answer {
            value: Some(chosen.value),
            status: exact_or(offset, Status::Nearest),
            is_settled: self.is_over(at, offset.abs(), is_before),
            is_filled: chosen.origin == Origin::Filled,
        }
    }

    /// True if nothing may come any more at or before `at`, nor within `reach` behind it (at exactly `reach` only if
    /// `is_open`).
    fn is_over(&self, at: MonoTime, reach: Nanos, is_open: bool) -> bool {
        let last = at + reach;
        self.bound > at && (self.bound > last || is_open && self.bound >= last)
    }

    fn interpolate(&self, at: MonoTime, max_gap: Nanos) -> Answer<T> {
        let after = self.first_after(at);
        let Some(before) = after.checked_sub(1).map(|index| self.get(index)) else {
            return Answer::missing(self.bound > at);
        };
        if before.at == at {
            return Answer {
                value: Some(before.value),
                status: Status::Exact,
                is_settled: self.bound > at,
                is_filled: before.origin == Origin::Filled,
            };
        }
        if after < self.len {
            let next = self.get(after);
            let gap = next.at - before.at;
            if gap <= max_gap {
                return Answer {
                    value: Some(before.value.between(&next.value, share(at, before, next))),
                    status: Status::Interpolated(gap),
                    is_settled: self.bound >= next.at,
                    is_filled: [before, next].iter().any(|e| e.origin == Origin::Filled),
                };
            }
        }
        // Whatever comes now lies too far from the one before, or behind the one that does.
        let is_last = after < self.len && self.bound >= self.get(after).at;
        Answer::missing(self.bound > at && (is_last || self.bound > before.at + max_gap))
    }

    fn predict(&self, at: MonoTime, max_ahead: Nanos, max_gap: Nanos) -> Answer<T> {
        let is_settled = self.bound > at;
        let Some(last) = self.latest() else {
            return Answer::missing(is_settled);
        };
        // Of several with one stamp the last was taken; the one before must have another.
        let before = self.first_after(MonoTime(last.at.0.saturating_sub(1)));
        let Some(before) = before.checked_sub(1).map(|index| self.get(index)) else {
            return Answer::missing(is_settled);
        };
        let ahead = at - last.at;
        if ahead <= Nanos::ZERO || ahead > max_ahead || last.at - before.at > max_gap {
            return Answer::missing(is_settled);
        }
        Answer {
            value: Some(before.value.between(&last.value, share(at, before, last))),
            status: Status::Predicted(ahead),
            is_settled,
            is_filled: true,
        }
    }

    fn last(&self, at: MonoTime) -> Answer<T> {
        match self.latest() {
            Some(last) => Answer {
                value: Some(last.value),
                status: exact_or(last.at - at, Status::Latest),
                is_settled: true,
                is_filled: last.origin == Origin::Filled,
            },
            None => Answer::missing(true),
        }
    }
}

fn exact_or(distance: Nanos, status: fn(Nanos) -> Status) -> Status {
    if distance == Nanos::ZERO {
        Status::Exact
    } else {
        status(distance)
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "gaps that are joined by a line are far below 2^53 ns"
)]
fn share<T>(at: MonoTime, before: &Element<T>, next: &Element<T>) -> f64 {
    (at - before.at).0 as f64 / (next.at - before.at).0 as f64
}
