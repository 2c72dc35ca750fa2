//! The gate of verifications (protocol P24): the last whole one is close enough, young enough, and nothing was left
//! out. What was touched since is the residual, which the pause verifies.

use segue_contract::{Address, VerifyLevel};
use segue_language::WaiverDecl;
use segue_plan::plan::StepKind;
use segue_plan::state::UnitState;

use super::look::{Look, Wants};
use super::{Waiting, known};
use crate::execute::unit::{UnitRef, verify_unit};
use crate::execute::{Ground, RunError};

/// A unit that is to be verified again.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Stale {
    unit: UnitRef,
    level: VerifyLevel,
    repair: bool,
}

pub(super) fn look(
    waiting: &Waiting<'_>,
    level: Option<VerifyLevel>,
    max_age_ms: Option<u64>,
    migrations: &[Address],
) -> Look {
    let now_ms = waiting.ground.clock.wall_ms();
    let (mut met, mut missing, mut left_out, mut stale) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let of = |unit: &&UnitRef| migrations.is_empty() || migrations.contains(&unit.migration);
    for unit in waiting.units.iter().filter(of) {
        let decl = waiting.task.conditions.verify.get(&unit.migration);
        let level = level.or(decl.map(|d| d.level)).unwrap_or(VerifyLevel::Full);
        let max_age_ms = max_age_ms.or(decl.map(|d| d.valid_for_ms)).unwrap_or(u64::MAX);
        let state = known(waiting.ground, unit);
        let name = format!("{} {}", unit.migration, unit.unit);
        let waivers = &waiting.task.attempt.waivers;
        let accepted = WaiverDecl::accept_left_out(waivers, &state.set_aside, state.set_aside_total);
        if state.set_aside_total > 0 && !accepted {
            left_out.push(format!("{name}: {} records were left out", state.set_aside_total));
            continue;
        }
        match judged(&state, level, max_age_ms, now_ms) {
            Ok(by) => met.push(format!("{name}: {by}")),
            Err(why) => {
                missing.push(format!("{name}: {why}"));
                let repair = decl.is_some_and(|d| d.repair);
                stale.push(Stale { unit: unit.clone(), level, repair });
            }
        }
    }
    if missing.is_empty() && left_out.is_empty() {
        return Look::met(format!("{}; what changed since is verified in the pause", met.join("; ")));
    }
    let wants = if left_out.is_empty() { Wants::Verification(stale) } else { Wants::Time };
    left_out.extend(missing);
    Look::unmet(left_out.join("; "), wants)
}

fn judged(unit: &UnitState, level: VerifyLevel, max_age_ms: u64, now_ms: i64) -> Result<String, String> {
    let Some(last) = &unit.verified else {
        return Err(match unit.mismatches_total {
            0 => "was never verified as a whole".to_owned(),
            n => format!("{n} records differed when it was verified last"),
        });
    };
    if last.level < level {
        return Err(format!("was verified {}, and {} is wanted", last.level.as_str(), level.as_str()));
    }
    let age_ms = u64::try_from(now_ms.saturating_sub(last.at_ms)).unwrap_or(0);
    if age_ms > max_age_ms {
        return Err(format!(
            "was verified {} s ago, at most {} s are allowed",
            age_ms / 1_000,
            max_age_ms / 1_000
        ));
    }
    Ok(format!("{} records verified {} {} s ago", last.records, last.level.as_str(), age_ms / 1_000))
}

/// Verifies a unit again, while writes go on.
pub(super) fn again(ground: &Ground, stale: &Stale, waivers: &[WaiverDecl]) -> Result<(), RunError> {
    let Stale { unit, level, repair } = stale;
    // What is missing is a failed gate by itself, unless it is waived.
    ground.step(&unit.step("verify"), StepKind::Verify, || {
        verify_unit(ground, unit, *level, *repair, waivers).map(|verified| verified.said)
    })
}

#[cfg(test)]
mod tests {
    use segue_contract::{ArtifactName, VerifyLevel};
    use segue_plan::state::{UnitState, VerifiedRecord};

    use super::judged;

    fn unit(level: VerifyLevel, at_ms: i64) -> UnitState {
        let ledger = ArtifactName("l".to_owned());
        UnitState {
            verified: Some(VerifiedRecord { level, ledger, at_ms, records: 3 }),
            ..UnitState::default()
        }
    }

    #[test]
    fn a_verification_counts_while_it_is_close_and_young_enough() {
        let full = unit(VerifyLevel::Full, 10_000);
        assert!(judged(&full, VerifyLevel::Full, 5_000, 15_000).is_ok());
        assert!(judged(&full, VerifyLevel::Count, 5_000, 15_000).is_ok());
        assert!(judged(&full, VerifyLevel::Full, 5_000, 15_001).unwrap_err().contains("at most 5 s"));
        let count = unit(VerifyLevel::Count, 10_000);
        assert!(
            judged(&count, VerifyLevel::Sampled, 5_000, 10_000).unwrap_err().contains("sampled is wanted")
        );
        // A clock that was set back makes nothing older.
        assert!(judged(&full, VerifyLevel::Full, 0, 9_000).is_ok());
    }

    #[test]
    fn what_is_missing_is_said() {
        let never = UnitState::default();
        assert!(judged(&never, VerifyLevel::Count, 1, 0).unwrap_err().contains("never verified"));
        let differed = UnitState { mismatches_total: 2, ..UnitState::default() };
        assert!(judged(&differed, VerifyLevel::Count, 1, 0).unwrap_err().contains("2 records differed"));
    }
}
