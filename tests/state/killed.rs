//! The real program, killed without warning at random instants: each next run has a valid state, tells the right gap, gives
//! no action a number that was sent before, and commands something fresh.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use reflexarc::action::Rung;
use reflexarc::clock;
use reflexarc::state::pair::Halves;
use reflexarc::units::{MonoTime, Nanos};
use reflexarc::wire::{Kind, Message};
use serde_json::Value;

use crate::support::{reflexarc, report};

/// A run that commands over UDP, and who listens there.
struct Robot {
    dir: tempfile::TempDir,
    config: PathBuf,
    socket: UdpSocket,
}

/// What a robot heard of one run.
#[derive(Debug, Default)]
struct Told {
    /// In the order in which they came.
    numbers: Vec<u32>,
    /// From the start of the process to its first action from fresh data.
    fresh_after: Option<Duration>,
}

impl Robot {
    fn new(level: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(20)))
            .unwrap();
        let config = dir.path().join("run.toml");
        let text = format!(
            "encoder.name = \"null\"\npolicy.name = \"still\"\naction.start = [0.0, 0.0]\nsink = \"udp:{}\"\n\
             [state]\nlevel = \"{level}\"\npath = {:?}\nevery = \"100 ms\"\n",
            socket.local_addr().unwrap(),
            dir.path().join("state"),
        );
        std::fs::write(&config, text).unwrap();
        Self {
            dir,
            config,
            socket,
        }
    }

    fn state(&self) -> PathBuf {
        self.dir.path().join("state")
    }

    fn command(&self, duration: &str) -> Command {
        let mut command = reflexarc();
        command
            .args(["run", "--quiet", "--source", "synthetic:320x240@60"])
            .args(["--duration", duration, "--config"])
            .arg(&self.config)
            .arg("--report")
            .arg(self.dir.path().join("report"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }

    /// Listens until `enough` or the run ends.
    fn listen(
        &self,
        child: &mut Child,
        began: Instant,
        mut enough: impl FnMut(&Told) -> bool,
    ) -> Told {
        let mut told = Told::default();
        while !enough(&told) {
            if !self.hear(&mut told, began) && child.try_wait().unwrap().is_some() {
                break;
            }
        }
        told
    }

    /// One datagram, if one comes.
    fn hear(&self, told: &mut Told, began: Instant) -> bool {
        let mut buffer = [0; 256];
        let Ok(len) = self.socket.recv(&mut buffer) else {
            return false;
        };
        let message = Message::decode(&buffer[..len]).unwrap();
        told.numbers.push(message.seq);
        if message.kind == Kind::Action(Rung::Fresh) {
            told.fresh_after.get_or_insert_with(|| began.elapsed());
        }
        true
    }

    /// What was sent before the end.
    fn drain(&self, told: &mut Told, began: Instant) {
        while self.hear(told, began) {}
    }

    fn report(&self) -> Value {
        report(&self.dir.path().join("report"))["state"].clone()
    }
}

fn random(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

fn runs() -> usize {
    match std::env::var_os("REFLEXARC_LONG") {
        Some(_) => 1000,
        None => 10,
    }
}

#[expect(clippy::disallowed_methods, reason = "a test outside the process")]
fn instant() -> Instant {
    Instant::now()
}

/// What a run says about the input that was lost before it.
fn gap(said: &str) -> Option<Nanos> {
    let (before, _) = said.split_once(" of input are lost")?;
    before.rsplit("; ").next()?.parse().ok()
}

/// Kills run after run; returns how long each took from its start to its first fresh action.
fn kill_again_and_again(level: &str, kills: usize) -> Vec<Duration> {
    let robot = Robot::new(level);
    let mut seed = 0x5eed_0003_u64;
    let mut highest: Option<u32> = None;
    let mut fresh = Vec::new();
    let mut run = 0;
    // Of the run before: its newest snapshot, and when it was surely over.
    let (mut newest, mut ended) = (MonoTime::ZERO, MonoTime::ZERO);
    for kill in 0..kills {
        let (began, spawned) = (instant(), clock::now());
        let mut child = robot.command("60s").spawn().unwrap();
        // One in four dies at any instant from the start of its process on; the others once they command.
        let until = Duration::from_micros(random(&mut seed) % 400_000);
        let anywhere = random(&mut seed).is_multiple_of(4);
        let mut told = robot.listen(&mut child, began, |told| match told.fresh_after {
            Some(fresh) => began.elapsed() > fresh + until,
            None => anywhere && began.elapsed() > until * 2,
        });
        child.kill().unwrap();
        let status = child.wait_with_output().unwrap();
        robot.drain(&mut told, began);
        let said = String::from_utf8_lossy(&status.stderr);

        assert!(
            told.numbers.is_sorted_by(|a, b| a < b),
            "kill {kill}: {:?}",
            told.numbers
        );
        if let (Some(first), Some(highest)) = (told.numbers.first(), highest) {
            assert!(
                *first > highest,
                "kill {kill}: {first} was sent again, after {highest}"
            );
        }
        highest = told.numbers.last().copied().or(highest);
        fresh.extend(told.fresh_after);

        let halves = Halves::read(&robot.state());
        if told.numbers.is_empty() && run == 0 {
            continue;
        }
        let (_, state) = halves
            .state()
            .unwrap_or_else(|| panic!("kill {kill}: {halves:?}\n{said}"));
        assert!(
            state.runs.run == run || state.runs.run == run + 1,
            "kill {kill}: {state:?}"
        );
        assert!(!state.runs.ended, "kill {kill}");
        if let Some(highest) = highest {
            assert!(
                state.numbers.next > u64::from(highest),
                "kill {kill}: {state:?}"
            );
        }
        if run > 0 && state.runs.run > run {
            assert!(
                said.contains(&format!("run {run} was cut off")),
                "kill {kill}: {said}"
            );
            let gap = gap(&said).unwrap_or_else(|| panic!("kill {kill}: {said}"));
            // Told to two digits behind the point. What is known of the last run ends with its snapshot, or later.
            let shortest = match level {
                "snapshot" => spawned - newest,
                _ => spawned - ended,
            };
            assert!(
                gap + Nanos::from_millis(10) > shortest,
                "kill {kill}: {said}"
            );
            assert!(
                gap - Nanos::from_millis(10) < clock::now() - newest,
                "kill {kill}: {said}"
            );
        }
        run = state.runs.run;
        (newest, ended) = (state.clocks.mono, clock::now());
    }

    // The last one may come to its end, and reports.
    let killed = instant();
    let began = instant();
    let mut child = robot.command("1s").spawn().unwrap();
    let told = robot.listen(&mut child, began, |_| false);
    child.wait().unwrap();
    assert!(told.numbers.first() > highest.as_ref());
    assert!(told.fresh_after.is_some());
    let report = robot.report();
    assert_eq!(report["run"], run + 1, "{report}");
    assert_eq!(report["cut_off"], run, "{report}");
    // From the last word of the run before until the start of this one; a snapshot is taken every 100 ms, and a loaded
    // machine may be late with it.
    let away = Duration::from_nanos(report["away_ns"].as_u64().unwrap());
    let longest = Duration::from_secs(5) + killed.elapsed();
    assert!(away < longest, "{report}");
    assert_eq!(report["snapshots"]["failed"], 0, "{report}");
    fresh
}

fn show(level: &str, mut fresh: Vec<Duration>) {
    fresh.sort_unstable();
    eprintln!(
        "{level}: from process start to the first fresh action, {} runs: p50 {:?}, longest {:?}",
        fresh.len(),
        fresh[fresh.len() / 2],
        fresh[fresh.len() - 1]
    );
}

#[test]
fn no_number_of_an_action_comes_twice_however_often_the_run_is_killed() {
    show("snapshot", kill_again_and_again("snapshot", runs()));
}

#[test]
fn with_a_journal_no_number_comes_twice_either() {
    show("journal", kill_again_and_again("journal", runs()));
}

#[test]
fn an_instruction_is_in_force_again_after_a_kill() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let config = dir.path().join("run.toml");
    let script = dir.path().join("words.txt");
    std::fs::write(&script, "0s look at the cat\n500ms look at the rocket\n").unwrap();
    let settings = |script: &str| {
        let text = format!(
            "camera.source = \"scene\"\n{script}\n[state]\nlevel = \"snapshot\"\npath = {state:?}\nevery = \"100 ms\"\n"
        );
        std::fs::write(&config, text).unwrap();
    };
    let command = |report: &str, duration: &str| {
        let mut command = reflexarc();
        command
            .args(["run", "--quiet", "--duration", duration, "--report"])
            .arg(dir.path().join(report))
            .arg("--config")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    };
    settings(&format!("language.script = {script:?}"));
    let mut child = command("first", "60s").spawn().unwrap();
    let began = instant();
    loop {
        let halves = Halves::read(&state);
        let words = halves
            .state()
            .and_then(|(_, state)| state.instruction.in_force.clone());
        if words.is_some_and(|words| words.text == "look at the rocket") {
            break;
        }
        assert!(child.try_wait().unwrap().is_none(), "it ended");
        assert!(
            began.elapsed() < Duration::from_secs(120),
            "nothing was kept"
        );
        pause();
    }
    child.kill().unwrap();
    child.wait().unwrap();

    settings("");
    let output = command("second", "2s").output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let whole = report(&dir.path().join("second"));
    let id = 2;
    assert!(
        said.contains(&format!(
            "instruction {id} `look at the rocket` is in force again"
        )),
        "{said}"
    );
    let ways = &whole["instructions"]["ways"];
    assert_eq!(
        ways.as_array().map(Vec::len),
        Some(1),
        "{}",
        whole["instructions"]
    );
    assert_eq!(ways[0]["id"], id, "{ways}");
    assert_eq!(ways[0]["text"], "look at the rocket", "{ways}");
    assert_nothing_allocates(&whole);
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test that waits for another process"
)]
fn pause() {
    std::thread::sleep(Duration::from_millis(20));
}

