//! Pictures of bf16: kernels that read or write words of two give exactly what the same give in f32 on the same numbers, rounded; and
//! whole plans on such pictures are near those in f32.

use reflexarc::inference::kernels::depthwise::{self, Plane};
use reflexarc::inference::kernels::pack::{DepthwiseFilters, Packed, Walk};
use reflexarc::inference::kernels::pointwise::{
    self, Input, Output, Precision, Runs, STEM_STEP, Step,
};
use reflexarc::inference::kernels::pool::{self, Columns};
use reflexarc::inference::kernels::winograd::{
    Canvas, Filters, Job, PLACES, Picture, Scratch, TILE,
};
use reflexarc::inference::kernels::{Isa, bf16};
use reflexarc::inference::plan::{self, Limits, Plan};

use crate::kernels::{ACTIVATIONS, UNTOUCHED};
use crate::made_up::convolutional;
use crate::seeded::Seeded;

const CASES: u64 = if cfg!(miri) { 3 } else { 200 };

/// Every instruction set, and where there is an instruction for pairs of bf16, the same without it.
fn sets() -> impl Iterator<Item = Isa> {
    Isa::available().flat_map(|isa| [Some(isa), isa.without_pairs()].into_iter().flatten())
}

fn rounded(value: f32) -> f32 {
    f32::from_bits(u32::from(bf16::round(value)) << 16)
}

/// `[line][channel]` of pixels in blocks: of f32, and the same of words of two.
struct Lines {
    lanes: usize,
    channels: usize,
    width: usize,
    f32: Vec<f32>,
    words: Vec<f32>,
}

impl Lines {
    /// Of numbers that are bf16; what fills up a block is zeros.
    fn new(isa: Isa, lines: usize, width: usize, channels: usize, random: &mut Seeded) -> Self {
        let lanes = isa.lanes();
        let mut all = Self {
            lanes,
            channels,
            width,
            f32: vec![0.0; lines * channels.div_ceil(lanes) * width * lanes],
            words: vec![0.0; lines * channels.div_ceil(2 * lanes) * width * lanes],
        };
        for line in 0..lines {
            for pixel in 0..width {
                let numbers: Vec<f32> = random.values(channels).into_iter().map(rounded).collect();
                for (channel, &v) in numbers.iter().enumerate() {
                    let at = all.f32_at(line, pixel, channel);
                    all.f32[at] = v;
                }
                for (pair, numbers) in numbers.chunks(2).enumerate() {
                    let at = all.word_at(line, pixel, 2 * pair);
                    let second = numbers.get(1).copied().unwrap_or(0.0);
                    all.words[at] = bf16::word([numbers[0], second]);
                }
            }
        }
        all
    }

    fn line(&self) -> usize {
        self.channels.div_ceil(self.lanes) * self.width * self.lanes
    }

    fn words_line(&self) -> usize {
        self.channels.div_ceil(2 * self.lanes) * self.width * self.lanes
    }

    fn f32_at(&self, line: usize, pixel: usize, channel: usize) -> usize {
        let (block, lane) = (channel / self.lanes, channel % self.lanes);
        line * self.line() + (block * self.width + pixel) * self.lanes + lane
    }

    fn word_at(&self, line: usize, pixel: usize, channel: usize) -> usize {
        let (block, within) = (channel / (2 * self.lanes), channel % (2 * self.lanes));
        line * self.words_line() + (block * self.width + pixel) * self.lanes + within / 2
    }

