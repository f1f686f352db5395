//! Numbers and strings of Kafka's protocol, big endian. Every length that comes from the network is checked against what has
//! come, so nothing is ever taken for more than was sent.
//!
//! Thread: kafka. Allocates: in `Request`. Blocks: no.

/// The bytes end before the field does, or the field says what cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// What has not been read yet.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Malformed)?;
        self.rest = rest;
        Ok(taken)
    }

    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Malformed)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub fn i8(&mut self) -> Result<i8, Malformed> {
        self.array().map(i8::from_be_bytes)
    }

    pub fn i16(&mut self) -> Result<i16, Malformed> {
        self.array().map(i16::from_be_bytes)
    }

    pub fn i32(&mut self) -> Result<i32, Malformed> {
        self.array().map(i32::from_be_bytes)
    }

    pub fn u32(&mut self) -> Result<u32, Malformed> {
        self.array().map(u32::from_be_bytes)
    }

    pub fn i64(&mut self) -> Result<i64, Malformed> {
        self.array().map(i64::from_be_bytes)
    }

    /// How many elements an array has; none for the null array. Each element takes bytes, so a number that is too large fails
    /// at the end of what was sent.
    pub fn count(&mut self) -> Result<usize, Malformed> {
        Ok(usize::try_from(self.i32()?).unwrap_or(0))
    }

    /// None for the null string.
    pub fn string(&mut self) -> Result<Option<&'a str>, Malformed> {
        match usize::try_from(self.i16()?) {
            Ok(length) => self.text(length).map(Some),
            Err(_) => Ok(None),
        }
    }

    fn text(&mut self, length: usize) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.take(length)?).map_err(|_| Malformed)
    }

    /// The number of a compact array or string, which is sent one larger, so that 0 is null.
    fn compact(&mut self) -> Result<Option<usize>, Malformed> {
        let number = usize::try_from(self.unsigned()?).map_err(|_| Malformed)?;
        Ok(number.checked_sub(1))
    }

    pub fn compact_count(&mut self) -> Result<usize, Malformed> {
        Ok(self.compact()?.unwrap_or(0))
    }

    pub fn compact_string(&mut self) -> Result<Option<&'a str>, Malformed> {
        match self.compact()? {
            Some(length) => self.text(length).map(Some),
            None => Ok(None),
        }
    }

    /// Steps over the tagged fields that a newer broker may add.
    pub fn tags(&mut self) -> Result<(), Malformed> {
        // BOUND: each turn takes at least two bytes.
        for _ in 0..self.unsigned()? {
            self.unsigned()?;
            let length = self.unsigned()?;
            self.take(usize::try_from(length).map_err(|_| Malformed)?)?;
        }
        Ok(())
    }

    /// Seven bits a byte, the low ones first.
    pub fn unsigned(&mut self) -> Result<u64, Malformed> {
        let mut number = 0;
        // BOUND: 10 bytes hold 64 bits.
        for place in 0..10 {
            let [byte] = self.array()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(Malformed)
    }

    /// The same with the sign in the lowest bit.
    pub fn signed(&mut self) -> Result<i64, Malformed> {
        let number = self.unsigned()?;
        Ok((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }

    /// Bytes behind their signed length; none for a negative one.
    pub fn signed_bytes(&mut self) -> Result<Option<&'a [u8]>, Malformed> {
        match usize::try_from(self.signed()?) {
            Ok(length) => self.take(length).map(Some),
            Err(_) => Ok(None),
        }
    }
}

/// A request as it is built.
#[derive(Debug)]
pub struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// Begins with the header. `flexible` for versions with tagged fields.
    pub fn new(key: i16, version: i16, correlation: i32, flexible: bool) -> Self {
        let request = Self {
            // Its length comes here in the end.
            bytes: vec![0; 4],
        };
        let request = request
            .i16(key)
            .i16(version)
            .i32(correlation)
            .string("reflexarc");
        match flexible {
            true => request.raw(&[0]),
            false => request,
        }
    }

    pub fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend_from_slice(bytes);
        self
    }

    pub fn i8(self, number: i8) -> Self {
        self.raw(&number.to_be_bytes())
    }

    pub fn i16(self, number: i16) -> Self {
        self.raw(&number.to_be_bytes())
    }

    pub fn i32(self, number: i32) -> Self {
        self.raw(&number.to_be_bytes())
    }

    pub fn i64(self, number: i64) -> Self {
        self.raw(&number.to_be_bytes())
    }

    /// At most 32767 bytes.
    pub fn string(self, text: &str) -> Self {
        let length = i16::try_from(text.len()).expect("our strings are short");
        self.i16(length).raw(text.as_bytes())
    }

    /// At most 253 bytes.
    pub fn compact_string(self, text: &str) -> Self {
        let length = text.len() + 1;
        // Two bytes from 128 on.
        let low = u8::try_from(length & 0x7f).expect("7 bits");
        let high = u8::try_from(length >> 7).expect("our strings are short");
        match high {
            0 => self.raw(&[low]),
            high => self.raw(&[low | 0x80, high]),
        }
        .raw(text.as_bytes())
    }

    /// The whole, with its length in front.
    pub fn bytes(mut self) -> Vec<u8> {
        let length = i32::try_from(self.bytes.len() - 4).expect("our requests are short");
        self.bytes[..4].copy_from_slice(&length.to_be_bytes());
        self.bytes
    }
}
