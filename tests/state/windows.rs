//! Windows of configured streams go on after a restart as if there had been none.
#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

use std::path::{Path, PathBuf};
use std::process::Stdio;

use reflexarc::clock;
use reflexarc::config::Config;
use reflexarc::policy::PolicyStatus;
use reflexarc::sensor::{DOF_MAX, Reading};
use reflexarc::stream::configured::config::StreamConfig;
use reflexarc::stream::configured::running::Streams;
use reflexarc::telemetry::record::Record;
use reflexarc::units::{MonoTime, Nanos};

use crate::support::{reflexarc, text};

const MS: i64 = 1_000_000;

/// Marsaglia's xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> i64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % n) as i64
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len() as u64) as usize]
    }
}

const KINDS: [&str; 12] = [
    "preset = \"vla-align-fast\"",
    "size = \"200 ms\", slide = \"70 ms\"",
    "kind = \"tumbling\", size = \"100 ms\", lateness = \"60 ms\"",
    "size = \"2 s\", slide = \"20 ms\"",
    "size = \"150 ms\", slide = \"50 ms\", lateness = \"100 ms\", emission = \"eager\"",
    "size = \"1 s\", slide = \"500 ms\", emission = \"early\", early_every = \"100 ms\"",
    "size = \"100 ms\", slide = \"50 ms\", empty = \"hold\", empty_max = 7",
    "size = \"100 ms\", slide = \"150 ms\", allow_gaps = true, empty = \"emit\"",
    "kind = \"count\", count = 20, every = 7, partial = true",
    "kind = \"session\", gap = \"40 ms\", lateness = \"30 ms\", emission = \"eager\"",
    "kind = \"trailing\", size = \"120 ms\"",
    "kind = \"trailing\", size = \"90 ms\", delay = \"30 ms\"",
];
const STATISTICS: [&str; 12] = [
    "count",
    "sum",
    "mean",
    "min",
    "max",
    "variance",
    "variance-of-sample",
    "median",
    "p90",
    "p99",
    "first",
    "last",
];
const CONDITIONS: [&str; 5] = [
    "",
    "when = [\"v0 > -0.5\"]",
    "when = [\"policy.confidence > 0.5\"]\nmax_age = \"300 ms\"",
    "when = [\"policy.confidence > 0.3\", \"speed < 40\"]\nwait = \"30 ms\"",
    "when = [\"sensor-1.v0 > 0\", \"policy.match_score < 0.9\"]",
];

/// Some streams that a user might ask for.
fn wanted(random: &mut Random, folder: &Path) -> String {
    let mut text = String::new();
    for index in 0..=random.below(3) {
        let out = folder.join(format!("{index}.jsonl"));
        text += &format!(
            "[[stream]]\nname = \"s{index}\"\nfrom = \"sensor-0\"\nvalue = {:?}\naggregate = {:?}\nout = {out:?}\n\
             window = {{ {} }}\n{}\n",
            random.one(&["v0", "speed", "age_ms"]),
            random.one(&STATISTICS),
            random.one(&KINDS),
            random.one(&CONDITIONS),
        );
    }
    text
}

fn parse(text: &str) -> Vec<StreamConfig> {
    let config = Config::parse(text, "t").unwrap_or_else(|fault| panic!("{text}: {fault}"));
    config.stream
}

/// Something that happens in a run.
enum Turn {
    Record(Record),
    Tick(MonoTime),
}

fn reading(at: i64, arrived: i64, seq: u32, source_index: u8, value: f32) -> Record {
    let mut values = [0.0; DOF_MAX];
    values[0] = value;
    values[1] = -value * 0.3;
    Record::Reading(Reading {
        at: MonoTime(at),
        arrived: MonoTime(arrived),
        seq,
        source_index,
        len: 2,
        values,
    })
}

/// A run with disorder, holes, a sensor that begins to count anew, and silence.
fn happens(random: &mut Random) -> Vec<Turn> {
    let mut turns = Vec::new();
    let (mut now, mut seq) = (random.below(3) * 10_000 * MS - 10_000 * MS, 0);
    for _ in 0..600 {
        now += random.below(12) * MS + random.below(1000);
        let late = if random.below(5) == 0 {
            random.below(150) * MS
        } else {
            0
        };
        let value = random.below(2001) as f32 / 1000.0 - 1.0;
        turns.push(Turn::Record(match random.below(8) {
            0 => Record::Policy {
                at: MonoTime(now),
                status: PolicyStatus {
                    confidence: value.abs(),
                    match_score: value,
                    ..PolicyStatus::default()
                },
            },
            1 => reading(now - late, now, seq, 1, value),
            _ => reading(now - late, now, seq, 0, value),
        }));
        seq += 1 + u32::from(random.below(10) == 0);
        if random.below(100) == 0 {
            now += 700 * MS;
            seq = 0;
        }
        if random.below(3) == 0 {
            turns.push(Turn::Tick(MonoTime(now)));
        }
    }
    turns
}

