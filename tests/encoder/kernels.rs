//! The kernels on shapes from a seeded generator, against loops written from the definition; on every instruction
//! set of this processor, on slices that begin anywhere, with everything around the output watched.

use std::panic::{AssertUnwindSafe, catch_unwind};

use reflexarc::inference::kernels::Isa;
use reflexarc::inference::kernels::depthwise::{self, Plane};
use reflexarc::inference::kernels::pack::{DepthwiseFilters, Packed, Walk};
use reflexarc::inference::kernels::pointwise::{
    self, Activation, Input, Output, Precision, Runs, STEM_STEP, Step,
};

use crate::seeded::Seeded;

const CASES: u64 = 300;

/// What stands where nothing may be written. Not a NaN, because it is compared.
pub const UNTOUCHED: f32 = 1e30;

pub const ACTIVATIONS: [Activation; 6] = [
    Activation::None,
    Activation::Relu,
    Activation::Relu6,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
];

/// Sums of up to `terms` products of values within 1, in another order and precision.
fn tolerance(terms: usize) -> f64 {
    1e-6 * (terms as f64 + 10.0)
}

// The C library's, the outside oracle for the normal distribution.
unsafe extern "C" {
    safe fn erfc(x: f64) -> f64;
}

pub fn activated(value: f64, activation: Activation) -> f64 {
    match activation {
        Activation::None => value,
        Activation::Relu => value.max(0.0),
        Activation::Relu6 => value.clamp(0.0, 6.0),
        Activation::Gelu => value * 0.5 * erfc(-value / std::f64::consts::SQRT_2),
        Activation::GeluTanh => {
            let inner = std::f64::consts::FRAC_2_PI.sqrt() * (value + 0.044715 * value.powi(3));
            0.5 * value * (1.0 + inner.tanh())
        }
        Activation::Silu => value / (1.0 + (-value).exp()),
    }
}

/// A 1x1 convolution: shapes and strides from the generator.
#[derive(Debug)]
struct Pointwise {
    step: Step,
    walk: Walk,
    outputs: usize,
    runs: Runs,
    activation: Activation,
    residual: bool,
    /// Floats before the first value, so that the slices begin anywhere.
    shift: usize,
    segment_stride: usize,
    input_run: usize,
    pixel_stride: usize,
    block_stride: usize,
    output_run: usize,
}

impl Pointwise {
    fn new(isa: Isa, random: &mut Seeded) -> Self {
        let lanes = isa.lanes();
        let picture = random.from(0..=3) == 0;
        let walk = if picture {
            Walk::window(random.from(1..=5), random.from(1..=15))
        } else {
            Walk::channels(isa, random.from(1..=70))
        };
        let (step, pixel) = match (picture, random.flip()) {
            (true, _) => (Step::Picture, STEM_STEP),
            (false, true) => (Step::Block, lanes),
            (false, false) => (Step::Second, 2 * lanes),
        };
        let outputs = random.from(1..=150);
        let runs = Runs {
            count: random.from(1..=3),
            width: random.from(1..=40),
        };
        let blocks = isa.blocks(outputs);
        let last = if picture { walk.length } else { lanes };
        let input_run = (runs.width - 1) * pixel + last + random.from(0..=20);
        // Either [block][pixel][lane] or [pixel][block][lane].
        let planar = random.flip();
        let (pixel_stride, output_run, block_stride) = if planar {
            let run = runs.width * lanes + random.from(0..=20);
            (lanes, run, runs.count * run + random.from(0..=20))
        } else {
            let stride = blocks * lanes + random.from(0..=20);
            (stride, runs.width * stride + random.from(0..=20), lanes)
        };
        Self {
            step,
            walk,
            outputs,
            runs,
            activation: ACTIVATIONS[random.from(0..=4)],
            residual: random.flip(),
            shift: random.from(0..=17),
            segment_stride: runs.count * input_run + random.from(0..=20),
            input_run,
            pixel_stride,
            block_stride,
            output_run,
        }
    }

    fn pixel_step(&self, isa: Isa) -> usize {
        match self.step {
            Step::Block => isa.lanes(),
            Step::Second => 2 * isa.lanes(),
            Step::Picture => STEM_STEP,
        }
    }

    fn input_len(&self, isa: Isa) -> usize {
        let walk = self.walk;
        let pixel =
            (self.runs.count - 1) * self.input_run + (self.runs.width - 1) * self.pixel_step(isa);
        let last = (walk.segments - 1) * self.segment_stride + walk.last;
        let before = (walk.segments.max(2) - 2) * self.segment_stride + walk.length;
        let reach = if walk.segments > 1 {
            last.max(before)
        } else {
            last
        };
        self.shift + pixel + reach
    }

    /// Where output `channel` of pixel `pixel` of run `run` goes.
    fn place(&self, isa: Isa, run: usize, pixel: usize, channel: usize) -> usize {
        let (block, lane) = (channel / isa.lanes(), channel % isa.lanes());
        self.shift
            + run * self.output_run
            + pixel * self.pixel_stride
            + block * self.block_stride
            + lane
    }

