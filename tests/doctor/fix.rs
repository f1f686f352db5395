//! What --fix sets on a captured tree, and that --undo brings every byte back.

use std::process::Output;

use reflexarc::doctor::check::Status;

use super::tree::{Tree, look};
use crate::support::{reflexarc, text};

fn doctor(tree: &Tree, arguments: &[&str]) -> Output {
    reflexarc()
        .arg("doctor")
        .arg("--root")
        .arg(tree.path())
        .args(arguments)
        .output()
        .unwrap()
}

fn read(tree: &Tree, path: &str) -> String {
    std::fs::read_to_string(tree.path().join(path))
        .unwrap()
        .trim()
        .to_owned()
}

#[test]
fn a_dry_run_changes_nothing() {
    let tree = Tree::fixture("raspberry-pi-5");
    let before = tree.files();
    let output = doctor(&tree, &["--fix", "--dry-run"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("would be set  /proc/sys/kernel/sched_rt_runtime_us: 950000 -> -1"),
        "{said}"
    );
    assert!(said.contains("by hand  K03"), "{said}");
    assert_eq!(tree.files(), before);
}

#[test]
fn a_fix_is_taken_back_byte_for_byte() {
    for name in ["raspberry-pi-5", "orin-nano", "rock-5b", "virtual-machine"] {
        let tree = Tree::fixture(name);
        let before = tree.files();
        let fixed = doctor(&tree, &["--fix"]);
        assert!(
            text(&fixed).contains("--undo` takes it back"),
            "{name}: {}",
            text(&fixed)
        );
        assert_ne!(tree.files(), before, "{name}");
        let undone = doctor(&tree, &["--undo"]);
        assert_eq!(undone.status.code(), Some(0), "{name}: {}", text(&undone));
        assert_eq!(tree.files(), before, "{name}");
        let again = doctor(&tree, &["--undo"]);
        assert!(text(&again).contains("nothing to undo"), "{}", text(&again));
    }
}

#[test]
fn what_is_fixed_is_right_afterwards() {
    let tree = Tree::fixture("raspberry-pi-5");
    let wrong = |tree: &Tree, id: &str| {
        let json: serde_json::Value =
            serde_json::from_slice(&doctor(tree, &["--json"]).stdout).unwrap();
        let checks = json["checks"].as_array().unwrap();
        let check = checks.iter().find(|check| check["id"] == id).unwrap();
        check["status"].as_str().unwrap().to_owned()
    };
    let ids = ["C01", "K06", "K07", "S03", "S11", "M05", "V06"];
    for id in ids {
        assert!(
            ["fail", "warn"].contains(&wrong(&tree, id).as_str()),
            "{id}"
        );
    }
    doctor(&tree, &["--fix"]);
    for id in ids {
        assert_eq!(wrong(&tree, id), "pass", "{id}");
    }
    assert_eq!(
        read(
            &tree,
            "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor"
        ),
        "performance"
    );
    assert_eq!(read(&tree, "proc/irq/default_smp_affinity"), "3");
    // A second fix has nothing to do, and the undo still knows the first state.
    doctor(&tree, &["--fix"]);
    doctor(&tree, &["--undo"]);
    assert_eq!(
        read(
            &tree,
            "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor"
        ),
        "ondemand"
    );
}

#[test]
fn what_somebody_else_set_meanwhile_is_left_alone() {
    let tree = Tree::fixture("raspberry-pi-5");
    doctor(&tree, &["--fix"]);
    let path = "sys/devices/system/cpu/cpu3/cpufreq/scaling_governor";
    std::fs::write(tree.path().join(path), "powersave\n").unwrap();
    let output = doctor(&tree, &["--undo"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(15), "{said}");
    assert!(said.contains("somebody has set it to powersave"), "{said}");
    assert_eq!(read(&tree, path), "powersave");
    assert_eq!(
        read(
            &tree,
            "sys/devices/system/cpu/cpu2/cpufreq/scaling_governor"
        ),
        "ondemand"
    );
}

#[test]
fn a_setting_that_is_refused_is_said_and_the_rest_is_made() {
    let tree = Tree::fixture("raspberry-pi-5");
    // A folder in the place of a file cannot be written, whoever tries.
    let path = tree.path().join("proc/sys/kernel/timer_migration");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o444)).unwrap();
    let output = doctor(&tree, &["--fix"]);
    // Root may write such a file nevertheless.
    // SAFETY: geteuid takes nothing.
    if unsafe { libc::geteuid() } != 0 {
        assert_eq!(output.status.code(), Some(15), "{}", text(&output));
        assert!(
            text(&output).contains("NOT set  /proc/sys/kernel/timer_migration"),
            "{}",
            text(&output)
        );
    }
    assert_eq!(read(&tree, "proc/sys/kernel/sched_rt_runtime_us"), "-1");
}

