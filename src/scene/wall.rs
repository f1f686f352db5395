//! The wall: photographs in two rows on the inside of a cylinder around the camera, ready to be sampled.
//!
//! A point of the wall is `u`, the angle around the cylinder in radian (pan), and `v`, the height below the
//! camera in radii. The wall is painted in YCbCr 4:2:2 (BT.601, limited range) at the scale of the camera's picture, so
//! that a frame can be sampled from it without a filter.
//!
//! Thread: main, before the run; then read only. Allocates: yes.

use std::path::Path;

use super::config::SceneConfig;
use super::dice::Dice;
use super::photo::{EXHIBITS, Exhibit, Photo};
use crate::error::Result;
use crate::lens::Pose;

/// Share of the picture's height that a photograph fills when it is centred.
const PHOTO_HEIGHT: f64 = 0.55;
/// The widest photograph, in heights: it sets the pitch of the columns.
const PHOTO_ASPECT_MAX: f64 = 1.52;
/// Between photographs, in photograph heights, across and down.
const GAP: [f64; 2] = [0.38, 0.28];
/// How far a photograph may hang off its place, in photograph heights.
const DISORDER: f64 = 0.06;
/// Thickness of a frame, in photograph heights.
const FRAME: f64 = 0.025;
/// Plaster beyond the outermost photographs, in photograph heights.
const MARGIN: f64 = 0.8;

/// Where one object is.
#[derive(Clone, Copy, Debug)]
pub struct Placed {
    pub exhibit: &'static Exhibit,
    /// The direction of the object's centre.
    pub object: Pose,
    /// The direction of the photograph's centre.
    pub photo: Pose,
}

/// A photograph's place on the wall: centre and size, in the wall's coordinates.
#[derive(Clone, Copy, Debug)]
struct Place {
    u: f64,
    v: f64,
    width: f64,
    height: f64,
}

/// The painted wall.
#[derive(Clone, Debug)]
pub struct Wall {
    /// Of each pixel, rows without padding.
    luma: Vec<u8>,
    /// Blue and red of each pair of pixels.
    chroma: Vec<[u8; 2]>,
    /// Pixels, even.
    width: usize,
    /// Pixels.
    height: usize,
    /// Pixels for one radian around and for one radius down.
    scale: f64,
    placed: Vec<Placed>,
}

impl Wall {
    /// Reads the photographs below `models/photos` and hangs them as the seed says.
    pub fn open(config: &SceneConfig, models: &Path) -> Result<Self> {
        let [half_across, half_down] = config.lens().half_tangents();
        let photo = 2.0 * half_down * PHOTO_HEIGHT;
        let hall = Hall::new(config, photo);
        let scale = f64::from(config.width) / (2.0 * half_across);
        let mut wall = Self::plaster(scale, hall.half_width(), hall.half_height());
        for (exhibit, [u, v]) in EXHIBITS.iter().zip(hall.spots(config.seed)) {
            let picture = Photo::open(&models.join("photos").join(exhibit.file))?;
            #[expect(clippy::cast_precision_loss, reason = "pictures are small")]
            let aspect = picture.width as f64 / picture.height as f64;
            let place = Place {
                u,
                v,
                width: photo * aspect.min(PHOTO_ASPECT_MAX),
                height: photo,
            };
            wall.hang(&picture, place);
            wall.placed.push(placed(exhibit, place));
        }
        Ok(wall)
    }

    pub fn placed(&self) -> &[Placed] {
        &self.placed
    }

    pub(super) fn luma(&self) -> &[u8] {
        &self.luma
    }

    pub(super) fn chroma(&self) -> &[[u8; 2]] {
        &self.chroma
    }

    /// Pixels of one row, even.
    pub(super) fn width(&self) -> usize {
        self.width
    }

    /// The wall's point in its own pixels, held a pixel inside the edges: what is interpolated between such points
    /// in fixed point may round to a little less than either, and still lies in the wall.
    pub(super) fn pixel(&self, u: f64, v: f64) -> [f64; 2] {
        let [width, height] = self.size();
        [
            (u * self.scale + width / 2.0).clamp(1.0, width - 2.0),
            (v * self.scale + height / 2.0).clamp(1.0, height - 2.0),
        ]
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "a wall has a few thousand pixels"
    )]
    fn size(&self) -> [f64; 2] {
        [self.width as f64, self.height as f64]
    }

    /// A bare wall: warm grey with slow shades and a fine grain, so that no two places look alike.
    fn plaster(scale: f64, half_width: f64, half_height: f64) -> Self {
        let width = 2 * pixels(half_width * scale);
        let height = 2 * pixels(half_height * scale);
        let mut dice = Dice::new(0, 0);
        let grain: Vec<f32> = (0..4093).map(|_| narrow(dice.spread() * 2.0)).collect();
        let mut grain = grain.iter().cycle();
        let mut luma = Vec::with_capacity(width * height);
        for y in 0..height {
            let v = coordinate(y, height, scale);
            for pair in 0..width / 2 {
                let u = coordinate(2 * pair, width, scale);
                let shade = (u * 1.7 + v * 0.9).sin() * 4.0 + (v * 2.3 - u * 0.6).sin() * 3.0;
                for grain in grain.by_ref().take(2) {
                    luma.push(byte(168.0 + narrow(shade) + grain));
                }
            }
        }
        Self {
            luma,
            chroma: vec![[125, 130]; width / 2 * height],
            width,
            height,
            scale,
            placed: Vec::with_capacity(EXHIBITS.len()),
        }
    }

    /// Paints a framed photograph.
    fn hang(&mut self, photo: &Photo, place: Place) {
        let border = place.height * FRAME;
        let mut photo = photo.clone();
        // Bilinear sampling needs at least one sample for two pixels, or fine detail turns into noise.
        #[expect(clippy::cast_precision_loss, reason = "pictures are small")]
        while photo.height as f64 > 2.0 * place.height * self.scale && photo.width >= 8 {
            photo = photo.halved();
        }
        let (half_width, half_height) = (place.width / 2.0 + border, place.height / 2.0 + border);
        let [left, top] = self
            .pixel(place.u - half_width, place.v - half_height)
            .map(index);
        let [right, bottom] = self
            .pixel(place.u + half_width, place.v + half_height)
            .map(index);
        for y in top..bottom {
            let v = coordinate(y, self.height, self.scale) - place.v;
            for pair in left / 2..right / 2 {
                let colour = |x: usize| {
                    let u = coordinate(x, self.width, self.scale) - place.u;
                    ycbcr(photo_or_frame(
                        &photo,
                        u / place.width + 0.5,
                        v / place.height + 0.5,
                    ))
                };
                let (a, b) = (colour(2 * pair), colour(2 * pair + 1));
                let first = y * self.width + 2 * pair;
                self.luma[first] = byte(a[0]);
                self.luma[first + 1] = byte(b[0]);
                self.chroma[first / 2] = [byte((a[1] + b[1]) / 2.0), byte((a[2] + b[2]) / 2.0)];
            }
        }
    }
}

