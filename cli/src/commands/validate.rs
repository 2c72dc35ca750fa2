//! `segue validate`

use clap::Args;

use crate::diagnostics::{self, Format};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// Check the spec without looking at any system
///
/// Everything that is knowable is evaluated, and every problem is told with its place and what to do.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue validate --format sarif > segue.sarif")]
pub(crate) struct Validate {
    /// How problems are written; all but `human` go to stdout
    #[arg(long, value_enum)]
    format: Option<Format>,
}

impl Validate {
    /// Checks and tells.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self { format } = self;
        let printer = &invocation.printer;
        let default = if printer.json() { Format::Json } else { Format::Human };
        let workspace = Workspace::read(invocation);
        diagnostics::tell(printer, &workspace.loaded, format.unwrap_or(default))?;
        if workspace.is_wrong() {
            return Err(Failure::said(Exit::Error));
        }
        if let (Format::Human, Some(desired)) = (format.unwrap_or(default), workspace.desired_if_right()) {
            printer.say(&format!(
                "The spec is valid: {} endpoints, {} routes, {} migrations, {} cutovers.",
                desired.endpoints.len(),
                desired.routes.len(),
                desired.migrations.len(),
                desired.cutovers.len()
            ));
        }
        Ok(Exit::Done)
    }
}
