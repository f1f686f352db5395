//! Cutting a block's output into strips of rows, and where the hidden rows of each strip lie.

use std::ops::Range;

use super::spec::Block;

/// Some rows of a block's output that are made together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strip {
    pub output_rows: Range<usize>,
    /// Hidden rows that no strip before has made.
    pub new_rows: Range<usize>,
    /// Where in a plane of the ring each padded hidden row begins that the strip needs, in floats, the first first.
    /// Padding lies behind the ring's rows, in a row that is always zero.
    pub row_starts: Vec<usize>,
}

/// All strips of a block, and the ring of hidden rows that they share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Strips {
    pub strips: Vec<Strip>,
    /// Hidden rows that a plane of the ring holds, besides the row of zeros.
    pub ring_rows: usize,
    /// True when rows of all hidden channels must stay until the next strip. False when one strip is the
    /// whole picture: then the panels of channels can use the same memory one after the other.
    pub keeps_rows: bool,
    /// Floats of a padded hidden row.
    pub row_floats: usize,
}

impl Strips {
    /// Strips of `rows` output rows, the last one of what is left, of hidden rows of `row_floats`.
    pub fn new(block: &Block, rows: usize, row_floats: usize) -> Self {
        let size = block.output_size();
        let keeps_rows = rows < size;
        // BOUND: what one strip needs; the next one overwrites only rows above its own first one.
        let ring_rows = if keeps_rows {
            (rows - 1) * block.stride + block.kernel
        } else {
            block.input_size
        };
        let (before, _) = block.padding();
        let mut made = 0;
        let strips = (0..size)
            .step_by(rows)
            .map(|first| {
                let output_rows = first..(first + rows).min(size);
                let padded_rows =
                    first * block.stride..(output_rows.end - 1) * block.stride + block.kernel;
                let hidden = |padded: usize| {
                    padded
                        .checked_sub(before)
                        .filter(|&row| row < block.input_size)
                };
                let needed = padded_rows.clone().filter_map(hidden).max();
                let new_rows = made..needed.map_or(made, |row| made.max(row + 1));
                made = new_rows.end;
                Strip {
                    output_rows,
                    new_rows,
                    row_starts: padded_rows
                        .map(|padded| hidden(padded).map_or(ring_rows, |row| row % ring_rows))
                        .map(|slot| slot * row_floats)
                        .collect(),
                }
            })
            .collect();
        Self {
            strips,
            ring_rows,
            keeps_rows,
            row_floats,
        }
    }

    /// Floats of one block of channels, the row of zeros included.
    pub fn plane_floats(&self) -> usize {
        (self.ring_rows + 1) * self.row_floats
    }

    /// The parts of `rows` that lie one after the other in the ring: two, when they wrap around its end.
    pub fn contiguous(&self, rows: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        // BOUND: a strip makes no more rows than the ring holds, so they wrap at most once.
        let wrap = rows.end - rows.end % self.ring_rows;
        let wrap = wrap.clamp(rows.start, rows.end);
        [rows.start..wrap, wrap..rows.end].into_iter()
    }

    /// Output rows of the tallest strip.
    pub fn rows_max(&self) -> usize {
        let rows = self.strips.iter().map(|s| s.output_rows.len());
        rows.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::spec;
    use super::*;

    /// Plays the ring: every row that a strip reads is the one that was made for it, whatever the strip's height.
    #[test]
    fn a_strip_finds_every_row_that_it_needs_in_the_ring() {
        for block in spec::blocks() {
            let (before, after) = block.padding();
            for rows in 1..=block.output_size() {
                let strips = Strips::new(&block, rows, 1);
                let mut ring = vec![None; strips.ring_rows];
                let (mut outputs, mut made) = (0, 0);
                for strip in &strips.strips {
                    assert_eq!(
                        (strip.output_rows.start, strip.new_rows.start),
                        (outputs, made)
                    );
                    (outputs, made) = (strip.output_rows.end, strip.new_rows.end);
                    for rows in strips.contiguous(strip.new_rows.clone()) {
                        let slot = rows.start % strips.ring_rows;
                        for (to, row) in ring[slot..slot + rows.len()].iter_mut().zip(rows) {
                            *to = Some(row);
                        }
                    }
                    let first = strip.output_rows.start * block.stride;
                    for (i, &slot) in strip.row_starts.iter().enumerate() {
                        let padded = first + i;
                        let inside = (before..before + block.input_size).contains(&padded);
                        let expected = inside.then(|| padded - before);
                        let found = ring.get(slot).copied().flatten();
                        assert_eq!(found, expected, "{block:?}, strips of {rows}, {strip:?}");
                        assert_eq!(slot == strips.ring_rows, !inside);
                    }
                }
                let reach = (block.output_size() - 1) * block.stride + block.kernel;
                assert_eq!(reach, before + block.input_size + after);
                assert_eq!(outputs, block.output_size());
                assert!(made <= block.input_size);
            }
        }
    }
}
