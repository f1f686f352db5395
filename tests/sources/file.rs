//! Files, against ffmpeg as the outside oracle, and against everything that can be wrong with a file.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use reflexarc::capture::file::{FileConfig, FileSource};
use reflexarc::capture::{Pace, Readiness, Source, SourceCounters};
use reflexarc::clock;
use reflexarc::error::{Fault, Kind};
use reflexarc::frame::{FrameMeta, Matrix, PixelFormat, Range, StampSource};
use reflexarc::units::{Hertz, MonoTime, Nanos};
use tempfile::TempDir;

/// A frame that was taken.
struct Taken {
    meta: FrameMeta,
    bytes: Vec<u8>,
}

fn fastest(path: &Path) -> FileConfig {
    FileConfig {
        path: path.to_owned(),
        pace: Pace::Fastest,
        ..FileConfig::default()
    }
}

fn refused(path: &Path) -> Fault {
    let fault = FileSource::open(&fastest(path), 0).map(drop).unwrap_err();
    assert!(!fault.why.is_empty() && !fault.fix.is_empty(), "{fault}");
    fault
}

fn assert_accounts(c: &SourceCounters) {
    assert_eq!(
        c.produced.get(),
        c.taken.get() + c.drained.get() + c.unusable.get() + c.no_slot.get(),
        "{c:?}"
    );
}

/// Reads all frames of a file, and what the source has to say afterwards.
fn read(config: &FileConfig) -> Result<(Vec<Taken>, FileSource), Fault> {
    let mut source = FileSource::open(config, 2)?;
    source.start()?;
    let mut frames = Vec::new();
    while source.wait(MonoTime::FAR).unwrap() == Readiness::Ready {
        let slot = source.take(clock::now()).unwrap().expect("wait said ready");
        frames.push(Taken {
            meta: *slot.meta(),
            bytes: slot.bytes().to_vec(),
        });
        source.give_back(slot.empty());
    }
    source.stop();
    assert_accounts(&source.counters());
    Ok((frames, source))
}

fn read_all(path: &Path) -> (Vec<Taken>, FileSource) {
    read(&fastest(path)).unwrap_or_else(|fault| panic!("{fault}"))
}

/// Runs ffmpeg; false (with a printed reason) if it is not installed.
fn ffmpeg(args: &[&str]) -> bool {
    match Command::new("ffmpeg")
        .args(["-v", "error", "-y"])
        .args(args)
        .output()
    {
        Ok(output) => {
            let words = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "ffmpeg {args:?}: {words}");
            true
        }
        Err(_) => {
            eprintln!("skipped: ffmpeg is not installed");
            false
        }
    }
}

/// A folder with a clip that ffmpeg made of a moving test pattern.
fn clip(name: &str, args: &[&str]) -> Option<(TempDir, PathBuf)> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    let mut all = vec![
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=160x120:rate=25:duration=1",
    ];
    all.extend(args);
    all.push(path.to_str().unwrap());
    ffmpeg(&all).then_some((dir, path))
}

/// The frames of a file as ffmpeg decodes them.
fn oracle(path: &Path, pixels: &str, frame_bytes: usize) -> Vec<Vec<u8>> {
    let raw = path.with_extension("oracle");
    assert!(ffmpeg(&[
        "-i",
        path.to_str().unwrap(),
        "-f",
        "rawvideo",
        "-pix_fmt",
        pixels,
        "-vsync",
        "0",
        raw.to_str().unwrap(),
    ]));
    fs::read(raw)
        .unwrap()
        .chunks_exact(frame_bytes)
        .map(<[u8]>::to_vec)
        .collect()
}

#[test]
fn y4m_has_exactly_the_bytes_that_ffmpeg_decodes() {
    for (pixels, raw, format) in [
        ("yuv420p", "nv12", PixelFormat::Nv12),
        ("yuv422p", "yuyv422", PixelFormat::Yuyv),
        ("gray", "gray", PixelFormat::Grey),
    ] {
        let Some((_dir, path)) = clip("a.y4m", &["-pix_fmt", pixels]) else {
            return;
        };
        let (frames, source) = read_all(&path);
        assert_eq!(source.format().pixel, format);
        let oracle = oracle(&path, raw, source.format().frame_bytes());
        assert_eq!((frames.len(), oracle.len()), (25, 25));
        for (index, (frame, oracle)) in frames.iter().zip(&oracle).enumerate() {
            assert_eq!(&frame.bytes, oracle, "{pixels} frame {index}");
            assert_eq!(frame.meta.seq, index as u64);
            assert_eq!(frame.meta.source_index, 2);
        }
        assert!(source.notes().is_empty());
    }
}

