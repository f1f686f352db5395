//! `every`: all items in order, refused ones come back, and whoever goes first leaves no mess and wakes the other.

use loom::thread;

use super::{Drops, bounded, exhaustive};
use crate::link::every;
use crate::rt::wait::{Bell, WaitPolicy};
use crate::units::{MonoTime, Nanos};

const PARK: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };

#[test]
fn all_items_come_in_order_and_a_refused_one_comes_back() {
    exhaustive(|| {
        let (mut writer, mut reader) = every(2, &Bell::new());
        let count = writer.count();
        let pushing = thread::spawn(move || {
            (0..3)
                .filter(|n| writer.push(*n).is_ok())
                .collect::<Vec<u32>>()
        });
        let mut popped: Vec<u32> = (0..2).filter_map(|_| reader.pop()).collect();
        let pushed = pushing.join().unwrap();
        let totals = count.totals();
        assert_eq!(totals.pushed as usize, pushed.len());
        assert_eq!(totals.refused as usize, 3 - pushed.len());
        assert_eq!(totals.in_flight as usize, pushed.len() - popped.len());
        popped.extend(std::iter::from_fn(|| reader.pop()));
        assert_eq!(popped, pushed);
    });
}

#[test]
fn a_parked_reader_gets_all_items_and_learns_that_the_writer_is_gone() {
    bounded(|| {
        let bell = Bell::new();
        let (mut writer, mut reader) = every(2, &bell);
        let pushing = thread::spawn(move || {
            for n in 0..2 {
                writer.push(n).unwrap();
            }
        });
        let mut popped = Vec::new();
        // BOUND: two items and the end.
        for _ in 0..3 {
            bell.wait(PARK, None, MonoTime::FAR, || {
                !reader.is_empty() || reader.is_abandoned()
            });
            match reader.pop() {
                Some(item) => popped.push(item),
                None => break,
            }
        }
        assert_eq!(popped, [0, 1]);
        pushing.join().unwrap();
    });
}

#[test]
fn each_item_is_dropped_once_when_both_ends_go_at_any_time() {
    exhaustive(|| {
        let drops = Drops::default();
        let (mut writer, mut reader) = every(1, &Bell::new());
        let items = drops.clone();
        let pushing = thread::spawn(move || {
            for n in 0..2 {
                drop(writer.push(items.item(n)));
            }
        });
        drop(reader.pop());
        drop(reader);
        pushing.join().unwrap();
        drops.assert_each_once(2);
    });
}

#[test]
fn a_return_link_brings_every_slot_home_when_the_far_end_stops_at_any_time() {
    exhaustive(|| {
        // A slot goes out by one link and home by another; the far end handles at most one and goes.
        let drops = Drops::default();
        let (mut out, mut inbox) = every(2, &Bell::new());
        let (mut home, mut returns) = every(2, &Bell::new());
        let far = thread::spawn(move || {
            if let Some(slot) = inbox.pop() {
                assert!(home.push(slot).is_ok(), "room for every slot");
            }
        });
        for n in 0..2 {
            assert!(out.push(drops.item(n)).is_ok());
        }
        far.join().unwrap();
        drop(returns.pop());
        drop((out, returns));
        drops.assert_each_once(2);
    });
}
