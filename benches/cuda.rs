//! Networks on a GPU: do they give what the processor gives, is a late frame counted and recovered from, and how long does a frame
//! take? `scripts/dev gpu` packs this with its data into a folder that runs on any machine with NVIDIA's driver; it prints what it
//! finds and writes it as JSON, also if something fails on the way.

use std::error::Error;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use reflexarc::clock;
use reflexarc::error::{Result, StepError};
use reflexarc::features::encoders::{EncoderConfig, NetworkEncoder};
use reflexarc::features::networks::{Model, Until};
use reflexarc::features::{Encoder, FeatureMap, FrameView};
use reflexarc::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use reflexarc::inference::cuda::compile::Feed;
use reflexarc::inference::cuda::config::CudaConfig;
use reflexarc::inference::cuda::program::Numbers;
use reflexarc::inference::cuda::runner::Runner;
use reflexarc::inference::engine::Backend;
use reflexarc::inference::kernels::Isa;
use reflexarc::inference::made_up::MadeUp;
use reflexarc::inference::network::Network;
use reflexarc::inference::plan::{Input, Limits, Plan, Precision};
use reflexarc::inference::tensors::{Source as _, TensorFile};
use reflexarc::units::{MonoTime, Nanos};
use serde_json::{Map, Value, json};

/// Differences to the processor's plan in f32, relative to the largest value, that are accepted.
const F32_MAX: f32 = 1e-4;
const F16_MAX: f32 = 1e-1;
/// And in f16 so much of the direction has to stay.
const F16_COSINE_MIN: f64 = 0.998;
/// Frames that are timed of each network, and how long at most.
const FRAMES: usize = 5000;
const FRAMES_ON_PROCESSOR: usize = 200;
const TIME_MAX: Nanos = Nanos::from_secs(10);
const WARM_UP: usize = 50;

/// Two frames of the smallest networks, without limits of time: for a driver that is stood in for, which takes seconds a frame.
fn is_rehearsal() -> bool {
    std::env::var_os("REFLEXARC_REHEARSAL").is_some()
}

fn main() -> std::process::ExitCode {
    let mut arguments = std::env::args().skip(1);
    // Cargo's own.
    let to = arguments.find(|a| !a.starts_with("--"));
    let to = PathBuf::from(to.unwrap_or_else(|| "cuda.json".to_owned()));
    let mut told = Told {
        to,
        all: Map::new(),
        failures: Vec::new(),
    };
    told.note("schema", "reflexarc-cuda-1");
    told.note("version", env!("CARGO_PKG_VERSION"));
    told.note(
        "commit",
        option_env!("REFLEXARC_COMMIT").unwrap_or_default(),
    );
    told.note("processor", processor());
    told.note("isa", Isa::best().name());
    if let Err(error) = run(&mut told) {
        told.failures.push(error.to_string());
    }
    let failures = told.failures.clone();
    told.note("failures", failures.clone());
    for failure in &failures {
        say(&format!("FAILED: {failure}"));
    }
    say(match failures.is_empty() {
        true => "all checks passed",
        false => "some checks FAILED",
    });
    std::process::ExitCode::from(u8::from(!failures.is_empty()))
}

struct Told {
    to: PathBuf,
    all: Map<String, Value>,
    failures: Vec<String>,
}

impl Told {
    /// Into the file at once: what was found before a crash is kept.
    fn note(&mut self, key: &str, value: impl Into<Value>) {
        self.all.insert(key.to_owned(), value.into());
        let text = serde_json::to_string_pretty(&self.all).unwrap_or_default();
        if let Err(error) = std::fs::write(&self.to, text + "\n") {
            say(&format!("{} cannot be written: {error}", self.to.display()));
        }
    }

    fn check(&mut self, is_met: bool, what: String) {
        if !is_met {
            say(&format!("FAILED: {what}"));
            self.failures.push(what);
        }
    }
}

fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

