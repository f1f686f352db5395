//! Quantities as types: a duration, an instant of the monotonic clock, a rate.
//!
//! Raw numbers live only at FFI, file and configuration edges. Two [`MonoTime`] subtract to
//! [`Nanos`] and never add.

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Neg, Sub};

/// A signed duration in nanoseconds. Covers ±292 years.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(pub i64);

impl Nanos {
    pub const ZERO: Self = Self(0);
    pub const MAX: Self = Self(i64::MAX);

    pub const fn from_micros(us: i64) -> Self {
        Self(us * 1_000)
    }
    pub const fn from_millis(ms: i64) -> Self {
        Self(ms * 1_000_000)
    }
    pub const fn from_secs(s: i64) -> Self {
        Self(s * 1_000_000_000)
    }
    /// Rounds to the nearest nanosecond; saturates outside ±292 years.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "`as` saturates, which is the contract"
    )]
    pub fn from_secs_f64(s: f64) -> Self {
        Self((s * 1e9).round() as i64)
    }
    #[expect(
        clippy::cast_precision_loss,
        reason = "a duration for people and for physics"
    )]
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }
    #[expect(clippy::cast_precision_loss, reason = "a duration for people")]
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }
    /// The value for a histogram or a C call: negative durations become 0.
    #[expect(clippy::cast_sign_loss, reason = "clamped to 0 first")]
    pub fn clamp_u64(self) -> u64 {
        self.0.max(0) as u64
    }
    pub fn abs(self) -> Self {
        Self(self.0.abs())
    }
}

impl Add for Nanos {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}
impl AddAssign for Nanos {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}
impl Sub for Nanos {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}
impl Neg for Nanos {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}
impl Mul<i64> for Nanos {
    type Output = Self;
    fn mul(self, n: i64) -> Self {
        Self(self.0.saturating_mul(n))
    }
}

/// Prints with the unit that a person would choose: `850 ns`, `12.3 us`, `4.56 ms`, `1.20 s`.
impl fmt::Display for Nanos {
    #[expect(clippy::cast_precision_loss, reason = "printed to three digits")]
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ns = self.0 as f64;
        let text = match self.0.unsigned_abs() {
            0..1_000 => format!("{} ns", self.0),
            1_000..1_000_000 => format!("{:.1} us", ns / 1e3),
            1_000_000..1_000_000_000 => format!("{:.2} ms", ns / 1e6),
            _ => format!("{:.2} s", ns / 1e9),
        };
        f.pad(&text)
    }
}

impl std::str::FromStr for Nanos {
    type Err = String;
    /// A number and its unit: `250us`, `40 ms`, `1.5s`, `2min`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let split = text
            .find(|c: char| !(c.is_ascii_digit() || c == '.' || c == '-'))
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(split);
        let scale = match unit.trim() {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "min" => 60.0,
            "h" => 3600.0,
            _ => {
                return Err(format!(
                    "`{text}` is not a duration: write a number and ns, us, ms, s, min or h, such as \"40 ms\""
                ));
            }
        };
        let number: f64 = number
            .parse()
            .map_err(|_| format!("`{text}` is not a duration: `{number}` is not a number"))?;
        Ok(Self::from_secs_f64(number * scale))
    }
}

impl<'de> serde::Deserialize<'de> for Nanos {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Nanos;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration in quotes with its unit, such as \"40 ms\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Nanos, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Text)
    }
}

/// An instant of `CLOCK_MONOTONIC`, in nanoseconds since boot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonoTime(pub i64);

impl MonoTime {
    /// Before everything: "not stamped yet".
    pub const ZERO: Self = Self(0);
    /// After everything: "no deadline".
    pub const FAR: Self = Self(i64::MAX);

    pub fn is_set(self) -> bool {
        self.0 != 0
    }
}

impl Sub for MonoTime {
    type Output = Nanos;
    fn sub(self, earlier: Self) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}
impl Add<Nanos> for MonoTime {
    type Output = Self;
    fn add(self, d: Nanos) -> Self {
        Self(self.0.saturating_add(d.0))
    }
}
impl Sub<Nanos> for MonoTime {
    type Output = Self;
    fn sub(self, d: Nanos) -> Self {
        Self(self.0.saturating_sub(d.0))
    }
}
impl AddAssign<Nanos> for MonoTime {
    fn add_assign(&mut self, d: Nanos) {
        *self = *self + d;
    }
}

/// A rate in events a second; always finite and above zero.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub struct Hertz(f64);

impl Hertz {
    /// None unless `rate` is finite and above zero.
    pub fn new(rate: f64) -> Option<Self> {
        (rate.is_finite() && rate > 0.0).then_some(Self(rate))
    }
    pub fn get(self) -> f64 {
        self.0
    }
    pub fn period(self) -> Nanos {
        Nanos::from_secs_f64(1.0 / self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Hertz {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let rate = f64::deserialize(d)?;
        Self::new(rate).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "{rate} is not a rate: it must be above 0 (unit: Hz)"
            ))
        })
    }
}

impl fmt::Display for Hertz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Hz", (self.0 * 1000.0).round() / 1000.0)
    }
}
