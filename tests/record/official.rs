//! The official Python reader opens what we write, with the schemas of ROS 2.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use crate::support::report;
use crate::{alone, folder, recording};
use reflexarc::record::recorded::Recorded;
use reflexarc::record::recover::recover;

const PACKAGES: [&str; 2] = ["mcap==1.6.0", "mcap-ros2-support==0.6.0"];

/// A Python with the packages; None, with the reason printed, where they cannot be had.
pub fn python() -> Option<PathBuf> {
    let home = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mcap-python");
    let python = home.join("bin/python");
    let works = |python: &Path| {
        let tried = Command::new(python)
            .args(["-c", "import mcap, mcap_ros2"])
            .output();
        tried.is_ok_and(|output| output.status.success())
    };
    if works(&python) {
        return Some(python);
    }
    let made = Command::new("python3")
        .args(["-m", "venv"])
        .arg(&home)
        .output();
    let fetched = made.and_then(|_| {
        Command::new(&python)
            .args(["-m", "pip", "install", "--quiet"])
            .args(PACKAGES)
            .output()
    });
    if works(&python) {
        return Some(python);
    }
    let why = fetched.map_or_else(
        |e| e.to_string(),
        |o| String::from_utf8_lossy(&o.stderr).into(),
    );
    eprintln!("skipped: the official MCAP reader could not be installed with pip: {why}");
    None
}

/// What the official reader finds.
pub fn read(path: &Path) -> Option<Value> {
    let output = Command::new(python()?)
        .arg("tests/record/mcap_check.py")
        .arg(path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

fn assert_counts(found: &Value, recorded: &Recorded) {
    let topics = found["topics"].as_object().unwrap();
    for (name, topic) in topics {
        assert_eq!(topic["read"], topic["counted"], "{name}");
    }
    let read = |name: &str| topics[name]["read"].as_u64().unwrap();
    assert_eq!(read("/camera/image"), recorded.picture_count() as u64);
    assert_eq!(read("/reflexarc/frames"), recorded.frames.len() as u64);
    assert_eq!(read("/reflexarc/actions"), recorded.beats.len() as u64);
    assert_eq!(read("/reflexarc/steps"), recorded.steps().count() as u64);
    assert_eq!(read("/reflexarc/chunks"), recorded.chunks.len() as u64);
}

#[test]
fn the_official_reader_finds_every_message_with_its_schema() {
    let _alone = alone();
    let path = recording();
    let Some(found) = read(&path) else { return };
    let recorded = Recorded::open(&path).unwrap();
    assert_counts(&found, &recorded);
    let topics = &found["topics"];
    for (topic, schema) in [
        ("/camera/image", "sensor_msgs/msg/Image"),
        ("/sensor_0/state", "sensor_msgs/msg/JointState"),
        ("/reflexarc/instructions", "reflexarc_msgs/msg/Instruction"),
    ] {
        assert_eq!(topics[topic]["schema"], schema);
    }
    let image = &topics["/camera/image"]["first"];
    assert_eq!(
        (&image["width"], &image["height"]),
        (&320.into(), &180.into())
    );
    assert_eq!(image["encoding"], "yuv422_yuy2");
    assert_eq!(image["data"]["bytes"], 320 * 180 * 2);
    assert_eq!(
        topics["/reflexarc/instructions"]["first"]["text"],
        "find the cat"
    );
    let streams = &topics["/reflexarc/streams"];
    assert_eq!(streams["schema"], "reflexarc_msgs/msg/StreamResult");
    let told = &report(&folder().join("report"))["streams"][0];
    assert_eq!(
        streams["read"], told["results"],
        "each result is in the file"
    );
    let first = &streams["first"];
    assert_eq!(first["stream"], "joint speed");
    assert_eq!(first["what"], "mean of speed of sensor-0");
    assert_eq!(
        first["end"].as_i64().unwrap() - first["start"].as_i64().unwrap(),
        200_000_000
    );
    // To the last bit: f32 in f64.
    let reading = recorded.fusion.iter().find_map(|did| match did {
        reflexarc::record::recorded::Did::Read { reading, .. } => Some(*reading),
        _ => None,
    });
    let position = topics["/sensor_0/state"]["first"]["position"].as_array();
    #[expect(clippy::cast_possible_truncation, reason = "it was an f32")]
    let position: Vec<f32> = position
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap() as f32)
        .collect();
    assert_eq!(position, reading.unwrap().values());
    assert_eq!(found["attachments"][0], "configuration.toml");
    assert_eq!(found["metadata"]["reflexarc"]["policy"], "gaze");
}

#[test]
fn a_recovered_recording_opens_in_the_official_reader() {
    let _alone = alone();
    let (whole, cut) = (
        std::fs::read(recording()).unwrap(),
        folder().join("cut.mcap"),
    );
    std::fs::write(&cut, &whole[..whole.len() * 2 / 3]).unwrap();
    let to = folder().join("recovered.mcap");
    let recovered = recover(&cut, &to).unwrap();
    assert!(recovered.messages > 100, "{recovered:?}");
    let Some(found) = read(&to) else { return };
    assert_counts(&found, &Recorded::open(&to).unwrap());
}
