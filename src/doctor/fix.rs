//! Makes settings, and takes them back.
//!
//! Thread: main. Blocks: on the disk, for the undo file, and on services. Nothing is written outside the tree.

use std::io;

use crate::board::tree::Tree;
use crate::doctor::check::Setting;
use crate::doctor::cpus;
use crate::doctor::place;
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
    let before = place::read(tree, &setting.path);
    Done {
        path: setting.path.clone(),
        before: before
            .as_ref()
            .map_or_else(|_| String::new(), |text| chosen(text).to_owned()),
        after: setting.value.trim().to_owned(),
        result: before.map(drop),
    }
}

/// Makes a setting: notes it, writes it, reads it back. An error is of the undo file: nothing is changed without it.
pub fn apply(tree: &Tree, setting: &Setting, undo: &mut Undo) -> io::Result<Done> {
    let mut done = look(tree, setting);
    if done.result.is_err() || is_same(&setting.path, &done.before, &setting.value) {
        return Ok(done);
    }
    let before = match place::read(tree, &setting.path) {
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
        absent: place::is_absent(tree, &setting.path),
    })?;
    let text = format!("{}\n", setting.value.trim_end());
    done.result = place::write(tree, &setting.path, &text).and_then(|()| {
        let now = place::read(tree, &setting.path)?;
        if is_same(&setting.path, chosen(&now), &setting.value) {
            return Ok(());
        }
        Err(format!("it is still {}", chosen(&now)))
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
    let now = place::read(tree, &change.path);
    let same = |a: &str, b: &str| is_same(&change.path, a, b);
    let result = now.clone().and_then(|now| {
        let is_back = if change.absent {
            place::is_absent(tree, &change.path)
        } else {
            same(chosen(&now), &change.restore)
        };
        if is_back {
            return Ok(());
        }
        if !same(chosen(&now), &change.set) {
            return Err(format!(
                "somebody has set it to {} since; left alone",
                chosen(&now)
            ));
        }
        if change.absent {
            return place::remove(tree, &change.path);
        }
        // A plain file gets all of its bytes back; one of the kernel's takes a value.
        let text = if tree.is_live() && !place::is_ours(&change.path) {
            format!("{}\n", change.restore)
        } else {
            change.before.clone()
        };
        place::write(tree, &change.path, &text)
    });
    Done {
        path: change.path.clone(),
        before: now.map_or_else(|_| String::new(), |text| chosen(&text).to_owned()),
        after: change.restore.clone(),
        result,
    }
}

/// Removes our own files of a fix that is forgotten, as after a reboot. They say themselves that they are ours.
pub fn remove_forgotten(tree: &Tree) -> Vec<Done> {
    let ours = place::OUR_FILES.iter().filter_map(|path| {
        let text = place::read(tree, path).ok()?;
        (text.lines().next() == Some(place::HEADER)).then(|| Done {
            path: (*path).to_owned(),
            before: text.trim().to_owned(),
            after: String::new(),
            result: place::remove(tree, path),
        })
    });
    ours.collect()
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
fn is_same(path: &str, a: &str, b: &str) -> bool {
    if place::is_ours(path) {
        return a.trim() == b.trim();
    }
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
        let same = |a, b| is_same("proc/irq/9/smp_affinity", a, b);
        assert!(same("00000003", "3") && same("ff,00000001", "ff,1"));
        assert!(same("0-1", "0,1") && same("4\t4\t1\t7", "4 4 1 7"));
        assert!(!same("0-1", "0-2") && !same("-1", "950000") && !same("madvise", "never"));
        assert_eq!(chosen("always [madvise] never\n"), "madvise");
    }
}
