//! Batch against stream for any setting: the document's formulas, the exact numbers, and why they differ.

use crate::estimate::account::Account;
use crate::estimate::arrivals::{Arrivals, Work};
use crate::estimate::closed::PoissonFixed;
use crate::estimate::figure::{Figure, Value, count_f64, ratio};
use crate::estimate::notes::Note;
use crate::estimate::queue::{Queue, WhenFull};
use crate::estimate::setting::{Outcome, Setting};
use crate::units::Nanos;

/// What the document assumes without computing it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Assumed {
    /// Items in memory at once.
    pub at_once: Option<u32>,
}

/// All rows for this setting.
pub fn figures(setting: &Setting, outcome: &Outcome, assumed: Assumed) -> Vec<Figure> {
    let mut rows = latencies(setting, outcome);
    rows.extend(rates(setting, outcome));
    rows.extend(memory(setting, outcome, assumed));
    if setting.utilisation() > 1.0 && setting.queue == Queue::unbounded(setting.queue.workers) {
        rows.extend(bounded(setting, assumed.at_once));
    }
    rows.extend(windows(setting));
    rows
}

fn latencies(setting: &Setting, outcome: &Outcome) -> Vec<Figure> {
    let said = setting.formulas();
    let Outcome { batch, stream } = outcome;
    let arrived = setting.arrivals.instants(setting.items);
    let first = arrived.first().copied().unwrap_or_default();
    let mean_arrival = mean(&arrived);
    let all_done = batch.makespan();
    let mut rows = vec![
        Figure::new(
            "batch: until all are done",
            Value::Time(said.batch_latency()),
            Value::Time(all_done),
            &[],
        ),
        Figure::new(
            "batch: latency by its definition, from the first arrival",
            Value::Time(said.batch_latency()),
            Value::Time(all_done - first),
            &[Note::M2],
        ),
        Figure::new(
            "batch: mean latency of an item, results at the end",
            None,
            Value::Time(all_done - mean_arrival),
            &[Note::M3],
        ),
        Figure::new(
            "batch: mean latency of an item, results one by one",
            None,
            Value::Time(Nanos(batch.latency.mean_ns)),
            &[Note::M3],
        ),
        Figure::new(
            "stream: until all are done",
            None,
            Value::Time(stream.makespan()),
            &[Note::M3],
        ),
        Figure::new(
            "stream: latency of the last item",
            Value::Time(said.stream_latency()),
            Value::Time(Nanos(stream.latency.last_ns)),
            &[],
        ),
        Figure::new(
            "stream: mean latency",
            None,
            Value::Time(Nanos(stream.latency.mean_ns)),
            &[],
        ),
        Figure::new(
            "stream: p99 latency",
            None,
            Value::Time(Nanos(stream.latency.p99_ns)),
            &[],
        ),
        Figure::new(
            "stream: longest latency",
            None,
            Value::Time(Nanos(stream.latency.max_ns)),
            &[],
        ),
    ];
    rows.extend(for_ever(setting));
    if stream.dropped > 0 {
        rows.push(Figure::new(
            "stream: items dropped",
            None,
            Value::Count(stream.dropped),
            &[Note::M7],
        ));
    }
    rows.extend([
        Figure::new(
            "less latency, all of the batch against the last of the stream",
            Value::Percent(said.latency_reduction()),
            less(all_done, Nanos(stream.latency.last_ns)),
            &[Note::M3],
        ),
        Figure::new(
            "less time until all are done",
            None,
            less(all_done, stream.makespan()),
            &[Note::M3],
        ),
    ]);
    if setting.utilisation() <= 1.0 {
        rows.push(Figure::new(
            "less latency, for ever more items",
            Value::Percent(said.latency_reduction_limit()),
            Value::Percent(100.0),
            &[Note::M1],
        ));
    }
    rows
}

/// Poisson arrivals have closed forms, where one worker has room for all and can keep up.
fn for_ever(setting: &Setting) -> Vec<Figure> {
    let (Arrivals::Poisson { mean, .. }, Work::Fixed(work)) = (&setting.arrivals, setting.work)
    else {
        return Vec::new();
    };
    if setting.queue != Queue::default() {
        return Vec::new();
    }
    let closed = PoissonFixed {
        interval: *mean,
        work,
    };
    let rows = [
        ("stream: mean latency for ever", closed.mean_latency()),
        ("stream: p99 latency for ever", closed.latency_at(0.99)),
    ];
    let row = |(name, time): (&str, Option<Nanos>)| {
        Some(Figure::new(name, None, Value::Time(time?), &[Note::M11]))
    };
    rows.into_iter().filter_map(row).collect()
}

