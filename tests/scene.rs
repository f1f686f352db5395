//! Promises of the scene: the picture is where the lens says, counts add up, four slots are enough, the world
//! obeys and repeats.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss
)]

use std::path::PathBuf;

use reflexarc::action::{Action, Rung, Sink};
use reflexarc::capture::{Readiness, Source, SourceCounters};
use reflexarc::clock;
use reflexarc::error::{Kind, StepError};
use reflexarc::frame::{PixelFormat, StampSource};
use reflexarc::lens::{Angle, Pose};
use reflexarc::scene::{Scene, SceneConfig, SceneSource, World};
use reflexarc::sensor::{DOF_MAX, SensorSource};
use reflexarc::units::{Hertz, MonoTime, Nanos};

fn models() -> PathBuf {
    reflexarc::models::cache_dir()
}

/// A small, quick scene.
fn small() -> SceneConfig {
    SceneConfig {
        width: 320,
        height: 180,
        ..SceneConfig::default()
    }
}

fn action(at: MonoTime, pan: f32, tilt: f32) -> Action {
    let mut targets = [0.0; DOF_MAX];
    targets[..2].copy_from_slice(&[pan, tilt]);
    Action {
        tick: 0,
        at,
        rung: Rung::Fresh,
        frame_seq: 0,
        dof: 2,
        targets,
    }
}

fn render(world: &mut World, config: &SceneConfig, pose: Pose) -> Vec<u8> {
    let mut bytes = vec![0; config.frame_format().frame_bytes()];
    world.render(pose, &mut bytes);
    bytes
}

fn pose(pan: f64, tilt: f64) -> Pose {
    Pose { pan, tilt }
}

#[test]
fn every_photograph_is_where_the_truth_says() {
    let config = SceneConfig {
        format: PixelFormat::Grey,
        ..small()
    };
    let mut world = World::open(&config, &models()).unwrap();
    let placed = world.placed().to_vec();
    assert_eq!(placed.len(), 9);
    let mut views = Vec::new();
    for place in &placed {
        views.push(render(&mut world, &config, place.photo));
    }
    // Centred, every photograph fills the middle: no two middles are alike, and shifting the camera shifts the
    // picture by what the lens says.
    for (index, place) in placed.iter().enumerate() {
        let centre = &views[index];
        for other in &views[..index] {
            assert!(difference(centre, other, 320, [0, 0]) > 8.0);
        }
        let off = pose(place.photo.pan + 0.05, place.photo.tilt);
        let at = world.lens().offset(off, place.photo).unwrap();
        let shift = [
            (at[0] * 320.0).round() as i32,
            (at[1] * 180.0).round() as i32,
        ];
        assert!(
            shift[0] < -10,
            "panning right moves the picture left: {shift:?}"
        );
        let moved = render(&mut world, &config, off);
        let right = difference(&moved, centre, 320, shift);
        let wrong = difference(&moved, centre, 320, [-shift[0], shift[1]]);
        assert!(
            right * 1.5 < wrong,
            "{}: {right} {wrong}",
            place.exhibit.name
        );
        let off = pose(place.photo.pan, place.photo.tilt + 0.03);
        let at = world.lens().offset(off, place.photo).unwrap();
        let shift = [0, (at[1] * 180.0).round() as i32];
        assert!(shift[1] > 5, "tilting up moves the picture down: {shift:?}");
        let moved = render(&mut world, &config, off);
        let right = difference(&moved, centre, 320, shift);
        let wrong = difference(&moved, centre, 320, [0, -shift[1]]);
        assert!(right < wrong, "{}: {right} {wrong}", place.exhibit.name);
    }
}

/// Mean difference of the middles of two grey pictures of 320x180, the first one shifted.
fn difference(a: &[u8], b: &[u8], width: i32, shift: [i32; 2]) -> f64 {
    let mut sum = 0.0;
    for y in 60..120 {
        for x in 110..210 {
            let pixel = |p: &[u8], x: i32, y: i32| f64::from(p[(y * width + x) as usize]);
            sum += (pixel(a, x + shift[0], y + shift[1]) - pixel(b, x, y)).abs();
        }
    }
    sum / f64::from(60 * 100)
}

