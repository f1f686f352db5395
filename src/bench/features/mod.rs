//! `reflexarc bench features`: how fast is an encoder on this processor, what holds it back, and what would help?
//!
//! Thread: main, which sleeps while a thread of its own measures. Allocates: yes. Blocks: yes.

// What there is to measure.
pub mod subject;

// What is printed as data.
pub mod data;

// One network, forward after forward.
mod measure;

// What follows from it.
pub mod advice;

// For a terminal.
mod show;

use std::fs;

use serde::Deserialize as _;
use serde::de::IntoDeserializer as _;
use serde::de::value::Error as ValueError;

use crate::bench::command::Answer;
use crate::cli;
use crate::console;
use crate::error::{Fault, Kind, Result};
use crate::inference::cuda::config::CudaConfig;
use crate::inference::cuda::program::Numbers;
use crate::inference::engine::{self, Backend, Engine};
use crate::inference::kernels::Isa;
use crate::inference::network::Network;
use crate::inference::plan::Precision;
use crate::rt::plan::Machine;
use crate::telemetry::environment::Environment;
use crate::units::Nanos;
use advice::{Place, advice, limit};
use data::{Features, Row, SCHEMA};
use measure::{Job, Measured};
use subject::{Given, Subject, Weights};

/// What an engine on a GPU is called.
const CUDA: &str = "cuda";

/// All precisions, the most exact first.
const PRECISIONS: [Precision; 4] = [
    Precision::F32,
    Precision::F16,
    Precision::Bf16,
    Precision::Int8,
];

/// As in the configuration.
///
/// # Errors
/// What there is instead, for people.
pub fn backend(name: &str) -> std::result::Result<Backend, String> {
    Backend::deserialize(name.into_deserializer()).map_err(|e: ValueError| e.to_string())
}

/// As in the configuration.
///
/// # Errors
/// What there is instead, for people.
pub fn precision(name: &str) -> std::result::Result<Precision, String> {
    Precision::deserialize(name.into_deserializer()).map_err(|e: ValueError| e.to_string())
}

/// Carries the command out.
///
/// # Errors
/// `Usage` where what is asked for does not go together; `Unsupported` where the processor lacks it; `Model` where weights are
/// missing or damaged.
pub fn features(args: &cli::BenchFeatures) -> Result<Answer> {
    let cores = cores(args)?;
    if args.weights.is_some() && args.encoders.len() != 1 {
        return Err(Fault::new(
            Kind::Usage,
            "--weights is one file",
            format!("{} encoders are named", args.encoders.len()),
            "name the encoder whose weights they are, and no other",
        ));
    }
    let environment = Environment::read();
    let place = place(cores[0]);
    let mut told = Features {
        schema: SCHEMA.to_owned(),
        version: environment.version,
        commit: environment.commit,
        cpu_model: environment.cpu_model,
        kernel: environment.kernel,
        isolated: place.is_isolated,
        governor: place.governor.clone(),
        rows: Vec::new(),
    };
    let encoders = match args.encoders.as_slice() {
        [] => vec![Subject::all().next().unwrap_or(Subject::Sentence)],
        named => named.to_vec(),
    };
    for &encoder in &encoders {
        let described = encoder.network(args.weights.as_deref())?;
        for precision in precisions(args)? {
            if !args.json {
                console::line(format_args!(
                    "{} {}: {} s",
                    encoder.name(),
                    name(precision),
                    args.seconds
                ));
            }
            told.rows
                .push(measured(args, encoder, &described, precision, &cores)?);
        }
    }
    let rows = told.rows.clone();
    for row in &mut told.rows {
        row.advice = advice(row, &rows, &place);
    }
    let text = match args.json {
        true => serde_json::to_string_pretty(&told).expect("plain values always serialise") + "\n",
        false => show::text(&told),
    };
    Ok(Answer { text, code: 0 })
}

/// One row, without advice.
fn measured(
    args: &cli::BenchFeatures,
    encoder: Subject,
    (network, weights): &(Network, Weights),
    precision: Precision,
    cores: &[usize],
) -> Result<Row> {
    let given = Given::to(encoder, args.words)?;
    let rows = given.rows();
    let device = CudaConfig {
        precision: numbers(args),
        ..CudaConfig::default()
    };
    let engine = Engine::with_device(network, args.backend, precision, rows, &device)?;
    let (precision_name, weight_bytes) = match args.backend {
        Backend::Cuda => (device.precision.name().to_owned(), device.precision.bytes()),
        _ => (name(precision), bytes(precision)),
    };
    let weight_bytes = network.weights_read(rows) * weight_bytes;
    let multiply_adds = network.multiply_adds(rows) as u64;
    let backend = engine.name();
    let words = match encoder {
        Subject::Picture(_) => 0,
        Subject::Sentence => rows,
    };
    let done = Job {
        isa: Isa::named(backend),
        engine,
        given,
        precision,
        weight_bytes,
        cores: cores.to_vec(),
        priority: args.priority,
        time: Nanos::from_secs(args.seconds.into()),
    }
    .run()?;
    let row = Row {
        encoder: encoder.name().to_owned(),
        precision: precision_name,
        backend: backend.to_owned(),
        threads: cores.len(),
        cores: cores.to_vec(),
        weights: weights.name().to_owned(),
        words,
        seconds: args.seconds,
        multiply_adds,
        weight_bytes: weight_bytes as u64,
        ..Row::default()
    };
    Ok(row.with(&done))
}

