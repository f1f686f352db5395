//! A WAV file in place of a microphone: for machines without one, for tests, and to hear again what was recorded.
//!
//! It plays at its own rate from the first call on, so each sample's time is exact by definition.
//!
//! Thread: main reads the file, the sensor's plays it. Allocates: in `open`. Blocks: in `read`, until samples are due or the
//! deadline. Locks: no. Syscalls: `clock_nanosleep`.

use std::path::Path;

use super::alsa::samples::Form;
use super::alsa::stamps::SampleClock;
use super::{Heard, Sound};
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::units::{MonoTime, Nanos};

/// One channel of a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Wave {
    /// Samples a second.
    pub rate: u32,
    pub channels: u16,
    pub form: Form,
    pub samples: Box<[f32]>,
    /// The file ends before its header says.
    pub is_short: bool,
}

impl Wave {
    /// Reads a file: PCM of 16, 24 or 32 bits, or 32-bit float.
    ///
    /// # Errors
    /// [`Kind::BadInput`] if the file cannot be read, is no WAV file, or has no such channel; [`Kind::Unsupported`] for another
    /// kind of sample.
    pub fn open(path: &Path, channel: u16) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| {
            let fix = "check the path; it is relative to where reflexarc was started";
            Fault::from_io(
                format!("cannot read the sound file {}", path.display()),
                &e,
                Kind::BadInput,
                fix,
            )
        })?;
        Self::parse(&bytes, channel).map_err(|(kind, why)| {
            let fix = "convert it, for example with `ffmpeg -i FILE -ac 1 -ar 16000 -c:a pcm_s16le OUT.wav`";
            Fault::new(kind, format!("the sound file {} cannot be used", path.display()), why, fix)
        })
    }

    /// The same of bytes; the error says why not.
    pub fn parse(bytes: &[u8], channel: u16) -> Result<Self, (Kind, String)> {
        let bad = |why: &str| (Kind::BadInput, why.to_owned());
        let [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'A',
            b'V',
            b'E',
            chunks @ ..,
        ] = bytes
        else {
            return Err(bad("it does not begin as a WAV file (RIFF, WAVE)"));
        };
        let (mut left, mut layout) = (chunks, None);
        // BOUND: each turn takes 8 bytes or more off.
        while let [a, b, c, d, s0, s1, s2, s3, rest @ ..] = left {
            let said = u32::from_le_bytes([*s0, *s1, *s2, *s3]) as usize;
            let body = &rest[..said.min(rest.len())];
            match [a, b, c, d].map(|byte| char::from(*byte)) {
                ['f', 'm', 't', ' '] => layout = Some(Layout::parse(body)?),
                ['d', 'a', 't', 'a'] => {
                    let layout =
                        layout.ok_or_else(|| bad("its samples come before their format"))?;
                    return layout.wave(body, channel, said > rest.len());
                }
                _ => {}
            }
            // Chunks begin at even places.
            left = rest.get(said + said % 2..).unwrap_or_default();
        }
        Err(bad("it has no samples (no chunk `data`)"))
    }

    pub fn length(&self) -> Nanos {
        Nanos(SampleClock::new((self.rate, 1)).nanos(self.samples.len() as u64))
    }
}

/// What a chunk `fmt ` says.
#[derive(Clone, Copy)]
struct Layout {
    form: Form,
    channels: u16,
    rate: u32,
}

