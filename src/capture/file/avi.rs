//! Motion JPEG in AVI files, as webcams and recorders write them. The JPEG pictures are handed on as they are; they
//! are decoded by the features stage, and only those that it uses.
//!
//! The file is walked chunk by chunk, so no index is needed, and files over 2 GB (OpenDML's further RIFF lists)
//! are read to their end. Sources: Microsoft's AVI RIFF file reference; OpenDML AVI file format extensions 1.02.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use super::clip::{Clip, Found, checked_rate, checked_size, seek};
use super::jpeg;
use crate::error::{Fault, Kind, Result};
use crate::frame::{FrameFormat, PixelFormat};
use crate::units::Hertz;

// BOUND: stream headers have 56 and 40 bytes; more is not read.
const HEADER_MAX: usize = 64;
/// How far damage is searched for the next frame before the file is given up: a few pictures.
const RESYNC_BYTES: u64 = 16 << 20;

type Tag = [u8; 4];

/// What the headers say of the first video stream.
#[derive(Clone, Copy, Debug)]
struct Video {
    /// Number of the stream in the file.
    number: u8,
    codec: Tag,
    rate: Option<Hertz>,
    /// Frames by the header's word; 0 if it does not say.
    frames: u32,
    width: i32,
    height: i32,
}

/// Whether the file begins as an AVI file does.
pub(super) fn is_avi(head: &[u8]) -> bool {
    head.len() >= 12 && &head[..4] == b"RIFF" && &head[8..12] == b"AVI "
}

/// An AVI file of JPEG pictures that is being read.
#[derive(Debug)]
pub(super) struct Avi {
    riff: Riff,
    video: Video,
    format: FrameFormat,
    rate: Hertz,
    first: u64,
    seen: u32,
}

impl Avi {
    /// Reads the headers and the first picture's size. None if the video is not Motion JPEG.
    pub fn open(path: &Path, file: File) -> Result<Option<Self>> {
        let refuse = |why: String| {
            Fault::new(
                Kind::BadInput,
                format!("{} cannot be read", path.display()),
                why,
                "the file is cut off or damaged: record it again, or repair it with `ffmpeg -i FILE -c copy OUT.avi`",
            )
        };
        let mut riff = Riff::new(file).map_err(|e| refuse(e.to_string()))?;
        let video = riff.read_headers().map_err(refuse)?;
        if !matches!(&video.codec, b"MJPG" | b"mjpg" | b"JPEG" | b"jpeg") {
            return Ok(None);
        }
        let rate = video.rate.ok_or_else(|| {
            refuse("its header has no usable frame rate (0.001 Hz to 10 kHz)".to_owned())
        })?;
        let first = riff.position;
        let (width, height) = riff
            .first_picture_size(video.number)
            .or_else(|| {
                let side = |v: i32| u64::from(v.unsigned_abs());
                checked_size(side(video.width), side(video.height))
            })
            .ok_or_else(|| refuse("neither its header nor a picture tells its size".to_owned()))?;
        riff.position = first;
        Ok(Some(Self {
            riff,
            video,
            format: FrameFormat::packed(PixelFormat::Mjpeg, width, height),
            rate,
            first,
            seen: 0,
        }))
    }

    /// The next picture's bytes in the file.
    fn next(&mut self) -> Result<u64, Found> {
        match self.riff.next_picture(self.video.number) {
            Ok(size) => {
                self.seen += 1;
                Ok(size)
            }
            Err(Found::End(None)) if self.seen < self.video.frames => {
                Err(Found::End(Some(format!(
                    "its header promises {} frames, {} were found",
                    self.video.frames, self.seen
                ))))
            }
            Err(found) => Err(found),
        }
    }
}

impl Clip for Avi {
    fn kind(&self) -> String {
        "MJPEG in AVI".to_owned()
    }

    fn format(&self) -> FrameFormat {
        self.format
    }

    fn rate(&self) -> Option<Hertz> {
        Some(self.rate)
    }

