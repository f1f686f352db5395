//! Memory of the kernels: floats that begin at a cache line.

/// Bytes of a cache line, and of the widest vector.
const LINE_BYTES: usize = 64;

/// Zeroed floats whose first one stands at the beginning of a cache line, so that a vector load of a packed
/// tensor never touches two lines. (The kernels are right on any alignment; this one is the fastest.) The default has no
/// floats and no memory.
#[derive(Debug, Default)]
pub struct Aligned {
    /// Longer than `len` by up to a line. Never grows, so the start stays where it is.
    values: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    pub fn zeroed(len: usize) -> Self {
        let values = vec![0.0; len + LINE_BYTES / size_of::<f32>()];
        // At most 15 floats, as a Vec of f32 is aligned to 4 bytes; an interpreter may decline and say usize::MAX.
        let start = values
            .as_ptr()
            .align_offset(LINE_BYTES)
            .min(values.len() - len);
        Self { values, start, len }
    }
}

impl std::ops::Deref for Aligned {
    type Target = [f32];
    fn deref(&self) -> &[f32] {
        &self.values[self.start..self.start + self.len]
    }
}

impl std::ops::DerefMut for Aligned {
    fn deref_mut(&mut self) -> &mut [f32] {
        &mut self.values[self.start..self.start + self.len]
    }
}
