//! YUV4MPEG2 files (`.y4m`), as mjpegtools and ffmpeg write them: a line of text, then frames, each a line and
//! the planes Y, U, V.
//!
//! 4:2:0 becomes NV12 and 4:2:2 becomes YUYV while reading, because the planes' halves are interleaved there;
//! luma is read straight into the slot.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::path::Path;

use super::clip::{Clip, Found, checked_rate, checked_size, seek, usual_matrix};
use crate::error::{Fault, Kind, Result};
use crate::frame::{FrameFormat, PixelFormat, Range};
use crate::units::Hertz;

/// What every file begins with.
pub(super) const MAGIC: &[u8] = b"YUV4MPEG2";
// BOUND: a header has about 100 bytes and room for comments; a line without end is no Y4M file.
const LINE_MAX: u64 = 4096;
/// "FRAME" and its line feed, without parameters.
const FRAME_LINE_BYTES: u64 = 6;

/// How chroma is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chroma {
    Half,
    Quarter,
    None,
}

/// A Y4M file that is being read.
#[derive(Debug)]
pub(super) struct Y4m {
    file: BufReader<File>,
    format: FrameFormat,
    chroma: Chroma,
    rate: Hertz,
    /// Where the first frame's line begins.
    first: u64,
    /// Where the next frame's line begins.
    next: u64,
    /// Bytes of the file when it was opened.
    len: u64,
    /// Bytes of one frame's planes in the file.
    plane_bytes: u64,
    /// The file ended within a frame.
    cut_off: bool,
    /// U and V (4:2:0), or all planes (4:2:2), before they are interleaved.
    scratch: Vec<u8>,
}

impl Y4m {
    /// Reads the header. `file` stands at its beginning.
    pub fn open(path: &Path, file: File) -> Result<Self> {
        let refuse = |kind: Kind, why: String, fix: &str| {
            Fault::new(kind, format!("{} cannot be read", path.display()), why, fix)
        };
        let io = |e: std::io::Error| refuse(Kind::BadInput, e.to_string(), "check the disk");
        let len = file.metadata().map_err(io)?.len();
        let mut file = BufReader::with_capacity(1 << 18, file);
        let line = read_line(&mut file).ok_or_else(|| {
            refuse(
                Kind::BadInput,
                "its Y4M header has no end".to_owned(),
                "the file is damaged: record or convert it again",
            )
        })?;
        let header = Header::parse(&line).map_err(|(kind, why)| {
            refuse(
                kind,
                why,
                "convert it with `ffmpeg -i FILE -pix_fmt yuv420p OUT.y4m`",
            )
        })?;
        let first = line.len() as u64 + 1;
        let (format, plane_bytes) = header.layout();
        if len < first + FRAME_LINE_BYTES + plane_bytes {
            return Err(refuse(
                Kind::BadInput,
                format!(
                    "its header promises {}x{} pixels, but the file is too short for one frame",
                    format.width, format.height
                ),
                "the file is cut off or its header is damaged: record or convert it again",
            ));
        }
        let scratch = match header.chroma {
            Chroma::None => 0,
            Chroma::Quarter => plane_bytes - u64::from(format.width) * u64::from(format.height),
            Chroma::Half => plane_bytes,
        };
        Ok(Self {
            file,
            format,
            chroma: header.chroma,
            rate: header.rate,
            first,
            next: first,
            len,
            plane_bytes,
            cut_off: false,
            scratch: vec![0; usize::try_from(scratch).expect("bounded by SIDE_MAX")],
        })
    }

