//! A recording, read: what each stage did, in the order in which it did it.
//!
//! Thread: main. Allocates: all but the pictures, which are read when they are asked for. Blocks: on the disk.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::path::{Path, PathBuf};

use super::mcap::read::{Ending, Extras, McapReader, Message, Place};
use super::message::{self, UtcOffset};
use super::recorder::low;
use super::tap::{Beat, FrameEvent, FusionStep, Numbered};
use super::topic::Topic;
use super::writer::{ABOUT, About, CONFIGURATION, LAYOUT};
use crate::error::{Fault, Kind, Result};
use crate::language::Instruction;
use crate::sensor::Reading;

/// What fusion did.
#[derive(Clone, Debug)]
pub enum Did {
    Read { sensor: u8, reading: Reading },
    Hear(Box<Instruction>),
    Step(FusionStep),
}

/// A picture's place in the file.
#[derive(Clone, Copy, Debug)]
struct Image {
    place: Place,
    is_compressed: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Recorded {
    pub path: PathBuf,
    pub about: About,
    /// What the machine was: `x86_64`.
    pub architecture: String,
    pub utc: UtcOffset,
    pub ending: Ending,
    /// Frames that the features stage worked on, by number.
    pub frames: BTreeMap<u64, FrameEvent>,
    /// In order, up to the first that is missing.
    pub fusion: Vec<Did>,
    /// In order, up to the first that is missing.
    pub beats: Vec<Beat>,
    /// Chunks, as messages, by the number of their frame.
    pub chunks: BTreeMap<u64, Vec<u8>>,
    /// Things that fusion and the action stage did after the first hole in what they told: they cannot be replayed.
    pub after_gap: [u64; 2],
    images: HashMap<u32, Image>,
    reader: McapReader,
}

/// What was read so far, in the order of the file.
#[derive(Default)]
struct Gathered {
    frames: Vec<Numbered<FrameEvent>>,
    fusion: Vec<Numbered<Did>>,
    beats: Vec<Numbered<Beat>>,
    chunks: BTreeMap<u64, Vec<u8>>,
    images: HashMap<u32, Image>,
    /// Topics with a message that is not as its schema says.
    strange: Option<String>,
}

impl Recorded {
    /// Reads a recording. One that was cut off is read up to its last whole chunk; see [`Recorded::ending`].
    ///
    /// # Errors
    /// `BadInput` if it is no recording of ours.
    pub fn open(path: &Path) -> Result<Self> {
        let cannot = |error: &std::io::Error| {
            let fix = "name a file that `reflexarc record` has written";
            let what = format!("the recording {} cannot be read", path.display());
            Fault::from_io(what, error, Kind::BadInput, fix)
        };
        let file = File::open(path).map_err(|e| cannot(&e))?;
        let mut reader = McapReader::new(file).map_err(|e| cannot(&e))?;
        let mut gathered = Gathered::default();
        let read = reader.read(&mut |message| gathered.take(message));
        let (extras, ending) = read.map_err(|e| cannot(&e))?;
        let about = about_of(&extras).map_err(|why| not_ours(path, &why))?;
        let (about, architecture, utc) = about;
        if let Some(topic) = gathered.strange {
            let why = format!("a message of {topic} is not as its schema says");
            return Err(not_ours(path, &why));
        }
        let frames = gathered.frames.into_iter();
        let (fusion, fusion_after) = unbroken(gathered.fusion);
        let (beats, beats_after) = unbroken(gathered.beats);
        Ok(Self {
            path: path.to_owned(),
            about,
            architecture,
            utc,
            ending,
            frames: frames.map(|f| (f.event.meta.seq, f.event)).collect(),
            fusion,
            beats,
            chunks: gathered.chunks,
            after_gap: [fusion_after, beats_after],
            images: gathered.images,
            reader,
        })
    }

    /// Fusion's steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &FusionStep> {
        self.fusion.iter().filter_map(|did| match did {
            Did::Step(step) => Some(step),
            _ => None,
        })
    }

    pub fn has_picture(&self, seq: u64) -> bool {
        self.images.contains_key(&low(seq))
    }

    pub fn picture_count(&self) -> usize {
        self.images.len()
    }