fn take(streams: &mut Streams, turn: &Turn) {
    match turn {
        Turn::Record(record) => streams.take(record),
        Turn::Tick(now) => streams.tick(*now),
    }
}

fn outcome(streams: &mut Streams, folder: &Path) -> (String, Vec<(PathBuf, String)>) {
    streams.end();
    let summaries: Vec<_> = streams.summaries().map(|(_, summary)| summary).collect();
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.clone(), std::fs::read_to_string(path).unwrap()))
        .collect();
    files.sort();
    (format!("{summaries:?}"), files)
}

#[test]
fn a_run_that_is_split_at_any_snapshot_goes_on_as_the_unsplit_one() {
    let mut random = Random(0x5eed);
    let mut results = 0;
    for case in 0..400 {
        let folder = tempfile::tempdir().unwrap();
        let text = wanted(&mut random, folder.path());
        let configs = parse(&text);
        let turns = happens(&mut random);
        let mut unsplit = Streams::open(&configs).unwrap();
        turns.iter().for_each(|turn| take(&mut unsplit, turn));
        let expected = outcome(&mut unsplit, folder.path());
        results += expected
            .1
            .iter()
            .map(|(_, text)| text.lines().count())
            .sum::<usize>();
        drop(unsplit);

        // Killed up to four times, each time some way behind a snapshot.
        let mut streams = Streams::open(&configs).unwrap();
        let mut at = 0;
        let (mut kept, mut kept_at) = (Vec::new(), 0);
        for _ in 0..=random.below(4) {
            let snapshot = at + random.below(200) as usize;
            let kill = snapshot + random.below(40) as usize;
            for (index, turn) in turns.iter().enumerate().skip(at).take(kill - at) {
                if index == snapshot {
                    kept.clear();
                    streams.keep(&mut kept);
                    kept_at = snapshot;
                }
                take(&mut streams, turn);
            }
            at = kill;
            if kept.is_empty() {
                continue;
            }
            drop(streams);
            let (resumed, said) = Streams::resume(&configs, &kept).unwrap();
            assert!(
                said.iter().all(|line| line.contains("goes on with")),
                "{text}{said:?}"
            );
            streams = resumed;
            // Here nothing is lost meanwhile: what was not in the snapshot comes again.
            at = kept_at;
        }
        turns[at..].iter().for_each(|turn| take(&mut streams, turn));
        let found = outcome(&mut streams, folder.path());
        assert_eq!(found, expected, "case {case}: {text}");
    }
    assert!(results > 50_000, "only {results} results were compared");
}

/// Snapshots of a few seconds of one stream.
fn kept_of(text: &str) -> Vec<u8> {
    let mut streams = Streams::open(&parse(text)).unwrap();
    for beat in 0..300 {
        let at = 50_000 * MS + beat * 10 * MS;
        streams.take(&reading(at, at + MS, beat as u32, 0, beat as f32));
        streams.tick(MonoTime(at + MS));
    }
    let mut kept = Vec::new();
    streams.keep(&mut kept);
    kept
}

const SPEED: &str = "[[stream]]\nname = \"speed\"\nfrom = \"sensor-0\"\nvalue = \"speed\"\n";

#[test]
fn a_stream_that_has_changed_begins_cold_and_the_others_go_on() {
    let two = format!(
        "{SPEED}{}",
        SPEED.replace("\"speed\"\nfrom", "\"other\"\nfrom")
    );
    let kept = kept_of(&two);
    let changed = two.replacen("value = \"speed\"", "value = \"v0\"", 1);
    let (streams, said) = Streams::resume(&parse(&changed), &kept).unwrap();
    assert_eq!(
        said,
        [
            "stream `speed` begins cold: it is not as it was",
            "stream `other` goes on with what was in its windows"
        ]
    );
    let elements: Vec<_> = streams.summaries().map(|(_, s)| s.elements).collect();
    assert_eq!(elements, [0, 300]);
}

#[test]
fn a_state_that_is_too_large_is_left_out_and_said() {
    let text = format!(
        "{SPEED}aggregate = \"variance\"\nwindow = {{ size = \"40 s\", slide = \"10 ms\" }}\n"
    );
    let mut streams = Streams::open(&parse(&text)).unwrap();
    let mut random = Random(9);
    for beat in 0..4_500 {
        let at = beat * 10 * MS;
        let value = random.below(1 << 20) as f32 * 1e-3;
        streams.take(&reading(at, at + MS, beat as u32, 0, value));
    }
    let mut kept = Vec::new();
    streams.keep(&mut kept);
    assert!(kept.len() < 4_000, "{}", kept.len());
    let (_, said) = Streams::resume(&parse(&text), &kept).unwrap();
    assert_eq!(
        said,
        ["stream `speed` begins cold: its windows were too large to be kept"]
    );
}

