//! Applies settings that take effect at once, and takes them back.
//!
//! Thread: main. Blocks: on the disk, for the undo file. Syscalls: file system. Nothing is written outside the tree.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};

use crate::board::tree::{Missing, Tree};
use crate::doctor::check::Setting;
use crate::doctor::cpus;
use crate::doctor::undo::{Changed, Refused, Undo};
use crate::rt::plan::parse_core_list;

/// What came of a setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done {
    pub path: String,
    pub before: String,
    pub after: String,
    pub result: Result<(), String>,
}

/// Each file once, in the order of the checks.
pub fn once<'s>(settings: impl IntoIterator<Item = &'s Setting>) -> Vec<Setting> {
    let mut found: Vec<Setting> = Vec::new();
    for setting in settings {
        if !found.iter().any(|known| known.path == setting.path) {
            found.push(setting.clone());
        }
    }
    found
}

/// What would be done: the file's value now, or why it cannot be changed.
pub fn look(tree: &Tree, setting: &Setting) -> Done {
    let before = read(tree, &setting.path);
    Done {
        path: setting.path.clone(),
        before: before
            .as_ref()
            .map_or_else(|_| String::new(), |text| chosen(text).to_owned()),
        after: setting.value.clone(),
        result: before.map(drop),
    }
}

/// Makes a setting: notes it, writes it, reads it back. An error is of the undo file: nothing is changed without it.
pub fn apply(tree: &Tree, setting: &Setting, undo: &mut Undo) -> io::Result<Done> {
    let mut done = look(tree, setting);
    if done.result.is_err() || is_same(&done.before, &setting.value) {
        return Ok(done);
    }
    let before = match read(tree, &setting.path) {
        Ok(before) => before,
        Err(why) => {
            done.result = Err(why);
            return Ok(done);
        }
    };
    let earlier = undo
        .state
        .changed
        .iter()
        .find(|known| known.path == setting.path)
        .cloned();
    undo.note(Changed {
        path: setting.path.clone(),
        restore: chosen(&before).to_owned(),
        before,
        set: setting.value.clone(),
    })?;
    done.result = write(tree, &setting.path, &format!("{}\n", setting.value)).and_then(|()| {
        let now = read(tree, &setting.path)?;
        if is_same(chosen(&now), &setting.value) {
            return Ok(());
        }
        Err(format!("the kernel kept {}", chosen(&now)))
    });
    if let Err(why) = &done.result {
        let refused = Refused {
            path: setting.path.clone(),
            value: setting.value.clone(),
            why: why.clone(),
        };
        undo.refused(refused, earlier)?;
    }
    Ok(done)
}

/// Takes all changes back, the last first. What somebody else has changed since is left alone, and said.
pub fn undo(tree: &Tree, mut undo: Undo) -> io::Result<Vec<Done>> {
    let mut all = Vec::new();
    let mut left = Vec::new();
    for change in std::mem::take(&mut undo.state.changed).into_iter().rev() {
        let done = take_back(tree, &change);
        // What cannot be written now may be later, as root.
        if done.result.as_ref().is_err_and(|why| why.contains("root")) {
            left.push(change);
        }
        all.push(done);
    }
    left.reverse();
    undo.state.changed = left;
    undo.close()?;
    Ok(all)
}

fn take_back(tree: &Tree, change: &Changed) -> Done {
    let now = read(tree, &change.path);
    let result = now.clone().and_then(|now| {
        if is_same(chosen(&now), &change.restore) {
            return Ok(());
        }
        if !is_same(chosen(&now), &change.set) {
            return Err(format!(
                "somebody has set it to {} since; left alone",
                chosen(&now)
            ));
        }
        // A file of a captured tree gets all of its bytes back; one of the kernel's takes a value.
        let text = if tree.is_live() {
            format!("{}\n", change.restore)
        } else {
            change.before.clone()
        };
        write(tree, &change.path, &text)
    });
    Done {
        path: change.path.clone(),
        before: now.map_or_else(|_| String::new(), |text| chosen(&text).to_owned()),
        after: change.restore.clone(),
        result,
    }
}

fn read(tree: &Tree, path: &str) -> Result<String, String> {
    let bytes = tree.bytes(path).map_err(|missing| missing.to_string())?;
    String::from_utf8(bytes).map_err(|_| "not a text".to_owned())
}

fn write(tree: &Tree, path: &str, text: &str) -> Result<(), String> {
    let place = tree.place(path).map_err(|missing| missing.to_string())?;
    // A file of the kernel's is written in one call, and never made longer or shorter by us.
    let written = if tree.is_live() {
        OpenOptions::new()
            .write(true)
            .open(place)
            .and_then(|mut file| file.write_all(text.as_bytes()))
    } else {
        fs::write(place, text)
    };
    written.map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied if !is_root() => "not writable without root".to_owned(),
        _ => Missing::Other(error.to_string()).to_string(),
    })
}

fn is_root() -> bool {
    // SAFETY: geteuid takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// The value that a file shows: the word in brackets, or all of it.
fn chosen(text: &str) -> &str {
    let text = text.trim();
    let in_brackets = text
        .split_once('[')
        .and_then(|(_, rest)| rest.split_once(']'));
    in_brackets.map_or(text, |(word, _)| word)
}

/// The same value, though the kernel may show it in another form: masks with zeros before, lists with ranges, tabs.
fn is_same(a: &str, b: &str) -> bool {
    let words = |text: &str| {
        text.split_whitespace()
            .map(str::to_owned)
            .collect::<Vec<_>>()
    };
    let listed = |text: &str| text.contains(['-', ',']).then(|| parse_core_list(text));
    words(a) == words(b)
        || (cpus::of_mask(a).is_some() && cpus::of_mask(a) == cpus::of_mask(b))
        || (listed(a).is_some() && listed(a).as_deref() == Some(&parse_core_list(b)))
        || (listed(b).is_some() && listed(b).as_deref() == Some(&parse_core_list(a)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_form_of_a_value_is_the_same_value() {
        assert!(is_same("00000003", "3") && is_same("ff,00000001", "ff,1"));
        assert!(is_same("0-1", "0,1") && is_same("4\t4\t1\t7", "4 4 1 7"));
        assert!(!is_same("0-1", "0-2") && !is_same("-1", "950000") && !is_same("madvise", "never"));
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
    }
}
