//! The bench beside a running robot.

use std::net::UdpSocket;
use std::path::Path;
use std::process::Output;
use std::time::Duration;

use reflexarc::bench::function::broken;
use reflexarc::telemetry::report::data::Report;
use serde_json::Value;

use crate::support::{reflexarc, text};

fn bench(dir: &Path, more: &[&str]) -> Output {
    reflexarc()
        .args(["bench", "--beside", "--seconds", "2", "--out"])
        .arg(dir)
        .args(more)
        .output()
        .unwrap()
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

#[test]
fn a_running_robot_does_not_feel_it() {
    let dir = tempfile::tempdir().unwrap();
    // The robot's: somebody listens where its actions go, and its sensor's port is taken.
    let robot = UdpSocket::bind("127.0.0.1:0").unwrap();
    robot
        .set_read_timeout(Some(Duration::from_millis(1)))
        .unwrap();
    let joints = UdpSocket::bind("127.0.0.1:0").unwrap();
    let config = dir.path().join("robot.toml");
    let said = format!(
        "sink = \"udp:{}\"\n[[sensor]]\nsource = \"udp:{}\"\n[camera]\nsource = \"v4l2:/dev/video0\"\n\
         [real_time]\nstrict = true\n",
        robot.local_addr().unwrap(),
        joints.local_addr().unwrap()
    );
    std::fs::write(&config, said).unwrap();
    let out = dir.path().join("out");
    let output = bench(&out, &["--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("it works"), "{}", text(&output));
    assert!(robot.recv(&mut [0; 512]).is_err(), "an action was sent");

    let bench = json(&out.join("bench.json"));
    assert_eq!(bench["schema"], "reflexarc-bench/1");
    assert_eq!(bench["kind"], "beside");
    assert_eq!(bench["verdict"], "met");
    assert_eq!(
        bench["subject"]["config_sha256"].as_str().unwrap().len(),
        64
    );
    let report = json(&out.join("parts/beside/report.json"));
    for thread in report["threads"].as_array().unwrap() {
        assert_eq!(thread["class_given"], "normal", "{thread}");
        assert_eq!(thread["class_asked"], "normal", "{thread}");
    }
    assert_eq!(report["run"]["sink"], "null");
}

#[test]
fn what_does_not_work_is_named_by_its_first_cause() {
    let dir = tempfile::tempdir().unwrap();
    let output = bench(dir.path(), &[]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    let whole = json(&dir.path().join("parts/beside/report.json"));
    let judge = |change: &dyn Fn(&mut Value)| {
        let mut report = whole.clone();
        change(&mut report);
        broken(&serde_json::from_value::<Report>(report).unwrap())
    };
    assert_eq!(judge(&|_| {}), [""; 0]);
    let blind = judge(&|r| {
        for stream in ["frames", "feature_maps", "chunks", "actions"] {
            r["elements"][stream] = 0.into();
        }
    });
    assert_eq!(blind, ["no frame came from the camera"]);
    let mute = judge(&|r| r["elements"]["chunks"] = 0.into());
    assert_eq!(mute, ["the policy made no chunk of actions"]);
    let leaking = judge(&|r| r["links"][0]["in"] = 1_000_000.into());
    assert!(
        leaking[0].starts_with("not everything is accounted for"),
        "{leaking:?}"
    );
    let failing = judge(&|r| r["stages"][1]["failed"] = serde_json::json!({"compute": 3}));
    assert_eq!(failing, ["3 steps of features failed: compute"]);
    let hanging = judge(&|r| r["run"]["ended_by"] = "a stuck thread".into());
    assert_eq!(hanging, ["a thread got stuck"]);
}

#[test]
fn a_wrong_configuration_is_told_apart_from_one_that_does_not_work() {
    let dir = tempfile::tempdir().unwrap();
    let config = dir.path().join("wrong.toml");
    std::fs::write(&config, "camera.sauce = \"scene\"\n").unwrap();
    let output = bench(dir.path(), &["--config", config.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(!dir.path().join("bench.json").exists());
}
