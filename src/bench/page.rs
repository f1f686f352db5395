//! A bench as one page: no script, nothing fetched. A pure function of `bench.json`.

use std::fmt::Write as _;

use crate::bench::compare;
use crate::bench::data::{Bench, Part, Surroundings};
use crate::bench::show::{HEADS, comparison_cells, percentile_cells, rows, verdict};
use crate::telemetry::durations::duration;
use crate::telemetry::report::data::{Curve, Verdict};
use crate::telemetry::report::html::{STYLE, escape, figure, section};
use crate::telemetry::report::plot::{self, Limit};
use crate::telemetry::report::tables::Table;

/// The text of `bench.html`.
pub fn page(bench: &Bench) -> String {
    let board = match bench.subject.board.as_str() {
        "" => "unknown board",
        name => name,
    };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\">\
         <title>reflexarc bench: {} · {}</title><style>{STYLE}</style></head><body><main>",
        escape(board),
        escape(&bench.subject.started)
    );
    header(&mut html, bench, board);
    list(&mut html, "Why", "why", &bench.reasons);
    list(
        &mut html,
        "What to take from it",
        "warnings",
        &bench.findings,
    );
    section(&mut html, "Numbers", NUMBERS, &numbers(bench));
    section(&mut html, "Percentile curves", CURVES, &curves(bench));
    section(&mut html, "Every stage", STAGES, &stages(bench));
    section(
        &mut html,
        "Against an earlier bench",
        &compare::rule(),
        &comparison(bench),
    );
    section(
        &mut html,
        "Clocks, heat, interrupts",
        SURROUNDINGS,
        &surroundings(bench),
    );
    section(&mut html, "Machine", "", &machine(bench));
    html.push_str("</main></body></html>\n");
    html
}

const NUMBERS: &str = "Wake-up: how late the kernel runs a thread that asked for an instant, without any pipeline. Action \
    jitter: how late the beats of the action clock began, with the pipeline running. A dash: too few samples for that \
    percentile. The maximum is one sample; a longer bench has a larger one.";
const CURVES: &str = "The share of all that stayed within a time, each step right leaves a tenth. The dot is the maximum. A \
    curve that bends up where another does not shows what that load costs.";
const STAGES: &str = "Wait: from when the input was ready. Work: until the result was passed on.";
const SURROUNDINGS: &str =
    "Read before and after each part, never during it: to read a core's clock wakes that core.";

fn header(html: &mut String, bench: &Bench, board: &str) {
    let class = match bench.verdict {
        Verdict::Met => "good",
        Verdict::Missed => "bad",
        Verdict::NotJudged => "open",
    };
    let e = &bench.environment;
    let facts = [
        board.to_owned(),
        bench.subject.started.clone(),
        format!("{} s a part", bench.subject.seconds),
        format!("{} x {}", e.cores_online, e.cpu_model),
        format!("Linux {}, preemption {}", e.kernel, e.preemption),
    ];
    let facts: String = facts
        .iter()
        .map(|fact| format!("<span>{}</span>", escape(fact)))
        .collect();
    let _ = write!(
        html,
        "<header><h1>reflexarc <small>bench</small></h1><p class=\"badge {class}\">{}</p>\
         <p class=\"facts\">{facts}</p></header>",
        escape(&verdict(bench))
    );
}

fn list(html: &mut String, title: &str, class: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let lines: String = lines
        .iter()
        .map(|line| format!("<li>{}</li>", escape(line)))
        .collect();
    let _ = write!(
        html,
        "<section class=\"{class}\"><h2>{title}</h2><ul>{lines}</ul></section>"
    );
}

fn numbers(bench: &Bench) -> String {
    let mut table = Table::new(2, &HEADS);
    let mut last = String::new();
    for cells in rows(bench).into_iter().skip(1) {
        let is_over = cells
            .last()
            .is_some_and(|cell| cell != "–" && !cell.starts_with("0 "));
        let class = match (is_over && bench.virtual_machine.is_none(), cells[0] == last) {
            (true, _) => "bad",
            (false, false) => "group",
            (false, true) => "",
        };
        last.clone_from(&cells[0]);
        table.row_of(class, cells);
    }
    table.done()
}

