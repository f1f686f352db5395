//! The synthetic camera. Time is simulated where possible: `take` is told the time, so nothing here sleeps but the
//! tests that say so.

use reflexarc::capture::synthetic::{SyntheticConfig, SyntheticSource, When, embedded};
use reflexarc::capture::v4l2::Damaged;
use reflexarc::capture::{Pace, Readiness, Source, SourceCounters};
use reflexarc::clock;
use reflexarc::features::FrameView;
use reflexarc::frame::{FrameMeta, PixelFormat};
use reflexarc::slot::{Filled, Slot};
use reflexarc::units::{Hertz, MonoTime, Nanos};

const BASE: MonoTime = MonoTime(1_000_000_000_000);

fn small() -> SyntheticConfig {
    SyntheticConfig {
        width: 320,
        height: 240,
        rate: Hertz::new(100.0).unwrap(),
        frames: Some(100),
        ..SyntheticConfig::default()
    }
}

type Embedded = Option<(u64, MonoTime)>;

fn code(slot: &Slot<Filled>) -> Embedded {
    embedded(FrameView {
        meta: slot.meta(),
        bytes: slot.bytes(),
    })
}

/// What a run delivered.
#[derive(Debug, Default)]
struct Run {
    frames: Vec<(FrameMeta, Embedded, Vec<u8>)>,
}

/// Plays a whole run on simulated time, taking each frame the moment that it is due.
fn play(config: &SyntheticConfig) -> (Run, SyntheticSource) {
    let mut source = SyntheticSource::open(config, 3).unwrap();
    source.start_at(BASE);
    let mut run = Run::default();
    let mut now = BASE;
    while let Some(due) = source.next_due() {
        now = now.max(due);
        if let Some(slot) = source.take(now).unwrap() {
            run.frames
                .push((*slot.meta(), code(&slot), slot.bytes().to_vec()));
            source.give_back(slot.empty());
        }
    }
    (run, source)
}

fn assert_accounts(c: &SourceCounters, waiting: u64) {
    assert_eq!(
        c.produced.get(),
        c.taken.get() + c.drained.get() + c.unusable.get() + c.no_slot.get() + waiting,
        "{c:?}"
    );
}

#[test]
fn every_format_carries_the_number_and_the_stamp_in_its_pixels() {
    for format in PixelFormat::ALL {
        for (width, height) in [(1920, 1080), (640, 480), (322, 250)] {
            let config = SyntheticConfig {
                width,
                height,
                format,
                frames: Some(20),
                row_padding: if format == PixelFormat::Mjpeg { 0 } else { 24 },
                ..small()
            };
            let (run, _) = play(&config);
            assert_eq!(run.frames.len(), 20);
            for (index, (meta, code, _)) in run.frames.iter().enumerate() {
                assert_eq!(meta.seq, index as u64);
                assert_eq!(*code, Some((meta.seq, meta.captured)), "{format:?} {width}");
                assert_eq!(meta.source_index, 3);
            }
        }
    }
}

#[test]
fn mjpg_frames_are_jpeg_for_other_decoders_too() {
    // 35 blocks a row, so restart markers wrap around, and a size that is no multiple of a block.
    let config = SyntheticConfig {
        width: 274,
        height: 204,
        format: PixelFormat::Mjpeg,
        frames: Some(12),
        ..small()
    };
    let (run, _) = play(&config);
    let dir = tempfile::tempdir().unwrap();
    for (index, frame) in run.frames.iter().enumerate() {
        std::fs::write(dir.path().join(format!("{index:02}.jpg")), &frame.2).unwrap();
    }
    // Luma, one byte a pixel. (At `-v warning` ffmpeg says that the end marker is missing: it steps over the first
    // byte of any marker that follows the last restart interval without padding bits.)
    let output = std::process::Command::new("ffmpeg")
        .args(["-v", "error", "-i"])
        .arg(dir.path().join("%02d.jpg"))
        .args(["-vf", "extractplanes=y", "-f", "rawvideo", "-"])
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: ffmpeg is not installed");
        return;
    };
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let pictures: Vec<_> = output.stdout.chunks_exact(274 * 204).collect();
    assert_eq!(pictures.len(), 12);
    for ((meta, code, _), luma) in run.frames.iter().zip(pictures) {
        let bit = |index: usize| luma[(index / 34 * 8 + 4) * 274 + index % 34 * 8 + 4] > 128;
        let seq = (0..64).fold(0, |word, index| word << 1 | u64::from(bit(index)));
        assert_eq!(seq, meta.seq);
        assert_eq!(code.unwrap().0, seq);
    }
}

