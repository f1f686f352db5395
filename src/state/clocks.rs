//! One instant on both clocks, so that after a restart the time away can be told, also over a reboot.
//!
//! Thread: any. Allocates: no. Blocks: `BootId::read` reads a file of the kernel. Locks: no. Syscalls: clocks, that file.

use crate::clock;
use crate::units::{MonoTime, Nanos};

use super::bytes::Fields;

/// The wall clock and the monotonic clock go apart by no more than this while the machine is up, unless somebody set the
/// wall clock.
// BOUND: the kernel slews at most 500 ppm: 0.5 s in 1000 s. A longer absence is given that share besides.
const APART_MAX: Nanos = Nanos::from_millis(500);

/// Which boot of the machine this is. The kernel makes a new one each time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BootId(pub [u8; 16]);

impl BootId {
    /// All zeros where the kernel does not say; such ids are equal to none.
    pub fn read() -> Self {
        let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mut id = [0; 16];
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let pair = std::str::from_utf8(pair).unwrap_or_default();
            *byte = u8::from_str_radix(pair, 16).unwrap_or_default();
        }
        Self(id)
    }

    pub fn is_same(&self, other: &Self) -> bool {
        self == other && self.0 != [0; 16]
    }
}

/// See the module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockMap {
    pub boot: BootId,
    pub mono: MonoTime,
    /// Nanoseconds since 1970.
    pub utc: i64,
    /// The two were read this long apart.
    pub uncertainty: Nanos,
}

/// The time between two instants, perhaps of different boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Away {
    /// By the monotonic clock; with the step that the wall clock made meanwhile, if somebody set it.
    Measured {
        time: Nanos,
        wall_stepped: Option<Nanos>,
    },
    /// Over a reboot, by the wall clock, which may have been set.
    ByWallClock(Nanos),
    /// Over a reboot, and the wall clock stands before where it was.
    Unknown,
}

impl ClockMap {
    pub fn now(boot: BootId) -> Self {
        let before = clock::now();
        let utc = clock::read(libc::CLOCK_REALTIME).0;
        Self {
            boot,
            mono: before,
            utc,
            uncertainty: clock::now() - before,
        }
    }

    /// From `earlier` until this.
    pub fn since(&self, earlier: &Self) -> Away {
        let wall = Nanos(self.utc.saturating_sub(earlier.utc));
        let time = self.mono - earlier.mono;
        if self.boot.is_same(&earlier.boot) && time >= Nanos::ZERO {
            let stepped = wall - time;
            let allowed = APART_MAX + Nanos(time.0 / 2000);
            return Away::Measured {
                time,
                wall_stepped: (stepped.0.unsigned_abs() > allowed.clamp_u64()).then_some(stepped),
            };
        }
        match wall >= Nanos::ZERO {
            true => Away::ByWallClock(wall),
            false => Away::Unknown,
        }
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.boot.0);
        out.extend_from_slice(&self.mono.0.to_le_bytes());
        out.extend_from_slice(&self.utc.to_le_bytes());
        out.extend_from_slice(&self.uncertainty.0.to_le_bytes());
    }

    pub fn read(fields: &mut Fields<'_>) -> Option<Self> {
        Some(Self {
            boot: BootId(fields.array()?),
            mono: MonoTime(fields.i64()?),
            utc: fields.i64()?,
            uncertainty: Nanos(fields.i64()?),
        })
    }
}

impl Away {
    /// None where nobody knows.
    pub fn time(&self) -> Option<Nanos> {
        match self {
            Self::Measured { time, .. } | Self::ByWallClock(time) => Some(*time),
            Self::Unknown => None,
        }
    }
}
