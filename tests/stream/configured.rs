//! Streams of the configuration: what is written is what is computed, and what cannot be is explained.

use reflexarc::config::Config;
use reflexarc::policy::PolicyStatus;
use reflexarc::sensor::{DOF_MAX, Reading};
use reflexarc::stream::configured::running::{Streams, Summary};
use reflexarc::telemetry::record::Record;
use reflexarc::units::{MonoTime, Nanos};

use super::made::Random;

const MS: i64 = 1_000_000;

fn streams(text: &str) -> Streams {
    let config = Config::parse(text, "t").unwrap_or_else(|fault| panic!("{fault}"));
    Streams::open(&config.stream).unwrap()
}

fn refused(text: &str) -> String {
    match Config::parse(text, "t") {
        Ok(_) => panic!("{text} should be refused"),
        Err(fault) => fault.to_string(),
    }
}

fn reading(at: i64, seq: u32, values: &[f32]) -> Record {
    let mut all = [0.0; DOF_MAX];
    all[..values.len()].copy_from_slice(values);
    Record::Reading(Reading {
        at: MonoTime(at),
        arrived: MonoTime(at + MS),
        seq,
        source_index: 0,
        len: values.len() as u8,
        values: all,
    })
}

fn confidence(at: i64, confidence: f32) -> Record {
    Record::Policy {
        at: MonoTime(at),
        status: PolicyStatus {
            confidence,
            ..PolicyStatus::default()
        },
    }
}

fn summary(streams: &Streams) -> Summary {
    streams.summaries().next().unwrap().1
}

/// The example of the document: mean joint speed over 10 s every 5 s, only while the policy is sure.
const SPEED: &str = r#"
[[stream]]
name = "joint-speed"
from = "sensor-0"
when = ["policy.confidence > 0.5"]
value = "speed"
window = { size = "10 s", slide = "5 s" }
"#;

#[test]
fn mean_joint_speed_over_ten_seconds_while_the_policy_is_sure() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("speed.jsonl");
    let mut streams = streams(&SPEED.replace("[[stream]]", &format!("[[stream]]\nout = {out:?}")));
    let mut random = Random(4);
    let (mut joints, mut sure) = ([0.0_f32; 2], false);
    let (mut speeds, mut changes) = (Vec::new(), Vec::new());
    let begin = 20_000 * MS;
    for beat in 0..4000_i64 {
        let at = begin + beat * 10 * MS;
        if beat % 170 == 0 {
            sure = !sure;
            // Between two readings; what held at a reading is what the policy said last before it.
            streams.take(&confidence(at - 3 * MS, if sure { 0.9 } else { 0.3 }));
            changes.push((at - 3 * MS, sure));
        }
        let before = joints;
        for joint in &mut joints {
            *joint += (random.below(201) as f32 - 100.0) / 10_000.0;
        }
        streams.take(&reading(at, beat as u32, &joints));
        if beat % 3 == 0 {
            streams.tick(MonoTime(at + MS));
        }
        if beat > 0 {
            let change = |i: usize| f64::from(joints[i]) - f64::from(before[i]);
            speeds.push((at, (change(0).abs() + change(1).abs()) / 0.01 / 2.0));
        } else {
            speeds.push((at, 0.0));
        }
    }
    streams.end();
    let is_sure = |at: i64| {
        let last = changes.iter().rfind(|(since, _)| *since <= at);
        // A value of the policy counts for a second.
        last.is_some_and(|(since, sure)| *sure && at - since <= 1000 * MS)
    };
    let kept: Vec<_> = speeds.iter().filter(|(at, _)| is_sure(*at)).collect();
    let summary = summary(&streams);
    assert_eq!(summary.elements, 4000);
    assert_eq!(summary.kept as usize, kept.len());
    assert_eq!(
        (summary.put_aside, summary.late, summary.unwritten),
        (0, 0, 0)
    );
    let lines = std::fs::read_to_string(out).unwrap();
    assert_eq!(lines.lines().count() as u64, summary.results);
    let mut counted = 0;
    for line in lines.lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let [start, end] = ["start_ns", "end_ns"].map(|key| line[key].as_i64().unwrap());
        assert_eq!((end - start, start.rem_euclid(5000 * MS)), (10_000 * MS, 0));
        let inside: Vec<f64> = kept
            .iter()
            .filter(|(at, _)| (start..end).contains(at))
            .map(|(_, speed)| *speed)
            .collect();
        assert_eq!(line["count"].as_u64().unwrap() as usize, inside.len());
        let mean = inside.iter().sum::<f64>() / inside.len() as f64;
        assert!((line["value"].as_f64().unwrap() - mean).abs() < 1e-9 * mean.max(1.0));
        counted += inside.len();
    }
    assert_eq!(counted, 2 * kept.len(), "each element is in two windows");
}