#[test]
fn all_formats_show_the_same_picture() {
    let view = |format| {
        let config = SceneConfig { format, ..small() };
        let mut world = World::open(&config, &models()).unwrap();
        let cat = world.placed()[0].photo;
        render(&mut world, &config, cat)
    };
    let yuyv = view(PixelFormat::Yuyv);
    let uyvy = view(PixelFormat::Uyvy);
    let nv12 = view(PixelFormat::Nv12);
    let grey = view(PixelFormat::Grey);
    let rgb = view(PixelFormat::Rgb24);
    for i in 0..320 * 180 {
        let (luma, chroma) = (yuyv[2 * i], yuyv[2 * i + 1]);
        assert_eq!([chroma, luma], [uyvy[2 * i], uyvy[2 * i + 1]]);
        assert_eq!(luma, nv12[i]);
        // The formulas of ITU-R BT.601, limited range, in floating point.
        let pair = i / 2 * 4;
        let y = (f64::from(luma) - 16.0) / 219.0;
        let u = (f64::from(yuyv[pair + 1]) - 128.0) / 224.0;
        let v = (f64::from(yuyv[pair + 3]) - 128.0) / 224.0;
        let expect = [
            y + 1.402 * v,
            y - 0.344_136 * u - 0.714_136 * v,
            y + 1.772 * u,
        ];
        for (c, expect) in expect.into_iter().enumerate() {
            let expect = (expect * 255.0).clamp(0.0, 255.0);
            assert!((f64::from(rgb[3 * i + c]) - expect).abs() <= 1.0);
        }
        assert!((f64::from(grey[i]) - (y * 255.0).clamp(0.0, 255.0)).abs() <= 1.0);
        if i / 320 % 2 == 0 {
            assert_eq!(chroma, nv12[320 * 180 + i / 320 / 2 * 320 + i % 320]);
        }
    }
}

#[test]
fn the_whole_range_of_poses_and_sizes_can_be_rendered() {
    for (width, height, view) in [(320, 180, 100.0), (64, 64, 20.0), (642, 362, 60.0)] {
        let config = SceneConfig {
            width,
            height,
            field_of_view: Angle::from_degrees(view),
            ..SceneConfig::default()
        };
        let mut world = World::open(&config, &models()).unwrap();
        for pan in [-2.0, -0.4, 0.0, 2.0] {
            for tilt in [-0.87, 0.0, 0.87] {
                render(&mut world, &config, pose(pan, tilt));
            }
        }
    }
}

#[test]
fn a_seed_repeats_and_another_seed_does_not() {
    let place = |seed| {
        let world = World::open(&SceneConfig { seed, ..small() }, &models()).unwrap();
        world.placed().iter().map(|p| p.object).collect::<Vec<_>>()
    };
    assert_eq!(place(1), place(1));
    assert_ne!(place(1), place(2));
    // Twenty seeds put the cat into most of the ten places.
    let columns: std::collections::BTreeSet<(i64, bool)> = (0..20)
        .map(|seed| {
            let cat = place(seed)[0];
            ((cat.pan / 0.5).round() as i64, cat.tilt > 0.0)
        })
        .collect();
    assert!(columns.len() >= 7, "{columns:?}");
}

#[test]
fn all_objects_are_within_reach_of_the_joints() {
    for (pan, tilt) in [(80.0, 25.0), (30.0, 25.0), (80.0, 6.0), (10.0, 5.0)] {
        let config = SceneConfig {
            pan_range: Angle::from_degrees(pan),
            tilt_range: Angle::from_degrees(tilt),
            ..small()
        };
        let world = World::open(&config, &models()).unwrap();
        assert!(!world.placed().is_empty());
        for place in world.placed() {
            assert!(place.photo.pan.abs() <= config.pan_range.radians());
            assert!(place.photo.tilt.abs() <= config.tilt_range.radians());
        }
    }
}

#[test]
fn joint_readings_are_noisy_as_configured() {
    let config = SceneConfig {
        sensor_noise: Angle::from_degrees(0.5),
        ..small()
    };
    let mut world = World::open(&config, &models()).unwrap();
    let n = 4000;
    let (mut sum, mut squares) = (0.0, 0.0);
    for _ in 0..n {
        let pan = world.read_joints().pan.to_degrees();
        sum += pan;
        squares += pan * pan;
    }
    let mean = sum / f64::from(n);
    let deviation = (squares / f64::from(n) - mean * mean).sqrt();
    assert!(
        mean.abs() < 0.05 && (deviation - 0.5).abs() < 0.03,
        "{mean} {deviation}"
    );
}

/// Takes frames for a while; each is held for `hold` before its slot goes back.
fn drive(source: &mut SceneSource, frames: u32, hold: Nanos) -> Vec<(u64, MonoTime, u32)> {
    let mut seen = Vec::new();
    while seen.len() < frames as usize {
        let deadline = clock::now() + Nanos::from_secs(10);
        assert_eq!(source.wait(deadline), Ok(Readiness::Ready));
        let Some(slot) = source.take(clock::now()).unwrap() else {
            continue;
        };
        let meta = *slot.meta();
        assert_eq!(meta.stamp, StampSource::Synthetic);
        assert!(meta.captured <= meta.arrived && !meta.marks.future_stamp);
        assert_eq!(meta.bytes_used as usize, meta.format.frame_bytes());
        seen.push((meta.seq, meta.captured, meta.marks.gap_before));
        clock::sleep_until(clock::now() + hold);
        source.give_back(slot.empty());
    }
    seen
}

