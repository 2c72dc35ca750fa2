//! Replays what the store does not have yet, from the journal into the store.

use std::ops::ControlFlow;
use std::path::Path;

use super::{Batch, StateStore, StoreError};
use crate::journal::{Frame, JournalError, Mark, Reading, Seq, Verdict, read};

/// Changes that are written together while replaying: bounds memory, and makes one sync serve many events.
const BATCH_CHANGES: usize = 4096;

/// How an event changes the stored state. Loaded from the store before it is asked.
pub trait Fold {
    /// An event that cannot be understood.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Takes one event in and adds what it changes in the store.
    ///
    /// # Errors
    /// The event cannot be understood: nothing may go on.
    fn apply(&mut self, event: &Frame<'_>, changes: &mut Batch) -> Result<(), Self::Error>;
}

/// What a replay found and did.
#[derive(Clone, Debug)]
pub struct CaughtUp {
    /// How many events were replayed.
    pub events: u64,
    /// What the journal's reading found; its verdict is not [`Verdict::Damaged`].
    pub reading: Reading,
    /// The store failed on the way and stands where it stood; the fold has seen every event all the same,
    /// so the run can go on in memory.
    pub store_failed: Option<String>,
}

/// Why the state cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum CatchUpError<E: std::error::Error + 'static> {
    /// The journal cannot be read, or is damaged.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// An event cannot be understood.
    #[error("event {seq} of the journal cannot be understood: {source}")]
    Event {
        /// Which.
        seq: Seq,
        /// Why not.
        source: E,
    },
}

/// Reads the journal from where the store stands, hands each event to the fold, and writes the changes to
/// the store in batches. The store's mark is evidence: a journal without that event is damaged.
///
/// Open the journal for writing first (or hold the lock): a torn group counts for nothing here, but one in
/// the making might be seen.
///
/// # Errors
/// A journal that is damaged or unreadable, or an event that the fold does not know. Not a failing store.
pub fn catch_up<F: Fold>(
    journal: &Path,
    store: &mut dyn StateStore,
    fold: &mut F,
) -> Result<CaughtUp, CatchUpError<F::Error>> {
    let stands_at = store.stands_at();
    let from = stands_at.map_or(Seq::FIRST, |mark| mark.seq.next());
    let known: Vec<Mark> = stands_at.into_iter().collect();
    // Damage can show after the first batches; what is stored must never be ahead of a journal that is whole.
    let whole = read(journal, from, &known, &mut |_| ControlFlow::Continue(()))?;
    if let Verdict::Damaged(damage) = whole.verdict {
        return Err(JournalError::Damaged(damage).into());
    }
    let mut replay = Replay {
        store,
        fold,
        batch: Batch::default(),
        last: None,
        events: 0,
        store_failed: None,
        event_failed: None,
    };
    let reading = read(journal, from, &known, &mut |frame| replay.take(&frame))?;
    replay.flush();
    let Replay { events, store_failed, event_failed, .. } = replay;
    if let Some((seq, source)) = event_failed {
        return Err(CatchUpError::Event { seq, source });
    }
    if let Verdict::Damaged(damage) = reading.verdict {
        return Err(JournalError::Damaged(damage).into());
    }
    Ok(CaughtUp { events, reading, store_failed: store_failed.map(|error| error.to_string()) })
}

struct Replay<'a, F: Fold> {
    store: &'a mut dyn StateStore,
    fold: &'a mut F,
    batch: Batch,
    last: Option<Mark>,
    events: u64,
    store_failed: Option<StoreError>,
    event_failed: Option<(Seq, F::Error)>,
}

impl<F: Fold> Replay<'_, F> {
    fn take(&mut self, frame: &Frame<'_>) -> ControlFlow<()> {
        if let Err(source) = self.fold.apply(frame, &mut self.batch) {
            // What this event may have changed already is not written; what came before it is.
            self.batch = Batch::default();
            self.last = None;
            self.event_failed = Some((frame.mark.seq, source));
            return ControlFlow::Break(());
        }
        self.events += 1;
        self.last = Some(frame.mark);
        if self.batch.len() >= BATCH_CHANGES {
            self.flush();
        }
        ControlFlow::Continue(())
    }

    fn flush(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        let Some(at) = self.last.take() else {
            return;
        };
        if self.store_failed.is_none() {
            self.store_failed = self.store.put(&batch, at).err();
        }
    }
}
