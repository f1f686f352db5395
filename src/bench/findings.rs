//! What a person should take from a bench: is it good, what is bad, why probably, and what to do next.

use crate::bench::data::{Bench, Latency, Part, Percentiles, Wakes};
use crate::bench::loads::Load;
use crate::telemetry::durations::duration;

/// A tail is worth a word from here on: so many times what it is without the load.
const WORSE_TIMES: u64 = 2;
/// And by so much in absolute terms, ns.
const WORSE_BY: u64 = 20_000;

/// In words, the most important first.
pub fn findings(bench: &Bench) -> Vec<String> {
    let mut said = Vec::new();
    said.extend(bench.virtual_machine.as_ref().map(|sign| {
        format!(
            "EMULATED: {sign}. These times mean nothing on a board; only what works and what does not is worth reading."
        )
    }));
    said.extend(broken(bench));
    said.extend(not_run(bench));
    said.extend(summary(bench));
    said.extend(budgets(bench));
    said.extend(loads(bench));
    said.extend(refused(bench));
    said.extend(marked(bench));
    said.extend(doctor(bench));
    said.extend(clocks(bench));
    said.extend(length(bench));
    said
}

fn broken(bench: &Bench) -> Vec<String> {
    let of = |part: &Part| {
        let said = |why: &String| format!("{}: does not work: {why}", part.name);
        part.broken.iter().map(said).collect::<Vec<_>>()
    };
    bench.parts.iter().flat_map(of).collect()
}

fn not_run(bench: &Bench) -> Vec<String> {
    let of = |part: &Part| {
        let not_run = part.not_run.as_ref()?;
        Some(format!(
            "{}: not run, since {} (fix: {})",
            part.name, not_run.why, not_run.fix
        ))
    };
    bench.parts.iter().filter_map(of).collect()
}

/// The highest percentile that there are enough samples for.
pub fn tail(p: &Percentiles) -> (&'static str, u64) {
    match (p.p9999_ns, p.p999_ns, p.p99_ns) {
        (Some(ns), _, _) => ("p99.99", ns),
        (_, Some(ns), _) => ("p99.9", ns),
        (_, _, Some(ns)) => ("p99", ns),
        _ => ("longest", p.max_ns),
    }
}

fn find<'a>(part: &'a Part, name: &str) -> Option<&'a Latency> {
    part.latencies.iter().find(|latency| latency.name == name)
}

fn idle(bench: &Bench) -> Option<&Part> {
    bench
        .parts
        .iter()
        .find(|part| part.name == Load::Idle.name())
}

