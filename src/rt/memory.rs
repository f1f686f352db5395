//! Memory of the real-time side: locked, faulted in beforehand, and sealed.
//!
//! [`Ledgers`] is a global allocator that counts each thread's allocations. When the process is sealed, an
//! allocation on a sealed thread is counted apart and, in tests, aborts at once with the thread's name.
//!
//! Thread: any. The allocator itself neither allocates, locks nor makes system calls.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Threads that can have a ledger of their own; further threads share the last one.
// BOUND: 4 stages of each of 8 cameras + 8 sensors + 8 housekeeping threads + candle's, twice.
const LEDGER_COUNT: usize = 128;

/// One thread's allocations.
#[derive(Debug)]
pub struct Ledger {
    allocations: AtomicU64,
    frees: AtomicU64,
    bytes: AtomicU64,
    after_seal: AtomicU64,
    bytes_after_seal: AtomicU64,
    sealed: AtomicBool,
}

/// A reading of a [`Ledger`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LedgerTotals {
    pub allocations: u64,
    pub frees: u64,
    /// Bytes asked for in all.
    pub bytes: u64,
    /// Allocations and frees made after this thread was sealed.
    pub after_seal: u64,
    /// Bytes asked for by them.
    pub bytes_after_seal: u64,
}

impl Ledger {
    const fn new() -> Self {
        Self {
            allocations: AtomicU64::new(0),
            frees: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            after_seal: AtomicU64::new(0),
            bytes_after_seal: AtomicU64::new(0),
            sealed: AtomicBool::new(false),
        }
    }

    pub fn totals(&self) -> LedgerTotals {
        // ORDERING(ledger): Relaxed, alone, here and below. Numbers for people; nothing is inferred.
        LedgerTotals {
            allocations: self.allocations.load(Ordering::Relaxed),
            frees: self.frees.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            after_seal: self.after_seal.load(Ordering::Relaxed),
            bytes_after_seal: self.bytes_after_seal.load(Ordering::Relaxed),
        }
    }

    /// From now on this thread should not allocate; call it on that thread.
    pub fn seal(&self) {
        self.sealed.store(true, Ordering::Relaxed);
    }

    /// The thread's work is done; tearing down may allocate and free.
    pub fn unseal(&self) {
        self.sealed.store(false, Ordering::Relaxed);
    }

    fn note(&self, counter: &AtomicU64, bytes: usize) {
        // fetch_add, because threads past LEDGER_COUNT share the last ledger.
        counter.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if self.sealed.load(Ordering::Relaxed) {
            self.after_seal.fetch_add(1, Ordering::Relaxed);
            self.bytes_after_seal
                .fetch_add(bytes as u64, Ordering::Relaxed);
            if ABORT_WHEN_BROKEN.load(Ordering::Relaxed) {
                broken();
            }
        }
    }
}

static LEDGERS: [Ledger; LEDGER_COUNT] = [const { Ledger::new() }; LEDGER_COUNT];
static LEDGERS_USED: AtomicU64 = AtomicU64::new(0);
static ABORT_WHEN_BROKEN: AtomicBool = AtomicBool::new(false);

thread_local! {
    // Const-initialised and without a destructor, so that touching it never allocates.
    static OWN: Cell<Option<&'static Ledger>> = const { Cell::new(None) };
}

/// Gives the calling thread a ledger of its own (once).
pub fn open_ledger() -> &'static Ledger {
    OWN.with(|own| {
        own.get().unwrap_or_else(|| {
            let used = LEDGERS_USED.fetch_add(1, Ordering::Relaxed);
            let index = usize::try_from(used)
                .unwrap_or(usize::MAX)
                .min(LEDGER_COUNT - 1);
            own.set(Some(&LEDGERS[index]));
            &LEDGERS[index]
        })
    })
}

/// In tests: an allocation on a sealed thread ends the process, with the thread's name.
pub fn abort_when_seal_is_broken(abort: bool) {
    ABORT_WHEN_BROKEN.store(abort, Ordering::Relaxed);
}

#[cold]
fn broken() -> ! {
    let mut name = *b"sealed thread allocated: ................\n";
    // SAFETY: PR_GET_NAME writes at most 16 bytes, and 16 are left behind the text.
    unsafe { libc::prctl(libc::PR_GET_NAME, name[25..].as_mut_ptr()) };
    // SAFETY: the buffer is valid for its length.
    unsafe { libc::write(2, name.as_ptr().cast(), name.len()) };
    // SAFETY: abort never returns and needs nothing.
    unsafe { libc::abort() }
}

/// The global allocator: the system's, with a ledger per thread.
///
/// ```ignore
/// #[global_allocator]
/// static ALLOCATOR: reflexarc::rt::memory::Ledgers = reflexarc::rt::memory::Ledgers;
/// ```
#[derive(Debug)]
pub struct Ledgers;

// SAFETY: every call is passed on to `System` unchanged, which keeps GlobalAlloc's contract; the counting
// touches only static atomics and a const-initialised thread local, so it never allocates itself.
unsafe impl GlobalAlloc for Ledgers {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        if let Ok(Some(ledger)) = OWN.try_with(Cell::get) {
            ledger.note(&ledger.allocations, layout.size());
        }
        // SAFETY: the caller keeps alloc's contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        if let Ok(Some(ledger)) = OWN.try_with(Cell::get) {
            ledger.note(&ledger.frees, 0);
        }
        // SAFETY: the caller keeps dealloc's contract.
        unsafe { System.dealloc(ptr, layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Ok(Some(ledger)) = OWN.try_with(Cell::get) {
            ledger.note(&ledger.allocations, layout.size());
        }
        // SAFETY: the caller keeps alloc_zeroed's contract. Passed on so that fresh pages stay untouched.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, ptr: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        if let Ok(Some(ledger)) = OWN.try_with(Cell::get) {
            ledger.note(&ledger.allocations, new_size);
        }
        // SAFETY: the caller keeps realloc's contract.
        unsafe { System.realloc(ptr, layout, new_size) }
    }
}

/// Locks all present and future pages into memory, so that no access faults on the way.
///
/// Also keeps freed heap in the process: memory given back to the kernel would fault in again.
pub fn lock_all() -> io::Result<()> {
    // SAFETY: mallopt only sets parameters of the C allocator.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, -1) };
    // SAFETY: as above.
    unsafe { libc::mallopt(libc::M_MMAP_MAX, 0) };
    // SAFETY: mlockall takes flags only.
    if unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) } == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Bytes of stack that a hot thread touches beforehand.
// BOUND: the deepest way (JPEG decode inside features) uses under 100 KiB; threads get 2 MiB.
const STACK_PREFAULT_BYTES: usize = 256 * 1024;

/// Touches the stack below the caller, so that it never faults later.
#[inline(never)]
#[expect(clippy::large_stack_arrays, reason = "its whole point is to use stack")]
pub fn prefault_stack() {
    let mut stack = [0u8; STACK_PREFAULT_BYTES];
    for page in stack.chunks_mut(4096) {
        page[0] = 1;
    }
    std::hint::black_box(&mut stack);
}
