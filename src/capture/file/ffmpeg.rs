//! Any video that the installed `ffmpeg` can decode, read as raw frames from its standard output.
//!
//! A process of its own was chosen over linking the libraries: a damaged video cannot bring this process down, no
//! header files are needed to build, and the pipe costs one copy on the loader's thread, off the way of a frame.
//!
//! ffmpeg passes every decoded frame on once (none repeated or dropped for the sake of a constant rate), and frame
//! `n` counts as taken at `n / rate` with the stream's average rate: a video with a varying rate plays evenly.

use std::ffi::OsStr;
use std::io::{ErrorKind, Read};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

use serde::Deserialize;

use super::clip::{Clip, Found, checked_rate, checked_size, usual_matrix};
use crate::error::{Fault, Kind, Result};
use crate::frame::{FrameFormat, Matrix, PixelFormat};
use crate::rt::stop::Stop;
use crate::units::Hertz;

/// A wait on the pipe ends after this, so that a stop is seen.
const POLL_MS: libc::c_int = 50;
// BOUND: ffmpeg's first words say what is wrong; a damaged video makes it repeat itself.
const WORDS_MAX: usize = 600;

/// A video that an ffmpeg process decodes.
#[derive(Debug)]
pub(super) struct Ffmpeg {
    path: PathBuf,
    video: Video,
    format: FrameFormat,
    /// The option, by its name in the installed version, that passes each frame on once.
    each_frame_once: [&'static str; 2],
    process: Option<Process>,
    /// Takes frames that are not wanted.
    scratch: Vec<u8>,
    stop: Stop,
}

impl Ffmpeg {
    /// Asks ffprobe for the format and starts ffmpeg. Reading ends early once `stop` is asked for.
    pub fn open(path: &Path, stop: Stop) -> Result<Self> {
        let each_frame_once = match version(path)? {
            (0..5, _) | (5, 0) => ["-vsync", "0"],
            _ => ["-fps_mode", "passthrough"],
        };
        let video = probe(path)?;
        let format = video.format().map_err(|why| {
            Fault::new(
                Kind::Unsupported,
                format!("{} cannot be read", path.display()),
                why,
                "convert it with `ffmpeg -i FILE OUT.mp4` first",
            )
        })?;
        let mut clip = Self {
            path: path.to_owned(),
            video,
            format,
            each_frame_once,
            process: None,
            scratch: Vec::new(),
            stop,
        };
        clip.rewind().map_err(|why| missing(path, why))?;
        Ok(clip)
    }

    fn read_frame(&mut self, out: &mut [u8]) -> Found {
        let Some(process) = &mut self.process else {
            return Found::End(None);
        };
        match process.read(out, &self.stop) {
            Ok(read) if read == out.len() => Found::Frame { bytes: read },
            Ok(0) => Found::End(self.process.take().and_then(Process::last_words)),
            // The process ended within a frame; the next call says why.
            Ok(_) => Found::Damaged,
            Err(e) => Found::End(Some(format!("ffmpeg could not be read from: {e}"))),
        }
    }
}

impl Clip for Ffmpeg {
    fn kind(&self) -> String {
        format!("{} through ffmpeg", self.video.codec_name)
    }

    fn format(&self) -> FrameFormat {
        self.format
    }

    fn rate(&self) -> Option<Hertz> {
        self.video.rate()
    }

    fn read(&mut self, out: &mut [u8]) -> Found {
        let bytes = self.format.frame_bytes();
        self.read_frame(&mut out[..bytes])
    }

    fn skip(&mut self) -> Found {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(self.format.frame_bytes(), 0);
        let found = self.read_frame(&mut scratch);
        self.scratch = scratch;
        found
    }

