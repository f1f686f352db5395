//! The four exchanges: what is asked, and what the answer says. Bodies as in Kafka's message definitions
//! (<https://kafka.apache.org/protocol>); only what following a partition needs is kept.
//!
//! Thread: kafka. Allocates: yes. Blocks: no.

use super::fields::{Fields, Malformed, Request};

const FETCH: i16 = 1;
const LIST_OFFSETS: i16 = 2;
const METADATA: i16 = 3;
const API_VERSIONS: i16 = 18;

/// Both are known to brokers from 2.1 to 4.
const FETCH_VERSION: i16 = 10;
const LIST_OFFSETS_VERSION: i16 = 1;

/// Bytes of records asked for at once: little enough to come whole over a bad connection, and more than a second of readings. A
/// broker sends more only if the first batch alone is longer.
pub const RECORDS_BYTES_MAX: i32 = 64 << 10;

/// An error code of Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code(pub i16);

impl Code {
    pub const NONE: Self = Self(0);
    pub const OFFSET_OUT_OF_RANGE: Self = Self(1);
    pub const UNKNOWN_TOPIC_OR_PARTITION: Self = Self(3);
    pub const LEADER_NOT_AVAILABLE: Self = Self(5);
    pub const NOT_LEADER: Self = Self(6);
    pub const INVALID_TOPIC: Self = Self(17);
    pub const TOPIC_AUTHORIZATION_FAILED: Self = Self(29);
    pub const UNSUPPORTED_VERSION: Self = Self(35);
    pub const FENCED_LEADER_EPOCH: Self = Self(74);
    pub const UNKNOWN_LEADER_EPOCH: Self = Self(75);

    fn of(fields: &mut Fields<'_>) -> Result<Self, Malformed> {
        fields.i16().map(Self)
    }
}

/// How metadata is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetadataVersion {
    /// Brokers from 0.11 on.
    V4,
    /// Brokers from 3.1 on: tells the topic's identity, by which one made anew under the same name is told apart.
    V12,
}

pub fn ask_versions(correlation: i32) -> Vec<u8> {
    Request::new(API_VERSIONS, 0, correlation, false).bytes()
}

/// None: the broker does not know the versions that are spoken here.
pub fn versions(answer: &[u8]) -> Result<Option<MetadataVersion>, Malformed> {
    let mut fields = Fields::new(answer);
    if Code::of(&mut fields)? != Code::NONE {
        return Ok(None);
    }
    let (mut fetch, mut list, mut v4, mut v12) = (false, false, false, false);
    for _ in 0..fields.count()? {
        let (key, versions) = (fields.i16()?, fields.i16()?..=fields.i16()?);
        match key {
            FETCH => fetch = versions.contains(&FETCH_VERSION),
            LIST_OFFSETS => list = versions.contains(&LIST_OFFSETS_VERSION),
            METADATA => (v4, v12) = (versions.contains(&4), versions.contains(&12)),
            _ => {}
        }
    }
    Ok(match (fetch && list, v12, v4) {
        (true, true, _) => Some(MetadataVersion::V12),
        (true, false, true) => Some(MetadataVersion::V4),
        _ => None,
    })
}

/// Asks where a topic is, without making it.
pub fn ask_metadata(version: MetadataVersion, topic: &str, correlation: i32) -> Vec<u8> {
    match version {
        MetadataVersion::V4 => Request::new(METADATA, 4, correlation, false)
            .i32(1)
            .string(topic)
            .i8(0),
        MetadataVersion::V12 => Request::new(METADATA, 12, correlation, true)
            .raw(&[2])
            .raw(&[0; 16])
            .compact_string(topic)
            // No tags; no topic is made; nothing about rights; no tags.
            .raw(&[0, 0, 0, 0]),
    }
    .bytes()
}

/// A topic and where its partitions are led.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metadata {
    pub code: Code,
    /// None where the broker is too old to tell.
    pub id: Option<[u8; 16]>,
    /// In the order of the broker.
    pub partitions: Vec<Partition>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    pub index: i32,
    /// `HOST:PORT` of its leader; none while there is no leader.
    pub leader: Option<String>,
}

pub fn metadata(version: MetadataVersion, answer: &[u8]) -> Result<Metadata, Malformed> {
    let mut fields = Fields::new(answer);
    let fields = &mut fields;
    match version {
        MetadataVersion::V4 => metadata_v4(fields),
        MetadataVersion::V12 => metadata_v12(fields),
    }
}

fn metadata_v4(fields: &mut Fields<'_>) -> Result<Metadata, Malformed> {
    fields.i32()?;
    let mut brokers = Vec::new();
    for _ in 0..fields.count()? {
        let (id, host, port) = (fields.i32()?, fields.string()?, fields.i32()?);
        fields.string()?;
        brokers.push((id, host.ok_or(Malformed)?, port));
    }
    fields.string()?;
    fields.i32()?;
    if fields.count()? != 1 {
        return Err(Malformed);
    }
    let code = Code::of(fields)?;
    fields.string()?;
    fields.i8()?;
    let mut partitions = Vec::new();
    for _ in 0..fields.count()? {
        fields.i16()?;
        let (index, leader) = (fields.i32()?, fields.i32()?);
        for _ in 0..2 {
            let replicas = fields.count()?;
            fields.take(replicas.checked_mul(4).ok_or(Malformed)?)?;
        }
        partitions.push((index, leader));
    }
    Ok(joined(code, None, &brokers, partitions))
}

