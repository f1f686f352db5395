//! Work that one thread shares with partners on other cores, and can always finish without them.
//!
//! The work is cut into chunks, and who has time claims the next one by an atomic addition: the caller from the front,
//! partners from the back, so that the same part of the work tends to fall to the same core. What no partner
//! claims the caller does. It waits for nobody but a partner that has claimed a chunk and is still at it, so a partner that was
//! preempted costs the rest of one chunk, and one that never came costs nothing.
//!
//! Between two calls partners sleep on their bells. From a call to its dismissal they look for chunks in a loop, because
//! a chunk can be some 10 us of work, and a wake takes longer.
//!
//! Thread: the caller's and the partners'. Allocates: in `new`. Blocks: no; see [`Crew::share`] for who waits for whom.
//! Locks: no. Syscalls: a futex wake for each partner that sleeps when it is called; a partner sleeps.

use std::panic::{RefUnwindSafe, UnwindSafe};

use crate::clock;
use crate::rt::sync::{Arc, AtomicBool, AtomicU32, AtomicU64, Ordering, UnsafeCell, spin_loop};
use crate::rt::wait::{Bell, WaitPolicy};
use crate::units::{MonoTime, Nanos};

/// Partners of one caller at most.
// BOUND: more cores than any board of ours; and the claims' fields cannot overflow, see `Claims`.
pub const PARTNERS_MAX: usize = 15;
/// Chunks of one piece of work at most.
pub const CHUNKS_MAX: usize = 1 << 12;

/// How long a partner looks for chunks while there are none: the longest stage of a network that only the caller does. A caller
/// that is away for longer was itself interrupted, and goes on alone afterwards.
const LOOK_FOR: Nanos = Nanos::from_millis(2);
/// How long the caller looks whether a claimed chunk is finished before it gives its core away between two looks. Where
/// partner and caller share a core by mistake, the partner could not go on otherwise.
const WAIT_AWAKE: Nanos = Nanos::from_millis(1);
/// How long it then sleeps between two looks.
const NAP: Nanos = Nanos::from_micros(50);

/// How often a partner that nobody calls shows that it is alive.
const IDLE_TURN: Nanos = Nanos::from_millis(50);

/// Who does a chunk, and which.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// 0 is the caller, then come the partners. Nobody has two chunks at the same time, so this can number
    /// memory that everybody has of his own.
    pub who: usize,
    pub chunk: usize,
}

/// What is done to each chunk.
type Work<'a> = dyn Fn(Share) + Sync + 'a;

/// The end of the thread that shares its work.
pub struct Crew {
    shared: Arc<Shared>,
    bells: Vec<Bell>,
    /// A call has not been dismissed.
    is_called: bool,
}

/// The end of a thread that helps.
pub struct Partner {
    shared: Arc<Shared>,
    bell: Bell,
    who: usize,
    /// The call that it has heard last.
    heard: u32,
}

/// What happened so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CrewTotals {
    /// Chunks that partners have done.
    pub helped: u64,
    /// Times that the caller slept because a partner had not finished a chunk in 1 ms.
    pub naps: u64,
}

/// The claims of one piece of work, in one word: how many chunks were claimed from the front, how many from the back, and how
/// many there are. A claim is an addition, and it is good if the sum of the first two was less than the third.
///
/// So exactly as many claims are good as there are chunks, and no two name the same one: the good ones from the front
/// are 0, 1, ..., those from the back count down from the last, and together they are as many as the chunks.
#[derive(Clone, Copy)]
struct Claims(u64);

impl Claims {
    // BOUND: of the claims of a piece of work one of the caller's can be bad, and one of each partner's, which looks before it
    // claims. So no field of 16 bits overflows.
    const FRONT: u64 = 1;
    const BACK: u64 = 1 << Self::BITS;
    /// Of each field: front, back, count.
    const BITS: u32 = 16;

    fn of(chunks: usize) -> Self {
        Self((chunks as u64) << (2 * Self::BITS))
    }

    fn field(self, number: u32) -> usize {
        let bits = self.0 >> (number * Self::BITS) & (Self::BACK - 1);
        // 16 bits.
        usize::try_from(bits).unwrap_or(0)
    }

