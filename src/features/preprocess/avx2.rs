//! The two passes with AVX2 and FMA.
//!
//! Thread: features. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use super::block::{BlockRows, Plane};
use super::colour::Finish;
use super::portable;

/// Four output rows.
#[target_feature(enable = "avx2,fma")]
pub fn block(
    planes: &mut [Plane],
    finish: &Finish,
    frame: &[u8],
    block: usize,
    out: BlockRows<'_>,
) {
    portable::block(planes, finish, frame, block, out);
}
