//! One token after the other: each looks at those before it and at what the encoder made of the sound.
//!
//! The products run as plans of one row; the attentions between them are few enough for plain loops.
//!
//! Thread: language. Allocates: in `new`, and in `listen` no more than there is room for. Blocks: no.

use super::weights::Reader;
use super::{HEADS, LAYERS, ROWS_MAX, TOKENS_MAX, WIDTH};
use crate::error::Result;
use crate::inference::kernels::Isa;
use crate::inference::network::{Activation, Linear, Network, Norm, Weights};
use crate::inference::plan::{Input, Limits, Plan, Precision};

/// Tokens that the model knows.
pub(super) const WORDS: usize = 51_864;
const POSITIONS: usize = 448;
/// Those that begin a text stand before its own.
const STEPS_MAX: usize = TOKENS_MAX + 2;
const HEAD: usize = WIDTH / HEADS;

pub(super) struct Decoder {
    words: Weights,
    places: Weights,
    layers: Vec<Layer>,
    last: Plan,
    /// Keys and values of the sound, of all layers side by side, `[row][layer][keys, values]`.
    sound: Plan,
    heard: Vec<f32>,
    heard_rows: usize,
    scores: Vec<f32>,
    /// Steps since the sound changed.
    steps: usize,
}

struct Layer {
    own: Plan,
    own_out: Plan,
    query: Plan,
    sound_out: Plan,
    inner: Plan,
    /// Keys and values of the tokens so far, `[step][queries, keys, values]`.
    kept: Vec<f32>,
}

impl Decoder {
    pub(super) fn new(weights: &Reader<'_>, isa: Isa) -> Result<Self> {
        let words = weights.table("model.decoder.embed_tokens.weight", WORDS)?;
        let plan = |build: &mut dyn FnMut(&mut Network)| {
            let mut net = Network::default();
            build(&mut net);
            Plan::new(
                &net,
                isa,
                Precision::F32,
                Limits {
                    rows: 1,
                    sequences: 1,
                },
            )
        };
        let normed = |norm: Norm, linear: Linear| {
            plan(&mut |net| {
                let x = net.rows(WIDTH);
                let x = net.layer_norm(x, norm.clone());
                net.linear(x, linear.clone());
            })
        };
        let plain = |linear: Linear| {
            plan(&mut |net| {
                let x = net.rows(WIDTH);
                net.linear(x, linear.clone());
            })
        };
        let mut layers = Vec::new();
        let mut sound = Vec::new();
        for index in 0..LAYERS {
            let part = |name: &str| format!("model.decoder.layers.{index}.{name}");
            let (own, cross) = (part("self_attn"), part("encoder_attn"));
            let qkv = Linear::joined([
                weights.projection(&own, "q")?,
                weights.projection(&own, "k")?,
                weights.projection(&own, "v")?,
            ]);
            let (fc1, fc2) = (
                weights.linear(&part("fc1"), WIDTH, 4 * WIDTH)?,
                weights.linear(&part("fc2"), 4 * WIDTH, WIDTH)?,
            );
            let norm = weights.norm(&part("final_layer_norm"))?;
            sound.push(Linear::joined([
                weights.projection(&cross, "k")?,
                weights.projection(&cross, "v")?,
            ]));
            layers.push(Layer {
                own: normed(weights.norm(&part("self_attn_layer_norm"))?, qkv),
                own_out: plain(weights.projection(&own, "out")?),
                query: normed(
                    weights.norm(&part("encoder_attn_layer_norm"))?,
                    weights.projection(&cross, "q")?,
                ),
                sound_out: plain(weights.projection(&cross, "out")?),
                inner: plan(&mut |net| {
                    let x = net.rows(WIDTH);
                    let x = net.layer_norm(x, norm.clone());
                    let x = net.linear(x, fc1.clone());
                    let x = net.activate(x, Activation::Gelu);
                    net.linear(x, fc2.clone());
                }),
                kept: vec![0.0; STEPS_MAX * 3 * WIDTH],
            });
        }
        let all: [Linear; LAYERS] = std::array::from_fn(|index| sound[index].clone());
        let mut net = Network::default();
        let x = net.rows(WIDTH);
        net.linear(x, Linear::joined(all));
        let limits = Limits {
            rows: ROWS_MAX,
            sequences: 1,
        };
        Ok(Self {
            last: normed(
                weights.norm("model.decoder.layer_norm")?,
                Linear {
                    weights: words.clone(),
                    bias: vec![0.0; WORDS].into(),
                },
            ),
            places: weights.table("model.decoder.embed_positions.weight", POSITIONS)?,
            words,
            layers,
            sound: Plan::new(&net, isa, Precision::F32, limits),
            heard: vec![0.0; ROWS_MAX * LAYERS * 2 * WIDTH],
            heard_rows: 0,
            scores: vec![0.0; WORDS],
            steps: 0,
        })
    }

