//! Keeps candle's work on the thread that asks for it.
//!
//! candle hands its tensor operations to two pools that it makes at first use, each with a thread per core:
//! rayon's global pool, and its own "barrier" pool of workers that spin. On a board where the camera's and
//! the actions' threads have cores of their own, such workers would run on those cores. Both are avoided:
//!
//! - [`limit_candle`], first thing in the process, sets the counts that candle reads: no barrier workers, and
//!   products that are not split.
//! - [`keep_candle_on_this_thread`], first thing on each thread that uses candle, gives this thread a rayon
//!   pool of which it is the only member.
//!
//! Why a pool for each thread, and not one global pool with `use_current_thread`: the global pool's only
//! member would be whichever thread built it, and every other thread's first parallel operation would wait
//! for that thread to run it, which it does not do while it runs its own loop: for ever.

use std::cell::Cell;

thread_local! {
    static KEPT: Cell<bool> = const { Cell::new(false) };
}

/// Tells candle to use one thread an operation. Call it before any other thread exists: it sets
/// environment variables. Gives false, and changes nothing, when there are other threads already.
pub fn limit_candle() -> bool {
    let alone = std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() == 1);
    if alone {
        for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
            // SAFETY: the process has one thread (counted just above, and only this one could start
            // another), so nothing reads or writes the environment at the same time.
            unsafe { std::env::set_var(name, "1") };
        }
    }
    alone
}

/// From now on candle's operations on this thread run on this thread. Calling it again does nothing.
pub fn keep_candle_on_this_thread() {
    if KEPT.replace(true) {
        return;
    }
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .use_current_thread()
        .build();
    // Rayon itself keeps the pool of a current thread for ever (a few hundred bytes). Dropping the handle
    // would mark it as ended, so the handle stays too. An error means that this thread belongs to a
    // pool already, which is as good.
    std::mem::forget(pool);
}