/// The checksums of the snapshot see to it that this does not happen.
#[test]
fn bytes_that_say_anything_at_all_do_no_harm() {
    let mut random = Random(77);
    for kind in KINDS {
        let statistic = random.one(&STATISTICS);
        let text = format!("{SPEED}aggregate = {statistic:?}\nwindow = {{ {kind} }}\n");
        let configs = parse(&text);
        let kept = kept_of(&text);
        let lengths = (0..kept.len()).step_by(7);
        let cut = lengths.map(|len| kept[..len].to_vec());
        let changed: Vec<Vec<u8>> = (0..150)
            .map(|_| {
                let mut bytes = kept.clone();
                let place = random.below(bytes.len() as u64) as usize;
                bytes[place] = random.below(256) as u8;
                bytes
            })
            .collect();
        for bytes in cut.chain(changed) {
            let (_, said) = Streams::resume(&configs, &bytes).unwrap();
            assert_eq!(said.len(), 1, "{said:?}");
        }
    }
}

#[test]
fn a_file_that_was_cut_meanwhile_is_gone_on_with_and_it_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("speed.jsonl");
    let text = format!("{SPEED}out = {out:?}\nwindow = {{ size = \"200 ms\" }}\n");
    let kept = kept_of(&text);
    let whole = std::fs::read_to_string(&out).unwrap();
    assert!(whole.lines().count() > 20);
    std::fs::write(&out, format!("{whole}what came after the snapshot\n")).unwrap();
    let (streams, said) = Streams::resume(&parse(&text), &kept).unwrap();
    assert!(said[0].contains("goes on with"), "{said:?}");
    drop(streams);
    assert_eq!(std::fs::read_to_string(&out).unwrap(), whole);
    std::fs::write(&out, "").unwrap();
    let (_, said) = Streams::resume(&parse(&text), &kept).unwrap();
    assert_eq!(
        said,
        ["stream `speed` goes on, and its file lacks what was said before"]
    );
}

#[test]
fn a_snapshot_of_a_second_of_readings_is_small() {
    for (kind, most) in [
        (KINDS[0], 2_000),
        ("size = \"10 s\", slide = \"5 s\"", 2_000),
    ] {
        for statistic in STATISTICS {
            let text = format!("{SPEED}aggregate = {statistic:?}\nwindow = {{ {kind} }}\n");
            let kept = kept_of(&text);
            eprintln!("{kind}, {statistic}: {} bytes", kept.len());
            assert!(
                kept.len() < 4_000 + most,
                "{kind} {statistic}: {}",
                kept.len()
            );
        }
    }
}

/// Two runs of the real program, the first killed without warning.
#[test]
fn a_killed_run_is_gone_on_from_with_the_windows_that_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("beats.jsonl");
    let state = folder.path().join("state");
    let config = folder.path().join("run.toml");
    std::fs::write(
        &config,
        format!(
            "encoder.name = \"null\"\npolicy.name = \"still\"\naction.start = [0.0, 0.0]\n\
             [state]\nlevel = \"snapshot\"\npath = {state:?}\nevery = \"100 ms\"\n\
             [[stream]]\nname = \"beats\"\nfrom = \"action\"\nvalue = \"age_ms\"\naggregate = \"count\"\nout = {out:?}\n\
             window = {{ kind = \"tumbling\", size = \"1 s\" }}\n"
        ),
    )
    .unwrap();
    let run = |duration: &str| {
        let mut command = reflexarc();
        command
            .args(["run", "--quiet", "--source", "synthetic:320x240@60"])
            .args(["--duration", duration, "--config"])
            .arg(&config)
            .arg("--report")
            .arg(folder.path().join("report"))
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    };
    let mut first = run("60 s").spawn().unwrap();
    // Until some windows have been given out, and to the middle of one.
    let begun = clock::now();
    let lines = || std::fs::read_to_string(&out).map_or(0, |text| text.lines().count());
    while lines() < 2 && clock::now() - begun < Nanos::from_secs(60) {
        clock::sleep_until(clock::now() + Nanos::from_millis(20));
    }
    clock::sleep_until(clock::now() + Nanos::from_millis(300));
    first.kill().unwrap();
    first.wait().unwrap();
    let second = run("3 s").output().unwrap();
    let said = text(&second);
    assert!(
        said.contains("state: stream `beats` goes on with what was in its windows"),
        "{said}"
    );
    let windows: Vec<serde_json::Value> = std::fs::read_to_string(&out)
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let starts: Vec<_> = windows
        .iter()
        .map(|window| window["start_ns"].as_i64().unwrap())
        .collect();
    let steps: Vec<_> = starts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    // The time away lies in them: of a window without any beat nothing is said.
    assert!(
        steps
            .iter()
            .all(|step| *step > 0 && step % 1_000_000_000 == 0),
        "each window once, in order: {steps:?}"
    );
    assert!(windows.len() >= 4, "{windows:?}");
    assert!(
        windows
            .iter()
            .all(|window| window["value"].as_f64().unwrap() <= 101.0),
        "no beat twice: {windows:?}"
    );
}
