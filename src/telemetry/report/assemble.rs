//! Makes a `Report` of what was measured and of the facts that only the pipeline knows.
//!
//! Thread: housekeeping, after the run. Allocates: yes. Reads no clock.

use std::collections::BTreeMap;

use crate::policy::Phase;
use crate::state::report::StateReport;
use crate::telemetry::collect::Collector;
use crate::telemetry::durations::Durations;
use crate::telemetry::environment::Environment;
use crate::telemetry::goals::{GoalsConfig, judge_latency, judge_rate};
use crate::telemetry::measured::{Measured, Series, StageMeasured};
use crate::telemetry::report::counts::{PlayerReport, SensorReport};
use crate::telemetry::report::data::{
    Curve, ElementsReport, EndToEnd, Goals, InstructionReport, InstructionsReport, LinkReport,
    PolicyChange, PolicyReport, Report, RunInfo, RungChange, RungsReport, SCHEMA, SourceReport,
    SpanReport, StageReport, TelemetryReport, ThreadReport, TimelinePoint, TimelineReport,
};
use crate::telemetry::report::streams::StreamReport;
use crate::telemetry::threads::{round, share};
use crate::telemetry::trace::SPANS;
use crate::units::MonoTime;

/// What the report needs besides measurements. The pipeline fills it when the run has ended.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    pub goals: GoalsConfig,
    pub run: RunInfo,
    pub environment: Environment,
    pub links: Vec<LinkReport>,
    pub sources: Vec<SourceReport>,
    pub threads: Vec<ThreadReport>,
    /// By `source_index`; their ages are filled in from what was measured.
    pub sensors: Vec<SensorReport>,
    pub streams: Vec<StreamReport>,
    pub player: PlayerReport,
    pub state: StateReport,
    /// `Policy::explain` of the last status.
    pub policy_explanation: String,
    /// Texts of instructions, by id.
    pub instructions: BTreeMap<u32, String>,
    /// Further warnings.
    pub warnings: Vec<String>,
}

impl Report {
    /// The report of a run.
    pub fn new(collector: &Collector, facts: Facts) -> Self {
        let m = collector.measured();
        let elements = elements(m);
        let goals = goals(m, &facts, &elements);
        let telemetry = telemetry(collector);
        let warnings = warnings(m, &facts, &telemetry);
        Self {
            schema: SCHEMA.to_owned(),
            verdict: goals.verdict(),
            reasons: goals.reasons(),
            warnings,
            goals,
            end_to_end: end_to_end(m),
            elements,
            stages: stages(m),
            spans: spans(m),
            links: facts.links,
            sources: facts.sources,
            sensors: sensors(m, facts.sensors),
            streams: facts.streams,
            threads: facts.threads,
            rungs: rungs(m),
            player: facts.player,
            state: facts.state,
            policy: policy(m, &facts.run.policy, facts.policy_explanation),
            instructions: instructions(m, &facts.instructions),
            curves: curves(m),
            timelines: timelines(m),
            telemetry,
            run: facts.run,
            environment: facts.environment,
        }
    }
}

/// The stages' rows, also for the live table. Behind those of the way come those of the other cameras.
pub fn stages(m: &Measured) -> Vec<StageReport> {
    let way = m.stages.iter().map(|s| stage(s.stage.name().to_owned(), s));
    let views = m.views.iter().zip(1..).flat_map(|(stages, camera)| {
        let row = move |s: &StageMeasured| stage(format!("camera-{camera} {}", s.stage.name()), s);
        stages.iter().map(row)
    });
    way.chain(views).collect()
}

fn stage(name: String, s: &StageMeasured) -> StageReport {
    StageReport {
        name,
        wait: s.wait.quantiles(),
        work: s.work.durations.quantiles(),
        age: s.age.quantiles(),
        ok: s.ok,
        dropped: s.dropped,
        failed: s
            .failed
            .by_reason()
            .map(|(reason, count)| (reason.to_owned(), count))
            .collect(),
        work_total_ns: s.work.durations.sum_ns(),
    }
}

/// Durations across stages, also for the live table.
pub fn end_to_end(m: &Measured) -> EndToEnd {
    EndToEnd {
        camera_to_action: m.camera_to_action.durations.quantiles(),
        fusion: m.fusion.durations.quantiles(),
        instruction_to_action: m.instructions.to_action.quantiles(),
        data_age_at_action: m.data_age.durations.quantiles(),
        action_jitter: m.jitter.durations.quantiles(),
        action_period_jitter: m.period_jitter.quantiles(),
        residual_max_ns: m.residual_max.clamp_u64(),
        incomplete_traces: m.incomplete_traces,
    }
}

