//! Is the camera still worth listening to? Finds the two faults that no driver reports: a camera that gives nothing, and one that
//! gives the same picture for ever.
//!
//! Thread: capture. Allocates: no. Blocks: no. Locks: no. Syscalls: no.

use super::config::{Frozen, RecoveryConfig};
use crate::units::{MonoTime, Nanos};

/// Words of each picture that are compared with those of the one before. A real sensor's noise changes some of them in every frame.
/// Only a picture whose words have stayed the same for half the time is read whole: a clock in the corner of a still picture is
/// a change too.
// BOUND: 16 reads that do not wait for one another cost about 0.1 us; reading a 1080p picture whole costs as much as touching it.
const WORDS: usize = 16;
/// A camera of one frame in two seconds is not silent after half a second.
const PERIODS_MIN: i64 = 3;
/// Each time that opening the camera anew brought no frame, the next try waits twice as long, up to this many doublings.
const DOUBLINGS_MAX: u32 = 4;

/// What the lack of a frame means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Silence {
    /// None is due yet.
    Usual,
    /// The camera is silent.
    Silent,
    /// It has been silent for so long that it should be opened anew.
    Hopeless,
}

/// What a picture means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Picture {
    New,
    /// The same as before, for long enough to be counted as frozen.
    Frozen,
    /// Frozen for so long that the camera should be opened anew, once.
    Hopeless,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Watch {
    silent_after: Nanos,
    reopen_after: Nanos,
    frozen_after: Nanos,
    /// The last frame, or the beginning of the stream.
    heard: MonoTime,
    /// How often the camera was opened anew in vain.
    in_vain: u32,
    words: [u64; WORDS],
    /// The sum over the whole of the last picture, if that was read.
    sum: Option<u64>,
    /// When the picture was new for the last time.
    changed: MonoTime,
    /// The camera was opened anew for this picture already.
    reopened_for_it: bool,
}

impl Watch {
    pub(super) fn new(config: &RecoveryConfig, period: Option<Nanos>) -> Self {
        let least = period.map_or(Nanos::ZERO, |p| p * PERIODS_MIN);
        let silent_after = config.silent_after.max(least);
        Self {
            silent_after,
            reopen_after: config.reopen_after.max(silent_after),
            frozen_after: match config.frozen {
                Frozen::Use => Nanos::MAX,
                Frozen::Drop => config.frozen_after.max(least),
            },
            heard: MonoTime::ZERO,
            in_vain: 0,
            words: [0; WORDS],
            sum: None,
            changed: MonoTime::ZERO,
            reopened_for_it: false,
        }
    }

    /// The last frame, or the beginning of the stream.
    pub(super) fn heard(&self) -> MonoTime {
        self.heard
    }

    /// The camera streams from now on.
    pub(super) fn begin(&mut self, now: MonoTime) {
        self.heard = now;
        if !self.reopened_for_it {
            self.changed = now;
        }
    }

    /// No frame has come until now.
    pub(super) fn nothing(&self, now: MonoTime) -> Silence {
        let silence = now - self.heard;
        if silence >= self.reopen_after * (1 << self.in_vain) {
            Silence::Hopeless
        } else if silence >= self.silent_after {
            Silence::Silent
        } else {
            Silence::Usual
        }
    }

    /// The camera is opened anew because it was silent.
    pub(super) fn reopening_for_silence(&mut self) {
        self.in_vain = (self.in_vain + 1).min(DOUBLINGS_MAX);
    }

    /// A frame has come, of whatever worth.
    pub(super) fn heard_from(&mut self, now: MonoTime) {
        self.heard = now;
        self.in_vain = 0;
    }

