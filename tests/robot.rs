//! Promises to a robot on the other end of two sockets: it is never told to be where it is not, and a safe stop is
//! left when its operator says so.
#![allow(clippy::unwrap_used)]

mod support;

use std::io::{BufRead as _, BufReader, ErrorKind};
use std::net::UdpSocket;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use reflexarc::clock;
use reflexarc::units::Nanos;
use serde_json::Value;
use support::{assert_accounts_balance, reflexarc, report, run, start, text};

/// How long a test waits for what must come, on a machine that does other things as well.
const PATIENCE: Nanos = Nanos::from_secs(60);

fn signal(child: &Child, signal: i32) {
    let pid = i32::try_from(child.id()).unwrap();
    // SAFETY: kill takes numbers only; the child has not been waited for, so the pid is still its own.
    unsafe { libc::kill(pid, signal) };
}

/// A robot on the other end of two sockets: it hears actions, and may say where its joints are.
struct Robot {
    actions: UdpSocket,
    joints: UdpSocket,
    /// Where reflexarc will receive; bound by it only.
    joints_at: String,
    said: u32,
}

impl Robot {
    fn new() -> Self {
        let any = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let free = any().local_addr().unwrap();
        Self {
            actions: any(),
            joints: any(),
            joints_at: free.to_string(),
            said: 0,
        }
    }

    fn sink(&self) -> String {
        format!("udp+json:{}", self.actions.local_addr().unwrap())
    }

    /// A run without models, in position mode, with this robot.
    fn config(&self, dir: &Path, more: &str) -> String {
        let path = dir.join("robot.toml");
        let config = format!(
            "encoder.name = \"null\"\npolicy.name = \"still\"\n{more}\n[[sensor]]\nsource = \"udp:{}\"\n",
            self.joints_at
        );
        std::fs::write(&path, config).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn say(&mut self, values: &[f32]) {
        self.said += 1;
        let reading = format!("{{\"seq\":{},\"values\":{values:?}}}", self.said);
        // Refused while nobody receives there.
        let _ = self.joints.send_to(reading.as_bytes(), &self.joints_at);
    }

    /// The next action, if one comes within that time.
    fn hears(&self, within: Duration) -> Option<Vec<f64>> {
        let mut bytes = [0; 2048];
        self.actions.set_read_timeout(Some(within)).unwrap();
        match self.actions.recv(&mut bytes) {
            Ok(len) => {
                let action: Value = serde_json::from_slice(&bytes[..len]).unwrap();
                let targets = action["targets"].as_array().unwrap().iter();
                Some(targets.map(|target| target.as_f64().unwrap()).collect())
            }
            Err(error) => {
                assert!(matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut
                ));
                None
            }
        }
    }
}

const SMALL: &str = "synthetic:64x64@30";

#[test]
fn nothing_is_commanded_before_the_first_reading_and_then_from_there() {
    let dir = tempfile::tempdir().unwrap();
    let mut robot = Robot::new();
    let config = robot.config(dir.path(), "action.start_within = \"50 s\"");
    let sink = robot.sink();
    let arguments = ["--source", SMALL, "--sink", &sink, "--config", &config];
    let child = start(dir.path(), &arguments);
    assert_eq!(
        robot.hears(Duration::from_secs(2)),
        None,
        "nobody said where the joints are"
    );
    let begin = clock::now();
    let first = loop {
        robot.say(&[0.75, -1.5]);
        if let Some(action) = robot.hears(Duration::from_millis(10)) {
            break action;
        }
        assert!(clock::now() < begin + PATIENCE, "no action in {PATIENCE}");
    };
    assert_eq!(first, [0.75, -1.5]);
    // The policy holds the position that is reported; no silence of the sensor sends it to zero.
    for k in 0..100 {
        if k < 30 {
            robot.say(&[0.75, -1.5]);
        }
        if let Some(action) = robot.hears(Duration::from_millis(10)) {
            assert_eq!(action, [0.75, -1.5], "after {k} more");
        }
    }
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );
    let report = report(dir.path());
    assert_accounts_balance(&report);
}

#[test]
fn a_sensor_that_says_nothing_ends_the_run_without_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let robot = Robot::new();
    let config = robot.config(dir.path(), "action.start_within = \"300 ms\"");
    let sink = robot.sink();
    let output = run(
        dir.path(),
        &["--source", SMALL, "--sink", &sink, "--config", &config],
    );
    let said = text(&output);
    assert_eq!(output.status.code(), Some(4), "{said}");
    for part in [
        "nothing was commanded",
        "why: nothing came from udp",
        "fix: ",
        "action.start",
    ] {
        assert!(said.contains(part), "`{part}` is not in: {said}");
    }
    assert_eq!(robot.hears(Duration::from_millis(100)), None);
}

