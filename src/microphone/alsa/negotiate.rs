//! What a device can do, and what is chosen of it.
//!
//! The kernel is handed all that would be fine and answers with what is left of it; whatever is narrowed step by step stays
//! possible (`SNDRV_PCM_IOCTL_HW_REFINE`).
//!
//! Thread: main, and the sensor's when a device comes back. Allocates: only in [`Offer::of`]. Blocks: no. Syscalls: `ioctl`.

use std::ffi::c_ulong;
use std::io;

use super::pcm::Pcm;
use super::samples::Form;
use super::uapi::{self, HwParams, Interval, Mask, Plain, SwParams};
use crate::units::Nanos;

/// Rates that devices have, in the order in which they are taken when none is asked for: 16 kHz is what recognisers of speech
/// read, 48 kHz and 32 kHz come down to it by simple ratios.
pub const RATES: [u32; 12] = [
    16_000, 48_000, 32_000, 96_000, 44_100, 24_000, 22_050, 192_000, 88_200, 12_000, 11_025, 8_000,
];
/// More channels than any microphone array has.
const CHANNELS_MAX: u32 = 64;
const INTEGER: u32 = 1 << 2;

/// What is asked of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Samples a second; else the first of [`RATES`] that it has.
    pub rate: Option<u32>,
    /// The channel that is listened to, from 0.
    pub channel: u16,
    /// How often the device is to tell that samples came.
    pub period: Nanos,
}

/// How a device was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    pub form: Form,
    pub channels: usize,
    /// Samples a second, exactly, as a fraction.
    pub rate: (u32, u32),
    /// Frames after which the device tells that they came.
    pub period: u64,
    /// Frames that the kernel keeps for us.
    pub buffer: u64,
}

impl Agreed {
    pub fn frame_bytes(&self) -> usize {
        self.form.bytes() * self.channels
    }
}

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not give its channels side by side.
    NotInterleaved,
    NoForm,
    NoChannel,
    NoRate,
    /// The kernel's error.
    Failed(i32),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Failed(error.raw_os_error().unwrap_or(0))
    }
}

/// Sets the device up, ready to start.
pub fn agree(pcm: &Pcm, wanted: &Wanted) -> Result<Agreed, Refusal> {
    let mut params = interleaved(pcm)?;
    let form = Form::ALL.into_iter().find(|form| {
        narrow(pcm, &mut params, |p| {
            only(&mut p.masks[uapi::MASK_FORMAT], form.number())
        })
    });
    let form = form.ok_or(Refusal::NoForm)?;
    let channels = params.intervals[uapi::CHANNELS];
    let lowest = channels.min.max(u32::from(wanted.channel) + 1);
    let channels = (lowest..=channels.max.min(CHANNELS_MAX))
        .find(|&n| fix(pcm, &mut params, uapi::CHANNELS, n, n));
    let channels = channels.ok_or(Refusal::NoChannel)?;
    let asked = wanted.rate.map(|rate| [rate]);
    let rates = asked.as_ref().map_or(&RATES[..], |one| &one[..]);
    let rate = rates
        .iter()
        .copied()
        .find(|&r| fix(pcm, &mut params, uapi::RATE, r, r));
    let rate = rate.ok_or(Refusal::NoRate)?;

    let period = u32::try_from(i64::from(rate) * wanted.period.0 / 1_000_000_000)
        .unwrap_or(0)
        .max(1);
    // The nearest that the device has: exactly, else a little longer, else shorter, else what there is. Of a range the kernel
    // takes the shortest period and the longest buffer.
    let _ = fix(pcm, &mut params, uapi::PERIOD_SIZE, period, period)
        || fix(pcm, &mut params, uapi::PERIOD_SIZE, period, 2 * period)
        || fix(pcm, &mut params, uapi::PERIOD_SIZE, period / 2, period);
    // Room for a second in which nobody reads, if the device has it.
    let _ = fix(
        pcm,
        &mut params,
        uapi::BUFFER_SIZE,
        4 * period,
        rate.max(8 * period),
    );
    pcm.set_hardware(&mut params)?;
    let agreed = Agreed {
        form,
        channels: channels as usize,
        rate: match (params.rate_num, params.rate_den) {
            (0, _) | (_, 0) => (rate, 1),
            exact => exact,
        },
        period: params.intervals[uapi::PERIOD_SIZE].min.into(),
        buffer: params.intervals[uapi::BUFFER_SIZE].min.into(),
    };
    set_software(pcm, &agreed)?;
    pcm.prepare()?;
    Ok(agreed)
}

