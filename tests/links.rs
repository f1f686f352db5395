//! Promises of links, bells and slots, with real threads: nothing lost, nothing twice, everything in order, and every item
//! dropped once, whoever goes first.
//!
//! `tests/loom` proves the same for few items in every interleaving. These run for many items on this machine; with
//! `REFLEXARC_LONG=1` for 100 million. `scripts/tsan`, `scripts/asan` and `scripts/miri` run this file too.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::cast_possible_truncation
)]

#[path = "links/crew.rs"]
mod crew;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use reflexarc::clock;
use reflexarc::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use reflexarc::link::{EveryReader, LinkTotals, NewestReader, every, newest, recent};
use reflexarc::rt::stop::Stop;
use reflexarc::rt::wait::{Bell, WaitPolicy};
use reflexarc::slot::{Filled, Slot};
use reflexarc::units::{MonoTime, Nanos};

/// Items of a stress.
fn items() -> u64 {
    match (cfg!(miri), std::env::var_os("REFLEXARC_LONG").is_some()) {
        (true, _) => 200,
        (false, false) => 2_000_000,
        (false, true) => 100_000_000,
    }
}

/// Hand-overs with a sleep in between: about a thousand times slower than without.
fn wakes() -> u64 {
    (items() / 100).max(20)
}

/// A wait that lasts this long was never woken. It makes a lost wake-up a failed test instead of one that hangs.
const LOST: Nanos = Nanos::from_secs(60);

const PARK: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };

/// Waits without a bell, friendly to a machine with few cores.
fn pause(turn: &mut u32) {
    *turn += 1;
    if cfg!(miri) || turn.is_multiple_of(64) {
        thread::yield_now();
    }
    std::hint::spin_loop();
}

/// Items seen: how many, in rising order, and a sum that no other set of numbers is likely to have.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    count: u64,
    last: Option<u64>,
    sum: u64,
}

impl Seen {
    fn see(&mut self, item: Packet) {
        assert_eq!(item.check, scramble(item.number), "half of an item");
        assert!(
            self.last < Some(item.number),
            "{item:?} after {:?}",
            self.last
        );
        self.last = Some(item.number);
        self.count += 1;
        self.sum = self.sum.wrapping_add(item.check);
    }

    fn all(count: u64) -> u64 {
        (0..count).fold(0, |sum, n| u64::wrapping_add(sum, scramble(n)))
    }
}

/// Larger than a register, so that a torn copy would show.
#[derive(Clone, Copy, Debug)]
struct Packet {
    number: u64,
    check: u64,
}

impl Packet {
    fn new(number: u64) -> Self {
        let check = scramble(number);
        Self { number, check }
    }
}

fn scramble(n: u64) -> u64 {
    let z = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z ^ (z >> 27)
}

// ---------------------------------------------------------------------------------------------
// Stress

#[test]
fn newest_loses_doubles_and_reorders_nothing() {
    let count = items();
    let (mut writer, mut reader) = newest(&Bell::new());
    let totals = writer.count();
    let pushing = thread::spawn(move || {
        let mut stale = Seen::default();
        for n in 0..count {
            if let Some(item) = writer.push(Packet::new(n)) {
                stale.see(item);
            }
        }
        stale
    });
    let mut popped = Seen::default();
    let mut turn = 0;
    loop {
        // Looked at before the pop: an item pushed before the end is still popped after it.
        let ended = reader.is_abandoned();
        match reader.pop() {
            Some(item) => popped.see(item),
            None if ended => break,
            None => pause(&mut turn),
        }
    }
    let stale = pushing.join().unwrap();
    assert_eq!(popped.last, Some(count - 1), "the newest is never lost");
    assert_eq!(popped.count + stale.count, count);
    assert_eq!(popped.sum.wrapping_add(stale.sum), Seen::all(count));
    let expected = LinkTotals {
        pushed: count,
        refused: 0,
        stale: stale.count,
        popped: popped.count,
        in_flight: 0,
        ..LinkTotals::default()
    };
    assert_eq!(totals.totals(), expected);
}

