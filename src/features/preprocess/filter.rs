//! Which source pixels each output pixel is made of, and with what weight.
//!
//! Along one axis an output pixel covers an interval of the source. Shrinking, its value is the exact average
//! over that interval: pixels that lie inside count fully, the first and the last by the part that is covered.
//! Enlarging, its value is the linear interpolation between the two nearest pixel centres; beyond the first
//! and last centre of the picture the edge pixel counts alone. In both cases only the first and the last source
//! pixel have a weight of their own, so the weights of a whole axis are two numbers an output pixel: that is
//! what the passes over the frame are built on.
//!
//! Thread: any. Allocates: yes, when a [`super::Preprocess`] is made.

/// The part of the picture that becomes the model's input, along one axis, in source pixels.
#[derive(Clone, Copy, Debug)]
pub struct Interval {
    pub start: f64,
    pub length: f64,
}

/// The weights of one output pixel along one axis: `head`, then 1 for each pixel between, then `tail`.
#[derive(Clone, Debug, PartialEq)]
struct Taps {
    first: usize,
    /// At least 1; with 1 there is only `head`.
    count: usize,
    head: f64,
    tail: f64,
}

impl Taps {
    fn weight(&self, index: usize) -> f64 {
        match index.checked_sub(self.first) {
            Some(0) => self.head,
            Some(i) if i + 1 == self.count => self.tail,
            Some(i) if i < self.count => 1.0,
            _ => 0.0,
        }
    }

    fn last(&self) -> usize {
        self.first + self.count - 1
    }
}

/// All output pixels of one axis.
#[derive(Clone, Debug)]
pub struct Axis {
    taps: Vec<Taps>,
    /// What the weights of one output pixel add up to; the sums are divided by it.
    pub total: f64,
}

impl Axis {
    /// The filter from `interval` of an axis of `size` pixels to `outputs` pixels.
    ///
    /// `interval` must lie within `0..=size` and be longer than 0, and `outputs` must be at least 1.
    pub fn new(interval: Interval, size: usize, outputs: usize) -> Self {
        let scale = interval.length / to_f64(outputs);
        let taps = (0..outputs)
            .map(|i| {
                if scale >= 1.0 {
                    average(interval.start + to_f64(i) * scale, scale, size)
                } else {
                    interpolate(interval.start + (to_f64(i) + 0.5) * scale - 0.5, size)
                }
            })
            .collect();
        Self {
            taps,
            total: scale.max(1.0),
        }
    }

    /// The same filter over samples that each stand for `pixels` pixels (subsampled chroma): which rows.
    /// The sums have to be divided by `total / pixels`.
    pub fn rows(&self, pixels: usize) -> Vec<RowSpan> {
        let weight = |taps: &Taps, sample: usize| -> f64 {
            let sum: f64 = (0..pixels).map(|p| taps.weight(sample * pixels + p)).sum();
            sum / to_f64(pixels)
        };
        self.taps
            .iter()
            .map(|taps| {
                let (first, last) = (taps.first / pixels, taps.last() / pixels);
                RowSpan {
                    first,
                    count: last - first + 1,
                    head: to_f32(weight(taps, first)),
                    tail: to_f32(weight(taps, last)),
                }
            })
            .collect()
    }

    /// The same filter over units of four interleaved samples. `lanes[k]` has bit `p` set when sample `k` of a
    /// unit belongs to pixel `p` of the unit's `pixels` pixels. The sum of lane `k` has to be divided by
    /// `total / lanes[k].count_ones()`.
    pub fn columns(&self, pixels: usize, lanes: [u8; 4]) -> Vec<UnitSpan> {
        let weights = |taps: &Taps, unit: usize| {
            lanes.map(|mask| {
                let sum: f64 = (0..pixels)
                    .filter(|p| mask >> p & 1 == 1)
                    .map(|p| taps.weight(unit * pixels + p))
                    .sum();
                to_f32(sum / f64::from(mask.count_ones()))
            })
        };
        self.taps
            .iter()
            .map(|taps| {
                let (first, last) = (taps.first / pixels, taps.last() / pixels);
                UnitSpan {
                    first,
                    count: last - first + 1,
                    head: weights(taps, first),
                    tail: weights(taps, last),
                }
            })
            .collect()
    }
}

/// The rows of one output row: `head` times the first, the rows between, `tail` times the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowSpan {
    pub first: usize,
    /// At least 1; with 1 there is only `head`.
    pub count: usize,
    pub head: f32,
    pub tail: f32,
}

