//! What every command is given.

use std::sync::{Arc, Mutex, PoisonError};

use segue_contract::Registry;
use segue_run::journal::{NoTap, Tap};
use segue_run::lease::Program;

use crate::arguments::Global;
use crate::printer::Printer;

/// Segue's version, as plans and the journal record it.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One call of the command line.
pub(crate) struct Invocation {
    /// The options that every command takes.
    pub(crate) global: Global,
    /// Where output goes.
    pub(crate) printer: Arc<Printer>,
    /// The providers.
    pub(crate) registry: Registry,
    /// The binary's name.
    pub(crate) name: &'static str,
    /// The program that watches pauses.
    pub(crate) watchdog: Option<Program>,
    tap: Mutex<Option<Box<dyn Tap>>>,
}

impl Invocation {
    /// Everything that one call brings.
    pub(crate) fn new(
        global: Global,
        printer: Arc<Printer>,
        registry: Registry,
        tap: Box<dyn Tap>,
        name: &'static str,
        watchdog: Option<Program>,
    ) -> Self {
        Self { global, printer, registry, name, watchdog, tap: Mutex::new(Some(tap)) }
    }

    /// What watches the journal: for the one session that a command opens.
    pub(crate) fn take_tap(&self) -> Box<dyn Tap> {
        let tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner).take();
        tap.unwrap_or_else(|| Box::new(NoTap))
    }
}