#[test]
fn every_passes_all_in_order_and_gives_back_what_it_refuses() {
    let count = items();
    let (mut writer, mut reader) = every(64, &Bell::new());
    let totals = writer.count();
    let pushing = thread::spawn(move || {
        let (mut refused, mut turn) = (0, 0);
        for n in 0..count {
            let mut item = Packet::new(n);
            // BOUND: the reader empties the link.
            while let Err(back) = writer.push(item) {
                assert_eq!(back.number, n);
                item = back;
                refused += 1;
                pause(&mut turn);
            }
        }
        refused
    });
    let mut popped = Seen::default();
    let mut turn = 0;
    loop {
        let ended = reader.is_abandoned();
        match reader.pop() {
            Some(item) => {
                assert_eq!(item.number, popped.count, "a gap");
                popped.see(item);
            }
            None if ended => break,
            None => pause(&mut turn),
        }
    }
    let refused = pushing.join().unwrap();
    assert_eq!((popped.count, popped.sum), (count, Seen::all(count)));
    let expected = LinkTotals {
        pushed: count,
        refused,
        stale: 0,
        popped: count,
        in_flight: 0,
        ..LinkTotals::default()
    };
    assert_eq!(totals.totals(), expected);
}

#[test]
fn recent_loses_doubles_and_reorders_nothing_and_drops_the_oldest() {
    for capacity in [1, 2, 7, 64] {
        let count = items() / 4;
        let (mut writer, mut reader) = recent(capacity, &Bell::new());
        let totals = writer.count();
        let pushing = thread::spawn(move || {
            let mut stale = Seen::default();
            for n in 0..count {
                if let Some(item) = writer.push(Packet::new(n)) {
                    assert_eq!(item.number + capacity as u64, n, "not the oldest");
                    stale.see(item);
                }
            }
            stale
        });
        let mut popped = Seen::default();
        let mut turn = 0;
        loop {
            // Looked at before the pop: an item pushed before the end is still popped after it.
            let ended = reader.is_abandoned();
            match reader.pop() {
                Some(item) => popped.see(item),
                None if ended => break,
                None => pause(&mut turn),
            }
        }
        let stale = pushing.join().unwrap();
        assert_eq!(popped.last, Some(count - 1), "the newest is never lost");
        assert_eq!(popped.count + stale.count, count);
        assert_eq!(popped.sum.wrapping_add(stale.sum), Seen::all(count));
        let expected = LinkTotals {
            pushed: count,
            stale: stale.count,
            popped: popped.count,
            ..LinkTotals::default()
        };
        assert_eq!(totals.totals(), expected);
    }
}

#[test]
fn a_replacement_never_goes_in_behind_an_item_that_was_taken() {
    let count = items() / 4;
    let (mut writer, mut reader) = newest(&Bell::new());
    let totals = writer.count();
    // A pair at a time: the second takes the first's place, or the first was taken alone.
    let pushing = thread::spawn(move || {
        let (mut stale, mut refused, mut turn) = (Seen::default(), Seen::default(), 0);
        for n in 0..count / 2 {
            assert!(
                writer.push(Packet::new(2 * n)).is_none(),
                "the link was empty"
            );
            match writer.replace(Packet::new(2 * n + 1)) {
                Ok(item) => stale.see(item),
                Err(item) => refused.see(item),
            }
            // BOUND: the reader empties the link.
            while writer.count().totals().in_flight > 0 {
                pause(&mut turn);
            }
        }
        (stale, refused)
    });
    let mut popped = Seen::default();
    let mut turn = 0;
    loop {
        let ended = reader.is_abandoned();
        match reader.pop() {
            Some(item) => {
                assert_eq!(item.number / 2, popped.count, "two of one pair");
                popped.see(item);
            }
            None if ended => break,
            None => pause(&mut turn),
        }
    }
    let (stale, refused) = pushing.join().unwrap();
    assert_eq!(popped.count, count / 2);
    assert_eq!(stale.count + refused.count, count / 2);
    let sum = popped.sum.wrapping_add(stale.sum).wrapping_add(refused.sum);
    assert_eq!(sum, Seen::all(count / 2 * 2));
    assert_eq!(totals.totals().stale, stale.count);
}

/// Two threads pass a number back and forth, each sleeping until the other has answered.
fn ping_pong(rounds: u64, policies: &'static [WaitPolicy]) {
    let (here, there) = (Bell::new(), Bell::new());
    let (mut ping, mut pinged) = newest(&there);
    let (mut pong, mut ponged) = every(1, &here);
    let wait = |bell: &Bell, n: u64, ready: &dyn Fn() -> bool| {
        let policy = policies[n as usize % policies.len()];
        let now = clock::now();
        let due = Some(now + Nanos::from_micros(20));
        assert!(
            bell.wait(policy, due, now + LOST, ready),
            "wake-up {n} was lost"
        );
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..rounds {
                wait(&there, n, &|| !pinged.is_empty());
                assert_eq!(pinged.pop(), Some(n));
                pong.push(n).unwrap();
            }
        });
        for n in 0..rounds {
            assert_eq!(ping.push(n), None, "the item before was taken");
            wait(&here, n, &|| !ponged.is_empty());
            assert_eq!(ponged.pop(), Some(n));
        }
    });
}

