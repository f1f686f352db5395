//! The door to a sound device: one open `/dev/snd/pcmC0D0c` and the typed requests that go through it.
//!
//! Thread: the one that holds it. Allocates: no, also not in `open`. Blocks: no (`open` asks not to wait for a device in use).
//! Locks: no. Syscalls: `open`, `ioctl`.

use std::ffi::{c_int, c_ulong};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::uapi::{self, CardInfo, HwParams, Plain, Status, SwParams, Transfer};
use crate::units::MonoTime;

/// An open device.
#[derive(Debug)]
pub struct Pcm {
    file: File,
}

/// What a running device says.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// `SNDRV_PCM_STATE_*`.
    pub state: c_int,
    /// Frames that can be read.
    pub available: u64,
    /// Frames that the driver knows to be on their way to the buffer.
    pub on_the_way: u64,
    /// When that began to be so: the kernel looks at the clock when it finds that its count has changed.
    pub at: MonoTime,
}

impl Pcm {
    /// Opens a device for reading, or for playing if its name ends in `p`.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK)
            .open(path)?;
        Ok(Self { file })
    }

    /// Narrows `params` to what is still possible. `EINVAL`: nothing is.
    pub fn refine(&self, params: &mut HwParams) -> io::Result<()> {
        ask(&self.file, uapi::HW_REFINE, params)
    }

    /// Sets what `params` leave possible; the kernel chooses.
    pub fn set_hardware(&self, params: &mut HwParams) -> io::Result<()> {
        ask(&self.file, uapi::HW_PARAMS, params)
    }

    pub fn set_software(&self, params: &mut SwParams) -> io::Result<()> {
        ask(&self.file, uapi::SW_PARAMS, params)
    }

    /// Makes it ready to start, also after an overrun.
    pub fn prepare(&self) -> io::Result<()> {
        order(&self.file, uapi::PREPARE)
    }

    pub fn start(&self) -> io::Result<()> {
        order(&self.file, uapi::START)
    }

    pub fn now(&self) -> io::Result<Now> {
        let mut status = Status::zeroed();
        ask(&self.file, uapi::STATUS, &mut status)?;
        let delay = u64::try_from(status.delay).unwrap_or(0);
        Ok(Now {
            state: status.state,
            available: status.avail,
            on_the_way: delay.saturating_sub(status.avail),
            at: MonoTime(status.tstamp.tv_sec * 1_000_000_000 + status.tstamp.tv_nsec),
        })
    }

    /// Takes whole frames of `frame_bytes`; as many as are there and fit. `EAGAIN`: none are there.
    pub fn read(&self, into: &mut [u8], frame_bytes: usize) -> io::Result<usize> {
        let frames = into.len() / frame_bytes;
        self.transfer(uapi::READ_FRAMES, into.as_mut_ptr(), frames)
    }

    /// Plays whole frames, as many as there is room for. For tests.
    pub fn write(&self, from: &[u8], frame_bytes: usize) -> io::Result<usize> {
        let frames = from.len() / frame_bytes;
        self.transfer(uapi::WRITE_FRAMES, from.as_ptr().cast_mut(), frames)
    }

    fn transfer(&self, code: c_ulong, buf: *mut u8, frames: usize) -> io::Result<usize> {
        let mut transfer = Transfer {
            result: 0,
            buf,
            frames: frames as c_ulong,
        };
        // SAFETY: the struct of this code. `buf` has room for `frames` frames: the callers divide the length of their slice
        // by the size of a frame. `WRITE_FRAMES` only reads from it.
        let done = unsafe { libc::ioctl(self.file.as_raw_fd(), code, &raw mut transfer) };
        match done {
            0 => Ok(usize::try_from(transfer.result).unwrap_or(0)),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

impl AsFd for Pcm {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Asks a card, by its open control node, who it is.
pub fn card_info(control: &File) -> io::Result<CardInfo> {
    let mut info = CardInfo::zeroed();
    ask(control, uapi::CARD_INFO, &mut info)?;
    Ok(info)
}

/// `argument` is what the kernel reads and overwrites.
fn ask<T: Plain>(file: &File, code: c_ulong, argument: &mut T) -> io::Result<()> {
    debug_assert_eq!((code >> 16) & 0x3fff, size_of::<T>() as c_ulong);
    // SAFETY: every code carries the size of its struct, which is checked above and is `T` at each call in this file;
    // `Plain` says that nothing outside it is touched. The descriptor is open as long as `file`.
    match unsafe { libc::ioctl(file.as_raw_fd(), code, std::ptr::from_mut(argument)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn order(file: &File, code: c_ulong) -> io::Result<()> {
    // SAFETY: these codes take no argument.
    match unsafe { libc::ioctl(file.as_raw_fd(), code) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
