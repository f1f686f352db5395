//! The report folder, its files, and other people's readers of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use hdrhistogram::serialization::Deserializer;
use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};
use reflexarc::error::Kind;
use reflexarc::telemetry::report::{Place, Report, ReportFolder, Verdict};

use crate::run::Run;

fn started() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_795_360_081)
}

/// Writes the report of `run` into `folder`.
fn write(run: &Run, place: &Place) -> (Report, PathBuf) {
    let collector = run.collector();
    let report = Report::new(&collector, run.facts());
    let folder = ReportFolder::open(place).unwrap();
    let page = folder
        .write(&report, collector.measured(), started())
        .unwrap();
    (report, page)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_report_has_the_documented_keys_and_reads_back_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let (report, _) = write(&Run::default(), &Place::Folder(dir.path().join("r")));
    let json = fs::read_to_string(dir.path().join("r/report.json")).unwrap();
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    let documented = include_str!("../../src/telemetry/report/schema.md");
    for (key, _) in value.as_object().unwrap() {
        let head = [format!("| `{key}` |"), format!("| `{key}[]` |")];
        assert!(
            head.iter().any(|h| documented.contains(h)),
            "`{key}` is not in schema.md"
        );
    }
    for key in ["p50_ns", "p99_ns", "p999_ns", "p9999_ns", "max_ns", "count"] {
        assert!(value["end_to_end"][key].is_u64(), "end_to_end.{key}");
        assert!(
            value["stages"][1]["work"][key].is_u64(),
            "stages[1].work.{key}"
        );
    }
    for key in ["name", "in", "out", "dropped", "in_flight"] {
        assert!(!value["links"][0][key].is_null(), "links[0].{key}");
    }
    let back: Report = serde_json::from_str(&json).unwrap();
    assert!(back == report);
}

#[test]
fn every_field_of_the_report_is_documented() {
    let documented = include_str!("../../src/telemetry/report/schema.md");
    let run = Run {
        stall_ms: 300,
        ..Run::default()
    };
    let report = Report::new(&run.collector(), run.facts());
    let mut missing = Vec::new();
    let mut visit = vec![serde_json::to_value(&report).unwrap()];
    while let Some(value) = visit.pop() {
        match value {
            serde_json::Value::Object(map) => {
                for (key, value) in map {
                    let free = [
                        "dropped",
                        "failed",
                        "odd",
                        "lost_by_thread",
                        "refused",
                        "beats",
                        "rung_changes",
                    ]
                    .contains(&&*key);
                    if !documented.contains(&format!("`{key}`"))
                        && !documented.contains(&format!("`{key}[]`"))
                    {
                        missing.push(key);
                    }
                    if !free {
                        visit.push(value);
                    }
                }
            }
            serde_json::Value::Array(all) => visit.extend(all),
            _ => {}
        }
    }
    assert!(missing.is_empty(), "not in schema.md: {missing:?}");
}

#[test]
fn a_report_without_any_data_is_written_and_not_judged() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run {
        seconds: 0,
        ..Run::default()
    };
    let (report, page) = write(&run, &Place::Folder(dir.path().join("r")));
    assert_eq!(report.verdict, Verdict::NotJudged);
    assert!(!report.reasons.is_empty());
    let html = fs::read_to_string(page).unwrap();
    assert!(
        !html.contains("NaN") && !html.contains("inf"),
        "numbers that are none"
    );
}

#[test]
fn the_page_escapes_what_users_wrote_and_fetches_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (_, page) = write(&Run::default(), &Place::Folder(dir.path().join("r")));
    let html = fs::read_to_string(page).unwrap();
    assert!(html.contains("find the &lt;motorcycle&gt;") && !html.contains("<motorcycle>"));
    assert!(html.contains("&lt;seed 1&gt;"));
    for fetch in ["http:", "https:", "<script", "<link", "@import", "url("] {
        assert!(!html.contains(fetch), "the page has `{fetch}`");
    }
    assert!(!html.contains("NaN"));
}

/// A reader of XML refuses what browsers forgive: unclosed or crossed tags.
#[test]
fn the_page_is_well_formed() {
    let dir = tempfile::tempdir().unwrap();
    let (_, page) = write(&Run::default(), &Place::Folder(dir.path().join("r")));
    let html = fs::read_to_string(page).unwrap();
    let mut open: Vec<&str> = Vec::new();
    for piece in html.split('<').skip(1) {
        let tag = piece.split(['>', ' ']).next().unwrap();
        let alone = piece.split('>').next().unwrap().ends_with('/');
        if let Some(closed) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(closed), "near `<{piece}`");
        } else if !alone && !tag.starts_with('!') && tag != "meta" {
            open.push(tag);
        }
    }
    assert!(open.is_empty(), "never closed: {open:?}");
}

