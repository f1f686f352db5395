//! Readings from a topic of Kafka: the same messages as in datagrams, one a record.
//!
//! Talking to a broker allocates and blocks, so it is done on a thread of its own on the housekeeping cores. What it heard comes
//! through an `every` link, understood already; `next` takes it from there and neither allocates nor locks. When the link is full
//! that thread waits, and the broker keeps what is still to come: nothing is lost and nothing comes twice.
//!
//! Thread: the sensor's, and `kafka-N`. Allocates: in `new` and `start`. Blocks: in `next`, until the deadline. Locks: no.
//! Syscalls: `futex`.

use super::config::SensorConfig;
use super::counters::SensorCounters;
use super::datagram::DATAGRAM_BYTES;
use super::intake::Intake;
use super::{Reading, SensorSource};
use crate::clock;
use crate::console;
use crate::error::{Result, StepError};
use crate::kafka::{Event, Follower, KafkaConfig, TopicAddress};
use crate::link::{self, EveryReader, EveryWriter};
use crate::rt::stop::Stop;
use crate::rt::sync::Arc;
use crate::rt::wait::Bell;
use crate::units::{MonoTime, Nanos};
use crate::wire::{Malformed, Message};

/// BOUND: what a broker sends at once after an outage comes in parts of this; 100 Hz fill it in two seconds.
const ROOM: usize = 256;
/// How often the follower looks whether there is room again.
const HELD_BACK: Nanos = Nanos::from_millis(1);

/// What the follower heard.
#[derive(Clone, Copy, Debug)]
enum Came {
    Record {
        message: Result<Message, Malformed>,
        stamp_ms: Option<i64>,
        arrived: MonoTime,
    },
    Skipped(u64),
    Gone(u64),
    Interrupted,
    Resumed,
}

/// See the module.
#[derive(Debug)]
pub struct KafkaSensor {
    address: TopicAddress,
    config: KafkaConfig,
    thread: String,
    intake: Intake,
    bell: Bell,
    /// From `start` on.
    running: Option<(Follower, EveryReader<Came>)>,
}

impl KafkaSensor {
    pub fn new(address: &TopicAddress, config: &SensorConfig, source_index: u8) -> Self {
        Self {
            address: address.clone(),
            config: config.kafka.clone(),
            thread: format!("kafka-{source_index}"),
            intake: Intake::new(config, source_index),
            bell: Bell::new(),
            running: None,
        }
    }
}

impl SensorSource for KafkaSensor {
    fn describe(&self) -> String {
        format!("kafka {}", self.address)
    }

    fn start(&mut self) -> Result<()> {
        if self.running.is_none() {
            let (came_in, came) = link::every(ROOM, &self.bell);
            let mut teller = Teller {
                name: self.describe(),
                came: came_in,
                is_interrupted: false,
                is_troubled: false,
            };
            let take = move |event: Event<'_>, stop: &Stop| teller.tell(event, stop);
            let (thread, address) = (&self.thread, self.address.clone());
            let follower = Follower::start(thread, address, &self.config, take)?;
            self.running = Some((follower, came));
        }
        Ok(())
    }

    fn next(&mut self, deadline: MonoTime) -> Result<Option<Reading>, StepError> {
        let Self {
            intake,
            bell,
            running,
            ..
        } = self;
        let (_, came) = running.as_mut().ok_or(StepError::DeviceLost)?;
        // BOUND: ends at the deadline, also when a flood of rubbish arrives.
        loop {
            if let Some(came) = came.pop() {
                let reading = understood(intake, came);
                if reading.is_some() || clock::now() >= deadline {
                    return Ok(reading);
                }
            } else if !bell.sleep(deadline, || !came.is_empty()) {
                return Ok(None);
            }
        }
    }

    fn counters(&self) -> Option<Arc<SensorCounters>> {
        Some(self.intake.counters())
    }
}

fn understood(intake: &mut Intake, came: Came) -> Option<Reading> {
    match came {
        Came::Record {
            message,
            stamp_ms,
            arrived,
        } => return intake.take_message(message, stamp_ms, arrived),
        Came::Skipped(count) => intake.skip(count),
        Came::Gone(count) => intake.count().gone.add(count),
        Came::Interrupted => intake.count().interrupted.add(1),
        Came::Resumed => intake.count().resumed.add(1),
    }
    None
}

/// The follower's end.
struct Teller {
    name: String,
    came: EveryWriter<Came>,
    /// It was heard, and is not any more.
    is_interrupted: bool,
    /// A person has been told that it is not heard.
    is_troubled: bool,
}

impl Teller {
    fn tell(&mut self, event: Event<'_>, stop: &Stop) {
        match event {
            Event::Record(record, arrived) => {
                let value = record.value.unwrap_or_default();
                // As long as a datagram may be.
                let message = match value.len() {
                    ..=DATAGRAM_BYTES => Message::decode(value),
                    _ => Err(Malformed::BadLength),
                };
                let came = Came::Record {
                    message,
                    stamp_ms: record.stamp_ms,
                    arrived,
                };
                self.pass(came, stop);
            }
            Event::Skipped { count, why } => {
                console::line(format_args!(
                    "{}: {count} records are skipped: {why}",
                    self.name
                ));
                self.pass(Came::Skipped(count), stop);
            }
            Event::Gone { count } => self.pass(Came::Gone(count), stop),
            Event::Interrupted => {
                self.is_interrupted = true;
                self.pass(Came::Interrupted, stop);
            }
            Event::Note(note) => console::line(note),
            Event::Trouble(fault) => {
                self.is_troubled = true;
                console::line(fault);
            }
            Event::Heard { offset } => {
                if std::mem::take(&mut self.is_interrupted) {
                    self.pass(Came::Resumed, stop);
                }
                if std::mem::take(&mut self.is_troubled) {
                    console::line(format_args!(
                        "{}: heard, from record {offset} on",
                        self.name
                    ));
                }
            }
        }
    }

    fn pass(&mut self, came: Came, stop: &Stop) {
        // BOUND: until there is room, or the stop.
        while !self.came.has_room() {
            if stop.asked() {
                return;
            }
            clock::sleep_until(clock::now() + HELD_BACK);
        }
        // There is room, and only this end fills it.
        let _ = self.came.push(came);
    }
}
