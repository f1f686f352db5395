//! Layer norm, softmax and attention on shapes from a seeded generator, against loops written from the definition, on
//! every instruction set of this processor.

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::kernels::attention::{Attention, Part};
use reflexarc::inference::kernels::bf16;
use reflexarc::inference::kernels::layer_norm::{self, Norm};
use reflexarc::inference::kernels::pack::{Packed, Walk};
use reflexarc::inference::kernels::pointwise::{
    self, Activation, Input, Output, Precision, Runs, Step,
};
use reflexarc::inference::kernels::softmax::{self, Rounded, Shape};

use crate::kernels::{activated, refuses};
use crate::seeded::Seeded;

const CASES: u64 = 200;

/// What stands where nothing may be written.
const UNTOUCHED: f32 = 1e30;

/// Every instruction set, and where there is an instruction for pairs of bf16, the same without it.
fn sets() -> impl Iterator<Item = Isa> {
    Isa::available().flat_map(|isa| [Some(isa), isa.without_pairs()].into_iter().flatten())
}

/// A blocked tensor with room between its blocks, and everywhere what must not be touched.
struct Blocked {
    lanes: usize,
    pitch: usize,
    values: Vec<f32>,
}

impl Blocked {
    fn new(isa: Isa, rows: usize, columns: usize, random: &mut Seeded) -> Self {
        let lanes = isa.lanes();
        let pitch = (rows + random.from(0..=3)) * lanes;
        Self {
            lanes,
            pitch,
            values: vec![UNTOUCHED; isa.blocks(columns) * pitch],
        }
    }

    fn at(&self, row: usize, column: usize) -> usize {
        column / self.lanes * self.pitch + row * self.lanes + column % self.lanes
    }

    /// Fills `rows` rows with values of the generator, and the last block up with zeros.
    fn fill(&mut self, rows: usize, columns: usize, random: &mut Seeded) {
        for row in 0..rows {
            for column in 0..columns.next_multiple_of(self.lanes) {
                let at = self.at(row, column);
                self.values[at] = if column < columns {
                    random.value()
                } else {
                    0.0
                };
            }
        }
    }

    fn get(&self, row: usize, column: usize) -> f64 {
        f64::from(self.values[self.at(row, column)])
    }

    /// Rounds all values to bf16, and gives them as words of two, with the same pitch.
    fn round(&mut self) -> Vec<f32> {
        for value in &mut self.values {
            *value = rounded(*value);
        }
        let mut words = vec![UNTOUCHED; self.values.len()];
        for (index, block) in self.values.chunks(self.pitch).enumerate() {
            let to = &mut words[index / 2 * self.pitch..];
            for (row, values) in block.chunks_exact(self.lanes).enumerate() {
                let half = row * self.lanes + index % 2 * self.lanes / 2;
                for (pair, word) in values.as_chunks::<2>().0.iter().zip(&mut to[half..]) {
                    *word = bf16::word(*pair);
                }
            }
        }
        words
    }
}

/// The nearest bf16.
fn rounded(value: f32) -> f32 {
    f32::from_bits(u32::from(bf16::round(value)) << 16)
}

/// What a tensor of words of bf16 holds.
fn number(like: &Blocked, words: &[f32], row: usize, column: usize) -> f32 {
    let lanes = like.lanes;
    let at = column / (2 * lanes) * like.pitch + row * lanes + column % (2 * lanes) / 2;
    bf16::numbers(words[at])[column % 2]
}

/// The same in both precisions.
fn check_rounded(like: &Blocked, rows: usize, columns: usize, values: &[f32], words: &[f32]) {
    for row in 0..rows {
        for column in 0..columns {
            let found = number(like, words, row, column);
            assert_eq!(found, rounded(values[like.at(row, column)]));
        }
    }
}

