//! The same promises against a real driver: vivid, the kernel's virtual camera. `scripts/dev vm` runs these in a
//! virtual machine; by hand: `modprobe vivid`, then
//! `REFLEXARC_VIVID=/dev/videoN cargo test --test v4l2 -- --ignored --test-threads=1 vivid`.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use reflexarc::capture::v4l2::{
    ControlValue, Damaged, Frozen, Rates, RecoveryConfig, V4l2Config, V4l2Source, list,
};
use reflexarc::capture::{Readiness, Source};
use reflexarc::clock;
use reflexarc::error::{Kind, StepError};
use reflexarc::frame::{FrameFormat, FrameMeta, Matrix, PixelFormat, Range, StampSource};
use reflexarc::slot::{Filled, Slot};
use reflexarc::units::{Hertz, MonoTime, Nanos};

// ---------------------------------------------------------------------------------------------
// The camera and its faults

pub fn device() -> PathBuf {
    std::env::var_os("REFLEXARC_VIVID")
        .expect("REFLEXARC_VIVID names vivid's node")
        .into()
}

/// 640x360 at 30 Hz with colour bars and nothing written over them: a still picture by nature. A loss is the end, see `survive`.
pub fn config(pixel: PixelFormat) -> V4l2Config {
    let item = |name: &str| ControlValue::Item(name.to_owned());
    V4l2Config {
        device: device(),
        formats: vec![pixel],
        width: 640,
        height: 360,
        rate: Hertz::new(30.0).unwrap(),
        controls: [
            ("test_pattern".to_owned(), item("100% Colorbar")),
            ("osd_text_mode".to_owned(), item("None")),
        ]
        .into(),
        recovery: RecoveryConfig {
            reopen: false,
            frozen: Frozen::Use,
            ..RecoveryConfig::default()
        },
        ..V4l2Config::default()
    }
}

pub fn open(config: &V4l2Config) -> V4l2Source {
    V4l2Source::open(config, 0).unwrap_or_else(|fault| panic!("{fault}"))
}

/// The driver's other entrance: sets a control while someone else streams, as vivid's faults need it.
pub struct Faults {
    node: File,
    held: Vec<u32>,
}

impl Faults {
    pub fn open() -> Self {
        Self::open_at(&device())
    }

    pub fn open_at(device: &Path) -> Self {
        let node = File::options().read(true).write(true).open(device);
        Self {
            node: node.unwrap(),
            held: Vec::new(),
        }
    }

    /// Sets a control until the end of the test, however it ends.
    pub fn hold(&mut self, id: u32, value: i32) {
        self.held.push(id);
        self.set(id, value);
    }

    pub fn set(&self, id: u32, value: i32) {
        let mut control = v4l::v4l_sys::v4l2_control { id, value };
        // SAFETY: the struct of this code, which lives through the call.
        let set = unsafe {
            v4l::v4l2::ioctl(
                self.node.as_raw_fd(),
                v4l::v4l2::vidioc::VIDIOC_S_CTRL,
                (&raw mut control).cast(),
            )
        };
        set.unwrap();
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        for id in std::mem::take(&mut self.held) {
            self.set(id, 0);
        }
    }
}

/// Ids from the kernel's vivid-ctrls.c.
pub mod fault {
    pub const BRIGHTNESS: u32 = 0x0098_0900;
    pub const TIMESTAMP_SOURCE: u32 = 0x00f0_f018;
    pub const WRAP_SEQUENCE: u32 = 0x00f0_f026;
    pub const WRAP_TIMESTAMP: u32 = 0x00f0_f027;
    pub const DROP_PERCENT: u32 = 0x00f0_f040;
    pub const DISCONNECT: u32 = 0x00f0_f041;
    pub const FLAG_ERROR: u32 = 0x00f0_f042;
    pub const REQUEST_ERROR: u32 = 0x00f0_f043;
    pub const QUEUE_ERROR: u32 = 0x00f0_f044;
    pub const STREAM_ERROR: u32 = 0x00f0_f045;
    pub const FATAL: u32 = 0x00f0_f046;
}