#[test]
fn y4m_of_odd_size_keeps_every_pixel() {
    let Some((_dir, path)) = clip(
        "odd.y4m",
        &["-vf", "format=rgb24,crop=101:67:0:0", "-pix_fmt", "yuv420p"],
    ) else {
        return;
    };
    let (frames, source) = read_all(&path);
    let format = source.format();
    assert_eq!((format.width, format.height, format.stride), (101, 67, 102));
    // The planes as they stand in the file: Y, then U and V of 51x34.
    let file = fs::read(&path).unwrap();
    let planes = &file[file.len() - (101 * 67 + 2 * 51 * 34)..];
    let last = &frames.last().unwrap().bytes;
    for y in 0..67 {
        assert_eq!(last[y * 102..][..101], planes[y * 101..][..101], "row {y}");
    }
    for y in 0..34 {
        for x in 0..51 {
            let at = 67 * 102 + y * 102 + 2 * x;
            let u = 101 * 67 + y * 51 + x;
            assert_eq!(last[at..at + 2], [planes[u], planes[u + 51 * 34]]);
        }
    }
}

#[test]
fn y4m_tells_its_rate_and_range() {
    let header = |fields: &str| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.y4m");
        let mut file = format!("YUV4MPEG2 W4 H4 {fields}\nFRAME\n").into_bytes();
        file.extend([0; 24]);
        fs::write(&path, file).unwrap();
        let (_, source) = read(&FileConfig {
            pace: Pace::RealTime,
            ..fastest(&path)
        })
        .unwrap();
        (source.rate().unwrap().get(), source.format().range)
    };
    assert_eq!(header("F50:1"), (50.0, Range::Limited));
    let (rate, range) = header("F30000:1001 Ip A1:1 C420jpeg XYSCSS=420 XCOLORRANGE=FULL");
    assert!((rate - 29.97).abs() < 1e-3);
    assert_eq!(range, Range::Full);
}

#[test]
fn mjpeg_avi_hands_on_the_very_jpeg_bytes() {
    let Some((dir, path)) = clip("a.avi", &["-c:v", "mjpeg", "-q:v", "4"]) else {
        return;
    };
    let (frames, source) = read_all(&path);
    assert_eq!(source.format().pixel, PixelFormat::Mjpeg);
    assert_eq!(frames.len(), 25);
    assert!(source.describe().contains("MJPEG in AVI"));
    // ffmpeg splits the same stream into files without touching it.
    let pattern = dir.path().join("%02d.jpg");
    ffmpeg(&[
        "-i",
        path.to_str().unwrap(),
        "-c",
        "copy",
        pattern.to_str().unwrap(),
    ]);
    for (index, frame) in frames.iter().enumerate() {
        let file = dir.path().join(format!("{:02}.jpg", index + 1));
        assert_eq!(frame.bytes, fs::read(file).unwrap(), "frame {index}");
    }
}

#[test]
fn avi_with_sound_and_without_index_gives_every_frame() {
    let sound = [
        "-f",
        "lavfi",
        "-i",
        "sine=duration=1",
        "-c:v",
        "mjpeg",
        "-c:a",
        "pcm_s16le",
    ];
    let Some((_dir, path)) = clip("a.avi", &sound) else {
        return;
    };
    let mut file = fs::read(&path).unwrap();
    assert_eq!(read_all(&path).0.len(), 25);
    let index = file.windows(4).rposition(|w| w == b"idx1").unwrap();
    file.truncate(index);
    fs::write(&path, file).unwrap();
    let (frames, source) = read_all(&path);
    assert_eq!(frames.len(), 25);
    assert!(source.notes().is_empty(), "{:?}", source.notes());
}

