//! `segue metrics`

use clap::Args;
use segue_plan::event::BootTime;
use segue_run::clock::{Clock, SystemClock};
use segue_run::metrics::{Measured, exposition};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::{Invocation, VERSION};
use crate::workspace::Workspace;

/// Print metrics for Prometheus
///
/// Takes no lock: it asks a running apply, or reads the journal. For a textfile collector; an apply serves the same by
/// itself with --metrics-listen.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segue metrics > /var/lib/node_exporter/segue.prom\n  segue apply --follow --metrics-listen 127.0.0.1:9464"
)]
pub(crate) struct Metrics {}

impl Metrics {
    /// Prints them.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        let snapshot = Workspace::read(invocation).snapshot(invocation)?;
        let clock = SystemClock::new();
        let measured = Measured {
            state: &snapshot.state,
            live: snapshot.live.as_deref(),
            running: snapshot.running.is_some(),
            now: &BootTime { ms: clock.boot_ms(), boot_id: clock.boot_id().to_owned() },
            version: VERSION,
        };
        invocation.printer.data(&exposition(&measured))?;
        Ok(Exit::Done)
    }
}
