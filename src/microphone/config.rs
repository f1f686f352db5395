//! What a user says about a microphone.
//!
//! Thread: main, before the run. Allocates: yes.

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

use crate::units::Hertz;

/// `[sensor.microphone]`: how a microphone (`microphone:`) or sound file (`wav:`) is used.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MicrophoneConfig {
    /// Readings a second, 1 to 1000. Default 100.
    #[serde(deserialize_with = "readings")]
    pub readings: Hertz,
    /// The channel that is listened to, from 0. Default 0.
    pub channel: u16,
    /// Samples a second that are asked of the device. Default: 16000 if it has that, else 48000, else what it has.
    pub rate: Option<u32>,
    /// A fourth value of each reading: the probability that somebody speaks, 0 to 1. Default: false.
    pub speech: bool,
    /// A file begins again when it has ended. Default: false.
    pub repeat: bool,
}

impl Default for MicrophoneConfig {
    fn default() -> Self {
        Self {
            readings: Hertz::new(100.0).expect("100 Hz is a rate"),
            channel: 0,
            rate: None,
            speech: false,
            repeat: false,
        }
    }
}

fn readings<'de, D: Deserializer<'de>>(d: D) -> Result<Hertz, D::Error> {
    let rate = Hertz::deserialize(d)?;
    match (1.0..=1000.0).contains(&rate.get()) {
        true => Ok(rate),
        false => Err(D::Error::custom(format!(
            "{rate}: a microphone gives 1 to 1000 readings a second"
        ))),
    }
}