    fn count(self) -> usize {
        self.field(2)
    }

    /// Chunks that somebody has claimed.
    fn claimed(self) -> usize {
        self.count().min(self.field(0) + self.field(1))
    }

    fn is_all(self) -> bool {
        self.claimed() == self.count()
    }

    /// The chunk of a claim that was added to this.
    fn next(self, side: u64) -> Option<usize> {
        let chunk = match side {
            Self::FRONT => self.field(0),
            _ => self.count().wrapping_sub(1 + self.field(1)),
        };
        (!self.is_all()).then_some(chunk)
    }
}

/// On a cache line of its own, so that who writes it disturbs no reader of another.
#[repr(align(64))]
struct Line<T>(T);

struct Shared {
    /// The piece of work that claims are about. Only read by who has a good claim.
    work: UnsafeCell<Option<*const Work<'static>>>,
    claims: Line<AtomicU64>,
    /// Chunks of the same that are done.
    done: Line<AtomicU32>,
    /// Odd from a call to its dismissal.
    calls: Line<AtomicU32>,
    /// A chunk has panicked.
    failed: AtomicBool,
    /// The caller has gone.
    is_over: AtomicBool,
    helped: AtomicU64,
    naps: AtomicU64,
}

// SAFETY: `work` is written by the caller alone, while no claim can be good; and read, never written, by those whose claim is
// good, of which the caller waits for each before it writes again. The function behind it is `Sync`.
unsafe impl Sync for Shared {}
// SAFETY: as above; the pointer belongs to no thread.
unsafe impl Send for Shared {}
// After a panic the work goes on only where `failed` was looked at.
impl UnwindSafe for Shared {}
impl RefUnwindSafe for Shared {}

/// A crew with so many partners. It works from the start: who is not there yet does not claim.
///
/// # Panics
/// If there are more than [`PARTNERS_MAX`].
pub fn crew(partners: usize) -> (Crew, Vec<Partner>) {
    assert!(partners <= PARTNERS_MAX, "{partners} partners");
    let shared = Arc::new(Shared {
        work: UnsafeCell::new(None),
        claims: Line(AtomicU64::new(0)),
        done: Line(AtomicU32::new(0)),
        calls: Line(AtomicU32::new(0)),
        failed: AtomicBool::new(false),
        is_over: AtomicBool::new(false),
        helped: AtomicU64::new(0),
        naps: AtomicU64::new(0),
    });
    let bells: Vec<Bell> = (0..partners).map(|_| Bell::new()).collect();
    let partner = |(bell, who): (&Bell, usize)| Partner {
        shared: Arc::clone(&shared),
        bell: bell.clone(),
        who,
        heard: 0,
    };
    let partners = bells.iter().zip(1..).map(partner).collect();
    let crew = Crew {
        shared,
        bells,
        is_called: false,
    };
    (crew, partners)
}

impl Crew {
    /// Nobody but the caller.
    pub fn alone() -> Self {
        crew(0).0
    }

    /// Who works: the caller and its partners.
    pub fn size(&self) -> usize {
        1 + self.bells.len()
    }

    /// Wakes the partners, if they sleep, and returns without waiting for them. To be called some 50 us before there is
    /// work to share, or with it.
    pub fn call(&mut self) {
        if self.is_called || self.bells.is_empty() {
            return;
        }
        self.is_called = true;
        self.turn();
        for bell in &self.bells {
            bell.ring();
        }
    }

    /// Lets the partners sleep until the next call.
    pub fn dismiss(&mut self) {
        if self.is_called {
            self.is_called = false;
            self.turn();
        }
    }

    /// From called to dismissed, and back.
    fn turn(&self) {
        // ORDERING(calls): Relaxed. One writer, this one. A partner infers nothing from it but that chunks may come; that it
        // sees a call in time is the bell's business.
        let calls = self.shared.calls.0.load(Ordering::Relaxed);
        self.shared
            .calls
            .0
            .store(calls.wrapping_add(1), Ordering::Relaxed);
    }

