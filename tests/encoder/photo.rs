//! Photographs as the golden numbers saw them: a centred square of 7/8 of the shorter side, resized by Pillow's
//! antialiased bicubic filter to the size of the network, normalised.
//!
//! Pillow resizes 8-bit pictures in two passes, rows first, with weights in 22-bit fixed point and a result rounded
//! to 8 bits after each pass. This does the same, so the network's input is the same to the bit.

use std::io::BufReader;

/// Fraction bits of Pillow's weights: 32, minus 8 of the pixels, minus 2 against overflow.
const FRACTION_BITS: u32 = 22;

/// The input of an EfficientNet-Lite of `size` by `size` pixels for photograph `name` (a PNG of 8-bit RGB in the models
/// cache).
pub fn input(name: &str, size: usize) -> Vec<f32> {
    let (width, height, pixels) = decode(name);
    let side = (width.min(height) as f64 * 0.875) as usize;
    let square = crop(
        &pixels,
        width,
        (width - side) / 2,
        (height - side) / 2,
        side,
    );
    let wide = resize_rows(&square, side, side, size);
    let turned = transpose(&wide, size, side);
    let small = transpose(&resize_rows(&turned, side, size, size), size, size);
    small
        .iter()
        .map(|&byte| (f32::from(byte) - 127.0) / 128.0)
        .collect()
}

/// Width, height and RGB of a photograph.
pub fn decode(name: &str) -> (usize, usize, Vec<u8>) {
    let path = crate::network::cached(&format!("photos/{name}.png"));
    let file = std::fs::File::open(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info().unwrap();
    let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
    let info = reader.next_frame(&mut pixels).unwrap();
    assert_eq!(info.color_type, png::ColorType::Rgb, "{name}");
    assert_eq!(info.bit_depth, png::BitDepth::Eight, "{name}");
    pixels.truncate(info.buffer_size());
    (info.width as usize, info.height as usize, pixels)
}

fn crop(pixels: &[u8], width: usize, left: usize, top: usize, side: usize) -> Vec<u8> {
    let rows = pixels.chunks_exact(width * 3).skip(top).take(side);
    rows.flat_map(|row| &row[left * 3..(left + side) * 3])
        .copied()
        .collect()
}

/// Swaps rows and columns of a picture of `width` by `height` pixels.
fn transpose(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let mut turned = Vec::with_capacity(pixels.len());
    for x in 0..width {
        for y in 0..height {
            turned.extend_from_slice(&pixels[(y * width + x) * 3..][..3]);
        }
    }
    turned
}

/// Resizes each of `rows` rows from `width` to `size` pixels.
fn resize_rows(pixels: &[u8], width: usize, rows: usize, size: usize) -> Vec<u8> {
    let scale = width as f64 / size as f64;
    let mut resized = vec![0; rows * size * 3];
    for x in 0..size {
        let (first, weights) = weights(x, scale, width);
        for row in 0..rows {
            for channel in 0..3 {
                let half = 1i32 << (FRACTION_BITS - 1);
                let sum = weights.iter().enumerate().fold(half, |sum, (i, w)| {
                    sum + i32::from(pixels[(row * width + first + i) * 3 + channel]) * w
                });
                resized[(row * size + x) * 3 + channel] =
                    (sum >> FRACTION_BITS).clamp(0, 255) as u8;
            }
        }
    }
    resized
}

/// The first input pixel of output `x`, and the weights from there on.
fn weights(x: usize, scale: f64, width: usize) -> (usize, Vec<i32>) {
    let stretch = scale.max(1.0);
    let (centre, support) = ((x as f64 + 0.5) * scale, 2.0 * stretch);
    let first = (centre - support + 0.5).max(0.0) as usize;
    let end = ((centre + support + 0.5) as usize).min(width);
    let exact: Vec<f64> = (first..end)
        .map(|i| bicubic((i as f64 - centre + 0.5) / stretch))
        .collect();
    let sum: f64 = exact.iter().sum();
    let one = f64::from(1 << FRACTION_BITS);
    let fixed = exact.iter().map(|w| (w / sum * one).round() as i32);
    (first, fixed.collect())
}

/// Keys' cubic convolution with a = -0.5.
fn bicubic(x: f64) -> f64 {
    const A: f64 = -0.5;
    let x = x.abs();
    if x < 1.0 {
        ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0
    } else if x < 2.0 {
        (((x - 5.0) * x + 8.0) * x - 4.0) * A
    } else {
        0.0
    }
}
