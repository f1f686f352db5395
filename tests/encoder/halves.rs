//! Products of f16: to the bit what a loop written from the definition gives, on shapes from a seeded generator; how far that is
//! from the exact sum; and whole plans in f16 against the same in f32.

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::kernels::halves;
use reflexarc::inference::kernels::pack::{Packed, Walk};
use reflexarc::inference::kernels::pointwise::{
    self, Activation, Input, Output, Precision, Runs, Step,
};
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{self, Limits, Plan};

use crate::kernels::{activated, refuses};
use crate::made_up::{convolutional, vision};
use crate::seeded::Seeded;

const CASES: u64 = if cfg!(miri) { 3 } else { 100 };

/// What stands where nothing may be written.
const UNTOUCHED: f32 = 1e30;

/// Words until sums of f16 are added to those of f32, as the precision's documentation says.
const UNSETTLED_MAX: usize = 32;

/// The sets that multiply f16.
fn sets() -> impl Iterator<Item = Isa> {
    Isa::available().filter(|isa| isa.takes_halves())
}

fn rounded(value: f64) -> f32 {
    halves::number(halves::round(value))
}

/// The sum of products of words that come in segments of so many.
fn defined(bias: f32, x: &[f32], w: &[f32], segment: usize) -> f32 {
    let (mut sum, mut parts, mut unsettled) = (bias, [0.0f32; 2], 0);
    let segments = x.len().div_ceil(2 * segment);
    let all = x.chunks(2 * segment).zip(w.chunks(2 * segment));
    for (index, (x, w)) in all.enumerate() {
        for (i, (x, w)) in x.iter().zip(w).enumerate() {
            let [x, w] = [x, w].map(|v| f64::from(rounded(f64::from(*v))));
            parts[i % 2] = rounded(f64::from(parts[i % 2]) + x * w);
        }
        unsettled += x.len().div_ceil(2);
        if unsettled >= UNSETTLED_MAX || index + 1 == segments {
            sum += parts[0] + parts[1];
            (parts, unsettled) = ([0.0; 2], 0);
        }
    }
    sum
}

/// Rows in words of two f16.
fn words(isa: Isa, rows: &[Vec<f32>], pitch: usize) -> Vec<f32> {
    let lanes = isa.lanes();
    let columns = rows[0].len();
    let mut words = vec![0.0; columns.div_ceil(2 * lanes) * pitch];
    for (row, line) in rows.iter().enumerate() {
        for (pair, numbers) in line.chunks(2).enumerate() {
            let second = numbers.get(1).copied().unwrap_or(0.0);
            words[pair / lanes * pitch + row * lanes + pair % lanes] =
                halves::word([numbers[0], second]);
        }
    }
    words
}

#[test]
fn a_product_of_f16_is_what_its_definition_says_to_the_bit() {
    for isa in sets() {
        for seed in 0..CASES {
            let random = &mut Seeded(seed);
            let lanes = isa.lanes();
            let (inputs, outputs) = (random.from(1..=300), random.from(1..=40));
            let count = random.from(1..=20);
            let pitch = (count + random.from(0..=2)) * lanes;
            let rows: Vec<Vec<f32>> = (0..count).map(|_| random.values(inputs)).collect();
            let weights = random.values(inputs * outputs);
            let bias = random.values(outputs);
            let packed = Packed::for_rows(isa, Precision::F16, &weights, &bias, count);
            let activation = [Activation::None, Activation::Relu6][random.from(0..=1)];
            let values = words(isa, &rows, pitch);
            let block_stride = (count + random.from(0..=2)) * lanes;
            let mut output = vec![UNTOUCHED; isa.blocks(outputs) * block_stride];
            let input = Input {
                values: &values,
                start: 0,
                step: Step::Block,
                segment_stride: pitch,
                run_stride: 0,
                scales: None,
            };
            let mut to = Output {
                values: (&mut output).into(),
                precision: Precision::F32,
                start: 0,
                pixel_stride: lanes,
                block_stride,
                run_stride: 0,
                residual: None,
            };
            let runs = Runs::one(count);
            pointwise::run(&packed, packed.panels(), activation, runs, input, &mut to);
            for (row, x) in rows.iter().enumerate() {
                for (out, w) in weights.chunks_exact(inputs).enumerate() {
                    let case = format!("{isa:?}, seed {seed}: row {row}, output {out}");
                    let found = output[out / lanes * block_stride + row * lanes + out % lanes];
                    let sum = f64::from(defined(bias[out], x, w, lanes));
                    let expected = activated(sum, activation) as f32;
                    assert_eq!(found, expected, "{case}");
                    // And near the exact sum: each product is rounded three times, and then once more for each product after it.
                    let products = || x.iter().zip(w).map(|(x, w)| f64::from(x * w));
                    let exact = f64::from(bias[out]) + products().sum::<f64>();
                    let size: f64 = products().map(f64::abs).sum();
                    let bound = size * (UNSETTLED_MAX + lanes + 3) as f64 / 2048.0 + 1e-5;
                    assert!((sum - exact).abs() <= bound, "{case}: {sum}, {exact}");
                }
            }
            for (at, v) in output.iter().enumerate() {
                let is_inside = at % block_stride < count * lanes;
                assert_eq!(*v == UNTOUCHED, !is_inside, "{isa:?}, seed {seed}: {at}");
            }
        }
    }
}

