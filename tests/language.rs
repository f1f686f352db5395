//! Promises of the text encoder and of the instruction sources.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_macros,
    clippy::disallowed_types,
    reason = "tests stop where they fail, and no thread of theirs is hot"
)]

use std::fs;
use std::io::{BufRead, BufReader, PipeWriter, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use reflexarc::error::{Fault, Kind};
use reflexarc::language::minilm::TOKENS_MAX;
use reflexarc::language::sources::lines::LINE_BYTES_MAX;
use reflexarc::language::sources::script::{self, Timed};
use reflexarc::language::sources::socket::{CLIENTS_MAX, Socket};
use reflexarc::language::sources::stdin::Stdin;
use reflexarc::language::{self, Instruction, Language, LanguageConfig, LanguageTotals, MiniLm};
use reflexarc::link::{self, NewestReader};
use reflexarc::models::{self, Group};
use reflexarc::rt::stop::Stop;
use reflexarc::rt::wait::Bell;
use reflexarc::units::Nanos;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

/// The real encoder, loaded once; each caller has memory of its own.
fn encoder() -> MiniLm {
    static ENCODER: OnceLock<MiniLm> = OnceLock::new();
    let encoder = ENCODER.get_or_init(|| {
        models::ensure(&[Group::Run]).unwrap();
        MiniLm::load(&models::path(models::TEXT_ENCODER)).unwrap()
    });
    encoder.clone()
}

fn cosine(a: &str, b: &str) -> f32 {
    let (a, b) = (encoder().encode(a).unwrap(), encoder().encode(b).unwrap());
    a.iter().zip(&b).map(|(a, b)| a * b).sum()
}

fn near(found: f32, expected: f32, tolerance: f32) {
    assert!(
        (found - expected).abs() < tolerance,
        "{found} instead of {expected}"
    );
}

#[test]
fn the_encoder_reproduces_the_golden_numbers() {
    let embedding = encoder().encode("pick up the red block").unwrap();
    // From an independent implementation in numpy.
    for (found, expected) in embedding
        .iter()
        .zip([-0.05087, 0.00674, -0.05883, 0.03679, 0.03644, 0.03004])
    {
        near(*found, expected, 1e-5);
    }
    near(embedding.iter().map(|v| v * v).sum(), 1.0, 1e-5);
    let red = "pick up the red block";
    let drawer = "open the drawer";
    near(cosine(red, "grasp the red cube"), 0.54, 0.006);
    near(
        cosine(drawer, "pull the handle to open the drawer"),
        0.79,
        0.006,
    );
    near(cosine(red, "what is the weather today"), 0.02, 0.006);
    near(cosine(drawer, "what is the weather today"), -0.01, 0.006);
}

#[test]
fn the_encoder_agrees_with_an_independent_implementation() {
    for (text, expected) in [
        ("", [-0.11884, 0.0483, -0.00255, -0.01101, 0.05195, 0.01029]),
        (
            "Look at the CAT!",
            [0.06708, 0.02165, 0.02292, -0.00518, 0.0048, -0.01174],
        ),
        (
            "na\u{ef}ve caf\u{e9} \u{2014} o\u{f9}?",
            [-0.00871, -0.01313, 0.01753, -0.01811, 0.00296, 0.00424],
        ),
        (
            "find the motorcycle that stands left of the red, two-storey house; \
             ignore everything else, please, and hurry",
            [-0.01086, 0.12909, -0.01155, -0.00837, 0.04911, -0.02384],
        ),
    ] {
        let embedding = encoder().encode(text).unwrap();
        for (found, expected) in embedding.iter().zip(expected) {
            near(*found, expected, 1.1e-5);
        }
    }
}

#[test]
fn many_at_once_give_what_one_by_one_gives() {
    let texts = [
        "look at the cat",
        "espresso",
        "",
        "find the cat",
        "a b c d e f g h i j k l m n o p",
    ];
    let together = encoder().encode_all(&texts).unwrap();
    for (text, together) in texts.iter().zip(together) {
        let alone = encoder().encode(text).unwrap();
        assert!(
            alone
                .iter()
                .zip(together)
                .all(|(a, b)| (a - b).abs() < 1e-5),
            "{text}"
        );
    }
}

#[test]
fn a_text_without_end_is_cut_and_says_so() {
    let long = "cat ".repeat(10 * TOKENS_MAX);
    let encoded = encoder().encode_noting(&long).unwrap();
    assert!(encoded.cut);
    assert_eq!(encoded.token_count, TOKENS_MAX - 2);
    // What is beyond the cut does not matter.
    let other = encoder().encode(&format!("{long} dog")).unwrap();
    assert_eq!(encoded.embedding, other);
    assert!(!encoder().encode_noting("look at the cat").unwrap().cut);
}

#[test]
fn a_language_that_the_encoder_cannot_read_is_noticed() {
    let mostly_unknown = |text| encoder().encode_noting(text).unwrap().is_mostly_unknown();
    assert!(mostly_unknown(
        "\u{62ff}\u{8d77}\u{7ea2}\u{8272}\u{65b9}\u{5757}"
    ));
    assert!(mostly_unknown("\u{1f431}"));
    assert!(!mostly_unknown("look at the cat"));
    assert!(!mostly_unknown("schau die Katze an"));
    assert!(!mostly_unknown(""));
}

/// The model's folder with its weights changed by `edit`; gives the fault of loading it.
fn fault_with_weights(edit: impl FnOnce(Vec<u8>) -> Vec<u8>) -> Fault {
    models::ensure(&[Group::Run]).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let real = models::path(models::TEXT_ENCODER);
    fs::copy(
        real.join("tokenizer.json"),
        dir.path().join("tokenizer.json"),
    )
    .unwrap();
    let weights = edit(fs::read(real.join("model.safetensors")).unwrap());
    fs::write(dir.path().join("model.safetensors"), weights).unwrap();
    MiniLm::load(dir.path()).unwrap_err()
}

/// The weights without or with other tensors than the real ones.
fn with_tensors(
    weights: &[u8],
    edit: impl Fn(&str, TensorView<'static>) -> Option<TensorView<'static>>,
) -> Vec<u8> {
    // Leaked: the views of a test's one file outlive the closure that edits them.
    let weights: &'static [u8] = weights.to_vec().leak();
    let tensors = SafeTensors::deserialize(weights).unwrap().tensors();
    let edited = tensors
        .into_iter()
        .filter_map(|(name, view)| Some((name.clone(), edit(&name, view)?)));
    safetensors::serialize(edited.collect::<Vec<_>>(), None).unwrap()
}

#[test]
fn a_tensor_of_another_shape_is_named_with_both_shapes() {
    let name = "encoder.layer.3.intermediate.dense.weight";
    let fault = fault_with_weights(|weights| {
        with_tensors(&weights, |n, view| {
            let flipped = || TensorView::new(view.dtype(), vec![384, 1536], view.data()).unwrap();
            Some(if n == name { flipped() } else { view })
        })
    });
    assert_eq!(fault.kind, Kind::Model);
    for part in [name, "[384, 1536]", "[1536, 384]"] {
        assert!(fault.why.contains(part), "{fault}");
    }
}

#[test]
fn a_missing_tensor_is_named() {
    let name = "encoder.layer.5.output.LayerNorm.bias";
    let fault =
        fault_with_weights(|weights| with_tensors(&weights, |n, view| (n != name).then_some(view)));
    assert_eq!(fault.kind, Kind::Model);
    assert!(fault.why.contains(name), "{fault}");
}

#[test]
fn weights_that_are_cut_short_are_refused() {
    let fault = fault_with_weights(|weights| weights[..weights.len() / 2].to_vec());
    assert_eq!(fault.kind, Kind::Model);
    assert!(fault.fix.contains("models fetch"), "{fault}");
}

#[test]
fn a_missing_model_names_the_file_and_the_command_that_brings_it() {
    let dir = tempfile::tempdir().unwrap();
    let fault = MiniLm::load(dir.path()).unwrap_err();
    assert_eq!(fault.kind, Kind::Model);
    assert!(
        fault.what.contains("tokenizer.json") && fault.fix.contains("models fetch"),
        "{fault}"
    );
}

// ---------------------------------------------------------------------------------------------
// Threads

/// The name of threads that use candle.
const ENCODING: &str = "encoding";

#[test]
fn two_threads_encode_at_once_and_neither_waits_for_the_other() {
    let text = "look at the cat that sits on the wall ".repeat(8);
    let expected = encoder().encode(&text).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..3 {
                    assert_eq!(encoder().encode(&text).unwrap(), expected);
                }
            });
        }
    });
}

