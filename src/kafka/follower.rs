//! From broker to broker, record after record: finds who leads the partition, asks for records, and begins anew after any
//! trouble, from the record behind the last one that was taken.
//!
//! Thread: kafka. Allocates, blocks: here, never on the way. What is made of the records is the taker's business.

use std::thread::JoinHandle;

use super::batch::{Batch, Batches, Record, Unusable};
use super::config::{KafkaConfig, TopicAddress};
use super::connection::Connection;
use super::exchange::{self, Code, Metadata, Place};
use super::position::{Change, Need, Position};
use super::trouble::Trouble;
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::rt::stop::Stop;
use crate::rt::thread;
use crate::units::{MonoTime, Nanos};

/// The first wait after a trouble. It doubles with each that follows.
const PAUSE_FIRST: Nanos = Nanos::from_millis(50);
/// BOUND: so long after a broker is back it is found at the latest.
const PAUSE_MAX: Nanos = Nanos::from_secs(2);
/// How often a pause looks whether it should end.
const TURN: Nanos = Nanos::from_millis(50);

/// What a follower tells its taker, in the order in which it happens.
#[derive(Debug)]
pub enum Event<'a> {
    /// A record, and when the bytes that it was in had come.
    Record(Record<'a>, MonoTime),
    /// So many records cannot be had, and are skipped.
    Skipped { count: u64, why: Unusable },
    /// So many records had gone from the log before they were heard.
    Gone { count: u64 },
    /// What a person should know about the log.
    Note(String),
    /// It cannot be heard just now. Said once for each reason in a row.
    Trouble(Fault),
    /// It was heard, and is not any more.
    Interrupted,
    /// It is heard, the first time or again, from this offset.
    Heard { offset: i64 },
}

/// A thread that follows a partition until this is dropped.
#[derive(Debug)]
pub struct Follower {
    stop: Stop,
    thread: Option<JoinHandle<()>>,
}

