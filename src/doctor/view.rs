//! All that a check may look at: the files of a machine, the board, the cores of the way, and, on the machine itself,
//! what was tried and measured.

use std::cell::OnceCell;
use std::io::Read as _;

use crate::board::file::Board;
use crate::board::tree::{Missing, Reading, Tree};
use crate::doctor::check::Outcome;
use crate::doctor::cmdline::CommandLine;
use crate::doctor::cpus;
use crate::doctor::live::Live;
use crate::doctor::measured::Measured;
use crate::doctor::process::{self, Task};
use crate::rt::plan::{self, Machine, ThreadsConfig, parse_core_list};

/// Who says which cores the way of a frame has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AskedBy {
    Board,
    /// `isolcpus=` or `nohz_full=` on the kernel's command line.
    CommandLine,
    /// Nobody: the plan of a run takes them.
    Plan,
}

impl AskedBy {
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Board => "of the board file",
            Self::CommandLine => "of the kernel's command line",
            Self::Plan => "of the plan of a run, since nothing asks for isolated ones",
        }
    }
}

/// The cores that the checks are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cores {
    /// For the way of a frame. Empty where every core has housekeeping to do.
    pub way: Vec<usize>,
    pub housekeeping: Vec<usize>,
    pub online: Vec<usize>,
    pub from: AskedBy,
}

impl Cores {
    fn find(tree: &Tree, board: Option<&Board>, command_line: &CommandLine) -> Self {
        let listed = |path| parse_core_list(&tree.text(path).found.unwrap_or_default());
        let online = listed("sys/devices/system/cpu/online");
        let isolated = listed("sys/devices/system/cpu/isolated");
        let asked = ["isolcpus", "nohz_full"]
            .iter()
            .find_map(|name| command_line.cores(name))
            .unwrap_or(isolated);
        let of_board = board.and_then(|board| board.cores.isolated.as_ref());
        let (from, config) = match of_board.and(board) {
            Some(board) => (AskedBy::Board, board.plan()),
            None if asked.is_empty() => (AskedBy::Plan, ThreadsConfig::default()),
            None => (AskedBy::CommandLine, ThreadsConfig::default()),
        };
        let machine = Machine {
            cores: online.clone(),
            isolated: asked,
        };
        let (way, housekeeping) = if online.is_empty() {
            Default::default()
        } else {
            plan::cores(&config, &machine)
        };
        Self {
            way: cpus::without(&way, &housekeeping),
            housekeeping,
            online,
            from,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct View<'a> {
    pub tree: &'a Tree,
    pub board: Option<&'a Board>,
    pub cores: Cores,
    pub command_line: CommandLine,
    /// What can be tried; none on a captured tree.
    pub live: Option<Live>,
    /// What was measured, if that was asked for.
    pub measured: Option<Measured>,
    tasks: OnceCell<Result<Vec<Task>, Missing>>,
    config: OnceCell<Reading<String>>,
}

impl<'a> View<'a> {
    pub fn new(tree: &'a Tree, board: Option<&'a Board>) -> Self {
        let command_line = tree.text("proc/cmdline").found.unwrap_or_default();
        let command_line = CommandLine::parse(&command_line);
        Self {
            tree,
            board,
            cores: Cores::find(tree, board, &command_line),
            command_line,
            live: tree.is_live().then(Live::default),
            measured: None,
            tasks: OnceCell::new(),
            config: OnceCell::new(),
        }
    }

    pub fn text(&self, path: &str) -> Reading<String> {
        self.tree.text(path)
    }

    /// A file of cores in the list form. An empty file is no core.
    pub fn core_list(&self, path: &str) -> Reading<Vec<usize>> {
        let reading = self.text(path);
        let found = match reading.found {
            Err(Missing::Empty) => Ok(Vec::new()),
            found => found.map(|text| parse_core_list(&text)),
        };
        Reading {
            path: reading.path,
            found,
        }
    }

    /// All threads, read once.
    pub fn tasks(&self) -> Result<&[Task], Missing> {
        let tasks = self.tasks.get_or_init(|| process::tasks(self.tree));
        tasks.as_deref().map_err(Clone::clone)
    }

    /// The kernel's configuration, read once.
    pub fn kernel_config(&self) -> &Reading<String> {
        self.config.get_or_init(|| kernel_config(self.tree))
    }

    /// Whether the kernel was built with `CONFIG_name=y`. None: its configuration cannot be read.
    pub fn built_with(&self, name: &str) -> Option<bool> {
        let config = self.kernel_config().found.as_ref().ok()?;
        let line = format!("CONFIG_{name}=y");
        Some(config.lines().any(|known| known == line))
    }

    /// The machine itself, or the outcome of a check that needs it.
    pub fn live(&self) -> Result<&Live, Box<Outcome>> {
        self.live.as_ref().ok_or_else(|| {
            Box::new(Outcome::unknown(
                "nothing can be tried on a captured tree; run it on the machine itself",
            ))
        })
    }

    /// What was measured, or the outcome of a check that needs it.
    pub fn measured(&self) -> Result<&Measured, Box<Outcome>> {
        if self.live.is_none() {
            let why = "nothing can be measured on a captured tree";
            return Err(Box::new(Outcome::unknown(why)));
        }
        let why = "not measured; `reflexarc doctor --measure 10s` does";
        let measured = self.measured.as_ref();
        measured.ok_or_else(|| Box::new(Outcome::unknown(why)))
    }

    /// Cores of the way, or the outcome of a check about them where there are none.
    pub fn way(&self) -> Result<&[usize], Box<Outcome>> {
        if self.cores.online.is_empty() {
            let path = "sys/devices/system/cpu/online";
            let unknown = Outcome::unknown("it is not known which cores are online");
            return Err(Box::new(unknown.seen(&self.text(path))));
        }
        if self.cores.way.is_empty() {
            return Err(Box::new(Outcome::not_applicable(format!(
                "no core can be kept for the way of a frame: {} of {} have housekeeping to do",
                self.cores.housekeeping.len(),
                self.cores.online.len()
            ))));
        }
        Ok(&self.cores.way)
    }

    /// Where the kernel's arguments of this board are written, in words.
    pub fn boot_file(&self) -> String {
        let file = self.board.and_then(|board| board.boot.file.as_ref());
        file.map_or_else(
            || "the boot loader's configuration".to_owned(),
            |fact| fact.value.display().to_string(),
        )
    }
}

fn kernel_config(tree: &Tree) -> Reading<String> {
    let packed = "proc/config.gz";
    let release = tree.text("proc/sys/kernel/osrelease").found;
    match tree.bytes(packed) {
        Ok(bytes) => {
            let mut text = String::new();
            // BOUND: no kernel's configuration is longer; a damaged file cannot fill the memory.
            let mut unpacked = flate2::read::GzDecoder::new(bytes.as_slice()).take(4 * 1024 * 1024);
            let found = unpacked.read_to_string(&mut text);
            Reading {
                path: packed.to_owned(),
                found: found.map(|_| text).map_err(Missing::from),
            }
        }
        Err(why) => match release {
            Ok(release) => tree.text(&format!("boot/config-{release}")),
            Err(_) => Reading {
                path: packed.to_owned(),
                found: Err(why),
            },
        },
    }
}
