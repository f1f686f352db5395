//! The journal's ring: bounded, in order, with holes told.

use reflexarc::state::journal::{Entry, What};
use reflexarc::state::segments::{self, FILES, Journal, Ring};
use reflexarc::units::MonoTime;

use crate::damage::{entry, head};

const BYTES: u64 = FILES * 2048;

fn total(folder: &std::path::Path) -> u64 {
    let files = std::fs::read_dir(folder).unwrap();
    files
        .map(|file| file.unwrap().metadata().unwrap().len())
        .sum()
}

#[test]
fn the_newest_entries_are_kept_and_the_disk_space_stays_within_its_bound() {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(dir.path(), BYTES, head(1, 1));
    for number in 1..=2000 {
        ring.append(&entry(number)).unwrap();
        if number % 13 == 0 {
            ring.commit().unwrap();
        }
    }
    ring.commit().unwrap();
    assert!(total(dir.path()) <= BYTES, "{} bytes", total(dir.path()));
    let journal = Journal::read(dir.path());
    assert_eq!(journal.damages, Vec::<String>::new());
    let kept = journal.after(3, 0).filter(|e| e.what != What::Close);
    let kept: Vec<Entry> = kept.cloned().collect();
    let first = kept[0].number;
    assert!(
        first > 1 && kept.len() > 100,
        "from {first}: {}",
        kept.len()
    );
    let expected: Vec<_> = (first..=2000).map(entry).collect();
    assert_eq!(kept, expected);
    assert_eq!(journal.highest().1, 2000);
    assert_eq!(ring.lost_in_all(), 0);
}

#[test]
fn a_segment_that_is_missing_in_the_middle_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let mut ring = Ring::new(dir.path(), BYTES, head(1, 1));
    for number in 1..=150 {
        ring.append(&entry(number)).unwrap();
        ring.commit().unwrap();
    }
    let (last, _) = Journal::read(dir.path()).highest();
    assert!(last >= 3);
    std::fs::remove_file(segments::path(dir.path(), 2)).unwrap();
    let damages = Journal::read(dir.path()).damages;
    assert_eq!(
        damages,
        ["the journal has a hole between its segments 1 and 3"]
    );
}

#[test]
fn a_disk_that_refuses_for_a_while_costs_those_entries_and_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let full = segments::path(dir.path(), 1);
    std::os::unix::fs::symlink("/dev/full", &full).unwrap();
    let mut ring = Ring::new(dir.path(), 1 << 20, head(1, 1));
    for number in 1..=3 {
        ring.append(&entry(number)).unwrap();
        ring.commit().unwrap_err();
    }
    std::fs::remove_file(&full).unwrap();
    for number in 4..=6 {
        ring.append(&entry(number)).unwrap();
        ring.commit().unwrap();
    }
    assert_eq!(ring.lost_in_all(), 3);
    let journal = Journal::read(dir.path());
    let kept: Vec<_> = journal.after(3, 0).cloned().collect();
    assert_eq!(kept[0].what, What::Lost { entries: 3 });
    assert_eq!(kept[1..], [entry(4), entry(5), entry(6)]);
    assert_eq!(kept[0].arrived, MonoTime(4_000_500));
}