    fn rewind(&mut self) -> Result<(), String> {
        // Ends the process that runs, if one does.
        self.process = None;
        let pixels = match self.format.pixel {
            PixelFormat::Yuyv => "yuyv422",
            _ => "nv12",
        };
        // Chroma is shared by two pixels and rows, so an odd last one is cut off.
        let filter = "crop=trunc(iw/2)*2:trunc(ih/2)*2:0:0,scale=out_range=limited";
        let mut command = Command::new("ffmpeg");
        command
            .args(["-v", "error", "-nostdin", "-i"])
            .arg(input(&self.path))
            .args(["-map", "0:v:0", "-vf", filter, "-pix_fmt", pixels])
            .args(self.each_frame_once)
            .args(["-f", "rawvideo", "pipe:1"]);
        self.process = Some(Process::start(command).map_err(|e| e.to_string())?);
        Ok(())
    }
}

/// What ffprobe says of the first video stream.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Video {
    codec_name: String,
    width: u64,
    height: u64,
    pix_fmt: String,
    color_space: String,
    avg_frame_rate: String,
    r_frame_rate: String,
    side_data_list: Vec<SideData>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct SideData {
    /// Degrees.
    rotation: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Probe {
    streams: Vec<Video>,
}

impl Video {
    /// The format that ffmpeg is asked for, or why there is none.
    fn format(&self) -> Result<FrameFormat, String> {
        let (mut width, mut height) = checked_size(self.width, self.height)
            .map(|(w, h)| (w & !1, h & !1))
            .filter(|(w, h)| *w > 0 && *h > 0)
            .ok_or_else(|| {
                format!(
                    "its video has {}x{} pixels; 2 to 8192 a side can be read",
                    self.width, self.height
                )
            })?;
        if self.rate().is_none() {
            return Err(format!(
                "its frame rate is given as `{}`, which is not a rate",
                self.avg_frame_rate
            ));
        }
        // ffmpeg turns pictures upright; a quarter turn exchanges the sides.
        if self
            .side_data_list
            .iter()
            .any(|data| (data.rotation.abs() - 90.0).abs() < 1.0 || data.rotation.abs() > 269.0)
        {
            std::mem::swap(&mut width, &mut height);
        }
        let pixel = match self.pix_fmt.contains("422") {
            true => PixelFormat::Yuyv,
            false => PixelFormat::Nv12,
        };
        let mut format = FrameFormat::packed(pixel, width, height);
        format.matrix = match self.color_space.as_str() {
            "bt709" => Matrix::Bt709,
            "smpte170m" | "bt470bg" => Matrix::Bt601,
            // ffmpeg itself makes BT.601 of RGB.
            _ if !self.pix_fmt.starts_with("yuv") => Matrix::Bt601,
            _ => usual_matrix(width, height),
        };
        Ok(format)
    }

    fn rate(&self) -> Option<Hertz> {
        [&self.avg_frame_rate, &self.r_frame_rate]
            .into_iter()
            .find_map(|rate| {
                let (numerator, denominator) = rate.split_once('/')?;
                checked_rate(numerator.parse().ok()?, denominator.parse().ok()?)
            })
    }
}

/// Keeps ffmpeg from taking a name such as `-y` or `tcp:x` for anything but a file's.
fn input(path: &Path) -> std::ffi::OsString {
    let mut input = std::ffi::OsString::from("file:");
    input.push(path);
    input
}

fn missing(path: &Path, why: String) -> Fault {
    Fault::new(
        Kind::Tool,
        format!("ffmpeg is needed to read {}", path.display()),
        why,
        "install it (`sudo apt install ffmpeg`), or convert the file to Y4M or MJPEG AVI elsewhere",
    )
}

/// Runs a tool to its end and gives its standard output and what it complained about.
fn run(tool: &str, path: &Path, args: &[&OsStr]) -> Result<(bool, Vec<u8>, String)> {
    let output = Command::new(tool)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .map_err(|e| match e.kind() {
            ErrorKind::NotFound => missing(path, format!("no program `{tool}` is in PATH")),
            _ => missing(path, format!("`{tool}` cannot be started: {e}")),
        })?;
    let words = shorten(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), output.stdout, words))
}

/// The installed version, as far as it matters; development builds count as new.
fn version(path: &Path) -> Result<(u32, u32)> {
    let (_, out, _) = run("ffmpeg", path, &[OsStr::new("-version")])?;
    let text = String::from_utf8_lossy(&out);
    let word = text.split(' ').nth(2).unwrap_or_default();
    let mut numbers = word
        .trim_start_matches('n')
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().ok());
    match numbers.next() {
        Some(Some(major)) => Ok((major, numbers.next().flatten().unwrap_or(0))),
        _ => Ok((u32::MAX, 0)),
    }
}

