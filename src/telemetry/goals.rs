//! The goals of a run, and whether it met them.
//!
//! A latency goal is judged at one percentile, 99 unless configured otherwise. Rejected: judging the
//! maximum, because one page fault of another process in an hour would decide, and judging the mean,
//! because it hides what a robot feels. The report shows the maximum and the number over the limit
//! beside the verdict, so nothing is hidden; `percentile = 100` is there for who needs every frame.
//!
//! The goal of elements a second asks what the process can carry, not how slow the camera is: it is met
//! by the measured rate, or by the rate at which the busiest thread would run out of time if all
//! streams grew alike. A thread is busy while one of its stages works; spinning is not work.

use serde::{Deserialize, Deserializer};

use crate::telemetry::durations::{Durations, duration};
use crate::telemetry::report::axis::{label_ns, to_f64};
use crate::telemetry::report::data::{
    ElementsReport, Goals, LatencyGoal, RateGoal, ThreadReport, Verdict,
};
use crate::telemetry::threads::round;
use crate::units::{Hertz, Nanos};

/// What the run must reach; decides the verdict and the exit code.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GoalsConfig {
    /// From the camera's stamp to the first action computed from the frame. Above 0; default 100 ms.
    #[serde(deserialize_with = "above_zero")]
    pub camera_to_action: Nanos,
    /// From a complete feature map to its chunk of actions: fusing camera, language and sensors. Above 0;
    /// default 50 ms.
    #[serde(deserialize_with = "above_zero")]
    pub fusion: Nanos,
    /// Stream elements a second: frames, feature maps, readings, instructions, chunks, actions. Above 0;
    /// default 1000. Met by the measured rate or by the rate that the busiest thread could sustain.
    pub elements_per_second: Hertz,
    /// The latency goals must hold for this share of all frames, in percent: above 0, at most 100; default
    /// 99. At 100 the slowest frame decides.
    pub percentile: Percentile,
}

impl Default for GoalsConfig {
    fn default() -> Self {
        Self {
            camera_to_action: Nanos::from_millis(100),
            fusion: Nanos::from_millis(50),
            elements_per_second: Hertz::new(1000.0).expect("1000 is above 0"),
            percentile: Percentile(99.0),
        }
    }
}

/// A share in percent: above 0, at most 100.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Percentile(f64);

impl Percentile {
    pub fn new(percent: f64) -> Option<Self> {
        (percent > 0.0 && percent <= 100.0).then_some(Self(percent))
    }

    /// In percent.
    pub fn get(self) -> f64 {
        self.0
    }

    /// As a share of 1.
    pub fn quantile(self) -> f64 {
        self.0 / 100.0
    }
}

impl<'de> Deserialize<'de> for Percentile {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let percent = f64::deserialize(d)?;
        Self::new(percent).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{percent} is not a percentile: it must be above 0 and at most 100"
            ))
        })
    }
}

fn above_zero<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    let limit = Nanos::deserialize(d)?;
    if limit > Nanos::ZERO {
        return Ok(limit);
    }
    Err(serde::de::Error::custom(
        "a latency goal must be above 0, such as \"100 ms\"",
    ))
}

impl Goals {
    /// Met when every goal is met; missed when one is missed; else there was too little to judge.
    pub fn verdict(&self) -> Verdict {
        let verdicts = self.all().map(|(verdict, _)| verdict);
        if verdicts.contains(&Verdict::Missed) {
            return Verdict::Missed;
        }
        if verdicts.contains(&Verdict::NotJudged) {
            return Verdict::NotJudged;
        }
        Verdict::Met
    }

    /// Why it is not met.
    pub fn reasons(&self) -> Vec<String> {
        let all = self.all().into_iter();
        let open = all.filter(|(verdict, _)| *verdict != Verdict::Met);
        open.map(|(_, why)| why.to_owned()).collect()
    }

    fn all(&self) -> [(Verdict, &str); 3] {
        let rate = &self.elements_per_second;
        [
            (self.camera_to_action.verdict, &self.camera_to_action.why),
            (self.fusion.verdict, &self.fusion.why),
            (rate.verdict, &rate.why),
        ]
    }
}

/// Judges a latency. `durations` must have been made with the limit, so that it counted what is above.
pub(super) fn judge_latency(
    name: &str,
    limit: Nanos,
    percentile: Percentile,
    durations: &Durations,
) -> LatencyGoal {
    let measured_ns = durations.at_quantile(percentile.quantile());
    let limit_ns = limit.clamp_u64();
    let at = format!("p{}", percentile.get());
    let wanted = label_ns(to_f64(limit_ns));
    let verdict = match (durations.count(), measured_ns <= limit_ns) {
        (0, _) => Verdict::NotJudged,
        (_, true) => Verdict::Met,
        (_, false) => Verdict::Missed,
    };
    let above = format!(
        "{} of {} were over it, the longest {}",
        durations.above_limit(),
        durations.count(),
        duration(durations.max())
    );
    let why = match verdict {
        Verdict::NotJudged => {
            format!("{name}: no frame came all the way, so there is nothing to judge")
        }
        Verdict::Met => format!(
            "{name}: {at} {} is within {wanted}; {above}",
            duration(measured_ns)
        ),
        Verdict::Missed => format!(
            "{name}: {at} {} is over the limit of {wanted}; {above}",
            duration(measured_ns)
        ),
    };
    LatencyGoal {
        verdict,
        limit_ns,
        percentile: percentile.get(),
        measured_ns,
        max_ns: durations.max(),
        above: durations.above_limit(),
        count: durations.count(),
        why,
    }
}

/// Judges the rate, by what passed or by what the busiest thread has time for.
pub(super) fn judge_rate(
    limit: Hertz,
    elements: &ElementsReport,
    threads: &[ThreadReport],
) -> RateGoal {
    let limit = limit.get();
    let measured = elements.per_second;
    let busiest = threads
        .iter()
        .filter(|t| t.work_fraction > 0.0)
        .max_by(|a, b| a.work_fraction.total_cmp(&b.work_fraction));
    let (busiest_thread, busiest_work_fraction) =
        busiest.map_or((String::new(), 0.0), |t| (t.name.clone(), t.work_fraction));
    let sustainable = match busiest {
        Some(_) => round(measured / busiest_work_fraction, 1e3).max(measured),
        None => measured,
    };
    let verdict = match (elements.frames, sustainable >= limit) {
        (0, _) => Verdict::NotJudged,
        (_, true) => Verdict::Met,
        (_, false) => Verdict::Missed,
    };
    let reach = match busiest {
        Some(_) => format!(
            "{measured:.0}/s passed and {sustainable:.0}/s would fit: `{busiest_thread}`, the busiest \
             thread, worked {:.1} % of the time",
            busiest_work_fraction * 100.0
        ),
        None => format!("{measured:.0}/s passed"),
    };
    let why = match verdict {
        Verdict::NotJudged => {
            "elements a second: no frame passed, so there is nothing to judge".into()
        }
        Verdict::Met => format!("elements a second: {reach}; at least {limit}/s were wanted"),
        Verdict::Missed => format!("elements a second: {reach}; {limit}/s were wanted"),
    };
    RateGoal {
        verdict,
        limit,
        measured,
        sustainable,
        busiest_thread,
        busiest_work_fraction,
        why,
    }
}