fn assert_nothing_allocates(report: &Value) {
    let threads = report["threads"].as_array().unwrap();
    for thread in threads {
        assert_eq!(thread["allocations"], 0, "{thread}");
    }
}

#[test]
fn keeping_the_state_allocates_nothing_on_the_threads_of_the_way() {
    let robot = Robot::new("journal");
    let mut child = robot.command("2s").spawn().unwrap();
    robot.listen(&mut child, instant(), |_| false);
    child.wait().unwrap();
    let whole = report(&robot.dir.path().join("report"));
    assert_nothing_allocates(&whole);
    let state = &whole["state"];
    assert!(state["entries"].as_u64().unwrap() > 100, "{state}");
    assert_eq!(state["entries_lost"], 0, "{state}");
    eprintln!(
        "snapshots {}\ncommits {}",
        state["snapshots"], state["commits"]
    );
    assert_its_journal_says_what_was_sent(&robot.state(), &whole);
}

/// As many actions as were sent, each with the number that follows.
fn assert_its_journal_says_what_was_sent(folder: &Path, whole: &Value) {
    use reflexarc::state::journal::What;
    use reflexarc::state::segments::Journal;
    let journal = Journal::read(folder);
    assert_eq!(journal.damages, Vec::<String>::new());
    let numbers: Vec<u64> = journal
        .after(1, 0)
        .filter_map(|entry| match entry.what {
            What::Action {
                number, sent: true, ..
            } => Some(number),
            _ => None,
        })
        .collect();
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert_eq!(
        numbers.len() as u64,
        whole["elements"]["actions"].as_u64().unwrap()
    );
}
