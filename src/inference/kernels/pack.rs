//! Weights in the order in which the loops read them.

use std::ops::Range;

use super::Isa;
use super::bf16;
use super::halves;
use super::memory::Aligned;
use super::precision::Precision;
use super::quantise::ZERO;

/// How the inputs of one output value lie in memory: `segments` runs of `length` neighbouring words, the last of
/// them `last` long. A 1x1 convolution on blocked channels has one segment a block; a 3x3 convolution on a picture
/// with interleaved channels has one a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Walk {
    pub segments: usize,
    pub length: usize,
    pub last: usize,
}

impl Walk {
    /// Over all channels of one pixel of a blocked tensor.
    pub fn channels(isa: Isa, channels: usize) -> Self {
        Self::columns(isa, Precision::F32, channels)
    }

    /// Over all columns of one row of a blocked tensor.
    pub fn columns(isa: Isa, precision: Precision, columns: usize) -> Self {
        let words = columns.div_ceil(precision.columns_per_word());
        let segments = isa.blocks(words);
        Self {
            segments,
            length: isa.lanes(),
            last: words - (segments - 1) * isa.lanes(),
        }
    }

    /// Over a window of `rows` rows of `length` words.
    pub fn window(rows: usize, length: usize) -> Self {
        Self {
            segments: rows,
            length,
            last: length,
        }
    }

    /// How many values it meets.
    pub fn total(self) -> usize {
        (self.segments - 1) * self.length + self.last
    }
}

/// Some neighbouring output blocks that are computed together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Panel {
    pub first_block: usize,
    /// As many as a tile is wide: 1 to 4.
    pub blocks: usize,
    /// Where its weights begin.
    pub(super) offset: usize,
}

impl Panel {
    pub fn range(self) -> Range<usize> {
        self.first_block..self.first_block + self.blocks
    }
}

/// The weights of a 1x1 or small dense convolution, packed for one instruction set: a panel after the other, each
/// `[step of the walk][block][lane]`.
#[derive(Debug)]
pub struct Packed {
    pub(super) isa: Isa,
    /// Of the weights and of the input.
    pub(super) precision: Precision,
    pub(super) walk: Walk,
    pub(super) panels: Vec<Panel>,
    pub(super) weights: Aligned,
    /// Filled up to whole blocks with zeros.
    pub(super) bias: Aligned,
    /// With int8; else empty.
    pub(super) bytes: OfBytes,
}

/// How the inputs of a product of bytes are to be read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scale {
    /// Each row has a factor of its own, and a whole number is 128 less than its byte.
    OfRow,
    /// A byte is the whole number itself, times this.
    Fixed(f32),
}

/// What weights of bytes need besides.
#[derive(Debug, Default)]
pub(super) struct OfBytes {
    /// What the exact sum of each output is multiplied with.
    pub(super) scales: Aligned,
    /// 32-bit integers: where the sum of each output begins, because a byte is not the number that it stands for.
    pub(super) totals: Aligned,
    /// Rows have factors of their own.
    pub(super) is_by_row: bool,
}

impl Packed {
    /// `weights` is `[output][step of the walk]`, `bias` has one value an output. `pixels` is about how many pixels
    /// one call will compute; it decides between tall and wide tiles.
    ///
    /// # Panics
    /// If the lengths do not fit each other.
    pub fn new(isa: Isa, walk: Walk, weights: &[f32], bias: &[f32], pixels: usize) -> Self {
        let (outputs, steps, lanes) = (bias.len(), walk.total(), isa.lanes());
        assert!(outputs > 0, "a convolution has an output");
        assert_eq!(
            weights.len(),
            outputs * steps,
            "weights of {outputs} outputs"
        );
        let mut packed = Self::with_room(isa, Precision::F32, outputs, steps);
        packed.cut(walk, outputs, pixels);
        for panel in &packed.panels {
            let width = panel.blocks * lanes;
            let first = panel.first_block * lanes;
            let existing = width.min(outputs - first);
            for (step, row) in packed.weights[panel.offset..][..steps * width]
                .chunks_exact_mut(width)
                .enumerate()
            {
                for (lane, w) in row[..existing].iter_mut().enumerate() {
                    *w = weights[(first + lane) * steps + step];
                }
            }
        }
        packed.bias[..outputs].copy_from_slice(bias);
        packed
    }

    /// Weights `[output][input]` for the rows of a blocked tensor of this precision; otherwise as [`new`](Self::new).
    ///
    /// # Panics
    /// If the lengths do not fit each other.
    pub fn for_rows(
        isa: Isa,
        precision: Precision,
        weights: &[f32],
        bias: &[f32],
        pixels: usize,
    ) -> Self {
        let walk = Walk::columns(isa, precision, weights.len() / bias.len());
        match precision {
            Precision::F32 => Self::new(isa, walk, weights, bias, pixels),
            Precision::Bf16 => Self::of_pairs(isa, walk, weights, bias, pixels),
            Precision::F16 => Self::of_halves(isa, walk, weights, bias, pixels),
            Precision::Int8 => Self::of_bytes(isa, walk, weights, bias, Scale::OfRow, pixels),
        }
    }

