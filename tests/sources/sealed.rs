//! The capture thread's side of every source allocates nothing after the start, faults and all.

use std::fs;
use std::process::Command;

use reflexarc::capture::file::{FileConfig, FileSource};
use reflexarc::capture::synthetic::{SyntheticConfig, SyntheticSource, When};
use reflexarc::capture::v4l2::Damaged;
use reflexarc::capture::{Pace, Readiness, Source};
use reflexarc::clock;
use reflexarc::frame::PixelFormat;
use reflexarc::rt::memory;
use reflexarc::units::{Hertz, Nanos};

/// Runs this test again in a process of its own, where it has the first of the allocator's ledgers (there is one a
/// thread up to a limit, and the tests here start many loaders). True in that process.
fn is_alone(name: &str) -> bool {
    if std::env::var_os("REFLEXARC_TEST_ALONE").is_some() {
        return true;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("sources::sealed::{name}")])
        .env("REFLEXARC_TEST_ALONE", "1")
        .status()
        .unwrap();
    assert!(status.success());
    false
}

/// Takes up to 300 frames, and gives each back two frames later; fails if that allocated or freed memory.
fn run_sealed(mut source: impl Source) -> u64 {
    let ledger = memory::open_ledger();
    let before = ledger.totals().after_seal;
    let mut held = [None, None];
    let mut taken = 0;
    source.start().unwrap();
    ledger.seal();
    while taken < 300 {
        match source.wait(clock::now() + Nanos::from_millis(100)) {
            Ok(Readiness::Ended) | Err(_) => break,
            Ok(_) => {}
        }
        let Ok(Some(slot)) = source.take(clock::now()) else {
            continue;
        };
        if let Some(before) = held[taken % 2].replace(slot) {
            source.give_back(before.empty());
        }
        taken += 1;
    }
    ledger.unseal();
    assert_eq!(ledger.totals().after_seal, before, "{}", source.describe());
    source.stop();
    taken as u64
}

#[test]
fn a_synthetic_camera_allocates_nothing_after_the_start() {
    if !is_alone("a_synthetic_camera_allocates_nothing_after_the_start") {
        return;
    }
    for format in PixelFormat::ALL {
        for pace in [Pace::RealTime, Pace::Fastest] {
            let config = SyntheticConfig {
                width: 320,
                height: 240,
                rate: Hertz::new(2000.0).unwrap(),
                frames: Some(400),
                format,
                pace,
                jitter: Nanos::from_micros(100),
                gaps: When::At(vec![7, 50]),
                stalls: When::Every(100),
                stall_length: Nanos::from_millis(5),
                errors: When::Chance(0.05),
                shorts: When::Chance(0.05),
                repeats: When::Chance(0.05),
                future_stamps: When::Chance(0.05),
                damaged: Damaged::Use,
                ..SyntheticConfig::default()
            };
            assert!(run_sealed(SyntheticSource::open(&config, 0).unwrap()) > 10);
        }
    }
}

#[test]
fn a_file_allocates_nothing_on_the_capture_thread_after_the_start() {
    if !is_alone("a_file_allocates_nothing_on_the_capture_thread_after_the_start") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.y4m");
    let mut file = b"YUV4MPEG2 W64 H48 F500:1\n".to_vec();
    for grey in 0..50 {
        file.extend(b"FRAME\n");
        file.extend([grey; 64 * 48 * 3 / 2]);
    }
    fs::write(&path, file).unwrap();
    for pace in [Pace::RealTime, Pace::Fastest] {
        let config = FileConfig {
            path: path.clone(),
            pace,
            repeat: true,
            ..FileConfig::default()
        };
        assert_eq!(run_sealed(FileSource::open(&config, 0).unwrap()), 300);
    }
}
