//! Bytes to a broker and back, one question at a time, each within a time.
//!
//! Thread: kafka. Allocates: yes. Blocks: on the socket, at most [`TURN`] before the stop is looked at again, and in looking up a
//! name, as long as this machine's name service takes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::config::WAIT_MAX;
use super::trouble::Trouble;
use crate::clock;
use crate::rt::stop::Stop;
use crate::units::{MonoTime, Nanos};

/// How often a wait looks whether it should end.
pub const TURN: Duration = Duration::from_millis(50);
/// A broker in the same building answers within a millisecond; over a mobile network within a second.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// How long nothing may come while an answer is awaited.
///
/// BOUND: the longest that the broker waits for records, and twice what a slow network takes.
const SILENCE_MAX: Nanos = Nanos(WAIT_MAX.0 + 4_000_000_000);

/// BOUND: an answer is kept whole up to the largest batch that brokers take by default, 1 MiB, and as much again.
const ANSWER_BYTES_MAX: usize = 2 << 20;
/// Of a longer one the beginning is kept, which tells how far to skip.
const BEGINNING_BYTES: usize = 64 << 10;
/// No broker sends more in one answer. HTTP and TLS, read as a length, are above.
const LENGTH_MAX: usize = 256 << 20;

/// A connection to one broker.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    /// `HOST:PORT`.
    broker: String,
    correlation: i32,
    /// The body of the last one, as far as it came.
    answer: Vec<u8>,
    /// Bytes that the last call of `receive` got.
    received: usize,
    /// Something has come at all.
    has_spoken: bool,
}

impl Connection {
    pub fn open(broker: &str) -> Result<Self, Trouble> {
        let named = |why: String| Trouble::NoAddress {
            broker: broker.to_owned(),
            why,
        };
        let mut why = "it has none".to_owned();
        let mut found = broker
            .to_socket_addrs()
            .map_err(|e| named(e.to_string()))?
            .peekable();
        if found.peek().is_none() {
            return Err(named(why));
        }
        // BOUND: the addresses of one name.
        for address in found {
            match Self::connect(&address) {
                Ok(stream) => {
                    return Ok(Self {
                        stream,
                        broker: broker.to_owned(),
                        correlation: 0,
                        answer: Vec::new(),
                        received: 0,
                        has_spoken: false,
                    });
                }
                Err(e) => why = e.to_string(),
            }
        }
        Err(Trouble::NoConnection {
            broker: broker.to_owned(),
            why,
        })
    }

    fn connect(address: &std::net::SocketAddr) -> io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(address, CONNECT_WITHIN)?;
        // A question is one small packet, which must not wait for another.
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TURN))?;
        stream.set_write_timeout(Some(CONNECT_WITHIN))?;
        Ok(stream)
    }

    pub fn broker(&self) -> &str {
        &self.broker
    }

    /// Asks what `question` makes of a number, and gives the body of the answer with that number, and when it had come.
    pub fn ask(
        &mut self,
        question: impl FnOnce(i32) -> Vec<u8>,
        stop: &Stop,
    ) -> Result<(&[u8], MonoTime), Trouble> {
        self.correlation = self.correlation.wrapping_add(1);
        self.answer.clear();
        let question = question(self.correlation);
        self.stream
            .write_all(&question)
            .map_err(|e| Trouble::lost(&self.broker, &e))?;
        let mut head = [0; 8];
        self.receive(&mut head, stop)?;
        let [a, b, c, d, number @ ..] = head;
        let length = usize::try_from(i32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX);
        if !(4..=LENGTH_MAX).contains(&length) || i32::from_be_bytes(number) != self.correlation {
            return Err(Trouble::NotKafka {
                broker: self.broker.clone(),
            });
        }
        let body = length - 4;
        let kept = match body <= ANSWER_BYTES_MAX {
            true => body,
            false => BEGINNING_BYTES,
        };
        let mut answer = std::mem::take(&mut self.answer);
        answer.resize(kept, 0);
        let whole = self.receive(&mut answer, stop);
        answer.truncate(self.received);
        self.answer = answer;
        whole?;
        self.skip(body - kept, stop)?;
        Ok((&self.answer, clock::now()))
    }

    /// What came of an answer before the connection was lost.
    pub fn beginning(&self) -> &[u8] {
        &self.answer
    }

    fn skip(&mut self, mut count: usize, stop: &Stop) -> Result<(), Trouble> {
        let mut thrown_away = vec![0; count.min(BEGINNING_BYTES)];
        // BOUND: each turn takes bytes, or ends it.
        while count > 0 {
            let now = count.min(thrown_away.len());
            self.receive(&mut thrown_away[..now], stop)?;
            count -= now;
        }
        Ok(())
    }

    fn receive(&mut self, mut into: &mut [u8], stop: &Stop) -> Result<(), Trouble> {
        self.received = 0;
        let mut deadline = clock::now() + SILENCE_MAX;
        // BOUND: each turn takes bytes, or `TURN` until `deadline`.
        while !into.is_empty() {
            if stop.asked() {
                return Err(Trouble::Stopped);
            }
            match self.stream.read(into) {
                Ok(0) => return Err(self.lost("the broker closed it")),
                Ok(count) => {
                    into = &mut into[count..];
                    self.received += count;
                    self.has_spoken = true;
                    deadline = clock::now() + SILENCE_MAX;
                }
                Err(e) if matches!(e.kind(), ErrorKind::Interrupted) => {}
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    if clock::now() >= deadline {
                        return Err(self.lost("no answer came in time"));
                    }
                }
                Err(e) => return Err(Trouble::lost(&self.broker, &e)),
            }
        }
        Ok(())
    }

    fn lost(&self, why: &str) -> Trouble {
        let (broker, why) = (self.broker.clone(), why.to_owned());
        match self.has_spoken {
            false => Trouble::Mute { broker, why },
            true => Trouble::Lost { broker, why },
        }
    }
}