/// What there is to be had without a load.
fn summary(bench: &Bench) -> Vec<String> {
    let Some(part) = idle(bench) else {
        return Vec::new();
    };
    let said = |name: &str, sentence: &str| {
        let p = find(part, name)?.percentiles;
        let (which, ns) = tail(&p);
        Some(format!(
            "idle: {sentence} {} (p50), {} ({which}), at most {} of {}",
            duration(p.p50_ns),
            duration(ns),
            duration(p.max_ns),
            p.count
        ))
    };
    [
        said("camera to action", "from the camera's stamp to the action"),
        said("action jitter", "beats of the action clock come late by"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The board's limits for wake-ups.
fn budgets(bench: &Bench) -> Vec<String> {
    let of = |part: &Part, wakes: &Wakes| {
        let budget = wakes.budget.filter(|_| bench.virtual_machine.is_none())?;
        let said = format!(
            "{}: core {} woke at most {} late; the board's limit is {}",
            part.name,
            wakes.core,
            duration(wakes.percentiles.max_ns),
            duration(budget.limit_ns)
        );
        Some(match budget.over {
            0 => format!("{said}: kept"),
            over => format!("{said}: MISSED {over} times of {}", wakes.percentiles.count),
        })
    };
    let parts = bench.parts.iter();
    parts
        .flat_map(|part| {
            part.baseline
                .iter()
                .filter_map(move |wakes| of(part, wakes))
        })
        .collect()
}

/// What each load does to the tail, and by which way it probably reaches the cores of the way.
fn loads(bench: &Bench) -> Vec<String> {
    let Some(quiet) = idle(bench) else {
        return Vec::new();
    };
    let of = |part: &Part| {
        let load = Load::ALL
            .into_iter()
            .find(|load| load.name() == part.name)?;
        if load == Load::Idle {
            return None;
        }
        let (before, now) = (find(quiet, "action jitter")?, find(part, "action jitter")?);
        let ((which, now), (_, before)) = same_tail(&now.percentiles, &before.percentiles);
        if now <= before * WORSE_TIMES || now <= before + WORSE_BY {
            return Some(format!(
                "{}: hardly felt, beats late by {} at {which}, idle {}",
                part.name,
                duration(now),
                duration(before)
            ));
        }
        let shared = &bench.cores.shared;
        let why = if shared.is_empty() {
            format!("Probably: {}", load.reaches())
        } else {
            format!(
                "The load and the way share the cores {shared:?}, which no isolation helps; give the way cores of its own"
            )
        };
        Some(format!(
            "{}: FELT, beats late by {} at {which}, idle {}. {why}",
            part.name,
            duration(now),
            duration(before)
        ))
    };
    bench.parts.iter().filter_map(of).collect()
}

/// The tails of both at the highest percentile that both have.
fn same_tail(a: &Percentiles, b: &Percentiles) -> ((&'static str, u64), (&'static str, u64)) {
    if a.count <= b.count {
        let (which, ns) = tail(a);
        ((which, ns), (which, at(b, which)))
    } else {
        let (which, ns) = tail(b);
        ((which, at(a, which)), (which, ns))
    }
}

fn at(p: &Percentiles, which: &str) -> u64 {
    let found = match which {
        "p99.99" => p.p9999_ns,
        "p99.9" => p.p999_ns,
        "p99" => p.p99_ns,
        _ => None,
    };
    found.unwrap_or(p.max_ns)
}

/// What the kernel did not grant: the first reason of a bad tail, and the easiest to mend.
fn refused(bench: &Bench) -> Option<String> {
    let mut all: Vec<&str> = bench
        .parts
        .iter()
        .flat_map(|part| &part.warnings)
        .filter_map(|warning| warning.strip_prefix("not granted: "))
        .collect();
    all.sort_unstable();
    all.dedup();
    (!all.is_empty()).then(|| {
        format!(
            "not granted, so these are the latencies of a normal process: {} (fix: run as root, or give the service its rights)",
            all.join("; ")
        )
    })
}

fn marked(bench: &Bench) -> Vec<String> {
    let of = |part: &Part| {
        (!part.marks.is_empty()).then(|| {
            format!(
                "{}: not fit for a comparison, since {}",
                part.name,
                part.marks.join("; ")
            )
        })
    };
    bench.parts.iter().filter_map(of).collect()
}

/// What the doctor says to it: likely reasons, and what to do next.
fn doctor(bench: &Bench) -> Vec<String> {
    let Some(summary) = &bench.environment.doctor else {
        return Vec::new();
    };
    let mut said: Vec<String> = summary
        .failed
        .iter()
        .map(|line| format!("doctor fails {line}"))
        .collect();
    if !summary.failed.is_empty() || !summary.warned.is_empty() {
        let warned = match summary.warned.as_slice() {
            [] => String::new(),
            ids => format!("doctor warns of {}; ", ids.join(" ")),
        };
        said.push(format!(
            "{warned}next: `reflexarc doctor --fix --dry-run` shows what can be set at once, `reflexarc doctor --explain ID` why \
             it matters"
        ));
    }
    said
}

fn clocks(bench: &Bench) -> Vec<String> {
    let mut said: Vec<String> = bench
        .clocks
        .left
        .iter()
        .map(|why| {
            format!("CLOCKS ARE NOT AS BEFORE: {why} (`reflexarc bench --restore` tries again)")
        })
        .collect();
    let scales = idle(bench).is_some_and(|part| {
        let mut governors = part.before.governor.values();
        governors.any(|name| name != "performance")
    });
    if scales && !bench.clocks.asked {
        said.push(
            "the clock follows the load: with --lock-clocks the numbers of two runs can be compared better, and without it they \
             are what the robot has"
                .to_owned(),
        );
    }
    said
}

fn length(bench: &Bench) -> Option<String> {
    let p = find(idle(bench)?, "camera to action")?.percentiles;
    if p.count == 0 || p.count >= 10_000 {
        return None;
    }
    let enough = (u64::from(bench.subject.seconds) * 10_000).div_ceil(p.count);
    let known = match tail(&p) {
        ("longest", _) => "not even p99".to_owned(),
        (which, _) => format!("{which} and nothing rarer"),
    };
    Some(format!(
        "{} frames tell {known}: p99.99 needs 10,000, as --seconds {enough} gives at this rate",
        p.count
    ))
}
