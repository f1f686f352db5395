//! Promises of windows.

mod config;
mod kinds;
mod model;
mod numbers;
mod properties;
mod recorded;
mod sealed;

use reflexarc::stream::aggregate::Aggregate;
use reflexarc::stream::aggregate::ends::{First, Last};
use reflexarc::stream::aggregate::numbers::{Count, Max, Mean, Min, Sum, Variance};
use reflexarc::stream::element::{Element, Event, Side};
use reflexarc::stream::operator::Operator;
use reflexarc::stream::window::config::WindowConfig;
use reflexarc::stream::window::{Counts, Window, Windows};
use reflexarc::units::MonoTime;

/// What the elements of these tests carry.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    pub key: usize,
    pub value: f64,
    pub number: u64,
}

/// What is asked of every window.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Told {
    pub count: u64,
    pub sum: f64,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub mean: Option<f64>,
    pub variance: Option<f64>,
    pub first: Option<u64>,
    pub last: Option<u64>,
}

/// All of [`Told`], as one aggregate.
#[derive(Clone, Debug)]
pub struct Everything;

type Parts = (
    (Count<f64>, Sum, Min, Max, Mean, Variance),
    (First<u64>, Last<u64>),
);

fn parts() -> Parts {
    (
        (Count::default(), Sum, Min, Max, Mean, Variance::POPULATION),
        (First::default(), Last::default()),
    )
}

impl Aggregate for Everything {
    type In = Reading;
    type State = (
        <(Count<f64>, Sum, Min, Max, Mean, Variance) as Aggregate>::State,
        <(First<u64>, Last<u64>) as Aggregate>::State,
    );
    type Out = Told;

    fn empty(&self) -> Self::State {
        (parts().0.empty(), parts().1.empty())
    }

    fn add(&self, state: &mut Self::State, element: &Element<Reading>) {
        let (numbers, ends) = parts();
        numbers.add(&mut state.0, &element.with(element.value.value));
        ends.add(&mut state.1, &element.with(element.value.number));
    }

    fn merge(&self, state: &mut Self::State, part: &Self::State) {
        let (numbers, ends) = parts();
        numbers.merge(&mut state.0, &part.0);
        ends.merge(&mut state.1, &part.1);
    }

    fn result(&self, state: &Self::State) -> Told {
        let (numbers, ends) = parts();
        let (count, sum, min, max, mean, variance) = numbers.result(&state.0);
        let (first, last) = ends.result(&state.1);
        Told {
            count,
            sum,
            min,
            max,
            mean,
            variance,
            first,
            last,
        }
    }
}

/// What a stream of readings gave.
#[derive(Clone, Debug, PartialEq)]
pub struct Run<R> {
    pub windows: Vec<Window<R>>,
    pub late: Vec<u64>,
    pub counts: Counts,
}

/// Pushes events, and checks what every window operator promises of its output on the way.
pub struct Watched<A: Aggregate<In = Reading>> {
    operator: Windows<Reading, A, fn(&Reading) -> usize>,
    pub run: Run<A::Out>,
    bound: MonoTime,
}

impl<A: Aggregate<In = Reading> + Clone> Clone for Watched<A> {
    fn clone(&self) -> Self {
        Self {
            operator: self.operator.clone(),
            run: self.run.clone(),
            bound: self.bound,
        }
    }
}

impl<A: Aggregate<In = Reading>> Watched<A> {
    pub fn new(config: &WindowConfig, aggregate: A) -> Self {
        let key: fn(&Reading) -> usize = |reading| reading.key;
        Self {
            operator: Windows::new(config, key, aggregate).unwrap(),
            run: Run {
                windows: Vec::new(),
                late: Vec::new(),
                counts: Counts::default(),
            },
            bound: MonoTime(i64::MIN),
        }
    }

    pub fn push(&mut self, event: Event<Reading>) {
        let Self {
            operator,
            run,
            bound,
        } = self;
        operator.push(event, &mut |given| match given {
            Side::Left(Event::Element(window)) => {
                assert!(window.at >= *bound, "a result before the bound given out");
                run.windows.push(window.value);
            }
            Side::Left(Event::Bound(new)) => {
                assert!(new > *bound, "bounds advance");
                *bound = new;
            }
            Side::Right(Event::Element(late)) => run.late.push(late.value.number),
            _ => {}
        });
        run.counts = operator.counts();
        let counts = run.counts;
        assert_eq!(
            counts.elements,
            counts.admitted
                + counts.late
                + counts.without_place
                + counts.in_gap
                + counts.no_room
                + counts.impossible
        );
    }
}

/// The results of a whole stream.
pub fn run<A: Aggregate<In = Reading>>(
    config: &WindowConfig,
    aggregate: A,
    events: &[Event<Reading>],
) -> Run<A::Out> {
    let mut watched = Watched::new(config, aggregate);
    for event in events {
        watched.push(*event);
    }
    watched.run
}
