//! One kernel, some times, for `scripts/arm count`: a second run with other times tells what the kernel itself took.
//!
//! `count KERNEL SET TIMES` prints how many units of work one time is; `count` alone the kernels.

use std::process::exit;

use reflexarc::features::FrameView;
use reflexarc::features::preprocess::{Crop, OutputSpec, Preprocess, Version};
use reflexarc::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::kernels::attention::{Attention, Part};
use reflexarc::inference::kernels::depthwise::{self, Plane};
use reflexarc::inference::kernels::layer_norm::{self, Norm};
use reflexarc::inference::kernels::pack::{DepthwiseFilters, Packed};
use reflexarc::inference::kernels::pointwise::{
    self, Activation, Input, Output, Precision, Runs, Scales, Step,
};
use reflexarc::inference::kernels::quantise::{self, Bytes, Rows};
use reflexarc::inference::kernels::softmax::{self, Shape};
use reflexarc::inference::kernels::winograd::{self, Filters, PLACES, Picture, Scratch};
use reflexarc::units::MonoTime;

/// Of a vision transformer at 224 pixels.
const ROWS: usize = 196;
const COLUMNS: usize = 192;
const HEADS: usize = 3;

/// Of a picture in the middle of a convolutional network.
const SIDE: usize = 28;
const CHANNELS: usize = 64;

/// Name, unit, and what does it so many times and says how many units one time is.
type Kernel = (&'static str, &'static str, fn(&str, usize) -> usize);

const KERNELS: [Kernel; 18] = [
    ("product f32", "multiply-add", |set, times| {
        product(set, Precision::F32, times)
    }),
    ("product bf16", "multiply-add", |set, times| {
        product(set, Precision::Bf16, times)
    }),
    ("product f16", "multiply-add", |set, times| {
        product(set, Precision::F16, times)
    }),
    ("product int8", "multiply-add", |set, times| {
        product(set, Precision::Int8, times)
    }),
    ("winograd", "multiply-add of the definition", winograd),
    ("depthwise 3x3", "multiply-add", |set, times| {
        depthwise(set, 3, 1, times)
    }),
    ("depthwise 3x3 stride 2", "multiply-add", |set, times| {
        depthwise(set, 3, 2, times)
    }),
    ("depthwise 5x5", "multiply-add", |set, times| {
        depthwise(set, 5, 1, times)
    }),
    ("attention f32", "multiply-add", |set, times| {
        attention(set, Precision::F32, times)
    }),
    ("attention bf16", "multiply-add", |set, times| {
        attention(set, Precision::Bf16, times)
    }),
    ("layer norm", "value", layer_norm),
    ("softmax", "value", softmax),
    ("to int8", "value", to_bytes),
    ("preprocess YUYV", "byte", |set, times| {
        preprocess(set, PixelFormat::Yuyv, times)
    }),
    ("preprocess UYVY", "byte", |set, times| {
        preprocess(set, PixelFormat::Uyvy, times)
    }),
    ("preprocess NV12", "byte", |set, times| {
        preprocess(set, PixelFormat::Nv12, times)
    }),
    ("preprocess RGB24", "byte", |set, times| {
        preprocess(set, PixelFormat::Rgb24, times)
    }),
    ("preprocess GREY", "byte", |set, times| {
        preprocess(set, PixelFormat::Grey, times)
    }),
];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [kernel, set, times] = &arguments[..] else {
        for (name, unit, _) in KERNELS {
            println!("{name}\t{unit}");
        }
        return;
    };
    let kernel = KERNELS.iter().find(|(name, ..)| name == kernel);
    let (Some((.., run)), Ok(times)) = (kernel, times.parse()) else {
        eprintln!("error: no such kernel, or not a number of times");
        exit(2);
    };
    println!("{}", run(set, times));
}

fn isa(set: &str) -> Isa {
    Isa::named(set).unwrap_or_else(|| {
        eprintln!("error: this processor has no {set}");
        exit(2)
    })
}

