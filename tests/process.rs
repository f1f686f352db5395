//! Promises of the running process: accounts balance, signals end it cleanly, errors explain themselves.
#![allow(clippy::unwrap_used)]

mod support;

use std::time::Duration;

use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;

use serde_json::Value;
use support::{assert_accounts_balance, cached, link, reflexarc, report, run, start, text};

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

#[test]
fn a_second_signal_at_any_time_leaves_a_whole_report_or_none() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("quick.toml");
    let text_config = "encoder.name = \"null\"\npolicy.name = \"still\"\n";
    std::fs::write(&config, text_config).unwrap();
    let mut arguments = vec!["--source", "synthetic:320x240@30", "--duration", "60s"];
    arguments.extend(["--config", config.to_str().unwrap()]);
    let mut seed = 0x5eed_0002_u64;
    let (mut whole, mut none) = (0, 0);
    for n in 0..12_u64 {
        let base = dir.path().join(format!("{n}"));
        let place = base.join("new/report");
        let child = start(&place, &arguments);
        pause(Duration::from_millis(400));
        signal(child.id(), libc::SIGINT);
        // From at once to when the report may have been written.
        pause(Duration::from_millis(10 * n + random(&mut seed) % 10));
        signal(child.id(), libc::SIGTERM);
        let output = child.wait_with_output().unwrap();
        if place.exists() {
            whole += 1;
            assert_accounts_balance(&report(&place));
            assert!(place.join("report.html").exists(), "run {n}");
            continue;
        }
        none += 1;
        // Without a code the first signal came before its handler was there.
        let code = output.status.code();
        assert!(matches!(code, Some(130) | None), "{}", text(&output));
        // What is left at most is the hidden folder of a process that was killed while it wrote.
        let left = std::fs::read_dir(base.join("new")).into_iter().flatten();
        for entry in left {
            let name = entry.unwrap().file_name().into_string().unwrap();
            assert!(name.starts_with(".partial-"), "run {n} left {name}");
        }
    }
    eprintln!("{whole} whole reports, {none} times none");
    assert!(none > 0, "no second signal came in time");
}

/// The names of a process's threads, each as often as there is one.
fn threads(pid: u32) -> Vec<String> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let names = tasks.into_iter().flatten().flatten();
    let names = names.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    let mut names: Vec<String> = names.map(|name| name.trim().to_owned()).collect();
    names.sort();
    names
}

#[test]
fn no_thread_runs_but_those_that_are_configured() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("partner.toml");
    let cores = std::thread::available_parallelism().unwrap().get();
    // The second core of two is the frames', the first the action clock's.
    let (partners, mut expected) = match cores {
        1 => ("[]", vec![]),
        _ => ("[0]", vec!["partner-0"]),
    };
    expected.extend([
        "action",
        "capture",
        "language",
        "reflexarc",
        "sensor-0",
        "world",
    ]);
    expected.sort_unstable();
    let text_config = format!("threads.layout = \"together\"\nencoder.partners = {partners}\n");
    std::fs::write(&config, text_config).unwrap();
    let mut child = start(
        dir.path(),
        &[
            "--source",
            "scene",
            "--instruct",
            "look at the cat",
            "--duration",
            "4s",
            "--config",
            config.to_str().unwrap(),
        ],
    );
    let (mut looks, mut whole) = (0, 0);
    // BOUND: the run ends by itself.
    while child.try_wait().unwrap().is_none() {
        let found = threads(child.id());
        // From the first thread of the way on: what came before was for the start.
        if found.iter().any(|name| name == "capture") {
            looks += 1;
            whole += u32::from(found == expected);
            let mut rest = expected.clone();
            for name in &found {
                let place = rest.iter().position(|known| known == name);
                assert!(place.is_some(), "`{name}` is one too many: {found:?}");
                rest.remove(place.unwrap());
            }
        }
        pause(Duration::from_millis(5));
    }
    let output = child.wait_with_output().unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );
    assert!(
        whole > 100,
        "all of {expected:?} in {whole} looks of {looks}"
    );
}

fn sum(reasons: &Value) -> u64 {
    let reasons = reasons.as_object().expect("counts by reason").values();
    reasons.map(|count| count.as_u64().unwrap()).sum()
}

