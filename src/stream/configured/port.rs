//! The ports: where configured streams come from, and the names of their fields.
//!
//! Thread: any. Allocates: for errors. Blocks: no.

use crate::sensor::DOF_MAX;
use crate::stream::align::choice::Between;

/// Fields of a row, at most: a sensor's values and their speeds, the mean speed and the age.
pub const FIELDS_MAX: usize = 2 * DOF_MAX + 2;

/// An element's values, by the place of the field in its port.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Row(pub [f64; FIELDS_MAX]);

impl Default for Row {
    fn default() -> Self {
        Self([0.0; FIELDS_MAX])
    }
}

impl Between for Row {
    fn between(&self, other: &Self, share: f64) -> Self {
        let mut out = *self;
        for (value, to) in out.0.iter_mut().zip(&other.0) {
            *value = value.between(to, share);
        }
        out
    }
}

/// Where elements come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// A sensor by its place.
    Sensor(u8),
    Frame,
    Action,
    Policy,
    Instruction,
}

pub const FRAME: [&str; 3] = ["total_ms", "features_ms", "fusion_ms"];
pub const ACTION: [&str; 4] = ["age_ms", "jitter_ms", "rung", "missed"];
pub const POLICY: [&str; 6] = [
    "confidence",
    "match_score",
    "object",
    "phase",
    "offset_x",
    "offset_y",
];
pub const INSTRUCTION: [&str; 2] = ["id", "encode_ms"];

/// Places of a sensor's fields behind its values and their speeds.
pub const SPEED: usize = 2 * DOF_MAX;
pub const AGE: usize = SPEED + 1;

impl Port {
    /// As in the configuration: `sensor-0`.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "frame" => return Ok(Self::Frame),
            "action" => return Ok(Self::Action),
            "policy" => return Ok(Self::Policy),
            "instruction" => return Ok(Self::Instruction),
            _ => {}
        }
        let number = text.strip_prefix("sensor-").map(str::parse);
        match number {
            Some(Ok(number)) => Ok(Self::Sensor(number)),
            _ => Err(format!(
                "`{text}` is no stream of a run: write sensor-0 (or another sensor's place), frame, action, policy or \
                 instruction"
            )),
        }
    }

    pub fn name(self) -> String {
        match self {
            Self::Sensor(place) => format!("sensor-{place}"),
            Self::Frame => "frame".to_owned(),
            Self::Action => "action".to_owned(),
            Self::Policy => "policy".to_owned(),
            Self::Instruction => "instruction".to_owned(),
        }
    }

    /// The place of a field in the port's rows.
    pub fn field(self, name: &str) -> Result<usize, String> {
        let names: &[&str] = match self {
            Self::Sensor(_) => return sensor_field(name),
            Self::Frame => &FRAME,
            Self::Action => &ACTION,
            Self::Policy => &POLICY,
            Self::Instruction => &INSTRUCTION,
        };
        names.iter().position(|n| *n == name).ok_or_else(|| {
            format!(
                "{} has no field `{name}`: write one of {}",
                self.name(),
                names.join(", ")
            )
        })
    }
}

fn sensor_field(name: &str) -> Result<usize, String> {
    let numbered = |prefix: &str, base: usize| {
        let number: usize = name.strip_prefix(prefix)?.parse().ok()?;
        (number < DOF_MAX).then_some(base + number)
    };
    match name {
        "speed" => Some(SPEED),
        "age_ms" => Some(AGE),
        _ => numbered("speed", DOF_MAX).or_else(|| numbered("v", 0)),
    }
    .ok_or_else(|| {
        format!(
            "a sensor has no field `{name}`: write v0 to v{last}, speed0 to speed{last}, speed or age_ms",
            last = DOF_MAX - 1
        )
    })
}
