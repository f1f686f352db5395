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
use crate::rt::sync::Arc;
use crate::sensor::counters::SensorCounters;
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

/// Opens a microphone as a sensor.
pub fn open(address: &Address, config: &MicrophoneConfig, source_index: u8) -> Result<SoundSensor> {
    let counters = Arc::<SensorCounters>::default();
    let wanted = Wanted {
        rate: config.rate,
        channel: config.channel,
        period: period(config),
    };
    let sound = Microphone::open(address, wanted, Arc::clone(&counters))?;
    Ok(SoundSensor::new(
        Box::new(sound),
        config.readings,
        source_index,
        counters,
    ))
}

/// Opens a sound file as a sensor.
pub fn open_file(path: &Path, config: &MicrophoneConfig, source_index: u8) -> Result<SoundSensor> {
    let sound = Player::open(path, config.channel, config.repeat)?;
    Ok(SoundSensor::new(
        Box::new(sound),
        config.readings,
        source_index,
        Arc::default(),
    ))
}