    fn output_len(&self, isa: Isa) -> usize {
        let channels = isa.blocks(self.outputs) * isa.lanes();
        1 + self.place(isa, self.runs.count - 1, self.runs.width - 1, channels - 1)
    }
}

#[test]
fn a_pointwise_convolution_is_what_its_definition_says() {
    for isa in Isa::available() {
        for seed in 0..CASES {
            let mut random = Seeded(seed);
            let case = Pointwise::new(isa, &mut random);
            check_pointwise(isa, &case, &mut random, seed);
        }
    }
}

fn check_pointwise(isa: Isa, case: &Pointwise, random: &mut Seeded, seed: u64) {
    let steps = case.walk.total();
    let weights = random.values(case.outputs * steps);
    let bias = random.values(case.outputs);
    let input = random.values(case.input_len(isa));
    let residual = random.values(case.output_len(isa));
    let mut output = vec![UNTOUCHED; case.output_len(isa)];
    let packed = Packed::new(isa, case.walk, &weights, &bias, random.from(1..=20));

    // In one call or panel by panel: the caller's choice.
    let panels = packed.panels();
    let parts = if random.flip() { panels.len() } else { 1 };
    for part in panels.chunks(parts) {
        pointwise::run(
            &packed,
            part,
            case.activation,
            case.runs,
            Input {
                values: &input,
                start: case.shift,
                step: case.step,
                segment_stride: case.segment_stride,
                run_stride: case.input_run,
                scales: None,
            },
            &mut Output {
                values: (&mut output).into(),
                precision: Precision::F32,
                start: case.shift + part[0].first_block * case.block_stride,
                pixel_stride: case.pixel_stride,
                block_stride: case.block_stride,
                run_stride: case.output_run,
                residual: case.residual.then_some(&residual),
            },
        );
    }

    let mut written = vec![false; output.len()];
    for run in 0..case.runs.count {
        for pixel in 0..case.runs.width {
            let window = case.shift + run * case.input_run + pixel * case.pixel_step(isa);
            for channel in 0..isa.blocks(case.outputs) * isa.lanes() {
                let at = case.place(isa, run, pixel, channel);
                written[at] = true;
                let mut sum = 0.0;
                if channel < case.outputs {
                    sum = f64::from(bias[channel]);
                    for step in 0..steps {
                        let (segment, i) = (step / case.walk.length, step % case.walk.length);
                        let x = input[window + segment * case.segment_stride + i];
                        sum += f64::from(x) * f64::from(weights[channel * steps + step]);
                    }
                }
                if case.residual {
                    sum += f64::from(residual[at]);
                }
                sum = activated(sum, case.activation);
                let error = (f64::from(output[at]) - sum).abs();
                assert!(
                    error < tolerance(steps),
                    "seed {seed}, {isa:?}: run {run}, pixel {pixel}, channel {channel} is {}, expected {sum}; {case:?}",
                    output[at]
                );
            }
        }
    }
    let outside = (0..output.len()).find(|&i| !written[i] && output[i] != UNTOUCHED);
    assert_eq!(
        outside, None,
        "seed {seed}, {isa:?}: written outside; {case:?}"
    );
}

#[test]
fn a_depthwise_convolution_is_what_its_definition_says() {
    for isa in Isa::available() {
        for seed in 0..CASES {
            check_depthwise(isa, seed);
        }
    }
}

fn check_depthwise(isa: Isa, seed: u64) {
    let mut random = Seeded(seed);
    let lanes = isa.lanes();
    let size = [3, 5][random.from(0..=1)];
    let stride = random.from(1..=2);
    let channels = random.from(1..=50);
    let (rows, width) = (random.from(1..=6), random.from(1..=30));
    let shift = random.from(0..=17);
    let case = format!(
        "seed {seed}, {isa:?}: {size}x{size}, stride {stride}, {channels} channels, {rows} rows of {width}"
    );
    let row_floats = ((width - 1) * stride + size + random.from(0..=3)) * lanes;
    let padded_rows = (rows - 1) * stride + size;
    // The rows lie in any order, and may be the same.
    let starts: Vec<usize> = (0..padded_rows)
        .map(|_| shift + random.from(0..=padded_rows) * row_floats)
        .collect();
    let plane = random.values(shift + (padded_rows + 1) * row_floats);
    let filters = random.values(channels * size * size);
    let bias = random.values(channels);
    let packed = DepthwiseFilters::new(isa, Precision::F32, size, &filters, &bias);
    for block in 0..packed.blocks() {
        let floats = rows * width * lanes;
        let mut output = vec![UNTOUCHED; shift + floats + 20];
        let input = Plane {
            values: &plane,
            rows: &starts,
            row_floats,
            stride,
        };
        depthwise::run(&packed, block, input, rows, width, &mut output[shift..]);
        let watched = output[..shift].iter().chain(&output[shift + floats..]);
        assert!(
            watched.into_iter().all(|&v| v == UNTOUCHED),
            "{case}: written outside"
        );
        for (i, found) in output[shift..shift + floats].iter().enumerate() {
            let (y, x, lane) = (i / lanes / width, i / lanes % width, i % lanes);
            let channel = block * lanes + lane;
            let mut sum = 0.0;
            if channel < channels {
                sum = f64::from(bias[channel]);
                for ky in 0..size {
                    for kx in 0..size {
                        let at = starts[y * stride + ky] + (x * stride + kx) * lanes + lane;
                        let w = filters[(channel * size + ky) * size + kx];
                        sum += f64::from(plane[at]) * f64::from(w);
                    }
                }
            }
            let expected = sum.clamp(0.0, 6.0);
            assert!(
                (f64::from(*found) - expected).abs() < tolerance(size * size),
                "{case}: channel {channel} at {y}, {x} is {found}, expected {expected}"
            );
        }
    }
}

