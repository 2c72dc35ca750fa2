//! `segue throttle`

use clap::Args;
use segue_contract::segue;
use segue_language::parse_rate;
use segue_run::execute::Ask;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::workspace::Workspace;
use crate::writing::{here, only_running};

/// Limit how fast a running apply carries data, from now on
///
/// Stands in for `load.rate_limit` of the spec as long as the run lasts; without `--migration` everything shares it.
/// Inside a cutover's pause nothing is throttled: clients wait there. `off` lets the spec's limits count again.
/// `segue status`, `segue watch` and the run itself say who throttled what, since when and why; `history` and `report`
/// keep it. At most 64 limits count at a time.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  segue throttle 5MiB/s --why 'the shop is slow'\n  segue throttle 500KiB/s --migration site\n  segue throttle off"
)]
pub(crate) struct Throttle {
    /// Bytes a second, such as 5MiB/s; or `off`
    rate: String,
    /// Only this migration
    #[arg(long, value_name = "ADDRESS")]
    migration: Option<String>,
    /// Why: shown to whoever looks, and kept in the journal
    #[arg(long, value_name = "TEXT")]
    why: Option<String>,
}

impl Throttle {
    /// Asks for it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let bytes_per_s = rate(&self.rate)?;
        let workspace = Workspace::read(invocation);
        let migration = match &self.migration {
            Some(typed) => {
                let snapshot = workspace.snapshot(invocation)?;
                Some(names::find("migration", typed, snapshot.state.migrations.keys())?)
            }
            None => None,
        };
        let question = Ask::Throttle { migration, bytes_per_s, by: here(), why: self.why.clone() };
        only_running(invocation, &workspace, &question)
    }
}

/// A rate as it is typed; `None`: off.
///
/// # Errors
/// It is neither.
pub(crate) fn rate(typed: &str) -> Result<Option<u64>, Failure> {
    if typed == "off" {
        return Ok(None);
    }
    let refused = |why: String| Failure::new(format!("{typed:?} is no rate: {why}")).exit(Exit::Usage);
    match parse_rate(typed) {
        Ok(0) => Err(refused("nothing would ever be carried".to_owned())
            .remedy(format!("`{}` stops it", segue(&["pause"])))),
        Ok(rate) => Ok(Some(rate)),
        Err(why) => Err(refused(why).remedy("write it as 5MiB/s, or `off`")),
    }
}

#[cfg(test)]
mod tests {
    use super::rate;

    #[test]
    fn a_rate_is_read_and_nothing_else_is() {
        assert_eq!(rate("off"), Ok(None));
        assert_eq!(rate("5MiB/s"), Ok(Some(5 << 20)));
        assert!(rate("0B/s").is_err() && rate("fast").is_err());
    }
}