fn metadata_v12(fields: &mut Fields<'_>) -> Result<Metadata, Malformed> {
    // The header's.
    fields.tags()?;
    fields.i32()?;
    let mut brokers = Vec::new();
    for _ in 0..fields.compact_count()? {
        let (id, host, port) = (fields.i32()?, fields.compact_string()?, fields.i32()?);
        fields.compact_string()?;
        fields.tags()?;
        brokers.push((id, host.ok_or(Malformed)?, port));
    }
    fields.compact_string()?;
    fields.i32()?;
    if fields.compact_count()? != 1 {
        return Err(Malformed);
    }
    let code = Code::of(fields)?;
    fields.compact_string()?;
    let id = fields.array()?;
    fields.i8()?;
    let mut partitions = Vec::new();
    for _ in 0..fields.compact_count()? {
        fields.i16()?;
        let (index, leader) = (fields.i32()?, fields.i32()?);
        fields.i32()?;
        for _ in 0..3 {
            let replicas = fields.compact_count()?;
            fields.take(replicas.checked_mul(4).ok_or(Malformed)?)?;
        }
        fields.tags()?;
        partitions.push((index, leader));
    }
    // All zeros stand for none.
    let id = Some(id).filter(|id| *id != [0; 16]);
    Ok(joined(code, id, &brokers, partitions))
}

fn joined(
    code: Code,
    id: Option<[u8; 16]>,
    brokers: &[(i32, &str, i32)],
    partitions: Vec<(i32, i32)>,
) -> Metadata {
    let place = |leader| {
        let broker = brokers.iter().find(|(id, ..)| *id == leader)?;
        let (_, host, port) = broker;
        // An address of IPv6 needs its brackets.
        Some(match host.contains(':') && !host.starts_with('[') {
            true => format!("[{host}]:{port}"),
            false => format!("{host}:{port}"),
        })
    };
    let partition = |(index, leader)| Partition {
        index,
        leader: place(leader),
    };
    Metadata {
        code,
        id,
        partitions: partitions.into_iter().map(partition).collect(),
    }
}

/// A place in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// The oldest record that is kept.
    First,
    /// Where the next record will be.
    Next,
    /// The first record with this stamp or a later one, milliseconds since 1970.
    Since(i64),
}

pub fn ask_offset(topic: &str, partition: i32, place: Place, correlation: i32) -> Vec<u8> {
    let stamp = match place {
        Place::First => -2,
        Place::Next => -1,
        Place::Since(stamp) => stamp,
    };
    Request::new(LIST_OFFSETS, LIST_OFFSETS_VERSION, correlation, false)
        .i32(-1)
        .i32(1)
        .string(topic)
        .i32(1)
        .i32(partition)
        .i64(stamp)
        .bytes()
}

/// The offset; none if there is no such record.
pub fn offset(answer: &[u8]) -> Result<(Code, Option<i64>), Malformed> {
    let mut fields = Fields::new(answer);
    if fields.count()? != 1 {
        return Err(Malformed);
    }
    fields.string()?;
    if fields.count()? != 1 {
        return Err(Malformed);
    }
    fields.i32()?;
    let code = Code::of(&mut fields)?;
    fields.i64()?;
    Ok((code, Some(fields.i64()?).filter(|offset| *offset >= 0)))
}

/// Asks for records from `offset` on; the broker answers when it has one, or after `wait_ms`.
pub fn ask_records(
    topic: &str,
    partition: i32,
    offset: i64,
    wait_ms: i32,
    correlation: i32,
) -> Vec<u8> {
    Request::new(FETCH, FETCH_VERSION, correlation, false)
        // No replica; the wait; one byte is enough to answer; all committed or not; no session.
        .i32(-1)
        .i32(wait_ms)
        .i32(1)
        .i32(RECORDS_BYTES_MAX)
        .i8(0)
        .i32(0)
        .i32(-1)
        .i32(1)
        .string(topic)
        .i32(1)
        .i32(partition)
        // Of any leader's epoch.
        .i32(-1)
        .i64(offset)
        .i64(-1)
        .i32(RECORDS_BYTES_MAX)
        .i32(0)
        .bytes()
}

/// What a broker gave. `records` are its batches, the last of which may be cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched<'a> {
    pub code: Code,
    pub records: &'a [u8],
}

/// `answer` may be cut off behind the beginning of the records.
pub fn records(answer: &[u8]) -> Result<Fetched<'_>, Malformed> {
    let mut fields = Fields::new(answer);
    let fields = &mut fields;
    fields.i32()?;
    let code = Code::of(fields)?;
    fields.i32()?;
    let topics = fields.count()?;
    if code != Code::NONE || topics == 0 {
        return Ok(Fetched { code, records: &[] });
    }
    fields.string()?;
    if fields.count()? == 0 {
        return Ok(Fetched { code, records: &[] });
    }
    fields.i32()?;
    let code = Code::of(fields)?;
    for _ in 0..3 {
        fields.i64()?;
    }
    let aborted = fields.count()?;
    fields.take(aborted.checked_mul(16).ok_or(Malformed)?)?;
    let bytes = usize::try_from(fields.i32()?).unwrap_or(0);
    let there = fields.rest();
    let records = &there[..bytes.min(there.len())];
    Ok(Fetched { code, records })
}
