//! Photographs of the models cache as the input of a network.

use std::fs::File;
use std::io::BufReader;

use reflexarc::features::FrameView;
use reflexarc::features::preprocess::{Crop, OutputSpec, Preprocess};
use reflexarc::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use reflexarc::models;
use reflexarc::units::MonoTime;

/// The middle of a photograph (a PNG of 8-bit RGB), `[row][column][red, green, blue]`.
pub fn input(name: &str, output: OutputSpec) -> Vec<f32> {
    let path = models::path(&format!("photos/{name}.png"));
    let file = File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut reader = png::Decoder::new(BufReader::new(file)).read_info();
    let reader = reader.as_mut().expect("a picture");
    let mut pixels = vec![
        0;
        reader
            .output_buffer_size()
            .expect("a picture fits into memory")
    ];
    let info = reader.next_frame(&mut pixels).expect("a whole picture");
    assert_eq!(info.color_type, png::ColorType::Rgb, "{name}");
    let format = FrameFormat::packed(PixelFormat::Rgb24, info.width, info.height);
    let meta = FrameMeta {
        seq: 0,
        source_index: 0,
        format,
        bytes_used: u32::try_from(format.frame_bytes()).expect("a picture is smaller than 4 GB"),
        captured: MonoTime(1),
        stamp: StampSource::Synthetic,
        arrived: MonoTime(1),
        marks: FrameMarks::default(),
    };
    let mut values = vec![0.0; output.len()];
    let mut preprocess = Preprocess::new(format, Crop::Centre, output).expect("a picture of RGB24");
    let frame = FrameView {
        meta: &meta,
        bytes: &pixels[..format.frame_bytes()],
    };
    preprocess.run(frame, &mut values).expect("a whole picture");
    values
}