fn rates(setting: &Setting, outcome: &Outcome) -> Vec<Figure> {
    let said = setting.formulas();
    let Outcome { batch, stream } = outcome;
    let mut rows = vec![
        Figure::new(
            "batch: throughput",
            Value::PerSecond(said.batch_rate()),
            Value::PerSecond(batch.per_second),
            &[],
        ),
        Figure::new(
            "stream: throughput of these items",
            Value::PerSecond(said.stream_rate()),
            Value::PerSecond(stream.per_second),
            &[Note::M4],
        ),
    ];
    if let Some(closed) = setting.closed() {
        rows.push(Figure::new(
            "stream: throughput for ever",
            Value::PerSecond(said.stream_rate()),
            Value::PerSecond(closed.steady_rate()),
            &[],
        ));
    }
    rows.push(Figure::new(
        "more throughput",
        Value::Times(said.rate_improvement()),
        Value::Times(stream.per_second / batch.per_second),
        &[Note::M4],
    ));
    if setting.queue.workers == 1 {
        rows.push(Figure::new(
            "more throughput, at most",
            Value::Times(3.0),
            Value::Times(2.0),
            &[Note::M5],
        ));
    }
    rows
}

fn memory(setting: &Setting, outcome: &Outcome, assumed: Assumed) -> Vec<Figure> {
    let said = setting.formulas();
    let stream = &outcome.stream;
    let why = if setting.utilisation() > 1.0 {
        [Note::M7]
    } else {
        [Note::M6]
    };
    let at_once = assumed.at_once;
    let bytes = |items: u32| Value::Bytes(u64::from(items) * setting.item_bytes);
    let shown = outcome.batch.in_system_max;
    vec![
        Figure::new(
            "batch: memory",
            bytes(setting.items),
            Value::Bytes(outcome.batch.memory_bytes),
            &[],
        ),
        Figure::new(
            "stream: most items at once",
            at_once.map(|k| Value::Count(u64::from(k))),
            Value::Count(u64::from(stream.in_system_max)),
            &why,
        ),
        Figure::new(
            "stream: memory",
            at_once.map(bytes),
            Value::Bytes(stream.memory_bytes),
            &why,
        ),
        Figure::new(
            "less memory",
            at_once.map(|k| Value::Percent(said.memory_reduction(k))),
            Value::Percent(
                (1.0 - f64::from(stream.in_system_max) / f64::from(shown.max(1))) * 100.0,
            ),
            &why,
        ),
    ]
}

/// The same items where the backlog is not allowed to grow.
fn bounded(setting: &Setting, at_once: Option<u32>) -> Vec<Figure> {
    let room = at_once.unwrap_or(20);
    let kinds = [
        (
            WhenFull::DropNewest,
            format!("room for {room}, drop newest"),
        ),
        (
            WhenFull::DropOldest,
            format!("room for {room}, drop oldest"),
        ),
        (WhenFull::NewestOnly, "newest only".to_owned()),
    ];
    let rows = kinds.into_iter().flat_map(|(when_full, name)| {
        let queue = Queue {
            room: Some(room),
            when_full,
            ..setting.queue
        };
        let account = Account::of(&setting.stream_through(&queue), setting.item_bytes);
        [
            Figure::new(
                format!("stream, {name}: items dropped"),
                None,
                Value::Count(account.dropped),
                &[Note::M7],
            ),
            Figure::new(
                format!("stream, {name}: longest latency"),
                None,
                Value::Time(Nanos(account.latency.max_ns)),
                &[Note::M7],
            ),
        ]
    });
    rows.collect()
}

/// The setting's windows: waits, utilisation and what it comes to, windows without anything new.
fn windows(setting: &Setting) -> Vec<Figure> {
    let Some(window) = setting.window else {
        return Vec::new();
    };
    let work = setting.work.mean();
    let stream = window.stream(setting.items, work, setting.queue.workers);
    let said = if window.size() == window.slide() {
        Nanos(window.size().0 / 2)
    } else {
        window.size()
    };
    vec![
        Figure::new(
            "window: mean wait until the first one is complete",
            Value::Time(said),
            Value::Time(window.mean_wait()),
            &[Note::M9],
        ),
        Figure::new(
            "window: longest wait until the first one is complete",
            Value::Time(said),
            Value::Time(window.longest_wait()),
            &[Note::M9],
        ),
        Figure::new(
            "window: utilisation",
            None,
            Value::Percent(stream.utilisation() * 100.0),
            &[Note::M8],
        ),
        Figure::new(
            format!("window {}: late by", setting.items),
            Value::Time(work),
            Value::Time(stream.latency(setting.items)),
            &[Note::M8],
        ),
        Figure::new(
            "windows without a new item",
            None,
            Value::Percent(window.share_without_new(setting.interval()) * 100.0),
            &[Note::M14],
        ),
    ]
}

fn mean(instants: &[Nanos]) -> Nanos {
    let sum: i128 = instants.iter().map(|at| i128::from(at.0)).sum();
    let count = i128::try_from(instants.len().max(1)).unwrap_or(i128::MAX);
    Nanos(i64::try_from(sum / count).unwrap_or(i64::MAX))
}

/// How much shorter `after` is than `before`.
pub fn less(before: Nanos, after: Nanos) -> Value {
    Value::Percent(ratio(before - after, before) * 100.0)
}

/// A share of items in percent.
pub fn share(part: u64, whole: u64) -> Value {
    Value::Percent(count_f64(part) / count_f64(whole.max(1)) * 100.0)
}
