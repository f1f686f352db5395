//! As-of alignment and joins against pandas, polars and DuckDB (see tests/oracles/asof.py).

use std::collections::BTreeMap;

use reflexarc::stream::align::choice::Choice;
use reflexarc::stream::align::operator::{Align, LaneConfig, Told};
use reflexarc::stream::builder::Stream;
use reflexarc::stream::element::{END, Element, Event, Side};
use reflexarc::stream::operator::Operator as _;
use reflexarc::units::{MonoTime, Nanos};

use super::made::element;

/// The number of an element, as what lanes carry.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Number(Option<u64>);

impl reflexarc::stream::align::choice::Between for Number {
    fn between(&self, _: &Self, _: f64) -> Self {
        Self(None)
    }
}

struct Case {
    tolerance: Nanos,
    from: Nanos,
    to: Nanos,
    rows: BTreeMap<String, Vec<Option<i64>>>,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        let (name, rest) = line.split_once(' ').unwrap_or((line, ""));
        let numbers: Vec<Option<i64>> = rest.split_whitespace().map(|w| w.parse().ok()).collect();
        if name == "case" {
            let number = |i: usize| Nanos(numbers[i].unwrap());
            cases.push(Case {
                tolerance: number(0),
                from: number(1),
                to: number(2),
                rows: BTreeMap::new(),
            });
        } else {
            cases
                .last_mut()
                .unwrap()
                .rows
                .insert(name.to_owned(), numbers);
        }
    }
    cases
}

/// The cases in the repository, or those of a file that was just made (`scripts/dev oracles`).
fn text() -> String {
    std::env::var_os("REFLEXARC_ASOF").map_or_else(
        || include_str!("../oracles/asof.txt").to_owned(),
        |file| std::fs::read_to_string(file).unwrap(),
    )
}

#[test]
fn the_last_and_the_nearest_are_those_of_pandas_polars_and_duckdb() {
    let cases = cases(&text());
    assert!(cases.len() >= 150);
    let (mut asked, mut answered) = (0, 0);
    for (index, case) in cases.iter().enumerate() {
        let tolerance = case.tolerance;
        let lane = |choice| LaneConfig {
            chain: vec![choice],
            is_needed: false,
            capacity: 64,
            late_steps: 64,
        };
        let lanes = [
            lane(Choice::Hold { max_age: tolerance }),
            lane(Choice::Nearest { tolerance }),
        ];
        let mut align = Align::<(), Number, 2>::new(lanes, 64, Nanos::MAX);
        let mut out = Vec::new();
        let mut take = |event: Event<_>| {
            out.extend(if let Event::Element(e) = event {
                Some(e)
            } else {
                None
            })
        };
        // Both arrive interleaved: the first stream's elements wait for the second's bound at the end.
        let (left, right) = (&case.rows["left"], &case.rows["right"]);
        for turn in 0..left.len().max(right.len()) {
            if let Some(Some(at)) = left.get(turn) {
                align.push(
                    Told::Primary(Event::Element(element(*at, turn as u64, ()))),
                    &mut take,
                );
            }
            if let Some(Some(at)) = right.get(turn) {
                let number: Element<Number> = element(*at, turn as u64, Number(Some(turn as u64)));
                align.push(Told::Lane(0, Event::Element(number)), &mut take);
                align.push(Told::Lane(1, Event::Element(number)), &mut take);
            }
        }
        align.push(Told::Lane(0, Event::Bound(END)), &mut take);
        align.push(Told::Lane(1, Event::Bound(END)), &mut take);
        assert_eq!(out.len(), left.len());
        for (lane, name) in ["hold", "nearest"].iter().enumerate() {
            let found: Vec<Option<i64>> = out
                .iter()
                .map(|set| {
                    set.value.answers[lane]
                        .value
                        .and_then(|n| n.0)
                        .map(|n| n as i64)
                })
                .collect();
            assert_eq!(
                found, case.rows[*name],
                "case {index}, {name}, {:?}",
                case.tolerance
            );
            asked += found.len();
            answered += found.iter().flatten().count();
        }
    }
    assert!(
        answered * 10 > asked * 3 && answered < asked,
        "{answered} of {asked}"
    );
}

#[test]
fn a_join_has_the_pairs_of_duckdb() {
    for (index, case) in cases(&text()).iter().enumerate() {
        let (left, right) = (&case.rows["left"], &case.rows["right"]);
        let mut running = Stream::input()
            .beside(Stream::input())
            .join(case.from, case.to, 64, |_: &u64, _: &u64| true)
            .start();
        let mut found = vec![Some(0); left.len()];
        let mut take = |event: Event<(u64, u64)>| {
            if let Event::Element(pair) = event {
                let count = found[pair.value.0 as usize].get_or_insert(0);
                *count += 1;
            }
        };
        for turn in 0..left.len().max(right.len()) {
            let side = |row: &[Option<i64>]| {
                let at = row.get(turn).copied().flatten()?;
                Some(Event::Element(element(at, turn as u64, turn as u64)))
            };
            if let Some(event) = side(left) {
                running.push(Side::Left(event), &mut take);
            }
            if let Some(event) = side(right) {
                running.push(Side::Right(event), &mut take);
            }
        }
        running.push(Side::Left(Event::Bound(MonoTime(0))), &mut take);
        assert_eq!(found, case.rows["pairs"], "case {index}");
    }
}
