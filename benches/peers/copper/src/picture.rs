//! The frames: 1080p YUYV, a background painted once into every buffer, a part drawn anew for each frame, and the touching.

/// 1920 x 1080 pixels of two bytes.
pub const BYTES: usize = 1920 * 1080 * 2;
/// Words drawn for each frame: 60 KB, as many as our synthetic camera draws (its code and its square).
const DRAWN: usize = 60 * 1024 / 8;
/// Bytes summed up at once: a cache line.
const LINE: usize = 64;

/// A buffer as the pool hands it out for the first time.
pub fn paint() -> Vec<u8> {
    // Any bytes do, as long as a sum over them can be wrong.
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut bytes = Vec::with_capacity(BYTES);
    while bytes.len() < BYTES {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes
}

/// Turns a painted buffer into frame `number`.
pub fn draw(bytes: &mut [u8], number: u64) {
    let (words, _) = bytes.as_chunks_mut::<8>();
    for (index, word) in (0..).zip(&mut words[..DRAWN]) {
        *word = number.wrapping_add(index).to_le_bytes();
    }
}

/// The number drawn into a frame.
pub fn number(bytes: &[u8]) -> u64 {
    bytes
        .first_chunk()
        .map_or(u64::MAX, |word| u64::from_le_bytes(*word))
}

/// Touches every byte as our null encoder does: the frame taken as little-endian 64-bit words, eight sums side by
/// side, which the compiler turns into vectors.
pub fn touch(bytes: &[u8]) -> u64 {
    let (lines, rest) = bytes.as_chunks::<LINE>();
    let mut sums = [0u64; LINE / 8];
    for line in lines {
        let (words, _) = line.as_chunks::<8>();
        for (sum, word) in sums.iter_mut().zip(words) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    let rest = rest.iter().map(|&byte| u64::from(byte)).sum();
    sums.into_iter().fold(rest, u64::wrapping_add)
}

/// What touching frame `number` must give, worked out from the background and not from the frame.
pub struct Expected {
    background: u64,
}

impl Expected {
    pub fn new() -> Self {
        let bytes = paint();
        let (words, _) = bytes[DRAWN * 8..].as_chunks::<8>();
        let words = words.iter().map(|word| u64::from_le_bytes(*word));
        Self {
            background: words.fold(0, u64::wrapping_add),
        }
    }

    pub fn sum(&self, number: u64) -> u64 {
        let drawn = DRAWN as u64;
        self.background
            .wrapping_add(number.wrapping_mul(drawn))
            .wrapping_add(drawn * (drawn - 1) / 2)
    }
}
