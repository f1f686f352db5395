//! The structs and request codes of the kernel's `<sound/asound.h>` that capturing needs, as 64-bit Linux lays them out.
//!
//! Written by hand: these are a dozen of the header's thousand lines, and they are the kernel's promise to programs, so they
//! do not change. The tests compare sizes and codes with what a C compiler makes of the header.

use std::ffi::{c_int, c_long, c_uint, c_ulong};

#[cfg(not(target_pointer_width = "64"))]
compile_error!("on a 32-bit machine these structs have other times and paddings");

pub const ACCESS_RW_INTERLEAVED: u32 = 3;
pub const SUBFORMAT_STD: u32 = 0;

/// Places in [`HwParams::masks`] (`SNDRV_PCM_HW_PARAM_*`).
pub const MASK_ACCESS: usize = 0;
pub const MASK_FORMAT: usize = 1;
/// Places in [`HwParams::intervals`]: the header's numbers less 8.
pub const CHANNELS: usize = 2;
pub const RATE: usize = 3;
pub const PERIOD_SIZE: usize = 5;
pub const BUFFER_SIZE: usize = 9;

pub const STATE_PREPARED: c_int = 2;
pub const STATE_RUNNING: c_int = 3;
pub const STATE_XRUN: c_int = 4;
pub const STATE_SUSPENDED: c_int = 7;
pub const STATE_DISCONNECTED: c_int = 8;

pub const TSTAMP_ENABLE: c_int = 1;
pub const TSTAMP_MONOTONIC: c_uint = 1;
/// The first protocol in which `SwParams::tstamp_type` means something: 2.0.12.
pub const PROTOCOL: c_uint = (2 << 16) | 12;

/// `struct snd_interval`: a range, with its ends in it unless `flags` says otherwise.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    pub min: c_uint,
    pub max: c_uint,
    /// Bit 0 `openmin`, 1 `openmax`, 2 `integer`, 3 `empty`.
    pub flags: c_uint,
}

/// `struct snd_mask`: a bit for each value.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Mask {
    pub bits: [u32; 8],
}

/// `struct snd_pcm_hw_params`: all that is still possible; the kernel narrows it.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct HwParams {
    pub flags: c_uint,
    pub masks: [Mask; 3],
    pub masks_reserved: [Mask; 5],
    pub intervals: [Interval; 12],
    pub intervals_reserved: [Interval; 9],
    pub rmask: c_uint,
    pub cmask: c_uint,
    pub info: c_uint,
    pub msbits: c_uint,
    pub rate_num: c_uint,
    pub rate_den: c_uint,
    pub fifo_size: c_ulong,
    pub reserved: [u8; 64],
}

/// `struct snd_pcm_sw_params`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct SwParams {
    pub tstamp_mode: c_int,
    pub period_step: c_uint,
    pub sleep_min: c_uint,
    pub avail_min: c_ulong,
    pub xfer_align: c_ulong,
    pub start_threshold: c_ulong,
    pub stop_threshold: c_ulong,
    pub silence_threshold: c_ulong,
    pub silence_size: c_ulong,
    pub boundary: c_ulong,
    pub proto: c_uint,
    pub tstamp_type: c_uint,
    pub reserved: [u8; 56],
}

/// `struct snd_pcm_status`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Status {
    pub state: c_int,
    pub pad: c_int,
    pub trigger_tstamp: libc::timespec,
    /// When `hw_ptr` was what it says.
    pub tstamp: libc::timespec,
    pub appl_ptr: c_ulong,
    pub hw_ptr: c_ulong,
    /// `avail`, and what the driver knows to be on its way to the buffer.
    pub delay: c_long,
    pub avail: c_ulong,
    pub avail_max: c_ulong,
    pub overrange: c_ulong,
    pub suspended_state: c_int,
    pub audio_tstamp_data: u32,
    pub audio_tstamp: libc::timespec,
    pub driver_tstamp: libc::timespec,
    pub audio_tstamp_accuracy: u32,
    pub reserved: [u8; 20],
}

/// `struct snd_xferi`: samples of all channels side by side.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Transfer {
    pub result: c_long,
    pub buf: *mut u8,
    pub frames: c_ulong,
}

