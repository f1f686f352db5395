//! CDR, little-endian, as ROS 2 writes its messages: the fields one after the other, each aligned to its size.
//!
//! Thread: any. Allocates: the bytes. Blocks: no.

/// Every message begins with these: plain CDR, little-endian.
const HEAD: [u8; 4] = [0, 1, 0, 0];

/// Writes one message.
#[derive(Debug)]
pub struct CdrWriter {
    bytes: Vec<u8>,
}

impl Default for CdrWriter {
    fn default() -> Self {
        Self {
            bytes: HEAD.to_vec(),
        }
    }
}

impl CdrWriter {
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Fields are aligned to multiples of their size, counted after the head.
    fn put<const N: usize>(&mut self, field: [u8; N]) {
        let len = (self.bytes.len() - HEAD.len()).next_multiple_of(N) + HEAD.len();
        self.bytes.resize(len, 0);
        self.bytes.extend(field);
    }

    pub fn bool(&mut self, value: bool) {
        self.put([u8::from(value)]);
    }
    pub fn u8(&mut self, value: u8) {
        self.put([value]);
    }
    pub fn u32(&mut self, value: u32) {
        self.put(value.to_le_bytes());
    }
    pub fn i32(&mut self, value: i32) {
        self.put(value.to_le_bytes());
    }
    pub fn u64(&mut self, value: u64) {
        self.put(value.to_le_bytes());
    }
    pub fn i64(&mut self, value: i64) {
        self.put(value.to_le_bytes());
    }
    pub fn f32(&mut self, value: f32) {
        self.put(value.to_le_bytes());
    }
    pub fn f64(&mut self, value: f64) {
        self.put(value.to_le_bytes());
    }

    /// The count before a sequence's elements.
    pub fn len(&mut self, count: usize) {
        self.u32(u32::try_from(count).expect("a message has far fewer elements than 2^32"));
    }

    pub fn text(&mut self, text: &str) {
        self.len(text.len() + 1);
        self.bytes.extend(text.as_bytes());
        self.bytes.push(0);
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.len(bytes.len());
        bytes.iter().for_each(|byte| self.u8(*byte));
    }

    pub fn f32s(&mut self, values: &[f32]) {
        self.len(values.len());
        values.iter().for_each(|v| self.f32(*v));
    }
}

/// Reads one message. A field that is not there reads as zero, and [`whole`](Self::whole) tells.
#[derive(Debug)]
pub struct CdrReader<'a> {
    bytes: &'a [u8],
    at: usize,
    whole: bool,
}

impl<'a> CdrReader<'a> {
    pub fn new(message: &'a [u8]) -> Self {
        let bytes = message.strip_prefix(&HEAD);
        Self {
            whole: bytes.is_some(),
            bytes: bytes.unwrap_or_default(),
            at: 0,
        }
    }

    /// The message, if every field that was asked for was there.
    pub fn whole<T>(&self, message: T) -> Option<T> {
        self.whole.then_some(message)
    }

    pub fn take(&mut self, len: usize) -> &'a [u8] {
        let end = self.at.saturating_add(len);
        let field = self.bytes.get(self.at..end);
        self.whole &= field.is_some();
        self.at = end;
        field.unwrap_or_default()
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        self.at = self.at.saturating_add(N - 1) / N * N;
        self.take(N).try_into().unwrap_or([0; N])
    }

    pub fn bool(&mut self) -> bool {
        self.u8() != 0
    }
    pub fn u8(&mut self) -> u8 {
        u8::from_le_bytes(self.array())
    }
    pub fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.array())
    }
    pub fn i32(&mut self) -> i32 {
        i32::from_le_bytes(self.array())
    }
    pub fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.array())
    }
    pub fn i64(&mut self) -> i64 {
        i64::from_le_bytes(self.array())
    }
    pub fn f32(&mut self) -> f32 {
        f32::from_le_bytes(self.array())
    }

    pub fn text(&mut self) -> String {
        let len = self.u32() as usize;
        let bytes = self.take(len);
        let text = bytes.strip_suffix(&[0]).unwrap_or(bytes);
        String::from_utf8_lossy(text).into_owned()
    }

    pub fn bytes(&mut self) -> &'a [u8] {
        let len = self.u32();
        self.take(usize::try_from(len).unwrap_or(usize::MAX))
    }

    pub fn f32s(&mut self) -> Vec<f32> {
        let len = self.u32() as usize;
        // Checked before memory is taken for it.
        let there = self.bytes.len().saturating_sub(self.at) / 4;
        self.whole &= len <= there;
        (0..len.min(there)).map(|_| self.f32()).collect()
    }
}
