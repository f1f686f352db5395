//! `align`: for each element of a first stream, what the others said at its instant.
//!
//! A *primary* element waits until the answer of each lane is settled, or until its deadline; then it goes out with what is
//! known, the earliest of those that wait first. Exactly one result for each primary, or one skip, counted.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use std::collections::VecDeque;

use crate::state::bytes::Fields;
use crate::stream::align::choice::{Answer, Between, Choice, Status};
use crate::stream::align::lane::Lane;
use crate::stream::element::{Element, Event};
use crate::stream::kept::{Kept, kept};
use crate::stream::operator::Operator;
use crate::units::{MonoTime, Nanos};

/// What an aligner is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told<P, T> {
    Primary(Event<P>),
    /// The event of the lane with this index.
    Lane(usize, Event<T>),
    /// It is now this late. Deadlines go by this alone.
    Now(MonoTime),
}

/// A primary element's value and the answers for its instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Set<P, T, const N: usize> {
    pub primary: P,
    pub answers: [Answer<T>; N],
    /// Why it did not wait any longer.
    pub why: Why,
}

/// Why a set went out when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// Nothing that can still come on time changes it.
    Settled,
    /// Its deadline has passed.
    Deadline,
    /// A newer primary, or an element of a full lane, needed its place.
    NoRoom,
}

/// How one lane answers.
#[derive(Clone, Debug, PartialEq)]
pub struct LaneConfig<T> {
    /// The first of these that has a value answers.
    pub chain: Vec<Choice<T>>,
    /// Without an answer of this lane the primary is skipped.
    pub is_needed: bool,
    /// Elements kept, at least 2: the rate times the longest of age and wait, and what may arrive at once.
    pub capacity: usize,
    /// A late element is put before at most so many others.
    pub late_steps: usize,
}

/// What became of primary elements. `taken = given + skipped + late + pending`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AlignCounts {
    pub taken: u64,
    pub given: u64,
    /// Without an answer that was needed.
    pub skipped: u64,
    /// Lay before the bound that had gone out.
    pub late: u64,
    pub at_deadline: u64,
    pub without_room: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Align<P, T, const N: usize> {
    lanes: [(Lane<T>, LaneConfig<T>); N],
    /// In order of event time.
    pending: VecDeque<Element<P>>,
    capacity: usize,
    wait_max: Nanos,
    now: MonoTime,
    /// Where the primary stream has come to.
    primary: MonoTime,
    /// The bound that was given out.
    given: MonoTime,
    counts: AlignCounts,
}

kept!(impl [] AlignCounts { taken, given, skipped, late, at_deadline, without_room });

impl<P: Default + Kept, T: Copy + Kept, const N: usize> Kept for Align<P, T, N> {
    fn keep(&self, out: &mut Vec<u8>) {
        // Who waits asks first; who comes later lies at or behind what was given.
        let first = self.pending.front().map(|first| first.at);
        let asked = first.map_or(self.given, |first| first.min(self.given));
        for (lane, _) in &self.lanes {
            lane.keep_from(asked, out);
        }
        self.pending.keep(out);
        self.now.keep(out);
        self.primary.keep(out);
        self.given.keep(out);
        self.counts.keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        for (lane, _) in &mut self.lanes {
            lane.put_back(from)?;
        }
        self.pending.put_back(from)?;
        self.now.put_back(from)?;
        self.primary.put_back(from)?;
        self.given.put_back(from)?;
        self.counts.put_back(from)
    }
}

impl<P: Clone, T: Clone, const N: usize> Clone for Align<P, T, N> {
    /// With all its room: a copied deque has none to spare, and would allocate later.
    fn clone(&self) -> Self {
        let mut pending = VecDeque::with_capacity(self.capacity);
        pending.extend(self.pending.iter().cloned());
        Self {
            lanes: self.lanes.clone(),
            pending,
            ..*self
        }
    }
}

impl<P: Copy, T: Between + Default, const N: usize> Align<P, T, N> {
    /// Waits for an answer at most until `wait_max` after a primary's arrival, and lets at most `pending` primaries wait,
    /// at least 1.
    pub fn new(lanes: [LaneConfig<T>; N], pending: usize, wait_max: Nanos) -> Self {
        let capacity = pending.max(1);
        Self {
            lanes: lanes.map(|config| (Lane::new(config.capacity, config.late_steps), config)),
            pending: VecDeque::with_capacity(capacity),
            capacity,
            wait_max,
            now: MonoTime(i64::MIN),
            primary: MonoTime(i64::MIN),
            given: MonoTime(i64::MIN),
            counts: AlignCounts::default(),
        }
    }

    pub fn counts(&self) -> AlignCounts {
        self.counts
    }

    /// When the next deadline passes: the time by which to say [`Told::Now`].
    pub fn next_deadline(&self) -> Option<MonoTime> {
        self.pending.front().map(|p| p.arrived + self.wait_max)
    }

    fn put(&mut self, element: Element<P>, out: &mut impl FnMut(Event<Set<P, T, N>>)) {
        self.counts.taken += 1;
        if element.at < self.given {
            self.counts.late += 1;
            return;
        }
        if self.pending.len() == self.capacity {
            self.give_early(out);
        }
        // BOUND: the capacity; primaries mostly come in order.
        let rank = element.rank();
        let place = self.pending.partition_point(|p| p.rank() <= rank);
        self.pending.insert(place, element);
    }