    /// `weights` is `[output][two for each step of the walk]`, which may be one less; each is rounded to bf16. Otherwise as
    /// [`new`](Self::new).
    ///
    /// # Panics
    /// If the lengths do not fit each other.
    pub fn of_pairs(isa: Isa, walk: Walk, weights: &[f32], bias: &[f32], pixels: usize) -> Self {
        let words = words_of_two(weights, bias.len(), bf16::word);
        Self {
            precision: Precision::Bf16,
            ..Self::new(isa, walk, &words, bias, pixels)
        }
    }

    /// As [`of_pairs`](Self::of_pairs), rounded to f16.
    ///
    /// # Panics
    /// If the lengths do not fit each other, or the set [does not take f16](Isa::takes_halves).
    pub fn of_halves(isa: Isa, walk: Walk, weights: &[f32], bias: &[f32], pixels: usize) -> Self {
        assert!(isa.takes_halves(), "{isa:?} does not take f16");
        let words = words_of_two(weights, bias.len(), halves::word);
        Self {
            precision: Precision::F16,
            ..Self::new(isa, walk, &words, bias, pixels)
        }
    }

    /// `weights` is `[output][four for each step of the walk]`, which may be up to three less; each output's are rounded to
    /// whole numbers in -127..=127, of which the largest is 127. Otherwise as [`new`](Self::new).
    ///
    /// # Panics
    /// If the lengths do not fit each other, or the set [does not take bytes](Isa::takes_bytes).
    pub fn of_bytes(
        isa: Isa,
        walk: Walk,
        weights: &[f32],
        bias: &[f32],
        scale: Scale,
        pixels: usize,
    ) -> Self {
        assert!(isa.takes_bytes(), "{isa:?} does not take bytes");
        let room = isa.blocks(bias.len()) * isa.lanes();
        let mut bytes = OfBytes {
            scales: Aligned::zeroed(room),
            totals: Aligned::zeroed(room),
            is_by_row: scale == Scale::OfRow,
        };
        let (factor, zero) = match scale {
            Scale::OfRow => (1.0, ZERO),
            Scale::Fixed(factor) => (factor, 0),
        };
        let mut words = Vec::with_capacity(bias.len() * walk.total());
        let rows = weights.chunks_exact(weights.len() / bias.len());
        for (output, row) in rows.enumerate() {
            let largest = row.iter().fold(0.0f32, |most, w| most.max(w.abs()));
            let scale = largest / 127.0;
            let row: Vec<i8> = row.iter().map(|&w| whole(w, scale)).collect();
            let sum: i32 = row.iter().map(|&w| i32::from(w)).sum();
            bytes.scales[output] = scale * factor;
            // The sum of (byte + offset - zero) * w is that of byte * w, and this.
            let total = (isa.0.byte_offset - zero) * sum;
            bytes.totals[output] = f32::from_bits(total.cast_unsigned());
            words.extend(row.chunks(4).map(|four| {
                let mut word = [0; 4];
                for (byte, w) in word.iter_mut().zip(four) {
                    *byte = w.cast_unsigned();
                }
                f32::from_bits(u32::from_le_bytes(word))
            }));
        }
        Self {
            precision: Precision::Int8,
            bytes,
            ..Self::new(isa, walk, &words, bias, pixels)
        }
    }

    /// Room for any weights of at most so many outputs and steps.
    pub(super) fn with_room(
        isa: Isa,
        precision: Precision,
        outputs_max: usize,
        steps_max: usize,
    ) -> Self {
        let blocks = isa.blocks(outputs_max);
        Self {
            isa,
            precision,
            walk: Walk::window(1, 1),
            panels: Vec::with_capacity(blocks),
            weights: Aligned::zeroed(blocks * isa.lanes() * steps_max),
            bias: Aligned::zeroed(blocks * isa.lanes()),
            bytes: OfBytes::default(),
        }
    }

    /// Cuts the room into the panels of other weights, whose values are then the caller's to write. Does not allocate.
    ///
    /// # Panics
    /// If there is not room enough.
    pub(super) fn cut(&mut self, walk: Walk, outputs: usize, pixels: usize) {
        let blocks = self.isa.blocks(outputs);
        let floats = blocks * self.isa.lanes();
        assert!(
            floats <= self.bias.len() && floats * walk.total() <= self.weights.len(),
            "no room for {outputs} outputs of {} steps",
            walk.total()
        );
        self.walk = walk;
        self.panels.clear();
        // Never more than the blocks that there is room for.
        self.panels
            .extend(panels(self.isa, blocks, walk.total(), pixels));
    }

    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Of the weights, and of the input that they are for.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Rows of the input have factors of their own.
    pub fn is_by_row(&self) -> bool {
        self.bytes.is_by_row
    }

