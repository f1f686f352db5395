//! From recorded pictures to feature maps, on one or several workers, in the order of the frames.
//!
//! Thread: main, and scoped workers. Allocates: yes. Blocks: on the disk and on the workers.
//!
//! An encoder sees one frame at a time and remembers none, so it does not matter which worker encodes which.

use std::collections::VecDeque;

use super::recorded::Recorded;
use super::tap::FrameEvent;
use crate::error::{Result, StepError};
use crate::features::stage::Features;
use crate::features::{Encoder, FrameView};

/// Frames that are encoded together, for each worker.
const BATCH: usize = 4;

/// The features of one frame.
pub type Encoded = Result<Box<Features>, StepError>;

/// See the module.
pub struct Encoders {
    workers: Vec<Box<dyn Encoder>>,
    /// The frames that fusion stepped on, those still to be encoded.
    due: VecDeque<u64>,
    done: VecDeque<(u64, Option<Encoded>)>,
}

impl Encoders {
    /// Encodes these frames, in this order.
    pub fn new(workers: Vec<Box<dyn Encoder>>, frames: impl Iterator<Item = u64>) -> Self {
        Self {
            workers,
            due: frames.collect(),
            done: VecDeque::new(),
        }
    }

    /// The features of this frame, which must be the next; None if its picture or its description is missing.
    pub fn next(&mut self, seq: u64, recorded: &mut Recorded) -> Result<Option<Encoded>> {
        if self.done.is_empty() {
            self.encode(recorded)?;
        }
        let next = self.done.pop_front_if(|(done, _)| *done == seq);
        Ok(next.and_then(|(_, encoded)| encoded))
    }

    fn encode(&mut self, recorded: &mut Recorded) -> Result<()> {
        let count = (self.workers.len() * BATCH).min(self.due.len());
        let mut jobs = Vec::with_capacity(count);
        for seq in self.due.drain(..count) {
            let picture = recorded.picture(seq)?;
            let event = recorded.frames.get(&seq).copied();
            jobs.push((seq, event.zip(picture), None));
        }
        let share = jobs.len().div_ceil(self.workers.len()).max(1);
        std::thread::scope(|scope| {
            for (encoder, jobs) in self.workers.iter_mut().zip(jobs.chunks_mut(share)) {
                scope.spawn(move || {
                    for (_, job, encoded) in jobs {
                        let job = job.take();
                        *encoded = job.map(|(event, bytes)| encode(&mut **encoder, &event, &bytes));
                    }
                });
            }
        });
        let done = jobs.into_iter().map(|(seq, _, encoded)| (seq, encoded));
        self.done.extend(done);
        Ok(())
    }
}

fn encode(encoder: &mut dyn Encoder, event: &FrameEvent, bytes: &[u8]) -> Encoded {
    let meta = event.meta;
    encoder.load(FrameView { meta: &meta, bytes })?;
    let mut features = Features::new(encoder, &meta.format, 0);
    encoder.encode(&mut features.map)?;
    (features.trace, features.meta) = (event.trace, meta);
    Ok(Box::new(features))
}