    /// A frame that can be used has these bytes.
    pub(super) fn picture(&mut self, bytes: &[u8], now: MonoTime) -> Picture {
        if self.frozen_after == Nanos::MAX {
            return Picture::New;
        }
        let words = sample(bytes);
        let suspect = words == self.words && (now - self.changed) * 2 >= self.frozen_after;
        let sum = suspect.then(|| sum(bytes));
        let differs = self.sum.zip(sum).is_some_and(|(before, now)| before != now);
        self.sum = sum;
        if words != self.words || differs {
            self.words = words;
            self.changed = now;
            self.reopened_for_it = false;
            return Picture::New;
        }
        let same = now - self.changed;
        if same < self.frozen_after {
            Picture::New
        } else if same < self.frozen_after + self.reopen_after || self.reopened_for_it {
            Picture::Frozen
        } else {
            self.reopened_for_it = true;
            Picture::Hopeless
        }
    }

    /// When the picture was new for the last time.
    pub(super) fn changed(&self) -> MonoTime {
        self.changed
    }
}

/// Words from all over the picture. The places are a golden ratio apart, so that no pattern of rows or columns hides between them.
fn sample(bytes: &[u8]) -> [u64; WORDS] {
    let mut words = [0; WORDS];
    let Some(room) = bytes.len().checked_sub(8) else {
        return words;
    };
    // 2^64 divided by the golden ratio (Knuth, The Art of Computer Programming, volume 3, section 6.4).
    const STEP: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut place = STEP;
    for word in &mut words {
        place = place.wrapping_add(STEP);
        // The high bits scaled to 0 ..= room.
        let at = usize::try_from((u128::from(place) * (room as u128 + 1)) >> 64).unwrap_or(0);
        if let Some(eight) = bytes[at..].first_chunk() {
            *word = u64::from_le_bytes(*eight);
        }
    }
    words
}

