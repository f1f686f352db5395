//! Agreeing with the driver on format, size and rate.
//!
//! The driver has the last word: `S_FMT` and `S_PARM` change what they cannot grant and say nothing. So each
//! format is asked for in order of preference and what was granted is read back; the lists of sizes and rates
//! that a driver keeps serve only to explain a refusal, since not every driver keeps them.
//!
//! Thread: housekeeping, before start. Allocates: yes.

use std::io;

use v4l::v4l_sys as sys;

use super::config::V4l2Config;
use super::node::{self, CAPTURE, Node, Plain};
use super::{busy, colour, controls, offers};
use crate::error::{Fault, Kind, Result};
use crate::frame::{FrameFormat, PixelFormat};
use crate::units::Hertz;

/// What camera and configuration agreed on.
#[derive(Clone, Debug)]
pub(super) struct Agreed {
    pub(super) format: FrameFormat,
    /// None when the driver has no notion of a rate.
    pub(super) rate: Option<Hertz>,
    /// What differs from the configuration (only with `exact = false`).
    pub(super) differs: Option<String>,
}

/// A rate is granted when it is within this part of what was asked: a "30 Hz" camera may run at 30000/1001.
const RATE_TOLERANCE: f64 = 0.005;

/// Sets the camera to the first format in the list that it grants as asked, and sets its controls.
pub(super) fn negotiate(node: &Node, config: &V4l2Config) -> Result<Agreed> {
    let mut grant = choose(node, config)?;
    // After the format: it may reset controls, and the limits of an exposure follow from the rate.
    controls::apply(node, config)?;
    // A control may change what the format means: vivid's colour space does.
    let pix = node
        .format()
        .map_err(|e| device_fault(node, "tell its format", &e))?;
    let size = |p: &sys::v4l2_pix_format| (p.pixelformat, p.width, p.height);
    if size(&pix) != size(&grant.pix) {
        return Err(Fault::new(
            Kind::Config,
            format!("the camera {} changed its format", node.path().display()),
            format!("it was {grant}, and is another after the controls were set"),
            "leave the control that does that out of `controls`",
        ));
    }
    grant.pix = pix;
    Ok(grant.agreed(config))
}

/// The first format that is granted as asked, or, if that may be, the nearest.
fn choose(node: &Node, config: &V4l2Config) -> Result<Grant> {
    let mut granted = Vec::new();
    for &pixel in &config.formats {
        let Some(grant) = ask(node, config, pixel)? else {
            continue;
        };
        if grant.cost == 0 {
            return Ok(grant);
        }
        granted.push(grant);
    }
    // Of equally near ones the first, which stands first in the configuration.
    let nearest = granted.iter().min_by_key(|g| g.cost).map(|g| g.pixel);
    match nearest {
        Some(pixel) if !config.exact => ask(node, config, pixel)?,
        _ => None,
    }
    .ok_or_else(|| refusal(node, config, &granted))
}

/// The driver's answer to one format.
struct Grant {
    pixel: PixelFormat,
    pix: sys::v4l2_pix_format,
    rate: Option<Hertz>,
    /// How far from what was asked, 0 when it is just that. Comparable between grants only.
    cost: u64,
}

