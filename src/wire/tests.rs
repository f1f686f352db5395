//! The forms on the wire against outside oracles: Python's `struct`, serde_json, zlib's CRC; and rubbish.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_sign_loss
)]

use super::json::JSON_BYTES_MAX;
use super::*;

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }
    /// Any finite f32: all bit patterns, so mostly extreme exponents.
    fn float(&mut self) -> f32 {
        loop {
            let value = f32::from_bits(self.next() as u32);
            if value.is_finite() {
                return value;
            }
        }
    }
    fn message(&mut self) -> Message {
        let action = self.below(2) == 0;
        let mut message = Message {
            kind: match action {
                true => Kind::Action(Rung::ALL[self.below(4)]),
                false => Kind::Reading,
            },
            seq: self.next() as u32,
            frame: if action { self.next() as u32 } else { 0 },
            stamp_ns: self.next() as i64,
            len: 1 + self.below(DOF_MAX) as u8,
            values: [0.0; DOF_MAX],
        };
        for j in 0..usize::from(message.len) {
            message.values[j] = self.float();
        }
        message
    }
}

fn compact(message: &Message) -> Vec<u8> {
    let mut out = [0; DATAGRAM_BYTES_MAX];
    let len = message.encode(&mut out);
    out[..len].to_vec()
}

fn as_json(message: &Message) -> Vec<u8> {
    let mut out = [0; JSON_BYTES_MAX];
    let len = json::write(message, &mut out);
    out[..len].to_vec()
}

#[test]
fn the_compact_datagram_is_as_documented_byte_by_byte() {
    // struct.pack("<4s4BIIq2f", b"RFLX", 1, 1, 2, 1, 5, 3, 1000000005, 0.5, -1.25).hex()
    let expected = "52464c58010102010500000003000000\
                    05ca9a3b000000000000003f0000a0bf";
    let mut message = Message {
        kind: Kind::Action(Rung::Tail),
        seq: 5,
        frame: 3,
        stamp_ns: 1_000_000_005,
        len: 2,
        values: [0.0; DOF_MAX],
    };
    message.values[..2].copy_from_slice(&[0.5, -1.25]);
    let hex: String = compact(&message)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(hex, expected);
}

#[test]
fn every_message_comes_back_from_every_form() {
    let mut random = Random(1);
    for _ in 0..20_000 {
        let message = random.message();
        let datagram = compact(&message);
        assert_eq!(Message::decode(&datagram), Ok(message));
        assert_eq!(Message::decode(&as_json(&message)), Ok(message));
        let mut framed = [0; stream::FRAMED_BYTES_MAX];
        let len = stream::encode(&datagram, &mut framed);
        assert_eq!(framed[len - 1], 0);
        assert!(!framed[..len - 1].contains(&0), "only the end is 0");
        let mut room = [0; stream::FRAMED_BYTES_MAX];
        assert_eq!(
            stream::decode(&framed[..len - 1], &mut room),
            Some(&datagram[..])
        );
    }
}

#[test]
fn the_longest_json_fits() {
    let mut message = Random(2).message();
    message.kind = Kind::Action(Rung::Fresh);
    (message.seq, message.frame) = (u32::MAX, u32::MAX);
    message.stamp_ns = i64::MIN;
    message.len = 16;
    for value in [-f32::from_bits(1), f32::MIN, -1.175_494_2e-38] {
        message.values = [value; DOF_MAX];
        assert_eq!(Message::decode(&as_json(&message)), Ok(message));
    }
}

