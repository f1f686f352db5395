//! Proof that the way is sealed: the running process is traced, and capture, features, fusion and action make
//! only the system calls on a short list, take no lock, and allocate nothing, over 10,000 frames.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use support::{assert_accounts_balance, report, text};

/// What the threads may ask of the kernel between the first and the last frame.
const ALLOWED: [(&str, &[&str]); 4] = [
    // Waits for the source's due time; wakes the features thread when it sleeps.
    ("capture", &["clock_nanosleep", "futex_wake"]),
    // Sleeps until it is rung.
    ("features", &["futex_wait", "futex_wake"]),
    ("fusion", &["futex_wait", "futex_wake"]),
    // Waits for the beat; the sink's write.
    ("action", &["clock_nanosleep", "sendto"]),
];

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

fn traced_run(layout: &str) {
    if !has_strace() {
        eprintln!(
            "skipped: strace is not installed, and this test traces the running process with it"
        );
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("run.toml");
    std::fs::write(
        &config,
        format!(
            "encoder.name = \"null\"\npolicy.name = \"still\"\nthreads.layout = \"{layout}\"\n"
        ),
    )
    .unwrap();
    let out = dir.path().join("report");
    let trace = dir.path().join("trace");
    let output = Command::new("strace")
        .args(["-ff", "-qq", "-o"])
        .arg(&trace)
        .arg(env!("CARGO_BIN_EXE_reflexarc"))
        .args([
            "run",
            "--quiet",
            "--source",
            "synthetic:320x240@500,frames=10000",
        ])
        .args(["--sink", "udp:127.0.0.1:9", "--duration", "0s", "--config"])
        .arg(&config)
        .arg("--report")
        .arg(&out)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );
    let report = report(&out);
    assert_accounts_balance(&report);
    let frames = report["sources"][0]["in"].as_u64().unwrap();
    assert_eq!(frames, 10_000);

    for thread in report["threads"].as_array().unwrap() {
        let name = thread["name"].as_str().unwrap();
        let Some((_, allowed)) = ALLOWED.iter().find(|(n, _)| *n == name) else {
            continue;
        };
        let tid = thread["tid"].as_u64().unwrap();
        let path = dir.path().join(format!("trace.{tid}"));
        let calls = sealed_calls(&std::fs::read_to_string(path).unwrap());
        eprintln!("{layout}: {name}: {calls:?}");
        for call in calls.keys() {
            assert!(
                allowed.contains(&call.as_str()),
                "{layout}: {name} made {call}, which is not on its list: {calls:?}"
            );
        }
        assert_eq!(
            thread["allocations"], 0,
            "{layout}: {name} allocated after it was sealed"
        );
    }
}

#[test]
fn the_way_is_sealed_when_all_stages_share_a_thread() {
    traced_run("together");
}

#[test]
fn the_way_is_sealed_when_every_stage_has_a_thread() {
    traced_run("apart");
}