/// `struct snd_ctl_card_info`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CardInfo {
    pub card: c_int,
    pub pad: c_int,
    pub id: [u8; 16],
    pub driver: [u8; 16],
    pub name: [u8; 32],
    pub longname: [u8; 80],
    pub reserved: [u8; 16],
    pub mixername: [u8; 80],
    pub components: [u8; 128],
}

/// A struct that may be handed to the kernel as it is.
///
/// # Safety
/// All-zero bytes are a value of it, and the kernel follows no pointer in it.
pub unsafe trait Plain: Sized {
    fn zeroed() -> Self {
        // SAFETY: the implementer promises that zero bytes are a value.
        unsafe { std::mem::zeroed() }
    }
}
macro_rules! plain {
    ($($name:ident)*) => { $(
        // SAFETY: integers, and structs and arrays of them, only.
        unsafe impl Plain for $name {}
    )* };
}
plain!(HwParams SwParams Status CardInfo);

// Directions as in asm-generic/ioctl.h, which x86-64 and arm64 both use.
const NONE: c_ulong = 0;
const WRITE: c_ulong = 1;
const READ: c_ulong = 2;

/// `_IOC(direction, kind, number, size)`: two high bits of direction, then 14 of size, 8 of kind, 8 of number.
const fn code<T>(direction: c_ulong, kind: u8, number: c_ulong) -> c_ulong {
    let size = if direction == NONE { 0 } else { size_of::<T>() };
    (direction << 30) | ((size as c_ulong) << 16) | ((kind as c_ulong) << 8) | number
}

pub const HW_REFINE: c_ulong = code::<HwParams>(READ | WRITE, b'A', 0x10);
pub const HW_PARAMS: c_ulong = code::<HwParams>(READ | WRITE, b'A', 0x11);
pub const SW_PARAMS: c_ulong = code::<SwParams>(READ | WRITE, b'A', 0x13);
pub const STATUS: c_ulong = code::<Status>(READ, b'A', 0x20);
pub const PREPARE: c_ulong = code::<()>(NONE, b'A', 0x40);
pub const START: c_ulong = code::<()>(NONE, b'A', 0x42);
/// For tests, which play into a loopback.
pub const WRITE_FRAMES: c_ulong = code::<Transfer>(WRITE, b'A', 0x50);
pub const READ_FRAMES: c_ulong = code::<Transfer>(READ, b'A', 0x51);
pub const CARD_INFO: c_ulong = code::<CardInfo>(READ, b'U', 0x01);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layouts_and_codes_are_those_of_the_kernels_header() {
        // gcc 12.2 on <sound/asound.h> of Linux 6.1, x86-64; arm64 gives the same.
        assert_eq!(size_of::<HwParams>(), 608);
        assert_eq!(size_of::<SwParams>(), 136);
        assert_eq!(size_of::<Status>(), 152);
        assert_eq!(size_of::<Transfer>(), 24);
        assert_eq!(size_of::<CardInfo>(), 376);
        assert_eq!(std::mem::offset_of!(HwParams, intervals), 260);
        assert_eq!(std::mem::offset_of!(HwParams, rate_num), 528);
        assert_eq!(std::mem::offset_of!(SwParams, boundary), 64);
        assert_eq!(std::mem::offset_of!(SwParams, tstamp_type), 76);
        assert_eq!(std::mem::offset_of!(Status, tstamp), 24);
        assert_eq!(std::mem::offset_of!(Status, avail), 64);
        assert_eq!(std::mem::offset_of!(CardInfo, components), 248);
        let codes = [HW_REFINE, HW_PARAMS, SW_PARAMS, STATUS, PREPARE, START];
        let expected = [
            0xc260_4110,
            0xc260_4111,
            0xc088_4113,
            0x8098_4120,
            0x4140,
            0x4142,
        ];
        assert_eq!(codes, expected);
        assert_eq!((WRITE_FRAMES, READ_FRAMES), (0x4018_4150, 0x8018_4151));
        assert_eq!(CARD_INFO, 0x8178_5501);
    }
}
