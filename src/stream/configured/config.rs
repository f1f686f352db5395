//! `[[stream]]` of the configuration.
//!
//! Thread: main, before the run. Allocates: yes. Blocks: no.

use std::path::PathBuf;

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

use crate::state::recovery::hash;
use crate::stream::aggregate::statistic::Statistic;
use crate::stream::configured::condition::Condition;
use crate::stream::configured::port::Port;
use crate::stream::time::SourceTimeConfig;
use crate::stream::window::config::WindowConfig;
use crate::units::Nanos;

/// BOUND: fields of other ports that one stream may ask for.
pub const FOREIGN_MAX: usize = 4;

/// One stream: elements of a port, those for which all conditions hold, one of their fields, a statistic of it in windows.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(try_from = "Written")]
pub struct StreamConfig {
    pub name: String,
    pub from: Port,
    pub when: Vec<Condition>,
    pub value: String,
    /// The place of `value` in the port's rows.
    pub field: usize,
    pub aggregate: Statistic,
    pub window: WindowConfig,
    pub time: SourceTimeConfig,
    pub max_age: Nanos,
    pub wait: Nanos,
    pub out: Option<PathBuf>,
}

/// As in the file.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// As in the report.
    name: String,
    /// `sensor-0`, `frame`, `action`, `policy` or `instruction`.
    #[serde(deserialize_with = "port")]
    from: Port,
    /// Conditions, all of which must hold: `speed > 0.5`, `policy.confidence > 0.5`. A field of another port is its last
    /// value at or before the element's instant; where it has none, the condition does not hold. Default: none.
    #[serde(default)]
    when: Vec<String>,
    /// The field that the statistic is of.
    value: String,
    /// `count`, `sum`, `mean` (default), `min`, `max`, `variance`, `variance-of-sample`, `median`, `p90`, `p99`, `first`,
    /// `last`.
    #[serde(default = "mean")]
    aggregate: Statistic,
    /// Which windows. Default: 10 s, every 5 s.
    #[serde(default)]
    window: WindowConfig,
    /// How far time has come in it. Default: 20 ms of disorder, nothing later than 500 ms.
    #[serde(default = "time")]
    time: SourceTimeConfig,
    /// A value of another port counts for so long, 0 or more. Default 1 s.
    #[serde(default = "second", deserialize_with = "not_negative")]
    max_age: Nanos,
    /// How long an element waits for values of other ports, 0 or more. Default 100 ms.
    #[serde(default = "tenth", deserialize_with = "not_negative")]
    wait: Nanos,
    /// A file for its results, as JSON lines. Default: none; the report has a summary.
    #[serde(default)]
    out: Option<PathBuf>,
}

fn mean() -> Statistic {
    Statistic::Mean
}

fn time() -> SourceTimeConfig {
    SourceTimeConfig {
        disorder: Nanos::from_millis(20),
        max_delay: Some(Nanos::from_millis(500)),
        ..SourceTimeConfig::default()
    }
}

fn second() -> Nanos {
    Nanos::from_secs(1)
}

fn tenth() -> Nanos {
    Nanos::from_millis(100)
}

fn port<'de, D: Deserializer<'de>>(d: D) -> Result<Port, D::Error> {
    Port::parse(&String::deserialize(d)?).map_err(D::Error::custom)
}

fn not_negative<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    let span = Nanos::deserialize(d)?;
    if span < Nanos::ZERO {
        return Err(D::Error::custom(format!(
            "a time of {span} is below zero: write 0 or more, such as \"100 ms\""
        )));
    }
    Ok(span)
}

impl TryFrom<Written> for StreamConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let name = written.name;
        let of = |why: String| format!("stream `{name}`: {why}");
        let field = written.from.field(&written.value).map_err(of)?;
        let when = written
            .when
            .iter()
            .map(|text| Condition::parse(text, written.from).map_err(of))
            .collect::<Result<Vec<_>, _>>()?;
        let foreign = when.iter().filter(|condition| condition.of.is_some());
        if foreign.count() > FOREIGN_MAX {
            return Err(of(format!(
                "more than {FOREIGN_MAX} conditions on other streams: split it into two"
            )));
        }
        written.time.check().map_err(of)?;
        Ok(Self {
            from: written.from,
            when,
            value: written.value,
            field,
            aggregate: written.aggregate,
            window: written.window,
            time: written.time,
            max_age: written.max_age,
            wait: written.wait,
            out: written.out,
            name,
        })
    }
}

impl StreamConfig {
    /// Of everything that its state depends on: not of where its results go.
    pub fn fingerprint(&self) -> u64 {
        let meaning = Self {
            out: None,
            ..self.clone()
        };
        hash(&format!("{meaning:?}"))
    }

    /// In words: `mean of speed of sensor-0 when policy.confidence > 0.5`.
    pub fn describe(&self) -> String {
        let mut words = format!(
            "{} of {} of {}",
            format!("{:?}", self.aggregate).to_lowercase(),
            self.value,
            self.from.name()
        );
        for (place, condition) in self.when.iter().enumerate() {
            words += if place == 0 { " when " } else { " and " };
            words += &condition.text;
        }
        words
    }
}