    fn read(&mut self, out: &mut [u8]) -> Found {
        let size = match self.next() {
            Ok(size) => size,
            Err(found) => return found,
        };
        let Some(out) = usize::try_from(size).ok().and_then(|n| out.get_mut(..n)) else {
            self.riff.pass(size);
            return Found::Damaged;
        };
        match self.riff.read_padded(out) {
            Ok(()) if out.is_empty() => Found::Missing,
            Ok(()) if out.starts_with(&jpeg::START) => Found::Frame { bytes: out.len() },
            Ok(()) => Found::Damaged,
            Err(e) => Found::End(Some(format!("the file could not be read to its end: {e}"))),
        }
    }

    fn skip(&mut self) -> Found {
        match self.next() {
            Ok(0) => Found::Missing,
            Ok(size) => {
                self.riff.pass(size);
                Found::Frame { bytes: 0 }
            }
            Err(found) => found,
        }
    }

    fn rewind(&mut self) -> Result<(), String> {
        self.riff.position = self.first;
        self.seen = 0;
        Ok(())
    }
}

/// Walks the chunks of a RIFF file. Lists are entered, not nested: what is inside follows their head.
#[derive(Debug)]
struct Riff {
    file: BufReader<File>,
    /// Where the next chunk begins.
    position: u64,
    len: u64,
}

impl Riff {
    fn new(file: File) -> std::io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self {
            file: BufReader::with_capacity(1 << 18, file),
            position: 0,
            len,
        })
    }

    /// Reads at the position and moves it on.
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<()> {
        seek(&mut self.file, self.position)?;
        self.file.read_exact(out)?;
        self.position += out.len() as u64;
        Ok(())
    }

    /// As `read`, then over the byte that fills odd chunks up.
    fn read_padded(&mut self, out: &mut [u8]) -> std::io::Result<()> {
        self.read(out)?;
        self.position += out.len() as u64 % 2;
        Ok(())
    }

    /// Moves over a chunk's bytes.
    fn pass(&mut self, size: u64) {
        self.position += size + size % 2;
    }

    /// The next chunk's tag and size; None at the end of the file.
    fn head(&mut self) -> Option<(Tag, u64)> {
        let mut head = [0; 8];
        self.read(&mut head).ok()?;
        let [a, b, c, d, size @ ..] = head;
        Some(([a, b, c, d], u64::from(u32::from_le_bytes(size))))
    }

    /// Moves to the first chunk of the list `movi` and tells what stands before it.
    fn read_headers(&mut self) -> Result<Video, String> {
        let mut streams = 0u8;
        let mut video: Option<Video> = None;
        // Whether the headers being read are those of `video`.
        let mut current = false;
        // BOUND: each turn moves on by at least 8 bytes of the file.
        while let Some((tag, size)) = self.head() {
            match &tag {
                b"RIFF" | b"LIST" => {
                    let mut kind = [0; 4];
                    self.read(&mut kind).map_err(|e| e.to_string())?;
                    match &kind {
                        b"movi" => return video.ok_or_else(|| "it has no video".to_owned()),
                        b"AVI " | b"hdrl" | b"strl" => {}
                        _ => self.pass(size.saturating_sub(4)),
                    }
                }
                b"strh" | b"strf" => {
                    let fields = self.fields(size).map_err(|e| e.to_string())?;
                    if &tag == b"strh" {
                        current = video.is_none() && fields.tag(0) == *b"vids";
                        if current {
                            video = Some(Video::from_stream(streams, &fields));
                        }
                        streams = streams.saturating_add(1);
                    } else if let Some(video) = video.as_mut().filter(|_| current) {
                        video.add_picture(&fields);
                    }
                }
                _ => self.pass(size),
            }
        }
        Err("it ends before its first frame".to_owned())
    }

    /// The beginning of a header chunk; missing bytes read as 0.
    fn fields(&mut self, size: u64) -> std::io::Result<Fields> {
        let mut bytes = [0; HEADER_MAX];
        let used = usize::try_from(size).map_or(HEADER_MAX, |n| n.min(HEADER_MAX));
        self.read(&mut bytes[..used])?;
        self.position += size - used as u64 + size % 2;
        Ok(Fields(bytes))
    }

    /// Finds the next picture of stream `number` and gives its size; the position is at its first byte.
    fn next_picture(&mut self, number: u8) -> Result<u64, Found> {
        // BOUND: each turn moves on by at least 8 bytes of the file.
        loop {
            let begin = self.position;
            let Some((tag, size)) = self.head() else {
                return Err(Found::End(None));
            };
            if is_picture(&tag, number) {
                if self.position + size > self.len {
                    // A frame that was cut off, or a damaged size. Look for another one after its head.
                    return Err(self.resync(number));
                }
                return Ok(size);
            }
            match &tag {
                b"RIFF" | b"LIST" => {
                    let mut kind = [0; 4];
                    if self.read(&mut kind).is_err() {
                        return Err(Found::End(None));
                    }
                    if !matches!(&kind, b"AVI " | b"AVIX" | b"movi" | b"rec ") {
                        self.pass(size.saturating_sub(4));
                    }
                }
                // Other streams, indices, padding.
                _ if tag.iter().all(|c| c.is_ascii_graphic() || *c == b' ') => self.pass(size),
                // Zeros at the end are room that a recorder reserved.
                [0, 0, 0, 0] if self.len - begin < 4096 => return Err(Found::End(None)),
                _ => return Err(self.resync(number)),
            }
        }
    }

    /// Moves to the next head of a picture after damage; one frame counts as damaged for it.
    fn resync(&mut self, number: u8) -> Found {
        let limit = (self.position + RESYNC_BYTES).min(self.len);
        let mut window = vec![0; 1 << 16];
        while self.position + 10 <= limit {
            let begin = self.position;
            let size = usize::try_from(limit - begin).map_or(window.len(), |n| n.min(window.len()));
            if self.read(&mut window[..size]).is_err() {
                break;
            }
            // Tag, size, and the first bytes of a JPEG picture.
            let hit = window[..size].windows(10).position(|w| {
                is_picture(&[w[0], w[1], w[2], w[3]], number) && w[8..] == jpeg::START[..2]
            });
            if let Some(offset) = hit {
                self.position = begin + offset as u64;
                return Found::Damaged;
            }
            // Windows overlap by one byte less than what is searched.
            self.position = begin + (size as u64 - 9);
        }
        self.position = self.len;
        Found::Damaged
    }

    fn first_picture_size(&mut self, number: u8) -> Option<(u32, u32)> {
        let size = self.next_picture(number).ok()?;
        // BOUND: the size stands before the pixels; 64 KB hold every usual header.
        let mut head = vec![0; usize::try_from(size.min(1 << 16)).ok()?];
        self.read(&mut head).ok()?;
        jpeg::size(&head)
    }
}

