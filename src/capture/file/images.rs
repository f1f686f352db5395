//! A folder of JPEG and PNG pictures in the order in which a person would count them, or a single picture.
//!
//! All become RGB24. All must have one size, because a source has one format from start to end.

use std::cmp::Ordering;
use std::fs::{self, File};
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use super::clip::{Clip, Found, SIDE_MAX, checked_size};
use super::jpeg;
use crate::error::{Fault, Kind, Result};
use crate::frame::{FrameFormat, PixelFormat};
use crate::units::Hertz;

/// What every PNG begins with.
pub(super) const PNG_START: [u8; 8] = *b"\x89PNG\r\n\x1a\n";
// BOUND: the largest picture, 8192x8192 with 16 bits and 4 channels, stored without compression.
const FILE_MAX: u64 = 512 << 20;
// BOUND: a JPEG's headers (camera data, thumbnail, colour profile) up to its size.
const JPEG_HEAD_MAX: u64 = 1 << 20;

/// Pictures that are read one after the other.
#[derive(Debug)]
pub(super) struct Images {
    files: Vec<PathBuf>,
    next: usize,
    format: FrameFormat,
    /// The bytes of a JPEG file.
    jpeg: Vec<u8>,
    /// The rows of a PNG before they become RGB.
    rows: Vec<u8>,
}

/// True if the file begins as a picture that this module reads.
pub(super) fn is_picture(head: &[u8]) -> bool {
    head.starts_with(&jpeg::START) || head.starts_with(&PNG_START)
}

impl Images {
    /// All pictures of a folder. Reads the headers of every one.
    pub fn open_folder(folder: &Path) -> Result<Self> {
        let mut files = list(folder).map_err(|e| {
            Fault::from_io(
                format!("the folder {} cannot be listed", folder.display()),
                &e,
                Kind::BadInput,
                "check its permissions",
            )
        })?;
        if files.is_empty() {
            return Err(Fault::new(
                Kind::BadInput,
                format!("the folder {} cannot be used as a source", folder.display()),
                "it has no file that ends in .jpg, .jpeg or .png",
                "put pictures of one size into it, or name another folder",
            ));
        }
        files.sort_by(|a, b| natural_order(name(a), name(b)));
        Self::open(files)
    }

    /// One picture, as a recording of one frame.
    pub fn open_picture(file: &Path) -> Result<Self> {
        Self::open(vec![file.to_owned()])
    }

    fn open(files: Vec<PathBuf>) -> Result<Self> {
        let mut first = None;
        for file in &files {
            let size = size_of(file).map_err(|why| {
                Fault::new(
                    Kind::BadInput,
                    format!("{} cannot be read", file.display()),
                    why,
                    "remove it from the folder or replace it",
                )
            })?;
            let (width, height) = *first.get_or_insert(size);
            if size != (width, height) {
                return Err(Fault::new(
                    Kind::Unsupported,
                    "the pictures of the folder have different sizes",
                    format!(
                        "{} is {width}x{height}, {} is {}x{}",
                        files[0].display(),
                        file.display(),
                        size.0,
                        size.1
                    ),
                    "scale them to one size, such as with `ffmpeg -i IN -vf scale=640:480 OUT`",
                ));
            }
        }
        let (width, height) = first.expect("the list has a picture");
        Ok(Self {
            files,
            next: 0,
            format: FrameFormat::packed(PixelFormat::Rgb24, width, height),
            jpeg: Vec::new(),
            rows: Vec::new(),
        })
    }

    fn decode(&mut self, file: &Path, out: &mut [u8]) -> Option<()> {
        let out = out.get_mut(..self.format.frame_bytes())?;
        let mut file = File::open(file).ok()?;
        self.jpeg.clear();
        (&mut file)
            .take(FILE_MAX)
            .read_to_end(&mut self.jpeg)
            .ok()?;
        if self.jpeg.starts_with(&jpeg::START) {
            jpeg::decode_rgb(&self.jpeg, out)
        } else {
            let size = (self.format.width, self.format.height);
            decode_png(&self.jpeg, size, &mut self.rows, out)
        }
    }
}

impl Clip for Images {
    fn kind(&self) -> String {
        format!("{} JPEG or PNG pictures", self.files.len())
    }

    fn format(&self) -> FrameFormat {
        self.format
    }

    fn rate(&self) -> Option<Hertz> {
        None
    }

    fn read(&mut self, out: &mut [u8]) -> Found {
        let Some(file) = self.files.get(self.next).cloned() else {
            return Found::End(None);
        };
        self.next += 1;
        match self.decode(&file, out) {
            Some(()) => Found::Frame {
                bytes: self.format.frame_bytes(),
            },
            None => Found::Damaged,
        }
    }

    fn skip(&mut self) -> Found {
        if self.next >= self.files.len() {
            return Found::End(None);
        }
        self.next += 1;
        Found::Frame { bytes: 0 }
    }

    fn rewind(&mut self) -> Result<(), String> {
        self.next = 0;
        Ok(())
    }
}

