//! What a recording is after a kill, a full disk, or a cut anywhere.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{reflexarc, report, text};
use crate::{alone, folder, recording, shell};
use reflexarc::record::command;
use reflexarc::record::mcap::read::Ending;
use reflexarc::record::recorded::Recorded;

/// Numbers that are the same each time (xorshift).
fn numbers() -> impl Iterator<Item = usize> {
    std::iter::successors(Some(0x9E37_79B9_7F4A_7C15u64), |x| {
        let x = x ^ (x << 13);
        let x = x ^ (x >> 7);
        Some(x ^ (x << 17))
    })
    .map(|x| usize::try_from(x >> 16).unwrap())
}

#[test]
fn a_recording_cut_off_anywhere_is_read_up_to_its_last_whole_chunk() {
    let _alone = alone();
    let whole = fs::read(recording()).unwrap();
    let all = Recorded::open(&recording()).unwrap();
    assert_eq!(all.ending, Ending::Whole);
    let path = folder().join("cut-anywhere.mcap");
    let places = (0..whole.len()).step_by(64 << 10);
    let places = places.chain(numbers().take(60).map(|n| n % whole.len()));
    let (mut opened, mut most) = (0, 0);
    for place in places {
        fs::write(&path, &whole[..place]).unwrap();
        // Before the first chunk there is nothing that says what the file is.
        let Ok(cut) = Recorded::open(&path) else {
            assert!(
                place < 64 << 10,
                "a recording of {place} bytes was not read"
            );
            continue;
        };
        opened += 1;
        assert!(matches!(cut.ending, Ending::Interrupted { .. }), "{place}");
        assert!(all.beats.starts_with(&cut.beats), "{place}");
        let steps: Vec<_> = cut.steps().collect();
        assert!(all.steps().take(steps.len()).eq(steps), "{place}");
        most = most.max(cut.beats.len());
    }
    assert!(
        opened > 60 && most > all.beats.len() / 2,
        "{opened}, {most}"
    );
}

#[test]
fn a_byte_that_changed_is_never_taken_for_the_one_that_was_recorded() {
    let _alone = alone();
    let whole = fs::read(recording()).unwrap();
    let all = Recorded::open(&recording()).unwrap();
    let path = folder().join("changed.mcap");
    for place in numbers().take(60).map(|n| n % whole.len()) {
        let mut changed = whole.clone();
        changed[place] ^= 1 << (place % 8);
        fs::write(&path, &changed).unwrap();
        if let Ok(read) = Recorded::open(&path) {
            assert!(all.beats.starts_with(&read.beats), "{place}");
        }
    }
}

#[test]
fn a_killed_run_leaves_a_recording_that_replays() {
    let _alone = alone();
    let path = folder().join("killed.mcap");
    let mut run = reflexarc()
        .arg("record")
        .arg(&path)
        .args([
            "--quiet",
            "--duration",
            "0s",
            "--config",
            "tests/record/scene.toml",
            "--report",
        ])
        .arg(folder().join("killed"))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Until some of the run is on the disk.
    for _ in 0..600 {
        std::thread::sleep(Duration::from_millis(100));
        if fs::metadata(&path).is_ok_and(|file| file.len() > 6 << 20) {
            break;
        }
    }
    run.kill().unwrap();
    run.wait().unwrap();
    let recorded = Recorded::open(&path).unwrap();
    assert!(matches!(recorded.ending, Ending::Interrupted { .. }));
    assert!(recorded.beats.len() > 50, "{} beats", recorded.beats.len());
    let replay = reflexarc().arg("replay").arg(&path).output().unwrap();
    let said = text(&replay);
    assert_eq!(replay.status.code(), Some(0), "{said}");
    assert!(said.contains("it was interrupted"), "{said}");
    assert!(said.contains("all identical"), "{said}");
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_run() {
    let _alone = alone();
    let (path, out) = (folder().join("full.mcap"), folder().join("full"));
    // No file may grow beyond 4 MiB: as a disk with no more room, for the recording alone.
    let script = format!(
        "ulimit -f 8192; exec {} record {} --quiet --duration 3s --source synthetic:640x480@50 \
         --config tests/record/bare.toml --report {}",
        env!("CARGO_BIN_EXE_reflexarc"),
        path.display(),
        out.display(),
    );
    let output = shell(&script).stdin(Stdio::null()).output().unwrap();
    let said = text(&output);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    assert!(said.contains("it ended before the run"), "{said}");
    let report = report(&out);
    assert!(
        report["run"]["seconds"].as_f64().is_none_or(|s| s > 2.5),
        "{said}"
    );
    assert!(fs::metadata(&path).unwrap().len() <= 4 << 20);
    let recorded = Recorded::open(&path).unwrap();
    let pictures = recorded.picture_count();
    assert!(
        pictures > 0,
        "nothing was recorded before the disk was full"
    );
    let args = command::diff(&path, &path).unwrap();
    assert!(args.is_same);
}
