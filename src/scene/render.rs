//! The camera's view of the wall, as bytes of a frame.
//!
//! The exact way from a picture's point to the wall (pinhole, tilt, pan, cylinder) is computed for the corners of
//! 32x32 tiles; inside a tile the wall's coordinates are interpolated in 16.16 fixed point, which is off by less
//! than 0.1 pixel. Each pixel is the nearest one of the wall, which is painted at the picture's own scale.
//!
//! Thread: world. Allocates: in `new`. Blocks: no. Locks: no. Syscalls: no.

use super::wall::Wall;
use crate::frame::{FrameFormat, PixelFormat};
use crate::lens::{Lens, Pose};
use crate::rt::prefetch::prefetch;

/// Pixels of a tile's side. A power of two: steps are shifts.
const TILE: usize = 32;
const TILE_SHIFT: u32 = 5;
/// Rows of the wall ahead that are asked for: at 2 us a row, more than memory takes to answer. Without it a frame takes 5 ms
/// in place of 2, since between two frames the wall leaves the caches, and its rows are too far apart for the processor to guess.
const ROWS_AHEAD: usize = 8;

/// Renders frames of one format.
#[derive(Clone, Debug)]
pub struct Renderer {
    lens: Lens,
    format: FrameFormat,
    /// Tiles across, the last one perhaps partly outside the picture.
    columns: usize,
    /// For each corner of a tile: the wall's pixel, 16.16.
    corners: Vec<[i32; 2]>,
    /// One row in YUYV, from which the other formats are made.
    row: Vec<u8>,
}

impl Renderer {
    /// For any format but MJPEG (there it renders YUYV), without row padding.
    pub fn new(lens: Lens, format: FrameFormat) -> Self {
        let (width, height) = (format.width as usize, format.height as usize);
        let columns = width.div_ceil(TILE);
        Self {
            lens,
            format,
            columns,
            corners: vec![[0; 2]; (columns + 1) * (height.div_ceil(TILE) + 1)],
            row: vec![0; PixelFormat::Yuyv.row_bytes(format.width) as usize],
        }
    }

    /// Renders what a camera in this pose sees.
    ///
    /// # Panics
    /// If `out` is shorter than the format's frame.
    pub fn render(&mut self, wall: &Wall, pose: Pose, out: &mut [u8]) {
        self.place_corners(wall, pose);
        let stride = self.format.stride as usize;
        let height = self.format.height as usize;
        let (plane, chroma) = out.split_at_mut(stride * height);
        let mut row = std::mem::take(&mut self.row);
        for (y, line) in plane.chunks_exact_mut(stride).enumerate() {
            match self.format.pixel {
                PixelFormat::Yuyv | PixelFormat::Mjpeg => self.sample_row(wall, y, line),
                other => {
                    self.sample_row(wall, y, &mut row);
                    convert_row(other, &row, line);
                    if other == PixelFormat::Nv12 && y % 2 == 0 {
                        let start = y / 2 * stride;
                        take_chroma(&row, &mut chroma[start..start + stride]);
                    }
                }
            }
        }
        self.row = row;
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "the wall's pixels stay below 32768, so 16.16 fits; pictures are small"
    )]
    fn place_corners(&mut self, wall: &Wall, pose: Pose) {
        let (width, height) = (f64::from(self.format.width), f64::from(self.format.height));
        for (index, corner) in self.corners.iter_mut().enumerate() {
            let column = (index % (self.columns + 1)) * TILE;
            let line = (index / (self.columns + 1)) * TILE;
            let at = [
                (column as f64 + 0.5) / width - 0.5,
                (line as f64 + 0.5) / height - 0.5,
            ];
            let [right, up, ahead] = self.lens.ray(pose.tilt, at);
            let u = pose.pan + right.atan2(ahead);
            let v = -up / right.hypot(ahead);
            *corner = wall.pixel(u, v).map(|p| (p * 65536.0) as i32);
        }
    }

    /// One row of the picture in YUYV. Corners lie in the wall, so all that is interpolated between them does.
    fn sample_row(&self, wall: &Wall, y: usize, line: &mut [u8]) {
        let (luma, chroma, width) = (wall.luma(), wall.chroma(), wall.width());
        let above = y / TILE * (self.columns + 1);
        let below = above + self.columns + 1;
        let part = i32::try_from(y % TILE).unwrap_or(0);
        let edge = |column: usize| {
            let (a, b) = (self.corners[above + column], self.corners[below + column]);
            [0, 1].map(|i| a[i] + ((b[i] - a[i]) >> TILE_SHIFT) * part)
        };
        let mut left = edge(0);
        for (column, tile) in line.chunks_mut(TILE * 2).enumerate() {
            let right = edge(column + 1);
            let [mut u, mut v] = left;
            let du = (right[0] - u) >> TILE_SHIFT;
            let dv = (right[1] - v) >> (TILE_SHIFT - 1);
            let ahead = row_start(v, width) + ROWS_AHEAD * width + column_of(u);
            prefetch(luma.as_ptr().wrapping_add(ahead));
            prefetch(chroma.as_ptr().wrapping_add(ahead / 2).cast());
            for pair in tile.chunks_exact_mut(4) {
                // Both pixels of a pair come from the row of the first: it is off by at most a third of a pixel.
                let row = row_start(v, width);
                let first = row.wrapping_add(column_of(u));
                u = u.wrapping_add(du);
                let second = row.wrapping_add(column_of(u));
                u = u.wrapping_add(du);
                v = v.wrapping_add(dv);
                let [blue, red] = chroma[first / 2];
                pair.copy_from_slice(&[luma[first], blue, luma[second], red]);
            }
            left = right;
        }
    }
}