    /// All of the words are what the f32 are rounded to.
    fn assert_same(&self, case: &str) {
        for line in 0..self.f32.len() / self.line() {
            for pixel in 0..self.width {
                for channel in 0..self.channels {
                    let exact = self.f32[self.f32_at(line, pixel, channel)];
                    let word = self.words[self.word_at(line, pixel, channel)];
                    let found = bf16::numbers(word)[channel % 2];
                    assert_eq!(
                        found,
                        rounded(exact),
                        "{case}: line {line}, pixel {pixel}, channel {channel} of {exact}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_depthwise_convolution_of_pairs_is_that_of_f32_rounded() {
    for isa in sets() {
        for seed in 0..CASES {
            let random = &mut Seeded(seed);
            let (size, stride) = ([3, 5][random.from(0..=1)], random.from(1..=2));
            let (channels, width) = (random.from(1..=70), random.from(1..=20));
            let case = format!(
                "seed {seed}, {isa:?}: {size}x{size}, stride {stride}, {channels} x {width}"
            );
            let columns = (width - 1) * stride + size;
            let input = Lines::new(isa, size, columns, channels, random);
            let mut output = Lines::new(isa, 1, width, channels, random);
            output.words.fill(UNTOUCHED);
            let filters = random.values(channels * size * size);
            let bias: Vec<f32> = random.values(channels).iter().map(|b| b + 0.5).collect();
            for precision in [Precision::F32, Precision::Bf16] {
                let filters = DepthwiseFilters::new(isa, precision, size, &filters, &bias);
                let (values, line, to) = match precision {
                    Precision::F32 => (&input.f32, input.line(), &mut output.f32),
                    _ => (&input.words, input.words_line(), &mut output.words),
                };
                let floats = columns * isa.lanes();
                for block in 0..filters.blocks() {
                    let rows: Vec<usize> =
                        (0..size).map(|row| row * line + block * floats).collect();
                    let plane = Plane {
                        values,
                        rows: &rows,
                        row_floats: floats,
                        stride,
                    };
                    let to = &mut to[block * width * isa.lanes()..];
                    depthwise::run(&filters, block, plane, 1, width, to);
                }
            }
            output.assert_same(&case);
        }
    }
}

#[test]
fn a_product_that_adds_and_makes_bf16_is_that_of_f32_rounded() {
    for isa in sets() {
        for seed in 0..CASES {
            let random = &mut Seeded(seed);
            let lanes = isa.lanes();
            let step = [Step::Block, Step::Second, Step::Picture][random.from(0..=2)];
            let width = random.from(1..=40);
            let walk = match step {
                Step::Picture => Walk::window(random.from(1..=5), random.from(1..=9)),
                _ => Walk::columns(isa, Precision::Bf16, random.from(1..=100)),
            };
            let step_words = match step {
                Step::Block => lanes,
                Step::Second => 2 * lanes,
                Step::Picture => STEM_STEP / 2,
            };
            let outputs = random.from(1..=100);
            let segment_stride = width * step_words + walk.length;
            let numbers = random.values(2 * walk.segments * segment_stride);
            let words: Vec<f32> = numbers
                .as_chunks()
                .0
                .iter()
                .map(|&n| bf16::word(n))
                .collect();
            let (weights, bias) = (
                random.values(outputs * 2 * walk.total()),
                random.values(outputs),
            );
            let packed = Packed::of_pairs(isa, walk, &weights, &bias, random.from(1..=20));
            let activation = ACTIVATIONS[random.from(0..=5)];
            let residual = random
                .flip()
                .then(|| Lines::new(isa, 1, width, outputs, random));
            let mut output = Lines::new(isa, 1, width, outputs, random);
            let case = format!("seed {seed}, {isa:?}, {step:?}, {walk:?}, {activation:?}");
            for precision in [Precision::F32, Precision::Bf16] {
                let (to, residual) = match precision {
                    Precision::F32 => (&mut output.f32, residual.as_ref().map(|r| &*r.f32)),
                    _ => (&mut output.words, residual.as_ref().map(|r| &*r.words)),
                };
                pointwise::run(
                    &packed,
                    packed.panels(),
                    activation,
                    Runs::one(width),
                    Input {
                        values: &words,
                        start: 0,
                        step,
                        segment_stride,
                        run_stride: 0,
                        scales: None,
                    },
                    &mut Output {
                        values: to.into(),
                        precision,
                        start: 0,
                        pixel_stride: lanes,
                        block_stride: width * lanes,
                        run_stride: 0,
                        residual,
                    },
                );
            }
            output.assert_same(&case);
            // Against the definition at one place: f32 is what the others are measured by.
            let (pixel, channel) = (random.from(0..=width - 1), random.from(0..=outputs - 1));
            let mut sum = f64::from(bias[channel]);
            for (place, pair) in weights[channel * 2 * walk.total()..][..2 * walk.total()]
                .chunks(2)
                .enumerate()
            {
                let (segment, i) = (place / walk.length, place % walk.length);
                let word = words[segment * segment_stride + pixel * step_words + i];
                for (x, &w) in bf16::numbers(word).iter().zip(pair) {
                    sum += f64::from(*x) * f64::from(rounded(w));
                }
            }
            if let Some(residual) = &residual {
                sum += f64::from(residual.f32[residual.f32_at(0, pixel, channel)]);
            }
            let expected = crate::kernels::activated(sum, activation);
            let found = f64::from(output.f32[output.f32_at(0, pixel, channel)]);
            assert!(
                (found - expected).abs() < 1e-5 * (walk.total() as f64 + 10.0),
                "{case}: {found}, expected {expected}"
            );
        }
    }
}

#[test]
fn a_convolution_in_tiles_of_bf16_is_that_of_f32_rounded() {
    for isa in sets() {
        for seed in 0..CASES / 2 {
            let random = &mut Seeded(seed);
            let (inputs, outputs) = (random.from(1..=70), random.from(1..=70));
            let (height, width) = (random.from(1..=9), random.from(1..=9));
            let weights = random.values(inputs * outputs * 9);
            let filters = Filters::new(isa, &weights, &random.values(outputs), 4);
            let activation = ACTIVATIONS[random.from(0..=5)];
            let input = Lines::new(isa, height + 2, width + 2, inputs, random);
            let mut output = Lines::new(isa, height, width, outputs, random);
            let residual = random
                .flip()
                .then(|| Lines::new(isa, height, width, outputs, random));
            let lanes = isa.lanes();
            let tiles = height.div_ceil(TILE) * width.div_ceil(TILE);
            let mut scratch = Scratch::with_room(Scratch::floats(&filters, tiles));
            for precision in [Precision::F32, Precision::Bf16] {
                let (values, row_stride) = match precision {
                    Precision::F32 => (&input.f32, input.line()),
                    _ => (&input.words, input.words_line()),
                };
                let picture = Picture {
                    values,
                    precision,
                    start: 0,
                    height: height + 2,
                    width: width + 2,
                    row_stride,
                    block_stride: (width + 2) * lanes,
                };
                let (row_stride, to, residual) = match precision {
                    Precision::F32 => {
                        let line = output.line();
                        (line, &mut output.f32, residual.as_ref().map(|r| &*r.f32))
                    }
                    _ => {
                        let line = output.words_line();
                        (
                            line,
                            &mut output.words,
                            residual.as_ref().map(|r| &*r.words),
                        )
                    }
                };
                let canvas = Canvas {
                    values: to.into(),
                    precision,
                    start: 0,
                    height,
                    width,
                    row_stride,
                    block_stride: width * lanes,
                    residual,
                };
                let job = Job::new(&filters, activation, picture, canvas, &mut scratch);
                // SAFETY: one thread, one step after the other.
                unsafe {
                    job.spread(0..job.spreads());
                    job.multiply(0..PLACES);
                    job.gather(0..job.gathers());
                }
            }
            output.assert_same(&format!("seed {seed}, {isa:?}, {inputs} to {outputs}"));
        }
    }
}

#[test]
fn the_largest_of_windows_are_what_their_definition_says_and_a_nan_stays() {
    for isa in sets() {
        for seed in 0..CASES {
            let random = &mut Seeded(seed);
            let (size, stride) = (random.from(1..=5), random.from(1..=3));
            let before = random.from(0..=size - 1);
            let (rows, channels) = (random.from(1..=size), random.from(1..=50));
            // As many as begin inside.
            let width = random.from(1..=20);
            let count = (width - 1 + before) / stride + 1;
            let mut input = Lines::new(isa, rows, width, channels, random);
            let bad = random
                .flip()
                .then(|| (random.from(0..=rows - 1), random.from(0..=width - 1)));
            if let Some((row, pixel)) = bad {
                let (at, word) = (input.f32_at(row, pixel, 0), input.word_at(row, pixel, 0));
                input.f32[at] = f32::NAN;
                input.words[word] = bf16::word([f32::NAN, bf16::numbers(input.words[word])[1]]);
            }
            let mut output = Lines::new(isa, 1, count, channels, random);
            let columns = Columns {
                size,
                stride,
                before,
            };
            let lanes = isa.lanes();
            for precision in [Precision::F32, Precision::Bf16] {
                let (values, line, to) = match precision {
                    Precision::F32 => (&input.f32, input.line(), &mut output.f32),
                    _ => (&input.words, input.words_line(), &mut output.words),
                };
                for (block, to) in to.chunks_exact_mut(count * lanes).enumerate() {
                    let starts: Vec<usize> = (0..rows)
                        .map(|row| row * line + block * width * lanes)
                        .collect();
                    let lines = pool::Lines {
                        values,
                        precision,
                        rows: &starts,
                        width,
                    };
                    pool::run(isa, lines, columns, to);
                }
            }
            for x in 0..count {
                let met =
                    (x * stride).saturating_sub(before)..(x * stride + size - before).min(width);
                for channel in 0..channels {
                    let values = (0..rows).flat_map(|row| {
                        let met = met.clone();
                        met.map(move |pixel| (row, pixel))
                    });
                    let values =
                        values.map(|(row, pixel)| input.f32[input.f32_at(row, pixel, channel)]);
                    let largest = values.fold(f32::NEG_INFINITY, |most, v| {
                        match most.is_nan() || v.is_nan() {
                            true => f32::NAN,
                            false => most.max(v),
                        }
                    });
                    let exact = output.f32[output.f32_at(0, x, channel)];
                    let word = output.words[output.word_at(0, x, channel)];
                    for found in [exact, bf16::numbers(word)[channel % 2]] {
                        assert!(
                            found == largest || (found.is_nan() && largest.is_nan()),
                            "seed {seed}, {isa:?}, {columns:?}: window {x} of channel {channel} is {found}, not {largest}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn convolutional_networks_in_bf16_are_near_those_in_f32_and_keep_nothing_of_a_picture_before() {
    let one = Limits {
        rows: 1,
        sequences: 1,
    };
    for seed in 0..if cfg!(miri) { 1 } else { 60 } {
        let mut random = Seeded(seed);
        let (height, width) = (random.from(30..=50), random.from(30..=50));
        let net = convolutional(&mut random, height, width);
        let pixels = random.values(height * width * 3);
        let input = plan::Input::Picture(&pixels);
        let len = net.output().rows.of(1) * net.output().columns;
        let mut exact = vec![0.0; len];
        Plan::new(&net, Isa::best(), Precision::F32, one).run(input, &[1], &mut exact);
        for isa in sets() {
            let case = format!("seed {seed}, {isa:?}, {height} x {width}");
            let mut plan = Plan::new(&net, isa, Precision::Bf16, one);
            let mut found = vec![0.0; len];
            plan.run(input, &[1], &mut found);
            let dot = |a: &[f32], b: &[f32]| -> f64 {
                let pairs = a.iter().zip(b);
                pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let size = (dot(&found, &found) * dot(&exact, &exact)).sqrt();
            let cosine = dot(&found, &exact) / size;
            assert!(cosine > 0.999, "{case}: a cosine of {cosine}");
            let mut again = vec![0.0; len];
            let nothing = vec![f32::NAN; pixels.len()];
            plan.run(plan::Input::Picture(&nothing), &[1], &mut again);
            plan.run(input, &[1], &mut again);
            assert_eq!(found, again, "{case}");
        }
    }
}