#[test]
fn a_fix_killed_half_way_is_undone_as_well() {
    let tree = Tree::fixture("raspberry-pi-5");
    let before = tree.files();
    // As after a kill between the note and the write, and after one write.
    let undo = r#"{"schema":"reflexarc-undo/1","changed":[
        {"path":"proc/sys/kernel/sched_rt_runtime_us","before":"950000\n","restore":"950000","set":"-1"},
        {"path":"proc/sys/vm/stat_interval","before":"1\n","restore":"1","set":"10"}],"refused":[]}"#;
    let tree = tree
        .with("run/reflexarc/doctor-undo.json", undo)
        .with("proc/sys/kernel/sched_rt_runtime_us", "-1\n");
    let output = doctor(&tree, &["--undo"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert_eq!(tree.files(), before);
}

#[test]
fn nothing_outside_the_tree_is_written() {
    let outside = tempfile::tempdir().unwrap();
    let victim = outside.path().join("victim");
    std::fs::write(&victim, "950000\n").unwrap();
    let tree = Tree::fixture("raspberry-pi-5");
    let path = tree.path().join("proc/sys/kernel/sched_rt_runtime_us");
    std::fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink(&victim, &path).unwrap();
    doctor(&tree, &["--fix"]);
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "950000\n");
}

/// A machine where somebody with low limits, user 1000, called `sudo`.
fn called_by_sudo() -> Tree {
    let limits = |lock: &str| {
        format!(
            "Limit Soft Hard Units\nMax locked memory  {lock} {lock} bytes\nMax realtime priority  0 0\n"
        )
    };
    let status = |user: u32, parent: u32, rights: &str| {
        format!(
            "Name:\tx\nPPid:\t{parent}\nUid:\t{user}\t{user}\t{user}\t{user}\nCapEff:\t{rights}\n"
        )
    };
    let (all, none) = ("000001ffffffffff", "0000000000000000");
    Tree::four_cores()
        .with("proc/self/status", status(0, 41, all))
        .with("proc/self/limits", limits("65536"))
        .with("proc/41/status", status(0, 40, all))
        .with("proc/41/limits", limits("65536"))
        .with("proc/40/status", status(1000, 1, none))
        .with("proc/40/limits", limits("65536"))
        .folder("etc/security/limits.d")
}

const GRANT: &str = "etc/security/limits.d/reflexarc.conf";

#[test]
fn low_limits_of_who_called_sudo_are_raised_for_the_next_login_and_undone() {
    let tree = called_by_sudo();
    let before = tree.files();
    assert_eq!(look(&tree, None, "S02").status, Status::Fail);
    let dry = doctor(&tree, &["--fix", "--dry-run"]);
    assert!(text(&dry).contains(GRANT), "{}", text(&dry));
    assert_eq!(tree.files(), before, "a dry run changes nothing");
    doctor(&tree, &["--fix"]);
    let written = read(&tree, GRANT);
    assert!(
        written.ends_with(":1000 - rtprio 95\n:1000 - memlock unlimited"),
        "{written}"
    );
    let outcome = look(&tree, None, "S02");
    assert_eq!(outcome.status, Status::Warn, "until he logs in again");
    assert!(outcome.effective.contains("next login"), "{outcome:?}");
    doctor(&tree, &["--undo"]);
    assert_eq!(tree.files(), before);
}

#[test]
fn a_file_of_ours_goes_also_when_the_fix_is_forgotten_and_no_other_file_does() {
    let tree = called_by_sudo();
    let before = tree.files();
    doctor(&tree, &["--fix"]);
    // What a reboot takes.
    std::fs::remove_dir_all(tree.path().join("run")).unwrap();
    let undone = doctor(&tree, &["--undo"]);
    assert_eq!(undone.status.code(), Some(0), "{}", text(&undone));
    assert_eq!(tree.files(), before);
    let tree = called_by_sudo().with(GRANT, "# mine\n");
    let undone = doctor(&tree, &["--undo"]);
    assert!(
        text(&undone).contains("nothing to undo"),
        "{}",
        text(&undone)
    );
    assert_eq!(read(&tree, GRANT), "# mine");
}

#[test]
fn what_somebody_wrote_in_the_place_of_our_file_comes_back_byte_for_byte() {
    let tree = called_by_sudo().with(GRANT, "* - memlock 1, 2-3\n\n");
    let before = tree.files();
    doctor(&tree, &["--fix"]);
    assert_ne!(tree.files(), before);
    doctor(&tree, &["--undo"]);
    assert_eq!(tree.files(), before);
}

#[test]
fn a_link_in_the_place_of_our_file_is_not_followed() {
    let elsewhere = tempfile::tempdir().unwrap();
    let victim = elsewhere.path().join("victim");
    let tree = called_by_sudo();
    std::os::unix::fs::symlink(&victim, tree.path().join(GRANT)).unwrap();
    let output = doctor(&tree, &["--fix"]);
    assert_eq!(output.status.code(), Some(15), "{}", text(&output));
    assert!(!victim.exists());
}
