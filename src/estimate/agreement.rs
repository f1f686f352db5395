//! Whether theory and measurement agree, and within which bounds that can be said at all.

use serde_json::{Value as Json, json};

use crate::estimate::account::{Account, Latencies};
use crate::estimate::figure::{Value, count_f64, nanos_f64, ratio, spell_time};
use crate::estimate::measure::Measured;
use crate::estimate::show::describe;
use crate::telemetry::columns::align;
use crate::units::Nanos;

/// The part of the theory's number by which the measurement may differ for no other reason.
const TOLERANCE: f64 = 0.01;
/// Where the machine's own error is more than this part of a latency, nothing is claimed.
const TOO_MUCH: f64 = 0.2;

/// What can be said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Agrees,
    Differs,
    /// The machine was busy with something else.
    TooLoaded,
}

impl Verdict {
    pub fn name(self) -> &'static str {
        match self {
            Self::Agrees => "agrees",
            Self::Differs => "differs",
            Self::TooLoaded => "too loaded to tell",
        }
    }
}

/// One number, computed and measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    pub name: &'static str,
    pub theory: Value,
    pub measured: Value,
    /// Measured less theory, in percent of the theory.
    pub difference_percent: f64,
    /// How far they may be apart.
    pub bound: Value,
    pub within: bool,
}

/// All numbers, and what they say together.
#[derive(Clone, Debug, PartialEq)]
pub struct Agreement {
    pub rows: Vec<Row>,
    pub verdict: Verdict,
    /// Of a latency: what the machine itself adds.
    pub machine: Nanos,
}

/// Holds the measurement against the theory.
pub fn agreement(measured: &Measured) -> Agreement {
    let Measured { trial, theory, .. } = measured;
    let machine = machine_error(measured, false);
    let worst = machine_error(measured, true);
    let interval = trial.setting.interval();
    let items = trial.setting.items;
    // An item more or less for each interval that the machine took for itself.
    let apart = 1.0 + f64::from(items) * TOLERANCE + ratio(worst, interval).ceil();
    let rows = vec![
        times("mean latency", measured, machine, |a| a.latency.mean_ns),
        times("p50 latency", measured, machine, |a| a.latency.p50_ns),
        times("p99 latency", measured, worst, |a| a.latency.p99_ns),
        times("longest latency", measured, worst, |a| a.latency.max_ns),
        times("until all are done", measured, worst, |a| a.makespan_ns),
        counts("items done", measured, apart, |a| a.done),
        counts("items dropped", measured, apart, |a| a.dropped),
        counts("most items at once", measured, apart, |a| {
            u64::from(a.in_system_max)
        }),
    ];
    let verdict = if rows.iter().all(|row| row.within) {
        Verdict::Agrees
    } else {
        Verdict::Differs
    };
    let can_tell = ratio(machine, Nanos(theory.latency.mean_ns)) <= TOO_MUCH;
    Agreement {
        verdict: if can_tell {
            verdict
        } else {
            Verdict::TooLoaded
        },
        rows,
        machine,
    }
}

/// Two wake-ups, the source's and the worker's, and what steps took too long: all of them where a backlog adds them up,
/// else one.
fn machine_error(measured: &Measured, worst: bool) -> Nanos {
    let adds_up = measured.trial.setting.utilisation() >= 1.0;
    let pick = |latencies: &Latencies| {
        Nanos(if worst {
            latencies.max_ns
        } else {
            latencies.p99_ns
        })
    };
    let mut wake = pick(&measured.wakes).max(pick(&measured.source_late));
    if worst {
        // One wake-up decides the longest latency, and none before it tells how long.
        wake = wake.max(pick(&measured.handover));
    }
    let steps = if adds_up {
        measured.overshoot_sum
    } else {
        pick(&measured.overshoot)
    };
    wake * 2 + steps
}

/// What the order of things at one instant decides.
fn edge(measured: &Measured, of: impl Fn(&Account) -> f64) -> f64 {
    let theory = of(&measured.theory);
    let apart = measured.edges.iter().map(|edge| (of(edge) - theory).abs());
    apart.fold(0.0, f64::max)
}

