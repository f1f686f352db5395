//! The journal as bytes: segments of records, each record under its own checksum.
//!
//! Thread: housekeeping. Allocates: yes. Blocks: no. Locks: no. Syscalls: none.
//!
//! All little endian, without padding:
//!
//! | what | bytes | fields |
//! |---|---:|---|
//! | segment | 64 | magic `VLAJ`, version `u32`, graph `u64`, run `u64`, segment `u64`, first record `u64`, monotonic ns `i64`, UTC ns `i64`, 4 zeros, CRC-32C `u32` of all before it |
//! | record | 35 + payload | payload length `u32`, kind `u8`, source `u16`, number `u64`, event time ns `i64`, arrival ns `i64`, payload, CRC-32C `u32` of the segment's checksum and all before it |
//!
//! A segment's bytes behind its last record are what an earlier segment left in the same file. Their checksums begin with
//! another segment's, which has its instant in it, so they are not taken for records.

use crate::action::Rung;
use crate::error::StepError;
use crate::sensor::DOF_MAX;
use crate::telemetry::record::Outcome;
use crate::units::MonoTime;

use super::bytes::{Fields, put_text};
use super::clocks::ClockMap;
use super::crc::crc32c;
use super::head::{self, Damage};

pub const MAGIC: [u8; 4] = *b"VLAJ";
pub const VERSION: u32 = 1;
pub const SEGMENT_HEADER_BYTES: usize = 64;
const RECORD_HEADER_BYTES: usize = 31;
const CRC_BYTES: usize = 4;
/// Bytes of a record besides its payload.
pub const RECORD_BYTES: usize = RECORD_HEADER_BYTES + CRC_BYTES;

/// The head of a segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment {
    pub graph: u64,
    /// The run that wrote it.
    pub run: u64,
    /// Counts segments over all runs, from 1.
    pub segment: u64,
    /// The number that its first record has at least.
    pub first: u64,
    pub mono: i64,
    pub utc: i64,
}

/// One thing that came in, was decided or went out.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Counts the entries of a place over all runs, from 1.
    pub number: u64,
    /// When it happened.
    pub event: MonoTime,
    /// When the run knew of it.
    pub arrived: MonoTime,
    /// Which sensor or camera.
    pub source: u16,
    pub what: What,
}

#[derive(Clone, Debug, PartialEq)]
pub enum What {
    /// From now on in force. Without a text none is: it was too long to be kept.
    Instruction {
        id: u32,
        text: String,
    },
    /// A sensor's values.
    Reading {
        len: u8,
        values: [f32; DOF_MAX],
    },
    /// One step of fusion on the frame captured at `event`.
    Decision {
        begin: MonoTime,
        outcome: Outcome,
    },
    /// The first action of a chunk was sent: which frame it goes back to.
    Frame {
        frame: u64,
        instruction: u32,
    },
    /// A beat's action, at its scheduled instant, from the frame captured at `captured`.
    Action {
        number: u64,
        captured: MonoTime,
        rung: Rung,
        sent: bool,
    },
    /// A snapshot was taken.
    Epoch {
        epoch: u64,
    },
    Clocks(ClockMap),
    /// So many entries could not be kept before this one.
    Lost {
        entries: u64,
    },
    /// The segment was full; the next one goes on.
    Close,
}

impl What {
    fn kind(&self) -> u8 {
        match self {
            Self::Instruction { .. } => 1,
            Self::Reading { .. } => 2,
            Self::Decision { .. } => 3,
            Self::Frame { .. } => 4,
            Self::Action { .. } => 5,
            Self::Epoch { .. } => 6,
            Self::Clocks(_) => 7,
            Self::Lost { .. } => 8,
            Self::Close => 9,
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Instruction { id, text } => {
                out.extend_from_slice(&id.to_le_bytes());
                put_text(text, out);
            }
            Self::Reading { len, values } => {
                let values = &values[..usize::from(*len).min(DOF_MAX)];
                out.extend(values.iter().flat_map(|v| v.to_le_bytes()));
            }
            Self::Decision { begin, outcome } => {
                out.extend_from_slice(&begin.0.to_le_bytes());
                out.push(code(*outcome));
            }
            Self::Frame { frame, instruction } => {
                out.extend_from_slice(&frame.to_le_bytes());
                out.extend_from_slice(&instruction.to_le_bytes());
            }
            Self::Action {
                number,
                captured,
                rung,
                sent,
            } => {
                out.extend_from_slice(&number.to_le_bytes());
                out.extend_from_slice(&captured.0.to_le_bytes());
                out.extend_from_slice(&[*rung as u8, u8::from(*sent)]);
            }
            Self::Epoch { epoch: n } | Self::Lost { entries: n } => {
                out.extend_from_slice(&n.to_le_bytes());
            }
            Self::Clocks(clocks) => clocks.write(out),
            Self::Close => {}
        }
    }

