//! Starting threads with a scheduling class, cores and a name, and reading back what the kernel granted.
//!
//! Thread: `spawn` and `housekeeping` on main; the set-up runs on the new thread before its body.

use std::fmt;
use std::io;
use std::sync::OnceLock;
use std::thread::JoinHandle;

use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::rt::memory::{self, Ledger};
use crate::rt::sync::{Arc, AtomicBool, AtomicI64, Ordering};
use crate::rt::wait::WaitPolicy;
use crate::units::{MonoTime, Nanos};

/// A scheduling class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// `SCHED_OTHER`.
    Normal,
    /// `SCHED_FIFO` at this priority, 1..=99.
    Fifo(u8),
}

impl Class {
    /// This one, or if that would not let the other go first, the next below the other.
    pub fn at_most_below(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fifo(mine), Self::Fifo(other)) => {
                Self::Fifo(mine.min(other.saturating_sub(1)).max(1))
            }
            (class, _) => class,
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Normal => f.write_str("normal"),
            Self::Fifo(priority) => write!(f, "fifo {priority}"),
        }
    }
}

/// What a thread asks the kernel for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ThreadSpec {
    /// At most 15 bytes; shown by `ps -L` and `perf`.
    pub name: String,
    pub class: Class,
    /// Cores the thread may run on; empty means: wherever the process may.
    pub cores: Vec<usize>,
    pub wait: WaitPolicy,
}

/// What the kernel gave, read back on the thread itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    pub tid: i32,
    pub class: Class,
    pub cores: Vec<usize>,
    pub timer_slack: Nanos,
    /// Each request that was not granted, in words.
    pub refused: Vec<String>,
}

/// The thread is alive: when its loop last came around.
#[derive(Debug, Default)]
pub struct Beat(AtomicI64);

impl Beat {
    /// Called by the thread's loop.
    pub fn strike(&self, now: MonoTime) {
        // ORDERING(beat): Relaxed, alone. The supervisor reads a time and infers nothing else.
        self.0.store(now.0, Ordering::Relaxed);
    }
    pub fn last(&self) -> MonoTime {
        // ORDERING(beat): Relaxed, alone.
        MonoTime(self.0.load(Ordering::Relaxed))
    }
}

/// What a running body may use of its thread.
#[derive(Debug)]
pub struct Context {
    pub beat: Arc<Beat>,
    ledger: &'static Ledger,
    pub wait: WaitPolicy,
    go: Arc<AtomicBool>,
}

impl Context {
    /// Waits until the whole pipeline is ready.
    pub fn wait_for_go(&self) {
        // ORDERING(go): Acquire, pairs with the Release in `Thread::go`: set-up done by main is visible.
        while !self.go.load(Ordering::Acquire) {
            self.beat.strike(clock::now());
            clock::sleep_until(clock::now() + Nanos::from_micros(200));
        }
    }

    /// From here to `unseal` this thread should not allocate.
    pub fn seal(&self) {
        mark();
        self.ledger.seal();
    }

    /// The loop has ended; tearing down may allocate and free.
    pub fn unseal(&self) {
        self.ledger.unseal();
        mark();
    }
}

/// One harmless system call, so that who traces the process sees where a thread is sealed and unsealed.
fn mark() {
    // SAFETY: getppid takes nothing and cannot fail.
    unsafe { libc::getppid() };
}

/// A started thread of the way.
#[derive(Debug)]
pub struct Thread {
    pub spec: ThreadSpec,
    pub beat: Arc<Beat>,
    started: Arc<OnceLock<(Granted, &'static Ledger)>>,
    go: Arc<AtomicBool>,
    handle: Option<JoinHandle<()>>,
}

/// Starts a thread of the way. Its body begins after the set-up; it should make its last preparations,
/// call [`Context::wait_for_go`], [`Context::seal`], and loop.
pub fn spawn(spec: ThreadSpec, body: impl FnOnce(&Context) + Send + 'static) -> Result<Thread> {
    let beat = Arc::new(Beat::default());
    let started = Arc::new(OnceLock::new());
    let go = Arc::new(AtomicBool::new(false));
    let context_parts = (
        Arc::clone(&beat),
        Arc::clone(&started),
        Arc::clone(&go),
        spec.clone(),
    );
    let builder = std::thread::Builder::new().name(spec.name.clone());
    let run = move || {
        let (beat, started, go, spec) = context_parts;
        let ledger = memory::open_ledger();
        let granted = apply(&spec);
        memory::prefault_stack();
        let context = Context {
            beat,
            ledger,
            wait: spec.wait,
            go,
        };
        // The value was never set before: this closure runs once.
        let _ = started.set((granted, ledger));
        body(&context);
    };
    let handle = builder.spawn(run).map_err(|e| {
        Fault::from_io(
            format!("the thread `{}` could not be started", spec.name),
            &e,
            Kind::Internal,
            "raise the limit on processes (ulimit -u)",
        )
    })?;
    Ok(Thread {
        spec,
        beat,
        started,
        go,
        handle: Some(handle),
    })
}

impl Thread {
    /// What the kernel granted, and the thread's ledger; waits for the thread's set-up to finish.
    pub fn granted(&self) -> (&Granted, &'static Ledger) {
        // BOUND: the set-up is a handful of system calls; a thread that died leaves its handle finished.
        loop {
            if let Some((granted, ledger)) = self.started.get() {
                return (granted, ledger);
            }
            clock::sleep_until(clock::now() + Nanos::from_micros(100));
        }
    }