    /// Finds the next frame's planes. None when they are there; otherwise what is there instead.
    fn seek_frame(&mut self) -> Option<Found> {
        let end = |words: &str| Some(Found::End(Some(words.to_owned())));
        if self.next >= self.len {
            let why = self.cut_off.then(|| "its last frame is cut off".to_owned());
            return Some(Found::End(why));
        }
        if seek(&mut self.file, self.next).is_err() {
            return end("the file could not be read to its end");
        }
        let Some(line) = read_line(&mut self.file) else {
            return Some(self.cut_off());
        };
        if line != b"FRAME" && !line.starts_with(b"FRAME ") {
            // All frames have the same size, so a damaged line costs one frame; two in a row are not Y4M any more.
            let skipped = self.next + FRAME_LINE_BYTES + self.plane_bytes;
            self.next = skipped;
            return match self.is_frame_at(skipped) {
                true => Some(Found::Damaged),
                false => end("the file is damaged: no further frame was found"),
            };
        }
        self.next += line.len() as u64 + 1 + self.plane_bytes;
        if self.next > self.len {
            return Some(self.cut_off());
        }
        None
    }

    /// The frame that began is counted as damaged, and the next call says that the file ends.
    fn cut_off(&mut self) -> Found {
        self.cut_off = true;
        self.next = self.len;
        Found::Damaged
    }

    fn is_frame_at(&mut self, position: u64) -> bool {
        position >= self.len
            || (seek(&mut self.file, position).is_ok()
                && read_line(&mut self.file).is_some_and(|line| line.starts_with(b"FRAME")))
    }

    fn read_planes(&mut self, out: &mut [u8]) -> std::io::Result<()> {
        let FrameFormat {
            width,
            height,
            stride,
            ..
        } = self.format;
        let (width, height, stride) = (width as usize, height as usize, stride as usize);
        if self.chroma == Chroma::Half {
            self.file.read_exact(&mut self.scratch)?;
            pack_yuyv(&self.scratch, width, height, out);
            return Ok(());
        }
        let (luma, rest) = out.split_at_mut(stride * height);
        for row in luma.chunks_exact_mut(stride) {
            self.file.read_exact(&mut row[..width])?;
        }
        if self.chroma == Chroma::Quarter {
            self.file.read_exact(&mut self.scratch)?;
            interleave(&self.scratch, stride, rest);
        }
        Ok(())
    }
}

impl Clip for Y4m {
    fn kind(&self) -> String {
        "Y4M".to_owned()
    }

    fn format(&self) -> FrameFormat {
        self.format
    }

    fn rate(&self) -> Option<Hertz> {
        Some(self.rate)
    }

    fn read(&mut self, out: &mut [u8]) -> Found {
        if let Some(found) = self.seek_frame() {
            return found;
        }
        match self.read_planes(out) {
            Ok(()) => Found::Frame {
                bytes: self.format.frame_bytes(),
            },
            // The file became shorter while it was read.
            Err(e) if e.kind() == ErrorKind::UnexpectedEof => self.cut_off(),
            Err(e) => Found::End(Some(format!("the file could not be read to its end: {e}"))),
        }
    }

    fn skip(&mut self) -> Found {
        self.seek_frame().unwrap_or(Found::Frame { bytes: 0 })
    }

    fn rewind(&mut self) -> Result<(), String> {
        self.next = self.first;
        Ok(())
    }
}

/// What the first line says.
#[derive(Debug)]
struct Header {
    width: u32,
    height: u32,
    rate: Hertz,
    chroma: Chroma,
    range: Range,
}

impl Header {
    fn parse(line: &[u8]) -> Result<Self, (Kind, String)> {
        let damaged = |what: &str| {
            (
                Kind::BadInput,
                format!("its Y4M header has no usable {what}"),
            )
        };
        let text = std::str::from_utf8(line).map_err(|_| damaged("text"))?;
        let (mut width, mut height, mut rate) = (None, None, None);
        let mut chroma = Chroma::Quarter;
        let mut range = Range::Limited;
        for field in text.split(' ').skip(1).filter(|field| !field.is_empty()) {
            let (tag, value) = field.split_at(field.chars().next().map_or(0, char::len_utf8));
            match tag {
                "W" => width = value.parse().ok(),
                "H" => height = value.parse().ok(),
                "F" => rate = value.split_once(':').and_then(fraction),
                "C" => chroma = Chroma::parse(value).map_err(|why| (Kind::Unsupported, why))?,
                "X" if value.eq_ignore_ascii_case("COLORRANGE=FULL") => range = Range::Full,
                // Interlacing, pixel aspect and comments change nothing here.
                _ => {}
            }
        }
        let (width, height) = width
            .zip(height)
            .and_then(|(w, h)| checked_size(w, h))
            .ok_or_else(|| damaged("size (1 to 8192 pixels a side)"))?;
        Ok(Self {
            width,
            height,
            rate: rate.ok_or_else(|| damaged("frame rate"))?,
            chroma,
            range,
        })
    }

