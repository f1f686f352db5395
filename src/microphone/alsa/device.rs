//! A microphone that may be overrun, fall silent, be unplugged and come back.
//!
//! Unplugged, it is closed at once (a card that is open does not come back) and looked for again with back-off, under
//! whatever number it has then. Unlike a camera this needs no thread of its own: the sensor's thread has nothing else to do
//! while its microphone is away, and opening one allocates nothing here.
//!
//! Thread: main until `start`, then the sensor's. Allocates: in `open`. Blocks: in `read`, until its deadline; longer only
//! in the kernel's `open` of a card that came back. Locks: no. Syscalls: `ioctl`, `ppoll`; while it is away `open`.

use std::io;
use std::os::fd::AsFd;

use super::card::{self, Card};
use super::negotiate::{self, Agreed, Offer, Refusal, Wanted};
use super::pcm::Pcm;
use super::stamps::SampleClock;
use super::uapi;
use crate::capture::v4l2::busy;
use crate::clock;
use crate::error::{Fault, Kind, Result};
use crate::microphone::address::Address;
use crate::microphone::{Heard, Sound};
use crate::rt::sync::Arc;
use crate::sensor::counters::SensorCounters;
use crate::sensor::readable;
use crate::units::{MonoTime, Nanos};

/// Between two attempts to open a microphone that is away.
const DELAY_FIRST: Nanos = Nanos::from_millis(20);
const DELAY_LAST: Nanos = Nanos::from_secs(1);
/// A device that runs and gives nothing for so long is opened again: the kernel itself gives up on a silent device, when
/// asked to wait, only after ten seconds.
const SILENT_AFTER: Nanos = Nanos::from_secs(1);
/// Frames taken from the kernel at once, at most.
const FRAMES_MAX: usize = 4096;

/// See the module.
#[derive(Debug)]
pub struct Microphone {
    address: Address,
    wanted: Wanted,
    card: Card,
    device: u32,
    agreed: Agreed,
    state: State,
    clock: SampleClock,
    /// Frames taken since the stream was started.
    taken: u64,
    started: MonoTime,
    /// When frames last came, or the stream was started.
    alive: MonoTime,
    bytes: Box<[u8]>,
    counters: Arc<SensorCounters>,
}

#[derive(Debug)]
enum State {
    Ready(Pcm),
    Running(Pcm),
    Away { next: MonoTime, delay: Nanos },
}

impl Microphone {
    /// Opens the device and sets it up; it does not run yet.
    ///
    /// # Errors
    /// [`Kind::NoDevice`], [`Kind::Permission`], [`Kind::Busy`]; [`Kind::Unsupported`] if it lacks what is wanted.
    pub fn open(address: &Address, wanted: Wanted, counters: Arc<SensorCounters>) -> Result<Self> {
        let (card, device) = find(address)?;
        let node = card::capture_node(card.number, device);
        let pcm = Pcm::open(node.as_path()).map_err(|e| open_fault(address, &card, device, &e))?;
        let agreed = negotiate::agree(&pcm, &wanted)
            .map_err(|refusal| refused(address, &pcm, &wanted, refusal))?;
        Ok(Self {
            address: address.clone(),
            wanted,
            card,
            device,
            agreed,
            state: State::Ready(pcm),
            clock: SampleClock::new(agreed.rate),
            taken: 0,
            started: MonoTime::ZERO,
            alive: MonoTime::ZERO,
            bytes: vec![0; FRAMES_MAX * agreed.frame_bytes()].into(),
            counters,
        })
    }

    /// From the first frame: nothing of what the device had counts.
    fn run(&mut self, pcm: Pcm) -> io::Result<()> {
        pcm.start()?;
        self.clock.restart();
        self.taken = 0;
        self.started = clock::now();
        self.alive = self.started;
        self.state = State::Running(pcm);
        Ok(())
    }

    /// The device is gone, or as good as gone: it is closed, and looked for from now on.
    fn lose(&mut self) {
        self.counters.interrupted.add(1);
        let next = clock::now();
        self.state = State::Away {
            next,
            delay: DELAY_FIRST,
        };
    }

    /// The kernel's room was full and it stopped, or the machine was asleep.
    fn begin_anew(&mut self, state: i32) {
        if state == uapi::STATE_XRUN {
            self.counters.overruns.add(1);
        }
        let away = State::Away {
            next: MonoTime::ZERO,
            delay: DELAY_FIRST,
        };
        if let State::Running(pcm) | State::Ready(pcm) = std::mem::replace(&mut self.state, away)
            && (pcm.prepare().is_err() || self.run(pcm).is_err())
        {
            self.lose();
        }
    }

