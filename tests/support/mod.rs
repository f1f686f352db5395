//! What tests of the running binary share: start it, stop it, read its report.
#![allow(dead_code, clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// The binary under test.
pub fn reflexarc() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_reflexarc"));
    command.stdin(Stdio::null());
    command
}

/// A run with a report in `dir`, started.
pub fn start(dir: &Path, arguments: &[&str]) -> Child {
    reflexarc()
        .arg("run")
        .args(["--quiet", "--report"])
        .arg(dir)
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// A run with a report in `dir`, to its end.
pub fn run(dir: &Path, arguments: &[&str]) -> Output {
    start(dir, arguments).wait_with_output().unwrap()
}

pub fn text(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

pub fn report(dir: &Path) -> Value {
    let path = dir.join("report.json");
    let json = std::fs::read_to_string(&path)
        .unwrap_or_else(|e| panic!("{} could not be read: {e}", path.display()));
    serde_json::from_str(&json).unwrap()
}

/// `in = out + dropped by reason + in flight`, at every link. Returns the links' names.
pub fn assert_accounts_balance(report: &Value) -> Vec<String> {
    let links = report["links"].as_array().expect("the report has links");
    assert!(!links.is_empty());
    for link in links {
        let number = |key: &str| {
            link[key]
                .as_u64()
                .unwrap_or_else(|| panic!("{key} in {link}"))
        };
        let dropped: u64 = link["dropped"]
            .as_object()
            .expect("dropped by reason")
            .values()
            .map(|n| n.as_u64().unwrap())
            .sum();
        assert_eq!(
            number("in"),
            number("out") + dropped + number("in_flight"),
            "the account of a link does not balance: {link}"
        );
    }
    links
        .iter()
        .map(|l| l["name"].as_str().unwrap().to_owned())
        .collect()
}

pub fn link<'a>(report: &'a Value, name: &str) -> &'a Value {
    report["links"]
        .as_array()
        .unwrap()
        .iter()
        .find(|l| l["name"] == name)
        .unwrap_or_else(|| panic!("no link `{name}` in {}", report["links"]))
}

/// A file of the models cache, fetched by `scripts/dev test` beforehand.
pub fn cached(name: &str) -> PathBuf {
    let path = reflexarc::models::cache_dir().join(name);
    assert!(
        path.exists(),
        "{} is missing: run `scripts/dev test`, which fetches it",
        path.display()
    );
    path
}
