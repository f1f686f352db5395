//! What a microphone promises: `host` needs none, and `speech` real weights; `guest` needs the kernel's loopback sound card (`scripts/dev vm microphone`).
#![allow(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::disallowed_methods
)]

mod guest;
mod host;
mod speech;

#[global_allocator]
static ALLOCATOR: reflexarc::rt::memory::Ledgers = reflexarc::rt::memory::Ledgers;

/// A WAV file of 16-bit samples.
fn wav(rate: u32, channels: u16, samples: &[i16]) -> Vec<u8> {
    let data: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    let mut file = b"RIFF".to_vec();
    file.extend((36 + data.len() as u32).to_le_bytes());
    file.extend(b"WAVEfmt \x10\0\0\0\x01\0");
    file.extend(channels.to_le_bytes());
    file.extend(rate.to_le_bytes());
    file.extend((rate * u32::from(channels) * 2).to_le_bytes());
    file.extend((channels * 2).to_le_bytes());
    file.extend(16_u16.to_le_bytes());
    file.extend(b"data");
    file.extend((data.len() as u32).to_le_bytes());
    file.extend(data);
    file
}

/// A tone of 440 Hz with noise and a little direct current, at 16 kHz.
fn tone(count: u32) -> Vec<i16> {
    let mut state = 1_u64;
    (0..count)
        .map(|n| {
            state = (state * 1_103_515_245 + 12_345) % (1 << 31);
            let noise = (state >> 16) as f64 / 32_768.0 - 0.5;
            let turn = 2.0 * std::f64::consts::PI * 440.0 * f64::from(n) / 16_000.0;
            (9_000.0 * turn.sin() + 2_000.0 * noise + 150.0).floor() as i16
        })
        .collect()
}
