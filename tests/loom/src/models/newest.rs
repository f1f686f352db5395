//! `newest`: nothing is lost, nothing is there twice, the newest wins, and whoever goes first leaves no mess.

use loom::thread;

use super::{Drops, exhaustive};
use crate::link::newest;
use crate::rt::wait::Bell;

/// With four items and two looks every cell passes from writer to reader and back, and is used again.
const ITEMS: usize = 4;

#[test]
fn every_item_is_popped_or_comes_back_stale_or_is_in_flight() {
    exhaustive(|| {
        let (mut writer, mut reader) = newest(&Bell::new());
        let count = writer.count();
        let pushing = thread::spawn(move || {
            (0..ITEMS)
                .filter_map(|n| writer.push(n))
                .collect::<Vec<_>>()
        });
        let mut popped: Vec<usize> = (0..2).filter_map(|_| reader.pop()).collect();
        let mut all = pushing.join().unwrap();
        assert!(!all.contains(&(ITEMS - 1)), "the newest came back as stale");
        let totals = count.totals();
        assert_eq!(totals.pushed, 4);
        assert_eq!(totals.stale as usize, all.len());
        assert_eq!(totals.popped as usize, popped.len());
        assert_eq!(totals.in_flight, u64::from(!reader.is_empty()));
        popped.extend(reader.pop());
        assert!(popped.is_sorted(), "order");
        assert_eq!(
            popped.last(),
            Some(&(ITEMS - 1)),
            "the newest is never lost"
        );
        all.extend(&popped);
        all.sort_unstable();
        assert_eq!(all, [0, 1, 2, 3]);
        assert_eq!(reader.pop(), None);
    });
}

#[test]
fn the_reader_never_sees_half_of_an_item() {
    exhaustive(|| {
        let (mut writer, mut reader) = newest(&Bell::new());
        // Boxes: loom checks each cell, and a box read before it was whole would be a wild pointer.
        let pushing = thread::spawn(move || {
            for n in 0..2 {
                drop(writer.push(Box::new([n; 4])));
            }
        });
        for _ in 0..2 {
            if let Some(item) = reader.pop() {
                assert_eq!(*item, [item[0]; 4]);
            }
        }
        pushing.join().unwrap();
    });
}

#[test]
fn each_item_is_dropped_once_when_the_reader_goes_first() {
    exhaustive(|| {
        let drops = Drops::default();
        let (mut writer, reader) = newest(&Bell::new());
        let items = drops.clone();
        let pushing = thread::spawn(move || {
            for n in 0..2 {
                drop(writer.push(items.item(n)));
            }
            writer
        });
        drop(reader);
        let writer = pushing.join().unwrap();
        assert!(writer.is_abandoned());
        drop(writer);
        drops.assert_each_once(2);
    });
}

#[test]
fn each_item_is_dropped_once_when_both_ends_go_at_any_time() {
    exhaustive(|| {
        let drops = Drops::default();
        let (mut writer, mut reader) = newest(&Bell::new());
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
fn who_sees_the_writer_gone_has_seen_its_last_item() {
    exhaustive(|| {
        let (mut writer, mut reader) = newest(&Bell::new());
        let pushing = thread::spawn(move || {
            assert_eq!(writer.push(7), None);
        });
        if reader.is_abandoned() {
            assert_eq!(reader.pop(), Some(7));
        }
        pushing.join().unwrap();
    });
}

#[test]
fn a_replacement_goes_in_only_where_an_item_still_waits() {
    exhaustive(|| {
        let (mut writer, mut reader) = newest(&Bell::new());
        let pushing = thread::spawn(move || {
            let mut back = Vec::from_iter(writer.push(Box::new(0)));
            let mut refused = Vec::new();
            for n in 1..3 {
                match writer.replace(Box::new(n)) {
                    Ok(stale) => back.push(stale),
                    Err(item) => refused.push(item),
                }
            }
            (back, refused, writer)
        });
        let mut popped: Vec<Box<usize>> = (0..2).filter_map(|_| reader.pop()).collect();
        let (back, refused, writer) = pushing.join().unwrap();
        popped.extend(reader.pop());
        // Nothing was put in behind one that had been taken.
        assert_eq!(popped.len(), 1, "{popped:?} {back:?} {refused:?}");
        let mut all = [popped, back, refused].concat();
        all.sort_unstable();
        assert_eq!(all, [Box::new(0), Box::new(1), Box::new(2)]);
        let totals = writer.count().totals();
        assert_eq!((totals.popped, totals.in_flight), (1, 0));
    });
}
