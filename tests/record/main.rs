//! Promises of recordings: complete, readable by others, replayed to the bit, and never in the way of the run.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    clippy::disallowed_types
)]

#[path = "../support/mod.rs"]
mod support;

// What the official reader says.
mod official;

// A real log of an inertial unit.
mod imu;

// What was cut off, killed or ran out of disk.
mod interrupted;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use reflexarc::capture::spec::SourceSpec;
use reflexarc::policy::{MEMORY_BYTES_MAX, Memory};
use reflexarc::record::command::{self, ReplayArgs};
use reflexarc::record::recorded::Recorded;
use reflexarc::record::replay::Outcomes;
use support::{assert_accounts_balance, link, reflexarc, report, text};

/// Tests of this file run one after the other: with real-time priorities they would starve each other.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    // A test that failed has said why.
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A folder of this process's tests, gone with it.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    FOLDER.get_or_init(|| tempfile::tempdir().unwrap()).path()
}

/// A run of three seconds with camera, joints and an instruction, recorded once for all tests.
fn recording() -> PathBuf {
    static RECORDING: OnceLock<PathBuf> = OnceLock::new();
    // On a machine that is busy with other things a picture may find no room; then there is a hole, rightly, and a new try.
    let record = || {
        let path = folder().join("run.mcap");
        let whole = (0..5).any(|_| {
            let output = reflexarc()
                .arg("record")
                .arg(&path)
                .args(["--quiet", "--duration", "3s"])
                .args(["--instruct", "find the cat"])
                .args(["--config", "tests/record/scene.toml", "--report"])
                .arg(folder().join("report"))
                .output()
                .unwrap();
            let said = text(&output);
            assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
            let whole = !said.contains("are not in it") && !said.contains("gaps");
            if !whole {
                eprintln!("this machine is busy, and recorded with holes: {said}");
            }
            whole
        });
        assert!(whole, "five recordings, each with a hole");
        path
    };
    RECORDING.get_or_init(record).clone()
}

fn arguments(more: &[&str]) -> ReplayArgs {
    #[derive(clap::Parser)]
    struct Line {
        #[command(flatten)]
        replay: ReplayArgs,
    }
    let path = recording().display().to_string();
    let words = ["replay", &path].into_iter().chain(more.iter().copied());
    <Line as clap::Parser>::parse_from(words).replay
}

fn replayed(more: &[&str]) -> Outcomes {
    let args = arguments(more);
    command::outcomes(&args, &mut Recorded::open(&args.file).unwrap()).unwrap()
}

#[test]
fn everything_of_a_run_is_in_its_recording() {
    let _alone = alone();
    let recorded = Recorded::open(&recording()).unwrap();
    let report = report(&folder().join("report"));
    assert_accounts_balance(&report);
    let stages = |name: &str| link(&report, name)["in"].as_u64().unwrap();
    assert_eq!(
        recorded.beats.len() as u64,
        report["action"]["ticks"]
            .as_u64()
            .unwrap_or(recorded.beats.len() as u64)
    );
    let (frames, pictures) = (recorded.frames.len(), recorded.picture_count());
    assert!(frames > 20, "{frames} frames in 3 s");
    let tapped = stages("features -> recorder");
    assert_eq!(
        pictures as u64, tapped,
        "each picture of the link is in the file"
    );
    assert_eq!(stages("slots home from recorder"), tapped);
    assert_eq!(recorded.after_gap, [0, 0]);
    // What the joints did before the first frame counts too.
    let orders = recorded.fusion.len() - recorded.steps().count();
    assert!(orders > 100, "{orders} readings and instructions in 3 s");
    assert!(recorded.chunks.len() > 20);
}

