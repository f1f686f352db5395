//! What may be asked of windows, and what is said to one who asks for something that cannot be.

use reflexarc::stream::aggregate::numbers::Count;
use reflexarc::stream::window::Windows;
use reflexarc::stream::window::config::{Emission, Kind, WindowConfig};
use reflexarc::units::Nanos;

fn ms(n: i64) -> Nanos {
    Nanos::from_millis(n)
}

fn read(text: &str) -> WindowConfig {
    toml::from_str(text).unwrap()
}

fn refusal(text: &str) -> String {
    toml::from_str::<WindowConfig>(text)
        .unwrap_err()
        .to_string()
}

#[test]
fn defaults_and_presets_are_those_of_the_document() {
    let sizes = |config: WindowConfig| {
        (
            config.size.0 / 1_000_000,
            config.slide.0 / 1_000_000,
            config.buffer,
        )
    };
    assert_eq!(read(""), WindowConfig::default());
    assert_eq!(sizes(read("")), (10_000, 5_000, 1_000));
    assert_eq!(
        sizes(read("preset = \"realtime-monitor\"")),
        (5_000, 1_000, 100)
    );
    assert_eq!(
        sizes(read("preset = \"statistics\"")),
        (60_000, 10_000, 1_000)
    );
    assert_eq!(
        sizes(read("preset = \"batch-stream-fusion\"")),
        (300_000, 60_000, 10_000)
    );
    assert_eq!(sizes(read("preset = \"vla-align\"")), (100, 100, 1_000));
    assert_eq!(sizes(read("preset = \"vla-align-fast\"")), (50, 25, 1_000));
    let counted = read("kind = \"count\"");
    assert_eq!((counted.count, counted.every), (100, 50));
}

#[test]
fn what_is_left_out_follows_from_what_is_written() {
    assert_eq!(read("size = \"4 s\"").slide, ms(2_000));
    assert_eq!(read("size = \"1 ms\"").slide, ms(1));
    assert_eq!(read("kind = \"tumbling\"\nsize = \"4 s\"").slide, ms(4_000));
    assert_eq!(read("kind = \"count\"\ncount = 1").every, 1);
    let own = read("preset = \"vla-align-fast\"\nemission = \"eager\"\nlateness = \"20 ms\"");
    assert_eq!(
        (own.size, own.emission, own.lateness),
        (ms(50), Emission::Eager, ms(20))
    );
}

#[test]
fn what_is_out_of_its_range_is_refused_with_the_range() {
    let cases = [
        (
            "size = \"999 us\"",
            "`size` is 999.0 us: it must be from 1.00 ms to 3600.00 s",
        ),
        ("size = \"3601 s\"", "`size`"),
        ("slide = \"0 s\"", "`slide` is 0 ns"),
        ("slide = \"-1 s\"", "`slide`"),
        ("buffer = 9", "it must be from 10 to 100000"),
        ("buffer = 100001", "`buffer`"),
        ("keys = 0", "`keys` is 0"),
        ("lateness = \"-1 ms\"", "`lateness`"),
        ("offset = \"5 s\"", "`offset`"),
        ("kind = \"count\"\ncount = 10001", "`count` is 10001"),
        (
            "kind = \"count\"\ncount = 5\nevery = 6",
            "it must be from 1 to 5",
        ),
        ("kind = \"session\"\ngap = \"0 s\"", "`gap`"),
        ("kind = \"session\"\ngap = \"2 s\"\nmax = \"1 s\"", "`max`"),
        ("kind = \"trailing\"\ndelay = \"2 h\"", "`delay`"),
        ("size = 5", "such as \"40 ms\""),
        ("sise = \"5 s\"", "unknown field `sise`"),
        ("kind = \"hopping\"", "unknown variant `hopping`"),
    ];
    for (text, part) in cases {
        let refusal = refusal(text);
        assert!(refusal.contains(part), "{text}: {refusal}");
    }
}

#[test]
fn what_contradicts_itself_is_refused_with_a_way_out() {
    let cases = [
        ("size = \"5 s\"\nslide = \"10 s\"", "`allow_gaps = true`"),
        (
            "kind = \"tumbling\"\nsize = \"5 s\"\nslide = \"1 s\"",
            "kind = \"sliding\"",
        ),
        (
            "size = \"10 s\"\nslide = \"333333333 ns\"",
            "divides the size",
        ),
        (
            "kind = \"count\"\nemission = \"eager\"",
            "does not go with this kind",
        ),
        (
            "kind = \"session\"\nemission = \"early\"",
            "tumbling and sliding",
        ),
        ("kind = \"trailing\"\nempty = \"hold\"", "does not go"),
    ];
    for (text, part) in cases {
        let refusal = refusal(text);
        assert!(refusal.contains(part), "{text}: {refusal}");
    }
    assert_eq!(
        read("size = \"5 s\"\nslide = \"10 s\"\nallow_gaps = true").kind,
        Kind::Sliding
    );
}

#[test]
fn windows_too_large_for_memory_are_refused_before_the_start() {
    let config = WindowConfig {
        keys: 65_536,
        ..WindowConfig::sliding(ms(10_000), ms(1))
    };
    let key: fn(&f64) -> usize = |_| 0;
    let refusal = Windows::new(&config, key, Count::default()).unwrap_err();
    assert!(refusal.what.contains("MB"), "{refusal}");
}
