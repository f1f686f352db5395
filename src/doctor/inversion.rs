//! Three threads and one lock on one core: does the kernel lend a low thread the priority of a high one that waits?
//!
//! The low thread takes the lock and works for 5 ms of its own time. The high one waits for the lock. The middle one,
//! which wants no lock, works for 60 ms. With inheritance the low one is raised above the middle one, and the high one has
//! the lock after some 5 ms; without it, the high one waits until the middle one is done.

use crate::clock;
use crate::doctor::live::spec;
use crate::rt::sync::{Arc, AtomicI64, AtomicU32, Ordering};
use crate::rt::thread::{self, Class, Context, Thread};
use crate::units::{MonoTime, Nanos};

/// How it came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Inversion {
    pub high_waited: Nanos,
    pub middle_worked: Nanos,
}

const LOW: u8 = 10;
const MIDDLE: u8 = 20;
const HIGH: u8 = 30;
const LOW_WORKS: Nanos = Nanos::from_millis(5);
const MIDDLE_WORKS: Nanos = Nanos::from_millis(60);
/// A thread that never gets its turn ends all.
const PATIENCE: Nanos = Nanos::from_secs(2);

#[derive(Debug, Default)]
struct Shared {
    lock: PiLock,
    low_has_it: AtomicU32,
    high_waits: AtomicU32,
    high_waited: AtomicI64,
    middle_worked: AtomicI64,
}

type Body = fn(&Shared);

/// Takes up to 100 ms of the core.
pub fn try_it(core: usize) -> Result<Inversion, String> {
    let shared = Arc::new(Shared::default());
    let bodies: [(_, _, Body); 3] = [
        ("doctor-high", HIGH, high),
        ("doctor-mid", MIDDLE, middle),
        ("doctor-low", LOW, low),
    ];
    let mut threads = Vec::new();
    for (name, priority, body) in bodies {
        let shared = Arc::clone(&shared);
        let run = move |context: &Context| {
            context.wait_for_go();
            body(&shared);
        };
        let spec = spec(name, Class::Fifo(priority), Some(core));
        threads.push(thread::spawn(spec, run).map_err(|fault| fault.to_string())?);
    }
    let refused: Vec<String> = threads
        .iter()
        .flat_map(|t| t.granted().0.refused.clone())
        .collect();
    for thread in &threads {
        thread.go();
    }
    let ended = threads.iter_mut().all(Thread::join);
    if !refused.is_empty() {
        return Err(format!(
            "SCHED_FIFO was not granted: {}",
            refused.join("; ")
        ));
    }
    if !ended {
        return Err("a thread of the test did not end well".to_owned());
    }
    // ORDERING(inversion): Relaxed, alone, here and below. The threads have been joined, or one only polls a flag.
    Ok(Inversion {
        high_waited: Nanos(shared.high_waited.load(Ordering::Relaxed)),
        middle_worked: Nanos(shared.middle_worked.load(Ordering::Relaxed)),
    })
}

fn low(shared: &Shared) {
    shared.lock.take();
    shared.low_has_it.store(1, Ordering::Relaxed);
    // Its own time: what others take of the core does not count.
    let own = || clock::read(libc::CLOCK_THREAD_CPUTIME_ID);
    let end = own() + LOW_WORKS;
    while own() < end {
        std::hint::spin_loop();
    }
    shared.lock.give_back();
}

fn high(shared: &Shared) {
    wait_for(&shared.low_has_it);
    let began = clock::now();
    shared.high_waits.store(1, Ordering::Relaxed);
    shared.lock.take();
    shared.lock.give_back();
    shared
        .high_waited
        .store((clock::now() - began).0, Ordering::Relaxed);
}

fn middle(shared: &Shared) {
    wait_for(&shared.high_waits);
    // The high thread runs before this one on their core, so by now it waits for the lock.
    let began = clock::now();
    while clock::now() < began + MIDDLE_WORKS {
        std::hint::spin_loop();
    }
    shared
        .middle_worked
        .store((clock::now() - began).0, Ordering::Relaxed);
}

fn wait_for(flag: &AtomicU32) {
    let end = clock::now() + PATIENCE;
    // BOUND: PATIENCE.
    while flag.load(Ordering::Relaxed) == 0 && clock::now() < end {
        clock::sleep_until(clock::now() + Nanos::from_micros(100));
    }
}

/// A futex with priority inheritance: 0, or the owner's thread id.
#[derive(Debug, Default)]
struct PiLock(AtomicU32);

impl PiLock {
    fn take(&self) {
        // ORDERING(pi): Acquire and Release, pair with each other as in any lock. It guards nothing here.
        let own = own_id();
        if self
            .0
            .compare_exchange(0, own, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            let deadline =
                clock::timespec(MonoTime(clock::read(libc::CLOCK_REALTIME).0) + PATIENCE);
            self.call(libc::FUTEX_LOCK_PI, &raw const deadline);
        }
    }

    fn give_back(&self) {
        let own = own_id();
        if self
            .0
            .compare_exchange(own, 0, Ordering::Release, Ordering::Relaxed)
            .is_err()
        {
            self.call(libc::FUTEX_UNLOCK_PI, std::ptr::null());
        }
    }

    /// The kernel's half, for when somebody waits. FUTEX_LOCK_PI takes a deadline of the real-time clock.
    fn call(&self, operation: libc::c_int, deadline: *const libc::timespec) {
        let word = self.0.as_ptr();
        // SAFETY: the word lives as long as `self`, and the deadline is null or valid through the call.
        unsafe {
            libc::syscall(
                libc::SYS_futex,
                word,
                operation | libc::FUTEX_PRIVATE_FLAG,
                0,
                deadline,
            )
        };
    }
}

fn own_id() -> u32 {
    // SAFETY: gettid takes nothing and cannot fail.
    unsafe { libc::gettid() }.unsigned_abs()
}
