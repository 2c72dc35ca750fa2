//! What an appender holds until its event counts: waited for on a thread, or awaited in a task.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::{JournalError, Mark};

#[derive(Default)]
struct Slot {
    outcome: Option<Result<Mark, JournalError>>,
    waker: Option<Waker>,
}

#[derive(Default)]
struct Shared {
    slot: Mutex<Slot>,
    filled: Condvar,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Slot> {
        // A slot is never half changed, so a panic elsewhere leaves it usable.
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The outcome of one append. Dropping it does not take the append back.
#[must_use = "an event counts only once its ticket says so"]
pub struct Ticket {
    shared: Arc<Shared>,
}

impl Ticket {
    /// Blocks this thread until the event is durable, and returns where it stands. In async code await the
    /// ticket instead.
    pub fn wait(self) -> Result<Mark, JournalError> {
        let mut slot = self.shared.lock();
        loop {
            if let Some(outcome) = slot.outcome.take() {
                return outcome;
            }
            slot = self.shared.filled.wait(slot).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Future for Ticket {
    type Output = Result<Mark, JournalError>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.shared.lock();
        match &slot.outcome {
            Some(outcome) => Poll::Ready(outcome.clone()),
            None => {
                slot.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// The writer's end of a ticket. Dropped without an outcome (the writer died), it says so.
pub(super) struct Reply {
    shared: Option<Arc<Shared>>,
}

impl Reply {
    pub(super) fn pair() -> (Self, Ticket) {
        let shared = Arc::new(Shared::default());
        let reply = Self { shared: Some(Arc::clone(&shared)) };
        (reply, Ticket { shared })
    }

    pub(super) fn send(mut self, outcome: Result<Mark, JournalError>) {
        self.fill(outcome);
    }

    fn fill(&mut self, outcome: Result<Mark, JournalError>) {
        let Some(shared) = self.shared.take() else {
            return;
        };
        let mut slot = shared.lock();
        slot.outcome = Some(outcome);
        let waker = slot.waker.take();
        drop(slot);
        shared.filled.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.fill(Err(JournalError::Closed));
    }
}
