//! Promises of the one-pass preprocessing, checked against a slow reference written from its specification,
//! and against what OpenCV makes of a real photo (`tests/oracles/preprocess.py`).
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use reflexarc::error::{Kind, StepError};
use reflexarc::features::FrameView;
use reflexarc::features::preprocess::{Crop, OutputSpec, Preprocess, Rect, Version};
use reflexarc::frame::{
    FrameFormat, FrameMarks, FrameMeta, Matrix, PixelFormat, Range, StampSource,
};
use reflexarc::units::MonoTime;

const RAW: [PixelFormat; 5] = [
    PixelFormat::Yuyv,
    PixelFormat::Uyvy,
    PixelFormat::Nv12,
    PixelFormat::Rgb24,
    PixelFormat::Grey,
];

/// One 8-bit step in the units of [`spec`]'s output.
const STEP: f32 = 1.0 / 128.0;
/// What the passes promise: a thirtieth of an 8-bit step from the real number.
const TOLERANCE: f32 = STEP / 30.0;

// ---------------------------------------------------------------------------------------------
// A frame to look at

/// A small, seeded generator (SplitMix64), so that a failure can be repeated from its printed seed.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
    fn within(&mut self, from: u64, to: u64) -> u64 {
        from + self.below(to - from + 1)
    }
    fn fraction(&mut self) -> f64 {
        self.below(1 << 20) as f64 / (1 << 20) as f64
    }
    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len() as u64) as usize]
    }
}

fn meta(format: FrameFormat, bytes_used: usize) -> FrameMeta {
    FrameMeta {
        seq: 0,
        source_index: 0,
        format,
        bytes_used: bytes_used as u32,
        captured: MonoTime(1),
        stamp: StampSource::Synthetic,
        arrived: MonoTime(1),
        marks: FrameMarks::default(),
    }
}

/// Noise everywhere, padding included: the hardest picture, and any byte read from the wrong place shows.
fn noise(format: &FrameFormat, seeded: &mut Seeded) -> Vec<u8> {
    (0..format.frame_bytes())
        .map(|_| seeded.next() as u8)
        .collect()
}

fn spec(width: usize, height: usize) -> OutputSpec {
    OutputSpec {
        width,
        height,
        mean: [127.0; 3],
        std: [128.0; 3],
    }
}

fn run(preprocess: &mut Preprocess, format: FrameFormat, bytes: &[u8]) -> Vec<f32> {
    let mut out = vec![f32::NAN; preprocess.output().len()];
    let meta = meta(format, bytes.len());
    let frame = FrameView { meta: &meta, bytes };
    preprocess.run(frame, &mut out).unwrap();
    out
}

fn run_with(
    version: Version,
    format: FrameFormat,
    crop: Crop,
    output: OutputSpec,
    bytes: &[u8],
) -> Vec<f32> {
    let mut preprocess = Preprocess::with_version(format, crop, output, version).unwrap();
    run(&mut preprocess, format, bytes)
}

// ---------------------------------------------------------------------------------------------
// The reference: slow, in f64, from the words of the specification

/// The three samples of one pixel as stored: Y, Cb, Cr or R, G, B.
fn sample(format: &FrameFormat, bytes: &[u8], x: usize, y: usize) -> [f64; 3] {
    let stride = format.stride as usize;
    let at = |i: usize| f64::from(bytes[i]);
    let row = y * stride;
    let pair = row + x / 2 * 4;
    match format.pixel {
        PixelFormat::Yuyv => [at(row + x * 2), at(pair + 1), at(pair + 3)],
        PixelFormat::Uyvy => [at(row + x * 2 + 1), at(pair), at(pair + 2)],
        PixelFormat::Nv12 => {
            let chroma = (format.height as usize + y / 2) * stride + x / 2 * 2;
            [at(row + x), at(chroma), at(chroma + 1)]
        }
        PixelFormat::Rgb24 | PixelFormat::Mjpeg => std::array::from_fn(|c| at(row + x * 3 + c)),
        PixelFormat::Grey => [at(row + x); 3],
    }
}