    /// From now on this is what was heard; the text begins anew.
    pub(super) fn listen(&mut self, rows: &[f32]) {
        self.heard_rows = rows.len() / WIDTH;
        let heard = &mut self.heard[..self.heard_rows * LAYERS * 2 * WIDTH];
        self.sound.run(Input::Rows(rows), &[self.heard_rows], heard);
        self.steps = 0;
    }

    /// The scores of every token after `token`, which follows those before.
    pub(super) fn step(&mut self, token: u32) -> &[f32] {
        let mut x = [0.0; WIDTH];
        let word = &self.words[token as usize * WIDTH..][..WIDTH];
        let place = &self.places[self.steps * WIDTH..][..WIDTH];
        x.iter_mut()
            .zip(word.iter().zip(place))
            .for_each(|(x, (w, p))| *x = w + p);
        let mut out = [0.0; WIDTH];
        for (index, layer) in self.layers.iter_mut().enumerate() {
            let now = &mut layer.kept[self.steps * 3 * WIDTH..][..3 * WIDTH];
            layer.own.run(Input::Rows(&x), &[1], now);
            let kept = &layer.kept[..(self.steps + 1) * 3 * WIDTH];
            let query: [f32; WIDTH] = std::array::from_fn(|k| kept[self.steps * 3 * WIDTH + k]);
            let attended = attend(&query, kept, 3 * WIDTH, WIDTH);
            layer.own_out.run(Input::Rows(&attended), &[1], &mut out);
            add(&mut x, &out);

            let mut query = [0.0; WIDTH];
            layer.query.run(Input::Rows(&x), &[1], &mut query);
            let heard = &self.heard[..self.heard_rows * LAYERS * 2 * WIDTH];
            let attended = attend(&query, heard, LAYERS * 2 * WIDTH, index * 2 * WIDTH);
            layer.sound_out.run(Input::Rows(&attended), &[1], &mut out);
            add(&mut x, &out);

            layer.inner.run(Input::Rows(&x), &[1], &mut out);
            add(&mut x, &out);
        }
        self.last.run(Input::Rows(&x), &[1], &mut self.scores);
        self.steps += 1;
        &self.scores
    }
}

fn add(x: &mut [f32; WIDTH], y: &[f32; WIDTH]) {
    x.iter_mut().zip(y).for_each(|(x, y)| *x += y);
}

/// Softmax attention of one query to rows of `stride` values, whose keys begin at `first` and whose values follow them.
fn attend(query: &[f32; WIDTH], rows: &[f32], stride: usize, first: usize) -> [f32; WIDTH] {
    let scale = 1.0 / (HEAD as f32).sqrt();
    let mut out = [0.0; WIDTH];
    let mut weights = [0.0_f32; ROWS_MAX];
    let count = rows.len() / stride;
    let weights = &mut weights[..count];
    for head in 0..HEADS {
        let (query, at) = (&query[head * HEAD..][..HEAD], first + head * HEAD);
        for (weight, row) in weights.iter_mut().zip(rows.chunks_exact(stride)) {
            *weight = dot(query, &row[at..at + HEAD]) * scale;
        }
        let highest = weights.iter().copied().fold(f32::MIN, f32::max);
        let mut sum = 0.0;
        for weight in weights.iter_mut() {
            *weight = (*weight - highest).exp();
            sum += *weight;
        }
        let out = &mut out[head * HEAD..][..HEAD];
        for (weight, row) in weights.iter().zip(rows.chunks_exact(stride)) {
            let values = &row[at + WIDTH..][..HEAD];
            out.iter_mut()
                .zip(values)
                .for_each(|(out, value)| *out += weight / sum * value);
        }
    }
    out
}

/// In sixteen sums at a time, so that the compiler can keep them side by side.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut sums = [0.0; 16];
    for (a, b) in a.as_chunks::<16>().0.iter().zip(b.as_chunks::<16>().0) {
        for k in 0..16 {
            sums[k] += a[k] * b[k];
        }
    }
    sums.iter().sum()
}
