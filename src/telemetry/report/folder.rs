//! The report folder: written whole or not at all.
//!
//! Thread: housekeeping. Allocates: yes. Blocks: on the disk. Syscalls: file system.
//!
//! All files are first written and flushed into a hidden folder, `.partial-PROCESS`, where a full disk shows
//! itself. For a new report it lies beside the report's place and becomes the report by one rename; in a folder that
//! is there already the files are renamed one by one, `report.json` last. So whoever finds a `report.json` finds the
//! rest, and a failed or killed run leaves what was there before untouched, and no report folder that is empty or
//! half full. Only a process that is killed while it writes leaves its hidden folder.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::error::{Fault, Kind, Result};
use crate::telemetry::measured::Measured;
use crate::telemetry::report::data::Report;
use crate::telemetry::report::hlog;
use crate::telemetry::report::html;
use crate::telemetry::report::utc;

/// Where a report goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Into this very folder, replacing a report that is there.
    Folder(PathBuf),
    /// Into a new folder under this one, named by time and process; a link `latest` leads to it.
    NewUnder(PathBuf),
}

impl Default for Place {
    fn default() -> Self {
        Self::NewUnder(PathBuf::from("reports"))
    }
}

/// A place that takes files, proven by writing one and taking it away again. Done before the run, so that nobody
/// drives a robot for an hour to learn that the disk is read-only. Until it is written nothing lies there.
#[derive(Debug)]
pub struct ReportFolder {
    path: PathBuf,
    /// Where the link `latest` goes.
    link_in: Option<PathBuf>,
}

/// Sub-folder of the interval logs.
const LOGS: &str = "hlog";

impl ReportFolder {
    /// Proves that the place takes files.
    pub fn open(place: &Place) -> Result<Self> {
        let (path, link_in) = match place {
            Place::Folder(path) => (path.clone(), None),
            Place::NewUnder(base) => {
                let now = utc::compact(SystemTime::now());
                let name = format!("{now}-{}", std::process::id());
                (base.join(name), Some(base.clone()))
            }
        };
        let folder = Self { path, link_in };
        folder.prove().map_err(|e| unwritable(&folder.path, &e))?;
        Ok(folder)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes `report.json`, `report.html` and the interval logs. Returns the path of the page.
    pub fn write(
        self,
        report: &Report,
        measured: &Measured,
        started: SystemTime,
    ) -> Result<PathBuf> {
        let mut files = Vec::new();
        for log in hlog::logs(measured, started)? {
            files.push((Path::new(LOGS).join(log.name), log.bytes));
        }
        files.push(("report.html".into(), html::page(report).into_bytes()));
        files.push(("report.json".into(), json(report)?));

        self.write_files(&files)
            .map_err(|e| unwritable(&self.path, &e))?;
        if let Some(base) = &self.link_in {
            // The report is complete; that an old file system knows no links takes nothing from it.
            let _ = link_latest(base, &self.path);
        }
        Ok(self.path.join("report.html"))
    }

    /// Beside the report's place; inside, if something is there, since only that may be writable.
    fn partial(&self) -> PathBuf {
        let name = format!(".partial-{}", std::process::id());
        match self.path.symlink_metadata() {
            Ok(_) => self.path.join(name),
            Err(_) => self.path.with_file_name(name),
        }
    }

    /// Writes and removes a small file.
    fn prove(&self) -> io::Result<()> {
        let _made = MadeFolders::above(&self.path)?;
        let partial = self.partial();
        let proof = write_all(&partial, &[("proof".into(), b"reflexarc\n".to_vec())]);
        let _ = fs::remove_dir_all(&partial);
        proof
    }

    fn write_files(&self, files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
        let made = MadeFolders::above(&self.path)?;
        let partial = self.partial();
        let written = write_all(&partial, files).and_then(|()| self.put_in_place(&partial, files));
        let _ = fs::remove_dir_all(&partial);
        if written.is_ok() {
            made.keep();
        }
        written
    }

    fn put_in_place(&self, partial: &Path, files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
        if !partial.starts_with(&self.path) {
            match fs::rename(partial, &self.path) {
                Ok(()) => return sync(self.path.parent().unwrap_or(Path::new("."))),
                // Somebody has put files there during the run.
                Err(e) if e.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                Err(e) => return Err(e),
            }
        }
        // In the order of `files`: `report.json` is the last and completes the report.
        fs::create_dir_all(self.path.join(LOGS))?;
        for (name, _) in files {
            fs::rename(partial.join(name), self.path.join(name))?;
        }
        self.remove_older_logs(files)?;
        sync(&self.path)
    }

    /// Logs of an earlier report, of things that this run did not measure.
    fn remove_older_logs(&self, files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
        for entry in fs::read_dir(self.path.join(LOGS))? {
            let name = Path::new(LOGS).join(entry?.file_name());
            let is_log = name.extension().is_some_and(|e| e == "hlog");
            if is_log && !files.iter().any(|(written, _)| *written == name) {
                fs::remove_file(self.path.join(name))?;
            }
        }
        Ok(())
    }
}

/// The folders that were made for a path to be possible; taken away again when dropped.
struct MadeFolders(Vec<PathBuf>);

impl MadeFolders {
    /// Makes all folders above `path`.
    fn above(path: &Path) -> io::Result<Self> {
        let above = path.ancestors().skip(1);
        let missing = above.take_while(|p| !p.as_os_str().is_empty() && !p.exists());
        let made = Self(missing.map(Path::to_owned).collect());
        if let Some(parent) = made.0.first() {
            fs::create_dir_all(parent)?;
        }
        Ok(made)
    }

