//! Invariants of as-of alignment, against its definition and under any order of arrival.

use reflexarc::stream::align::choice::{Choice, Status, slerp};
use reflexarc::stream::align::lane::Lane;
use reflexarc::stream::align::operator::{Align, AlignCounts, LaneConfig, Set, Told, Why};
use reflexarc::stream::element::{END, Element, Event, Origin};
use reflexarc::stream::operator::Operator as _;
use reflexarc::units::{MonoTime, Nanos};

use super::made::{Random, element};

type Out<const N: usize> = Vec<Element<Set<u64, f64, N>>>;

fn lane(chain: &[Choice<f64>]) -> LaneConfig<f64> {
    LaneConfig {
        chain: chain.to_vec(),
        is_needed: false,
        capacity: 512,
        late_steps: 512,
    }
}

fn run<const N: usize>(
    align: &mut Align<u64, f64, N>,
    told: impl IntoIterator<Item = Told<u64, f64>>,
) -> Out<N> {
    let mut out = Vec::new();
    let mut reached = MonoTime(i64::MIN);
    for told in told {
        align.push(told, &mut |event| match event {
            Event::Element(set) => {
                assert!(set.at >= reached, "nothing comes before a bound given out");
                out.push(set);
            }
            Event::Bound(bound) => {
                assert!(bound > reached, "bounds rise");
                reached = bound;
            }
            Event::Idle => {}
        });
    }
    out
}

fn ends<const N: usize>() -> impl Iterator<Item = Told<u64, f64>> {
    (0..N)
        .map(|i| Told::Lane(i, Event::Bound(END)))
        .chain([Told::Primary(Event::Bound(END))])
}

/// The value an element of a lane has in these tests.
fn line(at: i64) -> f64 {
    at as f64 * 2.0
}

/// Elements at instants of their own, in order, about `gap` apart.
fn walk(random: &mut Random, n: u64, gap: u64) -> Vec<i64> {
    let mut at = random.below(50) as i64;
    (0..n)
        .map(|_| {
            at += 1 + random.below(2 * gap) as i64;
            at
        })
        .collect()
}

fn definition(at: i64, lane: &[i64], choice: &Choice<f64>) -> (Option<f64>, Status) {
    let before = lane.iter().copied().filter(|t| *t <= at).max();
    let after = lane.iter().copied().filter(|t| *t > at).min();
    let none = (None, Status::Missing);
    let some = |t: i64, status: fn(Nanos) -> Status, distance: i64| {
        let status = if t == at {
            Status::Exact
        } else {
            status(Nanos(distance))
        };
        (Some(line(t)), status)
    };
    match *choice {
        Choice::Hold { max_age } => match before {
            Some(t) if at - t <= max_age.0 => some(t, Status::Held, at - t),
            _ => none,
        },
        Choice::Nearest { tolerance } => {
            // The earlier of two equally near.
            let nearest = before
                .into_iter()
                .chain(after)
                .min_by_key(|t| ((t - at).abs(), *t));
            match nearest {
                Some(t) if (t - at).abs() <= tolerance.0 => some(t, Status::Nearest, t - at),
                _ => none,
            }
        }
        Choice::Interpolate { max_gap } => match (before, after) {
            (Some(t), _) if t == at => some(t, Status::Held, 0),
            (Some(b), Some(a)) if a - b <= max_gap.0 => {
                (Some(line(at)), Status::Interpolated(Nanos(a - b)))
            }
            _ => none,
        },
        _ => unreachable!("not asked here"),
    }
}

const CHOICES: [Choice<f64>; 3] = [
    Choice::Hold { max_age: Nanos(25) },
    Choice::Nearest {
        tolerance: Nanos(12),
    },
    Choice::Interpolate { max_gap: Nanos(40) },
];

