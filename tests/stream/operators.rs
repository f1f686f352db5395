//! What comes out of each operator, and that time goes on where nothing does.

use reflexarc::stream::builder::Stream;
use reflexarc::stream::element::{END, Event, Side};
use reflexarc::stream::operator::Operator;
use reflexarc::stream::operators::join::Join;
use reflexarc::units::{MonoTime, Nanos};

use super::made::{Random, bound, element, value};

fn run<O: Operator>(stream: Stream<O>, events: impl IntoIterator<Item = O::In>) -> Vec<O::Out> {
    let mut running = stream.start();
    let mut out = Vec::new();
    for event in events {
        running.push(event, |event| out.push(event));
    }
    out
}

/// The values of the elements that came out.
fn values<T: Copy>(out: &[Event<T>]) -> Vec<T> {
    out.iter()
        .filter_map(|event| match event {
            Event::Element(element) => Some(element.value),
            _ => None,
        })
        .collect()
}

#[test]
fn a_dropped_element_leaves_the_chain() {
    let input = [value(1, 1), value(2, -1), value(3, 2)];
    let positive = Stream::input().filter(|x| *x > 0);
    assert_eq!(values(&run(positive.clone(), input)), [1, 2]);
    assert_eq!(values(&run(positive.map(|x| x * 10), input)), [10, 20]);
}