#[test]
fn a_number_is_rounded_to_the_nearest_bf16_and_from_the_middle_to_the_even_one() {
    for (value, expected) in [
        (1.0, 0x3f80),
        (f32::from_bits(0x3f80_7fff), 0x3f80),
        (f32::from_bits(0x3f80_8000), 0x3f80),
        (f32::from_bits(0x3f80_8001), 0x3f81),
        (f32::from_bits(0x3f81_8000), 0x3f82),
        (-0.0, 0x8000),
        (f32::MAX, 0x7f80),
        (f32::NEG_INFINITY, 0xff80),
        (f32::NAN, 0x7fc0),
        (-f32::NAN, 0xffc0),
        (f32::from_bits(0x7fff_ffff), 0x7fff),
    ] {
        assert_eq!(bf16::round(value), expected, "{value}");
        // Through a layer norm of one column, which gives its shift: 0 + shift, so no -0.
        for isa in sets().filter(|_| value != 0.0) {
            let norm = Norm::new(isa, &[0.0], &[value], 1.0);
            let mut words = vec![0.0; isa.lanes()];
            let output = layer_norm::Output {
                f32: None,
                bf16: Some((&mut words).into()),
            };
            layer_norm::run(&norm, 1, isa.lanes(), &vec![0.0; isa.lanes()], output);
            let found = words[0].to_bits() & 0xffff;
            // Arithmetic may give another NaN than went in.
            let is_nan = found & 0x7f80 == 0x7f80 && found & 0x7f != 0;
            assert!(
                found == u32::from(expected) || (value.is_nan() && is_nan),
                "{isa:?}: {value} became {found:x}"
            );
        }
    }
}

#[test]
fn a_product_of_bf16_is_what_its_definition_says() {
    for isa in sets() {
        for seed in 0..CASES {
            check_product(isa, seed);
        }
    }
}

fn check_product(isa: Isa, seed: u64) {
    let mut random = Seeded(seed);
    let (rows, inputs) = (random.from(1..=40), random.from(1..=150));
    let outputs = random.from(1..=150);
    let activation = [Activation::None, Activation::Relu6, Activation::Gelu][random.from(0..=2)];
    let precision = [Precision::F32, Precision::Bf16][random.from(0..=1)];
    let with_residual = random.flip() && precision == Precision::F32;
    let case = format!(
        "seed {seed}, {isa:?}: {rows} rows from {inputs} to {outputs}, {activation:?} as {precision:?}"
    );
    let mut input = Blocked::new(isa, rows, inputs, &mut random);
    input.fill(rows, inputs, &mut random);
    let words = input.round();
    let (weights, bias) = (random.values(outputs * inputs), random.values(outputs));
    let packed = Packed::for_rows(isa, Precision::Bf16, &weights, &bias, random.from(1..=20));
    let mut output = Blocked::new(isa, rows, outputs, &mut random);
    let residual = random.values(output.values.len());
    pointwise::run(
        &packed,
        packed.panels(),
        activation,
        Runs::one(rows),
        Input {
            values: &words,
            start: 0,
            step: Step::Block,
            segment_stride: input.pitch,
            run_stride: 0,
            scales: None,
        },
        &mut Output {
            values: (&mut output.values).into(),
            precision,
            start: 0,
            pixel_stride: isa.lanes(),
            block_stride: output.pitch,
            run_stride: 0,
            residual: with_residual.then_some(&residual),
        },
    );
    for row in 0..rows {
        for column in 0..outputs {
            let mut sum = f64::from(bias[column]);
            for i in 0..inputs {
                let weight = rounded(weights[column * inputs + i]);
                sum += input.get(row, i) * f64::from(weight);
            }
            if with_residual {
                sum += f64::from(residual[output.at(row, column)]);
            }
            let expected = activated(sum, activation);
            let (found, tolerance) = match precision {
                Precision::F32 => (output.get(row, column), 0.0),
                Precision::Bf16 => {
                    let found = number(&output, &output.values, row, column);
                    (f64::from(found), expected.abs() / 256.0)
                }
                Precision::F16 | Precision::Int8 => unreachable!("these have tests of their own"),
            };
            assert!(
                (found - expected).abs() <= tolerance + 2e-6 * (inputs as f64 + 10.0),
                "{case}: row {row}, column {column} is {found}, expected {expected}"
            );
        }
    }
    // Nothing between the blocks is touched.
    let blocks = isa.blocks(outputs).div_ceil(precision.columns_per_word());
    for (index, block) in output.values.chunks(output.pitch).enumerate() {
        let written = if index < blocks {
            rows * isa.lanes()
        } else {
            0
        };
        assert!(
            block[written..].iter().all(|&v| v == UNTOUCHED),
            "{case}: written outside"
        );
    }
}