#[test]
fn no_wake_up_is_lost_when_the_thread_always_sleeps() {
    ping_pong(wakes(), &[PARK]);
}

#[test]
fn no_wake_up_is_lost_when_it_comes_near_the_end_of_a_spin() {
    const SPIN: WaitPolicy = WaitPolicy::Park { spin: Nanos(5_000) };
    const TIMED: WaitPolicy = WaitPolicy::Timed {
        lead: Nanos(15_000),
        late: Nanos(2_000),
    };
    const NEVER: WaitPolicy = WaitPolicy::Spin;
    // Miri has one core: a thread that never sleeps would keep it.
    let policies: &[_] = if cfg!(miri) {
        &[PARK]
    } else {
        &[SPIN, TIMED, PARK, TIMED, NEVER]
    };
    ping_pong(wakes(), policies);
}

#[test]
fn a_burst_of_rings_from_many_threads_wakes_one_sleeper_for_each_item() {
    const RINGERS: u64 = 4;
    let each = wakes() / RINGERS;
    let bell = Bell::new();
    let (writers, mut readers): (Vec<_>, Vec<_>) =
        (0..RINGERS).map(|_| every::<u64>(8, &bell)).unzip();
    let threads: Vec<_> = writers
        .into_iter()
        .map(|mut writer| {
            thread::spawn(move || {
                let mut turn = 0;
                for n in 0..each {
                    while writer.push(n).is_err() {
                        pause(&mut turn);
                    }
                }
            })
        })
        .collect();
    let mut next = [0; RINGERS as usize];
    while next.iter().sum::<u64>() < each * RINGERS {
        let some = |readers: &Vec<EveryReader<u64>>| readers.iter().any(|r| !r.is_empty());
        let deadline = clock::now() + LOST;
        assert!(bell.wait(PARK, None, deadline, || some(&readers)), "lost");
        for (reader, next) in readers.iter_mut().zip(&mut next) {
            while let Some(item) = reader.pop() {
                assert_eq!(item, *next);
                *next += 1;
            }
        }
    }
    for thread in threads {
        thread.join().unwrap();
    }
}

// ---------------------------------------------------------------------------------------------
// Waiting

#[test]
fn a_wait_ends_at_its_deadline_and_says_that_nothing_came() {
    let bell = Bell::new();
    for policy in [
        WaitPolicy::Spin,
        PARK,
        WaitPolicy::Park {
            spin: Nanos::from_micros(50),
        },
        WaitPolicy::Timed {
            lead: Nanos::from_micros(100),
            late: Nanos::from_micros(100),
        },
    ] {
        for due in [None, Some(clock::now() + Nanos::from_millis(1))] {
            let deadline = clock::now() + Nanos::from_millis(2);
            assert!(!bell.wait(policy, due, deadline, || false));
            assert!(clock::now() >= deadline, "{policy:?} gave up early");
        }
    }
}

#[test]
fn a_deadline_in_the_past_still_looks_once() {
    let bell = Bell::new();
    assert!(bell.wait(PARK, None, MonoTime::ZERO, || true));
    assert!(!bell.wait(PARK, None, MonoTime::ZERO, || false));
}

#[test]
fn asking_to_stop_and_ringing_ends_every_sleep() {
    let stop = Stop::default();
    let bells: Vec<Bell> = (0..3).map(|_| Bell::new()).collect();
    let sleepers: Vec<_> = bells
        .iter()
        .cloned()
        .map(|bell| {
            let stop = stop.clone();
            thread::spawn(move || bell.wait(PARK, None, clock::now() + LOST, || stop.asked()))
        })
        .collect();
    stop.ask();
    bells.iter().for_each(Bell::ring);
    for sleeper in sleepers {
        assert!(sleeper.join().unwrap());
    }
}

#[test]
fn a_sleeping_reader_learns_at_once_that_its_writer_is_gone() {
    fn sleep(bell: &Bell, gone: impl Fn() -> bool) {
        assert!(bell.wait(PARK, None, clock::now() + LOST, gone), "not told");
    }
    for _ in 0..wakes().min(200) {
        let bell = Bell::new();
        let (newest_writer, newest_reader) = newest::<u8>(&bell);
        let going = thread::spawn(move || drop(newest_writer));
        sleep(&bell, || newest_reader.is_abandoned());
        going.join().unwrap();

        let (recent_writer, recent_reader) = recent::<u8>(1, &bell);
        let going = thread::spawn(move || drop(recent_writer));
        sleep(&bell, || recent_reader.is_abandoned());
        going.join().unwrap();

        let (every_writer, every_reader) = every::<u8>(1, &bell);
        let going = thread::spawn(move || drop(every_writer));
        sleep(&bell, || every_reader.is_abandoned());
        going.join().unwrap();
    }
}

