//! A camera's frame as a program's input: the tables of `features::preprocess`, which say what each pixel is made of.
//!
//! Thread: start-up. Allocates: yes.

use super::program::{Arguments, Constants, Launch, Numbers, Place, Region};
use super::tables::{Camera, Plane, RowSpan, UnitSpan};

/// Threads of a block; bytes of a row that each has. See `kernels/camera.cuh`.
const THREADS: usize = 128;
const BYTES: usize = 4;

impl Camera {
    /// Bytes of a frame that are read, from its start.
    pub fn frame_bytes(&self) -> usize {
        let end = |plane: &Plane| {
            let last = |span: &RowSpan| {
                let whole = (span.whole + span.whole_count).saturating_sub(1);
                whole.max(span.edges[0].0).max(span.edges[1].0)
            };
            let last = plane.rows.iter().map(last).max().unwrap_or(0);
            plane.start + last * plane.stride + plane.row_bytes
        };
        self.planes.iter().map(end).max().unwrap_or(0)
    }

    /// Bytes of the arena for each plane's sums of rows.
    pub(super) fn scratch(&self) -> Vec<usize> {
        let bytes = |plane: &Plane| 2 * plane.row_bytes * self.height;
        self.planes.iter().map(bytes).collect()
    }

    /// A launch for each plane, and one for all.
    pub(super) fn launches(
        &self,
        numbers: Numbers,
        constants: &mut Constants,
        scratch: &[std::ops::Range<usize>],
        to: &std::ops::Range<usize>,
    ) -> Vec<Launch> {
        let mut launches = Vec::new();
        let mut tables = [Place::NOWHERE; 2];
        for ((plane, sums), table) in self.planes.iter().zip(scratch).zip(&mut tables) {
            let spans = plane.rows.iter().flat_map(RowSpan::words);
            let spans = constants.put(spans.flat_map(u32::to_le_bytes));
            *table = constants.put(plane.columns.iter().flat_map(UnitSpan::bytes));
            let pointers = [
                Place::at(Region::Input, plane.start),
                spans,
                Place::at(Region::Arena, sums.start),
            ];
            let counts = [plane.stride, plane.row_bytes, plane.row_scale.into()];
            launches.push(Launch {
                kernel: "down",
                grid: [
                    blocks(plane.row_bytes, THREADS * BYTES),
                    blocks(self.height, 1),
                    1,
                ],
                block: blocks(THREADS, 1),
                arguments: Arguments::new(&pointers).counts(&counts),
                reads: Vec::new(),
                writes: Some(sums.clone()),
            });
        }
        let colours = self.factors.iter().flatten().flatten();
        let ends = [self.offset, self.low, self.high];
        let colours = constants.floats(colours.chain(ends.iter().flatten()).copied());
        let sums = |plane: usize| match scratch.get(plane) {
            Some(part) => Place::at(Region::Arena, part.start),
            None => Place::NOWHERE,
        };
        let pointers = [
            sums(0),
            sums(1),
            tables[0],
            tables[1],
            colours,
            Place::at(Region::Arena, to.start),
        ];
        let of = |pick: fn(&Plane) -> usize, at: usize| self.planes.get(at).map_or(0, pick);
        let counts = [
            self.width,
            self.height,
            self.planes.len(),
            of(|plane| plane.row_bytes, 0),
            of(|plane| plane.row_bytes, 1),
            of(|plane| plane.unit_bytes, 0),
            of(|plane| plane.unit_bytes, 1),
        ];
        launches.push(Launch {
            kernel: match numbers {
                Numbers::F32 => "along_f32",
                Numbers::F16 => "along_f16",
            },
            grid: [blocks(self.width * self.height, THREADS), 1, 1],
            block: blocks(THREADS, 1),
            arguments: Arguments::new(&pointers).counts(&counts),
            reads: scratch.to_vec(),
            writes: Some(to.clone()),
        });
        launches
    }
}

impl RowSpan {
    /// As the kernel has them.
    fn words(&self) -> [u32; 7] {
        let [first, last] = self.edges;
        let row = |row: usize| u32::try_from(row).unwrap_or(u32::MAX);
        [
            row(self.whole),
            row(self.whole_count),
            row(first.0),
            first.1.into(),
            row(last.0),
            last.1.into(),
            self.rounding.into(),
        ]
    }
}

impl UnitSpan {
    /// As the kernel has them.
    fn bytes(&self) -> impl Iterator<Item = u8> + use<> {
        let counts = [self.first, self.count].map(|n| u32::try_from(n).unwrap_or(u32::MAX));
        let weights = self.head.into_iter().chain(self.tail).map(f32::to_bits);
        counts.into_iter().chain(weights).flat_map(u32::to_le_bytes)
    }
}

/// As many blocks as that takes.
///
/// # Panics
/// If they are 2^32 or more.
pub(super) fn blocks(of: usize, each: usize) -> u32 {
    u32::try_from(of.div_ceil(each)).expect("a picture has fewer pixels")
}