/// The standard's equations, solved for R, G, B, and not clamped.
fn colour(format: &FrameFormat, s: [f64; 3]) -> [f64; 3] {
    let limited = format.range == Range::Limited;
    let luma = |v: f64| {
        if limited {
            (v - 16.0) / 219.0
        } else {
            v / 255.0
        }
    };
    let chroma = |v: f64| (v - 128.0) / if limited { 224.0 } else { 255.0 };
    let rgb = match format.pixel {
        PixelFormat::Rgb24 | PixelFormat::Grey | PixelFormat::Mjpeg => s.map(luma),
        _ => {
            let (y, cb, cr) = (luma(s[0]), chroma(s[1]), chroma(s[2]));
            match format.matrix {
                Matrix::Bt601 => [
                    y + 1.402 * cr,
                    y - 0.202_008 / 0.587 * cb - 0.419_198 / 0.587 * cr,
                    y + 1.772 * cb,
                ],
                Matrix::Bt709 => [
                    y + 1.5748 * cr,
                    y - 0.133_971_76 / 0.7152 * cb - 0.334_802_48 / 0.7152 * cr,
                    y + 1.8556 * cb,
                ],
            }
        }
    };
    rgb.map(|v| v * 255.0)
}

/// The crop in pixels: left, top, width, height.
fn rectangle(crop: Crop, size: [f64; 2], output: [f64; 2]) -> [f64; 4] {
    let [w, h] = size;
    match crop {
        Crop::Full => [0.0, 0.0, w, h],
        Crop::Centre => {
            let aspect = output[0] / output[1];
            if w / h > aspect {
                [(w - h * aspect) / 2.0, 0.0, h * aspect, h]
            } else {
                [0.0, (h - w / aspect) / 2.0, w, w / aspect]
            }
        }
        Crop::Rect(r) => [r.x * w, r.y * h, r.width * w, r.height * h],
    }
}

/// The weight of every source pixel in output pixel `i`, along one axis.
fn weights(start: f64, length: f64, outputs: usize, size: usize, i: usize) -> Vec<(usize, f64)> {
    let cell = length / outputs as f64;
    let mut weights = Vec::new();
    if cell >= 1.0 {
        let (from, to) = (start + i as f64 * cell, start + (i + 1) as f64 * cell);
        for k in 0..size {
            let covered = to.min(k as f64 + 1.0) - from.max(k as f64);
            if covered > 0.0 {
                weights.push((k, covered / cell));
            }
        }
    } else {
        let centre = start + (i as f64 + 0.5) * cell;
        let clamp = |k: f64| k.clamp(0.0, size as f64 - 1.0) as usize;
        let left = (centre - 0.5).floor();
        let part = centre - 0.5 - left;
        weights.push((clamp(left), 1.0 - part));
        weights.push((clamp(left + 1.0), part));
    }
    weights
}

/// `each` turns a pixel's samples into what is averaged.
fn reference(
    format: &FrameFormat,
    crop: Crop,
    output: &OutputSpec,
    bytes: &[u8],
    each: impl Fn([f64; 3]) -> [f64; 3],
    last: impl Fn([f64; 3]) -> [f64; 3],
) -> Vec<f32> {
    let (w, h) = (format.width as usize, format.height as usize);
    let [x, y, cw, ch] = rectangle(
        crop,
        [w as f64, h as f64],
        [output.width as f64, output.height as f64],
    );
    let columns: Vec<_> = (0..output.width)
        .map(|i| weights(x, cw, output.width, w, i))
        .collect();
    let mut out = Vec::with_capacity(output.len());
    for j in 0..output.height {
        let rows = weights(y, ch, output.height, h, j);
        for column in &columns {
            let mut sum = [0.0; 3];
            for &(row, row_weight) in &rows {
                for &(column, weight) in column {
                    let value = each(sample(format, bytes, column, row));
                    for c in 0..3 {
                        sum[c] += value[c] * weight * row_weight;
                    }
                }
            }
            let rgb = last(sum);
            for (c, value) in rgb.into_iter().enumerate() {
                let (mean, std) = (f64::from(output.mean[c]), f64::from(output.std[c]));
                out.push(((value.clamp(0.0, 255.0) - mean) / std) as f32);
            }
        }
    }
    out
}

