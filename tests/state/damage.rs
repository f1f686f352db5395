//! Every byte of both files and of the journal's last segment, flipped; every length.

use std::path::Path;

use reflexarc::action::Rung;
use reflexarc::state::clocks::{BootId, ClockMap};
use reflexarc::state::content::{InForce, Numbers, Progress, Runs, State, Words};
use reflexarc::state::crc::crc32c;
use reflexarc::state::journal::{Entry, Segment, What};
use reflexarc::state::pair::{Halves, NAMES, Pair};
use reflexarc::state::segments::{self, Journal, Ring};
use reflexarc::state::snapshot::{Damage, Section, Snapshot};
use reflexarc::units::{MonoTime, Nanos};

pub fn state(run: u64, id: u32) -> State {
    State {
        runs: Runs {
            run,
            cut_off: 2,
            ended: false,
        },
        numbers: Numbers {
            last: 1000,
            next: 61_000,
        },
        clocks: ClockMap {
            boot: BootId([7; 16]),
            mono: MonoTime(5_000_000_000),
            utc: 1_700_000_000_000_000_000,
            uncertainty: Nanos(40),
        },
        instruction: Words {
            in_force: Some(InForce {
                id,
                text: format!("look at the cup number {id}"),
            }),
            started_with: 9,
        },
        progress: Progress {
            frames: 30,
            readings: 100,
            actions: 99,
            journal: 4,
        },
        windows: (0..200).collect(),
    }
}

/// Two snapshots, the newer in the second file.
fn two(folder: &Path) -> [State; 2] {
    let states = [state(3, 6), state(3, 7)];
    let mut pair = Pair::new(folder, None);
    for (epoch, state) in (11..).zip(&states) {
        pair.write(&state.snapshot(5, epoch)).unwrap();
    }
    states
}

fn used_bytes(folder: &Path, name: &str) -> Vec<u8> {
    let bytes = std::fs::read(folder.join(name)).unwrap();
    let length = u64::from_le_bytes(bytes[44..52].try_into().unwrap());
    bytes[..usize::try_from(length).unwrap()].to_vec()
}

fn found(folder: &Path) -> Option<(u64, State)> {
    let halves = Halves::read(folder);
    halves.state().map(|(s, state)| (s.epoch, state.clone()))
}

#[test]
fn the_checksum_is_the_one_of_the_rfc() {
    // RFC 3720, appendix B.4: bytes in the order in which they are sent.
    assert_eq!(crc32c(0, &[0; 32]), 0x8a91_36aa);
    assert_eq!(crc32c(0, &[0xff; 32]), 0x62a8_ab43);
    let rising: Vec<u8> = (0..32).collect();
    assert_eq!(crc32c(0, &rising), 0x46dd_794e);
    let falling: Vec<u8> = (0..32).rev().collect();
    assert_eq!(crc32c(0, &falling), 0x113f_db5c);
    assert_eq!(crc32c(0, b"123456789"), 0xe306_9283);
    assert_eq!(crc32c(crc32c(0, b"1234"), b"56789"), 0xe306_9283);
}

#[test]
fn a_state_comes_back_as_it_was_and_the_newer_file_wins() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(found(dir.path()), None);
    assert_eq!(Halves::read(dir.path()).damages(), Vec::<String>::new());
    let [older, newer] = two(dir.path());
    assert_eq!(found(dir.path()), Some((12, newer)));
    std::fs::remove_file(dir.path().join(NAMES[1])).unwrap();
    assert_eq!(found(dir.path()), Some((11, older)));
}

#[test]
fn the_older_file_is_the_one_that_is_written() {
    let dir = tempfile::tempdir().unwrap();
    two(dir.path());
    let newest = Halves::read(dir.path()).newest();
    assert_eq!(newest, Some(1));
    let before = std::fs::read(dir.path().join(NAMES[1])).unwrap();
    let mut pair = Pair::new(dir.path(), newest);
    pair.write(&state(4, 8).snapshot(5, 13)).unwrap();
    assert_eq!(std::fs::read(dir.path().join(NAMES[1])).unwrap(), before);
    assert_eq!(found(dir.path()), Some((13, state(4, 8))));
}

