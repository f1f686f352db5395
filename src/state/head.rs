//! The heads of snapshots and of the journal's segments: magic, version, fields, checksum; and what may be wrong with a file.
//!
//! Thread: housekeeping. Allocates: what is written. Blocks: no. Locks: no. Syscalls: none.

use std::fmt;

use super::bytes::Fields;
use super::crc::crc32c;

const CRC_BYTES: usize = 4;

/// Why bytes are no snapshot, or no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// Nothing was ever written there.
    Empty,
    /// It ends before it should.
    Short,
    /// Not the magic.
    Foreign,
    /// A format that this program does not know.
    Version(u32),
    Header,
    Table,
    Section(u32),
    Footer,
    /// Whole, but it says what cannot be.
    Content,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("is empty"),
            Self::Short => f.write_str("is cut short"),
            Self::Foreign => f.write_str("is not a file of this program"),
            Self::Version(version) => {
                write!(f, "has format {version}, which this program does not know")
            }
            Self::Header => f.write_str("has a damaged header"),
            Self::Table => f.write_str("has a damaged table of sections"),
            Self::Section(id) => write!(f, "has a damaged section {id}"),
            Self::Footer => f.write_str("was not written to its end"),
            Self::Content => f.write_str("says what cannot be"),
        }
    }
}

/// Begins a head in an empty buffer.
pub fn begin(magic: [u8; 4], version: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(&magic);
    out.extend_from_slice(&version.to_le_bytes());
}

/// Ends it, with the checksum of all of it.
pub fn end(out: &mut Vec<u8>) {
    let crc = crc32c(0, out);
    out.extend_from_slice(&crc.to_le_bytes());
}

/// The fields behind magic and version of a head of `N` bytes, all of which its checksum covers.
///
/// # Errors
/// It is damaged, of another version, or never was one.
pub fn read<const N: usize>(
    bytes: &[u8],
    magic: [u8; 4],
    version: u32,
) -> Result<Fields<'_>, Damage> {
    let Some(head) = bytes.first_chunk::<N>() else {
        return Err(match bytes.is_empty() {
            true => Damage::Empty,
            false => Damage::Short,
        });
    };
    if head.iter().all(|byte| *byte == 0) {
        return Err(Damage::Empty);
    }
    if !head.starts_with(&magic) {
        return Err(Damage::Foreign);
    }
    let (covered, crc) = head.split_at(N - CRC_BYTES);
    if crc32c(0, covered).to_le_bytes() != *crc {
        return Err(Damage::Header);
    }
    let mut fields = Fields::new(&covered[magic.len()..]);
    match fields.u32() {
        Some(found) if found == version => Ok(fields),
        Some(found) => Err(Damage::Version(found)),
        None => Err(Damage::Header),
    }
}
