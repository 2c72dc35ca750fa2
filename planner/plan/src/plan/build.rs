//! Makes the plan: checks, then the steps of every migration and cutover, then order and hash.

use std::collections::BTreeMap;

use segue_contract::{Address, Finding, RouteAt, Severity, Side};
use segue_language::Desired;

use super::hash::{base_of, basis};
use super::{
    CutoverBase, Drift, Note, Plan, PlanStep, Reason, StepKind, checks, cutover_steps, forget_steps,
    migration_steps,
};
use crate::diff::{Change, SettingDiff, change, diff_lines};
use crate::graph;
use crate::observe::{Observed, Seen};
use crate::state::State;

/// How a plan is made.
#[derive(Clone, Debug, Default)]
pub struct PlanOptions {
    /// Make it from where the cutovers stood then (a plan file that is being resumed).
    pub base: Option<BTreeMap<Address, CutoverBase>>,
    /// Allow finishing before `retain` is over.
    pub early: bool,
    /// Segue's own state id and whether this state directory is the one that it was bound to.
    pub state_id: Option<String>,
}

/// Everything that making one step needs to know.
pub(super) struct Ground<'a> {
    pub(super) desired: &'a Desired,
    pub(super) state: &'a State,
    pub(super) observed: &'a Observed,
    pub(super) options: &'a PlanOptions,
    pub(super) base: BTreeMap<Address, CutoverBase>,
    pub(super) changes: BTreeMap<Address, Change>,
}

impl Ground<'_> {
    /// The cutover that a migration belongs to, in this spec.
    pub(super) fn cutover_of(&self, migration: &Address) -> Option<&segue_language::CutoverDecl> {
        self.desired.cutovers.values().find(|c| c.migrations.contains(migration))
    }

    /// What a migration is asked for: its cutover's change, or to stay.
    pub(super) fn change_of(&self, migration: &Address) -> Change {
        let cutover = self.cutover_of(migration).filter(|c| !self.moved(c));
        cutover.and_then(|c| self.changes.get(&c.address)).copied().unwrap_or(Change::Stay)
    }

    /// Whether a cutover has made its switch since the plan began: a plan file that is applied again.
    pub(super) fn moved(&self, decl: &segue_language::CutoverDecl) -> bool {
        let change = self.changes.get(&decl.address);
        let switches = change.is_some_and(|c| matches!(c, Change::Switch | Change::SwitchBack));
        let known = self.state.cutovers.get(&decl.address);
        let since = known.zip(self.base.get(&decl.address)).is_some_and(|(c, b)| c.switches > b.switches);
        switches && since && known.is_some_and(|c| c.live == decl.live)
    }
}

/// Makes a plan. Problems are notes in it, the critical ones refuse it.
pub fn plan(desired: &Desired, state: &State, observed: &Observed, options: &PlanOptions) -> Plan {
    let state = &*state.taking_up(desired);
    let base = options.base.clone().unwrap_or_else(|| base_of(desired, state));
    let changes =
        desired.cutovers.values().map(|c| (c.address.clone(), change_from(c, &base, state))).collect();
    let ground = Ground { desired, state, observed, options, base, changes };

    let mut notes = checks::notes(&ground);
    let mut steps = Vec::new();
    for migration in desired.migrations.values() {
        steps.extend(migration_steps::steps(&ground, migration));
    }
    let mut forecasts = BTreeMap::new();
    for cutover in desired.cutovers.values() {
        let (more, forecast) = cutover_steps::steps(&ground, cutover);
        steps.extend(more);
        if let Some(forecast) = forecast {
            forecasts.insert(cutover.address.clone(), forecast);
        }
    }
    let drift = drift(&ground);
    steps.extend(route_repairs(&ground));
    steps.extend(forget_steps::steps(&ground));
    let basis_steps = steps.clone();
    let steps = match graph::order(steps) {
        Ok(steps) => steps,
        Err(cycle) => {
            let address = cycle.path.first().cloned().unwrap_or_else(|| Address::new("spec"));
            notes.push(Note {
                address,
                finding: Finding {
                    severity: Severity::Critical,
                    code: "PLAN_CYCLE".to_owned(),
                    summary: cycle.to_string(),
                    remedy: "remove one of the depends_on that form the circle".to_owned(),
                },
            });
            basis_steps
        }
    };
    let basis = basis(desired, ground.base.clone(), observed, &steps);
    let hash = basis.hash().unwrap_or_default();
    let settings = setting_diffs(&ground);
    Plan { hash, basis, changes: ground.changes, steps, drift, settings, notes, forecasts }
}

