//! What telemetry promises: nothing waits, nothing is lost unseen, and the numbers are the true ones.

#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss
)]

mod folder;
mod live;
mod measured;
mod run;
mod text;

use reflexarc::units::{MonoTime, Nanos};

/// A boot time that is not 0, as on a real machine.
const BEGAN: MonoTime = MonoTime(5_000_000_000);

fn ms(n: i64) -> MonoTime {
    BEGAN + Nanos::from_millis(n)
}

/// SplitMix64 (Steele, Lea, Flood 2014): a fixed stream of numbers for a seed.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Latency-like: many short, few very long, 1 us to about 20 s.
    fn duration(&mut self) -> u64 {
        let unit = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        (1_000.0 * (unit * 16.8).exp()) as u64
    }
}