fn curves(bench: &Bench) -> String {
    let mut html = String::new();
    for (title, name) in [
        ("Camera to action", "camera to action"),
        ("Lateness of the action clock", "action jitter"),
    ] {
        let found: Vec<Curve> = bench
            .parts
            .iter()
            .filter_map(|part| {
                let curve = part.curves.iter().find(|curve| curve.name == name)?;
                Some(named(&part.name, curve.count, &curve.points))
            })
            .collect();
        let budget = bench.parts.iter().flat_map(|part| &part.latencies);
        let budget = budget.filter(|l| l.name == name).find_map(|l| l.budget);
        let limit = budget.map(|budget| Limit {
            name: "goal".to_owned(),
            ns: budget.limit_ns,
        });
        draw(&mut html, title, &found, limit.as_slice());
    }
    let found: Vec<Curve> = bench
        .parts
        .iter()
        .flat_map(|part| {
            part.baseline.iter().map(|wakes| {
                let name = format!("{}, core {}", part.name, wakes.core);
                named(&name, wakes.percentiles.count, &wakes.curve)
            })
        })
        .collect();
    let mut limits: Vec<Limit> = Vec::new();
    for part in &bench.parts {
        let kind = if part.load.is_some() {
            "loaded"
        } else {
            "idle"
        };
        let budget = part.baseline.iter().find_map(|wakes| wakes.budget);
        if let Some(budget) =
            budget.filter(|_| limits.iter().all(|known| !known.name.ends_with(kind)))
        {
            limits.push(Limit {
                name: format!("the board's limit, {kind}"),
                ns: budget.limit_ns,
            });
        }
    }
    draw(&mut html, "Wake-ups without a pipeline", &found, &limits);
    html
}

fn named(name: &str, count: u64, points: &[(f64, u64)]) -> Curve {
    Curve {
        name: name.to_owned(),
        count,
        points: points.to_vec(),
    }
}

fn draw(html: &mut String, title: &str, curves: &[Curve], limits: &[Limit]) {
    // Through fewer points a curve says nothing that the table does not.
    let shown: Vec<&Curve> = curves.iter().filter(|curve| curve.count >= 10).collect();
    if !shown.is_empty() {
        let names = shown.iter().map(|curve| curve.name.as_str());
        figure(html, title, names, &plot::percentiles(&shown, limits));
    }
}

fn stages(bench: &Bench) -> String {
    let mut heads = HEADS.to_vec();
    heads.pop();
    let mut table = Table::new(2, &heads);
    for part in &bench.parts {
        for (index, latency) in part.latencies.iter().enumerate() {
            let mut cells = vec![part.name.clone(), latency.name.clone()];
            cells.extend(percentile_cells(&latency.percentiles));
            table.row_of(if index == 0 { "group" } else { "" }, cells);
        }
    }
    let mut flows = Table::new(
        1,
        &[
            "part",
            "frames",
            "chunks",
            "actions",
            "fresh beats",
            "missed beats",
            "dropped",
            "failed",
            "report",
        ],
    );
    for part in &bench.parts {
        let Some(flow) = part.flow else { continue };
        let counts = [
            flow.frames,
            flow.chunks,
            flow.actions,
            flow.fresh_beats,
            flow.missed_beats,
            flow.dropped,
            flow.failed,
        ];
        let mut cells = vec![part.name.clone()];
        cells.extend(counts.map(|count| count.to_string()));
        cells.push(part.report.clone().unwrap_or_default());
        flows.row(cells);
    }
    table.done() + &flows.done()
}

