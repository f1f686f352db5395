//! The same binary that people run, on a real driver: `reflexarc run --source v4l2:…` against vivid. Its report is
//! read back and must account for every frame. Run by `scripts/dev vm`, as `vivid` is.
#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use reflexarc::clock;
use reflexarc::telemetry::report::data::{Report, SourceReport};
use reflexarc::units::Nanos;

use crate::vivid;

/// Goals that even an emulated processor meets: here the accounts are judged, not the speed.
const SETTINGS: &str = r#"
    [goals]
    camera_to_action = "20 s"
    fusion = "20 s"
    elements_per_second = 1
"#;

const NULL_ENCODER: &str = r#"
    [encoder]
    name = "null"
    [policy]
    name = "still"
"#;

const REAL_ENCODER: &str = r#"
    [encoder]
    name = "efficientnet-lite0"
    [policy]
    name = "still"
"#;

fn binary() -> PathBuf {
    let named = std::env::var_os("REFLEXARC_BINARY");
    named.map_or_else(|| env!("CARGO_BIN_EXE_reflexarc").into(), PathBuf::from)
}

fn device() -> String {
    std::env::var("REFLEXARC_VIVID").expect("REFLEXARC_VIVID names vivid's node")
}

/// Where a run's actions go, in its folder.
const ACTIONS: &str = "actions.jsonl";

/// A run in a folder of its own.
struct Run {
    folder: tempfile::TempDir,
    child: Child,
}