#[test]
fn answers_are_what_the_definition_says_whatever_the_order_of_arrival() {
    for seed in 1..500 {
        let mut random = Random(seed);
        let primaries = walk(&mut random, 30, 33);
        let lanes: [Vec<i64>; 3] = std::array::from_fn(|_| walk(&mut random, 90, 10));
        let mut told: Vec<Told<u64, f64>> = Vec::new();
        for (seq, at) in primaries.iter().enumerate() {
            let primary = Element {
                // It waits long enough for everything.
                arrived: MonoTime(0),
                ..element(*at, seq as u64, seq as u64)
            };
            told.push(Told::Primary(Event::Element(primary)));
        }
        for (index, lane) in lanes.iter().enumerate() {
            for (seq, at) in lane.iter().enumerate() {
                let secondary = Element {
                    arrived: MonoTime(0),
                    ..element(*at, seq as u64, line(*at))
                };
                told.push(Told::Lane(index, Event::Element(secondary)));
            }
        }
        random.shuffle(&mut told);
        let configs = std::array::from_fn(|i| lane(&CHOICES[i..=i]));
        let mut align = Align::<_, _, 3>::new(configs, 64, Nanos(1));
        let out = run(&mut align, told.into_iter().chain(ends::<3>()));
        assert_eq!(
            out.len(),
            primaries.len(),
            "exactly one for each, seed {seed}"
        );
        for (set, at) in out.iter().zip(&primaries) {
            assert_eq!(set.at, MonoTime(*at), "in order");
            assert_eq!(set.value.why, Why::Settled);
            for (i, answer) in set.value.answers.iter().enumerate() {
                let (value, status) = definition(*at, &lanes[i], &CHOICES[i]);
                assert_eq!(answer.status, status, "seed {seed}, at {at}, lane {i}");
                let near = answer.value.zip(value).map(|(a, b)| (a - b).abs() < 1e-9);
                assert_eq!(near, value.map(|_| true), "seed {seed}, at {at}");
            }
        }
    }
}

/// One source at about 30 Hz, one at 100 Hz, each in order, with its own delay: the times are in milliseconds. A sensor that
/// is in order promises the next instant; one whose rate is known that nothing comes for a period.
fn live(random: &mut Random, ahead: i64) -> Vec<Told<u64, f64>> {
    let mut told: Vec<(i64, Told<u64, f64>)> = Vec::new();
    for seq in 0..60 {
        let at = 33 * seq + random.below(3) as i64;
        let arrived = at + 8 + random.below(7) as i64;
        let primary = Element {
            arrived: MonoTime(arrived),
            ..element(at, seq as u64, seq as u64)
        };
        told.push((arrived, Told::Primary(Event::Element(primary))));
    }
    for seq in 0..200 {
        let at = 10 * seq + random.below(2) as i64;
        let arrived = at + 1 + random.below(3) as i64;
        let secondary = Element {
            arrived: MonoTime(arrived),
            ..element(at, seq as u64, line(at))
        };
        told.push((arrived, Told::Lane(0, Event::Element(secondary))));
        told.push((arrived, Told::Lane(0, Event::Bound(MonoTime(at + ahead)))));
    }
    told.sort_by_key(|(arrived, _)| *arrived);
    told.into_iter().map(|(_, told)| told).collect()
}

/// How long each frame waited for its answer.
fn waits(ahead: i64) -> Vec<i64> {
    let nearest = [Choice::Nearest {
        tolerance: Nanos(20),
    }];
    let mut align = Align::<_, _, 1>::new([lane(&nearest)], 8, Nanos(50));
    let (mut now, mut waits) = (0, Vec::new());
    for told in live(&mut Random(7), ahead) {
        if let Told::Primary(Event::Element(Element { arrived, .. })) = told {
            now = arrived.0;
        } else if let Told::Lane(_, Event::Element(Element { arrived, .. })) = told {
            now = arrived.0;
        }
        align.push(told, &mut |event| {
            if let Event::Element(set) = event {
                assert_eq!(set.value.why, Why::Settled);
                waits.push(now - set.arrived.0);
            }
        });
    }
    waits
}

#[test]
fn a_choice_waits_no_longer_than_it_has_to() {
    let at_once = |waits: &[i64]| waits.iter().filter(|wait| **wait == 0).count();
    let (in_order, periodic) = (waits(1), waits(9));
    assert_eq!((in_order.len(), periodic.len()), (60, 60));
    // The camera is slower than the sensor: most frames find their readings there, the others wait for the next one.
    assert!(at_once(&in_order) >= 48, "{in_order:?}");
    assert!(in_order.iter().all(|wait| *wait <= 4), "{in_order:?}");
    // Who knows the period knows more often that nothing nearer comes.
    assert!(at_once(&periodic) > at_once(&in_order), "{periodic:?}");
}

