//! What every command is given.

use std::sync::Arc;

use segue_contract::Registry;
use segue_run::journal::Tap;

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
    /// Watches the journal.
    pub(crate) tap: Arc<dyn Tap>,
    /// The binary's name.
    pub(crate) name: &'static str,
}
