//! `--accept-deletions HASH`: every command that makes passes takes it.

use clap::Args;
use segue_run::execute::accept_deletions;

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::writing::{Desk, here};

/// What a person lets go.
#[derive(Debug, Args)]
pub(crate) struct Accepting {
    /// Let the deletions go before which a pass stopped: it printed the hash. Up to the number shown and a tenth more
    #[arg(long, value_name = "HASH")]
    accept_deletions: Vec<String>,
}

impl Accepting {
    /// As it was typed, for a command that is printed.
    pub(crate) fn words(&self) -> String {
        self.accept_deletions.iter().map(|hash| format!(" --accept-deletions {hash}")).collect()
    }

    /// Records it, before anything is done.
    ///
    /// # Errors
    /// No pass that stopped has that hash.
    pub(crate) fn record(&self, invocation: &Invocation, desk: &Desk<'_>) -> Result<(), Failure> {
        for hash in &self.accept_deletions {
            invocation.printer.say(&accept_deletions(desk.ground, hash, &here())?);
        }
        Ok(())
    }
}
