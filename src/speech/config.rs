//! What a user says about spoken instructions.
//!
//! Thread: main, before the run. Allocates: yes.

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

use crate::units::Nanos;

/// `[language.microphone]`: instructions spoken in English into the first `[[sensor]]` that is a microphone or sound file.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SpeechConfig {
    /// From this probability of speech on, 0 to 1, somebody speaks. Default 0.5.
    #[serde(deserialize_with = "fraction")]
    pub speech: f32,
    /// So long nobody speaks before an utterance is over, 100 ms to 5 s. Default 500 ms.
    #[serde(deserialize_with = "pause")]
    pub pause: Nanos,
    /// A longer utterance is cut there, 1 s to 28 s. Default 10 s.
    #[serde(deserialize_with = "longest")]
    pub longest: Nanos,
    /// So much sound the recogniser reads, 2 s to 30 s; behind what was said is silence. It was trained on 30 s, and less is
    /// faster but writes other words now and then, or the same again and again (docs/microphone.md). Default 30 s.
    #[serde(deserialize_with = "read")]
    pub read: Nanos,
    /// From this probability on, 0 to 1, that there is no speech in it, the recogniser's own, what it wrote does not count.
    /// Default 0.6.
    #[serde(deserialize_with = "fraction")]
    pub no_speech: f32,
    /// The least mean of the logarithm of its words' probabilities, below 0; what it is less sure of does not count.
    /// Default -1.
    #[serde(deserialize_with = "logarithm")]
    pub sure: f32,
}

impl Default for SpeechConfig {
    fn default() -> Self {
        Self {
            speech: 0.5,
            pause: Nanos::from_millis(500),
            longest: Nanos::from_secs(10),
            read: Nanos::from_secs(30),
            no_speech: 0.6,
            sure: -1.0,
        }
    }
}

fn fraction<'de, D: Deserializer<'de>>(d: D) -> Result<f32, D::Error> {
    let value = f32::deserialize(d)?;
    match (0.0..=1.0).contains(&value) {
        true => Ok(value),
        false => Err(D::Error::custom(format!(
            "{value}: a probability is 0 to 1"
        ))),
    }
}

fn logarithm<'de, D: Deserializer<'de>>(d: D) -> Result<f32, D::Error> {
    let value = f32::deserialize(d)?;
    match (-20.0..=0.0).contains(&value) {
        true => Ok(value),
        false => Err(D::Error::custom(format!(
            "{value}: the logarithm of a probability is -20 to 0"
        ))),
    }
}

fn pause<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    within(d, Nanos::from_millis(100), Nanos::from_secs(5))
}

fn longest<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    within(d, Nanos::from_secs(1), Nanos::from_secs(28))
}

fn read<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    within(d, Nanos::from_secs(2), Nanos::from_secs(30))
}

fn within<'de, D: Deserializer<'de>>(d: D, least: Nanos, most: Nanos) -> Result<Nanos, D::Error> {
    let time = Nanos::deserialize(d)?;
    match (least..=most).contains(&time) {
        true => Ok(time),
        false => Err(D::Error::custom(format!("{time}: write {least} to {most}"))),
    }
}
