//! What a camera promises: `host` needs none, `vivid` needs the kernel's virtual one (`scripts/dev vm`).

mod host;
mod vivid;