/// Numbers that are not all alike; the kernels take the same time for any.
fn numbers(len: usize) -> Vec<f32> {
    (0..len)
        .map(|i| (i * 37 % 101) as f32 / 101.0 - 0.5)
        .collect()
}

fn product(set: &str, precision: Precision, times: usize) -> usize {
    let isa = isa(set);
    let (weights, bias) = (numbers(COLUMNS * COLUMNS), numbers(COLUMNS));
    let packed = Packed::for_rows(isa, precision, &weights, &bias, ROWS);
    let lanes = isa.lanes();
    let blocks = isa.blocks(COLUMNS.div_ceil(precision.columns_per_word()));
    // As words of several, these are numbers too.
    let values = vec![0.0; blocks * ROWS * lanes];
    let factors = vec![1.0; ROWS];
    let mut output = vec![0.0; isa.blocks(COLUMNS) * ROWS * lanes];
    for _ in 0..times {
        let input = Input {
            values: &values,
            start: 0,
            step: Step::Block,
            segment_stride: ROWS * lanes,
            run_stride: 0,
            scales: packed.is_by_row().then_some(Scales {
                values: &factors,
                start: 0,
                run_stride: 0,
            }),
        };
        let mut to = Output {
            values: (&mut output).into(),
            precision: Precision::F32,
            start: 0,
            pixel_stride: lanes,
            block_stride: ROWS * lanes,
            run_stride: 0,
            residual: None,
        };
        let panels = packed.panels();
        pointwise::run(
            &packed,
            panels,
            Activation::None,
            Runs::one(ROWS),
            input,
            &mut to,
        );
    }
    ROWS * COLUMNS * COLUMNS
}

fn winograd(set: &str, times: usize) -> usize {
    let isa = isa(set);
    let lanes = isa.lanes();
    let tiles = (SIDE / winograd::TILE).pow(2);
    let filters = Filters::new(
        isa,
        &numbers(CHANNELS * CHANNELS * 9),
        &numbers(CHANNELS),
        tiles,
    );
    let (read, blocks) = (SIDE + 2, isa.blocks(CHANNELS));
    let values = numbers(read * read * blocks * lanes);
    let mut output = vec![0.0; SIDE * SIDE * blocks * lanes];
    let mut scratch = Scratch::with_room(Scratch::floats(&filters, tiles));
    for _ in 0..times {
        let input = Picture {
            values: &values,
            precision: Precision::F32,
            start: 0,
            height: read,
            width: read,
            row_stride: blocks * read * lanes,
            block_stride: read * lanes,
        };
        let canvas = winograd::Canvas {
            values: (&mut output).into(),
            precision: Precision::F32,
            start: 0,
            height: SIDE,
            width: SIDE,
            row_stride: blocks * SIDE * lanes,
            block_stride: SIDE * lanes,
            residual: None,
        };
        let job = winograd::Job::new(&filters, Activation::Relu, input, canvas, &mut scratch);
        // SAFETY: one thread, one step after the other, here and below.
        unsafe { job.spread(0..job.spreads()) };
        // SAFETY: as above.
        unsafe { job.multiply(0..PLACES) };
        // SAFETY: as above.
        unsafe { job.gather(0..job.gathers()) };
    }
    SIDE * SIDE * CHANNELS * CHANNELS * 9
}

fn depthwise(set: &str, size: usize, stride: usize, times: usize) -> usize {
    let isa = isa(set);
    let lanes = isa.lanes();
    let taps = size * size;
    let (weights, bias) = (numbers(CHANNELS * taps), numbers(CHANNELS));
    let filters = DepthwiseFilters::new(isa, Precision::F32, size, &weights, &bias);
    let row_floats = ((SIDE - 1) * stride + size) * lanes;
    let rows: Vec<usize> = (0..(SIDE - 1) * stride + size)
        .map(|y| y * row_floats)
        .collect();
    let values = numbers(rows.len() * row_floats);
    let mut output = vec![0.0; SIDE * SIDE * lanes];
    for _ in 0..times {
        for block in 0..filters.blocks() {
            let plane = Plane {
                values: &values,
                rows: &rows,
                row_floats,
                stride,
            };
            depthwise::run(&filters, block, plane, SIDE, SIDE, &mut output);
        }
    }
    SIDE * SIDE * CHANNELS * taps
}

