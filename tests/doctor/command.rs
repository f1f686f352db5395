//! The command: exit codes, JSON, explanations, mistakes.

use std::process::Output;

use serde_json::Value;

use super::tree::Tree;
use crate::support::{reflexarc, text};

fn doctor(arguments: &[&str]) -> Output {
    reflexarc().arg("doctor").args(arguments).output().unwrap()
}

fn on(tree: &Tree, arguments: &[&str]) -> Output {
    reflexarc()
        .args(["doctor", "--root"])
        .arg(tree.path())
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn an_unknown_id_is_explained() {
    let output = doctor(&["--explain", "K99"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("error: no check has the id `K99`"), "{said}");
    assert!(
        said.contains("why: the ids are K01, ") && said.contains("fix: "),
        "{said}"
    );
}

#[test]
fn an_explanation_says_why_and_what_it_rests_on() {
    let tree = Tree::fixture("rock-5b");
    let output = on(&tree, &["--explain", "k04"]);
    let said = text(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    for part in [
        "why it matters:",
        "what it rests on: That Armbian",
        "here: fail:",
        "needs a reboot: yes",
        "/sys/devices/system/cpu/nohz_full: (not there)",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn exit_codes_tell_failing_from_not_passing() {
    let rock = Tree::fixture("rock-5b");
    assert_eq!(on(&rock, &[]).status.code(), Some(15));
    assert_eq!(on(&rock, &["--strict"]).status.code(), Some(15));
    // A tree without failures: what cannot be known is no failure, and strictly no pass.
    let tree = Tree::empty().with("proc/sys/kernel/version", "#1 SMP PREEMPT_RT");
    assert_eq!(on(&tree, &[]).status.code(), Some(0));
    assert_eq!(on(&tree, &["--strict"]).status.code(), Some(16));
}

#[test]
fn the_json_is_as_documented() {
    let tree = Tree::fixture("raspberry-pi-5");
    let output = on(&tree, &["--json"]);
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys = |value: &Value| {
        let mut keys: Vec<String> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys.join(" ")
    };
    assert_eq!(json["schema"], "reflexarc-doctor/1");
    assert_eq!(
        keys(&json),
        "board board_said checks cores counts measured root schema version"
    );
    assert_eq!(keys(&json["cores"]), "from housekeeping online way");
    assert_eq!(
        keys(&json["counts"]),
        "fail not_applicable pass unknown warn"
    );
    assert_eq!(json["board"], "raspberry-pi-5");
    assert!(json["measured"].is_null());
    let mut sum = 0;
    for check in json["checks"].as_array().unwrap() {
        assert_eq!(
            keys(check),
            "category effective evidence fix id requested rests_on status title way why"
        );
        let status = check["status"].as_str().unwrap();
        assert!(
            ["pass", "warn", "fail", "unknown", "not_applicable"].contains(&status),
            "{check}"
        );
        assert!(
            [
                "kernel",
                "scheduler",
                "power",
                "memory",
                "camera",
                "system",
                "measured"
            ]
            .contains(&check["category"].as_str().unwrap())
        );
        assert!(["passive", "active", "measured"].contains(&check["way"].as_str().unwrap()));
        if let Some(fix) = check["fix"].as_object() {
            assert_eq!(
                keys(&Value::Object(fix.clone())),
                "boot_arguments do_this reboot settings to_stay"
            );
        }
        for piece in check["evidence"].as_array().unwrap() {
            assert_eq!(keys(piece), "content path");
        }
        sum += 1;
    }
    let counted: u64 = json["counts"]
        .as_object()
        .unwrap()
        .values()
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(counted, sum);
    // Every id that docs/doctor.md shows is there, and the other way round.
    let docs = include_str!("../../docs/doctor.md");
    for check in json["checks"].as_array().unwrap() {
        let id = check["id"].as_str().unwrap();
        assert!(
            docs.contains(&format!("| {id} |")),
            "docs/doctor.md lacks {id}"
        );
    }
}

#[test]
fn the_text_shows_what_is_wrong_with_its_evidence_and_fix() {
    let output = on(&Tree::fixture("raspberry-pi-5"), &[]);
    let said = text(&output);
    for part in [
        "board: raspberry-pi-5, found by itself",
        "way: cores 2-3 (of the board file)",
        "FAIL  K03  isolated cores: none",
        "wanted: 2-3 (of the board file)",
        "fix: add `isolcpus=managed_irq,domain,2-3 nohz_full=2-3 rcu_nocbs=2-3 irqaffinity=0-1`",
        "(needs a reboot)",
        "????  S01",
        "--fix --dry-run",
    ] {
        assert!(said.contains(part), "{part}\n{said}");
    }
}

#[test]
fn mistakes_on_the_command_line_are_explained() {
    for (arguments, code, part) in [
        (&["--root", "/no/such/folder"][..], 8, "is no folder"),
        (&["--board", "jetson-nano-9"], 3, "no board is called"),
        (&["--measure", "1ms"], 2, "a measurement takes"),
        (&["--measure", "soon"], 2, "not a duration"),
        (&["--dry-run"], 2, "--fix"),
        (&["--json", "--fix"], 2, "--fix"),
    ] {
        let output = doctor(arguments);
        let said = text(&output);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(part), "{arguments:?}: {said}");
        assert!(said.contains("why: ") && said.contains("fix: "), "{said}");
    }
}

#[test]
fn a_named_board_that_this_is_not_fails_its_check() {
    let tree = Tree::fixture("raspberry-pi-5");
    let output = on(&tree, &["--board", "rock-5b", "--explain", "Y01"]);
    assert!(
        text(&output).contains("here: fail: raspberry-pi-5"),
        "{}",
        text(&output)
    );
}

#[test]
fn this_machine_can_be_measured() {
    let output = doctor(&["--measure", "1s", "--json"]);
    let json: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", text(&output)));
    let way = json["cores"]["way"].as_array().unwrap();
    let names: Vec<&str> = json["measured"]["histograms"]
        .as_array()
        .unwrap()
        .iter()
        .map(|h| h["name"].as_str().unwrap())
        .collect();
    for core in way {
        for what in [
            "wake-up, idle",
            "wake-up, under load",
            "gaps while spinning",
        ] {
            assert!(
                names.contains(&format!("{what}, core {core}").as_str()),
                "{names:?}"
            );
        }
    }
    for histogram in json["measured"]["histograms"].as_array().unwrap() {
        let (count, max) = (
            histogram["count"].as_u64().unwrap(),
            histogram["max_ns"].as_u64().unwrap(),
        );
        assert!(
            histogram["p50_ns"].as_u64() <= histogram["p99_ns"].as_u64()
                && histogram["p999_ns"].as_u64().unwrap() <= max
        );
        let in_buckets: u64 = histogram["buckets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|b| b[1].as_u64().unwrap())
            .sum();
        assert_eq!(in_buckets, count, "{histogram}");
        if histogram["name"].as_str().unwrap().starts_with("wake-up") {
            assert!(count > 0, "{histogram}");
        }
    }
    // With a number for each core of the way, no measured check of it is unknown, the firmware's apart.
    for check in json["checks"].as_array().unwrap() {
        if ["X01", "X03", "X05"].contains(&check["id"].as_str().unwrap()) && !way.is_empty() {
            assert_ne!(check["status"], "unknown", "{check}");
        }
    }
}

#[test]
fn a_run_puts_the_doctors_summary_into_its_report() {
    let dir = tempfile::tempdir().unwrap();
    let output = crate::support::run(
        dir.path(),
        &[
            "--source",
            "synthetic:64x48@30,format=GREY",
            "--duration",
            "1s",
        ],
    );
    let report = crate::support::report(dir.path());
    let doctor = &report["environment"]["doctor"];
    let counts = doctor["checks"]
        .as_object()
        .unwrap_or_else(|| panic!("{}", text(&output)));
    assert!(counts.values().map(|n| n.as_u64().unwrap()).sum::<u64>() > 40);
    assert_eq!(
        doctor["failed"].as_array().unwrap().len() as u64,
        counts["fail"].as_u64().unwrap()
    );
    let page = std::fs::read_to_string(dir.path().join("report.html")).unwrap();
    assert!(
        page.contains("<td>doctor</td>") || page.contains("doctor"),
        "the page names the doctor"
    );
}
