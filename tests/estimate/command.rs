//! The command: text, data, drawings, and what users do wrong.

use serde_json::Value;

use crate::support::{self, text};

fn estimate(arguments: &[&str]) -> std::process::Output {
    support::reflexarc()
        .arg("estimate")
        .args(arguments)
        .output()
        .unwrap()
}

/// What it printed; it must have worked.
#[track_caller]
fn said(arguments: &[&str]) -> String {
    let output = estimate(arguments);
    assert!(output.status.success(), "{}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let mut all = vec!["--json"];
    all.extend(arguments);
    serde_json::from_str(&said(&all)).unwrap()
}

#[test]
fn both_numbers_and_the_reason_stand_in_the_text() {
    let said = said(&["w2"]);
    let line = said.lines().find(|line| line.contains("more throughput  "));
    let words: Vec<&str> = line.unwrap().split_whitespace().collect();
    assert_eq!(
        words,
        ["more", "throughput", "1.5", "x", "1.493", "x", "M4"]
    );
    assert!(said.contains("M4") && said.contains("(section 4.2.3 step 4)"));
}

#[test]
fn the_same_stands_in_the_data() {
    let json = json(&["w3"]);
    assert_eq!(json["example"], "w3");
    let figures = json["figures"].as_array().unwrap();
    let row = figures
        .iter()
        .find(|row| row["name"] == "stream: most items at once")
        .unwrap();
    assert_eq!(row["document"]["value"], 20.0);
    assert_eq!(row["exact"]["value"], 51.0);
    assert_eq!(row["notes"][0], "M7");
    assert_eq!(json["stream"]["latency"]["last_ns"], 5_050_000_000_i64);
    let notes = json["notes"].as_array().unwrap();
    assert!(notes.iter().any(|note| note["id"] == "M7"));
}

#[test]
fn the_examples_are_listed() {
    let said = said(&["--list"]);
    for name in ["w1", "w2", "w3", "w4", "w5"] {
        assert!(said.contains(name), "{said}");
    }
}

#[test]
fn own_parameters_are_put_on_top_of_an_example() {
    let json = json(&["w3", "--room", "20", "--when-full", "drop-newest"]);
    assert_eq!(
        json["example"],
        Value::Null,
        "it is no longer the document's"
    );
    assert_eq!(json["stream"]["dropped"], 30);
    assert_eq!(json["stream"]["latency"]["max_ns"], 2_100_000_000_i64);
    let json = self::json(&["w3", "--when-full", "newest-only"]);
    assert_eq!(json["stream"]["dropped"], 49);
    assert_eq!(json["stream"]["latency"]["max_ns"], 150_000_000);
}

#[test]
fn items_can_come_as_listed() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("arrivals");
    std::fs::write(&list, "# three at once\n1 s\n1 s\n1s\n\n2500ms\n").unwrap();
    let json = json(&["--arrivals", list.to_str().unwrap(), "--work", "1s"]);
    assert_eq!(json["stream"]["arrived"], 4);
    assert_eq!(json["stream"]["makespan_ns"], 5_000_000_000_i64);
    assert_eq!(json["stream"]["in_system_max"], 3);
}

#[test]
fn a_drawing_has_a_line_for_each_way() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("w3.svg");
    said(&["w3", "--plot", path.to_str().unwrap()]);
    let svg = std::fs::read_to_string(path).unwrap();
    assert!(svg.starts_with("<svg xmlns="));
    assert_eq!(svg.matches("<polyline").count(), 4, "two ways, two plots");
    assert!(!svg.contains("NaN"));
}

#[test]
fn a_measurement_stands_beside_the_theory() {
    let json = json(&["w2", "--measure", "--seconds", "500ms"]);
    let measurement = &json["measurement"];
    assert_eq!(measurement["theory"]["done"], 100);
    assert_eq!(measurement["measured"]["done"], 100);
    let verdict = measurement["verdict"].as_str().unwrap();
    assert!(["agrees", "differs", "too loaded to tell"].contains(&verdict));
    assert_eq!(measurement["figures"].as_array().unwrap().len(), 8);
}

#[test]
fn a_configuration_is_judged_before_it_runs() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("robot.toml");
    let toml = "encoder.name = \"null\"\npolicy.name = \"still\"\ncamera.source = \"synthetic:64x48@100\"\n\
                [[stream]]\nname = \"age\"\nfrom = \"action\"\nvalue = \"age_ms\"\n";
    std::fs::write(&path, toml).unwrap();
    let config = path.to_str().unwrap();
    let said = said(&["--config", config]);
    assert!(
        said.contains("load:    capture + features + fusion:"),
        "{said}"
    );
    assert!(said.contains("load:    stream `age`: "), "{said}");
    let json = json(&["--config", config]);
    assert_eq!(json["age_at_worst"]["goal_ns"], 100_000_000);
    let check = support::reflexarc()
        .args(["check", "--config", config])
        .output()
        .unwrap();
    assert!(
        text(&check).contains("age:     camera to action:"),
        "{}",
        text(&check)
    );
}

#[test]
fn what_cannot_be_estimated_is_explained() {
    let refused = |arguments: &[&str], why: &str| {
        let output = estimate(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        let said = text(&output);
        assert!(said.contains(why), "{arguments:?}: {said}");
        assert!(said.contains("fix:"), "{said}");
    };
    refused(&[], "--interval");
    refused(&["w6"], "w1");
    refused(&["w2", "--items", "0"], "0 items");
    refused(&["w2", "--workers", "0"], "somebody has to work");
    refused(&["w2", "--work", "0s"], "outside of 1 ns");
    refused(&["w2", "--interval", "-5ms"], "");
    refused(&["w2", "--window", "50ms", "--slide", "60ms"], "slide");
    refused(&["w2", "--slide", "60ms"], "--window");
    refused(&["w2", "--when-full", "drop-newest"], "how many can wait");
    refused(&["w2", "--item-bytes", "18446744073709551615"], "bytes");
    refused(&["w2", "--spread=-5ms"], "standard deviation");
    refused(&["w2", "--workers", "65535", "--measure"], "cores");
    refused(&["w2", "--when-full", "perhaps"], "newest-only");
    refused(
        &["w2", "--workers", "2", "--room", "3", "--measure"],
        "cannot be measured",
    );
}

#[test]
fn a_list_that_says_something_else_is_named_by_its_line() {
    let dir = tempfile::tempdir().unwrap();
    let list = dir.path().join("arrivals");
    std::fs::write(&list, "1 s\nsoon\n").unwrap();
    let output = estimate(&["--arrivals", list.to_str().unwrap(), "--work", "1s"]);
    assert_eq!(output.status.code(), Some(8));
    assert!(text(&output).contains("line 2"), "{}", text(&output));
}
