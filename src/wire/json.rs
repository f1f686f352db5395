//! A message as one JSON object, written into and read from fixed memory.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.
//!
//! Why not the usual crate: its errors are boxed, so a peer that sends rubbish would make a sealed thread
//! allocate. The form is one flat object, which takes two hundred lines; the tests hold them against that crate.

use std::io::{Cursor, Write};

use super::{Kind, Malformed, Message};
use crate::action::Rung;
use crate::sensor::DOF_MAX;

/// BOUND: keys and numbers of the header take under 128 bytes; an f32 at its longest, the smallest
/// subnormal, is `-0.` with 45 further digits, below 64.
pub const JSON_BYTES_MAX: usize = 128 + 64 * DOF_MAX;

/// Writes the message without a line end and returns its length. Values must be finite: JSON has no others.
pub fn write(message: &Message, out: &mut [u8; JSON_BYTES_MAX]) -> usize {
    let mut to = Cursor::new(&mut out[..]);
    put(message, &mut to).expect("JSON_BYTES_MAX is enough for any message");
    usize::try_from(to.position()).expect("a position in the buffer")
}

fn put(message: &Message, to: &mut Cursor<&mut [u8]>) -> std::io::Result<()> {
    let (seq, at, frame) = (message.seq, message.stamp_ns, message.frame);
    match message.kind {
        Kind::Action(rung) => {
            let rung = rung.name();
            write!(
                to,
                r#"{{"tick":{seq},"at_ns":{at},"rung":"{rung}","frame":{frame},"targets":["#
            )?;
        }
        Kind::Reading => write!(to, r#"{{"seq":{seq},"at_ns":{at},"values":["#)?,
    }
    for (index, value) in message.values().iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(to, "{comma}{value}")?;
    }
    to.write_all(b"]}")
}

/// Reads one object; white space around it is allowed, anything else is not.
pub(super) fn parse(bytes: &[u8]) -> Result<Message, Malformed> {
    let mut text = Text { bytes, at: 0 };
    let mut found = Found::default();
    text.expect(b'{')?;
    // BOUND: each turn consumes a key; the datagram is finite.
    loop {
        let key = text.string()?;
        text.expect(b':')?;
        found.member(key, &mut text)?;
        match text.next()? {
            b',' => {}
            b'}' => break,
            _ => return Err(Malformed::BadJson),
        }
    }
    text.skip_space();
    if text.at != bytes.len() {
        return Err(Malformed::BadJson);
    }
    found.message()
}

/// The members seen so far.
#[derive(Default)]
struct Found {
    kind: Option<Kind>,
    rung: Option<Rung>,
    seq: u32,
    frame: u32,
    stamp_ns: i64,
    len: u8,
    values: [f32; DOF_MAX],
}

impl Found {
    fn member(&mut self, key: &[u8], text: &mut Text<'_>) -> Result<(), Malformed> {
        match key {
            b"seq" | b"tick" => self.seq = low_bits(text.integer()?),
            b"frame" => self.frame = low_bits(text.integer()?),
            b"at_ns" => self.stamp_ns = text.integer()?,
            b"values" => self.array(Kind::Reading, text)?,
            b"targets" => self.array(Kind::Action(Rung::Fresh), text)?,
            b"rung" => {
                let name = text.string()?;
                let rung = Rung::ALL.into_iter().find(|r| r.name().as_bytes() == name);
                self.rung = Some(rung.ok_or(Malformed::BadKind)?);
            }
            _ => text.skip_value()?,
        }
        Ok(())
    }

    fn array(&mut self, kind: Kind, text: &mut Text<'_>) -> Result<(), Malformed> {
        if self.kind.replace(kind).is_some() {
            return Err(Malformed::BadJson);
        }
        text.expect(b'[')?;
        if text.peek()? == b']' {
            return Err(Malformed::BadCount);
        }
        // BOUND: DOF_MAX values, then it ends or is refused.
        loop {
            let place = self.values.get_mut(usize::from(self.len));
            *place.ok_or(Malformed::BadCount)? = text.float()?;
            self.len += 1;
            match text.next()? {
                b',' => {}
                b']' => return Ok(()),
                _ => return Err(Malformed::BadJson),
            }
        }
    }

