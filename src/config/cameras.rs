//! `[camera]` for one camera, `[[camera]]` for each of several.
//!
//! Thread: main, before the run.

use std::fmt;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

use super::CameraConfig;
use crate::capture::spec::SourceKind;
use crate::error::{Fault, Kind, Result};
use crate::fusion::views::VIEWS_MAX;

/// The cameras of a run.
#[derive(Clone, Debug, Default)]
pub struct Cameras {
    /// Its frames set the beat: each goes the way from camera to action.
    pub first: CameraConfig,
    /// Each adds to a frame of the first what it saw at that time.
    pub others: Vec<CameraConfig>,
}

impl Cameras {
    /// Refuses what no single camera can see.
    pub(super) fn check(&self) -> Result<()> {
        if self.first.view.is_some() {
            return Err(Fault::new(
                Kind::Config,
                "camera.view of the first camera",
                "the first camera's frames set the beat; a view says which pictures of another camera go with them",
                "move the table to a later [[camera]], or remove it",
            ));
        }
        if self
            .others
            .iter()
            .any(|c| c.source.kind == SourceKind::Scene)
        {
            return Err(Fault::new(
                Kind::Config,
                "camera.source = \"scene\" of a camera after the first",
                "the scene is a camera, a joint sensor and a robot in one, and there is one robot",
                "make it the first [[camera]], or take another source",
            ));
        }
        Ok(())
    }
}

impl<'de> Deserialize<'de> for Cameras {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_any(OneOrMore)
    }
}

struct OneOrMore;

impl<'de> Visitor<'de> for OneOrMore {
    type Value = Cameras;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table [camera], or a table [[camera]] for each camera")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Cameras, A::Error> {
        let first = CameraConfig::deserialize(MapAccessDeserializer::new(map))?;
        let others = Vec::new();
        Ok(Cameras { first, others })
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut tables: A) -> Result<Cameras, A::Error> {
        let mut cameras = Vec::new();
        while let Some(camera) = tables.next_element::<CameraConfig>()? {
            if cameras.len() > VIEWS_MAX {
                return Err(A::Error::custom(format!(
                    "more than {} cameras",
                    VIEWS_MAX + 1
                )));
            }
            cameras.push(camera);
        }
        let mut cameras = cameras.into_iter();
        Ok(Cameras {
            first: cameras.next().unwrap_or_default(),
            others: cameras.collect(),
        })
    }
}
