//! What a board file may say, and how it is read.
//!
//! A claim about the world is a [`Fact`]; what this project chose is a plain value. `boards/README.md` explains
//! every key.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::board::fact::{Entry, Fact, entries};
use crate::board::values::{CoreSet, Glibc, UsbId};
use crate::config::written::Written;
use crate::error::{Fault, Kind, Result};
use crate::rt::choice::ThreadChoice;
use crate::rt::plan::{Layout, Machine, ThreadsConfig};
use crate::units::Nanos;

const GUIDE: &str = "boards/README.md explains every key";

/// A board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Board {
    /// The folder's name, and what `--board` takes.
    pub name: String,
    /// For people.
    pub title: String,
    pub identity: Identity,
    #[serde(default)]
    pub cores: Cores,
    #[serde(default)]
    pub boot: Boot,
    #[serde(default)]
    pub kernel: RtKernel,
    #[serde(default)]
    pub power: Power,
    pub cameras: Cameras,
    #[serde(default)]
    pub gpu: Gpu,
    pub build: Build,
    pub flash: Flash,
    #[serde(default)]
    pub usb: Usb,
    pub threads: BoardThreads,
    #[serde(default)]
    pub latency: Latency,
    /// Key to address or document.
    pub sources: BTreeMap<String, String>,
}

/// `[identity]`: how the board is told from others. All that is listed must hold; what cannot be read counts
/// neither way, but one of `compatible`, `module`, `dmi` or `architecture` must have been read and hold.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Identity {
    /// One of these is an entry of the device tree's `compatible`.
    pub compatible: Option<Fact<Vec<String>>>,
    /// The device tree's `model` has this in it.
    pub model: Option<Fact<String>>,
    /// One of these is the module's id in its EEPROM, such as `"3767-0005"`.
    pub module: Option<Fact<Vec<String>>>,
    /// What the firmware's DMI tables say.
    pub dmi: Option<Fact<Dmi>>,
    /// `"x86_64"`: a board file for every machine of that kind which no other file names.
    pub architecture: Option<Fact<String>>,
}

impl Identity {
    /// It names a machine, not a kind of machine.
    pub fn is_of_one_machine(&self) -> bool {
        self.compatible.is_some() || self.module.is_some() || self.dmi.is_some()
    }
}

/// Both must be contained.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Dmi {
    pub vendor: String,
    pub product: String,
}

/// `[cores]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cores {
    /// How many are online.
    pub count: Option<Fact<usize>>,
    pub kind: Option<Fact<String>>,
    /// Sets that share a clock and a cache.
    pub clusters: Option<Fact<Vec<CoreSet>>>,
    /// For the way of a frame. Left out: as the machine has them.
    pub isolated: Option<CoreSet>,
    /// For everything else.
    pub housekeeping: Option<CoreSet>,
}

/// `[boot]`: where the kernel's arguments stand, and which to add.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Boot {
    pub format: Option<BootFormat>,
    pub file: Option<Fact<PathBuf>>,
    pub arguments: Option<Fact<Vec<String>>>,
    /// Names of arguments that do harm on this board.
    pub forbidden: Option<Fact<Vec<String>>>,
}

/// What kind of file holds the kernel's arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BootFormat {
    Extlinux,
    RpiCmdline,
    ArmbianEnv,
    Grub,
    /// QEMU's `-append`.
    QemuAppend,
}

/// `[kernel]`: the real-time kernel.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RtKernel {
    /// How it gets to run, in words.
    pub select: Option<Fact<String>>,
    /// Packages by release of the system.
    pub packages: BTreeMap<String, Fact<Vec<String>>>,
}

/// `[power]`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Power {
    /// The tool that sets the mode.
    pub tool: Option<Fact<String>>,
    /// The mode by name; the first that the board has. Never by number: numbers differ between modules.
    pub modes: Option<Fact<Vec<String>>>,
    /// The tool that pins the clocks for a measurement.
    pub clocks: Option<Fact<String>>,
    /// The governor of the isolated cores.
    pub governor: Option<Fact<String>>,
    /// A command whose answer shows throttling or a weak supply.
    pub check: Option<Fact<String>>,
}

/// `[cameras]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cameras {
    pub stacks: Fact<Vec<CameraStack>>,
}

/// A way to a camera's frames. `reflexarc` itself reads V4L2: `uvc`, `v4l2` and `vivid`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CameraStack {
    Uvc,
    V4l2,
    /// NVIDIA's image processor, by libargus.
    Argus,
    /// NVIDIA's newer camera interface.
    Sipl,
    /// Cameras over Ethernet.
    HoloscanSensorBridge,
    Libcamera,
    /// The kernel's virtual camera.
    Vivid,
}

/// `[gpu]`. Left out: none that is used.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Gpu {
    /// CUDA compute capability times ten: 87 is `sm_87`.
    pub cuda: Option<Fact<u32>>,
}

/// `[build]`: what runs there.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// Rust's target triple.
    pub target: String,
    /// The newest version of the C library that a binary may ask for: the oldest supported system's own.
    pub glibc: Option<Fact<Glibc>>,
}

