//! What a running step may ask of the executor.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::{Address, Finding, Secret, SecretRef, StepError};

/// How far a step is: opaque to everybody but the step, small (a low-water mark and a bounded window).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Version of the layout of `bytes`, the step's own.
    pub version: u32,
    /// The step's own encoding, at most [`Checkpoint::BYTES_MAX`].
    pub bytes: Vec<u8>,
}

impl Checkpoint {
    /// The journal keeps checkpoints small enough that hundreds fit in its reserve, and the embedded
    /// store is safe only with values under 8 KB.
    pub const BYTES_MAX: usize = 4096;
}

/// Progress of a step, for people and estimates; never for decisions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Records (files, documents) done.
    pub records: u64,
    /// Records in all, where known.
    pub records_total: Option<u64>,
    /// Bytes done.
    pub bytes: u64,
    /// Bytes in all, where known.
    pub bytes_total: Option<u64>,
}

/// What a running step may ask of the executor. Calls may come from any thread of the step.
pub trait StepIo: Send + Sync {
    /// Whether the step should stop soon: at the next safe point it returns [`StepError::cancelled`].
    fn cancelled(&self) -> bool;

    /// Shows progress. Cheap; call as often as you like.
    fn progress(&self, progress: Progress);

    /// Records a checkpoint: durable when this returns. What it names must be durable before (protocol P11).
    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), StepError>;

    /// Takes `bytes` from the rate limit; sleeps as long as the limit wants (in slices, so that a
    /// cancel is seen).
    fn take(&self, bytes: u64);

    /// Tells that an engine waits for a system by itself: for what, and how long until the next try. By default nobody
    /// listens.
    fn waits(&self, _for_what: &str, _next_try: std::time::Duration) {}

    /// The directory for artifacts (ledgers, scans, files kept aside), private to this state.
    fn artifacts(&self) -> &Path;

    /// Notes, durably and before any of it is there, that what reverse passes of a migration delete is kept at `below` in the
    /// artifact directory. May be repeated.
    ///
    /// # Errors
    /// It cannot be noted: then nothing may be kept.
    fn keeping_deleted(&self, _migration: &Address, _below: &str) -> Result<(), StepError> {
        Ok(())
    }

    /// Reads a secret.
    fn secret(&self, secret: &SecretRef) -> Result<Secret, StepError>;

    /// Tells something worth the report and the operator's attention.
    fn find(&self, finding: Finding);

    /// Asks a person a question of which both answers mean something. By default there is nobody.
    ///
    /// # Errors
    /// There is nobody to ask, or the step was cancelled before the answer.
    fn yes_or_no(&self, question: &str) -> Result<bool, StepError> {
        Err(StepError::permanent(format!("there is nobody to ask: {question}"))
            .remedy("run the command in a terminal"))
    }
}
