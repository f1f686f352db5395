//! What each kind of windows does, one promise at a time. Those with a number stand against a bug of the sample code that
//! this engine goes back to, as numbered in the documentation.

use reflexarc::stream::aggregate::numbers::{Count, Mean, Sum};
use reflexarc::stream::aggregate::of;
use reflexarc::stream::builder::Stream;
use reflexarc::stream::element::{END, Event, Origin};
use reflexarc::stream::window::config::{Emission, Empty, Kind, LateRule, WindowConfig};
use reflexarc::stream::window::{Window, Windows};
use reflexarc::units::{MonoTime, Nanos};

use super::{Everything, Reading, Run, Told, run};
use crate::made::{bound, element};

const MS: i64 = 1_000_000;

fn ms(n: i64) -> Nanos {
    Nanos::from_millis(n)
}

/// A reading of key 0 at so many milliseconds.
fn at(time: i64) -> Event<Reading> {
    of_key(0, time)
}

fn of_key(key: usize, time: i64) -> Event<Reading> {
    let number = time.unsigned_abs();
    let value = time as f64;
    Event::Element(element(time * MS, number, Reading { key, value, number }))
}

fn until(time: i64) -> Event<Reading> {
    bound(time * MS)
}

/// Key, start and end in milliseconds, count.
fn brief<R>(windows: &[Window<R>]) -> Vec<(u32, i64, i64, u64)> {
    windows
        .iter()
        .map(|w| (w.key, w.start.0 / MS, w.end.0 / MS, w.count))
        .collect()
}

fn fifty() -> WindowConfig {
    WindowConfig::sliding(ms(50), ms(25))
}

#[test]
fn a_window_has_its_start_in_it_but_not_its_end() {
    let config = WindowConfig::tumbling(ms(100));
    let events = [at(0), at(99), at(100), Event::Bound(END)];
    let windows = run(&config, Everything, &events).windows;
    assert_eq!(brief(&windows), [(0, 0, 100, 2), (0, 100, 200, 1)]);
    // One nanosecond before its end is in it.
    let mut before = element(
        100 * MS - 1,
        0,
        Reading {
            key: 0,
            value: 0.0,
            number: 0,
        },
    );
    before.source = 7;
    let events = [Event::Element(before), Event::Bound(END)];
    assert_eq!(
        brief(&run(&config, Everything, &events).windows),
        [(0, 0, 100, 1)]
    );
}

#[test]
fn a_result_comes_exactly_when_the_bound_reaches_the_end_and_before_the_bound() {
    let mut stream = Stream::input()
        .window(
            &WindowConfig::tumbling(ms(100)),
            |_: &Reading| 0,
            Everything,
        )
        .unwrap()
        .start();
    let mut given = Vec::new();
    stream.push(at(10), |event| given.push(event));
    stream.push(bound(100 * MS - 1), |event| given.push(event));
    assert!(matches!(given[..], [Event::Bound(MonoTime(99_999_999))]));
    given.clear();
    stream.push(bound(100 * MS), |event| given.push(event));
    match given[..] {
        [Event::Element(result), Event::Bound(MonoTime(100_000_000))] => {
            assert_eq!(result.at, MonoTime(100 * MS - 1));
            assert_eq!(result.arrived, MonoTime(10 * MS));
            assert_eq!((result.value.count, result.value.is_final), (1, true));
        }
        _ => panic!("{given:?}"),
    }
}

#[test]
fn b1_what_was_filtered_out_is_in_no_window() {
    let mut stream = Stream::input()
        .filter(|reading: &Reading| reading.value > 15.0)
        .window(&WindowConfig::tumbling(ms(100)), |_| 0, Count::default())
        .unwrap()
        .start();
    let mut counts = Vec::new();
    for event in [at(10), at(20), at(30), Event::Bound(END)] {
        stream.push(event, |event| {
            if let Event::Element(result) = event {
                counts.push(result.value.result);
            }
        });
    }
    assert_eq!(counts, [2]);
}