/// Stream elements, also for the live table.
#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
pub fn elements(m: &Measured) -> ElementsReport {
    let e = m.elements;
    let seconds = m.elapsed().as_secs_f64();
    ElementsReport {
        frames: e.frames,
        feature_maps: e.feature_maps,
        readings: e.readings,
        instructions: e.instructions,
        chunks: e.chunks,
        actions: e.actions,
        total: e.total(),
        per_second: if seconds > 0.0 {
            round(e.total() as f64 / seconds, 1e3)
        } else {
            0.0
        },
    }
}

fn goals(m: &Measured, facts: &Facts, elements: &ElementsReport) -> Goals {
    let wanted = &facts.goals;
    Goals {
        camera_to_action: judge_latency(
            "camera to action",
            wanted.camera_to_action,
            wanted.percentile,
            &m.camera_to_action.durations,
        ),
        fusion: judge_latency(
            "fusion",
            wanted.fusion,
            wanted.percentile,
            &m.fusion.durations,
        ),
        elements_per_second: judge_rate(wanted.elements_per_second, elements, &facts.threads),
    }
}

fn spans(m: &Measured) -> Vec<SpanReport> {
    let whole = m.camera_to_action.durations.sum_ns();
    let spans = SPANS
        .iter()
        .zip(&m.spans)
        .map(|(span, durations)| SpanReport {
            name: span.name.to_owned(),
            stage: span.stage.name().to_owned(),
            wait: span.wait,
            duration: durations.quantiles(),
            total_ns: durations.sum_ns(),
            share: share(durations.sum_ns(), whole),
        });
    spans.collect()
}

fn sensors(m: &Measured, mut sensors: Vec<SensorReport>) -> Vec<SensorReport> {
    // BOUND: SENSORS_MAX are measured apart.
    for index in sensors.len()..m.sensors.len() {
        sensors.push(SensorReport {
            name: format!("sensor {index}"),
            ..SensorReport::default()
        });
    }
    for (sensor, age) in sensors.iter_mut().zip(&m.sensors) {
        sensor.age = age.quantiles();
    }
    sensors
}

fn rungs(m: &Measured) -> RungsReport {
    let [fresh, tail, hold, safe_stop] = m.rungs.ticks;
    let changes = m.rungs.changes.first().iter();
    RungsReport {
        fresh,
        tail,
        hold,
        safe_stop,
        missed: m.missed_ticks,
        changes: changes
            .map(|(at, from, to)| RungChange {
                at_ns: since(m.began, *at),
                from: from.name().to_owned(),
                to: to.name().to_owned(),
            })
            .collect(),
        changes_count: m.rungs.changes.count(),
    }
}

fn policy(m: &Measured, name: &str, explanation: String) -> PolicyReport {
    let changes = m.policy_changes.first().iter();
    PolicyReport {
        name: name.to_owned(),
        explanation,
        phase: phase_name(m.policy.phase).to_owned(),
        changes: changes
            .map(|(at, status)| PolicyChange {
                at_ns: since(m.began, *at),
                phase: phase_name(status.phase).to_owned(),
                object: status.object,
                match_score: finite(status.match_score),
                confidence: finite(status.confidence),
                offset: status.offset.map(finite),
            })
            .collect(),
        changes_count: m.policy_changes.count(),
    }
}

fn instructions(m: &Measured, texts: &BTreeMap<u32, String>) -> InstructionsReport {
    let ways = m.instructions.ways().iter().map(|way| {
        let received = way.ready.map(|(received, _)| received);
        InstructionReport {
            id: way.id,
            text: texts.get(&way.id).cloned().unwrap_or_default(),
            received_at_ns: received.map(|at| since(m.began, at)),
            encode_ns: way.ready.map(|(from, to)| (to - from).clamp_u64()),
            to_action_ns: received
                .zip(way.acted)
                .map(|(from, to)| (to - from).clamp_u64()),
        }
    });
    InstructionsReport {
        received: m.instructions.received,
        acted: m.instructions.to_action.count(),
        ways: ways.collect(),
    }
}

/// All durations that are worth a percentile curve, with their names in reports.
fn curves(m: &Measured) -> Vec<Curve> {
    named_durations(m)
        .filter(|(_, durations)| durations.count() > 0)
        .map(|(name, durations)| Curve {
            name,
            count: durations.count(),
            points: curve(durations),
        })
        .collect()
}

/// Quantiles as decimals: the histogram's own are sums of halves and tenths with their last bits off.
fn curve(durations: &Durations) -> Vec<(f64, u64)> {
    let points = durations.curve().into_iter();
    points
        .map(|(quantile, ns)| (round(quantile, 1e9), ns))
        .collect()
}