/// A RIFF chunk.
fn chunk(tag: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut chunk = tag.to_vec();
    chunk.extend((body.len() as u32).to_le_bytes());
    chunk.extend(body);
    chunk.resize(chunk.len().next_multiple_of(2), 0);
    chunk
}

fn list(tag: &[u8; 4], kind: &[u8; 4], parts: &[Vec<u8>]) -> Vec<u8> {
    chunk(tag, &[kind.to_vec(), parts.concat()].concat())
}

#[test]
fn opendml_lists_and_missing_frames_are_read() {
    let Some((_dir, path)) = clip("a.avi", &["-c:v", "mjpeg"]) else {
        return;
    };
    let (frames, _) = read_all(&path);
    let file = fs::read(&path).unwrap();
    let movi = file.windows(4).position(|w| w == b"movi").unwrap();
    // The first list as ffmpeg wrote its headers, then two more with records, an index, and an empty frame.
    let picture = |index: usize| chunk(b"00dc", &frames[index].bytes);
    let mut large = file[..movi + 4].to_vec();
    large.extend(picture(0));
    large.extend(chunk(b"ix00", &[7; 33]));
    large.extend(chunk(b"00dc", &[]));
    large.extend(picture(1));
    let record = list(
        b"LIST",
        b"rec ",
        &[picture(2), chunk(b"01wb", &[1; 9]), picture(3)],
    );
    large.extend(list(b"RIFF", b"AVIX", &[list(b"LIST", b"movi", &[record])]));
    large.extend(list(
        b"RIFF",
        b"AVIX",
        &[list(b"LIST", b"movi", &[picture(4)])],
    ));
    fs::write(&path, large).unwrap();
    let (found, source) = read_all(&path);
    let seqs: Vec<u64> = found.iter().map(|f| f.meta.seq).collect();
    assert_eq!(seqs, [0, 2, 3, 4, 5]);
    for (frame, original) in found.iter().zip(&frames) {
        assert!(frame.bytes == original.bytes);
    }
    assert_eq!(source.counters().gaps.get(), 1);
    assert_eq!(found[1].meta.marks.gap_before, 1);
    // The headers promise 25.
    assert!(
        source.notes()[0].contains("promises 25 frames, 6 were found"),
        "{:?}",
        source.notes()
    );
}

#[test]
fn png_pictures_have_exactly_the_bytes_that_ffmpeg_decodes() {
    for pixels in [
        "rgb24", "rgba", "rgb48be", "gray", "gray16be", "ya8", "pal8", "monob",
    ] {
        let dir = tempfile::tempdir().unwrap();
        let pattern = dir.path().join("p%d.png");
        let source = "testsrc2=size=160x120:rate=25:duration=0.5";
        let arguments = [
            "-f",
            "lavfi",
            "-i",
            source,
            "-pix_fmt",
            pixels,
            pattern.to_str().unwrap(),
        ];
        if !ffmpeg(&arguments) {
            return;
        }
        let (frames, source) = read_all(dir.path());
        assert_eq!(source.format().pixel, PixelFormat::Rgb24);
        assert_eq!(frames.len(), 13);
        for (index, frame) in frames.iter().enumerate() {
            let file = dir.path().join(format!("p{}.png", index + 1));
            let oracle = oracle(&file, "rgb24", 160 * 120 * 3);
            if pixels.ends_with("48be") || pixels.ends_with("16be") {
                // Rounding of 16 bits to 8 is each decoder's own.
                assert!(
                    largest_difference(&frame.bytes, &oracle[0]) <= 1,
                    "{pixels} {index}"
                );
            } else {
                assert!(frame.bytes == oracle[0], "{pixels} picture {index}");
            }
        }
    }
}

fn largest_difference(a: &[u8], b: &[u8]) -> u8 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a.abs_diff(*b)).max().unwrap()
}

