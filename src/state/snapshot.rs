//! A snapshot as bytes: header, table of sections, sections, footer. Every byte lies under a checksum.
//!
//! Thread: housekeeping. Allocates: yes. Blocks: no. Locks: no. Syscalls: none.
//!
//! All little endian, without padding:
//!
//! | what | bytes | fields |
//! |---|---:|---|
//! | header | 64 | magic `VLAS`, version `u32`, graph `u64`, epoch `u64`, monotonic ns `i64`, UTC ns `i64`, sections `u32`, length `u64`, 8 zeros, CRC-32C `u32` of all before it |
//! | table, for each section | 28 | id `u32`, version `u16`, codec `u16`, offset `u64`, length `u64`, CRC-32C `u32` of these fields and of the section |
//! | sections | | one after the other, in the order of the table |
//! | footer | 16 | epoch `u64`, CRC-32C `u32` of everything before the footer and of its epoch, magic `VLAS` |
//!
//! `length` counts everything. A reader skips sections whose id, version or codec it does not know.

use super::bytes::Fields;
use super::crc::crc32c;
use super::head;
pub use super::head::Damage;

pub const MAGIC: [u8; 4] = *b"VLAS";
pub const VERSION: u32 = 1;
pub const HEADER_BYTES: usize = 64;
pub const ENTRY_BYTES: usize = 28;
pub const FOOTER_BYTES: usize = 16;
/// Sections are stored as they are.
const CODEC_PLAIN: u16 = 0;
/// BOUND: no snapshot is larger. Without windows it is below 9 KiB; the rest is room for them.
pub const SNAPSHOT_BYTES_MAX: usize = 1024 * 1024;
/// BOUND: sections of one snapshot.
const SECTIONS_MAX: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Of what makes two configurations mean the same by their state.
    pub graph: u64,
    /// Counts the snapshots of this place, over all runs. The highest is the newest.
    pub epoch: u64,
    /// When it was taken, on the monotonic clock of its boot.
    pub mono: i64,
    /// The same instant in ns since 1970.
    pub utc: i64,
    pub sections: Vec<Section>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Section {
    pub id: u32,
    /// Of what the bytes mean.
    pub version: u16,
    pub bytes: Vec<u8>,
}

impl Snapshot {
    pub fn section(&self, id: u32, version: u16) -> Option<&[u8]> {
        let found = self
            .sections
            .iter()
            .find(|s| (s.id, s.version) == (id, version));
        found.map(|section| &*section.bytes)
    }

    /// Whether there is a section of another version.
    pub fn has_other(&self, id: u32, version: u16) -> bool {
        let mut sections = self.sections.iter();
        sections.any(|s| s.id == id && s.version != version)
    }

