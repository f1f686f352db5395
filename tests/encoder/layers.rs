//! Layer norm, softmax and attention on shapes from a seeded generator, against loops written from the definition, on
//! every instruction set of this processor.

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::kernels::attention::{Attention, Part};
use reflexarc::inference::kernels::layer_norm::{self, Norm};
use reflexarc::inference::kernels::pack::{Packed, Walk};
use reflexarc::inference::kernels::pointwise::{self, Activation, Input, Output, Runs, Step};
use reflexarc::inference::kernels::softmax::{self, Shape};

use crate::kernels::{activated, refuses};
use crate::seeded::Seeded;

const CASES: u64 = 200;

/// What stands where nothing may be written.
const UNTOUCHED: f32 = 1e30;

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
}

#[test]
fn a_layer_norm_is_what_its_definition_says() {
    for isa in Isa::available() {
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
            layer_norm::run(&norm, rows, input.pitch, &input.values, &mut output);
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
    for isa in Isa::available() {
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
            softmax::run(isa, shape, &mut values.values, &mut factors);
            softmax::scale(isa, shape, &mut values.values, &factors);
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
    for isa in Isa::available() {
        for seed in 0..CASES {
            check_attention(isa, seed);
        }
    }
}

fn check_attention(isa: Isa, seed: u64) {
    let mut random = Seeded(seed);
    let (heads, head_len) = (random.from(1..=3), 16 * random.from(1..=4));
    // Up to two whole strips and a rest; queries and keys of different numbers, as in cross-attention.
    let (queries, keys) = (random.from(1..=80), random.from(1..=80));
    let (first_query, first_key) = (random.from(0..=3), random.from(0..=3));
    let columns = heads * head_len;
    let case = format!("seed {seed}, {isa:?}: {heads} heads of {head_len}, {queries} x {keys}");

    let mut q = Blocked::new(isa, first_query + queries, 2 * columns, &mut random);
    q.fill(first_query + queries, 2 * columns, &mut random);
    let mut kv = Blocked::new(isa, first_key + keys, 2 * columns, &mut random);
    kv.fill(first_key + keys, 2 * columns, &mut random);
    let mut output = Blocked::new(isa, first_query + queries, columns, &mut random);
    let part = |tensor: &'_ Blocked, first_row, rows, first_column| Part {
        // The lifetime of the closure's argument is not known to it.
        values: Box::leak(tensor.values.clone().into_boxed_slice()),
        pitch: tensor.pitch,
        first_row,
        rows,
        first_column,
    };
    let mut attention = Attention::new(isa, heads, head_len, 83);
    // Twice: what the first run leaves behind must not show in the second.
    let nothing = vec![f32::NAN; kv.values.len()];
    let poison = Part {
        values: &nothing,
        ..part(&kv, 0, first_key + keys, 0)
    };
    attention.run(
        part(&q, first_query, queries, columns),
        poison,
        poison,
        &mut output.values.clone(),
        output.pitch,
    );
    attention.run(
        part(&q, first_query, queries, columns),
        part(&kv, first_key, keys, 0),
        part(&kv, first_key, keys, columns),
        &mut output.values,
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
                let found = output.get(query, to);
                assert!(
                    (found - expected).abs() < 1e-5,
                    "{case}: query {query}, column {to} is {found}, expected {expected}"
                );
                written += 1;
            }
        }
    }
    let untouched = output.values.iter().filter(|&&v| v == UNTOUCHED).count();
    assert_eq!(
        untouched,
        output.values.len() - written,
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
        },
        &mut Output {
            values: &mut output,
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
    for isa in Isa::available() {
        for (activation, promised) in [
            (Activation::Relu, 0.0),
            (Activation::Gelu, 1e-7),
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
    for isa in Isa::available() {
        for activation in [
            Activation::None,
            Activation::Relu,
            Activation::Relu6,
            Activation::Gelu,
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
    for isa in Isa::available() {
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
        layer_norm::run(&norm, 3, pitch, &full, &mut vec![0.0; len]);
        refuses(|| layer_norm::run(&norm, 3, pitch, &full[1..], &mut vec![0.0; len]));
        refuses(|| layer_norm::run(&norm, 3, pitch, &full, &mut vec![0.0; len - 1]));
        softmax::run(isa, shape, &mut vec![0.0; len], &mut [0.0; 3]);
        refuses(|| softmax::run(isa, shape, &mut vec![0.0; len - 1], &mut [0.0; 3]));
        refuses(|| softmax::run(isa, shape, &mut vec![0.0; len], &mut [0.0; 2]));
        refuses(|| softmax::scale(isa, shape, &mut vec![0.0; len - 1], &[0.0; 3]));
        refuses(|| softmax::scale(isa, shape, &mut vec![0.0; len], &[0.0; 2]));
    }
}
