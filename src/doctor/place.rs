//! What a setting of `--fix` is written to: a file of the kernel's, a file of this project's own below `etc/`, or a service.
//!
//! Thread: main. Blocks: on the disk, and on systemd. Syscalls: file system, `systemctl`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::board::tree::{Missing, Tree};

/// The first line of a file of our own: it may be removed although nobody remembers having written it.
pub const HEADER: &str =
    "# Written by `reflexarc doctor --fix`; `reflexarc doctor --undo` removes it.";

/// Before the name of a service in a setting's path; its values are `active` and `inactive`.
pub const SERVICE: &str = "systemd:";

/// Our own files: they stay after a reboot, when what `--fix` changed is forgotten.
pub const OUR_FILES: [&str; 1] = ["etc/security/limits.d/reflexarc.conf"];

/// The file is made and removed, not only written.
pub fn is_ours(path: &str) -> bool {
    OUR_FILES.contains(&path)
}

/// What a setting says now. A file of our own that is not there says nothing.
pub fn read(tree: &Tree, path: &str) -> Result<String, String> {
    if let Some(unit) = path.strip_prefix(SERVICE) {
        return systemctl(tree, &["is-active", unit]).map(|(_, said)| said);
    }
    match tree.bytes(path) {
        Ok(bytes) => String::from_utf8(bytes).map_err(|_| "not a text".to_owned()),
        Err(Missing::NotThere) if is_ours(path) => Ok(String::new()),
        Err(missing) => Err(missing.to_string()),
    }
}

/// A file of our own that is not there yet.
pub fn is_absent(tree: &Tree, path: &str) -> bool {
    is_ours(path) && tree.bytes(path) == Err(Missing::NotThere)
}

/// Writes a value, or all of a file of our own.
pub fn write(tree: &Tree, path: &str, text: &str) -> Result<(), String> {
    if let Some(unit) = path.strip_prefix(SERVICE) {
        let verb = if text.trim() == "active" {
            "start"
        } else {
            "stop"
        };
        let (done, said) = systemctl(tree, &[verb, unit])?;
        return if done { Ok(()) } else { Err(said) };
    }
    if is_ours(path) {
        let file = own_place(tree, path)?;
        return fs::write(file, text).map_err(|error| refusal(&error));
    }
    let file = tree.place(path).map_err(|missing| missing.to_string())?;
    // A file of the kernel's is written in one call, and never made longer or shorter by us.
    let written = if tree.is_live() {
        OpenOptions::new()
            .write(true)
            .open(file)
            .and_then(|mut file| file.write_all(text.as_bytes()))
    } else {
        fs::write(file, text)
    };
    written.map_err(|error| refusal(&error))
}

/// Removes a file of our own.
pub fn remove(tree: &Tree, path: &str) -> Result<(), String> {
    fs::remove_file(own_place(tree, path)?).map_err(|error| refusal(&error))
}

/// Where a file lies or would lie: its folder is there, and inside the tree. A link in its place is not followed.
fn own_place(tree: &Tree, path: &str) -> Result<PathBuf, String> {
    let (folder, name) = path.rsplit_once('/').unwrap_or(("", path));
    let folder = tree.place(folder).map_err(|missing| missing.to_string())?;
    let file = folder.join(name);
    if file.is_symlink() {
        return Err("a link is in its place".to_owned());
    }
    Ok(file)
}

/// Whether it succeeded, and what it said.
fn systemctl(tree: &Tree, words: &[&str]) -> Result<(bool, String), String> {
    if !tree.is_live() {
        return Err("a service is stopped on the machine itself only".to_owned());
    }
    let mut command = Command::new("systemctl");
    let output = command.args(words).stdin(Stdio::null()).output();
    let output = output.map_err(|error| format!("systemctl: {error}"))?;
    let said = if output.stdout.is_empty() {
        output.stderr
    } else {
        output.stdout
    };
    let said = String::from_utf8_lossy(&said).trim().to_owned();
    Ok((output.status.success(), said))
}

fn refusal(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied if !is_root() => "not writable without root".to_owned(),
        _ => Missing::Other(error.to_string()).to_string(),
    }
}

fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}
