//! The MCAP container, as its specification (mcap.dev/spec, version 0) says: what we write of it, and what we read.
//!
//! Written here and not taken from the crate `mcap` for three reasons. A chunk reaches the file whole, in one append: where
//! that fails (disk full) the file is cut back to the chunk before and can still be closed, while the crate's writer is
//! left in the middle of a record. A file that was cut off anywhere is read up to its last whole chunk. And the crate
//! compresses with C libraries, which a board's cross build would have to carry. The official Python reader checks in
//! the tests that what is written here is MCAP.

// Writing.
pub mod write;

// Reading, also of what was cut off.
pub mod read;

/// First and last bytes of a file.
pub(crate) const MAGIC: [u8; 8] = [0x89, b'M', b'C', b'A', b'P', b'0', b'\r', b'\n'];

/// The first byte of each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Opcode {
    Header = 0x01,
    Footer = 0x02,
    Schema = 0x03,
    Channel = 0x04,
    Message = 0x05,
    Chunk = 0x06,
    MessageIndex = 0x07,
    ChunkIndex = 0x08,
    Attachment = 0x09,
    AttachmentIndex = 0x0A,
    Statistics = 0x0B,
    Metadata = 0x0C,
    MetadataIndex = 0x0D,
    SummaryOffset = 0x0E,
    DataEnd = 0x0F,
}

impl Opcode {
    const ALL: [Self; 15] = [
        Self::Header,
        Self::Footer,
        Self::Schema,
        Self::Channel,
        Self::Message,
        Self::Chunk,
        Self::MessageIndex,
        Self::ChunkIndex,
        Self::Attachment,
        Self::AttachmentIndex,
        Self::Statistics,
        Self::Metadata,
        Self::MetadataIndex,
        Self::SummaryOffset,
        Self::DataEnd,
    ];

    fn of(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|o| *o as u8 == byte)
    }
}

/// Bytes before a record's content: opcode and length.
const RECORD_HEAD: usize = 1 + 8;
/// Bytes of a message before its data: channel, sequence, log time, publish time.
const MESSAGE_HEAD: usize = 2 + 4 + 8 + 8;
