//! The address of a topic, and how it is followed.
//!
//! Thread: main, before the run. Allocates: yes. Blocks: no.

use std::fmt;
use std::str::FromStr;

use serde::de::{Deserializer, Error as _};

use crate::units::Nanos;

/// `HOST:PORT/TOPIC`, or several brokers to ask: `HOST:PORT,HOST:PORT/TOPIC`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicAddress {
    /// Each `HOST:PORT`, asked in turn until one answers; the others of the cluster it tells.
    pub brokers: Vec<String>,
    pub topic: String,
}

/// Kafka's own limit.
pub const TOPIC_BYTES_MAX: usize = 249;

impl FromStr for TopicAddress {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let refuse = |why: String| {
            Err(format!(
                "`{line}` is not the address of a topic: {why}. Write `HOST:PORT/TOPIC`"
            ))
        };
        let Some((brokers, topic)) = line.split_once('/') else {
            return refuse("no `/TOPIC` stands behind the broker".to_owned());
        };
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !topic.chars().all(is_of_name) || matches!(topic, "" | "." | "..") {
            return refuse(format!(
                "the topic `{topic}` has characters other than letters, digits, `.`, `_` and `-`, or none"
            ));
        }
        if topic.len() > TOPIC_BYTES_MAX {
            return refuse(format!(
                "a topic's name has at most {TOPIC_BYTES_MAX} characters"
            ));
        }
        let brokers: Vec<String> = brokers.split(',').map(str::to_owned).collect();
        for broker in &brokers {
            match broker
                .rsplit_once(':')
                .map(|(host, port)| (host, port.parse()))
            {
                Some((host, Ok(1..=u16::MAX))) if !host.is_empty() => {}
                Some(("", _)) => return refuse("a host is missing".to_owned()),
                Some(_) => {
                    return refuse("a port is not a number from 1 to 65535".to_owned());
                }
                None => return refuse("a broker needs a port, such as `robots:9092`".to_owned()),
            }
        }
        Ok(Self {
            brokers,
            topic: topic.to_owned(),
        })
    }
}

impl fmt::Display for TopicAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.brokers.join(","), self.topic)
    }
}

impl<'de> serde::Deserialize<'de> for TopicAddress {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let line = String::deserialize(d)?;
        line.parse().map_err(D::Error::custom)
    }
}

/// How a topic is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct KafkaConfig {
    /// The partition to follow, from 0. Default: the topic's only one; a topic with several needs a choice, since records have
    /// an order only within one.
    pub partition: Option<u16>,
    /// Where to begin. Default `"latest"`.
    pub begin: Begin,
    /// How long the broker waits for records before it answers that there are none, 1 ms to 1 s. Kafka itself answers as soon as
    /// there is one, whatever this is; brokers that only look now and then (Tansu: twice in this time) are so much slower.
    /// Default 100 ms.
    pub wait: Wait,
}

/// See [`KafkaConfig::wait`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(try_from = "Nanos")]
pub struct Wait(Nanos);

/// BOUND: a connection that has died is noticed this much later.
pub const WAIT_MAX: Nanos = Nanos::from_secs(1);

impl Wait {
    /// As brokers are told it.
    pub fn as_millis(self) -> i32 {
        i32::try_from(self.0.0 / 1_000_000).unwrap_or(i32::MAX)
    }
}

impl Default for Wait {
    fn default() -> Self {
        Self(Nanos::from_millis(100))
    }
}

impl TryFrom<Nanos> for Wait {
    type Error = String;

    fn try_from(wait: Nanos) -> Result<Self, String> {
        match wait {
            _ if wait < Nanos::from_millis(1) || wait > WAIT_MAX => {
                Err(format!("a wait of {wait}: write 1 ms to 1 s"))
            }
            _ => Ok(Self(wait)),
        }
    }
}

/// Where a run begins in the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Begin {
    /// With what is produced after the first contact with the broker (or after the topic is made, if that is later): a robot
    /// does not obey yesterday's orders.
    #[default]
    Latest,
    /// With the oldest record that the broker keeps.
    Earliest,
}