#[test]
fn a_condition_on_something_that_nobody_said_does_not_hold() {
    let mut streams = streams(SPEED);
    for beat in 0..1000 {
        streams.take(&reading(beat * 10 * MS, beat as u32, &[1.0]));
        streams.tick(MonoTime(beat * 10 * MS + 2 * MS));
    }
    streams.end();
    let summary = summary(&streams);
    assert_eq!(
        (summary.elements, summary.kept, summary.results),
        (1000, 0, 0)
    );
}

#[test]
fn results_come_while_the_stream_runs_and_the_tail_at_its_end() {
    let mut streams = streams(
        "[[stream]]\nname = \"n\"\nfrom = \"sensor-0\"\nvalue = \"v0\"\naggregate = \"count\"\n\
         window = { kind = \"tumbling\", size = \"100 ms\" }",
    );
    for beat in 0..100 {
        streams.take(&reading(beat * 10 * MS, beat as u32, &[1.0]));
        streams.tick(MonoTime(beat * 10 * MS + 2 * MS));
    }
    let before = summary(&streams).results;
    assert_eq!(before, 9, "of the last window something may still come");
    streams.end();
    assert_eq!(summary(&streams).results, 10);
    assert_eq!(summary(&streams).last.unwrap().result, Some(10.0));
}

#[test]
fn a_stream_that_falls_silent_has_its_windows_closed_by_the_clock() {
    let mut streams = streams(
        "[[stream]]\nname = \"n\"\nfrom = \"sensor-0\"\nvalue = \"v0\"\nwindow = { kind = \"tumbling\", size = \"100 ms\" }",
    );
    streams.take(&reading(50 * MS, 0, &[1.0]));
    streams.tick(MonoTime(599 * MS));
    assert_eq!(summary(&streams).results, 0);
    streams.tick(MonoTime(600 * MS));
    assert_eq!(
        summary(&streams).results,
        1,
        "nothing comes more than 500 ms late"
    );
}

#[test]
fn every_comparison_means_what_it_says() {
    for (condition, expected) in [
        ("v0 < 5", 5),
        ("v0 <= 5", 6),
        ("v0 > 5", 4),
        ("v0 >= 5", 5),
        ("v0 == 5", 1),
        ("v0 != 5", 9),
        ("v0 >= -1e3", 10),
        ("sensor-0.v0 > 8", 1),
    ] {
        let mut streams = streams(&format!(
            "[[stream]]\nname = \"n\"\nfrom = \"sensor-0\"\nvalue = \"v0\"\nwhen = [\"{condition}\"]"
        ));
        for value in 0..10_u8 {
            streams.take(&reading(
                i64::from(value) * MS,
                u32::from(value),
                &[f32::from(value)],
            ));
        }
        streams.end();
        assert_eq!(summary(&streams).kept, expected, "{condition}");
    }
}