/// What the usual crate makes of the same bytes.
fn oracle(bytes: &[u8]) -> Option<Message> {
    let object = serde_json::from_slice::<serde_json::Value>(bytes).ok()?;
    let object = object.as_object()?;
    let integer = |name: &str| match object.get(name) {
        Some(value) => value.as_i64(),
        None => Some(0),
    };
    let (action, list) = match (object.get("targets"), object.get("values")) {
        (Some(list), None) => (true, list),
        (None, Some(list)) => (false, list),
        _ => return None,
    };
    let rung = match object.get("rung") {
        Some(name) => Some(
            Rung::ALL
                .into_iter()
                .find(|r| Some(r.name()) == name.as_str())?,
        ),
        None => None,
    };
    let list = list.as_array()?;
    if list.is_empty() || list.len() > DOF_MAX || (!action && rung.is_some()) {
        return None;
    }
    let mut values = [0.0; DOF_MAX];
    for (value, item) in values.iter_mut().zip(list) {
        *value = item.as_f64()? as f32;
        value.is_finite().then_some(())?;
    }
    let seq = if object.contains_key("tick") {
        "tick"
    } else {
        "seq"
    };
    Some(Message {
        kind: match action {
            true => Kind::Action(rung.unwrap_or(Rung::Fresh)),
            false => Kind::Reading,
        },
        seq: integer(seq)? as u32,
        frame: integer("frame")? as u32,
        stamp_ns: integer("at_ns")?,
        len: list.len() as u8,
        values,
    })
}

