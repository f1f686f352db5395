//! What does it cost to turn a camera's frame into the encoder's input, beside copying its bytes?
//!
//! *Cold*, each call takes the next frame of a ring that no cache holds, as a camera's frames are when they come. *Warm*, it is the same
//! frame again. The copy is what a design that copies frames would pay before it begins: `memcpy` of the bytes that the pass reads, from
//! the same frames in the same turns, into one buffer. Reading them once (a plain sum) is the floor. Every version is checked
//! against the portable one before it is timed.

mod support;

use std::cell::Cell;
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

/// Frames of a ring take this many bytes at least: several times what a last-level cache holds.
const RING_BYTES: usize = 192 << 20;

fn main() {
    let mut bench = Bench::start(
        "preprocess",
        "What does it cost to turn a camera's frame into the encoder's input, beside copying its bytes?",
    );
    for pixel in [
        PixelFormat::Yuyv,
        PixelFormat::Uyvy,
        PixelFormat::Nv12,
        PixelFormat::Rgb24,
        PixelFormat::Grey,
    ] {
        let format = FrameFormat::packed(pixel, 1920, 1080);
        compare(&mut bench, format, Crop::Full, "cold");
        compare(&mut bench, format, Crop::Full, "warm");
    }
    let format = FrameFormat::packed(PixelFormat::Yuyv, 1920, 1080);
    compare(&mut bench, format, Crop::Centre, "centre, cold");
    let format = FrameFormat::packed(PixelFormat::Yuyv, 640, 480);
    compare(&mut bench, format, Crop::Full, "cold");
    bench.finish();
}

fn compare(bench: &mut Bench, format: FrameFormat, crop: Crop, name: &str) {
    let frame_bytes = format.frame_bytes();
    let frames = match name {
        "warm" => 1,
        _ => bench.size(RING_BYTES.div_ceil(frame_bytes), 2),
    };
    let meta = FrameMeta {
        seq: 0,
        source_index: 0,
        format,
        bytes_used: u32::try_from(frame_bytes).expect("a frame of less than 4 GB"),
        captured: MonoTime(1),
        stamp: StampSource::Synthetic,
        arrived: MonoTime(1),
        marks: FrameMarks::default(),
    };
    // In slots, as in a run: page-aligned and faulted in.
    let slots: Vec<_> = (0..)
        .take(frames)
        .map(|index| {
            let mut slot = Slot::anonymous(index, frame_bytes).expect("memory for a frame");
            paint(&mut slot.bytes_mut()[..frame_bytes]);
            slot.fill(meta)
        })
        .collect();
    let frames: Vec<&[u8]> = slots.iter().map(|slot| slot.bytes()).collect();
    let at = Cell::new(0);
    let next = || {
        at.set((at.get() + 1) % frames.len());
        black_box(frames[at.get()])
    };
    let view = |bytes| FrameView { meta: &meta, bytes };
    let make = |version| {
        Preprocess::with_version(format, crop, OUTPUT, version).expect("a format that is read")
    };
    let mut expected = vec![0.0; OUTPUT.len()];
    make(Version::Portable)
        .run(view(frames[0]), &mut expected)
        .expect("a whole frame");

    let touched = make(Version::Portable).bytes_read();
    let mut copy = vec![0u8; touched];
    let mut peers = vec![
        Peer::timed("memcpy of the bytes", 1, || {
            black_box(&mut copy[..]).copy_from_slice(&next()[..touched]);
        }),
        Peer::timed("read the bytes once", 1, || {
            black_box(read(&next()[..touched]));
        }),
    ];
    for version in Version::available() {
        let mut preprocess = make(version);
        let mut out = vec![0.0; OUTPUT.len()];
        preprocess
            .run(view(frames[0]), &mut out)
            .expect("a whole frame");
        let agrees = |(a, b): (&f32, &f32)| (a - b).abs() <= AGREEMENT;
        assert!(out.iter().zip(&expected).all(agrees), "{version:?} differs");
        peers.push(Peer::timed(format!("{version:?}"), 1, move || {
            preprocess
                .run(view(next()), black_box(&mut out))
                .expect("a whole frame");
        }));
    }
    let title = format!(
        "{} {}x{}, {name}, {:.2} MB",
        format.pixel.name(),
        format.width,
        format.height,
        megabytes(touched),
    );
    bench.compare(&title, 2000, &mut peers);
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