    /// The bytes of a frame's picture; None if it was not recorded.
    ///
    /// # Errors
    /// The file has changed, or the disk fails.
    pub fn picture(&mut self, seq: u64) -> Result<Option<Vec<u8>>> {
        let Some(image) = self.images.get(&low(seq)) else {
            return Ok(None);
        };
        let message = self.reader.message_at(image.place).map_err(|error| {
            let what = format!("a picture of {} cannot be read", self.path.display());
            Fault::from_io(
                what,
                &error,
                Kind::BadInput,
                "check the disk that it lies on",
            )
        })?;
        Ok(message::image_bytes(message, image.is_compressed).map(<[u8]>::to_vec))
    }
}

impl Gathered {
    fn take(&mut self, message: &Message<'_>) {
        let taken =
            Topic::named(message.topic).is_none_or(|t| self.take_from(t, message).is_some());
        if !taken {
            self.strange.get_or_insert(message.topic.to_owned());
        }
    }

    fn take_from(&mut self, topic: Topic, message: &Message<'_>) -> Option<()> {
        let (data, place) = (message.data, message.place);
        match topic {
            Topic::Image | Topic::CompressedImage => {
                let is_compressed = topic == Topic::CompressedImage;
                let image = Image {
                    place,
                    is_compressed,
                };
                self.images.insert(message.sequence, image);
            }
            Topic::State(_) | Topic::StreamResult => {}
            Topic::Frame => self.frames.push(message::read_frame(data)?),
            Topic::Reading => {
                let Numbered { order, event } = message::read_reading(data)?;
                let (sensor, reading) = event;
                let event = Did::Read { sensor, reading };
                self.fusion.push(Numbered { order, event });
            }
            Topic::Instruction => {
                let Numbered { order, event } = message::read_instruction(data)?;
                let event = Did::Hear(Box::new(event));
                self.fusion.push(Numbered { order, event });
            }
            Topic::Step => {
                let Numbered { order, event } = message::read_step(data)?;
                let event = Did::Step(event);
                self.fusion.push(Numbered { order, event });
            }
            Topic::Chunk => {
                let chunk = message::read_chunk(data)?;
                self.chunks.insert(chunk.trace.seq, data.to_vec());
            }
            Topic::Action => self.beats.push(message::read_action(data)?),
        }
        Some(())
    }
}

/// In order, up to the first number that is missing; and how many come after that.
fn unbroken<T>(mut numbered: Vec<Numbered<T>>) -> (Vec<T>, u64) {
    numbered.sort_by_key(|n| n.order);
    let all = numbered.len();
    let events = (1..).zip(numbered);
    let whole = events.take_while(|(order, n)| n.order == *order);
    let whole: Vec<T> = whole.map(|(_, n)| n.event).collect();
    let after = (all - whole.len()) as u64;
    (whole, after)
}

fn about_of(extras: &Extras) -> Result<(About, String, UtcOffset), String> {
    let entries = extras
        .metadata
        .get(ABOUT)
        .ok_or("it has no metadata record `reflexarc`")?;
    let entry = |key| entries.get(key).cloned().unwrap_or_default();
    let layout = entry("layout");
    if layout != LAYOUT {
        return Err(format!(
            "its layout is {layout}, and this version reads {LAYOUT}"
        ));
    }
    let configuration = extras.attachments.get(CONFIGURATION);
    let configuration = configuration.map(Vec::as_slice).unwrap_or_default();
    let start = entry("start");
    let start: Result<Vec<f32>, _> = start.split_whitespace().map(str::parse).collect();
    let about = About {
        configuration: String::from_utf8_lossy(configuration).into_owned(),
        source: entry("source"),
        policy: entry("policy"),
        encoder: entry("encoder"),
        sensors: entry("sensors").lines().map(str::to_owned).collect(),
        streams: Vec::new(),
        start: start.map_err(|_| "its start position is not numbers")?,
    };
    let utc = entry("utc_minus_monotonic_ns").parse();
    let utc = utc.map_err(|_| "its clock offset is not a number")?;
    Ok((about, entry("architecture"), UtcOffset(utc)))
}

fn not_ours(path: &Path, why: &str) -> Fault {
    Fault::new(
        Kind::BadInput,
        format!("{} is no recording that can be replayed", path.display()),
        why,
        "name a file that `reflexarc record` of this version has written",
    )
}
