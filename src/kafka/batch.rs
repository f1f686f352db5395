//! Records out of batches of format 2, as in Kafka's documentation ("Message Format"): checked by their CRC-32C, unpacked within
//! a bound, one after the other.
//!
//! Thread: kafka. Allocates: for what is compressed. Blocks: no.

use std::fmt;
use std::io::{self, Read};

use super::fields::{Fields, Malformed};
use crate::state::crc::crc32c;

/// BOUND: a thousand times what a long instruction has; what unpacks to more was made to fill the memory.
const UNPACKED_BYTES_MAX: usize = 16 << 20;
/// From the beginning of a batch to the field behind its length.
const PREFIX_BYTES: usize = 12;
/// All that stands before the records.
const HEADER_BYTES: usize = 61;

/// One record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub offset: i64,
    /// When it was produced, or appended to the log, as the topic is configured: milliseconds since 1970.
    pub stamp_ms: Option<i64>,
    /// None for a record that only says that its key is deleted.
    pub value: Option<&'a [u8]>,
}

/// Why the records of a batch cannot be had. They are skipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The checksum, or what it protects, is wrong.
    Damaged,
    /// More than is taken at once.
    TooLarge,
    Snappy,
    Zstd,
    /// An unknown compression, or the format of brokers before 0.11.
    Unknown,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Damaged => "damaged: the checksum is wrong, also when asked for again",
            Self::TooLarge => "larger than 2 MiB on the line or 16 MiB unpacked",
            Self::Snappy => "compressed with snappy, which is not read here",
            Self::Zstd => "compressed with zstd, which is not read here",
            Self::Unknown => "in a format that is not known here",
        })
    }
}

/// A batch, as far as it can be told without its records.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// Offset of the first.
    pub first: i64,
    /// Offset behind the last; compaction may have taken records out between.
    pub next: i64,
    body: Result<Body<'a>, Unusable>,
}

#[derive(Clone, Copy, Debug)]
struct Body<'a> {
    compression: Compression,
    /// The broker's marks of transactions, which are for nobody.
    is_control: bool,
    /// Of all its records, if the broker stamped them.
    appended_ms: Option<i64>,
    first_stamp_ms: i64,
    records: &'a [u8],
}

#[derive(Clone, Copy, Debug)]
enum Compression {
    None,
    Gzip,
    Lz4,
}

/// The batches of one answer.
#[derive(Clone, Copy, Debug)]
pub struct Batches<'a> {
    fields: Fields<'a>,
    /// The next batch is known to be whole, however long it says that it is.
    must_be_whole: bool,
}

impl<'a> Batches<'a> {
    pub fn new(records: &'a [u8]) -> Self {
        Self {
            fields: Fields::new(records),
            must_be_whole: true,
        }
    }

    /// Of an answer whose end never came: its first batch may be cut off as well.
    pub fn of_beginning(records: &'a [u8]) -> Self {
        Self {
            fields: Fields::new(records),
            must_be_whole: false,
        }
    }

    /// The next whole batch. None: the answer ends, maybe in the middle of a batch, which comes whole when it is asked for
    /// next. The first is never cut off by a broker, so if that is not whole it was too large for us.
    pub fn pop(&mut self) -> Result<Option<Batch<'a>>, Malformed> {
        let must_be_whole = std::mem::replace(&mut self.must_be_whole, false);
        let mut ahead = self.fields;
        let (Ok(first), Ok(length)) = (ahead.i64(), ahead.i32()) else {
            return match must_be_whole && !self.fields.rest().is_empty() {
                true => Err(Malformed),
                false => Ok(None),
            };
        };
        let length = usize::try_from(length).map_err(|_| Malformed)?;
        if length < HEADER_BYTES - PREFIX_BYTES || first < 0 {
            return self.of_old_format(first, length);
        }
        match ahead.take(length) {
            Ok(batch) => {
                self.fields = ahead;
                Batch::parse(first, batch).map(Some)
            }
            Err(Malformed) if must_be_whole => Batch::too_large(first, ahead).map(Some),
            Err(Malformed) => Ok(None),
        }
    }

    /// Messages of formats 0 and 1 may be shorter than the header of a batch.
    fn of_old_format(&mut self, first: i64, length: usize) -> Result<Option<Batch<'a>>, Malformed> {
        self.fields.take(PREFIX_BYTES)?;
        let mut message = Fields::new(self.fields.take(length)?);
        message.i32()?;
        match message.i8()? {
            0 | 1 if first >= 0 => Ok(Some(Batch {
                first,
                next: first.checked_add(1).ok_or(Malformed)?,
                body: Err(Unusable::Unknown),
            })),
            _ => Err(Malformed),
        }
    }
}

