//! The tables of the page.

use std::fmt::Write as _;

use crate::doctor::summary::Summary;
use crate::telemetry::durations::{Quantiles, duration};
use crate::telemetry::report::axis::{label_seconds, to_f64};
use crate::telemetry::report::data::{Report, ThreadReport};
use crate::telemetry::report::html::escape;
use crate::telemetry::report::text::{INTERRUPTION_HEAD, by_reason, interruption_cells};

/// A table under construction. Cells are text, escaped here; the first `left` columns lie to the left.
pub(crate) struct Table {
    html: String,
    left: usize,
    rows: usize,
}

impl Table {
    pub(crate) fn new(left: usize, heads: &[&str]) -> Self {
        let mut table = Self {
            html: "<div class=\"scroll\"><table><thead>".to_owned(),
            left,
            rows: 0,
        };
        table.line("th", "", heads.iter().map(|h| (*h).to_owned()));
        table.html.push_str("</thead><tbody>");
        table
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.row_of("", cells);
    }

    pub(crate) fn row_of(&mut self, class: &str, cells: impl IntoIterator<Item = String>) {
        self.rows += 1;
        self.line("td", class, cells.into_iter());
    }

    fn line(&mut self, tag: &str, class: &str, cells: impl Iterator<Item = String>) {
        let _ = write!(self.html, "<tr class=\"{class}\">");
        for (column, cell) in cells.enumerate() {
            let class = if column < self.left { "left" } else { "" };
            let _ = write!(
                self.html,
                "<{tag} class=\"{class}\">{}</{tag}>",
                escape(&cell)
            );
        }
        self.html.push_str("</tr>");
    }

