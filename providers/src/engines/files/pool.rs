//! The workers: batches of paths in, outcomes out, both bounded.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use segue_contract::StepError;

use super::put::{Hand, Job, Outcome};
use super::work::Work;

/// Batches that wait for a worker.
const WAITING: usize = 8;

/// The two queues.
#[derive(Default)]
pub(crate) struct Pool {
    inner: Mutex<Inner>,
    /// Told when there is work, or an end of it.
    work: Condvar,
    /// Told when there is an outcome, or room.
    done: Condvar,
}

#[derive(Default)]
struct Inner {
    batches: VecDeque<Vec<Job>>,
    outcomes: Vec<(u64, Outcome)>,
    closed: bool,
}

impl Pool {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands a batch to the workers, waiting for room.
    pub(crate) fn send(&self, batch: Vec<Job>) {
        let mut inner = self.lock();
        while inner.batches.len() >= WAITING {
            inner = self.done.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        inner.batches.push_back(batch);
        drop(inner);
        self.work.notify_one();
    }

    /// What is done by now; with `wait`, at least one outcome.
    pub(crate) fn take(&self, wait: bool) -> Vec<(u64, Outcome)> {
        let mut inner = self.lock();
        while wait && inner.outcomes.is_empty() {
            inner = self.done.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::take(&mut inner.outcomes)
    }

    fn close(&self) {
        self.lock().closed = true;
        self.work.notify_all();
    }

    /// A worker's life.
    fn serve(&self, work: &Work<'_>) {
        let mut hand = Hand::new(work);
        loop {
            let mut inner = self.lock();
            let batch = loop {
                if let Some(batch) = inner.batches.pop_front() {
                    break batch;
                }
                if inner.closed {
                    return;
                }
                inner = self.work.wait(inner).unwrap_or_else(PoisonError::into_inner);
            };
            drop(inner);
            self.done.notify_all();
            let mut outcomes = Vec::with_capacity(batch.len());
            for job in &batch {
                let outcome =
                    if work.stopping() { Outcome::Failed(StepError::cancelled()) } else { hand.put(job) };
                if matches!(outcome, Outcome::Failed(_)) {
                    work.stop.store(true, Ordering::Relaxed);
                }
                outcomes.push((job.seq, outcome));
            }
            self.lock().outcomes.append(&mut outcomes);
            self.done.notify_all();
        }
    }

    /// Runs `body` with workers around it.
    pub(crate) fn run<T>(work: &Work<'_>, body: impl FnOnce(&Self) -> T) -> T {
        let pool = Self::default();
        std::thread::scope(|scope| {
            for _ in 0..work.threads {
                scope.spawn(|| pool.serve(work));
            }
            // Also when `body` panics, or the scope would wait for ever.
            let _closing = Closing(&pool);
            body(&pool)
        })
    }
}

struct Closing<'a>(&'a Pool);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
