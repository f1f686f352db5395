//! What the gaze policy can be told.

use serde::Deserialize;

use crate::lens::Angle;

/// `[policy.gaze]`: pointing a pan-tilt camera at what the instruction names.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default, remote = "Self")]
pub struct GazeConfig {
    /// Horizontal field of view of the camera, 10 deg to 150 deg. Default 60 deg; the scene knows its own.
    pub field_of_view: Angle,
    /// How far it may turn to either side while it searches, up to 170 deg. Default 75 deg.
    pub pan_range: Angle,
    /// How far up and down, up to 80 deg. Default 22 deg.
    pub tilt_range: Angle,
    /// How fast it turns while it searches, an angle a second. Default 60 deg.
    pub search_speed: Angle,
    /// How fast it turns towards what it sees, an angle a second. Default 100 deg.
    pub track_speed: Angle,
    /// The least similarity (cosine) of the instruction to a class name that counts as a match, 0 to 1.
    /// Default 0.42.
    pub match_at_least: f32,
    /// The probability at which the object counts as seen, 0 to 1. Default 0.5.
    pub seen_at: f32,
    /// The probability below which it counts as lost, 0 to `seen_at`. Default 0.15.
    pub lost_at: f32,
}

impl Default for GazeConfig {
    fn default() -> Self {
        Self {
            field_of_view: Angle::from_degrees(60.0),
            pan_range: Angle::from_degrees(75.0),
            tilt_range: Angle::from_degrees(22.0),
            search_speed: Angle::from_degrees(60.0),
            track_speed: Angle::from_degrees(100.0),
            match_at_least: 0.42,
            seen_at: 0.5,
            lost_at: 0.15,
        }
    }
}

impl<'de> Deserialize<'de> for GazeConfig {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        // The derived function of the same name, by `remote = "Self"`: fields first, then their ranges.
        let config = Self::deserialize(d)?;
        config.check().map_err(serde::de::Error::custom)?;
        Ok(config)
    }
}

impl GazeConfig {
    /// What is out of range, in words.
    pub fn check(&self) -> Result<(), String> {
        let angles = [
            ("field_of_view", self.field_of_view, 10.0, 150.0),
            ("pan_range", self.pan_range, 0.0, 170.0),
            ("tilt_range", self.tilt_range, 0.0, 80.0),
            ("search_speed", self.search_speed, 1.0, 1000.0),
            ("track_speed", self.track_speed, 1.0, 1000.0),
        ];
        for (name, angle, min, max) in angles {
            if !(min..=max).contains(&angle.degrees()) {
                return Err(format!(
                    "`{name}` is {angle}, it must be {min} deg to {max} deg"
                ));
            }
        }
        for (name, share) in [
            ("match_at_least", self.match_at_least),
            ("seen_at", self.seen_at),
            ("lost_at", self.lost_at),
        ] {
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("`{name}` is {share}, it must be 0 to 1"));
            }
        }
        if self.lost_at > self.seen_at {
            return Err(format!(
                "`lost_at` is {} and `seen_at` {}: an object must be harder to find than to lose",
                self.lost_at, self.seen_at
            ));
        }
        Ok(())
    }
}
