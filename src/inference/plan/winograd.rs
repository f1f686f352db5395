//! Convolutions by Winograd's tiles: which ones, and how many tiles at a time.
//!
//! Thread: the plan's, and its partners'. Allocates: in `new`. Blocks: no; waits for partners. Locks: no.

use super::super::kernels::Isa;
use super::super::kernels::memory::SharedMut;
use super::super::kernels::pointwise::{Activation, Precision};
use super::super::kernels::winograd::{Filters, Job, Scratch, TILE};
use super::super::network::{Convolution, Window};
use super::canvas::Canvas;
use super::shares::{self, Hands};

/// Tiles of a call at least, if the picture has as many: with fewer the filters, which are four times as many numbers as
/// before, would be read for too little work. More do not gain, and what is spread would leave the second-level cache.
const TILES_MIN: usize = 28;
/// Channels of input and output at least: with fewer, spreading and gathering cost more than the products save.
const CHANNELS_MIN: usize = 32;
/// Pixels at least where a direct sum is of pairs of bf16: it is twice as fast and reads an eighth of the filters' bytes, which are too
/// many for so few pixels. (512 channels on 7 by 7 pixels: 1.07 ms in place of 1.2, and of 2.0 on a loaded machine.)
const PIXELS_MIN_BF16: usize = 100;

/// A convolution with 3x3 filters at stride 1.
pub struct Winograd {
    filters: Filters,
    window: Window,
    /// Rows of tiles of a call.
    rows: usize,
    /// Of a call.
    tiles: usize,
}

impl Winograd {
    /// None where a direct sum is better, or the only way.
    pub fn new(
        isa: Isa,
        layer: &Convolution,
        (inputs, precision): (usize, Precision),
        (height, width): (usize, usize),
    ) -> Option<Self> {
        let Window { size, stride, .. } = layer.window;
        let is_wide = inputs.min(layer.bias.len()) >= CHANNELS_MIN;
        let is_small =
            precision == Precision::Bf16 && isa.has_pairs() && height * width < PIXELS_MIN_BF16;
        if (size, stride) != (3, 1) || layer.is_depthwise || !is_wide || is_small {
            return None;
        }
        let across = width.div_ceil(TILE);
        let rows = TILES_MIN.div_ceil(across).min(height.div_ceil(TILE));
        let tiles = rows * across;
        Some(Self {
            filters: Filters::new(isa, &layer.weights, &layer.bias, tiles),
            window: layer.window,
            rows,
            tiles,
        })
    }

    pub fn window(&self) -> Window {
        self.window
    }

    /// Floats of scratch memory that it needs.
    pub fn scratch(&self) -> [usize; 2] {
        Scratch::floats(&self.filters, self.tiles)
    }

    /// Computes all of a picture but its edge.
    pub fn run(
        &self,
        hands: &mut Hands<'_>,
        (input, values): (Canvas, &[f32]),
        (output, to): (Canvas, SharedMut<'_>),
        (activation, residual): (Activation, Option<&[f32]>),
        scratch: &mut Scratch,
    ) {
        for first in (0..output.height).step_by(self.rows * TILE) {
            let rows = (self.rows * TILE).min(output.height - first);
            let from = input.windows_from(values, first, self.window);
            // SAFETY: one call after the other.
            let values = unsafe { to.another() };
            let to = output.rows_from(values, first..first + rows, residual);
            let job = Job::new(&self.filters, activation, from, to, scratch);
            shares::winograd(hands, &job);
        }
    }
}