#[test]
fn every_chunk_and_every_reading_is_accounted_for_in_the_report() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("robot.toml");
    // A port that was free a moment ago.
    let port = UdpSocket::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let settings = "encoder.name = \"null\"\npolicy.name = \"still\"\n";
    let sensor = format!("{settings}[[sensor]]\nsource = \"udp:{port}\"\n");
    std::fs::write(&config, sensor).unwrap();
    let place = dir.path().join("report");
    let mut arguments = vec!["--source", "synthetic:320x240@60", "--duration", "2s"];
    arguments.extend(["--config", config.to_str().unwrap()]);
    let mut child = start(&place, &arguments);
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut sent = 0;
    while child.try_wait().unwrap().is_none() {
        sent += 1;
        let reading = format!("{{\"seq\": {sent}, \"values\": [0.1, -0.1]}}");
        // Before the port is bound, sending into it fails; nothing counts those.
        let _ = sender.send_to(reading.as_bytes(), port);
        if sent % 10 == 0 {
            let _ = sender.send_to(b"{\"values\": [0.1,", port);
            let _ = sender.send_to(reading.as_bytes(), port);
        }
        pause(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(1), "{}", text(&output));
    let report = report(&place);
    assert_accounts_balance(&report);
    let count = |of: &Value| of.as_u64().unwrap_or_else(|| panic!("a count in {report}"));

    let player = &report["player"];
    let (offered, accepted) = (count(&player["offered"]), count(&player["accepted"]));
    assert!(accepted > 0, "{player}");
    assert_eq!(offered, accepted + sum(&player["refused"]), "{player}");
    let (played, unplayed) = (count(&player["played"]), count(&player["unplayed"]));
    let waiting = count(&player["waiting"]);
    assert_eq!(accepted, played + unplayed + waiting, "{player}");
    assert_eq!(waiting, 0, "the stop drops what has not begun: {player}");
    assert_eq!(offered, count(&link(&report, "fusion -> action")["out"]));
    let sensor = &report["sensors"][0];
    let (intake, align) = (&sensor["intake"], &sensor["align"]);
    let (received, accepted) = (count(&intake["received"]), count(&intake["accepted"]));
    assert_eq!(received, accepted + sum(&intake["refused"]), "{intake}");
    for reason in ["bad JSON", "duplicate"] {
        assert!(count(&intake["refused"][reason]) > 0, "{reason}: {intake}");
    }
    assert_eq!(accepted, count(&link(&report, "sensor-0 -> fusion")["in"]));
    assert_eq!(align["pushed"], link(&report, "sensor-0 -> fusion")["out"]);
    let asked = sum(&sensor["states"]);
    assert_eq!(asked, count(&link(&report, "features -> fusion")["out"]));

    // Telemetry's samples count the same things in another way.
    if report["telemetry"]["lost_samples"] == 0 {
        assert_eq!(sensor["age"]["count"], align["pushed"]);
        let rungs = &report["rungs"];
        assert_eq!(sum(&player["rung_changes"]), count(&rungs["changes_count"]));
        for (rung, sampled) in ["fresh", "tail", "hold", "stop"].into_iter().zip([
            "fresh",
            "tail",
            "hold",
            "safe_stop",
        ]) {
            assert_eq!(player["beats"][rung], rungs[sampled], "{rung}");
        }
    }
}

/// A run that may tell a service manager how it is.
fn managed(name: &str, watchdog_us: &str) -> std::process::Command {
    let mut command = reflexarc();
    command
        .args([
            "run",
            "--quiet",
            "--duration",
            "60s",
            "--source",
            "synthetic:320x240@30",
        ])
        .env("NOTIFY_SOCKET", name)
        .env("WATCHDOG_USEC", watchdog_us);
    command
}

#[test]
fn the_service_manager_hears_that_it_works_that_it_lives_and_that_it_ends() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("run.toml");
    std::fs::write(
        &config,
        "encoder.name = \"null\"\npolicy.name = \"still\"\n",
    )
    .unwrap();
    let name = dir.path().join("notify");
    let manager = UnixDatagram::bind(&name).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut child = managed(name.to_str().unwrap(), "200000")
        .arg("--config")
        .arg(&config)
        .arg("--report")
        .arg(dir.path().join("report"))
        .spawn()
        .unwrap();
    let mut buffer = [0; 256];
    let mut heard: Vec<String> = Vec::new();
    let count = |heard: &[String], word: &str| heard.iter().filter(|h| h.starts_with(word)).count();
    let mut is_asked = false;
    // Read as it comes: a socket's queue holds ten.
    let status = loop {
        let ended = child.try_wait().unwrap();
        // However long that takes on a loaded machine.
        if !is_asked && count(&heard, "READY=1") > 0 && count(&heard, "WATCHDOG=1") >= 5 {
            is_asked = true;
            signal(child.id(), libc::SIGTERM);
        }
        match manager.recv(&mut buffer) {
            Ok(length) => heard.push(String::from_utf8_lossy(&buffer[..length]).into_owned()),
            Err(_) if ended.is_some() => break ended.unwrap(),
            Err(_) => {}
        }
    };
    // It may have missed the goals on a loaded machine.
    assert!(matches!(status.code(), Some(0 | 1)), "{status}");
    let said = (count(&heard, "READY=1"), count(&heard, "STOPPING=1"));
    assert_eq!(said, (1, 1), "{heard:?}");
    assert!(count(&heard, "WATCHDOG=1") >= 5, "{heard:?}");
    assert!(heard.last().unwrap().starts_with("STOPPING=1"), "{heard:?}");
}

#[test]
fn a_service_manager_that_cannot_be_reached_is_a_usage_error() {
    for name in ["/nowhere/notify", "relative"] {
        let output = managed(name, "0").output().unwrap();
        let said = text(&output);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(
            said.contains("NOTIFY_SOCKET") && said.contains("fix: "),
            "{said}"
        );
    }
}
