//! Promises of the boards: the files are right, each kind of mistake in one is found, and a machine is recognised by
//! evidence or not at all.
#![allow(clippy::unwrap_used)]

mod board {
    mod auto;
    mod detect;
    mod files;
    mod lint;
    mod plan;
    mod tree;
}
mod support;