#[test]
fn jpeg_pictures_have_the_pixels_that_ffmpeg_decodes() {
    for (pixels, limit) in [("yuvj444p", 3), ("yuvj420p", 40), ("gray", 3)] {
        let dir = tempfile::tempdir().unwrap();
        let pattern = dir.path().join("%d.JPG");
        let source = "testsrc2=size=160x120:rate=25:duration=0.2,gblur=sigma=6";
        let arguments = [
            "-f",
            "lavfi",
            "-i",
            source,
            "-pix_fmt",
            pixels,
            "-q:v",
            "2",
            "-f",
            "image2",
            pattern.to_str().unwrap(),
        ];
        if !ffmpeg(&arguments) {
            return;
        }
        let (frames, _) = read_all(dir.path());
        assert_eq!(frames.len(), 5);
        for (index, frame) in frames.iter().enumerate() {
            let file = dir.path().join(format!("{}.JPG", index + 1));
            let oracle = &oracle(&file, "rgb24", 160 * 120 * 3)[0];
            // The transform's rounding is each decoder's own, and so is the filter that enlarges halved chroma;
            // on a blurred picture neither makes much of a difference.
            let worst = largest_difference(&frame.bytes, oracle);
            let sum: u64 = frame
                .bytes
                .iter()
                .zip(oracle)
                .map(|(a, b)| u64::from(a.abs_diff(*b)))
                .sum();
            let mean = sum as f64 / oracle.len() as f64;
            assert!(
                worst <= limit && mean < 2.0,
                "{pixels}: worst {worst}, mean {mean:.2}"
            );
        }
    }
}

#[test]
fn pictures_come_in_the_order_in_which_a_person_counts() {
    let dir = tempfile::tempdir().unwrap();
    for (name, grey) in [
        ("f10.png", 10),
        ("f9.png", 9),
        ("f1.png", 1),
        ("F.txt", 0),
        (".f2.png", 2),
    ] {
        fs::write(dir.path().join(name), png(4, 4, grey)).unwrap();
    }
    let (frames, source) = read_all(dir.path());
    let order: Vec<u8> = frames.iter().map(|f| f.bytes[0]).collect();
    assert_eq!(order, [1, 9, 10]);
    assert_eq!(source.counters().produced.get(), 3);
}

/// A grey picture.
fn png(width: u32, height: u32, grey: u8) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(&vec![grey; (width * height) as usize])
        .unwrap();
    writer.finish().unwrap();
    file
}

#[test]
fn a_single_picture_is_a_recording_of_one_frame() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("one.jpeg");
    fs::write(&path, png(8, 6, 99)).unwrap();
    let (frames, source) = read_all(&path);
    assert_eq!(frames.len(), 1);
    assert_eq!((source.format().width, source.format().height), (8, 6));
}

#[test]
fn a_damaged_picture_in_the_middle_is_counted_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for index in 0..5 {
        let mut file = png(64, 64, index);
        if index == 2 {
            file.truncate(50);
        }
        fs::write(dir.path().join(format!("{index}.png")), file).unwrap();
    }
    let (frames, source) = read_all(dir.path());
    let seqs: Vec<u64> = frames.iter().map(|f| f.meta.seq).collect();
    assert_eq!(seqs, [0, 1, 3, 4]);
    assert_eq!(source.counters().unusable.get(), 1);
}

#[test]
fn folders_that_cannot_work_are_refused_before_the_start() {
    let dir = tempfile::tempdir().unwrap();
    assert!(
        refused(dir.path())
            .why
            .contains("no file that ends in .jpg")
    );
    fs::write(dir.path().join("a.png"), png(8, 8, 1)).unwrap();
    fs::write(dir.path().join("b.png"), png(8, 9, 1)).unwrap();
    let fault = refused(dir.path());
    assert_eq!(fault.kind, Kind::Unsupported);
    assert!(
        fault.why.contains("a.png is 8x8") && fault.why.contains("b.png is 8x9"),
        "{fault}"
    );
    fs::write(dir.path().join("b.png"), "words").unwrap();
    let fault = refused(dir.path());
    assert!(
        fault.what.contains("b.png") && fault.why.contains("neither"),
        "{fault}"
    );
}