    /// Does `work` once for each of so many chunks, together with the partners that are awake, and returns when all are done.
    ///
    /// Claiming is wait-free. Once no chunk is left to claim the caller waits for those that partners have claimed and
    /// not finished: as long as a chunk takes, and as long as a partner was kept from its core meanwhile. After
    /// 1 ms it sleeps between two looks.
    ///
    /// # Panics
    /// If there are more than [`CHUNKS_MAX`] chunks, or one of them panics, on whichever thread.
    pub fn share(&mut self, chunks: usize, work: &Work<'_>) {
        if self.bells.is_empty() || chunks < 2 {
            (0..chunks).for_each(|chunk| work(Share { who: 0, chunk }));
            return;
        }
        assert!(chunks <= CHUNKS_MAX, "{chunks} chunks");
        let shared = &*self.shared;
        // SAFETY: the two differ in how long the function is said to live. It is called only by who has a good
        // claim, and `Section` waits for all of those before this function returns or unwinds.
        let lasting = unsafe { std::mem::transmute::<&Work<'_>, &'static Work<'static>>(work) };
        // SAFETY: no claim is good: the last piece of work was claimed to the end, or closed. So nobody reads.
        shared
            .work
            .with_mut(|to| unsafe { *to = Some(std::ptr::from_ref(lasting)) });
        // ORDERING(crew): Relaxed. All chunks counted here are done, so nobody else writes it; and the next store publishes it.
        shared.done.0.store(0, Ordering::Relaxed);
        // ORDERING(crew): Release, pairs with the Acquire of a claim: who claims a chunk sees the work, and what the caller
        // has written for it. A bad claim that is under way is lost or counts here; both are right. A swap, so that all
        // that ever changes the word is one chain of read-modify-writes (a plain store would be right too, but the
        // model checker could not tell).
        shared
            .claims
            .0
            .swap(Claims::of(chunks).0, Ordering::Release);
        let section = Section(shared);
        while let Some(chunk) = shared.claim(Claims::FRONT) {
            let _done = Finish(shared);
            work(Share { who: 0, chunk });
        }
        drop(section);
        // ORDERING(crew): Relaxed. Set before its chunk was counted, which `Section` has seen.
        assert!(
            !shared.failed.load(Ordering::Relaxed),
            "a partner panicked; its message is above"
        );
    }

    pub fn totals(&self) -> CrewTotals {
        // ORDERING(totals): Relaxed, alone.
        CrewTotals {
            helped: self.shared.helped.load(Ordering::Relaxed),
            naps: self.shared.naps.load(Ordering::Relaxed),
        }
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        // ORDERING(over): Relaxed. The bell carries it to who sleeps, and who is awake looks again.
        self.shared.is_over.store(true, Ordering::Relaxed);
        self.dismiss();
        self.bells.iter().for_each(Bell::ring);
    }
}

impl std::fmt::Debug for Crew {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Crew")
            .field("size", &self.size())
            .field("totals", &self.totals())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// A chunk that nobody has, if there is one.
    fn claim(&self, side: u64) -> Option<usize> {
        // ORDERING(crew): Acquire, pairs with the Release in `share`: every value of the word between that store and the next is
        // made by additions, which continue its release sequence.
        Claims(self.claims.0.fetch_add(side, Ordering::Acquire)).next(side)
    }
}

/// A chunk, however it ends.
struct Finish<'a>(&'a Shared);

impl Drop for Finish<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // ORDERING(crew): Relaxed, published by the next addition.
            self.0.failed.store(true, Ordering::Relaxed);
        }
        // ORDERING(crew): Release, pairs with the Acquire in `Section`: what the chunk wrote is seen by the caller, and its
        // reads come before whatever the caller writes next.
        self.0.done.0.fetch_add(1, Ordering::Release);
    }
}

