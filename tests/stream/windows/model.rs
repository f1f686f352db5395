//! What windows are, written down as simply as possible: all elements are kept, every window is looked at anew. Slow and
//! without bounds, but easily seen to be right.

use std::collections::{BTreeMap, BTreeSet};

use reflexarc::stream::aggregate::Aggregate;
use reflexarc::stream::element::{Element, Event};
use reflexarc::stream::window::config::{Emission, Kind, LateRule, WindowConfig};

use super::Reading;

/// Key, start, end, revision, and the numbers of the elements in the order of event time.
pub type Simple = (usize, i64, i64, u32, Vec<u64>);

/// Results in order, and numbers of late elements.
pub fn results(config: &WindowConfig, events: &[Event<Reading>]) -> (Vec<Simple>, Vec<u64>) {
    let mut model = Model {
        config,
        kept: Vec::new(),
        bound: i64::MIN,
        spoken: BTreeMap::new(),
        given: Vec::new(),
        late: Vec::new(),
    };
    for event in events {
        match event {
            Event::Element(element) => model.element(element),
            Event::Bound(bound) => model.bound(bound.0),
            Event::Idle => {}
        }
    }
    (model.given, model.late)
}

struct Model<'a> {
    config: &'a WindowConfig,
    kept: Vec<Element<Reading>>,
    bound: i64,
    /// How often something was said of a window of a key, by (end, key, start).
    spoken: BTreeMap<(i64, usize, i64), u32>,
    given: Vec<Simple>,
    late: Vec<u64>,
}

impl Model<'_> {
    /// All windows that an instant is in, as (start, end).
    fn windows(&self, at: i64) -> Vec<(i64, i64)> {
        let (size, slide, offset) = (
            self.config.size.0,
            self.config.slide.0,
            self.config.offset.0,
        );
        let mut start = (at - offset).div_euclid(slide) * slide + offset;
        let mut windows = Vec::new();
        while start > at - size {
            windows.push((start, start + size));
            start -= slide;
        }
        windows
    }

    fn element(&mut self, element: &Element<Reading>) {
        let (at, lateness) = (element.at.0, self.config.lateness.0);
        let windows = self.windows(at);
        let is_closed = |end: i64| end.saturating_add(lateness) <= self.bound;
        let is_before_bound = at.saturating_add(lateness) < self.bound;
        let is_late = match self.config.late {
            LateRule::Window => windows.iter().all(|(_, end)| is_closed(*end)) && is_before_bound,
            LateRule::Element => is_before_bound,
        };
        if is_late {
            self.late.push(element.value.number);
            return;
        }
        let over: Vec<_> = windows
            .into_iter()
            .filter(|(_, end)| *end <= self.bound && !is_closed(*end))
            .rev()
            .collect();
        self.kept.push(*element);
        if self.config.emission == Emission::Eager {
            for (start, end) in over {
                self.say(element.value.key, start, end);
            }
        }
    }

    fn bound(&mut self, bound: i64) {
        if bound <= self.bound {
            return;
        }
        let after = match self.config.emission {
            Emission::Eager => 0,
            _ => self.config.lateness.0,
        };
        let mut over = BTreeSet::new();
        for element in &self.kept {
            for (start, end) in self.windows(element.at.0) {
                let due = end.saturating_add(after);
                if due > self.bound && due <= bound {
                    over.insert((end, element.value.key, start));
                }
            }
        }
        for (end, key, start) in over {
            self.say(key, start, end);
        }
        self.bound = bound;
    }

    fn say(&mut self, key: usize, start: i64, end: i64) {
        let mut inside: Vec<_> = self
            .kept
            .iter()
            .filter(|kept| kept.value.key == key && (start..end).contains(&kept.at.0))
            .collect();
        inside.sort_by_key(|kept| kept.rank());
        let numbers = inside.iter().map(|kept| kept.value.number).collect();
        let spoken = self.spoken.entry((end, key, start)).or_default();
        self.given.push((key, start, end, *spoken, numbers));
        *spoken += 1;
    }
}

/// An aggregate that remembers everything, for this comparison only.
#[derive(Clone, Debug)]
pub struct Numbers;

impl Aggregate for Numbers {
    type In = Reading;
    type State = Vec<Element<Reading>>;
    type Out = Vec<u64>;

    fn empty(&self) -> Self::State {
        Vec::new()
    }

    fn add(&self, state: &mut Self::State, element: &Element<Reading>) {
        state.push(*element);
    }

    fn merge(&self, state: &mut Self::State, part: &Self::State) {
        // What is merged comes after, as promised.
        let last = state.iter().map(|element| element.at).max();
        let first = part.iter().map(|element| element.at).min();
        assert!(
            last.is_none() || first.is_none() || last < first,
            "parts in order"
        );
        state.extend(part);
    }

    fn result(&self, state: &Self::State) -> Vec<u64> {
        let mut state = state.clone();
        state.sort_by_key(|element| element.rank());
        state.iter().map(|element| element.value.number).collect()
    }
}

/// Whether this model knows such windows.
pub fn knows(config: &WindowConfig) -> bool {
    matches!(config.kind, Kind::Tumbling | Kind::Sliding) && config.emission != Emission::Early
}
