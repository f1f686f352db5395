//! A report as text for the terminal, and reading one back from its folder.
//!
//! Thread: any of the housekeeping side. Allocates: yes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Fault, Kind, Result};
use crate::telemetry::columns::{align, fit, short};
use crate::telemetry::durations::{Quantiles, duration};
use crate::telemetry::report::counts::{PlayerReport, SensorReport};
use crate::telemetry::report::data::{
    InterruptionReport, Report, SCHEMA, StageReport, ThreadReport, Verdict,
};
use crate::telemetry::report::streams::StreamReport;

/// The text of the report at `path`: a `report.json`, a report's folder, or a folder of reports with a link
/// `latest`.
pub fn render(path: &Path) -> Result<String> {
    load(path).map(|report| text(&report))
}

/// Reads a report, and checks that it is one that this version understands.
pub fn load(path: &Path) -> Result<Report> {
    let file = find(path);
    let what = || format!("no report could be read from {}", file.display());
    let json = fs::read_to_string(&file).map_err(|e| {
        Fault::from_io(
            what(),
            &e,
            Kind::BadInput,
            "name a report.json or the folder that `reflexarc run` wrote",
        )
    })?;
    #[derive(Deserialize)]
    struct Head {
        schema: String,
    }
    let broken = |e: serde_json::Error| {
        Fault::new(
            Kind::BadInput,
            what(),
            format!("it is not a whole report: {e}"),
            "run again to write a new one",
        )
    };
    let head: Head = serde_json::from_str(&json).map_err(broken)?;
    if head.schema != SCHEMA {
        return Err(Fault::new(
            Kind::BadInput,
            what(),
            format!(
                "its schema is `{}`; this version reads `{SCHEMA}`",
                head.schema
            ),
            "read it with the version of reflexarc that wrote it",
        ));
    }
    serde_json::from_str(&json).map_err(broken)
}

fn find(path: &Path) -> PathBuf {
    if !path.is_dir() {
        return path.to_owned();
    }
    let here = path.join("report.json");
    let latest = path.join("latest").join("report.json");
    if !here.exists() && latest.exists() {
        return latest;
    }
    here
}

/// The whole report in at most 100 columns: verdict, goals, latencies, stages, links, threads.
pub fn text(report: &Report) -> String {
    let mut lines = Vec::new();
    head(report, &mut lines);
    section(&mut lines, "Latency", align(&latencies(report)));
    section(&mut lines, "Stages", stage_lines(&report.stages, true));
    section(&mut lines, "Where camera to action goes", spans(report));
    section(
        &mut lines,
        "Links and sources: in = out + dropped + in flight",
        align(&flows(report)),
    );
    section(
        &mut lines,
        "Interruptions of the source, each from its last good frame",
        align(&interruptions(report)),
    );
    section(&mut lines, "Threads", align(&threads(&report.threads)));
    section(&mut lines, "Sensors", sensors(&report.sensors));
    section(
        &mut lines,
        "Streams",
        report.streams.iter().map(StreamReport::line).collect(),
    );
    section(&mut lines, "Actions and policy", actions(report));
    section(&mut lines, "State", report.state.lines());
    let warnings = report.warnings.iter().map(|w| format!("! {w}"));
    section(&mut lines, "Warnings", warnings.collect());
    lines.push(String::new());
    lines.join("\n")
}

fn section(lines: &mut Vec<String>, title: &str, body: Vec<String>) {
    if body.is_empty() {
        return;
    }
    lines.push(String::new());
    lines.push(title.to_owned());
    lines.extend(body.into_iter().map(|line| format!("  {line}")));
}

fn head(report: &Report, lines: &mut Vec<String>) {
    let verdict = match report.verdict {
        Verdict::Met => "GOALS MET",
        Verdict::Missed => "GOALS MISSED",
        Verdict::NotJudged => "GOALS NOT JUDGED",
    };
    let run = &report.run;
    let length = duration(run.duration_ns);
    lines.push(format!("{verdict} · {} · {length}", run.started));
    let goals = &report.goals;
    for (met, why) in [
        (goals.camera_to_action.verdict, &goals.camera_to_action.why),
        (goals.fusion.verdict, &goals.fusion.why),
        (
            goals.elements_per_second.verdict,
            &goals.elements_per_second.why,
        ),
    ] {
        let sign = match met {
            Verdict::Met => "+",
            Verdict::Missed => "-",
            Verdict::NotJudged => "?",
        };
        lines.push(format!("  {sign} {why}"));
    }
}

fn words(cells: &[&str]) -> Vec<String> {
    cells.iter().map(|cell| (*cell).to_owned()).collect()
}

