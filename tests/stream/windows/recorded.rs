//! What other engines made of the same streams. Each line of a record is a case with its answer; `tests/oracles/stream/run.py`
//! makes many of them, and some are kept in the repository.

use std::collections::BTreeMap;

use reflexarc::stream::aggregate::quantile::Quantile;
use reflexarc::stream::aggregate::{Aggregate, of};
use reflexarc::stream::element::{END, Event};
use reflexarc::stream::window::Window;
use reflexarc::stream::window::config::{Emission, Kind, WindowConfig};
use reflexarc::units::{MonoTime, Nanos};
use serde::Deserialize;

use super::{Everything, Reading, Run, Told, run};
use crate::made::element;
use crate::recorded::{Compared, cases, records};

const MS: i64 = 1_000_000;

/// A case whose subject is windows.
#[derive(Deserialize)]
struct Case {
    engine: String,
    windows: WindowConfig,
    /// How far the bound lags behind the latest element, in milliseconds.
    lag: i64,
    columns: Vec<String>,
    /// Milliseconds, key, value, number.
    elements: Vec<(i64, usize, f64, u64)>,
    expected: Expected,
}

#[derive(Deserialize)]
struct Expected {
    windows: Vec<Vec<Option<f64>>>,
    late: Vec<u64>,
}

impl Case {
    fn events(&self) -> Vec<Event<Reading>> {
        let mut events = Vec::new();
        let mut latest = i64::MIN;
        for &(time, key, value, number) in &self.elements {
            let reading = Reading { key, value, number };
            events.push(Event::Element(element(time * MS, number, reading)));
            latest = latest.max(time);
            events.push(Event::Bound(MonoTime((latest - self.lag) * MS)));
        }
        events.push(Event::Bound(END));
        events
    }
}

/// A window's result by the name of a column.
fn column(name: &str, window: &Window<(Told, Option<f64>)>) -> Option<f64> {
    let (told, median) = window.result;
    let milliseconds = |time: MonoTime| time.0.div_euclid(MS) as f64;
    match name {
        "key" => Some(f64::from(window.key)),
        "start" => Some(milliseconds(window.start)),
        "end" => Some(milliseconds(window.end)),
        // The instant that a trailing window ends with.
        "last_at" => Some(milliseconds(window.end - Nanos(1))),
        "count" => Some(told.count as f64),
        "sum" => Some(told.sum),
        "min" => told.min,
        "max" => told.max,
        "mean" => told.mean,
        "variance" => told.variance,
        "median" => median,
        "first" => told.first.map(|number| number as f64),
        "last" => told.last.map(|number| number as f64),
        _ => panic!("no column {name}"),
    }
}

fn agrees(name: &str, ours: Option<f64>, theirs: Option<f64>) -> bool {
    match (name, ours, theirs) {
        // These engines round while they go, and we do at the end; a wrong element would make more of a difference.
        ("mean", Some(ours), Some(theirs)) => {
            (ours - theirs).abs() <= 1e-14 * theirs.abs().max(1.0)
        }
        ("variance", Some(ours), Some(theirs)) => {
            (ours - theirs).abs() <= 1e-9 * theirs.abs().max(1e-6)
        }
        // Ours is within 0.8 % by design.
        ("median", Some(ours), Some(theirs)) => (ours - theirs).abs() <= 0.008 * theirs.abs(),
        _ => ours == theirs,
    }
}

/// Rows by key and time, in the order in which they were said.
type Rows = BTreeMap<Vec<i64>, Vec<Vec<Option<f64>>>>;

fn by_window(columns: &[String], rows: impl Iterator<Item = Vec<Option<f64>>>) -> Rows {
    let is_name = |name: &String| ["key", "start", "end", "last_at"].contains(&name.as_str());
    let places: Vec<_> = (0..columns.len())
        .filter(|k| is_name(&columns[*k]))
        .collect();
    let mut by_window = Rows::new();
    for row in rows {
        let name = places.iter().map(|k| row[*k].unwrap() as i64).collect();
        by_window.entry(name).or_default().push(row);
    }
    by_window
}