#[test]
fn a_deadline_ends_the_wait_with_what_is_known() {
    let chain = [
        Choice::Interpolate { max_gap: Nanos(40) },
        Choice::Hold { max_age: Nanos(30) },
        Choice::Default(-1.0),
    ];
    let mut align = Align::<u64, f64, 1>::new([lane(&chain)], 4, Nanos(20));
    let primary = |at: i64| Told::Primary(Event::Element(element(at, at as u64, at as u64)));
    let mut out = run(
        &mut align,
        [
            Told::Lane(0, Event::Element(element(90, 0, 9.0))),
            primary(100),
            Told::Now(MonoTime(119)),
        ],
    );
    assert!(out.is_empty(), "it waits");
    assert_eq!(align.next_deadline(), Some(MonoTime(120)));
    out = run(
        &mut align,
        [
            Told::Now(MonoTime(120)),
            primary(150),
            Told::Now(MonoTime(170)),
        ],
    );
    let found: Vec<_> = out
        .iter()
        .map(|set| {
            (
                set.value.answers[0].status,
                set.value.answers[0].value,
                set.value.why,
            )
        })
        .collect();
    assert_eq!(
        found,
        [
            (Status::Held(Nanos(10)), Some(9.0), Why::Deadline),
            (Status::Default, Some(-1.0), Why::Deadline),
        ]
    );
    assert!(
        out[1].value.answers[0].is_filled,
        "a default is nobody's measurement"
    );
}

#[test]
fn a_silent_lane_holds_nobody_up() {
    let chain = [Choice::Hold {
        max_age: Nanos::MAX,
    }];
    let mut align = Align::<u64, f64, 2>::new([lane(&chain), lane(&chain)], 4, Nanos::MAX);
    let out = run(
        &mut align,
        [
            Told::Lane(0, Event::Element(element(1, 0, 1.0))),
            Told::Lane(0, Event::Bound(MonoTime(1000))),
            Told::Primary(Event::Element(element(100, 0, 0))),
            Told::Lane(1, Event::Idle),
            Told::Primary(Event::Element(element(200, 1, 1))),
        ],
    );
    assert_eq!(out.len(), 2);
    assert_eq!(
        out[1].value.answers.map(|a| a.status),
        [Status::Held(Nanos(199)), Status::Missing]
    );
}

#[test]
fn who_lacks_what_it_needs_is_skipped_and_counted() {
    let needed = LaneConfig {
        is_needed: true,
        ..lane(&[Choice::Hold { max_age: Nanos(5) }])
    };
    let mut align = Align::<u64, f64, 1>::new([needed], 4, Nanos(0));
    let out = run(
        &mut align,
        [
            Told::Primary(Event::Element(element(100, 0, 0))),
            Told::Lane(0, Event::Element(element(198, 0, 1.0))),
            Told::Primary(Event::Element(element(200, 1, 1))),
            Told::Primary(Event::Bound(MonoTime(190))),
            Told::Primary(Event::Element(element(150, 2, 2))),
        ],
    );
    assert_eq!(out.len(), 1);
    let counts = align.counts();
    let pending = counts.taken - counts.given - counts.skipped - counts.late;
    assert_eq!(
        (counts.given, counts.skipped, counts.late, pending),
        (1, 1, 1, 0)
    );
}

#[test]
fn what_somebody_waits_for_is_never_overwritten() {
    for seed in 1..300 {
        let mut random = Random(seed);
        let tight = LaneConfig {
            capacity: 2 + random.below(6) as usize,
            ..lane(&[Choice::Hold {
                max_age: Nanos(1000),
            }])
        };
        let mut align =
            Align::<u64, f64, 1>::new([tight], 1 + random.below(4) as usize, Nanos::MAX);
        let (mut at, mut told, mut lane) = (0, Vec::new(), Vec::new());
        for seq in 0..300 {
            at += 1 + random.below(5) as i64;
            if random.below(3) == 0 {
                told.push(Told::Primary(Event::Element(element(at, seq, seq))));
            } else {
                // Bounds are never told: nothing is settled, and only room makes anything go out.
                told.push(Told::Lane(0, Event::Element(element(at, seq, line(at)))));
                lane.push(at);
            }
        }
        let out = run(&mut align, told.into_iter().chain(ends::<1>()));
        for set in &out {
            let (value, status) = definition(
                set.at.0,
                &lane,
                &Choice::Hold {
                    max_age: Nanos(1000),
                },
            );
            assert_eq!(
                (set.value.answers[0].value, set.value.answers[0].status),
                (value, status)
            );
        }
        let AlignCounts {
            taken,
            given,
            skipped,
            late,
            ..
        } = align.counts();
        assert_eq!(taken, given + skipped + late);
        assert_eq!(out.len() as u64, given);
    }
}

