//! What a camera says it can do: pixel formats, sizes and rates.
//!
//! Thread: housekeeping. Allocates: yes.

use std::fmt;

use v4l::v4l_sys as sys;

use super::node::{self, CAPTURE, Node, Plain};
use crate::frame::PixelFormat;
use crate::units::Hertz;

/// BOUND: drivers end their lists with an error, and the longest seen has about 90 entries; this ends the
/// list of a driver that never does.
const ENTRIES_MAX: u32 = 512;

/// A pixel format and the sizes that the camera has it in.
#[derive(Clone, Debug, PartialEq)]
pub struct FormatOffer {
    pub fourcc: [u8; 4],
    /// The driver's own words.
    pub description: String,
    /// Empty when the driver keeps no list.
    pub sizes: Vec<SizeOffer>,
}

impl FormatOffer {
    /// The format as we know it, if we do.
    pub fn pixel(&self) -> Option<PixelFormat> {
        PixelFormat::ALL
            .into_iter()
            .find(|p| p.fourcc() == self.fourcc)
    }

    /// The name used in the configuration, or the four characters of a format that cannot be used.
    pub fn name(&self) -> String {
        match self.pixel() {
            Some(pixel) => pixel.name().to_owned(),
            None => self.fourcc.escape_ascii().to_string(),
        }
    }
}

/// A size, or a range of sizes, and the rates that the camera has it at.
#[derive(Clone, Debug, PartialEq)]
pub struct SizeOffer {
    /// Pixels: the size, or the smallest.
    pub min: (u32, u32),
    /// Pixels: the size, or the largest.
    pub max: (u32, u32),
    /// Pixels between two sizes of a range; 0 for a single size.
    pub step: (u32, u32),
    /// Of the largest size.
    pub rates: Rates,
}

/// Frames a second that a camera has at one size.
#[derive(Clone, Debug, PartialEq)]
pub enum Rates {
    /// The driver keeps no list.
    Unknown,
    /// Fastest first.
    These(Vec<Hertz>),
    Between(Hertz, Hertz),
}

/// All formats of this camera.
pub(super) fn offers(node: &Node) -> Vec<FormatOffer> {
    let mut all = Vec::new();
    for index in 0..ENTRIES_MAX {
        let mut entry = sys::v4l2_fmtdesc::zeroed();
        entry.index = index;
        entry.type_ = CAPTURE;
        if node.ask(node::LIST_FORMAT, &mut entry).is_err() {
            break;
        }
        all.push(FormatOffer {
            fourcc: entry.pixelformat.to_le_bytes(),
            description: node::text(&entry.description),
            sizes: sizes(node, entry.pixelformat),
        });
    }
    all
}

fn sizes(node: &Node, fourcc: u32) -> Vec<SizeOffer> {
    let mut all = Vec::new();
    for index in 0..ENTRIES_MAX {
        let mut entry = sys::v4l2_frmsizeenum::zeroed();
        entry.index = index;
        entry.pixel_format = fourcc;
        if node.ask(node::LIST_SIZE, &mut entry).is_err() {
            break;
        }
        let (min, max, step) = if entry.type_ == sys::v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
            // SAFETY: for this type the driver fills `discrete`; all members are integers.
            let size = unsafe { entry.__bindgen_anon_1.discrete };
            let size = (size.width, size.height);
            (size, size, (0, 0))
        } else {
            // SAFETY: for the other types the driver fills `stepwise`.
            let range = unsafe { entry.__bindgen_anon_1.stepwise };
            (
                (range.min_width, range.min_height),
                (range.max_width, range.max_height),
                (range.step_width, range.step_height),
            )
        };
        let rates = rates(node, fourcc, max);
        all.push(SizeOffer {
            min,
            max,
            step,
            rates,
        });
        if step != (0, 0) {
            break; // A range is always the only entry.
        }
    }
    all
}

fn rates(node: &Node, fourcc: u32, size: (u32, u32)) -> Rates {
    let mut all = Vec::new();
    for index in 0..ENTRIES_MAX {
        let mut entry = sys::v4l2_frmivalenum::zeroed();
        entry.index = index;
        entry.pixel_format = fourcc;
        (entry.width, entry.height) = size;
        if node.ask(node::LIST_RATE, &mut entry).is_err() {
            break;
        }
        if entry.type_ != sys::v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
            // SAFETY: for the other types the driver fills `stepwise`; all members are integers.
            let range = unsafe { entry.__bindgen_anon_1.stepwise };
            // The longest interval is the slowest rate.
            return match (rate_of(range.max), rate_of(range.min)) {
                (Some(slow), Some(fast)) => Rates::Between(slow, fast),
                _ => Rates::Unknown,
            };
        }
        // SAFETY: for this type the driver fills `discrete`.
        all.extend(rate_of(unsafe { entry.__bindgen_anon_1.discrete }));
    }
    if all.is_empty() {
        return Rates::Unknown;
    }
    all.sort_by(|a: &Hertz, b| b.get().total_cmp(&a.get()));
    all.dedup();
    Rates::These(all)
}

