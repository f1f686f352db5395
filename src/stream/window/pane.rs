//! Parts that windows are put together from: a ring of panes for one key, with a tree above it where windows have many.
//!
//! Chosen: a tree of merged panes (flat FAT; Tangwongsan, Hirzel, Schneider, Wu, VLDB 2015), brought up to date only where
//! a window looks. Rejected: two stacks and DABA, which merge less often, but an element that comes late into a pane which
//! they have already merged makes them begin anew; here it costs one path of the tree.
//!
//! Thread: whichever runs the stream. Allocates: when built. Blocks: no. Locks: no. Syscalls: none.

use crate::state::bytes::Fields;
use crate::stream::aggregate::Aggregate;
use crate::stream::element::{Element, Origin};
use crate::stream::kept::{Kept, kept};
use crate::units::MonoTime;

/// Windows of at most so many panes are put together pane by pane.
const WITHOUT_TREE: usize = 16;

/// How many elements, when, and what they come to.
#[derive(Clone, Debug)]
pub struct Pane<S> {
    pub count: u64,
    pub filled: u64,
    pub min_at: MonoTime,
    pub max_at: MonoTime,
    /// When the newest of them arrived.
    pub arrived: MonoTime,
    pub state: S,
}

kept!(impl [S: Kept] Pane<S> { count, filled, min_at, max_at, arrived, state });

impl<S: Clone> Pane<S> {
    pub fn empty(state: S) -> Self {
        Self {
            count: 0,
            filled: 0,
            min_at: MonoTime::FAR,
            max_at: MonoTime(i64::MIN),
            arrived: MonoTime(i64::MIN),
            state,
        }
    }

    pub fn clear<A: Aggregate<State = S>>(&mut self, aggregate: &A) {
        self.count = 0;
        self.filled = 0;
        self.min_at = MonoTime::FAR;
        self.max_at = MonoTime(i64::MIN);
        self.arrived = MonoTime(i64::MIN);
        aggregate.clear(&mut self.state);
    }

    #[inline]
    pub fn add<A: Aggregate<State = S>>(&mut self, aggregate: &A, element: &Element<A::In>) {
        self.count += 1;
        self.filled += u64::from(element.origin == Origin::Filled);
        self.min_at = self.min_at.min(element.at);
        self.max_at = self.max_at.max(element.at);
        self.arrived = self.arrived.max(element.arrived);
        aggregate.add(&mut self.state, element);
    }

    pub fn merge<A: Aggregate<State = S>>(&mut self, aggregate: &A, part: &Self) {
        if part.count == 0 {
            return;
        }
        self.count += part.count;
        self.filled += part.filled;
        self.min_at = self.min_at.min(part.min_at);
        self.max_at = self.max_at.max(part.max_at);
        self.arrived = self.arrived.max(part.arrived);
        aggregate.merge(&mut self.state, &part.state);
    }
}

/// Panes of one key, numbered through time; number `n` is at `n % length`.
#[derive(Clone, Debug)]
pub struct PaneRing<S> {
    /// A power of two of them.
    panes: Box<[Pane<S>]>,
    tree: Option<Tree<S>>,
    /// First and last number with elements in it.
    used: Option<(i64, i64)>,
}

/// What pairs of panes come to, and pairs of pairs. Node 1 is the root, node `n` has the children `2 n` and `2 n + 1`.
#[derive(Clone, Debug)]
struct Tree<S> {
    nodes: Box<[Pane<S>]>,
    /// Something below this node has changed, and then also below all above it.
    stale: Box<[bool]>,
}

impl<S: Clone> PaneRing<S> {
    /// Room for at least `length` panes, for windows of `in_window` of them.
    pub fn new(length: usize, in_window: usize, nothing: &S) -> Self {
        let length = Self::length(length);
        let panes = vec![Pane::empty(nothing.clone()); length].into_boxed_slice();
        let tree = (in_window > WITHOUT_TREE).then(|| Tree {
            nodes: panes.clone(),
            stale: vec![false; length].into_boxed_slice(),
        });
        Self {
            panes,
            tree,
            used: None,
        }
    }

    /// How many panes there will be.
    pub fn length(wanted: usize) -> usize {
        wanted.next_power_of_two().max(2)
    }

    /// First and last pane with elements in it.
    pub fn used(&self) -> Option<(i64, i64)> {
        self.used
    }

