//! Memory of the kernels: floats that begin at a cache line, and floats that several threads write.

use std::marker::PhantomData;
use std::ops::Range;

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

/// Values that are written, perhaps by several threads at the same time: each its own of them.
///
/// One is made from a slice, and is as safe as that. More of the same values come from [`another`](Self::another), and who calls
/// that promises that no two of them meet.
#[derive(Debug)]
pub struct SharedMut<'a, T = f32> {
    start: *mut T,
    len: usize,
    values: PhantomData<&'a mut [T]>,
}

// SAFETY: it is a `&mut [T]`, which may go to another thread.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: all that a shared reference gives is the length, and by an unsafe call another of the same.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> From<&'a mut [T]> for SharedMut<'a, T> {
    fn from(values: &'a mut [T]) -> Self {
        Self {
            start: values.as_mut_ptr(),
            len: values.len(),
            values: PhantomData,
        }
    }
}

impl<'a, T> From<&'a mut Vec<T>> for SharedMut<'a, T> {
    fn from(values: &'a mut Vec<T>) -> Self {
        values.as_mut_slice().into()
    }
}

impl<'a> From<&'a mut Aligned> for SharedMut<'a> {
    fn from(values: &'a mut Aligned) -> Self {
        (&mut **values).into()
    }
}

impl<'a, T> SharedMut<'a, T> {
    /// The same values.
    ///
    /// # Safety
    /// While both live, no value that is written through one is read or written through the other, unless one comes after the
    /// other in one thread or by what orders two threads.
    pub unsafe fn another(&self) -> SharedMut<'a, T> {
        SharedMut {
            start: self.start,
            len: self.len,
            values: PhantomData,
        }
    }

    /// Some of them, for oneself.
    ///
    /// # Panics
    /// If the range is not inside.
    pub fn part(self, range: Range<usize>) -> &'a mut [T] {
        assert!(
            range.start <= range.end && range.end <= self.len,
            "{range:?} of {} values",
            self.len
        );
        // SAFETY: the range is inside, by the assert.
        let start = unsafe { self.start.add(range.start) };
        // SAFETY: inside the slice, which lives for 'a; and nobody else uses these values, by the promise of `another`, or
        // because there is no other.
        unsafe { std::slice::from_raw_parts_mut(start, range.len()) }
    }

    /// All from `start` on.
    ///
    /// # Panics
    /// If `start` is not inside.
    #[must_use]
    pub fn skip(self, start: usize) -> Self {
        assert!(start <= self.len, "{start} of {} values", self.len);
        Self {
            // SAFETY: inside the slice, or its end.
            start: unsafe { self.start.add(start) },
            len: self.len - start,
            values: PhantomData,
        }
    }

    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut T {
        self.start
    }
}
