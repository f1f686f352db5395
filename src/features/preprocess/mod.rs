//! From camera frame to the model's input: colour conversion, crop, resize and normalisation in one pass over the
//! frame's bytes.
//!
//! # What is computed
//!
//! For output pixel (i, j) and camera sample plane S (Y, Cb, Cr, or R, G, B):
//! 1. *Crop.* The output grid divides the crop rectangle, which may begin and end inside a pixel, into equal cells.
//! 2. *Resize*, per axis. Shrinking: the exact average of S over the cell; a pixel that is covered in part counts by
//!    that part. Enlarging: linear interpolation between pixel centres, from real pixels outside the crop where
//!    there are any, else from the edge pixel. Subsampled chroma counts as the same value in each of the pixels
//!    that share it.
//! 3. *Colour.* One matrix (BT.601 or BT.709, limited or full range, as the format says) from the averages to RGB,
//!    then clamped to 0..=255.
//! 4. *Normalise.* `(value - mean) / std`.
//!
//! Nothing is rounded to 8 bits on the way. The rows are weighted in 16-bit whole numbers, which is the only rounding
//! that matters: the result is within a thirtieth of an 8-bit step of the exact real number, and an even area
//! keeps its value. All versions give the same sums of rows, and results within a thousandth of a step.
//!
//! The usual chain converts each pixel to 8-bit RGB first. It differs where colours of single pixels are out of
//! range, because it clamps before it averages, and by its rounding: on a photograph by less than a tenth of an 8-bit
//! step on average and at most by two (`tests/preprocess.rs`). Averaging first costs one colour conversion for each
//! output pixel instead of one for each of about forty input pixels, and needs no 6 MB picture in between.
//!
//! # How
//!
//! Two passes over four output rows at a time, first down the columns and then along the rows; `block` explains the
//! layout that makes them fast, `portable` is the version to read, and `passes` the one that instruction sets share.
//! Measured on one core of an AMD EPYC (Zen 4), 1920x1080 YUYV from memory to 224x224: 0.27 ms with AVX-512 and with AVX2,
//! 0.84 portable (SSE2); reading the frame's bytes takes 0.13 and copying them 0.28. In a cache 0.18, 0.24, 0.72; 0.04 and
//! 0.16 (`cargo bench --bench preprocess`).
//!
//! Thread: features. Allocates: in `new`, and for each MJPEG frame. Blocks: no. Locks: no. Syscalls: no.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod block;
mod colour;
mod crop;
mod filter;
mod jpeg;
#[cfg(target_arch = "aarch64")]
mod neon;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
mod passes;
mod portable;

pub use crop::{Crop, Rect};

use block::{BlockRows, Layout, Plane, ROWS, SAMPLES};
use colour::{Finish, ToRgb};
use filter::Axis;
use jpeg::Mjpeg;

use super::FrameView;
use crate::error::{Fault, Kind, Result, StepError};
use crate::frame::{FrameFormat, PixelFormat};
use crate::inference::cuda::tables::Camera;

/// What the model wants: `height` rows of `width` pixels of R, G, B as `(value - mean) / std`, values 0..=255.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct OutputSpec {
    /// Pixels.
    pub width: usize,
    /// Pixels.
    pub height: usize,
    /// Of red, green and blue, in 8-bit steps.
    pub mean: [f32; 3],
    /// Of red, green and blue, in 8-bit steps; above 0.
    pub std: [f32; 3],
}

impl OutputSpec {
    /// Values in the output.
    pub fn len(&self) -> usize {
        self.width * self.height * 3
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Which version of the two passes runs. All compute the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    Portable,
    /// NEON, which every 64-bit ARM processor has.
    Neon,
    /// AVX2 and FMA.
    Avx2,
    /// AVX-512 F and BW.
    Avx512,
}

impl Version {
    /// Those that this processor can run, the fastest last.
    pub fn available() -> impl Iterator<Item = Self> {
        [Self::Portable, Self::Neon, Self::Avx2, Self::Avx512]
            .into_iter()
            .filter(|v| v.runs_here())
    }

