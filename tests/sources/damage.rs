//! Files that are cut off or changed anywhere: the source ends cleanly, accounts for every frame, never panics, and
//! never takes memory because a header says so.

use std::fs;
use std::path::Path;
use std::process::Command;

use reflexarc::capture::file::{FileConfig, FileSource};
use reflexarc::capture::{Pace, Readiness, Source};
use reflexarc::clock;
use reflexarc::error::Kind;
use reflexarc::units::MonoTime;

/// What reading a file came to.
#[derive(Debug)]
enum Outcome {
    Refused(Kind),
    Read {
        taken: u64,
        unusable: u64,
        notes: Vec<String>,
    },
}

/// Reads a whole file as fast as possible.
fn read(path: &Path) -> Outcome {
    let config = FileConfig {
        path: path.to_owned(),
        pace: Pace::Fastest,
        slots: 3,
        ..FileConfig::default()
    };
    let mut source = match FileSource::open(&config, 0) {
        Ok(source) => source,
        Err(fault) => {
            assert!(!fault.why.is_empty() && !fault.fix.is_empty());
            return Outcome::Refused(fault.kind);
        }
    };
    let format = source.format();
    assert!(format.width <= 8192 && format.height <= 8192);
    source.start().unwrap();
    while source.wait(MonoTime::FAR).unwrap() == Readiness::Ready {
        let slot = source.take(clock::now()).unwrap().unwrap();
        assert!(slot.bytes().len() <= format.frame_bytes());
        source.give_back(slot.empty());
    }
    source.stop();
    let c = source.counters();
    assert_eq!(
        c.produced.get(),
        c.taken.get() + c.unusable.get() + c.drained.get()
    );
    assert!(
        source.notes().iter().all(|note| !note.contains("bug")),
        "a reader panicked: {:?}",
        source.notes()
    );
    Outcome::Read {
        taken: c.taken.get(),
        unusable: c.unusable.get(),
        notes: source.notes(),
    }
}

/// Small files of every kind that this crate reads by itself; None if ffmpeg cannot be asked to make them.
fn originals(dir: &Path) -> Option<Vec<(&'static str, Vec<u8>, u64)>> {
    let make = |name: &'static str, arguments: &[&str], frames: u64| {
        let path = dir.join(name);
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i"])
            .arg("testsrc2=size=96x64:rate=25:duration=0.48")
            .args(arguments)
            .arg(&path)
            .output();
        let Ok(output) = output else {
            eprintln!("skipped: ffmpeg is not installed");
            return None;
        };
        let words = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words}");
        Some((name, fs::read(path).unwrap(), frames))
    };
    Some(vec![
        make("a.y4m", &["-pix_fmt", "yuv420p"], 12)?,
        make("b.y4m", &["-pix_fmt", "yuv422p", "-frames:v", "3"], 3)?,
        make("a.avi", &["-c:v", "mjpeg"], 12)?,
        make("a.png", &["-frames:v", "1"], 1)?,
        make("a.jpg", &["-frames:v", "1"], 1)?,
    ])
}

#[test]
fn a_file_cut_off_anywhere_gives_its_whole_frames_and_says_that_it_ended_early() {
    let dir = tempfile::tempdir().unwrap();
    let Some(originals) = originals(dir.path()) else {
        return;
    };
    for (name, bytes, frames) in originals {
        let path = dir.path().join(format!("cut.{name}"));
        let mut last = 0;
        for part in 0..=50 {
            fs::write(&path, &bytes[..bytes.len() * part / 50]).unwrap();
            let Outcome::Read {
                taken,
                unusable,
                notes,
            } = read(&path)
            else {
                assert!(part < 50, "{name} whole");
                continue;
            };
            assert!(
                taken + unusable <= frames && taken >= last,
                "{name} {part}/50"
            );
            last = taken;
            let is_video = frames > 1;
            if is_video && taken < frames && unusable > 0 {
                assert_eq!(notes.len(), 1, "{name} {part}/50");
            }
        }
        assert_eq!(last, frames, "{name}");
    }
}

#[test]
fn a_file_changed_anywhere_never_panics_and_still_accounts_for_its_frames() {
    let dir = tempfile::tempdir().unwrap();
    let Some(originals) = originals(dir.path()) else {
        return;
    };
    let mut random = Random(20_261_122);
    for (name, bytes, frames) in originals {
        let path = dir.path().join(format!("changed.{name}"));
        let mut whole = 0;
        for round in 0..120 {
            let mut changed = bytes.clone();
            // Half of the changes hit the headers, where they hurt most.
            let room = if round % 2 == 0 {
                changed.len().min(300)
            } else {
                changed.len()
            };
            for _ in 0..=random.below(4) {
                let at = random.below(room);
                changed[at] = random.below(256) as u8;
            }
            // What is no longer known as its kind would go to ffmpeg, which is not under test here.
            let magic = 12.min(bytes.len());
            changed[..magic].copy_from_slice(&bytes[..magic]);
            if name.ends_with(".avi") {
                keep_codec(&bytes, &mut changed);
            }
            fs::write(&path, &changed).unwrap();
            if let Outcome::Read {
                taken, unusable, ..
            } = read(&path)
            {
                // A changed size or rate may make more, smaller frames, so only the sum of bytes bounds them.
                assert!(taken + unusable <= bytes.len() as u64, "{name} {round}");
                whole += u64::from(taken + unusable == frames);
            }
        }
        assert!(whole > 0, "{name}: no change was harmless");
    }
}

