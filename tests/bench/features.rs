//! `reflexarc bench features`: encoders alone, counted and set against the roof of the core.

use serde_json::Value;

use crate::support::{reflexarc, text};

/// Its answer as data.
fn features(words: &[&str]) -> Value {
    let mut command = reflexarc();
    let output = command
        .args(["bench", "features", "--seconds", "1", "--json"])
        .args(words)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", text(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn refused(words: &[&str]) -> String {
    let mut command = reflexarc();
    let output = command.args(["bench", "features"]).args(words).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", text(&output));
    text(&output)
}

#[test]
fn a_plan_allocates_nothing_and_stays_under_the_roof_that_was_measured_beside_it() {
    let told = features(&["vit-tiny", "--precision", "f32"]);
    let row = &told["rows"][0];
    let number = |key: &str| row[key].as_f64().unwrap();
    assert_eq!(number("allocations_per_forward"), 0.0, "{row}");
    assert!(row["forwards"]["count"].as_u64().unwrap() > 0, "{row}");
    assert!(number("min_ns") <= row["forwards"]["p50_ns"].as_f64().unwrap());
    assert_eq!(row["multiply_adds"].as_u64().unwrap() / 1_000_000, 1253);
    // All parameters of ViT-Tiny but its head, in f32.
    assert_eq!(number("weight_bytes"), 4.0 * 5_524_416.0);
    assert!(number("of_bandwidth") > 0.0, "{row}");
    if !row["of_peak"].is_null() {
        // Clocks may move between the roof and a forward, but not by much.
        assert!((0.0..1.3).contains(&number("of_peak")), "{row}");
    }
    assert!(!row["advice"].as_array().unwrap().is_empty(), "{row}");
}

#[test]
fn sentences_are_measured_by_their_words_in_every_precision_of_the_processor() {
    let told = features(&["minilm", "--words", "9"]);
    let rows = told["rows"].as_array().unwrap();
    assert_eq!(rows[0]["precision"], "f32");
    for row in rows {
        assert_eq!(row["words"], 9, "{row}");
        assert_eq!(row["weights"], "trained", "{row}");
        assert_eq!(row["allocations_per_forward"], 0.0, "{row}");
    }
    // Half the bits are half the bytes.
    let bytes = |row: &Value| row["weight_bytes"].as_u64().unwrap();
    for row in rows.iter().filter(|row| row["precision"] == "bf16") {
        assert_eq!(2 * bytes(row), bytes(&rows[0]));
    }
}

#[test]
fn what_candle_allocates_is_counted() {
    let told = features(&["minilm", "--words", "9", "--backend", "candle"]);
    let row = &told["rows"][0];
    assert_eq!(row["backend"], "candle");
    assert!(row["allocations_per_forward"].as_f64().unwrap() > 100.0);
    assert_eq!(told["rows"].as_array().unwrap().len(), 1, "{told}");
    let advice = row["advice"].to_string();
    assert!(advice.contains("--backend plan"), "{advice}");
}

#[test]
fn a_partner_works_on_a_core_of_its_own() {
    if std::thread::available_parallelism().unwrap().get() < 2 {
        // There is nothing to share with.
        return;
    }
    let told = features(&["vit-tiny", "--precision", "f32", "--threads", "2"]);
    let row = &told["rows"][0];
    let cores = row["cores"].as_array().unwrap();
    assert_eq!(cores.len(), 2, "{row}");
    assert_ne!(cores[0], cores[1], "{row}");
    assert_eq!(row["allocations_per_forward"], 0.0, "{row}");
}

#[test]
fn an_older_processor_is_played_by_a_slower_set_and_the_better_one_is_named() {
    let told = features(&["minilm", "--words", "9", "--backend", "plan-portable"]);
    let row = &told["rows"][0];
    assert_eq!(row["backend"], "portable");
    // No loop measures the peak of plain Rust.
    assert!(row["of_peak"].is_null(), "{row}");
}

#[test]
fn what_is_not_there_is_refused_with_what_is() {
    let said = refused(&["vit-huge"]);
    assert!(
        said.contains("vit-huge") && said.contains("dinov2-small"),
        "{said}"
    );
    let said = refused(&["vit-tiny", "--precision", "f64"]);
    assert!(said.contains("f64") && said.contains("bf16"), "{said}");
    let said = refused(&["vit-tiny", "--cores", "900"]);
    assert!(said.contains("core 900"), "{said}");
    let said = refused(&["vit-tiny", "--cores", "0", "--threads", "2"]);
    assert!(said.contains("a core of its own"), "{said}");
    let said = refused(&["minilm", "--words", "0"]);
    assert!(said.contains("1 to 256"), "{said}");
    let said = refused(&["vit-tiny", "minilm", "--weights", "some.safetensors"]);
    assert!(said.contains("--weights is one file"), "{said}");
}

#[test]
fn the_table_says_the_limit_and_what_would_help() {
    let mut command = reflexarc();
    let output = command
        .args(["bench", "features", "minilm", "--seconds", "1"])
        .output()
        .unwrap();
    let said = text(&output);
    assert!(output.status.success(), "{said}");
    for part in [
        "minilm 16 tokens f32",
        "limit: ",
        "GFLOP/s",
        "GB/s",
        "allocs",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
}
