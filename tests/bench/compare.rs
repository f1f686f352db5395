//! What got worse, by the rule, and only where two benches can be compared.

use reflexarc::bench::compare::{Comparison, compare};
use reflexarc::bench::data::{Bench, Flow, Latency, Part, Percentiles};

use crate::support::text;
use crate::{bench, json};

/// A bench of a board, with one part and one latency.
fn of(count: u64, p999_us: u64) -> Bench {
    let enough = |least| (count >= least).then_some(p999_us * 1_000);
    let latency = Latency {
        name: "action jitter".to_owned(),
        percentiles: Percentiles {
            count,
            p50_ns: 3_000,
            p99_ns: enough(100),
            p999_ns: enough(1_000),
            p9999_ns: None,
            max_ns: p999_us * 3_000,
        },
        budget: None,
    };
    let part = Part {
        name: "idle".to_owned(),
        latencies: vec![latency],
        flow: Some(Flow::default()),
        ..Part::default()
    };
    let mut bench = Bench {
        parts: vec![part],
        ..Bench::default()
    };
    bench.subject.board = "raspberry-pi-5".to_owned();
    bench
}

fn against(before: &Bench, now: &Bench) -> Comparison {
    compare(before, now, "bench.json".to_owned())
}

#[test]
fn a_tail_is_worse_by_share_and_by_size_together() {
    let before = of(5_000, 40);
    for (now_us, worse) in [(40, 0), (50, 0), (51, 1), (30, 0), (400, 1)] {
        assert_eq!(
            against(&before, &of(5_000, now_us)).worse,
            worse,
            "{now_us} us"
        );
    }
    // Half as much again, and still within what a kernel does from boot to boot.
    assert_eq!(against(&of(5_000, 8), &of(5_000, 12)).worse, 0);
}

#[test]
fn a_percentile_without_enough_samples_decides_nothing() {
    let few = against(&of(500, 40), &of(500, 400));
    assert_eq!(few.rows[0].number, "action jitter p99");
    assert_eq!(few.worse, 1);
    let hardly = against(&of(50, 40), &of(50, 400));
    assert!(hardly.rows.iter().all(|row| !row.number.contains("jitter")));
    assert_eq!(hardly.worse, 0);
}

#[test]
fn counts_are_worse_when_they_more_than_double_and_are_not_few() {
    let with = |missed_beats| {
        let mut bench = of(5_000, 40);
        let flow = Flow {
            missed_beats,
            ..Flow::default()
        };
        bench.parts[0].flow = Some(flow);
        bench
    };
    for (before, now, worse) in [(0, 10, 0), (0, 11, 1), (20, 40, 0), (20, 41, 1), (1, 5, 0)] {
        assert_eq!(
            against(&with(before), &with(now)).worse,
            worse,
            "{before} to {now}"
        );
    }
}

#[test]
fn what_differs_in_more_than_the_program_is_shown_and_not_judged() {
    let (before, now) = (of(5_000, 40), of(5_000, 400));
    type Change = fn(&mut Bench);
    let changes: [(&str, Change); 6] = [
        ("board", |b| b.subject.board = "rock-5b".to_owned()),
        ("kernel", |b| b.environment.kernel = "6.18".to_owned()),
        ("configuration", |b| {
            b.subject.config_sha256 = Some("0".to_owned())
        }),
        ("length of a part", |b| b.subject.seconds = 7),
        ("governors", |b| {
            let governor = (0, "powersave".to_owned());
            b.parts[0].before.governor = [governor].into();
        }),
        ("emulated", |b| {
            b.virtual_machine = Some("a virtual machine".to_owned())
        }),
    ];
    for (name, change) in changes {
        let mut other = now.clone();
        change(&mut other);
        let found = against(&before, &other);
        assert_eq!(found.worse, 0, "{name}");
        assert_eq!(found.differences.len(), 1, "{name}");
        assert!(
            found.differences[0].starts_with(name),
            "{:?}",
            found.differences
        );
        assert!(!found.rows.is_empty(), "{name}");
    }
    // Throttled, or without its load: nothing of that part is said.
    let mut marked = now.clone();
    marked.parts[0].marks = vec!["throttled".to_owned()];
    assert_eq!(against(&before, &marked).rows, []);
}

#[test]
fn a_bench_is_read_back_and_compared_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let run = |more: &[&str]| {
        let mut command = bench(dir.path());
        command.args(["--loads", "none", "--no-baseline"]);
        command.args(more).output().unwrap()
    };
    let output = run(&[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let earlier = dir.path().join("earlier");
    std::fs::rename(dir.path().join("out"), &earlier).unwrap();
    let output = run(&["--compare", earlier.to_str().unwrap()]);
    assert!(
        matches!(output.status.code(), Some(0 | 17)),
        "{}",
        text(&output)
    );
    assert!(text(&output).contains("Compared with"), "{}", text(&output));
    let comparison = &json(&dir.path().join("out/bench.json"))["comparison"];
    assert!(!comparison["rows"].as_array().unwrap().is_empty());

    let nothing = run(&["--compare", "/nonexistent.json"]);
    assert_eq!(nothing.status.code(), Some(8), "{}", text(&nothing));
    std::fs::write(
        earlier.join("bench.json"),
        "{\"schema\": \"reflexarc-bench/2\"}",
    )
    .unwrap();
    let newer = run(&["--compare", earlier.to_str().unwrap()]);
    assert_eq!(newer.status.code(), Some(8), "{}", text(&newer));
}