// ---------------------------------------------------------------------------------------------
// Whoever goes first

/// Counts its drops.
#[derive(Clone, Debug)]
struct Dropped(Arc<AtomicU64>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn drops() -> (Arc<AtomicU64>, impl Fn() -> Dropped) {
    let count = Arc::new(AtomicU64::new(0));
    let made = Arc::clone(&count);
    (count, move || Dropped(Arc::clone(&made)))
}

#[test]
fn an_item_still_in_a_link_is_dropped_with_it_once() {
    let (dropped, item) = drops();
    let (mut writer, reader) = newest(&Bell::new());
    assert!(writer.push(item()).is_none());
    drop(writer);
    assert!(reader.is_abandoned());
    assert_eq!(dropped.load(Ordering::Relaxed), 0, "still in the link");
    drop(reader);
    assert_eq!(dropped.load(Ordering::Relaxed), 1);

    let (dropped, item) = drops();
    let (mut writer, mut reader) = recent(2, &Bell::new());
    (0..3).for_each(|_| drop(writer.push(item())));
    drop(reader.pop());
    drop(writer);
    assert_eq!(dropped.load(Ordering::Relaxed), 2, "one is in the link");
    drop(reader);
    assert_eq!(dropped.load(Ordering::Relaxed), 3);

    let (dropped, item) = drops();
    let (mut writer, mut reader) = every(3, &Bell::new());
    (0..3).for_each(|_| writer.push(item()).unwrap());
    drop(reader.pop());
    drop(reader);
    assert!(writer.is_abandoned());
    drop(writer);
    assert_eq!(dropped.load(Ordering::Relaxed), 3);
}

#[test]
fn each_item_is_dropped_once_however_the_ends_go() {
    let rounds = (items() / 2_000).max(10);
    for round in 0..rounds {
        let (dropped, item) = drops();
        let (mut writer, mut reader) = newest(&Bell::new());
        let made = 1 + round % 5;
        thread::scope(|scope| {
            scope.spawn(move || (0..made).for_each(|_| drop(writer.push(item()))));
            scope.spawn(move || (0..round % 3).for_each(|_| drop(reader.pop())));
        });
        assert_eq!(
            dropped.load(Ordering::Relaxed),
            made,
            "newest, round {round}"
        );

        let (dropped, item) = drops();
        let (mut writer, mut reader) = every(2, &Bell::new());
        thread::scope(|scope| {
            scope.spawn(move || (0..made).for_each(|_| drop(writer.push(item()))));
            scope.spawn(move || (0..round % 3).for_each(|_| drop(reader.pop())));
        });
        assert_eq!(
            dropped.load(Ordering::Relaxed),
            made,
            "every, round {round}"
        );
    }
}

#[test]
fn a_writer_whose_reader_is_gone_goes_on_unharmed() {
    let (mut writer, reader) = newest(&Bell::new());
    drop(reader);
    assert!(writer.is_abandoned());
    assert_eq!(writer.push(1), None);
    assert_eq!(writer.push(2), Some(1), "its stale items come back");

    let (mut writer, reader) = recent(1, &Bell::new());
    drop(reader);
    assert!(writer.is_abandoned());
    assert_eq!((writer.push(1), writer.push(2)), (None, Some(1)));

    let (mut writer, reader) = every(1, &Bell::new());
    drop(reader);
    assert!(writer.is_abandoned());
    assert_eq!(writer.push(1), Ok(()));
    assert_eq!(writer.push(2), Err(2));
}

#[test]
fn a_stale_item_comes_back_at_once() {
    let (mut writer, mut reader) = newest(&Bell::new());
    assert_eq!(writer.push(1), None);
    assert_eq!(writer.push(2), Some(1));
    assert_eq!(writer.push(3), Some(2));
    assert_eq!(reader.pop(), Some(3));
    assert_eq!(reader.pop(), None);
    assert_eq!(writer.push(4), None, "3 was taken");
}

#[test]
fn a_full_link_gives_the_new_item_back_and_counts_it() {
    let (mut writer, mut reader) = every(2, &Bell::new());
    assert!(writer.has_room());
    assert_eq!((writer.push(1), writer.push(2)), (Ok(()), Ok(())));
    assert!(!writer.has_room());
    assert_eq!(writer.push(3), Err(3));
    assert_eq!(writer.count().totals().refused, 1);
    assert_eq!(reader.pop(), Some(1));
    assert_eq!(writer.push(4), Ok(()));
    assert_eq!(
        (reader.pop(), reader.pop(), reader.pop()),
        (Some(2), Some(4), None)
    );
}

// ---------------------------------------------------------------------------------------------
// Slots

fn meta(format: FrameFormat, seq: u64) -> FrameMeta {
    FrameMeta {
        seq,
        source_index: 0,
        format,
        bytes_used: format.frame_bytes() as u32,
        captured: MonoTime(1),
        stamp: StampSource::Synthetic,
        arrived: MonoTime(1),
        marks: FrameMarks::default(),
    }
}

/// Capture fills slots and never waits; features takes the newest and is as slow as it likes. One slot is being
/// filled, one waits in the link, one is being read, and one is on its way home: four are always enough.
fn four_slots(frames: u64, slow: impl Fn(&Slot<Filled>, &NewestReader<Slot<Filled>>) + Send) {
    let format = FrameFormat::packed(PixelFormat::Grey, 64, 4);
    let bell = Bell::new();
    let (mut out, mut inbox) = newest(&bell);
    let (mut home, mut returns) = every(4, &Bell::new());
    let mut free = Slot::pool(4, &format).unwrap();
    let (mut stale, mut seen) = (0, 0);
    thread::scope(|scope| {
        let reading = scope.spawn(move || {
            let (mut seen, mut last) = (0, None);
            loop {
                let ended = inbox.is_abandoned();
                let Some(slot) = inbox.pop() else {
                    if ended {
                        break seen;
                    }
                    let deadline = clock::now() + LOST;
                    bell.wait(PARK, None, deadline, || {
                        !inbox.is_empty() || inbox.is_abandoned()
                    });
                    continue;
                };
                slow(&slot, &inbox);
                let seq = slot.meta().seq;
                assert!(last < Some(seq), "frames go back in time");
                last = Some(seq);
                // Filled whole by the writer, and not written to while it is held here.
                assert!(slot.bytes().iter().all(|b| *b == seq as u8));
                seen += 1;
                assert!(home.push(slot.empty()).is_ok(), "room for every slot");
            }
        });
        for seq in 0..frames {
            free.extend(std::iter::from_fn(|| returns.pop()));
            let mut slot = free.pop().expect("four slots are enough");
            slot.bytes_mut()[..format.frame_bytes()].fill(seq as u8);
            if let Some(old) = out.push(slot.fill(meta(format, seq))) {
                stale += 1;
                free.push(old.empty());
            }
        }
        drop(out);
        seen = reading.join().unwrap();
    });
    free.extend(std::iter::from_fn(|| returns.pop()));
    assert_eq!(seen + stale, frames, "every frame is accounted for");
    let mut home: Vec<u32> = free.iter().map(Slot::index).collect();
    home.sort_unstable();
    assert_eq!(home, [0, 1, 2, 3], "every slot is home");
}

#[test]
fn four_slots_are_enough_for_a_reader_that_keeps_up() {
    four_slots(items() / 20, |_, _| ());
}

#[test]
fn four_slots_are_enough_for_a_reader_that_always_waits_for_a_newer_frame() {
    let frames = wakes();
    four_slots(frames, move |slot, inbox| {
        let mut turn = 0;
        // Holds its slot until the next frame is there: as slow as a reader can be.
        while inbox.is_empty() && !inbox.is_abandoned() && slot.meta().seq + 1 < frames {
            pause(&mut turn);
        }
    });
}

#[test]
fn a_slot_is_unmapped_on_whatever_thread_it_ends() {
    let (mut writer, reader) = newest(&Bell::new());
    let format = FrameFormat::packed(PixelFormat::Grey, 4096, 1);
    let slot = Slot::anonymous(0, format.frame_bytes()).unwrap();
    assert!(writer.push(slot.fill(meta(format, 0))).is_none());
    drop(writer);
    thread::spawn(move || drop(reader)).join().unwrap();
}

#[test]
#[should_panic(expected = "larger than its slot")]
fn a_frame_larger_than_its_slot_is_our_own_mistake() {
    let format = FrameFormat::packed(PixelFormat::Grey, 4097, 1);
    let slot = Slot::anonymous(0, 4096).unwrap();
    drop(slot.fill(meta(format, 0)));
}
