//! Writing MCAP: messages are gathered into a chunk, and a chunk reaches the file whole or not at all.
//!
//! Thread: the recorder's writer. Allocates: yes, within the size of a chunk and of the index. Blocks: on the disk.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};

use super::{MAGIC, MESSAGE_HEAD, Opcode, RECORD_HEAD};

/// A chunk is written once it holds this many bytes: small enough that little is lost when the process is killed, large
/// enough for the index to stay small.
const CHUNK_BYTES: usize = 4 << 20;

/// How a chunk's bytes are packed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// LZ4 frames: some hundred megabytes a second on one core.
    #[default]
    Lz4,
    /// As they are: for frames that are JPEG already, or a slow processor before a fast disk.
    None,
}

/// What one kind of message looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schema<'a> {
    pub name: &'a str,
    pub encoding: &'a str,
    pub text: &'a str,
}

/// When a message was written and made, nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamps {
    pub log: u64,
    pub publish: u64,
}

/// A chunk that is being gathered.
#[derive(Debug, Default)]
struct Chunk {
    records: Vec<u8>,
    begin: u64,
    end: u64,
    /// For each channel the log time and place of its messages.
    index: BTreeMap<u16, Vec<(u64, u64)>>,
}

/// Where a chunk that was written lies.
#[derive(Debug)]
struct ChunkIndex {
    begin: u64,
    end: u64,
    at: u64,
    len: u64,
    message_indexes: Vec<(u16, u64)>,
    message_index_len: u64,
    compression: &'static str,
    compressed: u64,
    uncompressed: u64,
}

/// An attachment or metadata record that was written.
#[derive(Debug)]
struct Extra {
    opcode: Opcode,
    index: Vec<u8>,
}

/// See the module.
#[derive(Debug)]
pub struct McapWriter {
    file: File,
    /// Bytes of the file up to the last record that was written whole.
    end: u64,
    compression: Compression,
    chunk: Chunk,
    chunks: Vec<ChunkIndex>,
    /// Schema and channel records, for the summary.
    definitions: [Vec<u8>; 2],
    schema_count: u16,
    channel_count: u16,
    extras: Vec<Extra>,
    /// Messages written, by channel.
    counts: BTreeMap<u16, u64>,
}

impl McapWriter {
    /// Begins a file: whatever it held is gone.
    pub fn new(mut file: File, library: &str, compression: Compression) -> io::Result<Self> {
        file.set_len(0)?;
        file.seek(SeekFrom::Start(0))?;
        let mut writer = Self {
            file,
            end: 0,
            compression,
            chunk: Chunk::default(),
            chunks: Vec::new(),
            definitions: [Vec::new(), Vec::new()],
            schema_count: 0,
            channel_count: 0,
            extras: Vec::new(),
            counts: BTreeMap::new(),
        };
        let mut bytes = MAGIC.to_vec();
        record(&mut bytes, Opcode::Header, |out| {
            text(out, "ros2");
            text(out, library);
        });
        writer.append(&bytes)?;
        Ok(writer)
    }

    /// Bytes in the file.
    pub fn bytes(&self) -> u64 {
        self.end
    }