/// `00dc` or `00db` for stream 0.
fn is_picture(tag: &Tag, number: u8) -> bool {
    let digits = [b'0' + number / 10 % 10, b'0' + number % 10];
    tag[..2] == digits && matches!(&tag[2..], b"dc" | b"db")
}

/// Little-endian fields of a header.
struct Fields([u8; HEADER_MAX]);

impl Fields {
    fn tag(&self, at: usize) -> Tag {
        [self.0[at], self.0[at + 1], self.0[at + 2], self.0[at + 3]]
    }
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.tag(at))
    }
    fn i32(&self, at: usize) -> i32 {
        i32::from_le_bytes(self.tag(at))
    }
}

impl Video {
    /// From `strh`: type, handler, flags, priority and language, initial frames, scale, rate, start, length.
    fn from_stream(number: u8, fields: &Fields) -> Self {
        Self {
            number,
            codec: fields.tag(4),
            rate: checked_rate(u64::from(fields.u32(24)), u64::from(fields.u32(20))),
            frames: fields.u32(32),
            width: 0,
            height: 0,
        }
    }

    /// From `strf`, a BITMAPINFOHEADER: size, width, height, planes and bits, compression.
    fn add_picture(&mut self, fields: &Fields) {
        self.width = fields.i32(4);
        self.height = fields.i32(8);
        // What the pixels are; the handler in `strh` only names a program.
        self.codec = fields.tag(16);
    }
}