#[test]
fn the_smallest_pictures_still_carry_the_code() {
    for format in PixelFormat::ALL {
        let side = if format == PixelFormat::Mjpeg {
            104
        } else {
            16
        };
        let config = SyntheticConfig {
            width: side,
            height: side,
            format,
            ..small()
        };
        let (run, _) = play(&config);
        assert!(
            run.frames
                .iter()
                .all(|(m, c, _)| *c == Some((m.seq, m.captured)))
        );
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    for format in PixelFormat::ALL {
        let config = SyntheticConfig {
            format,
            jitter: Nanos::from_millis(4),
            gaps: When::Chance(0.1),
            frames: Some(40),
            ..small()
        };
        let bytes = |seed| {
            let (run, _) = play(&SyntheticConfig {
                seed,
                ..config.clone()
            });
            run.frames.into_iter().map(|f| f.2).collect::<Vec<_>>()
        };
        assert_eq!(bytes(7), bytes(7));
        assert_ne!(bytes(7), bytes(8));
    }
}

#[test]
fn exposures_keep_to_the_absolute_schedule() {
    let (run, source) = play(&small());
    for (meta, ..) in &run.frames {
        let due = BASE + Nanos::from_millis(10 * (meta.seq as i64 + 1));
        assert_eq!(meta.captured, due);
        assert_eq!(meta.arrived, due);
    }
    assert_eq!(source.counters().taken.get(), 100);
}

#[test]
fn jitter_moves_every_exposure_by_no_more_than_it_says() {
    let config = SyntheticConfig {
        jitter: Nanos::from_millis(3),
        frames: Some(1000),
        ..small()
    };
    let (run, _) = play(&config);
    let late: Vec<Nanos> = run
        .frames
        .iter()
        .map(|(m, ..)| m.captured - (BASE + Nanos::from_millis(10 * (m.seq as i64 + 1))))
        .collect();
    assert!(late.iter().all(|d| d.abs() <= Nanos::from_millis(3)));
    assert!(late.iter().any(|d| *d > Nanos::from_millis(2)));
    assert!(late.iter().any(|d| *d < -Nanos::from_millis(2)));
}

#[test]
fn delay_parts_the_stamp_from_the_arrival() {
    let config = SyntheticConfig {
        delay: Nanos::from_millis(25),
        ..small()
    };
    let (run, _) = play(&config);
    assert!(
        run.frames
            .iter()
            .all(|(m, c, _)| m.arrived - m.captured == Nanos::from_millis(25)
                && c.unwrap().1 == m.captured)
    );
}

#[test]
fn gaps_skip_numbers_and_are_counted_in_marks_and_counters() {
    let config = SyntheticConfig {
        gaps: When::Every(10),
        gap_length: 3,
        ..small()
    };
    let (run, source) = play(&config);
    // Exposures 10, 20, ..., 90 are gaps of three numbers.
    assert_eq!(run.frames.len(), 91);
    assert_eq!(source.counters().gaps.get(), 27);
    assert_eq!(source.counters().produced.get(), 91);
    let marked: u64 = run
        .frames
        .iter()
        .map(|f| u64::from(f.0.marks.gap_before))
        .sum();
    assert_eq!(marked, 27);
    for pair in run.frames.windows(2) {
        let ((a, ..), (b, ..)) = (&pair[0], &pair[1]);
        assert_eq!(b.seq - a.seq - 1, u64::from(b.marks.gap_before));
        // Each lost number took its period.
        assert_eq!(
            b.captured - a.captured,
            Nanos::from_millis(10) * (b.seq - a.seq) as i64
        );
    }
}

#[test]
fn a_stall_moves_all_later_exposures_and_loses_no_number() {
    let config = SyntheticConfig {
        stalls: When::At(vec![10, 50]),
        stall_length: Nanos::from_millis(300),
        ..small()
    };
    let (run, source) = play(&config);
    assert_eq!(run.frames.len(), 100);
    assert_eq!(source.counters().gaps.get(), 0);
    let long: Vec<u64> = run
        .frames
        .windows(2)
        .filter(|p| p[1].0.captured - p[0].0.captured == Nanos::from_millis(310))
        .map(|p| p[1].0.seq)
        .collect();
    assert_eq!(long, [10, 50]);
}

#[test]
fn error_flags_and_short_frames_are_dropped_and_counted_or_passed_and_marked() {
    let config = SyntheticConfig {
        errors: When::At(vec![5, 6, 7]),
        shorts: When::At(vec![20, 30]),
        ..small()
    };
    let (run, source) = play(&config);
    let c = source.counters();
    assert_eq!((c.error_flagged.get(), c.short.get()), (3, 2));
    assert_eq!((c.unusable.get(), c.taken.get()), (5, 95));
    assert!(
        run.frames
            .iter()
            .all(|(m, c, _)| c.is_some() && !m.marks.error)
    );
    // They were delivered, so the numbers around them are no gap.
    assert!(run.frames.iter().all(|(m, ..)| m.marks.gap_before == 0));
    assert_accounts(&c, 0);

    let config = SyntheticConfig {
        damaged: Damaged::Use,
        ..config
    };
    let (run, source) = play(&config);
    let c = source.counters();
    assert_eq!((c.error_flagged.get(), c.short.get()), (3, 2));
    assert_eq!((c.unusable.get(), c.taken.get()), (0, 100));
    for (meta, code, bytes) in &run.frames {
        assert_eq!(meta.marks.error, (5..=7).contains(&meta.seq));
        assert_eq!(meta.marks.short, [20, 30].contains(&meta.seq));
        assert_eq!(meta.marks.short, bytes.len() < meta.format.frame_bytes());
        assert_eq!(code.is_none(), meta.marks.error || meta.marks.short);
    }
}

#[test]
fn a_repeated_frame_is_the_frame_before_in_number_stamp_and_bytes() {
    for format in PixelFormat::ALL {
        let config = SyntheticConfig {
            repeats: When::At(vec![40, 41]),
            format,
            ..small()
        };
        let (run, source) = play(&config);
        assert_eq!(source.counters().repeated.get(), 2);
        assert_eq!(run.frames.len(), 100);
        assert_eq!(run.frames[99].0.seq, 97);
        for index in 0..100 {
            let (meta, code, bytes) = &run.frames[index];
            assert_eq!(meta.marks.repeated, [40, 41].contains(&index));
            if meta.marks.repeated {
                let (before, before_code, before_bytes) = &run.frames[index - 1];
                assert_eq!((meta.seq, meta.captured), (before.seq, before.captured));
                assert_eq!((code, bytes), (before_code, before_bytes));
            }
        }
    }
}

#[test]
fn a_future_stamp_is_clamped_marked_and_counted_and_the_pixels_keep_the_truth() {
    let config = SyntheticConfig {
        future_stamps: When::Every(7),
        future_by: Nanos::from_millis(20),
        ..small()
    };
    let (run, source) = play(&config);
    assert_eq!(source.counters().future_stamps.get(), 14);
    for (meta, code, _) in &run.frames {
        assert_eq!(meta.marks.future_stamp, meta.seq > 0 && meta.seq % 7 == 0);
        assert!(meta.captured <= meta.arrived);
        assert_eq!(code.unwrap().1, meta.arrived);
    }
}

#[test]
fn chances_follow_from_the_seed_and_meet_their_rate() {
    let config = SyntheticConfig {
        width: 64,
        height: 48,
        format: PixelFormat::Grey,
        frames: Some(20_000),
        errors: When::Chance(0.05),
        repeats: When::Chance(0.02),
        ..small()
    };
    let count = |seed| {
        let (_, source) = play(&SyntheticConfig {
            seed,
            ..config.clone()
        });
        let c = source.counters();
        (c.error_flagged.get(), c.repeated.get())
    };
    let (errors, repeats) = count(1);
    // Five standard deviations of a binomial count.
    assert!(errors.abs_diff(1000) < 155, "{errors}");
    assert!(repeats.abs_diff(400) < 99, "{repeats}");
    assert_eq!((errors, repeats), count(1));
    assert_ne!((errors, repeats), count(2));
}

#[test]
fn a_held_slot_loses_exactly_the_exposures_that_found_none() {
    let mut source = SyntheticSource::open(&small(), 0).unwrap();
    source.start_at(BASE);
    let at = |exposure: i64| BASE + Nanos::from_millis(10 * (exposure + 1));
    // All four slots are taken and held.
    let mut held: Vec<_> = (0..4)
        .map(|k| source.take(at(k)).unwrap().unwrap())
        .collect();
    assert!(source.take(at(20)).unwrap().is_none());
    let c = source.counters();
    assert_eq!(
        (c.produced.get(), c.taken.get(), c.no_slot.get()),
        (21, 4, 17)
    );
    // One comes home: the next exposure, 21, is in it.
    source.give_back(held.pop().unwrap().empty());
    let slot = source.take(at(21)).unwrap().unwrap();
    assert_eq!((slot.meta().seq, slot.meta().marks.gap_before), (21, 17));
    assert_eq!(code(&slot), Some((21, at(21))));
    assert_eq!(c.no_slot.get(), 17);
    assert_accounts(&c, 0);
}

#[test]
fn a_late_reader_gets_the_newest_that_had_a_slot_and_the_rest_are_drained() {
    let mut source = SyntheticSource::open(&small(), 0).unwrap();
    source.start_at(BASE);
    // Ten exposures happen while nobody looks: four find slots, six do not.
    let slot = source
        .take(BASE + Nanos::from_millis(100))
        .unwrap()
        .unwrap();
    let c = source.counters();
    assert_eq!((c.produced.get(), c.taken.get()), (10, 1));
    assert_eq!((c.drained.get(), c.no_slot.get()), (3, 6));
    assert_eq!(slot.meta().seq, 3);
    assert_accounts(&c, 0);
}

#[test]
fn frames_that_nobody_took_are_accounted_for_after_stop() {
    let mut source = SyntheticSource::open(&small(), 0).unwrap();
    source.start().unwrap();
    let c = source.counters();
    assert_eq!(source.wait(MonoTime::FAR), Ok(Readiness::Ready));
    // One frame, or more if this thread came late, waits in the source.
    assert!(c.produced.get() >= 1);
    assert_eq!(c.taken.get() + c.drained.get(), 0);
    source.stop();
    assert_eq!(c.drained.get(), c.produced.get() - c.no_slot.get());
    assert_accounts(&c, 0);
    assert_eq!(source.wait(MonoTime::FAR), Ok(Readiness::Ended));
}

#[test]
fn real_time_is_never_early_and_ends_after_the_last_frame() {
    let config = SyntheticConfig {
        frames: Some(20),
        rate: Hertz::new(500.0).unwrap(),
        ..small()
    };
    let mut source = SyntheticSource::open(&config, 0).unwrap();
    let begin = clock::now();
    source.start().unwrap();
    let mut seen = 0;
    loop {
        match source.wait(MonoTime::FAR).unwrap() {
            Readiness::Ready => {}
            Readiness::Ended => break,
            other => panic!("{other:?}"),
        }
        let now = clock::now();
        let slot = source.take(now).unwrap().unwrap();
        assert!(slot.meta().captured <= now);
        assert!(now - begin >= Nanos::from_millis(2) * (slot.meta().seq as i64 + 1));
        assert_eq!(code(&slot), Some((slot.meta().seq, slot.meta().captured)));
        seen += 1;
        source.give_back(slot.empty());
    }
    let c = source.counters();
    assert_eq!((c.produced.get(), c.taken.get()), (20, seen));
    assert_accounts(&c, 0);
}

#[test]
fn wait_keeps_its_deadline() {
    let config = SyntheticConfig {
        rate: Hertz::new(0.1).unwrap(),
        ..small()
    };
    let mut source = SyntheticSource::open(&config, 0).unwrap();
    source.start().unwrap();
    let deadline = clock::now() + Nanos::from_millis(5);
    assert_eq!(source.wait(deadline), Ok(Readiness::TimedOut));
    assert!(clock::now() >= deadline);
}

#[test]
fn fastest_delivers_every_frame_and_says_when_it_has_no_slot() {
    let config = SyntheticConfig {
        pace: Pace::Fastest,
        frames: Some(1000),
        ..small()
    };
    let mut source = SyntheticSource::open(&config, 0).unwrap();
    assert!(!source.drops_when_behind());
    source.start().unwrap();
    let mut held = std::collections::VecDeque::new();
    let mut expected = 0;
    loop {
        match source.wait(clock::now()).unwrap() {
            Readiness::Ready => {
                let now = clock::now();
                let slot = source.take(now).unwrap().unwrap();
                assert_eq!(code(&slot), Some((expected, now)));
                assert_eq!(slot.meta().captured, now);
                expected += 1;
                held.push_back(slot);
            }
            Readiness::NoSlot => {
                assert_eq!(held.len(), 4);
                source.give_back(held.pop_front().unwrap().empty());
            }
            Readiness::Ended => break,
            Readiness::TimedOut => panic!("a frame is always due"),
        }
    }
    let c = source.counters();
    assert_eq!((expected, c.no_slot.get(), c.taken.get()), (1000, 0, 1000));
}

#[test]
fn impossible_configurations_are_refused_in_words() {
    let refused = |toml: &str| {
        toml::from_str::<SyntheticConfig>(toml)
            .unwrap_err()
            .to_string()
    };
    for (toml, words) in [
        ("width = 8", "16 to 8192"),
        ("width = 641", "even"),
        ("height = 481\nformat = \"NV12\"", "even"),
        ("format = \"BGR\"", "not a pixel format"),
        ("rate = 0", "above 0"),
        ("rate = 20000.0", "10 kHz"),
        ("jitter = \"17 ms\"", "jitter"),
        ("jitter = \"5\"", "not a duration"),
        ("slots = 1", "2 to 32"),
        ("gaps = \"95%\"", "leave a frame"),
        ("gaps = \"every 1\"", "leave a frame"),
        ("gaps = \"often\"", "never"),
        ("gaps = \"at\"", "never"),
        ("errors = \"120%\"", "0% to 100%"),
        ("pace = \"quick\"", "real-time"),
        ("colour = 3", "unknown field"),
        ("width = 64\nheight = 64\nformat = \"MJPG\"", "too small"),
        ("format = \"MJPG\"\nrow_padding = 4", "row_padding"),
    ] {
        let text = refused(toml);
        assert!(text.contains(words), "{toml}: {text}");
    }
    let fault = SyntheticSource::open(
        &SyntheticConfig {
            slots: 0,
            ..small()
        },
        0,
    )
    .unwrap_err();
    assert_eq!(fault.kind, reflexarc::error::Kind::Config);
    assert!(fault.why.contains("slots"), "{fault}");
}

#[test]
fn occasions_read_as_they_are_written() {
    for (text, when) in [
        ("never", When::Never),
        ("2.5%", When::Chance(0.025)),
        ("every 10", When::Every(10)),
        ("every10", When::Every(10)),
        ("at 9 5 100", When::At(vec![5, 9, 100])),
        ("at5+9", When::At(vec![5, 9])),
    ] {
        assert_eq!(text.parse::<When>(), Ok(when), "{text}");
    }
}
