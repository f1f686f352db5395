//! Reading MCAP from its beginning, record by record, so that a file that was cut off anywhere is read up to its last
//! whole chunk.
//!
//! Thread: any of the housekeeping side. Allocates: a chunk at a time. Blocks: on the disk.
//!
//! Nothing in the file is believed before it was checked: lengths against the bytes that are left, chunks against their
//! checksums.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use super::{MAGIC, MESSAGE_HEAD, Opcode, RECORD_HEAD};

/// The largest chunk that is unpacked.
// BOUND: the largest frame that a source may have (8192 x 8192 pixels of 3 bytes) and what else is in its chunk.
const CHUNK_BYTES_MAX: u64 = 8192 * 8192 * 3 + (16 << 20);

/// A channel, with the name and text of its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Channel {
    pub topic: String,
    pub message_encoding: String,
    pub schema: String,
    pub encoding: String,
    pub text: String,
}

/// Where a message lies: its chunk, and its place in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    chunk: u64,
    offset: usize,
}

/// One message.
#[derive(Debug)]
pub struct Message<'a> {
    pub channel: u16,
    pub topic: &'a str,
    pub sequence: u32,
    pub log_time: u64,
    pub publish_time: u64,
    pub data: &'a [u8],
    pub place: Place,
}

/// How a file ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// As it should.
    Whole,
    /// It was cut off or is damaged after this many bytes; all before them was read.
    Interrupted { at: u64, why: String },
}

/// What a file holds besides messages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    pub channels: BTreeMap<u16, Channel>,
    /// By name, then key.
    pub metadata: BTreeMap<String, BTreeMap<String, String>>,
    pub attachments: BTreeMap<String, Vec<u8>>,
}

/// See the module.
#[derive(Debug)]
pub struct McapReader {
    file: File,
    len: u64,
    /// The chunk unpacked last, and where it lies.
    chunk: Vec<u8>,
    chunk_at: Option<u64>,
    packed: Vec<u8>,
}

impl McapReader {
    /// # Errors
    /// The file cannot be read, or it does not begin as MCAP does.
    pub fn new(mut file: File) -> io::Result<Self> {
        let len = file.seek(SeekFrom::End(0))?;
        file.seek(SeekFrom::Start(0))?;
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(wrong("it does not begin as an MCAP file does"));
        }
        Ok(Self {
            file,
            len,
            chunk: Vec::new(),
            chunk_at: None,
            packed: Vec::new(),
        })
    }

    /// Shows every message of every chunk, in the order of the file.
    ///
    /// # Errors
    /// The disk's. A file that is cut off or damaged is not an error, but an [`Ending`].
    pub fn read(&mut self, visit: &mut dyn FnMut(&Message<'_>)) -> io::Result<(Extras, Ending)> {
        let mut extras = Extras::default();
        let mut schemas = BTreeMap::new();
        let mut at = MAGIC.len() as u64;
        // BOUND: each turn goes on by a record, to the end of the file.
        loop {
            match self.read_record(at, &mut extras, &mut schemas, visit) {
                Ok(Some(next)) => at = next,
                Ok(None) => return Ok((extras, Ending::Whole)),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    let why = error.to_string();
                    return Ok((extras, Ending::Interrupted { at, why }));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads the record at this place; gives the place of the next, None after the last.
    fn read_record(
        &mut self,
        at: u64,
        extras: &mut Extras,
        schemas: &mut BTreeMap<u16, [String; 3]>,
        visit: &mut dyn FnMut(&Message<'_>),
    ) -> io::Result<Option<u64>> {
        let (opcode, len) = self.record_head(at)?;
        let next = at + RECORD_HEAD as u64 + len;
        match opcode {
            Some(Opcode::Chunk) => {
                self.load_chunk(at)?;
                each_message(&self.chunk, at, extras, schemas, visit)?;
            }
            Some(Opcode::Footer) => {
                let mut magic = [0; MAGIC.len()];
                return match self.fill(next, &mut magic) {
                    Ok(()) if magic == MAGIC => Ok(None),
                    _ => Err(wrong("the end mark is missing")),
                };
            }
            Some(
                opcode @ (Opcode::Schema | Opcode::Channel | Opcode::Metadata | Opcode::Attachment),
            ) => {
                let content = self.content(at, len)?;
                take_extra(opcode, &content, extras, schemas)
                    .ok_or_else(|| wrong("a record's content is cut off"))?;
            }
            _ => {}
        }
        Ok(Some(next))
    }

    /// The data of a message that [`read`](Self::read) showed.
    pub fn message_at(&mut self, place: Place) -> io::Result<&[u8]> {
        if self.chunk_at != Some(place.chunk) {
            self.load_chunk(place.chunk)?;
        }
        let mut fields = Fields(self.chunk.get(place.offset..).unwrap_or_default());
        let data = fields.record().and_then(|(_, c)| c.get(MESSAGE_HEAD..));
        data.ok_or_else(|| wrong("there is no message at this place"))
    }

    fn record_head(&mut self, at: u64) -> io::Result<(Option<Opcode>, u64)> {
        let mut head = [0; RECORD_HEAD];
        self.fill(at, &mut head)?;
        let mut fields = Fields(&head[1..]);
        let len = fields.u64().unwrap_or(u64::MAX);
        if len > self.len.saturating_sub(at + RECORD_HEAD as u64) {
            return Err(wrong("the last record is cut off"));
        }
        Ok((Opcode::of(head[0]), len))
    }

    fn content(&mut self, at: u64, len: u64) -> io::Result<Vec<u8>> {
        // Checked against the file's length by `record_head`.
        let mut content = vec![0; usize::try_from(len).map_err(|_| wrong("a record is too long"))?];
        self.fill(at + RECORD_HEAD as u64, &mut content)?;
        Ok(content)
    }

    /// Unpacks and checks a chunk.
    fn load_chunk(&mut self, at: u64) -> io::Result<()> {
        self.chunk_at = None;
        let (opcode, len) = self.record_head(at)?;
        if opcode != Some(Opcode::Chunk) {
            return Err(wrong("there is no chunk at this place"));
        }
        self.packed = self.content(at, len)?;
        let mut fields = Fields(&self.packed);
        let parts = (|| {
            let _times = (fields.u64()?, fields.u64()?);
            let (size, crc) = (fields.u64()?, fields.u32()?);
            let compression = fields.text()?;
            let len = usize::try_from(fields.u64()?).ok()?;
            Some((size, crc, compression, fields.bytes(len)?))
        })();
        let (size, crc, compression, packed) = parts.ok_or_else(|| wrong("a chunk is cut off"))?;
        if size > CHUNK_BYTES_MAX {
            return Err(wrong(
                "a chunk says that it is larger than any frame can be",
            ));
        }
        self.chunk.clear();
        match compression.as_str() {
            "" => self.chunk.extend(packed),
            "lz4" => {
                let decoder = lz4_flex::frame::FrameDecoder::new(packed);
                // One byte more than it says would already be wrong.
                let unpacked = decoder.take(size + 1).read_to_end(&mut self.chunk);
                unpacked.map_err(|_| wrong("a chunk cannot be unpacked"))?;
            }
            other => {
                let why = format!("a chunk is compressed with {other}, which we do not read");
                return Err(wrong(&why));
            }
        }
        // A checksum of 0 means that there is none.
        if self.chunk.len() as u64 != size || (crc != 0 && crc32fast::hash(&self.chunk) != crc) {
            return Err(wrong("a chunk is damaged: its checksum is wrong"));
        }
        self.chunk_at = Some(at);
        Ok(())
    }

    fn fill(&mut self, at: u64, bytes: &mut [u8]) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(at))?;
        let read = self.file.read_exact(bytes);
        read.map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => wrong("the file ends without an end mark"),
            _ => error,
        })
    }
}