impl<'a> Batch<'a> {
    /// `bytes`: what stands behind the length.
    fn parse(first: i64, bytes: &'a [u8]) -> Result<Self, Malformed> {
        let mut fields = Fields::new(bytes);
        fields.i32()?;
        if fields.i8()? != 2 {
            let next = first.checked_add(1).ok_or(Malformed)?;
            let body = Err(Unusable::Unknown);
            return Ok(Self { first, next, body });
        }
        let crc = fields.u32()?;
        let is_whole = crc32c(0, fields.rest()) == crc;
        let attributes = fields.i16()?;
        let behind = next_of(first, fields.i32()?);
        let (first_stamp, last_stamp) = (fields.i64()?, fields.i64()?);
        // Producer, its epoch and number, how many records.
        fields.take(8 + 2 + 4 + 4)?;
        let compression = match attributes & 0b111 {
            0 => Ok(Compression::None),
            1 => Ok(Compression::Gzip),
            2 => Err(Unusable::Snappy),
            3 => Ok(Compression::Lz4),
            4 => Err(Unusable::Zstd),
            _ => Err(Unusable::Unknown),
        };
        let is_control = attributes & 0b10_0000 != 0;
        // Where not even this can be believed, at least the first record is left behind.
        let next = behind.or_else(|_| next_of(first, 0))?;
        let body = match (is_whole && behind.is_ok(), compression) {
            (false, _) => Err(Unusable::Damaged),
            (true, Err(why)) => Err(why),
            (true, Ok(compression)) => Ok(Body {
                compression,
                is_control,
                appended_ms: (attributes & 0b1000 != 0).then_some(last_stamp),
                first_stamp_ms: first_stamp,
                records: fields.rest(),
            }),
        };
        Ok(Self { first, next, body })
    }

    /// Only its beginning is there.
    fn too_large(first: i64, mut fields: Fields<'_>) -> Result<Self, Malformed> {
        fields.i32()?;
        let magic = fields.i8()?;
        fields.take(4 + 2)?;
        let last = fields.i32()?;
        Ok(Self {
            first,
            next: next_of(first, if magic == 2 { last } else { 0 })?,
            body: Err(Unusable::TooLarge),
        })
    }

    /// Whether its records can be had, as far as its header tells.
    pub fn check(&self) -> Result<(), Unusable> {
        self.body.map(|_| ())
    }

    /// Unpacks into `memory` and gives each record to `take`, which says with `false` that it has enough. True if it took all.
    pub fn records(
        &self,
        memory: &mut Vec<u8>,
        mut take: impl FnMut(Record<'_>) -> bool,
    ) -> Result<bool, Unusable> {
        let body = self.body?;
        if body.is_control {
            return Ok(true);
        }
        let bytes = match body.compression {
            Compression::None => body.records,
            Compression::Gzip => unpack(flate2::read::MultiGzDecoder::new(body.records), memory)?,
            Compression::Lz4 => unpack(lz4_flex::frame::FrameDecoder::new(body.records), memory)?,
        };
        let mut fields = Fields::new(bytes);
        // BOUND: each turn takes a record's length at least.
        while !fields.rest().is_empty() {
            let record = self.record(&body, &mut fields);
            if !take(record.map_err(|Malformed| Unusable::Damaged)?) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn record<'b>(&self, body: &Body<'_>, from: &mut Fields<'b>) -> Result<Record<'b>, Malformed> {
        let record = from.signed_bytes()?.ok_or(Malformed)?;
        let mut fields = Fields::new(record);
        fields.i8()?;
        let later = fields.signed()?;
        let further = fields.signed()?;
        fields.signed_bytes()?;
        let value = fields.signed_bytes()?;
        let stamp = match body.appended_ms {
            Some(stamp) => stamp,
            None => body.first_stamp_ms.checked_add(later).ok_or(Malformed)?,
        };
        let offset = self.first.checked_add(further).ok_or(Malformed)?;
        if further < 0 || offset >= self.next {
            return Err(Malformed);
        }
        Ok(Record {
            offset,
            // -1 stands for none.
            stamp_ms: Some(stamp).filter(|stamp| *stamp > 0),
            value,
        })
    }
}

fn next_of(first: i64, last: i32) -> Result<i64, Malformed> {
    let last = first.checked_add(i64::from(last)).ok_or(Malformed)?;
    match last >= first {
        true => last.checked_add(1).ok_or(Malformed),
        false => Err(Malformed),
    }
}

fn unpack(packed: impl Read, memory: &mut Vec<u8>) -> Result<&[u8], Unusable> {
    memory.clear();
    let limit = u64::try_from(UNPACKED_BYTES_MAX).unwrap_or(u64::MAX);
    let read: io::Result<usize> = packed.take(limit + 1).read_to_end(memory);
    match read {
        Ok(bytes) if bytes <= UNPACKED_BYTES_MAX => Ok(memory),
        Ok(_) => Err(Unusable::TooLarge),
        Err(_) => Err(Unusable::Damaged),
    }
}
