//! The goals of a run, and whether it met them.

use serde::{Deserialize, Deserializer};

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
