//! A disk that takes nothing, a folder that is in use, a folder that cannot be.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Output;

use reflexarc::state::pair::{Folder, Halves, NAMES};
use reflexarc::state::segments;

use crate::support::{report, run, text};

fn settings(dir: &Path, state: &Path, more: &str) -> String {
    let config = dir.join("run.toml");
    let text = format!(
        "encoder.name = \"null\"\npolicy.name = \"still\"\n[state]\nlevel = \"journal\"\npath = {state:?}\nevery = \"100 ms\"\n{more}"
    );
    std::fs::write(&config, text).unwrap();
    config.to_str().unwrap().to_owned()
}

fn run_with(dir: &Path, config: &str) -> Output {
    let source = ["--source", "synthetic:320x240@30", "--duration", "1s"];
    run(
        &dir.join("report"),
        &[&source[..], &["--config", config]].concat(),
    )
}

#[test]
fn a_full_disk_does_not_end_the_run_and_is_counted_and_said() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    std::fs::create_dir(&state).unwrap();
    // Every write there says that no space is left.
    for name in NAMES {
        symlink("/dev/full", state.join(name)).unwrap();
    }
    for index in 0..segments::FILES {
        symlink("/dev/full", segments::path(&state, index)).unwrap();
    }
    let output = run_with(dir.path(), &settings(dir.path(), &state, ""));
    let said = text(&output);
    assert!(matches!(output.status.code(), Some(0 | 1)), "{said}");
    assert!(
        said.contains("not keeping the state: No space left"),
        "{said}"
    );
    let whole = report(&dir.path().join("report"));
    let kept = &whole["state"];
    assert!(kept["snapshots"]["failed"].as_u64().unwrap() >= 3, "{kept}");
    assert_eq!(kept["snapshots"]["done"], 0, "{kept}");
    assert!(kept["entries_lost"].as_u64() > Some(0), "{kept}");
    assert_eq!(kept["entries_lost"], kept["entries"], "{kept}");
    assert!(whole["elements"]["actions"].as_u64().unwrap() > 10);

    // Once there is space, the same folder works.
    for name in NAMES {
        std::fs::remove_file(state.join(name)).unwrap();
    }
    let output = run_with(dir.path(), &settings(dir.path(), &state, ""));
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );
    let kept = report(&dir.path().join("report"))["state"].clone();
    assert_eq!(kept["snapshots"]["failed"], 0, "{kept}");
    let halves = Halves::read(&state);
    assert!(halves.state().unwrap().1.runs.ended);
}

#[test]
fn a_folder_that_another_run_uses_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    let folder = Folder::open(&state).unwrap();
    let output = run_with(dir.path(), &settings(dir.path(), &state, ""));
    assert_eq!(output.status.code(), Some(5), "{}", text(&output));
    assert!(text(&output).contains("is in use"), "{}", text(&output));
    drop(folder);
    let output = run_with(dir.path(), &settings(dir.path(), &state, ""));
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );
}

#[test]
fn a_changed_configuration_begins_cold_or_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    run_with(dir.path(), &settings(dir.path(), &state, ""));
    let again = run_with(dir.path(), &settings(dir.path(), &state, ""));
    assert!(
        text(&again).contains("run 1 had come to its end"),
        "{}",
        text(&again)
    );
    assert!(!text(&again).contains("cold start"), "{}", text(&again));

    let changed = "[action]\nrate = 50\n";
    let output = run_with(dir.path(), &settings(dir.path(), &state, changed));
    assert!(text(&output).contains("cold start"), "{}", text(&output));

    let refusing = "on_change = \"refuse\"\n";
    let output = run_with(dir.path(), &settings(dir.path(), &state, refusing));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(
        text(&output).contains("another configuration"),
        "{}",
        text(&output)
    );
}

#[test]
fn a_place_that_cannot_be_a_folder_is_refused_before_anything_runs() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    std::fs::write(&file, "").unwrap();
    let output = run_with(dir.path(), &settings(dir.path(), &file, ""));
    assert_eq!(output.status.code(), Some(12), "{}", text(&output));
    assert!(text(&output).contains("state.path"), "{}", text(&output));
}
