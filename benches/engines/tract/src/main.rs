//! tract as one of the engines beside us: answers, line by line, what `run.py` asks. See ../README.md.
//!
//! usage: `reflexarc-peer-tract`

use std::io::{BufRead as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use tract_onnx::prelude::*;

/// Forwards before the first that is timed: memory comes into being, and the processor leaves its idle frequency.
const WARM_UP: usize = 3;

type Runs = Box<dyn FnMut() -> TractResult<Vec<f32>>>;

fn main() {
    let mut runs: Option<Runs> = None;
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("lines are text");
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["load", name, folder, output] => match load(name, Path::new(folder), output) {
                Ok(ready) => {
                    runs = Some(ready);
                    "ok".to_owned()
                }
                Err(error) => format!("no {}", format!("{error:#}").replace('\n', "; ")),
            },
            ["time", ms] => time(
                runs.as_mut().expect("something is loaded"),
                Duration::from_millis(ms.parse().expect("a number of milliseconds")),
            ),
            _ => panic!("what is `{line}`?"),
        };
        println!("{answer}");
        std::io::stdout().flush().expect("who asked is there");
    }
}

/// Makes the case ready, and writes its output.
fn load(name: &str, folder: &Path, output: &str) -> TractResult<Runs> {
    let bytes = std::fs::read(folder.join("input.bin"))?;
    let words = bytes.as_chunks::<4>().0;
    let input = if name.contains('@') {
        let tokens = words.iter().map(|word| i64::from(u32::from_le_bytes(*word)));
        tract_ndarray::Array2::from_shape_vec((1, words.len()), tokens.collect())?.into_tensor()
    } else {
        let values: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
        let side = (values.len() / 3).isqrt();
        let picture = tract_ndarray::Array4::from_shape_vec((1, side, side, 3), values)?;
        let planar = picture.permuted_axes([0, 3, 1, 2]);
        planar.as_standard_layout().into_owned().into_tensor()
    };
    let fact = InferenceFact::dt_shape(input.datum_type(), input.shape());
    let plan = tract_onnx::onnx()
        .model_for_path(folder.join("model.onnx"))?
        .with_input_fact(0, fact)?
        .into_optimized()?
        .into_runnable()?;
    let input: TValue = input.into();
    let mut runs: Runs = Box::new(move || {
        let outputs = plan.run(tvec!(input.clone()))?;
        Ok(outputs[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    });
    let mut values = Vec::new();
    for _ in 0..WARM_UP {
        values = runs()?;
    }
    let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(output, bytes)?;
    Ok(runs)
}

/// One forward that is not counted, then forwards for so long, at least one: nanoseconds of each, after the processor time of
/// all.
fn time(runs: &mut Runs, budget: Duration) -> String {
    let mut run = || runs().expect("it ran when it was loaded");
    run();
    let (begin, used) = (Instant::now(), processor_ns());
    let mut taken = Vec::new();
    while taken.is_empty() || begin.elapsed() < budget {
        let from = Instant::now();
        run();
        taken.push(from.elapsed().as_nanos().to_string());
    }
    format!("{} {}", processor_ns() - used, taken.join(" "))
}

/// What this process has used of all cores, by the kernel's count of its threads.
fn processor_ns() -> u64 {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let times = tasks.filter_map(|task| {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse::<u64>().ok()
    });
    times.sum()
}
