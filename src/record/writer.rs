//! The thread that writes: from messages to the file. Whatever the disk does, it stops nobody.
//!
//! Thread: record-writer (housekeeping). Allocates: yes. Blocks: on the disk. Locks: no.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::config::RecordConfig;
use super::mcap::write::{Compression, McapWriter, Stamps};
use super::message::UtcOffset;
use super::recorder::Picture;
use super::topic::Topic;
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::link::{EveryReader, EveryWriter};
use crate::rt::wait::Bell;
use crate::units::{MonoTime, Nanos};

/// A chunk is closed at least this often: what a kill may cost.
const CLOSE_EVERY: Nanos = Nanos::from_millis(500);
/// How often the file is made safe from a power cut.
const SYNC_EVERY: Nanos = Nanos::from_secs(2);

/// Version of the layout of the messages; a reader refuses others.
pub const LAYOUT: &str = "2";
/// The metadata record that says what was recorded.
pub const ABOUT: &str = "reflexarc";
/// The attachment with the configuration.
pub const CONFIGURATION: &str = "configuration.toml";

/// What a replay must know of a run besides its messages.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// The TOML text, as it was written.
    pub configuration: String,
    /// Where frames came from, as on the command line.
    pub source: String,
    pub policy: String,
    pub encoder: String,
    /// Sensors, one line for people each.
    pub sensors: Vec<String>,
    /// Name and words of each configured stream.
    pub streams: Vec<(String, String)>,
    /// Where the joints were as the run began.
    pub start: Vec<f32>,
}

/// A message on its way to the file: its bytes are `head`, then those of the picture.
#[derive(Debug)]
pub struct Item {
    pub topic: Topic,
    pub sequence: u32,
    pub stamps: Stamps,
    pub head: Vec<u8>,
    pub picture: Option<Picture>,
}

/// What is in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub path: PathBuf,
    pub messages: u64,
    pub pictures: u64,
    pub bytes: u64,
    /// Messages that came after the disk had failed, and those that were lost as it did.
    pub lost: u64,
    /// Why the recording ended before the run.
    pub fault: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Writing {
    path: PathBuf,
    /// None once the disk has failed and the file is closed.
    file: Option<McapWriter>,
    channels: BTreeMap<Topic, u16>,
    written: Written,
    /// Messages given to the file.
    given: u64,
}

