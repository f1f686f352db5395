//! What is launched for one frame, in which order and on which memory: a list that does not change.
//!
//! Addresses are not known here: a program says [`Place`]s, and whoever runs it (a device, or a test on this processor) says
//! where its [`Bases`] are.
//!
//! Thread: start-up. Allocates: yes.

use serde::Deserialize;

/// A part of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Region {
    /// Weights and tables, which do not change.
    Constants,
    /// What kernels pass to each other.
    Arena,
    /// What comes from the processor.
    Input,
    /// What goes to the processor: the values of the output, in the processor's memory.
    Output,
    /// The number of the run that is done, in the processor's memory.
    Done,
    /// Two words of the device's own: blocks that have finished, and runs.
    Counters,
}

/// Where something is, or nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub Option<(Region, usize)>);

impl Place {
    pub const NOWHERE: Self = Self(None);

    pub fn at(region: Region, offset: usize) -> Self {
        Self(Some((region, offset)))
    }

    /// So many bytes behind it.
    pub fn further(self, bytes: usize) -> Self {
        Self(self.0.map(|(region, offset)| (region, offset + bytes)))
    }
}

/// The address of each region.
#[derive(Clone, Copy, Debug)]
pub struct Bases {
    pub constants: u64,
    pub arena: u64,
    pub input: u64,
    pub output: u64,
    pub done: u64,
    pub counters: u64,
}

impl Bases {
    fn address(&self, place: Place) -> u64 {
        let Some((region, offset)) = place.0 else {
            return 0;
        };
        let base = match region {
            Region::Constants => self.constants,
            Region::Arena => self.arena,
            Region::Input => self.input,
            Region::Output => self.output,
            Region::Done => self.done,
            Region::Counters => self.counters,
        };
        base + offset as u64
    }
}

/// What a kernel gets: the fields of its struct in `kernels/`, of which all pointers stand first and the rest has 4 bytes each.
#[derive(Clone, Debug)]
pub struct Arguments {
    pointers: Vec<Place>,
    words: Vec<u32>,
}

impl Arguments {
    pub fn new(pointers: &[Place]) -> Self {
        Self {
            pointers: pointers.to_vec(),
            words: Vec::new(),
        }
    }

    /// # Panics
    /// If a count is 2^31 or more: nothing here is that large.
    pub fn counts(mut self, counts: &[usize]) -> Self {
        let words = counts.iter().map(|&count| {
            let count = i32::try_from(count).expect("sizes of pictures fit in 31 bits");
            count.cast_unsigned()
        });
        self.words.extend(words);
        self
    }

    pub fn float(mut self, x: f32) -> Self {
        self.words.push(x.to_bits());
        self
    }

    /// The struct's bytes, in words so that they are aligned. Padded to a multiple of 8, as the compiler pads a struct that
    /// begins with a pointer.
    pub fn resolved(&self, bases: &Bases) -> Vec<u64> {
        let pointers = self.pointers.iter().map(|&place| bases.address(place));
        let pairs = self.words.chunks(2);
        let words = pairs.map(|pair| {
            let high = pair.get(1).copied().unwrap_or(0);
            u64::from(pair[0]) | u64::from(high) << 32
        });
        pointers.chain(words).collect()
    }
}

/// One kernel.
#[derive(Clone, Debug)]
pub struct Launch {
    pub kernel: &'static str,
    /// Blocks.
    pub grid: [u32; 3],
    /// Threads of a block.
    pub block: u32,
    pub arguments: Arguments,
    /// The bytes of the arena that it reads and writes: what a test of the memory's layout wants to know.
    pub reads: Vec<std::ops::Range<usize>>,
    pub writes: Option<std::ops::Range<usize>>,
}

/// In which numbers a program computes. Sums are f32 in both.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Numbers {
    /// Without tensor cores: exact, for comparison.
    F32,
    /// Weights and what goes from kernel to kernel have 11 bits.
    F16,
}

impl Numbers {
    /// As in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    pub fn bytes(self) -> usize {
        match self {
            Self::F32 => 4,
            Self::F16 => 2,
        }
    }
}

/// All of a frame.
#[derive(Clone, Debug)]
pub struct Program {
    pub launches: Vec<Launch>,
    pub constants: Vec<u8>,
    /// Bytes.
    pub arena: usize,
    /// Bytes that come from the processor: the input itself.
    pub input: usize,
    /// And where, behind it, what comes beside it.
    pub conditions: Vec<std::ops::Range<usize>>,
    /// Values that go to it.
    pub output: usize,
    /// A word may not be this or more, where the input is words.
    pub words: Option<usize>,
}

impl Program {
    /// Of the input and of all that comes beside it.
    pub fn input_bytes(&self) -> usize {
        self.conditions.last().map_or(self.input, |last| last.end)
    }
}

/// Addresses of values are multiples of this: more than any load needs, and a whole number of sectors of memory.
pub const ALIGNMENT: usize = 256;

/// Weights and tables, one after the other.
#[derive(Debug, Default)]
pub struct Constants {
    pub bytes: Vec<u8>,
}

impl Constants {
    pub fn put(&mut self, bytes: impl IntoIterator<Item = u8>) -> Place {
        let at = self.bytes.len().next_multiple_of(ALIGNMENT);
        self.bytes.resize(at, 0);
        self.bytes.extend(bytes);
        Place::at(Region::Constants, at)
    }

    pub fn floats(&mut self, values: impl IntoIterator<Item = f32>) -> Place {
        self.put(values.into_iter().flat_map(f32::to_le_bytes))
    }

    pub fn numbers(&mut self, numbers: Numbers, values: impl IntoIterator<Item = f32>) -> Place {
        match numbers {
            Numbers::F32 => self.floats(values),
            Numbers::F16 => {
                let halves = values.into_iter().map(super::half::bits);
                self.put(halves.flat_map(u16::to_le_bytes))
            }
        }
    }
}

/// Memory that parts of a program have one after the other: a part is free again when nothing reads it any more.
#[derive(Debug, Default)]
pub struct Arena {
    /// Sorted, and apart.
    taken: Vec<std::ops::Range<usize>>,
    pub bytes: usize,
}

impl Arena {
    /// The first gap that is large enough. A gap of [`ALIGNMENT`] bytes stays between any two: a read that goes too far
    /// finds nothing of another value there, which is how tests see it.
    pub fn take(&mut self, bytes: usize) -> std::ops::Range<usize> {
        let room = bytes.next_multiple_of(ALIGNMENT) + ALIGNMENT;
        let (mut start, mut place) = (0, 0);
        for taken in &self.taken {
            if taken.start >= start + room {
                break;
            }
            (start, place) = (taken.end, place + 1);
        }
        self.taken.insert(place, start..start + room);
        self.bytes = self.bytes.max(start + room);
        start..start + bytes
    }

    pub fn give_back(&mut self, part: &std::ops::Range<usize>) {
        self.taken.retain(|taken| taken.start != part.start);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_was_given_back_is_taken_again_and_no_two_overlap() {
        let mut arena = Arena::default();
        let (a, b, c) = (arena.take(1000), arena.take(10), arena.take(300));
        let all = arena.bytes;
        arena.give_back(&b);
        let small = arena.take(256);
        assert_eq!(small.start, b.start);
        arena.give_back(&a);
        let again = arena.take(900);
        assert_eq!((again.start, arena.bytes), (a.start, all));
        let parts = [small, again, c];
        for (i, x) in parts.iter().enumerate() {
            for y in &parts[..i] {
                assert!(x.end <= y.start || y.end <= x.start, "{x:?} {y:?}");
            }
        }
    }
}
