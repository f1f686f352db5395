//! The verdict: what works, and on real hardware what keeps its limits.

use crate::bench::data::{Bench, Part};
use crate::telemetry::durations::duration;
use crate::telemetry::report::data::Verdict;

/// Judges. In a virtual machine only whether it works: a pass of times there would be worth nothing.
pub fn judge(bench: &mut Bench) {
    let mut reasons = Vec::new();
    let mut limits = 0;
    for part in bench.parts.iter().filter(|part| part.not_run.is_none()) {
        reasons.extend(
            part.broken
                .iter()
                .map(|why| format!("{}: {why}", part.name)),
        );
        if bench.virtual_machine.is_none() {
            limits += over(bench, part, &mut reasons);
        }
    }
    bench.verdict = match (bench.interrupted, reasons.is_empty(), limits) {
        (true, _, _) => Verdict::NotJudged,
        (_, false, _) => Verdict::Missed,
        (_, true, 0) => Verdict::NotJudged,
        (_, true, _) => Verdict::Met,
    };
    bench.reasons = reasons;
}

/// Says which limits a part exceeds, and gives how many there were. The board's are for a real-time kernel; others only report.
fn over(bench: &Bench, part: &Part, reasons: &mut Vec<String>) -> usize {
    let is_rt = bench.environment.preemption == "rt";
    let wakes = part.baseline.iter().filter(|_| is_rt).filter_map(|wakes| {
        let name = format!("wake-up of core {}", wakes.core);
        Some((name, wakes.percentiles.max_ns, wakes.budget?))
    });
    // The run itself has judged its goals, at the percentile that its configuration names.
    let goals = part.latencies.iter().filter_map(|latency| {
        Some((
            latency.name.clone(),
            latency.percentiles.max_ns,
            latency.budget?,
        ))
    });
    let mut limits = 0;
    for (name, max_ns, budget) in wakes.chain(goals) {
        limits += 1;
        if budget.is_missed {
            reasons.push(format!(
                "{}: {name}: {} over {}, the longest {}",
                part.name,
                budget.over,
                duration(budget.limit_ns),
                duration(max_ns)
            ));
        }
    }
    limits
}
