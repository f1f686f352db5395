//! Two benches of the same board: which numbers got worse, by a stated rule, and only where both can be compared.

use serde::{Deserialize, Serialize};

use crate::bench::data::{Bench, Latency, Part, Percentiles};

/// A latency got worse if it is over this many times what it was,
pub const TIMES: f64 = 1.25;
/// and longer by more than this. Below it a kernel's own noise from boot to boot decides.
pub const MORE_NS: u64 = 5_000;
/// A count got worse if there are over twice as many, and more by this, in parts of the same length.
pub const MORE_EVENTS: u64 = 10;

/// Numbers that decide. The others are shown beside them.
const JUDGED: [&str; 4] = [
    "camera to action",
    "action jitter",
    "data age at action",
    "fusion",
];

/// What came of a comparison.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Comparison {
    /// The other bench: its file, and when it began.
    pub with: String,
    pub with_started: String,
    /// Why the two cannot be compared, in words. Empty: they can.
    pub differences: Vec<String>,
    pub rows: Vec<Row>,
    /// Rows that got worse; none where the two cannot be compared.
    pub worse: usize,
}

/// One number, before and now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Row {
    pub part: String,
    /// Such as `camera to action p99.9`, or `missed beats`.
    pub number: String,
    /// In ns; of counts the count.
    pub before: u64,
    pub now: u64,
    /// `now / before`; null where it was 0.
    pub ratio: Option<f64>,
    pub is_worse: bool,
}

/// Compares. `with` is the other's file.
pub fn compare(before: &Bench, now: &Bench, with: String) -> Comparison {
    let differences = differences(before, now);
    let mut rows = Vec::new();
    for part in now.parts.iter().filter(|part| is_usable(part)) {
        let earlier = before.parts.iter().find(|p| p.name == part.name);
        if let Some(earlier) = earlier.filter(|part| is_usable(part)) {
            rows.extend(of_part(earlier, part));
        }
    }
    if !differences.is_empty() {
        for row in &mut rows {
            row.is_worse = false;
        }
    }
    Comparison {
        with,
        with_started: before.subject.started.clone(),
        worse: rows.iter().filter(|row| row.is_worse).count(),
        differences,
        rows,
    }
}

fn is_usable(part: &Part) -> bool {
    part.not_run.is_none() && part.marks.is_empty()
}

/// What makes two benches different in more than the program.
fn differences(before: &Bench, now: &Bench) -> Vec<String> {
    let part = |bench: &Bench| bench.parts.first().cloned().unwrap_or_default().before;
    let (b, n) = (part(before), part(now));
    let debug = |value: &dyn std::fmt::Debug| format!("{value:?}");
    let keys = [
        (
            "board",
            debug(&before.subject.board),
            debug(&now.subject.board),
        ),
        (
            "kernel",
            debug(&before.environment.kernel),
            debug(&now.environment.kernel),
        ),
        (
            "boot parameters",
            debug(&before.environment.boot_parameters),
            debug(&now.environment.boot_parameters),
        ),
        (
            "processor",
            debug(&before.environment.cpu_model),
            debug(&now.environment.cpu_model),
        ),
        (
            "configuration",
            debug(&before.subject.config_sha256),
            debug(&now.subject.config_sha256),
        ),
        (
            "source or sink",
            debug(&before.subject.replaced),
            debug(&now.subject.replaced),
        ),
        (
            "length of a part",
            debug(&before.subject.seconds),
            debug(&now.subject.seconds),
        ),
        ("cores", debug(&before.cores), debug(&now.cores)),
        ("governors", debug(&b.governor), debug(&n.governor)),
        (
            "limits of the clock",
            debug(&b.khz_allowed),
            debug(&n.khz_allowed),
        ),
        ("power mode", debug(&b.power_mode), debug(&n.power_mode)),
        (
            "build",
            debug(&before.environment.build),
            debug(&now.environment.build),
        ),
    ];
    let differing = keys.into_iter().filter(|(_, before, now)| before != now);
    let mut said: Vec<String> = differing
        .map(|(what, before, now)| format!("{what}: {before} then, {now} now"))
        .collect();
    let virtual_machine = now
        .virtual_machine
        .as_ref()
        .or(before.virtual_machine.as_ref());
    said.extend(virtual_machine.map(|sign| format!("emulated ({sign}): the times mean nothing")));
    said
}

fn of_part(before: &Part, now: &Part) -> Vec<Row> {
    let mut rows = Vec::new();
    let same_load = match (&before.load, &now.load) {
        (Some(before), Some(now)) => before.version == now.version,
        (None, None) => true,
        _ => false,
    };
    for latency in &now.latencies {
        let earlier = before.latencies.iter().find(|l| l.name == latency.name);
        rows.extend(earlier.and_then(|earlier| of_latency(&now.name, earlier, latency)));
    }
    for wakes in &now.baseline {
        let is_same = |w: &&crate::bench::data::Wakes| w.core == wakes.core && w.by == wakes.by;
        let row = before.baseline.iter().find(is_same).and_then(|earlier| {
            let number = format!("wake-up of core {} ({})", wakes.core, wakes.by);
            of_percentiles(
                &now.name,
                &number,
                &earlier.percentiles,
                &wakes.percentiles,
                true,
            )
        });
        rows.extend(row);
    }
    if let (Some(b), Some(n)) = (before.flow, now.flow) {
        for (name, before, count) in [
            ("missed beats", b.missed_beats, n.missed_beats),
            ("dropped", b.dropped, n.dropped),
            ("failed", b.failed, n.failed),
        ] {
            rows.push(Row {
                part: now.name.clone(),
                number: name.to_owned(),
                before,
                now: count,
                ratio: ratio(before, count),
                is_worse: count > before * 2 && count > before + MORE_EVENTS,
            });
        }
    }
    // Another stress-ng is another load.
    if !same_load {
        for row in &mut rows {
            row.is_worse = false;
        }
    }
    rows
}

fn of_latency(part: &str, before: &Latency, now: &Latency) -> Option<Row> {
    let is_judged = JUDGED.contains(&now.name.as_str());
    of_percentiles(
        part,
        &now.name,
        &before.percentiles,
        &now.percentiles,
        is_judged,
    )
}

/// By the highest percentile that both have enough samples for. The maximum decides nothing: it is one sample.
fn of_percentiles(
    part: &str,
    number: &str,
    before: &Percentiles,
    now: &Percentiles,
    is_judged: bool,
) -> Option<Row> {
    let (name, earlier, later) = match (before.p999_ns, now.p999_ns, before.p99_ns, now.p99_ns) {
        (Some(before), Some(now), _, _) => ("p99.9", before, now),
        (_, _, Some(before), Some(now)) => ("p99", before, now),
        _ => return None,
    };
    Some(Row {
        part: part.to_owned(),
        number: format!("{number} {name}"),
        before: earlier,
        now: later,
        ratio: ratio(earlier, later),
        is_worse: is_judged && is_worse(earlier, later),
    })
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn is_worse(before: u64, now: u64) -> bool {
    now as f64 > before as f64 * TIMES && now > before + MORE_NS
}

#[expect(clippy::cast_precision_loss, reason = "a ratio for people")]
fn ratio(before: u64, now: u64) -> Option<f64> {
    (before > 0).then(|| (now as f64 / before as f64 * 1000.0).round() / 1000.0)
}

/// The rule in words.
pub fn rule() -> String {
    format!(
        "A latency got worse if its p99.9 (its p99 below 1,000 samples) is over {TIMES} times what it was and longer by more \
         than {} us; a count, if it more than doubled and grew by more than {MORE_EVENTS}.",
        MORE_NS / 1_000
    )
}
