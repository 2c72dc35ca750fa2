//! How a step fails: what happened, where, what to do, and whether trying again can help.

use std::error::Error;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Whether trying again can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorClass {
    /// May pass by itself: retried with backoff inside a deadline.
    Transient,
    /// Stays until somebody changes something.
    Permanent,
    /// The effect may or may not have happened (or may still happen): observe before deciding.
    Unknown,
    /// The step stopped because it was asked to.
    Cancelled,
}

/// A failed operation of a provider.
#[derive(Debug)]
pub struct StepError {
    /// Whether trying again can help.
    pub class: ErrorClass,
    /// What failed and where, a lowercase fragment that names the path, key or host: `cannot write /b/x`.
    pub what: String,
    /// What the user can do next, a sentence.
    pub remedy: Option<String>,
    /// The cause, printed once after `what`.
    pub source: Option<Box<dyn Error + Send + Sync>>,
}

impl StepError {
    /// An error that stays until somebody changes something.
    pub fn permanent(what: impl Into<String>) -> Self {
        Self { class: ErrorClass::Permanent, what: what.into(), remedy: None, source: None }
    }

    /// An error that may pass by itself.
    pub fn transient(what: impl Into<String>) -> Self {
        Self { class: ErrorClass::Transient, ..Self::permanent(what) }
    }

    /// An effect whose outcome is not known.
    pub fn unknown(what: impl Into<String>) -> Self {
        Self { class: ErrorClass::Unknown, ..Self::permanent(what) }
    }

    /// The step was asked to stop.
    pub fn cancelled() -> Self {
        Self { class: ErrorClass::Cancelled, ..Self::permanent("stopped as asked") }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        let mut cause: Option<&(dyn Error + 'static)> = self.source.as_deref().map(|e| e as _);
        while let Some(error) = cause {
            write!(f, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl Error for StepError {}

impl From<crate::ConfigError> for StepError {
    fn from(error: crate::ConfigError) -> Self {
        Self::permanent(error.to_string())
    }
}

impl From<crate::paths::PathError> for StepError {
    fn from(error: crate::paths::PathError) -> Self {
        let class = error.class();
        let remedy = error.remedy();
        Self { class, what: error.to_string(), remedy, source: None }
    }
}