fn probe(path: &Path) -> Result<Video> {
    let entries = "stream=codec_name,width,height,pix_fmt,color_space,avg_frame_rate,r_frame_rate\
                   :stream_side_data=rotation";
    let input = input(path);
    let mut args: Vec<&OsStr> = ["-v", "error", "-select_streams", "v:0", "-of", "json"]
        .map(OsStr::new)
        .to_vec();
    args.extend([
        OsStr::new("-show_entries"),
        OsStr::new(entries),
        OsStr::new(&input),
    ]);
    let (success, out, words) = run("ffprobe", path, &args)?;
    let refuse = |why: String| {
        Fault::new(
            Kind::BadInput,
            format!("{} cannot be read", path.display()),
            why,
            "name a video, a Y4M file, a JPEG or PNG picture, or a folder of pictures",
        )
    };
    if !success {
        return Err(refuse(format!("ffmpeg says: {words}")));
    }
    serde_json::from_slice::<Probe>(&out)
        .unwrap_or_default()
        .streams
        .into_iter()
        .next()
        .ok_or_else(|| refuse("it has no video".to_owned()))
}

/// A running ffmpeg. Dropping it ends it.
#[derive(Debug)]
struct Process {
    child: Child,
    out: ChildStdout,
    err: ChildStderr,
    words: Vec<u8>,
    err_ended: bool,
}

impl Process {
    fn start(mut command: Command) -> std::io::Result<Self> {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // Control-C reaches the whole group of the terminal; whether the run ends is this process's decision.
            .process_group(0)
            .spawn()?;
        let (out, err) = child
            .stdout
            .take()
            .zip(child.stderr.take())
            .expect("both are piped");
        Ok(Self {
            child,
            out,
            err,
            words: Vec::new(),
            err_ended: false,
        })
    }

    /// Fills `out`; less only at the end of the stream or when a stop is asked for.
    fn read(&mut self, out: &mut [u8], stop: &Stop) -> std::io::Result<usize> {
        let mut filled = 0;
        // BOUND: each turn reads at least a byte, or waits for POLL_MS while nobody asks for a stop.
        while filled < out.len() && !stop.asked() {
            let (has_out, has_err) = self.poll()?;
            if has_err {
                self.hear();
            }
            if has_out {
                match self.out.read(&mut out[filled..]) {
                    Ok(0) => break,
                    Ok(read) => filled += read,
                    Err(e) if e.kind() == ErrorKind::Interrupted => {}
                    Err(e) => return Err(e),
                }
            }
        }
        Ok(filled)
    }

    /// Waits until frames or complaints (or the end of either) can be read.
    fn poll(&self) -> std::io::Result<(bool, bool)> {
        let fd = |fd: i32| libc::pollfd {
            fd,
            events: libc::POLLIN,
            revents: 0,
        };
        // A negative descriptor is not looked at.
        let err = if self.err_ended {
            -1
        } else {
            self.err.as_raw_fd()
        };
        let mut fds = [fd(self.out.as_raw_fd()), fd(err)];
        // SAFETY: `fds` is a valid array of two for the whole call, and both descriptors are open: `self` owns them.
        let found = unsafe { libc::poll(fds.as_mut_ptr(), 2, POLL_MS) };
        if found < 0 {
            let error = std::io::Error::last_os_error();
            if error.kind() != ErrorKind::Interrupted {
                return Err(error);
            }
            return Ok((false, false));
        }
        Ok((fds[0].revents != 0, fds[1].revents != 0))
    }

    /// Reads complaints, and keeps the first of them. Never left in the pipe: a full one would stop ffmpeg.
    fn hear(&mut self) {
        let mut buffer = [0; 512];
        match self.err.read(&mut buffer) {
            Ok(0) | Err(_) => self.err_ended = true,
            Ok(read) => {
                let room = WORDS_MAX.saturating_sub(self.words.len());
                self.words.extend(&buffer[..read.min(room)]);
            }
        }
    }

    /// What ffmpeg complained about; None if nothing. Called after the end of its output.
    fn last_words(mut self) -> Option<String> {
        // BOUND: ffmpeg closes its output just before it exits; a complaint later than POLL_MS is lost.
        while !self.err_ended && self.poll().is_ok_and(|(_, has_err)| has_err) {
            self.hear();
        }
        let words = shorten(&String::from_utf8_lossy(&self.words));
        (!words.is_empty()).then(|| format!("ffmpeg says: {words}"))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already; either way it is gone after `wait`, and leaves no zombie.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// At most three lines, each once, as one.
fn shorten(words: &str) -> String {
    let mut lines: Vec<&str> = Vec::new();
    for line in words.lines().map(str::trim).filter(|l| !l.is_empty()) {
        if !lines.contains(&line) && lines.len() < 3 {
            lines.push(line);
        }
    }
    lines.join("; ")
}
