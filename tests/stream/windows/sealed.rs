//! No window allocates once it was built, nor does a copy of one, also when there is no room.

use reflexarc::rt::memory;
use reflexarc::stream::aggregate::Aggregate;
use reflexarc::stream::aggregate::of;
use reflexarc::stream::aggregate::statistic::Statistic;
use reflexarc::stream::element::Event;
use reflexarc::stream::operator::Operator as _;
use reflexarc::stream::window::Windows;
use reflexarc::stream::window::config::{Emission, Empty, Kind, WindowConfig};
use reflexarc::units::{MonoTime, Nanos};

use super::{Everything, Reading};
use crate::made::{Random, element};

/// Pushes a stream with disorder, late elements and jumps; true if that allocated.
fn allocates<A: Aggregate<In = Reading> + Clone>(config: &WindowConfig, aggregate: A) -> bool {
    let key: fn(&Reading) -> usize = |reading| reading.key;
    let made = Windows::new(config, key, aggregate).unwrap();
    // A description is copied before it is started.
    let mut windows = made.clone();
    drop(made);
    let mut random = Random(41);
    let mut results = 0_u64;
    let mut now = 0;
    let before = memory::open_ledger().totals();
    for number in 0..20_000 {
        now += random.below(5) as i64 * 1_000_000;
        if random.below(500) == 0 {
            now += 3_000_000_000;
        }
        let at = now - random.below(60) as i64 * 1_000_000;
        let reading = Reading {
            key: random.below(3) as usize,
            value: at as f64 / 1e6,
            number,
        };
        windows.push(Event::Element(element(at, number, reading)), &mut |_| {
            results += 1
        });
        if number % 7 == 0 {
            windows.push(Event::Bound(MonoTime(now - 40_000_000)), &mut |_| {
                results += 1
            });
        }
    }
    windows.push(Event::Bound(MonoTime::FAR), &mut |_| results += 1);
    let after = memory::open_ledger().totals();
    assert!(results > 1_000, "{config:?}");
    before != after
}

#[test]
fn windows_allocate_nothing_after_the_start() {
    let ms = Nanos::from_millis;
    let kinds = [
        WindowConfig::tumbling(ms(20)),
        WindowConfig::sliding(ms(50), ms(25)),
        WindowConfig::sliding(ms(100), ms(2)),
        WindowConfig {
            emission: Emission::Eager,
            lateness: ms(30),
            ..WindowConfig::sliding(ms(50), ms(25))
        },
        WindowConfig {
            emission: Emission::Early,
            early_every: ms(5),
            ..WindowConfig::sliding(ms(50), ms(25))
        },
        WindowConfig {
            empty: Empty::Hold,
            ..WindowConfig::sliding(ms(50), ms(25))
        },
        WindowConfig {
            disorder: ms(0),
            buffer: 10,
            ..WindowConfig::tumbling(ms(10))
        },
        WindowConfig::counting(100, 7),
        WindowConfig::session(ms(9)),
        WindowConfig {
            kind: Kind::Session,
            gap: ms(3),
            emission: Emission::Eager,
            lateness: ms(30),
            ..WindowConfig::default()
        },
        WindowConfig::trailing(ms(80)),
        WindowConfig {
            buffer: 10,
            ..WindowConfig::trailing(ms(80))
        },
    ];
    for config in kinds {
        let config = WindowConfig { keys: 2, ..config };
        assert!(!allocates(&config, Everything), "{config:?}");
        for statistic in [
            Statistic::Mean,
            Statistic::Variance,
            Statistic::P99,
            Statistic::Last,
        ] {
            let aggregate = of(|reading: &Reading| reading.value, statistic);
            assert!(!allocates(&config, aggregate), "{statistic:?} {config:?}");
        }
    }
}