fn run(told: &mut Told) -> std::result::Result<(), Box<dyn Error>> {
    let mut rows = Vec::new();
    let rehearsed = [Model::EfficientNetLite0, Model::VitTiny];
    let is_all = std::env::var("REFLEXARC_REHEARSAL").is_ok_and(|which| which == "all");
    for model in Model::ALL {
        if is_rehearsal() && !is_all && !rehearsed.contains(&model) {
            continue;
        }
        match one(told, model) {
            Ok(found) => rows.push(found),
            Err(error) => {
                told.check(false, format!("{}: {error}", model.name()));
                // Without a device none of the others can.
                if rows.is_empty() {
                    return Ok(());
                }
            }
        }
        told.note("networks", rows.clone());
    }
    if is_rehearsal() {
        say("a rehearsal: no late frame");
    } else if let Err(error) = late(told) {
        told.check(false, format!("a late frame: {error}"));
    }
    let mut frames = Vec::new();
    for (model, pixel) in [
        (Model::EfficientNetLite0, PixelFormat::Yuyv),
        (Model::EfficientNetLite0, PixelFormat::Nv12),
        (Model::VitTiny, PixelFormat::Yuyv),
    ] {
        match frame(told, model, pixel) {
            Ok(found) => frames.push(found),
            Err(error) => told.check(false, format!("frames to {}: {error}", model.name())),
        }
        told.note("frames", frames.clone());
    }
    Ok(())
}

/// A network with its real weights, where they lie beside this program or in the cache, else with made-up ones.
fn network(model: Model) -> Result<(Network, &'static str)> {
    if let Some(path) = weights(model) {
        let file = TensorFile::read(&path, model.fix())?;
        return Ok((model.network(&file.tensors()?, Until::Map)?, "trained"));
    }
    Ok((model.network(&MadeUp, Until::Map)?, "made up"))
}

fn weights(model: Model) -> Option<PathBuf> {
    let path = reflexarc::models::path(model.weights()?);
    path.exists().then_some(path)
}

fn config(precision: Numbers) -> CudaConfig {
    CudaConfig {
        precision,
        deadline: Nanos::from_secs(if is_rehearsal() { 600 } else { 2 }),
        ..CudaConfig::default()
    }
}

/// Equality and times of one network.
fn one(told: &mut Told, model: Model) -> Result<Value> {
    let (network, weights) = network(model)?;
    let picture = MadeUp.tensor("a picture", &[1, 1, 1, model.input().len()])?;
    let (input, rows) = (Input::Picture(&picture), model.rows());
    let limits = Limits { rows, sequences: 1 };
    let mut plan = Plan::new(&network, Isa::best(), Precision::F32, limits);
    let shape = network.output();
    let mut expected = vec![0.0; shape.rows.of(rows) * shape.columns];
    plan.run(input, &[rows], &mut expected);
    let mut found = json!({ "network": model.name(), "weights": weights });
    for (precision, most) in [(Numbers::F32, F32_MAX), (Numbers::F16, F16_MAX)] {
        let mut runner = Runner::new(&network, &Feed::Values, rows, &config(precision))?;
        if !told.all.contains_key("device") {
            let device = runner.device().clone();
            say(&format!("{device:?}"));
            told.note(
                "device",
                json!({ "name": device.name, "architecture": device.architecture, "multiprocessors": device.multiprocessors,
                    "is_integrated": device.is_integrated, "driver": device.driver }),
            );
        }
        let mut output = vec![f32::NAN; runner.output_len()];
        let mut step = || runner.run(input, &mut output).map_err(|e| format!("{e:?}"));
        let times = times(FRAMES, &mut step);
        let times = match times {
            Ok(times) => times,
            Err(error) => {
                told.check(
                    false,
                    format!("{} {}: {error}", model.name(), precision.name()),
                );
                continue;
            }
        };
        let (error, cosine) = (difference(&output, &expected), cosine(&output, &expected));
        told.check(
            error <= most && (precision == Numbers::F32 || cosine >= F16_COSINE_MIN),
            format!(
                "{} {} differs from the processor by {error:e} (cosine {cosine:.6}), more than {most:e}",
                model.name(),
                precision.name()
            ),
        );
        say(&format!(
            "{:20} {}  differs {error:.1e}, cosine {cosine:.6}, {} launches, {:.1} MiB; {}",
            model.name(),
            precision.name(),
            runner.launches(),
            runner.bytes() as f64 / 1_048_576.0,
            in_words(&times)
        ));
        found[precision.name()] = json!({ "difference": error, "cosine": cosine, "launches": runner.launches(), "bytes": runner.bytes(),
            "frame": times });
    }
    let times = times(FRAMES_ON_PROCESSOR, &mut || {
        plan.run(input, &[rows], &mut expected);
        Ok(())
    });
    let times = times.unwrap_or_default();
    say(&format!(
        "{:20} {}  on the processor, one core: {}",
        model.name(),
        "f32",
        in_words(&times)
    ));
    found["processor"] = times;
    Ok(found)
}