    fn message(self) -> Result<Message, Malformed> {
        let kind = match (self.kind, self.rung) {
            (Some(Kind::Action(_)), rung) => Kind::Action(rung.unwrap_or(Rung::Fresh)),
            (Some(Kind::Reading), None) => Kind::Reading,
            (Some(Kind::Reading), Some(_)) | (None, _) => return Err(Malformed::BadJson),
        };
        let message = Message {
            kind,
            seq: self.seq,
            frame: self.frame,
            stamp_ns: self.stamp_ns,
            len: self.len,
            values: self.values,
        };
        message.finite()
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counters wrap at 32 bits"
)]
fn low_bits(n: i64) -> u32 {
    n as u32
}

/// The bytes, and how far they have been read.
struct Text<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Text<'a> {
    fn skip_space(&mut self) {
        // BOUND: the datagram's length. JSON's white space is narrower than ASCII's.
        while matches!(self.bytes.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// The next byte that is not white space, left where it is.
    fn peek(&mut self) -> Result<u8, Malformed> {
        self.skip_space();
        self.bytes.get(self.at).copied().ok_or(Malformed::BadJson)
    }

    fn next(&mut self) -> Result<u8, Malformed> {
        let byte = self.peek()?;
        self.at += 1;
        Ok(byte)
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        match self.next()? == byte {
            true => Ok(()),
            false => Err(Malformed::BadJson),
        }
    }

    /// The raw inside of a string. Escapes are stepped over, not decoded: no key of ours has any.
    fn string(&mut self) -> Result<&'a [u8], Malformed> {
        self.expect(b'"')?;
        let start = self.at;
        // BOUND: the datagram's length.
        while let Some(byte) = self.bytes.get(self.at) {
            match byte {
                b'"' => {
                    self.at += 1;
                    return Ok(&self.bytes[start..self.at - 1]);
                }
                b'\\' => self.at += 2,
                0..0x20 => return Err(Malformed::BadJson),
                _ => self.at += 1,
            }
        }
        Err(Malformed::BadJson)
    }

    /// A number by JSON's grammar: `-? int frac? exp?`; the text of it.
    fn number(&mut self) -> Result<&'a str, Malformed> {
        self.skip_space();
        let start = self.at;
        self.take(b"-");
        // Either a single 0, or digits that do not begin with 0.
        let zero = self.take(b"0");
        let more = self.digits() > 0;
        if zero == more {
            return Err(Malformed::BadJson);
        }
        if self.take(b".") && self.digits() == 0 {
            return Err(Malformed::BadJson);
        }
        if self.take(b"eE") {
            self.take(b"+-");
            if self.digits() == 0 {
                return Err(Malformed::BadJson);
            }
        }
        std::str::from_utf8(&self.bytes[start..self.at]).map_err(|_| Malformed::BadJson)
    }

    /// Steps over one of these bytes, if it is next.
    fn take(&mut self, any_of: &[u8]) -> bool {
        let taken = self
            .bytes
            .get(self.at)
            .is_some_and(|byte| any_of.contains(byte));
        self.at += usize::from(taken);
        taken
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        // BOUND: the datagram's length.
        while self.bytes.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        self.at - start
    }

    fn integer(&mut self) -> Result<i64, Malformed> {
        self.number()?.parse().map_err(|_| Malformed::BadJson)
    }

    /// A value too large for an f32 comes out infinite and is refused as such later.
    fn float(&mut self) -> Result<f32, Malformed> {
        self.number()?.parse().map_err(|_| Malformed::BadJson)
    }

    /// Steps over a value that nobody asked for, however deep: only brackets and strings are looked at.
    fn skip_value(&mut self) -> Result<(), Malformed> {
        let mut depth = 0_usize;
        // BOUND: each turn consumes at least one byte.
        loop {
            match self.peek()? {
                b'"' => {
                    self.string()?;
                }
                b'[' | b'{' => {
                    self.at += 1;
                    depth += 1;
                    continue;
                }
                b']' | b'}' if depth > 0 => {
                    self.at += 1;
                    depth -= 1;
                }
                b',' | b':' if depth > 0 => {
                    self.at += 1;
                    continue;
                }
                b'-' | b'0'..=b'9' => {
                    self.number()?;
                }
                b't' | b'f' | b'n' => self.word()?,
                _ => return Err(Malformed::BadJson),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn word(&mut self) -> Result<(), Malformed> {
        let rest = &self.bytes[self.at..];
        let word = [&b"true"[..], b"false", b"null"]
            .into_iter()
            .find(|word| rest.starts_with(word))
            .ok_or(Malformed::BadJson)?;
        self.at += word.len();
        Ok(())
    }
}