    /// Looks once for a microphone that is away.
    fn look_for_it(&mut self, delay: Nanos) -> bool {
        let found = Card::all().find(|card| self.card.is(card));
        let opened = found.and_then(|card| {
            let pcm = Pcm::open(card::capture_node(card.number, self.device).as_path()).ok()?;
            let agreed = negotiate::agree(&pcm, &self.wanted).ok()?;
            let of = |agreed: &Agreed| (agreed.form, agreed.channels, agreed.rate);
            (of(&agreed) == of(&self.agreed)).then_some((card, pcm))
        });
        if let Some((card, pcm)) = opened
            && self.run(pcm).is_ok()
        {
            self.card = card;
            self.counters.resumed.add(1);
            return true;
        }
        let delay = (delay * 2).min(DELAY_LAST);
        self.state = State::Away {
            next: clock::now() + delay,
            delay,
        };
        false
    }

    /// Takes what is there, at most as much as fits.
    fn take(&mut self, into: &mut [f32]) -> Taken {
        let State::Running(pcm) = &self.state else {
            return Taken::Lost;
        };
        let now = match pcm.now() {
            Ok(now) if now.state == uapi::STATE_RUNNING => now,
            Ok(now) if now.state == uapi::STATE_DISCONNECTED => return Taken::Lost,
            Ok(now) => return Taken::Stopped(now.state),
            Err(_) => return Taken::Lost,
        };
        let came = self.taken + now.available + now.on_the_way;
        // The kernel notes the time only when its count changes: until the first frame it is that of an earlier stream.
        if came > 0 && now.at >= self.started {
            self.clock.see(came, now.at);
        }
        let there = usize::try_from(now.available).unwrap_or(FRAMES_MAX);
        let count = there.min(into.len()).min(FRAMES_MAX);
        if count == 0 {
            return Taken::Nothing;
        }
        let frame = self.agreed.frame_bytes();
        let bytes = &mut self.bytes[..count * frame];
        match pcm.read(bytes, frame) {
            Ok(0) => Taken::Nothing,
            Ok(count) => {
                let channel = usize::from(self.wanted.channel);
                self.agreed
                    .form
                    .pick(bytes, self.agreed.channels, channel, &mut into[..count]);
                let first = self.clock.at(self.taken);
                self.taken += count as u64;
                Taken::Frames { count, first }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => Taken::Nothing,
            Err(e) if e.raw_os_error() == Some(libc::EPIPE) => Taken::Stopped(uapi::STATE_XRUN),
            Err(e) if e.raw_os_error() == Some(libc::ESTRPIPE) => {
                Taken::Stopped(uapi::STATE_SUSPENDED)
            }
            Err(_) => Taken::Lost,
        }
    }
}

enum Taken {
    Frames {
        count: usize,
        first: MonoTime,
    },
    Nothing,
    /// The stream stopped in this state; the device is there.
    Stopped(i32),
    Lost,
}

impl Sound for Microphone {
    fn describe(&self) -> String {
        let Agreed {
            form,
            channels,
            rate,
            period,
            buffer,
        } = self.agreed;
        format!(
            "microphone {} \"{}\", {} Hz {}, channel {} of {channels}, told every {period} samples, room for {buffer}",
            self.address,
            self.card.name.as_str(),
            f64::from(rate.0) / f64::from(rate.1),
            form.name(),
            self.wanted.channel,
        )
    }

    fn rate(&self) -> f64 {
        f64::from(self.agreed.rate.0) / f64::from(self.agreed.rate.1)
    }