#[test]
fn b2_while_a_window_fills_nothing_is_said_but_time_goes_on() {
    let mut stream = Stream::input()
        .window(&WindowConfig::default(), |_: &Reading| 0, Everything)
        .unwrap()
        .start();
    let mut given = Vec::new();
    for time in 0..30 {
        stream.push(at(time), |event| given.push(event));
        stream.push(until(time), |event| given.push(event));
    }
    assert_eq!(given.len(), 30);
    assert!(given.iter().all(|event| matches!(event, Event::Bound(_))));
}

#[test]
fn b3_a_window_is_full_by_time_whatever_the_rate() {
    let rates = [(10, 1_000), (2_000, 5)];
    for (period, count) in rates {
        let events: Vec<_> = (0..20_000 / period)
            .flat_map(|k| [at(k * period), until(k * period)])
            .collect();
        let windows = run(&WindowConfig::tumbling(ms(10_000)), Everything, &events).windows;
        assert_eq!(
            brief(&windows),
            [(0, 0, 10_000, count)],
            "every {period} ms"
        );
    }
}

#[test]
fn b4_keys_and_aggregates_share_nothing() {
    let config = WindowConfig {
        keys: 2,
        ..WindowConfig::tumbling(ms(100))
    };
    let events = [of_key(0, 1), of_key(1, 2), of_key(1, 3), Event::Bound(END)];
    let windows = run(&config, Everything, &events).windows;
    assert_eq!(brief(&windows), [(0, 0, 100, 1), (1, 0, 100, 2)]);

    let chain = Stream::input()
        .window(
            &config,
            |reading: &Reading| reading.key,
            of(|r: &Reading| r.value, Sum),
        )
        .unwrap();
    let (mut one, mut other) = (chain.clone().start(), chain.start());
    let (mut ones, mut others) = (Vec::new(), Vec::new());
    for event in events {
        one.push(event, |event| ones.push(event));
    }
    other.push(Event::Bound(END), |event| others.push(event));
    assert_eq!(ones.len(), 3);
    assert_eq!(others.len(), 1, "only the bound");
}

#[test]
fn b6_times_before_zero_have_windows_of_their_own() {
    let config = WindowConfig::tumbling(ms(1_000));
    let windows = run(&config, Everything, &[at(-500), at(500), Event::Bound(END)]).windows;
    assert_eq!(brief(&windows), [(0, -1_000, 0, 1), (0, 0, 1_000, 1)]);
}

#[test]
fn b7_b8_with_the_defaults_each_element_is_in_two_windows_and_all_are_given() {
    let events: Vec<_> = (0..100)
        .flat_map(|k| [at(k * 1_000), until(k * 1_000)])
        .chain([Event::Bound(END)])
        .collect();
    let windows = run(&WindowConfig::default(), Everything, &events).windows;
    assert_eq!(windows.len(), 21);
    assert_eq!(windows.iter().map(|w| w.count).sum::<u64>(), 200);
    assert!(windows[1..20].iter().all(|w| w.count == 10));
}

#[test]
fn b9_the_end_gives_what_is_left_and_disorder_does_no_harm() {
    let events = [at(30), at(10), at(60), until(55), at(52), at(70)];
    let mut all = events.to_vec();
    assert_eq!(
        brief(&run(&fifty(), Everything, &all).windows),
        [(0, -25, 25, 1), (0, 0, 50, 2)]
    );
    all.push(Event::Bound(END));
    assert_eq!(
        brief(&run(&fifty(), Everything, &all).windows),
        [
            (0, -25, 25, 1),
            (0, 0, 50, 2),
            (0, 25, 75, 4),
            (0, 50, 100, 3)
        ]
    );
}