#[test]
fn over_many_inputs_the_error_stays_a_thousandth() {
    let random = &mut Seeded(3);
    let (inputs, outputs) = (3072, 8);
    let (x, weights) = (random.values(inputs), random.values(inputs * outputs));
    let mut square = [0.0; 2];
    for w in weights.chunks_exact(inputs) {
        let products = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
        let exact: f64 = products.sum();
        let found = defined(0.0, &x, w, 8);
        square[0] += (f64::from(found) - exact).powi(2);
        // What a sum of so many products of numbers within 1 usually is.
        square[1] += inputs as f64 / 9.0;
    }
    let relative = (square[0] / square[1]).sqrt();
    assert!(relative < 1e-3, "{relative}");
}

#[test]
fn what_is_too_large_for_f16_is_infinite_and_a_nan_stays_one() {
    for isa in sets() {
        for (x, is_nan) in [(1e4, false), (f32::NAN, true)] {
            let packed = Packed::for_rows(isa, Precision::F16, &[100.0], &[0.0], 1);
            let values = words(isa, &[vec![x]], isa.lanes());
            let mut output = vec![0.0; isa.lanes()];
            let input = Input {
                values: &values,
                start: 0,
                step: Step::Block,
                segment_stride: isa.lanes(),
                run_stride: 0,
                scales: None,
            };
            let mut to = Output {
                values: (&mut output).into(),
                precision: Precision::F32,
                start: 0,
                pixel_stride: isa.lanes(),
                block_stride: isa.lanes(),
                run_stride: 0,
                residual: None,
            };
            let (panels, none) = (packed.panels(), Activation::None);
            pointwise::run(&packed, panels, none, Runs::one(1), input, &mut to);
            assert_eq!(output[0].is_nan(), is_nan, "{isa:?}");
            assert!(!output[0].is_finite(), "{isa:?}");
        }
    }
}

#[test]
fn a_set_that_cannot_multiply_f16_says_so() {
    for isa in Isa::available().filter(|isa| !isa.takes_halves()) {
        let walk = Walk::columns(isa, Precision::F16, 4);
        refuses(|| {
            let _ = Packed::of_halves(isa, walk, &[1.0; 12], &[0.0; 3], 4);
        });
    }
}

/// The cosine between what a network gives in f32 and in f16, and whether that is the same.
fn compared(net: &Network, isa: Isa, input: plan::Input<'_>, rows: usize) -> (f64, bool) {
    let output = net.output();
    let limits = Limits { rows, sequences: 1 };
    let [exact, found] = [Precision::F32, Precision::F16].map(|precision| {
        let mut values = vec![0.0; output.rows.of(rows) * output.columns];
        Plan::new(net, isa, precision, limits).run(input, &[rows], &mut values);
        values
    });
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b));
        products.sum()
    };
    let lengths = dot(&exact, &exact) * dot(&found, &found);
    (dot(&exact, &found) / lengths.sqrt(), exact == found)
}

#[test]
fn whole_networks_in_f16_are_near_those_in_f32() {
    for isa in sets() {
        for seed in 0..3 {
            let mut random = Seeded(seed);
            let (inputs, columns, heads, rows) = (48, 96, 3, 20);
            let net = vision(&mut random, inputs, columns, heads, rows);
            let input = random.values(rows * inputs);
            let (cosine, is_same) = compared(&net, isa, plan::Input::Rows(&input), rows);
            assert!(cosine > 0.99999, "{isa:?}, transformer {seed}: {cosine}");
            assert!(!is_same, "{isa:?}, transformer {seed}: nothing is rounded");
        }
        let mut same = 0;
        for seed in 0..6 {
            let mut random = Seeded(seed);
            let (height, width) = (random.from(20..=40), random.from(20..=40));
            let net = convolutional(&mut random, height, width);
            let pixels = random.values(height * width * 3);
            let (cosine, is_same) = compared(&net, isa, plan::Input::Picture(&pixels), 1);
            assert!(cosine > 0.99999, "{isa:?}, convolutions {seed}: {cosine}");
            same += u32::from(is_same);
        }
        // Some have no convolution with windows of one pixel.
        assert!(same < 6, "{isa:?}: nothing is rounded");
    }
}