fn set_software(pcm: &Pcm, agreed: &Agreed) -> io::Result<()> {
    let mut params = SwParams::zeroed();
    params.tstamp_mode = uapi::TSTAMP_ENABLE;
    params.tstamp_type = uapi::TSTAMP_MONOTONIC;
    params.proto = uapi::PROTOCOL;
    params.period_step = 1;
    params.avail_min = agreed.period;
    // Started by us, stopped by the kernel when its room is full.
    params.start_threshold = c_ulong::MAX >> 1;
    params.stop_threshold = agreed.buffer;
    pcm.set_software(&mut params)
}

/// Everything that the device does with its channels side by side.
fn interleaved(pcm: &Pcm) -> Result<HwParams, Refusal> {
    let mut params = HwParams::zeroed();
    params.masks = [Mask {
        bits: [u32::MAX; 8],
    }; 3];
    params.intervals = [Interval {
        min: 0,
        max: u32::MAX,
        flags: 0,
    }; 12];
    params.rmask = u32::MAX;
    params.info = u32::MAX;
    only(
        &mut params.masks[uapi::MASK_ACCESS],
        uapi::ACCESS_RW_INTERLEAVED,
    );
    only(&mut params.masks[2], uapi::SUBFORMAT_STD);
    match pcm.refine(&mut params) {
        Ok(()) => Ok(params),
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Err(Refusal::NotInterleaved),
        Err(e) => Err(e.into()),
    }
}

/// Changes `params` if the device can still be used then.
fn narrow(pcm: &Pcm, params: &mut HwParams, change: impl FnOnce(&mut HwParams)) -> bool {
    let mut narrowed = *params;
    change(&mut narrowed);
    narrowed.rmask = u32::MAX;
    let possible = pcm.refine(&mut narrowed).is_ok();
    if possible {
        *params = narrowed;
    }
    possible
}

fn fix(pcm: &Pcm, params: &mut HwParams, which: usize, min: u32, max: u32) -> bool {
    narrow(pcm, params, |p| {
        p.intervals[which] = Interval {
            min,
            max,
            flags: INTEGER,
        }
    })
}

fn only(mask: &mut Mask, number: u32) {
    mask.bits = [0; 8];
    mask.bits[number as usize / 32] = 1 << (number % 32);
}

/// What a device has, for people.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    pub rates: Vec<u32>,
    /// Least and most.
    pub channels: (u32, u32),
    pub forms: Vec<Form>,
}

impl Offer {
    pub fn of(pcm: &Pcm) -> Result<Self, Refusal> {
        let params = interleaved(pcm)?;
        let possible = |change: &dyn Fn(&mut HwParams)| narrow(pcm, &mut params.clone(), change);
        let mut rates: Vec<_> = RATES
            .into_iter()
            .filter(|&min| {
                possible(&|p| {
                    p.intervals[uapi::RATE] = Interval {
                        min,
                        max: min,
                        flags: INTEGER,
                    }
                })
            })
            .collect();
        rates.sort_unstable();
        let channels = params.intervals[uapi::CHANNELS];
        let forms = Form::ALL.into_iter();
        Ok(Self {
            rates,
            channels: (channels.min, channels.max),
            forms: forms
                .filter(|form| possible(&|p| only(&mut p.masks[uapi::MASK_FORMAT], form.number())))
                .collect(),
        })
    }

    /// `16000, 48000`.
    pub fn rates_in_words(&self) -> String {
        let rates: Vec<_> = self.rates.iter().map(u32::to_string).collect();
        rates.join(", ")
    }
}