fn attention(set: &str, precision: Precision, times: usize) -> usize {
    let isa = isa(set);
    let lanes = isa.lanes();
    let mut attention = Attention::new(isa, precision, HEADS, COLUMNS / HEADS, ROWS);
    let words = COLUMNS / precision.columns_per_word();
    let qkv = match precision {
        Precision::F32 => numbers(3 * words * ROWS),
        _ => vec![0.0; 3 * words * ROWS],
    };
    let mut output = vec![0.0; words * ROWS];
    let part = |which: usize| Part {
        values: &qkv,
        pitch: ROWS * lanes,
        first_row: 0,
        rows: ROWS,
        first_column: which * COLUMNS,
    };
    for _ in 0..times {
        attention.run(
            part(0),
            part(1),
            part(2),
            (&mut output).into(),
            ROWS * lanes,
        );
    }
    2 * ROWS * ROWS * COLUMNS
}

fn layer_norm(set: &str, times: usize) -> usize {
    let isa = isa(set);
    let norm = Norm::new(isa, &numbers(COLUMNS), &numbers(COLUMNS), 1e-6);
    let input = numbers(COLUMNS * ROWS);
    let mut output = vec![0.0; COLUMNS * ROWS];
    for _ in 0..times {
        let to = layer_norm::Output {
            f32: Some((&mut output).into()),
            bf16: None,
        };
        layer_norm::run(&norm, ROWS, ROWS * isa.lanes(), &input, to);
    }
    ROWS * COLUMNS
}

fn softmax(set: &str, times: usize) -> usize {
    let isa = isa(set);
    let shape = Shape {
        rows: ROWS,
        blocks: isa.blocks(COLUMNS),
        pitch: ROWS * isa.lanes(),
    };
    let mut values = numbers(COLUMNS * ROWS);
    let mut factors = vec![0.0; ROWS];
    for _ in 0..times {
        softmax::run(isa, shape, &mut values, &mut factors, None);
    }
    ROWS * COLUMNS
}

fn to_bytes(set: &str, times: usize) -> usize {
    let isa = isa(set);
    let values = numbers(COLUMNS * ROWS);
    let pitch = ROWS * isa.lanes();
    let mut words = vec![0.0; isa.blocks(COLUMNS).div_ceil(4) * pitch];
    let mut scales = vec![0.0; ROWS];
    for _ in 0..times {
        let from = Rows {
            rows: ROWS,
            blocks: isa.blocks(COLUMNS),
            pitch,
            values: &values,
        };
        let to = Bytes {
            words: (&mut words).into(),
            pitch,
            scales: &mut scales,
        };
        quantise::run(isa, from, to);
    }
    ROWS * COLUMNS
}

fn preprocess(set: &str, pixel: PixelFormat, times: usize) -> usize {
    let version = match set {
        "portable" => Version::Portable,
        _ => Version::Neon,
    };
    let format = FrameFormat::packed(pixel, 1920, 1080);
    let output = OutputSpec {
        width: 224,
        height: 224,
        mean: [127.0; 3],
        std: [128.0; 3],
    };
    let bytes = vec![77; format.frame_bytes()];
    let meta = FrameMeta {
        seq: 0,
        source_index: 0,
        format,
        bytes_used: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
        captured: MonoTime(1),
        stamp: StampSource::Synthetic,
        arrived: MonoTime(1),
        marks: FrameMarks::default(),
    };
    let mut out = vec![0.0; output.len()];
    let Ok(mut preprocess) = Preprocess::with_version(format, Crop::Full, output, version) else {
        unreachable!("a format that is read")
    };
    for _ in 0..times {
        let view = FrameView {
            meta: &meta,
            bytes: &bytes,
        };
        if preprocess.run(view, &mut out).is_err() {
            unreachable!("a whole frame")
        }
    }
    preprocess.bytes_read()
}
