//! Real video: every decoded frame is accounted for, whatever the reader does and whenever it stops.

use std::path::PathBuf;
use std::process::Command;

use reflexarc::capture::file::{FileConfig, FileSource};
use reflexarc::capture::{Pace, Readiness, Source, SourceCounters};
use reflexarc::clock;
use reflexarc::models::{self, catalog::Group};
use reflexarc::slot::{Filled, Slot};
use reflexarc::units::{Hertz, MonoTime, Nanos};
use sha2::{Digest, Sha256};

struct Clip {
    path: PathBuf,
    frames: u64,
    size: (u32, u32),
    rate: f64,
}

/// The clips that are there; None if ffmpeg is missing.
fn clips() -> Option<Vec<Clip>> {
    if Command::new("ffmpeg").arg("-version").output().is_err() {
        eprintln!("skipped: ffmpeg is not installed");
        return None;
    }
    models::ensure(&[Group::Footage]).unwrap_or_else(|fault| panic!("{fault}"));
    let clip = |name: &str, frames, size, rate| Clip {
        path: models::path(&format!("footage/{name}")),
        frames,
        size,
        rate,
    };
    let mut clips = vec![
        clip("traffic_sequence.mp4", 350, (704, 576), 30.0),
        clip("bikes.mp4", 250, (640, 272), 25.0),
        clip("carphone_pristine.mp4", 120, (176, 144), 30_000.0 / 1001.0),
    ];
    let people = clip("vtest.avi", 795, (768, 576), 10.0);
    if people.path.exists() {
        clips.push(people);
    } else {
        eprintln!("not tested: {} is not in the cache", people.path.display());
    }
    Some(clips)
}

/// The SHA-256 of each frame as ffmpeg decodes it.
fn oracle(clip: &Clip) -> Vec<String> {
    let output = Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(&clip.path)
        .args(["-map", "0:v:0", "-pix_fmt", "nv12", "-vsync", "0"])
        .args(["-f", "framehash", "-hash", "sha256", "-"])
        .output()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.rsplit(',').next().unwrap().trim().to_owned())
        .collect()
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn assert_accounts(c: &SourceCounters) {
    assert_eq!(
        c.produced.get(),
        c.taken.get() + c.drained.get() + c.unusable.get() + c.no_slot.get(),
        "{c:?}"
    );
}

#[test]
fn every_frame_of_real_footage_comes_once_in_order_and_bit_exact() {
    let Some(clips) = clips() else {
        return;
    };
    for clip in clips {
        let config = FileConfig {
            path: clip.path.clone(),
            pace: Pace::Fastest,
            ..FileConfig::default()
        };
        let mut source = FileSource::open(&config, 0).unwrap();
        let format = source.format();
        assert_eq!((format.width, format.height), clip.size);
        source.start().unwrap();
        let mut hashes = Vec::new();
        while source.wait(MonoTime::FAR).unwrap() == Readiness::Ready {
            let slot = source.take(clock::now()).unwrap().unwrap();
            assert_eq!(slot.meta().seq, hashes.len() as u64);
            hashes.push(hex(&Sha256::digest(slot.bytes())));
            source.give_back(slot.empty());
        }
        source.stop();
        assert!(source.notes().is_empty(), "{:?}", source.notes());
        assert_eq!(hashes.len() as u64, clip.frames, "{}", clip.path.display());
        assert!(hashes == oracle(&clip), "{}", clip.path.display());
        assert_accounts(&source.counters());
        assert_eq!(source.counters().taken.get(), clip.frames);
    }
}

#[test]
fn real_footage_keeps_its_own_rate() {
    let Some(clips) = clips() else {
        return;
    };
    for clip in clips {
        let config = FileConfig {
            path: clip.path.clone(),
            ..FileConfig::default()
        };
        let source = FileSource::open(&config, 0).unwrap();
        let rate = source.rate().unwrap().get();
        assert!((rate - clip.rate).abs() < 0.01, "{rate}");
    }
}

#[test]
fn every_frame_is_accounted_for_when_stopped_at_a_random_time() {
    let Some(clips) = clips() else {
        return;
    };
    let mut random = 1u64;
    let mut below = |end: u64| {
        // Knuth's MMIX generator; its high bits are the good ones.
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (random >> 33) % end
    };
    for round in 0..24 {
        let clip = &clips[round % clips.len()];
        let pace = if round % 3 == 0 {
            Pace::Fastest
        } else {
            Pace::RealTime
        };
        let config = FileConfig {
            path: clip.path.clone(),
            pace,
            rate: (round % 2 == 0).then(|| Hertz::new(500.0).unwrap()),
            repeat: round % 5 == 0,
            slots: 3 + u32::try_from(below(6)).unwrap(),
        };
        let mut source = FileSource::open(&config, 0).unwrap();
        source.start().unwrap();
        let begin = clock::now();
        let end = begin + Nanos::from_millis(below(300) as i64);
        let mut held: Vec<Slot<Filled>> = Vec::new();
        let mut next = 0;
        let mut taken = 0;
        while clock::now() < end {
            match source.wait(end).unwrap() {
                Readiness::Ready => {
                    let Some(slot) = source.take(clock::now()).unwrap() else {
                        continue;
                    };
                    let meta = slot.meta();
                    assert!(meta.seq >= next && meta.captured <= meta.arrived);
                    assert!(pace == Pace::RealTime || meta.seq == next);
                    next = meta.seq + 1;
                    taken += 1;
                    held.push(slot);
                }
                Readiness::Ended => break,
                Readiness::TimedOut | Readiness::NoSlot => {}
            }
            // Some slots are held for a while, some come home late.
            while held.len() as u64 > below(u64::from(config.slots)) {
                let slot = held.swap_remove(below(held.len() as u64) as usize);
                source.give_back(slot.empty());
            }
        }
        source.stop();
        // Slots may come back after the end, or never.
        if let Some(slot) = held.pop() {
            source.give_back(slot.empty());
        }
        let c = source.counters();
        assert_accounts(&c);
        assert_eq!(c.taken.get(), taken);
    }
}