/// Asks for one format. `None` when the driver does not have it.
fn ask(node: &Node, config: &V4l2Config, pixel: PixelFormat) -> Result<Option<Grant>> {
    let failed = |what: &str, e: &io::Error| device_fault(node, what, e);
    let mut pix = node.format().map_err(|e| failed("tell its format", &e))?;
    pix.width = config.width;
    pix.height = config.height;
    pix.pixelformat = u32::from_le_bytes(pixel.fourcc());
    pix.field = sys::v4l2_field_V4L2_FIELD_NONE;
    // 0: the driver chooses; it knows what its hardware can write.
    pix.bytesperline = 0;
    pix.sizeimage = 0;
    pix.colorspace = sys::v4l2_colorspace_V4L2_COLORSPACE_DEFAULT;
    pix.__bindgen_anon_1.ycbcr_enc = sys::v4l2_ycbcr_encoding_V4L2_YCBCR_ENC_DEFAULT;
    pix.quantization = sys::v4l2_quantization_V4L2_QUANTIZATION_DEFAULT;
    pix.flags = 0;
    pix.priv_ = sys::V4L2_PIX_FMT_PRIV_MAGIC;
    let pix = match node.set_format(pix) {
        Ok(pix) => pix,
        // Drivers should grant another format, but some refuse one that they do not have.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => return Ok(None),
        Err(e) => return Err(failed("set its format", &e)),
    };
    if pix.pixelformat != u32::from_le_bytes(pixel.fourcc()) || !whole_pictures(pix.field) {
        return Ok(None);
    }
    // Left to themselves, drivers grant the next faster rate, however far.
    let wanted = match config.exact {
        true => config.rate,
        false => offers::nearest_rate(node, &pix, config.rate),
    };
    let rate = set_rate(node, wanted).map_err(|e| failed("set its rate", &e))?;
    let cost = cost(config, &pix, rate);
    Ok(Some(Grant {
        pixel,
        pix,
        rate,
        cost,
    }))
}

/// Half pictures (one field a buffer) are not frames.
fn whole_pictures(field: u32) -> bool {
    matches!(
        field,
        sys::v4l2_field_V4L2_FIELD_ANY
            | sys::v4l2_field_V4L2_FIELD_NONE
            | sys::v4l2_field_V4L2_FIELD_INTERLACED
            | sys::v4l2_field_V4L2_FIELD_INTERLACED_TB
            | sys::v4l2_field_V4L2_FIELD_INTERLACED_BT
    )
}

/// Asks for a rate. The answer is the rate granted; `None` when the driver has no notion of a rate.
fn set_rate(node: &Node, rate: Hertz) -> io::Result<Option<Hertz>> {
    let mut parameters = sys::v4l2_streamparm::zeroed();
    parameters.type_ = CAPTURE;
    match node.ask(node::GET_PARAMETERS, &mut parameters) {
        Ok(()) => {}
        Err(e) if e.raw_os_error() == Some(libc::ENOTTY) => return Ok(None),
        Err(e) => return Err(e),
    }
    // SAFETY: for this type the driver fills `capture`, a struct of integers.
    let mut capture = unsafe { parameters.parm.capture };
    if capture.capability & sys::V4L2_CAP_TIMEPERFRAME == 0 {
        return Ok(offers::rate_of(capture.timeperframe));
    }
    capture.timeperframe = interval(rate);
    parameters.parm.capture = capture;
    node.ask(node::SET_PARAMETERS, &mut parameters)?;
    // SAFETY: as above.
    let capture = unsafe { parameters.parm.capture };
    Ok(offers::rate_of(capture.timeperframe))
}

/// The frame interval as a fraction, exact for whole rates and to a thousandth of a hertz for others.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is above 0, and `as` saturates"
)]
fn interval(rate: Hertz) -> sys::v4l2_fract {
    if rate.get().fract() == 0.0 {
        sys::v4l2_fract {
            numerator: 1,
            denominator: rate.get() as u32,
        }
    } else {
        let denominator = (rate.get() * 1000.0).round() as u32;
        sys::v4l2_fract {
            numerator: 1000,
            denominator: denominator.max(1),
        }
    }
}

/// How far the grant is from what was asked: pixels too many or too few, then parts of the rate. Size comes
/// first, since a wrong rate can be lived with and a wrong size changes what the model sees.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and `as` saturates"
)]
fn cost(config: &V4l2Config, pix: &sys::v4l2_pix_format, rate: Option<Hertz>) -> u64 {
    let across = u64::from(pix.width.abs_diff(config.width)) * u64::from(config.height);
    let down = u64::from(pix.height.abs_diff(config.height)) * u64::from(config.width);
    let off = rate.map_or(0.0, |r| (r.get() / config.rate.get() - 1.0).abs());
    let off = if off <= RATE_TOLERANCE { 0.0 } else { off };
    // Less than one pixel's worth for any rate: 1 000 000 and more would outweigh it.
    let off = ((off * 1000.0).ceil() as u64).min(999_999);
    (across + down) * 1_000_000 + off
}

