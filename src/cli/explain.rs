//! What is wrong with a command line, said as every other error is: what, why, fix.
//!
//! The parser finds the mistake and what was most likely meant; this puts it into a [`Fault`].
//!
//! Thread: main, before the run. Allocates: yes.

use std::error::Error as _;
use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory as _, Error};

use super::Cli;
use crate::error::{Fault, Kind};

/// The fault behind an error of the parser, for a command line of these words (the program's name left out).
/// The requests for help and version are no faults and must be answered before.
pub fn explain(error: &Error, words: &[OsString]) -> Fault {
    let command = Asked::of(words);
    let (what, why, fix) = match error.kind() {
        ErrorKind::UnknownArgument => unknown(error, &command),
        ErrorKind::InvalidSubcommand => {
            let name = text(error, ContextKind::InvalidSubcommand);
            let what = format!("`{}` has no command `{name}`", command.path);
            (what, command.commands(), command.which_command(error))
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let what = format!("`{}` needs a command after it", command.path);
            (
                what,
                command.commands(),
                command.see_help("write one of those"),
            )
        }
        ErrorKind::InvalidValue | ErrorKind::ValueValidation => value(error, &command),
        ErrorKind::TooManyValues => {
            let (name, value) = (argument(error), text(error, ContextKind::InvalidValue));
            (
                format!("{name} is given the value `{value}`"),
                format!("{name} takes no value"),
                command.see_help(&format!("write {name} alone")),
            )
        }
        ErrorKind::ArgumentConflict if argument(error) == prior(error) => {
            let name = argument(error);
            (
                format!("{name} is given more than once"),
                "only one of them could count".to_owned(),
                "keep one of them".to_owned(),
            )
        }
        ErrorKind::InvalidUtf8 => (
            "an argument is not text".to_owned(),
            "its bytes are not UTF-8".to_owned(),
            command.see_help("set the terminal to UTF-8"),
        ),
        // Kinds that no option here can cause today: the parser's own words, without its heading.
        _ => (
            format!("`{}` cannot be run like this", command.path),
            own_words(error),
            command.see_help("correct the command line"),
        ),
    };
    Fault::new(Kind::Usage, what, why, fix)
}

/// An option or a word too many.
fn unknown(error: &Error, command: &Asked) -> (String, String, String) {
    let name = text(error, ContextKind::InvalidArg);
    let is_option = name.starts_with('-');
    let suggested = text(error, ContextKind::SuggestedArg);
    let advice = if !suggested.is_empty() {
        format!("did you mean `{suggested}`?")
    } else if let Some(there) = command.elsewhere(&name).or_else(|| tip(error)) {
        format!("did you mean `{there}`?")
    } else if is_option {
        "leave it out".to_owned()
    } else {
        "leave it out; a text of several words needs quotes".to_owned()
    };
    let (what, why) = if is_option {
        (
            format!("`{}` has no option `{name}`", command.path),
            "it is none of the options of this command".to_owned(),
        )
    } else {
        (
            format!("`{}` cannot take `{name}`", command.path),
            "a word stands where an option or the end was expected".to_owned(),
        )
    };
    (what, why, command.see_help(&advice))
}

/// A value that is missing or cannot be understood.
fn value(error: &Error, command: &Asked) -> (String, String, String) {
    let (name, value) = (argument(error), text(error, ContextKind::InvalidValue));
    if value.is_empty() {
        let written = text(error, ContextKind::InvalidArg);
        return (
            format!("{name} has no value"),
            "nothing stands after it, or another option does".to_owned(),
            command.see_help(&format!("write `{written}`")),
        );
    }
    let what = format!("{name} cannot be `{value}`");
    if let Some(source) = error.source() {
        let (why, advice) = apart(&source.to_string());
        return (what, why, command.see_help(&advice));
    }
    let known = texts(error, ContextKind::ValidValue).join(", ");
    let suggested = text(error, ContextKind::SuggestedValue);
    let advice = if suggested.is_empty() {
        "write one of those".to_owned()
    } else {
        format!("did you mean `{suggested}`?")
    };
    (
        what,
        format!("the values that it can have are: {known}"),
        command.see_help(&advice),
    )
}

