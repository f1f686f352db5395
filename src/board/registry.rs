//! All boards that are known: the project's own, which are built in, and files on disk, which come before them.

use std::fs;
use std::path::{Path, PathBuf};

use crate::board::file::BoardFile;
use crate::error::{Fault, Kind, Result};

/// The project's boards: name and text.
const BUILT_IN: [(&str, &str); 8] = [
    (
        "jetson-orin-nano",
        include_str!("../../boards/jetson-orin-nano/board.toml"),
    ),
    (
        "jetson-orin-nx",
        include_str!("../../boards/jetson-orin-nx/board.toml"),
    ),
    (
        "jetson-agx-orin",
        include_str!("../../boards/jetson-agx-orin/board.toml"),
    ),
    (
        "jetson-thor",
        include_str!("../../boards/jetson-thor/board.toml"),
    ),
    (
        "raspberry-pi-5",
        include_str!("../../boards/raspberry-pi-5/board.toml"),
    ),
    ("rock-5b", include_str!("../../boards/rock-5b/board.toml")),
    ("x86-64", include_str!("../../boards/x86-64/board.toml")),
    (
        "qemu-virt-aarch64",
        include_str!("../../boards/qemu-virt-aarch64/board.toml"),
    ),
];

/// Where boards of a user or of a package stand, the first before the second. Each board is a folder there.
const FOLDERS: [&str; 2] = ["boards", "/usr/share/reflexarc/boards"];

/// The boards, the project's first.
#[derive(Clone, Debug)]
pub struct Registry {
    pub boards: Vec<BoardFile>,
}

impl Registry {
    /// The project's boards alone.
    pub fn built_in() -> Result<Self> {
        let boards = BUILT_IN
            .iter()
            .map(|(name, text)| BoardFile::built_in(text, &built_in_name(name)));
        Ok(Self {
            boards: boards.collect::<Result<_>>()?,
        })
    }

    /// The project's boards and those on disk; a file on disk stands in the place of a built-in board of its name.
    pub fn load() -> Result<Self> {
        Self::with(&FOLDERS.map(Path::new))
    }

    /// As `load`, with the folders to look in, the first before the second.
    pub fn with(folders: &[&Path]) -> Result<Self> {
        let mut registry = Self::built_in()?;
        for folder in folders.iter().rev() {
            for path in board_files(folder) {
                let file = BoardFile::read(&path)?;
                let name = &file.board.name;
                let known = registry.boards.iter().position(|b| b.board.name == *name);
                match known {
                    Some(at) => registry.boards[at] = file,
                    None => registry.boards.push(file),
                }
            }
        }
        Ok(registry)
    }
}

/// One board by name, or by the path of its file or folder. Only that file has to be right.
pub fn find(name: &str) -> Result<BoardFile> {
    let path = Path::new(name);
    if name.contains('/') || path.extension().is_some_and(|e| e == "toml") {
        let inside = path.join("board.toml");
        return BoardFile::read(if path.is_dir() { &inside } else { path });
    }
    let on_disk = FOLDERS
        .iter()
        .map(|folder| Path::new(folder).join(name).join("board.toml"))
        .find(|path| path.is_file());
    if let Some(path) = on_disk {
        return BoardFile::read(&path);
    }
    match BUILT_IN.iter().find(|(known, _)| *known == name) {
        Some((known, text)) => BoardFile::built_in(text, &built_in_name(known)),
        None => Err(unknown(name)),
    }
}

fn built_in_name(name: &str) -> String {
    format!("boards/{name}/board.toml (built in)")
}

/// In the order of their names. A folder that is not there has none.
fn board_files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(entry.ok()?.path().join("board.toml")))
        .filter(|path| path.is_file())
        .collect();
    paths.sort();
    paths
}

fn unknown(name: &str) -> Fault {
    let on_disk = FOLDERS.iter().flat_map(|f| board_files(Path::new(f)));
    let mut known: Vec<String> = on_disk
        .filter_map(|path| Some(path.parent()?.file_name()?.to_str()?.to_owned()))
        .chain(BUILT_IN.iter().map(|(name, _)| (*name).to_owned()))
        .collect();
    known.sort();
    known.dedup();
    Fault::new(
        Kind::Config,
        format!("no board is called `{name}`"),
        format!(
            "it is not built in, and there is no {name}/board.toml in {}",
            FOLDERS.join("/ or ") + "/"
        ),
        format!(
            "use one of: {}; or auto; or the path of a board file; or leave --board out",
            known.join(", ")
        ),
    )
}
