//! `segue verify`

use clap::{Args, ValueEnum};
use segue_contract::VerifyLevel;
use segue_run::execute::{RunError, UnitRef, Verified, attended, verify_unit};

use super::accepting::Accepting;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::names;
use crate::workspace::Workspace;
use crate::writing::writing;

/// How closely, on the command line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Level {
    /// Records are counted, and their metadata compared
    Count,
    /// And a sample is read on both sides
    Sampled,
    /// And everything is read on both sides
    Full,
}

impl From<Level> for VerifyLevel {
    fn from(level: Level) -> Self {
        match level {
            Level::Count => Self::Count,
            Level::Sampled => Self::Sampled,
            Level::Full => Self::Full,
        }
    }
}

/// Compare both sides now
///
/// Exits 8 when something differs and stays different, or is missing because it was set aside. What a `waive` block names is
/// listed and changes no exit code.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue verify migration.site --level full")]
pub(crate) struct Verify {
    /// The migration; all when absent
    migration: Option<String>,
    /// How closely; the spec's when absent
    #[arg(long, value_enum)]
    level: Option<Level>,
    /// Carry again what differs
    #[arg(long)]
    repair: bool,
    #[command(flatten)]
    accepting: Accepting,
}

impl Verify {
    /// Compares.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self { migration, level, repair, accepting } = self;
        let workspace = Workspace::read(invocation);
        let repair = *repair;
        writing(invocation, &workspace, "verify", false, |desk| {
            accepting.record(invocation, desk)?;
            let state = desk.ground.state();
            let wanted = match migration {
                Some(typed) => Some(names::find("migration", typed, state.migrations.keys())?),
                None => None,
            };
            let mut errors: Vec<RunError> = Vec::new();
            let mut units = 0;
            for (address, known) in &state.migrations {
                if wanted.as_ref().is_some_and(|w| w != address) {
                    continue;
                }
                let declared = workspace.desired_if_right().and_then(|d| d.migrations.get(address));
                let level = level.map(VerifyLevel::from).or(declared.map(|d| d.verify.level));
                let level = level.unwrap_or(VerifyLevel::Full);
                let waivers = workspace.desired_if_right().map(|d| d.waivers_of(address)).unwrap_or_default();
                for (name, _) in known.units.iter().filter(|(_, u)| u.loaded) {
                    units += 1;
                    let waivers = waivers.clone();
                    let unit = UnitRef { migration: address.clone(), unit: name.clone() };
                    let printer = std::sync::Arc::clone(&invocation.printer);
                    let result = attended(desk.ground, move |ground| {
                        let Verified { said, missing } = verify_unit(ground, &unit, level, repair, &waivers)?;
                        printer.say(&format!("{} {}: {said}", unit.migration, unit.unit));
                        missing.map_or(Ok(()), Err)
                    });
                    errors.extend(result.err());
                }
            }
            if units == 0 {
                invocation.printer.say("Nothing to verify: nothing has been loaded yet.");
            }
            if errors.is_empty() { Ok(Exit::Done) } else { Err(errors.into()) }
        })
    }
}
