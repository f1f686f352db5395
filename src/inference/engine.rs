//! What runs a network: its plan, or candle.
//!
//! Thread: any, one at a time. Allocates: in `new`; on candle also in `run`. Blocks: no. Locks: no (candle: yes).

use serde::Deserialize;

use super::cuda::compile::Feed;
use super::cuda::config::CudaConfig;
use super::cuda::runner::Runner;
use super::kernels::Isa;
use super::network::Network;
use super::plan::{Inputs, Limits, Plan, Precision};
use super::reference::Reference;
use crate::error::{Fault, Kind, Result, StepError};
use crate::rt::crew::Crew;

/// What computes a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// Its plan, on the fastest instruction set of this processor.
    #[default]
    Plan,
    /// Its plan on AVX-512; refused where the processor lacks it.
    PlanAvx512,
    /// Its plan on AVX2 and FMA; refused where the processor lacks them.
    PlanAvx2,
    /// Its plan on NEON; only on 64-bit ARM processors, which all have it.
    PlanNeon,
    /// Its plan in plain Rust.
    PlanPortable,
    /// candle's tensors: slow, the reference.
    Candle,
    /// An NVIDIA GPU.
    Cuda,
}

impl Backend {
    /// The backend of a plan on this instruction set.
    pub fn on(isa: Isa) -> Self {
        match isa.name() {
            "avx512" => Self::PlanAvx512,
            "avx2" => Self::PlanAvx2,
            "neon" => Self::PlanNeon,
            _ => Self::PlanPortable,
        }
    }

    /// The instruction set of a plan, None for candle and for a GPU.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if the processor lacks it.
    pub fn isa(self) -> Result<Option<Isa>> {
        let name = match self {
            Self::Plan => return Ok(Some(Isa::best())),
            Self::Candle | Self::Cuda => return Ok(None),
            Self::PlanAvx512 => "avx512",
            Self::PlanAvx2 => "avx2",
            Self::PlanNeon => "neon",
            Self::PlanPortable => "portable",
        };
        Isa::named(name).map(Some).ok_or_else(|| {
            let has: Vec<&str> = Isa::available().map(Isa::name).collect();
            Fault::new(
                Kind::Unsupported,
                format!("this processor cannot run the backend `plan-{name}`"),
                format!("it has {}", has.join(", ")),
                "set the backend to \"plan\", which takes the fastest that is there",
            )
        })
    }
}

enum Runs {
    Plan(Box<Plan>),
    Candle(Box<Reference>),
    Cuda(Box<Runner>),
}

/// A network with all memory that a run needs.
pub struct Engine {
    runs: Runs,
    output_len: usize,
}

impl Engine {
    /// For one sequence of `rows` rows of input, a picture's patches for instance, or for one picture.
    ///
    /// # Errors
    /// [`Kind::Unsupported`] if the processor lacks what the backend or the precision needs; [`Kind::Internal`] if candle refuses
    /// the network.
    pub fn new(
        network: &Network,
        backend: Backend,
        precision: Precision,
        rows: usize,
    ) -> Result<Self> {
        Self::with_device(network, backend, precision, rows, &CudaConfig::default())
    }

    /// As [`new`](Self::new), with what is said about the GPU, for the backend of that; it has a precision of its own.
    ///
    /// # Errors
    /// As there; `NoDevice` if there is no GPU.
    pub fn with_device(
        network: &Network,
        backend: Backend,
        precision: Precision,
        rows: usize,
        device: &CudaConfig,
    ) -> Result<Self> {
        let shape = network.output();
        let limits = Limits { rows, sequences: 1 };
        let runs = match backend.isa()? {
            Some(isa) => {
                check(isa, precision)?;
                Runs::Plan(Box::new(Plan::new(network, isa, precision, limits)))
            }
            None if backend == Backend::Cuda => {
                only_own_precision(precision)?;
                let runner = Runner::new(network, &Feed::Values, rows, device)?;
                Runs::Cuda(Box::new(runner))
            }
            None => {
                if precision != Precision::F32 {
                    return Err(only_f32());
                }
                let reference = Reference::new(network).map_err(|error| {
                    Fault::new(
                        Kind::Internal,
                        "candle does not take the network",
                        error.to_string(),
                        "set the backend to \"plan\", and please report this",
                    )
                })?;
                Runs::Candle(Box::new(reference))
            }
        };
        Ok(Self {
            runs,
            output_len: shape.rows.of(rows) * shape.columns,
        })
    }

