//! The facts without which a number means nothing: processor, kernel, governor, compiler, commit, load.

use std::process::Command;

use serde_json::{Value, json};

/// Processor flags that change which code runs or how well time is kept.
const FLAGS: [&str; 17] = [
    "avx2",
    "fma",
    "f16c",
    "avx512f",
    "avx512bw",
    "avx512vl",
    "avx512_bf16",
    "avx512_vnni",
    "avx_vnni",
    "amx_bf16",
    "amx_int8",
    "constant_tsc",
    "hypervisor",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
];

/// Facts of this machine and this build. What cannot be read is null.
pub fn facts() -> Value {
    let cpuinfo = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let field = |key: &str| {
        cpuinfo.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            (name.trim() == key).then(|| value.trim().to_owned())
        })
    };
    let has = field("flags")
        .or_else(|| field("Features"))
        .unwrap_or_default();
    let has: Vec<&str> = has.split_whitespace().collect();
    let flags: Vec<&str> = FLAGS.into_iter().filter(|f| has.contains(f)).collect();
    json!({
        "cpu": field("model name").or_else(|| field("CPU part")),
        "architecture": std::env::consts::ARCH,
        "cores": std::thread::available_parallelism().ok().map(usize::from),
        "flags": flags,
        "kernel": read("/proc/sys/kernel/osrelease"),
        "governor": read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "isolated_cores": read("/sys/devices/system/cpu/isolated").filter(|s| !s.is_empty()),
        "rustc": run("rustc", &["--version"]),
        "commit": run("git", &["rev-parse", "--short=12", "HEAD"]),
        "uncommitted_changes": run("git", &["status", "--porcelain", "--untracked-files=no"]).map(|s| !s.is_empty()),
        "load_at_start": load(),
    })
}

/// The same in one line for the screen.
pub fn one_line(facts: &Value) -> String {
    let text = |key: &str| facts[key].as_str().unwrap_or("unknown").to_owned();
    format!(
        "  {}, {} cores, Linux {}, governor {}, {}, commit {}, load {}",
        text("cpu"),
        facts["cores"],
        text("kernel"),
        text("governor"),
        text("rustc"),
        text("commit"),
        text("load_at_start"),
    )
}

/// Load averages of 1, 5 and 15 minutes: above 0.3 another job was running.
pub fn load() -> Option<String> {
    let text = read("/proc/loadavg")?;
    let mut words = text.split(' ');
    Some(format!(
        "{} {} {}",
        words.next()?,
        words.next()?,
        words.next()?
    ))
}

fn read(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn run(program: &str, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