impl Layout {
    fn parse(chunk: &[u8]) -> Result<Self, (Kind, String)> {
        let number = |at: usize| {
            chunk
                .get(at..at + 2)
                .map(|b| u16::from_le_bytes([b[0], b[1]]))
        };
        let short = || (Kind::BadInput, "its format is cut short".to_owned());
        let (channels, bits) = (number(2).ok_or_else(short)?, number(14).ok_or_else(short)?);
        // WAVE_FORMAT_EXTENSIBLE has the true kind first in its GUID.
        let kind = match number(0).ok_or_else(short)? {
            0xfffe => number(24).ok_or_else(short)?,
            kind => kind,
        };
        let form = match (kind, bits) {
            (1, 16) => Form::S16,
            (1, 24) => Form::S24In3,
            (1, 32) => Form::S32,
            (3, 32) => Form::Float,
            _ => {
                let why = format!(
                    "its samples are of kind {kind} with {bits} bits, and only PCM of 16, 24 and 32 bits and 32-bit float can be read"
                );
                return Err((Kind::Unsupported, why));
            }
        };
        let rate =
            u32::from(number(4).ok_or_else(short)?) | u32::from(number(6).ok_or_else(short)?) << 16;
        match (1..=64).contains(&channels) && (1_000..=768_000).contains(&rate) {
            true => Ok(Self {
                form,
                channels,
                rate,
            }),
            false => Err((
                Kind::BadInput,
                format!("it says {channels} channels at {rate} samples a second"),
            )),
        }
    }

    fn wave(self, data: &[u8], channel: u16, is_short: bool) -> Result<Wave, (Kind, String)> {
        if channel >= self.channels {
            let why = format!(
                "it has no channel {channel}: it has {}, counted from 0",
                self.channels
            );
            return Err((Kind::BadInput, why));
        }
        let channels = usize::from(self.channels);
        let mut samples = vec![0.0; data.len() / (self.form.bytes() * channels)];
        self.form.pick(data, channels, channel.into(), &mut samples);
        if samples.is_empty() || !samples.iter().all(|sample| sample.is_finite()) {
            return Err((
                Kind::BadInput,
                "it has no samples, or some that are no numbers".to_owned(),
            ));
        }
        Ok(Wave {
            rate: self.rate,
            channels: self.channels,
            form: self.form,
            samples: samples.into(),
            is_short,
        })
    }
}

/// A file that plays as a microphone would hear it.
#[derive(Debug)]
pub struct Player {
    name: String,
    wave: Wave,
    channel: u16,
    repeat: bool,
    clock: SampleClock,
    /// When it began to play: the first call of `read`. Then all threads have been let go.
    begin: Option<MonoTime>,
    /// Samples played.
    played: u64,
}

impl Player {
    pub fn open(path: &Path, channel: u16, repeat: bool) -> Result<Self> {
        let wave = Wave::open(path, channel)?;
        let clock = SampleClock::new((wave.rate, 1));
        Ok(Self {
            name: path.display().to_string(),
            wave,
            channel,
            repeat,
            clock,
            begin: None,
            played: 0,
        })
    }
}

impl Sound for Player {
    fn describe(&self) -> String {
        let Wave {
            rate,
            channels,
            form,
            is_short,
            ..
        } = &self.wave;
        let note = if *is_short { ", cut short" } else { "" };
        let repeat = if self.repeat { ", again and again" } else { "" };
        let (name, channel, length) = (&self.name, self.channel, self.wave.length());
        format!(
            "wav {name}, {rate} Hz {}, channel {channel} of {channels}, {length}{note}{repeat}",
            form.name()
        )
    }

    fn rate(&self) -> f64 {
        self.wave.rate.into()
    }

    fn read(&mut self, into: &mut [f32], deadline: MonoTime) -> Heard {
        let begin = *self.begin.get_or_insert_with(clock::now);
        let samples = &self.wave.samples;
        let at = match self.repeat {
            true => self.played % samples.len() as u64,
            false => self.played.min(samples.len() as u64),
        };
        let rest = &samples[usize::try_from(at).unwrap_or(0)..];
        let count = rest.len().min(into.len());
        let due = match count {
            0 => MonoTime::FAR,
            _ => begin + Nanos(self.clock.nanos(self.played + count as u64)),
        };
        let until = due.min(deadline);
        // BOUND: ends at the deadline; only a signal ends a sleep early.
        while clock::now() < until {
            clock::sleep_until(until);
        }
        if due > deadline {
            return Heard::Nothing;
        }
        into[..count].copy_from_slice(&rest[..count]);
        let first = begin + Nanos(self.clock.nanos(self.played));
        self.played += count as u64;
        Heard::Samples { count, first }
    }
}
