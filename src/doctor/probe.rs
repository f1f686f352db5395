//! Threads that measure a core with the recipe of a run: FIFO, pinned, memory locked, cores kept awake, a timed wait.
//!
//! Thread: main starts them. On the measuring threads, between go and the end: allocates no, locks no.

use std::fs;

use crate::clock;
use crate::doctor::live::spec;
use crate::doctor::measured::{CoreWakes, Noise, Ticks};
use crate::rt::plan::TIMED;
use crate::rt::stop::Stop;
use crate::rt::sync::Arc;
use crate::rt::thread::{self, Class, Context, Thread};
use crate::rt::wait::{Bell, WaitPolicy};
use crate::telemetry::durations::Durations;
use crate::units::Nanos;

use std::sync::OnceLock;

/// As the action thread of a plan.
const PRIORITY: u8 = 80;
/// Four times the lead of a timed wait, so that the core sleeps between two wake-ups.
const PERIOD: Nanos = Nanos::from_millis(1);
/// How long a thread spins at a stretch, and how long it then lets others have the core. A core that were held for longer
/// than the kernel's guard allows (S03) would show the guard's stop, and an unguarded one would starve the kernel.
const STRETCH: Nanos = Nanos::from_millis(100);
const BREATH: Nanos = Nanos::from_millis(10);

/// A measuring thread and where its result will be.
struct Measuring<T> {
    thread: Thread,
    result: Arc<OnceLock<T>>,
}

impl<T: Send + Sync + 'static> Measuring<T> {
    fn start(core: usize, measure: impl FnOnce() -> T + Send + 'static) -> Option<Self> {
        let result = Arc::new(OnceLock::new());
        let into = Arc::clone(&result);
        let body = move |context: &Context| {
            context.wait_for_go();
            let _ = into.set(measure());
        };
        let thread = thread::spawn(
            spec("doctor-probe", Class::Fifo(PRIORITY), Some(core)),
            body,
        )
        .ok()?;
        Some(Self { thread, result })
    }

    fn go(&self) {
        self.thread.go();
    }

    /// What it measured, and what it was not granted.
    fn end(mut self) -> Option<(T, Vec<String>)> {
        let refused = self.thread.granted().0.refused.clone();
        self.thread.join();
        let result = Arc::into_inner(self.result)?.into_inner()?;
        Some((result, refused))
    }
}

/// Wakes a thread on each core of the way, and on the other one, all at the same time.
pub fn wakes(
    way: &[usize],
    other: Option<usize>,
    time: Nanos,
) -> (Vec<CoreWakes>, Option<CoreWakes>) {
    let start = |core: usize| Some((core, Measuring::start(core, beat_for(time))?));
    let of_way: Vec<_> = way.iter().filter_map(|core| start(*core)).collect();
    let of_other = other.and_then(start);
    for (_, thread) in of_way.iter().chain(&of_other) {
        thread.go();
    }
    let end = |(core, thread): (usize, Measuring<_>)| {
        let ((kernel, beat), refused) = thread.end()?;
        Some(CoreWakes {
            core,
            kernel,
            beat,
            refused,
        })
    };
    (
        of_way.into_iter().filter_map(end).collect(),
        of_other.and_then(end),
    )
}

/// The wait of a run, again and again: asleep until the lead before the beat, then spinning up to it.
fn beat_for(time: Nanos) -> impl FnOnce() -> (Durations, Durations) + Send + 'static {
    let (mut kernel, mut beat) = (Durations::new(), Durations::new());
    move || {
        let bell = Bell::silent();
        let end = clock::now() + time;
        let mut due = clock::now() + PERIOD;
        // BOUND: `time`.
        while due < end {
            let near = TIMED.near(Some(due)).unwrap_or(due);
            bell.sleep(near, || false);
            let woke = clock::now();
            bell.wait(WaitPolicy::Spin, None, due, || false);
            let there = clock::now();
            kernel.record(woke - near);
            beat.record(there - due);
            // A beat that was missed is not made up for.
            due = (due + PERIOD).max(there + Nanos(PERIOD.0 / 2));
        }
        (kernel, beat)
    }
}

