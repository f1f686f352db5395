//! A capture of this machine: it tells nothing about its owner, and the doctor says the same of it as of the machine.

use std::path::Path;
use std::process::Command;

use reflexarc::board::tree::Tree as Files;
use reflexarc::doctor::capture;
use reflexarc::doctor::check::Way;
use reflexarc::doctor::command;
use reflexarc::doctor::examination::Examination;
use reflexarc::doctor::view::View;
use serde_json::Value;

use super::tree::Tree;
use crate::support::{reflexarc, text};

/// A machine whose owner would not like to be known, as far as files go.
fn private() -> Tree {
    Tree::fixture("raspberry-pi-5")
        .with("proc/cmdline", "root=PARTUUID=5ec7e7-02 isolcpus=2-3 wifi.psk=5ec7e7 user=5ec7e7 -- --token 5ec7e7\n")
        .with("boot/firmware/cmdline.txt", "root=PARTUUID=5ec7e7-02 cfg80211.key=5ec7e7 quiet\n")
        .with("proc/cpuinfo", "processor\t: 0\nCPU part\t: 0xd0b\nCPU implementer\t: 0x41\nRevision\t: 5ec7e7\nSerial\t\t: 5ec7e7deadbeef\nModel\t\t: Raspberry Pi 5\n")
        .with("dev/kmsg", "5,0,0,-;Linux version 6 (5ec7e7@5ec7e7) gcc\n5,1,0,-;Kernel command line: wifi.psk=5ec7e7\n5,2,0,-;Unknown kernel command line parameters \"key=5ec7e7\", will be passed\n6,3,0,-;usb 1-1: SerialNumber: 5ec7e7\n")
        .with("proc/self/status", "Name:\t5ec7e7\nUid:\t1234\nCapEff:\t0000000000000000\nCpus_allowed_list:\t0-3\n")
        .with("proc/self/mounts", "/dev/disk/by-uuid/5ec7e7 / ext4 rw 0 0\n//5ec7e7/share /home/5ec7e7 cifs rw,username=5ec7e7 0 0\n")
        .with("proc/self/cgroup", "0::/user.slice/user-5ec7e7.slice\n")
        .with("sys/fs/cgroup/user.slice/user-5ec7e7.slice/cpuset.cpus.effective", "0-3\n")
        .with("proc/swaps", "Filename Type Size Used Priority\n/home/5ec7e7/swap file 1 0 -2\n")
        .with("proc/sys/kernel/hostname", "5ec7e7\n")
        .with("etc/systemd/system/reflexarc.service", "[Service]\nUser=5ec7e7\nEnvironment=KEY=5ec7e7\nWatchdogSec=2s\n")
        .with("var/log/journal/5ec7e7/x", "")
        .with("sys/class/video4linux/video0/device/uevent", "DRIVER=uvcvideo\nPRODUCT=46d/825/5ec7e7\n")
        .task(700, "5ec7e7", "user", 2, 0)
}

fn captured(tree: &Tree) -> capture::Contents {
    let files = Files::new(tree.path()).noting();
    let judge = command::board(&files, "auto").unwrap();
    let view = View::new(&files, judge.file.as_ref().map(|file| &file.board));
    Examination::all(&view);
    capture::contents(&files.asked())
}

#[test]
fn nothing_of_the_owner_is_in_a_capture() {
    let contents = captured(&private());
    assert!(contents.files.len() > 60, "{:?}", contents.files.keys());
    for (path, bytes) in &contents.files {
        let said = String::from_utf8_lossy(bytes);
        assert!(
            !said.contains("5ec7e7") && !path.contains("5ec7e7"),
            "{path}: {said}"
        );
        assert!(
            !said.contains("1234") && !said.contains("deadbeef"),
            "{path}: {said}"
        );
    }
    assert!(
        contents.folders.iter().all(|path| !path.contains("5ec7e7")),
        "{:?}",
        contents.folders
    );
}

