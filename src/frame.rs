//! What is known about a camera frame besides its bytes.

use crate::units::{MonoTime, Nanos};

/// The layout of a frame's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PixelFormat {
    /// 4:2:2 packed, Y0 U Y1 V.
    Yuyv,
    /// 4:2:2 packed, U Y0 V Y1.
    Uyvy,
    /// 4:2:0, a plane of Y and a half-height plane of interleaved UV.
    Nv12,
    /// 3 bytes a pixel: R, G, B.
    Rgb24,
    /// 1 byte a pixel: luma.
    Grey,
    /// One JPEG picture a frame; decoded by the features stage, so stale frames are never decoded.
    Mjpeg,
}

impl PixelFormat {
    pub const ALL: [Self; 6] = [
        Self::Yuyv,
        Self::Uyvy,
        Self::Nv12,
        Self::Rgb24,
        Self::Grey,
        Self::Mjpeg,
    ];

    /// V4L2's four character code.
    pub fn fourcc(self) -> [u8; 4] {
        *match self {
            Self::Yuyv => b"YUYV",
            Self::Uyvy => b"UYVY",
            Self::Nv12 => b"NV12",
            Self::Rgb24 => b"RGB3",
            Self::Grey => b"GREY",
            Self::Mjpeg => b"MJPG",
        }
    }

    /// The name used in the configuration and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Yuyv => "YUYV",
            Self::Uyvy => "UYVY",
            Self::Nv12 => "NV12",
            Self::Rgb24 => "RGB24",
            Self::Grey => "GREY",
            Self::Mjpeg => "MJPG",
        }
    }

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|f| f.name().eq_ignore_ascii_case(name))
    }

    /// Bytes of one row of the first plane without padding; 0 for MJPEG.
    pub fn row_bytes(self, width: u32) -> u32 {
        match self {
            Self::Yuyv | Self::Uyvy => width.div_ceil(2) * 4,
            // Chroma pairs are whole: the last column of an odd width has one of its own.
            Self::Nv12 => width.next_multiple_of(2),
            Self::Grey => width,
            Self::Rgb24 => width * 3,
            Self::Mjpeg => 0,
        }
    }

    /// Bytes of a whole frame at this stride; for MJPEG a generous upper bound.
    pub fn frame_bytes(self, stride: u32, width: u32, height: u32) -> usize {
        let plane = stride as usize * height as usize;
        match self {
            Self::Nv12 => plane + stride as usize * (height as usize).div_ceil(2),
            Self::Mjpeg => width as usize * height as usize * 2 + 4096,
            _ => plane,
        }
    }
}

impl<'de> serde::Deserialize<'de> for PixelFormat {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let name = String::deserialize(d)?;
        Self::parse(&name).ok_or_else(|| {
            serde::de::Error::custom(format!(
                "`{name}` is not a pixel format: use YUYV, UYVY, NV12, RGB24, GREY or MJPG"
            ))
        })
    }
}

/// Which matrix turns YCbCr into RGB.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Matrix {
    /// ITU-R BT.601, the default of webcams and of JPEG.
    Bt601,
    /// ITU-R BT.709, the default of HD video.
    Bt709,
}

/// Which byte values mean black and white.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Range {
    /// Y 16..=235, CbCr 16..=240.
    Limited,
    /// 0..=255.
    Full,
}

/// The format of a stream of frames: fixed when the source is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FrameFormat {
    pub pixel: PixelFormat,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Bytes from one row to the next (for NV12 in both planes); 0 for MJPEG.
    pub stride: u32,
    pub matrix: Matrix,
    pub range: Range,
}

impl FrameFormat {
    /// A format without row padding, BT.601 limited range (full for RGB, grey and MJPEG).
    pub fn packed(pixel: PixelFormat, width: u32, height: u32) -> Self {
        let range = match pixel {
            PixelFormat::Rgb24 | PixelFormat::Grey | PixelFormat::Mjpeg => Range::Full,
            _ => Range::Limited,
        };
        Self {
            pixel,
            width,
            height,
            stride: pixel.row_bytes(width),
            matrix: Matrix::Bt601,
            range,
        }
    }

    /// Bytes that a slot for this format must have.
    pub fn frame_bytes(&self) -> usize {
        self.pixel.frame_bytes(self.stride, self.width, self.height)
    }
}

/// What the capture time stamp means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StampSource {
    /// The driver's stamp, taken when exposure began.
    StartOfExposure,
    /// The driver's stamp, taken when the frame had been received.
    EndOfFrame,
    /// The driver's stamp is on an unknown clock or absent: the time of dequeue is used.
    Arrival,
    /// The file's or recording's own time, mapped onto this run.
    Recorded,
    /// Made by a synthetic source at the moment that it stands for exposure.
    Synthetic,
}

/// What is wrong with a frame; such a frame is counted and may still be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameMarks {
    /// The driver flagged it as damaged.
    pub error: bool,
    /// Fewer bytes than the format needs.
    pub short: bool,
    /// Same sequence number or same bytes as the frame before.
    pub repeated: bool,
    /// Its stamp lay in the future; `captured` was clamped to `arrived`.
    pub future_stamp: bool,
    /// Frames lost just before this one, by sequence number.
    pub gap_before: u32,
    /// The first after an interruption: what was smoothed or tracked over the frames before may be far from here.
    pub resumed: bool,
}

/// Everything known about one frame besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct FrameMeta {
    /// Counts frames of this source from 0, gaps included.
    pub seq: u64,
    /// Index of the source in the configuration.
    pub source_index: u8,
    pub format: FrameFormat,
    /// Valid bytes in the slot.
    pub bytes_used: u32,
    /// The instant that latency counts from; never later than `arrived`.
    pub captured: MonoTime,
    pub stamp: StampSource,
    /// When the frame was taken from the driver.
    pub arrived: MonoTime,
    pub marks: FrameMarks,
}

impl FrameMeta {
    /// Sets `captured` from a stamp, explicitly marking one that lies in the future.
    pub fn stamp(&mut self, stamp: MonoTime, source: StampSource) {
        self.stamp = source;
        self.marks.future_stamp = stamp - self.arrived > Nanos::ZERO;
        self.captured = stamp.min(self.arrived);
    }
}

/// A camera frame as an encoder sees it.
#[derive(Clone, Copy, Debug)]
pub struct FrameView<'a> {
    pub meta: &'a FrameMeta,
    pub bytes: &'a [u8],
}
