//! Windows on made-up streams with disorder, repeated times, gaps and jumps: equal to the simple model, and blind to what
//! must not matter.

use reflexarc::stream::element::{END, Element, Event, Origin};
use reflexarc::stream::window::config::{Emission, Kind, LateRule, WindowConfig};
use reflexarc::units::{MonoTime, Nanos};

use super::model::{self, Numbers};
use super::{Everything, Reading, Run, Watched, run};
use crate::made::{Random, element};

const MS: i64 = 1_000_000;

/// Elements in the order in which they come, with a bound after each that lags by `lag`, and the end.
fn stream(random: &mut Random, keys: u64, lag: i64, disorder: u64) -> Vec<Event<Reading>> {
    let elements = elements(random, keys, disorder, true);
    with_bounds(random, &elements, lag)
}

/// Puts bounds between elements that lag by so many milliseconds behind the newest one, and the end.
fn with_bounds(
    random: &mut Random,
    elements: &[Element<Reading>],
    lag: i64,
) -> Vec<Event<Reading>> {
    let mut events = Vec::new();
    let mut newest = MonoTime(i64::MIN);
    for element in elements {
        events.push(Event::Element(*element));
        newest = newest.max(element.at);
        if random.below(3) > 0 {
            events.push(Event::Bound(newest - Nanos(lag * MS)));
        }
    }
    events.push(Event::Bound(END));
    events
}

fn elements(random: &mut Random, keys: u64, disorder: u64, jumps: bool) -> Vec<Element<Reading>> {
    let mut elements = Vec::new();
    let mut now = random.below(4_000) as i64 - 2_000;
    for number in 0..20 + random.below(120) {
        now += match random.below(40) {
            0 if jumps => 1_000 + random.below(20_000) as i64,
            1..4 => 0,
            _ => random.below(25) as i64,
        };
        // Mostly within the disorder that was agreed, sometimes not.
        let back = match random.below(12) {
            0 => random.below(5 * disorder + 200),
            _ => random.below(disorder + 1),
        };
        let at = (now - back as i64) * MS;
        let reading = Reading {
            key: random.below(keys) as usize,
            value: (random.below(4_000) as f64 - 2_000.0) / 1024.0,
            number,
        };
        let mut one = element(at, number, reading);
        one.source = random.below(3) as u16;
        if random.below(20) == 0 {
            one.origin = Origin::Filled;
        }
        elements.push(one);
    }
    elements
}

fn windows(random: &mut Random) -> WindowConfig {
    let pick = |random: &mut Random, of: &[i64]| of[random.below(of.len() as u64) as usize];
    let size = pick(random, &[1, 7, 20, 25, 50, 60, 100, 100, 250, 1_000]);
    let slide = match random.below(8) {
        0 => size,
        1 => 1 + random.below(2 * size as u64) as i64,
        _ => (size / pick(random, &[1, 2, 2, 3, 4, 5, 10])).max(1),
    };
    let mut config = WindowConfig::sliding(Nanos(size * MS), Nanos(slide * MS));
    config.allow_gaps = true;
    // Mostly where bounds can meet the ends of windows exactly.
    config.offset = match random.below(4) {
        0 => Nanos(random.below(slide as u64 * MS as u64) as i64),
        _ => Nanos(random.below(slide as u64) as i64 * MS),
    };
    config.lateness = Nanos(pick(random, &[0, 0, 10, 50, 300]) * MS);
    config.disorder = Nanos(pick(random, &[0, 30, 100, 500]) * MS);
    config.keys = 1 + random.below(4) as u32;
    config.emission = [Emission::Final, Emission::Eager][random.below(2) as usize];
    if config.emission == Emission::Final && random.below(4) == 0 {
        config.late = LateRule::Element;
    }
    config
}

#[test]
fn two_thousand_windows_of_time_equal_the_simple_model() {
    let mut random = Random(11);
    let (mut results, mut late, mut revised, mut parked) = (0, 0, 0, 0);
    for case in 0..2_000 {
        let config = windows(&mut random);
        assert!(model::knows(&config));
        let lag = [0, 5, 30, 100, 400][random.below(5) as usize];
        // Before the first bound nobody knows how far back the stream reaches, so there is room for what it may be.
        let disorder = random.below(80);
        let events = stream(&mut random, u64::from(config.keys), lag, disorder);
        let config = WindowConfig {
            disorder: config.disorder.max(Nanos((6 * disorder as i64 + 700) * MS)),
            ..config
        };
        let ours = run(&config, Numbers, &events);
        let (expected, expected_late) = model::results(&config, &events);
        let given: Vec<_> = ours
            .windows
            .iter()
            .map(|w| {
                (
                    w.key as usize,
                    w.start.0,
                    w.end.0,
                    w.revision,
                    w.result.clone(),
                )
            })
            .collect();
        assert_eq!(ours.counts.no_room, 0, "case {case}: {config:?}");
        assert_eq!(given, expected, "case {case}: {config:?} lag {lag}");
        assert_eq!(ours.late, expected_late, "case {case}: {config:?}");
        for window in &ours.windows {
            assert_eq!(window.count, window.result.len() as u64);
        }
        results += given.len();
        late += ours.late.len();
        revised += given.iter().filter(|window| window.3 > 0).count();
        parked += ours.counts.parked;
    }
    eprintln!(
        "{results} results, {revised} of them revised, {late} late and {parked} parked elements"
    );
    assert!(
        revised > 500 && late > 1_000 && parked > 1_000,
        "the streams try everything"
    );
}