#[test]
#[ignore = "the child process of the next test"]
fn child_that_runs_candle_on_two_threads() {
    std::thread::scope(|scope| {
        for _ in 0..2 {
            let multiply = || {
                language::keep_candle_on_this_thread();
                let square = Tensor::ones((512, 512), DType::F32, &Device::Cpu).unwrap();
                for _ in 0..3 {
                    square.matmul(&square).unwrap().gelu_erf().unwrap();
                }
            };
            let thread = std::thread::Builder::new().name(ENCODING.to_owned());
            thread.spawn_scoped(scope, multiply).unwrap();
        }
        // This thread belongs to a pool too, and does nothing for anybody meanwhile.
    });
    for task in fs::read_dir("/proc/self/task").unwrap() {
        // The threads have been joined, and yet the kernel may still list one, or list it no more by now.
        let name = fs::read_to_string(task.unwrap().path().join("comm"));
        if let Ok(name) = name
            && name.trim() != ENCODING
        {
            println!("task {}", name.trim());
        }
    }
}

#[test]
fn limited_candle_starts_no_thread_of_its_own() {
    let run = |limit: bool| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args([
            "child_that_runs_candle_on_two_threads",
            "--exact",
            "--ignored",
            "--nocapture",
        ]);
        for name in ["RAYON_NUM_THREADS", "CANDLE_NUM_THREADS"] {
            // As `limit_candle` does in a process with one thread, which a test harness is not.
            match limit {
                true => child.env(name, "1"),
                false => child.env(name, "2"),
            };
        }
        let output = child.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        let text = String::from_utf8(output.stdout).unwrap();
        text.lines()
            .filter(|line| line.starts_with("task "))
            .count()
    };
    // The harness's own threads are the same in both; candle's spinning workers are what differs.
    assert!(run(true) < run(false));
}