/// Long enough for a frame on a slow machine; a promise broken by waiting in vain is a failure.
pub fn patience() -> MonoTime {
    clock::now() + Nanos::from_secs(10)
}

fn next(source: &mut V4l2Source) -> Slot<Filled> {
    loop {
        assert_eq!(source.wait(patience()), Ok(Readiness::Ready));
        if let Some(frame) = source.take(clock::now()).unwrap() {
            return frame;
        }
    }
}

/// Takes `count` frames and gives each back at once, after `look`.
fn run(source: &mut V4l2Source, count: usize, mut look: impl FnMut(&Slot<Filled>)) {
    for _ in 0..count {
        let frame = next(source);
        look(&frame);
        source.give_back(frame.empty());
    }
}

/// Asks for frames until the source says that the device is lost.
fn run_until_lost(source: &mut V4l2Source) {
    for _ in 0..100 {
        match source.wait(patience()) {
            Err(StepError::DeviceLost) => return,
            Ok(Readiness::Ready) => match source.take(clock::now()) {
                Ok(Some(frame)) => source.give_back(frame.empty()),
                Ok(None) => {}
                Err(e) => return assert_eq!(e, StepError::DeviceLost),
            },
            other => panic!("{other:?}"),
        }
    }
    panic!("the loss was not noticed");
}

/// Every frame is accounted for, and every buffer is with the driver once the reader has none.
pub fn assert_balanced(source: &V4l2Source) {
    let c = source.counters();
    assert_eq!(
        c.produced.get(),
        c.taken.get() + c.drained.get() + c.unusable.get() + c.no_slot.get()
    );
}

// ---------------------------------------------------------------------------------------------
// Pixels

/// The eight bars of "100% Colorbar", from the left, as R'G'B'.
const BARS: [[f64; 3]; 8] = [
    [1.0, 1.0, 1.0],
    [1.0, 1.0, 0.0],
    [0.0, 1.0, 1.0],
    [0.0, 1.0, 0.0],
    [1.0, 0.0, 1.0],
    [1.0, 0.0, 0.0],
    [0.0, 0.0, 1.0],
    [0.0, 0.0, 0.0],
];

/// The bytes that a colour has in this format: Y'CbCr as ITU-R BT.601 and BT.709 define it, or R'G'B'.
fn expected([r, g, b]: [f64; 3], format: &FrameFormat) -> [f64; 3] {
    let full = format.range == Range::Full;
    if format.pixel == PixelFormat::Rgb24 {
        let level = |v: f64| if full { 255.0 * v } else { 16.0 + 219.0 * v };
        return [level(r), level(g), level(b)];
    }
    let (kr, kb) = match format.matrix {
        // vivid mixes its grey with BT.709's weights, whatever its colour space.
        _ if format.pixel == PixelFormat::Grey => (0.2126, 0.0722),
        Matrix::Bt601 => (0.299, 0.114),
        Matrix::Bt709 => (0.2126, 0.0722),
    };
    let y = kr * r + (1.0 - kr - kb) * g + kb * b;
    let cb = (b - y) / (2.0 * (1.0 - kb));
    let cr = (r - y) / (2.0 * (1.0 - kr));
    match full {
        true => [255.0 * y, 128.0 + 255.0 * cb, 128.0 + 255.0 * cr],
        false => [16.0 + 219.0 * y, 128.0 + 224.0 * cb, 128.0 + 224.0 * cr],
    }
}

/// The bytes of the pixel at (x, y), x even: Y, Cb, Cr, or R, G, B, or Y alone.
fn sample(bytes: &[u8], format: &FrameFormat, x: usize, y: usize) -> Vec<u8> {
    let stride = format.stride as usize;
    let row = &bytes[y * stride..];
    match format.pixel {
        PixelFormat::Yuyv => vec![row[2 * x], row[2 * x + 1], row[2 * x + 3]],
        PixelFormat::Uyvy => vec![row[2 * x + 1], row[2 * x], row[2 * x + 2]],
        PixelFormat::Rgb24 => row[3 * x..3 * x + 3].to_vec(),
        PixelFormat::Grey => vec![row[x]],
        PixelFormat::Nv12 => {
            let colours = &bytes[stride * format.height as usize + y / 2 * stride..];
            vec![row[x], colours[x], colours[x + 1]]
        }
        PixelFormat::Mjpeg => unreachable!("vivid has no JPEG"),
    }
}

