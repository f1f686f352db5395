//! What `--fix` changed, so that `--undo` can take it back: written before each change, so that a fix that is killed
//! half way is undone as well.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::board::tree::Tree;

pub const SCHEMA: &str = "reflexarc-undo/1";
/// Below a root. It does not outlive a reboot, and neither do the settings; a file of our own does, and says so itself.
const FOLDER: &str = "run/reflexarc";
/// Of the doctor's fixes. Others note theirs in files of their own.
pub const DOCTOR: &str = "doctor-undo.json";

/// A setting that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Changed {
    /// From the root; or `systemd:UNIT`.
    pub path: String,
    /// All that the file said before.
    pub before: String,
    /// What to write to have that again.
    pub restore: String,
    /// What was written.
    pub set: String,
    /// It is a file that was not there, and has to go.
    #[serde(default)]
    pub absent: bool,
}

/// A setting that the kernel did not take.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    pub path: String,
    pub value: String,
    pub why: String,
}

/// The contents of the file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    pub schema: String,
    /// In the order in which they were made.
    pub changed: Vec<Changed>,
    pub refused: Vec<Refused>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            schema: SCHEMA.to_owned(),
            changed: Vec::new(),
            refused: Vec::new(),
        }
    }
}

/// Where the file may lie: of a captured tree inside it, else in /run or, without the right to that, in the user's own.
pub fn places(tree: &Tree, file: &str) -> Vec<PathBuf> {
    let mut places = vec![tree.root().join(FOLDER).join(file)];
    if tree.is_live()
        && let Some(own) = std::env::var_os("XDG_RUNTIME_DIR")
    {
        places.push(Path::new(&own).join("reflexarc").join(file));
    }
    places
}

/// What the last fixes changed: the file's name, and what it says.
pub fn last(tree: &Tree) -> Option<(String, State)> {
    // Through the tree first, so that a capture has it.
    let path = format!("{FOLDER}/{DOCTOR}");
    if let Ok(bytes) = tree.bytes(&path)
        && let Ok(state) = serde_json::from_slice(&bytes)
    {
        return Some((path, state));
    }
    places(tree, DOCTOR).into_iter().skip(1).find_map(|place| {
        let state = serde_json::from_slice(&fs::read(&place).ok()?).ok()?;
        Some((place.display().to_string(), state))
    })
}

/// The file, open for a fix or an undo.
#[derive(Debug)]
pub struct Undo {
    place: PathBuf,
    pub state: State,
}

impl Undo {
    /// The one that is there.
    pub fn existing(tree: &Tree, file: &str) -> io::Result<Option<Self>> {
        for place in places(tree, file) {
            match fs::read(&place) {
                Ok(bytes) => {
                    let state = serde_json::from_slice(&bytes)?;
                    return Ok(Some(Self { place, state }));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// The one that is there, or a new one in the first place that can be written.
    pub fn open(tree: &Tree, file: &str) -> io::Result<Self> {
        if let Some(undo) = Self::existing(tree, file)? {
            return Ok(undo);
        }
        let places = places(tree, file);
        let mut refusal = io::Error::from(io::ErrorKind::NotFound);
        for place in places {
            let fresh = Self {
                place,
                state: State::default(),
            };
            match fresh.save() {
                Ok(()) => return Ok(fresh),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    pub fn place(&self) -> &Path {
        &self.place
    }

    /// Notes a change that is about to be made. Of two changes of one file the first knows what was before.
    pub fn note(&mut self, change: Changed) -> io::Result<()> {
        match self
            .state
            .changed
            .iter_mut()
            .find(|known| known.path == change.path)
        {
            Some(known) => known.set = change.set,
            None => self.state.changed.push(change),
        }
        self.save()
    }

    /// The kernel did not take it, so there is nothing to undo, unless an earlier fix changed the same file.
    pub fn refused(&mut self, refused: Refused, earlier: Option<Changed>) -> io::Result<()> {
        self.state
            .changed
            .retain(|known| known.path != refused.path);
        self.state.changed.extend(earlier);
        self.state
            .refused
            .retain(|known| known.path != refused.path);
        self.state.refused.push(refused);
        self.save()
    }

    /// On the disk before anything is changed; in one step, so that it is whole or the old one.
    fn save(&self) -> io::Result<()> {
        let folder = self.place.parent().unwrap_or(Path::new("/"));
        fs::create_dir_all(folder)?;
        let fresh = self.place.with_extension("partial");
        let mut file = File::create(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(&self.state)?)?;
        file.sync_all()?;
        fs::rename(fresh, &self.place)
    }

    /// All has been taken back: the file goes, and its folder if nothing else is in it.
    pub fn close(self) -> io::Result<()> {
        if !self.state.changed.is_empty() {
            return self.save();
        }
        fs::remove_file(&self.place)?;
        // Others may have files there, or in a captured tree's run/; `remove_dir` then leaves them alone.
        for folder in self.place.ancestors().skip(1).take(2) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(())
    }
}
