//! What does it cost to turn a 1080p camera frame into the encoder's input, beside reading its bytes once?
//!
//! The floor is a plain sum over the bytes that the pass must touch; `memcpy` of the same bytes is what a design that
//! copies frames would pay before it begins. Every version is checked against the portable one before it is timed.

mod support;

use std::hint::black_box;

use reflexarc::features::FrameView;
use reflexarc::features::preprocess::{Crop, OutputSpec, Preprocess, Version};
use reflexarc::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use reflexarc::slot::Slot;
use reflexarc::units::MonoTime;
use support::{Bench, Peer};

const OUTPUT: OutputSpec = OutputSpec {
    width: 224,
    height: 224,
    mean: [127.0; 3],
    std: [128.0; 3],
};

/// The largest difference from the portable version that is accepted: a thousandth of an 8-bit step.
const AGREEMENT: f32 = 1.0 / 128.0 / 1000.0;

fn main() {
    let mut bench = Bench::start(
        "preprocess",
        "What does it cost to turn a camera frame into the encoder's input, beside reading its bytes once?",
    );
    for (pixel, width, height) in [
        (PixelFormat::Yuyv, 1920, 1080),
        (PixelFormat::Nv12, 1920, 1080),
        (PixelFormat::Rgb24, 1920, 1080),
        (PixelFormat::Grey, 1920, 1080),
        (PixelFormat::Yuyv, 640, 480),
    ] {
        for (crop, name) in [(Crop::Full, "full"), (Crop::Centre, "centre")] {
            if crop == Crop::Centre && pixel != PixelFormat::Yuyv {
                continue;
            }
            let format = FrameFormat::packed(pixel, width, height);
            compare(&mut bench, format, crop, name);
        }
    }
    bench.finish();
}

fn compare(bench: &mut Bench, format: FrameFormat, crop: Crop, crop_name: &str) {
    // In a slot, as in a run: page-aligned and faulted in.
    let mut slot = Slot::anonymous(0, format.frame_bytes()).expect("memory for a frame");
    let frame = &mut slot.bytes_mut()[..format.frame_bytes()];
    paint(frame);
    let bytes_used = u32::try_from(frame.len()).expect("a frame of less than 4 GB");
    let meta = FrameMeta {
        seq: 0,
        source_index: 0,
        format,
        bytes_used,
        captured: MonoTime(1),
        stamp: StampSource::Synthetic,
        arrived: MonoTime(1),
        marks: FrameMarks::default(),
    };
    let view = FrameView {
        meta: &meta,
        bytes: frame,
    };
    let make = |version| {
        Preprocess::with_version(format, crop, OUTPUT, version).expect("a format that is read")
    };
    let mut expected = vec![0.0; OUTPUT.len()];
    make(Version::Portable)
        .run(view, &mut expected)
        .expect("a whole frame");

    let touched = make(Version::Portable).bytes_read();
    let bytes = &frame[..touched];
    let mut copy = vec![0u8; touched];
    let mut peers = vec![
        Peer::timed("read the bytes once", 1, || {
            black_box(read(black_box(bytes)));
        }),
        Peer::timed("memcpy of the bytes", 1, || {
            black_box(&mut copy[..]).copy_from_slice(black_box(bytes));
        }),
    ];
    for version in Version::available() {
        let mut preprocess = make(version);
        let mut out = vec![0.0; OUTPUT.len()];
        preprocess.run(view, &mut out).expect("a whole frame");
        let agrees = |(a, b): (&f32, &f32)| (a - b).abs() <= AGREEMENT;
        assert!(out.iter().zip(&expected).all(agrees), "{version:?} differs");
        peers.push(Peer::timed(format!("{version:?}"), 1, move || {
            preprocess
                .run(black_box(view), black_box(&mut out))
                .expect("a whole frame");
        }));
    }
    let title = format!(
        "{} {}x{}, {crop_name}, {:.2} MB",
        format.pixel.name(),
        format.width,
        format.height,
        megabytes(touched),
    );
    bench.compare(&title, 500, &mut peers);
}

/// The floor: every byte is loaded once, by as many independent sums as the core can keep in flight.
fn read(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; 16];
    for chunk in bytes.chunks_exact(128) {
        for (sum, word) in sums.iter_mut().zip(chunk.chunks_exact(8)) {
            *sum ^= u64::from_ne_bytes(word.try_into().expect("chunks of 8"));
        }
    }
    sums.iter().fold(0, |a, b| a ^ b)
}

/// A picture with some structure; the passes take the same time for any.
fn paint(frame: &mut [u8]) {
    for (i, byte) in frame.iter_mut().enumerate() {
        *byte = ((i % 251) ^ (i / 4099 % 256)).to_le_bytes()[0];
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number for people")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
