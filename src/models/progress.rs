//! What a person sees of a download: a bar on a terminal, plain lines in a log, nothing when asked.
//!
//! Thread: start-up or housekeeping. Blocks: on standard error.

use std::io::IsTerminal;

use crate::units::{MonoTime, Nanos};
use crate::{clock, console};

/// Shown at most this often.
const REDRAW: Nanos = Nanos::from_millis(100);
/// Characters of the bar itself and of what stands before it; with the numbers a line has 79.
const BAR_WIDTH: usize = 20;
const LABEL_WIDTH: usize = 38;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Style {
    Bar,
    Lines,
    Silent,
}

/// Reports a fetch to standard error.
#[derive(Debug)]
pub struct Progress {
    style: Style,
    label: String,
    total: u64,
    shown: MonoTime,
}

impl Progress {
    /// A bar if standard error is a terminal that can redraw a line, otherwise plain lines.
    pub fn stderr() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        match std::io::stderr().is_terminal() && !dumb {
            true => Self::with(Style::Bar),
            false => Self::with(Style::Lines),
        }
    }

    /// Says nothing.
    pub fn silent() -> Self {
        Self::with(Style::Silent)
    }

    fn with(style: Style) -> Self {
        Self {
            style,
            label: String::new(),
            total: 0,
            shown: MonoTime::ZERO,
        }
    }

    /// A line of its own.
    pub(super) fn note(&mut self, text: &str) {
        if self.style != Style::Silent {
            console::line(text);
        }
    }

    /// A download of about `total` bytes begins.
    pub(super) fn begin(&mut self, label: String, total: u64) {
        (self.label, self.total) = (label, total);
        self.shown = MonoTime::ZERO;
        if self.style == Style::Lines {
            console::line(format_args!(
                "fetching {} ({})",
                self.label,
                Megabytes(total)
            ));
        }
        self.at(0);
    }

    /// `bytes` are here by now.
    pub(super) fn at(&mut self, bytes: u64) {
        let now = clock::now();
        if self.style == Style::Bar && (now - self.shown >= REDRAW || bytes >= self.total) {
            self.shown = now;
            self.draw(bytes.min(self.total));
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "for people; the share is within 0 and 1"
    )]
    fn draw(&self, bytes: u64) {
        let share = bytes as f64 / self.total.max(1) as f64;
        let full = (share * BAR_WIDTH as f64) as usize;
        let bar = format!("{}{}", "=".repeat(full), " ".repeat(BAR_WIDTH - full));
        let here = match bytes < self.total {
            true => format!("{:5.1} of {}", bytes as f64 / 1e6, Megabytes(self.total)),
            // All bytes are here; the tool and then we take their hashes.
            false => "checking".to_owned(),
        };
        // Carriage return and "erase line" redraw in place.
        console::piece(format_args!(
            "\r\x1b[K{:<LABEL_WIDTH$.LABEL_WIDTH$} [{bar}] {here}",
            self.label
        ));
    }

    /// The download that began is over.
    pub(super) fn end(&mut self, outcome: &str) {
        match self.style {
            Style::Bar => console::line(format_args!("\r\x1b[K{}: {outcome}", self.label)),
            Style::Lines => console::line(format_args!("{}: {outcome}", self.label)),
            Style::Silent => {}
        }
    }
}

/// Bytes as megabytes with one decimal.
pub(super) struct Megabytes(pub u64);

impl std::fmt::Display for Megabytes {
    #[expect(clippy::cast_precision_loss, reason = "printed to one decimal")]
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} MB", self.0 as f64 / 1e6)
    }
}