/// The change from where a plan started, which for a resumed plan file is not where things are now.
fn change_from(
    cutover: &segue_language::CutoverDecl,
    base: &BTreeMap<Address, CutoverBase>,
    state: &State,
) -> Change {
    let mut recorded = state.cutovers.get(&cutover.address).cloned().unwrap_or_default();
    if let Some(base) = base.get(&cutover.address) {
        recorded.live = base.live;
        recorded.finished = base.finished;
    }
    change(cutover, Some(&recorded))
}

/// What changed behind Segue's back: on the sides that are not live, and on routes.
fn drift(ground: &Ground<'_>) -> Vec<Drift> {
    let mut drift = Vec::new();
    for (migration, seen) in &ground.observed.migrations {
        let Some(known) = ground.state.migrations.get(migration) else {
            continue;
        };
        for (unit, report) in &seen.units {
            let Some(report) = report.fact() else { continue };
            if !known.units.get(unit).is_some_and(|u| u.loaded) {
                continue;
            }
            let address = migration_steps::unit_address(migration, unit);
            let shown = report.drifted.len() as u64;
            for (i, found) in report.drifted.iter().enumerate() {
                let last = i as u64 + 1 == shown;
                drift.push(Drift {
                    address: address.clone(),
                    key: Some(found.key.clone()),
                    what: found.what.clone(),
                    more: if last { report.drifted_total.saturating_sub(shown) } else { 0 },
                });
            }
        }
    }
    for (address, at) in drifted_routes(ground) {
        drift.push(Drift { address, key: None, what: at, more: 0 });
    }
    drift
}

/// Routes of cutovers at rest that point elsewhere than to the side that serves.
fn drifted_routes(ground: &Ground<'_>) -> Vec<(Address, String)> {
    let mut found = Vec::new();
    for cutover in ground.desired.cutovers.values() {
        let known = ground.state.cutovers.get(&cutover.address);
        if known.is_some_and(|c| c.finished) {
            continue;
        }
        let (live, switches) = known.map_or((Side::Source, 0), |c| (c.live, c.switches));
        let ours = known.and_then(|c| c.weight.as_ref()).is_some_and(|w| w.in_effect());
        for route in &cutover.routes {
            let Some(Seen::Fact(at)) = ground.observed.routes.get(route).map(|r| &r.at) else {
                continue;
            };
            let what = match at {
                RouteAt::Side(side) if *side == live => continue,
                // The first switch makes it.
                RouteAt::Missing if switches == 0 => continue,
                RouteAt::Side(side) => format!("points to the {side}, while the {live} serves"),
                // A run is at it, or died and is settled first.
                RouteAt::Weighted(_) if ours => continue,
                RouteAt::Weighted(percent) => {
                    format!("sends {percent} % of the reads to the target, while the {live} serves")
                }
                RouteAt::Other(other) => format!("points to {other:?}, which is neither side"),
                RouteAt::Missing => "is gone".to_owned(),
            };
            found.push((route.clone(), what));
        }
    }
    found
}

/// A route that drifted is set back, where the cutover does not switch anyway.
fn route_repairs(ground: &Ground<'_>) -> Vec<PlanStep> {
    let mut steps = Vec::new();
    for cutover in ground.desired.cutovers.values() {
        if ground.changes.get(&cutover.address) != Some(&Change::Stay) {
            continue;
        }
        let drifted = drifted_routes(ground).into_iter().filter(|(a, _)| cutover.routes.contains(a));
        for (address, what) in drifted {
            let live = ground.state.cutovers.get(&cutover.address).map_or(Side::Source, |c| c.live);
            let mut step = PlanStep::new(
                &address,
                address.step("switch"),
                StepKind::Switch,
                format!("point it to the {live} again"),
            );
            step.reason = Reason::Drifted;
            step.remarks.push(what);
            steps.push(step);
        }
    }
    steps
}

fn setting_diffs(ground: &Ground<'_>) -> Vec<SettingDiff> {
    let mut found = Vec::new();
    for migration in ground.desired.migrations.values() {
        let facts = |a| ground.observed.endpoints.get(a).and_then(Seen::fact);
        let (Some(source), Some(target)) = (facts(&migration.source), facts(&migration.target)) else {
            continue;
        };
        for (name, left) in &source.settings {
            let Some(right) = target.settings.get(name).filter(|right| *right != left) else {
                continue;
            };
            let lines = diff_lines(left, right);
            found.push(SettingDiff { migration: migration.address.clone(), name: name.clone(), lines });
        }
    }
    found
}