/// Looks at the middle of each bar near the top, in the middle and near the bottom.
pub fn assert_colour_bars(frame: &Slot<Filled>) {
    assert_colour_bars_in(frame.meta(), frame.bytes());
}

pub fn assert_colour_bars_in(meta: &FrameMeta, bytes: &[u8]) {
    let format = meta.format;
    let (width, height) = (format.width as usize, format.height as usize);
    assert_eq!(bytes.len(), format.frame_bytes(), "a whole frame");
    for (bar, &colour) in BARS.iter().enumerate() {
        let wanted = expected(colour, &format);
        for y in [height / 16 * 2, height / 2, height - 4] {
            let x = (2 * bar + 1) * width / 16 / 2 * 2;
            let seen = sample(bytes, &format, x, y);
            for (seen, wanted) in seen.iter().zip(wanted) {
                let off = (f64::from(*seen) - wanted).abs();
                assert!(
                    off <= 2.0,
                    "bar {bar} at ({x}, {y}): {seen} is not {wanted}, {format:?}"
                );
            }
        }
    }
}

fn shows_the_bars(config: &V4l2Config) -> V4l2Source {
    let mut source = open(config);
    let format = source.format();
    assert_eq!((format.width, format.height), (config.width, config.height));
    source.start().unwrap();
    run(&mut source, 5, assert_colour_bars);
    assert_balanced(&source);
    source
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn yuyv_shows_the_colour_bars_of_the_standard() {
    let source = shows_the_bars(&config(PixelFormat::Yuyv));
    // vivid's default is sRGB, whose defaults are BT.601 and limited range.
    let format = source.format();
    assert_eq!(
        (format.matrix, format.range),
        (Matrix::Bt601, Range::Limited)
    );
    assert_eq!(source.rate(), Hertz::new(30.0));
    assert_eq!(source.slot_count(), 4);
    let wanted = format!(
        "v4l2 {} \"vivid\" YUYV 640x360 30 Hz, 4 buffers",
        device().display()
    );
    assert_eq!(source.describe(), wanted);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn nv12_shows_the_colour_bars_of_the_standard() {
    shows_the_bars(&config(PixelFormat::Nv12));
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_other_formats_show_the_colour_bars_too() {
    for pixel in [PixelFormat::Uyvy, PixelFormat::Rgb24, PixelFormat::Grey] {
        shows_the_bars(&config(pixel));
    }
}

/// vivid's webcam has its large sizes at low rates only, so the rate is what its list says.
#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn full_hd_shows_the_colour_bars_of_the_standard() {
    for pixel in [PixelFormat::Yuyv, PixelFormat::Nv12] {
        let mut config = config(pixel);
        (config.width, config.height) = (1920, 1080);
        config.rate = fastest(pixel, (1920, 1080));
        shows_the_bars(&config);
    }
}

/// The fastest rate that the camera lists for this format and size.
fn fastest(pixel: PixelFormat, size: (u32, u32)) -> Hertz {
    let camera = list::list()
        .into_iter()
        .find(|c| c.path == device())
        .unwrap()
        .found
        .unwrap();
    let format = camera
        .formats
        .iter()
        .find(|f| f.pixel() == Some(pixel))
        .unwrap();
    match &format.sizes.iter().find(|s| s.max == size).unwrap().rates {
        Rates::These(rates) => rates[0],
        Rates::Between(_, fastest) => *fastest,
        Rates::Unknown => panic!("vivid lists its rates"),
    }
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn hd_colours_use_the_matrix_and_range_that_the_driver_states() {
    // vivid paints the bars by what it is told to state. The last row is its default.
    for (space, encoding, quantisation, matrix, range) in [
        (
            "Rec. 709",
            "Default",
            "Default",
            Matrix::Bt709,
            Range::Limited,
        ),
        (
            "Rec. 709",
            "Rec. 709",
            "Full Range",
            Matrix::Bt709,
            Range::Full,
        ),
        (
            "Rec. 709",
            "ITU-R 601",
            "Limited Range",
            Matrix::Bt601,
            Range::Limited,
        ),
        ("sRGB", "Default", "Default", Matrix::Bt601, Range::Limited),
    ] {
        let mut config = config(PixelFormat::Yuyv);
        for (name, item) in [
            ("colorspace", space),
            ("y_cbcr_encoding", encoding),
            ("quantization", quantisation),
        ] {
            config
                .controls
                .insert(name.to_owned(), ControlValue::Item(item.to_owned()));
        }
        let source = shows_the_bars(&config);
        let format = source.format();
        assert_eq!((format.matrix, format.range), (matrix, range));
    }
}

/// Zero copy, seen from outside: the address of the bytes lies in a mapping of the camera's node.
#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_bytes_are_the_drivers_own_memory() {
    let mut source = open(&config(PixelFormat::Yuyv));
    source.start().unwrap();
    let frame = next(&mut source);
    let address = frame.bytes().as_ptr() as u64;
    let node = device().display().to_string();
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = maps
        .lines()
        .filter(|line| line.ends_with(&node))
        .any(|line| {
            let (start, rest) = line.split_once('-').unwrap();
            let end = rest.split_once(' ').unwrap().0;
            let edge = |hex| u64::from_str_radix(hex, 16).unwrap();
            (edge(start)..edge(end)).contains(&address)
        });
    assert!(
        mapped,
        "{address:#x} is not in a mapping of {node}:\n{maps}"
    );
}

// ---------------------------------------------------------------------------------------------
// Stamps and numbers

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn stamps_are_on_our_clock_in_order_and_a_period_apart() {
    let mut faults = Faults::open();
    faults.hold(fault::TIMESTAMP_SOURCE, 1);
    let mut source = open(&config(PixelFormat::Yuyv));
    assert_eq!(source.stamp_source(), StampSource::StartOfExposure);
    assert_eq!(source.next_due(), None);
    source.start().unwrap();
    let mut stamps = Vec::new();
    run(&mut source, 31, |frame| {
        let meta = frame.meta();
        assert_eq!(meta.stamp, StampSource::StartOfExposure);
        assert!(meta.captured <= meta.arrived && !meta.marks.future_stamp);
        stamps.push((meta.seq, meta.captured));
    });
    assert!(source.next_due().is_some());
    let per_frame: Vec<f64> = stamps
        .windows(2)
        .map(|w| (w[1].1 - w[0].1).as_millis_f64() / (w[1].0 - w[0].0) as f64)
        .collect();
    assert!(per_frame.iter().all(|&ms| ms > 0.0), "{per_frame:?}");
    let mut sorted = per_frame.clone();
    sorted.sort_by(f64::total_cmp);
    // The median, since a busy host stretches single frames.
    let median = sorted[sorted.len() / 2];
    assert!((30.0..37.0).contains(&median), "{per_frame:?}");
}

/// vivid stamps the end of a frame that has, by its own reckoning, not ended yet.
#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn stamps_from_the_future_are_counted_and_never_negative() {
    let mut source = open(&config(PixelFormat::Yuyv));
    assert_eq!(source.stamp_source(), StampSource::EndOfFrame);
    source.start().unwrap();
    let mut marked = 0;
    run(&mut source, 30, |frame| {
        let meta = frame.meta();
        assert_eq!(meta.stamp, StampSource::EndOfFrame);
        assert!(meta.captured <= meta.arrived);
        marked += u64::from(meta.marks.future_stamp);
    });
    assert!(marked > 0, "vivid's end-of-frame stamps lie ahead");
    // Of those that were drained, too.
    let counters = source.counters();
    let counted = counters.future_stamps.get();
    assert!((marked..=marked + counters.drained.get()).contains(&counted));
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn stamps_near_the_end_of_time_do_no_harm() {
    for wrap in [1, 2] {
        let mut faults = Faults::open();
        faults.hold(fault::WRAP_TIMESTAMP, wrap);
        let mut source = open(&config(PixelFormat::Yuyv));
        source.start().unwrap();
        run(&mut source, 5, |frame| {
            let meta = frame.meta();
            assert!(meta.marks.future_stamp || meta.stamp == StampSource::Arrival);
            assert_eq!(meta.captured, meta.arrived);
        });
    }
}

/// A busy host delays vivid itself, or us for longer than all buffers last: one good run out of six is the proof.
pub fn without_a_gap(mut one: impl FnMut() -> u64) {
    let mut gaps = Vec::new();
    for _ in 0..6 {
        gaps.push(one());
        if gaps.ends_with(&[0]) {
            return;
        }
    }
    panic!("gaps in each run: {gaps:?}");
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn at_idle_no_frame_is_lost() {
    without_a_gap(|| {
        let mut source = open(&config(PixelFormat::Yuyv));
        source.start().unwrap();
        run(&mut source, 30, |_| {});
        assert_balanced(&source);
        source.counters().gaps.get()
    });
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn frames_that_the_driver_loses_are_gaps() {
    let mut faults = Faults::open();
    faults.hold(fault::DROP_PERCENT, 50);
    let mut source = open(&config(PixelFormat::Yuyv));
    source.start().unwrap();
    let (mut last, mut marked) = (0, 0);
    run(&mut source, 20, |frame| {
        last = frame.meta().seq;
        marked += u64::from(frame.meta().marks.gap_before);
    });
    let counters = source.counters();
    assert!(counters.gaps.get() > 0, "half of the frames were dropped");
    assert!(marked <= counters.gaps.get());
    // What came and what did not is all there was.
    assert_eq!(last + 1, counters.produced.get() + counters.gaps.get());
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_camera_that_gives_nothing_is_a_time_out_and_goes_on_by_itself() {
    let mut faults = Faults::open();
    let mut source = open(&config(PixelFormat::Yuyv));
    faults.hold(fault::DROP_PERCENT, 100);
    source.start().unwrap();
    let deadline = clock::now() + Nanos::from_millis(300);
    let mut waited = source.wait(deadline);
    while waited == Ok(Readiness::Ready) {
        // What had been filled before the fault set in.
        let frame = source.take(clock::now()).unwrap();
        frame.into_iter().for_each(|f| source.give_back(f.empty()));
        waited = source.wait(deadline);
    }
    assert_eq!(waited, Ok(Readiness::TimedOut));
    assert!(clock::now() >= deadline, "it waits until the deadline");
    faults.set(fault::DROP_PERCENT, 0);
    run(&mut source, 3, |_| {});
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_wrap_of_the_drivers_numbers_is_no_gap() {
    let mut faults = Faults::open();
    faults.hold(fault::WRAP_SEQUENCE, 1);
    let mut source = open(&config(PixelFormat::Yuyv));
    source.start().unwrap();
    // vivid's numbers wrap at the 129th frame.
    let mut last = None;
    run(&mut source, 135, |frame| {
        assert!(last.is_none_or(|l| frame.meta().seq > l));
        last = Some(frame.meta().seq);
    });
    // A busy host makes vivid skip a few; a wrap taken for a gap would be four thousand million.
    assert!(source.counters().gaps.get() < 1000);
}

// ---------------------------------------------------------------------------------------------
// Damaged frames

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_frame_that_the_driver_flags_is_dropped_or_marked_as_the_policy_says() {
    for damaged in [Damaged::Drop, Damaged::Use] {
        let faults = Faults::open();
        let mut config = config(PixelFormat::Yuyv);
        config.damaged = damaged;
        let mut source = open(&config);
        source.start().unwrap();
        run(&mut source, 2, |_| {});
        faults.set(fault::FLAG_ERROR, 1);
        let mut marked = 0;
        run(&mut source, 6, |frame| {
            marked += u64::from(frame.meta().marks.error)
        });
        let counters = source.counters();
        assert_eq!(counters.error_flagged.get(), 1);
        let (passed_on, unusable) = match damaged {
            Damaged::Drop => (0, 1),
            Damaged::Use => (1, 0),
        };
        assert_eq!(counters.unusable.get(), unusable);
        // On a busy host it may have been drained for a newer one.
        assert!(marked == passed_on || counters.drained.get() > 0);
        assert_balanced(&source);
        assert_eq!(
            source.queued(),
            4,
            "the flagged buffer went back to the driver"
        );
    }
}

// ---------------------------------------------------------------------------------------------
// Buffers

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_newest_of_several_ready_frames_is_taken_and_the_rest_are_counted() {
    // 200 ms between two frames leave time to look.
    let mut slow = config(PixelFormat::Yuyv);
    slow.rate = Hertz::new(5.0).unwrap();
    let mut source = open(&slow);
    source.start().unwrap();
    run(&mut source, 1, |_| {});
    // Two more are filled, and the driver has buffers left.
    clock::sleep_until(clock::now() + Nanos::from_millis(500));
    let frame = next(&mut source);
    let counters = source.counters();
    assert!(counters.drained.get() >= 1, "older ones went back");
    assert_eq!(counters.produced.get(), counters.drained.get() + 2);
    assert_eq!(
        frame.meta().seq,
        counters.produced.get() + counters.gaps.get() - 1
    );
    assert_eq!(source.queued(), 3);
    source.give_back(frame.empty());
    assert_eq!(source.queued(), 4);
    assert_balanced(&source);
}

/// A caller that stayed away for twelve frames: four buffers were filled, the rest was lost. What it gets was
/// taken after it came back, not the fourth of the twelve.
#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn after_a_long_absence_even_the_newest_full_buffer_is_old_and_goes_back() {
    let mut faults = Faults::open();
    faults.hold(fault::TIMESTAMP_SOURCE, 1);
    let mut source = open(&config(PixelFormat::Yuyv));
    source.start().unwrap();
    run(&mut source, 2, |_| {});
    for turn in 1..=3 {
        clock::sleep_until(clock::now() + Nanos::from_millis(400));
        let back = clock::now();
        let frame = next(&mut source);
        let meta = *frame.meta();
        // The fourth of twelve was stamped 270 ms ago.
        assert!(
            meta.captured > back - Nanos::from_millis(150),
            "turn {turn}: {meta:?}"
        );
        source.give_back(frame.empty());
    }
    let counters = source.counters();
    assert!(counters.drained.get() >= 12 && counters.taken.get() == 5);
    assert_balanced(&source);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_buffer_that_the_driver_refuses_once_is_queued_again() {
    let faults = Faults::open();
    let mut source = open(&config(PixelFormat::Yuyv));
    source.start().unwrap();
    let frame = next(&mut source);
    faults.set(fault::QUEUE_ERROR, 1);
    source.give_back(frame.empty());
    assert_eq!(source.queued(), 3, "refused, and kept");
    run(&mut source, 8, |_| {});
    assert_eq!(source.queued(), 4, "tried again");
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn streaming_stops_and_starts_twenty_times_with_every_buffer_back() {
    let mut source = open(&config(PixelFormat::Yuyv));
    let mut kept = None;
    for turn in 0..20 {
        source.start().unwrap();
        let first = next(&mut source);
        assert_eq!(first.meta().marks.gap_before, 0, "a stop is no gap");
        source.give_back(first.empty());
        let frame = next(&mut source);
        match turn % 3 {
            // Given back while streaming, after the stop, and after the next start.
            0 => source.give_back(frame.empty()),
            1 => {
                source.stop();
                source.give_back(frame.empty());
            }
            _ => kept = Some(frame),
        }
        source.stop();
        assert_eq!(source.queued(), 0);
        if let Some(frame) = kept.take_if(|_| turn % 3 == 2) {
            source.start().unwrap();
            assert_eq!(source.queued(), 3, "the driver does with what is there");
            source.give_back(frame.empty());
            assert_eq!(source.queued(), 4);
            source.stop();
        }
    }
    assert_balanced(&source);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_camera_opens_and_closes_twenty_times() {
    for _ in 0..20 {
        let mut source = open(&config(PixelFormat::Nv12));
        source.start().unwrap();
        run(&mut source, 1, |_| {});
    }
}

/// As after a reconnection: a slot of the camera as it was comes back to the camera as it is.
#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_slot_of_an_earlier_opening_is_let_go_of() {
    let mut before = open(&config(PixelFormat::Yuyv));
    before.start().unwrap();
    let old = next(&mut before);
    assert_colour_bars(&old);
    drop(before);
    assert_colour_bars(&old);
    // Its memory keeps the old opening alive, and with it the claim to the camera's buffers.
    let fault = V4l2Source::open(&config(PixelFormat::Yuyv), 0).unwrap_err();
    assert_eq!(fault.kind, Kind::Busy);
    drop(old);
    let mut after = open(&config(PixelFormat::Yuyv));
    after.start().unwrap();
    run(&mut after, 3, assert_colour_bars);
}

// ---------------------------------------------------------------------------------------------
// Refusals

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_camera_that_someone_streams_from_is_busy_and_says_who() {
    let mut holder = Command::new(std::env::current_exe().unwrap())
        .args([
            "--ignored",
            "--exact",
            "vivid::child::streams_until_told",
            "--nocapture",
        ])
        .env("REFLEXARC_CHILD", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(holder.stdout.take().unwrap()).lines();
    assert!(
        said.by_ref()
            .map_while(Result::ok)
            .any(|line| line == "streaming")
    );

    let fault = V4l2Source::open(&config(PixelFormat::Yuyv), 0).unwrap_err();
    assert_eq!(fault.kind, Kind::Busy, "{fault}");
    let wanted = format!("(process {})", holder.id());
    assert!(fault.why.contains(&wanted), "{fault}");

    // The holder still streams, ends by itself when told, and the camera is free again.
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    open(&config(PixelFormat::Yuyv));
}

/// What other processes of these tests do.
mod child {
    use super::*;

    #[test]
    #[ignore = "run by another test"]
    fn streams_until_told() {
        if std::env::var_os("REFLEXARC_CHILD").is_none() {
            return;
        }
        let mut source = open(&config(PixelFormat::Yuyv));
        source.start().unwrap();
        run(&mut source, 2, |_| {});
        #[expect(
            clippy::disallowed_macros,
            reason = "the word that the other test waits for"
        )]
        {
            println!("streaming");
        }
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
        run(&mut source, 2, |_| {});
    }
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_size_that_it_does_not_have_is_refused_with_what_it_has() {
    let mut wrong = config(PixelFormat::Yuyv);
    wrong.width = 648;
    let fault = V4l2Source::open(&wrong, 0).unwrap_err();
    assert_eq!(fault.kind, Kind::Unsupported);
    let text = fault.to_string();
    assert!(
        text.contains("does not give 648x360 at 30 Hz in YUYV"),
        "{text}"
    );
    assert!(
        text.contains("it granted YUYV 640x360 at 30 Hz instead"),
        "{text}"
    );
    assert!(text.contains("1920x1080 at "), "{text}");
    assert!(text.contains("exact = false"), "{text}");
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_format_that_it_does_not_have_is_refused_with_what_it_has() {
    let fault = V4l2Source::open(&config(PixelFormat::Mjpeg), 0).unwrap_err();
    assert_eq!(fault.kind, Kind::Unsupported);
    let text = fault.to_string();
    assert!(text.contains("it has none of these formats"), "{text}");
    assert!(text.contains("YUYV: 320x180 at "), "{text}");
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_first_format_in_the_list_that_it_has_is_used() {
    let mut wanted = config(PixelFormat::Mjpeg);
    wanted.formats = vec![PixelFormat::Mjpeg, PixelFormat::Nv12, PixelFormat::Yuyv];
    assert_eq!(open(&wanted).format().pixel, PixelFormat::Nv12);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_nearest_is_taken_and_told_where_exact_is_off() {
    let mut loose = config(PixelFormat::Yuyv);
    (loose.width, loose.rate, loose.exact) = (648, Hertz::new(31.0).unwrap(), false);
    let mut source = open(&loose);
    assert_eq!((source.format().width, source.format().height), (640, 360));
    let told = "asked for 648x360 at 31 Hz, granted YUYV 640x360 at 30 Hz";
    assert_eq!(source.differs(), Some(told));
    assert!(source.describe().contains(told));
    source.start().unwrap();
    run(&mut source, 2, assert_colour_bars);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn controls_are_set_and_wrong_ones_are_refused_with_the_choices() {
    let with = |name: &str, value| {
        let mut config = config(PixelFormat::Yuyv);
        config.controls = [(name.to_owned(), value)].into();
        V4l2Source::open(&config, 0)
    };
    let now = |name: &str| {
        let camera = list::list()
            .into_iter()
            .find(|c| c.path == device())
            .unwrap()
            .found
            .unwrap();
        camera.controls.iter().find(|c| c.name == name).unwrap().now
    };
    drop(with("contrast", ControlValue::Number(99)).unwrap());
    assert_eq!(now("contrast"), Some(99));
    // By its id, and back.
    drop(with("0x00980901", ControlValue::Number(128)).unwrap());
    assert_eq!(now("contrast"), Some(128));

    let rows = [
        ("contrast", ControlValue::Number(256), "it takes 0 ..= 255"),
        (
            "contrast",
            ControlValue::Item("high".to_owned()),
            "it takes 0 ..= 255",
        ),
        (
            "test_pattern",
            ControlValue::Item("Stripes".to_owned()),
            "75% Colorbar",
        ),
        ("zoom_to_the_moon", ControlValue::Number(1), "contrast"),
    ];
    for (name, value, wanted) in rows {
        let fault = with(name, value).unwrap_err();
        assert_eq!(fault.kind, Kind::Config);
        assert!(
            fault.what.contains(name) && fault.why.contains(wanted),
            "{fault}"
        );
    }
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_driver_that_fails_once_is_a_fault_and_works_the_next_time() {
    let faults = Faults::open();
    faults.set(fault::REQUEST_ERROR, 1);
    let fault = V4l2Source::open(&config(PixelFormat::Yuyv), 0).unwrap_err();
    assert!(fault.what.contains("did not give buffers"), "{fault}");

    let mut source = open(&config(PixelFormat::Yuyv));
    faults.set(fault::STREAM_ERROR, 1);
    let fault = source.start().unwrap_err();
    assert!(fault.what.contains("did not start streaming"), "{fault}");
    source.start().unwrap();
    run(&mut source, 3, assert_colour_bars);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_list_shows_the_camera_and_what_it_offers() {
    let text = list::render(&list::list());
    let node = device().display().to_string();
    for wanted in [
        format!("{node}  vivid  (driver vivid, platform:vivid-000)"),
        "stamps    end of frame".to_owned(),
        "YUYV      320x180 at ".to_owned(),
        "NV12      320x180 at ".to_owned(),
        "contrast (0x00980901): 0 ..= 255; now 128, default 128".to_owned(),
        "percentage_of_dropped_buffers (0x00f0f040): 0 ..= 100".to_owned(),
    ] {
        assert!(text.contains(&wanted), "no `{wanted}` in:\n{text}");
    }
}

// ---------------------------------------------------------------------------------------------
// Losing the camera

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_fatal_error_is_a_lost_device_and_streaming_can_start_again() {
    let mut source = open(&config(PixelFormat::Yuyv));
    source.start().unwrap();
    run(&mut source, 2, |_| {});
    Faults::open().set(fault::FATAL, 1);
    run_until_lost(&mut source);
    assert_eq!(
        source.wait(patience()),
        Err(StepError::DeviceLost),
        "and it stays lost"
    );
    source.stop();
    assert_eq!(source.queued(), 0, "all buffers came home");
    source.start().unwrap();
    run(&mut source, 3, assert_colour_bars);
    assert_balanced(&source);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn an_unplugged_camera_is_lost_and_can_be_opened_again() {
    let mut source = open(&config(PixelFormat::Yuyv));
    source.start().unwrap();
    let frame = next(&mut source);
    {
        Faults::open().set(fault::DISCONNECT, 1);
    }
    run_until_lost(&mut source);
    assert_colour_bars(&frame);
    source.give_back(frame.empty());
    source.stop();
    drop(source);
    let mut again = open(&config(PixelFormat::Yuyv));
    again.start().unwrap();
    run(&mut again, 3, assert_colour_bars);
}
