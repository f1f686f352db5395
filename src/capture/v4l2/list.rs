//! The cameras of this machine, for people: what `reflexarc cameras` prints.
//!
//! Thread: housekeeping. Allocates: yes.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use super::arrival;
use super::controls::{self, ControlInfo};
use super::identity::Identity;
use super::node::Node;
use super::offers::{self, FormatOffer};
use crate::error::{Fault, Kind, Result};
use crate::frame::StampSource;

/// A video node and what could be learnt about it.
#[derive(Clone, Debug)]
pub struct CameraInfo {
    /// `/dev/videoN`.
    pub path: PathBuf,
    /// Names under `/dev/v4l` that stay with the camera, whatever else is plugged in.
    pub stable_names: Vec<PathBuf>,
    /// What it offers, or why that cannot be told.
    pub found: Result<Camera>,
}

/// A camera's own description.
#[derive(Clone, Debug)]
pub struct Camera {
    pub card: String,
    pub driver: String,
    pub bus: String,
    pub formats: Vec<FormatOffer>,
    pub controls: Vec<ControlInfo>,
    /// None when it cannot be told now (in use, or no format set).
    pub stamps: Option<StampSource>,
}

/// `/dev/videoN`, in the order of their numbers.
pub(super) fn nodes() -> Vec<PathBuf> {
    let mut nodes: Vec<(u32, PathBuf)> = entries(Path::new("/dev"))
        .into_iter()
        .filter_map(|path| {
            let number = path.file_name()?.to_str()?.strip_prefix("video")?;
            Some((number.parse().ok()?, path))
        })
        .collect();
    nodes.sort();
    nodes.into_iter().map(|(_, path)| path).collect()
}

/// All video nodes, in the order of their numbers. A node that is not a camera is among them, with the reason.
pub fn list() -> Vec<CameraInfo> {
    let stable: Vec<PathBuf> = ["/dev/v4l/by-id", "/dev/v4l/by-path"]
        .iter()
        .flat_map(|folder| entries(Path::new(folder)))
        .collect();
    nodes()
        .into_iter()
        .map(|path| CameraInfo {
            stable_names: stable
                .iter()
                .filter(|link| link.canonicalize().is_ok_and(|node| node == path))
                .cloned()
                .collect(),
            found: look(&path),
            path,
        })
        .collect()
}

/// The entries of a folder in name order; none if there is no such folder.
fn entries(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut paths: Vec<_> = entries.flatten().map(|e| e.path()).collect();
    paths.sort();
    paths
}

fn look(path: &Path) -> Result<Camera> {
    let node = Node::open(path)?;
    let identity = Identity::of(&node)?;
    Ok(Camera {
        card: identity.card,
        driver: identity.driver,
        bus: identity.bus,
        formats: offers::offers(&node),
        controls: controls::controls(&node),
        stamps: stamps(&node),
    })
}

/// The driver says what its stamps mean on its buffers, so one is taken for a moment. That starts nothing,
/// and a camera in use refuses it.
fn stamps(node: &Node) -> Option<StampSource> {
    node.request_buffers(1).ok()?;
    let flags = node.query_buffer(0).map(|b| b.flags);
    // Freed with the node in any case.
    let _ = node.request_buffers(0);
    flags.ok().map(arrival::stamp_source)
}

/// The listing as text, one block for each node.
pub fn render(cameras: &[CameraInfo]) -> String {
    if cameras.is_empty() {
        return "no cameras: there is no /dev/video* on this machine\n  \
                fix: plug a camera in; on a board with a camera connector, enable it in its device tree\n"
            .to_owned();
    }
    let mut text = String::new();
    for camera in cameras {
        // Writing to a String cannot fail.
        let _ = render_one(&mut text, camera);
    }
    text
}

fn render_one(out: &mut String, info: &CameraInfo) -> std::fmt::Result {
    let path = info.path.display();
    let camera = match &info.found {
        Ok(camera) => {
            let Camera {
                card, driver, bus, ..
            } = camera;
            writeln!(out, "{path}  {card}  (driver {driver}, {bus})")?;
            Some(camera)
        }
        Err(fault) if fault.kind == Kind::Unsupported => {
            writeln!(out, "{path}  not a camera: {}", fault.why)?;
            None
        }
        Err(fault) => {
            writeln!(
                out,
                "{path}  {}\n  why       {}\n  fix       {}",
                fault.what, fault.why, fault.fix
            )?;
            None
        }
    };
    for name in &info.stable_names {
        writeln!(out, "  always    {}", name.display())?;
    }
    let Some(camera) = camera else {
        return writeln!(out);
    };
    let stamps = match camera.stamps {
        Some(StampSource::StartOfExposure) => "start of exposure",
        Some(StampSource::EndOfFrame) => "end of frame",
        Some(_) => "on an unknown clock: the time of arrival is used",
        None => "not known while it is in use",
    };
    writeln!(out, "  stamps    {stamps}")?;
    let (usable, other): (Vec<_>, Vec<_>) =
        camera.formats.iter().partition(|f| f.pixel().is_some());
    for format in usable {
        for (n, size) in format.sizes.iter().enumerate() {
            let name = if n == 0 { format.name() } else { String::new() };
            writeln!(out, "  {name:<8}  {size}")?;
        }
        if format.sizes.is_empty() {
            writeln!(out, "  {:<8}  any size that it grants", format.name())?;
        }
    }
    if !other.is_empty() {
        let names: Vec<_> = other.iter().map(|f| f.name()).collect();
        writeln!(out, "  not used  {}", names.join(" "))?;
    }
    for control in &camera.controls {
        render_control(out, control)?;
    }
    writeln!(out)
}

fn render_control(out: &mut String, control: &ControlInfo) -> std::fmt::Result {
    write!(
        out,
        "  control   {} ({:#010x}): {}",
        control.name, control.id, control.takes
    )?;
    if let Some(now) = control.now {
        write!(out, "; now {now}, default {}", control.default)?;
    }
    if let Some(why) = control.locked {
        write!(out, "; {why}")?;
    }
    if control.inactive {
        write!(out, "; without effect now")?;
    }
    writeln!(out)
}

/// A refusal for a node that exists and is not a camera that can be used.
pub(super) fn not_a_camera(path: &Path, why: impl Into<String>) -> Fault {
    Fault::new(
        Kind::Unsupported,
        format!("{} cannot be used as a camera", path.display()),
        why,
        "give another node; `reflexarc cameras` lists them",
    )
}
