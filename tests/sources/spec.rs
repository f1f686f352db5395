//! Sources in one word.

use std::path::Path;

use reflexarc::capture::Pace;
use reflexarc::capture::file::FileConfig;
use reflexarc::capture::spec::{SourceKind, SourceSpec};
use reflexarc::capture::synthetic::{SyntheticConfig, When};
use reflexarc::capture::v4l2::V4l2Config;
use reflexarc::frame::PixelFormat;
use reflexarc::lens::Angle;
use reflexarc::scene::SceneConfig;
use reflexarc::units::Nanos;

fn spec(text: &str) -> SourceSpec {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn synthetic(text: &str) -> SyntheticConfig {
    let mut config = SyntheticConfig::default();
    spec(text).apply_to(&mut config).unwrap();
    config
}

fn file(text: &str) -> FileConfig {
    let mut config = FileConfig::default();
    spec(text).apply_to(&mut config).unwrap();
    config
}

#[test]
fn a_bare_kind_changes_nothing() {
    assert_eq!(spec("scene"), SourceSpec::default());
    assert_eq!(synthetic("synthetic"), SyntheticConfig::default());
    assert_eq!(spec("v4l2").kind, SourceKind::V4l2);
}

#[test]
fn a_synthetic_camera_reads_as_it_is_written() {
    let config =
        synthetic("synthetic:640x360@60,format=NV12,jitter=2ms,gaps=1%,stalls=at5+9,seed=7");
    assert_eq!((config.width, config.height), (640, 360));
    assert!((config.rate.get() - 60.0).abs() < 1e-9);
    assert_eq!(config.format, PixelFormat::Nv12);
    assert_eq!(config.jitter, Nanos::from_millis(2));
    assert_eq!(config.gaps, When::Chance(0.01));
    assert_eq!(config.stalls, When::At(vec![5, 9]));
    assert_eq!(config.seed, 7);
    assert_eq!(synthetic("synthetic:640x480@fastest").pace, Pace::Fastest);
    assert_eq!(synthetic("synthetic,gap-length=3").gap_length, 3);
}

#[test]
fn a_file_takes_its_path_and_its_settings_apart() {
    let config = file("file:clips/drive.mp4,pace=fastest,loop,rate=12.5");
    assert_eq!(config.path, Path::new("clips/drive.mp4"));
    assert_eq!((config.pace, config.repeat), (Pace::Fastest, true));
    assert!((config.rate.unwrap().get() - 12.5).abs() < 1e-9);
    for path in [
        "a,b.y4m",
        "x=1.avi",
        "2026",
        "a:b",
        "loop.mp4",
        "with space",
    ] {
        assert_eq!(file(&format!("file:{path}")).path, Path::new(path));
        assert_eq!(file(&format!("file:{path},loop")).path, Path::new(path));
    }
}

#[test]
fn a_camera_takes_device_size_and_format() {
    let mut config = V4l2Config::default();
    spec("v4l2:/dev/v4l/by-path/pci-0000:00:14.0,1280x720@15,format=NV12,buffers=6")
        .apply_to(&mut config)
        .unwrap();
    assert_eq!(
        config.device,
        Path::new("/dev/v4l/by-path/pci-0000:00:14.0")
    );
    assert_eq!(
        (config.width, config.height, config.buffers),
        (1280, 720, 6)
    );
    assert_eq!(config.formats, [PixelFormat::Nv12]);
    spec("v4l2:640x480,format=MJPG+YUYV")
        .apply_to(&mut config)
        .unwrap();
    assert_eq!((config.width, config.buffers), (640, 6));
    assert_eq!(config.formats, [PixelFormat::Mjpeg, PixelFormat::Yuyv]);
    spec("v4l2,format=GREY").apply_to(&mut config).unwrap();
    assert_eq!(config.formats, [PixelFormat::Grey]);
}

#[test]
fn the_scene_takes_size_seed_and_joints() {
    let mut config = SceneConfig::default();
    spec("scene:640x360@60,seed=9,speed=90deg")
        .apply_to(&mut config)
        .unwrap();
    assert_eq!((config.width, config.height, config.seed), (640, 360, 9));
    assert_eq!(config.speed, Angle::from_degrees(90.0));
}

#[test]
fn what_is_not_said_stays_as_the_configuration_has_it() {
    let mut config: SyntheticConfig =
        toml::from_str("format = \"GREY\"\nrate = 10.0\nseed = 5").unwrap();
    // Neither is possible with the defaults: an odd width of YUYV, and more jitter than half of 33 ms.
    spec("synthetic,width=641,jitter=40ms")
        .apply_to(&mut config)
        .unwrap();
    assert_eq!((config.width, config.seed), (641, 5));
    assert_eq!(config.jitter, Nanos::from_millis(40));
}

#[test]
fn mistakes_are_explained() {
    for (text, words) in [
        ("camera", "scene, v4l2:DEVICE, file:PATH or synthetic"),
        ("/dev/video0", "did you mean v4l2:/dev/video0?"),
        ("clip.mp4", "did you mean file:clip.mp4?"),
        ("file:", "file:PATH"),
        ("file:a.mp4,pace=quick", "real-time"),
        ("synthetic:big", "WIDTHxHEIGHT"),
        ("synthetic:640x480@quick", "1920x1080@30"),
        ("synthetic:640x480@0", "above 0"),
        (
            "synthetic:640x480,colour=3",
            "`colour=3` is no setting of synthetic",
        ),
        ("synthetic,format=BGR", "not a pixel format"),
        ("synthetic,jitter=5", "with its unit"),
        ("synthetic,seed=x", "x"),
        ("v4l2:/dev/video0,width=1", "16"),
        ("v4l2:video0", "WIDTHxHEIGHT"),
        ("v4l2:/dev/video0,/dev/video1", "WIDTHxHEIGHT"),
        ("scene:pan=3", "`pan=3` is no setting of scene"),
        ("scene,640x480@fastest", "pace"),
        ("synthetic,format=", "not a pixel format"),
        ("synthetic,seed", "not a size"),
    ] {
        let error = text.parse::<SourceSpec>().unwrap_err();
        assert!(error.contains(words), "{text}: {error}");
    }
    let error = spec("synthetic,width=641").apply_to(&mut SyntheticConfig::default());
    assert!(error.unwrap_err().contains("even"));
}
