//! The named loads: stress-ng on the housekeeping cores, and the proof that it loaded them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::str::FromStr;

use crate::bench::child::{self, Program};
use crate::bench::data::{Load as LoadReport, NotRun};
use crate::bench::folder::BenchFolder;
use crate::clock;
use crate::rt::plan::parse_core_list;
use crate::units::Nanos;

/// What keeps the rest of the machine busy while the way of a frame is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Load {
    Idle,
    Cpu,
    Memory,
    Disk,
    Network,
    Gpu,
}

impl Load {
    pub const ALL: [Self; 6] = [
        Self::Idle,
        Self::Cpu,
        Self::Memory,
        Self::Disk,
        Self::Network,
        Self::Gpu,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Cpu => "cpu",
            Self::Memory => "memory",
            Self::Disk => "disk",
            Self::Network => "network",
            Self::Gpu => "gpu",
        }
    }

    /// By which way it reaches cores that it does not run on.
    pub fn reaches(self) -> &'static str {
        match self {
            Self::Idle => "",
            Self::Cpu => {
                "it shares no data with the way: what it costs comes from shared cores, from heat, or from power"
            }
            Self::Memory => {
                "caches and memory are shared by all cores, whatever is isolated; only less traffic, or a partitioned cache, helps"
            }
            Self::Disk => "interrupts and kernel threads of the disk (doctor: S06, K07, S10)",
            Self::Network => "soft interrupts of the network (doctor: S06, K06, K07)",
            Self::Gpu => {
                "interrupts of the GPU, and the memory that it shares with the processor (doctor: S06, C10)"
            }
        }
    }

    /// What stress-ng is told. `temporary` is where the disk's load writes.
    fn stressors(self, cores: usize) -> Vec<String> {
        let count = cores.to_string();
        let words: &[&str] = match self {
            Self::Idle => &[],
            Self::Cpu => &["--cpu", &count, "--cpu-method", "matrixprod"],
            // Bandwidth, and the kernel's handling of pages.
            Self::Memory => &[
                "--stream",
                &count,
                "--vm",
                "1",
                "--vm-bytes",
                "64m",
                "--vm-keep",
            ],
            Self::Disk => &["--hdd", "1", "--hdd-bytes", "64m", "--io", "1"],
            Self::Network => &["--sock", &count, "--udp", &count],
            Self::Gpu => &["--gpu", "1"],
        };
        words.iter().map(|word| (*word).to_owned()).collect()
    }
}

/// Which loads to run, as on the command line: `idle,cpu`, `all` or `none`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loads(pub Vec<Load>);

impl FromStr for Loads {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "all" => return Ok(Self(Load::ALL.to_vec())),
            "none" => return Ok(Self(vec![Load::Idle])),
            _ => {}
        }
        let named = |name: &str| {
            let known = Load::ALL.into_iter().find(|load| load.name() == name);
            known.ok_or_else(|| {
                let names = Load::ALL.map(Load::name).join(", ");
                format!("`{name}` is no load: write some of {names}, with commas between; or all, or none")
            })
        };
        let mut loads = text
            .split(',')
            .map(|name| named(name.trim()))
            .collect::<Result<Vec<_>, _>>()?;
        // Idle comes first: what a load costs is said against it.
        loads.sort_unstable();
        loads.dedup();
        Ok(Self(loads))
    }
}

/// A load that runs.
#[derive(Debug)]
pub struct Running {
    program: Program,
    metrics: std::path::PathBuf,
    log: std::path::PathBuf,
    times: CoreTimes,
    cores: Vec<usize>,
    report: LoadReport,
}

/// Time for its workers to start and to take their memory.
const WARM_UP: Nanos = Nanos::from_secs(1);

impl Running {
    /// Starts it on these cores. `seconds` is when it ends by itself, should nobody end it.
    pub fn start(
        load: Load,
        cores: &[usize],
        seconds: u32,
        folder: &BenchFolder,
    ) -> Result<Self, NotRun> {
        if load == Load::Gpu && !has_gpu() {
            return Err(not_run(
                "there is no GPU that a program can draw with (/dev/dri/renderD*)",
                "nothing is to be done on a board without one; on a Jetson install the driver of its release",
            ));
        }
        let Some(tool) = child::find("stress-ng") else {
            return Err(not_run(
                "stress-ng is not installed",
                "sudo apt-get install stress-ng",
            ));
        };
        let place = |suffix: &str| folder.path.join(format!("parts/{}.{suffix}", load.name()));
        let (metrics, log) = (place("stress-ng.yaml"), place("stress-ng.log"));
        let mut words = load.stressors(cores.len().max(1));
        words.extend(["--metrics".to_owned(), "--yaml".to_owned()]);
        words.push(metrics.display().to_string());
        words.extend(["--timeout".to_owned(), format!("{seconds}s")]);
        words.push("--temp-path".to_owned());
        words.push(folder.path.join("parts").display().to_string());
        let mut program =
            Program::start(Command::new(&tool).args(&words), &log, cores).map_err(|e| {
                not_run(
                    &format!("stress-ng could not be started: {e}"),
                    "run it by hand and see",
                )
            })?;
        clock::sleep_until(clock::now() + WARM_UP);
        if let Some(status) = program.has_ended() {
            let said = last_line(&log);
            return Err(not_run(
                &format!("stress-ng ended at once ({status}): {said}"),
                &format!("see {}", log.display()),
            ));
        }
        Ok(Self {
            program,
            metrics,
            log,
            times: CoreTimes::read(cores),
            cores: cores.to_vec(),
            report: LoadReport {
                command: std::iter::once("stress-ng".to_owned())
                    .chain(words)
                    .collect(),
                version: version(&tool),
                ..LoadReport::default()
            },
        })
    }

