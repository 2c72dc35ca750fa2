//! `segue completions SHELL`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// Write a completion script for a shell
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue completions bash > /etc/bash_completion.d/segue")]
pub(crate) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints it. The generator panics when its writer fails, so it writes to memory.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), invocation.name, &mut script);
        invocation.printer.data(&String::from_utf8_lossy(&script))?;
        Ok(Exit::Done)
    }
}
