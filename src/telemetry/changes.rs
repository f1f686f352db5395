//! A list of things that changed in a run: the first ones in full, all of them counted.

/// Changes that are kept; the report says how many there were in all.
///
/// BOUND: a run with more than 256 falls down the ladder has one cause, and the first falls show it.
pub const CHANGES_MAX: usize = 256;

/// The first [`CHANGES_MAX`] of something, and the number of all.
#[derive(Clone, Debug)]
pub struct Changes<T> {
    first: Vec<T>,
    count: u64,
}

impl<T> Default for Changes<T> {
    fn default() -> Self {
        Self {
            first: Vec::new(),
            count: 0,
        }
    }
}

impl<T> Changes<T> {
    pub fn add(&mut self, change: T) {
        if self.first.len() < CHANGES_MAX {
            self.first.push(change);
        }
        self.count += 1;
    }

    pub fn first(&self) -> &[T] {
        &self.first
    }

    pub fn count(&self) -> u64 {
        self.count
    }
}