    /// The frames' format, and the bytes of a frame's planes in the file.
    fn layout(&self) -> (FrameFormat, u64) {
        let (width, height) = (u64::from(self.width), u64::from(self.height));
        let half = width.div_ceil(2);
        let (pixel, chroma) = match self.chroma {
            Chroma::Quarter => (PixelFormat::Nv12, 2 * half * height.div_ceil(2)),
            Chroma::Half => (PixelFormat::Yuyv, 2 * half * height),
            Chroma::None => (PixelFormat::Grey, 0),
        };
        let mut format = FrameFormat::packed(pixel, self.width, self.height);
        if pixel == PixelFormat::Nv12 {
            // A row of UV pairs is one byte longer than an odd row of luma.
            format.stride = self.width.next_multiple_of(2);
        }
        format.matrix = usual_matrix(self.width, self.height);
        format.range = self.range;
        (format, width * height + chroma)
    }
}

fn fraction((numerator, denominator): (&str, &str)) -> Option<Hertz> {
    checked_rate(numerator.parse().ok()?, denominator.parse().ok()?)
}

impl Chroma {
    fn parse(tag: &str) -> Result<Self, String> {
        match tag {
            "420" | "420jpeg" | "420mpeg2" | "420paldv" => Ok(Self::Quarter),
            "422" => Ok(Self::Half),
            "mono" => Ok(Self::None),
            _ => Err(format!(
                "its pixels are stored as `C{tag}`; C420, C422 and Cmono with 8 bits can be read"
            )),
        }
    }
}

/// A line without its line feed; None if there is none within [`LINE_MAX`] bytes.
fn read_line(file: &mut BufReader<File>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    file.take(LINE_MAX).read_until(b'\n', &mut line).ok()?;
    (line.pop() == Some(b'\n')).then_some(line)
}

/// Planes of U and V, one after the other, to rows of UV pairs.
fn interleave(planes: &[u8], stride: usize, out: &mut [u8]) {
    let (u, v) = planes.split_at(planes.len() / 2);
    let half = stride / 2;
    for (row, (u, v)) in out
        .chunks_exact_mut(stride)
        .zip(u.chunks_exact(half).zip(v.chunks_exact(half)))
    {
        for (pair, (u, v)) in row.as_chunks_mut::<2>().0.iter_mut().zip(u.iter().zip(v)) {
            *pair = [*u, *v];
        }
    }
}

/// Planes of Y, U and V with 4:2:2 to YUYV. The last pixel of an odd row is stored twice.
fn pack_yuyv(planes: &[u8], width: usize, height: usize, out: &mut [u8]) {
    let half = width.div_ceil(2);
    let (luma, chroma) = planes.split_at(width * height);
    let (u, v) = chroma.split_at(half * height);
    for (y, row) in out.chunks_exact_mut(half * 4).take(height).enumerate() {
        let luma = &luma[y * width..][..width];
        let (u, v) = (&u[y * half..][..half], &v[y * half..][..half]);
        for (x, pair) in row.as_chunks_mut::<4>().0.iter_mut().enumerate() {
            let second = (2 * x + 1).min(width - 1);
            *pair = [luma[2 * x], u[x], luma[second], v[x]];
        }
    }
}
