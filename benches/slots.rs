//! What does the way of a slot cost, from capture to features and home, beside copying the frame?

mod support;

use std::hint::{black_box, spin_loop};
use std::thread;

use reflexarc::clock;
use reflexarc::frame::{FrameFormat, FrameMarks, FrameMeta, PixelFormat, StampSource};
use reflexarc::link::{every, newest};
use reflexarc::rt::wait::Bell;
use reflexarc::slot::{Filled, Slot};
use reflexarc::units::MonoTime;
use support::{Bench, Peer};

/// As many as a camera has buffers.
const SLOTS: u32 = 4;

fn main() {
    let mut bench = Bench::start(
        "slots",
        "What does the way of a slot cost, from capture to features and home?",
    );
    one_thread(&mut bench);
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if let [here, there, ..] = cores[..] {
        core_affinity::set_for_current(here);
        two_threads(&mut bench, there);
    } else {
        bench.note("two threads", "not measured: there is one core");
    }
    bench.finish();
}

fn format() -> FrameFormat {
    FrameFormat::packed(PixelFormat::Yuyv, 1920, 1080)
}

fn meta(seq: u64) -> FrameMeta {
    let format = format();
    FrameMeta {
        seq,
        source_index: 0,
        format,
        bytes_used: u32::try_from(format.frame_bytes()).expect("a frame of less than 4 GB"),
        captured: MonoTime(1),
        stamp: StampSource::Synthetic,
        arrived: MonoTime(1),
        marks: FrameMarks::default(),
    }
}

fn one_thread(bench: &mut Bench) {
    const CYCLES: u64 = 100;
    let mut free = Slot::pool(SLOTS, &format()).expect("memory for slots");
    let (mut out, mut inbox) = newest(&Bell::new());
    let (mut back, mut home) = every(SLOTS as usize, &Bell::new());
    let from = vec![7u8; format().frame_bytes()];
    let mut to = vec![0u8; format().frame_bytes()];
    let mut peers = [
        Peer::timed("filled, passed, read, home", CYCLES, || {
            for seq in 0..CYCLES {
                let slot = free.pop().expect("a free slot").fill(meta(seq));
                assert!(out.push(slot).is_none());
                let slot = inbox.pop().expect("pushed");
                assert_eq!(black_box(slot.bytes()).len(), format().frame_bytes());
                back.push(slot.empty()).expect("room");
                free.push(home.pop().expect("pushed"));
            }
        }),
        Peer::timed("copying the frame instead", 1, || {
            black_box(&mut to[..]).copy_from_slice(black_box(&from));
        }),
        Peer::timed("a new buffer for each frame instead", 1, || {
            black_box(black_box(&from).clone());
        }),
    ];
    bench.compare("one 1080p YUYV frame, one thread", 500, &mut peers);
}

/// Cycles of four slots between two cores, polled: how many frames a second the links could carry.
fn two_threads(bench: &mut Bench, there: core_affinity::CoreId) {
    let cycles = bench.size(20_000, 200) as u64;
    let run = || {
        let mut free = Slot::pool(SLOTS, &format()).expect("memory for slots");
        let (mut out, mut inbox) = newest::<Slot<Filled>>(&Bell::new());
        let (mut back, mut home) = every(SLOTS as usize, &Bell::new());
        thread::scope(|scope| {
            let reading = scope.spawn(move || {
                core_affinity::set_for_current(there);
                let mut seen = 0u64;
                loop {
                    let ended = inbox.is_abandoned();
                    match inbox.pop() {
                        Some(slot) => {
                            seen += 1;
                            assert!(back.push(slot.empty()).is_ok(), "room for every slot");
                        }
                        None if ended => return seen,
                        None => spin_loop(),
                    }
                }
            });
            let (begin, mut stale) = (clock::now(), 0);
            for seq in 0..cycles {
                free.extend(std::iter::from_fn(|| home.pop()));
                let slot = free.pop().expect("four slots are enough").fill(meta(seq));
                if let Some(old) = out.push(slot) {
                    stale += 1;
                    free.push(old.empty());
                }
            }
            let took = (clock::now() - begin).clamp_u64();
            drop(out);
            let seen = reading.join().expect("the reader ends");
            assert_eq!(seen + stale, cycles, "every frame is accounted for");
            took / cycles
        })
    };
    bench.compare(
        "one frame, capture's side, two cores",
        50,
        &mut [Peer::measured("filled, passed, home", run)],
    );
}