    /// Messages in the file; those of the open chunk are not among them.
    pub fn messages(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The same, of one channel.
    pub fn messages_of(&self, channel: u16) -> u64 {
        self.counts.get(&channel).copied().unwrap_or(0)
    }

    pub fn schema(&mut self, schema: &Schema<'_>) -> io::Result<u16> {
        let id = self.schema_count + 1;
        let mut bytes = Vec::new();
        record(&mut bytes, Opcode::Schema, |out| {
            out.extend(id.to_le_bytes());
            text(out, schema.name);
            text(out, schema.encoding);
            text(out, schema.text);
        });
        self.append(&bytes)?;
        self.definitions[0].extend(bytes);
        self.schema_count = id;
        Ok(id)
    }

    /// A channel of messages in this encoding, such as `cdr`.
    pub fn channel(&mut self, schema: u16, topic: &str, encoding: &str) -> io::Result<u16> {
        let id = self.channel_count + 1;
        let mut bytes = Vec::new();
        record(&mut bytes, Opcode::Channel, |out| {
            out.extend(id.to_le_bytes());
            out.extend(schema.to_le_bytes());
            text(out, topic);
            text(out, encoding);
            out.extend(0u32.to_le_bytes());
        });
        self.append(&bytes)?;
        self.definitions[1].extend(bytes);
        self.channel_count = id;
        Ok(id)
    }

    pub fn metadata(&mut self, name: &str, entries: &[(&str, String)]) -> io::Result<()> {
        let mut bytes = Vec::new();
        record(&mut bytes, Opcode::Metadata, |out| {
            text(out, name);
            sized(out, |out| {
                for (key, value) in entries {
                    text(out, key);
                    text(out, value);
                }
            });
        });
        let (at, len) = (self.end, bytes.len() as u64);
        self.append(&bytes)?;
        let mut index = Vec::new();
        record(&mut index, Opcode::MetadataIndex, |out| {
            out.extend(at.to_le_bytes());
            out.extend(len.to_le_bytes());
            text(out, name);
        });
        let opcode = Opcode::MetadataIndex;
        self.extras.push(Extra { opcode, index });
        Ok(())
    }

    /// A file within the file.
    pub fn attachment(
        &mut self,
        name: &str,
        media_type: &str,
        at: u64,
        data: &[u8],
    ) -> io::Result<()> {
        let mut bytes = Vec::new();
        record(&mut bytes, Opcode::Attachment, |out| {
            let begin = out.len();
            out.extend(at.to_le_bytes());
            out.extend(at.to_le_bytes());
            text(out, name);
            text(out, media_type);
            out.extend((data.len() as u64).to_le_bytes());
            out.extend(data);
            let crc = crc32fast::hash(&out[begin..]);
            out.extend(crc.to_le_bytes());
        });
        let (place, len) = (self.end, bytes.len() as u64);
        self.append(&bytes)?;
        let mut index = Vec::new();
        record(&mut index, Opcode::AttachmentIndex, |out| {
            for value in [place, len, at, at, data.len() as u64] {
                out.extend(value.to_le_bytes());
            }
            text(out, name);
            text(out, media_type);
        });
        let opcode = Opcode::AttachmentIndex;
        self.extras.push(Extra { opcode, index });
        Ok(())
    }

    /// Adds a message, given as two pieces, to the chunk; a full chunk is written.
    ///
    /// # Errors
    /// The chunk could not be written: it is lost, and the file is as it was before it.
    pub fn message(
        &mut self,
        channel: u16,
        sequence: u32,
        stamps: Stamps,
        data: [&[u8]; 2],
    ) -> io::Result<()> {
        let chunk = &mut self.chunk;
        let place = chunk.records.len() as u64;
        if chunk.records.is_empty() {
            (chunk.begin, chunk.end) = (stamps.log, stamps.log);
        }
        chunk.begin = chunk.begin.min(stamps.log);
        chunk.end = chunk.end.max(stamps.log);
        let len = MESSAGE_HEAD + data[0].len() + data[1].len();
        chunk.records.reserve(RECORD_HEAD + len);
        chunk.records.push(Opcode::Message as u8);
        chunk.records.extend((len as u64).to_le_bytes());
        chunk.records.extend(channel.to_le_bytes());
        chunk.records.extend(sequence.to_le_bytes());
        chunk.records.extend(stamps.log.to_le_bytes());
        chunk.records.extend(stamps.publish.to_le_bytes());
        chunk.records.extend(data[0]);
        chunk.records.extend(data[1]);
        let index = chunk.index.entry(channel).or_default();
        index.push((stamps.log, place));
        if chunk.records.len() >= CHUNK_BYTES {
            return self.close_chunk();
        }
        Ok(())
    }

    /// Writes what is gathered as a chunk of its own.
    pub fn close_chunk(&mut self) -> io::Result<()> {
        let mut chunk = std::mem::take(&mut self.chunk);
        if chunk.records.is_empty() {
            return Ok(());
        }
        let written = self.write_chunk(&chunk);
        if written.is_ok() {
            for (channel, messages) in &chunk.index {
                *self.counts.entry(*channel).or_default() += messages.len() as u64;
            }
        }
        // The memory is used again.
        chunk.records.clear();
        chunk.index.values_mut().for_each(Vec::clear);
        self.chunk.records = chunk.records;
        written
    }

    fn write_chunk(&mut self, chunk: &Chunk) -> io::Result<()> {
        let packed = match self.compression {
            Compression::Lz4 => Some(lz4(&chunk.records)?),
            Compression::None => None,
        };
        // What cannot be packed any tighter is kept as it is.
        let packed = packed.filter(|packed| packed.len() < chunk.records.len());
        let (compression, payload) = match &packed {
            Some(packed) => ("lz4", packed),
            None => ("", &chunk.records),
        };
        let uncompressed = chunk.records.len() as u64;
        let mut bytes = Vec::with_capacity(payload.len() + 4096);
        record(&mut bytes, Opcode::Chunk, |out| {
            out.extend(chunk.begin.to_le_bytes());
            out.extend(chunk.end.to_le_bytes());
            out.extend(uncompressed.to_le_bytes());
            out.extend(crc32fast::hash(&chunk.records).to_le_bytes());
            text(out, compression);
            out.extend((payload.len() as u64).to_le_bytes());
            out.extend(payload);
        });
        let len = bytes.len() as u64;
        let mut message_indexes = Vec::new();
        for (channel, messages) in &chunk.index {
            message_indexes.push((*channel, self.end + bytes.len() as u64));
            record(&mut bytes, Opcode::MessageIndex, |out| {
                out.extend(channel.to_le_bytes());
                sized(out, |out| {
                    for (time, place) in messages {
                        out.extend(time.to_le_bytes());
                        out.extend(place.to_le_bytes());
                    }
                });
            });
        }
        let at = self.end;
        let message_index_len = bytes.len() as u64 - len;
        let compressed = payload.len() as u64;
        self.append(&bytes)?;
        self.chunks.push(ChunkIndex {
            begin: chunk.begin,
            end: chunk.end,
            at,
            len,
            message_indexes,
            message_index_len,
            compression,
            compressed,
            uncompressed,
        });
        Ok(())
    }

    /// Makes what was written safe from a power cut. Takes milliseconds, on an SD card many.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// Writes the open chunk, the summary and the end.
    ///
    /// # Errors
    /// The file is then as one that was interrupted: readable up to its last chunk.
    pub fn finish(mut self) -> io::Result<u64> {
        let chunk = self.close_chunk();
        let ending = self.ending();
        self.append(&ending)?;
        self.file.sync_data()?;
        chunk.map(|()| self.end)
    }

    fn ending(&self) -> Vec<u8> {
        let mut out = Vec::new();
        record(&mut out, Opcode::DataEnd, |out| {
            // 0: not computed; each chunk has its own.
            out.extend(0u32.to_le_bytes());
        });
        let summary_at = out.len();
        let mut groups = Vec::new();
        let mut group = |out: &mut Vec<u8>, opcode, bytes: &[u8]| {
            if !bytes.is_empty() {
                let at = self.end + out.len() as u64;
                groups.push((opcode, at, bytes.len() as u64));
                out.extend(bytes);
            }
        };
        group(&mut out, Opcode::Schema, &self.definitions[0]);
        group(&mut out, Opcode::Channel, &self.definitions[1]);
        group(&mut out, Opcode::Statistics, &self.statistics());
        let chunks: Vec<u8> = self.chunks.iter().flat_map(chunk_index).collect();
        group(&mut out, Opcode::ChunkIndex, &chunks);
        for opcode in [Opcode::AttachmentIndex, Opcode::MetadataIndex] {
            let of_kind = self.extras.iter().filter(|e| e.opcode == opcode);
            let bytes: Vec<u8> = of_kind.flat_map(|e| e.index.clone()).collect();
            group(&mut out, opcode, &bytes);
        }
        let offsets_at = self.end + out.len() as u64;
        for (opcode, at, len) in groups {
            record(&mut out, Opcode::SummaryOffset, |out| {
                out.push(opcode as u8);
                out.extend(at.to_le_bytes());
                out.extend(len.to_le_bytes());
            });
        }
        // The footer's own checksum covers the summary and the footer up to itself.
        out.push(Opcode::Footer as u8);
        out.extend(20u64.to_le_bytes());
        out.extend((self.end + summary_at as u64).to_le_bytes());
        out.extend(offsets_at.to_le_bytes());
        let crc = crc32fast::hash(&out[summary_at..]);
        out.extend(crc.to_le_bytes());
        out.extend(MAGIC);
        out
    }

    fn statistics(&self) -> Vec<u8> {
        let extras = |opcode| {
            let count = self.extras.iter().filter(|e| e.opcode == opcode).count();
            u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes()
        };
        let mut bytes = Vec::new();
        record(&mut bytes, Opcode::Statistics, |out| {
            out.extend(self.messages().to_le_bytes());
            out.extend(self.schema_count.to_le_bytes());
            out.extend(u32::from(self.channel_count).to_le_bytes());
            out.extend(extras(Opcode::AttachmentIndex));
            out.extend(extras(Opcode::MetadataIndex));
            let chunks = u32::try_from(self.chunks.len()).unwrap_or(u32::MAX);
            out.extend(chunks.to_le_bytes());
            let begin = self.chunks.iter().map(|c| c.begin).min().unwrap_or(0);
            let end = self.chunks.iter().map(|c| c.end).max().unwrap_or(0);
            out.extend(begin.to_le_bytes());
            out.extend(end.to_le_bytes());
            sized(out, |out| {
                for (channel, count) in &self.counts {
                    out.extend(channel.to_le_bytes());
                    out.extend(count.to_le_bytes());
                }
            });
        });
        bytes
    }

    /// Writes at the end of the file; where that fails the file is cut back to what it was.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.file.write_all(bytes);
        if let Err(error) = written {
            self.file.set_len(self.end)?;
            self.file.seek(SeekFrom::Start(self.end))?;
            return Err(error);
        }
        self.end += bytes.len() as u64;
        Ok(())
    }
}

