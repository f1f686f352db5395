//! Joins as Flink has them (see tests/oracles/stream/flink_join.py).

use reflexarc::stream::element::{END, Event, Side};
use reflexarc::stream::operator::Operator as _;
use reflexarc::stream::operators::join::Join;
use reflexarc::units::{MonoTime, Nanos};
use serde::Deserialize;

use crate::made::element;
use crate::recorded::{Compared, cases, records};

const MS: i64 = 1_000_000;

#[derive(Deserialize)]
struct Case {
    engine: String,
    from: Nanos,
    to: Nanos,
    /// Whether the ends of the interval are left out.
    exclusive: [bool; 2],
    /// How far the bound of each side lags behind its latest element, in milliseconds.
    lags: [i64; 2],
    /// Milliseconds, key, side, number; a key below zero says that the side falls silent.
    elements: Vec<(i64, i64, usize, u64)>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    /// Number of the left one, of the right one, milliseconds.
    pairs: Vec<(u64, u64, i64)>,
    late: Vec<u64>,
}

/// How far the two sides have come together, as Flink counts: the last millisecond that is over.
struct Watermark {
    latest: [Option<i64>; 2],
    idle: [bool; 2],
    lags: [i64; 2],
    reached: i64,
}

impl Watermark {
    fn new(lags: [i64; 2]) -> Self {
        Self {
            latest: [None; 2],
            idle: [false; 2],
            lags,
            reached: i64::MIN,
        }
    }

    fn advance(&mut self) {
        let of = |side: usize| self.latest[side].map_or(i64::MIN, |at| at - self.lags[side] - 1);
        let least = (0..2).filter(|side| !self.idle[*side]).map(of).min();
        self.reached = self.reached.max(least.unwrap_or(of(0).max(of(1))));
    }
}

/// The numbers of elements that lay exactly at the watermark when they came.
fn at_the_watermark(case: &Case) -> Vec<u64> {
    let mut watermark = Watermark::new(case.lags);
    let mut numbers = Vec::new();
    for &(at, key, side, number) in &case.elements {
        watermark.idle[side] = key < 0;
        if key >= 0 {
            if at == watermark.reached {
                numbers.push(number);
            }
            let latest = watermark.latest[side].map_or(at, |latest| latest.max(at));
            watermark.latest[side] = Some(latest);
        }
        watermark.advance();
    }
    numbers
}

/// Our pairs, and how many elements we found late.
fn join(case: &Case) -> (Vec<(u64, u64, i64)>, u64) {
    let [from, to] = [
        case.from + Nanos(i64::from(case.exclusive[0])),
        case.to - Nanos(i64::from(case.exclusive[1])),
    ];
    let same_key = |left: &(i64, u64), right: &(i64, u64)| left.0 == right.0;
    let mut join = Join::new(from, to, case.elements.len(), same_key);
    let mut pairs = Vec::new();
    let mut bounds = [MonoTime(i64::MIN); 2];
    let mut idle = [false; 2];
    let mut bound = MonoTime(i64::MIN);
    let mut push = |side: usize, event: Event<(i64, u64)>| {
        let event = if side == 0 {
            Side::Left(event)
        } else {
            Side::Right(event)
        };
        join.push(event, &mut |event| match event {
            Event::Element(pair) => {
                assert!(pair.at >= bound, "a bound was broken");
                let ((_, left), (_, right)) = pair.value;
                pairs.push((left, right, pair.at.0 / MS));
            }
            Event::Bound(further) => bound = further,
            Event::Idle => {}
        });
    };
    for &(at, key, side, number) in &case.elements {
        idle[side] = key < 0;
        if key < 0 {
            push(side, Event::Idle);
            if idle == [true; 2] {
                // Where nobody is waited for, Flink goes as far as the furthest, and we as the least.
                let furthest = bounds[0].max(bounds[1]);
                push(0, Event::Bound(furthest));
                push(1, Event::Bound(furthest));
            }
            continue;
        }
        push(
            side,
            Event::Element(element(at * MS, number, (key, number))),
        );
        bounds[side] = bounds[side].max(MonoTime((at - case.lags[side]) * MS));
        push(side, Event::Bound(bounds[side]));
    }
    push(0, Event::Bound(END));
    push(1, Event::Bound(END));
    (pairs, join.late)
}

fn check(case: &Case) -> Result<(usize, usize), String> {
    let apart = at_the_watermark(case);
    let is_apart = |number: &u64| apart.contains(number);
    let (mut pairs, late) = join(case);
    pairs.sort_unstable();
    let mut expected = case.expected.pairs.clone();
    expected.retain(|(left, right, _)| !is_apart(left) && !is_apart(right));
    expected.sort_unstable();
    if pairs != expected {
        let only = |a: &[(u64, u64, i64)], b: &[(u64, u64, i64)]| -> Vec<_> {
            a.iter().filter(|pair| !b.contains(pair)).copied().collect()
        };
        return Err(format!(
            "only we have {:?}, only they {:?}",
            only(&pairs, &expected),
            only(&expected, &pairs)
        ));
    }
    if case.expected.late.iter().any(is_apart) {
        return Err("what they find late is not at the watermark".to_owned());
    }
    let expected = case.expected.late.len() + apart.len();
    if late != expected as u64 {
        return Err(format!("late: we say {late}, they {expected}"));
    }
    Ok((pairs.len(), apart.len()))
}

#[test]
fn recorded_joins_are_those_of_flink() {
    for file in records() {
        let mut compared = Compared::new("join");
        for (number, line) in cases("join", &file) {
            let case: Case = serde_json::from_value(line).unwrap();
            match check(&case) {
                Ok((pairs, apart)) => {
                    compared.results += pairs;
                    compared.set_apart += apart;
                }
                Err(difference) => compared.differences.push(format!(
                    "case {number}, from {} to {}, lags {:?}: {difference}",
                    case.from, case.to, case.lags
                )),
            }
            compared.cases += 1;
            compared.late += case.expected.late.len();
            compared.engine = case.engine;
        }
        compared.tell(&file);
    }
}