    /// Whether this pane and those in use lie close enough together.
    pub fn has_room_for(&self, number: i64) -> bool {
        self.used.is_none_or(|(first, last)| {
            let span = last.max(number).saturating_sub(first.min(number));
            usize::try_from(span).is_ok_and(|span| span < self.panes.len())
        })
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the length is a power of two: only the low bits count, also of negative numbers"
    )]
    fn slot(&self, number: i64) -> usize {
        number as usize & (self.panes.len() - 1)
    }

    /// Adds an element to a pane [that there is room for](Self::has_room_for).
    #[inline]
    pub fn add<A: Aggregate<State = S>>(
        &mut self,
        number: i64,
        aggregate: &A,
        element: &Element<A::In>,
    ) {
        debug_assert!(self.has_room_for(number), "two panes in one place");
        self.used = Some(match self.used {
            Some((first, last)) => (first.min(number), last.max(number)),
            None => (number, number),
        });
        let slot = self.slot(number);
        self.panes[slot].add(aggregate, element);
        self.mark(slot);
    }

    fn mark(&mut self, slot: usize) {
        let Some(tree) = &mut self.tree else { return };
        let mut node = (slot + self.panes.len()) / 2;
        // BOUND: the height of the tree.
        while node > 0 && !tree.stale[node] {
            tree.stale[node] = true;
            node /= 2;
        }
    }

    /// Empties all panes before this one.
    pub fn forget_before<A: Aggregate<State = S>>(&mut self, number: i64, aggregate: &A) {
        // BOUND: the number of panes; each is passed once.
        while let Some((first, last)) = self.used {
            let slot = self.slot(first);
            if first >= number && self.panes[slot].count > 0 {
                break;
            }
            if self.panes[slot].count > 0 {
                self.panes[slot].clear(aggregate);
                self.mark(slot);
            }
            self.used = (first < last).then_some((first + 1, last));
        }
    }

    /// Puts the panes `from..to` together.
    pub fn collect<A: Aggregate<State = S>>(
        &mut self,
        from: i64,
        to: i64,
        aggregate: &A,
        into: &mut Pane<S>,
    ) {
        into.clear(aggregate);
        let Some((first, last)) = self.used else {
            return;
        };
        let (from, to) = (from.max(first), to.min(last + 1));
        if from >= to {
            return;
        }
        let (begin, end) = (self.slot(from), self.slot(to - 1) + 1);
        // What lies around the end of the ring is two ranges, the earlier first.
        let ranges = if begin < end {
            [(begin, end), (0, 0)]
        } else {
            [(begin, self.panes.len()), (0, end)]
        };
        for (begin, end) in ranges {
            if begin == end {
                continue;
            }
            match &mut self.tree {
                Some(tree) => {
                    let mut looking = Looking {
                        panes: &self.panes,
                        tree,
                        aggregate,
                    };
                    looking.collect(1, 0, self.panes.len(), begin..end, into);
                }
                None => {
                    for pane in &self.panes[begin..end] {
                        into.merge(aggregate, pane);
                    }
                }
            }
        }
    }
}

/// The panes that have elements in them. What pairs of them come to is found out anew.
impl<S: Clone + Kept> Kept for PaneRing<S> {
    fn keep(&self, out: &mut Vec<u8>) {
        self.used.keep(out);
        let Some((first, last)) = self.used else {
            return;
        };
        for number in first..=last {
            let pane = &self.panes[self.slot(number)];
            (pane.count > 0).keep(out);
            if pane.count > 0 {
                pane.keep(out);
            }
        }
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        debug_assert!(self.used.is_none(), "into a ring that was just built");
        self.used.put_back(from)?;
        if let Some(tree) = &mut self.tree {
            tree.stale.fill(true);
        }
        let Some((first, last)) = self.used else {
            return Some(());
        };
        let span = usize::try_from(last.checked_sub(first)?).ok()?;
        if span >= self.panes.len() {
            return None;
        }
        for number in first..=last {
            let mut is_used = false;
            is_used.put_back(from)?;
            if is_used {
                let slot = self.slot(number);
                self.panes[slot].put_back(from)?;
            }
        }
        Some(())
    }
}

/// One look into the tree.
struct Looking<'a, A: Aggregate> {
    panes: &'a [Pane<A::State>],
    tree: &'a mut Tree<A::State>,
    aggregate: &'a A,
}

impl<A: Aggregate> Looking<'_, A> {
    /// Merges what a node, which stands for `begin..end`, has in a range. At most two nodes a level are not whole.
    fn collect(
        &mut self,
        node: usize,
        begin: usize,
        end: usize,
        range: std::ops::Range<usize>,
        into: &mut Pane<A::State>,
    ) {
        if range.end <= begin || end <= range.start {
            return;
        }
        if end - begin == 1 {
            into.merge(self.aggregate, &self.panes[begin]);
        } else if range.start <= begin && end <= range.end {
            self.refresh(node);
            into.merge(self.aggregate, &self.tree.nodes[node]);
        } else {
            let middle = usize::midpoint(begin, end);
            self.collect(2 * node, begin, middle, range.clone(), into);
            self.collect(2 * node + 1, middle, end, range, into);
        }
    }

    /// Brings a node up to date, and what it needs below it.
    fn refresh(&mut self, node: usize) {
        if !self.tree.stale[node] {
            return;
        }
        self.tree.stale[node] = false;
        let length = self.panes.len();
        let child = 2 * node;
        if child < length {
            self.refresh(child);
            self.refresh(child + 1);
        }
        let (above, below) = self.tree.nodes.split_at_mut(child.min(length));
        let merged = &mut above[node];
        merged.clear(self.aggregate);
        let children = match child.checked_sub(length) {
            Some(leaf) => &self.panes[leaf..leaf + 2],
            None => &below[..2],
        };
        for child in children {
            merged.merge(self.aggregate, child);
        }
    }
}