#[test]
fn the_environment_is_left_alone_once_there_are_threads() {
    assert!(!language::limit_candle());
}

// ---------------------------------------------------------------------------------------------
// Sources

/// The language side on a thread of its own, as in a run.
struct Running {
    instructions: NewestReader<Instruction>,
    stop: Stop,
    notes: Arc<Mutex<Vec<String>>>,
    thread: Option<std::thread::JoinHandle<LanguageTotals>>,
}

impl Running {
    fn start(config: &LanguageConfig, initial: Option<&str>, stdin: Option<Stdin>) -> Self {
        let notes = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&notes);
        let initial = initial.map(str::to_owned);
        let mut language = Language::with_encoder(encoder(), config, initial)
            .unwrap()
            .with_notes(Box::new(move |line| {
                to.lock().unwrap().push(line.to_owned())
            }));
        if let Some(stdin) = stdin {
            language = language.with_stdin(stdin);
        }
        let (writer, instructions) = link::newest(&Bell::new());
        let stop = Stop::default();
        let asked = stop.clone();
        let thread = std::thread::Builder::new();
        let thread = thread.spawn(move || language.run(writer, &asked)).unwrap();
        Self {
            instructions,
            stop,
            notes,
            thread: Some(thread),
        }
    }

    /// The instruction with this id, skipping those before it.
    fn instruction(&mut self, id: u32) -> Instruction {
        let mut found = None;
        wait_until(|| {
            found = self.instructions.pop().or(found);
            found.is_some_and(|i| i.id >= id)
        });
        let found = found.unwrap();
        assert_eq!(found.id, id);
        found
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    fn finish(mut self) -> LanguageTotals {
        self.stop.ask();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.ask();
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

/// Fails after a time that only a hang reaches.
#[expect(
    clippy::disallowed_methods,
    reason = "a test that waits for another thread"
)]
fn wait_until(mut done: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "it never happens"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn pipe_as_stdin() -> (Stdin, PipeWriter) {
    let (reader, writer) = std::io::pipe().unwrap();
    (Stdin::from_fd(reader.as_fd()).unwrap(), writer)
}

fn with_socket(path: &Path) -> LanguageConfig {
    LanguageConfig {
        socket: Some(path.to_owned()),
        ..LanguageConfig::default()
    }
}

/// Sends lines, tells the end, and gives the answers.
fn ask(path: &Path, lines: &[u8]) -> Vec<String> {
    let mut client = UnixStream::connect(path).unwrap();
    client.write_all(lines).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    BufReader::new(client).lines().map(Result::unwrap).collect()
}

#[test]
fn the_first_instruction_comes_from_the_command_line_before_the_configuration() {
    let config = LanguageConfig {
        instruction: Some("look at the dog".into()),
        ..LanguageConfig::default()
    };
    let first = Running::start(&config, Some(" look at the cat "), None).instruction(1);
    assert_eq!(first.text(), "look at the cat");
    assert_eq!(
        first.embedding,
        encoder().encode("look at the cat").unwrap()
    );
    assert!(first.received <= first.encoded);
    let first = Running::start(&config, None, None).instruction(1);
    assert_eq!(first.text(), "look at the dog");
}

#[test]
fn an_empty_first_instruction_is_refused_before_the_run() {
    let config = LanguageConfig::default();
    let fault = Language::with_encoder(encoder(), &config, Some("  ".into())).unwrap_err();
    assert_eq!(fault.kind, Kind::Usage);
}

#[test]
fn each_line_of_standard_input_is_an_instruction_and_its_end_is_no_error() {
    let (stdin, mut writer) = pipe_as_stdin();
    let mut running = Running::start(&LanguageConfig::default(), None, Some(stdin));
    writer.write_all(b"look at the cat\r\n\n   \n").unwrap();
    assert_eq!(running.instruction(1).text(), "look at the cat");
    // In two pieces, and cut short by the end.
    writer.write_all(b"find the ").unwrap();
    writer.write_all(b"motorcycle").unwrap();
    drop(writer);
    assert_eq!(running.instruction(2).text(), "find the motorcycle");
    assert_eq!(running.notes(), [""; 0]);
    assert_eq!(
        running.finish(),
        LanguageTotals {
            instructions: 2,
            refused: 0
        }
    );
}

#[test]
fn a_bad_line_is_refused_with_its_reason_and_costs_no_other() {
    let (stdin, mut writer) = pipe_as_stdin();
    let mut running = Running::start(&LanguageConfig::default(), None, Some(stdin));
    let long = vec![b'x'; 3 * LINE_BYTES_MAX];
    let lines = [
        b"\xff\xfe".as_slice(),
        b"a\0b",
        &long,
        b"look at the cat",
        b"",
    ]
    .join(&b'\n');
    writer.write_all(&lines).unwrap();
    assert_eq!(running.instruction(1).text(), "look at the cat");
    let notes = running.notes();
    assert_eq!(notes.len(), 3, "{notes:?}");
    for (note, reason) in notes.iter().zip(["UTF-8", "U+0000", "longer than"]) {
        assert!(
            note.starts_with("standard input: error:") && note.contains(reason),
            "{note}"
        );
    }
    assert_eq!(
        running.finish(),
        LanguageTotals {
            instructions: 1,
            refused: 3
        }
    );
}

#[test]
fn a_text_that_is_not_english_is_taken_with_a_warning() {
    let (stdin, mut writer) = pipe_as_stdin();
    let mut running = Running::start(&LanguageConfig::default(), None, Some(stdin));
    writer
        .write_all("\u{62ff}\u{8d77}\u{7ea2}\u{8272}\n".as_bytes())
        .unwrap();
    running.instruction(1);
    wait_until(|| !running.notes().is_empty());
    assert!(
        running.notes()[0].contains("reads English"),
        "{:?}",
        running.notes()
    );
}

#[test]
fn each_line_to_the_socket_gets_one_answer() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("instructions.sock");
    let mut running = Running::start(&with_socket(&path), Some("look at the dog"), None);
    let answers = ask(&path, b"look at the \"cat\"\n\xff\nfind the motorcycle");
    assert_eq!(
        answers,
        [
            r#"ok 2 "look at the \"cat\"""#,
            "error: the line is not UTF-8 text",
            r#"ok 3 "find the motorcycle""#,
        ]
    );
    assert_eq!(running.instruction(3).text(), "find the motorcycle");
}

