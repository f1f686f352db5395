//! `reflexarc doctor`: from the command line to a text and an exit code.

use std::fmt::Write as _;
use std::io;
use std::path::Path;

use crate::board::detect::detect;
use crate::board::evidence::Evidence;
use crate::board::file::BoardFile;
use crate::board::registry::{self, Registry};
use crate::board::tree::Tree;
use crate::cli;
use crate::doctor::capture;
use crate::doctor::check::Check;
use crate::doctor::checks;
use crate::doctor::examination::Examination;
use crate::doctor::fix::{self, Done};
use crate::doctor::json;
use crate::doctor::measured::Measured;
use crate::doctor::show;
use crate::doctor::undo::{self, Undo};
use crate::doctor::view::View;
use crate::error::{Fault, Kind, Result};
use crate::units::Nanos;

/// What is printed, and the exit code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub text: String,
    pub code: u8,
}

/// The board that an examination goes by.
#[derive(Clone, Debug, Default)]
pub struct Judge {
    pub file: Option<BoardFile>,
    /// Which it is and why, for people.
    pub said: String,
}

impl Judge {
    pub fn name(&self) -> &str {
        self.file.as_ref().map_or("", |file| &file.board.name)
    }
}

/// Who is examined, in words.
#[derive(Clone, Debug)]
pub struct Subject {
    pub said: String,
    /// The folder of a captured tree.
    pub root: Option<String>,
}

/// Carries the command out.
pub fn doctor(args: &cli::Doctor) -> Result<Answer> {
    let root = args.root.as_deref().unwrap_or(Path::new("/"));
    if !root.is_dir() {
        return Err(Fault::new(
            Kind::BadInput,
            format!("{} is no folder", root.display()),
            "a captured tree has proc/ and sys/ below one folder",
            "unpack a capture (tar -xf FILE -C DIR) and name DIR; or leave --root out to look at this machine",
        ));
    }
    let asked = args.explain.as_deref().map(find).transpose()?;
    let measure = args.measure.map(checked).transpose()?;
    let tree = Tree::new(root);
    if args.undo {
        return take_back(&tree);
    }
    let tree = if args.capture.is_some() {
        tree.noting()
    } else {
        tree
    };
    let judge = board(&tree, args.board.as_deref().unwrap_or("auto"))?;
    let subject = Subject {
        said: judge.said.clone(),
        root: args.root.as_ref().map(|root| root.display().to_string()),
    };
    let mut view = View::new(&tree, judge.file.as_ref().map(|file| &file.board));
    if let Some(check) = asked {
        return Ok(Answer {
            text: show::explanation(&check, &(check.look)(&view)),
            code: 0,
        });
    }
    if let Some(file) = &args.capture {
        // A capture has what can be read; nothing is tried for it.
        view.live = None;
        return make_capture(&view, file);
    }
    if let (Some(time), Some(live)) = (measure, &view.live) {
        view.measured = Some(Measured::take(live, &view.cores, time));
    }
    let examination = Examination::all(&view);
    if args.fix {
        return make_fixes(&tree, &examination, args.dry_run);
    }
    let text = if args.json {
        json::document(&examination, &view, &subject)
    } else {
        show::examination(&examination, &view, &subject)
    };
    Ok(Answer {
        text,
        code: code(&examination, args.strict),
    })
}

/// 0; or that a check fails; or, strictly, that one does not pass.
fn code(examination: &Examination, strict: bool) -> u8 {
    if examination.counts.fail > 0 {
        Kind::CheckFailed.exit_code()
    } else if strict && !examination.is_fine() {
        Kind::CheckNotPassed.exit_code()
    } else {
        0
    }
}

/// The board of a name, of a file, or of a tree if `name` is `auto`. Not to know it is no fault.
pub fn board(tree: &Tree, name: &str) -> Result<Judge> {
    if name != "auto" {
        let file = registry::find(name)?;
        let said = format!("board: {}, as asked", file.board.name);
        return Ok(Judge {
            file: Some(file),
            said,
        });
    }
    let mut boards = Registry::load()?.boards;
    let detection = detect(&boards, Evidence::of(tree));
    let at = boards
        .iter()
        .position(|file| Some(&file.board.name) == detection.found.as_ref());
    let Some(at) = at else {
        return Ok(Judge {
            file: None,
            said: format!("board: unknown, since {}", detection.why),
        });
    };
    let file = boards.swap_remove(at);
    let said = format!(
        "board: {}, found by itself ({})",
        file.board.name, detection.why
    );
    Ok(Judge {
        file: Some(file),
        said,
    })
}