/// Gaps of a core over this time that are at least this long.
pub fn noise(core: usize, time: Nanos, least: Nanos) -> Option<Noise> {
    let mut gaps = Durations::new();
    let measure = move || {
        let mut spun = Nanos::ZERO;
        // BOUND: each turn spins for STRETCH.
        while spun < time {
            let began = clock::now();
            let mut last = began;
            while last - began < STRETCH {
                let now = clock::now();
                if now - last >= least {
                    gaps.record(now - last);
                }
                last = now;
            }
            spun += last - began;
            clock::sleep_until(last + BREATH);
        }
        (gaps, spun)
    };
    let thread = Measuring::start(core, measure)?;
    thread.go();
    let ((gaps, spun), _) = thread.end()?;
    Some(Noise {
        core,
        gaps,
        least,
        spun,
    })
}

/// Timer interrupts of a core while a thread spins on it for 0.8 s, less than the guard of S03 allows.
pub fn ticks(core: usize) -> Option<Ticks> {
    const SPIN: Nanos = Nanos::from_millis(800);
    // The first of them may still settle the core; between the two readings nothing sleeps there.
    const FROM: Nanos = Nanos::from_millis(100);
    const UNTIL: Nanos = Nanos::from_millis(700);
    let spin = || {
        let end = clock::now() + SPIN;
        while clock::now() < end {
            std::hint::spin_loop();
        }
    };
    let thread = Measuring::start(core, spin)?;
    thread.go();
    clock::sleep_until(clock::now() + FROM);
    let (before, began) = (timer_interrupts(core), clock::now());
    clock::sleep_until(began + (UNTIL - FROM));
    let (after, ended) = (timer_interrupts(core), clock::now());
    thread.end()?;
    #[expect(clippy::cast_precision_loss, reason = "some hundred interrupts")]
    let count = after?.saturating_sub(before?) as f64;
    Some(Ticks {
        core,
        per_second: count / (ended - began).as_secs_f64(),
    })
}

/// The timer's interrupts of one core so far: x86 counts them as LOC, ARM under the name of its timer.
fn timer_interrupts(core: usize) -> Option<u64> {
    let text = fs::read_to_string("/proc/interrupts").ok()?;
    let mut lines = text.lines();
    let heading = format!("CPU{core}");
    let column = lines
        .next()?
        .split_whitespace()
        .position(|head| head == heading)?;
    let is_timer =
        |line: &&str| line.trim_start().starts_with("LOC:") || line.contains("arch_timer");
    let counts = lines
        .filter(is_timer)
        .map(|line| line.split_whitespace().nth(column + 1)?.parse::<u64>().ok());
    let counts: Vec<u64> = counts.collect::<Option<_>>()?;
    (!counts.is_empty()).then(|| counts.iter().sum())
}

/// Memory traffic on some cores.
pub struct Load {
    stop: Stop,
    threads: Vec<Thread>,
}

impl Load {
    /// One normal thread on each core, which copies 16 MB to and fro: more than the caches of a small board hold.
    pub fn start(cores: &[usize]) -> Self {
        const BYTES: usize = 16 * 1024 * 1024;
        let stop = Stop::default();
        let start = |core: &usize| {
            let stop = stop.clone();
            let body = move |_: &Context| {
                let (mut a, mut b) = (vec![1u8; BYTES], vec![2u8; BYTES]);
                // BOUND: until `stop` is asked for.
                while !stop.asked() {
                    a.copy_from_slice(&b);
                    std::mem::swap(&mut a, &mut b);
                    std::hint::black_box(&mut a);
                }
            };
            thread::spawn(spec("doctor-load", Class::Normal, Some(*core)), body).ok()
        };
        let threads = cores.iter().filter_map(start).collect();
        Self { stop, threads }
    }

    pub fn stop(mut self) {
        self.stop.ask();
        for thread in &mut self.threads {
            thread.join();
        }
    }
}
