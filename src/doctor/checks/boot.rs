//! The boot file: what the next boot will ask for, and arguments that do harm.

use crate::board::file::{Board, BootFormat};
use crate::doctor::boot_file;
use crate::doctor::check::{Category, Check, Fix, Outcome, Way};
use crate::doctor::cmdline::CommandLine;
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[
    Check {
        id: "K08",
        title: "the next boot",
        category: Category::Kernel,
        way: Way::Passive,
        why: "The running kernel may have been chosen by hand, and an upgrade may have changed the default since. Then the next boot is another machine. NVIDIA's package of the stock kernel sets its own label as default when it is upgraded.",
        rests_on: "The forms of the boot files are from documents and from Armbian's boot scripts; none was tried on a board.",
        look: next_boot,
    },
    Check {
        id: "K14",
        title: "no harmful argument",
        category: Category::Kernel,
        way: Way::Passive,
        why: "Some arguments that help elsewhere do harm on a board: cma= on a Jetson goes past the device tree's memory pool, and the GPU does not start.",
        rests_on: "The harm of cma= on a Jetson was read in one public dump, not seen.",
        look: forbidden,
    },
];

/// What the board wants to stand in its boot file.
fn wanted(board: &Board) -> Vec<String> {
    let arguments = board.boot.arguments.as_ref();
    arguments.map_or_else(Vec::new, |fact| fact.value.clone())
}

fn next_boot(view: &View<'_>) -> Outcome {
    let Some(board) = view.board else {
        return Outcome::not_applicable(
            "the board is not known, so nothing is asked of its boot file",
        );
    };
    let (Some(format), Some(file)) = (board.boot.format, board.boot.file.as_ref()) else {
        return Outcome::not_applicable("the board has no boot file");
    };
    let wanted = wanted(board);
    let path = file.value.display().to_string();
    let read = view.text(path.trim_start_matches('/'));
    let Ok(text) = &read.found else {
        return Outcome::unknown("the boot file cannot be read")
            .requested(wanted.join(" "))
            .seen(&read);
    };
    if wanted.is_empty() {
        return Outcome::not_applicable("nothing is asked of it").seen(&read);
    }
    let Some(arguments) = boot_file::arguments(format, text) else {
        return Outcome::unknown("the default entry of the boot file was not found").seen(&read);
    };
    let lacking = CommandLine::parse(&arguments).lacks(&wanted);
    let held = held(view, board);
    let outcome = match (lacking.as_slice(), &held) {
        ([], None | Some((true, _))) => Outcome::pass("it asks for what the board needs"),
        ([], Some((false, package))) => Outcome::warn(format!(
            "it asks for what the board needs, but an upgrade of {package} would change it"
        )),
        (lacking, _) => Outcome::fail(format!("it does not ask for {}", lacking.join(" "))),
    };
    let outcome = outcome
        .requested(wanted.join(" "))
        .shown(read.path.clone(), arguments);
    match &held {
        Some((false, package)) if lacking.is_empty() => {
            outcome.fix(Fix::by_hand(format!("sudo apt-mark hold {package}")))
        }
        _ => outcome.fix(Fix {
            do_this: boot_file::advice(format, text, &path, &lacking),
            boot_arguments: lacking.clone(),
            reboot: true,
            ..Fix::default()
        }),
    }
}

/// On a Jetson with a real-time kernel: whether the package that flips the default back is held.
fn held(view: &View<'_>, board: &Board) -> Option<(bool, String)> {
    const PACKAGE: &str = "nvidia-l4t-kernel";
    if board.boot.format != Some(BootFormat::Extlinux) {
        return None;
    }
    let status = view.text("var/lib/dpkg/status").found.ok()?;
    let stanza = status.split("\n\n").find(|stanza| {
        stanza
            .lines()
            .any(|line| line == format!("Package: {PACKAGE}"))
    })?;
    let is_held = stanza.lines().any(|line| line.starts_with("Status: hold "));
    Some((is_held, PACKAGE.to_owned()))
}

fn forbidden(view: &View<'_>) -> Outcome {
    let names = view.board.and_then(|board| board.boot.forbidden.as_ref());
    let Some(names) = names else {
        return Outcome::not_applicable("none is known for this board");
    };
    let line = view.text("proc/cmdline");
    if line.found.is_err() {
        return Outcome::unknown("the command line cannot be read").seen(&line);
    }
    let here: Vec<&str> = names
        .value
        .iter()
        .map(String::as_str)
        .filter(|name| view.command_line.has(name))
        .collect();
    let outcome = match here.as_slice() {
        [] => Outcome::pass("none of them"),
        here => Outcome::fail(format!("{} stands on the command line", here.join(", "))),
    };
    let note = names.note.clone().unwrap_or_default();
    outcome
        .requested(format!("no {} ({note})", names.value.join(", ")))
        .shown(line.path, format!("{} of them there", here.len()))
        .fix(Fix::by_hand(format!("remove it from {}", view.boot_file())).with_reboot())
}