/// All kinds, with what goes with them.
fn any_windows(random: &mut Random) -> WindowConfig {
    let mut config = windows(random);
    config.disorder = Nanos(2_000 * MS);
    config.kind =
        [Kind::Sliding, Kind::Count, Kind::Session, Kind::Trailing][random.below(4) as usize];
    if config.kind != Kind::Sliding {
        config.emission = Emission::Final;
        config.late = LateRule::Window;
    }
    config.gap = Nanos((1 + random.below(60) as i64) * MS);
    config.count = 1 + random.below(60) as u32;
    config.every = 1 + random.below(u64::from(config.count)) as u32;
    config.partial = random.below(2) == 0;
    config.delay = Nanos(random.below(30) as i64 * MS);
    config
}

#[test]
fn every_element_on_time_is_in_as_many_windows_as_fit() {
    let mut random = Random(5);
    for _ in 0..200 {
        let factor = 1 + random.below(20) as i64;
        let slide = 1 + random.below(40) as i64;
        let config = WindowConfig {
            keys: 2,
            disorder: Nanos(2_000 * MS),
            ..WindowConfig::sliding(Nanos(factor * slide * MS), Nanos(slide * MS))
        };
        let events = stream(&mut random, 2, 2_000, 80);
        let ours = run(&config, Everything, &events);
        let elements = ours.counts.elements;
        assert_eq!(ours.counts.admitted, elements);
        let counted: u64 = ours.windows.iter().map(|window| window.count).sum();
        assert_eq!(counted, elements * factor as u64);
    }
}

#[test]
fn order_of_arrival_within_the_bound_changes_nothing() {
    let mut random = Random(77);
    for _ in 0..300 {
        let mut config = any_windows(&mut random);
        config.emission = Emission::Final;
        if config.kind == Kind::Count {
            // These go by arrival.
            config.kind = Kind::Sliding;
        }
        let mut came = elements(&mut random, u64::from(config.keys), 60, false);
        let events = with_bounds(&mut random, &came, 2_000);
        let ours = run(&config, Everything, &events);
        for block in came.chunks_mut(9) {
            random.shuffle(block);
        }
        let events = with_bounds(&mut random, &came, 2_000);
        let shuffled = run(&config, Everything, &events);
        assert_eq!((ours.counts.late, ours.counts.no_room), (0, 0));
        assert_eq!((shuffled.counts.late, shuffled.counts.no_room), (0, 0));
        assert_eq!(shuffled.windows, ours.windows, "{config:?}");
    }
}

#[test]
fn all_times_moved_by_slides_only_move_the_results() {
    let mut random = Random(99);
    for _ in 0..300 {
        let config = any_windows(&mut random);
        let by = config.slide * (random.below(2_000_000) as i64 - 1_000_000);
        let events = stream(&mut random, u64::from(config.keys), 40, 60);
        let moved: Vec<_> = events
            .iter()
            .map(|event| match *event {
                Event::Element(mut element) => {
                    element.at += by;
                    Event::Element(element)
                }
                Event::Bound(bound) if bound != END => Event::Bound(bound + by),
                other => other,
            })
            .collect();
        let mut ours = run(&config, Everything, &events);
        for window in &mut ours.windows {
            for time in [
                &mut window.start,
                &mut window.end,
                &mut window.min_at,
                &mut window.max_at,
            ] {
                *time += by;
            }
        }
        let theirs = run(&config, Everything, &moved);
        assert_eq!(theirs, ours, "{config:?}");
    }
}

#[test]
fn a_copy_goes_on_as_the_original_would_have() {
    let mut random = Random(3);
    for _ in 0..300 {
        let mut config = any_windows(&mut random);
        if config.kind == Kind::Sliding && random.below(3) == 0 {
            config.emission = Emission::Early;
            config.late = LateRule::Window;
        }
        let events = stream(&mut random, u64::from(config.keys), 40, 60);
        let whole = run(&config, Everything, &events);
        let (before, after) = events.split_at(random.below(events.len() as u64) as usize);
        let mut first = Watched::new(&config, Everything);
        before.iter().for_each(|event| first.push(*event));
        let mut copy = first.clone();
        // What the original sees afterwards is nothing to the copy.
        first.push(Event::Bound(END));
        after.iter().for_each(|event| copy.push(*event));
        let split: Run<_> = copy.run;
        assert_eq!(split, whole, "{config:?}");
    }
}