#[test]
fn a_layer_norm_is_what_its_definition_says() {
    for isa in sets() {
        for seed in 0..CASES {
            let mut random = Seeded(seed);
            let (rows, columns) = (random.from(1..=20), random.from(1..=100));
            let (gain, shift) = (random.values(columns), random.values(columns));
            // Far from 0, where a mean of squares would lose its digits.
            let (offset, epsilon) = (100.0 * random.value(), 1e-5);
            let mut input = Blocked::new(isa, rows, columns, &mut random);
            input.fill(rows, columns, &mut random);
            for row in 0..rows {
                for column in 0..columns {
                    let at = input.at(row, column);
                    input.values[at] += offset;
                }
            }
            let norm = Norm::new(isa, &gain, &shift, epsilon);
            let mut output = vec![UNTOUCHED; input.values.len()];
            let mut words = vec![UNTOUCHED; input.values.len()];
            let to = layer_norm::Output {
                f32: Some((&mut output).into()),
                bf16: Some((&mut words).into()),
            };
            layer_norm::run(&norm, rows, input.pitch, &input.values, to);
            check_rounded(&input, rows, columns, &output, &words);
            let mut written = 0;
            for row in 0..rows {
                let values: Vec<f64> = (0..columns).map(|c| input.get(row, c)).collect();
                let mean = values.iter().sum::<f64>() / columns as f64;
                let variance =
                    values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / columns as f64;
                let spread = (variance + f64::from(epsilon)).sqrt();
                for column in 0..columns.next_multiple_of(isa.lanes()) {
                    let found = f64::from(output[input.at(row, column)]);
                    let expected = match values.get(column) {
                        Some(v) => {
                            (v - mean) / spread * f64::from(gain[column]) + f64::from(shift[column])
                        }
                        None => 0.0,
                    };
                    // What f32 keeps of a value near `offset`, after division by the spread.
                    let tolerance = 1e-5 + 4e-7 * f64::from(offset.abs() + 1.0) / spread;
                    assert!(
                        (found - expected).abs() < tolerance,
                        "seed {seed}, {isa:?}: row {row} of {rows}, column {column} of {columns} is {found}, expected {expected}"
                    );
                    written += 1;
                }
            }
            let untouched = output.iter().filter(|&&v| v == UNTOUCHED).count();
            assert_eq!(untouched, output.len() - written, "written outside");
        }
    }
}

#[test]
fn a_softmax_is_what_its_definition_says() {
    for isa in sets() {
        for seed in 0..CASES {
            let mut random = Seeded(seed);
            let (rows, columns) = (random.from(1..=20), random.from(1..=100));
            let mut values = Blocked::new(isa, rows, columns, &mut random);
            values.fill(rows, columns, &mut random);
            for row in 0..rows {
                for column in 0..columns.next_multiple_of(isa.lanes()) {
                    let at = values.at(row, column);
                    values.values[at] *= 20.0;
                    if column >= columns {
                        values.values[at] = f32::NEG_INFINITY;
                    }
                }
            }
            let before: Vec<Vec<f64>> = (0..rows)
                .map(|row| (0..columns).map(|c| values.get(row, c)).collect())
                .collect();
            let shape = Shape {
                rows,
                blocks: isa.blocks(columns),
                pitch: values.pitch,
            };
            let mut factors = vec![UNTOUCHED; rows + 1];
            softmax::run(isa, shape, &mut values.values, &mut factors, None);
            let scaled = (&mut values.values).into();
            softmax::scale(isa, shape, scaled, &factors, None);
            assert_eq!(factors[rows], UNTOUCHED, "written outside");
            for (row, before) in before.iter().enumerate() {
                let sum: f64 = before.iter().map(|v| v.exp2()).sum();
                for (column, v) in before.iter().enumerate() {
                    let (found, expected) = (values.get(row, column), v.exp2() / sum);
                    // What f32 keeps of a distance of up to 40.
                    assert!(
                        (found - expected).abs() < 3e-6 * expected + 1e-30,
                        "seed {seed}, {isa:?}: row {row}, column {column} is {found}, expected {expected}"
                    );
                }
            }
        }
    }
}