#[test]
fn json_is_read_as_the_usual_crate_reads_it() {
    let good = [
        r#"{"values":[1]}"#,
        "  {\"values\" : [ 1 , -2.5e-3 ] } \r\n",
        r#"{"seq":7,"at_ns":-9223372036854775808,"values":[0,-0,0.0,1E2,1e+2]}"#,
        r#"{"joints":{"a":[1,{"b":"]}\""}],"c":null},"seq":1,"ok":true,"values":[3]}"#,
        r#"{"tick":4294967295,"targets":[0.25],"name":"ärm"}"#,
        r#"{"rung":"stop","targets":[16777217]}"#,
    ];
    for text in good {
        let message = Message::decode(text.as_bytes());
        assert_eq!(message.ok(), oracle(text.as_bytes()), "{text}");
        assert!(message.is_ok(), "{text}");
    }
    let bad = [
        ("{", Malformed::BadJson),
        ("{}", Malformed::BadJson),
        ("[1]", Malformed::BadMagic),
        ("", Malformed::BadMagic),
        (r#"{"values":[]}"#, Malformed::BadCount),
        (r#"{"values":[1,]}"#, Malformed::BadJson),
        (r#"{"values":[1],}"#, Malformed::BadJson),
        (r#"{"values":[1]}x"#, Malformed::BadJson),
        (r#"{"values":[01]}"#, Malformed::BadJson),
        (r#"{"values":[1.]}"#, Malformed::BadJson),
        (r#"{"values":[.5]}"#, Malformed::BadJson),
        (r#"{"values":[+1]}"#, Malformed::BadJson),
        (r#"{"values":[NaN]}"#, Malformed::BadJson),
        (r#"{"values":[1e99]}"#, Malformed::NotFinite),
        (r#"{"values":["1"]}"#, Malformed::BadJson),
        (r#"{"values":[[1]]}"#, Malformed::BadJson),
        (r#"{"values":[1],"targets":[1]}"#, Malformed::BadJson),
        (r#"{"values":[1],"rung":"tail"}"#, Malformed::BadJson),
        (r#"{"targets":[1],"rung":"top"}"#, Malformed::BadKind),
        (r#"{"seq":1.5,"values":[1]}"#, Malformed::BadJson),
        (
            r#"{"at_ns":99999999999999999999,"values":[1]}"#,
            Malformed::BadJson,
        ),
        (r#"{"values":[1],"x":}"#, Malformed::BadJson),
        (r#"{"values":[1],"x":"#, Malformed::BadJson),
        (r#"{"values":[1],"x":"a"#, Malformed::BadJson),
        (r#"{"values":[1],"x\"#, Malformed::BadJson),
        (
            r#"{"values":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17]}"#,
            Malformed::BadCount,
        ),
    ];
    for (text, reason) in bad {
        assert_eq!(oracle(text.as_bytes()), None, "{text}");
        assert_eq!(Message::decode(text.as_bytes()), Err(reason), "{text}");
    }
}

/// Good JSON with a few bytes changed: whatever the usual crate takes must be taken, with the same values.
#[test]
fn damaged_json_never_panics_and_good_json_is_never_refused() {
    let mut random = Random(3);
    let bytes_of_json = br#"{}[]",:\ .-+eE0123456789nulltruefalse"#;
    let mut still_good = 0;
    for _ in 0..200_000 {
        let mut message = random.message();
        message.len = message.len.min(3);
        message.values = std::array::from_fn(|j| match j < usize::from(message.len) {
            true => (random.below(2000) as f32 - 1000.0) / 64.0,
            false => 0.0,
        });
        let mut text = as_json(&message);
        for _ in 0..=random.below(3) {
            let place = random.below(text.len());
            let byte = bytes_of_json[random.below(bytes_of_json.len())];
            match random.below(3) {
                0 => text[place] = byte,
                1 => text.insert(place, byte),
                _ => drop(text.remove(place)),
            }
        }
        let ours = Message::decode(&text);
        if let Some(expected) = oracle(&text) {
            let text = String::from_utf8_lossy(&text);
            assert_eq!(ours, Ok(expected), "{text}");
            still_good += 1;
        }
    }
    assert!(still_good > 1000);
}

#[test]
fn damaged_datagrams_are_refused_by_reason_and_never_panic() {
    let mut random = Random(4);
    let mut seen = [0_u32; Malformed::COUNT];
    for _ in 0..200_000 {
        let mut bytes = compact(&random.message());
        match random.below(4) {
            0 => bytes.truncate(random.below(bytes.len() + 1)),
            1 => bytes.extend((0..random.below(100)).map(|k| k as u8)),
            _ => {
                for _ in 0..=random.below(3) {
                    let place = random.below(bytes.len().min(40));
                    bytes[place] ^= 1 << random.below(8);
                }
            }
        }
        match Message::decode(&bytes) {
            Ok(message) => {
                assert!((1..=16).contains(&message.len));
                assert!(message.values().iter().all(|v| v.is_finite()));
                assert_eq!(bytes.len(), HEADER_BYTES + 4 * usize::from(message.len));
            }
            Err(reason) => seen[reason as usize] += 1,
        }
    }
    for reason in Malformed::ALL {
        let possible = reason != Malformed::BadJson;
        assert_eq!(seen[reason as usize] > 0, possible, "{}", reason.name());
    }
}

#[test]
fn a_damaged_frame_of_a_stream_is_never_taken_for_good() {
    let mut random = Random(5);
    for _ in 0..100_000 {
        let datagram = compact(&random.message());
        let mut framed = [0; stream::FRAMED_BYTES_MAX];
        let len = stream::encode(&datagram, &mut framed) - 1;
        let place = random.below(len);
        framed[place] ^= 1 << random.below(8);
        let mut room = [0; stream::FRAMED_BYTES_MAX];
        // CRC-32 finds every burst of up to 32 bits; a changed COBS code moves at most two zeros.
        if let Some(decoded) = stream::decode(&framed[..len], &mut room) {
            assert_eq!(decoded, datagram, "only a 0 code could leave it unchanged");
        }
    }
    let mut room = [0; stream::FRAMED_BYTES_MAX];
    assert_eq!(stream::decode(&[], &mut room), None);
    assert_eq!(stream::decode(&[255; 300], &mut room), None);
}

#[test]
fn the_crc_is_that_of_zlib() {
    // zlib.crc32 of each in Python.
    assert_eq!(stream::crc32(b""), 0);
    assert_eq!(stream::crc32(b"123456789"), 0xCBF4_3926);
    assert_eq!(stream::crc32(&[0; 32]), 0x190A_55AD);
}
