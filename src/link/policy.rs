//! What a link does with more than its reader can take: the policies, as they are configured.
//!
//! Thread: main, before the run.

use serde::Deserialize as _;
use serde::de::{Deserializer, Error as _};

use crate::units::Nanos;

/// What happens to an item that finds no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WhenFull {
    /// Its source holds it, and all after it, until there is room. Nothing is lost; the lateness is the source's.
    #[default]
    Block,
    /// It is dropped: an [`every`](super::every()) link.
    DropNewest,
    /// The longest waiting item is dropped in its place: a [`recent`](super::recent()) link.
    DropOldest,
    /// There is room for one, and the newest has it: a [`newest`](super::newest()) link.
    NewestOnly,
}

impl WhenFull {
    pub const ALL: [Self; 4] = [
        Self::Block,
        Self::DropNewest,
        Self::DropOldest,
        Self::NewestOnly,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Block => "block",
            Self::DropNewest => "drop-newest",
            Self::DropOldest => "drop-oldest",
            Self::NewestOnly => "newest-only",
        }
    }
}

impl std::str::FromStr for WhenFull {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|policy| policy.name() == text);
        found.ok_or_else(|| {
            format!("`{text}` is none of block, drop-newest, drop-oldest, newest-only")
        })
    }
}

impl<'de> serde::Deserialize<'de> for WhenFull {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

/// One link of `[links]`. What is left out stays as the link has it by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinkConfig {
    /// `"newest-only"`, `"drop-oldest"`, `"drop-newest"` or `"block"`.
    pub when_full: Option<WhenFull>,
    /// Items that can wait, 1 to 4096. Only one does with `"newest-only"`.
    #[serde(deserialize_with = "room")]
    pub room: Option<u32>,
    /// One of so many is passed on, 1 to 1000; the others are left out and counted. Default 1.
    #[serde(deserialize_with = "one_of")]
    pub one_of: Option<u32>,
    /// What is older than this when its reader comes to it, by the time of its capture or measurement, is left out and
    /// counted; above 0. Default: nothing is too old.
    #[serde(deserialize_with = "expire")]
    pub expire: Option<Nanos>,
}

/// `[links]`: what the links do with more than their readers can take.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LinksConfig {
    /// From capture to features. Default `"newest-only"`.
    pub frames: LinkConfig,
    /// From features to fusion. Default `"newest-only"`.
    pub features: LinkConfig,
    /// From each sensor to fusion. Default `"drop-oldest"` with room for 256.
    pub readings: LinkConfig,
}

/// A link's policy, with nothing left open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkPolicy {
    pub when_full: WhenFull,
    /// At least 1.
    pub room: usize,
    /// At least 1.
    pub one_of: u32,
    pub expire: Option<Nanos>,
}

impl LinkPolicy {
    /// The newest item, whatever its age.
    pub const NEWEST: Self = Self {
        when_full: WhenFull::NewestOnly,
        room: 1,
        one_of: 1,
        expire: None,
    };

    /// Everything in order; the source waits.
    pub fn block(room: usize) -> Self {
        Self {
            when_full: WhenFull::Block,
            room,
            ..Self::NEWEST
        }
    }
}

impl LinkConfig {
    /// The policy, with what was left out as in `default`.
    pub fn over(&self, default: LinkPolicy) -> LinkPolicy {
        let when_full = self.when_full.unwrap_or(default.when_full);
        let room = self.room.map_or(default.room, |room| room as usize);
        LinkPolicy {
            when_full,
            room: if when_full == WhenFull::NewestOnly {
                1
            } else {
                room
            },
            one_of: self.one_of.unwrap_or(default.one_of),
            expire: self.expire.or(default.expire),
        }
    }
}

fn room<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    let room = u32::deserialize(d)?;
    if !(1..=4096).contains(&room) {
        return Err(D::Error::custom(format!(
            "room for {room} items: write 1 to 4096"
        )));
    }
    Ok(Some(room))
}

fn one_of<'de, D: Deserializer<'de>>(d: D) -> Result<Option<u32>, D::Error> {
    let count = u32::deserialize(d)?;
    if !(1..=1000).contains(&count) {
        return Err(D::Error::custom(format!(
            "one item of {count}: write 1 to 1000"
        )));
    }
    Ok(Some(count))
}

fn expire<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Nanos>, D::Error> {
    let age = Nanos::deserialize(d)?;
    if age <= Nanos::ZERO {
        return Err(D::Error::custom(format!(
            "an age of {age} at which items expire: write one above 0, such as \"50 ms\", or leave the key out"
        )));
    }
    Ok(Some(age))
}