impl Follower {
    /// Starts the thread. `take` is called on it and may wait for its own reader, as long as it looks at the stop; what it
    /// does not take at once the broker keeps.
    ///
    /// # Errors
    /// [`Kind::Internal`] if no thread can be started.
    pub fn start(
        name: &str,
        address: TopicAddress,
        config: &KafkaConfig,
        take: impl FnMut(Event<'_>, &Stop) + Send + 'static,
    ) -> Result<Self> {
        let stop = Stop::default();
        let mut following = Following {
            address,
            partition: config.partition,
            wait_ms: config.wait.as_millis(),
            position: Position::new(config.begin),
            stop: stop.clone(),
            asked_first: 0,
            is_heard: false,
            not_before_ms: None,
            damaged_at: None,
            unpacked: Vec::new(),
            take,
        };
        let thread = thread::housekeeping(name, move || following.run()).map_err(|e| {
            Fault::from_io(
                "the thread that follows a Kafka topic could not be started",
                &e,
                Kind::Internal,
                "raise ulimit -u",
            )
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.stop.ask();
        // It ends within a turn, except while this machine looks up a name, which nobody waits for.
        let deadline = clock::now() + TURN * 4;
        // BOUND: four turns.
        while self.thread.as_ref().is_some_and(|t| !t.is_finished()) && clock::now() < deadline {
            clock::sleep_until(clock::now() + Nanos::from_millis(1));
        }
        if let Some(thread) = self.thread.take_if(|thread| thread.is_finished()) {
            // A panic there has been said, and the run goes on without the topic.
            let _ = thread.join();
        }
    }
}

struct Following<F> {
    address: TopicAddress,
    partition: Option<u16>,
    wait_ms: i32,
    position: Position,
    stop: Stop,
    /// Which of the address's brokers is asked first.
    asked_first: usize,
    /// The last answer brought records, or none because there are none.
    is_heard: bool,
    /// Records stamped before are passed over until the first that is not: some brokers find a time only roughly.
    not_before_ms: Option<i64>,
    /// A batch that came damaged once.
    damaged_at: Option<i64>,
    /// Memory for batches that are unpacked.
    unpacked: Vec<u8>,
    take: F,
}

impl<F: FnMut(Event<'_>, &Stop)> Following<F> {
    fn run(&mut self) {
        let (mut pause, mut said) = (PAUSE_FIRST, None);
        while !self.stop.asked() {
            let Err(trouble) = self.converse();
            if trouble == Trouble::Stopped {
                return;
            }
            if std::mem::take(&mut self.is_heard) {
                (pause, said) = (PAUSE_FIRST, None);
                self.tell(Event::Interrupted);
            }
            if said.as_ref() != Some(&trouble) {
                self.tell(Event::Trouble(trouble.explain(&self.address)));
                said = Some(trouble);
            }
            self.rest(pause);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn tell(&mut self, event: Event<'_>) {
        (self.take)(event, &self.stop);
    }

    fn rest(&self, pause: Nanos) {
        let until = clock::now() + pause;
        // BOUND: `pause`.
        while !self.stop.asked() && clock::now() < until {
            clock::sleep_until(until.min(clock::now() + TURN));
        }
    }

    /// From the first connection to the trouble that ends it.
    fn converse(&mut self) -> Result<std::convert::Infallible, Trouble> {
        let (mut connection, metadata) = self.find()?;
        let partition = self.choose(&metadata)?;
        let leader = metadata.partitions[partition].leader.clone();
        let leader = leader.ok_or(Trouble::NoLeader)?;
        let partition = metadata.partitions[partition].index;
        if leader != connection.broker() {
            connection = Connection::open(&leader).map_err(|trouble| match trouble {
                Trouble::NoConnection { broker, why } | Trouble::NoAddress { broker, why } => {
                    Trouble::NoLeaderThere {
                        broker,
                        told_by: connection.broker().to_owned(),
                        why,
                    }
                }
                trouble => trouble,
            })?;
        }
        self.settle(&mut connection, partition, metadata.id)?;
        // BOUND: until the stop or a trouble; each turn waits for the broker.
        loop {
            self.fetch(&mut connection, partition)?;
        }
    }

    /// Asks the brokers of the address in turn where the topic is.
    fn find(&mut self) -> Result<(Connection, Metadata), Trouble> {
        let mut trouble = Trouble::NoLeader;
        let count = self.address.brokers.len();
        for turn in 0..count {
            let index = (self.asked_first + turn) % count;
            match self.ask_where(index) {
                Ok(found) => {
                    self.asked_first = index;
                    return Ok(found);
                }
                Err(Trouble::Stopped) => return Err(Trouble::Stopped),
                Err(e) => trouble = e,
            }
        }
        Err(trouble)
    }

    fn ask_where(&mut self, index: usize) -> Result<(Connection, Metadata), Trouble> {
        let broker = &self.address.brokers[index];
        let mut connection = Connection::open(broker)?;
        let (answer, _) = connection.ask(exchange::ask_versions, &self.stop)?;
        let version = exchange::versions(answer)
            .map_err(Trouble::not_kafka(broker))?
            .ok_or_else(|| Trouble::Versions {
                broker: broker.clone(),
            })?;
        let topic = &self.address.topic;
        let ask = |number| exchange::ask_metadata(version, topic, number);
        let (answer, _) = connection.ask(ask, &self.stop)?;
        let metadata = exchange::metadata(version, answer).map_err(Trouble::not_kafka(broker))?;
        match metadata.code {
            Code::NONE => Ok((connection, metadata)),
            code => {
                if code == Code::UNKNOWN_TOPIC_OR_PARTITION {
                    self.position.is_missing(now_ms());
                }
                Err(Trouble::Code(code))
            }
        }
    }

    /// The place of the partition to follow among those of the topic.
    fn choose(&self, metadata: &Metadata) -> Result<usize, Trouble> {
        let partitions = &metadata.partitions;
        let count = partitions.len();
        match (self.partition, count) {
            (Some(wanted), _) => partitions
                .iter()
                .position(|partition| partition.index == i32::from(wanted))
                .ok_or(Trouble::NoPartition { wanted, count }),
            (None, 0) => Err(Trouble::NoLeader),
            (None, 1) => Ok(0),
            (None, _) => Err(Trouble::SeveralPartitions { count }),
        }
    }

    /// Finds out where to go on.
    fn settle(
        &mut self,
        connection: &mut Connection,
        partition: i32,
        topic: Option<[u8; 16]>,
    ) -> Result<(), Trouble> {
        let need = self.position.need(topic);
        // The end first: what is produced between the two questions is not missed.
        let high = match need {
            Need::Next | Need::Both | Need::Since(_) => {
                self.place(connection, partition, Place::Next)?.unwrap_or(0)
            }
            _ => 0,
        };
        let low = match need {
            Need::First | Need::Both => self
                .place(connection, partition, Place::First)?
                .unwrap_or(0),
            Need::Since(stamp) => self
                .place(connection, partition, Place::Since(stamp))?
                .unwrap_or(high),
            _ => 0,
        };
        self.not_before_ms = match need {
            Need::Since(stamp) => Some(stamp),
            // One that was interrupted before it found any.
            Need::Nothing => self.not_before_ms,
            _ => None,
        };
        match self.position.settle(topic, low, high) {
            Change::None => {}
            Change::Lost(count) => self.tell(Event::Gone { count }),
            Change::Cut => {
                let note = format!(
                    "the log of {} ends before what was heard of it; it is heard from its end, {high}",
                    self.address
                );
                self.tell(Event::Note(note));
            }
            Change::MadeAnew => {
                let from = self.position.next().unwrap_or(0);
                let note = format!(
                    "the topic {} was made anew; it is heard from its record {from} on",
                    self.address
                );
                self.tell(Event::Note(note));
            }
        }
        Ok(())
    }

    fn place(
        &self,
        connection: &mut Connection,
        partition: i32,
        place: Place,
    ) -> Result<Option<i64>, Trouble> {
        let broker = connection.broker().to_owned();
        let topic = &self.address.topic;
        let ask = |number| exchange::ask_offset(topic, partition, place, number);
        let (answer, _) = connection.ask(ask, &self.stop)?;
        match exchange::offset(answer).map_err(Trouble::not_kafka(&broker))? {
            (Code::NONE, offset) => Ok(offset),
            (code, _) => Err(Trouble::Code(code)),
        }
    }

    /// One question for records.
    fn fetch(&mut self, connection: &mut Connection, partition: i32) -> Result<(), Trouble> {
        let next = self.position.next().unwrap_or(0);
        let broker = connection.broker().to_owned();
        let topic = &self.address.topic;
        let wait = self.wait_ms;
        let ask = |number| exchange::ask_records(topic, partition, next, wait, number);
        let (answer, arrived) = match connection.ask(ask, &self.stop) {
            Err(trouble @ Trouble::Lost { .. }) => {
                self.beginning(connection.beginning(), &broker)?;
                return Err(trouble);
            }
            whole => whole?,
        };
        let fetched = exchange::records(answer).map_err(Trouble::not_kafka(&broker))?;
        match fetched.code {
            Code::NONE => {}
            Code::OFFSET_OUT_OF_RANGE => {
                self.position.doubt();
                return Err(Trouble::OutOfRange);
            }
            code => return Err(Trouble::Code(code)),
        }
        if !std::mem::replace(&mut self.is_heard, true) {
            self.tell(Event::Heard { offset: next });
        }
        self.position.is_heard(now_ms());
        let mut batches = Batches::new(fetched.records);
        // BOUND: each turn takes a batch out of the answer.
        while let Some(batch) = batches.pop().map_err(Trouble::not_kafka(&broker))? {
            self.batch(&batch, arrived)?;
        }
        Ok(())
    }

    /// Takes what came of an answer before the connection was lost: over a bad one, none may ever come whole.
    fn beginning(&mut self, answer: &[u8], broker: &str) -> Result<(), Trouble> {
        let Ok(fetched) = exchange::records(answer) else {
            return Ok(());
        };
        let mut batches = Batches::of_beginning(fetched.records);
        // BOUND: each turn takes a batch out of the answer.
        while let Some(batch) = batches.pop().map_err(Trouble::not_kafka(broker))? {
            self.is_heard = true;
            self.batch(&batch, clock::now())?;
        }
        Ok(())
    }

    /// The records of one batch that have not been heard.
    fn batch(&mut self, batch: &Batch<'_>, arrived: MonoTime) -> Result<(), Trouble> {
        let begin = self.position.next().unwrap_or(0);
        if batch.next <= begin {
            return Ok(());
        }
        if batch.check() == Err(Unusable::Damaged) && self.damaged_at != Some(batch.first) {
            self.damaged_at = Some(batch.first);
            return Err(Trouble::Damaged {
                offset: batch.first,
            });
        }
        let Self {
            position,
            stop,
            take,
            unpacked,
            not_before_ms,
            ..
        } = self;
        let taken = batch.records(unpacked, |record| {
            if record.offset >= begin {
                let is_young = |since: &mut i64| record.stamp_ms.is_none_or(|at| at >= *since);
                not_before_ms.take_if(is_young);
                if not_before_ms.is_none() {
                    take(Event::Record(record, arrived), stop);
                }
                // One that was not taken because of the stop is not heard by anybody any more.
                position.advance(record.offset + 1);
            }
            !stop.asked()
        });
        match taken {
            Ok(true) => {}
            Ok(false) => return Err(Trouble::Stopped),
            Err(why) => {
                let from = self.position.next().unwrap_or(0).max(batch.first);
                let count = batch.next.abs_diff(from);
                self.tell(Event::Skipped { count, why });
            }
        }
        // Behind the last record there may be places that compaction has emptied.
        self.position.advance(batch.next);
        Ok(())
    }
}

/// Milliseconds since 1970, as records are stamped.
fn now_ms() -> i64 {
    clock::read(libc::CLOCK_REALTIME).0 / 1_000_000
}