#[test]
fn videos_through_ffmpeg_have_exactly_its_frames() {
    for (name, encode, raw) in [
        ("a.mp4", ["-c:v", "mpeg4", "-pix_fmt", "yuv420p"], "nv12"),
        ("a.mkv", ["-c:v", "ffv1", "-pix_fmt", "yuv422p"], "yuyv422"),
        ("a.avi", ["-c:v", "mpeg4", "-pix_fmt", "yuv420p"], "nv12"),
    ] {
        let Some((_dir, path)) = clip(name, &encode) else {
            return;
        };
        let (frames, source) = read_all(&path);
        let oracle = oracle(&path, raw, source.format().frame_bytes());
        assert_eq!((frames.len(), oracle.len()), (25, 25), "{name}");
        for (frame, oracle) in frames.iter().zip(&oracle) {
            assert!(&frame.bytes == oracle, "{name} frame {}", frame.meta.seq);
        }
        assert!(source.notes().is_empty());
    }
}

#[test]
fn a_turned_video_comes_upright_and_odd_sizes_lose_their_last_line() {
    let encode = [
        "-c:v",
        "ffv1",
        "-pix_fmt",
        "yuv444p",
        "-vf",
        "format=rgb24,crop=101:67:0:0",
    ];
    let Some((dir, path)) = clip("a.mkv", &encode) else {
        return;
    };
    let (frames, source) = read_all(&path);
    assert_eq!((source.format().width, source.format().height), (100, 66));
    assert_eq!(frames.len(), 25);
    let plain = dir.path().join("plain.mp4");
    let turned = dir.path().join("turned.mp4");
    ffmpeg(&[
        "-i",
        path.to_str().unwrap(),
        "-vf",
        "crop=100:66:0:0",
        "-c:v",
        "mpeg4",
        plain.to_str().unwrap(),
    ]);
    ffmpeg(&[
        "-i",
        plain.to_str().unwrap(),
        "-c",
        "copy",
        "-metadata:s:v",
        "rotate=90",
        turned.to_str().unwrap(),
    ]);
    let (frames, source) = read_all(&turned);
    assert_eq!((source.format().width, source.format().height), (66, 100));
    assert_eq!(frames.len(), 25);
}

#[test]
fn the_matrix_is_the_files_own_or_the_usual_one() {
    for (size, space, matrix) in [
        ("160:120", "bt709", Matrix::Bt709),
        ("1280:720", "smpte170m", Matrix::Bt601),
        ("1280:720", "", Matrix::Bt709),
        ("160:120", "", Matrix::Bt601),
    ] {
        let scale = format!("scale={size}");
        let mut arguments = vec![
            "-vf", &scale, "-c:v", "ffv1", "-pix_fmt", "yuv420p", "-t", "0.1",
        ];
        if !space.is_empty() {
            arguments.extend(["-colorspace", space]);
        }
        let Some((_dir, path)) = clip("a.mkv", &arguments) else {
            return;
        };
        let source = FileSource::open(&fastest(&path), 0).unwrap();
        assert_eq!(source.format().matrix, matrix, "{size} {space}");
    }
}

#[test]
fn names_do_not_matter_and_content_does() {
    let Some((dir, path)) = clip("clip.mp4", &["-f", "yuv4mpegpipe", "-pix_fmt", "yuv420p"]) else {
        return;
    };
    assert!(read_all(&path).1.describe().contains("Y4M"));
    let text = dir.path().join("text.y4m");
    fs::write(&text, "these are only words\n".repeat(50)).unwrap();
    let fault = refused(&text);
    assert_eq!(fault.kind, Kind::BadInput);
    assert!(fault.why.contains("ffmpeg says"), "{fault}");
    let sound = dir.path().join("sound.wav");
    ffmpeg(&[
        "-f",
        "lavfi",
        "-i",
        "sine=duration=1",
        sound.to_str().unwrap(),
    ]);
    assert!(refused(&sound).why.contains("no video"));
    let strange = dir.path().join("-y,loop");
    fs::copy(&path, &strange).unwrap();
    assert_eq!(read_all(&strange).0.len(), 25);
}

#[test]
fn files_that_cannot_be_opened_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let missing = refused(&dir.path().join("none.mp4"));
    assert_eq!(missing.kind, Kind::BadInput);
    assert!(missing.why.contains("No such file"), "{missing}");
    let empty = dir.path().join("empty.y4m");
    fs::write(&empty, "").unwrap();
    assert!(refused(&empty).why.contains("empty"));
    assert_eq!(refused(Path::new("/dev/null")).kind, Kind::Unsupported);
    assert!(refused(Path::new("")).why.contains("No such file"));
}

