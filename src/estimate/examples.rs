//! The document's own five examples, W1 to W5.

use crate::estimate::account::Account;
use crate::estimate::arrivals::{Arrivals, Work};
use crate::estimate::closed::PoissonFixed;
use crate::estimate::compare::{self, Assumed, less, share};
use crate::estimate::figure::{Figure, Value, ratio};
use crate::estimate::notes::Note;
use crate::estimate::queue::{Queue, WhenFull};
use crate::estimate::setting::{Outcome, Setting};
use crate::estimate::window::Window;
use crate::stream::window::config::SIZES;
use crate::units::Nanos;

const MS: fn(i64) -> Nanos = Nanos::from_millis;

/// 30 frames a second.
pub const FRAME_INTERVAL: Nanos = Nanos(33_333_333);

/// 1920 x 1080 pixels.
const PIXELS: u64 = 1920 * 1080;

/// A worked example of the document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Example {
    W1,
    W2,
    W3,
    W4,
    W5,
}

impl std::str::FromStr for Example {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL
            .into_iter()
            .find(|e| e.name() == text.to_lowercase());
        found.ok_or_else(|| format!("`{text}` is none of w1, w2, w3, w4, w5; see --list"))
    }
}

impl Example {
    pub const ALL: [Self; 5] = [Self::W1, Self::W2, Self::W3, Self::W4, Self::W5];

    pub fn name(self) -> &'static str {
        match self {
            Self::W1 => "w1",
            Self::W2 => "w2",
            Self::W3 => "w3",
            Self::W4 => "w4",
            Self::W5 => "w5",
        }
    }

    /// What it is about.
    pub fn title(self) -> &'static str {
        match self {
            Self::W1 => "4.2.3: 10 items, one each second, 500 ms of work each",
            Self::W2 => "4.2.4 example 1: 100 items, one each 100 ms, 50 ms of work and 1 MB each",
            Self::W3 => "4.2.4 example 2: 100 items, one each 50 ms, 100 ms of work and 1 MB each",
            Self::W4 => {
                "6.3 case 1: a camera of 30 frames a second, 30 ms of work a frame, in 100 ms"
            }
            Self::W5 => "6.3 case 2: windows of 50 ms each 25 ms, 30 ms of work a window, in 50 ms",
        }
    }

    pub fn setting(self) -> Setting {
        match self {
            Self::W1 => Setting::periodic(10, MS(1_000), MS(500)),
            Self::W2 => Setting::periodic(100, MS(100), MS(50)),
            Self::W3 => Setting::periodic(100, MS(50), MS(100)),
            Self::W4 => Setting {
                item_bytes: PIXELS * 3,
                goal: Some(MS(100)),
                ..Setting::periodic(30, FRAME_INTERVAL, MS(30))
            },
            Self::W5 => Setting {
                goal: Some(MS(50)),
                ..Setting::periodic(40, MS(25), MS(30))
            },
        }
    }

    /// The rows of the document's numbers and the exact ones.
    pub fn figures(self, outcome: &Outcome) -> Vec<Figure> {
        let setting = self.setting();
        let compare = |at_once| compare::figures(&setting, outcome, Assumed { at_once });
        match self {
            Self::W1 => compare(None),
            Self::W2 => compare(Some(5)),
            Self::W3 => compare(Some(20)),
            Self::W4 => camera(&setting),
            Self::W5 => windows(),
        }
    }
}

/// Frames of a simulation with chance, and its seed.
const MANY: u32 = 1_000_000;
const SEED: u64 = 1;

/// Case 1.
fn camera(setting: &Setting) -> Vec<Figure> {
    let work = setting.work.mean();
    let interval = setting.interval();
    let frames = i64::from(setting.items);
    let batch_work = work * frames;
    let batch = MS(1_000) + batch_work;
    let said = MS(60);
    let from_interval = interval + work;
    let mut rows = vec![
        Figure::new(
            "time between frames",
            Value::Time(MS(30)),
            Value::Time(interval),
            &[Note::M11],
        ),
        Figure::new(
            "batch: work on 30 frames",
            Value::Time(MS(2_000)),
            Value::Time(batch_work),
            &[Note::M11],
        ),
        Figure::new(
            "batch: until all are done",
            Value::Time(MS(3_000)),
            Value::Time(batch),
            &[Note::M11],
        ),
        Figure::new(
            "stream: from the start of a frame's interval",
            Value::Time(said),
            Value::Time(from_interval),
            &[Note::M11],
        ),
        Figure::new("stream: latency", None, Value::Time(work), &[]),
        Figure::new(
            "times faster, the stream as the document has it",
            Value::Times(50.0),
            Value::Times(ratio(batch, said)),
            &[Note::M11],
        ),
        Figure::new(
            "times faster",
            Value::Times(50.0),
            Value::Times(ratio(batch, from_interval)),
            &[Note::M11, Note::M3],
        ),
        Figure::new(
            "less latency",
            Value::Percent(98.0),
            less(batch, from_interval),
            &[Note::M11, Note::M3],
        ),
        Figure::new(
            "utilisation",
            None,
            Value::Percent(setting.utilisation() * 100.0),
            &[Note::M11],
        ),
    ];
    rows.extend(irregular(interval, work));
    rows.extend(
        [("RGB", 6), ("YUYV", 4), ("NV12", 3)].map(|(format, half_bytes)| {
            let a_second = PIXELS * half_bytes / 2 * 30;
            Figure::new(
                format!("1080p30 in {format}"),
                Value::Words("tens of MB/s"),
                Value::BytesPerSecond(crate::estimate::figure::count_f64(a_second)),
                &[Note::M12],
            )
        }),
    );
    rows
}

