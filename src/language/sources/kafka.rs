//! Instructions from a topic of Kafka: the value of each record is one, in order.
//!
//! A broker is talked to on a thread of its own; what it said comes through an `every` link with a byte on a socket pair, on
//! which the language thread waits as on any other source. When the link is full that thread waits and the broker keeps the rest.
//!
//! Thread: language, and `kafka`. Blocks: no, here.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, Visitor, value::MapAccessDeserializer};

use super::lines::{self, BadLine, Line};
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::kafka::{Begin, Event, Follower, KafkaConfig, TopicAddress, Wait};
use crate::link::{self, EveryReader, EveryWriter};
use crate::rt::stop::Stop;
use crate::rt::wait::Bell;
use crate::units::Nanos;

/// BOUND: instructions that wait to be encoded. Each takes milliseconds; the broker keeps the others.
const ROOM: usize = 64;
/// How often the follower looks whether there is room again.
const HELD_BACK: Nanos = Nanos::from_millis(1);

/// `language.kafka`: `"HOST:PORT/TOPIC"`, or a table with these keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstructionTopic {
    pub topic: TopicAddress,
    pub follow: KafkaConfig,
    /// An instruction whose record is older than this when it arrives is refused, such as those that a broker kept while nobody
    /// could reach it. The record's time stamp counts, so the clocks of both machines must agree. Default: none is too old.
    pub oldest: Option<Nanos>,
}

impl<'de> Deserialize<'de> for InstructionTopic {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(EitherForm)
    }
}

struct EitherForm;

impl<'de> Visitor<'de> for EitherForm {
    type Value = InstructionTopic;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("\"HOST:PORT/TOPIC\", or a table with `topic`")
    }

    fn visit_str<E: Error>(self, line: &str) -> Result<Self::Value, E> {
        Ok(InstructionTopic {
            topic: line.parse().map_err(E::custom)?,
            follow: KafkaConfig::default(),
            oldest: None,
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            topic: TopicAddress,
            #[serde(default)]
            partition: Option<u16>,
            #[serde(default)]
            begin: Begin,
            #[serde(default)]
            wait: Wait,
            #[serde(default)]
            oldest: Option<Nanos>,
        }
        let table = Table::deserialize(MapAccessDeserializer::new(map))?;
        if table.oldest.is_some_and(|oldest| oldest <= Nanos::ZERO) {
            return Err(A::Error::custom(
                "`oldest` of 0 or less would refuse every instruction",
            ));
        }
        Ok(InstructionTopic {
            topic: table.topic,
            follow: KafkaConfig {
                partition: table.partition,
                begin: table.begin,
                wait: table.wait,
            },
            oldest: table.oldest,
        })
    }
}

/// What came.
#[derive(Debug)]
pub enum Next {
    Line(Line),
    /// For the person at the terminal.
    Note(String),
}

/// A topic that is followed.
#[derive(Debug)]
pub struct Topic {
    /// Ends first.
    _follower: Follower,
    came: EveryReader<Next>,
    /// A byte for each thing that came; bytes that found no room are not needed, since those before them wake as well.
    wake: UnixStream,
}

impl Topic {
    /// Starts to follow.
    ///
    /// # Errors
    /// [`Kind::Internal`] if there is no thread or no descriptor left.
    pub fn start(config: &InstructionTopic) -> Result<Self> {
        let pair = || -> io::Result<_> {
            let (ours, theirs) = UnixStream::pair()?;
            ours.set_nonblocking(true)?;
            theirs.set_nonblocking(true)?;
            Ok((ours, theirs))
        };
        let (wake, waker) = pair().map_err(|e| {
            Fault::from_io(
                "a Kafka topic cannot be followed",
                &e,
                Kind::Internal,
                "raise ulimit -n",
            )
        })?;
        let (came_in, came) = link::every(ROOM, &Bell::silent());
        let mut teller = Teller {
            topic: config.topic.clone(),
            oldest: config.oldest,
            came: came_in,
            waker,
            interruptions: 0,
            is_troubled: false,
        };
        let take = move |event: Event<'_>, stop: &Stop| teller.tell(event, stop);
        let follower = Follower::start("kafka", config.topic.clone(), &config.follow, take)?;
        Ok(Self {
            _follower: follower,
            came,
            wake,
        })
    }

    pub fn waits_for(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes note of having been woken.
    pub fn read(&mut self) {
        // BOUND: more bytes wake again at once.
        let _ = self.wake.read(&mut [0; 2 * ROOM]);
    }

    /// The next that came.
    pub fn pop(&mut self) -> Option<Next> {
        self.came.pop()
    }
}

/// The follower's end.
struct Teller {
    topic: TopicAddress,
    oldest: Option<Nanos>,
    came: EveryWriter<Next>,
    waker: UnixStream,
    interruptions: u32,
    /// A person has been told that it is not heard.
    is_troubled: bool,
}

impl Teller {
    fn tell(&mut self, event: Event<'_>, stop: &Stop) {
        let came = match event {
            Event::Record(record, received) => {
                let value = record.value.unwrap_or_default();
                let text = match (lines::instruction(value), self.too_old(record.stamp_ms)) {
                    (None, _) => return,
                    (Some(Ok(_)), Some(age)) => Err(BadLine::TooOld(age)),
                    (Some(text), _) => text,
                };
                Next::Line(Line { text, received })
            }
            Event::Skipped { count, why } => Next::Note(format!(
                "kafka {}: {count} instructions are skipped: they are {why}",
                self.topic
            )),
            Event::Gone { count } => Next::Note(format!(
                "kafka {}: the broker no longer has {count} instructions that were not heard yet",
                self.topic
            )),
            Event::Note(note) => Next::Note(note),
            Event::Trouble(fault) => {
                self.is_troubled = true;
                Next::Note(fault.to_string())
            }
            Event::Interrupted => {
                self.interruptions += 1;
                return;
            }
            Event::Heard { offset } => {
                if !std::mem::take(&mut self.is_troubled) {
                    return;
                }
                let times = self.interruptions;
                Next::Note(format!(
                    "kafka {}: heard, from record {offset} on ({times} interruptions so far)",
                    self.topic
                ))
            }
        };
        self.pass(came, stop);
    }

    fn too_old(&self, stamp_ms: Option<i64>) -> Option<Nanos> {
        let now = clock::read(libc::CLOCK_REALTIME);
        let age = Nanos(now.0.saturating_sub(stamp_ms?.saturating_mul(1_000_000)));
        Some(age).filter(|age| self.oldest.is_some_and(|oldest| *age > oldest))
    }

    fn pass(&mut self, came: Next, stop: &Stop) {
        // BOUND: until there is room, or the stop.
        while !self.came.has_room() {
            if stop.asked() {
                return;
            }
            clock::sleep_until(clock::now() + HELD_BACK);
        }
        // There is room, and only this end fills it.
        let _ = self.came.push(came);
        let _ = self.waker.write(&[0]);
    }
}