    fn read(kind: u8, payload: &[u8]) -> Option<Self> {
        let mut fields = Fields::new(payload);
        let what = match kind {
            1 => Self::Instruction {
                id: fields.u32()?,
                text: fields.text()?.to_owned(),
            },
            2 => {
                let len = payload.len() / size_of::<f32>();
                let mut values = [0.0; DOF_MAX];
                for value in values.get_mut(..len)? {
                    *value = fields.f32()?;
                }
                let len = u8::try_from(len).ok()?;
                Self::Reading { len, values }
            }
            3 => Self::Decision {
                begin: MonoTime(fields.i64()?),
                outcome: outcome(fields.u8()?)?,
            },
            4 => Self::Frame {
                frame: fields.u64()?,
                instruction: fields.u32()?,
            },
            5 => Self::Action {
                number: fields.u64()?,
                captured: MonoTime(fields.i64()?),
                rung: *Rung::ALL.get(usize::from(fields.u8()?))?,
                sent: fields.u8()? == 1,
            },
            6 => Self::Epoch {
                epoch: fields.u64()?,
            },
            7 => Self::Clocks(ClockMap::read(&mut fields)?),
            8 => Self::Lost {
                entries: fields.u64()?,
            },
            9 => Self::Close,
            _ => return None,
        };
        fields.end().map(|()| what)
    }
}

/// The reasons of a failure, by their code less 2.
const FAILURES: [StepError; 7] = [
    StepError::BadFrame,
    StepError::NotFinite,
    StepError::Compute,
    StepError::DeviceLost,
    StepError::WouldBlock,
    StepError::OutOfRange,
    StepError::Late,
];

fn code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Ok => 0,
        Outcome::Dropped => 1,
        Outcome::Failed(error) => {
            let index = FAILURES.iter().position(|failure| *failure == error);
            index.map_or(u8::MAX, |i| u8::try_from(i + 2).unwrap_or(u8::MAX))
        }
    }
}

fn outcome(code: u8) -> Option<Outcome> {
    match code {
        0 => Some(Outcome::Ok),
        1 => Some(Outcome::Dropped),
        code => {
            let failure = FAILURES.get(usize::from(code) - 2)?;
            Some(Outcome::Failed(*failure))
        }
    }
}

impl Segment {
    pub fn bytes(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = Vec::with_capacity(SEGMENT_HEADER_BYTES);
        head::begin(MAGIC, VERSION, &mut out);
        for number in [self.graph, self.run, self.segment, self.first] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for instant in [self.mono, self.utc] {
            out.extend_from_slice(&instant.to_le_bytes());
        }
        out.extend_from_slice(&[0; 4]);
        head::end(&mut out);
        out.try_into().expect("the fields above are 64 bytes")
    }

    /// # Errors
    /// It is damaged, or never was a segment.
    pub fn read(bytes: &[u8]) -> Result<Self, Damage> {
        let mut fields = head::read::<SEGMENT_HEADER_BYTES>(bytes, MAGIC, VERSION)?;
        let parsed = (|| {
            Some(Self {
                graph: fields.u64()?,
                run: fields.u64()?,
                segment: fields.u64()?,
                first: fields.u64()?,
                mono: fields.i64()?,
                utc: fields.i64()?,
            })
        })();
        parsed.ok_or(Damage::Header)
    }

    /// With what the checksums of its records begin: its own.
    pub fn salt(&self) -> u32 {
        let [.., a, b, c, d] = self.bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    /// The records of this segment, `bytes` being the whole file. It ends before the first that is not whole.
    pub fn records<'a>(&self, bytes: &'a [u8]) -> Records<'a> {
        Records {
            salt: self.salt(),
            rest: bytes.get(SEGMENT_HEADER_BYTES..).unwrap_or_default(),
            before: self.first.saturating_sub(1),
        }
    }
}

/// The next record at the end of `out`; `salt` is the segment's.
pub fn put_record(salt: u32, entry: &Entry, out: &mut Vec<u8>) {
    let at = out.len();
    out.extend_from_slice(&[0; 4]);
    out.push(entry.what.kind());
    out.extend_from_slice(&entry.source.to_le_bytes());
    out.extend_from_slice(&entry.number.to_le_bytes());
    out.extend_from_slice(&entry.event.0.to_le_bytes());
    out.extend_from_slice(&entry.arrived.0.to_le_bytes());
    entry.what.write(out);
    let len = out.len() - at - RECORD_HEADER_BYTES;
    let len = u32::try_from(len).expect("an entry's text is bounded far below this");
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c(crc32c(0, &salt.to_le_bytes()), &out[at..]);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// See [`Segment::records`].
#[derive(Clone, Debug)]
pub struct Records<'a> {
    salt: u32,
    rest: &'a [u8],
    /// The number of the record before.
    before: u64,
}

impl Iterator for Records<'_> {
    type Item = Entry;

    fn next(&mut self) -> Option<Entry> {
        let len = u32::from_le_bytes(*self.rest.first_chunk()?);
        let whole = usize::try_from(len).ok()?.checked_add(RECORD_BYTES)?;
        let (record, rest) = self.rest.split_at_checked(whole)?;
        let (covered, crc) = record.split_at(whole - CRC_BYTES);
        let right = crc32c(crc32c(0, &self.salt.to_le_bytes()), covered);
        if right.to_le_bytes() != *crc {
            return None;
        }
        let (header, payload) = covered.split_at(RECORD_HEADER_BYTES);
        let mut fields = Fields::new(&header[4..]);
        let (kind, source, number) = (fields.u8()?, fields.u16()?, fields.u64()?);
        let (event, arrived) = (MonoTime(fields.i64()?), MonoTime(fields.i64()?));
        // What a failed write left behind has lower numbers than what was written over its beginning.
        if number <= self.before {
            return None;
        }
        let what = What::read(kind, payload)?;
        (self.rest, self.before) = (rest, number);
        Some(Entry {
            number,
            event,
            arrived,
            source,
            what,
        })
    }
}
