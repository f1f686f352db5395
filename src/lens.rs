//! Where a picture's points lie around a pan-tilt camera, and back: angles, poses and the pinhole lens.
//!
//! Directions are two angles, as the joints count them: pan is 0 straight ahead and grows to the right, tilt is 0
//! at the horizon and grows upwards. The tilt joint sits on the pan joint. Points of the picture are counted in
//! picture widths and heights from its centre, to the right and downwards, -0.5 to 0.5.
//!
//! Thread: any. Allocates: no. Blocks: no.

use std::fmt;

/// An angle. In text it carries its unit: `60 deg`, `1.05 rad`.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct Angle(f64);

impl Angle {
    pub const fn from_radians(radians: f64) -> Self {
        Self(radians)
    }
    pub const fn from_degrees(degrees: f64) -> Self {
        Self(degrees.to_radians())
    }
    pub const fn radians(self) -> f64 {
        self.0
    }
    pub const fn degrees(self) -> f64 {
        self.0.to_degrees()
    }
}

impl fmt::Display for Angle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{} deg", (self.degrees() * 100.0).round() / 100.0))
    }
}

impl std::str::FromStr for Angle {
    type Err = String;
    /// A number and its unit: `60 deg`, `-12.5deg`, `1.05 rad`.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let (number, from): (&str, fn(f64) -> Self) = if let Some(n) = text.strip_suffix("deg") {
            (n, Self::from_degrees)
        } else if let Some(n) = text.strip_suffix("rad") {
            (n, Self::from_radians)
        } else {
            return Err(format!(
                "`{text}` is not an angle: write a number and deg or rad, such as \"60 deg\""
            ));
        };
        match number.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(from(number)),
            _ => Err(format!(
                "`{text}` is not an angle: `{}` is not a number",
                number.trim()
            )),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Angle {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl serde::de::Visitor<'_> for Text {
            type Value = Angle;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an angle in quotes with its unit, such as \"60 deg\"")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Angle, E> {
                text.parse().map_err(E::custom)
            }
        }
        d.deserialize_any(Text)
    }
}

/// Two joint angles in radian: how a camera stands, or in which direction something lies.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pose {
    /// To the right.
    pub pan: f64,
    /// Upwards.
    pub tilt: f64,
}

/// A point of the picture: picture widths to the right of its centre and picture heights below it.
pub type Offset = [f64; 2];

/// A pinhole camera without distortion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lens {
    /// Tangents of half the horizontal and half the vertical field of view.
    half: [f64; 2],
}

impl Lens {
    /// `across` is the horizontal field of view, above 0 and below 180 degrees; `aspect` is the picture's width
    /// over its height (square pixels).
    pub fn new(across: Angle, aspect: f64) -> Self {
        let half = (across.radians() / 2.0).tan();
        Self {
            half: [half, half / aspect],
        }
    }

    /// Tangents of half the field of view, across and down.
    pub fn half_tangents(&self) -> [f64; 2] {
        self.half
    }

    /// The direction of what a camera in this pose shows at this point: the pose that would centre it.
    pub fn direction(&self, pose: Pose, at: Offset) -> Pose {
        let [right, up, ahead] = self.ray(pose.tilt, at);
        Pose {
            pan: pose.pan + right.atan2(ahead),
            tilt: up.atan2(right.hypot(ahead)),
        }
    }

    /// Where a camera in this pose shows what lies in this direction; None behind the camera. May be outside
    /// the picture.
    pub fn offset(&self, pose: Pose, object: Pose) -> Option<Offset> {
        let (sin_pan, cos_pan) = (object.pan - pose.pan).sin_cos();
        let (up, flat) = object.tilt.sin_cos();
        let (right, ahead) = (flat * sin_pan, flat * cos_pan);
        let (sin_tilt, cos_tilt) = pose.tilt.sin_cos();
        let depth = ahead * cos_tilt + up * sin_tilt;
        let above = up * cos_tilt - ahead * sin_tilt;
        (depth > 1e-9).then(|| {
            [
                right / depth / (2.0 * self.half[0]),
                -above / depth / (2.0 * self.half[1]),
            ]
        })
    }

    /// The ray through a point of the picture, as seen from the pan joint: right, up, ahead.
    pub fn ray(&self, tilt: f64, at: Offset) -> [f64; 3] {
        let right = at[0] * 2.0 * self.half[0];
        let below = at[1] * 2.0 * self.half[1];
        let (sin, cos) = tilt.sin_cos();
        [right, sin - below * cos, cos + below * sin]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LENS: f64 = 16.0 / 9.0;

    #[test]
    fn the_direction_of_a_point_is_where_that_point_is_shown() {
        let lens = Lens::new(Angle::from_degrees(60.0), LENS);
        for pan in [-1.3, 0.0, 0.7] {
            for tilt in [-0.4, 0.0, 0.3] {
                for at in [[0.0, 0.0], [0.5, -0.5], [-0.31, 0.2]] {
                    let pose = Pose { pan, tilt };
                    let back = lens.offset(pose, lens.direction(pose, at)).expect("ahead");
                    assert!((back[0] - at[0]).abs() < 1e-12 && (back[1] - at[1]).abs() < 1e-12);
                }
            }
        }
    }

    #[test]
    fn the_edges_of_the_picture_are_half_a_field_of_view_away() {
        let lens = Lens::new(Angle::from_degrees(60.0), LENS);
        let right = lens.direction(Pose::default(), [0.5, 0.0]);
        assert!((right.pan.to_degrees() - 30.0).abs() < 1e-9 && right.tilt == 0.0);
        let top = lens.direction(Pose::default(), [0.0, -0.5]);
        // A 16:9 picture of 60 degrees across is 2 atan(tan(30 deg) 9 / 16) = 35.98 degrees high.
        assert!((top.tilt.to_degrees() - 17.99).abs() < 0.01, "{top:?}");
        let behind = Pose {
            pan: 3.0,
            tilt: 0.0,
        };
        assert!(lens.offset(Pose::default(), behind).is_none());
    }

    #[test]
    fn an_angle_needs_its_unit() {
        assert_eq!("60 deg".parse(), Ok(Angle::from_degrees(60.0)));
        assert_eq!("-1.5rad".parse(), Ok(Angle::from_radians(-1.5)));
        for wrong in ["60", "deg", "60 grad", "nan deg", ""] {
            assert!(wrong.parse::<Angle>().is_err(), "{wrong}");
        }
    }
}