/// Where a row of the wall begins, from a 16.16 coordinate of at least 0.
#[expect(clippy::cast_sign_loss, reason = "coordinates lie in the wall")]
fn row_start(v: i32, width: usize) -> usize {
    ((v as u32 >> 16) as usize).wrapping_mul(width)
}

/// The column of a pixel of the wall, from a 16.16 coordinate of at least 0.
#[expect(clippy::cast_sign_loss, reason = "coordinates lie in the wall")]
fn column_of(u: i32) -> usize {
    (u as u32 >> 16) as usize
}

/// One row of another format (of its first plane) from a row of YUYV.
fn convert_row(format: PixelFormat, yuyv: &[u8], line: &mut [u8]) {
    match format {
        PixelFormat::Uyvy => {
            for (out, p) in line.chunks_exact_mut(2).zip(yuyv.chunks_exact(2)) {
                out.copy_from_slice(&[p[1], p[0]]);
            }
        }
        PixelFormat::Nv12 => {
            for (out, p) in line.iter_mut().zip(yuyv.chunks_exact(2)) {
                *out = p[0];
            }
        }
        PixelFormat::Grey => {
            for (out, p) in line.iter_mut().zip(yuyv.chunks_exact(2)) {
                *out = full_range(p[0]);
            }
        }
        PixelFormat::Rgb24 => {
            for (out, p) in line.chunks_exact_mut(6).zip(yuyv.chunks_exact(4)) {
                out[..3].copy_from_slice(&rgb(p[0], p[1], p[3]));
                out[3..].copy_from_slice(&rgb(p[2], p[1], p[3]));
            }
        }
        PixelFormat::Yuyv | PixelFormat::Mjpeg => line.copy_from_slice(yuyv),
    }
}

/// NV12's second plane: U and V of a row.
fn take_chroma(yuyv: &[u8], line: &mut [u8]) {
    for (out, p) in line.chunks_exact_mut(2).zip(yuyv.chunks_exact(4)) {
        out.copy_from_slice(&[p[1], p[3]]);
    }
}

/// Luma 16 ..= 235 stretched to 0 ..= 255.
fn full_range(luma: u8) -> u8 {
    byte((i32::from(luma) - 16) * 76309)
}

/// ITU-R BT.601, limited range, to R, G, B; factors times 65536.
fn rgb(y: u8, u: u8, v: u8) -> [u8; 3] {
    let y = (i32::from(y) - 16) * 76309;
    let (u, v) = (i32::from(u) - 128, i32::from(v) - 128);
    [
        byte(y + 104_597 * v),
        byte(y - 25_675 * u - 53_279 * v),
        byte(y + 132_201 * u),
    ]
}

/// A 16.16 number rounded into a byte.
#[expect(clippy::cast_sign_loss, reason = "clamped to a byte first")]
fn byte(fixed: i32) -> u8 {
    ((fixed + 32768) >> 16).clamp(0, 255) as u8
}