#[test]
fn what_cannot_be_is_refused_before_the_start_with_the_way_out() {
    let stream = |rest: &str| format!("[[stream]]\nname = \"s\"\nfrom = \"sensor-0\"\n{rest}\n");
    for (text, words) in [
        (
            stream("value = \"w0\""),
            &["no field `w0`", "v0 to v15"][..],
        ),
        (stream("value = \"v16\""), &["no field `v16`"]),
        (
            stream("value = \"v0\"\nwhen = [\"policy.confidense > 0.5\"]"),
            &["confidense", "confidence"],
        ),
        (
            stream("value = \"v0\"\nwhen = [\"confidence\"]"),
            &["no condition", "one of <"],
        ),
        (
            stream("value = \"v0\"\nwhen = [\"v0 > half\"]"),
            &["`half` is not a number"],
        ),
        (
            stream("value = \"v0\"\nwhen = [\"radar.v0 > 1\"]"),
            &["`radar` is no stream", "sensor-0"],
        ),
        (stream("value = \"v0\"\naggregate = \"mode\""), &["median"]),
        (
            stream("value = \"v0\"\nwindow = { size = \"5 s\", slide = \"10 s\" }"),
            &["between them"],
        ),
        (
            stream("value = \"v0\"\nwindow = { size = \"0.5 ms\" }"),
            &["1"],
        ),
        (stream("value = \"v0\"\nwait = \"-1 ms\""), &["below zero"]),
        (
            stream("value = \"v0\"\ntime = { disorder = \"-1 ms\" }"),
            &["below zero"],
        ),
        (
            "[[stream]]\nname = \"s\"\nfrom = \"sensor\"\nvalue = \"v0\"\n".to_owned(),
            &["`sensor` is no stream"],
        ),
        (
            "[[stream]]\nname = \"s\"\nvalue = \"v0\"\n".to_owned(),
            &["from"],
        ),
    ] {
        let fault = refused(&text);
        assert!(
            words.iter().all(|word| fault.contains(word)),
            "{text}: {fault}"
        );
    }
}

#[test]
fn a_file_that_cannot_be_written_is_refused_at_the_start() {
    let config = Config::parse(
        "[[stream]]\nname = \"s\"\nfrom = \"frame\"\nvalue = \"total_ms\"\nout = \"/nowhere/at/all.jsonl\"\n",
        "t",
    )
    .unwrap();
    let fault = Streams::open(&config.stream).unwrap_err();
    assert!(
        fault.what.contains("stream `s`") && !fault.fix.is_empty(),
        "{fault}"
    );
}

#[test]
fn all_ports_have_elements() {
    let ports = [
        ("sensor-0", "v0"),
        ("policy", "confidence"),
        ("instruction", "encode_ms"),
        ("frame", "total_ms"),
        ("action", "jitter_ms"),
    ];
    let text: String = ports
        .iter()
        .map(|(port, field)| {
            format!("[[stream]]\nname = \"{port}\"\nfrom = \"{port}\"\nvalue = \"{field}\"\n")
        })
        .collect();
    let mut streams = streams(&text);
    let at = MonoTime(5000 * MS);
    let mut trace = reflexarc::telemetry::trace::Trace::new(0, 0, at, at);
    trace.stamp(
        reflexarc::telemetry::trace::Mark::Written,
        at + Nanos(7 * MS),
    );
    for record in [
        reading(5000 * MS, 0, &[2.0]),
        confidence(5000 * MS, 0.25),
        Record::InstructionReady {
            id: 1,
            received: at,
            encoded: at + Nanos(3 * MS),
        },
        Record::Frame(trace),
        Record::Tick(reflexarc::telemetry::record::Tick {
            number: 0,
            scheduled: at,
            begin: at + Nanos(MS),
            written: at + Nanos(2 * MS),
            captured: at,
            rung: reflexarc::action::Rung::Fresh,
            missed: 0,
            write_failed: None,
        }),
    ] {
        streams.take(&record);
    }
    streams.end();
    let found: Vec<_> = streams
        .summaries()
        .map(|(_, s)| (s.elements, s.least))
        .collect();
    let expected = [2.0, 0.25, 3.0, 7.0, 1.0].map(|value| (1, Some(value)));
    assert_eq!(found, expected);
}
