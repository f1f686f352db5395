//! The layout of one sample in a device's buffer.
//!
//! The kernel packs the enabled channels in the order of their index, each aligned to its own size, and rounds
//! the sample up to its largest channel (`iio_compute_scan_bytes` in `drivers/iio/industrialio-buffer.c`; the
//! form of the type is documented in `Documentation/ABI/testing/sysfs-bus-iio`).

/// What a channel's `_type` file says: `le:s12/16>>4`, or `be:u32/32X4>>0` for four values in one channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SampleType {
    pub big_endian: bool,
    pub signed: bool,
    /// Bits that count.
    pub bits: u32,
    /// Bits stored: 8, 16, 32 or 64.
    pub stored: u32,
    pub repeat: usize,
    pub shift: u32,
}

impl SampleType {
    pub fn parse(text: &str) -> Option<Self> {
        let (endian, rest) = text.split_once(':')?;
        let (sizes, shift) = rest.split_once(">>")?;
        let (bits, stored) = sizes.split_once('/')?;
        let (stored, repeat) = match stored.split_once('X') {
            Some((stored, repeat)) => (stored, repeat.parse().ok()?),
            None => (stored, 1),
        };
        let sample = Self {
            big_endian: match endian {
                "be" => true,
                "le" => false,
                _ => return None,
            },
            signed: match bits.as_bytes().first()? {
                b's' => true,
                b'u' => false,
                _ => return None,
            },
            bits: bits[1..].parse().ok()?,
            stored: stored.parse().ok()?,
            repeat,
            shift: shift.parse().ok()?,
        };
        let whole = matches!(sample.stored, 8 | 16 | 32 | 64);
        let fits = sample.bits >= 1 && sample.bits.checked_add(sample.shift)? <= sample.stored;
        (whole && fits && (1..=16).contains(&repeat)).then_some(sample)
    }

    /// Bytes of all its values.
    pub fn bytes(&self) -> usize {
        self.value_bytes() * self.repeat
    }

    pub fn value_bytes(&self) -> usize {
        self.stored as usize / 8
    }

    /// One value out of `value_bytes` bytes.
    pub fn decode(&self, bytes: &[u8]) -> i64 {
        let append = |word: u64, byte: &u8| word << 8 | u64::from(*byte);
        let word = match self.big_endian {
            true => bytes.iter().fold(0, append),
            false => bytes.iter().rev().fold(0, append),
        };
        // Moves the counting bits to the top, then down again with or without the sign.
        let top = (word >> self.shift) << (64 - self.bits);
        match self.signed {
            true => top.cast_signed() >> (64 - self.bits),
            // At 64 bits without sign the largest values wrap; no device counts that far.
            false => (top >> (64 - self.bits)).cast_signed(),
        }
    }
}

/// Where each channel stands in a sample, for channels in the order of their index; and the sample's size.
pub fn place(channels: &[SampleType]) -> (Vec<usize>, usize) {
    let mut end = 0;
    let mut largest = 1;
    let places = channels
        .iter()
        .map(|channel| {
            let start = usize::next_multiple_of(end, channel.bytes());
            end = start + channel.bytes();
            largest = largest.max(channel.bytes());
            start
        })
        .collect();
    (places, end.next_multiple_of(largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_read_as_the_kernel_documents_them() {
        let parse = |text| SampleType::parse(text);
        let accel = parse("le:s12/16>>4").expect("valid");
        assert_eq!((accel.bits, accel.stored, accel.shift), (12, 16, 4));
        assert_eq!(accel.bytes(), 2);
        let rotation = parse("be:u32/32X4>>0").expect("valid");
        assert_eq!((rotation.repeat, rotation.bytes()), (4, 16));
        for bad in [
            "",
            "le",
            "xe:s16/16>>0",
            "le:x16/16>>0",
            "le:s16/12>>0",
            "le:s16/16>>4",
            "le:s0/16>>0",
            "le:s16/16",
            "le:s16/16X0>>0",
            "le:s/16>>0",
            "le:s4294967295/16>>9",
        ] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn values_are_cut_out_with_their_sign() {
        for (kind, bytes, expected) in [
            ("le:s16/16>>0", &[0xfe, 0xff][..], -2),
            ("be:s16/16>>0", &[0xff, 0xfe], -2),
            ("le:s12/16>>4", &[0x0f, 0x80], -2048),
            ("le:u12/16>>4", &[0xff, 0xff], 4095),
            ("be:u24/32>>8", &[0x12, 0x34, 0x56, 0x78], 0x0012_3456),
            ("le:s8/8>>0", &[0x80], -128),
            ("le:s64/64>>0", &[0xff; 8], -1),
        ] {
            let kind = SampleType::parse(kind).expect("a valid type");
            assert_eq!(kind.decode(bytes), expected, "{kind:?}");
        }
    }

    #[test]
    fn channels_are_aligned_to_their_own_size_and_samples_to_the_largest() {
        let kinds = |texts: &[&str]| -> Vec<SampleType> {
            texts
                .iter()
                .map(|t| SampleType::parse(t).expect("a valid type"))
                .collect()
        };
        // Three 16 bit axes, then the time stamp: two bytes of padding stand before it.
        let imu = kinds(&[
            "le:s16/16>>0",
            "le:s16/16>>0",
            "le:s16/16>>0",
            "le:s64/64>>0",
        ]);
        assert_eq!(place(&imu), (vec![0, 2, 4, 8], 16));
        let mixed = kinds(&["le:u8/8>>0", "be:s32/32>>0", "le:u8/8>>0"]);
        assert_eq!(place(&mixed), (vec![0, 4, 8], 12));
    }
}