    /// Puts the snapshot in the place of what `out` held.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.clear();
        let payload: usize = self.sections.iter().map(|s| s.bytes.len()).sum();
        let first = HEADER_BYTES + ENTRY_BYTES * self.sections.len();
        let length = first + payload + FOOTER_BYTES;
        self.write_header(length, out);
        let mut offset = first;
        for section in &self.sections {
            let at = out.len();
            out.extend_from_slice(&section.id.to_le_bytes());
            out.extend_from_slice(&section.version.to_le_bytes());
            out.extend_from_slice(&CODEC_PLAIN.to_le_bytes());
            out.extend_from_slice(&(offset as u64).to_le_bytes());
            out.extend_from_slice(&(section.bytes.len() as u64).to_le_bytes());
            let crc = crc32c(crc32c(0, &out[at..]), &section.bytes);
            out.extend_from_slice(&crc.to_le_bytes());
            offset += section.bytes.len();
        }
        for section in &self.sections {
            out.extend_from_slice(&section.bytes);
        }
        out.extend_from_slice(&self.epoch.to_le_bytes());
        let crc = crc32c(0, out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&MAGIC);
    }

    fn write_header(&self, length: usize, out: &mut Vec<u8>) {
        let sections = u32::try_from(self.sections.len()).unwrap_or(u32::MAX);
        head::begin(MAGIC, VERSION, out);
        out.extend_from_slice(&self.graph.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
        out.extend_from_slice(&self.mono.to_le_bytes());
        out.extend_from_slice(&self.utc.to_le_bytes());
        out.extend_from_slice(&sections.to_le_bytes());
        out.extend_from_slice(&(length as u64).to_le_bytes());
        out.extend_from_slice(&[0; 8]);
        head::end(out);
    }

    /// Reads any bytes; those behind the snapshot's length are not looked at.
    ///
    /// # Errors
    /// The first damage found.
    pub fn read(bytes: &[u8]) -> Result<Self, Damage> {
        let (mut snapshot, sections, length) = read_header(bytes)?;
        let bytes = bytes.get(..length).ok_or(Damage::Short)?;
        read_footer(bytes, snapshot.epoch)?;
        let mut table = Fields::new(&bytes[HEADER_BYTES..]);
        let mut offset = HEADER_BYTES + ENTRY_BYTES * sections;
        // BOUND: SECTIONS_MAX, see `read_header`.
        for _ in 0..sections {
            let (section, codec) = read_section(&mut table, bytes, &mut offset)?;
            if codec == CODEC_PLAIN {
                snapshot.sections.push(section);
            }
        }
        match offset == length - FOOTER_BYTES {
            true => Ok(snapshot),
            false => Err(Damage::Table),
        }
    }
}

/// The header, the number of sections and the whole length, which holds at least header, table and footer.
fn read_header(bytes: &[u8]) -> Result<(Snapshot, usize, usize), Damage> {
    let mut fields = head::read::<HEADER_BYTES>(bytes, MAGIC, VERSION)?;
    let parsed = (|| {
        let snapshot = Snapshot {
            graph: fields.u64()?,
            epoch: fields.u64()?,
            mono: fields.i64()?,
            utc: fields.i64()?,
            sections: Vec::new(),
        };
        let sections = usize::try_from(fields.u32()?).ok()?;
        let length = usize::try_from(fields.u64()?).ok()?;
        Some((snapshot, sections, length))
    })();
    let (snapshot, sections, length) = parsed.ok_or(Damage::Header)?;
    if sections > SECTIONS_MAX
        || length > SNAPSHOT_BYTES_MAX
        || length < HEADER_BYTES + ENTRY_BYTES * sections + FOOTER_BYTES
    {
        return Err(Damage::Header);
    }
    Ok((snapshot, sections, length))
}

fn read_footer(bytes: &[u8], epoch: u64) -> Result<(), Damage> {
    let Some((before, tail)) = bytes.split_last_chunk::<8>() else {
        return Err(Damage::Short);
    };
    let (crc, magic) = tail.split_at(4);
    let written = before.ends_with(&epoch.to_le_bytes()) && magic == MAGIC;
    match written && crc32c(0, before).to_le_bytes() == *crc {
        true => Ok(()),
        false => Err(Damage::Footer),
    }
}

fn read_section(
    table: &mut Fields<'_>,
    bytes: &[u8],
    offset: &mut usize,
) -> Result<(Section, u16), Damage> {
    let entry = table.bytes(ENTRY_BYTES - 4).ok_or(Damage::Table)?;
    let crc = table.u32().ok_or(Damage::Table)?;
    let mut fields = Fields::new(entry);
    let parsed = (|| {
        let (id, version, codec) = (fields.u32()?, fields.u16()?, fields.u16()?);
        let at = usize::try_from(fields.u64()?).ok()?;
        let len = usize::try_from(fields.u64()?).ok()?;
        let held = bytes.get(at..at.checked_add(len)?)?;
        Some((id, version, codec, at, held))
    })();
    let (id, version, codec, at, held) = parsed.ok_or(Damage::Table)?;
    if at != *offset {
        return Err(Damage::Table);
    }
    if crc32c(crc32c(0, entry), held) != crc {
        return Err(Damage::Section(id));
    }
    *offset += held.len();
    let bytes = held.to_vec();
    Ok((Section { id, version, bytes }, codec))
}