/// `p50 p99 p99.9 p99.99 max count`.
fn quantile_cells(q: &Quantiles) -> Vec<String> {
    let short = |ns| short(ns, q.count);
    vec![
        short(q.p50_ns),
        short(q.p99_ns),
        short(q.p999_ns),
        short(q.p9999_ns),
        short(q.max_ns),
        q.count.to_string(),
    ]
}

fn latencies(report: &Report) -> Vec<Vec<String>> {
    let e = &report.end_to_end;
    let mut rows = vec![words(&[
        "", "p50", "p99", "p99.9", "p99.99", "max", "count",
    ])];
    for (name, quantiles) in [
        ("camera to action", &e.camera_to_action),
        ("fusion", &e.fusion),
        ("instruction to action", &e.instruction_to_action),
        ("data age at action", &e.data_age_at_action),
        ("action jitter", &e.action_jitter),
        ("action period jitter", &e.action_period_jitter),
    ] {
        rows.push([vec![name.to_owned()], quantile_cells(quantiles)].concat());
    }
    let sensors = report.sensors.iter();
    rows.extend(
        sensors.map(|s| [vec![format!("age of {}", s.name)], quantile_cells(&s.age)].concat()),
    );
    rows
}

/// Rows of wait, work and age of each stage, with or without p99.9, also for the live table.
pub fn stage_lines(stages: &[StageReport], wide: bool) -> Vec<String> {
    let cells = |q: &Quantiles| {
        let values = [q.p50_ns, q.p99_ns, q.p999_ns, q.max_ns];
        let kept = values
            .into_iter()
            .enumerate()
            .filter(|(n, _)| wide || *n != 2);
        let texts = kept.map(|(_, ns)| format!("{:>6}", short(ns, q.count)));
        texts.collect::<Vec<_>>().join(" ")
    };
    let heads = if wide {
        "   p50    p99  p99.9    max"
    } else {
        "   p50    p99    max"
    };
    let group = |name: &str| format!("{name:<width$}", width = heads.len());
    let mut lines = vec![
        format!(
            "{:9} {} | {} | {}",
            "",
            group("wait"),
            group("work"),
            group("data age")
        ),
        format!("{:9} {heads} | {heads} | {heads}", ""),
    ];
    lines.extend(stages.iter().map(|s| {
        format!(
            "{:9} {} | {} | {}",
            s.name,
            cells(&s.wait),
            cells(&s.work),
            cells(&s.age)
        )
    }));
    lines
        .iter()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

fn spans(report: &Report) -> Vec<String> {
    let mut rows = vec![words(&[
        "", "", "p50", "p99", "p99.9", "p99.99", "max", "share",
    ])];
    for span in &report.spans {
        let mut row = vec![
            span.name.clone(),
            words(&["work", "wait"])[usize::from(span.wait)].clone(),
        ];
        row.extend(quantile_cells(&span.duration).into_iter().take(5));
        row.push(format!("{:.1} %", span.share * 100.0));
        rows.push(row);
    }
    let mut lines = align(&rows);
    lines.push(format!(
        "residual (camera to action less the sum of its spans): at most {}",
        duration(report.end_to_end.residual_max_ns)
    ));
    lines
}

/// `12 stale, 3 full`; reasons that did not occur are left out.
pub fn by_reason(counts: &BTreeMap<String, u64>) -> String {
    let some = counts.iter().filter(|(_, count)| **count > 0);
    let texts: Vec<String> = some
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    if texts.is_empty() {
        return "-".to_owned();
    }
    texts.join(", ")
}

fn flows(report: &Report) -> Vec<Vec<String>> {
    let mut rows = vec![words(&["", "in", "out", "in flight", "dropped"])];
    let links = report
        .links
        .iter()
        .map(|l| (&l.name, l.entered, l.left, l.in_flight, &l.dropped));
    let sources = report
        .sources
        .iter()
        .map(|s| (&s.name, s.entered, s.left, s.in_flight, &s.dropped));
    for (name, entered, left, in_flight, dropped) in sources.chain(links) {
        rows.push(vec![
            fit(name, 44),
            entered.to_string(),
            left.to_string(),
            in_flight.to_string(),
            by_reason(dropped),
        ]);
    }
    if rows.len() == 1 {
        rows.clear();
    }
    rows
}

/// Interruptions that are shown here; report.json has them all.
const INTERRUPTIONS_SHOWN: usize = 12;

fn interruptions(report: &Report) -> Vec<Vec<String>> {
    let all: Vec<_> = report
        .sources
        .iter()
        .flat_map(|s| &s.interruptions)
        .collect();
    if all.is_empty() {
        return Vec::new();
    }
    let mut rows = vec![words(&INTERRUPTION_HEAD)];
    rows.extend(
        all.iter()
            .take(INTERRUPTIONS_SHOWN)
            .map(|i| interruption_cells(i).to_vec()),
    );
    let more = report
        .sources
        .iter()
        .map(|s| s.interruptions_more)
        .sum::<u64>()
        + all.len().saturating_sub(INTERRUPTIONS_SHOWN) as u64;
    if more > 0 {
        rows.push(vec![format!("and {more} more")]);
    }
    rows
}

pub const INTERRUPTION_HEAD: [&str; 6] = [
    "cause",
    "at",
    "noticed after",
    "open after",
    "frames after",
    "attempts",
];

pub fn interruption_cells(i: &InterruptionReport) -> [String; 6] {
    let or_never = |ns: Option<u64>| ns.map_or("-".to_owned(), |ns| duration(ns).to_string());
    [
        i.cause.clone(),
        duration(i.last_frame_at_ns).to_string(),
        duration(i.detected_after_ns).to_string(),
        or_never(i.reopened_after_ns),
        or_never(i.resumed_after_ns),
        i.attempts.to_string(),
    ]
}

fn threads(threads: &[ThreadReport]) -> Vec<Vec<String>> {
    let mut rows = vec![words(&[
        "",
        "class",
        "work",
        "cpu",
        "queued",
        "faults",
        "switches",
        "allocations",
    ])];
    for t in threads {
        rows.push(vec![
            t.name.clone(),
            t.class_given.clone(),
            format!("{:.1} %", t.work_fraction * 100.0),
            format!("{:.1} %", t.cpu_fraction * 100.0),
            short(t.run_queue_ns, 1),
            format!("{}+{}", t.minor_faults, t.major_faults),
            format!("{}+{}", t.voluntary_switches, t.involuntary_switches),
            t.allocations.map_or("-".to_owned(), |n| n.to_string()),
        ]);
    }
    if rows.len() == 1 {
        rows.clear();
    }
    rows
}

fn actions(report: &Report) -> Vec<String> {
    let r = &report.rungs;
    let mut lines = vec![format!(
        "beats: {} fresh, {} tail, {} hold, {} safe stop, {} skipped; {} changes of rung",
        r.fresh, r.tail, r.hold, r.safe_stop, r.missed, r.changes_count
    )];
    lines.extend(chunks(&report.player));
    let i = &report.instructions;
    lines.push(format!(
        "instructions: {} received, {} acted on",
        i.received, i.acted
    ));
    if !report.policy.explanation.is_empty() {
        lines.push(format!(
            "{}: {}",
            report.policy.name, report.policy.explanation
        ));
    }
    lines
}

fn chunks(player: &PlayerReport) -> Vec<String> {
    let p = player;
    if p.offered == 0 {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "chunks: {} offered, {} accepted, {} played, {} unplayed, {} waiting",
        p.offered, p.accepted, p.played, p.unplayed, p.waiting
    )];
    if p.offered > p.accepted {
        lines.push(format!("chunks refused: {}", by_reason(&p.refused)));
    }
    if p.limited > 0 {
        lines.push(format!("limits held a joint back on {} beats", p.limited));
    }
    lines
}