#[test]
fn a_file_that_may_not_be_read_is_a_matter_of_permission() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.y4m");
    fs::write(
        &path,
        "YUV4MPEG2 W4 H4 F25:1\nFRAME\n0123456789012345678901234",
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(&path).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    assert_eq!(refused(&path).kind, Kind::Permission);
}

#[test]
fn y4m_headers_that_cannot_work_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.y4m");
    for (header, kind, words) in [
        ("W4 H4 F25:1 C444", Kind::Unsupported, "C444"),
        ("W4 H4 F25:1 C420p10", Kind::Unsupported, "C420p10"),
        ("H4 F25:1", Kind::BadInput, "size"),
        ("W0 H4 F25:1", Kind::BadInput, "size"),
        ("W99999 H4 F25:1", Kind::BadInput, "size"),
        ("W-4 H4 F25:1", Kind::BadInput, "size"),
        ("W4 H4 F0:0", Kind::BadInput, "rate"),
        ("W4 H4 F25:0", Kind::BadInput, "rate"),
        ("W4 H4", Kind::BadInput, "rate"),
        (
            "W8192 H8192 F25:1",
            Kind::BadInput,
            "too short for one frame",
        ),
        ("W4 H4 Ä F25:1 C420", Kind::BadInput, "too short"),
    ] {
        fs::write(&path, format!("YUV4MPEG2 {header}\nFRAME\n")).unwrap();
        let fault = refused(&path);
        assert_eq!(fault.kind, kind, "{header}");
        assert!(fault.why.contains(words), "{header}: {fault}");
    }
    fs::write(&path, "YUV4MPEG2 W4 H4 F25:1").unwrap();
    assert!(refused(&path).why.contains("no end"));
}

#[test]
fn a_missing_ffmpeg_is_named_with_its_fix() {
    // In a process of its own, whose PATH is empty.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.mp4");
    fs::write(&path, "no picture").unwrap();
    if std::env::var_os("REFLEXARC_TEST_NO_FFMPEG").is_some() {
        let fault = refused(&path);
        assert_eq!(fault.kind, Kind::Tool);
        assert!(fault.why.contains("no program `ffmpeg`"), "{fault}");
        assert!(fault.fix.contains("apt install ffmpeg"), "{fault}");
        return;
    }
    let status = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "sources::file::a_missing_ffmpeg_is_named_with_its_fix",
        ])
        .env("REFLEXARC_TEST_NO_FFMPEG", "1")
        .env("PATH", dir.path())
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn real_time_is_never_faster_than_the_file() {
    let Some((_dir, path)) = clip("a.y4m", &["-pix_fmt", "yuv420p", "-r", "100"]) else {
        return;
    };
    let config = FileConfig {
        pace: Pace::RealTime,
        ..fastest(&path)
    };
    let begin = clock::now();
    let (frames, source) = read(&config).unwrap();
    assert!(clock::now() - begin >= Nanos::from_millis(990));
    assert_eq!(source.stamp_source(), StampSource::Recorded);
    let first = frames[0].meta.captured - Nanos::from_millis(10) * frames[0].meta.seq as i64;
    for frame in &frames {
        // The stamp is the due time, exactly; nothing arrives before it.
        let due = first + Nanos::from_millis(10) * frame.meta.seq as i64;
        assert_eq!(frame.meta.captured, due);
        assert!(frame.meta.arrived >= due);
        assert!(!frame.meta.marks.future_stamp);
    }
    assert_eq!(source.counters().produced.get(), 100);
}

