//! Doing the same for several at once: all members of a group, so that its pause is that of its slowest member; all units
//! that a cutover carries.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Threads at once where nothing else bounds them.
pub(super) const TOGETHER_MAX: usize = 16;

/// Runs `work` for each item at once. Every one is waited for, and the first error in their order is returned.
pub(super) fn together<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    at_most(TOGETHER_MAX, items, work).into_iter().collect()
}

/// Runs `work` for each item, so many at once: one that takes long keeps only its own place. The results are in the order
/// of the items.
pub(super) fn at_most<T: Sync, R: Send>(most: usize, items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    if let [only] = items {
        return vec![work(only)];
    }
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, R)>> = Mutex::new(Vec::with_capacity(items.len()));
    let serve = || {
        loop {
            let at = next.fetch_add(1, Ordering::SeqCst);
            let Some(item) = items.get(at) else { return };
            let result = work(item);
            done.lock().unwrap_or_else(PoisonError::into_inner).push((at, result));
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..most.clamp(1, items.len().max(1))).map(|_| scope.spawn(serve)).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Each sentence once, in the order of their first appearance.
pub(super) fn each_once(said: &[String]) -> Vec<String> {
    let mut once: Vec<String> = Vec::new();
    for sentence in said {
        if !once.contains(sentence) {
            once.push(sentence.clone());
        }
    }
    once
}

#[cfg(test)]
mod tests {
    use std::sync::{Condvar, Mutex};

    use super::at_most;

    #[test]
    fn one_that_takes_long_keeps_only_its_own_place() {
        let (seen, told) = (Mutex::new(0), Condvar::new());
        let results = at_most(2, &[0, 1, 2, 3, 4], |item| {
            let mut seen = seen.lock().expect("not poisoned");
            if *item == 0 {
                // The first waits until all others were: in batches of two it would wait for ever.
                while *seen < 4 {
                    seen = told.wait(seen).expect("not poisoned");
                }
            } else {
                *seen += 1;
                told.notify_all();
            }
            item * 10
        });
        assert_eq!(results, [0, 10, 20, 30, 40]);
        assert!(at_most(0, &[] as &[u8], |item| *item).is_empty());
    }
}
