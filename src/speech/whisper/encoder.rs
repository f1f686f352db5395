//! From spectrum to what the decoder looks at: two convolutions along time, the second of stride 2, and four layers.
//!
//! Thread: language. Allocates: in `new`. Blocks: no.

use super::weights::Reader;
use super::{HEADS, LAYERS, ROWS_MAX, WIDTH};
use crate::error::Result;
use crate::inference::kernels::Isa;
use crate::inference::network::{Activation, Linear, Network};
use crate::inference::plan::{Input, Limits, Plan, Precision};
use crate::speech::mel::BANDS;

/// See the module. A convolution with three taps is a layer on three neighbouring rows: each plan reads rows that lie so.
pub(super) struct Encoder {
    first: Plan,
    rest: Plan,
    spread: Vec<f32>,
    between: Vec<f32>,
    out: Vec<f32>,
}

impl Encoder {
    pub(super) fn new(weights: &Reader<'_>, isa: Isa) -> Result<Self> {
        let mut first = Network::default();
        let x = first.rows(3 * BANDS);
        let x = first.linear(x, weights.convolution("model.encoder.conv1", BANDS)?);
        first.activate(x, Activation::Gelu);

        let mut rest = Network::default();
        let x = rest.rows(3 * WIDTH);
        let x = rest.linear(x, weights.convolution("model.encoder.conv2", WIDTH)?);
        let x = rest.activate(x, Activation::Gelu);
        let places = weights.table("model.encoder.embed_positions.weight", ROWS_MAX)?;
        let mut x = rest.positions(x, places);
        for index in 0..LAYERS {
            let part = |name: &str| format!("model.encoder.layers.{index}.{name}");
            let attention = part("self_attn");
            let normed = rest.layer_norm(x, weights.norm(&part("self_attn_layer_norm"))?);
            let qkv = Linear::joined([
                weights.projection(&attention, "q")?,
                weights.projection(&attention, "k")?,
                weights.projection(&attention, "v")?,
            ]);
            let attended = rest.attention(normed, qkv, HEADS);
            let attended = rest.linear(attended, weights.projection(&attention, "out")?);
            x = rest.add(x, attended);
            let normed = rest.layer_norm(x, weights.norm(&part("final_layer_norm"))?);
            let inner = rest.linear(normed, weights.linear(&part("fc1"), WIDTH, 4 * WIDTH)?);
            let inner = rest.activate(inner, Activation::Gelu);
            let outer = rest.linear(inner, weights.linear(&part("fc2"), 4 * WIDTH, WIDTH)?);
            x = rest.add(x, outer);
        }
        rest.layer_norm(x, weights.norm("model.encoder.layer_norm")?);

        let limits = |rows| Limits { rows, sequences: 1 };
        Ok(Self {
            first: Plan::new(&first, isa, Precision::F32, limits(2 * ROWS_MAX)),
            rest: Plan::new(&rest, isa, Precision::F32, limits(ROWS_MAX)),
            spread: vec![0.0; 2 * ROWS_MAX * 3 * BANDS.max(WIDTH / 2)],
            between: vec![0.0; 2 * ROWS_MAX * WIDTH],
            out: vec![0.0; ROWS_MAX * WIDTH],
        })
    }

    /// `[window][band]`, an even number of windows, to half as many rows of [`WIDTH`].
    pub(super) fn run(&mut self, spectrum: &[f32]) -> &[f32] {
        let windows = spectrum.len() / BANDS;
        let rows = windows / 2;
        let between = &mut self.between[..windows * WIDTH];
        let spread = spread(spectrum, BANDS, 1, &mut self.spread);
        self.first.run(Input::Rows(spread), &[windows], between);
        let spread = self::spread(between, WIDTH, 2, &mut self.spread);
        let out = &mut self.out[..rows * WIDTH];
        self.rest.run(Input::Rows(spread), &[rows], out);
        out
    }
}

/// Puts each row between its neighbours, zeros at the ends; every `stride`-th of them.
fn spread<'a>(values: &[f32], columns: usize, stride: usize, to: &'a mut [f32]) -> &'a [f32] {
    let rows = values.len() / columns;
    let count = rows / stride;
    let to = &mut to[..count * 3 * columns];
    for (n, three) in to.chunks_exact_mut(3 * columns).enumerate() {
        for (tap, place) in three.chunks_exact_mut(columns).enumerate() {
            match (n * stride + tap).checked_sub(1).filter(|&row| row < rows) {
                Some(row) => place.copy_from_slice(&values[row * columns..][..columns]),
                None => place.fill(0.0),
            }
        }
    }
    to
}