/// A frame that misses its deadline is counted, and the next one is right.
fn late(told: &mut Told) -> Result<()> {
    let (network, _) = network(Model::MobileNetV2)?;
    let picture = MadeUp.tensor("a picture", &[1, 1, 1, Model::MobileNetV2.input().len()])?;
    let input = Input::Picture(&picture);
    let config = CudaConfig {
        deadline: Nanos::from_millis(20),
        ..config(Numbers::F16)
    };
    let mut runner = Runner::new(&network, &Feed::Values, 1, &config)?;
    let (mut expected, mut output) = (
        vec![0.0; runner.output_len()],
        vec![0.0; runner.output_len()],
    );
    // The very first may take longer than any other.
    let first = (0..50).map(|_| runner.run(input, &mut expected));
    let first = first.reduce(|was, is| was.or(is)).unwrap_or(Ok(()));
    let before = runner.late();
    told.check(
        first.is_ok(),
        format!("the first of the late frames: {first:?}"),
    );
    let delayed = runner.delay(Nanos::from_millis(30));
    told.check(delayed.is_ok(), format!("the delay: {delayed:?}"));
    let begin = clock::now();
    let missed = runner.run(input, &mut output);
    let waited = clock::now() - begin;
    told.check(
        missed == Err(StepError::Late),
        format!("a frame behind 30 ms of other work: {missed:?}"),
    );
    told.check(
        runner.late() == before + 1,
        format!("{} late frames were counted", runner.late() - before),
    );
    told.check(
        output.iter().all(|&v| v == 0.0),
        "something of a late frame was seen".to_owned(),
    );
    let next = runner.run(input, &mut output);
    told.check(
        next.is_ok(),
        format!("the frame behind a late one: {next:?}"),
    );
    told.check(
        output == expected,
        "the frame behind a late one is another".to_owned(),
    );
    say(&format!(
        "a late frame: {missed:?} after {waited}, then {next:?}"
    ));
    told.note("late", json!({ "first": format!("{missed:?}"), "waited_ns": waited.0, "next": format!("{next:?}") }));
    Ok(())
}

/// Camera frames of 1920x1080 through the encoder, preprocessing included, on the GPU and on the processor.
fn frame(told: &mut Told, model: Model, pixel: PixelFormat) -> Result<Value> {
    let format = FrameFormat::packed(pixel, 1920, 1080);
    let bytes: Vec<u8> = frame_bytes(&format);
    let meta = FrameMeta {
        seq: 0,
        source_index: 0,
        format,
        bytes_used: u32::try_from(bytes.len()).unwrap_or(0),
        captured: MonoTime::ZERO,
        stamp: StampSource::Arrival,
        arrived: MonoTime::ZERO,
        marks: FrameMarks::default(),
    };
    let view = FrameView {
        meta: &meta,
        bytes: &bytes,
    };
    let Some(path) = weights(model) else {
        say(&format!(
            "frames to {}: skipped, its weights are not here",
            model.name()
        ));
        return Ok(json!({ "network": model.name(), "skipped": "its weights are not here" }));
    };
    let mut maps = Vec::new();
    let mut found = json!({ "network": model.name(), "pixels": pixel.name() });
    for (name, backend) in [("cuda", Backend::Cuda), ("processor", Backend::Plan)] {
        let mut encoder = encoder(model, &path, backend, format)?;
        let mut map = FeatureMap::new(encoder.shape());
        let mut step = || {
            encoder.load(view).map_err(|e| format!("{e:?}"))?;
            encoder.encode(&mut map).map_err(|e| format!("{e:?}"))
        };
        let frames = if backend == Backend::Cuda {
            FRAMES
        } else {
            FRAMES_ON_PROCESSOR
        };
        let times = times(frames, &mut step);
        let times = match times {
            Ok(times) => times,
            Err(error) => {
                told.check(
                    false,
                    format!("frames to {} on {name}: {error}", model.name()),
                );
                continue;
            }
        };
        say(&format!(
            "{:20} 1080p {} to map, {name}: {}",
            model.name(),
            pixel.name(),
            in_words(&times)
        ));
        found[name] = times;
        maps.push(map.values().to_vec());
    }
    if let [device, here] = &maps[..] {
        let (error, cosine) = (difference(device, here), cosine(device, here));
        say(&format!(
            "{:20} differs {error:.1e}, cosine {cosine:.6}",
            model.name()
        ));
        found["difference"] = json!(error);
        found["cosine"] = json!(cosine);
        told.check(
            error <= F16_MAX && cosine >= F16_COSINE_MIN,
            format!(
                "the map of a {} frame differs by {error:e}, cosine {cosine:.6}",
                pixel.name()
            ),
        );
    }
    Ok(found)
}

