//! What a user says about windows, and whether that can be.
//!
//! ```
//! # use reflexarc::stream::window::config::WindowConfig;
//! let fast: WindowConfig = toml::from_str("preset = \"vla-align-fast\"")?;
//! let speeds: WindowConfig = toml::from_str("size = \"10 s\"\nslide = \"5 s\"\nkeys = 6")?;
//! let refused = toml::from_str::<WindowConfig>("size = \"5 s\"\nslide = \"10 s\"").unwrap_err();
//! assert!(refused.message().contains("between them"));
//! # Ok::<(), toml::de::Error>(())
//! ```
//!
//! Thread: main, before the run. Allocates: in errors. Blocks: no.

use std::ops::RangeInclusive;

use crate::error::{Fault, Kind as FaultKind, Result};
use crate::stream::window::pane::PaneRing;
use crate::units::Nanos;

/// Lengths of windows and of slides: up to an hour, as in the document, and from 1 ms, since its case 2 needs 25 ms where its
/// own range begins at 1 s (M13).
pub const SIZES: RangeInclusive<Nanos> = Nanos::from_millis(1)..=Nanos::from_secs(3600);
/// Elements of a window that is counted.
pub const COUNTS: RangeInclusive<u32> = 1..=10_000;
/// Elements of a buffer.
pub const BUFFERS: RangeInclusive<u32> = 10..=100_000;
/// BOUND: more keys than a robot has joints, sensors and objects in sight.
pub const KEYS: RangeInclusive<u32> = 1..=65_536;
/// BOUND: an hour by 60 ms, a minute by 1 ms. Beyond, size and slide have next to no common divisor.
pub const PANES_MAX: i64 = 1 << 16;
/// BOUND: a fraction of what the smallest board has.
pub const MEMORY_MAX: usize = 256 << 20;

