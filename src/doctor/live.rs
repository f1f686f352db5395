//! What can be tried on the machine itself, each for some milliseconds, and undone at once.
//!
//! Thread: main, which starts short-lived ones. Allocates: yes. Blocks: for at most 300 ms each.

use std::cell::OnceCell;
use std::ffi::CStr;
use std::fs;
use std::io;

use crate::capture::v4l2::list::{self, CameraInfo};
use crate::clock;
use crate::doctor::inversion::{self, Inversion};
use crate::rt::latency::AwakeCores;
use crate::rt::memory;
use crate::rt::stop::Stop;
use crate::rt::sync::{Arc, AtomicU64, Ordering};
use crate::rt::thread::{self, Class, ThreadSpec};
use crate::rt::wait::WaitPolicy;
use crate::units::Nanos;

/// See the module.
#[derive(Debug, Default)]
pub struct Live {
    cameras: OnceCell<Vec<CameraInfo>>,
}

/// Of the C library: 2.36 is (2, 36). None: there is none.
pub type Version = Option<(u32, u32)>;

/// A thread for a trial.
pub fn spec(name: &str, class: Class, core: Option<usize>) -> ThreadSpec {
    ThreadSpec {
        name: name.to_owned(),
        class,
        cores: core.into_iter().collect(),
        wait: WaitPolicy::Spin,
    }
}

impl Live {
    /// Starts a FIFO thread on a core, and says what the kernel gave or why not.
    pub fn fifo(&self, core: Option<usize>) -> Result<String, String> {
        const PRIORITY: u8 = 90;
        let asked = spec("doctor-fifo", Class::Fifo(PRIORITY), core);
        let mut thread = thread::spawn(asked, |_| {}).map_err(|fault| fault.to_string())?;
        let (granted, _) = thread.granted();
        let said = match granted.refused.as_slice() {
            [] => Ok(format!("{} on {:?}", granted.class, granted.cores)),
            refused => Err(refused.join("; ")),
        };
        thread.join();
        said
    }

    /// What one reading of the clock takes: the median of many short series, so that what interrupts some counts not.
    pub fn clock_reading(&self) -> Nanos {
        const SERIES: usize = 1000;
        const READINGS: i64 = 100;
        let mut taken: Vec<i64> = (0..SERIES)
            .map(|_| {
                let began = clock::now();
                for _ in 0..READINGS {
                    std::hint::black_box(clock::now());
                }
                (clock::now() - began).0 / READINGS
            })
            .collect();
        taken.sort_unstable();
        Nanos(taken[SERIES / 2])
    }

    /// Reads something while a normal thread works on each of these cores.
    pub fn while_working<T>(&self, cores: &[usize], read: impl FnOnce() -> T) -> T {
        const WARM_UP: Nanos = Nanos::from_millis(200);
        let stop = Stop::default();
        let start = |core: &usize| {
            let until = stop.clone();
            let work = move |_: &thread::Context| {
                // BOUND: until it is asked to stop, below.
                while !until.asked() {
                    std::hint::spin_loop();
                }
            };
            thread::spawn(spec("doctor-work", Class::Normal, Some(*core)), work).ok()
        };
        let mut threads: Vec<_> = cores.iter().filter_map(start).collect();
        clock::sleep_until(clock::now() + WARM_UP);
        let found = read();
        stop.ask();
        for thread in &mut threads {
            thread.join();
        }
        found
    }

    /// Asks for cores that stay awake, and lets go of them.
    pub fn awake(&self) -> Result<(), String> {
        AwakeCores::hold()
            .map(drop)
            .map_err(|error| error.to_string())
    }

    /// Locks 64 MB and lets go of them.
    pub fn lock(&self) -> Result<(), String> {
        const BYTES: usize = 64 * 1024 * 1024;
        let memory = memmap2::MmapMut::map_anon(BYTES).map_err(|error| error.to_string())?;
        // `lock` touches every page; the mapping is unlocked with its end.
        memory.lock().map_err(|error| error.to_string())
    }

    /// Page faults, minor and major, of 100 ms of work in memory that was touched before.
    pub fn faults(&self) -> (i64, i64) {
        const BYTES: usize = 4 * 1024 * 1024;
        let mut memory = vec![1u8; BYTES];
        std::hint::black_box(&mut memory);
        let before = thread_faults();
        let end = clock::now() + Nanos::from_millis(100);
        while clock::now() < end {
            for page in memory.chunks_mut(4096) {
                page[0] = page[0].wrapping_add(1);
            }
            std::hint::black_box(&mut memory);
        }
        let after = thread_faults();
        (after.0 - before.0, after.1 - before.1)
    }

