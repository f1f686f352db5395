//! What became of a source's stream: each time that it was interrupted, how that was found, and how it went on.
//!
//! Thread: capture. Allocates: when built and after the run. Blocks: no. Locks: no. Syscalls: no.

use crate::units::MonoTime;

/// Why frames stopped, or stopped being worth anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The device has gone.
    Unplugged,
    /// The driver reports an error that ends the stream.
    DeviceError,
    /// The device is there, without an error, and gives nothing.
    Silent,
    /// Frames come, with new numbers and stamps and always the same picture.
    Frozen,
    /// What the camera is connected to changed its format.
    FormatChanged,
}

impl Cause {
    /// As in the report.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unplugged => "unplugged",
            Self::DeviceError => "device error",
            Self::Silent => "silent",
            Self::Frozen => "frozen picture",
            Self::FormatChanged => "format changed",
        }
    }
}

/// One interruption of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interruption {
    /// The gravest that was found: a silent camera may turn out to be unplugged.
    pub cause: Cause,
    /// When the last good frame before it arrived, or streaming began.
    pub last_frame: MonoTime,
    pub detected: MonoTime,
    /// When the device was streaming again after it had been opened anew, the last time.
    pub reopened: Option<MonoTime>,
    /// How often it was tried to open the device, in all.
    pub attempts: u32,
    /// When the first good frame arrived; none if none came.
    pub resumed: Option<MonoTime>,
}

/// Interruptions that are kept; later ones are only counted.
// BOUND: one every 14 s for an hour. 256 of 80 bytes are five pages.
const KEPT_MAX: usize = 256;

/// Collects interruptions.
#[derive(Debug)]
pub struct Story {
    kept: Vec<Interruption>,
    more: u64,
    now: Option<Interruption>,
}

impl Default for Story {
    fn default() -> Self {
        Self {
            kept: Vec::with_capacity(KEPT_MAX),
            more: 0,
            now: None,
        }
    }
}

impl Story {
    /// The interruption that has not ended.
    pub fn now(&self) -> Option<&Interruption> {
        self.now.as_ref()
    }

    /// Notes an interruption, or a graver cause of the one that is. True when it is a new one.
    pub fn interrupted(&mut self, cause: Cause, last_frame: MonoTime, now: MonoTime) -> bool {
        if let Some(known) = &mut self.now {
            known.cause = cause;
            return false;
        }
        self.now = Some(Interruption {
            cause,
            last_frame,
            detected: now,
            reopened: None,
            attempts: 0,
            resumed: None,
        });
        true
    }

    /// The device streams again, after so many attempts to open it.
    pub fn reopened(&mut self, now: MonoTime, attempts: u32) {
        if let Some(known) = &mut self.now {
            known.reopened = Some(now);
            known.attempts += attempts;
        }
    }

    /// A good frame has arrived. True when that ends an interruption.
    pub fn resumed(&mut self, now: MonoTime) -> bool {
        let Some(mut ended) = self.now.take() else {
            return false;
        };
        ended.resumed = Some(now);
        match self.kept.len() < KEPT_MAX {
            true => self.kept.push(ended),
            false => self.more += 1,
        }
        true
    }

    /// The interruptions in their order, the one that has not ended last, and how many were only counted.
    /// Allocates: for after the run.
    pub fn tell(&self) -> (Vec<Interruption>, u64) {
        let all = self.kept.iter().chain(&self.now).copied().collect();
        (all, self.more)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> MonoTime {
        MonoTime(ms * 1_000_000)
    }

    #[test]
    fn an_interruption_keeps_its_beginning_and_takes_the_graver_cause() {
        let mut story = Story::default();
        assert!(story.interrupted(Cause::Silent, at(100), at(600)));
        assert!(!story.interrupted(Cause::Unplugged, at(100), at(700)));
        story.reopened(at(900), 4);
        assert!(story.resumed(at(950)));
        assert!(!story.resumed(at(960)), "a frame that ends nothing");
        let (all, more) = story.tell();
        assert_eq!(more, 0);
        assert_eq!(
            all,
            [Interruption {
                cause: Cause::Unplugged,
                last_frame: at(100),
                detected: at(600),
                reopened: Some(at(900)),
                attempts: 4,
                resumed: Some(at(950)),
            }]
        );
    }

    #[test]
    fn one_that_has_not_ended_is_told_last() {
        let mut story = Story::default();
        story.interrupted(Cause::DeviceError, at(1), at(2));
        story.resumed(at(3));
        story.interrupted(Cause::Frozen, at(4), at(5));
        let (all, _) = story.tell();
        let told: Vec<_> = all.iter().map(|i| (i.cause, i.resumed)).collect();
        assert_eq!(
            told,
            [(Cause::DeviceError, Some(at(3))), (Cause::Frozen, None)]
        );
    }

    #[test]
    fn what_is_too_much_to_keep_is_counted_and_nothing_grows() {
        let mut story = Story::default();
        let room = story.kept.capacity();
        for n in 0..KEPT_MAX + 3 {
            let now = at(i64::try_from(n).unwrap_or(0));
            story.interrupted(Cause::Silent, now, now);
            story.resumed(now);
        }
        let (all, more) = story.tell();
        assert_eq!((all.len(), more), (KEPT_MAX, 3));
        assert_eq!(story.kept.capacity(), room);
    }
}
