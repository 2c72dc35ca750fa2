//! `segue drift`

use clap::Args;
use segue_contract::{UnitJob, VerifyLevel};
use segue_plan::plan::Drift;
use segue_run::execute::ObserveIo;

use super::verify::Level;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::render::drift as render;
use crate::workspace::Workspace;

/// Show what changed behind Segue's back
///
/// On the sides that are not live, and on routes. Changes nothing and takes no lock. Exits 4 when something
/// drifted.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue drift --level full")]
pub(crate) struct DriftCommand {
    /// `count` compares metadata with the ledger, `full` reads content
    #[arg(long, value_enum, default_value = "count")]
    level: Level,
}

impl DriftCommand {
    /// Looks and shows.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let level = VerifyLevel::from(self.level);
        let workspace = Workspace::read(invocation);
        let planned = workspace.plan(invocation, false)?;
        let mut drift = planned.plan.drift;
        if level > VerifyLevel::Count {
            drift.retain(|found| found.address.kind() != "migration");
            let io = ObserveIo::new(planned.snapshot.artifacts.clone(), workspace.secrets());
            let state = &planned.snapshot.state;
            for (address, known) in &state.migrations {
                for job in &known.record.jobs {
                    let Some(unit) = known.units.get(&job.unit).filter(|u| u.loaded) else {
                        continue;
                    };
                    let job = UnitJob {
                        direction: state.direction_of(address),
                        audit: segue_contract::Audit::default(),
                        quiet: false,
                        ledger: unit.ledger.clone(),
                        ..job.clone()
                    };
                    let engine = invocation.registry.engine(&job.source, &job.target)?;
                    let report = engine.drift(&job, level, &io)?;
                    let listed = report.drifted.len() as u64;
                    let at = address.step(&format!("unit[{:?}]", job.unit));
                    drift.extend(report.drifted.into_iter().enumerate().map(|(i, found)| Drift {
                        address: at.clone(),
                        key: Some(found.key),
                        what: found.what,
                        more: if i as u64 + 1 == listed {
                            report.drifted_total.saturating_sub(listed)
                        } else {
                            0
                        },
                    }));
                }
            }
        }
        let printer = &invocation.printer;
        if printer.json() {
            printer.json_data(&drift)?;
        } else if drift.is_empty() {
            printer.say("Nothing drifted.");
        } else {
            printer.data(&render::text(&drift, &printer.out_look()))?;
        }
        Ok(if drift.is_empty() { Exit::Done } else { Exit::Drift })
    }
}
