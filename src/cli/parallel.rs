//! The same work for many things, on every core, in order.

use std::{
    cell::Cell,
    collections::BTreeMap,
    num::NonZeroUsize,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Condvar, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

/// How many things a thread takes at once: enough that taking costs nothing.
const BATCH: usize = 16;

/// How many results of each thread may wait for one that takes longer.
const AHEAD: usize = 2;

/// Stack of every thread, as the first one has it: the parsers of shell and SQL recurse. What is
/// unused of it is never touched.
const STACK: usize = 8 << 20;

thread_local! {
    /// True while the thread works on one of many things: what it does for that one it does alone.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

/// `f` of every item, in the order of the items.
pub(super) fn map<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let batches = items.len().div_ceil(BATCH);
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(batches);
    if threads <= 1 || IS_BUSY.get() {
        return items.iter().map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        IS_BUSY.set(true);
        let mut done = Vec::new();
        loop {
            let batch = next.fetch_add(1, Ordering::Relaxed);
            let Some(items) = items.chunks(BATCH).nth(batch) else { break };
            done.push((batch, items.iter().map(&f).collect::<Vec<R>>()));
        }
        IS_BUSY.set(false);
        done
    };
    let mut done: Vec<(usize, Vec<R>)> = thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).filter_map(spawn).collect();
        // This thread works as well, so that there is progress even when no other can be had.
        let mut done = work();
        for thread in others {
            done.extend(thread.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(batch, _)| *batch);
    done.into_iter().flat_map(|(_, results)| results).collect()
}

/// `f` of every item, of which each is much work, to `take` in the order of the items, while the rest
/// is still worked on. No more than `AHEAD` results of each thread wait for their turn.
///
/// # Errors
///
/// Those of `take`, after which nothing more is begun.
pub(super) fn in_order<T: Sync, R: Send, E>(
    items: &[T],
    f: impl Fn(&T) -> R + Sync,
    mut take: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(items.len());
    if threads <= 1 || IS_BUSY.get() {
        return items.iter().try_for_each(|item| take(f(item)));
    }
    let line = Line { items, f, state: Mutex::default(), changed: Condvar::new(), threads };
    thread::scope(|scope| {
        let work = || line.work();
        let spawn = |_| thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work).ok();
        let _others = (1..threads).filter_map(spawn).count();
        // However this thread ends, the others must not wait for it for ever.
        let done = catch_unwind(AssertUnwindSafe(|| line.lead(&mut take)));
        line.change(|state| state.is_over = true);
        done.unwrap_or_else(|panic| resume_unwind(panic))
    })
}

/// Items that are worked on in order.
struct Line<'l, T, F, R> {
    items: &'l [T],
    f: F,
    state: Mutex<State<R>>,
    changed: Condvar,
    threads: usize,
}

struct State<R> {
    /// The first item that nobody works on yet.
    next: usize,
    /// The first item whose result was not taken yet.
    turn: usize,
    done: BTreeMap<usize, thread::Result<R>>,
    is_over: bool,
}

impl<R> Default for State<R> {
    fn default() -> Self {
        Self { next: 0, turn: 0, done: BTreeMap::new(), is_over: false }
    }
}

/// What a thread does next.
enum Step<R> {
    Work(usize),
    Take(thread::Result<R>),
    End,
}

impl<T: Sync, F: Fn(&T) -> R + Sync, R: Send> Line<'_, T, F, R> {
    fn change(&self, change: impl FnOnce(&mut State<R>)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Waits until there is something to do; only who leads takes results.
    fn step(&self, leads: bool) -> Step<R> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let turn = state.turn;
            if state.is_over || turn == self.items.len() {
                return Step::End;
            }
            if let Some(result) = leads.then(|| state.done.remove(&turn)).flatten() {
                state.turn = turn.saturating_add(1);
                self.changed.notify_all();
                return Step::Take(result);
            }
            let end = turn.saturating_add(AHEAD.saturating_mul(self.threads));
            let next = state.next;
            if next < end.min(self.items.len()) {
                state.next = next.saturating_add(1);
                return Step::Work(next);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn work_on(&self, at: usize) {
        let Some(item) = self.items.get(at) else { return };
        IS_BUSY.set(true);
        let result = catch_unwind(AssertUnwindSafe(|| (self.f)(item)));
        IS_BUSY.set(false);
        self.change(|state| drop(state.done.insert(at, result)));
    }

    fn work(&self) {
        while let Step::Work(at) = self.step(false) {
            self.work_on(at);
        }
    }

    fn lead<E>(&self, take: &mut impl FnMut(R) -> Result<(), E>) -> Result<(), E> {
        loop {
            match self.step(true) {
                Step::Work(at) => self.work_on(at),
                Step::Take(result) => take(result.unwrap_or_else(|panic| resume_unwind(panic)))?,
                Step::End => return Ok(()),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays() {
        for count in [0, 1, 15, 16, 17, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(map(&items, |item| *item), items);
            let twice = map(&items, |item| map(&[*item; 40], |inner| *inner).len());
            assert_eq!(twice, vec![40; count]);
        }
    }

    #[test]
    fn results_are_taken_in_order_and_few_wait() {
        let most = AtomicUsize::new(0);
        let (begun, mut taken) = (AtomicUsize::new(0), Vec::new());
        let items: Vec<usize> = (0..1_000).collect();
        let work = |item: &usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            *item
        };
        let done: Result<(), ()> = in_order(&items, work, |item| {
            let waiting = begun.load(Ordering::Relaxed) - taken.len();
            most.fetch_max(waiting, Ordering::Relaxed);
            taken.push(item);
            Ok(())
        });
        assert_eq!(done, Ok(()));
        assert_eq!(taken, items);
        let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        assert!(most.load(Ordering::Relaxed) <= AHEAD * threads + 1, "{most:?}");
    }

    #[test]
    fn nothing_is_begun_after_an_error_and_a_panic_ends_all() {
        let items: Vec<usize> = (0..100_000).collect();
        let begun = AtomicUsize::new(0);
        let work = |item: &usize| {
            begun.fetch_add(1, Ordering::Relaxed);
            *item
        };
        let stop = |item| if item == 100 { Err(item) } else { Ok(()) };
        assert_eq!(in_order(&items, work, stop), Err(100));
        assert!(begun.load(Ordering::Relaxed) < 100_000);
        for at in [0, 7, 99_999] {
            let fails = |item: &usize| assert_ne!(*item, at, "as it is to be");
            let all = || in_order(&items, fails, |()| Ok::<(), ()>(()));
            assert!(catch_unwind(AssertUnwindSafe(all)).is_err(), "{at}");
            let take = |item: usize| {
                fails(&item);
                Ok::<(), ()>(())
            };
            let all = || in_order(&items, |item| *item, take);
            assert!(catch_unwind(AssertUnwindSafe(all)).is_err(), "{at}");
        }
    }
}