    /// Page faults of a stack that a run's set-up has touched, when it is used again.
    pub fn stack_faults(&self) -> u64 {
        let count = Arc::new(AtomicU64::new(0));
        let into = Arc::clone(&count);
        let body = move |_: &thread::Context| {
            let before = thread_faults();
            memory::prefault_stack();
            let after = thread_faults();
            let faults = after.0 - before.0 + after.1 - before.1;
            // ORDERING(faults): Relaxed, alone. Joining the thread orders it.
            into.store(faults.unsigned_abs(), Ordering::Relaxed);
        };
        if let Ok(mut thread) = thread::spawn(spec("doctor-stack", Class::Normal, None), body) {
            thread.join();
        }
        // ORDERING(faults): Relaxed, alone.
        count.load(Ordering::Relaxed)
    }

    /// Lets three threads of one core contend for a lock, see `inversion`.
    pub fn inheritance(&self, core: usize) -> Result<Inversion, String> {
        inversion::try_it(core)
    }

    /// The newest C library that this binary needs, and the one that is here.
    pub fn glibc(&self) -> (Version, Version) {
        let needs = fs::read("/proc/self/exe")
            .ok()
            .and_then(|elf| newest_glibc(&elf));
        (needs, glibc_here())
    }

    /// By how many microseconds a second the kernel bends its clocks.
    pub fn bend(&self) -> Result<f64, String> {
        // SAFETY: an all-zero timex asks for nothing to be changed.
        let mut state: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: `state` is valid for writing; with modes = 0 the call only reads.
        if unsafe { libc::adjtimex(&raw mut state) } < 0 {
            return Err(io::Error::last_os_error().to_string());
        }
        #[expect(
            clippy::cast_precision_loss,
            reason = "the kernel bounds both below 2^26"
        )]
        let (frequency, tick) = (
            state.freq as f64 / 65_536.0,
            (state.tick - 10_000) as f64 * 100.0,
        );
        Ok(frequency + tick)
    }

    /// Bytes that this user may still write where the process stands.
    pub fn disk_left(&self) -> Option<u64> {
        // SAFETY: an all-zero statvfs is valid.
        let mut disk: libc::statvfs = unsafe { std::mem::zeroed() };
        // SAFETY: the path is closed by a zero, and `disk` is valid for writing.
        let done = unsafe { libc::statvfs(c".".as_ptr(), &raw mut disk) };
        (done == 0).then(|| disk.f_bavail * disk.f_frsize)
    }

    /// The cameras, looked at once.
    pub fn cameras(&self) -> &[CameraInfo] {
        self.cameras.get_or_init(list::list)
    }
}

/// Minor and major page faults of this thread so far.
fn thread_faults() -> (i64, i64) {
    // SAFETY: an all-zero rusage is valid.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` is valid for writing.
    unsafe { libc::getrusage(libc::RUSAGE_THREAD, &raw mut usage) };
    (usage.ru_minflt, usage.ru_majflt)
}

/// The highest `GLIBC_2.N` among the names of an ELF file's symbol versions.
fn newest_glibc(elf: &[u8]) -> Option<(u32, u32)> {
    const NAME: &[u8] = b"GLIBC_";
    let mut newest = None;
    let mut rest = elf;
    // BOUND: each turn leaves at least one byte behind.
    while let Some(at) = rest.iter().position(|byte| *byte == NAME[0]) {
        rest = &rest[at..];
        if let Some(version) = rest.strip_prefix(NAME) {
            newest = newest.max(version_of(version));
        }
        rest = &rest[1..];
    }
    newest
}

/// `2.34` and a zero.
fn version_of(text: &[u8]) -> Option<(u32, u32)> {
    let end = text.iter().take(16).position(|byte| *byte == 0)?;
    apart(std::str::from_utf8(&text[..end]).ok()?)
}

fn apart(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(target_env = "gnu")]
fn glibc_here() -> Option<(u32, u32)> {
    // SAFETY: takes nothing, and returns a static text closed by a zero.
    let text = unsafe { libc::gnu_get_libc_version() };
    // SAFETY: see above.
    let text = unsafe { CStr::from_ptr(text) };
    apart(text.to_str().ok()?)
}

#[cfg(not(target_env = "gnu"))]
fn glibc_here() -> Option<(u32, u32)> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_that_an_elf_file_names_is_found() {
        let elf = b"\0GLIBC_2.17\0GLIBC_2.34\0GLIBC_PRIVATE\0GLIBC_2.4 in a text\0GGLIBC_2.9\0";
        assert_eq!(newest_glibc(elf), Some((2, 34)));
        assert_eq!(newest_glibc(b"none"), None);
    }
}
