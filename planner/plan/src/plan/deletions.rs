//! Mass deletion (protocol P28) as a plan tells it: the limit, what a look found beyond it, what the last pass stopped at.

use segue_contract::{DeletionTerms, DriftReport, Severity, segue};
use segue_language::MigrationDecl;

use super::build::Ground;
use super::checks::Notes;
use crate::state::UnitState;

/// What a unit may delete without asking.
fn terms(decl: &MigrationDecl, unit: Option<&UnitState>) -> DeletionTerms {
    let asked = unit.and_then(|unit| unit.asked_deletions.as_ref());
    let asked = asked.filter(|asked| unit.is_some_and(|unit| unit.ledger.as_ref() == Some(&asked.ledger)));
    DeletionTerms { max: decl.max_deletions, accepted: asked.and_then(|asked| asked.accepted) }
}

/// What the passes of a unit keep to.
pub(super) fn remark(decl: &MigrationDecl) -> String {
    format!("stops and asks before it deletes {}", terms(decl, None).limit())
}

/// What would stop the next pass of each unit.
pub(super) fn notes(ground: &Ground<'_>, notes: &mut Notes, decl: &MigrationDecl) {
    let state = ground.state.migrations.get(&decl.address);
    let units = ground.observed.migrations.get(&decl.address).map(|seen| &seen.units);
    for (name, seen) in units.into_iter().flatten() {
        let unit = state.and_then(|m| m.units.get(name));
        let asked = unit.and_then(|unit| unit.asked_deletions.as_ref());
        let looked = seen.fact().and_then(|report: &DriftReport| report.waiting_deletions);
        // What was seen now is newer than what the last pass saw.
        let Some((deletions, known)) = looked.or(asked.map(|asked| (asked.deletions, asked.known))) else {
            continue;
        };
        if terms(decl, unit).allow(deletions, known) {
            continue;
        }
        let read = ground.state.live_of(&decl.address);
        let remedy = match asked {
            Some(asked) => format!(
                "look at the {read}: is it whole, and mounted? If all of that is to go: `{}`",
                segue(&["apply", "--accept-deletions", &asked.hash(&decl.address, name)])
            ),
            None => format!(
                "look at the {read}: is it whole, and mounted? If all of that is to go, apply: the pass says what to type"
            ),
        };
        notes.push(
            &decl.address,
            Severity::Warning,
            "MASS_DELETION",
            format!("{name}: the next pass would delete {deletions} of {known} records, and stops before the first"),
            &remedy,
        );
    }
}
