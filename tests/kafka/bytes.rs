//! Bytes that other programs made (`tests/fixtures/kafka`: batches by kafka-python 3.0.12, answers of Tansu 0.6.0), as they are, cut off
//! anywhere and with every byte changed.

use reflexarc::kafka::TopicAddress;
use reflexarc::kafka::batch::{Batches, Unusable};
use reflexarc::kafka::exchange::{self, Code, Metadata, MetadataVersion, Partition};
use reflexarc::kafka::fields::Malformed;
use reflexarc::rt::memory;

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kafka");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

/// An offset, a stamp and a value, or why there is none.
type Read = Vec<Result<(i64, Option<i64>, Option<String>), Unusable>>;

fn read(bytes: &[u8]) -> Result<Read, Malformed> {
    let (mut batches, mut memory, mut read) = (Batches::new(bytes), Vec::new(), Read::new());
    while let Some(batch) = batches.pop()? {
        let took = batch.records(&mut memory, |record| {
            let value = record
                .value
                .map(|v| String::from_utf8_lossy(v).into_owned());
            read.push(Ok((record.offset, record.stamp_ms, value)));
            true
        });
        if let Err(why) = took {
            read.push(Err(why));
        }
    }
    Ok(read)
}

/// What `golden.batch` of kafka-python holds.
fn expected() -> Read {
    let record = |i: i64| {
        let value = format!("look at the cat, and then at number {i}");
        let value = Some(value).filter(|_| i != 7);
        Ok((100 + i, Some(1_795_429_929_000 + 10 * i), value))
    };
    (0..20).map(record).collect()
}

#[test]
fn batches_of_another_program_are_read() {
    for name in ["none.batch", "gzip.batch", "lz4.batch"] {
        assert_eq!(read(&fixture(name)), Ok(expected()), "{name}");
    }
    assert_eq!(
        read(&fixture("snappy.batch")),
        Ok(vec![Err(Unusable::Snappy)])
    );
    assert_eq!(read(&fixture("zstd.batch")), Ok(vec![Err(Unusable::Zstd)]));
    // Several in one answer, the last cut off.
    let mut several = fixture("none.batch");
    several.extend(fixture("lz4.batch"));
    several.extend(&fixture("gzip.batch")[..80]);
    assert_eq!(read(&several).unwrap().len(), 40);
}

#[test]
fn a_batch_that_is_cut_off_is_left_for_the_next_answer_unless_it_can_never_be_whole() {
    let (whole, next) = (fixture("none.batch"), fixture("gzip.batch"));
    for cut in 0..next.len() {
        let bytes = [&whole, &next[..cut]].concat();
        assert_eq!(read(&bytes), Ok(expected()), "cut at {cut}");
    }
    for cut in 0..whole.len() {
        let mut beginning = Batches::of_beginning(&whole[..cut]);
        assert!(matches!(beginning.pop(), Ok(None)), "cut at {cut}");
    }
    for cut in 1..whole.len() {
        let read = read(&whole[..cut]);
        match cut {
            ..27 => assert_eq!(read, Err(Malformed), "cut at {cut}"),
            _ => assert_eq!(read, Ok(vec![Err(Unusable::TooLarge)]), "cut at {cut}"),
        }
    }
}

#[test]
fn every_changed_byte_of_what_is_protected_is_found() {
    for name in ["none.batch", "gzip.batch", "lz4.batch"] {
        let whole = fixture(name);
        for at in 0..whole.len() {
            for bit in [0x01, 0x80] {
                let mut bytes = whole.clone();
                bytes[at] ^= bit;
                let read = read(&bytes);
                // Behind the checksum all is protected by it; before it stand the offset, the length, the epoch and the format.
                if at >= 17 {
                    assert_eq!(read, Ok(vec![Err(Unusable::Damaged)]), "{name}, byte {at}");
                }
            }
        }
    }
}

#[test]
fn what_unpacks_to_too_much_is_refused_within_its_bound() {
    // 64 MiB of zeros, as gzip packs them.
    use std::io::Write as _;
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..64 {
        packer.write_all(&vec![0; 1 << 20]).unwrap();
    }
    let packed = packer.finish().unwrap();
    let bytes = with_records(&fixture("gzip.batch"), &packed);
    assert_eq!(read(&bytes), Ok(vec![Err(Unusable::TooLarge)]));
}

