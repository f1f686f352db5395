//! Captured trees of boards: the verdict of each check, all of them written down. A change of a check that changes one is
//! seen here, and has to be meant.

use std::fs;
use std::path::Path;

use reflexarc::board::tree::Tree as Files;
use reflexarc::doctor::command;
use reflexarc::doctor::view::{AskedBy, View};

use super::tree::{Tree, look, verdicts};

fn judged(name: &str) -> (Tree, Option<reflexarc::board::file::BoardFile>) {
    let tree = Tree::fixture(name);
    let judge = command::board(&Files::new(tree.path()), "auto").unwrap();
    (tree, judge.file)
}

#[test]
fn the_verdicts_of_captured_trees_are_stable() {
    for (name, board) in [
        ("orin-nano", Some("jetson-orin-nano")),
        ("raspberry-pi-5", Some("raspberry-pi-5")),
        ("rock-5b", Some("rock-5b")),
        ("pc-debian-rt", Some("x86-64")),
        ("virtual-machine", Some("x86-64")),
        ("guest-x86-64-isolated", Some("x86-64")),
        ("guest-x86-64-plain", Some("x86-64")),
    ] {
        let (tree, file) = judged(name);
        let board_file = file.as_ref().map(|file| &file.board);
        assert_eq!(board_file.map(|board| board.name.as_str()), board, "{name}");
        let found = verdicts(&tree, board_file);
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/fixtures/doctor/{name}.verdicts"));
        if std::env::var_os("REFLEXARC_WRITE_VERDICTS").is_some() {
            fs::write(&path, &found).unwrap();
        }
        let expected = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(
            found,
            expected,
            "{name}: the doctor says something else now; if that is right, run this test with REFLEXARC_WRITE_VERDICTS=1 and look at what changed in {}",
            path.display()
        );
        assert_eq!(found, verdicts(&tree, board_file), "the same tree twice");
    }
}

#[test]
fn the_cores_of_the_way_come_from_the_board_or_the_command_line_or_the_plan() {
    for (name, way, from) in [
        ("orin-nano", &[4, 5][..], AskedBy::Board),
        ("raspberry-pi-5", &[2, 3], AskedBy::Board),
        ("rock-5b", &[6, 7], AskedBy::Board),
        ("pc-debian-rt", &[3, 7], AskedBy::CommandLine),
        ("virtual-machine", &[1], AskedBy::Plan),
        ("guest-x86-64-isolated", &[2, 3], AskedBy::CommandLine),
        ("guest-x86-64-plain", &[2, 3], AskedBy::Plan),
    ] {
        let (tree, file) = judged(name);
        let files = Files::new(tree.path());
        let view = View::new(&files, file.as_ref().map(|file| &file.board));
        assert_eq!(
            (view.cores.way.as_slice(), view.cores.from),
            (way, from),
            "{name}"
        );
    }
}

#[test]
fn a_board_whose_kernel_lacks_nohz_full_is_told_so() {
    let (tree, file) = judged("rock-5b");
    let board = file.as_ref().map(|file| &file.board);
    let outcome = look(&tree, board, "K04");
    assert!(
        outcome.effective.contains("built without NO_HZ_FULL"),
        "{outcome:?}"
    );
    assert!(
        look(&tree, board, "K02")
            .effective
            .contains("nohz_full=6-7")
    );
}

#[test]
fn a_real_time_kernel_that_shows_no_flag_is_known_by_its_version() {
    let (tree, file) = judged("raspberry-pi-5");
    let outcome = look(&tree, file.as_ref().map(|file| &file.board), "K01");
    assert_eq!(outcome.effective, "PREEMPT_RT");
}
