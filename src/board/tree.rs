//! The files that a machine describes itself with, read below a root: `/`, or a captured tree.
//!
//! A link that leads out of a captured tree is not followed, or the host would be taken for the captured machine.
//! A tree can note all that is asked of it, which is how a capture is made: it then has what its readers need.
//!
//! Thread: main, before a run. Allocates: yes. Blocks: on the disk. Syscalls: file system.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::board::kernel_log;

/// The largest file that is read: the list of a distribution's packages has some MB.
const READ_MAX: u64 = 16 * 1024 * 1024;

/// Why something that was looked for is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    NotThere,
    /// It is there, for others to read.
    NotReadable,
    Empty,
    /// A link leads out of the captured tree.
    Outside,
    Other(String),
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotThere => "not there",
            Self::NotReadable => "not readable without root",
            Self::Empty => "empty",
            Self::Outside => "a link there leads out of the tree",
            Self::Other(why) => why,
        })
    }
}

impl From<io::Error> for Missing {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotThere,
            io::ErrorKind::PermissionDenied => Self::NotReadable,
            _ => Self::Other(error.to_string()),
        }
    }
}

/// Something that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading<T> {
    /// Where, from the root.
    pub path: String,
    /// What stands there, or why it is not known.
    pub found: Result<T, Missing>,
}

impl<T> Reading<T> {
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Reading<U> {
        self.and_then(|found| Ok(change(found)))
    }

    pub fn and_then<U>(self, change: impl FnOnce(T) -> Result<U, Missing>) -> Reading<U> {
        Reading {
            path: self.path,
            found: self.found.and_then(change),
        }
    }
}

/// What was asked of a tree, and what it answered.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    pub files: BTreeMap<String, Result<Vec<u8>, Missing>>,
    pub folders: BTreeMap<String, Result<BTreeSet<String>, Missing>>,
    /// Looked for, and there; true for a folder.
    pub present: BTreeMap<String, bool>,
}

/// What a captured tree says of itself, in a file of this name at its root.
pub const CAPTURE: &str = "capture.json";
pub const CAPTURE_SCHEMA: &str = "reflexarc-capture/1";

/// The contents of [`CAPTURE`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capture {
    /// [`CAPTURE_SCHEMA`].
    pub schema: String,
    /// Of the reflexarc that made it.
    pub version: String,
    /// Files and folders that were there and could not be read.
    pub not_readable: BTreeSet<String>,
    /// What was changed so that it says nothing about its owner.
    pub left_out: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Tree {
    root: PathBuf,
    not_readable: BTreeSet<String>,
    asked: Option<RefCell<Asked>>,
}

impl Tree {
    pub fn new(root: &Path) -> Self {
        let root = fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let described = fs::read(root.join(CAPTURE)).ok();
        let capture: Option<Capture> =
            described.and_then(|text| serde_json::from_slice(&text).ok());
        Self {
            root,
            not_readable: capture.unwrap_or_default().not_readable,
            asked: None,
        }
    }

    /// Notes from now on what is asked of it.
    pub fn noting(mut self) -> Self {
        self.asked = Some(RefCell::default());
        self
    }

    /// What was asked so far; nothing, if it was not noted.
    pub fn asked(&self) -> Asked {
        let asked = self.asked.as_ref();
        asked.map_or_else(Asked::default, |asked| asked.borrow().clone())
    }

    /// It is this machine.
    pub fn is_live(&self) -> bool {
        self.root == Path::new("/")
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a path of the tree really lies.
    pub fn place(&self, path: &str) -> Result<PathBuf, Missing> {
        let place = fs::canonicalize(self.root.join(path))?;
        if !place.starts_with(&self.root) {
            return Err(Missing::Outside);
        }
        Ok(place)
    }

    /// A file's text without the zero or the line end that closes it.
    pub fn text(&self, path: &str) -> Reading<String> {
        let found = self.bytes(path).and_then(|bytes| {
            let text = String::from_utf8_lossy(&bytes);
            match text.trim_matches(|c: char| c == '\0' || c.is_whitespace()) {
                "" => Err(Missing::Empty),
                text => Ok(text.to_owned()),
            }
        });
        Reading {
            path: path.to_owned(),
            found,
        }
    }

    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, Missing> {
        let found = self.read(path);
        if let Some(asked) = &self.asked {
            let mut asked = asked.borrow_mut();
            asked.files.insert(path.to_owned(), found.clone());
        }
        found
    }

    /// The names in a folder, in order.
    pub fn names(&self, path: &str) -> Result<Vec<String>, Missing> {
        let found = self.list(path);
        if let Some(asked) = &self.asked {
            let names = found
                .clone()
                .map(|names| names.into_iter().collect::<BTreeSet<_>>());
            asked.borrow_mut().folders.insert(path.to_owned(), names);
        }
        found
    }

    /// Something is there, whatever it is.
    pub fn has(&self, path: &str) -> bool {
        let place = self.place(path);
        if let (Some(asked), Ok(place)) = (&self.asked, &place) {
            let mut asked = asked.borrow_mut();
            asked.present.insert(path.to_owned(), place.is_dir());
        }
        place.is_ok() || self.not_readable.contains(path)
    }

    fn read(&self, path: &str) -> Result<Vec<u8>, Missing> {
        if self.not_readable.contains(path) {
            return Err(Missing::NotReadable);
        }
        let place = self.place(path)?;
        if self.is_live() && path == kernel_log::PATH {
            return Ok(kernel_log::read()?);
        }
        if !self.is_live() && !place.is_file() {
            return Err(Missing::Other("no plain file".to_owned()));
        }
        let mut bytes = Vec::new();
        let file = File::open(place)?;
        file.take(READ_MAX).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, path: &str) -> Result<Vec<String>, Missing> {
        if self.not_readable.contains(path) {
            return Err(Missing::NotReadable);
        }
        let entries = fs::read_dir(self.place(path)?)?;
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .collect();
        names.sort();
        Ok(names)
    }
}