    fn read(&mut self, into: &mut [f32], deadline: MonoTime) -> Heard {
        // BOUND: ends at the deadline; a turn that neither waits nor gives samples loses the device, starts it, or finds it.
        loop {
            if let State::Away { next, delay } = self.state {
                let until = next.min(deadline);
                while clock::now() < until {
                    clock::sleep_until(until);
                }
                if next <= deadline && self.look_for_it(delay) {
                    return Heard::Gap;
                }
                if clock::now() >= deadline {
                    return Heard::Nothing;
                }
                continue;
            }
            if matches!(self.state, State::Ready(_)) {
                // The first call. It is not started before, or its room would be full by the time that the run begins.
                self.begin_anew(uapi::STATE_PREPARED);
                continue;
            }
            match self.take(into) {
                Taken::Frames { count, first } => {
                    self.alive = clock::now();
                    return Heard::Samples { count, first };
                }
                Taken::Stopped(state) => {
                    self.begin_anew(state);
                    return Heard::Gap;
                }
                Taken::Lost => {
                    self.lose();
                    return Heard::Gap;
                }
                Taken::Nothing => {
                    if clock::now() - self.alive > SILENT_AFTER {
                        self.lose();
                        return Heard::Gap;
                    }
                    let State::Running(pcm) = &self.state else {
                        continue;
                    };
                    if !readable::wait(pcm.as_fd(), deadline) {
                        return Heard::Nothing;
                    }
                }
            }
        }
    }
}

/// The card and device that an address means.
fn find(address: &Address) -> Result<(Card, u32)> {
    let devices = card::capture_devices();
    let missing = |what: String| {
        let cards: Vec<_> = Card::all().collect();
        let why = match (devices.is_empty(), cards.is_empty()) {
            (_, true) => {
                "this machine has no sound card, or none that this user may look at".to_owned()
            }
            (true, false) => "none of its sound cards captures".to_owned(),
            (false, false) => {
                let names = devices.iter().map(|(number, device)| {
                    let card = cards.iter().find(|card| card.number == *number);
                    format!("hw:{},{device}", card.map_or("?", |card| card.id.as_str()))
                });
                format!("there are: {}", names.collect::<Vec<_>>().join(", "))
            }
        };
        let fix = "plug it in, and see `reflexarc microphones` for what is there; if there is nothing, look at `dmesg` and \
                   the rights of /dev/snd (`sudo usermod -aG audio $USER`)";
        Fault::new(Kind::NoDevice, what, why, fix)
    };
    let (card, device) = match address {
        Address::Number(number) => devices
            .get(*number as usize)
            .and_then(|&(card, device)| Some((Card::look(card).ok()?, device)))
            .ok_or_else(|| missing(format!("there is no microphone {number}")))?,
        Address::Hardware { card, device } => Card::all()
            .find(|there| there.has_name(card) && devices.contains(&(there.number, *device)))
            .map(|card| (card, *device))
            .ok_or_else(|| missing(format!("there is no microphone {address}")))?,
    };
    Ok((card, device))
}

fn open_fault(address: &Address, card: &Card, device: u32, error: &io::Error) -> Fault {
    let what = format!(
        "cannot open the microphone {address} (\"{}\")",
        card.name.as_str()
    );
    let node = card::capture_node(card.number, device);
    match error.raw_os_error() {
        Some(libc::EBUSY | libc::EAGAIN) => {
            let holders = busy::holders(node.as_path());
            let why = match holders.is_empty() {
                true => {
                    "another program captures from it (one of another user, or this one)".to_owned()
                }
                false => format!("it is open in {}", holders.join(", ")),
            };
            let fix = "end that program; a sound server lets go of a card that is switched off in its settings \
                       (`pactl set-card-profile CARD off`)";
            Fault::new(Kind::Busy, what, why, fix)
        }
        Some(libc::EACCES | libc::EPERM) => Fault::from_io(
            what,
            error,
            Kind::Permission,
            "add yourself to the group that owns the node, `sudo usermod -aG audio $USER`, and log in again",
        ),
        _ => {
            let fix =
                "unplug the microphone and plug it in again; `dmesg` says what its driver did";
            Fault::from_io(what, error, Kind::NoDevice, fix)
        }
    }
}

fn refused(address: &Address, pcm: &Pcm, wanted: &Wanted, refusal: Refusal) -> Fault {
    let offer = Offer::of(pcm).unwrap_or_default();
    let fault = |why: String, fix: &str| {
        Fault::new(
            Kind::Unsupported,
            format!("the microphone {address} cannot be used as wanted"),
            why,
            fix,
        )
    };
    match refusal {
        Refusal::NotInterleaved => fault(
            "it does not give its channels side by side, which is not supported".to_owned(),
            "use another microphone",
        ),
        Refusal::NoForm => fault(
            "it has none of the sample formats S16_LE, S24_3LE, S24_LE, S32_LE and FLOAT_LE"
                .to_owned(),
            "use another microphone",
        ),
        Refusal::NoChannel => fault(
            format!(
                "it has no channel {}: it has {} to {} channels, counted from 0",
                wanted.channel, offer.channels.0, offer.channels.1
            ),
            "set `channel` to one that it has",
        ),
        Refusal::NoRate => fault(
            format!(
                "it has no rate of {} samples a second; it has {}",
                wanted
                    .rate
                    .map_or_else(|| "8000 to 192000".to_owned(), |rate| rate.to_string()),
                offer.rates_in_words()
            ),
            "set `rate` to one of these, or leave it out",
        ),
        Refusal::Failed(number) => Fault::from_io(
            format!("the microphone {address} could not be set up"),
            &io::Error::from_raw_os_error(number),
            Kind::Unsupported,
            "unplug it and plug it in again; `dmesg` says what its driver did",
        ),
    }
}
