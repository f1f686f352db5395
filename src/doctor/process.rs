//! The threads of a machine, as far as the checks ask for them: name, core, class, whether the kernel's own.
//!
//! Syscalls: reads of `/proc/PID/task/TID/stat`, one for each thread.

use crate::board::tree::{Missing, Tree};

/// `PF_KTHREAD` and `PF_NO_SETAFFINITY` of the kernel's `sched.h`.
const KERNEL_THREAD: u64 = 0x0020_0000;
const BOUND: u64 = 0x0400_0000;

/// A thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    pub pid: u32,
    pub tid: u32,
    pub name: String,
    /// A thread of the kernel.
    pub of_kernel: bool,
    /// Its cores cannot be changed: the kernel needs one for each core.
    pub is_bound: bool,
    /// Where it ran last.
    pub core: usize,
    /// 1..=99, or 0 without a real-time class.
    pub priority: u8,
}

/// What a captured tree has in the place of the name of a user's thread.
pub const USER: &str = "user";

/// Programs that draw a desktop.
pub const DESKTOPS: [&str; 13] = [
    "Xorg",
    "Xwayland",
    "gnome-shell",
    "kwin_wayland",
    "kwin_x11",
    "plasmashell",
    "labwc",
    "wayfire",
    "weston",
    "sway",
    "lightdm",
    "gdm3",
    "sddm",
];

/// Names of other programs that some check asks for. All but these and the desktops are private.
const KNOWN: [&str; 9] = [
    "irqbalance",
    "unattended-upgr",
    "apt.systemd.dai",
    "snapd",
    "tracker-miner-f",
    "packagekitd",
    "nvargus-daemon",
    "nvpmodel",
    "reflexarc",
];

/// All threads of the tree.
pub fn tasks(tree: &Tree) -> Result<Vec<Task>, Missing> {
    let mut pids = numbers(&tree.names("proc")?);
    pids.sort_unstable();
    let mut tasks = Vec::new();
    for pid in pids {
        let folder = format!("proc/{pid}/task");
        // A process that ends meanwhile is not there any more.
        for tid in numbers(&tree.names(&folder).unwrap_or_default()) {
            let stat = tree.text(&format!("{folder}/{tid}/stat"));
            tasks.extend(stat.found.ok().and_then(|text| parse(pid, &text)));
        }
    }
    if tasks.is_empty() {
        return Err(Missing::NotThere);
    }
    Ok(tasks)
}

fn numbers(names: &[String]) -> Vec<u32> {
    names.iter().filter_map(|name| name.parse().ok()).collect()
}

/// `TID (NAME) S PPID ...`: the fields of proc(5), counted from 1. The name may have spaces and brackets in it.
fn parse(pid: u32, stat: &str) -> Option<Task> {
    let (tid, rest) = stat.split_once(" (")?;
    let (name, rest) = rest.rsplit_once(") ")?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |n: usize| fields.get(n - 3)?.parse::<u64>().ok();
    let flags = field(9)?;
    Some(Task {
        pid,
        tid: tid.parse().ok()?,
        name: name.to_owned(),
        of_kernel: flags & KERNEL_THREAD != 0,
        // The kernel's unbound workers may not be moved by users either, yet belong to no core.
        is_bound: flags & BOUND != 0 && !name.starts_with("kworker/u"),
        core: usize::try_from(field(39)?).ok()?,
        priority: u8::try_from(field(40)?).ok()?,
    })
}

/// A stat line that says what `parse` reads and nothing else; names of users' programs are private.
pub fn without_private(stat: &str) -> Option<String> {
    let task = parse(0, stat)?;
    let is_public = task.of_kernel
        || DESKTOPS
            .iter()
            .chain(&KNOWN)
            .any(|known| *known == task.name);
    let name = if is_public { &task.name } else { USER };
    let flags = [(task.of_kernel, KERNEL_THREAD), (task.is_bound, BOUND)];
    let flags: u64 = flags
        .iter()
        .filter(|(is_set, _)| *is_set)
        .map(|(_, flag)| flag)
        .sum();
    let zeros = |count: usize| vec!["0"; count].join(" ");
    Some(format!(
        "{} ({name}) S {} {flags} {} {} {} 0\n",
        task.tid,
        zeros(5),
        zeros(29),
        task.core,
        task.priority,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_is_read_whole() {
        let stat = "77 (a) b (c) S 2 0 0 0 -1 69238880 0 0 0 0 0 0 0 0 -51 0 1 0 5 0 0 18446744073709551615 0 0 0 0 0 0 0 2147483647 0 0 0 0 17 3 50 1 0 0 0\n";
        let task = parse(7, stat).expect("it is whole");
        assert_eq!((task.tid, task.name.as_str()), (77, "a) b (c"));
        assert!(task.of_kernel && task.is_bound);
        assert_eq!((task.core, task.priority), (3, 50));
    }

    #[test]
    fn a_private_name_is_left_out_and_the_rest_stays() {
        let stat = "9 (my secret tool) S 1 9 9 0 -1 4194304 0 0 0 0 1 1 0 0 -81 0 1 0 5 0 0 18446744073709551615 0 0 0 0 0 0 0 0 0 0 0 0 17 2 80 1 0 0 0\n";
        let public = without_private(stat).expect("it is whole");
        assert!(!public.contains("secret"));
        let (before, after) = (parse(9, stat), parse(9, &public));
        let (before, after) = (before.expect("whole"), after.expect("whole"));
        assert_eq!(
            after,
            Task {
                name: USER.to_owned(),
                ..before
            }
        );
    }
}