#[test]
fn attention_is_what_its_definition_says() {
    for isa in sets() {
        for seed in 0..CASES {
            check_attention(isa, Precision::F32, seed);
            check_attention(isa, Precision::Bf16, seed);
        }
    }
}

fn check_attention(isa: Isa, precision: Precision, seed: u64) {
    let mut random = Seeded(seed);
    let (heads, head_len) = (random.from(1..=3), 32 * random.from(1..=2));
    // Up to two whole strips and a rest; queries and keys of different numbers, as in cross-attention.
    let (queries, keys) = (random.from(1..=80), random.from(1..=80));
    let (first_query, first_key) = (random.from(0..=3), random.from(0..=3));
    let columns = heads * head_len;
    let case = format!(
        "seed {seed}, {isa:?}, {precision:?}: {heads} heads of {head_len}, {queries} x {keys}"
    );

    let mut q = Blocked::new(isa, first_query + queries, 2 * columns, &mut random);
    q.fill(first_query + queries, 2 * columns, &mut random);
    let mut kv = Blocked::new(isa, first_key + keys, 2 * columns, &mut random);
    kv.fill(first_key + keys, 2 * columns, &mut random);
    let mut output = Blocked::new(isa, first_query + queries, columns, &mut random);
    let (q_values, kv_values) = match precision {
        Precision::F32 => (q.values.clone(), kv.values.clone()),
        Precision::Bf16 => (q.round(), kv.round()),
        Precision::F16 | Precision::Int8 => unreachable!("there is no attention in these"),
    };
    let queries_part = Part {
        values: &q_values,
        pitch: q.pitch,
        first_row: first_query,
        rows: queries,
        first_column: columns,
    };
    let keys_part = |first_row, rows, first_column| Part {
        values: &kv_values,
        pitch: kv.pitch,
        first_row,
        rows,
        first_column,
    };
    let mut attention = Attention::new(isa, precision, heads, head_len, 83);
    // Twice: what the first run leaves behind must not show in the second.
    let nothing = vec![f32::NAN; kv.values.len()];
    let poison = Part {
        values: &nothing,
        ..keys_part(0, first_key + keys, 0)
    };
    attention.run(
        queries_part,
        poison,
        poison,
        (&mut output.values.clone()).into(),
        output.pitch,
    );
    attention.run(
        queries_part,
        keys_part(first_key, keys, 0),
        keys_part(first_key, keys, columns),
        (&mut output.values).into(),
        output.pitch,
    );
    let mut written = 0;
    for head in 0..heads {
        let columns_of = |first: usize| first + head * head_len..first + (head + 1) * head_len;
        for query in first_query..first_query + queries {
            let weights: Vec<f64> = (first_key..first_key + keys)
                .map(|key| {
                    let pairs = columns_of(columns).zip(columns_of(0));
                    let product: f64 = pairs.map(|(a, b)| q.get(query, a) * kv.get(key, b)).sum();
                    product.exp2()
                })
                .collect();
            let sum: f64 = weights.iter().sum();
            for (to, from) in columns_of(0).zip(columns_of(columns)) {
                let keys = (first_key..).zip(&weights);
                let expected: f64 = keys.map(|(key, w)| w / sum * kv.get(key, from)).sum();
                let (found, tolerance) = match precision {
                    Precision::F32 => (output.get(query, to), 1e-5),
                    // The weights are rounded, and so is the result: each by 1 in 512 at most.
                    Precision::Bf16 => {
                        let found = number(&output, &output.values, query, to);
                        (f64::from(found), 1.0 / 256.0)
                    }
                    Precision::F16 | Precision::Int8 => {
                        unreachable!("there is no attention in these")
                    }
                };
                assert!(
                    (found - expected).abs() < tolerance,
                    "{case}: query {query}, column {to} is {found}, expected {expected}"
                );
                written += 1;
            }
        }
    }
    let untouched = output.values.iter().filter(|&&v| v == UNTOUCHED).count();
    assert_eq!(
        untouched,
        output.values.len() - written / precision.columns_per_word(),
        "{case}: written outside"
    );
}