    /// Lets the body's loop begin.
    pub fn go(&self) {
        // ORDERING(go): Release, pairs with the Acquire in `wait_for_go`.
        self.go.store(true, Ordering::Release);
    }

    pub fn is_finished(&self) -> bool {
        self.handle.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits for the end of the body; false if it panicked.
    pub fn join(&mut self) -> bool {
        self.handle
            .take()
            .is_none_or(|handle| handle.join().is_ok())
    }
}

/// Starts a thread of the housekeeping side: normal scheduling class, on the housekeeping cores. It may
/// allocate, lock and block; it can never slow the way of a frame.
pub fn housekeeping<T: Send + 'static>(
    name: &str,
    body: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let body = move || {
        move_to_housekeeping_cores();
        memory::open_ledger();
        body()
    };
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(body)
}

/// Asks for a place before other normal threads: for a housekeeping thread whose work is short and must not wait long.
/// Without the right to it (`CAP_SYS_NICE`) nothing changes.
pub fn go_first_among_normal() {
    // SAFETY: setpriority takes numbers only; 0 is the calling thread.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -10) };
}

/// For a housekeeping thread that was started before the cores were known.
pub fn move_to_housekeeping_cores() {
    if let Some(cores) = HOUSEKEEPING_CORES.get() {
        // Staying on more cores than asked slows nothing that the doctor would not show.
        let _ = pin(cores);
    }
}

static HOUSEKEEPING_CORES: OnceLock<Vec<usize>> = OnceLock::new();

/// Sets the cores of the housekeeping side for threads started from now on, and moves the caller there.
/// Only the first call of a process counts.
pub fn set_housekeeping_cores(cores: &[usize]) -> io::Result<()> {
    let _ = HOUSEKEEPING_CORES.set(cores.to_vec());
    pin(cores)
}

/// Asks the kernel for everything in `spec` for the calling thread, and reads back what it gave.
fn apply(spec: &ThreadSpec) -> Granted {
    let mut refused = Vec::new();
    if !spec.cores.is_empty()
        && let Err(error) = pin(&spec.cores)
    {
        refused.push(format!("cores {:?}: {error}", spec.cores));
    }
    if let Class::Fifo(priority) = spec.class
        && let Err(error) = set_fifo(priority)
    {
        refused.push(format!("SCHED_FIFO {priority}: {error}"));
    }
    // SAFETY: PR_SET_TIMERSLACK takes a number of nanoseconds.
    unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) };
    let granted = read_back(Vec::new());
    if granted.class != spec.class && refused.is_empty() {
        refused.push(format!(
            "class {}: the kernel reports {}",
            spec.class, granted.class
        ));
    }
    if !spec.cores.is_empty() && granted.cores != spec.cores && refused.is_empty() {
        refused.push(format!(
            "cores {:?}: the kernel reports {:?}",
            spec.cores, granted.cores
        ));
    }
    Granted { refused, ..granted }
}

/// Pins the calling thread: one core through `core_affinity`, a set through libc.
fn pin(cores: &[usize]) -> io::Result<()> {
    if let [id] = *cores {
        let done = core_affinity::set_for_current(core_affinity::CoreId { id });
        return if done {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        };
    }
    // SAFETY: an all-zero cpu_set_t is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &core in cores
        .iter()
        .filter(|&&core| core < libc::CPU_SETSIZE as usize)
    {
        // SAFETY: `core` is below CPU_SETSIZE.
        unsafe { libc::CPU_SET(core, &mut set) };
    }
    // SAFETY: `set` is a valid set of the size given; 0 means the calling thread.
    let rc = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn set_fifo(priority: u8) -> io::Result<()> {
    let param = libc::sched_param {
        sched_priority: i32::from(priority),
    };
    // SAFETY: `param` is valid; 0 means the calling thread.
    let rc = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) };
    if rc == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

fn read_back(refused: Vec<String>) -> Granted {
    // SAFETY: gettid takes nothing and cannot fail.
    let tid = unsafe { libc::gettid() };
    // SAFETY: 0 means the calling thread.
    let policy = unsafe { libc::sched_getscheduler(0) };
    let mut param = libc::sched_param { sched_priority: 0 };
    // SAFETY: `param` is valid for writing.
    unsafe { libc::sched_getparam(0, &raw mut param) };
    let class = if policy == libc::SCHED_FIFO {
        Class::Fifo(u8::try_from(param.sched_priority).unwrap_or(0))
    } else {
        Class::Normal
    };
    // SAFETY: PR_GET_TIMERSLACK takes nothing and returns nanoseconds.
    let slack = unsafe { libc::prctl(libc::PR_GET_TIMERSLACK, 0, 0, 0, 0) };
    Granted {
        tid,
        class,
        cores: allowed_cores(),
        timer_slack: Nanos(i64::from(slack)),
        refused,
    }
}

/// The cores on which the calling thread may run.
pub fn allowed_cores() -> Vec<usize> {
    // SAFETY: an all-zero cpu_set_t is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: `set` is valid for writing and of the size given.
    let rc = unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut set) };
    if rc != 0 {
        return Vec::new();
    }
    // SAFETY: `core` is below CPU_SETSIZE.
    (0..libc::CPU_SETSIZE as usize)
        .filter(|&core| unsafe { libc::CPU_ISSET(core, &set) })
        .collect()
}