#[test]
fn a_capture_of_a_tree_gets_the_same_verdicts() {
    for name in [
        "orin-nano",
        "raspberry-pi-5",
        "rock-5b",
        "pc-debian-rt",
        "virtual-machine",
        "guest-x86-64-isolated",
        "guest-x86-64-plain",
    ] {
        let tree = Tree::fixture(name);
        let contents = captured(&tree);
        let mut again = Tree::empty();
        for (path, bytes) in &contents.files {
            again = again.with(path, bytes);
        }
        for path in &contents.folders {
            again = again.folder(path);
        }
        let of = |tree: &Tree| {
            let files = Files::new(tree.path());
            let judge = command::board(&files, "auto").unwrap();
            super::tree::verdicts(tree, judge.file.as_ref().map(|file| &file.board))
        };
        assert_eq!(of(&again), of(&tree), "{name}");
    }
}

/// Unpacks with the machine's own tar, which is what people have.
fn unpack(file: &Path, into: &Path) {
    let done = Command::new("tar")
        .arg("-xf")
        .arg(file)
        .arg("-C")
        .arg(into)
        .output()
        .unwrap();
    assert!(done.status.success(), "{}", text(&done));
}

fn checks(json: &[u8]) -> Vec<(String, String, String, String)> {
    let json: Value = serde_json::from_slice(json).unwrap();
    let of = |check: &Value, key: &str| check[key].as_str().unwrap().to_owned();
    let checks = json["checks"].as_array().unwrap().iter();
    checks
        .map(|c| {
            (
                of(c, "id"),
                of(c, "way"),
                of(c, "status"),
                of(c, "effective"),
            )
        })
        .collect()
}

#[test]
fn a_capture_of_this_machine_is_judged_as_the_machine_is() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["here.tar.gz", "here.tar"] {
        let file = folder.path().join(name);
        let output = reflexarc()
            .args(["doctor", "--capture"])
            .arg(&file)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
        let into = tempfile::tempdir().unwrap();
        unpack(&file, into.path());
        let live = reflexarc().args(["doctor", "--json"]).output().unwrap();
        let again = reflexarc()
            .args(["doctor", "--json", "--root"])
            .arg(into.path())
            .output()
            .unwrap();
        for (here, there) in checks(&live.stdout).iter().zip(checks(&again.stdout)) {
            assert_eq!(here.0, there.0);
            // Threads come and go between the two looks; the rest stays.
            if here.1 == "passive"
                && !["S10", "S06", "S07", "C08", "K05"].contains(&here.0.as_str())
            {
                assert_eq!(here.2, there.2, "{here:?} {there:?}");
            }
            if here.1 != "passive" && here.0 != "C03" {
                assert_ne!(there.2, "pass", "{there:?}");
            }
        }
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        for (path, bytes) in Tree::files_below(into.path()) {
            assert!(!path.contains("hostname"), "{path}");
            let words = String::from_utf8_lossy(&bytes).into_owned();
            let named = words
                .split(|c: char| !c.is_alphanumeric())
                .any(|word| word == host.trim());
            assert!(host.trim().len() < 3 || !named, "{path} names the host");
        }
    }
}

#[test]
fn every_active_check_is_unknown_or_without_an_object_on_a_capture() {
    let tree = Tree::fixture("pc-debian-rt");
    let files = Files::new(tree.path());
    let examination = Examination::all(&View::new(&files, None));
    for finding in examination
        .findings
        .iter()
        .filter(|f| f.check.way != Way::Passive)
    {
        // C03 may know from files alone that there is no deep state.
        if finding.check.id != "C03" {
            assert!(
                finding.outcome.status != reflexarc::doctor::check::Status::Pass,
                "{}",
                finding.check.id
            );
        }
    }
}

#[test]
fn a_name_without_a_known_form_is_refused() {
    let output = reflexarc()
        .args(["doctor", "--capture", "board.zip"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output).contains(".tar.gz"), "{}", text(&output));
}
