//! The two passes, written once for all instruction sets: `passes!` puts them into the module of a set, which has the few
//! operations on registers that they are made of.
//!
//! They are a macro and not generic functions, so that everything in them, closures too, is compiled for the set and
//! only loads need `unsafe`.

/// The passes of a set whose functions have these target features. The module has
/// - `Bytes`: a register of a row's bytes, and `STRIP_UNITS`, how many units one holds. `loaded` is how many bytes `load` reads,
///   which may be more than it uses; `load_part` takes what a row's end has, and zeros behind it. Both give units of
///   four samples, or leave that to `in_order`.
///   `prefetch` is `rt::prefetch`'s.
/// - `Sums`: a sum of 16 bits for each of those bytes. `add_row` adds them, `scale` gives `sum * scale + rounding`,
///   `add_part` adds `byte * weight / 256`, rounded down; `in_order` gives them in the order of the row, four to a unit, as a
///   `Row`.
/// - `side_by_side`, which puts four rows' sums of each unit into its block.
/// - `Whole` and `Four`: the sixteen numbers of a block as integers and as f32, and arithmetic with them. `add_sample`
///   adds sample `K` of each row times a vector of four.
macro_rules! passes {
    ($features:literal) => {
        /// Four output rows: for each plane the vertical pass, then the horizontal one over all of them.
        #[target_feature(enable = $features)]
        pub fn block(
            planes: &mut [Plane],
            finish: &Finish,
            frame: &[u8],
            block: usize,
            out: BlockRows<'_>,
        ) {
            for plane in &mut *planes {
                let rows = plane.rows_of(frame);
                let spans = &plane.row_spans[block];
                match plane.unit_bytes {
                    3 => vertical::<3>(rows, spans, plane.row_scale, &mut plane.units),
                    _ => vertical::<4>(rows, spans, plane.row_scale, &mut plane.units),
                }
            }
            match planes {
                [one] => horizontal([one], finish, out),
                [luma, chroma] => horizontal([luma, chroma], finish, out),
                _ => unreachable!("a frame has one or two planes"),
            }
        }

        #[target_feature(enable = $features)]
        fn vertical<const UNIT_BYTES: usize>(
            rows: Rows<'_>,
            spans: &[RowSpan; ROWS],
            scale: u16,
            units: &mut [Block],
        ) {
            let strip_bytes = STRIP_UNITS * UNIT_BYTES;
            let mut strips = units.chunks_exact_mut(STRIP_UNITS).enumerate();
            let loaded = loaded::<UNIT_BYTES>();
            let whole_strips = rows.row_bytes.saturating_sub(loaded - strip_bytes) / strip_bytes;
            let last_row = spans.iter().map(RowSpan::last).max().unwrap_or(0);
            // The check behind every load below.
            assert!(rows.row(last_row).len() == rows.row_bytes);
            let base = rows.row(0).as_ptr();
            // To the same place of the rows of the next block. A camera's frame is in no cache, and a processor finds out about
            // twenty rows side by side only after it has waited for each: asked for a block early, they take half the time.
            let ahead = (spans[ROWS - 1].last() - spans[0].first()) * rows.stride;
            for (index, units) in strips.by_ref().take(whole_strips) {
                let load = |row: usize| {
                    // SAFETY: strip `index` of a row not beyond `last_row` begins within the frame (checked).
                    let bytes = unsafe { base.add(row * rows.stride + index * strip_bytes) };
                    prefetch(bytes.wrapping_add(ahead));
                    // SAFETY: `whole_strips` are those whose loads stay in the row.
                    unsafe { load::<UNIT_BYTES>(bytes) }
                };
                side_by_side(&sum_rows::<UNIT_BYTES>(load, spans, scale), units);
            }
            // What is left of the row is followed by zeros.
            for (index, units) in strips {
                let load = |row: usize| {
                    let rest = rows.row(row).get(index * strip_bytes..).unwrap_or_default();
                    load_part::<UNIT_BYTES>(&rest[..rest.len().min(strip_bytes)])
                };
                side_by_side(&sum_rows::<UNIT_BYTES>(load, spans, scale), units);
            }
        }

        /// The sums of a strip for each output row.
        #[inline]
        #[target_feature(enable = $features)]
        fn sum_rows<const UNIT_BYTES: usize>(
            load: impl Fn(usize) -> Bytes,
            spans: &[RowSpan; ROWS],
            row_scale: u16,
        ) -> [Row; ROWS] {
            let mut rows = [in_order::<UNIT_BYTES>(no_sums()); ROWS];
            for (to, span) in rows.iter_mut().zip(spans) {
                let mut sums = no_sums();
                for row in span.whole_rows() {
                    sums = add_row(sums, load(row));
                }
                sums = scale(sums, row_scale, span.rounding);
                for (row, weight) in span.edges {
                    sums = add_part(sums, load(row), weight);
                }
                *to = in_order::<UNIT_BYTES>(sums);
            }
            rows
        }

        #[target_feature(enable = $features)]
        fn horizontal<const PLANES: usize>(
            planes: [&mut Plane; PLANES],
            finish: &Finish,
            mut out: BlockRows<'_>,
        ) {
            let factors: [[Four; SAMPLES]; PLANES] =
                std::array::from_fn(|plane| finish.factors[plane].map(|f| each_row(&f)));
            let (low, high) = (each_row(&finish.low), each_row(&finish.high));
            let offset = each_row(&finish.offset);
            for column in 0..out.columns() {
                let mut values = offset;
                for (plane, factors) in planes.iter().zip(&factors) {
                    let sums = sum_units(&plane.units, &plane.columns[column]);
                    values = add_sample::<0>(values, sums, factors[0]);
                    values = add_sample::<1>(values, sums, factors[1]);
                    values = add_sample::<2>(values, sums, factors[2]);
                    values = add_sample::<3>(values, sums, factors[3]);
                }
                let [first, second, third, fourth] = rows_of(limit(values, low, high));
                out.put(0, column, first);
                out.put(1, column, second);
                out.put(2, column, third);
                out.put(3, column, fourth);
            }
        }

        #[inline]
        #[target_feature(enable = $features)]
        fn sum_units(units: &[Block], span: &UnitSpan) -> Four {
            let units = &units[span.first..span.first + span.count];
            let mut sums = mul(to_f32(numbers(&units[0])), each_row(&span.head));
            if let [_, inner @ .., last] = units {
                let mut whole = no_numbers();
                for unit in inner {
                    whole = add_numbers(whole, unit);
                }
                sums = add(sums, to_f32(whole));
                sums = mul_add(to_f32(numbers(last)), each_row(&span.tail), sums);
            }
            sums
        }
    };
}
pub(super) use passes;