/// The specification: average the samples, then one colour.
fn specified(format: &FrameFormat, crop: Crop, output: &OutputSpec, bytes: &[u8]) -> Vec<f32> {
    reference(format, crop, output, bytes, |s| s, |s| colour(format, s))
}

/// The usual chain: each pixel to 8-bit RGB, rounded and clamped, then averaged.
fn usual_chain(format: &FrameFormat, crop: Crop, output: &OutputSpec, bytes: &[u8]) -> Vec<f32> {
    let pixel = |s| colour(format, s).map(|v| v.round().clamp(0.0, 255.0));
    reference(format, crop, output, bytes, pixel, |rgb| rgb)
}

/// The largest and the mean difference.
fn difference(a: &[f32], b: &[f32]) -> (f32, f32) {
    assert_eq!(a.len(), b.len());
    let each = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    // `max` would pass over a NaN.
    assert!(each.clone().all(f32::is_finite), "a value is not finite");
    let largest = each.clone().fold(0.0, f32::max);
    (largest, each.sum::<f32>() / a.len() as f32)
}

fn assert_as_specified(
    format: FrameFormat,
    crop: Crop,
    output: OutputSpec,
    bytes: &[u8],
    case: &str,
) {
    let expected = specified(&format, crop, &output, bytes);
    for version in Version::available() {
        let got = run_with(version, format, crop, output, bytes);
        let (largest, _) = difference(&got, &expected);
        let bound = TOLERANCE * 128.0 / output.std.iter().copied().fold(f32::MAX, f32::min);
        assert!(
            largest <= bound,
            "{case}, {version:?}: {largest} > {bound}, {format:?} {crop:?} {output:?}"
        );
    }
}

// ---------------------------------------------------------------------------------------------
// Against the specification

#[test]
fn every_format_matrix_range_and_crop_is_as_specified() {
    let crops = [
        Crop::Full,
        Crop::Centre,
        Crop::Rect(Rect {
            x: 0.13,
            y: 0.37,
            width: 0.51,
            height: 0.6,
        }),
    ];
    let mut seeded = Seeded(1);
    for pixel in RAW {
        for matrix in [Matrix::Bt601, Matrix::Bt709] {
            for range in [Range::Limited, Range::Full] {
                for crop in crops {
                    let mut format = FrameFormat::packed(pixel, 94, 71);
                    (format.matrix, format.range) = (matrix, range);
                    let bytes = noise(&format, &mut seeded);
                    assert_as_specified(format, crop, spec(18, 14), &bytes, "all");
                }
            }
        }
    }
}

#[test]
fn a_1080p_frame_becomes_the_encoders_input_as_specified() {
    for pixel in RAW {
        let format = FrameFormat::packed(pixel, 1920, 1080);
        let bytes = noise(&format, &mut Seeded(2));
        for crop in [Crop::Full, Crop::Centre] {
            assert_as_specified(format, crop, spec(224, 224), &bytes, "1080p");
        }
    }
}