fn find(id: &str) -> Result<Check> {
    let all = checks::all();
    let known = all.iter().find(|check| check.id.eq_ignore_ascii_case(id));
    known.copied().ok_or_else(|| {
        let ids: Vec<&str> = all.iter().map(|check| check.id).collect();
        Fault::new(
            Kind::Usage,
            format!("no check has the id `{id}`"),
            format!("the ids are {}", ids.join(", ")),
            "write one of those; `reflexarc doctor` shows them with their titles",
        )
    })
}

/// A time that gives enough samples, and that a person waits for.
fn checked(time: Nanos) -> Result<Nanos> {
    let (least, most) = (Nanos::from_secs(1), Nanos::from_secs(3600));
    if time < least || time > most {
        return Err(Fault::new(
            Kind::Usage,
            format!("--measure cannot take {time}"),
            format!("a measurement takes {least} to {most}"),
            "write --measure 10s; longer ones find rarer outliers",
        ));
    }
    Ok(time)
}

fn make_capture(view: &View<'_>, file: &Path) -> Result<Answer> {
    Examination::all(view);
    let contents = capture::write(&view.tree.asked(), file)?;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{}: {} files, {} that could not be read here",
        file.display(),
        contents.files.len(),
        contents.not_readable.len()
    );
    let _ = writeln!(
        text,
        "left out: names of host and users, serial numbers, hardware addresses, kernel arguments that do not bear on latency"
    );
    let _ = writeln!(
        text,
        "look through it before you send it: tar -tf {}",
        file.display()
    );
    let _ = writeln!(
        text,
        "examine it: mkdir DIR; tar -xf {} -C DIR; reflexarc doctor --root DIR",
        file.display()
    );
    Ok(Answer { text, code: 0 })
}

fn make_fixes(tree: &Tree, examination: &Examination, dry_run: bool) -> Result<Answer> {
    let settings = examination.settings();
    if dry_run || settings.is_empty() {
        let looked: Vec<Done> = settings
            .iter()
            .map(|setting| fix::look(tree, setting))
            .collect();
        let text = show::settings(&looked, "would be set") + &by_hand(examination);
        return Ok(Answer { text, code: 0 });
    }
    let mut undo = Undo::open(tree, undo::DOCTOR).map_err(|error| no_undo(&error))?;
    let mut all = Vec::new();
    for setting in &settings {
        all.push(fix::apply(tree, setting, &mut undo).map_err(|error| no_undo(&error))?);
    }
    let mut text = show::settings(&all, "set");
    let place = undo.place().display().to_string();
    if undo.state.changed.is_empty() {
        let _ = writeln!(text, "nothing was changed");
    } else {
        let _ = writeln!(
            text,
            "`reflexarc doctor --undo` takes it back ({place}); a reboot does, too, but for files below /etc"
        );
    }
    text += &by_hand(examination);
    Ok(Answer {
        text,
        code: refusal(&all),
    })
}

/// What `--fix` does not do: arguments of the kernel, packages, most services.
fn by_hand(examination: &Examination) -> String {
    let mut text = String::new();
    let not_set = examination.findings.iter().filter_map(|finding| {
        let fix = finding.outcome.fix.as_ref()?;
        fix.settings.is_empty().then_some((finding.check.id, fix))
    });
    for (id, fix) in not_set {
        let reboot = if fix.reboot { " (needs a reboot)" } else { "" };
        let _ = writeln!(text, "  by hand  {id}: {}{reboot}", fix.do_this.trim_end());
    }
    text
}

fn take_back(tree: &Tree) -> Result<Answer> {
    let Some(undo) = Undo::existing(tree, undo::DOCTOR).map_err(|error| no_undo(&error))? else {
        let removed = fix::remove_forgotten(tree);
        if !removed.is_empty() {
            return Ok(Answer {
                text: show::settings(&removed, "set back"),
                code: refusal(&removed),
            });
        }
        return Ok(Answer {
            text: "nothing to undo: no fix has changed anything here".to_owned(),
            code: 0,
        });
    };
    let done = fix::undo(tree, undo).map_err(|error| no_undo(&error))?;
    Ok(Answer {
        text: show::settings(&done, "set back"),
        code: refusal(&done),
    })
}

/// A setting that was not made is not hidden behind a 0.
fn refusal(done: &[Done]) -> u8 {
    let refused = done.iter().any(|one| one.result.is_err());
    if refused {
        Kind::CheckFailed.exit_code()
    } else {
        0
    }
}

fn no_undo(error: &io::Error) -> Fault {
    Fault::from_io(
        "the undo file cannot be used",
        error,
        Kind::Output,
        "run it as root, or with XDG_RUNTIME_DIR set; nothing is changed that could not be taken back",
    )
}