    /// Steps for each output, and so multiply-adds of words.
    pub fn steps(&self) -> usize {
        self.walk.total()
    }

    pub fn panels(&self) -> &[Panel] {
        &self.panels
    }

    /// Output blocks.
    pub fn blocks(&self) -> usize {
        self.panels.last().map_or(0, |last| last.range().end)
    }

    /// Outputs, those that fill up the last block among them.
    pub fn outputs(&self) -> usize {
        self.blocks() * self.isa.lanes()
    }
}

/// Each output's weights by twos, a 0 behind the last of an odd number.
fn words_of_two(weights: &[f32], outputs: usize, word: impl Fn([f32; 2]) -> f32) -> Vec<f32> {
    let word = |pair: &[f32]| word([pair[0], pair.get(1).copied().unwrap_or(0.0)]);
    let rows = weights.chunks_exact(weights.len() / outputs);
    rows.flat_map(|row| row.chunks(2).map(&word)).collect()
}

/// The nearest whole number of `scale`s.
#[expect(
    clippy::cast_possible_truncation,
    reason = "a scale is a 127th of the largest"
)]
fn whole(value: f32, scale: f32) -> i8 {
    match scale > 0.0 {
        true => (value / scale).round_ties_even() as i8,
        false => 0,
    }
}

/// Cuts `blocks` output blocks into panels.
///
/// A tile of `p` pixels and `b` blocks does `p * b` multiply-adds with `p + b` loads; so the width is the one with
/// the fewest loads for a multiply-add, in calls of `pixels` pixels. (With AVX-512 on Zen 4: 9 by 3 reaches 94 % of
/// the peak, 14 by 2 91 %.) A rest of a single block would make the worst tile; where a panel is wide enough, the
/// last two share what is left.
fn panels(isa: Isa, blocks: usize, steps: usize, pixels: usize) -> impl Iterator<Item = Panel> {
    let most = isa.0.tile_pixels_max;
    let worth = |width: usize| {
        let pixels = most[width - 1].min(pixels);
        pixels * width * 1000 / (pixels + width)
    };
    let widest = (1..=most.len()).max_by_key(|&width| worth(width));
    let widest = widest.unwrap_or(1);
    let (mut first_block, mut offset) = (0, 0);
    std::iter::from_fn(move || {
        let left = blocks - first_block;
        let width = if left == widest + 1 && widest > 2 {
            left.div_ceil(2)
        } else {
            left.min(widest)
        };
        let panel = Panel {
            first_block,
            blocks: width,
            offset,
        };
        first_block += width;
        offset += width * isa.lanes() * steps;
        (width > 0).then_some(panel)
    })
}

/// The filters of a depthwise convolution: `[block][tap][lane]`, and one bias a channel. For words of two bf16 `[block of
/// words][tap][lower, upper half][lane]`.
#[derive(Debug)]
pub struct DepthwiseFilters {
    pub(super) isa: Isa,
    /// Of input and output; filters are f32.
    pub(super) precision: Precision,
    /// Taps in each direction: 3 or 5.
    pub(super) size: usize,
    pub(super) filters: Aligned,
    pub(super) bias: Aligned,
}

impl DepthwiseFilters {
    /// `filters` is `[channel][row][column]`. `precision` is that of the input, f32 or bf16.
    ///
    /// # Panics
    /// If `size` is not 3 or 5, the input is of bytes, or the lengths do not fit each other.
    pub fn new(isa: Isa, precision: Precision, size: usize, filters: &[f32], bias: &[f32]) -> Self {
        assert!(matches!(size, 3 | 5), "a depthwise filter is 3x3 or 5x5");
        assert!(
            matches!(precision, Precision::F32 | Precision::Bf16),
            "a depthwise convolution reads f32 or bf16"
        );
        let (channels, lanes, taps) = (bias.len(), isa.lanes(), size * size);
        assert!(channels > 0, "a convolution has an output");
        assert_eq!(
            filters.len(),
            channels * taps,
            "filters of {channels} channels"
        );
        let halves = precision.columns_per_word();
        // Where a channel stands among those of its block.
        let place = |channel: usize| channel % halves * lanes + channel / halves;
        let width = halves * lanes;
        let floats = channels.div_ceil(width) * width;
        let (mut packed, mut padded) = (Aligned::zeroed(floats * taps), Aligned::zeroed(floats));
        let filters = filters.chunks_exact(taps).zip(bias).enumerate();
        for (channel, (filter, &bias)) in filters {
            let (block, place) = (channel / width, place(channel % width));
            for (tap, &w) in filter.iter().enumerate() {
                packed[(block * taps + tap) * width + place] = w;
            }
            padded[block * width + place] = bias;
        }
        Self {
            isa,
            precision,
            size,
            filters: packed,
            bias: padded,
        }
    }

    pub fn size(&self) -> usize {
        self.size
    }

    /// Blocks of words.
    pub fn blocks(&self) -> usize {
        self.bias.len() / (self.precision.columns_per_word() * self.isa.lanes())
    }
}