/// Which windows, how late, what when. In a file all fields are optional; `preset` stands for some of them.
#[derive(Clone, Debug, PartialEq, serde::Deserialize)]
#[serde(try_from = "Written")]
pub struct WindowConfig {
    /// `tumbling`, `sliding`, `count`, `session` or `trailing`. Default: `sliding`.
    pub kind: Kind,
    /// Length of a window, 1 ms to 1 h (tumbling, sliding, trailing). Default 10 s.
    pub size: Nanos,
    /// From one window's start to the next one's, 1 ms to `size` (sliding). Default: half of `size`.
    pub slide: Nanos,
    /// Windows begin at `offset` and whole slides before and after, 0 to below `slide` (tumbling, sliding). Default 0.
    pub offset: Nanos,
    /// Lets `slide` be above `size`: elements between windows are dropped, counted. Default no.
    pub allow_gaps: bool,
    /// Elements of a window, 1 to 10000 (count). Default 100.
    pub count: u32,
    /// A result after every so many elements, 1 to `count` (count). Default: half of `count`.
    pub every: u32,
    /// Results also of the first elements, when they are not `count` yet, and at the end of the rest (count). Default no.
    pub partial: bool,
    /// Elements further apart belong to different sessions, 1 ms to 1 h (session). Default 1 s.
    pub gap: Nanos,
    /// No session is longer, `gap` to 24 h (session). Default 1 h.
    pub max: Nanos,
    /// A window ends so long after its element, 0 to 1 h (trailing). Default 0.
    pub delay: Nanos,
    /// A window closes when the bound has passed its end by this, 0 to 1 h. Default 0.
    pub lateness: Nanos,
    /// When an element is late: `window`, when all its windows are closed, or `element`, when it lies before the bound
    /// by more than `lateness` although one of its windows is open (as in Bytewax). Default `window`.
    pub late: LateRule,
    /// When there are results: `final`, once, when a window closes; `eager`, when it is over, and again for each late
    /// element; `early`, as `final`, and before it every `early_every` if there is something new. Default `final`.
    pub emission: Emission,
    /// For `early`: 1 ms to `size`. Default: a tenth of `size`.
    pub early_every: Nanos,
    /// What is said of a window without elements of a key that had some before: `skip`, nothing; `emit`, what the
    /// aggregate says of nothing; `hold`, the last result again, marked as made up. Default `skip`.
    pub empty: Empty,
    /// So many empty windows in a row, 1 to 1000000; then nothing until there is an element. Default 100.
    pub empty_max: u32,
    /// How far the bound may lag behind the newest element, 0 to 1 h; there is memory for this. Default 200 ms.
    pub disorder: Nanos,
    /// Elements that are kept for a time when there is memory for them (a jump ahead), or that trailing windows of a key
    /// are made of, 10 to 100000. Default 1000.
    pub buffer: u32,
    /// How many keys there are, 1 to 65536. Default 1.
    pub keys: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    Tumbling,
    #[default]
    Sliding,
    Count,
    Session,
    Trailing,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LateRule {
    #[default]
    Window,
    Element,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Emission {
    #[default]
    Final,
    Eager,
    Early,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Empty {
    #[default]
    Skip,
    Emit,
    Hold,
}

/// Sizes by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 5 s every second, for what a person watches.
    RealtimeMonitor,
    /// 60 s every 10 s.
    Statistics,
    /// 300 s every 60 s.
    BatchStreamFusion,
    /// 100 ms, one after the other.
    VlaAlign,
    /// 50 ms every 25 ms.
    VlaAlignFast,
}

impl Preset {
    /// Size, slide and buffer.
    fn sizes(self) -> (Nanos, Nanos, u32) {
        let (size, slide, buffer) = match self {
            Self::RealtimeMonitor => (5_000, 1_000, 100),
            Self::Statistics => (60_000, 10_000, 1_000),
            Self::BatchStreamFusion => (300_000, 60_000, 10_000),
            Self::VlaAlign => (100, 100, 1_000),
            Self::VlaAlignFast => (50, 25, 1_000),
        };
        (Nanos::from_millis(size), Nanos::from_millis(slide), buffer)
    }
}

impl From<Preset> for WindowConfig {
    fn from(preset: Preset) -> Self {
        let (size, slide, buffer) = preset.sizes();
        Self {
            buffer,
            ..Self::sliding(size, slide)
        }
    }
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self {
            kind: Kind::Sliding,
            size: Nanos::from_secs(10),
            slide: Nanos::from_secs(5),
            offset: Nanos::ZERO,
            allow_gaps: false,
            count: 100,
            every: 50,
            partial: false,
            gap: Nanos::from_secs(1),
            max: Nanos::from_secs(3600),
            delay: Nanos::ZERO,
            lateness: Nanos::ZERO,
            late: LateRule::Window,
            emission: Emission::Final,
            early_every: Nanos::from_secs(1),
            empty: Empty::Skip,
            empty_max: 100,
            disorder: Nanos::from_millis(200),
            buffer: 1_000,
            keys: 1,
        }
    }
}

impl WindowConfig {
    /// One after the other.
    pub fn tumbling(size: Nanos) -> Self {
        Self {
            kind: Kind::Tumbling,
            ..Self::sliding(size, size)
        }
    }

    pub fn sliding(size: Nanos, slide: Nanos) -> Self {
        Self {
            size,
            slide,
            early_every: Nanos((size.0 / 10).max(1_000_000)),
            ..Self::default()
        }
    }

    /// The last `count` elements, after every `every`.
    pub fn counting(count: u32, every: u32) -> Self {
        Self {
            kind: Kind::Count,
            count,
            every,
            ..Self::default()
        }
    }

    pub fn session(gap: Nanos) -> Self {
        Self {
            kind: Kind::Session,
            gap,
            ..Self::default()
        }
    }

    /// What came within `size` before each element.
    pub fn trailing(size: Nanos) -> Self {
        Self {
            kind: Kind::Trailing,
            ..Self::sliding(size, size)
        }
    }

    /// The width of a pane.
    pub(super) fn pane(&self) -> Nanos {
        let (mut a, mut b) = (self.size.0, self.slide.0);
        // BOUND: Euclid's algorithm, below 100 steps.
        while b != 0 {
            (a, b) = (b, a % b);
        }
        Nanos(a)
    }

    /// Panes of a key (tumbling, sliding): a window, what is kept beyond its end, and how far elements come ahead.
    pub(super) fn panes(&self) -> usize {
        let span = self.size + self.lateness + self.disorder;
        let panes = span.0.div_euclid(self.pane().0) + 3;
        PaneRing::<()>::length(usize::try_from(panes).unwrap_or(usize::MAX >> 1))
    }

    /// Windows of a key of which something may still be said (tumbling, sliding).
    pub(super) fn windows(&self) -> usize {
        let span = self.size + self.lateness + self.disorder;
        usize::try_from(span.0.div_euclid(self.slide.0) + 3).unwrap_or(usize::MAX)
    }

