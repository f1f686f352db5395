//! Tells a release build which commit it is made from, so that a report can name it.
//!
//! Development builds go without, so that a commit does not make everything build again.

use std::process::Command;

#[expect(
    clippy::disallowed_macros,
    reason = "how a build script speaks to cargo"
)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var("PROFILE").as_deref() != Ok("release") {
        return;
    }
    // Without git, or outside a repository, the report names no commit.
    let Some(head) = git(&["rev-parse", "--short=12", "HEAD"]) else {
        return;
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
    let dirty = if changed.is_some_and(|c| !c.is_empty()) {
        "-dirty"
    } else {
        ""
    };
    println!("cargo::rustc-env=REFLEXARC_COMMIT={head}{dirty}");
    println!("cargo::rerun-if-changed=src");
    if let Some(log) = git(&["rev-parse", "--git-path", "logs/HEAD"]) {
        println!("cargo::rerun-if-changed={log}");
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