#[test]
fn any_size_stride_and_crop_is_as_specified() {
    for seed in 0..400 {
        let mut s = Seeded(1000 + seed);
        let pixel = s.pick(&RAW);
        let (width, height) = (s.within(1, 150) as u32, s.within(1, 90) as u32);
        let mut format = FrameFormat::packed(pixel, width, height);
        format.stride += s.pick(&[0, 0, 1, 7, 64]);
        format.matrix = s.pick(&[Matrix::Bt601, Matrix::Bt709]);
        format.range = s.pick(&[Range::Limited, Range::Full]);
        let (x, y) = (s.fraction() * 0.9, s.fraction() * 0.9);
        let rect = Rect {
            x,
            y,
            width: (1.0 - x) * (s.fraction() * 0.99 + 0.005),
            height: (1.0 - y) * (s.fraction() * 0.99 + 0.005),
        };
        let crop = s.pick(&[Crop::Full, Crop::Centre, Crop::Rect(rect)]);
        let output = OutputSpec {
            width: s.within(1, 40) as usize,
            height: s.within(1, 40) as usize,
            mean: [s.fraction() as f32 * 255.0, 0.0, 255.0],
            std: [s.fraction() as f32 * 100.0 + 20.0, 64.0, 58.0],
        };
        let bytes = noise(&format, &mut s);
        assert_as_specified(format, crop, output, &bytes, &format!("seed {seed}"));
    }
}

#[test]
fn all_versions_agree_to_a_thousandth_of_a_step() {
    for pixel in RAW {
        let format = FrameFormat::packed(pixel, 643, 361);
        let bytes = noise(&format, &mut Seeded(3));
        let expected = run_with(
            Version::Portable,
            format,
            Crop::Full,
            spec(224, 224),
            &bytes,
        );
        for version in Version::available() {
            let got = run_with(version, format, Crop::Full, spec(224, 224), &bytes);
            let (largest, _) = difference(&got, &expected);
            assert!(largest <= STEP / 1000.0, "{pixel:?} {version:?}: {largest}");
        }
    }
}

#[test]
fn the_same_frame_gives_the_same_bits_again_and_after_another() {
    for pixel in RAW {
        let format = FrameFormat::packed(pixel, 101, 57);
        let (one, two) = (
            noise(&format, &mut Seeded(4)),
            noise(&format, &mut Seeded(5)),
        );
        let mut preprocess = Preprocess::new(format, Crop::Full, spec(30, 30)).unwrap();
        let first = run(&mut preprocess, format, &one);
        run(&mut preprocess, format, &two);
        assert_eq!(first, run(&mut preprocess, format, &one), "{pixel:?}");
    }
}

#[test]
fn row_padding_is_never_looked_at() {
    for pixel in RAW {
        let packed = FrameFormat::packed(pixel, 77, 33);
        let bytes = noise(&packed, &mut Seeded(6));
        let padded = FrameFormat {
            stride: packed.stride + 29,
            ..packed
        };
        let rows = bytes.chunks(packed.stride as usize);
        let padding = [255, 0].repeat(15);
        let wide: Vec<u8> = rows
            .flat_map(|row| row.iter().chain(&padding[..29]).copied())
            .collect();
        let crop = Crop::Centre;
        for version in Version::available() {
            assert_eq!(
                run_with(version, packed, crop, spec(20, 20), &bytes),
                run_with(version, padded, crop, spec(20, 20), &wide),
                "{pixel:?} {version:?}"
            );
        }
    }
}

#[test]
fn at_the_same_size_an_rgb_frame_passes_through() {
    let format = FrameFormat::packed(PixelFormat::Rgb24, 37, 21);
    let bytes = noise(&format, &mut Seeded(7));
    let output = OutputSpec {
        mean: [0.0; 3],
        std: [1.0; 3],
        ..spec(37, 21)
    };
    for version in Version::available() {
        let got = run_with(version, format, Crop::Full, output, &bytes);
        let expected: Vec<f32> = bytes.iter().map(|b| f32::from(*b)).collect();
        let (largest, _) = difference(&got, &expected);
        assert!(largest < 1e-4, "{version:?}: {largest}");
    }
}

#[test]
fn an_even_area_keeps_its_value_at_any_scale() {
    for height in [1, 7, 64, 100, 353, 1080] {
        let format = FrameFormat::packed(PixelFormat::Grey, 31, height);
        for byte in [0, 1, 128, 255] {
            let bytes = vec![byte; format.frame_bytes()];
            let expected = vec![(f32::from(byte) - 127.0) / 128.0; 10 * 12 * 3];
            for version in Version::available() {
                let got = run_with(version, format, Crop::Full, spec(10, 12), &bytes);
                let (largest, _) = difference(&got, &expected);
                // Only the rounding down of two products is left.
                assert!(
                    largest <= STEP / 100.0,
                    "{version:?} {height} {byte}: {largest}"
                );
            }
        }
    }
}

