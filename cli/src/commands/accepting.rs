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
    /// The hashes.
    pub(crate) fn hashes(&self) -> &[String] {
        &self.accept_deletions
    }

    /// A command to paste that lets the same go.
    pub(crate) fn with(&self, words: &[&str]) -> segue_contract::SegueCommand {
        let hashes = self.accept_deletions.iter().flat_map(|hash| ["--accept-deletions", hash.as_str()]);
        segue_contract::segue(&words.iter().copied().chain(hashes).collect::<Vec<_>>())
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
