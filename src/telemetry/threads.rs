//! What each thread costs: time on a core, time waiting for one, page faults and context switches.
//!
//! Thread: housekeeping. Allocates: yes. Syscalls: reads of `/proc/self/task/TID`. The watched threads take no
//! part in it.

use std::fs;

use crate::telemetry::measured::Measured;
use crate::telemetry::report::data::ThreadReport;
use crate::telemetry::trace::Stage;
use crate::units::MonoTime;

/// What the kernel counts for a thread since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadUse {
    /// Time on a core.
    pub cpu_ns: u64,
    /// Time ready to run, waiting for a core.
    pub run_queue_ns: u64,
    pub minor_faults: u64,
    pub major_faults: u64,
    pub voluntary_switches: u64,
    pub involuntary_switches: u64,
}

impl ThreadUse {
    /// Reads a thread of this process. None when it has ended.
    pub fn read(tid: i32) -> Option<Self> {
        let file = |name: &str| fs::read_to_string(format!("/proc/self/task/{tid}/{name}")).ok();
        Self::parse(
            &file("stat")?,
            &file("status")?,
            &file("schedstat").unwrap_or_default(),
        )
    }

    /// From the texts of `stat`, `status` and `schedstat` (proc(5)). `schedstat` may be empty: some kernels
    /// are built without it; then time on a core is known to a tick (10 ms) only.
    fn parse(stat: &str, status: &str, schedstat: &str) -> Option<Self> {
        // The name stands in brackets and may hold anything; fields are counted after the last bracket,
        // where field 3 of proc(5) is the first.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        let switches = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().parse::<u64>().ok()
        };
        let mut exact = schedstat.split_whitespace().map(str::parse::<u64>);
        let cpu_ns = match exact.next() {
            Some(Ok(ns)) => ns,
            // The kernel shows ticks of 1/100 s to programs on every architecture that Rust supports.
            _ => (field(14)? + field(15)?).saturating_mul(10_000_000),
        };
        Some(Self {
            cpu_ns,
            run_queue_ns: exact.next().and_then(Result::ok).unwrap_or(0),
            minor_faults: field(10)?,
            major_faults: field(12)?,
            voluntary_switches: switches("voluntary_ctxt_switches:")?,
            involuntary_switches: switches("nonvoluntary_ctxt_switches:")?,
        })
    }
}

/// A thread to watch: who it is, and what it was given.
#[derive(Clone, Debug, Default)]
pub struct ThreadInfo {
    pub name: String,
    pub tid: i32,
    /// The stages that run on it, in order.
    pub stages: Vec<Stage>,
    /// The camera whose frames they work on: 0, the first, for all of the way.
    pub camera: u8,
    /// Scheduling class asked for and given, such as `fifo 80`.
    pub class_asked: String,
    pub class_given: String,
    /// Cores that it may run on.
    pub cores: Vec<usize>,
    /// How it waits for work.
    pub wait: String,
    /// Requests that the kernel refused, in words.
    pub refused: Vec<String>,
}

#[derive(Debug)]
struct Watched {
    info: ThreadInfo,
    at_mark: ThreadUse,
    latest: ThreadUse,
    seen: MonoTime,
}

/// Watches threads from outside.
#[derive(Debug)]
pub struct ThreadWatch {
    threads: Vec<Watched>,
    marked: MonoTime,
}

impl ThreadWatch {
    /// Begins to watch; what the threads used until `now` does not count.
    pub fn new(threads: Vec<ThreadInfo>, now: MonoTime) -> Self {
        let watched = threads.into_iter().map(|info| {
            let at_mark = ThreadUse::read(info.tid).unwrap_or_default();
            Watched {
                info,
                at_mark,
                latest: at_mark,
                seen: now,
            }
        });
        Self {
            threads: watched.collect(),
            marked: now,
        }
    }

    /// Looks at all threads. Call about once a second, and as the run ends, before the threads do: an ended
    /// thread keeps what was seen last.
    pub fn look(&mut self, now: MonoTime) {
        for thread in &mut self.threads {
            if let Some(latest) = ThreadUse::read(thread.info.tid) {
                thread.latest = latest;
                thread.seen = now;
            }
        }
    }

    /// For the report. The caller adds the allocations, if it counts them.
    pub fn report(&self, measured: &Measured) -> Vec<ThreadReport> {
        let threads = self.threads.iter();
        threads.map(|t| self.report_one(t, measured)).collect()
    }

    fn report_one(&self, thread: &Watched, measured: &Measured) -> ThreadReport {
        let info = thread.info.clone();
        let (now, then) = (thread.latest, thread.at_mark);
        let wall_ns = (thread.seen - self.marked).clamp_u64();
        let cpu_ns = now.cpu_ns - then.cpu_ns;
        let work = info.stages.iter().map(|stage| {
            // Where several threads run the same stage (the workers of an encoder), each has its share.
            let same = |t: &&Watched| t.info.camera == info.camera && t.info.stages.contains(stage);
            let sharers = self.threads.iter().filter(same).count().max(1) as u64;
            let done = measured.stage_of(info.camera, *stage);
            done.map_or(0, |done| done.work.durations.sum_ns()) / sharers
        });
        let work_ns: u64 = work.sum();
        ThreadReport {
            name: info.name,
            tid: info.tid,
            stages: info.stages.iter().map(|s| s.name().to_owned()).collect(),
            class_asked: info.class_asked,
            class_given: info.class_given,
            cores: info.cores,
            wait: info.wait,
            refused: info.refused,
            allocations: None,
            allocated_bytes: None,
            wall_ns,
            cpu_ns,
            cpu_fraction: share(cpu_ns, wall_ns),
            run_queue_ns: now.run_queue_ns - then.run_queue_ns,
            work_fraction: share(work_ns, measured.elapsed().clamp_u64()),
            minor_faults: now.minor_faults - then.minor_faults,
            major_faults: now.major_faults - then.major_faults,
            voluntary_switches: now.voluntary_switches - then.voluntary_switches,
            involuntary_switches: now.involuntary_switches - then.involuntary_switches,
        }
    }
}

/// `part / whole` to a millionth, 0 of nothing.
#[expect(clippy::cast_precision_loss, reason = "a share for people")]
pub(super) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    round(part as f64 / whole as f64, 1e6)
}

/// Rounded to 1 / `steps`: what is shown has few digits, and reads back from JSON as the same number.
pub(super) fn round(value: f64, steps: f64) -> f64 {
    (value * steps).round() / steps
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATUS: &str = "Name:\tx\nvoluntary_ctxt_switches:\t21\nnonvoluntary_ctxt_switches:\t3\n";

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let stat = "77 (a) S (b) R 1 2 3 4 5 6 70 80 90 100 11 22 0 0";
        let found = ThreadUse::parse(stat, STATUS, "5000 600 7").unwrap();
        let want = ThreadUse {
            cpu_ns: 5000,
            run_queue_ns: 600,
            minor_faults: 70,
            major_faults: 90,
            voluntary_switches: 21,
            involuntary_switches: 3,
        };
        assert_eq!(found, want);
    }

    #[test]
    fn a_kernel_without_schedstat_gives_time_in_ticks() {
        let stat = "77 (x) R 1 2 3 4 5 6 70 80 90 100 11 22 0 0";
        let found = ThreadUse::parse(stat, STATUS, "").unwrap();
        assert_eq!(found.cpu_ns, 330_000_000);
    }

    #[test]
    fn cut_off_text_is_no_reading() {
        assert_eq!(ThreadUse::parse("77 (x) R 1 2", STATUS, ""), None);
        assert_eq!(ThreadUse::parse("", "", ""), None);
    }
}