#[test]
fn the_highest_picture_that_is_accepted_does_not_overflow_its_sums() {
    let format = FrameFormat::packed(PixelFormat::Grey, 5, 255);
    let bytes = vec![255; format.frame_bytes()];
    for version in Version::available() {
        let got = run_with(version, format, Crop::Full, spec(1, 1), &bytes);
        let (largest, _) = difference(&got, &[1.0; 3]);
        assert!(largest <= TOLERANCE, "{version:?} {got:?}");
    }
}

// ---------------------------------------------------------------------------------------------
// Against others

fn oracle(name: &str) -> Vec<u8> {
    // This file is also a test of the package `tests/bare`, two folders further down.
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .map(|root| root.join("tests/oracles/preprocess"))
        .find(|folder| folder.is_dir())
        .unwrap();
    std::fs::read(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn oracle_f32(name: &str) -> Vec<f32> {
    oracle(name)
        .chunks_exact(4)
        .map(|b| f32::from_le_bytes(b.try_into().unwrap()))
        .collect()
}

#[test]
fn a_real_photo_comes_out_as_opencv_resizes_it() {
    for (pixel, name) in [(PixelFormat::Yuyv, "yuyv"), (PixelFormat::Nv12, "nv12")] {
        let format = FrameFormat::packed(pixel, 64, 48);
        let bytes = oracle(&format!("photo.{name}"));
        for (width, height) in [(20, 15), (28, 28), (13, 7), (70, 50)] {
            let expected = oracle_f32(&format!("linear_{name}_{width}x{height}.f32"));
            let mut preprocess = Preprocess::new(format, Crop::Full, spec(width, height)).unwrap();
            let (largest, _) = difference(&run(&mut preprocess, format, &bytes), &expected);
            assert!(largest <= TOLERANCE, "{name} {width}x{height}: {largest}");
        }
    }
}

#[test]
fn on_a_real_photo_the_usual_chain_is_a_tenth_of_a_step_away_and_two_where_it_clamps() {
    for (pixel, name) in [(PixelFormat::Yuyv, "yuyv"), (PixelFormat::Nv12, "nv12")] {
        let format = FrameFormat::packed(pixel, 64, 48);
        let bytes = oracle(&format!("photo.{name}"));
        let mut preprocess = Preprocess::new(format, Crop::Full, spec(20, 15)).unwrap();
        let got = run(&mut preprocess, format, &bytes);
        for expected in [
            usual_chain(&format, Crop::Full, &spec(20, 15), &bytes),
            oracle_f32(&format!("chain_{name}_20x15.f32")),
        ] {
            let (largest, mean) = difference(&got, &expected);
            assert!(
                largest < 2.0 * STEP && mean < STEP / 10.0,
                "{name}: {largest} {mean}"
            );
        }
    }
}

// ---------------------------------------------------------------------------------------------
// MJPEG

const JPEG: FrameFormat = FrameFormat {
    pixel: PixelFormat::Mjpeg,
    width: 64,
    height: 48,
    stride: 0,
    matrix: Matrix::Bt601,
    range: Range::Full,
};

#[test]
fn a_jpeg_frame_is_what_libjpeg_decodes() {
    let mut preprocess = Preprocess::new(JPEG, Crop::Full, spec(64, 48)).unwrap();
    let got = run(&mut preprocess, JPEG, &oracle("photo.jpg"));
    let expected: Vec<f32> = oracle("jpg.rgb")
        .iter()
        .map(|b| (f32::from(*b) - 127.0) / 128.0)
        .collect();
    let (largest, mean) = difference(&got, &expected);
    // Decoders may round their inverse transform and chroma interpolation differently.
    assert!(
        largest <= 5.0 * STEP && mean <= STEP / 2.0,
        "{largest} {mean}"
    );
}

/// The frame without its Huffman tables, as many cameras send it.
fn without_huffman_tables(jpeg: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (jpeg[..2].to_vec(), 2);
    while jpeg[at + 1] != 0xda {
        let length = 2 + usize::from(u16::from_be_bytes([jpeg[at + 2], jpeg[at + 3]]));
        if jpeg[at + 1] != 0xc4 {
            out.extend_from_slice(&jpeg[at..at + length]);
        }
        at += length;
    }
    out.extend_from_slice(&jpeg[at..]);
    out
}

#[test]
fn a_jpeg_frame_without_huffman_tables_is_decoded_with_the_standard_ones() {
    let whole = oracle("photo.jpg");
    let bare = without_huffman_tables(&whole);
    assert!(bare.len() + 300 < whole.len());
    let mut preprocess = Preprocess::new(JPEG, Crop::Full, spec(30, 20)).unwrap();
    let expected = run(&mut preprocess, JPEG, &whole);
    assert_eq!(run(&mut preprocess, JPEG, &bare), expected);
    // Bytes after the picture, as left over in a driver's buffer, do no harm.
    let mut longer = bare;
    longer.extend_from_slice(&[0; 100]);
    assert_eq!(run(&mut preprocess, JPEG, &longer), expected);
}

#[test]
fn a_cut_off_damaged_or_foreign_jpeg_is_a_bad_frame_and_never_a_panic() {
    let whole = oracle("photo.jpg");
    let mut preprocess = Preprocess::new(JPEG, Crop::Full, spec(8, 8)).unwrap();
    let mut out = vec![0.0; 8 * 8 * 3];
    let mut run = |bytes: &[u8]| {
        let meta = meta(JPEG, bytes.len());
        preprocess.run(FrameView { meta: &meta, bytes }, &mut out)
    };
    assert_eq!(run(&whole), Ok(()));
    for end in 0..whole.len() - 40 {
        assert_eq!(run(&whole[..end]), Err(StepError::BadFrame), "cut at {end}");
    }
    for seed in 0..300 {
        let mut s = Seeded(seed);
        let mut damaged = whole.clone();
        for _ in 0..s.within(1, 8) {
            let at = s.below(damaged.len() as u64) as usize;
            damaged[at] = s.next() as u8;
        }
        // Damage inside the entropy-coded data may decode to a wrong picture; it must only not panic.
        let _ = run(&damaged);
    }
    assert_eq!(run(&[]), Err(StepError::BadFrame));
    assert_eq!(run(&[0xff; 500]), Err(StepError::BadFrame));
    assert_eq!(run(b"\xff\xd8\xff\xda"), Err(StepError::BadFrame));

    let wider = FrameFormat { width: 80, ..JPEG };
    let mut preprocess = Preprocess::new(wider, Crop::Full, spec(8, 8)).unwrap();
    let meta = meta(wider, whole.len());
    let frame = FrameView {
        meta: &meta,
        bytes: &whole,
    };
    let mut out = vec![0.0; 8 * 8 * 3];
    assert_eq!(preprocess.run(frame, &mut out), Err(StepError::BadFrame));
}

// ---------------------------------------------------------------------------------------------
// What users and cameras do wrong

#[test]
fn a_short_frame_is_a_bad_frame_and_leaves_the_output_alone() {
    for pixel in RAW {
        let mut format = FrameFormat::packed(pixel, 45, 31);
        format.stride += 5;
        let bytes = noise(&format, &mut Seeded(8));
        // The padding after the last row may be missing: drivers report the bytes up to the last pixel.
        let least = bytes.len() - 5;
        let mut preprocess = Preprocess::new(format, Crop::Full, spec(9, 9)).unwrap();
        for length in [0, 1, least / 2, least - 1, least] {
            let meta = meta(format, length);
            let frame = FrameView {
                meta: &meta,
                bytes: &bytes[..length],
            };
            let mut out = vec![7.0; 9 * 9 * 3];
            let result = preprocess.run(frame, &mut out);
            if length == least {
                assert_eq!(result, Ok(()), "{pixel:?}");
            } else {
                assert_eq!(result, Err(StepError::BadFrame), "{pixel:?} {length}");
                assert!(out.iter().all(|v| *v == 7.0), "{pixel:?} {length}");
            }
        }
    }
}

#[test]
fn a_frame_of_another_format_is_a_bad_frame() {
    let format = FrameFormat::packed(PixelFormat::Yuyv, 64, 48);
    let mut preprocess = Preprocess::new(format, Crop::Full, spec(9, 9)).unwrap();
    let bytes = noise(&format, &mut Seeded(9));
    let other = FrameFormat {
        pixel: PixelFormat::Uyvy,
        ..format
    };
    let meta = meta(other, bytes.len());
    let frame = FrameView {
        meta: &meta,
        bytes: &bytes,
    };
    let mut out = vec![0.0; 9 * 9 * 3];
    assert_eq!(preprocess.run(frame, &mut out), Err(StepError::BadFrame));
}

#[test]
fn what_cannot_work_is_refused_with_what_why_and_fix() {
    let good = FrameFormat::packed(PixelFormat::Yuyv, 64, 48);
    let refused = |format: FrameFormat, crop: Crop, output: OutputSpec| {
        let fault = Preprocess::new(format, crop, output).unwrap_err();
        assert!(!fault.what.is_empty() && !fault.why.is_empty() && !fault.fix.is_empty());
        fault.kind
    };
    let format = |change: &dyn Fn(&mut FrameFormat)| {
        let mut format = good;
        change(&mut format);
        refused(format, Crop::Full, spec(8, 8))
    };
    assert_eq!(format(&|f| f.width = 0), Kind::Unsupported);
    assert_eq!(format(&|f| f.height = 0), Kind::Unsupported);
    assert_eq!(format(&|f| f.stride = 127), Kind::Unsupported);
    assert_eq!(format(&|f| f.height = 8 * 400), Kind::Unsupported);
    let output = |change: &dyn Fn(&mut OutputSpec)| {
        let mut output = spec(8, 8);
        change(&mut output);
        refused(good, Crop::Full, output)
    };
    assert_eq!(output(&|o| o.width = 0), Kind::Config);
    assert_eq!(output(&|o| o.height = 1 << 40), Kind::Config);
    assert_eq!(output(&|o| o.std[1] = 0.0), Kind::Config);
    assert_eq!(output(&|o| o.std[2] = f32::NAN), Kind::Config);
    assert_eq!(output(&|o| o.mean[0] = f32::INFINITY), Kind::Config);
    let outside = Crop::Rect(Rect {
        x: 0.5,
        y: 0.0,
        width: 0.6,
        height: 1.0,
    });
    assert_eq!(refused(good, outside, spec(8, 8)), Kind::Config);
}

// ---------------------------------------------------------------------------------------------
// Memory

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: every call goes to the system's allocator unchanged; only a thread's own number is counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller's promise about `layout` is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise about `at` and `layout` is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

#[test]
fn a_raw_frame_is_read_without_an_allocation() {
    for pixel in RAW {
        let format = FrameFormat::packed(pixel, 320, 240);
        let bytes = noise(&format, &mut Seeded(10));
        let meta = meta(format, bytes.len());
        let frame = FrameView {
            meta: &meta,
            bytes: &bytes,
        };
        for version in Version::available() {
            let mut preprocess =
                Preprocess::with_version(format, Crop::Centre, spec(64, 64), version).unwrap();
            let mut out = vec![0.0; 64 * 64 * 3];
            let before = ALLOCATIONS.get();
            preprocess.run(frame, &mut out).unwrap();
            assert_eq!(ALLOCATIONS.get(), before, "{pixel:?} {version:?}");
        }
    }
}
