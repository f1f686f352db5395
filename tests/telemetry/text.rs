//! Verdicts, and a report as text.

use std::fs;
use std::path::Path;

use reflexarc::error::Kind;
use reflexarc::link::LinkTotals;
use reflexarc::telemetry::durations::Durations;
use reflexarc::telemetry::report::text::text;
use reflexarc::telemetry::report::{LinkReport, Report, Verdict, render};
use reflexarc::telemetry::threads::{ThreadInfo, ThreadUse, ThreadWatch};
use reflexarc::telemetry::trace::Stage;
use reflexarc::units::Nanos;

use crate::run::Run;
use crate::{BEGAN, ms};

#[test]
fn a_run_within_its_goals_meets_them() {
    let run = Run::default();
    let report = Report::new(&run.collector(), run.facts());
    assert_eq!(report.verdict, Verdict::Met, "{:?}", report.reasons);
    assert!(report.reasons.is_empty());
    // 30 frames, 30 feature maps, 30 chunks, 100 readings and 100 actions a second, one instruction.
    assert_eq!(report.elements.total, 20 * (30 + 30 + 30 + 100 + 100) + 1);
}

#[test]
fn a_slow_encoder_misses_the_latency_goal_and_the_reason_has_the_numbers() {
    let run = Run {
        encode_us: 120_000,
        ..Run::default()
    };
    let report = Report::new(&run.collector(), run.facts());
    assert_eq!(report.verdict, Verdict::Missed);
    assert_eq!(
        report.goals.camera_to_action.above,
        report.goals.camera_to_action.count
    );
    let why = &report.reasons[0];
    assert!(
        why.starts_with("camera to action: p99") && why.contains("the limit of 100 ms"),
        "{why}"
    );
    assert_eq!(report.goals.fusion.verdict, Verdict::Met);
}

#[test]
fn the_percentile_decides_whether_one_slow_frame_counts() {
    let run = Run {
        stall_ms: 300,
        ..Run::default()
    };
    let collector = run.collector();
    assert_eq!(Report::new(&collector, run.facts()).verdict, Verdict::Met);
    let mut strict = run.facts();
    strict.goals = toml::from_str("percentile = 100").unwrap();
    let report = Report::new(&collector, strict);
    assert_eq!(report.verdict, Verdict::Missed);
    assert_eq!(report.goals.camera_to_action.above, 1);
}

#[test]
fn elements_a_second_are_judged_by_what_the_busiest_thread_has_time_for() {
    for (encode_us, verdict) in [(8_000, Verdict::Met), (16_000, Verdict::Missed)] {
        let run = Run {
            encode_us,
            ..Run::default()
        };
        let report = Report::new(&run.collector(), run.facts());
        let goal = report.goals.elements_per_second;
        assert_eq!(goal.busiest_thread, "features-0");
        assert!(goal.measured < 300.0, "{}", goal.measured);
        let work_fraction = encode_us as f64 * 30.0 / 1e6;
        assert!((goal.sustainable - goal.measured / work_fraction).abs() < 0.01);
        assert_eq!(goal.verdict, verdict, "{}", goal.why);
    }
}

#[test]
fn a_link_that_does_not_add_up_is_a_warning() {
    let run = Run::default();
    let mut facts = run.facts();
    facts.links[0].left -= 1;
    assert!(!facts.links[0].is_balanced());
    let report = Report::new(&run.collector(), facts);
    let warned = report
        .warnings
        .iter()
        .any(|w| w.contains("capture to features"));
    assert!(warned, "{:?}", report.warnings);
}

#[test]
fn links_count_what_was_offered() {
    let totals = LinkTotals {
        pushed: 10,
        refused: 2,
        stale: 3,
        popped: 6,
        in_flight: 1,
        ..LinkTotals::default()
    };
    assert!(LinkReport::new("n", "newest", &totals).is_balanced());
    let totals = LinkTotals {
        stale: 0,
        popped: 9,
        ..totals
    };
    let every = LinkReport::new("e", "every", &totals);
    assert_eq!((every.entered, every.dropped_total()), (12, 2));
    assert!(every.is_balanced());
}

