//! Products of bytes: rounding, exact sums on shapes from a seeded generator against loops written from the definition, and whole
//! plans in int8 against the same in f32.

use std::panic::catch_unwind;

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::kernels::depthwise::{self, BYTE_OF_RELU6, Plane};
use reflexarc::inference::kernels::pack::{DepthwiseFilters, Packed, Scale, Walk};
use reflexarc::inference::kernels::pointwise::{
    self, Activation, Input, Output, Precision, Runs, Scales, Step,
};
use reflexarc::inference::kernels::quantise::{self, Bytes, Rows};
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{self, Limits, Plan};

use crate::kernels::{activated, refuses};
use crate::made_up::{convolutional, vision};
use crate::seeded::Seeded;

const CASES: u64 = if cfg!(miri) { 5 } else { 200 };

/// What stands where nothing may be written.
const UNTOUCHED: f32 = 1e30;

/// The sets that multiply bytes.
fn sets() -> impl Iterator<Item = Isa> {
    Isa::available().filter(|isa| isa.takes_bytes())
}

/// A number of a tensor of bytes.
fn byte(isa: Isa, words: &[f32], pitch: usize, row: usize, column: usize) -> i64 {
    let lanes = isa.lanes();
    let at = column / (4 * lanes) * pitch + row * lanes + column % (4 * lanes) / 4;
    i64::from(quantise::bytes(isa, words[at])[column % 4])
}

/// Rows of f32 in blocks, `[row][column]` put there; the rest of the last block is zeros.
fn blocked(isa: Isa, columns: usize, rows: &[f32], pitch: usize) -> Vec<f32> {
    let mut values = vec![0.0; isa.blocks(columns) * pitch];
    for (row, line) in rows.chunks_exact(columns).enumerate() {
        for (column, &v) in line.iter().enumerate() {
            let lanes = isa.lanes();
            values[column / lanes * pitch + row * lanes + column % lanes] = v;
        }
    }
    values
}

#[test]
fn a_row_becomes_bytes_whose_largest_is_127_away_from_128() {
    for isa in Isa::available() {
        for seed in 0..CASES {
            let mut random = Seeded(seed);
            let (count, columns) = (random.from(1..=20), random.from(1..=200));
            let lanes = isa.lanes();
            let (pitch, to) = (
                (count + random.from(0..=2)) * lanes,
                (count + random.from(0..=2)) * lanes,
            );
            let size = 10f32.powi(random.from(0..=12) as i32 - 6);
            let mut rows = random.values(count * columns);
            rows.iter_mut().for_each(|v| *v *= size);
            // A row of zeros, and one that is not a number.
            rows[..columns].fill(0.0);
            let bad = (count > 2).then(|| {
                let value = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][random.from(0..=2)];
                rows[2 * columns - 1] = value;
                1
            });
            let values = blocked(isa, columns, &rows, pitch);
            let mut words = vec![UNTOUCHED; isa.blocks(columns).div_ceil(4) * to];
            let mut scales = vec![UNTOUCHED; count + 1];
            let from = Rows {
                rows: count,
                blocks: isa.blocks(columns),
                pitch,
                values: &values,
            };
            let output = Bytes {
                words: (&mut words).into(),
                pitch: to,
                scales: &mut scales[..count],
            };
            quantise::run(isa, from, output);
            assert_eq!(scales[count], UNTOUCHED);
            for (row, line) in rows.chunks_exact(columns).enumerate() {
                if bad == Some(row) {
                    assert!(scales[row].is_nan(), "{isa:?}, seed {seed}");
                    continue;
                }
                let largest = line.iter().fold(0.0f32, |most, v| most.max(v.abs()));
                assert!((scales[row] - largest / 127.0).abs() <= largest * 1e-7);
                for (column, &v) in line.iter().enumerate() {
                    let found = byte(isa, &words, to, row, column) - 128;
                    let exact = match largest > 0.0 {
                        true => f64::from(v) * 127.0 / f64::from(largest),
                        false => 0.0,
                    };
                    let error = (found as f64 - exact).abs();
                    assert!(
                        error < 0.5001,
                        "{isa:?}, seed {seed}: {exact} became {found}"
                    );
                }
            }
        }
    }
}

/// Weights as the definition says: each output's largest is 127.
fn whole(weights: &[f32], inputs: usize) -> (Vec<i64>, Vec<f64>) {
    let (mut all, mut scales) = (Vec::new(), Vec::new());
    for row in weights.chunks_exact(inputs) {
        let largest = row.iter().fold(0.0f32, |most, w| most.max(w.abs()));
        let scale = largest / 127.0;
        let whole = |w: &f32| {
            if scale > 0.0 {
                (w / scale).round_ties_even() as i64
            } else {
                0
            }
        };
        all.extend(row.iter().map(whole));
        scales.push(f64::from(scale));
    }
    (all, scales)
}