/// A piece of work, until all of its chunks that were claimed are done.
struct Section<'a>(&'a Shared);

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let shared = self.0;
        // ORDERING(crew): Relaxed. Only whether everything is claimed counts, and only its own word is looked at.
        let mut claims = Claims(shared.claims.0.load(Ordering::Relaxed));
        if !claims.is_all() {
            // The caller's own chunk has panicked: no more claims.
            // ORDERING(crew): Relaxed. The chunks claimed before are waited for below.
            claims = Claims(shared.claims.0.swap(Claims::of(0).0, Ordering::Relaxed));
        }
        let claimed = claims.claimed();
        let mut looks = 0u32;
        let mut asleep_from = None;
        // BOUND: a partner that has claimed a chunk does nothing else until it is done. A nap after 1 ms lets it, wherever
        // it is kept from a core.
        // ORDERING(crew): Acquire, pairs with the Release in `Finish`. The additions of all chunks are one release sequence.
        while (shared.done.0.load(Ordering::Acquire) as usize) < claimed {
            spin_loop();
            looks = looks.wrapping_add(1);
            if !looks.is_multiple_of(64) {
                continue;
            }
            let now = clock::now();
            if now >= *asleep_from.get_or_insert(now + WAIT_AWAKE) {
                // ORDERING(totals): Relaxed, alone.
                shared.naps.fetch_add(1, Ordering::Relaxed);
                clock::sleep_until(now + NAP);
            }
        }
    }
}

impl Partner {
    /// The caller has gone; there will be no more work.
    pub fn is_over(&self) -> bool {
        // ORDERING(over): Relaxed, see `Crew::drop`.
        self.shared.is_over.load(Ordering::Relaxed)
    }

    fn calls(&self) -> u32 {
        // ORDERING(calls): Relaxed, see `Crew::turn`.
        self.shared.calls.0.load(Ordering::Relaxed)
    }

    /// The body of a partner's thread: until the caller has gone.
    /// It does not end with it: who is last to go frees what is shared, and a sealed thread does not.
    pub fn run(&mut self, wait: WaitPolicy, mut alive: impl FnMut(MonoTime)) {
        // BOUND: ends with the caller.
        while !self.is_over() {
            let now = clock::now();
            alive(now);
            self.serve(wait, now + IDLE_TURN);
        }
    }

    /// Waits for a call, until `deadline`, and works until it is dismissed or has nothing to do for 2 ms.
    pub fn serve(&mut self, wait: WaitPolicy, deadline: MonoTime) {
        let is_called = |calls: u32| !calls.is_multiple_of(2) && calls != self.heard;
        let ready = || is_called(self.calls()) || self.is_over();
        if !self.bell.wait(wait, None, deadline, ready) {
            return;
        }
        let calls = self.calls();
        if !is_called(calls) {
            return;
        }
        self.heard = calls;
        let helped = self.work_while(calls);
        // ORDERING(totals): Relaxed, alone.
        self.shared.helped.fetch_add(helped, Ordering::Relaxed);
    }

    /// Returns how many chunks it has done.
    fn work_while(&self, calls: u32) -> u64 {
        let (mut helped, mut looks) = (0, 0u32);
        let mut until = clock::now() + LOOK_FOR;
        // BOUND: ends with the call, and after 2 ms without a chunk.
        while self.calls() == calls {
            if self.help() {
                helped += 1;
                looks = 0;
                until = MonoTime::FAR;
                continue;
            }
            spin_loop();
            looks += 1;
            if looks.is_multiple_of(64) {
                let now = clock::now();
                if until == MonoTime::FAR {
                    until = now + LOOK_FOR;
                }
                if now >= until {
                    break;
                }
            }
        }
        helped
    }

    /// Does one chunk, if there is one that nobody has. Never waits.
    pub fn help(&self) -> bool {
        // A look before the claim, because that takes the line away from those who claim.
        // ORDERING(crew): Relaxed. Only the claim counts.
        let claims = Claims(self.shared.claims.0.load(Ordering::Relaxed));
        let chunk = (!claims.is_all()).then(|| self.shared.claim(Claims::BACK));
        let Some(chunk) = chunk.flatten() else {
            return false;
        };
        self.work_on(chunk);
        true
    }

    fn work_on(&self, chunk: usize) {
        let _done = Finish(&self.shared);
        let who = self.who;
        // SAFETY: the claim is good, so the caller waits for this chunk, keeps the function until then and does not write.
        let work = self.shared.work.with(|work| unsafe { *work });
        let Some(work) = work else {
            unreachable!("there is work before there is a good claim")
        };
        // SAFETY: as above.
        let work = unsafe { &*work };
        work(Share { who, chunk });
    }
}

impl std::fmt::Debug for Partner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partner")
            .field("who", &self.who)
            .finish_non_exhaustive()
    }
}