fn each_message(
    records: &[u8],
    chunk: u64,
    extras: &mut Extras,
    schemas: &mut BTreeMap<u16, [String; 3]>,
    visit: &mut dyn FnMut(&Message<'_>),
) -> io::Result<()> {
    let mut rest = Fields(records);
    // BOUND: each turn goes on by a record, to the end of the chunk.
    while !rest.0.is_empty() {
        let offset = records.len() - rest.0.len();
        let (opcode, content) = rest.record().ok_or_else(|| wrong("a chunk is damaged"))?;
        if opcode != Opcode::Message {
            take_extra(opcode, content, extras, schemas)
                .ok_or_else(|| wrong("a record's content is cut off"))?;
            continue;
        }
        let mut fields = Fields(content);
        let head = (|| Some((fields.u16()?, fields.u32()?, fields.u64()?, fields.u64()?)))();
        let (id, sequence, log_time, publish_time) =
            head.ok_or_else(|| wrong("a message is cut off"))?;
        let channel = extras
            .channels
            .get(&id)
            .ok_or_else(|| wrong("a message is of no channel"))?;
        visit(&Message {
            channel: id,
            topic: &channel.topic,
            sequence,
            log_time,
            publish_time,
            data: fields.0,
            place: Place { chunk, offset },
        });
    }
    Ok(())
}

fn take_extra(
    opcode: Opcode,
    content: &[u8],
    extras: &mut Extras,
    schemas: &mut BTreeMap<u16, [String; 3]>,
) -> Option<()> {
    let mut fields = Fields(content);
    match opcode {
        Opcode::Schema => {
            let id = fields.u16()?;
            schemas.insert(id, [fields.text()?, fields.text()?, fields.text()?]);
        }
        Opcode::Channel => {
            let (id, schema, topic) = (fields.u16()?, fields.u16()?, fields.text()?);
            let message_encoding = fields.text()?;
            let [schema, encoding, text] = schemas.get(&schema).cloned().unwrap_or_default();
            let channel = Channel {
                topic,
                message_encoding,
                schema,
                encoding,
                text,
            };
            extras.channels.insert(id, channel);
        }
        Opcode::Metadata => {
            let name = fields.text()?;
            let len = usize::try_from(fields.u32()?).ok()?;
            let mut entries = Fields(fields.bytes(len)?);
            let map = extras.metadata.entry(name).or_default();
            while !entries.0.is_empty() {
                map.insert(entries.text()?, entries.text()?);
            }
        }
        Opcode::Attachment => {
            let _times = (fields.u64()?, fields.u64()?);
            let (name, _media_type) = (fields.text()?, fields.text()?);
            let len = usize::try_from(fields.u64()?).ok()?;
            extras.attachments.insert(name, fields.bytes(len)?.to_vec());
        }
        _ => {}
    }
    Some(())
}

/// Bytes, taken field by field from the front; None where they end too soon.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, len: usize) -> Option<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(field)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    fn text(&mut self) -> Option<String> {
        let len = usize::try_from(self.u32()?).ok()?;
        String::from_utf8(self.bytes(len)?.to_vec()).ok()
    }

    /// Opcode and content of the record here; an unknown opcode reads as one that nobody asks for.
    fn record(&mut self) -> Option<(Opcode, &'a [u8])> {
        let [opcode] = self.array()?;
        let len = usize::try_from(self.u64()?).ok()?;
        Some((
            Opcode::of(opcode).unwrap_or(Opcode::DataEnd),
            self.bytes(len)?,
        ))
    }
}

fn wrong(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why.to_owned())
}
