//! Quantiles in a fixed amount of memory, with a stated error.
//!
//! Chosen: counts of values in bins whose width grows with the value (as in DDSketch, Masson et al., VLDB 2019, with bins
//! read off the bits of the number as in HdrHistogram). Rejected: keeping the values (exact, but how many there are is not
//! known beforehand), KLL and t-digest (smaller for the same error, but their result depends on the order in which values
//! came and parts were merged). Here it depends on the values alone, bit for bit, on every machine: no logarithm is taken.
//!
//! Thread: any. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

use crate::state::bytes::Fields;
use crate::stream::aggregate::Aggregate;
use crate::stream::element::Element;
use crate::stream::kept::Kept;

/// Leading mantissa bits that tell bins apart: 64 bins for each power of two.
const SUB_BITS: u32 = 6;
/// Bits below those that tell bins apart.
const CUT: u32 = 52 - SUB_BITS;
/// The highest bin of each power of two ends with these bits.
const SUB_MASK: u32 = (1 << SUB_BITS) - 1;

/// The value at rank `floor(q (n - 1))` of all values in order, within 0.8 % of it; values smaller than the largest by
/// 2^(BINS/64 - 1) (with 1024 bins: 1/32,768 of it) count as 0. Values that are not numbers are passed over.
///
/// What was taken out keeps counting as the largest until the window is empty, so a window that moves value by value may
/// count more as 0 than one made anew.
#[derive(Clone, Copy, Debug)]
pub struct Quantile<const BINS: usize = 1024> {
    q: f64,
}

impl Quantile {
    /// The value that half of the others lie below.
    pub const MEDIAN: Self = Self { q: 0.5 };
}

impl<const BINS: usize> Quantile<BINS> {
    const ENOUGH: () = assert!(
        BINS >= 128 && BINS <= 1 << 17,
        "bins for 2 powers of two up to all"
    );

    /// None unless `q` is in 0..=1.
    pub fn new(q: f64) -> Option<Self> {
        let () = Self::ENOUGH;
        (0.0..=1.0).contains(&q).then_some(Self { q })
    }
}

/// How many values lie in each bin.
#[derive(Clone, Debug)]
pub struct Bins<const BINS: usize> {
    positive: [u32; BINS],
    negative: [u32; BINS],
    /// Those too small to tell from 0.
    zero: u64,
    count: u64,
    /// The highest bin that is kept, as a bin number; bin `b` is at `b % BINS`.
    top: u32,
}

/// The bins that are not empty.
impl<const BINS: usize> Kept for Bins<BINS> {
    fn keep(&self, out: &mut Vec<u8>) {
        for side in [&self.positive, &self.negative] {
            let used = || side.iter().zip(0_u32..).filter(|(count, _)| **count > 0);
            used().count().keep(out);
            for (count, slot) in used() {
                slot.keep(out);
                count.keep(out);
            }
        }
        self.zero.keep(out);
        self.count.keep(out);
        self.top.keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        for side in [&mut self.positive, &mut self.negative] {
            side.fill(0);
            let mut used = 0;
            used.put_back(from)?;
            // BOUND: the number of bins.
            for _ in 0..Some(used).filter(|used| *used <= BINS)? {
                let slot = usize::try_from(from.u32()?).ok()?;
                side.get_mut(slot)?.put_back(from)?;
            }
        }
        self.zero.put_back(from)?;
        self.count.put_back(from)?;
        self.top.put_back(from)
    }
}

/// The bin of a magnitude.
fn bin(value: f64) -> u32 {
    (value.abs().to_bits() >> CUT) as u32
}

/// The middle of a bin.
fn middle(bin: u32) -> f64 {
    let (low, high) = (u64::from(bin) << CUT, u64::from(bin + 1) << CUT);
    // The highest bin of finite numbers ends with the greatest of them.
    let high = f64::from_bits(high).min(f64::MAX);
    f64::from_bits(low) / 2.0 + high / 2.0
}

impl<const BINS: usize> Bins<BINS> {
    /// Below this everything counts as 0.
    fn bottom(&self) -> u32 {
        (self.top + 1).saturating_sub(u32::try_from(BINS).unwrap_or(u32::MAX))
    }