    #[cfg(target_arch = "x86_64")]
    fn runs_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Neon => false,
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            Self::Avx512 => {
                is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
            }
        }
    }

    #[cfg(target_arch = "aarch64")]
    fn runs_here(self) -> bool {
        matches!(self, Self::Portable | Self::Neon)
    }

    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    fn runs_here(self) -> bool {
        self == Self::Portable
    }
}

/// Turns frames of one format into one model's input.
#[derive(Debug)]
pub struct Preprocess {
    format: FrameFormat,
    output: OutputSpec,
    version: Version,
    /// Decodes before the passes, for MJPEG.
    mjpeg: Option<Mjpeg>,
    /// What the passes read: the frame's format, or RGB after MJPEG.
    least_bytes: usize,
    planes: Vec<Plane>,
    finish: Finish,
}

impl Preprocess {
    /// Takes all memory for frames of this format.
    ///
    /// # Errors
    /// `Unsupported` when the picture is empty, its stride is shorter than a row, it is more than 255 times as high as
    /// the output; `Config` when the crop or the output is not sensible.
    pub fn new(format: FrameFormat, crop: Crop, output: OutputSpec) -> Result<Self> {
        let fastest = Version::available().last().unwrap_or(Version::Portable);
        Self::with_version(format, crop, output, fastest)
    }

    /// As [`Self::new`], with a chosen version: for tests and benches.
    ///
    /// # Panics
    /// If this processor cannot run that version.
    pub fn with_version(
        format: FrameFormat,
        crop: Crop,
        output: OutputSpec,
        version: Version,
    ) -> Result<Self> {
        assert!(version.runs_here(), "{version:?} on a processor without it");
        check_format(&format)?;
        check_request(&crop, &output)?;
        let (width, height) = (format.width as usize, format.height as usize);
        let decoded = decoded_format(format);
        let [x, y] = crop.intervals(
            [f64::from(format.width), f64::from(format.height)],
            [to_f64(output.width), to_f64(output.height)],
        );
        let x = Axis::new(x, width, output.width);
        let y = Axis::new(y, height, output.height);
        let layouts = layouts(&decoded);
        let planes = layouts
            .iter()
            .map(|layout| Plane::new(layout, &x, &y))
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| too_high(&format, &output))?;
        let to_rgb = ToRgb::new(decoded.pixel, decoded.matrix, decoded.range);
        Ok(Self {
            format,
            output,
            version,
            mjpeg: (format.pixel == PixelFormat::Mjpeg)
                .then(|| Mjpeg::new(width, height, format.frame_bytes())),
            least_bytes: least_bytes(&layouts, height),
            finish: finish(decoded.pixel, &planes, &to_rgb, &output),
            planes,
        })
    }

    /// What the output looks like.
    pub fn output(&self) -> OutputSpec {
        self.output
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// Bytes of a raw frame that one run reads, each counted once.
    pub fn bytes_read(&self) -> usize {
        self.planes.iter().map(Plane::bytes_read).sum()
    }

    /// The same tables for a device that makes the two passes itself, on [`raw`](Self::raw) bytes.
    pub fn for_device(&self) -> Camera {
        Camera {
            width: self.output.width,
            height: self.output.height,
            planes: self
                .planes
                .iter()
                .map(|plane| plane.for_device(self.output.height))
                .collect(),
            factors: self.finish.factors,
            offset: self.finish.offset,
            low: self.finish.low,
            high: self.finish.high,
        }
    }

    /// The bytes that the passes read, decoded if they were MJPEG.
    ///
    /// # Errors
    /// `BadFrame` when the frame is short, of another format, or a damaged JPEG.
    pub fn raw<'a>(&'a mut self, frame: FrameView<'a>) -> Result<&'a [u8], StepError> {
        raw(&mut self.mjpeg, &self.format, self.least_bytes, frame)
    }

    /// Reads the frame into `out`, row by row, R, G, B for each pixel.
    ///
    /// # Errors
    /// `BadFrame` when the frame is short, of another format, or a damaged JPEG; `out` is then unchanged.
    ///
    /// # Panics
    /// If `out` has not [`OutputSpec::len`] values.
    pub fn run(&mut self, frame: FrameView<'_>, out: &mut [f32]) -> Result<(), StepError> {
        assert_eq!(out.len(), self.output.len(), "an output of another size");
        let bytes = raw(&mut self.mjpeg, &self.format, self.least_bytes, frame)?;
        let block_values = ROWS * self.output.width * 3;
        for (block, values) in out.chunks_mut(block_values).enumerate() {
            let out = BlockRows::new(values, self.output.width);
            let (planes, finish) = (&mut self.planes[..], &self.finish);
            match self.version {
                Version::Portable => portable::block(planes, finish, bytes, block, out),
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `with_version` checked that this processor has AVX2 and FMA.
                Version::Avx2 => unsafe { avx2::block(planes, finish, bytes, block, out) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: `with_version` checked that this processor has AVX-512 F and BW.
                Version::Avx512 => unsafe { avx512::block(planes, finish, bytes, block, out) },
                #[cfg(target_arch = "aarch64")]
                // SAFETY: NEON is part of the baseline.
                Version::Neon => unsafe { neon::block(planes, finish, bytes, block, out) },
                #[allow(
                    unreachable_patterns,
                    reason = "which are left depends on the processor"
                )]
                _ => unreachable!("refused by `with_version`"),
            }
        }
        Ok(())
    }
}