#[test]
fn every_call_gives_a_new_stream_and_each_sees_everything() {
    let base = Stream::input().map(|x: &i32| x + 1);
    let (even, odd) = (
        base.clone().filter(|x| x % 2 == 0),
        base.clone().filter(|x| x % 2 != 0),
    );
    let input: Vec<_> = (0..6).map(|i| value(i, i as i32)).collect();
    assert_eq!(values(&run(even, input.clone())), [2, 4, 6]);
    assert_eq!(values(&run(odd, input.clone())), [1, 3, 5]);
    assert_eq!(values(&run(base, input)), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn a_fan_out_gives_every_element_to_both_and_a_split_to_one() {
    let input = [value(1, 1), bound(2), value(3, 2)];
    let tee = Stream::input().tee(Stream::input(), Stream::input().map(|x| x * 10));
    assert_eq!(
        run(tee, input),
        [
            Side::Left(value(1, 1)),
            Side::Right(value(1, 10)),
            Side::Left(bound(2)),
            Side::Right(bound(2)),
            Side::Left(value(3, 2)),
            Side::Right(value(3, 20)),
        ]
    );
    let split = Stream::input().split(|x| *x > 1, Stream::input(), Stream::input());
    assert_eq!(
        run(split, input),
        [
            Side::Right(value(1, 1)),
            Side::Left(bound(2)),
            Side::Right(bound(2)),
            Side::Left(value(3, 2)),
        ]
    );
}

#[test]
fn nothing_to_say_is_not_an_empty_output_and_time_goes_on() {
    let nothing = Stream::input().filter(|_: &i32| false).map(|x| *x);
    let out = run(nothing, [value(1, 1), bound(2), Event::Idle, bound(9)]);
    assert_eq!(out, [bound(2), Event::Idle, bound(9)]);
    let some = Stream::input().filter_map(|x: &i32| (*x > 1).then_some(f64::from(*x)));
    assert_eq!(run(some, [value(1, 1), value(2, 2)]), [value(2, 2.0)]);
}

#[test]
fn the_state_of_one_key_or_stream_is_nobody_elses() {
    let sums = || {
        Stream::input().scan(
            2,
            |x: &(usize, i32)| x.0,
            0,
            |sum, e| {
                *sum += e.value.1;
                Some((e.value.0, *sum))
            },
        )
    };
    let input = [
        value(1, (0, 1)),
        value(2, (1, 10)),
        value(3, (0, 2)),
        // There is no place for this key: dropped and counted.
        value(4, (2, 5)),
        value(5, (1, 20)),
    ];
    let expected = [(0, 1), (1, 10), (0, 3), (1, 30)];
    assert_eq!(values(&run(sums(), input)), expected);
    let two = Stream::input().tee(sums(), sums());
    let out = run(two, input);
    let of = |left: bool| -> Vec<_> {
        out.iter()
            .filter_map(|side| match side {
                Side::Left(event) if left => Some(*event),
                Side::Right(event) if !left => Some(*event),
                _ => None,
            })
            .collect()
    };
    assert_eq!(values(&of(true)), expected);
    assert_eq!(values(&of(false)), expected);
}

#[test]
fn in_order_gives_by_event_time_whatever_the_order_of_arrival() {
    for seed in 1..200 {
        let mut random = Random(seed);
        let mut elements: Vec<_> = (0..60)
            .map(|seq| element(random.below(200) as i64, seq, seq))
            .collect();
        random.shuffle(&mut elements);
        let mut sorted = elements.clone();
        sorted.sort_by_key(reflexarc::stream::element::Element::rank);
        let input = elements.into_iter().map(Event::Element);
        let out = run(
            Stream::input().in_order(60),
            input.chain([Event::Bound(END)]),
        );
        let expected: Vec<_> = sorted.iter().map(|e| e.value).collect();
        assert_eq!(values(&out), expected, "seed {seed}");
    }
}

#[test]
fn in_order_without_room_stays_in_order_and_counts_what_it_cost() {
    let mut stream = Stream::input().in_order(2).start();
    let mut out = Vec::new();
    for at in [50, 40, 30, 60, 10, 70] {
        stream.push(value(at, at), |event| out.push(event));
    }
    stream.push(Event::Bound(END), |event| out.push(event));
    let given = values(&out);
    assert!(given.is_sorted(), "{given:?}");
    assert_eq!(
        given.len(),
        5,
        "one came for before what had gone out: {given:?}"
    );
}

#[test]
fn debounce_gives_the_last_of_each_burst_once_it_is_over() {
    let quiet = Nanos(10);
    let stream = || Stream::input().debounce(quiet);
    let input = [value(0, 'a'), value(5, 'b'), value(9, 'c'), value(30, 'd')];
    assert_eq!(values(&run(stream(), input)), ['c']);
    // By a bound, too: nothing before 19 comes any more, so 'c' stands alone.
    let out = run(stream(), [value(9, 'c'), bound(18), bound(19), bound(40)]);
    assert_eq!(out, [bound(9), value(9, 'c'), bound(19), bound(40)]);
}

#[test]
fn sample_gives_the_last_of_each_period_that_has_one() {
    let stream = || Stream::input().sample(Nanos(10));
    let input = [
        value(-1, 'z'),
        value(0, 'a'),
        value(9, 'b'),
        value(25, 'c'),
        bound(30),
    ];
    assert_eq!(values(&run(stream(), input)), ['z', 'b', 'c']);
    let out = run(stream(), [value(3, 'a'), bound(9), bound(10)]);
    assert_eq!(out, [bound(3), value(3, 'a'), bound(10)]);
}

#[test]
fn every_nth_begins_with_the_first() {
    let input: Vec<_> = (0..7).map(|i| value(i, i)).collect();
    assert_eq!(values(&run(Stream::input().every_nth(3), input)), [0, 3, 6]);
}

fn merge<T>() -> Stream<impl Operator<In = Side<Event<T>, Event<T>>, Out = Event<T>>> {
    Stream::input().beside(Stream::input()).merge()
}

#[test]
fn a_merged_stream_has_come_as_far_as_its_slowest_part() {
    let out = run(
        merge(),
        [
            Side::Left(value(1, 'a')),
            Side::Left(bound(10)),
            Side::Right(bound(5)),
            Side::Right(bound(20)),
            Side::Left(bound(8)),
            Side::Right(value(25, 'b')),
        ],
    );
    assert_eq!(out, [value(1, 'a'), bound(5), bound(10), value(25, 'b')]);
}

#[test]
fn a_silent_stream_holds_nobody_up() {
    let out = run(
        merge(),
        [
            Side::Left(bound(10)),
            // The language has said nothing yet: nothing goes on.
            Side::Left(bound(20)),
            Side::Right(Event::Idle),
            Side::Left(bound(30)),
            // It speaks again: its word goes on, and time does not go back.
            Side::Right(value(15, 'w')),
            Side::Right(bound(16)),
            Side::Left(bound(40)),
            Side::Right(bound(50)),
            Side::Left(Event::Idle),
            Side::Right(Event::Idle),
        ],
    );
    assert_eq!(
        out,
        [
            bound(20),
            bound(30),
            value(15, 'w'),
            bound(40),
            bound(50),
            Event::Idle
        ]
    );
}

/// Pairs by definition: everything with everything.
fn pairs(left: &[(i64, u64)], right: &[(i64, u64)], from: i64, to: i64) -> Vec<(u64, u64)> {
    let mut pairs: Vec<_> = left
        .iter()
        .flat_map(|l| right.iter().map(move |r| (l, r)))
        .filter(|(l, r)| (l.0 + from..=l.0 + to).contains(&r.0))
        .map(|(l, r)| (l.1, r.1))
        .collect();
    pairs.sort_unstable();
    pairs
}

#[test]
fn a_join_gives_every_pair_once_whatever_the_order_of_arrival() {
    for seed in 1..400 {
        let mut random = Random(seed);
        let (from, to) = {
            let a = random.below(60) as i64 - 30;
            (a, a + random.below(40) as i64)
        };
        let mut make = |n: u64| -> Vec<(i64, u64)> {
            (0..n).map(|seq| (random.below(300) as i64, seq)).collect()
        };
        let (left, right) = (make(40), make(50));
        let mut order: Vec<Side<(i64, u64), (i64, u64)>> = left
            .iter()
            .map(|l| Side::Left(*l))
            .chain(right.iter().map(|r| Side::Right(*r)))
            .collect();
        random.shuffle(&mut order);
        let stream = Stream::input().beside(Stream::input()).join(
            Nanos(from),
            Nanos(to),
            64,
            |_: &u64, _: &u64| true,
        );
        let events = order.iter().map(|side| match *side {
            Side::Left((at, seq)) => Side::Left(Event::Element(element(at, seq, seq))),
            Side::Right((at, seq)) => Side::Right(Event::Element(element(at, seq, seq))),
        });
        let out = run(stream, events);
        let mut found = values(&out);
        found.sort_unstable();
        assert_eq!(found, pairs(&left, &right, from, to), "seed {seed}");
        for event in &out {
            let Event::Element(pair) = event else {
                continue;
            };
            let (l, r) = (left[pair.value.0 as usize], right[pair.value.1 as usize]);
            assert_eq!(
                pair.at,
                MonoTime(l.0.max(r.0)),
                "the time of the later half"
            );
        }
    }
}

/// Both sides in turn, each with the bound that it has come to. The pairs found, and how many elements had to make room.
fn join_in_turn(
    left: &[(i64, u64)],
    right: &[(i64, u64)],
    (from, to): (i64, i64),
    capacity: usize,
) -> (Vec<(u64, u64)>, u64) {
    let mut join = Join::new(Nanos(from), Nanos(to), capacity, |_: &u64, _: &u64| true);
    let mut found = Vec::new();
    let mut take = |out: Event<(u64, u64)>| {
        if let Event::Element(pair) = out {
            found.push(pair.value);
        }
    };
    for (l, r) in left.iter().zip(right) {
        join.push(
            Side::Left(Event::Element(element(l.0, l.1, l.1))),
            &mut take,
        );
        join.push(Side::Left(bound(l.0)), &mut take);
        join.push(
            Side::Right(Event::Element(element(r.0, r.1, r.1))),
            &mut take,
        );
        join.push(Side::Right(bound(r.0)), &mut take);
    }
    assert_eq!(join.late, 0, "all came in order");
    found.sort_unstable();
    (found, join.evicted)
}

#[test]
fn a_join_forgets_what_can_pair_no_more_and_nothing_else() {
    let (from, to) = (-20, 15);
    for seed in 1..300 {
        let mut random = Random(seed);
        // One element of each every 8 ns: so what may still pair is no more than this.
        let mut make = || -> Vec<(i64, u64)> {
            (0..80)
                .map(|seq| (8 * seq as i64 + random.below(8) as i64, seq))
                .collect()
        };
        let (left, right) = (make(), make());
        let (found, evicted) = join_in_turn(&left, &right, (from, to), 6);
        assert_eq!(evicted, 0, "seed {seed}");
        assert_eq!(found, pairs(&left, &right, from, to), "seed {seed}");
    }
}

#[test]
fn a_join_without_room_loses_what_it_counts_and_makes_up_nothing() {
    let (from, to) = (-20, 15);
    let mut short = 0;
    for seed in 1..300 {
        let mut random = Random(seed);
        // Each at its own pace: they drift apart.
        let mut make = || {
            let mut at = 0;
            (0..80)
                .map(|seq| {
                    at += random.below(9) as i64;
                    (at, seq)
                })
                .collect::<Vec<(i64, u64)>>()
        };
        let (left, right) = (make(), make());
        let all = pairs(&left, &right, from, to);
        let (found, evicted) = join_in_turn(&left, &right, (from, to), 12);
        assert!(
            found.is_sorted_by(|a, b| a < b),
            "seed {seed}: a pair twice"
        );
        assert!(
            found.iter().all(|pair| all.binary_search(pair).is_ok()),
            "seed {seed}"
        );
        // An element pairs with at most all of the other side.
        let missing = all.len() - found.len();
        assert!(missing as u64 <= evicted * 80, "seed {seed}");
        short += usize::from(missing > 0);
        let (found, evicted) = join_in_turn(&left, &right, (from, to), 80);
        assert_eq!((found, evicted), (all, 0), "seed {seed}");
    }
    assert!(short > 100, "only {short} streams drifted apart");
}

#[test]
fn no_pair_lies_before_a_bound_that_went_out() {
    let join = Join::new(Nanos(-10), Nanos(10), 8, |_: &char, _: &char| true);
    let stream = Stream::input().beside(Stream::input()).then(join);
    let out = run(
        stream,
        [
            Side::Left(value(45, 'a')),
            Side::Left(bound(46)),
            Side::Left(value(100, 'b')),
            // Nobody waits for the right side, so the pairs before 100 are over.
            Side::Right(Event::Idle),
            Side::Left(bound(100)),
            // It speaks again of what is over, and then of what is not.
            Side::Right(value(50, 'c')),
            Side::Right(value(101, 'd')),
        ],
    );
    assert_eq!(out, [bound(46), bound(100), value(101, ('b', 'd'))]);
}