fn times(
    name: &'static str,
    measured: &Measured,
    machine: Nanos,
    of: impl Fn(&Account) -> i64,
) -> Row {
    let (theory, real) = (Nanos(of(&measured.theory)), Nanos(of(&measured.account)));
    let edge = edge(measured, |account| nanos_f64(Nanos(of(account)))) / 1e9;
    let bound = Nanos::from_secs_f64(theory.as_secs_f64() * TOLERANCE + edge) + machine;
    Row {
        name,
        theory: Value::Time(theory),
        measured: Value::Time(real),
        difference_percent: ratio(real - theory, theory) * 100.0,
        bound: Value::Time(bound),
        within: (real - theory).abs() <= bound,
    }
}

fn counts(
    name: &'static str,
    measured: &Measured,
    apart: f64,
    of: impl Fn(&Account) -> u64,
) -> Row {
    let (theory, real) = (of(&measured.theory), of(&measured.account));
    let apart = apart + edge(measured, |account| count_f64(of(account)));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a number of items, never negative"
    )]
    let bound = apart as u64;
    Row {
        name,
        theory: Value::Count(theory),
        measured: Value::Count(real),
        difference_percent: (count_f64(real) - count_f64(theory)) / count_f64(theory.max(1))
            * 100.0,
        bound: Value::Count(bound),
        within: theory.abs_diff(real) <= bound,
    }
}

/// For a person.
pub fn text(measured: &Measured, agreement: &Agreement) -> String {
    let setting = &measured.trial.setting;
    let mut rows = vec![["", "theory", "measured", "difference", "bound", ""].map(str::to_owned)];
    rows.extend(agreement.rows.iter().map(|row| {
        [
            row.name.to_owned(),
            row.theory.to_string(),
            row.measured.to_string(),
            format!("{:+.2} %", row.difference_percent),
            row.bound.to_string(),
            if row.within { "" } else { "outside" }.to_owned(),
        ]
    }));
    let rows: Vec<Vec<String>> = rows.into_iter().map(Vec::from).collect();
    let mut text = format!("\nMeasured: {}\n", describe(setting));
    if measured.trial.scale < 1.0 {
        text += &format!(
            "  All times are {:.3} of the above, so that it ends in time.\n",
            measured.trial.scale
        );
    }
    if !measured.real_time {
        text += "  Not all threads are of a real-time class: the kernel may run something else in their place.\n";
    }
    text += "\n";
    for line in align(&rows) {
        text += &format!("  {line}\n");
    }
    let replay = &measured.replay;
    let spell = |ns: i64| spell_time(Nanos(ns));
    text += &format!(
        "\n  theory and measurement: {}\n  bound: 1 % of the theory and the machine's own part, two wake-ups and what \
         steps took too long\n  wake-ups: p50 {}, p99 {}, longest {} late; the source's: p99 {}, longest {}; the workers': p99 {}, longest {}\n  steps: p99 {} too \
         long, longest {}, together {}\n  the model fed with what really came and how long it really took: mean latency {}, measured {} ({:+.2} %), ends p99 {} apart\n",
        agreement.verdict.name(),
        spell(measured.wakes.p50_ns),
        spell(measured.wakes.p99_ns),
        spell(measured.wakes.max_ns),
        spell(measured.source_late.p99_ns),
        spell(measured.source_late.max_ns),
        spell(measured.handover.p99_ns),
        spell(measured.handover.max_ns),
        spell(measured.overshoot.p99_ns),
        spell(measured.overshoot.max_ns),
        spell_time(measured.overshoot_sum),
        spell(replay.theory_ns),
        spell(replay.measured_ns),
        ratio(
            Nanos(replay.measured_ns - replay.theory_ns),
            Nanos(replay.theory_ns)
        ) * 100.0,
        spell(replay.apart.p99_ns),
    );
    text
}

/// For programs.
pub fn json(measured: &Measured, agreement: &Agreement) -> Json {
    let rows: Vec<Json> = agreement
        .rows
        .iter()
        .map(|row| {
            json!({
                "name": row.name,
                "theory": row.theory,
                "measured": row.measured,
                "difference_percent": row.difference_percent,
                "bound": row.bound,
                "within": row.within,
            })
        })
        .collect();
    json!({
        "setting": describe(&measured.trial.setting),
        "scale": measured.trial.scale,
        "real_time": measured.real_time,
        "verdict": agreement.verdict.name(),
        "machine_error_ns": nanos_f64(agreement.machine),
        "figures": rows,
        "theory": measured.theory,
        "measured": measured.account,
        "wake_ups": measured.wakes,
        "source_late": measured.source_late,
        "handover": measured.handover,
        "step_overshoot": measured.overshoot,
        "replay": measured.replay,
    })
}