    fn keep(mut self) {
        self.0.clear();
    }
}

impl Drop for MadeFolders {
    fn drop(&mut self) {
        // Innermost first. Only empty ones go: `remove_dir` refuses others, which is wanted.
        for folder in &self.0 {
            let _ = fs::remove_dir(folder);
        }
    }
}

/// Waits until the disk has the names in a folder.
fn sync(folder: &Path) -> io::Result<()> {
    let here = folder.as_os_str().is_empty();
    File::open(if here { Path::new(".") } else { folder })?.sync_all()
}

/// The text of `report.json`.
pub fn json(report: &Report) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(report).map_err(|e| {
        Fault::new(
            Kind::Internal,
            "the report could not be written as JSON",
            e.to_string(),
            "please report this with the command line of the run",
        )
    })?;
    text.push(b'\n');
    Ok(text)
}

/// Writes all files under `folder` and waits until the disk has them.
fn write_all(folder: &Path, files: &[(PathBuf, Vec<u8>)]) -> io::Result<()> {
    for (name, bytes) in files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut file = File::create(&path)?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    Ok(())
}

/// Lets `base/latest` lead to `target`, replacing an older link in one step.
fn link_latest(base: &Path, target: &Path) -> io::Result<()> {
    let Some(name) = target.file_name() else {
        return Ok(());
    };
    let fresh = base.join(format!(".latest-{}", std::process::id()));
    let _ = fs::remove_file(&fresh);
    std::os::unix::fs::symlink(name, &fresh)?;
    let linked = fs::rename(&fresh, base.join("latest"));
    if linked.is_err() {
        let _ = fs::remove_file(&fresh);
    }
    linked
}

fn unwritable(path: &Path, error: &io::Error) -> Fault {
    let fix = match error.raw_os_error() {
        Some(libc::ENOSPC | libc::EDQUOT) => {
            "free some space, or choose another disk with --report DIR"
        }
        Some(libc::EROFS | libc::EACCES | libc::EPERM) => {
            "choose a folder that you may write to with --report DIR"
        }
        Some(libc::ENOTDIR | libc::EEXIST) => {
            "a file is in the way: choose another name with --report DIR"
        }
        _ => "choose another folder with --report DIR",
    };
    Fault::new(
        Kind::Output,
        format!("the report could not be written to {}", path.display()),
        error.to_string(),
        fix,
    )
}
