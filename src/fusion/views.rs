//! What the other cameras see at the instant of a frame: the first camera's frames set the beat, and each of the others adds
//! the feature map that fits best, as sensors add their readings.
//!
//! Thread: fusion. Allocates: when built. Blocks: no. Locks: no. Syscalls: at most one futex wake.

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

use crate::capture::Count;
use crate::features::stage::Features;
use crate::fusion::home::MapsHome;
use crate::policy::View;
use crate::rt::sync::Arc;
use crate::stage::Inlet;
use crate::stream::align::choice::Status;
use crate::units::{MonoTime, Nanos};

/// Cameras besides the first, at most.
// BOUND: eight cameras in all are more than any robot here has, and than any board has interfaces for.
pub const VIEWS_MAX: usize = 7;

/// Maps that a view chooses from.
// BOUND: a map is chosen for a frame whose own features took up to two of its periods.
const HELD: usize = 3;

/// Places in the link to fusion.
pub const VIEW_ROOM: usize = 2;

/// Maps that circulate between another camera's features stage and its view.
// BOUND: those held, those in the link, 1 being filled, 1 on its way home.
pub const VIEW_MAPS: usize = HELD + VIEW_ROOM + 2;

/// `[camera.view]` of a camera other than the first.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ViewConfig {
    /// `"hold"` (default), `"nearest"` or `"latest"`.
    pub choice: ViewChoice,
    /// A picture further from the frame's time than this is not shown, above 0. Default 100 ms.
    #[serde(deserialize_with = "max_age")]
    pub max_age: Nanos,
}

fn max_age<'de, D: Deserializer<'de>>(d: D) -> Result<Nanos, D::Error> {
    let age = Nanos::deserialize(d)?;
    if age <= Nanos::ZERO {
        return Err(D::Error::custom(format!(
            "a picture may be {age} from the frame's time: write more than 0, such as \"100 ms\""
        )));
    }
    Ok(age)
}

/// Which picture of another camera goes with a frame.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ViewChoice {
    /// The last one captured before the frame, or with it.
    #[default]
    Hold,
    /// The one captured nearest to it, of two equally near the earlier.
    Nearest,
    /// The newest whose features are there.
    Latest,
}

impl Default for ViewConfig {
    fn default() -> Self {
        Self {
            choice: ViewChoice::default(),
            max_age: Nanos::from_millis(100),
        }
    }
}

/// How often a view had something to show. One writer: fusion.
#[derive(Debug, Default)]
pub struct ViewCounters {
    pub shown: Count,
    /// Nothing within `max_age`.
    pub missing: Count,
}

/// One other camera.
pub struct ViewLane {
    link: Inlet<Box<Features>>,
    /// In the order of their capture, at most `HELD`.
    #[expect(clippy::vec_box, reason = "the boxes are what circulates")]
    held: Vec<Box<Features>>,
    config: ViewConfig,
    counters: Arc<ViewCounters>,
}

impl ViewLane {
    pub fn new(link: Inlet<Box<Features>>, config: ViewConfig) -> Self {
        Self {
            link,
            // One more than it keeps, for the moment in which the newest has come and the oldest has not gone.
            held: Vec::with_capacity(HELD + 1),
            config,
            counters: Arc::default(),
        }
    }

    pub fn counters(&self) -> Arc<ViewCounters> {
        Arc::clone(&self.counters)
    }

    fn read(&mut self, home: &mut MapsHome) {
        // BOUND: the places of the link, and what comes meanwhile, of which there are `VIEW_MAPS` in all.
        for _ in 0..VIEW_MAPS {
            let Some(map) = self.link.pop() else { return };
            self.held.push(map);
            if self.held.len() > HELD {
                home.send(self.held.remove(0));
            }
        }
    }

    /// The map that goes with a frame of this instant.
    fn at(&self, at: MonoTime) -> Option<View<'_>> {
        let before = self.held.iter().rposition(|map| map.meta.captured <= at);
        let chosen = match self.config.choice {
            ViewChoice::Hold => before,
            ViewChoice::Latest => self.held.len().checked_sub(1),
            ViewChoice::Nearest => {
                let far = |index: &usize| (self.held[*index].meta.captured - at).abs();
                // Of two equally far the first is taken.
                (0..self.held.len()).min_by_key(far)
            }
        };
        let map = chosen.map(|index| &self.held[index]);
        let map = map.filter(|map| (map.meta.captured - at).abs() <= self.config.max_age);
        let count = match map {
            Some(_) => &self.counters.shown,
            None => &self.counters.missing,
        };
        count.add(1);
        map.map(|map| View {
            frame: &map.meta,
            features: &map.map,
            status: self.status(map.meta.captured - at),
        })
    }

    /// `off`: negative where the picture was captured before the frame.
    fn status(&self, off: Nanos) -> Status {
        match self.config.choice {
            _ if off == Nanos::ZERO => Status::Exact,
            ViewChoice::Hold => Status::Held(-off),
            ViewChoice::Nearest => Status::Nearest(off),
            ViewChoice::Latest => Status::Latest(off),
        }
    }
}

/// All other cameras.
#[derive(Default)]
pub struct Views {
    lanes: Vec<ViewLane>,
}

impl Views {
    /// At most [`VIEWS_MAX`].
    pub fn new(lanes: Vec<ViewLane>) -> Self {
        debug_assert!(lanes.len() <= VIEWS_MAX, "more cameras than there can be");
        Self { lanes }
    }

    pub fn len(&self) -> usize {
        self.lanes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.lanes.is_empty()
    }

    /// Takes the maps that have come.
    pub fn read(&mut self, home: &mut MapsHome) {
        self.lanes.iter_mut().for_each(|lane| lane.read(home));
    }

    /// What each sees at this instant; the first `len` of them are in use.
    pub fn at(&self, at: MonoTime) -> [Option<View<'_>>; VIEWS_MAX] {
        let mut views = [None; VIEWS_MAX];
        for (view, lane) in views.iter_mut().zip(&self.lanes) {
            *view = lane.at(at);
        }
        views
    }
}