    /// The table; nothing at all without rows.
    pub(crate) fn done(mut self) -> String {
        if self.rows == 0 {
            return String::new();
        }
        self.html.push_str("</tbody></table></div>");
        self.html
    }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// `p50 p99 p99.9 p99.99 max count`.
fn quantile_cells(q: &Quantiles) -> Vec<String> {
    let values = [q.p50_ns, q.p99_ns, q.p999_ns, q.p9999_ns, q.max_ns];
    let show = |ns: u64| match q.count {
        0 => "–".to_owned(),
        _ => duration(ns).to_string(),
    };
    let mut cells: Vec<String> = values.into_iter().map(show).collect();
    cells.push(q.count.to_string());
    cells
}

fn with_quantiles(first: Vec<String>, quantiles: &Quantiles) -> Vec<String> {
    [first, quantile_cells(quantiles)].concat()
}

pub fn latencies(report: &Report) -> String {
    let mut table = Table::new(1, &["", "p50", "p99", "p99.9", "p99.99", "max", "count"]);
    let e = &report.end_to_end;
    for (name, quantiles) in [
        ("camera to action", &e.camera_to_action),
        ("fusion", &e.fusion),
        ("instruction to action", &e.instruction_to_action),
        ("data age at action", &e.data_age_at_action),
        ("action jitter", &e.action_jitter),
        ("action period jitter", &e.action_period_jitter),
    ] {
        table.row(with_quantiles(vec![name.to_owned()], quantiles));
    }
    for sensor in &report.sensors {
        table.row(with_quantiles(
            vec![format!("age of {}", sensor.name)],
            &sensor.age,
        ));
    }
    table.done()
}

pub fn spans(report: &Report) -> String {
    let heads = [
        "span", "kind", "p50", "p99", "p99.9", "p99.99", "max", "count", "share",
    ];
    let mut table = Table::new(2, &heads);
    for span in &report.spans {
        let kind = if span.wait { "wait" } else { "work" };
        let first = vec![span.name.clone(), kind.to_owned()];
        let mut cells = with_quantiles(first, &span.duration);
        cells.push(percent(span.share));
        table.row(cells);
    }
    table.done()
}

pub fn stages(report: &Report) -> String {
    let heads = [
        "stage", "", "p50", "p99", "p99.9", "p99.99", "max", "count", "outcome",
    ];
    let mut table = Table::new(2, &heads);
    for stage in &report.stages {
        let mut outcome = format!("{} ok", stage.ok);
        if stage.dropped > 0 {
            let _ = write!(outcome, ", {} dropped", stage.dropped);
        }
        if !stage.failed.is_empty() {
            let _ = write!(outcome, ", failed: {}", by_reason(&stage.failed));
        }
        for (index, (kind, quantiles)) in [
            ("wait", &stage.wait),
            ("work", &stage.work),
            ("age", &stage.age),
        ]
        .into_iter()
        .enumerate()
        {
            let (name, outcome) = match index {
                0 => (stage.name.clone(), outcome.clone()),
                _ => (String::new(), String::new()),
            };
            let mut cells = with_quantiles(vec![name, kind.to_owned()], quantiles);
            cells.push(outcome);
            table.row_of(if index == 0 { "group" } else { "" }, cells);
        }
    }
    table.done()
}

pub fn flows(report: &Report) -> String {
    let mut table = Table::new(2, &["", "kind", "in", "out", "in flight", "dropped", "odd"]);
    for source in &report.sources {
        table.row([
            source.name.clone(),
            format!("source, stamp: {}", source.stamp),
            source.entered.to_string(),
            source.left.to_string(),
            source.in_flight.to_string(),
            by_reason(&source.dropped),
            by_reason(&source.odd),
        ]);
    }
    for link in &report.links {
        table.row_of(
            if link.is_balanced() { "" } else { "bad" },
            [
                link.name.clone(),
                format!("link, {}", link.policy),
                link.entered.to_string(),
                link.left.to_string(),
                link.in_flight.to_string(),
                by_reason(&link.dropped),
                String::new(),
            ],
        );
    }
    let mut html = table.done();
    let all: Vec<_> = report
        .sources
        .iter()
        .flat_map(|s| &s.interruptions)
        .collect();
    if !all.is_empty() {
        let mut table = Table::new(1, &INTERRUPTION_HEAD);
        for interruption in all {
            table.row(interruption_cells(interruption));
        }
        let _ = write!(
            html,
            "<h3>Interruptions, each from its last good frame</h3>{}",
            table.done()
        );
    }
    let notes = report.sources.iter().flat_map(|s| &s.notes);
    for note in notes {
        let _ = write!(html, "<p class=\"note\">{}</p>", escape(note));
    }
    html
}

pub fn threads(report: &Report) -> String {
    let mut table = Table::new(
        3,
        &[
            "thread",
            "stages",
            "class",
            "cores",
            "work",
            "CPU",
            "queued",
            "faults",
            "major",
            "switches",
            "forced",
            "allocations",
        ],
    );
    for t in &report.threads {
        table.row([
            t.name.clone(),
            t.stages.join(", "),
            class(t),
            cores(&t.cores),
            percent(t.work_fraction),
            percent(t.cpu_fraction),
            duration(t.run_queue_ns).to_string(),
            t.minor_faults.to_string(),
            t.major_faults.to_string(),
            t.voluntary_switches.to_string(),
            t.involuntary_switches.to_string(),
            t.allocations.map_or("–".to_owned(), |n| n.to_string()),
        ]);
    }
    table.done()
}

fn class(thread: &ThreadReport) -> String {
    if thread.class_asked == thread.class_given {
        return thread.class_given.clone();
    }
    format!("{} (asked: {})", thread.class_given, thread.class_asked)
}

fn cores(cores: &[usize]) -> String {
    let names: Vec<String> = cores.iter().map(usize::to_string).collect();
    names.join(" ")
}

pub fn rungs(report: &Report) -> String {
    let r = &report.rungs;
    let mut table = Table::new(
        0,
        &["fresh", "tail", "hold", "safe stop", "skipped", "changes"],
    );
    let counts = [
        r.fresh,
        r.tail,
        r.hold,
        r.safe_stop,
        r.missed,
        r.changes_count,
    ];
    table.row(counts.map(|n| n.to_string()));
    let mut changes = Table::new(2, &["from", "to", "at"]);
    for change in &r.changes {
        changes.row([change.from.clone(), change.to.clone(), at(change.at_ns)]);
    }
    let folded = fold("Changes of rung", r.changes_count, changes);
    table.done() + &player(report) + &folded
}

fn player(report: &Report) -> String {
    let p = &report.player;
    let heads = [
        "chunks offered",
        "accepted",
        "played",
        "unplayed",
        "waiting",
        "refused",
        "beats held back by limits",
    ];
    let mut table = Table::new(0, &heads);
    let counts = [p.offered, p.accepted, p.played, p.unplayed, p.waiting];
    let mut cells: Vec<String> = counts.iter().map(u64::to_string).collect();
    cells.push(by_reason(&p.refused));
    cells.push(p.limited.to_string());
    table.row(cells);
    table.done()
}

pub fn sensors(report: &Report) -> String {
    let heads = [
        "sensor",
        "received",
        "accepted",
        "refused",
        "odd",
        "jitter",
        "to fusion",
        "out of order",
        "dropped",
        "states",
    ];
    let mut table = Table::new(1, &heads);
    for sensor in &report.sensors {
        let mut cells = vec![sensor.name.clone()];
        match &sensor.intake {
            Some(intake) => cells.extend([
                intake.received.to_string(),
                intake.accepted.to_string(),
                by_reason(&intake.refused),
                by_reason(&intake.odd),
                duration(intake.jitter_ns).to_string(),
            ]),
            None => cells.extend(["–"; 5].map(str::to_owned)),
        }
        cells.extend([
            sensor.align.pushed.to_string(),
            sensor.align.reordered.to_string(),
            by_reason(&sensor.align.dropped),
            by_reason(&sensor.states),
        ]);
        table.row(cells);
    }
    table.done()
}

pub fn streams(report: &Report) -> String {
    let heads = [
        "stream", "what", "elements", "kept", "late", "results", "last", "least", "greatest",
    ];
    let number = |value: Option<f64>| value.map_or("–".to_owned(), |value| format!("{value:.4}"));
    let mut table = Table::new(2, &heads);
    for stream in &report.streams {
        table.row(vec![
            stream.name.clone(),
            stream.what.clone(),
            stream.elements.to_string(),
            stream.kept.to_string(),
            stream.late.to_string(),
            stream.results.to_string(),
            number(stream.last),
            number(stream.least),
            number(stream.greatest),
        ]);
    }
    table.done()
}

pub fn policy(report: &Report) -> String {
    let mut html = String::new();
    if !report.policy.explanation.is_empty() {
        let _ = write!(
            html,
            "<p><b>{}</b>: {}</p>",
            escape(&report.policy.name),
            escape(&report.policy.explanation)
        );
    }
    let mut ways = Table::new(
        2,
        &["instruction", "text", "received", "encoded in", "to action"],
    );
    for way in &report.instructions.ways {
        let time = |ns: Option<u64>| ns.map_or("–".to_owned(), |ns| duration(ns).to_string());
        ways.row([
            way.id.to_string(),
            way.text.clone(),
            way.received_at_ns.map_or("–".to_owned(), at),
            time(way.encode_ns),
            time(way.to_action_ns),
        ]);
    }
    html += &ways.done();
    let heads = ["phase", "object", "match", "confidence", "offset", "at"];
    let mut changes = Table::new(1, &heads);
    for c in &report.policy.changes {
        changes.row([
            c.phase.clone(),
            c.object.to_string(),
            format!("{:.2}", c.match_score),
            format!("{:.2}", c.confidence),
            format!("{:+.2} {:+.2}", c.offset[0], c.offset[1]),
            at(c.at_ns),
        ]);
    }
    html += &fold("What the policy did", report.policy.changes_count, changes);
    html
}

pub fn machine(report: &Report) -> String {
    let (run, e) = (&report.run, &report.environment);
    let mut table = Table::new(2, &["", ""]);
    for (name, value) in [
        ("command", run.command.join(" ")),
        ("config", run.config.clone().unwrap_or_default()),
        ("board", run.board.clone()),
        ("plan", run.plan.join("; ")),
        ("encoder", run.encoder.clone()),
        ("sink", run.sink.clone()),
        ("ended by", run.ended_by.clone()),
        (
            "version",
            [e.version.as_str(), &e.commit, &e.build].join(" "),
        ),
        (
            "processor",
            format!("{} x {} ({})", e.cores_online, e.cpu_model, e.architecture),
        ),
        ("cores allowed", e.cores_allowed.to_string()),
        ("instruction sets", e.cpu_features.join(", ")),
        ("governor", e.governors.join(", ")),
        (
            "memory",
            format!("{:.1} GiB", to_f64(e.memory_bytes) / 1024f64.powi(3)),
        ),
        (
            "kernel",
            format!("Linux {}, preemption: {}", e.kernel, e.preemption),
        ),
        ("boot parameters", e.boot_parameters.join(" ")),
        (
            "virtual machine",
            if e.hypervisor { "yes" } else { "no" }.to_owned(),
        ),
        ("clock", e.clock_source.clone()),
        ("load average", format!("{:.2}", e.load_average)),
        ("doctor", e.doctor.as_ref().map_or_else(String::new, doctor)),
        (
            "telemetry",
            format!(
                "{} samples, {} lost",
                report.telemetry.samples, report.telemetry.lost_samples
            ),
        ),
    ] {
        if !value.is_empty() {
            table.row([name.to_owned(), value]);
        }
    }
    table.done()
}

/// Counts, then a sentence for each check that failed.
fn doctor(summary: &Summary) -> String {
    let failed = summary.failed.iter().map(|line| format!("; FAIL {line}"));
    let warned = match summary.warned.as_slice() {
        [] => String::new(),
        ids => format!("; warn {}", ids.join(" ")),
    };
    let counts = summary.checks.in_words();
    counts + &failed.collect::<String>() + &warned
}

/// A table that is long and rarely read.
fn fold(title: &str, count: u64, table: Table) -> String {
    let shown = table.rows as u64;
    let body = table.done();
    if body.is_empty() {
        return String::new();
    }
    let of = if shown < count {
        format!(", the first {shown}")
    } else {
        String::new()
    };
    format!("<details><summary>{title}: {count}{of}</summary>{body}</details>")
}

/// An instant of the run.
fn at(ns: u64) -> String {
    label_seconds(to_f64(ns) / 1e9)
}