/// `[flash]`: how a system gets onto the board.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flash {
    pub recipe: Recipe,
    /// The vendor's name for the board.
    pub configuration: Option<Fact<String>>,
    /// For the vendor's newest release.
    pub command: Option<Fact<String>>,
    /// Older release, such as `r36`, to the command that it needs.
    #[serde(default)]
    pub older: BTreeMap<String, Fact<String>>,
    /// Options that do harm.
    pub avoid: Option<Fact<Vec<String>>>,
    pub reset: Option<Fact<Reset>>,
    /// The shortest time in which the boot flash can be erased: below it, it was write-protected.
    pub erase: Option<Fact<Nanos>>,
}

/// Who writes, and through what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Recipe {
    /// NVIDIA's `l4t_initrd_flash.sh`.
    L4tInitrd,
    /// A card, stick or disk that the host writes.
    BlockImage,
    /// `rkdeveloptool`.
    Rockusb,
    /// Nothing is written: the kernel and its file system are given to the emulator.
    None,
}

impl Recipe {
    pub fn name(self) -> &'static str {
        match self {
            Self::L4tInitrd => "l4t-initrd",
            Self::BlockImage => "block-image",
            Self::Rockusb => "rockusb",
            Self::None => "none",
        }
    }
}

/// What happens after flashing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reset {
    /// It boots by itself.
    Automatic,
    /// Somebody has to press the button.
    Manual,
}

/// `[usb]`: what a host sees.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Usb {
    /// Waits to be flashed. No other board may have it: it decides what is written to it.
    pub recovery: Option<Fact<Vec<UsbId>>>,
    /// Is being flashed, or hangs in it.
    pub flashing: Option<Fact<Vec<UsbId>>>,
    pub booted: Option<Fact<Vec<UsbId>>>,
}

/// `[threads]`: the plan. Cores come from `[cores]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BoardThreads {
    #[serde(default)]
    pub layout: Layout,
    pub capture: ThreadChoice,
    pub features: ThreadChoice,
    pub fusion: ThreadChoice,
    pub action: ThreadChoice,
    pub sensor: ThreadChoice,
}

/// `[latency]`: the longest wake-up of a FIFO thread on an isolated core that a real-time kernel is to show.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Latency {
    pub idle: Option<Fact<Nanos>>,
    /// With the housekeeping cores, disk, network and GPU busy.
    pub loaded: Option<Fact<Nanos>>,
}

impl Board {
    /// The plan in the form of a configuration's `[threads]`.
    pub fn plan(&self) -> ThreadsConfig {
        let cores = |set: &Option<CoreSet>| set.as_ref().map(|set| set.cores().to_vec());
        ThreadsConfig {
            layout: self.threads.layout,
            cores: cores(&self.cores.isolated),
            housekeeping: cores(&self.cores.housekeeping),
            capture: self.threads.capture,
            features: self.threads.features,
            fusion: self.threads.fusion,
            action: self.threads.action,
            sensor: self.threads.sensor,
            ..ThreadsConfig::default()
        }
    }
}

/// Where a board file was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    BuiltIn,
    File(PathBuf),
}

/// A board and the text that says so.
#[derive(Clone, Debug)]
pub struct BoardFile {
    pub board: Board,
    pub origin: Origin,
    written: Written,
}

impl BoardFile {
    /// A built-in file.
    pub fn built_in(text: &str, name: &str) -> Result<Self> {
        Self::of(Written::new(text, name), Origin::BuiltIn)
    }

    pub fn read(path: &Path) -> Result<Self> {
        Self::of(Written::read(path)?, Origin::File(path.to_owned()))
    }

    fn of(written: Written, origin: Origin) -> Result<Self> {
        let written = written.explained_by(GUIDE);
        Ok(Self {
            board: written.parse()?,
            origin,
            written,
        })
    }

    /// The file's name, for messages.
    pub fn name(&self) -> &str {
        self.written.name()
    }

    pub(super) fn entries(&self) -> Vec<Entry> {
        entries(&self.written)
    }

    /// Adds file and line to a fault that names a key of this board.
    pub fn locate(&self, fault: Fault) -> Fault {
        self.written.locate(fault)
    }

    /// Refuses cores that this machine lacks, or that this process may not use.
    pub fn check(&self, machine: &Machine) -> Result<()> {
        let cores = &self.board.cores;
        for (key, set) in [
            ("cores.isolated", &cores.isolated),
            ("cores.housekeeping", &cores.housekeeping),
        ] {
            let mut set = set.iter().flat_map(CoreSet::cores);
            if let Some(core) = set.find(|core| !machine.cores.contains(core)) {
                let why = format!("this process may run on the cores {:?}", machine.cores);
                let fix = "use another board file, or leave --board out: the plan then follows from the machine";
                let what = format!("{key} names core {core}");
                return Err(self.locate(Fault::new(Kind::Config, what, why, fix)));
            }
        }
        let checked = self.board.plan().check(machine);
        checked.map_err(|fault| self.locate(fault))
    }
}