/// Each activation through a product with the weight 1, on values over its whole range.
fn activations(isa: Isa, activation: Activation, values: &[f32]) -> Vec<f32> {
    let lanes = isa.lanes();
    let packed = Packed::new(isa, Walk::channels(isa, 1), &[1.0], &[0.0], values.len());
    let mut input = vec![0.0; values.len() * lanes];
    for (vector, &v) in input.chunks_exact_mut(lanes).zip(values) {
        vector[0] = v;
    }
    let mut output = vec![0.0; input.len()];
    pointwise::run(
        &packed,
        packed.panels(),
        activation,
        Runs::one(values.len()),
        Input {
            values: &input,
            start: 0,
            step: Step::Block,
            segment_stride: 0,
            run_stride: 0,
            scales: None,
        },
        &mut Output {
            values: (&mut output).into(),
            precision: Precision::F32,
            start: 0,
            pixel_stride: lanes,
            block_stride: 0,
            run_stride: 0,
            residual: None,
        },
    );
    output.chunks_exact(lanes).map(|vector| vector[0]).collect()
}

#[test]
fn an_activation_keeps_its_promised_error_over_its_whole_range() {
    let fine = (-120_000..=120_000).map(|i| i as f32 / 10_000.0);
    let coarse = (-200..=200).map(|i| 5.0 * i as f32);
    let values: Vec<f32> = fine.chain(coarse).collect();
    for isa in sets() {
        for (activation, promised) in [
            (Activation::Relu, 0.0),
            (Activation::Gelu, 1e-7),
            (Activation::GeluTanh, 2e-7),
            (Activation::Silu, 2e-7),
        ] {
            let found = activations(isa, activation, &values);
            let worst = values
                .iter()
                .zip(found)
                .map(|(&v, found)| {
                    let error = f64::from(found) - activated(f64::from(v), activation);
                    error.abs() / (1.0 + f64::from(v.abs()))
                })
                .fold(0.0, f64::max);
            eprintln!("{isa:?}, {activation:?}: at most {worst:.2e} x (1 + |x|)");
            assert!(worst <= promised, "{isa:?}, {activation:?}: {worst:.2e}");
        }
    }
}

#[test]
fn a_nan_stays_a_nan_so_that_it_is_found_at_the_end() {
    for isa in sets() {
        for activation in [
            Activation::None,
            Activation::Relu,
            Activation::Relu6,
            Activation::Gelu,
            Activation::GeluTanh,
            Activation::Silu,
        ] {
            let found = activations(isa, activation, &[1.0, f32::NAN, 2.0]);
            assert!(found[1].is_nan(), "{isa:?}, {activation:?}");
            assert!(found[0].is_finite() && found[2].is_finite());
        }
    }
}

#[test]
fn a_tensor_that_is_one_value_short_is_refused() {
    for isa in sets() {
        let lanes = isa.lanes();
        let columns = 2 * lanes;
        let norm = Norm::new(isa, &vec![1.0; columns], &vec![0.0; columns], 1e-5);
        let (pitch, len) = (5 * lanes, 8 * lanes);
        let shape = Shape {
            rows: 3,
            blocks: 2,
            pitch,
        };
        let full = vec![0.0; len];
        let run = |input: &[f32], output: usize, words: usize| {
            let (mut output, mut words) = (vec![0.0; output], vec![0.0; words]);
            let output = layer_norm::Output {
                f32: Some((&mut output).into()),
                bf16: Some((&mut words).into()),
            };
            layer_norm::run(&norm, 3, pitch, input, output);
        };
        // Two blocks of f32 are one of bf16.
        let half = 3 * lanes;
        run(&full, len, half);
        refuses(|| run(&full[1..], len, half));
        refuses(|| run(&full, len - 1, half));
        refuses(|| run(&full, len, half - 1));
        let run = |values: usize, factors: usize, words: usize| {
            let (mut a, mut b) = (vec![0.0; words], vec![0.0; words]);
            let rounded = |words| Some(Rounded { words, pitch });
            let (a, b) = (rounded((&mut a).into()), rounded((&mut b).into()));
            let factors = &mut vec![0.0; factors];
            let values = &mut vec![0.0; values];
            softmax::run(isa, shape, values, factors, a);
            softmax::scale(isa, shape, values.into(), factors, b);
        };
        run(len, 3, half);
        refuses(|| run(len - 1, 3, half));
        refuses(|| run(len, 2, half));
        refuses(|| run(len, 3, half - 1));
    }
}