#[test]
fn a_product_of_bytes_is_exact_but_for_its_factors() {
    for isa in sets() {
        for seed in 0..CASES {
            let mut random = Seeded(seed);
            let lanes = isa.lanes();
            let (inputs, outputs) = (random.from(1..=300), random.from(1..=100));
            let runs = Runs {
                count: random.from(1..=4),
                width: random.from(1..=20),
            };
            let pixels = runs.count * runs.width;
            let gap = random.from(0..=2);
            let run_stride = (runs.width + gap) * lanes;
            let segment_stride = runs.count * run_stride + random.from(0..=3) * lanes;
            // The hardest: everything as large as can be, so that sums of two products leave 16 bits.
            let is_extreme = seed % 4 == 0;
            let any = |random: &mut Seeded| match is_extreme {
                true => 255,
                false => random.from(0..=255) as u8,
            };
            let blocks = inputs.div_ceil(4 * lanes);
            let mut words = vec![0.0; blocks * segment_stride];
            let mut numbers = vec![0; pixels * inputs];
            for word in &mut words {
                *word = quantise::word(isa, [0; 4].map(|_| any(&mut random)));
            }
            for pixel in 0..pixels {
                for input in 0..inputs {
                    let (run, column) = (pixel / runs.width, pixel % runs.width);
                    let at = run * (runs.width + gap) + column;
                    numbers[pixel * inputs + input] = byte(isa, &words, segment_stride, at, input);
                }
            }
            let weights: Vec<f32> = match is_extreme {
                true => vec![if random.flip() { 1.0 } else { -1.0 }; inputs * outputs],
                false => random.values(inputs * outputs),
            };
            let bias = random.values(outputs);
            let by_row = random.flip();
            let scale = match by_row {
                true => Scale::OfRow,
                false => Scale::Fixed(0.01),
            };
            let walk = Walk::columns(isa, Precision::Int8, inputs);
            let packed = Packed::of_bytes(isa, walk, &weights, &bias, scale, runs.width);
            let factors: Vec<f32> = (0..pixels).map(|_| 0.02 + 0.01 * random.value()).collect();
            let activations = [Activation::None, Activation::Relu6, Activation::Gelu];
            let activation = activations[random.from(0..=2)];
            let block_stride = pixels * lanes + random.from(0..=2) * lanes;
            let len = isa.blocks(outputs) * block_stride;
            let residual = random.flip().then(|| random.values(len));
            let mut output = vec![UNTOUCHED; len];
            let input = Input {
                values: &words,
                start: 0,
                step: Step::Block,
                segment_stride,
                run_stride,
                scales: by_row.then_some(Scales {
                    values: &factors,
                    start: 0,
                    run_stride: runs.width,
                }),
            };
            let mut to = Output {
                values: (&mut output).into(),
                precision: Precision::F32,
                start: 0,
                pixel_stride: lanes,
                block_stride,
                run_stride: runs.width * lanes,
                residual: residual.as_deref(),
            };
            pointwise::run(&packed, packed.panels(), activation, runs, input, &mut to);
            let (weights, scales) = whole(&weights, inputs);
            for pixel in 0..pixels {
                for o in 0..outputs {
                    let (factor, zero) = match by_row {
                        true => (f64::from(factors[pixel]), 128),
                        false => (0.01, 0),
                    };
                    let pairs = numbers[pixel * inputs..][..inputs].iter();
                    let pairs = pairs.zip(&weights[o * inputs..][..inputs]);
                    let sum: i64 = pairs.map(|(x, w)| (x - zero) * w).sum();
                    let at = o / lanes * block_stride + pixel * lanes + o % lanes;
                    let mut value = sum as f64 * factor * scales[o] + f64::from(bias[o]);
                    value += residual.as_ref().map_or(0.0, |r| f64::from(r[at]));
                    let expected = activated(value, activation);
                    let error = (f64::from(output[at]) - expected).abs();
                    assert!(
                        error <= 1e-6 * (value.abs() + 2.0),
                        "{isa:?}, seed {seed}: {} instead of {expected}",
                        output[at]
                    );
                }
            }
        }
    }
}

#[test]
fn a_depthwise_convolution_as_bytes_is_the_same_rounded() {
    for isa in Isa::available() {
        for seed in 0..CASES {
            let mut random = Seeded(seed);
            let (lanes, size) = (isa.lanes(), [3, 5][random.from(0..=1)]);
            let (channels, width) = (random.from(1..=5) * lanes, random.from(1..=12));
            let stride = random.from(1..=2);
            let filters: Vec<f32> = random.values(channels * size * size);
            let bias: Vec<f32> = random.values(channels).iter().map(|b| b + 2.0).collect();
            let filters = DepthwiseFilters::new(isa, Precision::F32, size, &filters, &bias);
            let row_floats = ((width - 1) * stride + size) * lanes;
            let values = random.values(size * row_floats);
            let rows: Vec<usize> = (0..size).map(|row| row * row_floats).collect();
            let mut words = vec![UNTOUCHED; width * lanes];
            for block in 0..isa.blocks(channels).min(4) {
                let plane = Plane {
                    values: &values,
                    rows: &rows,
                    row_floats,
                    stride,
                };
                let mut exact = vec![0.0; width * lanes];
                depthwise::run(&filters, block, plane, 1, width, &mut exact);
                let before = words.clone();
                depthwise::run_to_bytes(&filters, block, plane, width, &mut words);
                for pixel in 0..width {
                    for column in 0..4 * lanes {
                        let found = byte(isa, &words, words.len(), pixel, column);
                        if column / lanes == block {
                            let value = f64::from(exact[pixel * lanes + column % lanes]);
                            let error = found as f64 - value / f64::from(BYTE_OF_RELU6);
                            assert!(error.abs() < 0.501, "{isa:?}: {value} became {found}");
                        } else {
                            let before = byte(isa, &before, words.len(), pixel, column);
                            assert_eq!(found, before, "another block's quarter was written");
                        }
                    }
                }
            }
        }
    }
}