#[test]
fn interval_logs_hold_every_sample_for_the_libraries_own_reader() {
    let dir = tempfile::tempdir().unwrap();
    let run = Run {
        seconds: 60,
        stall_ms: 40,
        ..Run::default()
    };
    let (report, _) = write(&run, &Place::Folder(dir.path().to_owned()));
    let text = fs::read(dir.path().join("hlog/camera-to-action.hlog")).unwrap();
    let mut whole = Histogram::<u64>::new_with_bounds(1, 60_000_000_000, 3).unwrap();
    let mut deserializer = Deserializer::new();
    let (mut intervals, mut last) = (0, Duration::ZERO);
    for entry in IntervalLogIterator::new(&text) {
        match entry.unwrap() {
            LogEntry::StartTime(at) => assert_eq!(at.as_secs(), 1_795_360_081),
            LogEntry::Interval(interval) => {
                assert!(interval.start_timestamp() >= last);
                last = interval.start_timestamp() + interval.duration();
                let encoded = base64(interval.encoded_histogram());
                let part: Histogram<u64> = deserializer.deserialize(&mut &encoded[..]).unwrap();
                whole.add(&part).unwrap();
                intervals += 1;
            }
            LogEntry::BaseTime(_) => panic!("no base time is written"),
        }
    }
    let want = &report.end_to_end.camera_to_action;
    assert!(intervals > 30, "{intervals} intervals");
    assert_eq!(whole.len(), want.count);
    assert_eq!(whole.value_at_quantile(0.5), want.p50_ns);
    assert_eq!(whole.value_at_quantile(0.99), want.p99_ns);
    assert!(whole.equivalent(whole.max(), want.max_ns));
    assert!(names(&dir.path().join("hlog")).len() > 15);
}

/// RFC 4648, for the test's own reading.
fn base64(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = Vec::new();
    let (mut bits, mut held) = (0u32, 0);
    for c in text.bytes().filter(|c| *c != b'=') {
        let six = ALPHABET.iter().position(|a| *a == c).unwrap();
        bits = bits << 6 | six as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held & 0xff) as u8);
        }
    }
    bytes
}

#[test]
fn python_reads_the_report_and_finds_the_sums() {
    let dir = tempfile::tempdir().unwrap();
    let (report, _) = write(&Run::default(), &Place::Folder(dir.path().to_owned()));
    let program = "import json, sys\n\
                   r = json.load(open(sys.argv[1]))\n\
                   for l in r['links'] + r['sources']:\n\
                   \x20   assert l['in'] == l['out'] + sum(l['dropped'].values()) + l['in_flight'], l\n\
                   p = r['player']\n\
                   assert p['offered'] == p['accepted'] + sum(p['refused'].values()), p\n\
                   assert p['accepted'] == p['played'] + p['unplayed'] + p['waiting'], p\n\
                   for s in r['sensors']:\n\
                   \x20   assert s['intake']['received'] == s['intake']['accepted'] + sum(s['intake']['refused'].values()), s\n\
                   e = r['elements']\n\
                   assert e['total'] == sum(v for k, v in e.items() if k not in ('total', 'per_second'))\n\
                   assert abs(sum(s['share'] for s in r['spans']) - 1) < 1e-9\n\
                   print(r['schema'], r['verdict'], r['end_to_end']['max_ns'])";
    let python = Command::new("python3")
        .args(["-c", program])
        .arg(dir.path().join("report.json"))
        .output();
    let Ok(python) = python else {
        eprintln!("skipped: python3 is not installed");
        return;
    };
    assert!(
        python.status.success(),
        "{}",
        String::from_utf8_lossy(&python.stderr)
    );
    let want = format!(
        "reflexarc-report/1 met {}\n",
        report.end_to_end.camera_to_action.max_ns
    );
    assert_eq!(String::from_utf8(python.stdout).unwrap(), want);
}

