//! Cameras: whether they can be opened, what their stamps mean, whether frames come as promised.

use crate::capture::v4l2::list::CameraInfo;
use crate::doctor::check::{Category, Check, Fix, Outcome, Setting};
use crate::doctor::measured::Frames;
use crate::doctor::view::View;
use crate::error::Kind;
use crate::frame::StampSource;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Camera,
        ("V01", "cameras can be opened"),
        opened,
        "The group of the node decides. A service has other groups than the person who tried it in a terminal.",
        "",
    )
    .active(),
    Check::new(
        Category::Camera,
        ("V02", "nodes that are cameras"),
        captures,
        "A webcam has a second node for data about frames, and an image processor has many. Frames come from the one that captures.",
        "",
    )
    .active(),
    Check::new(
        Category::Camera,
        ("V03", "what time stamps mean"),
        stamps,
        "Camera to action begins at the stamp. At the start of exposure it holds everything; at the end of the frame it lacks exposure and read-out, some 10 to 30 ms.",
        "",
    )
    .active(),
    Check::new(
        Category::Camera,
        ("V04", "stamps lie in the past"),
        clock,
        "A stamp in the future makes an age negative. vivid's end-of-frame stamps are up to a frame in the future (seen on 6.1 and 6.12); a real camera's should never be.",
        "",
    )
    .measured(),
    Check::new(
        Category::Camera,
        ("V05", "rate, gaps, repeats"),
        rate,
        "Frames that are lost on the bus, repeated, or slower than asked for (a webcam that exposes longer in the dark) look like latency further on.",
        "",
    )
    .measured(),
    Check::new(
        Category::Camera,
        ("V06", "USB cameras"),
        usb,
        "A camera on a slow port is given a lower rate or a compressed format. Autosuspend puts it to sleep between streams, and waking it takes a second or fails.",
        "",
    ),
    Check::new(
        Category::Camera,
        ("V07", "buffers of the driver"),
        buffers,
        "reflexarc reads frames where the driver put them: it needs memory-mapped buffers.",
        "",
    )
    .measured(),
];

fn nodes(view: &View<'_>) -> Vec<String> {
    let names = view.tree.names("sys/class/video4linux").unwrap_or_default();
    names
        .into_iter()
        .filter(|name| name.starts_with("video"))
        .collect()
}

fn no_node() -> Outcome {
    Outcome::not_applicable("there is no video node").shown("sys/class/video4linux", "no videoN")
}

/// The cameras of the machine, or why there is nothing to say of them.
fn cameras<'v>(view: &'v View<'_>) -> Result<&'v [CameraInfo], Box<Outcome>> {
    let nodes = nodes(view);
    if nodes.is_empty() {
        return Err(Box::new(no_node()));
    }
    match view.live() {
        Ok(live) => Ok(live.cameras()),
        Err(outcome) => {
            let shown = outcome.shown("sys/class/video4linux", nodes.join(", "));
            Err(Box::new(shown))
        }
    }
}

fn opened(view: &View<'_>) -> Outcome {
    let cameras = match cameras(view) {
        Ok(cameras) => cameras,
        Err(outcome) => return *outcome,
    };
    let refused: Vec<String> = cameras
        .iter()
        .filter_map(|camera| camera.found.as_ref().err().map(|fault| (camera, fault)))
        .filter(|(_, fault)| fault.kind != Kind::Unsupported)
        .map(|(camera, fault)| format!("{}: {}", camera.path.display(), fault.why))
        .collect();
    let all: Vec<String> = cameras
        .iter()
        .map(|camera| camera.path.display().to_string())
        .collect();
    let outcome = match refused.as_slice() {
        [] => Outcome::pass(all.join(", ")),
        refused => Outcome::fail(refused.join("; ")),
    };
    outcome.requested("every node can be opened").shown("open(/dev/videoN)", all.join(", ")).fix(Fix::by_hand(
        "sudo usermod -aG video USER and log in again; in a unit: SupplementaryGroups=video and DeviceAllow=char-video4linux rw",
    ))
}

fn captures(view: &View<'_>) -> Outcome {
    let cameras = match cameras(view) {
        Ok(cameras) => cameras,
        Err(outcome) => return *outcome,
    };
    let good: Vec<String> = cameras
        .iter()
        .filter_map(|camera| Some((camera, camera.found.as_ref().ok()?)))
        .map(|(camera, found)| {
            format!(
                "{} ({}, {})",
                camera.path.display(),
                found.card,
                found.driver
            )
        })
        .collect();
    let outcome = match good.as_slice() {
        [] => Outcome::warn("none of the nodes captures"),
        good => Outcome::pass(good.join(", ")),
    };
    outcome
        .requested("at least one that captures and streams")
        .shown("VIDIOC_QUERYCAP", format!("{} of {} nodes", good.len(), cameras.len()))
        .fix(Fix::by_hand("`reflexarc cameras` says what each node is; a connector's camera may need its overlay in the device tree, or libcamera, which reflexarc does not read"))
}

