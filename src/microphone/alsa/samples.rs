//! From a device's bytes to samples of one channel, -1 to 1.
//!
//! Thread: the sensor's. Allocates: no. Blocks: no. Locks: no. Syscalls: none.

/// Forms of a sample, little-endian, in the order in which they are preferred: 16 bits hold what a microphone can tell
/// (96 dB), and the others are for devices that have nothing smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    S16,
    /// 24 bits in 3 bytes: most USB interfaces.
    S24In3,
    /// 24 bits, the low ones of 32.
    S24,
    /// Most I2S microphones.
    S32,
    Float,
}

impl Form {
    pub const ALL: [Self; 5] = [Self::S16, Self::S24In3, Self::S24, Self::S32, Self::Float];

    /// `SNDRV_PCM_FORMAT_*`.
    pub fn number(self) -> u32 {
        match self {
            Self::S16 => 2,
            Self::S24In3 => 32,
            Self::S24 => 6,
            Self::S32 => 10,
            Self::Float => 14,
        }
    }

    /// As `aplay` and `arecord` call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::S16 => "S16_LE",
            Self::S24In3 => "S24_3LE",
            Self::S24 => "S24_LE",
            Self::S32 => "S32_LE",
            Self::Float => "FLOAT_LE",
        }
    }

    /// Bytes of a sample.
    pub fn bytes(self) -> usize {
        match self {
            Self::S16 => 2,
            Self::S24In3 => 3,
            _ => 4,
        }
    }

    /// One channel of `bytes`, which hold whole frames of `channels`. What does not fit `into` is left out.
    pub fn pick(self, bytes: &[u8], channels: usize, channel: usize, into: &mut [f32]) {
        let frames = bytes.chunks_exact(self.bytes() * channels);
        for (sample, frame) in into.iter_mut().zip(frames) {
            let at = channel * self.bytes();
            *sample = self.sample(&frame[at..at + self.bytes()]);
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "32 bits are rounded to 24")]
    fn sample(self, bytes: &[u8]) -> f32 {
        match *bytes {
            [a, b] => f32::from(i16::from_le_bytes([a, b])) / 32_768.0,
            // Shifted to the top, so that its sign is the sign.
            [a, b, c] => (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 / 8_388_608.0,
            [a, b, c, d] => match self {
                Self::S24 => (i32::from_le_bytes([0, a, b, c]) >> 8) as f32 / 8_388_608.0,
                Self::Float => f32::from_le_bytes([a, b, c, d]),
                _ => i32::from_le_bytes([a, b, c, d]) as f32 / 2_147_483_648.0,
            },
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_gives_the_same_samples() {
        let bytes: [(Form, &[u8]); 5] = [
            (Form::S16, &[0x00, 0x80, 0x00, 0x40, 0xff, 0xff]),
            (Form::S24In3, &[0, 0x00, 0x80, 0, 0x00, 0x40, 0, 0xff, 0xff]),
            // The byte above the 24 bits may hold anything.
            (
                Form::S24,
                &[0, 0x00, 0x80, 9, 0, 0x00, 0x40, 0, 0, 0xff, 0xff, 7],
            ),
            (
                Form::S32,
                &[0, 0, 0x00, 0x80, 0, 0, 0x00, 0x40, 0, 0, 0xff, 0xff],
            ),
            (
                Form::Float,
                &[0, 0, 0x80, 0xbf, 0, 0, 0, 0x3f, 0, 0, 0, 0xb8],
            ),
        ];
        for (form, bytes) in bytes {
            let mut samples = [0.0; 3];
            form.pick(bytes, 1, 0, &mut samples);
            assert_eq!(samples, [-1.0, 0.5, -1.0 / 32_768.0], "{}", form.name());
        }
    }

    #[test]
    fn one_channel_is_picked_of_several() {
        let bytes = [1, 0, 2, 0, 3, 0, 4, 0, 5, 0, 6, 0];
        let mut samples = [0.0; 9];
        Form::S16.pick(&bytes, 3, 1, &mut samples);
        assert_eq!(
            samples[..3]
                .iter()
                .map(|s| s * 32_768.0)
                .collect::<Vec<_>>(),
            [2.0, 5.0, 0.0]
        );
    }
}
