//! The photographs that hang on the wall: which, what they show, and reading them.
//!
//! Thread: main, before the run. Allocates: yes. Syscalls: file reads.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use zune_core::bytestream::ZCursor;
use zune_core::colorspace::ColorSpace;
use zune_core::options::DecoderOptions;

use crate::error::{Fault, Kind, Result};

/// One photograph and the object in it.
#[derive(Clone, Copy, Debug)]
pub struct Exhibit {
    /// Below `photos/` of the models directory.
    pub file: &'static str,
    /// What people call the object.
    pub name: &'static str,
    /// Words that name it in a sentence.
    pub words: &'static [&'static str],
    /// The object's box in the photograph: left, top, right, bottom as fractions, measured by eye.
    pub object: [f64; 4],
}

const WHOLE: [f64; 4] = [0.0, 0.0, 1.0, 1.0];

const fn exhibit(
    file: &'static str,
    name: &'static str,
    words: &'static [&'static str],
    object: [f64; 4],
) -> Exhibit {
    Exhibit {
        file,
        name,
        words,
        object,
    }
}

/// From scikit-image's data sets; a small wall shows the first ones. No submarine among them: it is what the
/// closed-loop test asks for in vain.
pub const EXHIBITS: [Exhibit; 9] = [
    exhibit(
        "chelsea.png",
        "cat",
        &["cat", "kitten"],
        [0.03, 0.0, 0.85, 1.0],
    ),
    exhibit(
        "coffee.png",
        "cup of coffee",
        &["coffee", "cup", "espresso"],
        // The cup with its handle, without the saucer.
        [0.29, 0.04, 0.68, 0.77],
    ),
    exhibit(
        "motorcycle_left.png",
        "motorcycle",
        &["motorcycle", "motorbike"],
        [0.14, 0.16, 0.93, 0.90],
    ),
    exhibit(
        "rocket.jpg",
        "rocket",
        &["rocket", "missile"],
        [0.46, 0.30, 0.53, 0.96],
    ),
    exhibit(
        "astronaut.png",
        "astronaut",
        &["astronaut"],
        [0.05, 0.03, 1.0, 1.0],
    ),
    exhibit(
        "hubble_deep_field.jpg",
        "galaxies",
        &["galaxies", "galaxy"],
        WHOLE,
    ),
    exhibit("retina.jpg", "retina", &["retina"], WHOLE),
    exhibit("ihc.png", "tissue", &["tissue"], WHOLE),
    exhibit("color.png", "colour wheel", &["wheel"], WHOLE),
];

/// A picture of 3 bytes a pixel, rows without padding.
#[derive(Clone, Debug)]
pub struct Photo {
    pub width: usize,
    pub height: usize,
    rgb: Vec<u8>,
}

impl Photo {
    /// Reads a PNG or JPEG file, told apart by the name's ending.
    pub fn open(path: &Path) -> Result<Self> {
        let jpeg = path.extension().is_some_and(|e| e == "jpg");
        let photo = if jpeg {
            Self::read_jpeg(path)
        } else {
            Self::read_png(path)
        };
        photo.map_err(|why| {
            Fault::new(
                Kind::BadInput,
                format!("the photograph {} cannot be read", path.display()),
                why,
                "fetch it again: reflexarc models fetch",
            )
        })
    }

    fn read_jpeg(path: &Path) -> Result<Self, String> {
        let bytes = std::fs::read(path).map_err(|e| e.to_string())?;
        let options = DecoderOptions::default().jpeg_set_out_colorspace(ColorSpace::RGB);
        let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
        let rgb = decoder.decode().map_err(|e| format!("{e:?}"))?;
        let info = decoder.info().ok_or("it has no size")?;
        Self::new(usize::from(info.width), usize::from(info.height), rgb)
    }

    fn read_png(path: &Path) -> Result<Self, String> {
        let file = File::open(path).map_err(|e| e.to_string())?;
        let mut decoder = png::Decoder::new(BufReader::new(file));
        decoder.set_transformations(png::Transformations::normalize_to_color8());
        let mut reader = decoder.read_info().map_err(|e| e.to_string())?;
        let size = reader.output_buffer_size().ok_or("it is too large")?;
        let mut bytes = vec![0; size];
        let info = reader.next_frame(&mut bytes).map_err(|e| e.to_string())?;
        let channels = info.color_type.samples();
        // Transparency is dropped, not blended: the only such photograph has it in its margin.
        let rgb = bytes[..info.buffer_size()]
            .chunks_exact(channels)
            .flat_map(|p| {
                if channels < 3 {
                    [p[0]; 3]
                } else {
                    [p[0], p[1], p[2]]
                }
            })
            .collect();
        Self::new(info.width as usize, info.height as usize, rgb)
    }

    fn new(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self, String> {
        if width < 2 || height < 2 || rgb.len() != width * height * 3 {
            return Err(format!("{width}x{height} pixels, but {} bytes", rgb.len()));
        }
        Ok(Self { width, height, rgb })
    }

    fn pixel(&self, x: usize, y: usize) -> [f32; 3] {
        let at = (y * self.width + x) * 3;
        [0, 1, 2].map(|c| f32::from(self.rgb[at + c]))
    }

    /// The picture at half its size: means of 2x2 pixels.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a mean of bytes is a byte"
    )]
    pub fn halved(&self) -> Self {
        let (width, height) = (self.width / 2, self.height / 2);
        let mut rgb = Vec::with_capacity(width * height * 3);
        for y in 0..height {
            for x in 0..width {
                let four = [(0, 0), (1, 0), (0, 1), (1, 1)]
                    .map(|(dx, dy)| self.pixel(2 * x + dx, 2 * y + dy));
                for c in 0..3 {
                    let sum: f32 = four.iter().map(|p| p[c]).sum();
                    rgb.push((sum / 4.0).round() as u8);
                }
            }
        }
        Self { width, height, rgb }
    }

    /// The colour at a place in pixels (0.5, 0.5 is the centre of the first), bilinear, held at the edges.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to the picture first"
    )]
    pub fn sample(&self, x: f64, y: f64) -> [f32; 3] {
        let split = |at: f64, len: usize| {
            let at = (at - 0.5).clamp(0.0, (len - 1) as f64 - 1e-6);
            (at as usize, at.fract() as f32)
        };
        let (x, fx) = split(x, self.width);
        let (y, fy) = split(y, self.height);
        let mix = |a: [f32; 3], b: [f32; 3], f: f32| [0, 1, 2].map(|c| a[c] + (b[c] - a[c]) * f);
        let top = mix(self.pixel(x, y), self.pixel(x + 1, y), fx);
        let bottom = mix(self.pixel(x, y + 1), self.pixel(x + 1, y + 1), fx);
        mix(top, bottom, fy)
    }
}
