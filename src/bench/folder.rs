//! Where the results of a bench lie.

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use sha2::{Digest as _, Sha256};

use crate::bench::data::{Bench, SCHEMA};
use crate::error::{Fault, Kind, Result};
use crate::telemetry::report::utc;

/// The folder of a bench.
#[derive(Debug)]
pub struct BenchFolder {
    pub path: PathBuf,
    /// Where the link `latest` goes.
    link_in: Option<PathBuf>,
}

impl BenchFolder {
    /// Makes it before anything is measured: nobody shall wait for minutes to learn that the disk is full.
    pub fn open(asked: Option<&Path>) -> Result<Self> {
        let (path, link_in) = match asked {
            Some(path) => (path.to_owned(), None),
            None => {
                let now = utc::compact(SystemTime::now());
                let base = PathBuf::from("bench");
                (
                    base.join(format!("{now}-{}", std::process::id())),
                    Some(base),
                )
            }
        };
        let proof = path.join(".proof");
        fs::create_dir_all(path.join("parts"))
            .and_then(|()| fs::write(&proof, "reflexarc\n"))
            .and_then(|()| fs::remove_file(&proof))
            .map_err(|e| unwritable(&path, &e))?;
        // An older result there is no result of this bench, should it be killed.
        for old in ["bench.json", "bench.html"] {
            let _ = fs::remove_file(path.join(old));
        }
        Ok(Self { path, link_in })
    }

    /// Where the report of a part goes, and the same as `bench.json` names it.
    pub fn of_part(&self, name: &str) -> (PathBuf, String) {
        let below = format!("parts/{name}");
        (self.path.join(&below), below)
    }

    /// Writes a file at once or not at all.
    pub fn keep(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let partial = self.path.join(format!(".{name}.partial"));
        let write = || -> io::Result<()> {
            let mut file = fs::File::create(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            fs::rename(&partial, self.path.join(name))
        };
        write().map_err(|e| unwritable(&self.path, &e))
    }

    /// Writes `bench.json`, which is the last of all files.
    pub fn finish(&self, bench: &Bench) -> Result<String> {
        let json = json(bench);
        self.keep("bench.json", json.as_bytes())?;
        if let (Some(base), Some(name)) = (&self.link_in, self.path.file_name()) {
            let link = base.join("latest");
            // An old file system knows no links; that takes nothing from the bench.
            let _ = fs::remove_file(&link);
            let _ = std::os::unix::fs::symlink(name, link);
        }
        Ok(json)
    }
}

/// Reads a `bench.json`, or the one in a folder, and checks that it is one that this version understands.
pub fn load(path: &Path) -> Result<Bench> {
    let file = if path.is_dir() {
        path.join("bench.json")
    } else {
        path.to_owned()
    };
    let what = || format!("no bench could be read from {}", file.display());
    let fix = "name a bench.json, or the folder that `reflexarc bench` wrote";
    let text = fs::read(&file).map_err(|e| Fault::from_io(what(), &e, Kind::BadInput, fix))?;
    let broken = |why: String| Fault::new(Kind::BadInput, what(), why, fix);
    let bench: Bench = serde_json::from_slice(&text).map_err(|e| broken(e.to_string()))?;
    if bench.schema != SCHEMA {
        let why = format!(
            "its schema is `{}`; this version reads `{SCHEMA}`",
            bench.schema
        );
        return Err(broken(why));
    }
    Ok(bench)
}

/// The text of `bench.json`.
pub fn json(bench: &Bench) -> String {
    let text = serde_json::to_string_pretty(bench);
    text.expect("it has only texts and numbers") + "\n"
}

/// The SHA-256 of a file, in hexadecimal digits.
pub fn sha256(path: &Path) -> io::Result<String> {
    let mut file = fs::File::open(path)?;
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    // BOUND: the file's length.
    loop {
        match file.read(&mut piece)? {
            0 => break,
            n => hash.update(&piece[..n]),
        }
    }
    Ok(hash.finalize().iter().map(|b| format!("{b:02x}")).collect())
}

fn unwritable(path: &Path, error: &io::Error) -> Fault {
    Fault::from_io(
        format!("nothing can be written to {}", path.display()),
        error,
        Kind::Output,
        "free some space, or choose another folder with --out DIR",
    )
}
