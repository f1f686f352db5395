//! State that can be written down and put back, so that a run goes on after a restart where another one was cut off.
//!
//! An operator keeps what it has learned and nothing that its configuration says: it is put back into one that was built
//! from the same configuration. What is put back goes on to the bit as what was kept would have.
//!
//! Thread: any. Allocates: what is written. Blocks: no. Locks: no. Syscalls: none.

use std::collections::VecDeque;

use crate::state::bytes::Fields;
use crate::stream::element::{Element, Origin};
use crate::units::{MonoTime, Nanos};

/// See the module.
pub trait Kept {
    /// Appends the state.
    fn keep(&self, out: &mut Vec<u8>);

    /// Takes the state on. None: these bytes are not of it, and it is of no use any more.
    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()>;
}

/// The fields of a type that are its state, in order.
macro_rules! kept {
    (impl [$($generics:tt)*] $type:ty { $($field:ident),+ $(,)? }) => {
        impl<$($generics)*> $crate::stream::kept::Kept for $type {
            fn keep(&self, out: &mut Vec<u8>) {
                $($crate::stream::kept::Kept::keep(&self.$field, out);)+
            }

            fn put_back(&mut self, from: &mut $crate::state::bytes::Fields<'_>) -> Option<()> {
                $($crate::stream::kept::Kept::put_back(&mut self.$field, from)?;)+
                Some(())
            }
        }
    };
}
pub(crate) use kept;

macro_rules! numbers {
    ($($number:ty),+) => {$(
        impl Kept for $number {
            fn keep(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
                *self = Self::from_le_bytes(from.array()?);
                Some(())
            }
        }
    )+};
}
numbers!(u8, u16, u32, u64, u128, i64, f32, f64);

impl Kept for usize {
    fn keep(&self, out: &mut Vec<u8>) {
        (*self as u64).keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        *self = Self::try_from(from.u64()?).ok()?;
        Some(())
    }
}

impl Kept for bool {
    fn keep(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        *self = match from.u8()? {
            0 => false,
            1 => true,
            _ => return None,
        };
        Some(())
    }
}

impl Kept for MonoTime {
    fn keep(&self, out: &mut Vec<u8>) {
        self.0.keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        self.0.put_back(from)
    }
}

impl Kept for Nanos {
    fn keep(&self, out: &mut Vec<u8>) {
        self.0.keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        self.0.put_back(from)
    }
}

impl<T: Kept + Default> Kept for Option<T> {
    fn keep(&self, out: &mut Vec<u8>) {
        self.is_some().keep(out);
        if let Some(value) = self {
            value.keep(out);
        }
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        let mut is_some = false;
        is_some.put_back(from)?;
        *self = is_some.then(T::default);
        self.as_mut().map_or(Some(()), |value| value.put_back(from))
    }
}

impl<A: Kept, B: Kept> Kept for (A, B) {
    fn keep(&self, out: &mut Vec<u8>) {
        self.0.keep(out);
        self.1.keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        self.0.put_back(from)?;
        self.1.put_back(from)
    }
}

/// Of a fixed length, which belongs to the configuration.
impl<T: Kept> Kept for [T] {
    fn keep(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|item| item.keep(out));
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        self.iter_mut().try_for_each(|item| item.put_back(from))
    }
}

impl<T: Kept, const N: usize> Kept for [T; N] {
    fn keep(&self, out: &mut Vec<u8>) {
        self.as_slice().keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        self.as_mut_slice().put_back(from)
    }
}

impl<T: Kept> Kept for Box<[T]> {
    fn keep(&self, out: &mut Vec<u8>) {
        (**self).keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        (**self).put_back(from)
    }
}

/// With the room that it has: what does not fit is of another configuration.
impl<T: Kept + Default> Kept for VecDeque<T> {
    fn keep(&self, out: &mut Vec<u8>) {
        self.len().keep(out);
        self.iter().for_each(|item| item.keep(out));
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        let mut len = 0;
        len.put_back(from)?;
        self.clear();
        // BOUND: the capacity.
        for _ in 0..Some(len).filter(|len| *len <= self.capacity())? {
            let mut item = T::default();
            item.put_back(from)?;
            self.push_back(item);
        }
        Some(())
    }
}

impl Kept for Origin {
    fn keep(&self, out: &mut Vec<u8>) {
        (*self == Self::Filled).keep(out);
    }

    fn put_back(&mut self, from: &mut Fields<'_>) -> Option<()> {
        let mut is_filled = false;
        is_filled.put_back(from)?;
        *self = if is_filled {
            Self::Filled
        } else {
            Self::Measured
        };
        Some(())
    }
}

kept!(impl [T: Kept] Element<T> { at, arrived, seq, source, origin, value });
