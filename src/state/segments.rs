//! The journal on the disk: a ring of files of equal size, each overwritten when its turn comes.
//!
//! Thread: housekeeping. Allocates: yes. Blocks: on the disk. Locks: no. Syscalls: files.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use crate::units::MonoTime;

use super::journal::{Entry, RECORD_BYTES, SEGMENT_HEADER_BYTES, Segment, What, put_record};
use super::pair::take_space;

/// Files of the ring. One more run, or a full file, overwrites the oldest; the others stay.
pub const FILES: u64 = 8;
/// BOUND: no file of the ring is larger, whatever the configuration says: it is read as a whole.
pub const FILE_BYTES_MAX: u64 = 8 * 1024 * 1024;

/// Where the segment with this number is kept.
pub fn path(folder: &Path, segment: u64) -> PathBuf {
    folder.join(format!("journal.{}", segment % FILES))
}

/// A whole journal, read.
#[derive(Debug, Default)]
pub struct Journal {
    /// By their number. Those that are no segments are left out.
    pub segments: Vec<(Segment, Vec<Entry>)>,
    /// What is wrong, in words.
    pub damages: Vec<String>,
}

impl Journal {
    /// Reads whatever is there.
    pub fn read(folder: &Path) -> Self {
        let mut journal = Self::default();
        for index in 0..FILES {
            let path = path(folder, index);
            let Some(bytes) = read_file(&path) else {
                continue;
            };
            match Segment::read(&bytes) {
                Ok(head) => {
                    let entries = head.records(&bytes).collect();
                    journal.segments.push((head, entries));
                }
                Err(super::snapshot::Damage::Empty) => {}
                Err(damage) => journal.damages.push(format!("journal.{index} {damage}")),
            }
        }
        journal.segments.sort_by_key(|(head, _)| head.segment);
        journal.find_holes();
        journal
    }

    /// A segment that another of the same run follows was closed; where the close is missing, records before it are.
    fn find_holes(&mut self) {
        for pair in self.segments.windows(2) {
            let [(head, entries), (after, _)] = pair else {
                continue;
            };
            let closed = entries.last().is_some_and(|e| e.what == What::Close);
            let adjoins = head.segment + 1 == after.segment;
            if head.run == after.run && !(closed && adjoins) {
                self.damages.push(format!(
                    "the journal has a hole between its segments {} and {}",
                    head.segment, after.segment
                ));
            }
        }
    }

    /// The entries of a run behind this number, in order.
    pub fn after(&self, run: u64, number: u64) -> impl Iterator<Item = &Entry> {
        self.segments
            .iter()
            .filter(move |(head, _)| head.run == run)
            .flat_map(|(_, entries)| entries)
            .filter(move |entry| entry.number > number)
    }

    /// The highest numbers of a segment and of an entry anywhere.
    pub fn highest(&self) -> (u64, u64) {
        let segment = self.segments.last().map_or(0, |(head, _)| head.segment);
        let entries = self.segments.iter().map(|(head, entries)| {
            entries
                .last()
                .map_or(head.first.saturating_sub(1), |e| e.number)
        });
        (segment, entries.max().unwrap_or(0))
    }
}