    /// Gives out the first that waits, with what is known now.
    fn give_early(&mut self, out: &mut impl FnMut(Event<Set<P, T, N>>)) {
        if let Some(at) = self.pending.front().map(|first| first.at) {
            let answers = self.answers(at);
            self.give(answers, Why::NoRoom, out);
        }
    }

    /// Gives out the first that waits.
    fn give(
        &mut self,
        answers: [Answer<T>; N],
        why: Why,
        out: &mut impl FnMut(Event<Set<P, T, N>>),
    ) {
        let Some(primary) = self.pending.pop_front() else {
            return;
        };
        self.counts.at_deadline += u64::from(why == Why::Deadline);
        self.counts.without_room += u64::from(why == Why::NoRoom);
        let lacks = |(answer, (_, config)): (&Answer<T>, &(Lane<T>, LaneConfig<T>))| {
            config.is_needed && answer.status == Status::Missing
        };
        if answers.iter().zip(&self.lanes).any(lacks) {
            self.counts.skipped += 1;
            return;
        }
        self.counts.given += 1;
        out(Event::Element(primary.with(Set {
            primary: primary.value,
            answers,
            why,
        })));
    }

    fn answers(&self, at: MonoTime) -> [Answer<T>; N] {
        std::array::from_fn(|i| {
            let (lane, config) = &self.lanes[i];
            lane.choose_first(at, &config.chain)
        })
    }

    /// Gives out what has been waited for long enough.
    #[inline]
    fn drain(&mut self, out: &mut impl FnMut(Event<Set<P, T, N>>)) {
        // BOUND: the capacity.
        while let Some(first) = self.pending.front() {
            let (at, is_overdue) = (first.at, self.now >= first.arrived + self.wait_max);
            if !is_overdue
                && self
                    .lanes
                    .iter()
                    .any(|(lane, config)| waits(lane, config, at))
            {
                break;
            }
            let answers = self.answers(at);
            let why = if answers.iter().all(|answer| answer.is_settled) {
                Why::Settled
            } else if is_overdue {
                Why::Deadline
            } else {
                break;
            };
            self.give(answers, why, out);
        }
        // Who waits may still go out, with its own time.
        let bound = self
            .pending
            .front()
            .map_or(self.primary, |first| self.primary.min(first.at));
        if bound > self.given {
            self.given = bound;
            out(Event::Bound(bound));
        }
    }

    /// A full lane is about to forget its oldest element: whoever may need it goes out first.
    fn make_room(&mut self, lane: usize, out: &mut impl FnMut(Event<Set<P, T, N>>)) {
        // BOUND: the capacity.
        while let Some(first) = self.pending.front() {
            let (lane, config) = &self.lanes[lane];
            let Some(oldest) = lane.oldest().filter(|_| lane.is_full()) else {
                return;
            };
            let needs = |choice: &Choice<T>| match *choice {
                Choice::Hold { max_age } => first.at - max_age <= oldest.at,
                Choice::Nearest { tolerance } => first.at - tolerance <= oldest.at,
                Choice::Interpolate { max_gap } => first.at - max_gap <= oldest.at,
                Choice::Predict { max_ahead, max_gap } => {
                    first.at - max_ahead - max_gap <= oldest.at
                }
                Choice::Latest | Choice::Default(_) => false,
            };
            // One that lies behind the second oldest has its answer there.
            let is_behind = lane.second().is_some_and(|second| second.at <= first.at);
            if is_behind || !config.chain.iter().any(needs) {
                return;
            }
            self.give_early(out);
        }
    }
}

/// True if a lane certainly has more to say about an instant: its first choice waits for a bound behind it. Saves looking for
/// an answer that would not be given.
#[inline]
fn waits<T: Copy>(lane: &Lane<T>, config: &LaneConfig<T>, at: MonoTime) -> bool {
    let is_immediate = matches!(
        config.chain.first(),
        None | Some(Choice::Latest | Choice::Default(_))
    );
    lane.bound() <= at && !lane.is_idle() && !is_immediate
}

impl<P: Copy, T: Between + Default, const N: usize> Operator for Align<P, T, N> {
    type In = Told<P, T>;
    type Out = Event<Set<P, T, N>>;

    #[inline]
    fn push(&mut self, told: Told<P, T>, out: &mut impl FnMut(Self::Out)) {
        match told {
            Told::Primary(Event::Element(element)) => {
                self.now = self.now.max(element.arrived);
                self.put(element, out);
            }
            Told::Primary(Event::Bound(bound)) => self.primary = self.primary.max(bound),
            Told::Primary(Event::Idle) => out(Event::Idle),
            Told::Lane(lane, event) => {
                if let Event::Element(element) = &event {
                    self.now = self.now.max(element.arrived);
                    self.make_room(lane, out);
                }
                self.lanes[lane].0.take(&event);
            }
            Told::Now(now) => self.now = self.now.max(now),
        }
        self.drain(out);
    }
}