#[test]
fn b15_a_year_of_silence_and_any_time_at_all_do_no_harm() {
    for kind in [Kind::Sliding, Kind::Session, Kind::Count, Kind::Trailing] {
        let config = WindowConfig {
            kind,
            emission: Emission::Final,
            ..fifty()
        };
        let year = 366 * 86_400_000;
        let extreme = |time: i64| {
            Event::Element(element(
                time,
                1,
                Reading {
                    key: 0,
                    value: 1.0,
                    number: 1,
                },
            ))
        };
        let events = [
            at(1),
            extreme(i64::MAX),
            extreme(i64::MIN),
            at(year),
            until(year),
            extreme(i64::MIN + 1),
            bound(i64::MAX - 1),
            at(5),
            Event::Bound(END),
            at(year),
        ];
        let counts = run(&config, Everything, &events).counts;
        assert_eq!(
            (counts.admitted, counts.late, counts.impossible),
            (2, 2, 3),
            "{kind:?}"
        );
    }
}

#[test]
fn results_come_by_end_then_key_then_start() {
    let config = WindowConfig { keys: 3, ..fifty() };
    let events = [
        of_key(2, 30),
        of_key(0, 60),
        of_key(1, 30),
        Event::Bound(END),
    ];
    let order: Vec<_> = run(&config, Everything, &events)
        .windows
        .iter()
        .map(|w| (w.end, w.key, w.start))
        .collect();
    assert_eq!(order.len(), 6);
    assert!(order.is_sorted());
}

#[test]
fn an_element_is_late_only_when_all_its_windows_are_closed() {
    let events = [
        at(60),
        until(60),
        at(30),
        until(76),
        at(31),
        at(24),
        Event::Bound(END),
    ];
    let given = run(&fifty(), Everything, &events);
    // 30 is in [0, 50), which is closed, and in [25, 75), which is not.
    assert_eq!(brief(&given.windows), [(0, 25, 75, 2), (0, 50, 100, 1)]);
    assert_eq!(given.late, [31, 24]);
    // By the other rule it is late as soon as it lies before the bound.
    let config = WindowConfig {
        late: LateRule::Element,
        ..fifty()
    };
    assert_eq!(run(&config, Everything, &events).late, [30, 31, 24]);
}

#[test]
fn eager_results_are_said_again_for_each_late_element_until_the_window_closes() {
    let config = WindowConfig {
        emission: Emission::Eager,
        lateness: ms(50),
        ..WindowConfig::tumbling(ms(100))
    };
    let events = [
        at(10),
        until(120),
        at(20),
        at(30),
        until(150),
        at(40),
        Event::Bound(END),
    ];
    let given = run(&config, Everything, &events);
    let revisions: Vec<_> = given
        .windows
        .iter()
        .map(|w| (w.count, w.revision, w.is_final))
        .collect();
    assert_eq!(revisions, [(1, 0, false), (2, 1, false), (3, 2, false)]);
    assert_eq!(given.late, [40]);
    // Final, the same comes to one result.
    let config = WindowConfig {
        emission: Emission::Final,
        ..config
    };
    let windows = run(&config, Everything, &events).windows;
    assert_eq!(windows.len(), 1);
    assert_eq!(
        (windows[0].count, windows[0].revision, windows[0].is_final),
        (3, 0, true)
    );
}

#[test]
fn early_results_come_while_there_is_something_new() {
    let config = WindowConfig {
        emission: Emission::Early,
        early_every: ms(20),
        ..WindowConfig::tumbling(ms(100))
    };
    let events = [
        at(5),
        until(10),
        until(20),
        until(40),
        at(41),
        until(70),
        at(95),
        until(100),
    ];
    let said: Vec<_> = run(&config, Everything, &events)
        .windows
        .iter()
        .map(|w| (w.count, w.revision, w.is_final))
        .collect();
    assert_eq!(said, [(1, 0, false), (2, 1, false), (3, 2, true)]);
}

