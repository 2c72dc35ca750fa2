//! `segue watch`

use segue_contract::segue;
use std::io::{IsTerminal, stdin, stdout};

use clap::Args;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::screen;
use crate::workspace::Workspace;

/// Watch a running apply on the full screen, and steer it
///
/// Stages and units with rates, the lag over time, what gates wait for and how long, the pause's clock, and what
/// going back now would lose. Keys: p pause or resume, t throttle, a approve, x abort, ? help, q quit. Without a
/// running apply it shows what the journal says, and waits for one. Leaving it changes nothing.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue watch")]
pub(crate) struct Watch {}

impl Watch {
    /// Shows it until the person leaves.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        if invocation.printer.json() || !stdin().is_terminal() || !stdout().is_terminal() {
            return Err(Failure::new("watch draws on a terminal, and there is none").remedy(format!(
                "`{}` prints what it would show, `{}` each event",
                segue(&["status", "--json"]),
                segue(&["apply", "--json"])
            )));
        }
        screen::show(invocation, &Workspace::read(invocation))?;
        Ok(Exit::Done)
    }
}