#[test]
fn every_flipped_byte_of_either_file_is_detected_and_the_other_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let [older, newer] = two(dir.path());
    for (index, name) in NAMES.iter().enumerate() {
        let whole = used_bytes(dir.path(), name);
        let expected = match index {
            0 => (12, newer.clone()),
            _ => (11, older.clone()),
        };
        for at in 0..whole.len() {
            // All bits of it, and each alone.
            for flip in [0xff, 1 << (at % 8), 1 << ((at / 8) % 8)] {
                let mut bytes = whole.clone();
                bytes[at] ^= flip;
                assert!(Snapshot::read(&bytes).is_err(), "byte {at} of {name}");
                std::fs::write(dir.path().join(name), &bytes).unwrap();
                let halves = Halves::read(dir.path());
                let (snapshot, state) = halves.state().unwrap();
                assert_eq!(
                    (snapshot.epoch, state),
                    (expected.0, &expected.1),
                    "byte {at}"
                );
                assert_eq!(halves.damages().len(), 1, "byte {at} of {name}");
            }
        }
        std::fs::write(dir.path().join(name), &whole).unwrap();
    }
}

#[test]
fn every_cut_of_either_file_is_detected_and_the_other_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let [older, newer] = two(dir.path());
    for (index, name) in NAMES.iter().enumerate() {
        let whole = used_bytes(dir.path(), name);
        for len in 0..whole.len() {
            let mut padded = whole[..len].to_vec();
            assert!(Snapshot::read(&padded).is_err(), "{len} bytes of {name}");
            // As a file system may leave it after a power cut: as long as before, and zeros where nothing arrived.
            padded.resize(whole.len(), 0);
            assert!(Snapshot::read(&padded).is_err(), "{len} bytes of {name}");
            std::fs::write(dir.path().join(name), &whole[..len]).unwrap();
            let expected = match index {
                0 => (12, newer.clone()),
                _ => (11, older.clone()),
            };
            assert_eq!(found(dir.path()), Some(expected), "{len} bytes of {name}");
        }
        std::fs::write(dir.path().join(name), &whole).unwrap();
    }
}

#[test]
fn a_write_that_was_torn_between_two_snapshots_is_no_snapshot() {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    state(3, 6).snapshot(5, 11).write(&mut old);
    state(3, 7).snapshot(5, 13).write(&mut new);
    assert_eq!(old.len(), new.len());
    for at in 1..new.len() {
        for (first, then) in [(&new, &old), (&old, &new)] {
            let torn = [&first[..at], &then[at..]].concat();
            if torn != old && torn != new {
                assert!(Snapshot::read(&torn).is_err(), "torn at {at}");
            }
        }
    }
}

#[test]
fn both_files_damaged_are_no_state() {
    let dir = tempfile::tempdir().unwrap();
    two(dir.path());
    for name in NAMES {
        let mut bytes = used_bytes(dir.path(), name);
        bytes[70] ^= 1;
        std::fs::write(dir.path().join(name), bytes).unwrap();
    }
    assert_eq!(found(dir.path()), None);
    assert_eq!(Halves::read(dir.path()).damages().len(), 2);
}

#[test]
fn random_bytes_behind_right_checksums_are_refused_or_read_and_never_panic() {
    let mut seed = 0x5eed_u64;
    for _ in 0..20_000 {
        let sections = (0..1 + random(&mut seed) % 6)
            .map(|_| {
                let len = usize::try_from(random(&mut seed) % 70).unwrap();
                let bytes = (0..len)
                    .map(|_| random(&mut seed).to_le_bytes()[3])
                    .collect();
                Section {
                    id: u32::try_from(random(&mut seed) % 7).unwrap(),
                    version: u16::try_from(random(&mut seed) % 3).unwrap(),
                    bytes,
                }
            })
            .collect();
        let snapshot = Snapshot {
            sections,
            ..Snapshot::default()
        };
        let mut bytes = Vec::new();
        snapshot.write(&mut bytes);
        let read = Snapshot::read(&bytes).unwrap();
        assert_eq!(read, snapshot);
        let _ = State::of(&read);
    }
}