#[test]
fn only_this_user_may_connect_and_the_file_goes_with_the_run() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("instructions.sock");
    let running = Running::start(&with_socket(&path), None, None);
    let mode = fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    running.finish();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn a_socket_file_that_a_killed_process_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("instructions.sock");
    // Dropping a listener leaves its file, as a kill does.
    drop(UnixListener::bind(&path).unwrap());
    let _running = Running::start(&with_socket(&path), None, None);
    assert_eq!(
        ask(&path, b"look at the cat\n"),
        [r#"ok 1 "look at the cat""#]
    );
}

#[test]
fn a_socket_that_somebody_listens_on_is_left_to_them() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("instructions.sock");
    let first = Socket::open(&path).unwrap();
    assert_eq!(Socket::open(&path).unwrap_err().kind, Kind::Busy);
    drop(first);
    Socket::open(&path).unwrap();
}

#[test]
fn a_path_that_cannot_be_a_socket_is_explained() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("notes.txt");
    fs::write(&file, "precious").unwrap();
    let fault = Socket::open(&file).unwrap_err();
    assert_eq!(fault.kind, Kind::Config);
    assert!(fault.why.contains("not a socket"), "{fault}");
    assert_eq!(fs::read(&file).unwrap(), b"precious");
    assert_eq!(
        Socket::open(&dir.path().join("no/such/dir.sock"))
            .unwrap_err()
            .kind,
        Kind::Config
    );
    assert_eq!(
        Socket::open(&dir.path().join("x".repeat(200)))
            .unwrap_err()
            .kind,
        Kind::Config
    );
}

