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

use crate::inference::cuda::tables;

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

    /// The same filter over rows that each stand for `pixels` rows of the picture (subsampled chroma), in the whole
    /// numbers of the vertical pass. None when an output row would be made from more than 255 rows.
    pub fn rows(&self, pixels: usize) -> Option<RowFilter> {
        // Rows between first and last must get the weight 1. When less than `pixels` rows of the picture make an
        // output row there are none between, and the weights can stay as they are, which keeps their precision.
        let shared = if self.total >= to_f64(pixels) {
            pixels
        } else {
            1
        };
        let total = self.total / to_f64(shared);
        // BOUND: the sums of an output row are at most 255 * scale * total, and that must fit 16 bits.
        let scale = whole(255.0 / total);
        if scale == 0 {
            return None;
        }
        let weight = |taps: &Taps, sample: usize| -> f64 {
            let sum: f64 = (0..pixels).map(|p| taps.weight(sample * pixels + p)).sum();
            sum / to_f64(shared)
        };
        let spans = self.taps.iter().map(|taps| {
            let (first, last) = (taps.first / pixels, taps.last() / pixels);
            let tail = if last > first {
                weight(taps, last)
            } else {
                0.0
            };
            RowSpan::new(first, last, weight(taps, first), tail, total, scale)
        });
        Some(RowFilter {
            spans: spans.collect(),
            gain: f64::from(scale) * total,
            scale,
        })
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

/// The vertical pass of one plane: `spans` by output row.
#[derive(Clone, Debug)]
pub struct RowFilter {
    pub spans: Vec<RowSpan>,
    /// What the sums are multiplied by to use the 16 bits that they have.
    pub scale: u16,
    /// What a row's sum has to be divided by.
    pub gain: f64,
}

/// The rows of one output row. Its sum, in 16 bits, is `scale` times the whole rows, plus for each edge
/// `byte * weight / 256` rounded down, plus `rounding`.
///
/// The weights are rounded such that they add up exactly, so an even area keeps its brightness.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSpan {
    /// The first of the rows that count fully.
    pub whole: usize,
    pub whole_count: usize,
    /// The first and the last row, and their weights in 1/256 of 1/scale. A row that counts fully has weight 0 here, so
    /// has the last when it is also the first.
    pub edges: [(usize, u16); 2],
    /// Half of what rounding down loses on average.
    pub rounding: u16,
}

impl RowSpan {
    fn new(first: usize, last: usize, head: f64, tail: f64, total: f64, scale: u16) -> Self {
        // Within a millionth of 1 counts as 1: less than a 16-bit weight can tell.
        let is_whole = |weight: f64| (weight - 1.0).abs() < 1e-6;
        let (head_whole, tail_whole) = (is_whole(head), is_whole(tail));
        let inner = (last - first).saturating_sub(1);
        let whole_count = inner + usize::from(head_whole) + usize::from(tail_whole);
        let unit = f64::from(scale) * 256.0;
        let in_edges = whole(((total - to_f64(whole_count)) * unit).round());
        let head = match (head_whole, first == last) {
            (true, _) => 0,
            (false, true) => in_edges,
            (false, false) => whole((head * unit).round()).min(in_edges),
        };
        let tail = if tail_whole { 0 } else { in_edges - head };
        Self {
            whole: if head_whole { first } else { first + 1 },
            whole_count,
            edges: [(first, head), (last, tail)],
            rounding: u16::from(head > 0 && tail > 0),
        }
    }

    /// The rows that count fully.
    pub fn whole_rows(&self) -> std::ops::Range<usize> {
        self.whole..self.whole + self.whole_count
    }

    pub fn for_device(&self) -> tables::RowSpan {
        tables::RowSpan {
            whole: self.whole,
            whole_count: self.whole_count,
            edges: self.edges,
            rounding: self.rounding,
        }
    }

    /// The first row that is read.
    pub fn first(&self) -> usize {
        self.edges[0].0
    }

    /// The last row that is read.
    pub fn last(&self) -> usize {
        self.edges[1].0
    }
}

/// The units of one output column: `head` times the first, the units between, `tail` times the last, with a weight
/// for each of a unit's four samples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct UnitSpan {
    pub first: usize,
    /// At least 1; with 1 there is only `head`.
    pub count: usize,
    pub head: [f32; 4],
    pub tail: [f32; 4],
}

impl UnitSpan {
    pub fn for_device(&self) -> tables::UnitSpan {
        tables::UnitSpan {
            first: self.first,
            count: self.count,
            head: self.head,
            tail: self.tail,
        }
    }
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

/// The whole part of a number that lies within 0..65536.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "`as` saturates, and the callers' numbers fit"
)]
fn whole(x: f64) -> u16 {
    x as u16
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
    #![allow(clippy::unwrap_used)]
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
    fn rows_in_whole_numbers_have_the_weights_of_the_pixels_they_stand_for() {
        for (start, length, size, outputs, pixels) in [
            (0.0, 1080.0, 1080, 224, 1),
            (0.0, 1080.0, 1080, 224, 2),
            (0.0, 7.0, 7, 3, 2),
            (0.7, 5.9, 7, 3, 2),
            (0.0, 9.0, 9, 9, 2),
            (0.0, 9.0, 9, 20, 2),
            (0.0, 9.0, 9, 20, 1),
            (0.0, 255.0, 255, 1, 1),
        ] {
            let axis = axis(start, length, size, outputs);
            let filter = axis.rows(pixels).unwrap();
            for (taps, span) in axis.taps.iter().zip(&filter.spans) {
                let weight = |row: usize| {
                    let whole = f64::from(u8::from(span.whole_rows().contains(&row)));
                    let edge: u16 = span
                        .edges
                        .iter()
                        .map(|(r, w)| w * u16::from(*r == row))
                        .sum();
                    (whole * f64::from(filter.scale) + f64::from(edge) / 256.0) / filter.gain
                };
                for row in 0..size.div_ceil(pixels) {
                    let pixels = row * pixels..(row + 1) * pixels;
                    let expected: f64 = pixels.map(|p| taps.weight(p)).sum::<f64>() / axis.total;
                    let difference = (weight(row) - expected).abs();
                    assert!(
                        difference < 1.01 / 256.0 / filter.gain,
                        "{span:?} row {row}"
                    );
                }
                let sum: f64 = (0..size).map(weight).sum();
                assert!(
                    (sum - 1.0).abs() < 0.51 / 256.0 / filter.gain,
                    "{span:?} {sum}"
                );
            }
        }
    }

    #[test]
    fn more_than_255_rows_for_one_are_refused() {
        assert!(axis(0.0, 256.0, 256, 1).rows(1).is_none());
        assert!(axis(0.0, 510.0, 510, 1).rows(2).is_some());
    }
}