/// A message such as `` `7` is not a duration: write a number and a unit `` taken apart into why and advice.
fn apart(message: &str) -> (String, String) {
    for (between, write) in [
        (": write ", "write "),
        (". Write ", "write "),
        ("; write ", "write "),
    ] {
        if let Some((why, advice)) = message.split_once(between) {
            return (why.to_owned(), format!("{write}{advice}"));
        }
    }
    (message.to_owned(), "correct the value".to_owned())
}

/// The command that was asked for, as far as the words name one.
struct Asked {
    command: Command,
    /// `reflexarc models`.
    path: String,
}

impl Asked {
    fn of(words: &[OsString]) -> Self {
        let mut command = Cli::command();
        let mut path = command.get_name().to_owned();
        // BOUND: the words of the command line.
        for word in words.iter().filter_map(|word| word.to_str()) {
            let Some(inner) = command.find_subcommand(word).cloned() else {
                break;
            };
            path = format!("{path} {word}");
            command = inner;
        }
        Self { command, path }
    }

    fn commands(&self) -> String {
        let names: Vec<&str> = self
            .command
            .get_subcommands()
            .map(Command::get_name)
            .collect();
        format!("its commands are: {}", names.join(", "))
    }

    fn which_command(&self, error: &Error) -> String {
        match texts(error, ContextKind::SuggestedSubcommand).first() {
            Some(name) => self.see_help(&format!("did you mean `{} {name}`?", self.path)),
            None => self.see_help("write one of those"),
        }
    }

    /// The first command below this one that has the option.
    fn elsewhere(&self, option: &str) -> Option<String> {
        let name = option.strip_prefix("--")?;
        let has_it = |command: &&Command| {
            let mut options = command.get_arguments();
            options.any(|argument| argument.get_long() == Some(name))
        };
        let command = self.command.get_subcommands().find(has_it)?;
        Some(format!("{} {} {option}", self.path, command.get_name()))
    }

    fn see_help(&self, advice: &str) -> String {
        let between = if advice.ends_with('?') { "" } else { ";" };
        format!("{advice}{between} `{} --help` explains all", self.path)
    }
}

/// The option at fault without its value: `--source`.
fn argument(error: &Error) -> String {
    bare(&text(error, ContextKind::InvalidArg))
}

fn prior(error: &Error) -> String {
    bare(&text(error, ContextKind::PriorArg))
}

fn bare(argument: &str) -> String {
    let name = argument.split([' ', '=']).next().unwrap_or_default();
    name.trim_matches(['[', ']', '<', '>', '.']).to_owned()
}

fn text(error: &Error, kind: ContextKind) -> String {
    texts(error, kind).into_iter().next().unwrap_or_default()
}

fn texts(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(text)) => vec![text.clone()],
        Some(ContextValue::Strings(texts)) => texts.clone(),
        Some(ContextValue::StyledStr(text)) => vec![text.to_string()],
        Some(ContextValue::StyledStrs(texts)) => texts.iter().map(ToString::to_string).collect(),
        _ => Vec::new(),
    }
}

/// `run --source`, out of the parser's tip `'run --source' exists`.
fn tip(error: &Error) -> Option<String> {
    let tips = texts(error, ContextKind::Suggested);
    let tip = tips.iter().find(|tip| tip.ends_with("exists"))?;
    tip.split('\'').nth(1).map(str::to_owned)
}

fn own_words(error: &Error) -> String {
    let said = error.render().to_string();
    let said = said.split("\n\n").next().unwrap_or_default();
    said.trim_start_matches("error: ").replace('\n', " ")
}