fn empties(empty: Empty) -> Run<Told> {
    let config = WindowConfig {
        empty,
        empty_max: 3,
        ..WindowConfig::tumbling(ms(100))
    };
    let events = [
        at(50),
        until(100),
        until(1_000),
        at(1_010),
        Event::Bound(END),
    ];
    run(&config, Everything, &events)
}

#[test]
fn empty_windows_are_told_only_if_asked_and_only_so_many() {
    assert_eq!(
        brief(&empties(Empty::Skip).windows),
        [(0, 0, 100, 1), (0, 1_000, 1_100, 1)]
    );
    let told = empties(Empty::Emit).windows;
    let ends: Vec<_> = told
        .iter()
        .map(|w| (w.end.0 / MS, w.count, w.result.sum))
        .collect();
    assert_eq!(
        ends,
        [
            (100, 1, 50.0),
            (200, 0, 0.0),
            (300, 0, 0.0),
            (400, 0, 0.0),
            (1_100, 1, 1_010.0)
        ]
    );
    assert_eq!(told[1].result.mean, None);
    let held = empties(Empty::Hold).windows;
    assert_eq!(held[1].result.mean, Some(50.0));
    assert_eq!((held[1].count, held[1].filled), (0, 0));
}

#[test]
fn what_is_made_up_is_marked_in_the_results() {
    let mut stream = Stream::input()
        .window(
            &WindowConfig::tumbling(ms(100)),
            |_: &Reading| 0,
            Everything,
        )
        .unwrap()
        .start();
    let filled = |event: Event<Reading>| match event {
        Event::Element(mut element) => {
            element.origin = Origin::Filled;
            Event::Element(element)
        }
        other => other,
    };
    let mut seen = Vec::new();
    for event in [at(10), filled(at(20)), filled(at(110)), Event::Bound(END)] {
        stream.push(event, |event| {
            if let Event::Element(result) = event {
                seen.push((result.origin, result.value.count, result.value.filled));
            }
        });
    }
    assert_eq!(seen, [(Origin::Measured, 2, 1), (Origin::Filled, 1, 1)]);
}

#[test]
fn m14_windows_without_a_frame_are_not_given() {
    // 30 frames a second into 50 ms windows every 25 ms, for 40 s.
    let events: Vec<_> = (0..1_200)
        .map(|k| at(k * 1_000 / 30))
        .chain([Event::Bound(END)])
        .collect();
    let config = WindowConfig {
        buffer: 10_000,
        ..fifty()
    };
    let windows = run(&config, Everything, &events).windows;
    assert!(windows.iter().all(|w| (1..=2).contains(&w.count)));
    assert_eq!(windows.iter().map(|w| w.count).sum::<u64>(), 2_400);
}

#[test]
fn keys_too_high_and_elements_between_windows_are_counted() {
    let config = WindowConfig {
        allow_gaps: true,
        ..WindowConfig::sliding(ms(10), ms(30))
    };
    let given = run(
        &config,
        Everything,
        &[at(5), at(15), of_key(1, 5), Event::Bound(END)],
    );
    assert_eq!(brief(&given.windows), [(0, 0, 10, 1)]);
    assert_eq!((given.counts.in_gap, given.counts.without_place), (1, 1));
}

#[test]
fn late_elements_go_where_they_are_sent() {
    let mut stream = Stream::input()
        .window_and_late(
            &WindowConfig::tumbling(ms(100)),
            |_: &Reading| 0,
            Everything,
            Stream::input(),
            Stream::input().map(|reading: &Reading| reading.number),
        )
        .unwrap()
        .start();
    let mut given = Vec::new();
    for event in [at(110), until(110), at(7)] {
        stream.push(event, |side| given.push(side));
    }
    let late = reflexarc::stream::element::Side::Right(Event::Element(element(7 * MS, 7, 7)));
    assert_eq!(given.last(), Some(&late));
}

