//! Clocks that a bench locks are set back, whatever ends it.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{reflexarc, text};
use crate::{bench, bench_of, eventually, json, signal, stand_in};

const GOVERNOR: &str = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor";
const BEFORE: &str = "schedutil\n";

/// A machine that scales the frequency of two cores, one of them as wanted already.
fn machine(dir: &Path) -> std::path::PathBuf {
    let root = dir.join("machine");
    for (core, governor) in [(0, BEFORE), (1, "performance\n")] {
        let folder = root.join(format!("sys/devices/system/cpu/cpu{core}/cpufreq"));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("scaling_governor"), governor).unwrap();
    }
    root
}

fn governor(root: &Path) -> String {
    std::fs::read_to_string(root.join(GOVERNOR)).unwrap()
}

fn locking(dir: &Path) -> Command {
    locking_for("1", dir)
}

fn locking_for(seconds: &str, dir: &Path) -> Command {
    let mut command = bench_of(seconds, dir);
    command.args(["--lock-clocks", "--loads", "none", "--no-baseline"]);
    command
}

/// What is left in the machine's run/: nothing but the lock that each bench takes.
fn notes(root: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(root.join("run/reflexarc")).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn a_bench_to_its_end_sets_them_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let output = locking(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(governor(&root), BEFORE);
    assert_eq!(notes(&root), ["bench.lock"]);
    let bench = json(&dir.path().join("out/bench.json"));
    assert_eq!(bench["clocks"]["left"], serde_json::json!([]));
    let during = &bench["parts"][0]["before"]["governor"]["0"];
    assert_eq!(during, "performance");
}

#[test]
fn a_signal_ends_the_bench_and_sets_them_back() {
    for number in [libc::SIGINT, libc::SIGTERM] {
        let dir = tempfile::tempdir().unwrap();
        let root = machine(dir.path());
        let child = locking_for("60", dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let started = dir.path().join("out/parts/idle.log");
        eventually("the part runs", || started.exists());
        assert_eq!(governor(&root), "performance\n");
        signal(child.id(), number);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(130), "{}", text(&output));
        assert_eq!(governor(&root), BEFORE);
        let bench = json(&dir.path().join("out/bench.json"));
        assert_eq!(bench["interrupted"], true);
        assert_eq!(bench["verdict"], "not_judged");
    }
}

/// Locks and kills. The clocks stay locked, for nobody is there to set them back.
fn killed(dir: &Path, root: &Path) {
    let mut child = locking_for("60", dir)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    eventually("they are locked", || governor(root) == "performance\n");
    signal(child.id(), libc::SIGKILL);
    child.wait().unwrap();
    assert_eq!(governor(root), "performance\n");
}

#[test]
fn after_a_kill_they_are_set_back_on_demand_or_by_the_next_bench() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    killed(dir.path(), &root);
    let restore = || {
        let mut command = reflexarc();
        command.args(["bench", "--restore", "--root"]).arg(&root);
        command.output().unwrap()
    };
    let output = restore();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(governor(&root), BEFORE);
    assert!(text(&restore()).contains("nothing to set back"));

    killed(dir.path(), &root);
    let output = bench(dir.path())
        .args(["--loads", "none", "--no-baseline"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(governor(&root), BEFORE);
}

#[test]
fn a_boards_own_tool_stores_locks_and_restores() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let calls = dir.path().join("calls");
    let script = format!(
        "echo \"$1\" >>{calls}\n[ \"$1\" != --store ] || echo clocks >\"$2\"\n[ \"$1\" != --restore ] || [ -s \"$2\" ]",
        calls = calls.display()
    );
    let bin = stand_in(dir.path(), "jetson_clocks", &script);
    let board = dir.path().join("board.toml");
    let known = Path::new(env!("CARGO_MANIFEST_DIR")).join("boards/x86-64/board.toml");
    let fact = "[power]\nclocks = { value = \"jetson_clocks\", source = \"debian-rt\", verified = \"no\" }";
    let known = std::fs::read_to_string(known).unwrap();
    std::fs::write(&board, known.replace("[power]", fact)).unwrap();
    let output = locking(dir.path())
        .arg("--board")
        .arg(board)
        .env("PATH", bin)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let called = std::fs::read_to_string(calls).unwrap();
    assert_eq!(called, "--store\n\n--restore\n");
    // The governors are the tool's business then.
    assert_eq!(governor(&root), BEFORE);
    assert_eq!(notes(&root), ["bench.lock"]);
}

#[test]
fn two_benches_at_a_time_would_measure_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let root = machine(dir.path());
    let lock = root.join("run/reflexarc/bench.lock");
    std::fs::create_dir_all(lock.parent().unwrap()).unwrap();
    let other = std::fs::File::create(lock).unwrap();
    other.lock().unwrap();
    let output = locking(dir.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert_eq!(governor(&root), BEFORE);
}