#[test]
fn the_text_names_verdict_stages_links_and_threads_in_a_hundred_columns() {
    let run = Run {
        stall_ms: 300,
        ..Run::default()
    };
    let text = text(&Report::new(&run.collector(), run.facts()));
    for word in [
        "GOALS",
        "camera to action",
        "features",
        "3 stale",
        "features-0",
        "gaze:",
        "chunks: 603 offered, 601 accepted, 600 played, 1 unplayed, 0 waiting",
        "chunks refused: 2 older\n",
        "limits held a joint back on 7 beats",
        "2004 received, 2000 accepted; refused: 4 bad magic; odd: 2 gap\n",
        "2000 readings to fusion; states: 1 held, 600 interpolated\n",
    ] {
        assert!(text.contains(word), "no `{word}` in:\n{text}");
    }
    let table = text
        .lines()
        .filter(|l| !l.contains(':') && !l.starts_with("  !"));
    for line in table {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn what_is_no_report_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("report.json");
    let run = Run::default();
    let report = Report::new(&run.collector(), run.facts());
    let whole = serde_json::to_string(&report).unwrap();
    for (content, want) in [
        ("", "not a whole report"),
        ("hello", "not a whole report"),
        ("{}", "missing field `schema`"),
        (
            "{\"schema\": \"reflexarc-report/2\"}",
            "reads `reflexarc-report/1`",
        ),
        ("{\"schema\": \"reflexarc-report/1\"}", "missing field"),
        (&whole[..whole.len() / 2], "not a whole report"),
    ] {
        fs::write(&file, content).unwrap();
        let fault = render(&file).unwrap_err();
        assert_eq!(fault.kind, Kind::BadInput);
        assert!(fault.why.contains(want), "{fault}");
    }
    fs::write(&file, &whole).unwrap();
    assert_eq!(render(dir.path()).unwrap(), text(&report));
    let fault = render(Path::new("/nowhere/at/all")).unwrap_err();
    assert_eq!(fault.kind, Kind::BadInput);
    assert!(fault.what.contains("/nowhere/at/all"), "{fault}");
}

#[test]
fn a_newer_report_with_unknown_keys_is_still_read() {
    let run = Run::default();
    let report = Report::new(&run.collector(), run.facts());
    let mut value = serde_json::to_value(&report).unwrap();
    value["invented_later"] = 1.into();
    value["environment"]["moon"] = "full".into();
    assert!(serde_json::from_value::<Report>(value).unwrap() == report);
}

#[test]
fn a_report_from_before_the_players_counts_is_still_read() {
    let run = Run::default();
    let report = Report::new(&run.collector(), run.facts());
    let mut value = serde_json::to_value(&report).unwrap();
    value.as_object_mut().unwrap().remove("player");
    let sensor = value["sensors"][0].as_object_mut().unwrap();
    for added in ["intake", "align", "states"] {
        sensor.remove(added);
    }
    let old = serde_json::from_value::<Report>(value).unwrap();
    let text = text(&old);
    assert!(!text.contains("chunks"), "{text}");
}

#[test]
fn the_curve_rises_and_ends_at_the_maximum() {
    let mut durations = Durations::new();
    for n in 1..=10_000 {
        durations.record(Nanos::from_micros(n));
    }
    let curve = durations.curve();
    assert!(
        curve
            .windows(2)
            .all(|w| w[0].0 < w[1].0 && w[0].1 <= w[1].1)
    );
    assert_eq!(*curve.last().unwrap(), (1.0, 10_000_000));
    assert!(curve.len() < 120, "{} points", curve.len());
}

#[test]
fn a_thread_that_faults_and_computes_is_seen_from_outside() {
    // SAFETY: gettid takes nothing and cannot fail.
    let tid = unsafe { libc::gettid() };
    let info = ThreadInfo {
        name: "here".to_owned(),
        tid,
        stages: vec![Stage::Features],
        ..ThreadInfo::default()
    };
    let mut watch = ThreadWatch::new(vec![info], BEGAN);
    let before = ThreadUse::read(tid).unwrap();
    // 4096 pages, touched one by one; and a computation that the compiler cannot leave out.
    let mut pages = vec![0u8; 4096 * 4096];
    for page in 0..4096 {
        pages[page * 4096] = std::hint::black_box(1);
    }
    let mut sum = 0u64;
    while ThreadUse::read(tid).unwrap().cpu_ns < before.cpu_ns + 20_000_000 {
        sum = std::hint::black_box(sum + u64::from(pages[4096]));
    }
    watch.look(ms(1000));
    let run = Run::default();
    let report = &watch.report(run.collector().measured())[0];
    assert!(report.minor_faults >= 1000, "{}", report.minor_faults);
    assert!(report.cpu_ns >= 20_000_000, "{}", report.cpu_ns);
    assert_eq!(report.wall_ns, 1_000_000_000);
    // 30 times a second, loading (0.7 ms) and encoding (8 ms), and some outliers.
    assert!(
        (0.2..0.4).contains(&report.work_fraction),
        "{}",
        report.work_fraction
    );
}

#[test]
fn a_thread_that_has_ended_keeps_what_was_seen_last() {
    assert_eq!(ThreadUse::read(i32::MAX), None);
    let info = ThreadInfo {
        tid: i32::MAX,
        ..ThreadInfo::default()
    };
    let mut watch = ThreadWatch::new(vec![info], BEGAN);
    watch.look(ms(5));
    let run = Run {
        seconds: 0,
        ..Run::default()
    };
    assert_eq!(watch.report(run.collector().measured())[0].cpu_ns, 0);
}
