//! A runner on a driver that this processor stands in for: captured, replayed, polled for, late, and without a device.

use std::ffi::{CString, c_int, c_void};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use reflexarc::error::{Kind, StepError};
use reflexarc::inference::cuda::compile::Feed;
use reflexarc::inference::cuda::config::{CudaConfig, Fallback};
use reflexarc::inference::cuda::program::Numbers;
use reflexarc::inference::cuda::runner::Runner;
use reflexarc::inference::network::{Activation, Linear, Network};
use reflexarc::inference::plan::Input;
use reflexarc::units::Nanos;
use tempfile::TempDir;

use crate::emulated::{compiled, function, opened, source};
use crate::{Random, difference};

/// A library that stands in for the driver.
struct StandIn {
    _folder: TempDir,
    path: CString,
    live: unsafe extern "C" fn() -> c_int,
}

/// One test at a time: they count what lives in the stand-in's memory.
fn stand_in() -> Option<(&'static StandIn, MutexGuard<'static, ()>)> {
    static MADE: OnceLock<Option<StandIn>> = OnceLock::new();
    static ONE: Mutex<()> = Mutex::new(());
    let made = MADE.get_or_init(|| {
        let (folder, library) = compiled(&[source("driver.cpp"), source("emulator.cpp")])?;
        let live = function(opened(&library), c"live_allocations");
        Some(StandIn {
            _folder: folder,
            path: CString::new(library.to_str().unwrap()).unwrap(),
            // SAFETY: driver.cpp declares it so.
            live: unsafe {
                std::mem::transmute::<*mut c_void, unsafe extern "C" fn() -> c_int>(live)
            },
        })
    });
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    made.as_ref().map(|made| (made, one))
}

const ROWS: usize = 5;
const COLUMNS: usize = 24;

fn network() -> Network {
    let random = &mut Random(7);
    let mut net = Network::default();
    let x = net.rows(COLUMNS);
    let layer = Linear {
        weights: random.values(COLUMNS * COLUMNS).into(),
        bias: random.values(COLUMNS).into(),
    };
    let y = net.linear(x, layer);
    net.activate(y, Activation::Gelu);
    net
}

fn runner(driver: &StandIn, deadline: Nanos) -> Runner {
    let config = CudaConfig {
        deadline,
        precision: Numbers::F32,
        ..CudaConfig::default()
    };
    let made = Runner::with_library(&driver.path, &network(), &Feed::Values, ROWS, &config);
    made.unwrap_or_else(|fault| panic!("{fault}"))
}

/// Long enough for the stand-in on a loaded machine.
const AMPLE: Nanos = Nanos::from_secs(20);

#[test]
fn frames_are_replayed_and_give_what_they_gave_before_in_any_thread() {
    let Some((driver, _one)) = stand_in() else {
        return;
    };
    let mut runner = runner(driver, AMPLE);
    assert_eq!(
        (
            runner.device().architecture,
            runner.device().multiprocessors
        ),
        (87, 8)
    );
    let random = &mut Random(1);
    let inputs = [random.values(ROWS * COLUMNS), random.values(ROWS * COLUMNS)];
    let run = |runner: &mut Runner, values: &[f32]| {
        let mut output = vec![0.0; runner.output_len()];
        runner.run(Input::Rows(values), &mut output).unwrap();
        output
    };
    let first = inputs.clone().map(|values| run(&mut runner, &values));
    assert!(
        difference(&first[0], &first[1]) > 0.1,
        "another input, another output"
    );
    // A context is each thread's own affair.
    let (runner, second) = thread::scope(|scope| {
        let other = scope.spawn(move || {
            let second = inputs.clone().map(|values| run(&mut runner, &values));
            (runner, second)
        });
        other.join().unwrap()
    });
    assert_eq!(first, second);
    assert_eq!(runner.late(), 0);
}

#[test]
fn a_frame_that_is_late_is_counted_and_the_next_one_recovers() {
    let Some((driver, _one)) = stand_in() else {
        return;
    };
    let mut runner = runner(driver, AMPLE);
    let values = Random(3).values(ROWS * COLUMNS);
    let (mut expected, mut output) = (
        vec![0.0; runner.output_len()],
        vec![0.0; runner.output_len()],
    );
    runner.run(Input::Rows(&values), &mut expected).unwrap();
    drop(runner);

    let mut runner = crate::runner::runner(driver, Nanos::from_millis(100));
    let other = Random(4).values(ROWS * COLUMNS);
    runner.delay(Nanos::from_millis(350)).unwrap();
    assert_eq!(
        runner.run(Input::Rows(&other), &mut output),
        Err(StepError::Late)
    );
    assert_eq!(runner.late(), 1);
    assert!(
        output.iter().all(|&v| v == 0.0),
        "nothing of a late frame is seen"
    );
    // The device is still busy: this one is late as well, and does not overwrite what the device reads.
    assert_eq!(
        runner.run(Input::Rows(&values), &mut output),
        Err(StepError::Late)
    );
    assert_eq!(runner.late(), 2);
    thread::sleep(std::time::Duration::from_millis(400));
    for _ in 0..20 {
        if runner.run(Input::Rows(&values), &mut output).is_ok() {
            break;
        }
    }
    assert_eq!(output, expected);
}