/// Outputs in int8 and in f32.
fn both(net: &Network, isa: Isa, input: plan::Input<'_>, lengths: &[usize]) -> [Vec<f32>; 2] {
    let output = net.output();
    let rows: usize = lengths.iter().map(|&len| output.rows.of(len)).sum();
    let limits = Limits {
        rows: lengths.iter().sum(),
        sequences: lengths.len(),
    };
    [Precision::Int8, Precision::F32].map(|precision| {
        let mut found = vec![0.0; rows * output.columns];
        Plan::new(net, isa, precision, limits).run(input, lengths, &mut found);
        found
    })
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| {
        let pairs = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        pairs.sum::<f64>()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn whole_networks_in_int8_are_near_those_in_f32() {
    for isa in sets() {
        for seed in 0..if cfg!(miri) { 1 } else { 12 } {
            let mut random = Seeded(seed);
            let heads = random.from(1..=3);
            let (inputs, columns) = (random.from(1..=50), heads * 16 * random.from(1..=3));
            let lengths = [random.from(1..=30), random.from(1..=20)];
            let net = vision(&mut random, inputs, columns, heads, 30);
            let input = random.values(lengths.iter().sum::<usize>() * inputs);
            let [found, exact] = both(&net, isa, plan::Input::Rows(&input), &lengths);
            let near = cosine(&found, &exact);
            assert!(near > 0.99, "{isa:?}, a transformer, seed {seed}: {near}");

            let (height, width) = (random.from(30..=50), random.from(30..=50));
            let net = convolutional(&mut random, height, width);
            let pixels = random.values(height * width * 3);
            let [found, exact] = both(&net, isa, plan::Input::Picture(&pixels), &[1]);
            let near = cosine(&found, &exact);
            assert!(near > 0.98, "{isa:?}, convolutions, seed {seed}: {near}");
        }
    }
}

#[test]
fn a_tensor_of_bytes_that_is_one_value_short_is_refused() {
    for isa in sets() {
        let lanes = isa.lanes();
        let run = |values: usize, words: usize, scales: usize| {
            let (values, mut words) = (vec![0.0; values], vec![0.0; words]);
            let rows = Rows {
                rows: 3,
                blocks: 5,
                pitch: 4 * lanes,
                values: &values,
            };
            let bytes = Bytes {
                words: (&mut words).into(),
                pitch: 3 * lanes,
                scales: &mut vec![0.0; scales],
            };
            quantise::run(isa, rows, bytes);
        };
        let (values, words) = (19 * lanes, 6 * lanes);
        run(values, words, 3);
        refuses(|| run(values - 1, words, 3));
        refuses(|| run(values, words - 1, 3));
        refuses(|| run(values, words, 2));
        let walk = |inputs| Walk::columns(isa, Precision::Int8, inputs);
        let packed = Packed::of_bytes(isa, walk(4), &[1.0; 12], &[0.0; 3], Scale::OfRow, 4);
        let run = |scales: Option<usize>| {
            let factors = vec![0.0; scales.unwrap_or(0)];
            let input = Input {
                values: &vec![0.0; 4 * lanes],
                start: 0,
                step: Step::Block,
                segment_stride: 0,
                run_stride: 0,
                scales: scales.map(|_| Scales {
                    values: &factors,
                    start: 0,
                    run_stride: 0,
                }),
            };
            let mut output = vec![0.0; 4 * lanes];
            let mut output = Output {
                values: (&mut output).into(),
                precision: Precision::F32,
                start: 0,
                pixel_stride: lanes,
                block_stride: 0,
                run_stride: 0,
                residual: None,
            };
            let panels = packed.panels();
            pointwise::run(
                &packed,
                panels,
                Activation::None,
                Runs::one(4),
                input,
                &mut output,
            );
        };
        run(Some(4));
        refuses(|| run(Some(3)));
        refuses(|| run(None));
    }
}

#[test]
fn a_set_that_cannot_multiply_bytes_says_so() {
    for isa in Isa::available().filter_map(Isa::without_quads) {
        assert!(!isa.takes_bytes());
        let walk = Walk::columns(isa, Precision::Int8, 1);
        let refused = catch_unwind(|| Packed::of_bytes(isa, walk, &[1.0], &[0.0], Scale::OfRow, 1));
        assert!(refused.is_err());
    }
}