impl Grant {
    fn agreed(self, config: &V4l2Config) -> Agreed {
        let pix = &self.pix;
        let stride = match self.pixel {
            PixelFormat::Mjpeg => 0,
            // Some drivers leave it 0 for "no padding".
            pixel => pix.bytesperline.max(pixel.row_bytes(pix.width)),
        };
        let format = FrameFormat {
            pixel: self.pixel,
            width: pix.width,
            height: pix.height,
            stride,
            matrix: config
                .matrix
                .unwrap_or_else(|| colour::matrix(self.pixel, pix)),
            range: config
                .range
                .unwrap_or_else(|| colour::range(self.pixel, pix)),
        };
        let differs = (self.cost != 0).then(|| {
            format!(
                "asked for {}x{} at {}, granted {self}",
                config.width, config.height, config.rate
            )
        });
        Agreed {
            format,
            rate: self.rate,
            differs,
        }
    }
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {}x{}",
            self.pixel.name(),
            self.pix.width,
            self.pix.height
        )?;
        match self.rate {
            Some(rate) => write!(f, " at {rate}"),
            None => Ok(()),
        }
    }
}

/// A refusal that says what was granted instead and what there is.
fn refusal(node: &Node, config: &V4l2Config, granted: &[Grant]) -> Fault {
    let names: Vec<_> = config.formats.iter().map(|f| f.name()).collect();
    let grants: Vec<_> = granted.iter().map(ToString::to_string).collect();
    let instead = match grants.is_empty() {
        true => "it has none of these formats".to_owned(),
        false => format!("it granted {} instead", grants.join(", ")),
    };
    let fix = match grants.is_empty() {
        true => "add a format that it offers to `formats`",
        false => {
            "set `width`, `height` and `rate` to one of these, or `exact = false` to take the nearest"
        }
    };
    Fault::new(
        Kind::Unsupported,
        format!(
            "the camera {} does not give {}x{} at {} in {}",
            node.path().display(),
            config.width,
            config.height,
            config.rate,
            names.join(", "),
        ),
        format!(
            "{instead}; it offers{}",
            offers::summary(&offers::offers(node))
        ),
        fix,
    )
}

/// A call that failed while the camera was being set up.
pub(super) fn device_fault(node: &Node, what: &str, error: &io::Error) -> Fault {
    let shown = node.path().display();
    if error.raw_os_error() == Some(libc::EBUSY) {
        return busy::fault(node.path());
    }
    let fix = "unplug the camera and plug it in again; `dmesg` says what its driver did";
    Fault::from_io(
        format!("the camera {shown} did not {what}"),
        error,
        Kind::Unsupported,
        fix,
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn grant(width: u32, height: u32, rate: f64) -> u64 {
        let mut pix = sys::v4l2_pix_format::zeroed();
        (pix.width, pix.height) = (width, height);
        cost(&V4l2Config::default(), &pix, Hertz::new(rate))
    }

    #[test]
    fn thirty_hertz_may_be_ntscs_thirty() {
        assert_eq!(grant(640, 480, 30000.0 / 1001.0), 0);
        assert_ne!(grant(640, 480, 25.0), 0);
    }

    #[test]
    fn a_driver_without_rates_is_not_refused_for_its_rate() {
        let mut pix = sys::v4l2_pix_format::zeroed();
        (pix.width, pix.height) = (640, 480);
        assert_eq!(cost(&V4l2Config::default(), &pix, None), 0);
    }

    #[test]
    fn the_nearest_size_wins_over_the_nearest_rate() {
        assert!(grant(640, 480, 1.0) < grant(641, 480, 30.0));
        assert!(grant(640, 360, 30.0) < grant(320, 180, 30.0));
        assert!(grant(640, 480, 25.0) < grant(640, 480, 15.0));
    }

    #[test]
    fn a_rate_becomes_the_interval_that_drivers_list() {
        let of = |rate| {
            let f = interval(Hertz::new(rate).unwrap());
            (f.numerator, f.denominator)
        };
        assert_eq!(of(30.0), (1, 30));
        assert_eq!(of(7.5), (1000, 7500));
        assert_eq!(of(29.97), (1000, 29970));
    }
}