/// See [`Preprocess::raw`].
fn raw<'a>(
    mjpeg: &'a mut Option<Mjpeg>,
    format: &FrameFormat,
    least_bytes: usize,
    frame: FrameView<'a>,
) -> Result<&'a [u8], StepError> {
    if frame.meta.format != *format {
        return Err(StepError::BadFrame);
    }
    let bytes = match mjpeg {
        Some(mjpeg) => mjpeg.decode(frame.bytes)?,
        None => frame.bytes,
    };
    if bytes.len() < least_bytes {
        return Err(StepError::BadFrame);
    }
    Ok(bytes)
}

fn check_format(format: &FrameFormat) -> Result<()> {
    let row_bytes = format.pixel.row_bytes(format.width);
    let why = if format.width == 0 || format.height == 0 {
        "a picture needs at least one pixel".to_owned()
    } else if format.stride < row_bytes {
        format!(
            "its rows are {} bytes apart, but a row of {} pixels has {row_bytes}",
            format.stride, format.width
        )
    } else {
        return Ok(());
    };
    Err(Fault::new(
        Kind::Unsupported,
        format!(
            "frames of {} {}x{} cannot be read",
            format.pixel.name(),
            format.width,
            format.height
        ),
        why,
        "choose another size or pixel format of the source",
    ))
}

fn check_request(crop: &Crop, output: &OutputSpec) -> Result<()> {
    // BOUND: far above any vision model's input, and low enough that a typing error is not 100 GB of memory.
    const MAX_SIDE: usize = 8192;
    let side = |n: usize| (1..=MAX_SIDE).contains(&n);
    let why = if let Err(why) = crop.check() {
        why
    } else if !side(output.width) || !side(output.height) {
        format!("the output's width and height must be 1..={MAX_SIDE} pixels")
    } else if !output.mean.iter().all(|m| m.is_finite()) {
        "`mean` must be three finite numbers".to_owned()
    } else if !output.std.iter().all(|s| s.is_finite() && *s > 0.0) {
        "`std` must be three numbers above 0".to_owned()
    } else {
        return Ok(());
    };
    Err(Fault::new(
        Kind::Config,
        format!(
            "the camera's picture cannot be turned into a {}x{} input",
            output.width, output.height
        ),
        why,
        "correct the crop or the model's input in the configuration",
    ))
}

fn too_high(format: &FrameFormat, output: &OutputSpec) -> Fault {
    Fault::new(
        Kind::Unsupported,
        format!(
            "a picture of {} rows cannot be shrunk to {}",
            format.height, output.height
        ),
        "one output row may be made from at most 255 rows of the frame",
        "choose a smaller picture from the source, or a larger output",
    )
}

/// What the passes read: the frame itself, or what the JPEG decoder makes of it.
fn decoded_format(format: FrameFormat) -> FrameFormat {
    match format.pixel {
        PixelFormat::Mjpeg => FrameFormat::packed(PixelFormat::Rgb24, format.width, format.height),
        _ => format,
    }
}