fn chunk_index(chunk: &ChunkIndex) -> Vec<u8> {
    let mut bytes = Vec::new();
    record(&mut bytes, Opcode::ChunkIndex, |out| {
        for value in [chunk.begin, chunk.end, chunk.at, chunk.len] {
            out.extend(value.to_le_bytes());
        }
        sized(out, |out| {
            for (channel, at) in &chunk.message_indexes {
                out.extend(channel.to_le_bytes());
                out.extend(at.to_le_bytes());
            }
        });
        out.extend(chunk.message_index_len.to_le_bytes());
        text(out, chunk.compression);
        out.extend(chunk.compressed.to_le_bytes());
        out.extend(chunk.uncompressed.to_le_bytes());
    });
    bytes
}

/// Opcode, length, content.
fn record(out: &mut Vec<u8>, opcode: Opcode, content: impl FnOnce(&mut Vec<u8>)) {
    out.push(opcode as u8);
    let at = out.len();
    out.extend(0u64.to_le_bytes());
    content(out);
    let len = (out.len() - at - 8) as u64;
    out[at..at + 8].copy_from_slice(&len.to_le_bytes());
}

/// A list or map: its bytes' count, then its bytes.
fn sized(out: &mut Vec<u8>, content: impl FnOnce(&mut Vec<u8>)) {
    let at = out.len();
    out.extend(0u32.to_le_bytes());
    content(out);
    let len = u32::try_from(out.len() - at - 4).expect("an index is far below 4 GiB");
    out[at..at + 4].copy_from_slice(&len.to_le_bytes());
}

fn text(out: &mut Vec<u8>, text: &str) {
    sized(out, |out| out.extend(text.as_bytes()));
}

fn lz4(bytes: &[u8]) -> io::Result<Vec<u8>> {
    use lz4_flex::frame::{BlockSize, FrameEncoder, FrameInfo};
    let info = FrameInfo::new().block_size(BlockSize::Max4MB);
    let mut encoder = FrameEncoder::with_frame_info(info, Vec::with_capacity(bytes.len() / 2));
    encoder.write_all(bytes)?;
    encoder.finish().map_err(io::Error::other)
}