#[test]
fn all_memory_is_given_back() {
    let Some((driver, _one)) = stand_in() else {
        return;
    };
    // SAFETY: it counts.
    let live = || unsafe { (driver.live)() };
    let before = live();
    let runner = runner(driver, AMPLE);
    assert!(live() > before);
    drop(runner);
    assert_eq!(live(), before);
}

#[test]
fn what_the_network_does_not_take_is_refused() {
    let Some((driver, _one)) = stand_in() else {
        return;
    };
    let mut runner = runner(driver, AMPLE);
    let mut output = vec![0.0; runner.output_len()];
    assert_eq!(
        runner.run(Input::Rows(&[0.0; 3]), &mut output),
        Err(StepError::Compute)
    );
    assert_eq!(
        runner.run(Input::Words(&[1, 2]), &mut output),
        Err(StepError::Compute)
    );
    assert_eq!(runner.begin(&[0; 3]), Err(StepError::BadFrame));
    let config = CudaConfig {
        device: 3,
        ..CudaConfig::default()
    };
    let refused = Runner::with_library(&driver.path, &network(), &Feed::Values, ROWS, &config);
    let fault = refused.unwrap_err();
    assert_eq!(fault.kind, Kind::NoDevice);
    assert!(
        fault.to_string().contains("no GPU 3") && fault.why.contains('1'),
        "{fault}"
    );

    // No kernel has heads of 12 columns.
    let mut net = Network::default();
    let x = net.rows(24);
    let qkv = Linear {
        weights: vec![0.0; 72 * 24].into(),
        bias: vec![0.0; 72].into(),
    };
    net.attention(x, qkv, 2);
    let refused = Runner::with_library(
        &driver.path,
        &net,
        &Feed::Values,
        ROWS,
        &CudaConfig::default(),
    );
    let fault = refused.unwrap_err();
    assert_eq!(fault.kind, Kind::Unsupported);
    assert!(
        fault.why.contains("heads of 12 columns") && fault.fix.contains("\"plan\""),
        "{fault}"
    );
}

/// As the recipe of a machine without a GPU makes its libraries: each function there is, and answers that there is no device.
#[test]
fn a_driver_without_a_device_and_a_machine_without_a_driver_are_told_apart() {
    let names = include_str!("../../src/inference/cuda/driver.rs")
        .split("c\"cu")
        .skip(1);
    let names: Vec<&str> = names.map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(names.len() > 25, "{names:?}");
    let library = |names: &[&str]| -> Option<(TempDir, CString)> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("stub.cpp");
        let functions: Vec<String> = names
            .iter()
            .map(|name| format!("extern \"C\" int cu{name}() {{ return 100; }}\n"))
            .collect();
        std::fs::write(&file, functions.concat()).unwrap();
        let (kept, path): (TempDir, PathBuf) = compiled(&[file])?;
        Some((kept, CString::new(path.to_str().unwrap()).unwrap()))
    };
    let ask = |place: &std::ffi::CStr| {
        let config = CudaConfig::default();
        Runner::with_library(place, &network(), &Feed::Values, ROWS, &config).unwrap_err()
    };
    let fault = ask(c"/nowhere/libcuda.so.1");
    assert_eq!(fault.kind, Kind::NoDevice);
    assert!(
        fault.what.contains("no NVIDIA driver") && fault.fix.contains("\"plan\""),
        "{fault}"
    );
    let Some((_kept, stub)) = library(&names) else {
        return;
    };
    let fault = ask(&stub);
    assert_eq!(fault.kind, Kind::NoDevice);
    assert!(
        fault.why.contains("100") && fault.fix.contains("nvidia-smi"),
        "{fault}"
    );
    let Some((_kept, old)) = library(&names[..5]) else {
        return;
    };
    let fault = ask(&old);
    assert_eq!(fault.kind, Kind::Unsupported);
    assert!(fault.what.contains("too old"), "{fault}");
}

#[test]
fn the_configuration_says_device_deadline_and_fallback() {
    let read = |text: &str| toml::from_str::<CudaConfig>(text).map_err(|e| e.to_string());
    let config =
        read("device = 1\ndeadline = \"8 ms\"\nprecision = \"f32\"\nfallback = \"plan\"").unwrap();
    let expected = CudaConfig {
        device: 1,
        precision: Numbers::F32,
        deadline: Nanos::from_millis(8),
        fallback: Fallback::Plan,
    };
    assert_eq!(config, expected);
    assert_eq!(read("").unwrap(), CudaConfig::default());
    let error = read("\nfallback = \"cpu\"").unwrap_err();
    assert!(
        error.contains("line 2") && error.contains("plan"),
        "{error}"
    );
}