/// Everything measured, by the name that it has in plots and `.hlog` files.
pub(super) fn named_durations(m: &Measured) -> impl Iterator<Item = (String, &Durations)> {
    let series = named_series(m).map(|(name, series)| (name, &series.durations));
    let stages = m.stages.iter().flat_map(|s| {
        let name = s.stage.name();
        [
            (format!("{name} wait"), &s.wait),
            (format!("{name} age"), &s.age),
        ]
    });
    let spans = SPANS.iter().zip(&m.spans);
    let single = [
        ("instruction to action", &m.instructions.to_action),
        ("instruction encode", &m.instructions.encode),
        ("action period jitter", &m.period_jitter),
    ];
    series
        .chain(single.map(|(name, d)| (name.to_owned(), d)))
        .chain(stages)
        .chain(spans.map(|(span, d)| (format!("span {}", span.name), d)))
}

/// What is also kept over time.
pub(super) fn named_series(m: &Measured) -> impl Iterator<Item = (String, &Series)> {
    let whole = [
        ("camera to action", &m.camera_to_action),
        ("fusion", &m.fusion),
        ("data age at action", &m.data_age),
        ("action jitter", &m.jitter),
    ];
    let stages = m.stages.iter();
    whole
        .map(|(name, series)| (name.to_owned(), series))
        .into_iter()
        .chain(stages.map(|s| (format!("{} work", s.stage.name()), &s.work)))
}

fn timelines(m: &Measured) -> Vec<TimelineReport> {
    named_series(m)
        .filter(|(_, series)| series.durations.count() > 0)
        .map(|(name, series)| TimelineReport {
            name,
            interval_ns: series.timeline.width().clamp_u64(),
            points: series
                .timeline
                .intervals()
                .map(|(at, interval)| TimelinePoint {
                    at_ns: at.clamp_u64(),
                    count: interval.count(),
                    p50_ns: interval.at_quantile(0.5),
                    p99_ns: interval.at_quantile(0.99),
                    max_ns: interval.max(),
                })
                .collect(),
        })
        .collect()
}

fn telemetry(collector: &Collector) -> TelemetryReport {
    let all = || named_durations(collector.measured());
    let losers = collector.probes().filter(|p| p.lost > 0);
    let lost_by_thread: BTreeMap<String, u64> = losers.map(|p| (p.name, p.lost)).collect();
    TelemetryReport {
        samples: collector.measured().records,
        lost_samples: lost_by_thread.values().sum(),
        lost_by_thread,
        negative_durations: all().map(|(_, d)| d.negative()).sum(),
        clamped_durations: all().map(|(_, d)| d.clamped()).sum(),
    }
}

/// What decides nothing and should be looked at.
fn warnings(m: &Measured, facts: &Facts, telemetry: &TelemetryReport) -> Vec<String> {
    let mut found = facts.warnings.clone();
    let mut add = |count: u64, text: &str| {
        if count > 0 {
            found.push(format!("{count} {text}"));
        }
    };
    add(
        telemetry.lost_samples,
        "samples of telemetry were lost: the percentiles lack them",
    );
    add(
        telemetry.negative_durations,
        "durations were negative: a time stamp runs backwards",
    );
    add(
        telemetry.clamped_durations,
        "durations were over 60 s: their percentiles show as 60 s",
    );
    add(
        m.incomplete_traces,
        "frames were acted on without all their time stamps",
    );
    add(m.missed_ticks, "beats of the action clock were skipped");
    add(
        m.rungs.ticks[2],
        "beats held the position because no chunk of actions was left",
    );
    add(m.rungs.ticks[3], "beats played the safe action");
    for link in facts.links.iter().filter(|link| !link.is_balanced()) {
        found.push(format!(
            "the link `{}` does not add up: {} in, {} out, {} dropped, {} in flight",
            link.name,
            link.entered,
            link.left,
            link.dropped_total(),
            link.in_flight
        ));
    }
    for thread in &facts.threads {
        let refused = thread.refused.iter();
        found.extend(refused.map(|text| format!("`{}`: {text}", thread.name)));
    }
    found
}

/// JSON knows no NaN and no infinity; a policy that made one shows 0.
fn finite(value: f32) -> f32 {
    if value.is_finite() { value } else { 0.0 }
}

fn since(began: MonoTime, at: MonoTime) -> u64 {
    (at - began).clamp_u64()
}

/// As in the report and the live table.
pub fn phase_name(phase: Phase) -> &'static str {
    match phase {
        Phase::Idle => "idle",
        Phase::NoMatch => "no match",
        Phase::Searching => "searching",
        Phase::Tracking => "tracking",
        Phase::Locked => "locked",
        Phase::NotFound => "not found",
    }
}
