//! `--board auto`: the plan of the board that is found; on a machine that is not known the plan that follows from it.

use std::fs;
use std::path::Path;

use reflexarc::board::choose::{auto, choose};
use reflexarc::board::detect::detect;
use reflexarc::board::evidence::Evidence;
use reflexarc::board::registry::Registry;
use reflexarc::config::Config;
use reflexarc::rt::plan::Machine;

use super::tree::{Tree, orin_nano};
use crate::support::{reflexarc, report, run, text};

fn machine(cores: usize) -> Machine {
    Machine {
        cores: (0..cores).collect(),
        isolated: Vec::new(),
    }
}

#[test]
fn a_board_that_is_found_gives_its_plan_and_says_so() {
    let chosen = auto(orin_nano().path(), &machine(6)).unwrap();
    assert_eq!(chosen.name.as_deref(), Some("jetson-orin-nano"));
    let threads = chosen.threads.unwrap();
    assert_eq!(threads.cores, Some(vec![4, 5]));
    assert_eq!(threads.action.core, Some(5));
    for word in [
        "jetson-orin-nano",
        "found by itself",
        "nvidia,p3767-0005",
        "its thread plan is used",
    ] {
        assert!(chosen.said.contains(word), "no `{word}` in {}", chosen.said);
    }
}

#[test]
fn a_plan_that_does_not_fit_is_not_used_and_the_run_goes_on() {
    let chosen = auto(orin_nano().path(), &machine(4)).unwrap();
    assert_eq!(chosen.name.as_deref(), Some("jetson-orin-nano"));
    assert!(chosen.threads.is_none());
    for word in ["does not fit", "core 4", "follows from the machine"] {
        assert!(chosen.said.contains(word), "no `{word}` in {}", chosen.said);
    }
    // Who names the board means it.
    let fault = choose("jetson-orin-nano", &machine(4)).unwrap_err();
    assert!(fault.what.contains("core 4"), "{fault}");
}

#[test]
fn on_an_unknown_machine_it_says_why_and_goes_on() {
    let tree = Tree::device_tree(&["acme,robot-1"], "ACME Robot 1");
    let chosen = auto(tree.path(), &machine(4)).unwrap();
    assert_eq!(chosen.name, None);
    assert!(chosen.threads.is_none());
    for word in ["board: unknown", "follows from the machine", "board detect"] {
        assert!(chosen.said.contains(word), "no `{word}` in {}", chosen.said);
    }
}

#[test]
fn a_run_on_this_machine_takes_what_it_finds() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("quick.toml");
    fs::write(
        &config,
        "encoder.name = \"null\"\npolicy.name = \"still\"\n",
    )
    .unwrap();
    let config = config.to_str().unwrap();
    let source = "synthetic:320x240@30";
    let arguments = [
        "--board", "auto", "--config", config, "--source", source, "--sink", "null",
    ];
    let output = run(
        &dir.path().join("report"),
        &[&arguments[..], &["--duration", "1s"]].concat(),
    );
    let code = output.status.code();
    assert!(code == Some(0) || code == Some(1), "{}", text(&output));

    let boards = Registry::load().unwrap().boards;
    let here = detect(&boards, Evidence::read(Path::new("/"))).found;
    if cfg!(target_arch = "x86_64") {
        assert!(here.is_some(), "a PC is at least a PC");
    }
    let report = report(&dir.path().join("report"));
    assert_eq!(
        report["run"]["board"].as_str().unwrap(),
        here.clone().unwrap_or_default()
    );
    let said = report["run"]["plan"][0].as_str().unwrap();
    let wanted = format!("board: {}", here.as_deref().unwrap_or("unknown"));
    assert!(said.starts_with(&wanted), "{said}");

    let mut check = reflexarc();
    check.arg("check").args(arguments);
    let said = text(&check.output().unwrap());
    assert!(said.contains(&wanted), "{said}");
}

#[test]
fn threads_of_the_configurations_own_go_before_the_plan_of_a_board_that_was_found() {
    let text = "[threads]\nlayout = \"together\"\npriority = 70\n";
    let mut config = Config::parse(text, "robot.toml").unwrap();
    let written = format!("{:?}", config.threads);
    config.set_board("auto").unwrap();
    assert_eq!(format!("{:?}", config.threads), written);
    let chosen = config.board.as_ref().unwrap();
    assert!(chosen.threads.is_none());
    if chosen.name.is_some() {
        assert!(
            chosen.said.contains("[threads] of its own"),
            "{}",
            chosen.said
        );
    }
    // Who names the board means it.
    config.set_board("x86-64").unwrap();
    assert_ne!(format!("{:?}", config.threads), written);
}