fn comparison(bench: &Bench) -> String {
    let Some(comparison) = &bench.comparison else {
        return String::new();
    };
    let mut html = format!(
        "<p>With {} of {}.</p>",
        escape(&comparison.with),
        escape(&comparison.with_started)
    );
    list(
        &mut html,
        "Not comparable",
        "warnings",
        &comparison.differences,
    );
    let mut table = Table::new(2, &["part", "number", "then", "now", "ratio", ""]);
    for row in &comparison.rows {
        table.row_of(if row.is_worse { "bad" } else { "" }, comparison_cells(row));
    }
    html + &table.done()
}

fn surroundings(bench: &Bench) -> String {
    let mut table = Table::new(2, &["part", "what", "before", "after"]);
    for part in &bench.parts {
        let (before, after) = (facts(&part.before), facts(&part.after));
        for ((name, before), (_, after)) in before.into_iter().zip(after) {
            if !(before.is_empty() && after.is_empty()) {
                table.row([part.name.clone(), name.to_owned(), before, after]);
            }
        }
        table_of_load(&mut table, part);
    }
    table.done()
}

fn table_of_load(table: &mut Table, part: &Part) {
    let Some(load) = &part.load else { return };
    let ops: Vec<String> = load
        .bogo_ops
        .iter()
        .map(|(name, ops)| format!("{name} {ops}"))
        .collect();
    table.row([
        part.name.clone(),
        "the load".to_owned(),
        load.version.clone(),
        format!(
            "{} operations; its cores {:.0} % busy",
            ops.join(", "),
            load.busy * 100.0
        ),
    ]);
}

fn facts(s: &Surroundings) -> [(&'static str, String); 7] {
    fn all<K: std::fmt::Display, V>(
        map: &std::collections::BTreeMap<K, V>,
        show: impl Fn(&V) -> String,
    ) -> String {
        let each = map
            .iter()
            .map(|(key, value)| format!("{key}: {}", show(value)));
        each.collect::<Vec<_>>().join(", ")
    }
    [
        ("governor by core", all(&s.governor, String::clone)),
        (
            "clock by core, MHz",
            all(&s.khz, |khz| (khz / 1000).to_string()),
        ),
        (
            "clocks of devices, MHz",
            all(&s.device_hz, |hz| (hz / 1_000_000).to_string()),
        ),
        ("heat, C", all(&s.celsius, |c| format!("{c:.0}"))),
        ("throttled", all(&s.throttled, |n| format!("0x{n:x}"))),
        ("power mode", s.power_mode.clone().unwrap_or_default()),
        (
            "interrupts by core of the way",
            all(&s.interrupts, u64::to_string),
        ),
    ]
}

fn machine(bench: &Bench) -> String {
    let (s, e) = (&bench.subject, &bench.environment);
    let mut table = Table::new(2, &["", ""]);
    let cores = format!(
        "way {:?}, housekeeping {:?}, both {:?}",
        bench.cores.way, bench.cores.housekeeping, bench.cores.shared
    );
    for (name, value) in [
        ("command", s.command.join(" ")),
        ("board", s.board_said.clone()),
        (
            "configuration",
            s.config.clone().unwrap_or_else(|| "built in".to_owned()),
        ),
        ("its SHA-256", s.config_sha256.clone().unwrap_or_default()),
        ("replaced", s.replaced.join("; ")),
        (
            "version",
            [e.version.as_str(), &e.commit, &e.build].join(" "),
        ),
        ("program's SHA-256", s.binary_sha256.clone()),
        ("cores", cores),
        ("clocks", bench.clocks.set.join("; ")),
        ("governor", e.governors.join(", ")),
        ("boot parameters", e.boot_parameters.join(" ")),
        (
            "virtual machine",
            bench.virtual_machine.clone().unwrap_or_default(),
        ),
        ("clock source", e.clock_source.clone()),
        (
            "one part",
            duration(u64::from(s.seconds) * 1_000_000_000).to_string(),
        ),
    ] {
        if !value.is_empty() {
            table.row([name.to_owned(), value]);
        }
    }
    table.done()
}
