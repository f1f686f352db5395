//! The bench beside a running robot: does this release work with this configuration on this machine?
//!
//! It must not be felt by the robot, so it takes nothing from it: no camera, no socket or device of its sensors, none of its instructions, no
//! sink, no real-time class, no core of the way, no locked memory. It is judged by counts, since its times say nothing.

use crate::action::sinks::SinkConfig;
use crate::bench::data::{Flow, Part};
use crate::bench::folder::BenchFolder;
use crate::bench::function;
use crate::capture::spec::SourceSpec;
use crate::cli;
use crate::config::Config;
use crate::doctor::cpus;
use crate::error::{Fault, Kind, Result};
use crate::language::sources::LanguageConfig;
use crate::rt::choice::WaitChoice;
use crate::rt::plan::{self, Machine, ThreadsConfig};
use crate::rt::thread;
use crate::run;
use crate::sensor::config::{SensorAddress, SensorConfig};
use crate::units::Nanos;

use std::path::PathBuf;

/// Large enough that every stage has work, small enough for any board.
const CAMERA: &str = "synthetic:640x480@30";

/// So that a policy that understands words has some.
pub const INSTRUCTION: &str = "look at the cat";

pub const PART: &str = "beside";

/// Runs it.
pub fn run(config: Config, seconds: u32, folder: &BenchFolder) -> Result<Part> {
    let cores = free_cores(&config.threads, &Machine::detect());
    // Before anything else, so that what starts threads of its own starts them there.
    thread::set_housekeeping_cores(&cores).map_err(|e| {
        Fault::from_io(
            format!("the housekeeping cores {cores:?} are not given"),
            &e,
            Kind::RealTime,
            "let the process use them: see taskset and the service's AllowedCPUs=",
        )
    })?;
    let joints = folder.path.join("joints.csv");
    folder.keep("joints.csv", recording(seconds).as_bytes())?;
    let config = harmless(config, &cores, joints)?;
    let (place, below) = folder.of_part(PART);
    let args = cli::Run {
        instruct: Some(INSTRUCTION.to_owned()),
        duration: Some(Nanos::from_secs(i64::from(seconds))),
        report: Some(place),
        quiet: true,
        ..cli::Run::default()
    };
    let (report, lost) = run::report(&config, &args)?;
    let mut broken = function::broken(&report);
    broken.extend(lost.map(|fault| fault.what));
    Ok(Part {
        name: PART.to_owned(),
        broken,
        report: Some(below),
        flow: Some(Flow::of(&report)),
        warnings: report.warnings,
        ..Part::default()
    })
}

/// The housekeeping cores that the way of a robot here does not have; all of them where each is on the way.
fn free_cores(threads: &ThreadsConfig, machine: &Machine) -> Vec<usize> {
    let (way, housekeeping) = plan::cores(threads, machine);
    let free = cpus::without(&housekeeping, &way);
    if free.is_empty() { housekeeping } else { free }
}

/// Joints that stand still, 100 times a second, for a second longer than the run: a policy may do nothing without knowing
/// where they are.
fn recording(seconds: u32) -> String {
    let rows = (0..=(seconds + 1) * 100).map(|n| format!("{}.{:02},0,0\n", n / 100, n % 100));
    "time,pan,tilt\n".to_owned() + &rows.collect::<String>()
}

/// The same configuration with everything taken out that a running robot could feel.
fn harmless(mut config: Config, cores: &[usize], joints: PathBuf) -> Result<Config> {
    config.sensor = vec![SensorConfig::at(SensorAddress::Csv(joints))];
    config.language = LanguageConfig::default();
    config.sink = Some(SinkConfig::Null);
    config.threads = ThreadsConfig {
        cores: Some(cores.to_vec()),
        housekeeping: Some(cores.to_vec()),
        wait: WaitChoice::Park,
        ..ThreadsConfig::default()
    };
    let camera = CAMERA.parse::<SourceSpec>().map_err(|why| {
        Fault::new(
            Kind::Internal,
            "the camera of the bench cannot be made",
            why,
            "please report this",
        )
    })?;
    // The robot has its cameras open, all of them.
    let others = config
        .camera
        .others
        .iter_mut()
        .map(|other| &mut other.source);
    for source in others.chain([&mut config.camera.first.source]) {
        source.clone_from(&camera);
    }
    config.real_time.strict = false;
    config.real_time.fifo = false;
    config.real_time.lock_memory = false;
    config.real_time.keep_cores_awake = false;
    config.check()?;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_running_robots_cores_are_left_alone() {
        let isolated = Machine {
            cores: vec![0, 1, 2, 3],
            isolated: vec![2, 3],
        };
        assert_eq!(free_cores(&ThreadsConfig::default(), &isolated), [0, 1]);
        let plain = Machine {
            cores: vec![0, 1, 2, 3],
            isolated: vec![],
        };
        assert_eq!(free_cores(&ThreadsConfig::default(), &plain), [0, 1]);
        let small = Machine {
            cores: vec![0, 1],
            isolated: vec![],
        };
        assert_eq!(free_cores(&ThreadsConfig::default(), &small), [0]);
    }

    #[test]
    fn nothing_of_a_robots_configuration_is_taken_that_it_could_feel() {
        let text = "sink = \"udp:127.0.0.1:9\"\n[[camera]]\nsource = \"v4l2:/dev/video0\"\n[[camera]]\nsource = \"v4l2:/dev/video2\"\n\
                    [action]\nstart = [0.0, 0.0]\n";
        let robot = Config::parse(text, "robot.toml").expect("is right");
        let core = Machine::detect().cores[0];
        let config = harmless(robot, &[core], "joints.csv".into()).expect("is right");
        assert_eq!(config.sink, Some(SinkConfig::Null));
        assert!(!config.real_time.fifo && !config.real_time.lock_memory);
        let sources: Vec<_> = config.sensor.iter().map(|s| s.source.clone()).collect();
        assert_eq!(sources, [SensorAddress::Csv("joints.csv".into())]);
        let camera: SourceSpec = CAMERA.parse().expect("is right");
        assert_eq!(config.cameras().count(), 2);
        assert!(config.cameras().all(|one| one.source == camera));
        assert_eq!(config.threads.cores, Some(vec![core]));
    }
}