#[test]
fn a_client_with_many_lines_does_not_keep_another_waiting() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("instructions.sock");
    let running = Running::start(&with_socket(&path), None, None);
    let mut flood = UnixStream::connect(&path).unwrap();
    flood.write_all(&b"cat\n".repeat(200)).unwrap();
    let answers = ask(&path, b"look at the cat\n");
    let id: u32 = answers[0].split(' ').nth(1).unwrap().parse().unwrap();
    assert!(id < 200, "answered after the flood: {answers:?}");
    flood.shutdown(Shutdown::Write).unwrap();
    assert_eq!(BufReader::new(flood).lines().count(), 200);
    assert_eq!(running.finish().instructions, 201);
}

#[test]
fn a_client_that_never_reads_or_never_leaves_hurts_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("instructions.sock");
    let _running = Running::start(&with_socket(&path), None, None);
    // One that goes without reading its answer, and as many that stay as are allowed.
    UnixStream::connect(&path)
        .unwrap()
        .write_all(b"cat\ncat\ncat\n")
        .unwrap();
    let idle: Vec<_> = (0..CLIENTS_MAX)
        .map(|_| UnixStream::connect(&path).unwrap())
        .collect();
    wait_until(|| ask(&path, b"") == ["error: 16 clients are connected already"]);
    drop(idle);
    wait_until(|| ask(&path, b"").is_empty());
    let answers = ask(&path, b"look at the cat\n");
    assert!(answers[0].starts_with("ok "), "{answers:?}");
}

