//! Boot files: the kernel's arguments that the next boot takes, and what to write there, as a new entry where the
//! format has entries. Nothing here writes: a board that does not boot cannot be undone.

use std::fmt::Write as _;

use crate::board::file::BootFormat;

/// The arguments of the entry that boots by itself. None: there is no such entry.
pub fn arguments(format: BootFormat, text: &str) -> Option<String> {
    match format {
        BootFormat::Extlinux => default_entry(text)?.value("APPEND").map(str::to_owned),
        BootFormat::RpiCmdline => text.lines().next().map(str::to_owned),
        BootFormat::ArmbianEnv => Some(of_key(text, "extraargs").unwrap_or_default().to_owned()),
        BootFormat::Grub => {
            let parts = ["GRUB_CMDLINE_LINUX", "GRUB_CMDLINE_LINUX_DEFAULT"]
                .map(|key| of_key(text, key).unwrap_or_default());
            Some(parts.join(" "))
        }
        BootFormat::QemuAppend => None,
    }
}

/// What a person writes so that the next boot has the lacking arguments.
pub fn advice(format: BootFormat, text: &str, path: &str, lacking: &[String]) -> String {
    let more = lacking.join(" ");
    match format {
        BootFormat::Extlinux => match default_entry(text) {
            Some(entry) => format!(
                "add this entry to {path}, then set DEFAULT to its label; the old one stays for a way back:\n{}",
                entry.with("reflexarc", &more)
            ),
            None => format!("{path} has no default entry: write one with APPEND ... {more}"),
        },
        BootFormat::RpiCmdline => {
            format!("keep a copy of {path}, and put this at the end of its one line: {more}")
        }
        BootFormat::ArmbianEnv => {
            let old = of_key(text, "extraargs").unwrap_or_default();
            format!(
                "keep a copy of {path}, and write this line there: extraargs={}",
                format!("{old} {more}").trim()
            )
        }
        BootFormat::Grub => format!(
            "write /etc/default/grub.d/reflexarc.cfg with the line GRUB_CMDLINE_LINUX=\"$GRUB_CMDLINE_LINUX {more}\", then run update-grub"
        ),
        BootFormat::QemuAppend => format!("give QEMU -append \"... {more}\""),
    }
}

/// `key=value`, the last of them, without quotation marks.
fn of_key<'t>(text: &'t str, key: &str) -> Option<&'t str> {
    let lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    let value = lines
        .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='))
        .next_back()?;
    Some(value.trim_matches(['"', '\'']))
}

/// A LABEL of an extlinux.conf with the lines below it.
struct Entry<'t> {
    lines: Vec<&'t str>,
}

/// The entry that DEFAULT names.
fn default_entry(text: &str) -> Option<Entry<'_>> {
    let default = text.lines().find_map(|line| key_value(line, "DEFAULT"))?;
    let mut lines = text
        .lines()
        .skip_while(|line| key_value(line, "LABEL") != Some(default));
    let first = lines.next()?;
    let below = lines.take_while(|line| key_value(line, "LABEL").is_none());
    Some(Entry {
        lines: std::iter::once(first).chain(below).collect(),
    })
}

/// The value of a line `KEY value`, in capitals or not.
fn key_value<'t>(line: &'t str, key: &str) -> Option<&'t str> {
    let line = line.trim();
    let (name, value) = line.split_once([' ', '\t'])?;
    name.eq_ignore_ascii_case(key).then(|| value.trim())
}

impl<'t> Entry<'t> {
    fn value(&self, key: &str) -> Option<&'t str> {
        self.lines.iter().find_map(|line| key_value(line, key))
    }

    /// The same entry under another label, with more arguments.
    fn with(&self, label: &str, more: &str) -> String {
        let mut text = String::new();
        for line in self.lines.iter().filter(|line| !line.trim().is_empty()) {
            let _ = if key_value(line, "LABEL").is_some() {
                writeln!(text, "LABEL {label}")
            } else if key_value(line, "APPEND").is_some() {
                writeln!(text, "{} {more}", line.trim_end())
            } else {
                writeln!(text, "{}", line.trim_end())
            };
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTLINUX: &str = "TIMEOUT 30\nDEFAULT real-time\n\nLABEL primary\n  LINUX /boot/Image\n  APPEND a=1\n\nLABEL real-time\n\tLINUX /boot/Image.real-time\n\tAPPEND root=/dev/nvme0n1p1 quiet\n";

    #[test]
    fn the_default_entry_is_the_one_that_counts() {
        let found = arguments(BootFormat::Extlinux, EXTLINUX);
        assert_eq!(found.as_deref(), Some("root=/dev/nvme0n1p1 quiet"));
        assert_eq!(arguments(BootFormat::Extlinux, "LABEL a\n APPEND b"), None);
    }

    #[test]
    fn a_new_entry_leaves_the_old_one_alone() {
        let said = advice(
            BootFormat::Extlinux,
            EXTLINUX,
            "/boot/extlinux/extlinux.conf",
            &["nohz_full=4-5".to_owned()],
        );
        assert!(said.contains("LABEL reflexarc\n\tLINUX /boot/Image.real-time\n\tAPPEND root=/dev/nvme0n1p1 quiet nohz_full=4-5\n"), "{said}");
    }

    #[test]
    fn the_arguments_of_the_other_formats_are_found() {
        let armbian = "verbosity=1\nextraargs=nohz_full=6-7 x=1\n";
        assert_eq!(
            arguments(BootFormat::ArmbianEnv, armbian).as_deref(),
            Some("nohz_full=6-7 x=1")
        );
        let grub = "# GRUB_CMDLINE_LINUX=\"no\"\nGRUB_CMDLINE_LINUX_DEFAULT=\"quiet\"\nGRUB_CMDLINE_LINUX=\"isolcpus=3\"\n";
        assert_eq!(
            arguments(BootFormat::Grub, grub).as_deref(),
            Some("isolcpus=3 quiet")
        );
    }
}
