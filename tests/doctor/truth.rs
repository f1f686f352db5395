//! Each check that reads files: a tree where it holds, trees where it does not, and trees that do not say.

use reflexarc::doctor::check::Status::{self, Fail, NotApplicable, Unknown, Warn};
use reflexarc::doctor::check::Way;
use reflexarc::doctor::checks;

use super::tree::{Tree, is_pass, look};

/// A tree, what a check should say of it.
pub type Row = (Tree, Status);

/// `id` on each tree, without a board.
pub fn check(id: &str, rows: Vec<Row>) {
    for (n, (tree, want)) in rows.into_iter().enumerate() {
        let outcome = look(&tree, None, id);
        assert_eq!(outcome.status, want, "{id}, tree {n}: {outcome:#?}");
        // What is not right says what to do; what is right has nothing to do.
        if matches!(want, Warn | Fail) {
            let fix = outcome
                .fix
                .as_ref()
                .unwrap_or_else(|| panic!("{id} has no fix"));
            assert!(!fix.do_this.is_empty(), "{id}");
            assert!(!outcome.requested.is_empty(), "{id}");
            assert!(!outcome.evidence.is_empty(), "{id}");
        } else if want != Unknown {
            assert_eq!(outcome.fix, None, "{id}");
        }
        assert!(!outcome.effective.is_empty(), "{id}");
    }
}

pub fn four() -> Tree {
    Tree::four_cores()
}

#[test]
fn nothing_passes_on_a_tree_that_says_nothing() {
    for check in checks::all() {
        let outcome = look(&Tree::empty(), None, check.id);
        assert!(!is_pass(&outcome), "{}: {outcome:?}", check.id);
    }
}

#[test]
fn what_must_be_tried_is_unknown_on_a_captured_tree() {
    for check in checks::all()
        .iter()
        .filter(|check| check.way == Way::Measured)
    {
        let outcome = look(&four(), None, check.id);
        assert!(
            matches!(outcome.status, Unknown | NotApplicable),
            "{}: {outcome:?}",
            check.id
        );
    }
    for id in [
        "S01", "S13", "C02", "M03", "M04", "M07", "K10", "Y03", "Y04",
    ] {
        assert_eq!(look(&four(), None, id).status, Unknown, "{id}");
    }
}

#[test]
fn every_check_has_an_id_of_its_own_and_says_why() {
    let all = checks::all();
    assert!(all.len() >= 70, "{}", all.len());
    for (n, check) in all.iter().enumerate() {
        assert!(
            all[..n].iter().all(|other| other.id != check.id),
            "{}",
            check.id
        );
        assert!(check.why.len() > 40, "{}", check.id);
        assert!(!check.title.is_empty());
    }
}

#[test]
fn a_file_that_only_root_may_read_is_unknown_and_says_so() {
    let capture = r#"{"schema":"reflexarc-capture/1","version":"0","not_readable":["dev/kmsg","sys/kernel/tracing/available_tracers"],"left_out":[]}"#;
    let tree = four().with("capture.json", capture);
    for id in ["K02", "K12"] {
        let outcome = look(&tree, None, id);
        assert_eq!(outcome.status, Unknown, "{id}");
        assert!(
            format!("{outcome:?}").contains("not readable without root"),
            "{outcome:?}"
        );
    }
}

#[test]
fn a_captured_tree_cannot_reach_out_or_hang() {
    let secret = tempfile::tempdir().unwrap();
    std::fs::write(secret.path().join("x"), "#1 SMP PREEMPT_RT").unwrap();
    let tree = four().folder("proc/sys/kernel");
    std::os::unix::fs::symlink(
        secret.path().join("x"),
        tree.path().join("proc/sys/kernel/version"),
    )
    .unwrap();
    assert_eq!(look(&tree, None, "K01").status, Unknown);
    let fifo = std::ffi::CString::new(tree.path().join("proc/swaps").to_str().unwrap()).unwrap();
    // SAFETY: the path is closed by a zero.
    assert_eq!(unsafe { libc::mkfifo(fifo.as_ptr(), 0o600) }, 0);
    assert_eq!(look(&tree, None, "M02").status, Unknown);
}