/// Runs `call`, which must be refused.
#[track_caller]
pub fn refuses(call: impl FnOnce()) {
    let result = catch_unwind(AssertUnwindSafe(call));
    assert!(
        result.is_err(),
        "a call that reaches outside its slices was let through"
    );
}

#[test]
fn a_slice_that_is_one_value_short_is_refused() {
    for isa in Isa::available() {
        for seed in 0..30 {
            let mut random = Seeded(seed);
            let case = Pointwise::new(isa, &mut random);
            let weights = vec![0.5; case.outputs * case.walk.total()];
            let packed = Packed::new(isa, case.walk, &weights, &vec![0.0; case.outputs], 7);
            let run = |input: usize, output: usize, residual: usize| {
                pointwise::run(
                    &packed,
                    packed.panels(),
                    Activation::None,
                    case.runs,
                    Input {
                        values: &vec![0.0; input],
                        start: case.shift,
                        step: case.step,
                        segment_stride: case.segment_stride,
                        run_stride: case.input_run,
                        scales: None,
                    },
                    &mut Output {
                        values: (&mut vec![0.0; output]).into(),
                        precision: Precision::F32,
                        start: case.shift,
                        pixel_stride: case.pixel_stride,
                        block_stride: case.block_stride,
                        run_stride: case.output_run,
                        residual: Some(&vec![0.0; residual]),
                    },
                );
            };
            let (input, output) = (case.input_len(isa), case.output_len(isa));
            run(input, output, output);
            refuses(|| run(input - 1, output, output));
            refuses(|| run(input, output - 1, output));
            refuses(|| run(input, output, output - 1));
        }
    }
}

#[test]
fn strides_that_do_not_fit_a_machine_word_are_refused() {
    for isa in Isa::available() {
        let lanes = isa.lanes();
        let walk = Walk::channels(isa, 2 * lanes);
        let packed = Packed::new(isa, walk, &vec![0.5; 2 * lanes], &[0.0], 7);
        let run = |segment_stride: usize, pixel_stride: usize| {
            pointwise::run(
                &packed,
                packed.panels(),
                Activation::None,
                Runs::one(3),
                Input {
                    values: &vec![0.0; 6 * lanes],
                    start: 0,
                    step: Step::Block,
                    segment_stride,
                    run_stride: 0,
                    scales: None,
                },
                &mut Output {
                    values: (&mut vec![0.0; 3 * lanes]).into(),
                    precision: Precision::F32,
                    start: 0,
                    pixel_stride,
                    block_stride: 0,
                    run_stride: 0,
                    residual: None,
                },
            );
        };
        run(3 * lanes, lanes);
        refuses(|| run(usize::MAX, lanes));
        refuses(|| run(3 * lanes, usize::MAX / 2 + 1));
        refuses(|| run(usize::MAX - lanes + 1, lanes));
    }
}

#[test]
fn a_depthwise_call_that_reaches_outside_is_refused() {
    for isa in Isa::available() {
        let lanes = isa.lanes();
        let (filters, bias) = (vec![0.5; 9 * lanes], vec![0.0; lanes]);
        let packed = DepthwiseFilters::new(isa, Precision::F32, 3, &filters, &bias);
        // Three rows of 9 pixels: one row of 7 outputs.
        let run = |values: usize, rows: &[usize], row_floats, stride, output: usize, block| {
            depthwise::run(
                &packed,
                block,
                Plane {
                    values: &vec![0.0; values],
                    rows,
                    row_floats,
                    stride,
                },
                1,
                7,
                &mut vec![0.0; output],
            );
        };
        let row = 9 * lanes;
        let starts = [0, row, 2 * row];
        run(3 * row, &starts, row, 1, 7 * lanes, 0);
        refuses(|| run(3 * row - 1, &starts, row, 1, 7 * lanes, 0));
        refuses(|| run(3 * row, &starts[..2], row, 1, 7 * lanes, 0));
        refuses(|| run(3 * row, &[0, row, usize::MAX], row, 1, 7 * lanes, 0));
        refuses(|| run(3 * row, &starts, row - 1, 1, 7 * lanes, 0));
        refuses(|| run(3 * row, &starts, row, 2, 7 * lanes, 0));
        refuses(|| run(3 * row, &starts, row, 1, 7 * lanes - 1, 0));
        refuses(|| run(3 * row, &starts, row, 1, 7 * lanes, 1));
    }
}