    /// What the kernels run on: `avx512`, `avx2`, `neon`, `portable`, `candle` or `cuda`.
    pub fn name(&self) -> &'static str {
        match &self.runs {
            Runs::Plan(plan) => plan.isa().name(),
            Runs::Candle(_) => "candle",
            Runs::Cuda(_) => "cuda",
        }
    }

    /// Shares the work of each run with the crew's partners, if a plan runs it; candle does not.
    pub fn share_with(&mut self, crew: Crew) {
        if let Runs::Plan(plan) = &mut self.runs {
            plan.share_with(crew);
        }
    }

    /// Wakes the partners for a run that comes within a millisecond.
    pub fn call_partners(&mut self) {
        if let Runs::Plan(plan) = &mut self.runs {
            plan.call_partners();
        }
    }

    /// Lets partners sleep that were called for a run which does not come.
    pub fn dismiss_partners(&mut self) {
        if let Runs::Plan(plan) = &mut self.runs {
            plan.dismiss_partners();
        }
    }

    /// Values of the output.
    pub fn output_len(&self) -> usize {
        self.output_len
    }

    /// Computes the network's output, a row after the other, for one sequence of `rows` rows.
    ///
    /// # Panics
    /// See [`Plan::run`].
    ///
    /// # Errors
    /// `Compute` if candle fails, or a GPU was made for another number of rows; `Late` and `DeviceLost` of a GPU.
    pub fn run<'a>(
        &mut self,
        inputs: impl Into<Inputs<'a>>,
        rows: usize,
        output: &mut [f32],
    ) -> Result<(), StepError> {
        match &mut self.runs {
            Runs::Plan(plan) => plan.run(inputs, &[rows], output),
            Runs::Candle(reference) => {
                let values = reference
                    .run(inputs, &[rows])
                    .map_err(|_| StepError::Compute)?;
                output.copy_from_slice(&values);
            }
            Runs::Cuda(runner) => return runner.run(inputs, output),
        }
        Ok(())
    }
}

/// Refuses a precision that would be slower than f32.
///
/// # Errors
/// [`Kind::Unsupported`].
pub fn check(isa: Isa, precision: Precision) -> Result<()> {
    if precision == Precision::Int8 && !isa.takes_bytes() {
        return Err(Fault::new(
            Kind::Unsupported,
            "the precision \"int8\" is not possible on this processor",
            format!(
                "its {} has no instruction that multiplies bytes (AVX512-VNNI, or the dot products of ARMv8.2)",
                isa.name()
            ),
            "leave the precision out, or set it to \"f32\"",
        ));
    }
    if precision == Precision::F16 && !isa.has_halves() {
        return Err(Fault::new(
            Kind::Unsupported,
            "the precision \"f16\" is not possible on this processor",
            format!(
                "its {} has no instructions that multiply f16 (ARMv8.2 with fp16 has them, as Cortex-A76 and A78AE)",
                isa.name()
            ),
            "leave the precision out, or set it to \"f32\"",
        ));
    }
    if precision == Precision::Bf16 && !isa.has_pairs() {
        return Err(Fault::new(
            Kind::Unsupported,
            "the precision \"bf16\" would be slower than f32 on this processor",
            format!(
                "its {} has no instruction that multiplies pairs of bf16",
                isa.name()
            ),
            "leave the precision out, or set it to \"f32\"",
        ));
    }
    Ok(())
}

/// Refuses a precision of the processor for a GPU, which has its own.
///
/// # Errors
/// [`Kind::Config`].
pub fn only_own_precision(precision: Precision) -> Result<()> {
    if precision == Precision::F32 {
        return Ok(());
    }
    Err(Fault::new(
        Kind::Config,
        "this precision is one of the processor",
        "a GPU computes in that of `encoder.cuda.precision`: \"f16\" or \"f32\"",
        "leave `encoder.precision` out, or set `encoder.cuda.fallback` to \"plan\": then it is what the processor takes",
    ))
}

fn only_f32() -> Fault {
    Fault::new(
        Kind::Unsupported,
        "candle is the reference, and computes in f32 alone",
        "another precision was asked for",
        "set the backend to \"plan\", or leave the precision out",
    )
}