#[test]
fn counted_windows_hold_the_last_so_many_of_their_key() {
    let config = WindowConfig {
        keys: 2,
        ..WindowConfig::counting(4, 2)
    };
    let mut events: Vec<_> = (0..7).map(|k| of_key(0, k)).collect();
    events.insert(3, of_key(1, 100));
    events.push(Event::Bound(END));
    let sums = |config| -> Vec<_> {
        run(&config, Everything, &events)
            .windows
            .iter()
            .map(|w| w.result.sum)
            .collect()
    };
    assert_eq!(sums(config.clone()), [6.0, 14.0]);
    let partial = WindowConfig {
        partial: true,
        ..config
    };
    // From the first on, and what is left of each key at the end: 4, 5, 6 and the other key's only one.
    assert_eq!(sums(partial), [1.0, 6.0, 14.0, 15.0, 100.0]);
}

#[test]
fn a_session_ends_when_nothing_came_for_the_gap() {
    let config = WindowConfig::session(ms(100));
    let events = [
        at(0),
        at(100),
        at(201),
        until(300),
        until(301),
        Event::Bound(END),
    ];
    let windows = run(&config, Everything, &events).windows;
    assert_eq!(brief(&windows), [(0, 0, 200, 2), (0, 201, 301, 1)]);
}

#[test]
fn an_element_between_two_sessions_makes_them_one() {
    let config = WindowConfig::session(ms(100));
    let events = [at(0), at(150), at(80), Event::Bound(END)];
    let windows = run(&config, Everything, &events).windows;
    assert_eq!(brief(&windows), [(0, 0, 250, 3)]);
    assert_eq!(
        (windows[0].result.first, windows[0].result.last),
        (Some(0), Some(150))
    );
}

#[test]
fn no_session_is_longer_than_the_longest() {
    let config = WindowConfig {
        max: ms(200),
        ..WindowConfig::session(ms(100))
    };
    let events: Vec<_> = (0..10)
        .map(|k| at(k * 60))
        .chain([Event::Bound(END)])
        .collect();
    let windows = run(&config, Everything, &events).windows;
    assert_eq!(
        windows.iter().map(|w| w.count).collect::<Vec<_>>(),
        [4, 4, 2]
    );
    assert!(windows.iter().all(|w| w.max_at - w.min_at <= ms(200)));
}

#[test]
fn a_trailing_window_ends_with_its_element() {
    let config = WindowConfig::trailing(ms(100));
    let events = [
        at(0),
        at(50),
        at(100),
        at(100),
        until(100),
        until(101),
        Event::Bound(END),
    ];
    let windows = run(&config, Everything, &events).windows;
    // 0 is not within 100 ms before 100, to the nanosecond; both at 100 see each other.
    let counts: Vec<_> = windows.iter().map(|w| (w.max_at.0 / MS, w.count)).collect();
    assert_eq!(counts, [(0, 1), (50, 2), (100, 3), (100, 3)]);
    assert_eq!(windows[0].end - windows[0].start, ms(100));
}

#[test]
fn a_trailing_window_with_delay_also_holds_what_comes_after() {
    let config = WindowConfig {
        delay: ms(30),
        ..WindowConfig::trailing(ms(50))
    };
    let key: fn(&Reading) -> usize = |_| 0;
    let trigger = |reading: &Reading| reading.value == 100.0;
    let mut windows =
        Windows::when(&config, key, of(|r: &Reading| r.value, Mean), trigger).unwrap();
    let mut given = Vec::new();
    for event in [
        at(40),
        at(60),
        at(100),
        at(120),
        until(130),
        at(140),
        until(131),
    ] {
        use reflexarc::stream::operator::Operator as _;
        windows.push(event, &mut |side| {
            if let reflexarc::stream::element::Side::Left(Event::Element(result)) = side {
                given.push((result.value.count, result.value.result));
            }
        });
    }
    assert_eq!(given, [(3, Some((60.0 + 100.0 + 120.0) / 3.0))]);
}
