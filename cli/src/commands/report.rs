//! `segue report`

use std::path::{Path, PathBuf};

use clap::Args;
use segue_contract::paths;
use segue_run::clock::{Clock, SystemClock};
use segue_run::directory::StateDirectory;
use segue_run::lock::{LockState, probe};
use segue_run::session::{SessionError, history};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::{Invocation, VERSION};
use crate::report::{Gather, page};
use crate::workspace::Workspace;

/// Write what happened as one HTML page
///
/// From the journal alone, without a lock, also beside a running apply: time line, pauses beside what was predicted, lag
/// and rate, verifications, gates, approvals, waivers, what was changed on each system and how it is undone. The page
/// fetches nothing and holds no script; `--json` prints the same facts.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segue report --out move.html\n  segue report --json | jq '.attempts.kept[].pause_us'"
)]
pub(crate) struct Report {
    /// Write to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Report {
    /// Writes it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let printer = &invocation.printer;
        let workspace = Workspace::read(invocation);
        let mut gather = Gather::new(&invocation.registry);
        let notices = history(&workspace.state_dir, &mut |_, entry| gather.take(entry))?;
        for notice in &notices {
            printer.warn(notice);
        }
        let damaged = !notices.is_empty();
        // A damaged journal has no state, and its report tells what is before the damage.
        let running = if damaged { None } else { running(&workspace.state_dir)? };
        let report = gather.finish(SystemClock::new().wall_ms(), VERSION, running, notices);
        let text = if printer.json() {
            let mut text = serde_json::to_string_pretty(&report)?;
            text.push('\n');
            text
        } else {
            page(&report)
        };
        match &self.out {
            Some(path) => {
                paths::replace(path, text.as_bytes())?;
                printer.say(&format!("Written: {}", path.display()));
            }
            None => printer.data(&text)?,
        }
        Ok(if damaged { Exit::Error } else { Exit::Done })
    }
}

/// Who holds the state, if anybody does.
fn running(state_dir: &Path) -> Result<Option<String>, Failure> {
    let Some((directory, _)) = StateDirectory::open(state_dir).map_err(SessionError::from)? else {
        return Ok(None);
    };
    Ok(match probe(&directory).map_err(SessionError::from)? {
        LockState::Held(holder) | LockState::Unclear(holder) => Some(holder.to_string()),
        LockState::Abandoned(_) | LockState::Free => None,
    })
}