#[test]
fn a_reader_that_holds_all_slots_loses_frames_in_real_time_and_none_otherwise() {
    let Some((_dir, path)) = clip("a.y4m", &["-pix_fmt", "yuv420p", "-r", "100"]) else {
        return;
    };
    for pace in [Pace::RealTime, Pace::Fastest] {
        let config = FileConfig {
            pace,
            slots: 4,
            ..fastest(&path)
        };
        let mut source = FileSource::open(&config, 0).unwrap();
        source.start().unwrap();
        let mut held = Vec::new();
        while held.len() < 4 {
            assert_eq!(source.wait(MonoTime::FAR), Ok(Readiness::Ready));
            held.extend(source.take(clock::now()).unwrap());
        }
        let until = clock::now() + Nanos::from_millis(300);
        match pace {
            Pace::RealTime => assert_eq!(source.wait(until), Ok(Readiness::TimedOut)),
            Pace::Fastest => {
                assert_eq!(source.wait(MonoTime::FAR), Ok(Readiness::NoSlot));
                clock::sleep_until(until);
            }
        }
        let mut seqs = Vec::new();
        loop {
            for slot in held.drain(..) {
                seqs.push(slot.meta().seq);
                source.give_back(slot.empty());
            }
            if source.wait(MonoTime::FAR).unwrap() == Readiness::Ended {
                break;
            }
            held.extend(source.take(clock::now()).unwrap());
        }
        source.stop();
        let c = source.counters();
        assert_accounts(&c);
        assert_eq!(c.produced.get(), 100);
        assert_eq!(c.taken.get(), seqs.len() as u64);
        assert!(seqs.is_sorted());
        if pace == Pace::Fastest {
            assert_eq!(seqs, (0..100).collect::<Vec<_>>());
        } else {
            // 300 ms without a slot are 30 frames, less those that this thread was late for anyway.
            assert!(c.no_slot.get() > 0, "{c:?}");
        }
    }
}

#[test]
fn a_loop_begins_again_and_counts_on() {
    let Some((_dir, path)) = clip("a.y4m", &["-pix_fmt", "yuv420p"]) else {
        return;
    };
    let video = path.with_extension("mp4");
    ffmpeg(&[
        "-i",
        path.to_str().unwrap(),
        "-c:v",
        "mpeg4",
        video.to_str().unwrap(),
    ]);
    for path in [path, video] {
        let config = FileConfig {
            repeat: true,
            ..fastest(&path)
        };
        let mut source = FileSource::open(&config, 0).unwrap();
        source.start().unwrap();
        let mut rounds = Vec::new();
        for expected in 0..75 {
            while source.wait(MonoTime::FAR).unwrap() != Readiness::Ready {}
            let slot = source.take(clock::now()).unwrap().unwrap();
            assert_eq!(slot.meta().seq, expected);
            rounds.push(slot.bytes().to_vec());
            source.give_back(slot.empty());
        }
        assert!(rounds[..25] == rounds[25..50] && rounds[..25] == rounds[50..]);
        source.stop();
        assert_accounts(&source.counters());
    }
}

#[test]
fn a_rate_of_ones_own_replaces_the_files() {
    let Some((_dir, path)) = clip("a.y4m", &["-pix_fmt", "yuv420p", "-t", "0.2"]) else {
        return;
    };
    let config = FileConfig {
        pace: Pace::RealTime,
        rate: Hertz::new(200.0),
        ..fastest(&path)
    };
    let (frames, source) = read(&config).unwrap();
    assert_eq!(source.rate(), Hertz::new(200.0));
    let (first, last) = (frames[0].meta, frames.last().unwrap().meta);
    assert_eq!(
        last.captured - first.captured,
        Nanos::from_millis(5) * (last.seq - first.seq) as i64
    );
}

#[test]
fn a_source_that_is_never_started_or_dropped_early_ends_its_loader() {
    let Some((_dir, path)) = clip("a.mp4", &["-c:v", "mpeg4"]) else {
        return;
    };
    for _ in 0..5 {
        let mut source = FileSource::open(&fastest(&path), 0).unwrap();
        assert_eq!(
            source.wait(clock::now()),
            Ok(Readiness::TimedOut),
            "nothing comes before the start"
        );
        drop(source);
    }
}

#[test]
fn the_configuration_checks_its_ranges() {
    for (toml, words) in [
        ("slots = 2", "3 to 64"),
        ("rate = 0.0", "above 0"),
        ("rate = 100000.0", "10 kHz"),
        ("pace = \"slow\"", "real-time"),
        ("repeat = true", "unknown field"),
    ] {
        let error = toml::from_str::<FileConfig>(toml).unwrap_err().to_string();
        assert!(error.contains(words), "{toml}: {error}");
    }
}