/// Frames that are neither taken nor lost, so still waiting: 0 or 1.
fn waiting(c: &SourceCounters) -> u64 {
    c.produced.get() - c.taken.get() - c.drained.get() - c.unusable.get() - c.no_slot.get()
}

#[test]
fn four_slots_are_enough_for_a_consumer_ten_times_slower() {
    let config = SceneConfig {
        rate: Hertz::new(100.0).unwrap(),
        ..small()
    };
    let (mut source, _sensor, _sink, _truth) = Scene::open(&config, &models()).unwrap();
    assert_eq!((source.slot_count(), source.rate()), (4, Hertz::new(100.0)));
    source.start().unwrap();
    let seen = drive(&mut source, 8, Nanos::from_millis(100));
    source.stop();
    clock::sleep_until(clock::now() + Nanos::from_millis(200));
    let counters = source.counters();
    assert_eq!(counters.taken.get(), 8);
    assert_eq!(
        counters.no_slot.get(),
        0,
        "two slots take turns, two are spare"
    );
    assert!(
        counters.drained.get() > 20,
        "stale frames go back to the camera"
    );
    assert!(waiting(&counters) <= 1);
    // The newest frame is what the consumer gets: at most about two periods old when it is taken at once.
    for pair in seen.windows(2) {
        assert!(pair[1].0 > pair[0].0 && pair[1].1 > pair[0].1);
        let periods = (pair[1].1 - pair[0].1).as_secs_f64() * 100.0;
        assert!(
            (periods - (pair[1].0 - pair[0].0) as f64).abs() < 1e-3,
            "stamps are exact"
        );
    }
    // Stopped means stopped.
    let produced = counters.produced.get();
    clock::sleep_until(clock::now() + Nanos::from_millis(50));
    assert_eq!(produced, counters.produced.get());
}

#[test]
fn frames_without_a_free_slot_are_counted_and_marked() {
    let config = SceneConfig {
        rate: Hertz::new(100.0).unwrap(),
        slots: 2,
        ..small()
    };
    let (mut source, _sensor, _sink, _truth) = Scene::open(&config, &models()).unwrap();
    source.start().unwrap();
    let mut held = Vec::new();
    while held.len() < 2 {
        source.wait(clock::now() + Nanos::from_secs(10)).unwrap();
        held.extend(source.take(clock::now()).unwrap());
    }
    let counters = source.counters();
    let patience = clock::now() + Nanos::from_secs(20);
    while counters.no_slot.get() <= 5 && clock::now() < patience {
        clock::sleep_until(clock::now() + Nanos::from_millis(20));
    }
    assert!(counters.no_slot.get() > 5);
    assert_eq!(waiting(&counters), 0);
    let last = held[1].meta().seq;
    for slot in held {
        source.give_back(slot.empty());
    }
    let next = drive(&mut source, 1, Nanos::ZERO)[0];
    assert!(next.2 > 5);
    assert_eq!(
        next.0,
        last + 1 + u64::from(next.2),
        "the gap is as long as it says"
    );
}

#[test]
fn the_joints_follow_the_actions_and_the_sensor_says_so() {
    let config = small();
    let (mut source, mut sensor, mut sink, truth) = Scene::open(&config, &models()).unwrap();
    source.start().unwrap();
    sensor.start().unwrap();
    let start = clock::now();
    let mut readings = Vec::new();
    while clock::now() - start < Nanos::from_millis(1500) {
        sink.write(&action(clock::now(), 0.5, -0.2)).unwrap();
        readings.extend(sensor.next(clock::now() + Nanos::from_millis(100)).unwrap());
    }
    let now = truth.pose();
    assert!(
        (now.pan - 0.5).abs() < 0.01 && (now.tilt + 0.2).abs() < 0.01,
        "{now:?}"
    );
    let last = readings.last().unwrap();
    assert_eq!(last.values().len(), 2);
    assert!((last.values()[0] - 0.5).abs() < 0.02 && (last.values()[1] + 0.2).abs() < 0.02);
    // Event times: in order, 100 a second, each off by at most the jitter, and never all on the beat.
    let mut off_beat = 0;
    for pair in readings.windows(2) {
        assert_eq!(pair[1].seq, pair[0].seq + 1, "no reading is lost");
        assert!(pair[0].at <= pair[0].arrived);
        let apart = pair[1].at - pair[0].at;
        let off = apart - Nanos::from_millis(10);
        assert!(off.abs() <= Nanos::from_millis(2) + Nanos(2));
        off_beat += u32::from(off.abs() > Nanos::from_micros(100));
    }
    assert!(readings.len() > 100 && off_beat as usize > readings.len() / 2);
}

