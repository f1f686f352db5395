//! Why a topic cannot be heard just now, with what a person may do about it.
//!
//! Thread: kafka. Allocates: yes. Blocks: no.

use std::io;

use super::config::TopicAddress;
use super::exchange::Code;
use super::fields::Malformed;
use crate::error::{Fault, Kind};

/// What ends a conversation with a broker. All of it may pass, so all of it is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The follower was told to end. Not a trouble.
    Stopped,
    /// The name of this broker is not known.
    NoAddress { broker: String, why: String },
    /// No connection to this broker.
    NoConnection { broker: String, why: String },
    /// The same to a broker whose address another broker told.
    NoLeaderThere {
        broker: String,
        told_by: String,
        why: String,
    },
    /// The connection ended, or did not answer in time.
    Lost { broker: String, why: String },
    /// It ended before the first answer.
    Mute { broker: String, why: String },
    /// What came is not Kafka's protocol.
    NotKafka { broker: String },
    /// A broker that does not know the versions that are spoken here.
    Versions { broker: String },
    /// The topic has no such partition.
    NoPartition { wanted: u16, count: usize },
    /// The topic has several, and none was chosen.
    SeveralPartitions { count: usize },
    /// Nobody leads the partition just now.
    NoLeader,
    /// The record that was asked for is not in the log: the log has changed.
    OutOfRange,
    /// A batch whose checksum is wrong; asked for once more.
    Damaged { offset: i64 },
    /// Any other error of the broker.
    Code(Code),
}

impl Trouble {
    pub fn lost(broker: &str, error: &io::Error) -> Self {
        Self::Lost {
            broker: broker.to_owned(),
            why: error.to_string(),
        }
    }

    pub fn not_kafka(broker: &str) -> impl FnOnce(Malformed) -> Self {
        let broker = broker.to_owned();
        move |Malformed| Self::NotKafka { broker }
    }

    /// In words.
    pub fn explain(&self, topic: &TopicAddress) -> Fault {
        let name = &topic.topic;
        let (kind, why, fix) = match self {
            Self::Stopped => (
                Kind::Internal,
                "it was told to end".to_owned(),
                "nothing".to_owned(),
            ),
            Self::NoAddress { broker, why } => (
                Kind::Network,
                format!("the name of the broker {broker} has no address: {why}"),
                "check the name, and that this machine's name service works".to_owned(),
            ),
            Self::NoConnection { broker, why } => (
                Kind::Network,
                format!("no broker answers at {broker}: {why}"),
                "start the broker, or correct its address and port".to_owned(),
            ),
            Self::NoLeaderThere {
                broker,
                told_by,
                why,
            } => (
                Kind::Network,
                format!(
                    "{told_by} says that the partition is at {broker}, and nobody answers there: {why}"
                ),
                "if that broker runs, let its `advertised.listeners` name an address that this machine can reach"
                    .to_owned(),
            ),
            Self::Lost { broker, why } => (
                Kind::Lost,
                format!("the connection to {broker} was lost: {why}"),
                "see whether the broker and the network are well".to_owned(),
            ),
            Self::Mute { broker, why } => (
                Kind::Network,
                format!("{broker} takes the connection and does not answer: {why}"),
                "name a listener of the broker that asks for neither TLS nor a password (`PLAINTEXT`)".to_owned(),
            ),
            Self::NotKafka { broker } => (
                Kind::Config,
                format!("what answers at {broker} does not speak Kafka's protocol"),
                "name the port of a Kafka broker (9092 as a rule), of a listener without TLS".to_owned(),
            ),
            Self::Versions { broker } => (
                Kind::Unsupported,
                format!("the broker {broker} does not know the versions of Kafka's protocol that are spoken here"),
                "use a broker from 2.1 on".to_owned(),
            ),
            Self::NoPartition { wanted, count } => (
                Kind::Config,
                format!("the topic has {count} partitions, counted from 0, and no {wanted}"),
                "correct `partition`".to_owned(),
            ),
            Self::SeveralPartitions { count } => (
                Kind::Config,
                format!("the topic has {count} partitions, and records have an order only within one"),
                "say which to follow (`partition = 0`), and let the producer write to it".to_owned(),
            ),
            Self::NoLeader => (
                Kind::Network,
                "no broker leads the partition just now".to_owned(),
                "see whether enough brokers of the cluster run".to_owned(),
            ),
            Self::OutOfRange => (
                Kind::Lost,
                "the log has changed".to_owned(),
                "nothing: it goes on where the log does".to_owned(),
            ),
            Self::Damaged { offset } => (
                Kind::BadInput,
                format!("the record {offset} came damaged"),
                "nothing, if once: it is asked for again".to_owned(),
            ),
            Self::Code(code) => of_code(*code, name),
        };
        Fault::new(
            kind,
            format!("the topic {topic} is not heard; tried again until it is"),
            why,
            fix,
        )
    }
}

fn of_code(code: Code, topic: &str) -> (Kind, String, String) {
    match code {
        Code::UNKNOWN_TOPIC_OR_PARTITION => (
            Kind::Config,
            format!("the broker has no topic `{topic}`"),
            "make it (`kafka-topics.sh --create --topic NAME --partitions 1`), or correct the name"
                .to_owned(),
        ),
        Code::INVALID_TOPIC => (
            Kind::Config,
            format!("the broker does not allow the name `{topic}`"),
            "correct the topic".to_owned(),
        ),
        Code::TOPIC_AUTHORIZATION_FAILED => (
            Kind::Permission,
            format!("the broker lets nobody without a password read `{topic}`"),
            "allow reading it to `User:ANONYMOUS`".to_owned(),
        ),
        Code::LEADER_NOT_AVAILABLE
        | Code::NOT_LEADER
        | Code::FENCED_LEADER_EPOCH
        | Code::UNKNOWN_LEADER_EPOCH => (
            Kind::Network,
            "the partition is changing its leader".to_owned(),
            "nothing, if it does not last".to_owned(),
        ),
        Code(code) => (
            Kind::Network,
            format!("the broker gives the error {code}"),
            "look it up in https://kafka.apache.org/protocol#protocol_error_codes".to_owned(),
        ),
    }
}
