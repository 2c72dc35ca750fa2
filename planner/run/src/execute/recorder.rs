//! Recording: an event is appended to the journal, becomes durable, and only then is folded into the
//! state that everybody reads.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use segue_plan::event::{Entry, Event, WIRE_VERSION};
use segue_plan::state::{State, fold};

use crate::journal::{JournalError, Writer};

/// An event could not be made durable: it does not count.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The journal failed.
    #[error("the journal cannot be written: {0}")]
    Journal(#[from] JournalError),
    /// The event has no JSON form: a bug.
    #[error("an event cannot be encoded: {0}")]
    Encode(#[from] serde_json::Error),
}

struct Inner {
    state: State,
    /// The sequence of the last event folded.
    sequence: u64,
    /// Appended, not yet known to be durable.
    pending: VecDeque<(u64, Entry)>,
}

/// The journal's writing end and the state that it folds to.
pub struct Recorder {
    journal: Writer,
    inner: Mutex<Inner>,
}

impl Recorder {
    /// Goes on from a state that stands at `sequence`.
    pub fn new(journal: Writer, state: State, sequence: u64) -> Self {
        Self { journal, inner: Mutex::new(Inner { state, sequence, pending: VecDeque::new() }) }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records an event.
    pub fn record(&self, at_ms: i64, event: Event) -> Result<(), RecordError> {
        self.put(at_ms, event, false)
    }

    /// Records an event, with the right to the space that is kept for settling.
    pub fn record_settling(&self, at_ms: i64, event: Event) -> Result<(), RecordError> {
        self.put(at_ms, event, true)
    }

    fn put(&self, at_ms: i64, event: Event, settling: bool) -> Result<(), RecordError> {
        let ticket = {
            // Appending under the lock keeps `pending` in the journal's order.
            let mut inner = self.lock();
            let run = match &event {
                Event::RunStarted(record) => record.run,
                _ => inner.state.last_run.as_ref().map_or(0, |r| r.record.run),
            };
            let entry = Entry { v: WIRE_VERSION, at_ms, run, event };
            let bytes = entry.encode()?;
            let ticket = if settling { self.journal.append_reserved(bytes)? } else { self.journal.append(bytes)? };
            inner.pending.push_back((ticket.sequence(), entry));
            ticket
        };
        let sequence = ticket.sequence();
        match ticket.wait() {
            Ok(_) => {
                self.fold_up_to(sequence);
                Ok(())
            }
            Err(error) => {
                self.lock().pending.retain(|(s, _)| *s != sequence);
                Err(error.into())
            }
        }
    }

    /// What is durable is durable in order: everything up to `sequence` is folded.
    fn fold_up_to(&self, sequence: u64) {
        let mut inner = self.lock();
        while inner.pending.front().is_some_and(|(s, _)| *s <= sequence) {
            if let Some((s, entry)) = inner.pending.pop_front() {
                fold(&mut inner.state, &entry);
                inner.sequence = s;
            }
        }
    }

    /// A copy of the state.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Looks at the state without copying it. `look` must not record.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock().state)
    }

    /// The state and the sequence that it stands at.
    pub fn snapshot(&self) -> (State, u64) {
        let inner = self.lock();
        (inner.state.clone(), inner.sequence)
    }
}
