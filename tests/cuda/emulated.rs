//! A program on kernels that were compiled for this processor: see `host.h`.

use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use tempfile::TempDir;

use reflexarc::inference::cuda::Program;
use reflexarc::inference::cuda::program::Bases;

type Emulate = unsafe extern "C" fn(
    *const c_char,
    *const c_uint,
    c_uint,
    *const c_void,
    usize,
    c_int,
) -> c_int;
type HalfOf = unsafe extern "C" fn(f32) -> u16;

pub struct Emulator {
    emulate: Emulate,
    pub half_of: HalfOf,
}

/// Bytes at an address that every load is aligned to.
struct Aligned {
    blocks: Vec<u128>,
    len: usize,
}

impl Aligned {
    fn filled(len: usize, with: u8) -> Self {
        let blocks = vec![u128::from_ne_bytes([with; 16]); len.div_ceil(16) + 1];
        Self { blocks, len }
    }

    fn of(bytes: &[u8]) -> Self {
        let mut all = Self::filled(bytes.len(), 0xff);
        all.bytes_mut().copy_from_slice(bytes);
        all
    }

    fn bytes(&self) -> &[u8] {
        // SAFETY: a u128 is 16 bytes of any value, and there are `len` of them and more.
        unsafe { std::slice::from_raw_parts(self.blocks.as_ptr().cast(), self.len) }
    }

    fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and this borrows them alone.
        unsafe { std::slice::from_raw_parts_mut(self.blocks.as_mut_ptr().cast(), self.len) }
    }

    fn address(&mut self) -> u64 {
        self.blocks.as_mut_ptr() as u64
    }
}

/// Behind the output, where nothing may be written.
const MARGIN: usize = 64;
const UNTOUCHED: f32 = -7.0e30;

/// The folder of this file.
const HERE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cuda");

fn compiler() -> Option<&'static str> {
    let runs = |name: &&str| {
        let output = Command::new(name).arg("--version").output();
        output.is_ok_and(|output| output.status.success())
    };
    let found = ["g++", "c++", "clang++"].into_iter().find(runs);
    if found.is_none() {
        println!("skipped: no C++ compiler (g++), which compiles the kernels for this processor");
    }
    found
}

/// A library of these sources, in a folder of its own; None where there is no compiler, which is said.
pub fn compiled(sources: &[PathBuf]) -> Option<(TempDir, PathBuf)> {
    let mut command = Command::new(compiler()?);
    let folder = tempfile::tempdir().unwrap();
    let library = folder.path().join("library.so");
    command.args(["-std=c++17", "-O2", "-shared", "-fPIC", "-pthread"]);
    // Fibres jump from stack to stack, and values are read as bytes.
    command.args(["-U_FORTIFY_SOURCE", "-fno-strict-aliasing"]);
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("f16c") {
        command.arg("-mf16c");
    }
    command.arg(format!("-I{HERE}/../../src/inference/cuda/kernels"));
    command.arg("-o").arg(&library).args(sources);
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Some((folder, library))
}

pub fn source(name: &str) -> PathBuf {
    [HERE, name].iter().collect()
}

/// A library in memory, for the rest of the process.
pub fn opened(library: &Path) -> *mut c_void {
    let path = CString::new(library.to_str().unwrap()).unwrap();
    // SAFETY: a path that ends with 0; what was compiled here runs nothing when it is loaded.
    let handle = unsafe { libc::dlopen(path.as_ptr(), libc::RTLD_NOW) };
    assert!(!handle.is_null(), "{} can be loaded", library.display());
    handle
}

pub fn function(library: *mut c_void, name: &CStr) -> *mut c_void {
    // SAFETY: an open library, and a name that ends with 0.
    let found = unsafe { libc::dlsym(library, name.as_ptr()) };
    assert!(!found.is_null(), "{name:?}");
    found
}

/// The kernels, compiled once; None where there is no compiler.
pub fn emulator() -> Option<&'static Emulator> {
    static EMULATOR: OnceLock<Option<Emulator>> = OnceLock::new();
    let made = EMULATOR.get_or_init(|| {
        let (_folder, library) = compiled(&[source("emulator.cpp")])?;
        let library = opened(&library);
        let (emulate, half_of) = (function(library, c"emulate"), function(library, c"half_of"));
        Some(Emulator {
            // SAFETY: emulator.cpp declares it so.
            emulate: unsafe { std::mem::transmute::<*mut c_void, Emulate>(emulate) },
            // SAFETY: emulator.cpp declares it so.
            half_of: unsafe { std::mem::transmute::<*mut c_void, HalfOf>(half_of) },
        })
    });
    made.as_ref()
}

impl Emulator {
    /// The output. Everything that is not written before it is read is NaN. `turned`: the last warp of each block first.
    pub fn run(&self, program: &Program, input: &[u8], turned: bool) -> Vec<f32> {
        // The emulator's fibres are in static memory: one at a time.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        assert_eq!(input.len(), program.input_bytes(), "bytes of the input");
        let mut constants = Aligned::of(&program.constants);
        let mut arena = Aligned::filled(program.arena, 0xff);
        let mut given = Aligned::of(input);
        let mut output = vec![UNTOUCHED; program.output + MARGIN];
        let (mut done, mut counters) = ([0u32], [0u32; 2]);
        let bases = Bases {
            constants: constants.address(),
            arena: arena.address(),
            input: given.address(),
            output: output.as_mut_ptr() as u64,
            done: done.as_mut_ptr() as u64,
            counters: counters.as_mut_ptr() as u64,
        };
        for run in 1..=2 {
            arena.bytes_mut().fill(0xff);
            for launch in &program.launches {
                let before = arena.bytes().to_vec();
                let arguments = launch.arguments.resolved(&bases);
                let name = CString::new(launch.kernel).unwrap();
                // SAFETY: the kernel's struct is as long as these bytes (else it answers 2), its pointers are to memory that
                // lives here, and the program keeps it within that: what this checks, with margins of NaN.
                let code = unsafe {
                    (self.emulate)(
                        name.as_ptr(),
                        launch.grid.as_ptr(),
                        launch.block,
                        arguments.as_ptr().cast(),
                        arguments.len() * 8,
                        turned.into(),
                    )
                };
                assert_eq!(
                    code, 0,
                    "{}: 1 is no such kernel, 2 other arguments",
                    launch.kernel
                );
                let writes = launch.writes.clone().unwrap_or(0..0);
                let pairs = arena.bytes().iter().zip(&before).enumerate();
                let stray = pairs
                    .filter(|(at, (now, was))| now != was && !writes.contains(at))
                    .map(|(at, _)| at)
                    .next();
                assert_eq!(
                    stray, None,
                    "{} writes outside of {writes:?}",
                    launch.kernel
                );
            }
            assert_eq!((done, counters), ([run], [0, run]), "the number of the run");
        }
        assert_eq!(constants.bytes(), &program.constants[..], "constants");
        assert!(
            output[program.output..].iter().all(|&v| v == UNTOUCHED),
            "behind the output"
        );
        output.truncate(program.output);
        output
    }
}
