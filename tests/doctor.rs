//! Promises of the doctor: each check tells right from wrong from unknown; captured trees of several boards are judged
//! alike every time; what --fix sets, --undo takes back; a capture says nothing about its owner.
#![allow(clippy::unwrap_used)]

mod doctor {
    mod capture;
    mod captured;
    mod command;
    mod fix;
    mod guest;
    mod tree;
    mod truth;
    mod truth_kernel;
    mod truth_machine;
    mod truth_scheduler;
}
mod support;