fn list(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let hidden = name(&path).starts_with(b".");
        let picture = path.extension().is_some_and(|e| {
            ["jpg", "jpeg", "png"]
                .iter()
                .any(|known| e.eq_ignore_ascii_case(known))
        });
        if picture && !hidden && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

fn name(path: &Path) -> &[u8] {
    path.file_name().unwrap_or_default().as_encoded_bytes()
}

/// `frame2` before `frame10`: runs of digits compare as numbers of any length, everything else byte by byte.
/// Numbers that differ only in leading zeros compare by length, so that the order is total.
fn natural_order(a: &[u8], b: &[u8]) -> Ordering {
    let (mut rest_a, mut rest_b) = (a, b);
    loop {
        let (x, y) = match (rest_a.first(), rest_b.first()) {
            (Some(x), Some(y)) => (*x, *y),
            _ => return rest_a.len().cmp(&rest_b.len()).then_with(|| a.cmp(b)),
        };
        if x.is_ascii_digit() && y.is_ascii_digit() {
            let (number_a, tail_a) = split_number(rest_a);
            let (number_b, tail_b) = split_number(rest_b);
            let order = number_a
                .len()
                .cmp(&number_b.len())
                .then_with(|| number_a.cmp(number_b));
            if order != Ordering::Equal {
                return order;
            }
            (rest_a, rest_b) = (tail_a, tail_b);
        } else if x == y {
            (rest_a, rest_b) = (&rest_a[1..], &rest_b[1..]);
        } else {
            return x.cmp(&y);
        }
    }
}

/// The digits in front, without leading zeros, and what follows.
fn split_number(text: &[u8]) -> (&[u8], &[u8]) {
    let digits = text.iter().take_while(|c| c.is_ascii_digit()).count();
    let (number, tail) = text.split_at(digits);
    let zeros = number.iter().take_while(|c| **c == b'0').count();
    (&number[zeros..], tail)
}

/// Width and height from the header, or why not.
fn size_of(path: &Path) -> Result<(u32, u32), String> {
    let words = |e: std::io::Error| e.to_string();
    let mut head = Vec::new();
    File::open(path)
        .map_err(words)?
        .take(JPEG_HEAD_MAX)
        .read_to_end(&mut head)
        .map_err(words)?;
    let size = if head.starts_with(&jpeg::START) {
        jpeg::size(&head)
    } else if head.starts_with(&PNG_START) {
        png_size(&head)
    } else {
        return Err("it is neither a JPEG nor a PNG picture".to_owned());
    };
    size.ok_or_else(|| {
        format!("its header is damaged, or the picture is larger than {SIDE_MAX}x{SIDE_MAX}")
    })
}

fn png_size(head: &[u8]) -> Option<(u32, u32)> {
    let mut decoder = png::Decoder::new(std::io::Cursor::new(head));
    let info = decoder.read_header_info().ok()?;
    checked_size(u64::from(info.width), u64::from(info.height))
}

fn decode_png(bytes: &[u8], size: (u32, u32), rows: &mut Vec<u8>, out: &mut [u8]) -> Option<()> {
    let mut decoder = png::Decoder::new(BufReader::new(std::io::Cursor::new(bytes)));
    // Palettes and small depths become 8 bits; what remains is grey or RGB, with or without alpha.
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    let mut reader = decoder.read_info().ok()?;
    if (reader.info().width, reader.info().height) != size {
        return None;
    }
    rows.resize(reader.output_buffer_size()?, 0);
    let info = reader.next_frame(rows).ok()?;
    let pixels = &rows[..info.buffer_size()];
    let channels = match info.color_type {
        png::ColorType::Grayscale => 1,
        png::ColorType::GrayscaleAlpha => 2,
        png::ColorType::Rgb => 3,
        png::ColorType::Rgba => 4,
        png::ColorType::Indexed => return None,
    };
    // Alpha is dropped, not blended: a camera's picture has none, and what it would be blended with is unknown.
    for (rgb, pixel) in out
        .as_chunks_mut::<3>()
        .0
        .iter_mut()
        .zip(pixels.chunks_exact(channels))
    {
        *rgb = match channels {
            1 | 2 => [pixel[0]; 3],
            _ => [pixel[0], pixel[1], pixel[2]],
        };
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_sort_as_a_person_counts() {
        let mut names = [
            "b1",
            "a10",
            "a2",
            "a01",
            "a1",
            "a",
            "a2b",
            "a2a10",
            "a2a9",
            "10",
            "9",
            "a99999999999999999999999",
        ];
        names.sort_by(|a, b| natural_order(a.as_bytes(), b.as_bytes()));
        assert_eq!(
            names,
            [
                "9",
                "10",
                "a",
                "a01",
                "a1",
                "a2",
                "a2a9",
                "a2a10",
                "a2b",
                "a10",
                "a99999999999999999999999",
                "b1"
            ]
        );
    }

    #[test]
    fn the_order_of_names_is_total() {
        let names = ["a1", "a01", "a001", "a1b", "a01a", "", "0", "00", "a"];
        for a in names {
            for b in names {
                let (ab, ba) = (
                    natural_order(a.as_bytes(), b.as_bytes()),
                    natural_order(b.as_bytes(), a.as_bytes()),
                );
                assert_eq!(ab, ba.reverse(), "{a} {b}");
                assert_eq!(ab == Ordering::Equal, a == b, "{a} {b}");
            }
        }
    }
}