    fn slot(bin: u32) -> usize {
        bin as usize % BINS
    }

    /// Makes room for a bin: what lies too far below counts as 0 from here on.
    fn raise(&mut self, bin: u32) {
        // To the end of a power of two, so that this is rare; and a function of the largest value, not of the order.
        let top = bin | SUB_MASK;
        if top <= self.top {
            return;
        }
        let before = self.top;
        // BOUND: the number of bins.
        for new in (before + 1..=top).rev().take(BINS) {
            let slot = Self::slot(new);
            self.zero += u64::from(self.positive[slot]) + u64::from(self.negative[slot]);
            self.positive[slot] = 0;
            self.negative[slot] = 0;
        }
        self.top = top;
    }

    fn side(&mut self, is_negative: bool) -> &mut [u32; BINS] {
        if is_negative {
            &mut self.negative
        } else {
            &mut self.positive
        }
    }
}

impl<const BINS: usize> Aggregate for Quantile<BINS> {
    type In = f64;
    type State = Bins<BINS>;
    type Out = Option<f64>;

    const INVERTIBLE: bool = true;

    fn empty(&self) -> Bins<BINS> {
        Bins {
            positive: [0; BINS],
            negative: [0; BINS],
            zero: 0,
            count: 0,
            top: 0,
        }
    }

    fn clear(&self, state: &mut Bins<BINS>) {
        state.positive.fill(0);
        state.negative.fill(0);
        state.zero = 0;
        state.count = 0;
        state.top = 0;
    }

    fn add(&self, state: &mut Bins<BINS>, element: &Element<f64>) {
        let value = element.value;
        if value.is_nan() {
            return;
        }
        state.count += 1;
        let bin = bin(value);
        state.raise(bin);
        if bin < state.bottom() || bin == 0 {
            state.zero += 1;
        } else {
            let slot = &mut state.side(value < 0.0)[Bins::<BINS>::slot(bin)];
            *slot = slot.saturating_add(1);
        }
    }

    fn merge(&self, state: &mut Bins<BINS>, part: &Bins<BINS>) {
        if part.count == 0 {
            return;
        }
        state.raise(part.top);
        state.count += part.count;
        state.zero += part.zero;
        let bottom = state.bottom();
        // BOUND: the number of bins.
        for bin in part.bottom()..=part.top {
            let slot = Bins::<BINS>::slot(bin);
            let (positive, negative) = (part.positive[slot], part.negative[slot]);
            if bin < bottom {
                state.zero += u64::from(positive) + u64::from(negative);
            } else {
                state.positive[slot] = state.positive[slot].saturating_add(positive);
                state.negative[slot] = state.negative[slot].saturating_add(negative);
            }
        }
    }

    fn remove(&self, state: &mut Bins<BINS>, element: &Element<f64>) {
        let value = element.value;
        if value.is_nan() {
            return;
        }
        state.count -= 1;
        let bin = bin(value);
        if bin < state.bottom() || bin == 0 {
            state.zero -= 1;
        } else {
            state.side(value < 0.0)[Bins::<BINS>::slot(bin)] -= 1;
        }
        if state.count == 0 {
            // All bins are empty again: the next value says anew which is the largest.
            state.top = 0;
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a rank is at least 0, and 2^53 elements take longer than a life"
    )]
    fn result(&self, state: &Bins<BINS>) -> Option<f64> {
        let last = state.count.checked_sub(1)?;
        let mut rank = (self.q * last as f64).floor() as u64;
        let bins = || state.bottom()..=state.top;
        // BOUND: twice the number of bins.
        for bin in bins().rev() {
            let count = u64::from(state.negative[Bins::<BINS>::slot(bin)]);
            if rank < count {
                return Some(-middle(bin));
            }
            rank -= count;
        }
        if rank < state.zero {
            return Some(0.0);
        }
        rank -= state.zero;
        for bin in bins() {
            let count = u64::from(state.positive[Bins::<BINS>::slot(bin)]);
            if rank < count {
                return Some(middle(bin));
            }
            rank -= count;
        }
        // Only where a bin has counted to 2^32.
        Some(middle(state.top))
    }
}
