//! `reflexarc board list`, `show`, `detect` and `check`.

use std::path::Path;

use crate::board::detect;
use crate::board::evidence::Evidence;
use crate::board::file::BoardFile;
use crate::board::lint::lint;
use crate::board::registry::{self, Registry};
use crate::board::show;
use crate::error::{Fault, Kind, Result};

/// What a command prints, and the fault that it then ends with.
#[derive(Debug)]
pub struct Answer {
    pub text: String,
    pub fault: Option<Fault>,
}

impl From<String> for Answer {
    fn from(text: String) -> Self {
        Self { text, fault: None }
    }
}

/// `board list`.
pub fn list(markdown: bool) -> Result<Answer> {
    let boards = Registry::load()?.boards;
    let text = if markdown {
        show::markdown(&boards)
    } else {
        show::list(&boards)
    };
    Ok(text.into())
}

/// `board show NAME`.
pub fn show(name: &str) -> Result<Answer> {
    Ok(show::show(&registry::find(name)?).into())
}

/// `board detect`. An unknown board is an answer with its evidence, and a fault for scripts.
pub fn detect(root: &Path) -> Result<Answer> {
    if !root.is_dir() {
        return Err(Fault::new(
            Kind::BadInput,
            format!("{} is no folder", root.display()),
            "a captured tree has proc/ and sys/ below one folder",
            "name that folder, or leave --root out to read this machine",
        ));
    }
    let detection = detect::detect(&Registry::load()?.boards, Evidence::read(root));
    let text = show::detection(&detection, &root.display().to_string());
    let fault = detection.found.is_none().then(|| {
        Fault::new(
            Kind::NoDevice,
            "the board is not known",
            detection.why,
            "name the nearest with --board, or add a board file (boards/README.md); a run without --board \
             plans from the machine",
        )
    });
    Ok(Answer { text, fault })
}

/// `board check`.
pub fn check(file: Option<&Path>) -> Result<Answer> {
    let mut boards = Registry::load()?.boards;
    if let Some(path) = file {
        let folder = path.join("board.toml");
        let file = BoardFile::read(if path.is_dir() { &folder } else { path })?;
        boards.retain(|known| known.board.name != file.board.name);
        boards.push(file);
    }
    let mistakes = lint(&boards);
    if mistakes.is_empty() {
        return Ok(format!("{} boards, no mistake", boards.len()).into());
    }
    let said: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    let fault = Fault::new(
        Kind::Config,
        format!("{} mistakes in board files", mistakes.len()),
        "each is shown above with its file and line",
        "correct them",
    );
    Ok(Answer {
        text: said.join("\n"),
        fault: Some(fault),
    })
}
