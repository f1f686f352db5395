//! What is lost is found, and filled as the user says.

use reflexarc::stream::builder::Stream;
use reflexarc::stream::element::{END, Event, Origin};
use reflexarc::stream::operator::Operator as _;
use reflexarc::stream::operators::fill::{Fill, FillConfig, With};
use reflexarc::units::{MonoTime, Nanos};

use super::made::{Random, bound, element, value};

fn config(with: With<f64>) -> FillConfig<f64> {
    FillConfig {
        period: Nanos(10),
        with,
        max_consecutive: 3,
    }
}

/// Time, value and whether it was made up, of every element; and the filler.
fn run(with: With<f64>, events: &[Event<f64>]) -> (Vec<(i64, f64, bool)>, Fill<f64>) {
    let mut fill = Fill::new(config(with));
    let (mut out, mut reached) = (Vec::new(), MonoTime(i64::MIN));
    for event in events {
        fill.push(*event, &mut |event| match event {
            Event::Element(e) => {
                assert!(
                    e.at >= reached,
                    "{} lies before the bound {reached:?}",
                    e.at.0
                );
                out.push((e.at.0, e.value, e.origin == Origin::Filled));
            }
            Event::Bound(bound) => {
                assert!(bound > reached);
                reached = bound;
            }
            Event::Idle => {}
        });
    }
    let counts = fill.counts();
    assert_eq!(counts.missed, counts.filled + counts.left_open);
    (out, fill)
}

const GAP: [Event<f64>; 4] = [
    Event::Element(element_at(0, 0.0)),
    Event::Element(element_at(10, 1.0)),
    Event::Element(element_at(40, 7.0)),
    Event::Element(element_at(51, 8.0)),
];

const fn element_at(at: i64, value: f64) -> reflexarc::stream::element::Element<f64> {
    reflexarc::stream::element::Element {
        at: MonoTime(at),
        arrived: MonoTime(at),
        seq: 0,
        source: 0,
        origin: Origin::Measured,
        value,
    }
}

#[test]
fn a_gap_is_filled_as_the_user_says_and_marked() {
    let filled = |with| run(with, &GAP).0[2..4].to_vec();
    assert_eq!(
        filled(With::Default(-1.0)),
        [(20, -1.0, true), (30, -1.0, true)]
    );
    assert_eq!(filled(With::Linear), [(20, 3.0, true), (30, 5.0, true)]);
    assert_eq!(filled(With::Predict), [(20, 2.0, true), (30, 3.0, true)]);
    let ttl = Nanos(15);
    assert_eq!(
        filled(With::Hold { ttl }),
        [(20, 1.0, true), (40, 7.0, false)]
    );
    for with in [With::Skip, With::Fail] {
        let (out, fill) = run(with, &GAP);
        assert_eq!(out.len(), 4);
        let counts = fill.counts();
        assert_eq!((counts.missed, counts.left_open), (2, 2));
        assert_eq!(counts.failures, u64::from(with == With::Fail));
    }
}

#[test]
fn a_loss_is_found_by_the_clock_before_the_next_element_comes() {
    let hold = With::Hold { ttl: Nanos(100) };
    let (out, fill) = run(hold, &[value(0, 1.0), bound(15), bound(16), bound(26)]);
    assert_eq!(out, [(0, 1.0, false), (10, 1.0, true), (20, 1.0, true)]);
    assert!(!fill.has_failed());
}

#[test]
fn too_many_in_a_row_are_a_failure_until_it_is_measured_again() {
    let hold = With::Hold { ttl: Nanos(1000) };
    let (out, fill) = run(hold, &[value(0, 1.0), bound(500)]);
    assert_eq!(out.len(), 1 + 3);
    assert!(fill.has_failed());
    let (out, fill) = run(
        hold,
        &[value(0, 1.0), bound(500), value(505, 2.0), value(515, 3.0)],
    );
    assert_eq!(out.len(), 1 + 3 + 2);
    let counts = fill.counts();
    assert!(!fill.has_failed());
    assert_eq!((counts.failures, counts.filled), (1, 3));
    assert_eq!(counts.missed, 49, "10, 20 ... 490");
}

#[test]
fn jitter_is_no_loss_and_the_end_is_none_either() {
    let mut random = Random(3);
    let mut events: Vec<_> = (0..1000)
        .map(|i| value(10 * i + random.below(5) as i64, 0.0))
        .collect();
    events.push(Event::Bound(END));
    let (out, fill) = run(With::Predict, &events);
    assert_eq!((out.len(), fill.counts().missed), (1000, 0));
}

#[test]
fn every_tick_of_a_lossy_stream_is_there_once() {
    for seed in 1..200 {
        let mut random = Random(seed);
        let mut events = Vec::new();
        let mut open = 0;
        for i in 0..300 {
            let is_lost = random.below(4) == 0 && open < 3 && i > 0 && i < 299;
            open = if is_lost { open + 1 } else { 0 };
            if !is_lost {
                events.push(Event::Element(element(10 * i, i as u64, i as f64)));
            }
        }
        for with in [With::Linear, With::Predict, With::Default(0.0)] {
            let (out, fill) = run(with, &events);
            let at: Vec<_> = out.iter().map(|e| e.0).collect();
            assert_eq!(
                at,
                (0..300).map(|i| 10 * i).collect::<Vec<_>>(),
                "seed {seed}"
            );
            assert_eq!(fill.counts().filled as usize, 300 - events.len());
            if with == With::Linear {
                assert!(
                    out.iter()
                        .all(|(at, v, _)| (v * 10.0 - *at as f64).abs() < 1e-6)
                );
            }
        }
    }
}

#[test]
fn it_is_one_call_in_a_chain() {
    let mut running = Stream::input()
        .fill(config(With::Linear))
        .map(|x| x * 2.0)
        .start();
    let mut out = Vec::new();
    for event in GAP {
        running.push(event, |event| out.push(event));
    }
    assert_eq!(out.len(), 6);
}
