//! The pair of files `state.a` and `state.b`. Always the older one is written, so that the newer stays whole until the write
//! has reached the disk.
//!
//! Thread: housekeeping. Allocates: yes. Blocks: on the disk. Locks: the folder, against a second process. Syscalls: files.

use std::fs::{File, TryLockError};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::error::{Fault, Kind, Result};

use super::content::State;
use super::snapshot::{Damage, SNAPSHOT_BYTES_MAX, Snapshot};

pub const NAMES: [&str; 2] = ["state.a", "state.b"];
const LOCK_NAME: &str = "state.lock";
/// Taken from the disk before it is needed, so that a full disk does not stop the snapshots of a run that works.
// BOUND: what a snapshot holds today, with the longest instruction; a larger one grows the file.
const TAKEN_BYTES: libc::off_t = 16 * 1024;

/// The folder of a state, which no other process uses.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Locked until it is dropped, or the process ends in any way.
    _lock: File,
}

impl Folder {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// It cannot be made or written to; another process uses it ([`Kind::Busy`]).
    pub fn open(path: &Path) -> Result<Self> {
        let cannot = |e: &io::Error| {
            let what = format!("the state cannot be kept in {}", path.display());
            let fix =
                "set state.path to a folder that may be written to, or state.level = \"none\"";
            Fault::from_io(what, e, Kind::Output, fix)
        };
        std::fs::create_dir_all(path).map_err(|e| cannot(&e))?;
        let mut options = File::options();
        options.create(true).truncate(false).write(true);
        let lock = options.open(path.join(LOCK_NAME)).map_err(|e| cannot(&e))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self {
                path: path.to_owned(),
                _lock: lock,
            }),
            Err(TryLockError::Error(e)) => Err(cannot(&e)),
            Err(TryLockError::WouldBlock) => Err(Fault::new(
                Kind::Busy,
                format!("the state in {} is in use", path.display()),
                "another run keeps its state there, and two would overwrite each other's",
                "end the other run, or give this one another state.path",
            )),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What one file of the pair holds.
pub type Half = std::result::Result<(Snapshot, State), Damage>;

/// Both files, read.
#[derive(Debug)]
pub struct Halves(pub [Half; 2]);

impl Halves {
    /// Reads whatever is there. What cannot be read is damaged.
    pub fn read(folder: &Path) -> Self {
        Self(NAMES.map(|name| read_half(&folder.join(name))))
    }

    /// The index of the newest whole one.
    pub fn newest(&self) -> Option<usize> {
        let epoch = |index: &usize| self.0[*index].as_ref().ok().map(|(s, _)| s.epoch);
        (0..2).filter(|i| epoch(i).is_some()).max_by_key(epoch)
    }

    pub fn state(&self) -> Option<&(Snapshot, State)> {
        self.0[self.newest()?].as_ref().ok()
    }

    /// What is wrong with either, in words.
    pub fn damages(&self) -> Vec<String> {
        let named = NAMES.iter().zip(&self.0);
        named
            .filter_map(|(name, half)| match half {
                Err(Damage::Empty) | Ok(_) => None,
                Err(damage) => Some(format!("{name} {damage}")),
            })
            .collect()
    }
}

fn read_half(path: &Path) -> Half {
    // A pipe or device in its place must not be waited for.
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    let file = match opened {
        Ok(file) => file,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Damage::Empty),
        Err(_) => return Err(Damage::Short),
    };
    let mut bytes = Vec::new();
    file.take(SNAPSHOT_BYTES_MAX as u64)
        .read_to_end(&mut bytes)
        .map_err(|_| Damage::Short)?;
    let snapshot = Snapshot::read(&bytes)?;
    let state = State::of(&snapshot)?;
    Ok((snapshot, state))
}

/// The writing end.
#[derive(Debug)]
pub struct Pair {
    paths: [PathBuf; 2],
    /// None until written, and after a failure: it is opened again then.
    files: [Option<File>; 2],
    /// The older one.
    next: usize,
    buffer: Vec<u8>,
}

impl Pair {
    /// `newest` is not the first to be overwritten.
    pub fn new(folder: &Path, newest: Option<usize>) -> Self {
        Self {
            paths: NAMES.map(|name| folder.join(name)),
            files: [None, None],
            next: newest.map_or(0, |newest| 1 - newest),
            buffer: Vec::new(),
        }
    }

    /// Returns when the disk has it.
    ///
    /// # Errors
    /// The disk refused. The newer file is as it was, and the next call tries the same one again.
    pub fn write(&mut self, snapshot: &Snapshot) -> io::Result<()> {
        snapshot.write(&mut self.buffer);
        let file = match self.files[self.next].take() {
            Some(file) => file,
            None => open(&self.paths[self.next])?,
        };
        file.write_all_at(&self.buffer, 0)?;
        file.sync_data()?;
        self.files[self.next] = Some(file);
        self.next = 1 - self.next;
        Ok(())
    }
}

fn open(path: &Path) -> io::Result<File> {
    let is_new = !path.exists();
    let mut options = File::options();
    let file = options
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)?;
    take_space(&file, TAKEN_BYTES);
    if is_new && let Some(folder) = path.parent() {
        // The file's name must survive a power cut as well.
        File::open(folder)?.sync_all()?;
    }
    Ok(file)
}

/// Asks for the space; a file system that cannot say so finds out when it is written.
pub fn take_space(file: &File, bytes: libc::off_t) {
    // SAFETY: fallocate takes numbers, and the descriptor is open.
    let _ = unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, bytes) };
}
