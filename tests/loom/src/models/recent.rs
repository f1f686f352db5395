//! `recent`: nothing is lost, nothing is there twice, what comes is in order, the oldest goes first, and whoever goes first
//! leaves no mess.

use loom::thread;

use super::{Drops, bounded, exhaustive};
use crate::link::recent;
use crate::rt::wait::{Bell, WaitPolicy};
use crate::units::{MonoTime, Nanos};

fn each_is_popped_or_comes_back(capacity: usize, items: usize, looks: usize) {
    let (mut writer, mut reader) = recent(capacity, &Bell::new());
    let count = writer.count();
    let pushing = thread::spawn(move || {
        (0..items)
            .filter_map(|n| writer.push(Box::new(n)))
            .map(|n| *n)
            .collect::<Vec<_>>()
    });
    let mut popped: Vec<usize> = (0..looks).filter_map(|_| reader.pop()).map(|n| *n).collect();
    let stale = pushing.join().unwrap();
    let totals = count.totals();
    assert_eq!(totals.pushed as usize, items);
    assert_eq!(totals.stale as usize, stale.len());
    assert_eq!(totals.popped as usize, popped.len());
    assert!(totals.in_flight as usize <= capacity);
    let rest: Vec<usize> = std::iter::from_fn(|| reader.pop()).map(|n| *n).collect();
    assert_eq!(rest.len(), totals.in_flight as usize);
    popped.extend(rest);
    assert!(popped.is_sorted(), "{popped:?} out of order");
    assert!(stale.is_sorted(), "{stale:?} were not the oldest");
    let newest: Vec<usize> = (items.saturating_sub(capacity)..items).collect();
    assert!(
        newest.iter().all(|n| popped.contains(n)),
        "{popped:?} lacks one of the newest"
    );
    popped.extend(stale);
    popped.sort_unstable();
    assert_eq!(popped, (0..items).collect::<Vec<_>>());
}

#[test]
fn with_one_place_it_passes_the_newest() {
    exhaustive(|| each_is_popped_or_comes_back(1, 3, 2));
}

#[test]
fn with_two_places_the_oldest_comes_back_and_the_rest_in_order() {
    exhaustive(|| each_is_popped_or_comes_back(2, 4, 2));
}

#[test]
fn a_writer_that_goes_around_many_times_loses_nothing() {
    bounded(|| each_is_popped_or_comes_back(2, 7, 3));
}

#[test]
fn each_item_is_dropped_once_when_both_ends_go_at_any_time() {
    exhaustive(|| {
        let drops = Drops::default();
        let (mut writer, mut reader) = recent(2, &Bell::new());
        let items = drops.clone();
        let pushing = thread::spawn(move || {
            for n in 0..3 {
                drop(writer.push(items.item(n)));
            }
        });
        drop(reader.pop());
        drop(reader);
        pushing.join().unwrap();
        drops.assert_each_once(3);
    });
}

#[test]
fn a_parked_reader_gets_all_items_and_learns_that_the_writer_is_gone() {
    const PARK: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };
    bounded(|| {
        let bell = Bell::new();
        let (mut writer, mut reader) = recent(2, &bell);
        let pushing = thread::spawn(move || {
            for n in 0..2 {
                assert!(writer.push(n).is_none());
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