/// The rate nearest to `wanted` that the driver lists for this format and size; `wanted` where it lists none.
pub(super) fn nearest_rate(node: &Node, pix: &sys::v4l2_pix_format, wanted: Hertz) -> Hertz {
    let Rates::These(listed) = rates(node, pix.pixelformat, (pix.width, pix.height)) else {
        return wanted;
    };
    let off = |rate: &Hertz| (rate.get() / wanted.get()).ln().abs();
    let nearest = listed.into_iter().min_by(|a, b| off(a).total_cmp(&off(b)));
    nearest.unwrap_or(wanted)
}

/// The rate of a frame interval; drivers write 0/0 for "not known".
pub(super) fn rate_of(interval: sys::v4l2_fract) -> Option<Hertz> {
    Hertz::new(f64::from(interval.denominator) / f64::from(interval.numerator))
}

impl fmt::Display for SizeOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.min.0, self.min.1)?;
        if self.step != (0, 0) {
            let (max, step) = (self.max, self.step);
            write!(f, " to {}x{} by {}x{}", max.0, max.1, step.0, step.1)?;
        }
        let number = |rate: &Hertz| ((rate.get() * 100.0).round() / 100.0).to_string();
        match &self.rates {
            Rates::Unknown => Ok(()),
            Rates::These(rates) => {
                let list: Vec<_> = rates.iter().map(number).collect();
                write!(f, " at {} Hz", list.join(", "))
            }
            Rates::Between(slow, fast) => write!(f, " at {} to {} Hz", number(slow), number(fast)),
        }
    }
}

/// For an error message: the formats that could be used, one a line, and the names of those that cannot.
pub(super) fn summary(offers: &[FormatOffer]) -> String {
    let (known, unknown): (Vec<_>, Vec<_>) = offers.iter().partition(|o| o.pixel().is_some());
    let mut lines: Vec<String> = known
        .iter()
        .map(|offer| {
            let sizes: Vec<_> = offer.sizes.iter().map(ToString::to_string).collect();
            match sizes.is_empty() {
                true => format!("\n       {}: it keeps no list of sizes", offer.name()),
                false => format!("\n       {}: {}", offer.name(), sizes.join("; ")),
            }
        })
        .collect();
    if !unknown.is_empty() {
        let names: Vec<_> = unknown.iter().map(|o| o.name()).collect();
        lines.push(format!(
            "\n       and, not usable here: {}",
            names.join(" ")
        ));
    }
    lines.concat()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn hz(rate: f64) -> Hertz {
        Hertz::new(rate).unwrap()
    }

    #[test]
    fn an_interval_that_is_no_interval_is_no_rate() {
        for (numerator, denominator) in [(0, 0), (1, 0), (0, 1)] {
            assert_eq!(
                rate_of(sys::v4l2_fract {
                    numerator,
                    denominator
                }),
                None
            );
        }
        let ntsc = sys::v4l2_fract {
            numerator: 1001,
            denominator: 30000,
        };
        assert_eq!(rate_of(ntsc), Hertz::new(30000.0 / 1001.0));
    }

    #[test]
    fn offers_read_like_a_data_sheet() {
        let one = SizeOffer {
            min: (640, 360),
            max: (640, 360),
            step: (0, 0),
            rates: Rates::These(vec![hz(30.0), hz(12.5)]),
        };
        let range = SizeOffer {
            min: (16, 16),
            max: (1920, 1080),
            step: (2, 2),
            rates: Rates::Between(hz(1.0), hz(29.97)),
        };
        assert_eq!(one.to_string(), "640x360 at 30, 12.5 Hz");
        assert_eq!(
            range.to_string(),
            "16x16 to 1920x1080 by 2x2 at 1 to 29.97 Hz"
        );
    }

    #[test]
    fn a_summary_names_what_is_there_and_cannot_be_used() {
        let offer = |fourcc: &[u8; 4]| FormatOffer {
            fourcc: *fourcc,
            description: String::new(),
            sizes: Vec::new(),
        };
        let text = summary(&[offer(b"YUYV"), offer(b"H264"), offer(b"RG10")]);
        assert!(text.contains("YUYV: it keeps no list"), "{text}");
        assert!(text.contains("not usable here: H264 RG10"), "{text}");
    }
}
