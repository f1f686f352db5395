//! What our runtime asks of the machine for its threads, asked for on Copper's behalf: Copper itself pins and schedules
//! only the workers of its pipeline.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};

/// Priority of our capture thread.
pub const PRIORITY: i32 = 79;
/// Core of the one thread of the serial plans, as of ours.
pub const CORE: usize = 1;

/// Locks all memory, now and later, and keeps freed memory in the process, so that no access faults on the way.
pub fn lock_memory() -> io::Result<()> {
    // SAFETY: mallopt only sets parameters of the C allocator.
    unsafe { libc::mallopt(libc::M_TRIM_THRESHOLD, -1) };
    // SAFETY: as above.
    unsafe { libc::mallopt(libc::M_MMAP_MAX, 0) };
    // SAFETY: mlockall takes flags only.
    check(unsafe { libc::mlockall(libc::MCL_CURRENT | libc::MCL_FUTURE) })
}

/// Keeps idle cores out of deep sleep for as long as the file stays open.
pub fn keep_cores_awake() -> io::Result<File> {
    let mut file = OpenOptions::new()
        .write(true)
        .open("/dev/cpu_dma_latency")?;
    file.write_all(&0i32.to_ne_bytes())?;
    Ok(file)
}

/// Moves the calling thread to one core.
pub fn pin(core: usize) -> io::Result<()> {
    // SAFETY: an all-zero cpu_set_t is an empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the cores used here are below CPU_SETSIZE.
    unsafe { libc::CPU_SET(core, &mut set) };
    // SAFETY: `set` is a valid set of the size given; 0 means the calling thread.
    check(unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const set) })
}

/// Gives the calling thread the class and the timer slack of ours.
pub fn become_real_time() -> io::Result<()> {
    let param = libc::sched_param {
        sched_priority: PRIORITY,
    };
    // SAFETY: `param` is valid; 0 means the calling thread.
    check(unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const param) })?;
    // SAFETY: PR_SET_TIMERSLACK takes a number of nanoseconds.
    check(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, 1, 0, 0, 0) })
}

/// Now on `CLOCK_MONOTONIC`, in nanoseconds.
pub fn monotonic() -> i64 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is valid for writing, and every Linux has this clock.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut now) };
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}

/// Sleeps until `at` on `CLOCK_MONOTONIC`; an instant that has passed costs one system call, as with our own clock.
pub fn sleep_until(at: i64) {
    let at = at.max(0);
    let at = libc::timespec {
        tv_sec: at / 1_000_000_000,
        tv_nsec: at % 1_000_000_000,
    };
    // SAFETY: `at` is valid through the call, and a null remainder is allowed with TIMER_ABSTIME.
    unsafe {
        libc::clock_nanosleep(
            libc::CLOCK_MONOTONIC,
            libc::TIMER_ABSTIME,
            &raw const at,
            std::ptr::null_mut(),
        )
    };
}

/// Asks Copper to end the run: its handler of this signal is its own way to stop.
pub fn ask_to_stop() {
    // SAFETY: kill takes numbers only.
    unsafe { libc::kill(libc::getpid(), libc::SIGINT) };
}

/// Each thread of this process as the kernel runs it: name, class, priority, cores.
pub fn granted() -> Vec<String> {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten();
    let mut lines: Vec<String> = tasks
        .flatten()
        .filter_map(|task| {
            let read = |file| std::fs::read_to_string(task.path().join(file)).ok();
            let (stat, status) = (read("stat")?, read("status")?);
            // After the name in brackets, fields 40 and 41 of proc(5) are the priority and the class.
            let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
            let class = match *fields.get(38)? {
                "1" => "fifo",
                "0" => "normal",
                other => other,
            };
            let cores = status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
            let name = read("comm")?;
            let (name, priority, cores) = (name.trim(), fields.get(37)?, cores.trim());
            Some(format!("{name}: {class} {priority}, cores {cores}"))
        })
        .collect();
    lines.sort();
    lines
}

fn check(code: libc::c_int) -> io::Result<()> {
    if code == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
