//! What follows a sum: the usual activations, and the exponential function that they and the softmax need.

use super::lanes::Lanes;

/// A function of each value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    None,
    /// Not below 0.
    Relu,
    /// Limits to 0..=6.
    Relu6,
    /// `x` times the share of a normal distribution below `x`, without the usual approximation by a tanh.
    Gelu,
    /// With that approximation.
    GeluTanh,
    /// `x / (1 + exp(-x))`.
    Silu,
}

impl Activation {
    /// Done while the sum is in a register; the others are done on a tile that is still in the nearest cache: their
    /// polynomials need the registers for themselves.
    pub(super) fn is_in_tile(self) -> bool {
        matches!(self, Self::None | Self::Relu | Self::Relu6)
    }

    /// Between which values it limits, where it does that alone.
    pub(super) fn limits(self) -> [f32; 2] {
        match self {
            Self::Relu => [0.0, f32::INFINITY],
            Self::Relu6 => [0.0, 6.0],
            Self::None | Self::Gelu | Self::GeluTanh | Self::Silu => {
                [f32::NEG_INFINITY, f32::INFINITY]
            }
        }
    }

    #[inline(always)]
    pub(super) fn apply<V: Lanes>(self, x: V) -> V {
        match self {
            Self::None => x,
            Self::Relu => x.filled(0.0).max(x),
            Self::Relu6 => x.limited(x.filled(0.0), x.filled(6.0)),
            Self::Gelu => gelu(x),
            Self::GeluTanh => gelu_tanh(x),
            Self::Silu => silu(x),
        }
    }
}

/// The sum of `coefficients[i] * x^i`.
#[inline(always)]
fn polynomial<V: Lanes, const N: usize>(x: V, coefficients: [f32; N]) -> V {
    let mut sum = x.filled(coefficients[N - 1]);
    for i in (0..N - 1).rev() {
        sum = sum.mul_add(x, x.filled(coefficients[i]));
    }
    sum
}

/// 2 to the power of `x`, limited to 2^-126..=2^126, within 1.5e-7 of the value.
///
/// The whole part is the result's exponent. The rest, -0.5..=0.5, goes through a polynomial of degree 6 that was fitted
/// to the smallest relative error (1.9e-9 before rounding).
#[inline(always)]
pub(super) fn exp2<V: Lanes>(x: V) -> V {
    let x = x.filled(126.0).min(x.filled(-126.0).max(x));
    let whole = x.round();
    let rest = x.sub(whole);
    let fraction = polynomial(
        rest,
        [
            1.0,
            std::f32::consts::LN_2,
            0.240_226_46,
            0.055_503_286,
            0.009_618_489,
            0.001_339_993,
            0.000_153_458_08,
        ],
    );
    fraction.mul(whole.power_of_two())
}

/// Within 1e-7 (1 + |x|) of the value.
///
/// `x P(x) = max(x, 0) - |x| P(-|x|)`, with `P` the normal distribution: the second term has no cancellation. The
/// logarithm of `P(-u)` to base 2 is nearly a parabola; it is replaced by a polynomial of degree 8 in `u`, fitted on 0..=6 to the
/// smallest error of `u P(-u)` (7e-9), which beyond that falls ever faster.
#[inline(always)]
fn gelu<V: Lanes>(x: V) -> V {
    let zero = x.filled(0.0);
    let size = zero.sub(x).max(x);
    let exponent = polynomial(
        size,
        [
            -0.999_998_87,
            -1.151_123_3,
            -0.459_115_45,
            -0.052_714_21,
            0.007_333_396,
            -0.000_323_349_73,
            -0.000_114_459_9,
            2.508_277_6e-5,
            -1.690_360_6e-6,
        ],
    );
    zero.max(x).sub(size.mul(exp2(exponent)))
}

/// `x / 2 (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)))`, and so `x` divided by 1 plus the exponential function of minus twice
/// what the tanh is taken of.
#[inline(always)]
fn gelu_tanh<V: Lanes>(x: V) -> V {
    const TWICE: f32 = 2.0 * 0.797_884_6;
    let (one, square) = (x.filled(1.0), x.mul(x));
    let inner = x.filled(0.044_715).mul_add(square, one).mul(x);
    let inverse = exp2(inner.mul(x.filled(-TWICE * std::f32::consts::LOG2_E)));
    x.div(one.add(inverse))
}

#[inline(always)]
fn silu<V: Lanes>(x: V) -> V {
    let one = x.filled(1.0);
    let inverse = exp2(x.mul(x.filled(-std::f32::consts::LOG2_E)));
    x.div(one.add(inverse))
}