fn read_file(path: &Path) -> Option<Vec<u8>> {
    let opened = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    // A device in its place may have no end.
    let file = opened
        .ok()
        .filter(|f| f.metadata().is_ok_and(|m| m.is_file()))?;
    let mut bytes = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The writing end.
#[derive(Debug)]
pub struct Ring {
    folder: PathBuf,
    file_bytes: usize,
    head: Segment,
    /// Of the segment's records.
    salt: u32,
    /// None before the first write, and after a failure: it is opened again then.
    file: Option<File>,
    /// Where the next record goes; 0: the segment's head has not been written.
    at: usize,
    /// Records that wait for the commit.
    waiting: Vec<u8>,
    waiting_count: u64,
    /// The newest number given to this.
    newest: u64,
    /// Entries that could not be kept since the last that was.
    lost: u64,
    lost_in_all: u64,
}

impl Ring {
    /// Begins the segment `head.segment`, which the first commit writes. `bytes` is the size of the whole ring.
    pub fn new(folder: &Path, bytes: u64, head: Segment) -> Self {
        let file_bytes = (bytes / FILES).min(FILE_BYTES_MAX);
        Self {
            folder: folder.to_owned(),
            file_bytes: usize::try_from(file_bytes).unwrap_or(usize::MAX),
            newest: head.first.saturating_sub(1),
            salt: head.salt(),
            head,
            file: None,
            at: 0,
            waiting: Vec::new(),
            waiting_count: 0,
            lost: 0,
            lost_in_all: 0,
        }
    }

    /// Takes an entry for the next commit. One that no segment could hold is lost.
    ///
    /// # Errors
    /// The segment was full and the disk refused what it still had to take.
    pub fn append(&mut self, entry: &Entry) -> io::Result<()> {
        if self.place(entry) {
            return Ok(());
        }
        let turned = self.turn(entry);
        if !self.place(entry) {
            self.lose(1);
            self.newest = entry.number;
        }
        turned
    }

    fn lose(&mut self, entries: u64) {
        self.lost += entries;
        self.lost_in_all += entries;
    }

    /// Puts the entry to those that wait, if it fits into the segment with the close behind it.
    fn place(&mut self, entry: &Entry) -> bool {
        if self.waiting.is_empty() {
            self.confess(entry.arrived);
        }
        let place = self.waiting.len();
        put_record(self.salt, entry, &mut self.waiting);
        let used = self.at.max(SEGMENT_HEADER_BYTES) + self.waiting.len();
        let fits = used + RECORD_BYTES <= self.file_bytes;
        if fits {
            self.waiting_count += 1;
            self.newest = entry.number;
        } else {
            self.waiting.truncate(place);
        }
        fits
    }

    /// Tells of a loss, under the number of the newest entry that was lost.
    fn confess(&mut self, now: MonoTime) {
        if self.lost == 0 || self.newest == 0 {
            return;
        }
        let entry = Entry {
            number: self.newest,
            event: now,
            arrived: now,
            source: 0,
            what: What::Lost { entries: self.lost },
        };
        put_record(self.salt, &entry, &mut self.waiting);
    }

    /// Closes the segment and begins the next, of which `entry` will be the first.
    fn turn(&mut self, entry: &Entry) -> io::Result<()> {
        let close = Entry {
            what: What::Close,
            ..entry.clone()
        };
        put_record(self.salt, &close, &mut self.waiting);
        let done = self.commit();
        self.head.segment += 1;
        self.head.first = entry.number;
        self.head.mono = entry.arrived.0;
        self.salt = self.head.salt();
        (self.file, self.at) = (None, 0);
        done
    }

    /// Returns when the disk has all entries.
    ///
    /// # Errors
    /// The disk refused, and the entries that waited are lost. The next commit tries again, and tells of them.
    pub fn commit(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() {
            return Ok(());
        }
        let written = self.write();
        match &written {
            Ok(()) => self.lost = 0,
            Err(_) => {
                self.lose(self.waiting_count);
                self.file = None;
            }
        }
        self.waiting.clear();
        self.waiting_count = 0;
        written
    }

    pub fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Entries that could not be kept.
    pub fn lost_in_all(&self) -> u64 {
        self.lost_in_all
    }

    fn write(&mut self) -> io::Result<()> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        if self.at == 0 {
            file.write_all_at(&self.head.bytes(), 0)?;
            self.at = SEGMENT_HEADER_BYTES;
        }
        let mut at = self.at;
        file.write_all_at(&self.waiting, at as u64)?;
        at += self.waiting.len();
        file.sync_data()?;
        (self.file, self.at) = (Some(file), at);
        Ok(())
    }

    fn open(&self) -> io::Result<File> {
        let path = path(&self.folder, self.head.segment);
        let is_new = !path.exists();
        let mut options = File::options();
        let file = options
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)?;
        take_space(
            &file,
            self.file_bytes.try_into().unwrap_or(libc::off_t::MAX),
        );
        if is_new {
            File::open(&self.folder)?.sync_all()?;
        }
        Ok(file)
    }
}
