//! Reads for tasks: from memory at once, else by threads that answer everyone, whatever happens to one of them.

use std::pin::Pin;
use std::sync::Weak;
use std::task::{Context, Poll, Waker};

use super::*;
use crate::engine::Shared;

/// Many more than a thread takes at a time.
const RECORDS: u32 = 500;

/// A store whose records are in its tables only: each note has its number.
fn in_tables(folder: &Path) -> Run {
    let run = Run::open(folder);
    let permit = run.store.try_reserve(Class::Turn { growth: 0 }, 0).unwrap();
    let (ticket, ()) = run.store.submit(permit, |stage| {
        for number in 0..RECORDS {
            stage.put(declared::note(number), Bytes::copy_from_slice(&number.to_be_bytes()));
        }
    });
    run.settle(ticket);
    // Ends with a checkpoint.
    run.store.close().unwrap();
    drop(run);
    Run::open(folder)
}

/// A read that has been polled once: it waits for a thread, unless that was faster.
enum Begun<F: Future> {
    Over(F::Output),
    Waits(Pin<Box<F>>),
}

fn begin<F: Future>(read: F) -> Begun<F> {
    let mut read = Box::pin(read);
    match read.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Begun::Over(output),
        Poll::Pending => Begun::Waits(read),
    }
}

impl<F: Future> Begun<F> {
    fn end(self) -> F::Output {
        match self {
            Self::Over(output) => output,
            Self::Waits(read) => block_on(read),
        }
    }
}

/// Says on which thread a record was read.
struct Where(Option<String>);

impl Admit for Where {
    fn admits(&mut self, _: usize) -> bool {
        self.0 = std::thread::current().name().map(str::to_owned);
        true
    }
}

/// Waits until nothing of the store is there any more, its threads included.
fn is_gone(shared: &Weak<Shared>) {
    while shared.strong_count() > 0 {
        std::thread::yield_now();
    }
}

#[test]
fn what_is_in_memory_needs_no_thread() {
    let folder = folder();
    let mut run = in_tables(folder.path());
    let (new, deleted) = (declared::note(RECORDS), declared::note(7));
    let permit = run.store.try_reserve(Class::Turn { growth: 0 }, 0).unwrap();
    let (ticket, ()) = run.store.submit(permit, |stage| {
        stage.put(new, Bytes::from_static(b"new"));
        stage.delete(deleted);
    });
    run.settle(ticket);
    let own = std::thread::current().name().map(str::to_owned);
    for _ in 0..2 {
        // The writer has done with it when it tells of it, so that nothing is in the way.
        let (found, place) = block_on(run.store.read_while(vec![deleted, new], Where(None))).unwrap();
        assert_eq!((found, &place.0), (vec![None, Some(Bytes::from_static(b"new"))], &own));
        run.freeze();
    }
    // One that is in the tables only takes the others along, so that all are of one moment.
    let (found, place) = block_on(run.store.read_while(vec![deleted, declared::note(8), new], Where(None))).unwrap();
    let expected = vec![None, Some(Bytes::copy_from_slice(&8_u32.to_be_bytes())), Some(Bytes::from_static(b"new"))];
    assert_eq!((found, place.0.as_deref()), (expected, Some("everpost-reader")));
}

#[test]
fn everyone_is_answered_with_their_own_records() {
    let folder = folder();
    let run = in_tables(folder.path());
    let reads: Vec<_> = (0..RECORDS + 1).map(|number| begin(run.store.read(declared::note(number)))).collect();
    for (number, read) in (0..).zip(reads) {
        let expected = (number < RECORDS).then(|| Bytes::copy_from_slice(&number.to_be_bytes()));
        assert_eq!(read.end().unwrap(), expected);
    }
}

/// Panics when it is asked.
struct Panics;

impl Admit for Panics {
    fn admits(&mut self, _: usize) -> bool {
        panic!("a defect of the caller")
    }
}

#[test]
fn a_panic_fails_one_read_and_no_other() {
    let folder = folder();
    let run = in_tables(folder.path());
    let read = |number| run.store.read(declared::note(number));
    // More than there are threads, among others.
    for round in 0..100 {
        let before = begin(read(round));
        let panics = begin(run.store.read_while(vec![declared::note(round)], Panics));
        let after = begin(read(round + 1));
        assert!(matches!(panics.end(), Err(ReadError::Panicked)));
        assert!(before.end().unwrap().is_some() && after.end().unwrap().is_some());
    }
    assert!(run.store.failure().is_none(), "nothing was changed");
}

#[test]
fn whoever_waits_at_the_end_is_told_and_no_thread_is_left() {
    for _ in 0..20 {
        let folder = folder();
        let run = in_tables(folder.path());
        let reads: Vec<_> = (0..RECORDS).map(|number| begin(run.store.read(declared::note(number)))).collect();
        run.store.close().unwrap();
        for read in reads {
            let read = read.end();
            assert!(matches!(read, Ok(Some(_)) | Err(ReadError::Closed)), "{read:?}");
        }
        assert!(matches!(block_on(run.store.read(declared::note(1))), Err(ReadError::Closed)));
        let shared = Arc::downgrade(&run.store.inner.shared);
        drop(run);
        assert_eq!(shared.strong_count(), 0, "all threads are gone when the last handle is");
    }
}

/// Holds the store.
struct Holds(#[expect(dead_code, reason = "dropped with it")] Store);

impl Admit for Holds {
    fn admits(&mut self, _: usize) -> bool {
        true
    }
}

#[test]
fn a_store_may_end_on_a_thread_that_reads() {
    for _ in 0..20 {
        let folder = folder();
        let run = in_tables(folder.path());
        let shared = Arc::downgrade(&run.store.inner.shared);
        let reads: Vec<_> = (0..RECORDS)
            .map(|number| {
                let (store, holds) = (run.store.clone(), Holds(run.store.clone()));
                begin(async move { store.read_while(vec![declared::note(number)], holds).await.map(drop) })
            })
            .collect();
        drop(run);
        // Whichever thread has the last of them ends the store.
        drop(reads);
        is_gone(&shared);
        drop(Run::open(folder.path()));
    }
}
