//! The doctor in one paragraph, for the report of a run: what the passive checks found.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::board::tree::Tree;
use crate::doctor::check::Status;
use crate::doctor::command;
use crate::doctor::examination::{Counts, Examination};
use crate::doctor::view::View;

/// Part of `environment` in `report.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Summary {
    /// The board by whose file it was judged; empty: none.
    pub board: String,
    /// Of the passive checks: those that read files and try nothing.
    pub checks: Counts,
    /// Those that failed: `K03 isolated cores: none`.
    pub failed: Vec<String>,
    /// Ids of those that warn.
    pub warned: Vec<String>,
    pub unknown: Vec<String>,
}

impl Summary {
    /// Looks at this machine, in some tens of milliseconds. `board` is the run's; without one it is found.
    pub fn of_this_machine(board: Option<&str>) -> Self {
        let tree = Tree::new(Path::new("/"));
        // A report is not withheld because a board file is wrong.
        let board = command::board(&tree, board.unwrap_or("auto")).unwrap_or_default();
        let view = View::new(&tree, board.file.as_ref().map(|file| &file.board));
        Self::of(&Examination::passive(&view), board.name())
    }

    fn of(examination: &Examination, board: &str) -> Self {
        let with = |status| {
            examination
                .findings
                .iter()
                .filter(move |f| f.outcome.status == status)
        };
        let ids = |status| with(status).map(|f| f.check.id.to_owned()).collect();
        let line = |f: &crate::doctor::examination::Finding| {
            format!("{} {}: {}", f.check.id, f.check.title, f.outcome.effective)
        };
        Self {
            board: board.to_owned(),
            checks: examination.counts,
            failed: with(Status::Fail).map(line).collect(),
            warned: ids(Status::Warn),
            unknown: ids(Status::Unknown),
        }
    }
}