#[test]
fn a_second_report_replaces_the_first_and_leaves_no_rest_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::Folder(dir.path().join("r"));
    write(&Run::default(), &place);
    fs::write(dir.path().join("r/notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("r/hlog/old.hlog"), "old").unwrap();
    let (report, _) = write(
        &Run {
            seconds: 5,
            ..Run::default()
        },
        &place,
    );
    let folder = dir.path().join("r");
    assert_eq!(
        names(&folder),
        ["hlog", "notes.txt", "report.html", "report.json"]
    );
    assert!(!folder.join("hlog/old.hlog").exists());
    let back = reflexarc::telemetry::report::text::load(&folder).unwrap();
    assert!(back == report);
}

#[test]
fn by_default_each_report_has_a_folder_of_its_own_and_latest_leads_to_the_newest() {
    let dir = tempfile::tempdir().unwrap();
    let base = dir.path().join("reports");
    let (_, page) = write(&Run::default(), &Place::NewUnder(base.clone()));
    let latest = fs::canonicalize(base.join("latest")).unwrap();
    assert_eq!(latest, fs::canonicalize(page.parent().unwrap()).unwrap());
    assert!(base.join("latest/report.json").exists());
    assert!(reflexarc::telemetry::report::render(&base).is_ok());
    // A link to a report that is gone is replaced too.
    fs::remove_dir_all(&latest).unwrap();
    write(&Run::default(), &Place::NewUnder(base.clone()));
    assert!(base.join("latest/report.json").exists());
}

#[test]
fn nothing_lies_at_a_reports_place_until_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let place = Place::Folder(dir.path().join("a/b/c"));
    let folder = ReportFolder::open(&place).unwrap();
    assert!(names(dir.path()).is_empty(), "while the run goes on");
    drop(folder);
    assert!(names(dir.path()).is_empty(), "after a run without a report");
    write(&Run::default(), &place);
    assert_eq!(names(&dir.path().join("a/b")), ["c"]);
    assert_eq!(
        names(&dir.path().join("a/b/c")),
        ["hlog", "report.html", "report.json"]
    );
}

#[test]
fn what_was_put_at_the_place_during_the_run_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("r");
    let run = Run::default();
    let collector = run.collector();
    let report = Report::new(&collector, run.facts());
    let folder = ReportFolder::open(&Place::Folder(place.clone())).unwrap();
    fs::create_dir(&place).unwrap();
    fs::write(place.join("notes.txt"), "mine").unwrap();
    folder
        .write(&report, collector.measured(), started())
        .unwrap();
    assert_eq!(names(dir.path()), ["r"]);
    assert_eq!(
        names(&place),
        ["hlog", "notes.txt", "report.html", "report.json"]
    );
}

#[test]
fn a_file_in_the_way_is_refused_before_the_run() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    std::os::unix::fs::symlink("nowhere", dir.path().join("link")).unwrap();
    for way in ["file", "file/r", "link"] {
        let fault = ReportFolder::open(&Place::Folder(dir.path().join(way))).unwrap_err();
        assert_eq!(fault.kind, Kind::Output);
        assert!(fault.fix.contains("--report"), "{fault}");
    }
}

#[test]
fn an_unwritable_folder_is_refused_before_the_run() {
    // `/proc` takes no files from anyone, root included.
    let fault = ReportFolder::open(&Place::Folder("/proc/reflexarc".into())).unwrap_err();
    assert_eq!(fault.kind, Kind::Output);
    assert!(fault.what.contains("/proc/reflexarc"), "{fault}");
}

/// A small file system in memory, taken away when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    /// None where mounting is not allowed.
    fn of(bytes: u32) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"])
            .arg(dir.path())
            .output();
        mounted
            .is_ok_and(|m| m.status.success())
            .then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(self.0.path()).output();
    }
}

#[test]
fn a_full_disk_is_explained_and_leaves_the_old_report_whole() {
    let Some(disk) = SmallDisk::of(1 << 20) else {
        eprintln!("skipped: only root may mount a small disk");
        return;
    };
    let place = Place::Folder(disk.0.path().join("r"));
    let (old, _) = write(
        &Run {
            seconds: 5,
            ..Run::default()
        },
        &place,
    );
    let before = names(disk.0.path().join("r").as_path());
    let run = Run::default();
    let collector = run.collector();
    let report = Report::new(&collector, run.facts());
    let folder = ReportFolder::open(&place).unwrap();
    // The disk fills up while the run goes on.
    let filled = fs::write(disk.0.path().join("filler"), vec![1; 1 << 20]);
    assert!(filled.is_err(), "the disk is smaller than that");
    let fault = folder
        .write(&report, collector.measured(), started())
        .unwrap_err();
    assert_eq!(fault.kind, Kind::Output);
    assert!(fault.fix.contains("space"), "{fault}");
    assert_eq!(names(disk.0.path().join("r").as_path()), before);
    let back = reflexarc::telemetry::report::text::load(&disk.0.path().join("r")).unwrap();
    assert!(back == old);
}
