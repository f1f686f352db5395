//! The board of a run: named, or found by itself. On an unknown machine the run goes on with the automatic plan, and
//! says why.
//!
//! Thread: main, before the run.

use std::path::Path;

use crate::board::detect::detect;
use crate::board::evidence::Evidence;
use crate::board::file::{BoardFile, Origin};
use crate::board::registry::{self, Registry};
use crate::error::Result;
use crate::rt::plan::{Machine, ThreadsConfig};

/// What came of `--board`.
#[derive(Clone, Debug)]
pub struct Chosen {
    /// The board's name; None: it is not known.
    pub name: Option<String>,
    /// Its plan; None: the configuration's stays.
    pub threads: Option<ThreadsConfig>,
    /// What was found and what is done, a line for each, for people.
    pub said: String,
}

/// The name of whichever board this machine is.
pub const AUTO: &str = "auto";

impl Chosen {
    /// The configuration says itself where threads run.
    pub fn leave_to_configuration(&mut self) {
        if self.threads.take().is_some() {
            let name = self.name.as_deref().unwrap_or_default();
            self.said = format!(
                "board: {name}, found by itself; the configuration has [threads] of its own, which are used in place of the board's plan.\n"
            );
        }
    }
}

/// `name` is a board's, the path of a board file, or `auto`.
pub fn choose(name: &str, machine: &Machine) -> Result<Chosen> {
    if name != AUTO {
        let file = registry::find(name)?;
        file.check(machine)?;
        return Ok(take(&file, format!("board: {}", file.board.name)));
    }
    auto(Path::new("/"), machine)
}

/// Finds the board of the machine below `root`. Not known, or its plan does not fit: that is said, and no plan given.
pub fn auto(root: &Path, machine: &Machine) -> Result<Chosen> {
    let boards = Registry::load()?.boards;
    let detection = detect(&boards, Evidence::read(root));
    let Some(found) = &detection.found else {
        return Ok(Chosen {
            name: None,
            threads: None,
            said: format!(
                "board: unknown, since {}. The plan follows from the machine; `reflexarc board detect` shows what was read.\n",
                detection.why
            ),
        });
    };
    let known = boards.iter().find(|file| file.board.name == *found);
    let file = known.expect("a board is found among the boards that were compared");
    if let Err(fault) = file.check(machine) {
        return Ok(Chosen {
            name: Some(found.clone()),
            threads: None,
            said: format!(
                "board: {found}, found by itself ({}). Its plan does not fit ({}, and {}), so the plan follows from the machine.\n",
                detection.why, fault.what, fault.why
            ),
        });
    }
    let said = format!("board: {found}, found by itself ({})", detection.why);
    Ok(take(file, said))
}

fn take(file: &BoardFile, said: String) -> Chosen {
    let from = match &file.origin {
        Origin::BuiltIn => "built in".to_owned(),
        Origin::File(path) => path.display().to_string(),
    };
    Chosen {
        name: Some(file.board.name.clone()),
        threads: Some(file.board.plan()),
        said: format!("{said}; its thread plan is used ({from}).\n"),
    }
}
