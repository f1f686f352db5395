//! Promises of `reflexarc bench`: what it measures is what its logs say, what it changes it takes back, and it says what to
//! make of it.
#![allow(clippy::unwrap_used)]

mod support;

// Whether it works, beside a running robot.
#[path = "bench/beside.rs"]
mod beside;

// Parts and loads.
#[path = "bench/parts.rs"]
mod parts;

// Clocks that are set back.
#[path = "bench/clocks.rs"]
mod clocks;

// Against an earlier bench.
#[path = "bench/compare.rs"]
mod compare;

// Encoders alone.
#[path = "bench/features.rs"]
mod features;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A bench of a pipeline that is quick to start and needs no model, with a part of a second.
fn bench(dir: &Path) -> Command {
    bench_of("1", dir)
}

/// The same with parts of so many seconds.
fn bench_of(seconds: &str, dir: &Path) -> Command {
    let config = dir.join("quick.toml");
    let text = "encoder.name = \"null\"\npolicy.name = \"still\"\n";
    std::fs::write(&config, text).unwrap();
    let machine = dir.join("machine");
    std::fs::create_dir_all(&machine).unwrap();
    let mut command = support::reflexarc();
    command
        .args([
            "bench",
            "--source",
            "synthetic:64x48@100",
            "--seconds",
            seconds,
        ])
        .arg("--config")
        .arg(config)
        .arg("--out")
        .arg(dir.join("out"))
        // Tests run side by side, and of benches a machine takes one at a time: each has a machine of its own.
        .arg("--root")
        .arg(machine);
    command
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// A program of this name that does what a shell script says. Returns its folder, for PATH.
fn stand_in(dir: &Path, name: &str, script: &str) -> PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = dir.join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let file = folder.join(name);
    std::fs::write(&file, format!("#!/bin/sh\n{script}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    folder
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: kill takes numbers only; the child has not been waited for, so the pid is still its own.
    unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) };
}

/// Looks until it is so. A minute is no measure of speed but the end of a test that hangs.
#[expect(
    clippy::disallowed_methods,
    reason = "a test that waits for another process"
)]
fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..1200 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("never: {what}");
}
