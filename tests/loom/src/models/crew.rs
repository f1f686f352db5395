//! Crews: each chunk is done once, whoever does it, on work that its doer sees whole; and the caller goes on only when
//! all are done, and sees what they wrote.

use loom::cell::UnsafeCell;
use loom::thread;

use super::bounded;
use crate::rt::crew::{Crew, Partner, Share, crew};
use crate::rt::wait::WaitPolicy;
use crate::units::{MonoTime, Nanos};

const PARK: WaitPolicy = WaitPolicy::Park { spin: Nanos::ZERO };

/// What chunks write; loom reports two accesses of a cell that nothing orders.
struct Cells<const N: usize>([UnsafeCell<u32>; N]);

// SAFETY: the model checks every access.
unsafe impl<const N: usize> Sync for Cells<N> {}

impl<const N: usize> Cells<N> {
    fn new() -> Self {
        Self(std::array::from_fn(|_| UnsafeCell::new(0)))
    }

    /// Each chunk adds `value` to its cell: twice would show.
    fn add(&self, crew: &mut Crew, value: u32) {
        crew.share(N, &|Share { chunk, .. }| {
            // SAFETY: the model checks every access.
            self.0[chunk].with_mut(|cell| unsafe { *cell += value });
        });
    }

    /// By the caller, between two pieces of work.
    fn all(&self) -> [u32; N] {
        // SAFETY: the model checks every access.
        std::array::from_fn(|i| self.0[i].with(|cell| unsafe { *cell }))
    }
}

fn serve(mut partner: Partner) {
    while !partner.is_over() {
        partner.serve(PARK, MonoTime::FAR);
    }
}

#[test]
fn each_chunk_is_done_once_and_seen_by_the_caller() {
    bounded(|| {
        let (mut crew, mut partners) = crew(1);
        let partner = partners.pop().unwrap();
        // A partner looks for chunks as often as it can; the model needs an end.
        let helping = thread::spawn(move || (0..3).filter(|_| partner.help()).count());
        let cells = Cells::<2>::new();
        cells.add(&mut crew, 1);
        assert_eq!(cells.all(), [1, 1]);
        // The second piece meets what is left of the first: a partner between its look and its claim.
        cells.add(&mut crew, 10);
        assert_eq!(cells.all(), [11, 11]);
        assert!(helping.join().unwrap() <= 3);
    });
}

#[test]
fn two_partners_and_the_caller_never_have_the_same_chunk() {
    bounded(|| {
        let (mut crew, partners) = crew(2);
        let helping = partners
            .into_iter()
            .map(|partner| thread::spawn(move || partner.help()));
        let helping: Vec<_> = helping.collect();
        let cells = Cells::<2>::new();
        cells.add(&mut crew, 1);
        assert_eq!(cells.all(), [1, 1]);
        for thread in helping {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_partner_that_sleeps_hears_each_call_and_the_end() {
    bounded(|| {
        let (mut crew, mut partners) = crew(1);
        let partner = partners.pop().unwrap();
        let helping = thread::spawn(move || serve(partner));
        for _ in 0..2 {
            crew.call();
            crew.dismiss();
        }
        drop(crew);
        helping.join().unwrap();
    });
}