#[test]
fn splitting_a_run_and_going_on_with_its_state_changes_nothing() {
    let mut random = Random(11);
    let told = live(&mut random, 1);
    let chain = [
        Choice::Interpolate { max_gap: Nanos(30) },
        Choice::Hold { max_age: Nanos(50) },
    ];
    let new = || Align::<u64, f64, 1>::new([lane(&chain)], 8, Nanos(10));
    let whole = run(&mut new(), told.clone());
    for split in (0..told.len()).step_by(7) {
        let mut first = new();
        let mut out = run(&mut first, told[..split].to_vec());
        let mut second = first.clone();
        let mut rest = Vec::new();
        for told in told[split..].iter().copied() {
            second.push(told, &mut |event| {
                rest.extend(if let Event::Element(e) = event {
                    Some(e)
                } else {
                    None
                })
            });
        }
        out.extend(rest);
        assert_eq!(out, whole, "split at {split}");
    }
}

#[test]
fn shifting_all_times_shifts_the_results() {
    let chain = [Choice::Nearest {
        tolerance: Nanos(9),
    }];
    let shift = |told: Told<u64, f64>, by: i64| match told {
        Told::Primary(Event::Element(e)) => Told::Primary(Event::Element(Element {
            at: e.at + Nanos(by),
            arrived: e.arrived + Nanos(by),
            ..e
        })),
        Told::Lane(i, Event::Element(e)) => Told::Lane(
            i,
            Event::Element(Element {
                at: e.at + Nanos(by),
                arrived: e.arrived + Nanos(by),
                ..e
            }),
        ),
        Told::Lane(i, Event::Bound(b)) => Told::Lane(i, Event::Bound(b + Nanos(by))),
        other => other,
    };
    let told = live(&mut Random(3), 1);
    let new = || Align::<u64, f64, 1>::new([lane(&chain)], 8, Nanos(10));
    let here = run(&mut new(), told.clone());
    for by in [-1_000_000_007, 86_400_000_000_000] {
        let there = run(&mut new(), told.iter().map(|t| shift(*t, by)));
        let values = |out: &Out<1>| out.iter().map(|set| set.value).collect::<Vec<_>>();
        assert_eq!(values(&here), values(&there));
    }
}

#[test]
fn a_lane_gives_everything_around_an_instant_both_ends_included() {
    let mut lane = Lane::new(8, 8);
    for at in [10, 20, 20, 30, 40] {
        lane.push(&element(at, at as u64, line(at)));
    }
    let within = |a, b| {
        lane.within(MonoTime(a), MonoTime(b))
            .map(|e| e.at.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(within(20, 30), [20, 20, 30]);
    assert_eq!(within(11, 19), [0_i64; 0]);
    assert_eq!(within(i64::MIN, i64::MAX), [10, 20, 20, 30, 40]);
}

#[test]
fn a_made_up_element_makes_the_answer_made_up() {
    let mut lane = Lane::new(8, 8);
    lane.push(&element(10, 0, 1.0));
    lane.push(&Element {
        origin: Origin::Filled,
        ..element(20, 1, 2.0)
    });
    let choice = Choice::Interpolate { max_gap: Nanos(10) };
    assert!(lane.choose(MonoTime(15), &choice).is_filled);
    assert!(!lane.choose(MonoTime(10), &choice).is_filled);
}

#[test]
fn slerp_is_what_turning_says() {
    let about_z = |degrees: f64| {
        let (sin, cos) = (degrees.to_radians() / 2.0).sin_cos();
        [0.0, 0.0, sin, cos]
    };
    for (from, to) in [
        (0.0, 90.0),
        (170.0, -170.0),
        (-30.0, 45.0),
        (10.0, 10.000_001),
    ] {
        // The shorter way round.
        let turn = (to - from + 540.0_f64).rem_euclid(360.0) - 180.0;
        for share in [0.0, 0.25, 0.5, 1.0] {
            let found = slerp(about_z(from), about_z(to), share);
            let expected = about_z(from + turn * share);
            let dot: f64 = found.iter().zip(&expected).map(|(a, b)| a * b).sum();
            assert!(
                (dot.abs() - 1.0).abs() < 1e-12,
                "{from} to {to} at {share}: {found:?}"
            );
        }
    }
}