    /// Sessions of a key that may be open at once.
    pub(super) fn sessions(&self) -> usize {
        // BOUND: they are a gap apart, between the oldest that is not closed and the newest element; and a few more after
        // jumps of time.
        let open = (self.lateness + self.disorder).0.div_euclid(self.gap.0) + 5;
        usize::try_from(open.min(i64::from(self.buffer))).unwrap_or(usize::MAX)
    }

    /// Bytes that windows of values and states of such sizes take.
    pub fn memory(&self, value: usize, state: usize) -> usize {
        let keys = self.keys as usize;
        let buffer = self.buffer as usize;
        let pane = state.saturating_add(48);
        let element = value.saturating_add(48);
        let of_key = match self.kind {
            Kind::Tumbling | Kind::Sliding => {
                let tree = if self.size.0 / self.pane().0 > 16 {
                    2
                } else {
                    1
                };
                let windows = self.windows().saturating_mul(24);
                self.panes().saturating_mul(pane).saturating_mul(tree) + windows
            }
            Kind::Count => 4 * self.count as usize * pane,
            Kind::Session => self.sessions().saturating_mul(pane + 40),
            Kind::Trailing => buffer.saturating_mul(element.saturating_add(state)),
        };
        let parked = buffer.saturating_mul(element);
        of_key.saturating_mul(keys).saturating_add(parked)
    }

    pub(super) fn check_memory(&self, value: usize, state: usize) -> Result<()> {
        let bytes = self.memory(value, state);
        if bytes <= MEMORY_MAX {
            return Ok(());
        }
        Err(refused(
            format!("these windows would take {} MB", bytes >> 20),
            format!(
                "all memory is taken before the start: for {} keys, {} of lateness and disorder, a buffer of {}",
                self.keys,
                self.lateness + self.disorder,
                self.buffer
            ),
            format!(
                "use fewer keys, a slide that divides the size in larger steps, or less lateness: at most {} MB",
                MEMORY_MAX >> 20
            ),
        ))
    }

    /// Whether these windows can be.
    ///
    /// # Errors
    /// Says what is out of its range or contradicts something else.
    pub fn check(&self) -> Result<()> {
        let hour = Nanos::from_secs(3600);
        let ms = Nanos::from_millis(1);
        within("lateness", &self.lateness, &(Nanos::ZERO..=hour))?;
        within("disorder", &self.disorder, &(Nanos::ZERO..=hour))?;
        within("buffer", &self.buffer, &BUFFERS)?;
        within("keys", &self.keys, &KEYS)?;
        within("empty_max", &self.empty_max, &(1..=1_000_000))?;
        match self.kind {
            Kind::Tumbling | Kind::Sliding => self.check_time()?,
            Kind::Count => {
                within("count", &self.count, &COUNTS)?;
                within("every", &self.every, &(1..=self.count))?;
            }
            Kind::Session => {
                within("gap", &self.gap, &(ms..=hour))?;
                within("max", &self.max, &(self.gap..=hour * 24))?;
            }
            Kind::Trailing => {
                within("size", &self.size, &SIZES)?;
                within("delay", &self.delay, &(Nanos::ZERO..=hour))?;
            }
        }
        self.check_emission()
    }

    fn check_time(&self) -> Result<()> {
        let ms = Nanos::from_millis(1);
        within("size", &self.size, &SIZES)?;
        within("slide", &self.slide, &SIZES)?;
        if self.slide > self.size && !self.allow_gaps {
            return Err(refused(
                format!("windows of {} cannot begin every {}", self.size, self.slide),
                format!(
                    "what comes in the {} between them would be lost",
                    self.slide - self.size
                ),
                format!(
                    "set `slide` to at most {}, or say that this is meant with `allow_gaps = true`",
                    self.size
                ),
            ));
        }
        if self.kind == Kind::Tumbling && self.slide != self.size {
            return Err(refused(
                "`slide` does not go with `kind = \"tumbling\"`".into(),
                "tumbling windows follow each other: their slide is their size".into(),
                "leave `slide` out, or use `kind = \"sliding\"`".into(),
            ));
        }
        within(
            "offset",
            &self.offset,
            &(Nanos::ZERO..=self.slide - Nanos(1)),
        )?;
        within("early_every", &self.early_every, &(ms..=self.size.max(ms)))?;
        let panes = (self.size + self.lateness + self.disorder).0 / self.pane().0;
        if panes > PANES_MAX {
            return Err(refused(
                format!(
                    "a size of {} and a slide of {} do not fit together",
                    self.size, self.slide
                ),
                format!(
                    "both are multiples of only {}: that makes {panes} parts to keep, and {PANES_MAX} is the most",
                    self.pane()
                ),
                "choose a slide that divides the size".into(),
            ));
        }
        Ok(())
    }