#[test]
fn a_first_reading_outside_the_limits_ends_the_run_without_a_command() {
    let dir = tempfile::tempdir().unwrap();
    let mut robot = Robot::new();
    let config = robot.config(dir.path(), "action.position_max = 1.0");
    let sink = robot.sink();
    let arguments = ["--source", SMALL, "--sink", &sink, "--config", &config];
    let mut child = start(dir.path(), &arguments);
    let begin = clock::now();
    while child.try_wait().unwrap().is_none() {
        robot.say(&[0.0, 1.5]);
        assert_eq!(robot.hears(Duration::from_millis(10)), None);
        assert!(
            clock::now() < begin + PATIENCE,
            "it runs on after {PATIENCE}"
        );
    }
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        text(&output).contains("joint 1 starts at 1.5"),
        "{}",
        text(&output)
    );
}

#[test]
fn waiting_for_the_first_reading_can_be_interrupted() {
    let dir = tempfile::tempdir().unwrap();
    let robot = Robot::new();
    let config = robot.config(dir.path(), "action.start_within = \"1 h\"");
    let arguments = [
        "--source",
        SMALL,
        "--sink",
        &robot.sink(),
        "--config",
        &config,
    ];
    let child = start(dir.path(), &arguments);
    clock::sleep_until(clock::now() + Nanos::from_millis(1500));
    signal(&child, libc::SIGTERM);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(4), "{}", text(&output));
    assert!(
        text(&output).contains("ended by a signal"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_robot_of_which_nobody_knows_where_it_is_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let recording = dir.path().join("joints.csv");
    std::fs::write(&recording, "time,pan,tilt\n0,0.5,0.5\n").unwrap();
    let csv = format!("[[sensor]]\nsource = \"csv:{}\"\n", recording.display());
    let quick = "encoder.name = \"null\"\npolicy.name = \"still\"\n";
    let path = dir.path().join("robot.toml");
    let check = |config: &str, arguments: &[&str]| {
        std::fs::write(&path, config).unwrap();
        let mut command = reflexarc();
        command.args(["check", "--config", path.to_str().unwrap()]);
        let output = command.args(arguments).output().unwrap();
        (output.status.code(), text(&output))
    };
    let robot = ["--source", SMALL, "--sink", "udp:127.0.0.1:9"];
    for (config, why) in [
        (quick.to_owned(), "there is no sensor"),
        (format!("{quick}{csv}"), "a recording does not say"),
    ] {
        let (code, said) = check(&config, &robot);
        assert_eq!(code, Some(3), "{said}");
        for part in [why, "make the robot jump", "action.start"] {
            assert!(said.contains(part), "`{part}` is not in: {said}");
        }
    }
    // The same is fine where it is said, and where no robot can be.
    let known = format!("action.start = [0.5, 0.0]\n{quick}{csv}");
    let (code, said) = check(&known, &robot);
    assert_eq!(code, Some(0), "{said}");
    for sink in ["null", "json:-"] {
        let (code, said) = check(quick, &["--source", SMALL, "--sink", sink]);
        assert_eq!(code, Some(0), "{said}");
    }
    let (code, said) = check(&format!("action.start = [0.5]\n{quick}"), &robot);
    assert_eq!(code, Some(3), "{said}");
    assert!(
        said.contains("robot.toml line 1") && said.contains("has 1 values"),
        "{said}"
    );
}

#[test]
fn a_latched_stop_is_left_by_the_operator_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.toml");
    // The picture stops for 3 s: long enough for the safe stop on any machine.
    let config = "encoder.name = \"null\"\npolicy.name = \"still\"\n[action]\nfresh_within = \"300 ms\"\n\
                  hold_after = \"600 ms\"\nstop_after = \"900 ms\"\n[camera.synthetic]\nstalls = \"at 30\"\n\
                  stall_length = \"3 s\"\n";
    std::fs::write(&path, config).unwrap();
    let mut child = reflexarc()
        .args(["run", "--quiet", "--source", SMALL, "--sink", "json:-"])
        .args(["--duration", "0s", "--config"])
        .arg(&path)
        .arg("--report")
        .arg(dir.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut actions = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next_rung = || {
        let action: Value = serde_json::from_str(&actions.next().unwrap().unwrap()).unwrap();
        action["rung"].as_str().unwrap().to_owned()
    };
    let mut rungs = vec!["hold".to_owned()];
    // BOUND: 60 s of actions at 100 Hz.
    let (mut stopped, mut left) = (0, false);
    for _ in 0..6_000 {
        let rung = next_rung();
        stopped += u32::from(rung == "stop");
        // Pictures have come again for 2 s by then, and changed nothing.
        if rung == "stop" && stopped == 450 {
            assert_eq!(rungs.last().unwrap(), "stop");
            signal(&child, libc::SIGUSR1);
        }
        if rungs.last() != Some(&rung) {
            rungs.push(rung.clone());
        }
        left = stopped >= 450 && rung == "fresh";
        if left {
            break;
        }
    }
    signal(&child, libc::SIGINT);
    assert!(left, "{rungs:?}");
    // It holds in between, unless the next chunk comes on the same beat.
    rungs.retain(|rung| rung != "hold");
    assert_eq!(rungs.last().unwrap(), "fresh");
    assert_eq!(rungs.iter().filter(|rung| *rung == "stop").count(), 1);
    // What is left to read must not keep it from ending.
    actions.for_each(drop);
    child.wait().unwrap();
}
