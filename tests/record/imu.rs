//! A real log of an inertial unit goes through the 100 Hz path, into the recording, and comes out as it went in.

use std::path::{Path, PathBuf};
use std::process::Command;

use reflexarc::record::recorded::{Did, Recorded};

use crate::official::{python, read};
use crate::support::{reflexarc, text};
use crate::{alone, folder};

/// Three seconds at 120 Hz.
const ROWS: usize = 360;

/// The log as CSV; None, with the reason printed, where it cannot be had.
fn log() -> Option<PathBuf> {
    let (python, home) = (python()?, Path::new(env!("CARGO_TARGET_TMPDIR")));
    let sdist = home.join("scikit_kinematics-0.10.4.tar.gz");
    if !sdist.exists() {
        let fetched = Command::new(&python)
            .args(["-m", "pip", "download", "--quiet", "--no-deps"])
            .args(["--no-binary", ":all:", "scikit-kinematics==0.10.4", "-d"])
            .arg(home)
            .output();
        if !sdist.exists() {
            eprintln!(
                "skipped: the log of the inertial unit could not be fetched with pip: {fetched:?}"
            );
            return None;
        }
    }
    let csv = folder().join("imu.csv");
    let made = Command::new(&python)
        .arg("tests/record/imu.py")
        .args([&sdist, &csv])
        .arg(ROWS.to_string())
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made));
    Some(csv)
}

#[test]
fn a_real_imu_log_comes_out_of_the_recording_as_it_went_in() {
    let _alone = alone();
    let Some(csv) = log() else { return };
    let (config, path) = (folder().join("imu.toml"), folder().join("imu.mcap"));
    let lines = format!(
        "encoder.name = \"null\"\npolicy.name = \"still\"\nrecord.sensors = [\"imu\"]\n[[sensor]]\nsource = \"csv:{}\"\n",
        csv.display()
    );
    std::fs::write(&config, lines).unwrap();
    let output = reflexarc()
        .arg("record")
        .arg(&path)
        .args([
            "--quiet",
            "--duration",
            "4s",
            "--source",
            "synthetic:160x120@30",
            "--config",
        ])
        .arg(&config)
        .arg("--report")
        .arg(folder().join("imu"))
        .output()
        .unwrap();
    assert!(
        matches!(output.status.code(), Some(0 | 1)),
        "{}",
        text(&output)
    );

    let recorded = Recorded::open(&path).unwrap();
    let readings = recorded.fusion.iter().filter_map(|did| match did {
        Did::Read { reading, .. } => Some(*reading),
        _ => None,
    });
    let readings: Vec<_> = readings.collect();
    assert_eq!(readings.len(), ROWS);
    let rows = std::fs::read_to_string(&csv).unwrap();
    for (row, reading) in rows.lines().skip(1).zip(&readings) {
        let values: Vec<f32> = row.split(',').skip(1).map(|v| v.parse().unwrap()).collect();
        assert_eq!(reading.values(), values);
    }
    // 120 Hz, to the nanosecond of its rows.
    let lasted = (readings[ROWS - 1].at - readings[0].at).as_secs_f64();
    assert!((lasted - 359.0 / 120.0).abs() < 1e-6, "{lasted}");
    let replay = reflexarc().arg("replay").arg(&path).output().unwrap();
    assert_eq!(replay.status.code(), Some(0), "{}", text(&replay));

    let Some(found) = read(&path) else { return };
    let imu = &found["topics"]["/sensor_0/state"];
    assert_eq!(
        (&imu["schema"], &imu["read"]),
        (&"sensor_msgs/msg/Imu".into(), &ROWS.into())
    );
    #[expect(clippy::cast_possible_truncation, reason = "it was an f32")]
    let part = |name: &str, axis: &str| imu["first"][name][axis].as_f64().unwrap() as f32;
    let first = [
        part("linear_acceleration", "x"),
        part("linear_acceleration", "y"),
        part("linear_acceleration", "z"),
        part("angular_velocity", "x"),
        part("angular_velocity", "y"),
        part("angular_velocity", "z"),
    ];
    assert_eq!(first, readings[0].values());
    assert_eq!(imu["first"]["orientation_covariance"][0], -1.0);
}
