//! What a file of frames can do, whatever its container: tell its format, read, skip, begin again.
//!
//! Thread: opened on main, read on the loader's thread. Allocates, blocks: yes.

use std::fs::File;
use std::io::{BufReader, Seek};

use crate::frame::{FrameFormat, Matrix};
use crate::units::Hertz;

/// Pixels of a side, at most. A damaged header must not ask for all memory.
pub(super) const SIDE_MAX: u32 = 8192;

/// What reading found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// A frame of this many bytes.
    Frame { bytes: usize },
    /// The recording itself says that a frame is missing here.
    Missing,
    /// A frame whose bytes are unusable; the next one may be good.
    Damaged,
    /// No more frames; with the reason where it is not simply the end.
    End(Option<String>),
}

/// A file of frames.
pub(super) trait Clip: Send {
    /// A few words for people: `MJPEG in AVI`.
    fn kind(&self) -> String;

    fn format(&self) -> FrameFormat;

    /// Frames a second by the file's own word; None for a folder of pictures.
    fn rate(&self) -> Option<Hertz>;

    /// Reads the next frame into `out`, which has at least `format().frame_bytes()` bytes.
    fn read(&mut self, out: &mut [u8]) -> Found;

    /// As `read`, but the frame is not wanted.
    fn skip(&mut self) -> Found;

    /// Begins again with the first frame.
    fn rewind(&mut self) -> Result<(), String>;
}

/// The matrix of a video that does not say: BT.709 for HD, BT.601 below, as video players assume.
pub(super) fn usual_matrix(width: u32, height: u32) -> Matrix {
    if width >= 1280 || height > 576 {
        Matrix::Bt709
    } else {
        Matrix::Bt601
    }
}

/// None unless both sides are 1 to [`SIDE_MAX`] pixels.
pub(super) fn checked_size(width: u64, height: u64) -> Option<(u32, u32)> {
    let side = |pixels: u64| {
        let pixels = u32::try_from(pixels).ok()?;
        (1..=SIDE_MAX).contains(&pixels).then_some(pixels)
    };
    Some((side(width)?, side(height)?))
}

/// A rate given as a fraction; None unless it is a sensible one (0.001 Hz to 10 kHz).
#[expect(clippy::cast_precision_loss, reason = "rates are far below 2^53")]
pub(super) fn checked_rate(numerator: u64, denominator: u64) -> Option<Hertz> {
    let rate = numerator as f64 / denominator as f64;
    (0.001..=10_000.0)
        .contains(&rate)
        .then(|| Hertz::new(rate))
        .flatten()
}

/// Moves to a position, and keeps what has been read ahead if it is near.
pub(super) fn seek(file: &mut BufReader<File>, position: u64) -> std::io::Result<()> {
    let here = file.stream_position()?;
    file.seek_relative(position.cast_signed().saturating_sub(here.cast_signed()))
}
