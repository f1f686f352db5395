//! Sets of cores in the kernel's three forms: a list (`0-3,8`), a mask (`f`, `ff,ffffffff`), and words.

use crate::board::values::CoreSet;

/// `0-3,8`, or `none`.
pub fn list(cores: &[usize]) -> String {
    if cores.is_empty() {
        return "none".to_owned();
    }
    cores.iter().copied().collect::<CoreSet>().to_string()
}

/// The kernel's hexadecimal mask, words of 32 bits with commas between.
pub fn mask(cores: &[usize]) -> String {
    let words = cores.iter().max().map_or(1, |last| last / 32 + 1);
    let mut bits = vec![0u32; words];
    for core in cores {
        bits[core / 32] |= 1 << (core % 32);
    }
    let mut text = String::new();
    for (n, word) in bits.iter().rev().enumerate() {
        text += &match n {
            0 => format!("{word:x}"),
            _ => format!(",{word:08x}"),
        };
    }
    text
}

/// Reads a mask.
pub fn of_mask(text: &str) -> Option<Vec<usize>> {
    let mut cores = Vec::new();
    for (n, word) in text.trim().split(',').rev().enumerate() {
        let bits = u32::from_str_radix(word, 16).ok()?;
        cores.extend(
            (0..32)
                .filter(|bit| bits >> bit & 1 == 1)
                .map(|bit| n * 32 + bit),
        );
    }
    Some(cores)
}

/// Those of `a` that are also in `b`.
pub fn both(a: &[usize], b: &[usize]) -> Vec<usize> {
    a.iter().copied().filter(|core| b.contains(core)).collect()
}

/// Those of `a` that are not in `b`.
pub fn without(a: &[usize], b: &[usize]) -> Vec<usize> {
    a.iter().copied().filter(|core| !b.contains(core)).collect()
}

/// `core 3`, `cores 2-3`.
pub fn in_words(cores: &[usize]) -> String {
    match cores.len() {
        0 => "no core".to_owned(),
        1 => format!("core {}", list(cores)),
        _ => format!("cores {}", list(cores)),
    }
}
