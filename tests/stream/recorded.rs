//! Records of what other engines made of the same streams, and what comes of comparing them with ours.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Every file with records: those of the repository, and those of `REFLEXARC_RECORDED`.
pub fn records() -> Vec<PathBuf> {
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/oracles/stream/recorded");
    let made = std::env::var_os("REFLEXARC_RECORDED").map(PathBuf::from);
    let mut files = Vec::new();
    for folder in [Some(kept), made].into_iter().flatten() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            files.push(entry.unwrap().path());
        }
    }
    files.sort();
    files
}

/// The lines of a record about one subject, with their place.
pub fn cases(subject: &str, file: &Path) -> Vec<(usize, Value)> {
    let text = std::fs::read_to_string(file).unwrap();
    let lines = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .enumerate()
        .filter(|(_, line)| line["subject"] == subject)
        .collect()
}

/// What came of a comparison with one engine.
#[derive(Default)]
pub struct Compared {
    pub subject: &'static str,
    pub engine: String,
    pub cases: usize,
    pub results: usize,
    pub late: usize,
    /// Elements left out because the two are known to differ about them.
    pub set_apart: usize,
    pub differences: Vec<String>,
}

impl Compared {
    pub fn new(subject: &'static str) -> Self {
        Self {
            subject,
            ..Self::default()
        }
    }

    /// Says it, appends it to the file that `REFLEXARC_COMPARED` names, and fails if there is a difference.
    pub fn tell(self, source: &Path) {
        let Self {
            subject,
            engine,
            cases,
            results,
            late,
            set_apart,
            mut differences,
        } = self;
        if cases == 0 {
            return;
        }
        let found = differences.len();
        eprintln!(
            "{engine}, {subject}: {cases} cases, {results} results, {late} late elements, {set_apart} set apart, {found} \
             differences ({})",
            source.display()
        );
        if let Some(file) = std::env::var_os("REFLEXARC_COMPARED")
            && std::env::var_os("REFLEXARC_RECORDED").is_none_or(|made| source.starts_with(made))
        {
            let seed = std::env::var("REFLEXARC_SEED").ok();
            let line = json!({
                "engine": engine, "subject": subject, "seed": seed, "cases": cases, "results": results, "late": late,
                "set_apart": set_apart, "differences": found,
            });
            let mut options = std::fs::OpenOptions::new();
            let mut file = options.create(true).append(true).open(file).unwrap();
            writeln!(file, "{line}").unwrap();
        }
        differences.truncate(3);
        assert_eq!(found, 0, "{}", differences.join("\n"));
    }
}
