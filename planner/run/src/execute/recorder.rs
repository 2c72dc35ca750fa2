//! Recording: an event is appended to the journal, becomes durable, and only then is folded into the
//! state that everybody reads.

use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use segue_plan::event::{Entry, Event, WIRE_VERSION};
use segue_plan::state::{State, fold};

use crate::journal::{Journal, JournalError, Mark};

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
    /// The journal's number of the last event folded.
    sequence: u64,
    /// Events handed over so far.
    handed: u64,
    /// Handed to the journal and not yet folded, in the journal's order.
    pending: VecDeque<Pending>,
}

struct Pending {
    order: u64,
    entry: Entry,
    /// `None`: not known yet. `Some(None)`: it failed. `Some(Some(n))`: it is durable as event `n`.
    outcome: Option<Option<u64>>,
}

/// The journal's writing end and the state that it folds to.
pub struct Recorder {
    journal: Journal,
    inner: Mutex<Inner>,
    folded: Condvar,
}

impl Recorder {
    /// Goes on from a state that stands at `sequence`.
    pub fn new(journal: Journal, state: State, sequence: u64) -> Self {
        Self {
            journal,
            inner: Mutex::new(Inner { state, sequence, handed: 0, pending: VecDeque::new() }),
            folded: Condvar::new(),
        }
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
        let (ticket, order) = {
            // Handing over under the lock keeps `pending` in the journal's order.
            let mut inner = self.lock();
            let run = match &event {
                Event::RunStarted(record) => record.run,
                _ => inner.state.last_run.as_ref().map_or(0, |r| r.record.run),
            };
            let entry = Entry { v: WIRE_VERSION, at_ms, run, event };
            let bytes = entry.encode()?;
            let ticket =
                if settling { self.journal.append_reserved(bytes) } else { self.journal.append(bytes) };
            inner.handed += 1;
            let order = inner.handed;
            inner.pending.push_back(Pending { order, entry, outcome: None });
            (ticket, order)
        };
        let result = ticket.wait();
        self.resolve(order, result.as_ref().ok().map(|mark| mark.seq.0));
        result.map(|_| ()).map_err(RecordError::from)
    }

    /// Events are folded in the journal's order, each when its own outcome is known: an event after a
    /// failed one may be durable, and one before it may be known a moment later. Returns when everything up to
    /// `order` is settled, so that whoever recorded an event finds it in the state.
    fn resolve(&self, order: u64, outcome: Option<u64>) {
        let mut inner = self.lock();
        if let Some(pending) = inner.pending.iter_mut().find(|p| p.order == order) {
            pending.outcome = Some(outcome);
        }
        while inner.pending.front().is_some_and(|p| p.outcome.is_some()) {
            if let Some(Pending { entry, outcome: Some(Some(sequence)), .. }) = inner.pending.pop_front() {
                fold(&mut inner.state, &entry);
                inner.sequence = sequence;
            }
        }
        self.folded.notify_all();
        while inner.pending.front().is_some_and(|p| p.order <= order) {
            inner = self.folded.wait(inner).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The last event that is durable.
    pub fn durable(&self) -> Option<Mark> {
        self.journal.durable()
    }

    /// A copy of the state.
    pub fn state(&self) -> State {
        self.lock().state.clone()
    }

    /// Looks at the state without copying it. `look` must not record.
    pub fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock().state)
    }

    /// A copy of the state, if it changed since event `known`; and the event that it stands at.
    pub fn changed_since(&self, known: Option<u64>) -> (Option<State>, u64) {
        let inner = self.lock();
        let changed = known != Some(inner.sequence);
        (changed.then(|| inner.state.clone()), inner.sequence)
    }

    /// The state and the sequence that it stands at.
    pub fn snapshot(&self) -> (State, u64) {
        let inner = self.lock();
        (inner.state.clone(), inner.sequence)
    }
}
