//! What the tests of this package share: a step that nobody watches, and blocks by hand.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use segue_contract::{
    Address, BlockRef, Checkpoint, Config, Finding, Progress, Secret, SecretRef, Setting, StepError, StepIo,
};

/// A step that nobody watches.
#[derive(Debug)]
pub(crate) struct Io {
    pub(crate) artifacts: PathBuf,
    pub(crate) found: Mutex<Vec<Finding>>,
    /// What a person answers, the last first, and then nobody does; `None`: yes to everything.
    pub(crate) answers: Mutex<Option<Vec<bool>>>,
}

impl Default for Io {
    fn default() -> Self {
        Self { artifacts: std::env::temp_dir(), found: Mutex::default(), answers: Mutex::default() }
    }
}

impl Io {
    /// With a person who answers so many questions.
    pub(crate) fn answered(answers: &[bool]) -> Self {
        Self { answers: Mutex::new(Some(answers.iter().rev().copied().collect())), ..Self::default() }
    }
}

impl StepIo for Io {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: Progress) {}
    fn checkpoint(&self, _: Checkpoint) -> Result<(), StepError> {
        Ok(())
    }
    fn take(&self, _: u64) {}
    fn artifacts(&self) -> &Path {
        &self.artifacts
    }
    fn secret(&self, secret: &SecretRef) -> Result<Secret, StepError> {
        Err(StepError::permanent(format!("no secret {secret}")))
    }
    fn find(&self, finding: Finding) {
        self.found.lock().expect("not poisoned").push(finding);
    }
    fn yes_or_no(&self, question: &str) -> Result<bool, StepError> {
        match &mut *self.answers.lock().expect("not poisoned") {
            None => Ok(true),
            Some(answers) => {
                answers.pop().ok_or_else(|| StepError::permanent(format!("nobody to ask: {question}")))
            }
        }
    }
}

/// A block whose base directory is the working directory.
pub(crate) fn block(address: &str, provider: &str, settings: &[(&str, serde_json::Value)]) -> BlockRef {
    block_in(Path::new("."), address, provider, settings)
}

/// A block.
pub(crate) fn block_in(
    base_dir: &Path,
    address: &str,
    provider: &str,
    settings: &[(&str, serde_json::Value)],
) -> BlockRef {
    let mut config = Config::default();
    for (name, value) in settings {
        config.insert(*name, Setting::Plain(value.clone()));
    }
    BlockRef {
        address: Address::new(address),
        provider: provider.to_owned(),
        base_dir: base_dir.to_owned(),
        config,
        scope: Vec::new(),
    }
}
