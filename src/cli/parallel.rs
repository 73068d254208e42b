//! The same work for many things, on every core, in order.

use std::{
    cell::Cell,
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// How many things a thread takes at once: enough that taking costs nothing.
const BATCH: usize = 16;

/// Stack of every thread, as the first one has it: the parsers of shell and SQL recurse. What is
/// unused of it is never touched.
const STACK: usize = 8 << 20;

thread_local! {
    /// True while the thread works on one of many things: what it does for that one it does alone.
    static IS_BUSY: Cell<bool> = const { Cell::new(false) };
}

/// `f` of every item, in the order of the items.
pub(super) fn map<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    in_batches(items, BATCH, f)
}

/// The same for items of which each is much work.
pub(super) fn map_large<T: Sync, R: Send>(items: &[T], f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    in_batches(items, 1, f)
}

fn in_batches<T: Sync, R: Send>(items: &[T], size: usize, f: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let batches = items.len().div_ceil(size);
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
            let Some(items) = items.chunks(size).nth(batch) else { break };
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
            done.extend(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        done
    });
    done.sort_by_key(|(batch, _)| *batch);
    done.into_iter().flat_map(|(_, results)| results).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_stays() {
        for count in [0, 1, 15, 16, 17, 1_000] {
            let items: Vec<usize> = (0..count).collect();
            assert_eq!(map(&items, |item| *item), items);
            let twice = map_large(&items, |item| map(&[*item; 40], |inner| *inner).len());
            assert_eq!(twice, vec![40; count]);
        }
    }
}
