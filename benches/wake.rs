//! How late is a thread that was woken, by how it waited?
//!
//! One thread sends its clock every millisecond, another on its own core waits for it and looks at its own. The time is
//! from just before the push to just after the wait.

mod support;

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use reflexarc::clock;
use reflexarc::link::every;
use reflexarc::rt::thread::housekeeping;
use reflexarc::rt::wait::{Bell, WaitPolicy};
use reflexarc::units::{MonoTime, Nanos};
use support::{Bench, Peer};

/// From one wake to the next: long enough for an idle core to fall asleep.
const PERIOD: Nanos = Nanos::from_millis(1);
/// Wakes before the next way of waiting has its turn.
const TURN: usize = 100;
/// When a sleeper gives up: a lost wake-up would show as a failed bench.
const LOST: Nanos = Nanos::from_secs(30);

fn main() {
    let mut bench = Bench::start(
        "wake",
        "How late is a thread that was woken, by how it waited?",
    );
    ring(&mut bench);
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if let [here, .., there] = cores[..] {
        core_affinity::set_for_current(here);
        late(&mut bench, there, "another core");
        late(&mut bench, here, "the same core");
    } else {
        bench.note("two cores", "not measured: there is one core");
    }
    bench.finish();
}

/// What the ringing thread pays.
fn ring(bench: &mut Bench) {
    const RINGS: u64 = 1_000;
    let bell = Bell::new();
    let parked = AtomicU64::new(1);
    let mut peers = [
        Peer::timed("ring, nobody sleeps", RINGS, || {
            (0..RINGS).for_each(|_| bell.ring())
        }),
        Peer::timed("std unpark, nobody sleeps", RINGS, || {
            let thread = thread::current();
            (0..RINGS).for_each(|_| thread.unpark());
        }),
        Peer::timed("a swap, for comparison", RINGS, || {
            for _ in 0..RINGS {
                parked.swap(0, Ordering::AcqRel);
            }
        }),
    ];
    bench.compare("what ringing costs", 1_000, &mut peers);
}

fn late(bench: &mut Bench, there: core_affinity::CoreId, place: &str) {
    let park = WaitPolicy::Park { spin: Nanos::ZERO };
    let timed = WaitPolicy::Timed {
        lead: Nanos::from_micros(200),
        late: Nanos::from_millis(5),
    };
    let mut ways: Vec<(&str, Option<WaitPolicy>)> = vec![
        ("parked", Some(park)),
        ("std park", None),
        ("timed spin", Some(timed)),
    ];
    // Two spinning threads on one core would only wait for each other.
    if place == "another core" {
        ways.push(("spinning", Some(WaitPolicy::Spin)));
    } else {
        ways.truncate(2);
    }
    let mut late: Vec<Vec<u64>> = vec![Vec::new(); ways.len()];
    let turns = bench.size(20, 1);
    let wakes = bench.size(TURN, 5);
    for _ in 0..turns {
        for ((_, way), late) in ways.iter().zip(&mut late) {
            late.extend(match way {
                Some(policy) => with_bell(there, *policy, wakes),
                None => with_std(there, wakes),
            });
        }
    }
    let measured = ways
        .iter()
        .zip(late)
        .map(|((name, _), ns)| ((*name).to_owned(), 1, ns));
    bench.record(&format!("late, on {place}"), measured.collect());
}

/// How late each of the wakes was.
fn with_bell(there: core_affinity::CoreId, policy: WaitPolicy, wakes: usize) -> Vec<u64> {
    let bell = Bell::new();
    let (mut writer, mut reader) = every::<MonoTime>(wakes, &bell);
    let start = clock::now() + PERIOD + PERIOD;
    let waiting = housekeeping("waiting", move || {
        core_affinity::set_for_current(there);
        let mut due = start;
        (0..wakes)
            .map(|_| {
                let there = bell.wait(policy, Some(due), due + LOST, || !reader.is_empty());
                let now = clock::now();
                assert!(there, "a wake-up was lost");
                due += PERIOD;
                (now - reader.pop().expect("it is there")).clamp_u64()
            })
            .collect()
    })
    .expect("a thread");
    let mut due = start;
    for _ in 0..wakes {
        clock::sleep_until(due);
        writer.push(clock::now()).expect("room for all");
        due += PERIOD;
    }
    waiting.join().expect("every wake-up came")
}

/// The same with the standard library's park and unpark. The stamps go through the same link, whose bell nobody hears:
/// a mailbox of one word would lose a stamp whenever the waiting thread is a period late, and then wait for ever.
fn with_std(there: core_affinity::CoreId, wakes: usize) -> Vec<u64> {
    let (mut writer, mut reader) = every::<MonoTime>(wakes, &Bell::new());
    let start = clock::now() + PERIOD + PERIOD;
    let waiting = housekeeping("waiting", move || {
        core_affinity::set_for_current(there);
        let mut due = start;
        (0..wakes)
            .map(|_| {
                while reader.is_empty() {
                    assert!(clock::now() < due + LOST, "a wake-up was lost");
                    thread::park_timeout(Duration::from_nanos(LOST.clamp_u64()));
                }
                let now = clock::now();
                due += PERIOD;
                (now - reader.pop().expect("it is there")).clamp_u64()
            })
            .collect()
    })
    .expect("a thread");
    let mut due = start;
    for _ in 0..wakes {
        clock::sleep_until(due);
        writer.push(clock::now()).expect("room for all");
        waiting.thread().unpark();
        due += PERIOD;
    }
    waiting.join().expect("every wake-up came")
}
