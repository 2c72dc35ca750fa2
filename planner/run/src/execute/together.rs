//! Doing the same for all members of a group at once, so that the pause of a group is that of its slowest member.

/// Threads at once; a larger group goes in batches.
const TOGETHER_MAX: usize = 16;

/// Runs `work` for each item at once. Every one is waited for, and the first error in their order is returned.
pub(super) fn together<T: Sync, R: Send, E: Send>(
    items: &[T],
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    if let [only] = items {
        return Ok(vec![work(only)?]);
    }
    let mut results = Vec::new();
    for batch in items.chunks(TOGETHER_MAX) {
        results.extend(std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> = batch.iter().map(|item| scope.spawn(move || work(item))).collect();
            let joined = threads.into_iter().map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            });
            joined.collect::<Vec<_>>()
        }));
    }
    results.into_iter().collect()
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
