//! What does a hand-over between two threads cost, beside what the hardware needs for it?
//!
//! The floor is a cache line that two pinned threads write in turn: no hand-over can be faster. All peers are polled, so
//! that queues are compared and not ways of sleeping; `wake` is about those.

mod support;

use std::hint::{black_box, spin_loop};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use crossbeam_queue::ArrayQueue;
use reflexarc::clock;
use reflexarc::link::{every, newest, recent};
use reflexarc::rt::wait::Bell;
use support::{Bench, Peer};

/// Room of every bounded queue in the comparison.
const CAPACITY: usize = 64;

fn main() {
    let mut bench = Bench::start("links", "What does a hand-over between two threads cost?");
    same_thread(&mut bench);
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if let [here, there, ..] = cores[..] {
        core_affinity::set_for_current(here);
        hand_over(&mut bench, there);
        throughput(&mut bench, there);
    } else {
        bench.note("two threads", "not measured: there is one core");
    }
    bench.finish();
}

// ---------------------------------------------------------------------------------------------
// One thread: the instructions alone

fn same_thread(bench: &mut Bench) {
    const PAIRS: u64 = 1_000;
    fn pairs(mut pair: impl FnMut(u64) -> u64) {
        for n in 0..PAIRS {
            assert_eq!(pair(black_box(n)), n);
        }
    }
    let (mut newest_in, mut newest_out) = newest(&Bell::new());
    let (mut recent_in, mut recent_out) = recent(CAPACITY, &Bell::new());
    let (mut every_in, mut every_out) = every(CAPACITY, &Bell::new());
    let (mut ring_in, mut ring_out) = rtrb::RingBuffer::new(CAPACITY);
    let array = ArrayQueue::new(CAPACITY);
    let (flume_in, flume_out) = flume::bounded(CAPACITY);
    let (std_in, std_out) = std::sync::mpsc::sync_channel(CAPACITY);
    let mut peers = [
        Peer::timed("newest", PAIRS, || {
            pairs(|n| {
                newest_in.push(n);
                newest_out.pop().expect("pushed")
            });
        }),
        Peer::timed("recent", PAIRS, || {
            pairs(|n| {
                assert!(recent_in.push(n).is_none());
                recent_out.pop().expect("pushed")
            });
        }),
        Peer::timed("every", PAIRS, || {
            pairs(|n| {
                every_in.push(n).expect("room");
                every_out.pop().expect("pushed")
            });
        }),
        Peer::timed("crossbeam ArrayQueue, force_push", PAIRS, || {
            pairs(|n| {
                assert!(array.force_push(n).is_none());
                array.pop().expect("pushed")
            });
        }),
        Peer::timed("rtrb alone", PAIRS, || {
            pairs(|n| {
                ring_in.push(n).expect("room");
                ring_out.pop().expect("pushed")
            });
        }),
        Peer::timed("crossbeam ArrayQueue", PAIRS, || {
            pairs(|n| {
                array.push(n).expect("room");
                array.pop().expect("pushed")
            });
        }),
        Peer::timed("flume, bounded", PAIRS, || {
            pairs(|n| {
                flume_in.try_send(n).expect("room");
                flume_out.try_recv().expect("pushed")
            });
        }),
        Peer::timed("std mpsc, bounded", PAIRS, || {
            pairs(|n| {
                std_in.try_send(n).expect("room");
                std_out.try_recv().expect("pushed")
            });
        }),
    ];
    bench.compare("push and pop on one thread", 2_000, &mut peers);
}

// ---------------------------------------------------------------------------------------------
// Two threads: one item goes there and comes back

/// Looks until there is something.
fn poll<T>(mut look: impl FnMut() -> Option<T>) -> T {
    // BOUND: the other thread answers.
    loop {
        if let Some(item) = look() {
            return item;
        }
        spin_loop();
    }
}

/// Nanoseconds of one hand-over: half of a round trip to a thread on another core that sends every number back.
fn round_trips(
    there: core_affinity::CoreId,
    trips: u64,
    mut send: impl FnMut(u64),
    mut receive: impl FnMut() -> Option<u64>,
    mut their_receive: impl FnMut() -> Option<u64> + Send,
    mut their_send: impl FnMut(u64) + Send,
) -> u64 {
    thread::scope(|scope| {
        scope.spawn(move || {
            core_affinity::set_for_current(there);
            for _ in 0..=trips {
                their_send(poll(&mut their_receive));
            }
        });
        // The first trip waits for the thread to start.
        send(0);
        assert_eq!(poll(&mut receive), 0);
        let begin = clock::now();
        for n in 1..=trips {
            send(n);
            assert_eq!(poll(&mut receive), n, "what came back");
        }
        (clock::now() - begin).clamp_u64() / (2 * trips)
    })
}

/// One number, alone on its cache line.
#[repr(align(128))]
struct Line(AtomicU64);