impl Writing {
    /// Makes the file, and the folders above it.
    ///
    /// # Errors
    /// `Output`.
    pub fn open(path: &Path, compression: Compression) -> Result<Self> {
        let make = || {
            if let Some(folder) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
                fs::create_dir_all(folder)?;
            }
            let library = concat!("reflexarc ", env!("CARGO_PKG_VERSION"));
            McapWriter::new(File::create(path)?, library, compression)
        };
        let file = make().map_err(|error| cannot_write(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file: Some(file),
            channels: BTreeMap::new(),
            written: Written::default(),
            given: 0,
        })
    }

    /// Writes what comes before all messages.
    pub fn begin(&mut self, about: &About, config: &RecordConfig, utc: UtcOffset) -> Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let states = (0u8..).zip(&about.sensors).map(|(i, _)| Topic::State(i));
        let topics = [Topic::Image, Topic::CompressedImage]
            .into_iter()
            .chain(states)
            .chain(Topic::OWN);
        let write = || {
            let mut schemas = BTreeMap::new();
            for topic in topics {
                let Some(schema) = topic.schema(config) else {
                    continue;
                };
                let id = match schemas.get(schema.name) {
                    Some(id) => *id,
                    None => file.schema(&schema)?,
                };
                schemas.insert(schema.name, id);
                let channel = file.channel(id, &topic.name(), "cdr")?;
                self.channels.insert(topic, channel);
            }
            let begin = utc.utc(clock::now());
            let text = about.configuration.as_bytes();
            file.attachment(CONFIGURATION, "application/toml", begin, text)?;
            file.metadata(ABOUT, &entries(about, config, utc))
        };
        write().map_err(|error| cannot_write(&self.path, &error))
    }

    /// Writes until the recorder has gone and all is written, then ends the file.
    pub fn run(
        mut self,
        mut items: EveryReader<Item>,
        mut pictures: EveryWriter<Picture>,
        bell: &Bell,
    ) -> Written {
        let (mut closed, mut synced) = (clock::now(), clock::now());
        // BOUND: ends with the recorder; each turn waits at most `CLOSE_EVERY`.
        loop {
            let abandoned = items.is_abandoned();
            if let Some(item) = items.pop() {
                self.write(&item);
                if let Some(picture) = item.picture {
                    // The link was made for all pictures.
                    drop(pictures.push(picture));
                }
            } else if abandoned {
                break;
            } else {
                let ready = || !items.is_empty() || items.is_abandoned();
                bell.sleep(closed + CLOSE_EVERY, ready);
            }
            let now = clock::now();
            self.keep(now, &mut closed, &mut synced);
        }
        self.end()
    }

    /// Once the disk has failed, what comes is counted only.
    pub fn write(&mut self, item: &Item) {
        let Some(file) = &mut self.file else {
            self.written.lost += 1;
            return;
        };
        let Some(channel) = self.channels.get(&item.topic) else {
            return;
        };
        let picture = item.picture.as_ref().map_or(&[][..], |p| &p.bytes);
        self.given += 1;
        let data = [&item.head[..], picture];
        if let Err(error) = file.message(*channel, item.sequence, item.stamps, data) {
            self.fail(&error);
        }
    }

    /// Closes the chunk and makes the file safe, when it is time.
    fn keep(&mut self, now: MonoTime, closed: &mut MonoTime, synced: &mut MonoTime) {
        let Some(file) = &mut self.file else { return };
        let mut done = Ok(());
        if now - *closed >= CLOSE_EVERY {
            *closed = now;
            done = file.close_chunk();
        }
        if now - *synced >= SYNC_EVERY {
            *synced = now;
            done = done.and_then(|()| file.sync());
        }
        if let Err(error) = done {
            self.fail(&error);
        }
    }

    /// The disk does not take any more. What is in the file gets an end if there is room for one; without it the file can be
    /// read all the same.
    fn fail(&mut self, error: &io::Error) {
        let Some(file) = self.file.take() else { return };
        self.written.fault = Some(error.to_string());
        // There may be no room for the end either.
        let _ = self.close(file);
    }

    /// Ends the file.
    pub fn end(mut self) -> Written {
        if let Some(file) = self.file.take()
            && let Err(error) = self.close(file)
        {
            self.written.fault = Some(error.to_string());
        }
        self.written.path = self.path;
        self.written
    }

    fn close(&mut self, mut file: McapWriter) -> io::Result<()> {
        let last = file.close_chunk();
        self.written.messages = file.messages();
        let images = [Topic::Image, Topic::CompressedImage];
        let channels = images.iter().filter_map(|t| self.channels.get(t));
        self.written.pictures = channels.map(|c| file.messages_of(*c)).sum();
        self.written.lost += self.given - self.written.messages;
        self.written.bytes = file.bytes();
        let bytes = file.finish();
        self.written.bytes = *bytes.as_ref().unwrap_or(&self.written.bytes);
        last.and(bytes.map(|_| ()))
    }
}

/// What the metadata record says; values are text.
fn entries(about: &About, config: &RecordConfig, utc: UtcOffset) -> Vec<(&'static str, String)> {
    let start: Vec<String> = about.start.iter().map(f32::to_string).collect();
    vec![
        ("layout", LAYOUT.to_owned()),
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("architecture", std::env::consts::ARCH.to_owned()),
        ("source", about.source.clone()),
        ("frames", config.frames.to_string()),
        ("policy", about.policy.clone()),
        ("encoder", about.encoder.clone()),
        ("sensors", about.sensors.join("\n")),
        ("start", start.join(" ")),
        ("utc_minus_monotonic_ns", utc.0.to_string()),
    ]
}

fn cannot_write(path: &Path, error: &io::Error) -> Fault {
    Fault::from_io(
        format!("the recording {} cannot be written", path.display()),
        error,
        Kind::Output,
        "name a file in a folder that you may write to, on a disk with room",
    )
}