#[test]
fn sections_and_formats_of_a_later_program_are_skipped_or_named() {
    let mut snapshot = state(3, 7).snapshot(5, 12);
    snapshot.sections.insert(
        1,
        Section {
            id: 4711,
            version: 9,
            bytes: vec![1, 2, 3],
        },
    );
    let mut bytes = Vec::new();
    snapshot.write(&mut bytes);
    assert_eq!(State::of(&Snapshot::read(&bytes).unwrap()), Ok(state(3, 7)));

    // Another version of the format, under a right checksum.
    bytes[4] = 2;
    let crc = crc32c(0, &bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    assert_eq!(Snapshot::read(&bytes), Err(Damage::Version(2)));
    assert_eq!(
        Snapshot::read(b"a text that somebody put there, which is longer than a header is"),
        Err(Damage::Foreign)
    );
    assert_eq!(Snapshot::read(&[0; 4096]), Err(Damage::Empty));
}

pub fn entry(number: u64) -> Entry {
    let what = match number % 4 {
        0 => What::Instruction {
            id: u32::try_from(number).unwrap(),
            text: format!("look at {number}"),
        },
        1 => What::Reading {
            len: 2,
            values: {
                let mut values = [0.0; 16];
                values[..2].copy_from_slice(&[0.5, -1.25]);
                values
            },
        },
        _ => What::Action {
            number: 1000 + number,
            captured: MonoTime(77),
            rung: Rung::Tail,
            sent: true,
        },
    };
    Entry {
        number,
        event: MonoTime(1_000_000 * i64::try_from(number).unwrap()),
        arrived: MonoTime(1_000_000 * i64::try_from(number).unwrap() + 500),
        source: 3,
        what,
    }
}

pub fn head(segment: u64, first: u64) -> Segment {
    Segment {
        graph: 5,
        run: 3,
        segment,
        first,
        mono: 11,
        utc: 12,
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

/// A segment of 40 entries, without what was taken from the disk ahead.
fn a_segment(folder: &Path) -> (std::path::PathBuf, Vec<u8>, Vec<Entry>) {
    let mut ring = Ring::new(folder, 1 << 20, head(1, 5));
    let entries: Vec<_> = (5..45).map(entry).collect();
    for some in entries.chunks(7) {
        some.iter().for_each(|entry| ring.append(entry).unwrap());
        ring.commit().unwrap();
    }
    let path = segments::path(folder, 1);
    let mut bytes = std::fs::read(&path).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    bytes.truncate(end + 1);
    (path, bytes, entries)
}

fn read(folder: &Path) -> Vec<Entry> {
    let journal = Journal::read(folder);
    journal.after(3, 0).cloned().collect()
}

#[test]
fn every_flipped_byte_of_a_segment_ends_it_before_the_entry_that_it_hit() {
    let dir = tempfile::tempdir().unwrap();
    let (path, whole, entries) = a_segment(dir.path());
    assert_eq!(read(dir.path()), entries);
    let mut lengths = std::collections::BTreeSet::new();
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 1 << (at % 8);
        std::fs::write(&path, &bytes).unwrap();
        let left = read(dir.path());
        assert!(entries.starts_with(&left), "byte {at}");
        assert!(left.len() < entries.len(), "byte {at} was not detected");
        lengths.insert(left.len());
    }
    assert_eq!(lengths.len(), entries.len(), "each entry was hit");
}

#[test]
fn every_cut_of_a_segment_keeps_the_entries_that_are_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (path, whole, entries) = a_segment(dir.path());
    for len in 0..whole.len() {
        std::fs::write(&path, &whole[..len]).unwrap();
        let left = read(dir.path());
        assert!(
            entries.starts_with(&left) && left.len() < entries.len(),
            "{len} bytes"
        );
    }
}

#[test]
fn what_an_earlier_segment_left_in_the_file_is_not_read_as_this_one() {
    // The same file's next turn; and the same number again, after its head was damaged and nobody knew of it.
    let next = head(1 + segments::FILES, 5);
    let again = Segment {
        mono: 99,
        ..head(1, 5)
    };
    for begun in [next, again] {
        let dir = tempfile::tempdir().unwrap();
        let (path, _, _) = a_segment(dir.path());
        // Records of the same sizes, so that the new ones end at a border of the earlier ones.
        let mut ring = Ring::new(dir.path(), 1 << 20, begun);
        let newer: Vec<_> = (5..12).map(entry).collect();
        newer.iter().for_each(|entry| ring.append(entry).unwrap());
        ring.commit().unwrap();
        assert_eq!(segments::path(dir.path(), begun.segment), path);
        assert_eq!(read(dir.path()), newer);
    }
}
