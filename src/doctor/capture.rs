//! Makes a captured tree: the files that the checks read here, without what is private, as a tape archive.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::board::tree::{Asked, CAPTURE, CAPTURE_SCHEMA, Capture, Missing};
use crate::doctor::privacy;
use crate::doctor::tar::Archive;
use crate::error::{Fault, Kind, Result};

/// What a capture holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    pub files: BTreeMap<String, Vec<u8>>,
    pub folders: BTreeSet<String>,
    pub not_readable: BTreeSet<String>,
}

/// What is kept of all that was asked of a machine.
pub fn contents(asked: &Asked) -> Contents {
    let groups = asked
        .files
        .get("proc/self/cgroup")
        .and_then(|found| found.as_ref().ok());
    let groups = groups.map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let renamed = |path: &str| privacy::path_of(&normal(path), groups.as_deref());
    let mut contents = Contents::default();
    for (path, found) in &asked.files {
        match found {
            Ok(bytes) => {
                let kept = privacy::kept(&normal(path), bytes);
                contents
                    .files
                    .extend(kept.map(|kept| (renamed(path), kept)));
            }
            Err(Missing::NotThere | Missing::Outside) => {}
            Err(_) => {
                contents.not_readable.insert(renamed(path));
            }
        }
    }
    for (path, found) in &asked.folders {
        match found {
            Ok(names) => {
                let path = renamed(path);
                if privacy::names_matter(&path) {
                    contents
                        .folders
                        .extend(names.iter().map(|name| format!("{path}/{name}")));
                }
                contents.folders.insert(path);
            }
            Err(Missing::NotReadable) => {
                contents.not_readable.insert(renamed(path));
            }
            Err(_) => {}
        }
    }
    for (path, is_folder) in &asked.present {
        if *is_folder {
            contents.folders.insert(renamed(path));
        } else {
            contents.files.entry(renamed(path)).or_default();
        }
    }
    contents.tidy();
    contents
}

impl Contents {
    /// Folders that hold something are made by that; a name cannot be both.
    fn tidy(&mut self) {
        let files: Vec<&String> = self.files.keys().collect();
        self.folders.retain(|folder| {
            let inside = format!("{folder}/");
            !self.files.contains_key(folder) && !files.iter().any(|file| file.starts_with(&inside))
        });
        let folders = self.folders.clone();
        let is_above = |path: &String| {
            let inside = format!("{path}/");
            folders.iter().any(|folder| folder.starts_with(&inside))
        };
        self.folders.retain(|folder| !is_above(folder));
    }

    fn write<W: io::Write>(&self, out: W) -> io::Result<W> {
        let mut archive = Archive::new(out);
        let said = Capture {
            schema: CAPTURE_SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            not_readable: self.not_readable.clone(),
            left_out: LEFT_OUT.map(str::to_owned).to_vec(),
        };
        archive.file(CAPTURE, &serde_json::to_vec_pretty(&said)?)?;
        for (path, bytes) in &self.files {
            archive.file(path, bytes)?;
        }
        for path in &self.folders {
            archive.folder(path)?;
        }
        archive.end()
    }
}

const LEFT_OUT: [&str; 7] = [
    "files that no check reads",
    "host name, user names, names of users' programs and of control groups",
    "serial numbers and identifiers of machine, disks and modules",
    "hardware addresses",
    "kernel arguments that do not bear on latency, with their names",
    "the kernel's log but for its beginning and the line about unknown arguments",
    "mounts but for the root's, without its device",
];

/// Writes the archive. The name's end says whether it is compressed.
pub fn write(asked: &Asked, file: &Path) -> Result<Contents> {
    let name = file
        .file_name()
        .and_then(|name| name.to_str())
        .unwrap_or_default();
    let packed = name.ends_with(".tar.gz") || name.ends_with(".tgz");
    if !packed && !name.ends_with(".tar") {
        return Err(Fault::new(
            Kind::Usage,
            format!("--capture cannot write `{}`", file.display()),
            "its name says in which form it is written: .tar or .tar.gz",
            "write a name such as my-board.tar.gz",
        ));
    }
    let contents = contents(asked);
    let written = if packed {
        let gz = GzEncoder::new(Vec::new(), Compression::default());
        contents.write(gz).and_then(GzEncoder::finish)
    } else {
        contents.write(Vec::new())
    };
    let saved = written.and_then(|bytes| fs::write(file, bytes));
    saved.map_err(|error| {
        Fault::from_io(
            format!("the capture could not be written to {}", file.display()),
            &error,
            Kind::Output,
            "choose another folder",
        )
    })?;
    Ok(contents)
}

/// A path without `..`: `a/b/../c` is `a/c`, as the archive has no links.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}