fn hand_over(bench: &mut Bench, there: core_affinity::CoreId) {
    let trips = bench.size(2_000, 20) as u64;
    let mut peers = [
        Peer::measured("floor: two cache lines", || {
            let lines = [Line(AtomicU64::new(0)), Line(AtomicU64::new(0))];
            let look = |line: &Line, last: &mut u64| {
                // Numbers are sent plus 1: 0 is nothing yet.
                let seen = line.0.load(Ordering::Acquire);
                (seen != *last).then(|| {
                    *last = seen;
                    seen - 1
                })
            };
            let (mut ours, mut theirs) = (0, 0);
            round_trips(
                there,
                trips,
                |n| lines[0].0.store(n + 1, Ordering::Release),
                || look(&lines[1], &mut ours),
                || look(&lines[0], &mut theirs),
                |n| lines[1].0.store(n + 1, Ordering::Release),
            )
        }),
        Peer::measured("newest", || {
            let (mut out, mut inbox) = newest(&Bell::new());
            let (mut back, mut home) = newest(&Bell::new());
            round_trips(
                there,
                trips,
                |n| assert_eq!(out.push(n), None),
                || home.pop(),
                || inbox.pop(),
                |n| assert_eq!(back.push(n), None),
            )
        }),
        Peer::measured("recent", || {
            let (mut out, mut inbox) = recent(CAPACITY, &Bell::new());
            let (mut back, mut home) = recent(CAPACITY, &Bell::new());
            round_trips(
                there,
                trips,
                |n| assert_eq!(out.push(n), None),
                || home.pop(),
                || inbox.pop(),
                |n| assert_eq!(back.push(n), None),
            )
        }),
        Peer::measured("every", || {
            let (mut out, mut inbox) = every(CAPACITY, &Bell::new());
            let (mut back, mut home) = every(CAPACITY, &Bell::new());
            round_trips(
                there,
                trips,
                |n| out.push(n).expect("room"),
                || home.pop(),
                || inbox.pop(),
                |n| back.push(n).expect("room"),
            )
        }),
        Peer::measured("rtrb alone", || {
            let (mut out, mut inbox) = rtrb::RingBuffer::new(CAPACITY);
            let (mut back, mut home) = rtrb::RingBuffer::new(CAPACITY);
            round_trips(
                there,
                trips,
                |n| out.push(n).expect("room"),
                || home.pop().ok(),
                || inbox.pop().ok(),
                |n| back.push(n).expect("room"),
            )
        }),
        Peer::measured("crossbeam ArrayQueue", || {
            let (out, back) = (ArrayQueue::new(CAPACITY), ArrayQueue::new(CAPACITY));
            round_trips(
                there,
                trips,
                |n| out.push(n).expect("room"),
                || back.pop(),
                || out.pop(),
                |n| back.push(n).expect("room"),
            )
        }),
        Peer::measured("flume, bounded", || {
            let (out, inbox) = flume::bounded(CAPACITY);
            let (back, home) = flume::bounded(CAPACITY);
            round_trips(
                there,
                trips,
                |n| out.try_send(n).expect("room"),
                || home.try_recv().ok(),
                move || inbox.try_recv().ok(),
                |n| back.try_send(n).expect("room"),
            )
        }),
        Peer::measured("std mpsc, bounded", || {
            let (out, inbox) = std::sync::mpsc::sync_channel(CAPACITY);
            let (back, home) = std::sync::mpsc::sync_channel(CAPACITY);
            round_trips(
                there,
                trips,
                |n| out.try_send(n).expect("room"),
                || home.try_recv().ok(),
                move || inbox.try_recv().ok(),
                |n| back.try_send(n).expect("room"),
            )
        }),
    ];
    bench.compare("one hand-over between two cores", 300, &mut peers);
}

// ---------------------------------------------------------------------------------------------
// Two threads: many items, one way

/// Nanoseconds an item, from the first sent to the last received; all must come, in order.
fn stream(
    there: core_affinity::CoreId,
    items: u64,
    mut send: impl FnMut(u64) -> bool,
    mut receive: impl FnMut() -> Option<u64> + Send,
) -> u64 {
    let started = &AtomicU64::new(0);
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            core_affinity::set_for_current(there);
            started.store(1, Ordering::Release);
            for n in 0..items {
                assert_eq!(poll(&mut receive), n);
            }
            clock::now()
        });
        poll(|| (started.load(Ordering::Acquire) == 1).then_some(()));
        let begin = clock::now();
        for n in 0..items {
            poll(|| send(n).then_some(()));
        }
        let end = reading.join().expect("the reader got all items in order");
        (end - begin).clamp_u64()
    })
}

fn throughput(bench: &mut Bench, there: core_affinity::CoreId) {
    let items = bench.size(100_000, 1_000) as u64;
    let mut every_run = || {
        let (mut writer, mut reader) = every(CAPACITY, &Bell::new());
        stream(there, items, |n| writer.push(n).is_ok(), || reader.pop())
    };
    let mut ring_run = || {
        let (mut writer, mut reader) = rtrb::RingBuffer::new(CAPACITY);
        stream(
            there,
            items,
            |n| writer.push(n).is_ok(),
            || reader.pop().ok(),
        )
    };
    let mut array_run = || {
        let queue = ArrayQueue::new(CAPACITY);
        stream(there, items, |n| queue.push(n).is_ok(), || queue.pop())
    };
    let mut flume_run = || {
        let (writer, reader) = flume::bounded(CAPACITY);
        stream(
            there,
            items,
            |n| writer.try_send(n).is_ok(),
            move || reader.try_recv().ok(),
        )
    };
    let mut std_run = || {
        let (writer, reader) = std::sync::mpsc::sync_channel(CAPACITY);
        stream(
            there,
            items,
            |n| writer.try_send(n).is_ok(),
            move || reader.try_recv().ok(),
        )
    };
    let peers: [(&str, &mut dyn FnMut() -> u64); 5] = [
        ("every", &mut every_run),
        ("rtrb alone", &mut ring_run),
        ("crossbeam ArrayQueue", &mut array_run),
        ("flume, bounded", &mut flume_run),
        ("std mpsc, bounded", &mut std_run),
    ];
    let mut peers = peers.map(|(name, run)| (name, run, Vec::new()));
    // In turn, as `compare` does.
    for _ in 0..bench.size(40, 2) {
        for (_, run, ns) in &mut peers {
            ns.push(run());
        }
    }
    let all = peers
        .into_iter()
        .map(|(name, _, ns)| (name.to_owned(), items, ns))
        .collect();
    bench.record("one item of a stream between two cores", all);
}
