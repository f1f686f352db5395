//! Proof that the way is sealed: the running process is traced, and capture, features, fusion and action make
//! only the system calls on a short list, take no lock, and allocate nothing, over 10,000 frames.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use support::{assert_accounts_balance, link, report, text};

/// What the threads may ask of the kernel between the first and the last frame.
const ALLOWED: [(&str, &[&str]); 7] = [
    // Waits for the source's due time; wakes the features thread when it sleeps.
    ("capture", &["clock_nanosleep", "futex_wake"]),
    // Sleeps until it is rung.
    ("features", &["futex_wait", "futex_wake"]),
    ("features-", &["futex_wait", "futex_wake"]),
    // Sleeps until it is called.
    ("partner-", &["futex_wait"]),
    // Capture and features of another camera.
    ("camera-", &["clock_nanosleep", "futex_wake"]),
    ("fusion", &["futex_wait", "futex_wake"]),
    // Waits for the beat; the sink's write.
    ("action", &["clock_nanosleep", "sendto"]),
];

/// The sink is one behind which a robot could stand, so that it must be said where its joints are.
const START: &str = "action.start = [0.0, 0.0]\n";

/// Threads that are no part of the way.
const HOUSEKEEPING: [&str; 1] = ["language"];

/// Seal and unseal ask for the parent's id, which nobody else does: it marks the place in the trace (see `rt::thread`).
const SEAL_MARK: &str = "getppid";

fn has_strace() -> bool {
    let found = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    found.is_ok_and(|status| status.success())
}

/// The system calls of each thread between seal and unseal, with how often each was made.
fn sealed_calls(trace: &str) -> BTreeMap<String, u64> {
    let mut calls = BTreeMap::new();
    let mut marks = 0;
    for line in trace.lines() {
        // `HH:MM:SS name(...) = result`, or `<... name resumed>...`.
        let Some(call) = line.split('(').next().filter(|_| line.contains('(')) else {
            continue;
        };
        let mut name = call.trim().to_owned();
        if name.starts_with("<...") || name.starts_with("---") || name.starts_with("+++") {
            continue;
        }
        if name == SEAL_MARK {
            marks += 1;
            continue;
        }
        if name == "futex" {
            name = if line.contains("FUTEX_WAKE") {
                "futex_wake"
            } else {
                "futex_wait"
            }
            .to_owned();
        }
        if marks == 1 {
            *calls.entry(name).or_default() += 1;
        }
    }
    assert_eq!(
        marks, 2,
        "a thread that was sealed and unsealed leaves two marks"
    );
    calls
}

/// Runs of this file, one after the other: with real-time priorities they would starve each other.
#[expect(clippy::disallowed_types, reason = "a test waits for another")]
static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());

/// Runs the binary under strace, with a report in `dir/report`. None: there is no strace here.
fn trace(dir: &Path, config: &str, arguments: &[&str]) -> Option<Value> {
    if !has_strace() {
        eprintln!(
            "skipped: strace is not installed, and this test traces the running process with it"
        );
        return None;
    }
    let _alone = ALONE.lock();
    std::fs::write(dir.join("run.toml"), format!("{START}{config}")).unwrap();
    let output = Command::new("strace")
        .args(["-ff", "-qq", "-o"])
        .arg(dir.join("trace"))
        .arg(env!("CARGO_BIN_EXE_reflexarc"))
        .args(["run", "--quiet", "--sink", "udp:127.0.0.1:9"])
        .args(["--duration", "0s", "--config"])
        .arg(dir.join("run.toml"))
        .arg("--report")
        .arg(dir.join("report"))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );
    let report = report(&dir.join("report"));
    assert_accounts_balance(&report);
    Some(report)
}

/// Every thread of the way made only the calls on its list and allocated nothing.
fn assert_sealed(dir: &Path, report: &Value, run: &str) {
    for thread in report["threads"].as_array().unwrap() {
        let name = thread["name"].as_str().unwrap();
        // A worker's and a camera's name end in a number.
        let kind = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let Some((_, allowed)) = ALLOWED.iter().find(|(n, _)| *n == kind) else {
            continue;
        };
        let tid = thread["tid"].as_u64().unwrap();
        let path = dir.join(format!("trace.{tid}"));
        let calls = sealed_calls(&std::fs::read_to_string(path).unwrap());
        let (allocations, stages) = (&thread["allocations"], &thread["stages"]);
        eprintln!("{run}: {name} {stages}: {allocations} allocations, {calls:?}");
        for call in calls.keys() {
            assert!(
                allowed.contains(&call.as_str()),
                "{run}: {name} made {call}, which is not on its list: {calls:?}"
            );
        }
        assert_eq!(
            *allocations, 0,
            "{run}: {name} allocated after it was sealed"
        );
    }
}

/// 10,000 frames through the runtime alone.
fn bare_run(layout: &str) {
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "encoder.name = \"null\"\npolicy.name = \"still\"\nthreads.layout = \"{layout}\"\n"
    );
    let source = "synthetic:320x240@500,frames=10000";
    if let Some(report) = trace(dir.path(), &config, &["--source", source]) {
        assert_eq!(report["sources"][0]["in"], 10_000);
        assert_sealed(dir.path(), &report, layout);
    }
}

