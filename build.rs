//! Tells a release build which commit it is made from, so that a report can name it; and with the feature `cuda` has nvcc compile
//! the GPU's kernels.
//!
//! Development builds go without the commit, so that one does not make everything build again.

use std::env;
use std::path::PathBuf;
use std::process::{Command, exit};

/// Orin, Hopper (H100, H200) and Thor as machine code; for every other from 8.0 on the driver compiles what is there for 8.0 when it
/// loads it.
const ARCHITECTURES: &str = "80-virtual 87 90 110";

#[expect(
    clippy::disallowed_macros,
    reason = "how a build script speaks to cargo"
)]
fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if env::var_os("CARGO_FEATURE_CUDA").is_some() {
        kernels();
    }
    if env::var("PROFILE").as_deref() != Ok("release") {
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

/// Compiles `src/inference/cuda/kernels` for all architectures into one file.
#[expect(
    clippy::disallowed_macros,
    reason = "how a build script speaks to cargo"
)]
fn kernels() {
    const KERNELS: &str = "src/inference/cuda/kernels";
    println!("cargo::rerun-if-changed={KERNELS}");
    for name in ["CUDA_HOME", "NVCC", "REFLEXARC_CUDA_ARCHITECTURES"] {
        println!("cargo::rerun-if-env-changed={name}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("kernels.fatbin");
    let architectures = env::var("REFLEXARC_CUDA_ARCHITECTURES");
    let architectures = architectures.unwrap_or_else(|_| ARCHITECTURES.to_owned());
    let nvcc = nvcc();
    let mut command = Command::new(&nvcc);
    command
        .args(["-std=c++17", "-O3", "-fatbin", "-o"])
        .arg(&out);
    for architecture in architectures.split_whitespace() {
        let code = match architecture.strip_suffix("-virtual") {
            Some(number) => format!("arch=compute_{number},code=compute_{number}"),
            None => format!("arch=compute_{architecture},code=sm_{architecture}"),
        };
        command.args(["-gencode", &code]);
    }
    command.arg(format!("{KERNELS}/all.cu"));
    let why = match command.status() {
        Ok(status) if status.success() => return,
        Ok(status) => format!("{} ended with {status}", nvcc.display()),
        Err(error) => format!("{}: {error}", nvcc.display()),
    };
    eprintln!(
        "error: the feature `cuda` has no kernels\n  why: {why}\n  fix: `scripts/cuda-home` brings nvcc 13.0 from packages into target/cuda-home, \
         where it is found; or name another with NVCC or CUDA_HOME"
    );
    exit(1);
}

/// Named, or in a home that is named, or in the one that `scripts/cuda-home` makes, or on the path.
fn nvcc() -> PathBuf {
    if let Some(nvcc) = env::var_os("NVCC") {
        return nvcc.into();
    }
    let homes = [
        env::var_os("CUDA_HOME").map(PathBuf::from),
        Some("target/cuda-home".into()),
        Some("/usr/local/cuda".into()),
    ];
    let all = homes
        .into_iter()
        .flatten()
        .map(|home| home.join("bin/nvcc"));
    let found = all.into_iter().find(|nvcc| nvcc.is_file());
    found.unwrap_or_else(|| "nvcc".into())
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