fn stamps(view: &View<'_>) -> Outcome {
    let cameras = match cameras(view) {
        Ok(cameras) => cameras,
        Err(outcome) => return *outcome,
    };
    let known: Vec<(String, Option<StampSource>)> = cameras
        .iter()
        .filter_map(|camera| {
            Some((
                camera.path.display().to_string(),
                camera.found.as_ref().ok()?.stamps,
            ))
        })
        .collect();
    let said: Vec<String> = known
        .iter()
        .map(|(path, stamps)| {
            let words = match stamps {
                Some(StampSource::StartOfExposure) => "start of exposure",
                Some(StampSource::EndOfFrame) => "end of frame",
                Some(_) => "an unknown clock",
                None => "not known while it is in use",
            };
            format!("{path}: {words}")
        })
        .collect();
    let good = |stamps: &Option<StampSource>| {
        matches!(
            stamps,
            Some(StampSource::StartOfExposure | StampSource::EndOfFrame)
        )
    };
    let outcome = if known.is_empty() {
        return Outcome::not_applicable("no node captures");
    } else if known.iter().any(|(_, stamps)| stamps.is_none()) {
        Outcome::unknown(said.join(", "))
    } else if known.iter().all(|(_, stamps)| good(stamps)) {
        Outcome::pass(said.join(", "))
    } else {
        Outcome::warn(said.join(", "))
    };
    outcome
        .requested("on the monotonic clock")
        .shown("VIDIOC_QUERYBUF flags", said.join(", "))
        .fix(Fix::by_hand("nothing to set: the driver decides. With an unknown clock the time of arrival is used, and exposure and transfer are not counted"))
}

/// Frames of the first camera that streamed, or why there are none.
fn frames<'v>(view: &'v View<'_>) -> Result<&'v Frames, Box<Outcome>> {
    if nodes(view).is_empty() {
        return Err(Box::new(no_node()));
    }
    match &view.measured()?.frames {
        None => Err(Box::new(Outcome::not_applicable("no node captures"))),
        Some(Err(why)) => Err(Box::new(Outcome::unknown(format!("no frames: {why}")))),
        Some(Ok(frames)) => Ok(frames),
    }
}

fn clock(view: &View<'_>) -> Outcome {
    let frames = match frames(view) {
        Ok(frames) => frames,
        Err(outcome) => return *outcome,
    };
    let said = format!("{} of {} stamps in the future", frames.future, frames.taken);
    let outcome = if frames.future == 0 {
        Outcome::pass("all in the past")
    } else {
        Outcome::warn(said.clone())
    };
    outcome
        .requested("none in the future")
        .shown(frames.source.clone(), said)
        .fix(Fix::by_hand("nothing to set; a run counts them and takes the time of arrival. With vivid: v4l2-ctl -c timestamp_source=1"))
}

fn rate(view: &View<'_>) -> Outcome {
    let frames = match frames(view) {
        Ok(frames) => frames,
        Err(outcome) => return *outcome,
    };
    let said = format!(
        "{:.1} frames a second, {} gaps, {} repeated, {} damaged",
        frames.per_second, frames.gaps, frames.repeated, frames.damaged
    );
    let slow = frames
        .promised
        .is_some_and(|promised| frames.per_second < promised * 0.9);
    let outcome = if frames.gaps + frames.repeated + frames.damaged == 0 && !slow {
        Outcome::pass(said.clone())
    } else {
        Outcome::warn(said.clone())
    };
    let requested = frames
        .promised
        .map_or("every frame once".to_owned(), |rate| {
            format!("{rate:.1} frames a second, every one once")
        });
    outcome.requested(requested).shown(frames.source.clone(), said).fix(Fix::by_hand(
        "a slow rate in the dark: exposure_dynamic_framerate=0 or a fixed exposure; gaps: another USB port or cable, a smaller size, MJPG",
    ))
}

fn buffers(view: &View<'_>) -> Outcome {
    let frames = match frames(view) {
        Ok(frames) => frames,
        Err(outcome) => return *outcome,
    };
    Outcome::pass("memory-mapped")
        .requested("memory-mapped")
        .shown(
            frames.source.clone(),
            format!("{} frames came through them", frames.taken),
        )
}

fn usb(view: &View<'_>) -> Outcome {
    let nodes = nodes(view);
    let mut said = Vec::new();
    let (mut wrong, mut settings) = (Vec::new(), Vec::new());
    for node in &nodes {
        let folder = format!("sys/class/video4linux/{node}/device");
        let uevent = view
            .text(&format!("{folder}/uevent"))
            .found
            .unwrap_or_default();
        if !uevent.lines().any(|line| line == "DRIVER=uvcvideo") {
            continue;
        }
        // The node belongs to an interface; the device is the folder above it.
        let of = |file: &str| view.text(&format!("{folder}/../{file}")).found.ok();
        let speed = of("speed").unwrap_or_else(|| "unknown".to_owned());
        let power = of("power/control").unwrap_or_else(|| "unknown".to_owned());
        said.push(format!("{node}: {speed} Mbit/s, power {power}"));
        if power == "auto" {
            wrong.push(format!("{node} may be put to sleep"));
            settings.push(Setting::new(format!("{folder}/../power/control"), "on"));
        }
        if speed.parse().is_ok_and(|mbit: u32| mbit < 480) {
            wrong.push(format!("{node} is on a port of {speed} Mbit/s"));
        }
    }
    let outcome = match (said.as_slice(), wrong.as_slice()) {
        ([], _) => {
            return Outcome::not_applicable("there is no USB camera")
                .shown("sys/class/video4linux", nodes.join(", "));
        }
        (said, []) => Outcome::pass(said.join("; ")),
        (_, wrong) => Outcome::warn(wrong.join("; ")),
    };
    outcome
        .requested("480 Mbit/s or more, no autosuspend")
        .shown("sys/class/video4linux/video*/device", said.join("; "))
        .fix(Fix::set(settings, "a udev rule: ACTION==\"add\", SUBSYSTEM==\"usb\", ATTR{bInterfaceClass}==\"0e\", TEST==\"../power/control\", ATTR{../power/control}=\"on\"; a slow port: use another"))
}
