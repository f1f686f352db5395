//! Tells Copper's macros where their index of log texts goes.

fn main() {
    cu29_build::setup();
}
