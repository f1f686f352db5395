//! Frames of every format, against the passes of this processor.

use reflexarc::features::FrameView;
use reflexarc::features::preprocess::{Crop, OutputSpec, Preprocess, Rect, Version};
use reflexarc::frame::{
    FrameFormat, FrameMarks, FrameMeta, Matrix, PixelFormat, Range, StampSource,
};
use reflexarc::inference::cuda::Program;
use reflexarc::inference::cuda::compile::Feed;
use reflexarc::inference::cuda::program::Numbers;
use reflexarc::inference::network::Network;
use reflexarc::units::MonoTime;

use crate::emulated::emulator;
use crate::{MULTIPROCESSORS, Random};

#[test]
fn a_frame_of_any_format_and_crop_becomes_the_picture_of_the_processor() {
    let Some(emulator) = emulator() else { return };
    let formats = [
        PixelFormat::Yuyv,
        PixelFormat::Uyvy,
        PixelFormat::Nv12,
        PixelFormat::Grey,
        PixelFormat::Rgb24,
    ];
    for seed in 0..60 {
        let random = &mut Random(seed);
        let pixel = formats[random.from(0..=4)];
        let (width, height) = (
            2 * random.from(1..=60) as u32,
            2 * random.from(1..=60) as u32,
        );
        let mut format = FrameFormat::packed(pixel, width, height);
        format.stride += [0, 0, 4, 13][random.from(0..=3)];
        format.matrix = [Matrix::Bt601, Matrix::Bt709][random.from(0..=1)];
        format.range = [Range::Limited, Range::Full][random.from(0..=1)];
        let output = OutputSpec {
            width: random.from(1..=50),
            height: random.from(1..=50),
            mean: [120.0, 110.0, 100.0],
            std: [60.0, 50.0, 70.0],
        };
        let crop = match random.from(0..=2) {
            0 => Crop::Full,
            1 => Crop::Centre,
            _ => Crop::Rect(Rect {
                x: 0.1,
                y: 0.3,
                width: 0.55,
                height: 0.61,
            }),
        };
        let Ok(mut preprocess) = Preprocess::with_version(format, crop, output, Version::Portable)
        else {
            continue;
        };
        let frame: Vec<u8> = (0..format.frame_bytes())
            .map(|_| random.bits() as u8)
            .collect();
        let meta = FrameMeta {
            seq: 0,
            source_index: 0,
            format,
            bytes_used: frame.len() as u32,
            captured: MonoTime::ZERO,
            stamp: StampSource::Arrival,
            arrived: MonoTime::ZERO,
            marks: FrameMarks::default(),
        };
        let view = FrameView {
            meta: &meta,
            bytes: &frame,
        };
        let mut expected = vec![0.0; output.len()];
        preprocess.run(view, &mut expected).unwrap();

        let camera = preprocess.for_device();
        let raw = preprocess.raw(view).unwrap();
        assert!(
            camera.frame_bytes() <= raw.len(),
            "no more is read than is there"
        );
        let given = raw[..camera.frame_bytes()].to_vec();
        let mut net = Network::default();
        net.picture(output.height, output.width);
        for (numbers, most) in [(Numbers::F32, 2e-5), (Numbers::F16, 3e-3)] {
            let program = Program::new(
                &net,
                &Feed::Camera(Box::new(camera.clone())),
                numbers,
                1,
                MULTIPROCESSORS,
            )
            .unwrap();
            let found = emulator.run(&program, &given, seed % 2 == 1);
            let off = found
                .iter()
                .zip(&expected)
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(
                off < most,
                "{pixel:?} {width}x{height} to {output:?} {crop:?}: {off}"
            );
        }
    }
}
