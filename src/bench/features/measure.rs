//! One network in one precision on one core, or with partners on others: forwards one after the other, and the roof of the core
//! before and after.
//!
//! Thread: one of its own, pinned as the features stage is; and its partners. Allocates: before the forwards that are counted.

use std::sync::{Arc, OnceLock};

use crate::bench::data::Percentiles;
use crate::bench::features::subject::Given;
use crate::bench::roof::{self, Bytes};
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::inference::engine::Engine;
use crate::inference::kernels::Isa;
use crate::inference::plan::Precision;
use crate::rt::crew::{self, Partner};
use crate::rt::memory::{self, LedgerTotals};
use crate::rt::thread::{self, Class, Context, Thread, ThreadSpec};
use crate::rt::wait::WaitPolicy;
use crate::telemetry::durations::Durations;
use crate::units::Nanos;

/// Forwards before the first that is counted: memory comes into being, and the processor leaves its idle frequency.
const WARM_UP: usize = 5;
/// How long a partner waits for a call before it looks whether there will be any more.
const LOOK_UP: Nanos = Nanos::from_millis(50);

/// What is to be done.
pub struct Job {
    pub engine: Engine,
    pub given: Given,
    pub precision: Precision,
    /// That of the engine; None on candle.
    pub isa: Option<Isa>,
    /// Bytes of weights that a forward reads.
    pub weight_bytes: usize,
    /// The first is this job's own, the others are its partners'.
    pub cores: Vec<usize>,
    /// `SCHED_FIFO` at this priority; 0 is the normal class.
    pub priority: u8,
    pub time: Nanos,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Measured {
    pub forwards: Percentiles,
    pub min: Nanos,
    /// By this thread and its partners, in all forwards.
    pub allocations: u64,
    pub allocated_bytes: u64,
    /// Of the time of its forwards, what the thread did not have its core. 0..=1.
    pub without_core: f64,
    /// Multiply-adds a second that the cores can do, where that can be measured.
    pub multiply_adds: Option<f64>,
    /// Bytes a second, when as many are read as the network has weights.
    pub bytes: f64,
    /// What the kernel did not grant.
    pub refused: Vec<String>,
}

impl Job {
    /// Runs it on a thread of its own, and waits for its end.
    ///
    /// # Errors
    /// `Internal` where a thread cannot be started, or a forward fails.
    pub fn run(mut self) -> Result<Measured> {
        let (crew, partners) = crew::crew(self.cores.len() - 1);
        let cores = self.cores.clone();
        let class = match self.priority {
            0 => Class::Normal,
            priority => Class::Fifo(priority),
        };
        let spec = |core: usize, name: &str| ThreadSpec {
            name: name.to_owned(),
            class,
            cores: vec![core],
            wait: WaitPolicy::Park { spin: Nanos::ZERO },
        };
        let mut helpers = Vec::new();
        for (partner, &core) in partners.into_iter().zip(&cores[1..]) {
            let body = move |context: &Context| serve(partner, context.wait);
            helpers.push(thread::spawn(spec(core, "partner"), body)?);
        }
        let partners = helpers.iter().map(|t| t.granted().1).collect::<Vec<_>>();
        self.engine.share_with(crew);
        let done = Arc::new(OnceLock::new());
        let to = Arc::clone(&done);
        let body = move |_: &Context| {
            let totals = || {
                partners
                    .iter()
                    .map(|ledger| ledger.totals())
                    .fold(LedgerTotals::default(), sum)
            };
            // The value was never set before: this closure runs once.
            let _ = to.set(self.measure(&totals));
        };
        let mut own = thread::spawn(spec(cores[0], "features"), body)?;
        let is_whole = own.join() && helpers.iter_mut().all(Thread::join);
        let measured = done.get().cloned().flatten().filter(|_| is_whole);
        let mut measured = measured.ok_or_else(failed)?;
        measured.refused.clone_from(&own.granted().0.refused);
        Ok(measured)
    }

    /// None where a forward fails.
    fn measure(mut self, others: &dyn Fn() -> LedgerTotals) -> Option<Measured> {
        let mut output = vec![0.0; self.engine.output_len()];
        let bytes = Bytes::new(self.weight_bytes);
        let mut counts = Durations::new();
        for _ in 0..WARM_UP {
            self.forward(&mut output)?;
        }
        let before = self.roof(&bytes);
        // The roof has taken the weights' place in the caches.
        self.forward(&mut output)?;
        let allocated = || sum(memory::open_ledger().totals(), others());
        let (first, used) = (allocated(), thread_time());
        let (begin, mut min) = (clock::now(), Nanos::MAX);
        // BOUND: so long, and one forward more.
        while clock::now() - begin < self.time {
            let from = clock::now();
            self.forward(&mut output)?;
            let took = clock::now() - from;
            counts.record(took);
            min = min.min(took);
        }
        let (last, used) = (allocated(), thread_time() - used);
        let wall = clock::now() - begin;
        let after = self.roof(&bytes);
        Some(Measured {
            forwards: Percentiles::from(&counts),
            min,
            allocations: last.allocations - first.allocations,
            allocated_bytes: last.bytes - first.bytes,
            without_core: (1.0 - used.as_secs_f64() / wall.as_secs_f64()).max(0.0),
            multiply_adds: before.0.zip(after.0).map(|(a, b)| a.max(b)),
            bytes: before.1.max(after.1),
            refused: Vec::new(),
        })
    }

    fn forward(&mut self, output: &mut [f32]) -> Option<()> {
        let rows = self.given.rows();
        self.engine.run(self.given.input(), rows, output).ok()
    }

    /// Multiply-adds a second of all cores, and bytes a second of this one.
    fn roof(&self, bytes: &Bytes) -> (Option<f64>, f64) {
        let one = self
            .isa
            .and_then(|isa| roof::multiply_adds(isa, self.precision));
        #[expect(clippy::cast_precision_loss, reason = "a few cores")]
        let cores = self.cores.len() as f64;
        (one.map(|one| one * cores), bytes.read())
    }
}

fn serve(mut partner: Partner, wait: WaitPolicy) {
    // BOUND: until the engine is dropped, and 50 ms more.
    while !partner.is_over() {
        partner.serve(wait, clock::now() + LOOK_UP);
    }
}

fn sum(a: LedgerTotals, b: LedgerTotals) -> LedgerTotals {
    LedgerTotals {
        allocations: a.allocations + b.allocations,
        bytes: a.bytes + b.bytes,
        ..a
    }
}

/// For how long this thread has had a core.
fn thread_time() -> Nanos {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: the pointer is to a timespec of ours, and the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    Nanos(time.tv_sec * 1_000_000_000 + time.tv_nsec)
}

fn failed() -> Fault {
    Fault::new(
        Kind::Internal,
        "a forward failed",
        "candle refused an operation, or a thread panicked; the lines above say more",
        "please report this with the command",
    )
}
