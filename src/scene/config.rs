//! What a scene can be told: picture, joints, sensor and the seed that everything random follows from.

use serde::Deserialize;

use crate::frame::{FrameFormat, PixelFormat};
use crate::lens::{Angle, Lens};
use crate::units::{Hertz, Nanos};

/// `[camera.scene]`: a virtual pan-tilt camera in front of a wall of photographs. The defaults are a 1920x1080
/// camera at 30 Hz on joints of a quick hobby servo.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct SceneConfig {
    /// Pixels, even, 64 to 4096. Default 1920.
    pub width: u32,
    /// Pixels, even, 64 to 4096. Default 1080.
    pub height: u32,
    /// Frames a second, 1 to 240. Default 30 Hz.
    pub rate: Hertz,
    /// YUYV (default), UYVY, NV12, RGB24 or GREY.
    pub format: PixelFormat,
    /// Buffers, 2 to 32. Default 4, as with a camera.
    pub slots: u32,
    /// The same seed hangs the photographs in the same places, and gives the same noise and jitter. Default 1.
    pub seed: u64,
    /// Horizontal field of view, 20 deg to 100 deg. Default 60 deg.
    pub field_of_view: Angle,
    /// How far the pan joint turns to either side, 10 deg to 120 deg. Default 80 deg.
    pub pan_range: Angle,
    /// How far the tilt joint turns up and down, 5 deg to 50 deg. Default 25 deg.
    pub tilt_range: Angle,
    /// Top speed of a joint, an angle a second, 1 deg to 1000 deg. Default 150 deg.
    pub speed: Angle,
    /// How fast a joint changes its speed, an angle a second squared, 10 deg to 20000 deg. Default 1200 deg.
    pub acceleration: Angle,
    /// Natural frequency of a joint's position loop (critically damped), 0.5 Hz to 50 Hz. Default 3 Hz: the joint
    /// follows a moving command about 0.1 s behind.
    pub stiffness: Hertz,
    /// Joint readings a second, 1 to 1000. Default 100 Hz.
    pub sensor_rate: Hertz,
    /// Standard deviation of a reading, 0 to 5 deg. Default 0.05 deg.
    pub sensor_noise: Angle,
    /// Each reading is early or late by up to this much, evenly spread, 0 to 40 % of its period. Default 1 ms.
    pub sensor_jitter: Nanos,
}

impl Default for SceneConfig {
    fn default() -> Self {
        let hertz = |rate| Hertz::new(rate).expect("a default is above 0");
        Self {
            width: 1920,
            height: 1080,
            rate: hertz(30.0),
            format: PixelFormat::Yuyv,
            slots: 4,
            seed: 1,
            field_of_view: Angle::from_degrees(60.0),
            pan_range: Angle::from_degrees(80.0),
            tilt_range: Angle::from_degrees(25.0),
            speed: Angle::from_degrees(150.0),
            acceleration: Angle::from_degrees(1200.0),
            stiffness: hertz(3.0),
            sensor_rate: hertz(100.0),
            sensor_noise: Angle::from_degrees(0.05),
            sensor_jitter: Nanos::from_millis(1),
        }
    }
}

impl<'de> Deserialize<'de> for SceneConfig {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // The derived function of the same name, by `remote = "Self"`: fields first, then their ranges.
        let config = Self::deserialize(d)?;
        config.check().map_err(serde::de::Error::custom)?;
        Ok(config)
    }
}

impl SceneConfig {
    /// The format of the frames.
    pub fn frame_format(&self) -> FrameFormat {
        FrameFormat::packed(self.format, self.width, self.height)
    }

    /// Width over height.
    pub fn aspect(&self) -> f64 {
        f64::from(self.width) / f64::from(self.height)
    }

    pub fn lens(&self) -> Lens {
        Lens::new(self.field_of_view, self.aspect())
    }

    /// What is out of range, in words.
    pub fn check(&self) -> Result<(), String> {
        for (name, pixels) in [("width", self.width), ("height", self.height)] {
            if !(64..=4096).contains(&pixels) || pixels % 2 != 0 {
                return Err(format!(
                    "`{name}` is {pixels}, it must be an even number of pixels, 64 to 4096"
                ));
            }
        }
        if self.format == PixelFormat::Mjpeg {
            return Err(
                "`format` is MJPG, which the scene cannot make: use YUYV, UYVY, NV12, RGB24 or GREY"
                    .to_owned(),
            );
        }
        if !(2..=32).contains(&self.slots) {
            return Err(format!("`slots` is {}, it must be 2 to 32", self.slots));
        }
        self.check_rates()?;
        self.check_angles()
    }

    fn check_rates(&self) -> Result<(), String> {
        for (name, rate, min, max) in [
            ("rate", self.rate, 1.0, 240.0),
            ("stiffness", self.stiffness, 0.5, 50.0),
            ("sensor_rate", self.sensor_rate, 1.0, 1000.0),
        ] {
            if !(min..=max).contains(&rate.get()) {
                return Err(format!("`{name}` is {rate}, it must be {min} to {max} Hz"));
            }
        }
        // Half a period would let readings change places.
        let most = Nanos(self.sensor_rate.period().0 * 2 / 5);
        if !(Nanos::ZERO..=most).contains(&self.sensor_jitter) {
            return Err(format!(
                "`sensor_jitter` is {}, it must be 0 to 40 % of the sensor's period, here {most}",
                self.sensor_jitter
            ));
        }
        Ok(())
    }

    fn check_angles(&self) -> Result<(), String> {
        for (name, angle, min, max) in [
            ("field_of_view", self.field_of_view, 20.0, 100.0),
            ("pan_range", self.pan_range, 10.0, 120.0),
            ("tilt_range", self.tilt_range, 5.0, 50.0),
            ("speed", self.speed, 1.0, 1000.0),
            ("acceleration", self.acceleration, 10.0, 20_000.0),
            ("sensor_noise", self.sensor_noise, 0.0, 5.0),
        ] {
            // Radians do not convert back to the exact degree, so the ends get a hair of room.
            if !(min - 1e-9..=max + 1e-9).contains(&angle.degrees()) {
                return Err(format!(
                    "`{name}` is {angle}, it must be {min} to {max} deg"
                ));
            }
        }
        Ok(())
    }
}