/// A batch with other records, and the checksum to them.
fn with_records(batch: &[u8], records: &[u8]) -> Vec<u8> {
    let mut bytes = [&batch[..61], records].concat();
    let length = u32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = reflexarc::state::crc::crc32c(0, &bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes
}

#[test]
fn records_that_say_what_cannot_be_are_damaged_and_take_no_memory() {
    let whole = fixture("none.batch");
    let records = whole[61..].to_vec();
    for at in 0..records.len() {
        for byte in [0, 1, 0x7f, 0x80, 0xff] {
            let mut records = records.clone();
            records[at] = byte;
            let bytes = with_records(&whole, &records);
            let before = memory::open_ledger().totals();
            let mut batches = Batches::new(&bytes);
            let batch = batches.pop().unwrap().unwrap();
            let _ = batch.records(&mut Vec::new(), |record| {
                assert!((batch.first..batch.next).contains(&record.offset));
                true
            });
            assert_eq!(memory::open_ledger().totals(), before, "byte {at}");
        }
    }
}

#[test]
fn answers_of_a_broker_are_read() {
    let versions = exchange::versions(&fixture("versions.answer"));
    assert_eq!(versions, Ok(Some(MetadataVersion::V12)));
    let leader = Some("127.0.0.1:19092".to_owned());
    for (version, name) in [
        (MetadataVersion::V4, "metadata-4.answer"),
        (MetadataVersion::V12, "metadata-12.answer"),
    ] {
        let Metadata {
            code,
            id,
            partitions,
        } = exchange::metadata(version, &fixture(name)).unwrap();
        assert_eq!(code, Code::NONE);
        assert_eq!(id.is_some(), version == MetadataVersion::V12);
        let partition = |index| Partition {
            index,
            leader: leader.clone(),
        };
        assert_eq!(partitions, [partition(0), partition(1)]);
    }
    let offset = exchange::offset(&fixture("offset.answer"));
    assert_eq!(offset, Ok((Code::NONE, Some(3))));
    let answer = fixture("fetch.answer");
    let fetched = exchange::records(&answer).unwrap();
    assert_eq!(fetched.code, Code::NONE);
    let values: Vec<_> = read(fetched.records)
        .unwrap()
        .into_iter()
        .map(|record| record.unwrap().2.unwrap())
        .collect();
    assert_eq!(values, ["one", "two", "three"]);
}

/// Whether an answer can be read.
type IsRead = fn(&[u8]) -> bool;

#[test]
fn answers_that_are_cut_off_or_changed_are_refused_or_read_but_never_believed() {
    let reads: [(&str, IsRead); 5] = [
        ("versions.answer", |bytes| exchange::versions(bytes).is_ok()),
        ("metadata-4.answer", |bytes| {
            exchange::metadata(MetadataVersion::V4, bytes).is_ok()
        }),
        ("metadata-12.answer", |bytes| {
            exchange::metadata(MetadataVersion::V12, bytes).is_ok()
        }),
        ("offset.answer", |bytes| exchange::offset(bytes).is_ok()),
        ("fetch.answer", |bytes| {
            exchange::records(bytes).is_ok_and(|fetched| read(fetched.records).is_ok())
        }),
    ];
    for (name, is_read) in reads {
        let whole = fixture(name);
        assert!(is_read(&whole), "{name}");
        for cut in 0..whole.len() {
            is_read(&whole[..cut]);
        }
        for at in 0..whole.len() {
            for byte in [0, 1, 0x7f, 0x80, 0xff] {
                let mut bytes = whole.clone();
                bytes[at] = byte;
                is_read(&bytes);
            }
        }
    }
    // Cut off where it must not be.
    for (name, is_read) in &reads[..4] {
        let whole = fixture(name);
        assert!(!is_read(&whole[..whole.len() - 8]), "{name}");
    }
}

#[test]
fn an_address_that_cannot_be_is_refused_in_words() {
    let why = |line: &str| line.parse::<TopicAddress>().unwrap_err();
    for (line, words) in [
        ("robots:9092", "no `/TOPIC`"),
        ("robots/orders", "needs a port"),
        (":9092/orders", "host is missing"),
        ("robots:0/orders", "1 to 65535"),
        ("robots:kafka/orders", "1 to 65535"),
        ("robots:9092/", "or none"),
        ("robots:9092/my orders", "letters, digits"),
        ("robots:9092,/orders", "needs a port"),
    ] {
        assert!(why(line).contains(words), "{line}: {}", why(line));
    }
    assert!(why(&format!("robots:9092/{}", "x".repeat(250))).contains("249"));
    let several: TopicAddress = "one:9092,[::1]:9093/orders.v-1_a".parse().unwrap();
    assert_eq!(several.brokers, ["one:9092", "[::1]:9093"]);
    assert_eq!(several.topic, "orders.v-1_a");
    assert_eq!(several.to_string(), "one:9092,[::1]:9093/orders.v-1_a");
}