#[test]
fn a_replay_is_the_same_to_the_bit_at_every_speed_and_with_several_workers() {
    let _alone = alone();
    let once = replayed(&[]);
    let [steps, chunks, actions] = once.all().map(|compared| {
        assert!(compared.is_same() && compared.near == 0, "{compared}");
        assert!(compared.count > 20, "{compared}");
        assert_eq!(compared.hash(), compared.recorded_hash());
        compared.hash()
    });
    assert_eq!((&once.fusion_ended, &once.actions_ended), (&None, &None));
    for more in [
        &["--workers", "2"][..],
        &["--workers", "3", "--speed", "recorded"],
        &["--speed", "fast"],
    ] {
        let again = replayed(more);
        let hashes = again.all().map(|compared| compared.hash());
        assert_eq!(
            hashes,
            [steps.clone(), chunks.clone(), actions.clone()],
            "{more:?}"
        );
    }
    // The actions alone need neither pictures nor models.
    let from_chunks = replayed(&["--from", "chunks"]);
    assert_eq!(from_chunks.actions.hash(), actions);
}

/// Only where there is time: `scripts/dev full`, or `scripts/dev replay`. The recording stays where `REFLEXARC_MINUTE` says.
#[test]
fn a_minute_replays_the_same_twenty_times() {
    let _alone = alone();
    if std::env::var_os("REFLEXARC_LONG").is_none() {
        eprintln!("skipped: takes ten minutes; `scripts/dev full` runs it, or set REFLEXARC_LONG");
        return;
    }
    let kept = std::env::var_os("REFLEXARC_MINUTE").map(PathBuf::from);
    let path = kept.unwrap_or_else(|| folder().join("minute.mcap"));
    let record = || {
        let output = reflexarc()
            .arg("record")
            .arg(&path)
            .args(["--quiet", "--duration", "60s", "--instruct", "find the cat"])
            .args(["--config", "tests/record/scene.toml", "--report"])
            .arg(folder().join("minute"))
            .output()
            .unwrap();
        let said = text(&output);
        assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
        eprintln!("{said}");
        let report = std::fs::read(folder().join("minute/report.json")).unwrap();
        let report: serde_json::Value = serde_json::from_slice(&report).unwrap();
        assert_eq!(
            report["run"]["ended_by"], "duration",
            "a minute is a minute"
        );
        !said.contains("are not in it") && !said.contains("gaps")
    };
    assert!(
        (0..3).any(|_| record()),
        "three recordings, each with a hole"
    );
    let mut first = None;
    for turn in 0..20 {
        // Each speed with one worker and with two.
        let speed = match turn {
            0 | 11 => "recorded",
            _ if turn / 2 % 3 == 2 => "step",
            _ => "fast",
        };
        let workers = ["1", "2"][turn % 2];
        let begun = std::time::Instant::now();
        let replay = reflexarc()
            .arg("replay")
            .arg(&path)
            .args(["--speed", speed, "--workers", workers])
            .output()
            .unwrap();
        let said = text(&replay);
        assert_eq!(replay.status.code(), Some(0), "{said}");
        let hashes: Vec<_> = said
            .lines()
            .filter(|l| l.contains("sha256"))
            .map(str::to_owned)
            .collect();
        assert_eq!(hashes.len(), 3, "{said}");
        eprintln!(
            "replay {turn}: {speed}, {workers} worker(s), {:.1} s: {}",
            begun.elapsed().as_secs_f64(),
            hashes.join("; ")
        );
        assert!(
            hashes.iter().all(|line| line.contains("all identical")),
            "{said}"
        );
        assert_eq!(
            *first.get_or_insert(hashes.clone()),
            hashes,
            "replay {turn}"
        );
    }
}

#[test]
fn step_by_step_shows_what_happens_and_ends_where_nobody_answers() {
    let _alone = alone();
    let output = reflexarc()
        .arg("replay")
        .arg(recording())
        .args(["--speed", "step"])
        .output()
        .unwrap();
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("frame") && said.contains("tick"), "{said}");
    assert!(said.contains("all identical"), "{said}");
}