impl RowSpan {
    /// The rows between the first and the last.
    pub fn inner(&self) -> std::ops::Range<usize> {
        self.first + 1..self.first + self.count.max(2) - 1
    }
}

/// The units of one output column, as [`RowSpan`], with a weight for each of a unit's four samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitSpan {
    pub first: usize,
    /// At least 1; with 1 there is only `head`.
    pub count: usize,
    pub head: [f32; 4],
    pub tail: [f32; 4],
}

/// The exact average over `start .. start + length`, not yet divided by `length`.
fn average(start: f64, length: f64, size: usize) -> Taps {
    let end = (start + length).min(to_f64(size));
    let first = floor_index(start, size);
    // The pixel that `end` lies in, or the one before when `end` is its left edge.
    let last = floor_index(end.ceil() - 1.0, size).max(first);
    let covered = |pixel: usize| end.min(to_f64(pixel) + 1.0) - start.max(to_f64(pixel));
    Taps {
        first,
        count: last - first + 1,
        head: covered(first),
        tail: covered(last),
    }
}

/// Linear interpolation at `centre`, in units where pixel `k`'s centre is `k`.
fn interpolate(centre: f64, size: usize) -> Taps {
    let centre = centre.clamp(0.0, to_f64(size - 1));
    let first = floor_index(centre, size);
    let fraction = centre - to_f64(first);
    let count = if fraction > 0.0 && first + 1 < size {
        2
    } else {
        1
    };
    Taps {
        first,
        count,
        head: if count == 2 { 1.0 - fraction } else { 1.0 },
        tail: fraction,
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "clamped to 0..size first, and a picture's size fits"
)]
fn floor_index(at: f64, size: usize) -> usize {
    at.floor().clamp(0.0, to_f64(size - 1)) as usize
}

#[expect(
    clippy::cast_precision_loss,
    reason = "picture sizes are far below 2^53"
)]
fn to_f64(n: usize) -> f64 {
    n as f64
}

#[expect(clippy::cast_possible_truncation, reason = "weights lie in 0..=1")]
fn to_f32(weight: f64) -> f32 {
    weight as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(start: f64, length: f64, size: usize, outputs: usize) -> Axis {
        Axis::new(Interval { start, length }, size, outputs)
    }

    #[test]
    fn the_weights_of_every_output_add_up_to_the_total() {
        for (start, length, size, outputs) in [
            (0.0, 1080.0, 1080, 224),
            (0.3, 7.1, 8, 3),
            (0.0, 5.0, 5, 9),
            (2.5, 0.2, 5, 4),
            (0.0, 1.0, 1, 7),
            (1.0, 1.0, 3, 1),
        ] {
            let axis = axis(start, length, size, outputs);
            for taps in &axis.taps {
                let sum: f64 = (0..size).map(|k| taps.weight(k)).sum();
                assert!((sum - axis.total).abs() < 1e-9, "{taps:?} {}", axis.total);
                assert!(taps.last() < size, "{taps:?}");
                assert!(taps.head >= 0.0 && taps.tail >= 0.0, "{taps:?}");
            }
        }
    }

    #[test]
    fn shrinking_by_a_whole_factor_takes_whole_pixels() {
        let axis = axis(0.0, 8.0, 8, 2);
        assert_eq!(axis.taps[1].first, 4);
        assert_eq!(axis.taps[1].count, 4);
        assert_eq!((axis.taps[1].head, axis.taps[1].tail), (1.0, 1.0));
    }

    #[test]
    fn the_same_size_is_the_identity() {
        for taps in axis(0.0, 5.0, 5, 5).taps {
            assert_eq!((taps.count, taps.head), (1, 1.0));
        }
    }

    #[test]
    fn chroma_gets_the_weights_of_the_pixels_it_stands_for() {
        let axis = axis(0.0, 7.0, 7, 3);
        for (taps, rows) in axis.taps.iter().zip(axis.rows(2)) {
            let sum: f64 = (0..7).map(|k| taps.weight(k)).sum();
            let folded =
                f64::from(rows.head) + f64::from(rows.tail) * f64::from(u8::from(rows.count > 1));
            let inner = to_f64(rows.count.saturating_sub(2));
            assert!(((folded + inner) * 2.0 - sum).abs() < 1e-6, "{rows:?}");
        }
    }
}