#[test]
fn several_sources_give_instructions_in_one_run_and_the_newest_is_in_force() {
    let dir = tempfile::tempdir().unwrap();
    let (socket, script) = (
        dir.path().join("instructions.sock"),
        dir.path().join("script.txt"),
    );
    fs::write(&script, "0s look at the cup\n").unwrap();
    let config = LanguageConfig {
        script: Some(script),
        ..with_socket(&socket)
    };
    let (stdin, mut writer) = pipe_as_stdin();
    let mut running = Running::start(&config, Some("look at the dog"), Some(stdin));
    // The command line's comes first, then what the script has for the start.
    assert_eq!(running.instruction(2).text(), "look at the cup");
    writer.write_all(b"find the motorcycle\n").unwrap();
    assert_eq!(running.instruction(3).text(), "find the motorcycle");
    let answers = ask(&socket, b"look at the cat\n");
    assert_eq!(answers, [r#"ok 4 "look at the cat""#]);
    assert_eq!(running.instruction(4).text(), "look at the cat");
    writer.write_all(b"look at the dog\n").unwrap();
    assert_eq!(running.instruction(5).text(), "look at the dog");
    let totals = running.finish();
    assert_eq!((totals.instructions, totals.refused), (5, 0));
}

#[test]
fn a_script_gives_its_instructions_in_the_order_of_their_times() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("script.txt");
    fs::write(
        &path,
        "# first the cat\n0.15 s find the motorcycle\n\n0s look at the cat\n",
    )
    .unwrap();
    let config = LanguageConfig {
        script: Some(path),
        ..LanguageConfig::default()
    };
    let mut running = Running::start(&config, None, None);
    let first = running.instruction(1);
    assert_eq!(first.text(), "look at the cat");
    let second = running.instruction(2);
    assert_eq!(second.text(), "find the motorcycle");
    assert!(second.received - first.received >= Nanos::from_millis(140));
}

fn script(name: &str, text: &str) -> Result<Vec<Timed>, Fault> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, text).unwrap();
    script::load(&path)
}

#[test]
fn a_script_can_be_toml() {
    let found = script(
        "script.toml",
        "[[instruction]]\nat = \"7.5 s\"\ntext = \"find the motorcycle\"\n\
         [[instruction]]\nat = \"0s\"\ntext = \"look at the cat\"\n",
    );
    let timed = |millis, text: &str| Timed {
        at: Nanos::from_millis(millis),
        text: text.into(),
    };
    assert_eq!(
        found,
        Ok(vec![
            timed(0, "look at the cat"),
            timed(7500, "find the motorcycle")
        ])
    );
    assert_eq!(
        found,
        script(
            "script.txt",
            "0s look at the cat\n7.5 s find the motorcycle"
        )
    );
}

#[test]
fn a_wrong_script_names_the_line_and_what_is_wrong_in_it() {
    for (text, line, reason) in [
        (
            "0s look at the cat\nlook at the dog",
            "line 2",
            "not a duration",
        ),
        ("5 look at the cat", "line 1", "not a duration"),
        ("\n\n5 parsecs look at the cat", "line 3", "not a duration"),
        ("-1s look at the cat", "line 1", "before the start"),
        ("# only a time\n5.0s", "line 2", "no instruction"),
    ] {
        let fault = script("script.txt", text).unwrap_err();
        assert_eq!(fault.kind, Kind::BadInput);
        assert!(
            fault.why.contains(line) && fault.why.contains(reason),
            "{text:?}: {fault}"
        );
    }
    for (text, line, reason) in [
        (
            "[[instruction]]\nat = 5\ntext = \"cat\"",
            "line 2",
            "with its unit",
        ),
        (
            "[[instruction]]\nat = \"-1 s\"\ntext = \"cat\"",
            "line 2",
            "before the start",
        ),
        (
            "[[instruction]]\nat = \"1 s\"\ntext = \" \"",
            "line 3",
            "empty",
        ),
        (
            "[[instruction]]\nat = \"1 s\"\ntxt = \"cat\"",
            "line 3",
            "unknown field",
        ),
    ] {
        let fault = script("script.toml", text).unwrap_err();
        assert!(
            fault.why.contains(line) && fault.why.contains(reason),
            "{text:?}: {fault}"
        );
    }
    assert_eq!(
        script::load(Path::new("/no/such/script")).unwrap_err().kind,
        Kind::BadInput
    );
}

#[test]
fn an_unknown_key_in_the_configuration_is_refused() {
    let wrong = toml::from_str::<LanguageConfig>("instructions = \"look\"").unwrap_err();
    assert!(wrong.to_string().contains("unknown field `instructions`"));
}