#[test]
fn another_policy_gives_a_difference_that_can_be_read() {
    let _alone = alone();
    let out = folder().join("still.mcap");
    let replay = reflexarc()
        .arg("replay")
        .arg(recording())
        .args(["--policy", "still", "--out"])
        .arg(&out)
        .output()
        .unwrap();
    assert_eq!(replay.status.code(), Some(18), "{}", text(&replay));
    assert!(
        text(&replay).contains("first difference: "),
        "{}",
        text(&replay)
    );
    let diff = |a: &Path, b: &Path| reflexarc().arg("diff").arg(a).arg(b).output().unwrap();
    let apart = diff(&recording(), &out);
    assert_eq!(apart.status.code(), Some(18), "{}", text(&apart));
    assert!(
        text(&apart).contains("joint        max"),
        "{}",
        text(&apart)
    );
    let alike = diff(&recording(), &recording());
    assert_eq!(alike.status.code(), Some(0), "{}", text(&alike));
    assert!(text(&alike).contains("all identical"), "{}", text(&alike));
}

#[test]
fn what_a_replay_writes_is_what_was_recorded() {
    let _alone = alone();
    let out = folder().join("again.mcap");
    let args = arguments(&["--out", out.to_str().unwrap()]);
    command::replay(&args).unwrap();
    let answer = command::diff(&recording(), &out).unwrap();
    assert!(answer.is_same, "{}", answer.text);
    let (a, b) = (
        Recorded::open(&recording()).unwrap(),
        Recorded::open(&out).unwrap(),
    );
    assert_eq!(a.beats, b.beats);
    // A chunk that no beat took at the end of the run was computed, and not recorded.
    assert!(
        a.chunks
            .iter()
            .all(|(seq, chunk)| b.chunks.get(seq) == Some(chunk))
    );
}

#[test]
fn a_recording_is_not_overwritten_by_its_own_replay() {
    let _alone = alone();
    let path = recording();
    let fault = command::replay(&arguments(&["--out", path.to_str().unwrap()])).unwrap_err();
    assert!(fault.what.contains("the recording itself"), "{fault}");
    Recorded::open(&path).unwrap();
}

/// The policy remembers what it saw: without the pictures between, what it does next is not known, unless its memory is.
#[test]
fn behind_a_picture_that_is_missing_the_replay_is_exact_again() {
    let _alone = alone();
    let path = folder().join("some.mcap");
    let config = folder().join("some.toml");
    let scene = std::fs::read_to_string("tests/record/scene.toml").unwrap();
    std::fs::write(&config, format!("record.frames = \"every 3\"\n{scene}")).unwrap();
    let output = reflexarc()
        .arg("record")
        .arg(&path)
        .args(["--quiet", "--duration", "3s", "--instruct", "find the cat"])
        .arg("--config")
        .arg(&config)
        .arg("--report")
        .arg(folder().join("some"))
        .output()
        .unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );
    let mut recorded = Recorded::open(&path).unwrap();
    assert_eq!(recorded.after_gap, [0, 0]);
    let pictures = recorded
        .steps()
        .filter(|step| recorded.has_picture(step.seq));
    let (pictures, steps) = (pictures.count() as u64, recorded.steps().count() as u64);
    assert!(
        pictures > 15 && pictures < steps / 2,
        "{pictures} of {steps}"
    );
    let args = ReplayArgs {
        file: path.clone(),
        ..arguments(&[])
    };
    let outcomes = command::outcomes(&args, &mut recorded).unwrap();
    assert_eq!(
        (outcomes.steps.count, outcomes.left_out),
        (pictures, steps - pictures)
    );
    assert!(outcomes.chunks.count > 10, "{}", outcomes.chunks);
    for compared in outcomes.all() {
        assert!(compared.is_same() && compared.near == 0, "{compared}");
    }
    assert_eq!(
        (&outcomes.fusion_ended, &outcomes.actions_ended),
        (&None, &None)
    );
    assert_eq!(outcomes.actions.count, recorded.beats.len() as u64);
    // Another policy has another memory.
    let replay = reflexarc()
        .arg("replay")
        .arg(&path)
        .args(["--policy", "still"])
        .output()
        .unwrap();
    assert!(
        text(&replay).contains("the picture of frame"),
        "{}",
        text(&replay)
    );
}

