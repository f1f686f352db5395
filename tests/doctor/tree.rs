//! Trees that look like the root of a machine: built file by file, or read from a fixture.

use std::fs;
use std::path::Path;

use reflexarc::board::file::Board;
use reflexarc::board::registry::Registry;
use reflexarc::board::tree::Tree as Files;
use reflexarc::doctor::check::{Outcome, Status};
use reflexarc::doctor::checks;
use reflexarc::doctor::examination::Examination;
use reflexarc::doctor::view::View;
use tempfile::TempDir;

/// A folder that looks like the root of a machine.
pub struct Tree(TempDir);

impl Tree {
    pub fn empty() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Four cores, of which 2-3 are asked to be isolated.
    pub fn four_cores() -> Self {
        Self::empty()
            .with("sys/devices/system/cpu/online", "0-3\n")
            .with(
                "proc/cmdline",
                "quiet isolcpus=managed_irq,domain,2-3 nohz_full=2-3\n",
            )
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn with(self, path: &str, bytes: impl AsRef<[u8]>) -> Self {
        let place = self.path().join(path);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, bytes).unwrap();
        self
    }

    pub fn folder(self, path: &str) -> Self {
        fs::create_dir_all(self.path().join(path)).unwrap();
        self
    }

    /// A thread: a name, `kernel`, `bound` (of the kernel, for one core) or `user`, the core where it ran last, its
    /// real-time priority.
    pub fn task(self, id: u32, name: &str, kind: &str, core: usize, priority: u8) -> Self {
        let flags = match kind {
            "bound" => 0x0420_0000,
            "kernel" => 0x0020_0000,
            _ => 0x0040_0000,
        };
        let zeros = |count| vec!["0"; count].join(" ");
        let stat = format!(
            "{id} ({name}) S {} {flags} {} {core} {priority} 0\n",
            zeros(5),
            zeros(29)
        );
        self.with(&format!("proc/{id}/task/{id}/stat"), stat)
    }

    /// A fixture: `== PATH` and the file's lines after it. `{0-3}` in a path stands for each of these numbers, `\0` in a
    /// line for a zero. `== tasks` has a thread a line, as `task` takes it.
    pub fn fixture(name: &str) -> Self {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/doctor")
            .join(format!("{name}.tree"));
        let text = fs::read_to_string(file).unwrap();
        let mut tree = Self::empty();
        for section in format!("\n{text}").split("\n== ").skip(1) {
            let (path, content) = section.split_once('\n').unwrap_or((section, ""));
            let mut content = content.replace("\\0", "\0");
            if !content.is_empty() && !content.ends_with('\n') {
                content.push('\n');
            }
            tree = match path {
                "tasks" => {
                    content
                        .lines()
                        .filter(|line| !line.is_empty())
                        .fold(tree, |tree, line| {
                            let w: Vec<&str> = line.split(' ').collect();
                            tree.task(
                                w[0].parse().unwrap(),
                                w[1],
                                w[2],
                                w[3].parse().unwrap(),
                                w[4].parse().unwrap(),
                            )
                        })
                }
                path if path.ends_with('/') => tree.folder(path),
                path => expanded(path)
                    .iter()
                    .fold(tree, |tree, path| tree.with(path, &content)),
            };
        }
        tree
    }

    /// All files with their bytes.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        Self::files_below(self.path())
    }

    pub fn files_below(root: &Path) -> Vec<(String, Vec<u8>)> {
        let mut found = Vec::new();
        walk(root, root, &mut found);
        found.sort();
        found
    }
}

fn walk(root: &Path, folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path
            .strip_prefix(root)
            .unwrap()
            .to_str()
            .unwrap()
            .to_owned();
        if path.is_dir() {
            found.push((format!("{name}/"), Vec::new()));
            walk(root, &path, found);
        } else {
            found.push((name, fs::read(path).unwrap()));
        }
    }
}

fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let (range, after) = rest.split_once('}').unwrap();
    let (first, last) = range.split_once('-').unwrap();
    let numbers = first.parse::<u32>().unwrap()..=last.parse().unwrap();
    numbers
        .flat_map(|n| expanded(&format!("{before}{n}{after}")))
        .collect()
}

/// A built-in board.
pub fn board(name: &str) -> Board {
    let boards = Registry::built_in().unwrap().boards;
    boards
        .into_iter()
        .find(|file| file.board.name == name)
        .unwrap()
        .board
}

/// What a check says of a tree.
pub fn look(tree: &Tree, board: Option<&Board>, id: &str) -> Outcome {
    let files = Files::new(tree.path());
    let view = View::new(&files, board);
    let check = checks::all()
        .into_iter()
        .find(|check| check.id == id)
        .unwrap();
    (check.look)(&view)
}

/// All verdicts of a tree, a line each.
pub fn verdicts(tree: &Tree, board: Option<&Board>) -> String {
    let files = Files::new(tree.path());
    let examination = Examination::all(&View::new(&files, board));
    let line = |finding: &reflexarc::doctor::examination::Finding| {
        format!("{} {}\n", finding.check.id, finding.outcome.status.name())
    };
    examination.findings.iter().map(line).collect()
}

pub fn is_pass(outcome: &Outcome) -> bool {
    outcome.status == Status::Pass
}