/// Case 1 with frames or work that vary.
fn irregular(interval: Nanos, work: Nanos) -> Vec<Figure> {
    let regular = Setting::periodic(MANY, interval, work);
    let poisson = Setting {
        arrivals: Arrivals::Poisson {
            mean: interval,
            seed: SEED,
        },
        ..regular.clone()
    };
    let bell = Setting {
        work: Work::Bell {
            mean: work,
            deviation: MS(5),
            seed: SEED,
        },
        ..regular
    };
    let closed = PoissonFixed { interval, work };
    let newest = Queue {
        when_full: WhenFull::NewestOnly,
        ..Queue::default()
    };
    let account = |setting: &Setting, queue: &Queue| Account::of(&setting.stream_through(queue), 1);
    let bell = account(&bell, &Queue::default());
    let newest = account(&poisson, &newest);
    let said = Value::Time(MS(60));
    let why = [Note::M11];
    vec![
        Figure::new(
            "work 30 ms ± 5 ms: p99 latency, simulated",
            None,
            Value::Time(Nanos(bell.latency.p99_ns)),
            &why,
        ),
        Figure::new(
            "Poisson arrivals: mean latency",
            said,
            Value::Time(closed.mean_latency().unwrap_or(Nanos::MAX)),
            &why,
        ),
        Figure::new(
            "Poisson arrivals: p99 latency",
            said,
            Value::Time(closed.latency_at(0.99).unwrap_or(Nanos::MAX)),
            &why,
        ),
        Figure::new(
            "Poisson arrivals: within 100 ms",
            None,
            Value::Percent(closed.share_within(MS(100)).unwrap_or(0.0) * 100.0),
            &why,
        ),
        Figure::new(
            "Poisson arrivals, newest only: longest latency, simulated",
            None,
            Value::Time(Nanos(newest.latency.max_ns)),
            &why,
        ),
        Figure::new(
            "Poisson arrivals, newest only: frames left out, simulated",
            None,
            share(newest.dropped, newest.arrived),
            &why,
        ),
    ]
}

/// Case 2.
fn windows() -> Vec<Figure> {
    let (first, second) = (MS(50), MS(30));
    let tumbling = window(MS(100), MS(100));
    let sliding = window(MS(50), MS(25));
    let goal = MS(50);
    let one = sliding.stream(40, second, 1);
    let two = sliding.stream(40, second, 2);
    let last = one.latency(40);
    let newest = Queue {
        when_full: WhenFull::NewestOnly,
        ..Queue::default()
    };
    let newest = Account::of(
        &Setting::periodic(40, sliding.slide(), second).stream_through(&newest),
        1,
    );
    let time = Value::Time;
    vec![
        Figure::new(
            "batch: until the slowest stream has come and is worked on",
            time(MS(1_100)),
            time(MS(1_000) + MS(100)),
            &[],
        ),
        Figure::new(
            "100 ms tumbling, 50 ms of work: mean latency",
            time(MS(100)),
            time(tumbling.mean_wait() + first),
            &[],
        ),
        Figure::new(
            "100 ms tumbling, 50 ms of work: longest latency",
            time(MS(100)),
            time(tumbling.longest_wait() + first),
            &[Note::M9],
        ),
        Figure::new(
            "50 ms each 25 ms: mean wait for the first window",
            time(MS(50)),
            time(sliding.mean_wait()),
            &[Note::M9],
        ),
        Figure::new(
            "50 ms each 25 ms: longest wait for the first window",
            time(MS(50)),
            time(sliding.longest_wait()),
            &[Note::M9],
        ),
        Figure::new(
            "50 ms each 25 ms, 30 ms of work: latency if it could keep up",
            time(MS(80)),
            time(sliding.longest_wait() + second),
            &[Note::M8, Note::M9],
        ),
        Figure::new(
            "50 ms each 25 ms, 30 ms of work: utilisation",
            None,
            Value::Percent(one.utilisation() * 100.0),
            &[Note::M8],
        ),
        Figure::new(
            "the 10th window is late by",
            time(second),
            time(one.latency(10)),
            &[Note::M8],
        ),
        Figure::new(
            "the 40th window, after 1 s, is late by",
            time(second),
            time(last),
            &[Note::M8],
        ),
        Figure::new(
            "the 40th window with 2 workers is late by",
            None,
            time(two.latency(40)),
            &[Note::M8],
        ),
        Figure::new(
            "with a newest link: windows at most late by",
            None,
            time(Nanos(newest.latency.max_ns)),
            &[Note::M8],
        ),
        Figure::new(
            "with a newest link: of 40 windows left out",
            None,
            Value::Count(newest.dropped),
            &[Note::M8],
        ),
        Figure::new(
            "times faster than the batch, at the 40th window",
            Value::Times(13.75),
            Value::Times(ratio(MS(1_100), sliding.longest_wait() + last)),
            &[Note::M8],
        ),
        Figure::new(
            "100 ms against the goal of 50 ms",
            Value::Words("slightly above"),
            Value::Times(ratio(MS(100), goal)),
            &[Note::M10],
        ),
        Figure::new(
            "80 ms against the goal of 50 ms",
            Value::Words("close to"),
            Value::Times(ratio(MS(80), goal)),
            &[Note::M10],
        ),
        Figure::new(
            "shortest window allowed",
            time(MS(1_000)),
            time(*SIZES.start()),
            &[Note::M13],
        ),
        Figure::new(
            "windows of 50 ms each 25 ms without a new frame",
            None,
            Value::Percent(sliding.share_without_new(FRAME_INTERVAL) * 100.0),
            &[Note::M14],
        ),
    ]
}

fn window(size: Nanos, slide: Nanos) -> Window {
    Window::new(size, slide).expect("the document's windows are allowed")
}