impl Row {
    /// With what was measured, and what follows from it.
    #[expect(clippy::cast_precision_loss, reason = "three digits are wanted")]
    fn with(self, done: &Measured) -> Self {
        let count = done.forwards.count.max(1) as f64;
        let per_s = 1e9 / done.forwards.p50_ns.max(1) as f64;
        let flops = 2.0 * self.multiply_adds as f64 * per_s;
        let peak_flops = done.multiply_adds.map(|peak| 2.0 * peak);
        let of_peak = peak_flops.map(|peak| flops / peak);
        let bytes_per_s = self.weight_bytes as f64 * per_s;
        // A GPU's memory is another, whose speed is not measured.
        let of_bandwidth = match self.backend == CUDA {
            true => 0.0,
            false => bytes_per_s / done.bytes,
        };
        Self {
            forwards: done.forwards,
            min_ns: done.min.clamp_u64(),
            allocations_per_forward: done.allocations as f64 / count,
            allocated_bytes_per_forward: done.allocated_bytes as f64 / count,
            without_core: done.without_core,
            flops,
            peak_flops,
            of_peak,
            bytes_per_s,
            peak_bytes_per_s: done.bytes,
            of_bandwidth,
            limit: limit(of_peak, of_bandwidth),
            refused: done.refused.clone(),
            ..self
        }
    }
}

/// Those that were asked for, else all that this processor has an instruction for.
fn precisions(args: &cli::BenchFeatures) -> Result<Vec<Precision>> {
    if !args.precision.is_empty() {
        return Ok(args.precision.clone());
    }
    let Some(isa) = args.backend.isa()? else {
        return Ok(vec![Precision::F32]);
    };
    let all = PRECISIONS.into_iter();
    Ok(all.filter(|&p| engine::check(isa, p).is_ok()).collect())
}

/// In what a GPU computes: f16 unless f32 is asked for.
fn numbers(args: &cli::BenchFeatures) -> Numbers {
    match args.precision[..] {
        [Precision::F32] => Numbers::F32,
        _ => Numbers::F16,
    }
}

/// As in the configuration.
fn name(precision: Precision) -> String {
    format!("{precision:?}").to_lowercase()
}

/// Of one weight.
fn bytes(precision: Precision) -> usize {
    4 / precision.columns_per_word()
}

/// That of the features thread, then those of its partners.
fn cores(args: &cli::BenchFeatures) -> Result<Vec<usize>> {
    let machine = Machine::detect();
    let cores = match &args.cores {
        Some(named) => named.0.clone(),
        // The last ones: the kernel and the world are mostly on the first.
        None => {
            let isolated = machine.isolated.iter();
            let others = machine
                .cores
                .iter()
                .rev()
                .filter(|core| !machine.isolated.contains(core));
            isolated.chain(others).copied().take(args.threads).collect()
        }
    };
    let unknown = cores.iter().find(|core| !machine.cores.contains(core));
    if unknown.is_none() && cores.len() == args.threads {
        return Ok(cores);
    }
    Err(Fault::new(
        Kind::Usage,
        format!("{} threads on the cores {cores:?}", args.threads),
        match unknown {
            Some(core) => format!("this process may not use core {core}"),
            None => "each thread has a core of its own".to_owned(),
        },
        format!(
            "there are {:?}: name one for each with --cores, or fewer --threads",
            machine.cores
        ),
    ))
}

/// What the first core is like.
fn place(core: usize) -> Place {
    let best = Isa::best();
    let folder = format!("/sys/devices/system/cpu/cpu{core}");
    let read = |file: &str| {
        let text = fs::read_to_string(format!("{folder}/{file}")).ok()?;
        Some(text.trim().to_owned())
    };
    // A cache that no other core has: the shared list is one core, or threads of one.
    let own = (0..8).filter_map(|index| {
        let shared = read(&format!("cache/index{index}/level"))?;
        let size = read(&format!("cache/index{index}/size"))?;
        let kib: usize = size.strip_suffix('K')?.parse().ok()?;
        // The third level is shared everywhere, and a virtual machine may not say so.
        (shared.parse::<u8>().ok()? <= 2).then_some(kib << 10)
    });
    Place {
        is_isolated: Machine::detect().isolated.contains(&core),
        own_cache: own.max(),
        governor: read("cpufreq/scaling_governor"),
        best: best.name(),
        has_pairs: best.has_pairs(),
    }
}
