//! Promises of the running process: accounts balance, signals end it cleanly, errors explain themselves.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use support::{assert_accounts_balance, cached, link, report, run, start, text};

/// A small generator for stop times; its seed is printed by a failing test's message.
fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test that waits for another process"
)]
fn pause(time: Duration) {
    std::thread::sleep(time);
}

fn signal(pid: u32, signal: i32) {
    // SAFETY: kill takes numbers only; the child has not been waited for, so the pid is still its own.
    unsafe { libc::kill(i32::try_from(pid).unwrap(), signal) };
}

#[test]
fn every_frame_of_a_clip_is_accounted_for_when_none_may_be_lost() {
    for (clip, frames) in [
        ("traffic_sequence.mp4", 350),
        ("bikes.mp4", 250),
        ("carphone_pristine.mp4", 120),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let source = format!(
            "file:{},pace=fastest",
            cached(&format!("footage/{clip}")).display()
        );
        let output = run(
            dir.path(),
            &["--source", &source, "--instruct", "look at the car"],
        );
        assert!(
            output.status.code() == Some(0) || output.status.code() == Some(1),
            "{}",
            text(&output)
        );
        let report = report(dir.path());
        assert_accounts_balance(&report);
        let way = link(&report, "capture -> features");
        assert_eq!(way["in"], frames, "{clip}: {way}");
        assert_eq!(way["out"], frames, "{clip}: {way}");
    }
}

#[test]
fn accounts_balance_when_killed_at_a_random_time() {
    let clip = cached("footage/traffic_sequence.mp4");
    let source = format!("file:{},loop", clip.display());
    let config = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        config.path(),
        "encoder.name = \"null\"\npolicy.name = \"still\"\n",
    )
    .unwrap();
    let mut seed = 0x5eed_0001_u64;
    let runs = if std::env::var_os("REFLEXARC_LONG").is_some() {
        100
    } else {
        20
    };
    for n in 0..runs {
        let dir = tempfile::tempdir().unwrap();
        let layout = ["together", "capture-apart", "apart"][n % 3];
        let text_config = format!(
            "encoder.name = \"null\"\npolicy.name = \"still\"\nthreads.layout = \"{layout}\"\n"
        );
        std::fs::write(config.path(), text_config).unwrap();
        let child = start(
            dir.path(),
            &[
                "--source",
                &source,
                "--config",
                config.path().to_str().unwrap(),
                "--duration",
                "60s",
            ],
        );
        let after = random(&mut seed) % 700;
        pause(Duration::from_millis(after));
        signal(child.id(), libc::SIGINT);
        let output = child.wait_with_output().unwrap();
        let code = output.status.code();
        // Before the handler is installed the default action ends the process, with nothing written.
        if code.is_none() || !dir.path().join("report.json").exists() {
            assert!(after < 400, "run {n} ({after} ms): {}", text(&output));
            continue;
        }
        assert!(
            code == Some(0) || code == Some(1),
            "run {n} ({after} ms): {}",
            text(&output)
        );
        assert_accounts_balance(&report(dir.path()));
    }
}