fn encoder(
    model: Model,
    weights: &Path,
    backend: Backend,
    format: FrameFormat,
) -> Result<NetworkEncoder> {
    let config = EncoderConfig {
        backend,
        cuda: config(Numbers::F16),
        ..EncoderConfig::default()
    };
    NetworkEncoder::new(model, weights, &config, format)
}

/// Waves of brightness and colour.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "small numbers"
)]
fn frame_bytes(format: &FrameFormat) -> Vec<u8> {
    (0..format.frame_bytes())
        .map(|at| {
            let (row, column) = (at / format.stride as usize, at % format.stride as usize);
            let wave = (row as f32 * 0.01).sin() + (column as f32 * 0.003).cos();
            (128.0 + 50.0 * wave) as u8
        })
        .collect()
}

/// Of so many steps, or as many as fit into ten seconds, after a warm-up: percentiles in ns.
fn times(
    count: usize,
    step: &mut dyn FnMut() -> std::result::Result<(), String>,
) -> std::result::Result<Value, String> {
    let count = if is_rehearsal() { 2 } else { count };
    for _ in 0..WARM_UP.min(count / 4) {
        step()?;
    }
    let (mut all, start) = (Vec::with_capacity(count), clock::now());
    while all.len() < count && clock::now() - start < TIME_MAX {
        let begin = clock::now();
        step()?;
        all.push((clock::now() - begin).0);
    }
    all.sort_unstable();
    let at = |share: f64| all.get(place(all.len(), share)).copied();
    let tail = |share: f64, least: usize| at(share).filter(|_| all.len() >= least);
    Ok(
        json!({ "count": all.len(), "min_ns": all.first(), "p50_ns": at(0.5), "p99_ns": tail(0.99, 100), "p999_ns": tail(0.999, 1000),
        "max_ns": all.last() }),
    )
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a few thousand"
)]
fn place(len: usize, share: f64) -> usize {
    ((len as f64 * share) as usize).min(len.saturating_sub(1))
}

fn in_words(times: &Value) -> String {
    let us = |key: &str| {
        times[key]
            .as_i64()
            .map_or("-".to_owned(), |ns| format!("{:.1}", ns as f64 / 1000.0))
    };
    format!(
        "us p50 {}, p99 {}, p99.9 {}, max {} of {}",
        us("p50_ns"),
        us("p99_ns"),
        us("p999_ns"),
        us("max_ns"),
        times["count"]
    )
}

/// The largest, relative to the largest value; infinite where one is not finite.
fn difference(found: &[f32], expected: &[f32]) -> f32 {
    let largest = expected.iter().fold(1e-9f32, |most, v| most.max(v.abs()));
    let pairs = found.iter().zip(expected);
    let off = pairs.map(|(a, b)| match (a - b).abs() {
        off if off.is_finite() => off,
        _ => f32::INFINITY,
    });
    off.fold(0.0, f32::max) / largest
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        let pairs = x.iter().zip(y);
        pairs.map(|(x, y)| f64::from(*x) * f64::from(*y)).sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

fn processor() -> String {
    let all = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = all.lines().find_map(|line| line.strip_prefix("model name"));
    line.map_or("unknown", |name| name.trim_start_matches([' ', '\t', ':']))
        .to_owned()
}
