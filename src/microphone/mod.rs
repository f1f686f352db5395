//! Microphones: sound as a sensor.
//!
//! | line | sound comes from |
//! |---|---|
//! | `microphone:hw:CARD,DEVICE` | a capture device of ALSA, by the card's number or id (`hw:1,0`, `hw:Loopback,1`) |
//! | `microphone:NUMBER` | the so-manieth capture device, as `reflexarc microphones` lists them |
//! | `wav:PATH` | a WAV file, played at its own rate |
//!
//! Each gives [`Reading`](crate::sensor::Reading)s like any other sensor, so policies, `[align]` and `[[stream]]` need nothing
//! else to see it. What goes wrong with a microphone, and what happens then, is in `docs/microphone.md`.

// Which microphone.
pub mod address;

// What a user says about it.
pub mod config;

// The kernel's sound devices.
pub mod alsa;

// A file in place of a microphone.
pub mod wav;

// How loud it is.
pub mod level;

// Readings.
pub mod sensor;

use std::path::Path;

use self::address::Address;
use self::alsa::device::Microphone;
use self::alsa::negotiate::Wanted;
use self::config::MicrophoneConfig;
use self::sensor::SoundSensor;
use self::wav::Player;
use crate::error::Result;
use crate::link::EveryWriter;
use crate::models;
use crate::rt::sync::Arc;
use crate::sensor::counters::SensorCounters;
use crate::speech::Chunk;
use crate::speech::ear::Ear;
use crate::speech::silero::Silero;
use crate::units::{MonoTime, Nanos};

/// What [`Sound::read`] brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// So many samples, without a gap since the ones before, and when the first of them was true.
    Samples { count: usize, first: MonoTime },
    /// Samples are missing between those before and those to come.
    Gap,
    /// The deadline passed, or a file has ended.
    Nothing,
}

/// A stream of samples of one channel, -1 to 1. `read` is called in a loop on the sensor's thread.
pub trait Sound: Send {
    /// One line for people.
    fn describe(&self) -> String;

    /// Samples a second.
    fn rate(&self) -> f64;

    /// Takes the next samples, at most as many as fit, waiting for them at most until `deadline`. The one call that may block;
    /// it neither allocates nor locks.
    fn read(&mut self, into: &mut [f32], deadline: MonoTime) -> Heard;
}

/// How often a device is to tell that samples came: twice a reading, so that a reading waits for half of one at most; within
/// what devices do.
fn period(config: &MicrophoneConfig) -> Nanos {
    let half = Nanos(config.readings.period().0 / 2);
    half.clamp(Nanos::from_millis(1), Nanos::from_millis(20))
}

/// Opens a microphone or sound file as a sensor. `listener`, if there is one, is given what it hears.
///
/// # Errors
/// Those of [`Microphone::open`] and [`Player::open`]; [`Kind::Model`](crate::error::Kind::Model) if the detector of speech is
/// needed and not in the models cache.
pub fn open(
    source: &Source<'_>,
    config: &MicrophoneConfig,
    source_index: u8,
    listener: Option<EveryWriter<Chunk>>,
) -> Result<SoundSensor> {
    let counters = Arc::<SensorCounters>::default();
    let sound: Box<dyn Sound> = match source {
        Source::Device(address) => {
            let wanted = Wanted {
                rate: config.rate,
                channel: config.channel,
                period: period(config),
            };
            Box::new(Microphone::open(address, wanted, Arc::clone(&counters))?)
        }
        Source::File(path) => Box::new(Player::open(path, config.channel, config.repeat)?),
    };
    let rate = sound.rate();
    let sensor = SoundSensor::new(sound, config.readings, source_index, counters);
    if !config.speech && listener.is_none() {
        return Ok(sensor);
    }
    let detector = Silero::load(&models::path(models::SPEECH_DETECTOR))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are below a million"
    )]
    let ear = Ear::new(detector, rate.round() as u32, listener);
    Ok(sensor.with_ear(ear, config.speech))
}

/// Where sound comes from.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    Device(&'a Address),
    File(&'a Path),
}
