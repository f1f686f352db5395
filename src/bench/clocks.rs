//! Clocks, locked for a bench and always set back: at its end, after a signal, and after a kill by what was noted before the
//! change.
//!
//! Thread: main. Blocks: on the disk, and on the board's own tool.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::{Deserialize, Serialize};

use crate::bench::child;
use crate::board::file::Board;
use crate::board::tree::Tree;
use crate::doctor::check::Setting;
use crate::doctor::fix;
use crate::doctor::undo::{self, Undo};
use crate::error::{Fault, Kind, Result};

/// Which settings a bench changed, in the form of the doctor's fixes.
const UNDO: &str = "bench-undo.json";
/// Which tool a bench called, and where that tool keeps what was before.
const TOOL: &str = "run/reflexarc/bench-clocks.json";
const STORE: &str = "run/reflexarc/bench-clocks.store";
const LOCK: &str = "bench.lock";

/// A board's own tool that was called.
#[derive(Debug, Serialize, Deserialize)]
struct Called {
    tool: PathBuf,
    store: PathBuf,
}

/// Only one bench at a time, or each would measure the other, and take back what the other has set.
#[derive(Debug)]
pub struct OnlyOne(#[expect(dead_code, reason = "held, never read")] File);

impl OnlyOne {
    pub fn hold(tree: &Tree) -> Result<Self> {
        let mut refusal = io::Error::from(io::ErrorKind::NotFound);
        for place in undo::places(tree, LOCK).into_iter().chain(own_place(tree)) {
            let folder = place.parent().unwrap_or(Path::new("/"));
            let opened = fs::create_dir_all(folder).and_then(|()| File::create(&place));
            match opened {
                Ok(file) => {
                    return match file.try_lock() {
                        Ok(()) => Ok(Self(file)),
                        Err(fs::TryLockError::WouldBlock) => Err(Fault::new(
                            Kind::Busy,
                            "another bench runs on this machine",
                            format!("it holds {}", place.display()),
                            "wait for its end; two at a time would measure each other",
                        )),
                        Err(fs::TryLockError::Error(e)) => Err(no_lock(&e)),
                    };
                }
                Err(error) => refusal = error,
            }
        }
        Err(no_lock(&refusal))
    }
}

/// For a user without a runtime folder, who cannot change clocks anyway.
fn own_place(tree: &Tree) -> Option<PathBuf> {
    // SAFETY: geteuid takes nothing and cannot fail.
    let user = unsafe { libc::geteuid() };
    let folder = std::env::temp_dir().join(format!("reflexarc-{user}"));
    tree.is_live().then(|| folder.join(LOCK))
}

fn no_lock(error: &io::Error) -> Fault {
    Fault::from_io(
        "it cannot be made sure that no other bench runs",
        error,
        Kind::Output,
        "run it as root, or with XDG_RUNTIME_DIR set",
    )
}

/// Clocks that are locked. Dropped, it sets them back.
#[derive(Debug)]
pub struct Locked {
    root: PathBuf,
    /// What was set, in words.
    pub set: Vec<String>,
    is_held: bool,
}

impl Locked {
    /// Locks them: by the board's own tool where its file names one, else by the frequency governor of every core.
    pub fn lock(tree: &Tree, board: Option<&Board>) -> Result<Self> {
        let mut locked = Self {
            root: tree.root().to_owned(),
            set: Vec::new(),
            is_held: true,
        };
        let tool = board.and_then(|board| board.power.clocks.as_ref());
        match tool.map(|fact| fact.value.as_str()) {
            Some(tool) => locked.call(tree, tool)?,
            None => locked.set_governors(tree)?,
        }
        Ok(locked)
    }

    /// `jetson_clocks --store FILE; jetson_clocks`. What is noted first: without the note nothing is changed.
    fn call(&mut self, tree: &Tree, name: &str) -> Result<()> {
        let Some(tool) = child::find(name) else {
            return Err(Fault::new(
                Kind::Tool,
                format!("the clocks cannot be locked without {name}"),
                "the board's file names it, and it is in no folder of PATH",
                "install it (it comes with NVIDIA's release), or leave --lock-clocks out",
            ));
        };
        let store = tree.root().join(STORE);
        let called = Called {
            tool: tool.clone(),
            store: store.clone(),
        };
        let refuse = |why: String| {
            Fault::new(
                Kind::Permission,
                format!("{name} does not lock the clocks"),
                why,
                "run the bench as root, or leave --lock-clocks out",
            )
        };
        let note = tree.root().join(TOOL);
        let folder = note.parent().unwrap_or(Path::new("/"));
        // Its own form, so that an older file of another boot is never restored.
        let _ = fs::remove_file(&store);
        fs::create_dir_all(folder).map_err(|e| refuse(e.to_string()))?;
        run(&tool, &["--store".as_ref(), store.as_os_str()]).map_err(refuse)?;
        let text = serde_json::to_vec_pretty(&called).expect("it has only texts");
        fs::write(&note, text).map_err(|e| refuse(e.to_string()))?;
        run(&tool, &[]).map_err(refuse)?;
        self.set.push(format!("{name}, after {name} --store"));
        Ok(())
    }

    fn set_governors(&mut self, tree: &Tree) -> Result<()> {
        let mut undo: Option<Undo> = None;
        for setting in governors(tree) {
            let undo = match &mut undo {
                Some(undo) => undo,
                none => none.insert(Undo::open(tree, UNDO).map_err(|e| not_noted(&e))?),
            };
            let done = fix::apply(tree, &setting, undo).map_err(|e| not_noted(&e))?;
            if let Err(why) = done.result {
                return Err(Fault::new(
                    Kind::Permission,
                    format!("{} could not be set to {}", done.path, done.after),
                    why,
                    "run the bench as root, or leave --lock-clocks out",
                ));
            }
            self.set.push(format!(
                "{}: {} instead of {}",
                done.path, done.after, done.before
            ));
        }
        if self.set.is_empty() {
            let said = "nothing: every governor is performance already, or the kernel does not scale the frequency here";
            self.set.push(said.to_owned());
        }
        Ok(())
    }

    /// Sets them back. Gives what could not be set back, in words.
    pub fn restore(&mut self) -> Vec<String> {
        if !std::mem::take(&mut self.is_held) {
            return Vec::new();
        }
        take_back(&Tree::new(&self.root)).1
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        self.restore();
    }
}

/// Sets back what a bench that was killed had set. Gives what was set back, and what could not be, in words.
pub fn take_back(tree: &Tree) -> (Vec<String>, Vec<String>) {
    let (mut back, mut left) = (Vec::new(), Vec::new());
    let note = tree.root().join(TOOL);
    if let Ok(text) = fs::read(&note) {
        let restored = serde_json::from_slice::<Called>(&text)
            .map_err(|e| format!("{} is damaged: {e}", note.display()))
            .and_then(|called| {
                run(
                    &called.tool,
                    &["--restore".as_ref(), called.store.as_os_str()],
                )?;
                let _ = fs::remove_file(&called.store);
                Ok(called.tool.display().to_string())
            });
        match restored {
            Ok(tool) => {
                let _ = fs::remove_file(&note);
                back.push(format!("{tool} --restore"));
            }
            Err(why) => left.push(why),
        }
    }
    match Undo::existing(tree, UNDO) {
        Ok(None) => {}
        Err(error) => left.push(format!("what was changed cannot be read: {error}")),
        Ok(Some(undo)) => match fix::undo(tree, undo) {
            Err(error) => left.push(format!("what was changed cannot be read: {error}")),
            Ok(done) => {
                for one in done {
                    match one.result {
                        Ok(()) => back.push(format!("{}: {}", one.path, one.after)),
                        Err(why) => left.push(format!("{}: {why}", one.path)),
                    }
                }
            }
        },
    }
    (back, left)
}

/// Of every core that has another governor.
fn governors(tree: &Tree) -> Vec<Setting> {
    let folder = "sys/devices/system/cpu";
    let names = tree.names(folder).unwrap_or_default();
    let cores = names.iter().filter(|name| {
        name.strip_prefix("cpu")
            .is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    });
    cores
        .map(|name| format!("{folder}/{name}/cpufreq/scaling_governor"))
        .filter(|path| {
            let now = tree.text(path).found;
            now.is_ok_and(|now| now != "performance")
        })
        .map(|path| Setting::new(path, "performance"))
        .collect()
}

fn run(tool: &Path, arguments: &[&std::ffi::OsStr]) -> Result<(), String> {
    let output = Command::new(tool)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| e.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(format!(
        "{} {}: {}",
        tool.display(),
        output.status,
        said.trim()
    ))
}

fn not_noted(error: &io::Error) -> Fault {
    Fault::from_io(
        "what the clocks were cannot be noted, so they are not changed",
        error,
        Kind::Output,
        "run the bench as root, or leave --lock-clocks out",
    )
}
