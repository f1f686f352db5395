//! What a replay computed, as a recording of its own: steps, chunks and actions.
//!
//! Thread: main. Allocates: yes. Blocks: on the disk.

use std::path::Path;

use super::config::RecordConfig;
use super::mcap::write::{Compression, Stamps};
use super::message::{self, UtcOffset};
use super::recorded::Recorded;
use super::recorder::low;
use super::tap::{Beat, FusionStep, Numbered};
use super::topic::Topic;
use super::writer::{Item, Writing};
use crate::action::Chunk;
use crate::error::{Fault, Kind, Result};
use crate::units::MonoTime;

/// See the module.
#[derive(Debug)]
pub struct Output {
    writing: Writing,
    steps: u64,
    beats: u64,
    utc: UtcOffset,
}

impl Output {
    /// Begins a file that says it is about the same run.
    pub fn open(path: &Path, recorded: &Recorded) -> Result<Self> {
        let is_same = path.canonicalize().ok() == recorded.path.canonicalize().ok();
        if path.exists() && is_same {
            return Err(Fault::new(
                Kind::Usage,
                format!("--out is {}, the recording itself", path.display()),
                "it would be overwritten before it is read",
                "name another file",
            ));
        }
        let mut writing = Writing::open(path, Compression::default())?;
        writing.begin(&recorded.about, &RecordConfig::default(), recorded.utc)?;
        Ok(Self {
            writing,
            steps: 0,
            beats: 0,
            utc: recorded.utc,
        })
    }

    pub fn step(&mut self, step: &FusionStep, chunk: Option<&Chunk>) {
        self.steps += 1;
        let head = message::step(self.steps, step);
        self.write(Topic::Step, self.steps, step.end, head);
        if let Some(chunk) = chunk {
            let head = message::chunk(chunk);
            self.write(Topic::Chunk, step.seq, step.end, head);
        }
    }

    pub fn beat(&mut self, beat: &Beat) {
        self.beats += 1;
        let numbered = Numbered {
            order: self.beats,
            event: *beat,
        };
        let head = message::action(&numbered);
        self.write(Topic::Action, self.beats, beat.written, head);
    }

    fn write(&mut self, topic: Topic, sequence: u64, at: MonoTime, head: Vec<u8>) {
        let log = self.utc.utc(at);
        self.writing.write(&Item {
            topic,
            sequence: low(sequence),
            stamps: Stamps { log, publish: log },
            head,
            picture: None,
        });
    }

    /// # Errors
    /// Not everything could be written.
    pub fn finish(self) -> Result<()> {
        let written = self.writing.end();
        written.fault.map_or(Ok(()), |why| {
            Err(Fault::new(
                Kind::Output,
                format!("{} is not whole", written.path.display()),
                why,
                "free some space, or name a file elsewhere",
            ))
        })
    }
}
