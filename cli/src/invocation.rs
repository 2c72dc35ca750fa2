//! What every command is given.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use segue_contract::{CalledWith, Registry, called_with};
use segue_language::Variables;
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
    /// Whether finishing before `retain` is over is allowed: commands that are told repeat it.
    early: bool,
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
        early: bool,
    ) -> Self {
        let one = Self { global, printer, registry, name, watchdog, early, tap: Mutex::new(Some(tap)) };
        // Which variables may be shown is known when the spec was read.
        one.told_commands(std::iter::empty());
        one
    }

    /// Commands that are told repeat the variables that were given here; a value that must not be shown is left out.
    pub(crate) fn repeat_variables(&self, known: &Variables) {
        let shown = self.global.vars.iter().filter(|(name, _)| !known.secret.contains(name));
        self.told_commands(shown);
    }

    /// Commands that are told are about the spec that this call is about.
    fn told_commands<'v>(&self, variables: impl Iterator<Item = &'v (String, String)>) {
        let Global { directory, spec, var_files, .. } = &self.global;
        let mut options = Vec::new();
        let mut option = |name: &str, value: String| options.extend([name.to_owned(), value]);
        let path = |path: &Path| path.display().to_string();
        directory.iter().for_each(|dir| option("-C", path(dir)));
        spec.iter().for_each(|file| option("--spec", path(file)));
        var_files.iter().for_each(|file| option("--var-file", path(file)));
        variables.for_each(|(name, value)| option("--var", format!("{name}={value}")));
        called_with(CalledWith { options, early: self.early });
    }

    /// What watches the journal: for the one session that a command opens.
    pub(crate) fn take_tap(&self) -> Box<dyn Tap> {
        let tap = self.tap.lock().unwrap_or_else(PoisonError::into_inner).take();
        tap.unwrap_or_else(|| Box::new(NoTap))
    }
}