/// Two lines a sensor: what arrived, and what fusion made of it.
fn sensors(sensors: &[SensorReport]) -> Vec<String> {
    let mut lines = Vec::new();
    for sensor in sensors {
        let mut arrived = vec![fit(&sensor.name, 60)];
        if let Some(intake) = &sensor.intake {
            arrived.push(format!(
                "{} received, {} accepted",
                intake.received, intake.accepted
            ));
            arrived.extend(unless_none("refused", &intake.refused));
            arrived.extend(unless_none("odd", &intake.odd));
        }
        lines.push(arrived.join("; "));
        let align = &sensor.align;
        let mut kept = vec![format!("{} readings to fusion", align.pushed)];
        if align.reordered > 0 {
            kept.push(format!("{} out of order", align.reordered));
        }
        kept.extend(unless_none("dropped", &align.dropped));
        if align.waited + align.gave_up > 0 {
            kept.push(format!(
                "{} frames waited for a reading, {} in vain",
                align.waited + align.gave_up,
                align.gave_up
            ));
        }
        kept.extend(unless_none("states", &sensor.states));
        lines.push(format!("  {}", kept.join("; ")));
    }
    lines
}

/// `dropped: 3 too late`, if any were.
fn unless_none(title: &str, counts: &BTreeMap<String, u64>) -> Option<String> {
    let any = counts.values().any(|count| *count > 0);
    any.then(|| format!("{title}: {}", by_reason(counts)))
}