    fn check_emission(&self) -> Result<()> {
        let is_of_time = matches!(self.kind, Kind::Tumbling | Kind::Sliding);
        let (setting, kinds) = match (self.emission, self.kind) {
            (Emission::Early, _) if !is_of_time => ("emission = \"early\"", "tumbling and sliding"),
            (Emission::Eager, Kind::Count | Kind::Trailing) => {
                ("emission = \"eager\"", "tumbling, sliding and session")
            }
            _ if self.empty != Empty::Skip && !is_of_time => ("empty", "tumbling and sliding"),
            _ if self.late == LateRule::Element && self.kind == Kind::Session => {
                ("late = \"element\"", "tumbling and sliding")
            }
            _ => return Ok(()),
        };
        Err(refused(
            format!("`{setting}` does not go with this kind of windows"),
            "of these windows there is one result each, when it is complete".into(),
            format!("leave it out, or use one of: {kinds}"),
        ))
    }
}

fn refused(what: String, why: String, fix: String) -> Fault {
    Fault::new(FaultKind::Config, what, why, fix)
}

fn within<T: PartialOrd + std::fmt::Display>(
    name: &str,
    value: &T,
    range: &RangeInclusive<T>,
) -> Result<()> {
    if range.contains(value) {
        return Ok(());
    }
    let (least, most) = (range.start(), range.end());
    Err(refused(
        format!("`{name}` is {value}"),
        format!("it must be from {least} to {most}"),
        format!("set `{name}` to a value in this range"),
    ))
}

/// As it stands in a file: whatever is left out follows from the preset, from other fields, or is the default.
#[derive(Default, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Written {
    preset: Option<Preset>,
    kind: Option<Kind>,
    size: Option<Nanos>,
    slide: Option<Nanos>,
    offset: Option<Nanos>,
    allow_gaps: Option<bool>,
    count: Option<u32>,
    every: Option<u32>,
    partial: Option<bool>,
    gap: Option<Nanos>,
    max: Option<Nanos>,
    delay: Option<Nanos>,
    lateness: Option<Nanos>,
    late: Option<LateRule>,
    emission: Option<Emission>,
    early_every: Option<Nanos>,
    empty: Option<Empty>,
    empty_max: Option<u32>,
    disorder: Option<Nanos>,
    buffer: Option<u32>,
    keys: Option<u32>,
}

impl TryFrom<Written> for WindowConfig {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let base = written.preset.map_or_else(Self::default, Self::from);
        let kind = written.kind.unwrap_or(base.kind);
        let size = written.size.unwrap_or(base.size);
        let slide = written.slide.unwrap_or(match (kind, written.size) {
            (Kind::Tumbling | Kind::Trailing, _) => size,
            (_, Some(_)) => Nanos((size.0 / 2).max(SIZES.start().0)),
            (_, None) => base.slide,
        });
        let count = written.count.unwrap_or(base.count);
        let config = Self {
            kind,
            size,
            slide,
            offset: written.offset.unwrap_or(base.offset),
            allow_gaps: written.allow_gaps.unwrap_or(base.allow_gaps),
            count,
            every: written.every.unwrap_or((count / 2).max(1)),
            partial: written.partial.unwrap_or(base.partial),
            gap: written.gap.unwrap_or(base.gap),
            max: written.max.unwrap_or(base.max),
            delay: written.delay.unwrap_or(base.delay),
            lateness: written.lateness.unwrap_or(base.lateness),
            late: written.late.unwrap_or(base.late),
            emission: written.emission.unwrap_or(base.emission),
            early_every: written
                .early_every
                .unwrap_or(Nanos((size.0 / 10).max(SIZES.start().0))),
            empty: written.empty.unwrap_or(base.empty),
            empty_max: written.empty_max.unwrap_or(base.empty_max),
            disorder: written.disorder.unwrap_or(base.disorder),
            buffer: written.buffer.unwrap_or(base.buffer),
            keys: written.keys.unwrap_or(base.keys),
        };
        config
            .check()
            .map_err(|fault| format!("{}: {}; {}", fault.what, fault.why, fault.fix))?;
        Ok(config)
    }
}