/// The planes of a raw format. A lane's bits say which of the unit's columns its sample belongs to.
fn layouts(format: &FrameFormat) -> Vec<Layout> {
    let first = Layout {
        start: 0,
        stride: format.stride as usize,
        row_bytes: format.pixel.row_bytes(format.width) as usize,
        unit_bytes: 4,
        pixel_rows: 1,
        pixel_columns: 4,
        lanes: [0b0001, 0b0010, 0b0100, 0b1000],
    };
    match format.pixel {
        PixelFormat::Yuyv => vec![Layout {
            pixel_columns: 2,
            lanes: [0b01, 0b11, 0b10, 0b11],
            ..first
        }],
        PixelFormat::Uyvy => vec![Layout {
            pixel_columns: 2,
            lanes: [0b11, 0b01, 0b11, 0b10],
            ..first
        }],
        PixelFormat::Nv12 => vec![
            first,
            Layout {
                start: first.stride * format.height as usize,
                pixel_rows: 2,
                lanes: [0b0011, 0b0011, 0b1100, 0b1100],
                ..first
            },
        ],
        PixelFormat::Grey => vec![first],
        PixelFormat::Rgb24 | PixelFormat::Mjpeg => vec![Layout {
            unit_bytes: 3,
            pixel_columns: 1,
            lanes: [1; SAMPLES],
            ..first
        }],
    }
}

/// Bytes up to the end of the last row; the padding after it may be missing.
fn least_bytes(layouts: &[Layout], height: usize) -> usize {
    let end = |l: &Layout| l.start + (height.div_ceil(l.pixel_rows) - 1) * l.stride + l.row_bytes;
    layouts.iter().map(end).max().unwrap_or(0)
}

/// Which sample of (Y, Cb, Cr) or (R, G, B) each lane of each plane carries; None is an unused lane.
fn samples(pixel: PixelFormat) -> [[Option<usize>; SAMPLES]; 2] {
    const Y: Option<usize> = Some(0);
    const CB: Option<usize> = Some(1);
    const CR: Option<usize> = Some(2);
    let none = [None; SAMPLES];
    match pixel {
        PixelFormat::Yuyv => [[Y, CB, Y, CR], none],
        PixelFormat::Uyvy => [[CB, Y, CR, Y], none],
        PixelFormat::Nv12 => [[Y; SAMPLES], [CB, CR, CB, CR]],
        PixelFormat::Grey => [[Y; SAMPLES], none],
        PixelFormat::Rgb24 | PixelFormat::Mjpeg => [[Some(0), Some(1), Some(2), None], none],
    }
}

/// Folds the filters' gains, the colour matrix and the normalisation into one map.
fn finish(pixel: PixelFormat, planes: &[Plane], to_rgb: &ToRgb, output: &OutputSpec) -> Finish {
    let pad = |value: &dyn Fn(usize) -> f64| -> [f32; SAMPLES] {
        std::array::from_fn(|c| if c < 3 { to_f32(value(c)) } else { 0.0 })
    };
    let (mean, std) = (output.mean.map(f64::from), output.std.map(f64::from));
    let samples = samples(pixel);
    let factor = |plane: usize, lane: usize| match (planes.get(plane), samples[plane][lane]) {
        (Some(plane), Some(sample)) => {
            pad(&|c| to_rgb.factors[c][sample] / plane.gain[lane] / std[c])
        }
        _ => [0.0; SAMPLES],
    };
    Finish {
        factors: std::array::from_fn(|plane| std::array::from_fn(|lane| factor(plane, lane))),
        offset: pad(&|c| (to_rgb.offset[c] - mean[c]) / std[c]),
        low: pad(&|c| (0.0 - mean[c]) / std[c]),
        high: pad(&|c| (255.0 - mean[c]) / std[c]),
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^53"
)]
fn to_f64(n: usize) -> f64 {
    n as f64
}

#[expect(clippy::cast_possible_truncation, reason = "the passes work in f32")]
fn to_f32(x: f64) -> f32 {
    x as f32
}