#[test]
fn the_truth_knows_what_a_text_names_and_where_it_is() {
    let (source, _sensor, _sink, truth) = Scene::open(&small(), &models()).unwrap();
    let name = |text| truth.named_in(text).map(|p| p.exhibit.name);
    assert_eq!(name("Look at the cat!"), Some("cat"));
    assert_eq!(name("show me the cup of coffee"), Some("cup of coffee"));
    assert_eq!(name("find the motorcycle"), Some("motorcycle"));
    assert_eq!(name("look at the submarine"), None);
    assert_eq!(name("concatenate"), None);
    let cat = truth.named_in("cat").unwrap();
    let at = truth.offset(cat).unwrap();
    let expect = small().lens().offset(Pose::default(), cat.object).unwrap();
    assert!((at[0] - expect[0]).abs() < 1e-6 && (at[1] - expect[1]).abs() < 1e-6);
    assert!(
        source
            .describe()
            .contains("320x180 YUYV 30 Hz, 4 slots, seed 1")
    );
}

#[test]
fn a_wrong_action_is_refused_and_changes_nothing() {
    let (mut source, _sensor, mut sink, truth) = Scene::open(&small(), &models()).unwrap();
    source.start().unwrap();
    let now = clock::now();
    assert_eq!(
        sink.write(&action(now, f32::NAN, 0.0)),
        Err(StepError::OutOfRange)
    );
    let short = Action {
        dof: 1,
        ..action(now, 0.5, 0.0)
    };
    assert_eq!(sink.write(&short), Err(StepError::OutOfRange));
    clock::sleep_until(clock::now() + Nanos::from_millis(100));
    assert_eq!(truth.pose(), Pose::default());
}

#[test]
fn a_sink_that_nobody_empties_blocks_nobody() {
    // Before the start nobody reads the commands.
    let (source, _sensor, mut sink, _truth) = Scene::open(&small(), &models()).unwrap();
    let outcomes: Vec<_> = (0..300)
        .map(|_| sink.write(&action(clock::now(), 0.1, 0.0)))
        .collect();
    assert!(outcomes[0].is_ok() && outcomes[299] == Err(StepError::WouldBlock));
    drop(source);
    assert_eq!(
        sink.write(&action(clock::now(), 0.1, 0.0)),
        Err(StepError::DeviceLost)
    );
}

#[test]
fn a_missing_photograph_says_which_and_what_to_do() {
    let empty = tempfile::tempdir().unwrap();
    let fault = World::open(&small(), empty.path()).unwrap_err();
    assert_eq!(fault.kind, Kind::BadInput);
    assert!(fault.what.contains("chelsea.png") && fault.fix.contains("models fetch"));
}

#[test]
fn a_damaged_photograph_is_a_fault_and_no_panic() {
    let directory = tempfile::tempdir().unwrap();
    let photos = directory.path().join("photos");
    std::fs::create_dir(&photos).unwrap();
    for entry in std::fs::read_dir(models().join("photos")).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        let keep = if path.ends_with("rocket.jpg") || path.ends_with("coffee.png") {
            300
        } else {
            bytes.len()
        };
        std::fs::write(photos.join(path.file_name().unwrap()), &bytes[..keep]).unwrap();
    }
    let fault = World::open(&small(), directory.path()).unwrap_err();
    assert!(fault.what.contains("coffee.png"), "{fault}");
}

#[test]
fn a_wrong_configuration_names_the_key() {
    for (text, key) in [
        ("width = 1921", "width"),
        ("height = 20", "height"),
        ("format = \"MJPG\"", "format"),
        ("format = \"YUV\"", "YUV"),
        ("slots = 1", "slots"),
        ("rate = 0", "0 is not a rate"),
        ("rate = 500", "rate"),
        ("field_of_view = 60", "60"),
        ("field_of_view = \"170 deg\"", "field_of_view"),
        ("pan_range = \"200 deg\"", "pan_range"),
        ("sensor_jitter = \"9 ms\"", "sensor_jitter"),
        ("sensor_noise = \"-1 deg\"", "sensor_noise"),
        ("colour = 3", "colour"),
    ] {
        let error = toml::from_str::<SceneConfig>(text).unwrap_err().to_string();
        assert!(error.contains(key), "{text}: {error}");
    }
    assert_eq!(
        toml::from_str::<SceneConfig>(""),
        Ok(SceneConfig::default())
    );
    let all = "field_of_view = \"100 deg\"\nformat = \"nv12\"\nrate = 240";
    assert!(toml::from_str::<SceneConfig>(all).is_ok());
}