/// The grid of places for photographs: as many columns as the joints can reach, in at most two rows.
#[derive(Clone, Copy, Debug)]
struct Hall {
    /// A photograph's height.
    photo: f64,
    pitch: [f64; 2],
    columns: u8,
    rows: u8,
}

impl Hall {
    fn new(config: &SceneConfig, photo: f64) -> Self {
        let pitch = [photo * (PHOTO_ASPECT_MAX + GAP[0]), photo * (1.0 + GAP[1])];
        // Five columns of two hold all exhibits and leave one place bare. A photograph out of the joints' reach could never be centred.
        let fits = |count: &u8, reach: f64, pitch: f64| {
            f64::from(count - 1) / 2.0 * pitch + DISORDER * photo <= reach
        };
        let columns = (1..=5)
            .rev()
            .find(|n| fits(n, config.pan_range.radians(), pitch[0]))
            .unwrap_or(1);
        let rows = if fits(&2, config.tilt_range.radians().tan(), pitch[1]) {
            2
        } else {
            1
        };
        Self {
            photo,
            pitch,
            columns,
            rows,
        }
    }

    fn half_width(&self) -> f64 {
        f64::from(self.columns) / 2.0 * self.pitch[0] + MARGIN * self.photo
    }

    fn half_height(&self) -> f64 {
        f64::from(self.rows) / 2.0 * self.pitch[1] + MARGIN * self.photo
    }

    /// The centres of all places, in random order, each a little out of line.
    fn spots(&self, seed: u64) -> Vec<[f64; 2]> {
        let mut dice = Dice::new(seed, 1);
        let mut spots = Vec::with_capacity(EXHIBITS.len());
        for row in 0..self.rows {
            for column in 0..self.columns {
                let centred = |index: u8, count: u8| f64::from(index) - f64::from(count - 1) / 2.0;
                let off = DISORDER * self.photo;
                spots.push([
                    centred(column, self.columns) * self.pitch[0] + dice.spread() * off,
                    centred(row, self.rows) * self.pitch[1] + dice.spread() * off,
                ]);
            }
        }
        dice.shuffle(&mut spots);
        spots
    }
}

fn placed(exhibit: &'static Exhibit, place: Place) -> Placed {
    let [left, top, right, bottom] = exhibit.object;
    let pose = |x: f64, y: f64| Pose {
        pan: place.u + (x - 0.5) * place.width,
        tilt: -(place.v + (y - 0.5) * place.height).atan(),
    };
    Placed {
        exhibit,
        object: pose((left + right) / 2.0, (top + bottom) / 2.0),
        photo: pose(0.5, 0.5),
    }
}

/// The colour of a framed photograph at a fraction of its width and height; outside it, the frame's.
#[expect(clippy::cast_precision_loss, reason = "pictures are small")]
fn photo_or_frame(photo: &Photo, x: f64, y: f64) -> [f32; 3] {
    if (0.0..1.0).contains(&x) && (0.0..1.0).contains(&y) {
        photo.sample(x * photo.width as f64, y * photo.height as f64)
    } else {
        [52.0, 44.0, 38.0]
    }
}

/// The wall's coordinate of a pixel's centre.
#[expect(
    clippy::cast_precision_loss,
    reason = "a wall has a few thousand pixels"
)]
fn coordinate(pixel: usize, count: usize, scale: f64) -> f64 {
    (pixel as f64 + 0.5 - count as f64 / 2.0) / scale
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "sizes of a few thousand pixels, above zero"
)]
fn pixels(size: f64) -> usize {
    size.ceil() as usize
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a place in the wall, held at its edges"
)]
fn index(pixel: f64) -> usize {
    pixel as usize
}

#[expect(clippy::cast_possible_truncation, reason = "colours need 8 bits")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// ITU-R BT.601, limited range, from R, G, B of 0 to 255.
fn ycbcr([r, g, b]: [f32; 3]) -> [f32; 3] {
    [
        16.0 + (65.481 * r + 128.553 * g + 24.966 * b) / 255.0,
        128.0 + (-37.797 * r - 74.203 * g + 112.0 * b) / 255.0,
        128.0 + (112.0 * r - 93.786 * g - 18.214 * b) / 255.0,
    ]
}

/// Rounded; out of range becomes 0 or 255.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float saturates when it becomes a byte"
)]
fn byte(sample: f32) -> u8 {
    (sample + 0.5) as u8
}
