//! The ways home of feature maps: each goes back to the features stage that it came from.
//!
//! Thread: fusion. Allocates: when built. Blocks: no. Locks: no. Syscalls: at most one futex wake.

use crate::features::stage::Features;
use crate::link::EveryWriter;
use crate::stage::touch;

/// See the module.
pub struct MapsHome {
    /// By [`Features::home`].
    ways: Vec<EveryWriter<Box<Features>>>,
}

impl MapsHome {
    pub fn new(ways: Vec<EveryWriter<Box<Features>>>) -> Self {
        Self { ways }
    }

    pub fn send(&mut self, map: Box<Features>) {
        // A way home has room for every map of its stage.
        drop(self.ways[usize::from(map.home)].push(map));
    }

    /// See [`Step::rehearse`](crate::stage::Step::rehearse).
    pub fn rehearse(&self) {
        self.ways.iter().for_each(|way| touch(way.has_room()));
    }
}
