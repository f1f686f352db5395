//! The doctor on a real kernel with faults that are made there: found, explained, fixed, undone. Run by
//! `scripts/dev vm doctor`, once on isolated cores and once without. Nothing here asserts a latency.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use reflexarc::clock;
use reflexarc::units::Nanos;
use serde_json::Value;

use crate::support::text;

fn is_isolated() -> bool {
    std::env::var_os("REFLEXARC_ISOLATED").is_some()
}

fn binary() -> String {
    std::env::var("REFLEXARC_BINARY").unwrap()
}

fn doctor(arguments: &[&str]) -> Output {
    let mut command = Command::new(binary());
    command.arg("doctor").args(arguments).stdin(Stdio::null());
    command.output().unwrap()
}

/// A shell line, which must succeed.
fn shell(line: &str) -> String {
    let output = Command::new("sh").args(["-c", line]).output().unwrap();
    assert!(output.status.success(), "{line}: {}", text(&output));
    text(&output).trim().to_owned()
}

/// Past the test harness, which keeps what a passing test prints: these are results.
fn tell(text: &str) {
    let line = format!("\nmeasured: {text}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// An examination as data.
struct Examined(Value);

impl Examined {
    fn now(arguments: &[&str]) -> Self {
        let output = doctor(&[&["--json"], arguments].concat());
        Self(serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output))))
    }
    fn check(&self, id: &str) -> &Value {
        let all = self.0["checks"].as_array().unwrap();
        all.iter().find(|check| check["id"] == id).unwrap()
    }
    fn status(&self, id: &str) -> &str {
        self.check(id)["status"].as_str().unwrap()
    }
    fn way(&self) -> Vec<u64> {
        let cores = self.0["cores"]["way"].as_array().unwrap();
        cores.iter().map(|core| core.as_u64().unwrap()).collect()
    }
    /// What `--fix` would write, with what stands there now.
    fn settings(&self) -> BTreeMap<String, String> {
        let checks = self.0["checks"].as_array().unwrap().iter();
        let settings = checks.filter_map(|check| check["fix"]["settings"].as_array());
        let paths = settings.flatten().map(|s| s["path"].as_str().unwrap());
        paths.map(|path| (path.to_owned(), now(path))).collect()
    }
}

fn now(path: &str) -> String {
    fs::read_to_string(format!("/{path}")).unwrap_or_default()
}