#[test]
fn a_policy_that_remembers_more_than_there_is_room_for_does_not_say_a_part_of_it() {
    let mut memory = Memory::of(&[7; MEMORY_BYTES_MAX - 1]).unwrap();
    assert!(memory.put(&[8]));
    assert_eq!(memory.bytes().unwrap().len(), MEMORY_BYTES_MAX);
    assert!(!memory.put(&[9]));
    assert_eq!(memory.bytes(), None);
    assert!(!memory.put(&[]), "once too much, nothing is said any more");
    assert_eq!(Memory::of(&[0; MEMORY_BYTES_MAX + 1]), None);
    assert_eq!(Memory::NOTHING.bytes(), Some(&[][..]));
    assert_eq!(Memory::default().bytes(), None);
}

#[test]
fn without_pictures_the_actions_are_still_replayed() {
    let _alone = alone();
    let path = folder().join("few.mcap");
    std::fs::write(
        folder().join("few.toml"),
        "record.frames = \"every 5\"\nencoder.name = \"null\"\npolicy.name = \"still\"\n",
    )
    .unwrap();
    let output = reflexarc()
        .arg("record")
        .arg(&path)
        .args([
            "--quiet",
            "--duration",
            "1s",
            "--source",
            "synthetic:160x120@50",
            "--config",
        ])
        .arg(folder().join("few.toml"))
        .arg("--report")
        .arg(folder().join("few"))
        .output()
        .unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );
    let recorded = Recorded::open(&path).unwrap();
    let (frames, pictures) = (recorded.frames.len(), recorded.picture_count());
    assert_eq!(
        pictures,
        frames.div_ceil(5),
        "one picture of each five of {frames}"
    );
    let replay = reflexarc().arg("replay").arg(&path).output().unwrap();
    let said = text(&replay);
    assert_eq!(replay.status.code(), Some(0), "{said}");
    assert!(said.contains("steps were not computed"), "{said}");
    assert!(
        said.contains("actions: ") && said.contains("all identical"),
        "{said}"
    );
}

/// The threads of the way, whatever they share.
#[test]
fn nothing_is_allocated_on_the_way_while_it_is_recorded() {
    let _alone = alone();
    for layout in ["together", "apart"] {
        let (path, out) = (folder().join("sealed.mcap"), folder().join(layout));
        let config = folder().join(format!("{layout}.toml"));
        let text_of = format!(
            "encoder.name = \"null\"\npolicy.name = \"still\"\nthreads.layout = \"{layout}\"\n"
        );
        std::fs::write(&config, text_of).unwrap();
        let source = "synthetic:320x240@200,frames=400";
        let output = support::run(
            &out,
            &[
                "--source",
                source,
                "--duration",
                "0s",
                "--record",
                path.to_str().unwrap(),
                "--config",
                config.to_str().unwrap(),
            ],
        );
        assert!(
            matches!(output.status.code(), Some(0 | 1)),
            "{}",
            text(&output)
        );
        let report = report(&out);
        assert_accounts_balance(&report);
        for thread in report["threads"].as_array().unwrap() {
            assert_eq!(thread["allocations"], 0, "{layout}: {thread}");
        }
    }
}

#[test]
fn a_source_is_recorded_as_it_can_be_read_again() {
    for text in [
        "scene",
        "scene:320x180@30,seed=7,field_of_view=50 deg",
        "v4l2:/dev/video0,1280x720@30,format=NV12+YUYV",
        "file:a, b.mp4,loop",
        "synthetic:1920x1080@fastest,gaps=2.5%,seed=7",
    ] {
        let spec: SourceSpec = text.parse().unwrap();
        assert_eq!(
            spec.written().parse(),
            Ok(spec.clone()),
            "{}",
            spec.written()
        );
    }
}

#[test]
fn what_is_no_recording_is_explained() {
    let _alone = alone();
    let path = folder().join("text.mcap");
    std::fs::write(&path, "not a recording").unwrap();
    for (path, why) in [
        (path.as_path(), "does not begin"),
        (Path::new("Cargo.toml"), "does not begin"),
        (Path::new("no-such-file"), "No such file"),
    ] {
        let fault = Recorded::open(path).unwrap_err();
        assert!(fault.why.contains(why), "{fault}");
    }
}

/// A command of the shell, for what only a shell can set.
fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]);
    command
}
