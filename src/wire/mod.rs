//! How actions leave and readings enter: one compact datagram, and the same as JSON.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.
//!
//! The compact datagram, little endian:
//!
//! | byte | size | what |
//! |---:|---:|---|
//! | 0 | 4 | magic `RFLX` |
//! | 4 | 1 | version, 1 |
//! | 5 | 1 | kind: 1 action, 2 reading |
//! | 6 | 1 | count of values, 1 to 16 |
//! | 7 | 1 | action: rung (0 fresh, 1 tail, 2 hold, 3 stop); reading: 0 |
//! | 8 | 4 | action: tick; reading: the sender's counter (`u32`, wraps) |
//! | 12 | 4 | action: number of the camera frame behind it (`u32`, wraps); reading: 0 |
//! | 16 | 8 | time stamp, ns (`i64`); 0: none |
//! | 24 | 4 each | the values (`f32`, finite) |
//!
//! In Python: `struct.pack(f"<4s4BIIq{n}f", b"RFLX", 1, 2, n, 0, seq, 0, stamp_ns, *values)`.
//!
//! As JSON, one object; keys in any order, others are skipped, `at_ns` and the counters may be left out:
//!
//! ```json
//! {"tick":12,"at_ns":8123456789,"rung":"fresh","frame":7,"targets":[0.1,-0.25]}
//! {"seq":12,"at_ns":8123456789,"values":[0.1,-0.25]}
//! ```
//!
//! An action's time stamp is the scheduled instant of its tick on `CLOCK_MONOTONIC`. What a reading's time
//! stamp means is said in the configuration of its sensor.

// The same as JSON.
pub mod json;

// The same on a byte stream without borders, such as a serial line.
pub mod stream;

use crate::action::{Action, Rung};
use crate::sensor::DOF_MAX;

pub const MAGIC: [u8; 4] = *b"RFLX";
pub const VERSION: u8 = 1;
pub const HEADER_BYTES: usize = 24;
pub const DATAGRAM_BYTES_MAX: usize = HEADER_BYTES + 4 * DOF_MAX;

/// What a message carries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Message {
    pub kind: Kind,
    /// An action's tick (low 32 bits), or the sender's counter.
    pub seq: u32,
    /// The frame behind an action (low 32 bits); 0 in readings.
    pub frame: u32,
    /// Nanoseconds; 0 when the sender gave none.
    pub stamp_ns: i64,
    /// How many of `values` are used: 1 to 16.
    pub len: u8,
    pub values: [f32; DOF_MAX],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Action(Rung),
    Reading,
}

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Malformed {
    /// Not the magic of the compact form, and not the brace of a JSON object.
    BadMagic,
    /// A version of the compact form that this program does not know.
    BadVersion,
    /// A kind or rung that does not exist.
    BadKind,
    /// No values, or more than 16.
    BadCount,
    /// Not the length that the count of values asks for.
    BadLength,
    /// A value that is not a number, or infinite.
    NotFinite,
    /// Not a JSON object of the documented form.
    BadJson,
}

impl Malformed {
    pub const COUNT: usize = 7;
    pub const ALL: [Self; Self::COUNT] = [
        Self::BadMagic,
        Self::BadVersion,
        Self::BadKind,
        Self::BadCount,
        Self::BadLength,
        Self::NotFinite,
        Self::BadJson,
    ];

    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::BadMagic => "bad magic",
            Self::BadVersion => "bad version",
            Self::BadKind => "bad kind",
            Self::BadCount => "bad count",
            Self::BadLength => "bad length",
            Self::NotFinite => "not finite",
            Self::BadJson => "bad JSON",
        }
    }
}

impl Message {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the low 32 bits are what is sent"
    )]
    pub fn of_action(action: &Action) -> Self {
        Self {
            kind: Kind::Action(action.rung),
            seq: action.tick as u32,
            frame: action.frame_seq as u32,
            stamp_ns: action.at.0,
            len: action.dof,
            values: action.targets,
        }
    }

    pub fn values(&self) -> &[f32] {
        &self.values[..usize::from(self.len)]
    }

    /// Writes the compact form and returns its length.
    pub fn encode(&self, out: &mut [u8; DATAGRAM_BYTES_MAX]) -> usize {
        let (kind, rung) = match self.kind {
            Kind::Action(rung) => (1, rung as u8),
            Kind::Reading => (2, 0),
        };
        out[0..4].copy_from_slice(&MAGIC);
        out[4..8].copy_from_slice(&[VERSION, kind, self.len, rung]);
        out[8..12].copy_from_slice(&self.seq.to_le_bytes());
        out[12..16].copy_from_slice(&self.frame.to_le_bytes());
        out[16..24].copy_from_slice(&self.stamp_ns.to_le_bytes());
        let values = self.values();
        for (place, value) in out[HEADER_BYTES..].chunks_exact_mut(4).zip(values) {
            place.copy_from_slice(&value.to_le_bytes());
        }
        HEADER_BYTES + 4 * values.len()
    }

    /// Reads either form; the first byte tells which.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let start = bytes.iter().position(|b| !b.is_ascii_whitespace());
        match start.map(|s| (bytes[s], s)) {
            Some((b'{', start)) => json::parse(&bytes[start..]),
            _ => Self::decode_compact(bytes),
        }
    }

    fn decode_compact(bytes: &[u8]) -> Result<Self, Malformed> {
        if !bytes.starts_with(&MAGIC) {
            return Err(Malformed::BadMagic);
        }
        let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
            return Err(Malformed::BadLength);
        };
        if header[4] != VERSION {
            return Err(Malformed::BadVersion);
        }
        let kind = match (header[5], header[7]) {
            (1, rung @ 0..=3) => Kind::Action(Rung::ALL[usize::from(rung)]),
            (2, _) => Kind::Reading,
            _ => return Err(Malformed::BadKind),
        };
        let len = header[6];
        if len == 0 || usize::from(len) > DOF_MAX {
            return Err(Malformed::BadCount);
        }
        if rest.len() != 4 * usize::from(len) {
            return Err(Malformed::BadLength);
        }
        let mut values = [0.0; DOF_MAX];
        let (quads, _) = rest.as_chunks::<4>();
        for (value, quad) in values.iter_mut().zip(quads) {
            *value = f32::from_le_bytes(*quad);
        }
        let message = Self {
            kind,
            seq: u32::from_le_bytes(header[8..12].try_into().expect("4 bytes")),
            frame: u32::from_le_bytes(header[12..16].try_into().expect("4 bytes")),
            stamp_ns: i64::from_le_bytes(header[16..24].try_into().expect("8 bytes")),
            len,
            values,
        };
        message.finite()
    }

    fn finite(self) -> Result<Self, Malformed> {
        match self.values().iter().all(|v| v.is_finite()) {
            true => Ok(self),
            false => Err(Malformed::NotFinite),
        }
    }
}

#[cfg(test)]
mod tests;
