//! What a camera promises: `host` needs none; the others need the kernel's virtual one (`scripts/dev vm`).

mod binary;
mod host;
mod pipeline;
mod survive;
mod tapped;
mod vivid;
