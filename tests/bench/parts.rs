//! Parts: idle, under loads, and what is said of them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::text;
use crate::{bench, bench_of, eventually, json, signal, stand_in};

/// As stress-ng does it: works until it is asked to end, then writes what it did.
fn stress_ng(operations: u64) -> String {
    format!(
        r#"case $1 in --version) echo "stress-ng, version 0.0 (stand-in)"; exit 0;; esac
stressor=${{1#--}}
while [ $# -gt 0 ]; do case $1 in --yaml) file=$2;; esac; shift; done
end() {{ printf -- '---\nmetrics:\n    - stressor: %s\n      bogo-ops: {operations}\n' "$stressor" >"$file"; exit 0; }}
trap end INT TERM
while :; do /bin/sleep 0.05; done"#
    )
}

fn part<'a>(bench: &'a Value, name: &str) -> &'a Value {
    let parts = bench["parts"].as_array().unwrap();
    parts
        .iter()
        .find(|part| part["name"] == name)
        .unwrap_or_else(|| panic!("no part {name}"))
}

fn processes_with(word: &str) -> usize {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let is_one = |path: &Path| {
        let line = std::fs::read(path.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(word)
    };
    entries.filter(|entry| is_one(&entry.path())).count()
}

#[test]
fn every_number_is_what_the_raw_logs_say() {
    let dir = tempfile::tempdir().unwrap();
    let bin = stand_in(dir.path(), "stress-ng", &stress_ng(7));
    let output = bench(dir.path())
        .args(["--loads", "idle,cpu"])
        .env("PATH", bin)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let out = dir.path().join("out");
    let bench = json(&out.join("bench.json"));
    assert_eq!(bench["schema"], "reflexarc-bench/1");
    let idle = part(&bench, "idle");
    assert!(idle["flow"]["frames"].as_u64().unwrap() > 20, "{idle}");
    // By the doctor's own probe where cyclictest is not to be found.
    let by = idle["baseline"].as_array().unwrap();
    assert!(by.iter().all(|wakes| wakes["by"] == "reflexarc"), "{idle}");
    assert_eq!(part(&bench, "cpu")["load"]["bogo_ops"]["cpu"], 7);
    assert_eq!(part(&bench, "cpu")["marks"], serde_json::json!([]));
    for file in ["bench.html", "doctor.json", "parts/idle/report.html"] {
        assert!(out.join(file).exists(), "{file}");
    }
    let page = std::fs::read_to_string(out.join("bench.html")).unwrap();
    assert!(page.contains("<svg") && !page.contains("<script") && !page.contains("http"));

    let oracle = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/hlog.py");
    match Command::new("python3").arg(oracle).arg(&out).output() {
        Ok(output) => assert!(output.status.success(), "{}", text(&output)),
        Err(error) => eprintln!("skipped: the logs were not read by another reader, since {error}"),
    }
}

#[test]
fn a_load_that_is_none_is_said_and_never_taken_for_one() {
    let dir = tempfile::tempdir().unwrap();
    let run = |path: &Path| {
        let output = bench(dir.path())
            .args(["--loads", "cpu,network", "--no-baseline"])
            .env("PATH", path)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        json(&dir.path().join("out/bench.json"))
    };
    let absent = run(Path::new("/nonexistent"));
    let why = &part(&absent, "cpu")["not_run"];
    assert_eq!(why["why"], "stress-ng is not installed");
    assert!(part(&absent, "cpu")["flow"].is_null());

    let lazy = run(&stand_in(dir.path(), "stress-ng", &stress_ng(0)));
    let marks = part(&lazy, "cpu")["marks"].to_string();
    assert!(marks.contains("did no work"), "{marks}");

    let failing = run(&stand_in(
        dir.path(),
        "stress-ng",
        "echo unknown stressor >&2; exit 2",
    ));
    let why = part(&failing, "network")["not_run"]["why"].to_string();
    assert!(
        why.contains("ended at once") && why.contains("unknown stressor"),
        "{why}"
    );
}

#[test]
fn the_real_stress_ng_loads_and_is_gone_afterwards() {
    if Command::new("stress-ng").arg("--version").output().is_err() {
        eprintln!("skipped: stress-ng is not installed");
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let output = bench(dir.path())
        .args(["--loads", "memory,disk", "--no-baseline"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let bench = json(&dir.path().join("out/bench.json"));
    for (name, stressors) in [("memory", ["stream", "vm"]), ("disk", ["hdd", "io"])] {
        let load = &part(&bench, name)["load"];
        for stressor in stressors {
            assert!(load["bogo_ops"][stressor].as_u64().unwrap() > 0, "{load}");
        }
        assert!(load["busy"].as_f64().unwrap() > 0.0, "{load}");
    }
    assert_eq!(processes_with(dir.path().to_str().unwrap()), 0);
}

#[test]
fn nothing_outlives_a_bench_that_is_killed() {
    let dir = tempfile::tempdir().unwrap();
    let bin = stand_in(dir.path(), "stress-ng", &stress_ng(7));
    let mut child = bench_of("60", dir.path())
        .args(["--loads", "cpu", "--no-baseline"])
        .env("PATH", bin)
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let word = dir.path().to_str().unwrap();
    // The bench, the load and the run.
    eventually("all of them run", || processes_with(word) >= 3);
    signal(child.id(), libc::SIGKILL);
    child.wait().unwrap();
    eventually("none of them is left", || processes_with(word) == 0);
}

#[test]
fn a_bench_moves_no_robot_unless_told_to() {
    let dir = tempfile::tempdir().unwrap();
    let robot = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    robot
        .set_read_timeout(Some(std::time::Duration::from_millis(1)))
        .unwrap();
    let mut command = bench(dir.path());
    let text_config = format!(
        "sink = \"udp:{}\"\nencoder.name = \"null\"\npolicy.name = \"still\"\naction.start = [0.0, 0.0]\n",
        robot.local_addr().unwrap()
    );
    std::fs::write(dir.path().join("quick.toml"), text_config).unwrap();
    let output = command
        .args(["--loads", "none", "--no-baseline"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(robot.recv(&mut [0; 512]).is_err(), "an action was sent");
    let bench = json(&dir.path().join("out/bench.json"));
    let replaced = bench["subject"]["replaced"].to_string();
    assert!(replaced.contains("the robot does not move"), "{replaced}");
}