/// Puts the codec's name back in both stream headers.
fn keep_codec(original: &[u8], changed: &mut [u8]) {
    for (at, window) in original.windows(4).enumerate().take(400) {
        if matches!(
            window,
            b"MJPG" | b"mjpg" | b"strh" | b"strf" | b"vids" | b"strl" | b"hdrl"
        ) {
            changed[at..at + 4].copy_from_slice(window);
        }
    }
}

#[test]
fn damage_in_the_middle_of_y4m_costs_one_frame() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.y4m");
    let mut file = b"YUV4MPEG2 W16 H16 F25:1 Cmono\n".to_vec();
    let header = file.len();
    for grey in 0..10 {
        file.extend(b"FRAME\n");
        file.extend([grey; 256]);
    }
    file[header + 4 * 262] = b'X';
    fs::write(&path, &file).unwrap();
    let Outcome::Read {
        taken,
        unusable,
        notes,
    } = read(&path)
    else {
        panic!("refused")
    };
    assert_eq!((taken, unusable), (9, 1));
    assert!(notes.is_empty());
    // Two in a row are the end.
    file[header + 5 * 262] = b'X';
    fs::write(&path, &file).unwrap();
    let Outcome::Read { taken, notes, .. } = read(&path) else {
        panic!("refused")
    };
    assert_eq!(taken, 4);
    assert!(notes[0].contains("no further frame was found"), "{notes:?}");
}

#[test]
fn damage_in_the_middle_of_avi_costs_the_frames_that_it_hit() {
    let dir = tempfile::tempdir().unwrap();
    let Some(originals) = originals(dir.path()) else {
        return;
    };
    let (_, bytes, _) = &originals[2];
    let path = dir.path().join("hit.avi");
    let movi = bytes.windows(4).position(|w| w == b"movi").unwrap();
    let heads: Vec<usize> = (movi..bytes.len() - 10)
        .filter(|at| &bytes[*at..at + 4] == b"00dc" && bytes[at + 8..at + 10] == [0xFF, 0xD8])
        .collect();
    assert_eq!(heads.len(), 12);
    let changed = |at: usize, with: &[u8]| {
        let mut file = bytes.clone();
        file[at..at + with.len()].copy_from_slice(with);
        fs::write(&path, &file).unwrap();
        match read(&path) {
            Outcome::Read {
                taken, unusable, ..
            } => (taken, unusable),
            refused @ Outcome::Refused(..) => panic!("{refused:?}"),
        }
    };
    // The tag itself; a size beyond the file; a picture that does not begin as one.
    assert_eq!(changed(heads[5], &[0, 1, 2, 3]), (11, 1));
    assert_eq!(changed(heads[5] + 4, &[0xFF, 0xFF, 0xFF, 0x7F]), (11, 1));
    assert_eq!(changed(heads[5] + 8, &[0, 0]), (11, 1));
}

#[test]
fn sizes_in_headers_take_no_memory_that_the_file_does_not_justify() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("huge");
    // A PNG header of 2^31-1 by 2^31-1, and one of 8192x8192, with valid check sums.
    for side in [0x7FFF_FFFF, 8192, 8193] {
        let mut ihdr = b"IHDR".to_vec();
        for value in [side, side] {
            ihdr.extend(u32::to_be_bytes(value));
        }
        ihdr.extend([16, 6, 0, 0, 0]);
        let mut file = b"\x89PNG\r\n\x1a\n\0\0\0\x0D".to_vec();
        file.extend(&ihdr);
        file.extend(crc32(&ihdr).to_be_bytes());
        fs::write(&path, file).unwrap();
        assert!(matches!(read(&path), Outcome::Refused(..)), "PNG {side}");
    }
    // A JPEG header of 65535x65535.
    let mut file = vec![0xFF, 0xD8, 0xFF, 0xC0, 0, 17, 8, 0xFF, 0xFF, 0xFF, 0xFF, 3];
    file.extend([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 0xFF, 0xDA, 0, 2]);
    fs::write(&path, file).unwrap();
    assert!(matches!(read(&path), Outcome::Refused(..)), "JPEG");
    // Y4M of the largest size, in a file of a few bytes.
    fs::write(&path, "YUV4MPEG2 W8192 H8192 F25:1\nFRAME\n").unwrap();
    assert!(
        matches!(read(&path), Outcome::Refused(Kind::BadInput)),
        "Y4M"
    );
}

/// PNG annex D, bit by bit.
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
            crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}

#[test]
fn a_video_cut_off_or_changed_ends_cleanly_with_ffmpegs_words() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.avi");
    let made = Command::new("ffmpeg")
        .args(["-v", "error", "-f", "lavfi", "-i"])
        .arg("testsrc2=size=96x64:rate=25:duration=2")
        .args(["-c:v", "mpeg4"])
        .arg(&path)
        .status();
    if made.is_err() {
        eprintln!("skipped: ffmpeg is not installed");
        return;
    }
    let bytes = fs::read(&path).unwrap();
    let mut random = Random(5);
    for part in [1, 3, 6, 9] {
        fs::write(&path, &bytes[..bytes.len() * part / 10]).unwrap();
        read(&path);
        let mut changed = bytes.clone();
        for _ in 0..50 {
            let at = 4000 + random.below(changed.len() - 4000);
            changed[at] = random.below(256) as u8;
        }
        fs::write(&path, changed).unwrap();
        let Outcome::Read { taken, .. } = read(&path) else {
            panic!("the headers are whole")
        };
        assert!(taken > 0);
    }
}

/// Steele, Lea, Flood: splitmix64.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end as u64) as usize
    }
}
