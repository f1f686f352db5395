//! Convolutions by Winograd's tiles, against loops written from the definition.

use std::ops::Range;

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::kernels::pointwise::Precision;
use reflexarc::inference::kernels::winograd::{
    Canvas, Filters, Job, PLACES, Picture, Scratch, TILE,
};

use crate::kernels::{ACTIVATIONS, UNTOUCHED, activated, refuses};
use crate::seeded::Seeded;

/// Shapes and strides from the generator.
#[derive(Debug)]
struct Case {
    inputs: usize,
    outputs: usize,
    /// Rows and columns of outputs.
    height: usize,
    width: usize,
    /// Rows and columns that can be read; what windows reach beyond counts as zeros.
    readable: (usize, usize),
    /// Floats before the first value, so that the slices begin anywhere.
    shift: usize,
    /// Floats that no block has behind its pixels.
    gap: usize,
    residual: bool,
}

impl Case {
    fn new(random: &mut Seeded) -> Self {
        let (height, width) = (random.from(1..=11), random.from(1..=11));
        Self {
            inputs: random.from(1..=40),
            outputs: random.from(1..=40),
            height,
            width,
            readable: (random.from(1..=height + 2), random.from(1..=width + 2)),
            shift: random.from(0..=17),
            gap: random.from(0..=20),
            residual: random.flip(),
        }
    }
}

#[test]
fn a_convolution_in_tiles_is_what_its_definition_says() {
    for isa in Isa::available() {
        for seed in 0..150 {
            check(isa, seed);
        }
    }
}

/// Does a step's parts in another order than they count.
fn step(units: usize, one: impl Fn(Range<usize>)) {
    let middle = units / 2;
    one(middle..units);
    one(0..middle);
}

fn check(isa: Isa, seed: u64) {
    let random = &mut Seeded(seed);
    let case = Case::new(random);
    let activation = ACTIVATIONS[random.from(0..=4)];
    let name = format!("seed {seed}, {isa:?}, {activation:?}: {case:?}");
    let lanes = isa.lanes();
    let weights = random.values(case.outputs * case.inputs * 9);
    let bias = random.values(case.outputs);
    let filters = Filters::new(isa, &weights, &bias, 4);

    let (rows, columns) = case.readable;
    let blocks = isa.blocks(case.inputs);
    let block_stride = columns * lanes + case.gap;
    let row_stride = blocks * block_stride;
    // Lanes that fill up the last block are zeros, as everywhere.
    let mut picture = vec![0.0; case.shift + rows * row_stride];
    let at = |channel: usize, y: usize, x: usize| {
        case.shift + y * row_stride + channel / lanes * block_stride + x * lanes + channel % lanes
    };
    for channel in 0..case.inputs {
        for y in 0..rows {
            for (x, v) in random.values(columns).into_iter().enumerate() {
                picture[at(channel, y, x)] = v;
            }
        }
    }

    let blocks = isa.blocks(case.outputs);
    let output_block = case.width * lanes + case.gap;
    let output_row = blocks * output_block;
    let len = case.shift + case.height * output_row + 20;
    let residual = random.values(len);
    let mut output = vec![UNTOUCHED; len];
    let tiles = case.height.div_ceil(TILE) * case.width.div_ceil(TILE);
    let mut scratch = Scratch::with_room(Scratch::floats(&filters, tiles));
    let input = Picture {
        values: &picture,
        precision: Precision::F32,
        start: case.shift,
        height: rows,
        width: columns,
        row_stride,
        block_stride,
    };
    let canvas = Canvas {
        values: (&mut output).into(),
        precision: Precision::F32,
        start: case.shift,
        height: case.height,
        width: case.width,
        row_stride: output_row,
        block_stride: output_block,
        residual: case.residual.then_some(&residual),
    };
    let job = Job::new(&filters, activation, input, canvas, &mut scratch);
    // SAFETY: one thread, one step after the other.
    step(job.spreads(), |blocks| unsafe { job.spread(blocks) });
    // SAFETY: as above.
    step(PLACES, |places| unsafe { job.multiply(places) });
    // SAFETY: as above.
    step(job.gathers(), |blocks| unsafe { job.gather(blocks) });

    for channel in 0..case.outputs {
        for y in 0..case.height {
            for x in 0..case.width {
                let mut sum = f64::from(bias[channel]);
                for input in 0..case.inputs {
                    for tap in 0..9 {
                        let (y, x) = (y + tap / 3, x + tap % 3);
                        if y < rows && x < columns {
                            let w = weights[(channel * case.inputs + input) * 9 + tap];
                            sum += f64::from(w) * f64::from(picture[at(input, y, x)]);
                        }
                    }
                }
                let to = case.shift
                    + y * output_row
                    + channel / lanes * output_block
                    + x * lanes
                    + channel % lanes;
                if case.residual {
                    sum += f64::from(residual[to]);
                }
                let (found, expected) = (f64::from(output[to]), activated(sum, activation));
                // Constants up to 8 in both directions, on sums of values within 1.
                let tolerance = 1e-6 * (9 * case.inputs + 10) as f64;
                assert!(
                    (found - expected).abs() <= tolerance,
                    "{name}: channel {channel}, row {y}, column {x}: {found}, expected {expected}"
                );
            }
        }
    }
    let written = |i: usize| {
        let Some(i) = i
            .checked_sub(case.shift)
            .filter(|i| *i < case.height * output_row)
        else {
            return false;
        };
        i % output_row % output_block < case.width * lanes
    };
    let untouched = output.iter().enumerate().filter(|&(i, _)| !written(i));
    for (i, &v) in untouched {
        assert!(v == UNTOUCHED, "{name}: {v} at {i}, where nothing goes");
    }
}

#[test]
fn a_picture_or_scratch_that_is_too_small_is_refused() {
    for isa in Isa::available() {
        let lanes = isa.lanes();
        let filters = Filters::new(isa, &vec![0.0; lanes * lanes * 9], &vec![0.0; lanes], 1);
        let whole = Scratch::floats(&filters, 1);
        let (read, written) = (36 * lanes, 16 * lanes);
        let run = |read: usize, written: usize, room: [usize; 2]| {
            let (picture, mut output) = (vec![0.0; read], vec![0.0; written]);
            let mut scratch = Scratch::with_room(room);
            let input = Picture {
                values: &picture,
                precision: Precision::F32,
                start: 0,
                height: 6,
                width: 6,
                row_stride: 6 * lanes,
                block_stride: 6 * lanes,
            };
            let canvas = Canvas {
                values: (&mut output).into(),
                precision: Precision::F32,
                start: 0,
                height: 4,
                width: 4,
                row_stride: 4 * lanes,
                block_stride: 4 * lanes,
                residual: None,
            };
            let none = reflexarc::inference::kernels::pointwise::Activation::None;
            let _ = Job::new(&filters, none, input, canvas, &mut scratch);
        };
        run(read, written, whole);
        refuses(|| run(read - 1, written, whole));
        refuses(|| run(read, written - 1, whole));
        refuses(|| run(read, written, [whole[0] - 1, whole[1]]));
        refuses(|| run(read, written, [whole[0], whole[1] - 1]));
    }
}