/// A sum over all bytes that any change of one changes.
fn sum(bytes: &[u8]) -> u64 {
    // FNV-1a's step (Fowler, Noll, Vo) on words instead of bytes, in four lanes, so that no step waits for the one before. Each step
    // is one to one, so two pictures that differ in one word differ in the sum.
    const PRIME: u64 = 0x100_0000_01b3;
    let step = |lane: u64, word: u64| (lane ^ word).wrapping_mul(PRIME);
    let word = |eight: &[u8]| {
        let mut padded = [0; 8];
        padded[..eight.len()].copy_from_slice(eight);
        u64::from_le_bytes(padded)
    };
    let mut lanes = [1, 2, 3, 4];
    let mut blocks = bytes.chunks_exact(32);
    for block in &mut blocks {
        for (lane, eight) in lanes.iter_mut().zip(block.chunks_exact(8)) {
            *lane = step(*lane, word(eight));
        }
    }
    for (lane, eight) in lanes.iter_mut().zip(blocks.remainder().chunks(8)) {
        *lane = step(*lane, word(eight));
    }
    lanes.into_iter().fold(0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Nanos = Nanos::from_millis(33);

    fn watch() -> Watch {
        let mut watch = Watch::new(&RecoveryConfig::default(), Some(PERIOD));
        watch.begin(at(0));
        watch
    }

    fn at(ms: i64) -> MonoTime {
        MonoTime(1_000_000_000_000 + ms * 1_000_000)
    }

    #[test]
    fn a_camera_is_silent_after_half_a_second_and_hopeless_after_two() {
        let watch = watch();
        let found = [499, 500, 1999, 2000].map(|ms| watch.nothing(at(ms)));
        use Silence::{Hopeless, Silent, Usual};
        assert_eq!(found, [Usual, Silent, Silent, Hopeless]);
    }

    #[test]
    fn each_vain_opening_doubles_the_wait_and_a_frame_resets_it() {
        let mut watch = watch();
        watch.reopening_for_silence();
        watch.begin(at(0));
        assert_eq!(watch.nothing(at(3999)), Silence::Silent);
        assert_eq!(watch.nothing(at(4000)), Silence::Hopeless);
        (0..20).for_each(|_| watch.reopening_for_silence());
        assert_eq!(watch.nothing(at(31_999)), Silence::Silent);
        assert_eq!(watch.nothing(at(32_000)), Silence::Hopeless, "the longest");
        watch.heard_from(at(40_000));
        assert_eq!(watch.nothing(at(42_000)), Silence::Hopeless);
    }

    #[test]
    fn a_slow_camera_is_not_silent_between_its_frames() {
        let slow = Nanos::from_secs(2);
        let mut watch = Watch::new(&RecoveryConfig::default(), Some(slow));
        watch.begin(at(0));
        assert_eq!(watch.nothing(at(5_999)), Silence::Usual);
        assert_eq!(watch.nothing(at(6_000)), Silence::Hopeless);
    }

    /// Frames of one picture, 33 ms apart, from `from` on for `long`.
    fn show(watch: &mut Watch, bytes: &[u8], from: i64, long: i64) -> Vec<Picture> {
        let frames = (0..long / 33).map(|n| from + n * 33);
        frames.map(|ms| watch.picture(bytes, at(ms))).collect()
    }

    #[test]
    fn the_same_picture_for_a_second_is_frozen_and_opened_anew_once() {
        let (mut watch, picture) = (watch(), vec![7; 460_800]);
        let found = show(&mut watch, &picture, 0, 6_000);
        let count = |what| found.iter().filter(|&&p| p == what).count();
        assert_eq!(count(Picture::New), 31, "1 s");
        assert_eq!(count(Picture::Hopeless), 1);
        // Opening it anew does not make the same picture a new one.
        watch.begin(at(6_100));
        let again = show(&mut watch, &picture, 6_133, 300);
        assert!(again.iter().all(|&p| p == Picture::Frozen), "{again:?}");
        // Another picture is the end of it.
        let other = show(&mut watch, &vec![8; 460_800], 6_500, 66);
        assert_eq!(other, [Picture::New, Picture::New]);
    }

    #[test]
    fn noise_in_the_lowest_bit_is_a_new_picture() {
        let mut watch = watch();
        let mut state = 1_u64;
        for frame in 0..100 {
            let noisy: Vec<u8> = (0..4096)
                .map(|_| {
                    state = state
                        .wrapping_mul(6_364_136_223_846_793_005)
                        .wrapping_add(1);
                    128 + u8::from(state >> 63 == 1)
                })
                .collect();
            assert_eq!(watch.picture(&noisy, at(frame * 33)), Picture::New);
        }
    }

    #[test]
    fn a_clock_in_the_corner_of_a_still_picture_is_a_change() {
        let (mut watch, mut picture) = (watch(), vec![7; 460_800]);
        for frame in 0..300_i64 {
            picture[12_345] = u8::try_from(frame % 251).unwrap_or(0);
            assert_eq!(watch.picture(&picture, at(frame * 33)), Picture::New);
        }
    }

    #[test]
    fn a_change_of_any_byte_changes_the_sum() {
        let mut picture: Vec<u8> = (0..=255).cycle().take(32 * 9 + 13).collect();
        let whole = sum(&picture);
        for at in 0..picture.len() {
            picture[at] ^= 1;
            assert_ne!(sum(&picture), whole, "byte {at}");
            picture[at] ^= 1;
        }
        assert_eq!(sum(&picture), whole);
    }

    #[test]
    fn pictures_of_any_length_are_looked_at() {
        for length in [0, 1, 7, 8, 9, 100] {
            watch().picture(&vec![3; length], at(1));
        }
    }

    #[test]
    fn a_still_picture_may_be_wanted() {
        let config = RecoveryConfig {
            frozen: Frozen::Use,
            ..RecoveryConfig::default()
        };
        let mut watch = Watch::new(&config, Some(PERIOD));
        watch.begin(at(0));
        let found = show(&mut watch, &[7; 640], 0, 20_000);
        assert!(found.iter().all(|&p| p == Picture::New));
    }
}
