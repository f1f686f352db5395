//! A camera's frame as tables: what each pixel of the network's picture is made of. `features::preprocess` makes them; nothing else
//! of the GPU is needed for that.
//!
//! Thread: start-up. Allocates: no.

/// The rows of the frame that one row of the picture is made of.
#[derive(Clone, Copy, Debug)]
pub struct RowSpan {
    /// The first of the rows that count fully, and how many.
    pub whole: usize,
    pub whole_count: usize,
    /// The first and the last row, and their weights in 1/256 of the plane's `row_scale`.
    pub edges: [(usize, u16); 2],
    pub rounding: u16,
}

/// The units of a row that one column of the picture is made of, with weights for the four samples of the first and of the last.
#[derive(Clone, Copy, Debug)]
pub struct UnitSpan {
    pub first: usize,
    pub count: usize,
    pub head: [f32; 4],
    pub tail: [f32; 4],
}

/// One plane of the frame.
#[derive(Clone, Debug)]
pub struct Plane {
    /// Of its first byte that is used, in the frame.
    pub start: usize,
    pub stride: usize,
    /// Bytes of a row that are used.
    pub row_bytes: usize,
    pub unit_bytes: usize,
    pub row_scale: u16,
    /// One for each row of the picture.
    pub rows: Vec<RowSpan>,
    /// One for each of its columns.
    pub columns: Vec<UnitSpan>,
}

/// A frame, as one becomes a picture.
#[derive(Clone, Debug)]
pub struct Camera {
    pub width: usize,
    pub height: usize,
    /// One or two.
    pub planes: Vec<Plane>,
    /// By plane and sample: factors to red, green, blue and 0.
    pub factors: [[[f32; 4]; 4]; 2],
    pub offset: [f32; 4],
    /// What the normalised colours are limited to.
    pub low: [f32; 4],
    pub high: [f32; 4],
}
