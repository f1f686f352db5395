//! Why the document's numbers and the exact ones differ: fourteen notes, each shown where its number stands.

use serde::{Serialize, Serializer};

/// One reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Note {
    M1,
    M2,
    M3,
    M4,
    M5,
    M6,
    M7,
    M8,
    M9,
    M10,
    M11,
    M12,
    M13,
    M14,
}

impl Note {
    pub const ALL: [Self; 14] = [
        Self::M1,
        Self::M2,
        Self::M3,
        Self::M4,
        Self::M5,
        Self::M6,
        Self::M7,
        Self::M8,
        Self::M9,
        Self::M10,
        Self::M11,
        Self::M12,
        Self::M13,
        Self::M14,
    ];

    pub fn id(self) -> String {
        format!("{self:?}")
    }

    /// Where the document says it.
    pub fn place(self) -> &'static str {
        match self {
            Self::M1 => "4.2.3 step 3",
            Self::M2 => "4.2.3 step 1",
            Self::M3 => "4.2.3 step 3",
            Self::M4 => "4.2.3 step 4",
            Self::M5 => "4.3",
            Self::M6 => "4.2.4 example 1",
            Self::M7 => "4.2.4 example 2",
            Self::M8 | Self::M9 | Self::M10 | Self::M14 => "6.3 case 2",
            Self::M11 => "6.3 case 1",
            Self::M12 => "6.1.1, 6.3 case 1",
            Self::M13 => "5.3.1",
        }
    }

    /// What is wrong and what is right.
    pub fn text(self) -> &'static str {
        match self {
            Self::M1 => {
                "The limit of the reduction is taken wrongly: (n interval + n work - work) / (n interval + n work) goes to \
                 100 % for many items, not to interval / (interval + work), which even contradicts the example beside it."
            }
            Self::M2 => {
                "The batch latency is defined from the arrival of the first item, which comes after one interval, and \
                 computed from the start: one interval too long."
            }
            Self::M3 => {
                "Unlike things are compared: the time until all n items of the batch are done, with the latency of one item \
                 of the stream. Like for like: until all are done, or the mean latency of an item, on both sides."
            }
            Self::M4 => {
                "1 / max(interval, work) is the rate for ever. Of n items the last is still worked on after it came, so that \
                 n over the time until all are done is less."
            }
            Self::M5 => {
                "In this model the throughput grows by (interval + work) / max(interval, work), which is never above 2. More \
                 needs workers side by side, which the model lacks."
            }
            Self::M6 => {
                "Five items at once are assumed. An item that is done before the next comes is alone: at most 1 is in the \
                 system."
            }
            Self::M7 => {
                "A buffer of 20 is assumed beside a latency that needs all the backlog. Room for all: the backlog grows \
                 by one item for every two that come. Room for 20: items are lost, and the latency of the others is bounded."
            }
            Self::M8 => {
                "The work of a window is longer than the slide, so that each is later than the one before, for ever. Two \
                 workers, shorter work, or leaving windows out keeps up."
            }
            Self::M9 => {
                "The wait for a tumbling window is counted as half its size, which is the mean and not the worst; that \
                 for a sliding window as its whole size, although the first window that has an item is complete within \
                 one slide."
            }
            Self::M10 => {
                "\"Slightly above\" and \"close to\" the goal of 50 ms are said of 100 ms and 80 ms. Neither meets it."
            }
            Self::M11 => {
                "30 frames a second are one each 33.3 ms, not 30 ms. The batch is charged 66.7 ms a frame and the stream 30 \
                 ms. And at a utilisation of 90 % the latency stays near the work only while frames come regularly: \
                 otherwise frames must be left out, or they queue."
            }
            Self::M12 => {
                "1920 x 1080 at 30 frames a second is some hundred MB/s in every raw format; tens of MB/s take compression."
            }
            Self::M13 => {
                "Windows are allowed from 1 s on, and case 2 needs 100, 50 and 25 ms. A 5 s window is named for actions \
                 that are due within 100 ms. The range has to begin at 1 ms."
            }
            Self::M14 => {
                "Where the slide is shorter than the time between frames, some windows hold nothing new. Work on them is \
                 wasted."
            }
        }
    }
}

impl Serialize for Note {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&self.id())
    }
}