impl Run {
    fn start(source: &str, settings: &str, duration: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("run.toml");
        std::fs::write(&config, format!("{SETTINGS}{settings}")).unwrap();
        let child = Command::new(binary())
            .args(["run", "--quiet", "--duration", duration])
            .arg("--sink")
            .arg(format!("json:{}", folder.path().join(ACTIONS).display()))
            .args(["--source", source])
            .arg("--config")
            .arg(&config)
            .arg("--report")
            .arg(folder.path().join("report"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self { folder, child }
    }

    /// Waits for the first action: the camera streams and the way works.
    fn has_begun(&self) {
        let actions = self.folder.path().join(ACTIONS);
        let deadline = clock::now() + Nanos::from_secs(60);
        while std::fs::metadata(&actions).map_or(0, |m| m.len()) == 0 {
            assert!(clock::now() < deadline, "no action came");
            clock::sleep_until(clock::now() + Nanos::from_millis(20));
        }
    }

    fn report_path(&self) -> PathBuf {
        self.folder.path().join("report/report.json")
    }

    /// Waits for the end, which must be a success, and reads the report.
    fn report(self) -> Report {
        let path = self.report_path();
        let output = self.child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let report = read(&path);
        assert_every_frame_is_accounted_for(&report);
        report
    }

    /// Waits for the end, which must be this exit code, with what, why and fix.
    fn refusal(self, code: i32) -> String {
        let path = self.report_path();
        let output = self.child.wait_with_output().unwrap();
        let text = said(&output);
        assert_eq!(output.status.code(), Some(code), "{text}");
        assert!(text.contains("why: ") && text.contains("fix: "), "{text}");
        assert!(!path.exists(), "nothing half-written");
        text
    }
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    format!(
        "{}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    )
}

fn read(path: &Path) -> Report {
    let text = std::fs::read_to_string(path).unwrap();
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}:\n{text}"))
}

/// The camera, as the report has it.
fn camera(report: &Report) -> &SourceReport {
    assert_eq!(report.sources.len(), 1);
    &report.sources[0]
}

fn assert_every_frame_is_accounted_for(report: &Report) {
    for link in &report.links {
        assert!(link.is_balanced(), "{link:?}");
        // Frames and maps have all arrived. What is on its way home may stay there, and so may a chunk that no
        // beat of the action clock came for.
        let arrives = ["capture -> features", "features -> fusion"].contains(&link.name.as_str());
        assert!(link.in_flight == 0 || !arrives, "{link:?}");
    }
    let camera = camera(report);
    let dropped: u64 = camera.dropped.values().sum();
    assert_eq!(
        camera.entered,
        camera.left + dropped + camera.in_flight,
        "{camera:?}"
    );
    let onward = report
        .links
        .iter()
        .find(|l| l.name == "capture -> features");
    assert_eq!(
        onward.unwrap().entered,
        camera.left,
        "what it gave went down the way"
    );
    assert!(
        !report.warnings.iter().any(|w| w.contains("slots")),
        "{:?}",
        report.warnings
    );
}

/// Four seconds with the encoder that touches every byte.
fn runs_on(source: &str, least_frames: u64) {
    let source = format!("v4l2:{},{source}", device());
    let report = Run::start(&source, NULL_ENCODER, "4s").report();
    let camera = camera(&report);
    assert!(camera.name.contains("\"vivid\""), "{}", camera.name);
    assert!(
        camera.left >= least_frames,
        "{camera:?} {:?} {:?} {:?} {:?}",
        report.run,
        report.warnings,
        report.elements,
        report.threads
    );
    assert_eq!((camera.odd["short"], camera.odd["error flag"]), (0, 0));
    assert!(report.elements.actions > 100, "{:?}", report.elements);
    for thread in &report.threads {
        assert_eq!(
            thread.allocations,
            Some(0),
            "after its first frame: {thread:?}"
        );
    }
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_whole_way_runs_on_640x360_yuyv() {
    runs_on("640x360@30,format=YUYV", 40);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_whole_way_runs_on_640x360_nv12() {
    runs_on("640x360@30,format=NV12", 40);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_whole_way_runs_on_full_hd() {
    // vivid's webcam has this size at 5 Hz.
    runs_on("1920x1080@5,format=YUYV", 5);
}

/// Real weights. An emulated processor takes 5 s a frame, which the supervisor rightly takes for a stuck thread, so
/// there it is one frame, at the warm-up; with KVM it is a run.
#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_real_encoder_reads_the_camera() {
    let source = format!("v4l2:{},640x360@30,format=YUYV", device());
    if std::env::var_os("REFLEXARC_FAST").is_some() {
        let report = Run::start(&source, REAL_ENCODER, "6s").report();
        assert!(report.elements.feature_maps > 10, "{:?}", report.elements);
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("run.toml");
    std::fs::write(&config, REAL_ENCODER).unwrap();
    let checked = Command::new(binary())
        .args(["check", "--source", &source, "--config"])
        .arg(&config)
        .output()
        .unwrap();
    assert!(checked.status.success(), "{}", said(&checked));
    assert!(
        said(&checked).contains("encoder: efficientnet-lite0"),
        "{}",
        said(&checked)
    );
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn an_interrupt_stops_it_cleanly_with_a_report() {
    let source = format!("v4l2:{},640x360@30", device());
    let run = Run::start(&source, NULL_ENCODER, "0s");
    run.has_begun();
    let process = run.child.id().cast_signed();
    // SAFETY: a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(process, libc::SIGINT) }, 0);
    let report = run.report();
    assert!(camera(&report).left > 0);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_busy_camera_and_a_wrong_format_have_exit_codes_of_their_own() {
    let source = format!("v4l2:{},640x360@30", device());
    let mut first = Run::start(&source, NULL_ENCODER, "0s");
    first.has_begun();
    let text = Run::start(&source, NULL_ENCODER, "1s").refusal(5);
    assert!(text.contains("is in use"), "{text}");
    first.child.kill().unwrap();
    first.child.wait().unwrap();

    let wrong = format!("v4l2:{},648x360@30", device());
    let text = Run::start(&wrong, NULL_ENCODER, "1s").refusal(6);
    assert!(text.contains("does not give 648x360"), "{text}");
    let missing = Run::start("v4l2:/dev/video99", NULL_ENCODER, "1s").refusal(4);
    assert!(missing.contains("/dev/video99"), "{missing}");
}

/// vivid's own entrance for faults, opened and closed for each: while it is open, an unplugged camera stays away.
fn inject(id: u32) {
    vivid::Faults::open().set(id, 1);
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn a_run_survives_its_camera_being_unplugged_and_its_report_tells_the_story() {
    let source = format!("v4l2:{},640x360@30", device());
    let settings = format!("{NULL_ENCODER}\n[action]\nlatch = false\n");
    let run = Run::start(&source, &settings, "6s");
    run.has_begun();
    inject(vivid::fault::DISCONNECT);
    let report = run.report();
    let camera = camera(&report);
    assert_eq!(camera.interruptions.len(), 1, "{camera:?}");
    let told = &camera.interruptions[0];
    assert_eq!(told.cause, "unplugged");
    assert!(
        told.reopened_after_ns > Some(told.detected_after_ns),
        "{told:?}"
    );
    assert!(told.resumed_after_ns > told.reopened_after_ns, "{told:?}");
    for thread in &report.threads {
        assert_eq!(
            thread.allocations,
            Some(0),
            "not for that either: {thread:?}"
        );
    }
    assert!(
        report
            .warnings
            .iter()
            .any(|w| w.contains("interrupted, 1 times")),
        "{:?}",
        report.warnings
    );
}

#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn with_reopen_off_an_unplugged_camera_ends_the_run_with_its_own_exit_code() {
    let source = format!("v4l2:{},640x360@30", device());
    let settings = format!("{NULL_ENCODER}\n[camera.v4l2.recovery]\nreopen = false\n");
    let run = Run::start(&source, &settings, "60s");
    run.has_begun();
    inject(vivid::fault::DISCONNECT);
    let path = run.report_path();
    let output = run.child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(14), "{}", said(&output));
    let report = read(&path);
    assert_eq!(camera(&report).interruptions[0].resumed_after_ns, None);
    assert_every_frame_is_accounted_for(&report);
}

/// The checks of cameras that need one, on a driver that streams.
#[test]
#[ignore = "needs the vivid driver: scripts/dev vm"]
fn the_doctor_judges_a_streaming_camera_by_its_frames() {
    let output = Command::new(binary())
        .args(["doctor", "--json", "--measure", "1s"])
        .output()
        .unwrap();
    let report: serde_json::Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
    let check = |id: &str| {
        let all = report["checks"].as_array().unwrap();
        all.iter().find(|c| c["id"] == id).unwrap().clone()
    };
    for id in ["V01", "V02", "V03", "V04", "V05", "V07"] {
        let check = check(id);
        let status = check["status"].as_str().unwrap();
        // On an emulated processor vivid may be late; but it was looked at.
        assert!(["pass", "warn"].contains(&status), "{check}");
    }
    // vivid's stamps of the end of a frame lie in the future: see the check's own text.
    assert!(
        check("V03")["effective"]
            .as_str()
            .unwrap()
            .contains("end of"),
        "{}",
        check("V03")
    );
    assert_eq!(check("V02")["status"], "pass");
    assert_eq!(check("V07")["status"], "pass");
}
