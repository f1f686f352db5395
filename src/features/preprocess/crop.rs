//! Which part of the picture the model sees.

use serde::Deserialize;
use serde::de::{Error, MapAccess, Visitor, value::MapAccessDeserializer};

use super::filter::Interval;

/// Which part of the picture the model sees. In the configuration: `"full"`, `"centre"`, or a table
/// `{ x = 0.25, y = 0.0, width = 0.5, height = 1.0 }` of fractions of the picture.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Crop {
    /// The whole picture, squashed into the model's aspect ratio. The default: a policy that points at things must
    /// see the whole picture.
    #[default]
    Full,
    /// The largest centred rectangle that has the model's aspect ratio.
    Centre,
    /// A rectangle given in fractions of the picture, squashed into the model's aspect ratio.
    Rect(Rect),
}

/// A part of the picture: left, top, width and height, each a fraction 0..=1 of the picture's.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rect {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Rect {
    /// What is wrong with it, for people.
    fn check(&self) -> Result<(), String> {
        let inside = |from: f64, size: f64| from >= 0.0 && size > 0.0 && from + size <= 1.0;
        if inside(self.x, self.width) && inside(self.y, self.height) {
            return Ok(());
        }
        Err(format!(
            "the crop x = {}, y = {}, width = {}, height = {} does not lie within the picture: these are fractions; \
             width and height must be above 0, and x + width and y + height at most 1",
            self.x, self.y, self.width, self.height
        ))
    }
}

impl Crop {
    /// What is wrong with it, for people.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Full | Self::Centre => Ok(()),
            Self::Rect(rect) => rect.check(),
        }
    }

    /// The rectangle in source pixels, horizontal then vertical, for a picture and an output in pixels.
    pub(super) fn intervals(&self, picture: [f64; 2], output: [f64; 2]) -> [Interval; 2] {
        match self {
            Self::Full => picture.map(|length| Interval { start: 0.0, length }),
            Self::Centre => {
                let scale = (picture[0] / output[0]).min(picture[1] / output[1]);
                std::array::from_fn(|axis| {
                    let length = (output[axis] * scale).min(picture[axis]);
                    let start = (picture[axis] - length) / 2.0;
                    Interval { start, length }
                })
            }
            Self::Rect(r) => {
                let (start, size) = ([r.x, r.y], [r.width, r.height]);
                std::array::from_fn(|axis| Interval {
                    start: start[axis] * picture[axis],
                    length: size[axis] * picture[axis],
                })
            }
        }
    }
}

impl<'de> Deserialize<'de> for Crop {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct TextOrTable;
        impl<'de> Visitor<'de> for TextOrTable {
            type Value = Crop;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(
                    "\"full\", \"centre\" or { x = 0.25, y = 0.0, width = 0.5, height = 1.0 }",
                )
            }
            fn visit_str<E: Error>(self, text: &str) -> Result<Crop, E> {
                match text {
                    "full" => Ok(Crop::Full),
                    "centre" | "center" => Ok(Crop::Centre),
                    _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                }
            }
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Crop, A::Error> {
                let rect = Rect::deserialize(MapAccessDeserializer::new(map))?;
                rect.check().map_err(A::Error::custom)?;
                Ok(Crop::Rect(rect))
            }
        }
        d.deserialize_any(TextOrTable)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Holder {
        crop: Crop,
    }

    fn parse(toml: &str) -> Result<Crop, String> {
        toml::from_str::<Holder>(toml)
            .map(|h| h.crop)
            .map_err(|e| e.to_string())
    }

    #[test]
    fn every_way_of_writing_a_crop_is_read() {
        assert_eq!(parse("crop = \"full\"").unwrap(), Crop::Full);
        assert_eq!(parse("crop = \"centre\"").unwrap(), Crop::Centre);
        let rect = parse("crop = { x = 0.25, y = 0, width = 0.5, height = 1.0 }").unwrap();
        let expected = Rect {
            x: 0.25,
            y: 0.0,
            width: 0.5,
            height: 1.0,
        };
        assert_eq!(rect, Crop::Rect(expected));
    }

    #[test]
    fn a_wrong_crop_is_refused_with_its_line_and_what_is_allowed() {
        let error = parse("\ncrop = \"middle\"").unwrap_err();
        assert!(
            error.contains("line 2") && error.contains("\"centre\""),
            "{error}"
        );
        let error = parse("crop = { x = 0.6, y = 0, width = 0.5, height = 1 }").unwrap_err();
        assert!(error.contains("at most 1"), "{error}");
        for rect in [
            "{ x = -0.1, y = 0.0, width = 0.5, height = 1.0 }",
            "{ x = 0.0, y = 0.0, width = 0.0, height = 1.0 }",
            "{ x = nan, y = 0.0, width = 0.5, height = 1.0 }",
            "{ x = 0.0, y = 0.0, width = 0.5 }",
            "{ x = 0.0, y = 0.0, width = 0.5, height = 0.5, z = 1 }",
            "7",
        ] {
            parse(&format!("crop = {rect}")).unwrap_err();
        }
    }

    #[test]
    fn the_centre_crop_keeps_the_models_aspect() {
        let [x, y] = Crop::Centre.intervals([1920.0, 1080.0], [224.0, 224.0]);
        assert!((x.start - 420.0).abs() < 1e-9 && (x.length - 1080.0).abs() < 1e-9);
        assert!(y.start.abs() < 1e-9 && (y.length - 1080.0).abs() < 1e-9);
    }
}