/// The fault is found, and `--explain` says why it matters; `--fix --dry-run` changes nothing; `--fix` mends it; `--undo`
/// brings back what was there.
fn is_found_fixed_and_undone(id: &str, found: &[&str]) {
    let before = Examined::now(&[]);
    assert!(
        found.contains(&before.status(id)),
        "{id}: {}",
        before.check(id)
    );
    let explained = text(&doctor(&["--explain", id]));
    let why = before.check(id)["why"].as_str().unwrap();
    assert!(
        explained.contains(&why[..30]) && explained.contains("fix"),
        "{id}: {explained}"
    );
    let settings = before.settings();
    assert!(!settings.is_empty(), "{id}");
    doctor(&["--fix", "--dry-run"]);
    assert_eq!(before.settings(), settings, "a dry run changes nothing");
    let fixed = doctor(&["--fix"]);
    let after = Examined::now(&[]);
    assert_eq!(
        after.status(id),
        "pass",
        "{id}: {} {}",
        after.check(id),
        text(&fixed)
    );
    let undone = doctor(&["--undo"]);
    assert_eq!(undone.status.code(), Some(0), "{id}: {}", text(&undone));
    assert_eq!(before.settings(), settings, "{id}: {}", text(&undone));
    assert!(
        found.contains(&Examined::now(&[]).status(id)),
        "{id} is as before"
    );
    let effective = before.check(id)["effective"].as_str().unwrap();
    tell(&format!(
        "{id} found ({effective}), explained, fixed, undone"
    ));
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn isolation_is_seen_where_it_is_and_missed_where_it_is_not() {
    let examined = Examined::now(&[]);
    for id in ["K03", "K04", "K05", "K06"] {
        let check = examined.check(id);
        let passes = check["status"] == "pass";
        assert_eq!(passes, is_isolated(), "{check}");
    }
    // A board that is known says itself which cores are the way's; of another machine the command line does.
    let cores = &examined.0["cores"];
    let from = cores["from"].as_str().unwrap();
    let is_known_board = from.contains("board file");
    if !is_known_board {
        assert_eq!(from.contains("command line"), is_isolated(), "{cores}");
    }
    if is_isolated() || is_known_board {
        assert_eq!(examined.way(), [2, 3], "{cores}");
    }
    assert_eq!(examined.status("K01"), "pass", "a real-time kernel");
    assert_eq!(examined.status("S01"), "pass", "{}", examined.check("S01"));
    assert_eq!(examined.status("S05"), "pass", "{}", examined.check("S05"));
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn the_wrong_governor_is_found_fixed_and_undone() {
    for core in 0..4 {
        let path = format!("/sys/devices/system/cpu/cpu{core}/cpufreq/scaling_governor");
        fs::write(&path, "powersave").unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    is_found_fixed_and_undone("C01", &["warn", "fail"]);
}

/// Those that came at least once and can be moved.
fn active_interrupts() -> Vec<String> {
    let text = fs::read_to_string("/proc/interrupts").unwrap();
    let lines = text.lines().skip(1).filter_map(|line| {
        let (number, rest) = line.trim().split_once(':')?;
        number.parse::<u32>().ok()?;
        let counts = rest.split_whitespace().take(4);
        counts
            .filter_map(|count| count.parse::<u64>().ok())
            .any(|count| count > 0)
            .then(|| number.to_owned())
    });
    lines.collect()
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn interrupts_on_the_cores_of_the_way_are_found_moved_and_moved_back() {
    let core = Examined::now(&[]).way()[0].to_string();
    // One that surely comes and can be moved: the alarm of the clock that runs on.
    fs::write("/sys/class/rtc/rtc0/wakealarm", "+1").ok();
    clock::sleep_until(clock::now() + Nanos::from_secs(3));
    let moved = active_interrupts()
        .into_iter()
        .filter(|number| fs::write(format!("/proc/irq/{number}/smp_affinity_list"), &core).is_ok());
    assert!(moved.count() > 0, "{:?}", active_interrupts());
    // Some move at their next coming only, and the console's comes when something is written.
    tell("interrupts were moved to the first core of the way");
    is_found_fixed_and_undone("S06", &["warn", "fail"]);
    for number in active_interrupts() {
        fs::write(format!("/proc/irq/{number}/smp_affinity_list"), "0-1").ok();
    }
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn real_time_throttling_is_found_switched_off_and_on_again() {
    is_found_fixed_and_undone("S03", &["warn"]);
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn kernel_work_on_the_cores_of_the_way_is_found_kept_away_and_let_back() {
    // isolcpus= alone leaves the mask of write-back at all cores.
    is_found_fixed_and_undone("K07", &["warn", "fail"]);
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn timers_that_wander_onto_the_cores_of_the_way_are_found_kept_away_and_let_back() {
    is_found_fixed_and_undone("S11", &["warn", "fail"]);
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn swap_is_found_and_gone_when_what_is_said_is_done() {
    assert_eq!(Examined::now(&[]).status("M02"), "pass");
    shell("echo 16M > /sys/block/zram0/disksize && mkswap /dev/zram0 && swapon /dev/zram0");
    let with = Examined::now(&[]);
    assert_eq!(with.status("M02"), "warn");
    let said = with.check("M02")["fix"]["do_this"].as_str().unwrap();
    assert!(said.contains("swapoff -a"), "{said}");
    shell("swapoff -a");
    assert_eq!(Examined::now(&[]).status("M02"), "pass");
}

/// Runs as user 1000 with a low limit, in a session such as a login makes; `$1` is a line for the shell there.
fn as_user(line: &str) -> Output {
    let session = "ulimit -l 64; ulimit -r 0 2>/dev/null; exec su tester -c \"$0\"";
    let mut command = Command::new("sh");
    // The shell stays, as the one of a person does: `true` keeps it from becoming its last command.
    command.args(["-c", session, &format!("{line}; code=$?; true; exit $code")]);
    command.stdin(Stdio::null()).output().unwrap()
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn low_limits_of_a_user_are_found_also_through_root_raised_and_undone() {
    let limits = |line: &str| {
        let output = as_user(line);
        let json: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{line}: {}", text(&output)));
        Examined(json)
    };
    let (own, root) = (
        "reflexarc doctor --json",
        "/bin/su root -c 'reflexarc doctor --json'",
    );
    for line in [own, root] {
        let found = limits(line);
        assert_eq!(
            found.status("S02"),
            "fail",
            "{line}: {}",
            found.check("S02")
        );
    }
    // S02 of root itself needs nothing.
    assert_eq!(Examined::now(&[]).status("S02"), "pass");
    let fixed = as_user("/bin/su root -c 'reflexarc doctor --fix'");
    let grant = now("etc/security/limits.d/reflexarc.conf");
    assert!(
        grant.contains(":1000 - memlock unlimited") && grant.contains(":1000 - rtprio 95"),
        "{grant} {}",
        text(&fixed)
    );
    let until = limits(own);
    assert_eq!(until.status("S02"), "warn", "{}", until.check("S02"));
    if std::path::Path::new("/bin/login-as").exists() {
        // A login of the distribution's own, by way of PAM.
        let output = Command::new("/bin/login-as")
            .args(["tester", "-c", own])
            .output()
            .unwrap();
        let json =
            serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
        let again = Examined(json);
        assert_eq!(again.status("S02"), "pass", "{}", again.check("S02"));
        assert_eq!(again.status("M03"), "pass", "{}", again.check("M03"));
        tell("after the next login: real-time priority and locked memory are granted");
    }
    let undone = doctor(&["--undo"]);
    assert_eq!(undone.status.code(), Some(0), "{}", text(&undone));
    assert_eq!(now("etc/security/limits.d/reflexarc.conf"), "");
    assert_eq!(limits(own).status("S02"), "fail", "as before");
    tell("S02 found, explained, fixed for the next login, undone");
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn the_probe_shows_a_histogram_of_each_core_and_says_what_isolation_gains() {
    let measured = Examined::now(&["--measure", "5s"]);
    let histograms = measured.0["measured"]["histograms"].as_array().unwrap();
    for core in measured.way() {
        for what in ["wake-up, idle", "wake-up, under load"] {
            let name = format!("{what}, core {core}");
            let of = histograms.iter().find(|h| h["name"] == name.as_str());
            let of = of.unwrap_or_else(|| panic!("no {name}"));
            assert!(of["count"].as_u64().unwrap() > 0, "{of}");
            tell(&format!(
                "{name}: p50 {} us, max {} us, of {}",
                of["p50_ns"].as_u64().unwrap() / 1000,
                of["max_ns"].as_u64().unwrap() / 1000,
                of["count"]
            ));
        }
    }
    let gain = measured.check("X02");
    assert!(
        ["pass", "warn", "fail"].contains(&gain["status"].as_str().unwrap()),
        "{gain}"
    );
    tell(&format!(
        "X02 says: {}",
        gain["effective"].as_str().unwrap()
    ));
    for id in ["X01", "X03", "X05", "X06"] {
        assert_ne!(measured.status(id), "unknown", "{}", measured.check(id));
    }
}

#[test]
#[ignore = "needs a guest: scripts/dev vm doctor"]
fn a_capture_of_the_guest_is_judged_as_the_guest_is() {
    shell("rm -rf /tmp/captured && mkdir /tmp/captured");
    let output = doctor(&["--capture", "/tmp/captured.tar"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    shell("tar -xf /tmp/captured.tar -C /tmp/captured");
    let (live, again) = (
        Examined::now(&[]),
        Examined::now(&["--root", "/tmp/captured"]),
    );
    for check in live.0["checks"].as_array().unwrap() {
        let id = check["id"].as_str().unwrap();
        // Threads and interrupts come and go between the two looks.
        if check["way"] == "passive" && !["S06", "S07", "S10", "K05"].contains(&id) {
            assert_eq!(
                again.status(id),
                live.status(id),
                "{check} {}",
                again.check(id)
            );
        }
    }
}