    /// Ends it. Gives what it did, and in words why it was no load, if it was none.
    pub fn end(mut self) -> (LoadReport, Option<String>) {
        let early = self.program.has_ended();
        self.report.busy = CoreTimes::read(&self.cores).busy_since(&self.times);
        self.program.end();
        let text = fs::read_to_string(&self.metrics).unwrap_or_default();
        self.report.bogo_ops = bogo_ops(&text);
        let why = match early {
            Some(status) => Some(format!(
                "the load ended before the part did ({status}): {}",
                last_line(&self.log)
            )),
            None if self.report.bogo_ops.is_empty() => {
                Some("stress-ng reported no work".to_owned())
            }
            None => self
                .report
                .bogo_ops
                .iter()
                .find(|(_, ops)| **ops == 0)
                .map(|(name, _)| format!("the load did no work: {name} counted 0 operations")),
        };
        (self.report, why)
    }
}

fn not_run(why: &str, fix: &str) -> NotRun {
    NotRun {
        why: why.to_owned(),
        fix: fix.to_owned(),
    }
}

fn has_gpu() -> bool {
    let nodes = fs::read_dir("/dev/dri").into_iter().flatten().flatten();
    nodes
        .into_iter()
        .any(|node| node.file_name().to_string_lossy().starts_with("renderD"))
}

fn version(tool: &Path) -> String {
    let output = Command::new(tool).arg("--version").output();
    let text = output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned());
    let text = text.unwrap_or_default();
    text.lines().next().unwrap_or_default().trim().to_owned()
}

fn last_line(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    text.lines().last().unwrap_or("it said nothing").to_owned()
}

/// The work that stress-ng counted, by stressor. Its file is YAML of one known form.
fn bogo_ops(yaml: &str) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut stressor = None;
    for line in yaml.lines() {
        let line = line.trim().trim_start_matches("- ");
        match line.split_once(':') {
            Some(("stressor", name)) => stressor = Some(name.trim().to_owned()),
            Some(("bogo-ops", count)) => {
                if let (Some(name), Ok(count)) = (stressor.take(), count.trim().parse()) {
                    found.insert(name, count);
                }
            }
            _ => {}
        }
    }
    found
}

/// Ticks of some cores, from /proc/stat.
#[derive(Clone, Copy, Debug, Default)]
struct CoreTimes {
    busy: u64,
    all: u64,
}

impl CoreTimes {
    fn read(cores: &[usize]) -> Self {
        Self::parse(&fs::read_to_string("/proc/stat").unwrap_or_default(), cores)
    }

    fn parse(stat: &str, cores: &[usize]) -> Self {
        let mut sum = Self::default();
        for line in stat.lines() {
            let Some((name, rest)) = line.split_once(' ') else {
                continue;
            };
            let core = name.strip_prefix("cpu").unwrap_or_default();
            if core.is_empty() || !parse_core_list(core).iter().any(|c| cores.contains(c)) {
                continue;
            }
            let ticks: Vec<u64> = rest
                .split_whitespace()
                // user nice system idle iowait irq softirq steal; guest time is in user already.
                .take(8)
                .filter_map(|n| n.parse().ok())
                .collect();
            let all: u64 = ticks.iter().sum();
            let idle: u64 = ticks.iter().skip(3).take(2).sum();
            sum.all += all;
            sum.busy += all - idle;
        }
        sum
    }

    #[expect(clippy::cast_precision_loss, reason = "a share for people")]
    fn busy_since(self, before: &Self) -> f64 {
        let all = self.all.saturating_sub(before.all).max(1) as f64;
        let share = self.busy.saturating_sub(before.busy) as f64 / all;
        (share * 1000.0).round() / 1000.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_work_of_each_stressor_is_read() {
        // As stress-ng 0.15 writes it.
        let yaml = "---\nsystem-info:\n      cpus: 2\n\nmetrics:\n    - stressor: cpu\n      bogo-ops: 1678\n      \
                    bogo-ops-per-second-usr-sys-time: 1746.255905\n      max-rss: 6548\n\n    - stressor: vm\n      bogo-ops: 0\n";
        let found = bogo_ops(yaml);
        assert_eq!(
            found,
            [("cpu".to_owned(), 1678), ("vm".to_owned(), 0)].into()
        );
    }

    #[test]
    fn the_share_of_busy_time_is_of_the_named_cores() {
        let before = CoreTimes::parse(
            "cpu 9 9 9 9\ncpu0 0 0 0 100 0 0 0 0 0 0\ncpu1 5 0 0 0 0 0 0 0 0 0\n",
            &[0],
        );
        let after = CoreTimes::parse(
            "cpu 9 9 9 9\ncpu0 50 0 20 120 10 0 0 0 0 0\ncpu1 9 0 0 0 0 0 0 0 0 0\n",
            &[0],
        );
        assert!((after.busy_since(&before) - 0.7).abs() < 1e-9);
    }

    #[test]
    fn loads_are_named_and_come_in_one_order() {
        assert_eq!(
            "cpu,idle,cpu".parse(),
            Ok(Loads(vec![Load::Idle, Load::Cpu]))
        );
        assert_eq!("none".parse(), Ok(Loads(vec![Load::Idle])));
        assert!(
            "cpu,gpus"
                .parse::<Loads>()
                .unwrap_err()
                .contains("`gpus` is no load")
        );
    }
}
