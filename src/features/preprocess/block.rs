//! The unit of work: four output rows at once, and the planes of a frame that they are made from.
//!
//! Every format becomes planes of *units* of four samples: YUYV is units of Y U Y V over two columns, NV12 a plane of
//! four luma samples a unit and a plane of U V U V, RGB one pixel and an unused sample.
//!
//! The vertical pass is over bytes, whatever they mean: weighted sums of rows in 16-bit whole numbers, so that
//! every version gives the same bits. It writes four output rows side by side: a [`Block`] holds a unit's four
//! samples for four rows. The horizontal pass adds the blocks of each output column in f32, all sixteen numbers
//! alike: one AVX-512 register, two of AVX2, four of NEON, and no gather and no sum across lanes anywhere.
//!
//! Thread: features. Allocates: in `Plane::new`. Blocks: no. Locks: no. Syscalls: no.

use super::filter::{Axis, RowSpan, UnitSpan};
use crate::inference::cuda::tables;

/// Samples in a unit.
pub const SAMPLES: usize = 4;
/// Output rows in a block.
pub const ROWS: usize = 4;
/// Numbers in a block.
pub const NUMBERS: usize = ROWS * SAMPLES;
/// Blocks that the vector versions write at a time; `Plane::units` is a multiple of this.
pub const STRIP_UNITS: usize = 16;

/// One unit's four samples for four output rows: `[row * 4 + sample]`.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct Block(pub [u16; NUMBERS]);

impl Block {
    /// The four samples of one output row.
    #[inline(always)]
    pub fn row(&self, row: usize) -> [f32; SAMPLES] {
        std::array::from_fn(|sample| f32::from(self.0[row * SAMPLES + sample]))
    }
}

/// Where a plane's bytes are in the frame, and how its samples map to pixels.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Bytes from the frame's start to the plane's.
    pub start: usize,
    pub stride: usize,
    /// Bytes in a row without padding.
    pub row_bytes: usize,
    /// 4, or 3 for RGB.
    pub unit_bytes: usize,
    /// Picture rows that one row of the plane stands for: 1 or 2.
    pub pixel_rows: usize,
    /// Picture columns that one unit covers: 1, 2 or 4.
    pub pixel_columns: usize,
    /// For each sample of the unit, a bit for each of those columns that it belongs to.
    pub lanes: [u8; SAMPLES],
}

/// One plane of the frame, its filters, and the sums of the block at work.
#[derive(Debug)]
pub struct Plane {
    /// From the frame's start to the first unit that is used, in the plane's first row.
    start: usize,
    stride: usize,
    row_bytes: usize,
    pub unit_bytes: usize,
    /// By block; the last block repeats the last row.
    pub row_spans: Vec<[RowSpan; ROWS]>,
    /// Of the vertical pass, see [`RowFilter`](super::filter::RowFilter).
    pub row_scale: u16,
    /// What the sums of both passes have to be divided by, by sample of the unit.
    pub gain: [f64; SAMPLES],
    /// By output column; counted from the first unit that is used.
    pub columns: Vec<UnitSpan>,
    /// The block at work: written by the vertical pass, read by the horizontal one.
    pub units: Vec<Block>,
    /// One row of whole-number sums, for the portable version.
    pub sums: Vec<u16>,
}

impl Plane {
    /// Takes all memory. None when one output row would be made from more than 255 rows.
    pub fn new(layout: &Layout, x: &Axis, y: &Axis) -> Option<Self> {
        let rows = y.rows(layout.pixel_rows)?;
        let row_spans = rows
            .spans
            .chunks(ROWS)
            .map(|rows| std::array::from_fn(|r| rows[r.min(rows.len() - 1)]))
            .collect();
        let mut columns = x.columns(layout.pixel_columns, layout.lanes);
        let first = columns.first().map_or(0, |c| c.first);
        let end = columns.iter().map(|c| c.first + c.count).max().unwrap_or(0);
        for column in &mut columns {
            column.first -= first;
        }
        // The last unit of a row may be cut off; its missing samples have no weight and stay 0.
        let row_bytes = (end * layout.unit_bytes).min(layout.row_bytes) - first * layout.unit_bytes;
        let units = (end - first).next_multiple_of(STRIP_UNITS);
        Some(Self {
            start: layout.start + first * layout.unit_bytes,
            stride: layout.stride,
            row_bytes,
            unit_bytes: layout.unit_bytes,
            row_spans,
            row_scale: rows.scale,
            // A sample shared by n columns was given the n-th part of their weights.
            gain: layout
                .lanes
                .map(|columns| rows.gain * x.total / f64::from(columns.count_ones())),
            columns,
            units: vec![Block([0; NUMBERS]); units],
            sums: vec![0; row_bytes],
        })
    }

    /// The part of the frame that this plane reads. The caller has checked the frame's length.
    pub fn rows_of<'a>(&self, frame: &'a [u8]) -> Rows<'a> {
        Rows {
            bytes: &frame[self.start..],
            stride: self.stride,
            row_bytes: self.row_bytes,
        }
    }

    /// The same tables for a device, for a picture of so many rows.
    pub fn for_device(&self, rows: usize) -> tables::Plane {
        let spans = self.row_spans.iter().flatten().take(rows);
        let columns = self.columns.iter();
        tables::Plane {
            start: self.start,
            stride: self.stride,
            row_bytes: self.row_bytes,
            unit_bytes: self.unit_bytes,
            row_scale: self.row_scale,
            rows: spans.map(RowSpan::for_device).collect(),
            columns: columns.map(UnitSpan::for_device).collect(),
        }
    }

    /// Bytes of the frame that this plane reads, each counted once.
    pub fn bytes_read(&self) -> usize {
        let rows = self.row_spans.iter().flatten();
        let first = rows.clone().map(RowSpan::first).min().unwrap_or(0);
        let last = rows.map(RowSpan::last).max().unwrap_or(0);
        (last + 1 - first) * self.row_bytes
    }
}

/// The rows of one plane, cropped to the columns that are used.
#[derive(Clone, Copy, Debug)]
pub struct Rows<'a> {
    bytes: &'a [u8],
    pub stride: usize,
    pub row_bytes: usize,
}

impl<'a> Rows<'a> {
    pub fn row(&self, index: usize) -> &'a [u8] {
        &self.bytes[index * self.stride..][..self.row_bytes]
    }
}

/// The rows of the output that a block fills: four, or fewer at the end of the picture.
#[derive(Debug)]
pub struct BlockRows<'a> {
    /// Those beyond the end are empty.
    rows: [&'a mut [f32]; ROWS],
    columns: usize,
}

impl<'a> BlockRows<'a> {
    /// `values` are 1 to 4 rows of `columns * 3` values.
    pub fn new(values: &'a mut [f32], columns: usize) -> Self {
        let mut rows = values.chunks_mut(columns * 3);
        Self {
            rows: std::array::from_fn(|_| rows.next().unwrap_or_default()),
            columns,
        }
    }

    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Writes one pixel. Columns come in order, so the fourth value may be written over the next pixel's first.
    #[inline(always)]
    pub fn put(&mut self, row: usize, column: usize, pixel: [f32; SAMPLES]) {
        let row = &mut self.rows[row];
        let at = column * 3;
        if let Some(to) = row.get_mut(at..at + SAMPLES) {
            to.copy_from_slice(&pixel);
        } else if let Some(to) = row.get_mut(at..at + 3) {
            to.copy_from_slice(&pixel[..3]);
        }
    }
}