/// The differences between what we say and what they say.
fn compare(case: &Case, ours: &Run<(Told, Option<f64>)>, expected: &Rows) -> Option<String> {
    let columns = &case.columns;
    let row = |window| columns.iter().map(|name| column(name, window)).collect();
    let mut mine = by_window(columns, ours.windows.iter().map(row));
    if case.windows.kind == Kind::Count && case.windows.partial {
        // Others forget what is left at the end, and we say it.
        let every = u64::from(case.windows.every);
        for (key, rows) in &mut mine {
            let came = case
                .elements
                .iter()
                .filter(|element| element.1 as i64 == key[0]);
            if !(came.count() as u64).is_multiple_of(every) {
                rows.pop();
            }
        }
        mine.retain(|_, rows| !rows.is_empty());
    }
    for (window, rows) in &mine {
        let Some(theirs) = expected.get(window) else {
            return Some(format!("only we have {rows:?}"));
        };
        if rows.len() != theirs.len() {
            return Some(format!("we say {rows:?}, they {theirs:?}"));
        }
        for (ours, theirs) in rows.iter().zip(theirs) {
            for (k, name) in columns.iter().enumerate() {
                if !agrees(name, ours[k], theirs[k]) {
                    return Some(format!("{name}: we say {ours:?}, they {theirs:?}"));
                }
            }
        }
    }
    let missing = expected
        .iter()
        .find(|(window, _)| !mine.contains_key(*window));
    missing.map(|(_, rows)| format!("only they have {rows:?}"))
}

fn check(case: &Case) -> Result<usize, String> {
    let events = case.events();
    let aggregate = || WithMedian(of(|reading: &Reading| reading.value, Quantile::MEDIAN));
    // The median's state is large; where nobody asks for it, it stays away.
    let asks = case.columns.iter().any(|name| name == "median");
    let go = |config: &WindowConfig| {
        if asks {
            run(config, aggregate(), &events)
        } else {
            let told = run(config, Everything, &events);
            let windows = told.windows.iter().map(with_no_median).collect();
            Run {
                windows,
                late: told.late,
                counts: told.counts,
            }
        }
    };
    let ours = go(&case.windows);
    if ours.counts.no_room > 0 {
        return Err(format!("{} had no room", ours.counts.no_room));
    }
    let (mut late, mut expected_late) = (ours.late.clone(), case.expected.late.clone());
    late.sort_unstable();
    expected_late.sort_unstable();
    if late != expected_late {
        return Err(format!("late: we say {late:?}, they {expected_late:?}"));
    }
    let mut expected = by_window(&case.columns, case.expected.windows.iter().cloned());
    if let Some(difference) = compare(case, &ours, &expected) {
        return Err(difference);
    }
    let is_of_time = matches!(case.windows.kind, Kind::Sliding | Kind::Tumbling);
    if case.windows.emission == Emission::Eager && is_of_time {
        // Said once, it is what they say last.
        let config = WindowConfig {
            emission: Emission::Final,
            ..case.windows.clone()
        };
        for rows in expected.values_mut() {
            rows.drain(..rows.len() - 1);
        }
        if let Some(difference) = compare(case, &go(&config), &expected) {
            return Err(format!("when final, {difference}"));
        }
    }
    Ok(ours.windows.len())
}

fn with_no_median(window: &Window<Told>) -> Window<(Told, Option<f64>)> {
    Window {
        result: (window.result, None),
        key: window.key,
        start: window.start,
        end: window.end,
        count: window.count,
        min_at: window.min_at,
        max_at: window.max_at,
        filled: window.filled,
        revision: window.revision,
        is_final: window.is_final,
    }
}

/// [`Everything`] and another.
struct WithMedian<M>(M);

impl<M: Aggregate<In = Reading, Out = Option<f64>>> Aggregate for WithMedian<M> {
    type In = Reading;
    type State = (<Everything as Aggregate>::State, M::State);
    type Out = (Told, Option<f64>);

    fn empty(&self) -> Self::State {
        (Everything.empty(), self.0.empty())
    }

    fn add(&self, state: &mut Self::State, element: &reflexarc::stream::element::Element<Reading>) {
        Everything.add(&mut state.0, element);
        self.0.add(&mut state.1, element);
    }

    fn merge(&self, state: &mut Self::State, part: &Self::State) {
        Everything.merge(&mut state.0, &part.0);
        self.0.merge(&mut state.1, &part.1);
    }

    fn result(&self, state: &Self::State) -> Self::Out {
        (Everything.result(&state.0), self.0.result(&state.1))
    }
}

#[test]
fn recorded_windows_are_those_of_other_engines() {
    for file in records() {
        let mut compared = Compared::new("windows");
        for (number, line) in cases("windows", &file) {
            let settings = line["windows"].to_string();
            let case: Case = serde_json::from_value(line).unwrap();
            match check(&case) {
                Ok(results) => compared.results += results,
                Err(difference) => compared.differences.push(format!(
                    "case {number}, lag {}, {settings}: {difference}",
                    case.lag
                )),
            }
            compared.cases += 1;
            compared.late += case.expected.late.len();
            compared.engine = case.engine;
        }
        compared.tell(&file);
    }
}
