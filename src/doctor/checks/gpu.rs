//! GPU and desktop.

use crate::doctor::check::{Category, Check, Fix, Outcome};
use crate::doctor::process;
use crate::doctor::view::View;

pub const CHECKS: &[Check] = &[
    Check::new(
        Category::Camera,
        ("V08", "GPU"),
        gpu,
        "After a change of kernel the GPU's driver may be missing; an engine that was built for another GPU does not load.",
        "The node names of the two generations of Jetson are from general knowledge. The compute capability is not asked for: that needs CUDA, which reflexarc does not use yet.",
    ),
    Check::new(
        Category::Camera,
        ("V09", "nvidia-smi on a Jetson"),
        smi,
        "On a Jetson with its integrated GPU nvidia-smi is there and shows little: its power and clocks are not the module's.",
        "From NVIDIA's descriptions; not seen on a board.",
    ),
    Check::new(
        Category::Camera,
        ("V10", "no desktop"),
        desktop,
        "A desktop draws on the same GPU and memory, and takes 1 GB. For a measurement it should not run.",
        "",
    ),
];

fn gpu(view: &View<'_>) -> Outcome {
    const NODES: [&str; 3] = ["nvidia0", "nvhost-gpu", "nvgpu"];
    let wanted = view
        .board
        .and_then(|board| board.gpu.cuda.as_ref())
        .map(|fact| fact.value);
    let nodes: Vec<&str> = NODES
        .into_iter()
        .filter(|node| view.tree.has(&format!("dev/{node}")))
        .collect();
    let modules = view.text("proc/modules").found.unwrap_or_default();
    let loaded = modules
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .any(|name| matches!(name, "nvgpu" | "nvidia"));
    let outcome = match (wanted, nodes.as_slice()) {
        (None, []) => {
            return Outcome::not_applicable("there is no GPU that CUDA runs on")
                .shown("dev", "no nvidia0, nvhost-gpu, nvgpu");
        }
        (_, nodes) if !nodes.is_empty() && loaded => Outcome::pass(nodes.join(", ")),
        (_, []) => Outcome::fail("no device node of it"),
        (_, nodes) => Outcome::warn(format!(
            "{}, but its module is not in the list of loaded ones",
            nodes.join(", ")
        )),
    };
    let requested = wanted.map_or("a loaded driver".to_owned(), |sm| {
        format!("a loaded driver (sm_{sm})")
    });
    let shown = if nodes.is_empty() {
        "none of nvidia0, nvhost-gpu, nvgpu".to_owned()
    } else {
        nodes.join(", ")
    };
    outcome
        .requested(requested)
        .shown("dev", shown)
        .fix(Fix::by_hand("install the GPU modules of this very kernel (K15)").with_reboot())
}

fn smi(view: &View<'_>) -> Outcome {
    let tegra = view.tree.has("dev/nvmap") || view.tree.has("dev/nvhost-ctrl");
    let is_jetson = tegra
        || view
            .board
            .is_some_and(|board| board.name.starts_with("jetson"));
    if !is_jetson {
        return Outcome::not_applicable("no Jetson");
    }
    let there = view.tree.has("usr/bin/nvidia-smi");
    let outcome = if there {
        Outcome::warn("it is there; do not go by its clocks and power")
    } else {
        Outcome::pass("not there")
    };
    outcome
        .requested("tegrastats and sysfs for clocks and power")
        .shown(
            "usr/bin/nvidia-smi",
            if there { "there" } else { "(not there)" },
        )
        .fix(Fix::by_hand("use tegrastats"))
}

fn desktop(view: &View<'_>) -> Outcome {
    let tasks = match view.tasks() {
        Ok(tasks) => tasks,
        Err(why) => return Outcome::unknown(format!("the threads cannot be listed: {why}")),
    };
    let here: Vec<&str> = process::DESKTOPS
        .into_iter()
        .filter(|name| tasks.iter().any(|task| task.name == *name))
        .collect();
    let outcome = match here.as_slice() {
        [] => Outcome::pass("none runs"),
        here => Outcome::warn(format!("{} run", here.join(", "))),
    };
    outcome
        .requested("none, for a measurement")
        .shown(
            "proc/*/task/*/stat",
            if here.is_empty() {
                "no desktop".to_owned()
            } else {
                here.join(", ")
            },
        )
        .fix(Fix {
            to_stay: "sudo systemctl set-default multi-user.target".to_owned(),
            ..Fix::by_hand("sudo systemctl isolate multi-user.target")
        })
}
