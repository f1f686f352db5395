//! No operator allocates once it was built.

use reflexarc::rt::memory;
use reflexarc::stream::align::choice::Choice;
use reflexarc::stream::align::operator::{Align, LaneConfig, Told};
use reflexarc::stream::builder::Stream;
use reflexarc::stream::element::{Event, Side};
use reflexarc::stream::operator::Operator as _;
use reflexarc::stream::time::{SourceTime, SourceTimeConfig};
use reflexarc::units::{MonoTime, Nanos};

use super::made::{Random, element};

/// What pushing allocates.
fn allocations(mut work: impl FnMut(i64)) -> bool {
    let before = memory::open_ledger().totals();
    (0..20_000).for_each(&mut work);
    memory::open_ledger().totals() != before
}

#[test]
fn the_ledger_sees_an_allocation() {
    assert!(allocations(|i| drop(std::hint::black_box(vec![i]))));
}

#[test]
fn chains_of_operators_allocate_nothing() {
    let mut random = Random(1);
    let mut running = Stream::input()
        .filter(|x: &f64| *x > 0.1)
        .scan(
            4,
            |x| *x as usize % 4,
            0.0,
            |sum, e| {
                *sum += e.value;
                Some(*sum)
            },
        )
        .in_order(32)
        .tee(
            Stream::input().sample(Nanos(50)).debounce(Nanos(20)),
            Stream::input()
                .every_nth(3)
                .filter_map(|x| (*x < 1e9).then_some(*x)),
        )
        // A copy has all its room too.
        .clone()
        .start();
    let mut seen = 0;
    assert!(!allocations(|i| {
        let at = 10 * i - random.below(40) as i64;
        running.push(
            Event::Element(element(at, i as u64, random.below(100) as f64)),
            |_| seen += 1,
        );
        running.push(Event::Bound(MonoTime(10 * i - 40)), |_| seen += 1);
    }));
    assert!(seen > 10_000);
}

#[test]
fn merging_and_joining_allocate_nothing_also_without_room() {
    let mut merged = Stream::input().beside(Stream::input()).merge().start();
    let mut joined = Stream::input()
        .beside(Stream::input())
        .join(Nanos(-30), Nanos(30), 16, |_: &i64, _: &i64| true)
        .clone()
        .start();
    let mut seen = 0;
    assert!(!allocations(|i| {
        let event = Event::Element(element(i, i as u64, i));
        merged.push(Side::Left(event), |_| seen += 1);
        merged.push(Side::Right(event), |_| seen += 1);
        joined.push(Side::Left(event), |_| seen += 1);
        joined.push(Side::Right(event), |_| seen += 1);
        if i % 100 == 0 {
            joined.push(Side::Left(Event::Bound(MonoTime(i))), |_| seen += 1);
        }
    }));
    assert!(seen > 100_000);
}

#[test]
fn admitting_and_aligning_allocate_nothing_also_without_room() {
    let lane = |choice| LaneConfig {
        chain: vec![choice, Choice::Default(0.0)],
        is_needed: false,
        capacity: 16,
        late_steps: 8,
    };
    let lanes = [
        lane(Choice::Nearest {
            tolerance: Nanos(100),
        }),
        lane(Choice::Interpolate {
            max_gap: Nanos(100),
        }),
    ];
    let mut align = Align::<i64, f64, 2>::new(lanes, 4, Nanos(200)).clone();
    let mut time = SourceTime::new(SourceTimeConfig {
        disorder: Nanos(30),
        ..SourceTimeConfig::default()
    });
    let mut random = Random(9);
    let mut seen = 0;
    assert!(!allocations(|i| {
        let at = 10 * i - random.below(40) as i64;
        let lane = usize::from(i % 2 == 0);
        time.push(element(at, i as u64, 1.0), &mut |event| {
            align.push(Told::Lane(lane, event), &mut |_| seen += 1);
        });
        if i % 3 == 0 {
            let primary = Event::Element(element(10 * i, i as u64, i));
            align.push(Told::Primary(primary), &mut |_| seen += 1);
        }
    }));
    assert!(seen > 5_000);
}