/// 300 frames through the real encoder and the gaze policy, with an instruction and joint angles. Features may
/// allocate (its account is in the report), but with the fused kernels it does not.
fn full_run(layout: &str) {
    const FRAMES: u64 = 300;
    let dir = tempfile::tempdir().unwrap();
    let mut joints = "time,pan,tilt\n".to_owned();
    for k in 0..2_000_u32 {
        let time = f64::from(k) / 100.0;
        writeln!(joints, "{time:.2},{:.4},0.05", 0.2 * time.sin()).unwrap();
    }
    let recording = dir.path().join("joints.csv");
    std::fs::write(&recording, joints).unwrap();
    let config = format!(
        "threads.layout = \"{layout}\"\n[[sensor]]\nsource = \"csv:{}\"\n",
        recording.display()
    );
    let source = format!("synthetic:640x480@30,frames={FRAMES}");
    let arguments = ["--source", &source, "--instruct", "look at the cat"];
    let Some(report) = trace(dir.path(), &config, &arguments) else {
        return;
    };
    assert_eq!(report["sources"][0]["in"], FRAMES);
    // A slow machine may skip frames, but what is proven here must have been at work.
    let came = |name: &str| link(&report, name)["out"].as_u64().unwrap();
    let chunks = came("fusion -> action");
    eprintln!("{layout}: {chunks} chunks from {FRAMES} frames");
    assert!(chunks >= FRAMES / 3, "{chunks} chunks only");
    assert_eq!(came("language -> fusion"), 1);
    assert!(came("sensor-0 -> fusion") > chunks);
    assert_sealed(dir.path(), &report, layout);
}

#[test]
fn the_way_is_sealed_when_all_stages_share_a_thread() {
    bare_run("together");
}

#[test]
fn the_way_is_sealed_when_every_stage_has_a_thread() {
    bare_run("apart");
}

/// Three workers and three cameras.
#[test]
fn the_way_is_sealed_with_several_workers_and_cameras() {
    let dir = tempfile::tempdir().unwrap();
    let config = "encoder.name = \"null\"\nencoder.workers = 3\npolicy.name = \"still\"\n\
         [links.readings]\nwhen_full = \"drop-oldest\"\n\
         [[camera]]\nsource = \"synthetic:320x240@300,frames=3000\"\n\
         [[camera]]\nsource = \"synthetic:160x120@100\"\n\
         [[camera]]\nsource = \"synthetic:160x120@50\"\nview = { choice = \"nearest\" }\n";
    let Some(report) = trace(dir.path(), config, &[]) else {
        return;
    };
    assert_sealed(dir.path(), &report, "scaled");
    let threads = report["threads"].as_array().unwrap().iter();
    let names: Vec<_> = threads
        .map(|thread| thread["name"].as_str().unwrap())
        .collect();
    for name in [
        "features-0",
        "features-1",
        "features-2",
        "camera-1",
        "camera-2",
    ] {
        assert!(names.contains(&name), "{name} is not among {names:?}");
    }
    let sources = report["sources"].as_array().unwrap();
    assert_eq!(sources.len(), 3);
    let decided = link(&report, "fusion -> action")["in"].as_u64().unwrap();
    for other in &sources[1..] {
        let (shown, missing) = (other["shown"].as_u64(), other["missing"].as_u64());
        assert_eq!(shown.unwrap() + missing.unwrap(), decided, "{other}");
        assert!(shown.unwrap() > decided / 2, "{other}");
    }
    assert!(sources[0]["shown"].is_null());
}

/// Names of all threads that a traced process ever had, but the first one's.
fn names_of_threads(dir: &Path) -> Vec<String> {
    let files = std::fs::read_dir(dir).unwrap().map(|file| file.unwrap());
    let traces = files.filter(|file| file.file_name().to_string_lossy().starts_with("trace."));
    let named = traces.filter_map(|file| {
        let text = std::fs::read_to_string(file.path()).unwrap();
        let call = text.split("PR_SET_NAME, \"").nth(1)?;
        Some(call.split('"').next()?.to_owned())
    });
    named.collect()
}

/// The encoder's partner does only what it must, and no thread works that was not asked for.
#[test]
fn the_way_is_sealed_with_a_partner_of_the_encoder() {
    let cores = reflexarc::rt::thread::allowed_cores();
    let [first, .., last] = cores[..] else {
        eprintln!("skipped: a partner needs a second core");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let config = format!(
        "policy.name = \"still\"\nencoder.partners = [{first}]\n\
         threads.layout = \"together\"\nthreads.cores = [{last}]\n"
    );
    let source = "synthetic:640x480@30,frames=200";
    let Some(report) = trace(dir.path(), &config, &["--source", source]) else {
        return;
    };
    assert_sealed(dir.path(), &report, "partner");
    let threads = report["threads"].as_array().unwrap();
    let partner = threads.iter().find(|thread| thread["name"] == "partner-0");
    let partner = partner.expect("the partner is in the report");
    assert_eq!(partner["cores"], serde_json::json!([first]));
    assert_eq!(partner["class_asked"], threads[0]["class_asked"]);
    let known = |name: &String| {
        let is_of_the_way = threads.iter().any(|thread| thread["name"] == name.as_str());
        is_of_the_way || HOUSEKEEPING.contains(&name.as_str())
    };
    let strange: Vec<_> = names_of_threads(dir.path())
        .into_iter()
        .filter(|name| !known(name))
        .collect();
    assert_eq!(
        strange,
        Vec::<String>::new(),
        "threads that nobody asked for"
    );
}

#[test]
fn the_real_encoder_and_gaze_are_sealed_when_all_stages_share_a_thread() {
    full_run("together");
}

#[test]
fn the_real_encoder_and_gaze_are_sealed_when_every_stage_has_a_thread() {
    full_run("apart");
}
