//! The executor's side of a step, as these tests play it.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use segue_contract::{Checkpoint, Finding, Progress, Secret, SecretRef, StepError, StepIo};

/// The executor's side: it can stop a step at any call.
pub(crate) struct Io {
    pub(crate) artifacts: PathBuf,
    pub(crate) checkpoints: Mutex<Vec<Checkpoint>>,
    pub(crate) findings: Mutex<Vec<Finding>>,
    pub(crate) taken: AtomicU64,
    /// Questions whether to stop until the answer is yes; negative: never.
    pub(crate) calls_left: AtomicI64,
}

impl StepIo for Io {
    fn cancelled(&self) -> bool {
        let left = self.calls_left.load(Ordering::SeqCst);
        if left > 0 {
            self.calls_left.store(left - 1, Ordering::SeqCst);
        }
        left == 0
    }
    fn progress(&self, _: Progress) {}
    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), StepError> {
        self.checkpoints.lock().unwrap().push(checkpoint);
        Ok(())
    }
    fn take(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::SeqCst);
    }
    fn artifacts(&self) -> &Path {
        &self.artifacts
    }
    fn secret(&self, _: &SecretRef) -> Result<Secret, StepError> {
        Err(StepError::permanent("no secrets here"))
    }
    fn find(&self, finding: Finding) {
        self.findings.lock().unwrap().push(finding);
    }
}
