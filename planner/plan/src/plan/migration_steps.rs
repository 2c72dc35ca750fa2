//! The steps of a migration: check, protect, provision, then for each unit load, sync, verify.

use std::collections::BTreeSet;

use segue_contract::{Address, Direction, DriftReport};
use segue_language::{MigrationDecl, WaiverDecl};

use super::build::Ground;
use super::{Estimate, PlanStep, Reason, StepKind, deletions, rehearsal_steps, side_name};
use crate::diff::Change;
use crate::event::RehearsedUnit;
use crate::observe::Seen;
use crate::state::{PassRecord, UnitState};

/// Bytes a second that a first load is estimated with before anything was measured.
const ASSUMED_BYTES_PER_S: u64 = 200 * 1024 * 1024;
/// Records a second, likewise.
const ASSUMED_RECORDS_PER_S: u64 = 10_000;

/// `migration.site.unit["tree"]`
pub(crate) fn unit_address(migration: &Address, unit: &str) -> Address {
    migration.step(&format!("unit[{unit:?}]"))
}

/// All steps of a migration, done or not.
pub(super) fn steps(ground: &Ground<'_>, decl: &MigrationDecl) -> Vec<PlanStep> {
    let change = ground.change_of(&decl.address);
    match change {
        Change::Rest | Change::Refused | Change::Finish | Change::Abandon => return Vec::new(),
        Change::Stay | Change::Switch | Change::SwitchBack => {}
    }
    let known = ground.state.migrations.get(&decl.address);
    let live = ground.state.live_of(&decl.address);
    let direction = Direction::from_live(live);
    let mut steps = Vec::new();

    let mut check =
        PlanStep::new(&decl.address, decl.address.step("check"), StepKind::Check, "look at both endpoints");
    check.done = known.is_some() && change == Change::Stay;
    let dependencies: Vec<Address> = decl.depends_on.iter().flat_map(|d| last_steps(ground, d)).collect();
    let rehearsed = ground.cutover_of(&decl.address).filter(|c| rehearsal_steps::is_planned(ground, c));
    let mut provision = PlanStep::new(
        &decl.address,
        decl.address.step("provision"),
        StepKind::Provision,
        format!("make {} ready to receive", side_name(segue_contract::Side::Target, &decl.target)),
    );
    provision.waits_for = vec![check.address.clone()];
    match rehearsed {
        // A group is rehearsed as one, before the first of it is moved: what one waits for comes after that.
        Some(cutover) => {
            provision.waits_for.push(rehearsal_steps::address(cutover));
            provision.waits_for.extend(dependencies);
        }
        None => check.waits_for = dependencies,
    }
    let exists = ground.observed.endpoints.get(&decl.target).and_then(Seen::fact).is_some_and(|f| f.exists);
    // A target that serves is never made: were it gone, an empty one would be carried back.
    provision.done = exists || live == segue_contract::Side::Target;
    let mut protect = PlanStep::new(
        &decl.address,
        decl.address.step("protect"),
        StepKind::Protect,
        "put a marker at both endpoints, so that no other state directory acts on them",
    );
    protect.waits_for = vec![provision.address.clone()];
    protect.done = known.is_some_and(|m| {
        let units = unit_names(ground, &decl.address);
        m.marker.is_some() && units.iter().all(|unit| m.record.jobs.iter().any(|job| job.unit == *unit))
    });
    let before = protect.address.clone();
    if ground.cutover_of(&decl.address).is_some_and(|c| rehearsal_steps::is_all(ground, c)) {
        let rehearsal = ground.cutover_of(&decl.address).and_then(|c| rehearsal_steps::step(ground, c));
        check.done = rehearsal.is_some_and(|r| r.done);
        mark(ground, &mut check);
        return vec![check];
    }
    steps.extend([check, provision, protect]);

    for unit in unit_names(ground, &decl.address) {
        let at = Unit { ground, decl, name: &unit, direction, change };
        steps.extend(at.steps(&before));
    }
    for step in &mut steps {
        mark(ground, step);
    }
    steps
}

/// A step that an earlier run stopped in says so; although its effect seems to be there, it is not done before its
/// own end is recorded.
fn mark(ground: &Ground<'_>, step: &mut PlanStep) {
    if ground.state.open_steps.contains_key(&step.address) {
        step.done = false;
        step.reason = Reason::Resumed;
    } else if step.done {
        step.reason = Reason::Done;
    }
}

/// The units that were begun, and those that were seen: one that appeared since is moved, too.
fn unit_names(ground: &Ground<'_>, migration: &Address) -> Vec<String> {
    let known = ground.state.migrations.get(migration).map(|m| m.units.keys());
    let seen = ground.observed.migrations.get(migration).map(|m| m.units.keys());
    let all: BTreeSet<&String> = known.into_iter().flatten().chain(seen.into_iter().flatten()).collect();
    all.into_iter().cloned().collect()
}

/// What must be over before something that depends on `address` begins: a migration's verifications, a
/// cutover's last step.
pub(super) fn last_steps(ground: &Ground<'_>, address: &Address) -> Vec<Address> {
    if ground.desired.migrations.contains_key(address) {
        let units = unit_names(ground, address);
        units.iter().map(|unit| unit_address(address, unit).step("verify")).collect()
    } else {
        vec![address.step("watch")]
    }
}

struct Unit<'a> {
    ground: &'a Ground<'a>,
    decl: &'a MigrationDecl,
    name: &'a str,
    direction: Direction,
    change: Change,
}

impl Unit<'_> {
    /// What the first load does.
    fn filling(&self) -> String {
        let (name, source, target) = (self.name, &self.decl.source, &self.decl.target);
        match &self.decl.load.mode {
            mode if mode.is_copy() => format!("copy {name} from {source} to {target}"),
            mode => format!("fill {name} of {target} with what {source} has, in mode {:?}", mode.name),
        }
    }

    /// Whether a unit that was carried is carried again: what was set aside is tried again; and without a cutover nothing
    /// else would carry what changed since.
    fn goes_on(&self, unit: &UnitState, report: &DriftReport) -> bool {
        let waivers = self.ground.desired.waivers_of(&self.decl.address);
        let left_out = unit.set_aside_total > 0
            && !WaiverDecl::accept_left_out(&waivers, &unit.set_aside, unit.set_aside_total);
        let alone = self.ground.cutover_of(&self.decl.address).is_none();
        unit.loaded && (left_out || alone && report.waiting_records > 0)
    }

    fn steps(&self, before: &Address) -> Vec<PlanStep> {
        let base = unit_address(&self.decl.address, self.name);
        let (from, to) = match self.direction {
            Direction::Forward => (&self.decl.source, &self.decl.target),
            Direction::Reverse => (&self.decl.target, &self.decl.source),
        };
        let empty = UnitState::default();
        let known = self.ground.state.migrations.get(&self.decl.address).and_then(|m| m.units.get(self.name));
        let unit = known.unwrap_or(&empty);
        let seen =
            self.ground.observed.migrations.get(&self.decl.address).and_then(|m| m.units.get(self.name));
        let report = seen.and_then(Seen::fact).cloned().unwrap_or_default();
        let switches = matches!(self.change, Change::Switch | Change::SwitchBack);
        let drifted = report.drifted_total > 0 && unit.loaded;

        let mut load = PlanStep::new(&self.decl.address, base.step("load"), StepKind::Load, self.filling());
        load.waits_for = vec![before.clone()];
        load.done = unit.loaded;
        let rehearsed = rehearsal_steps::rehearsed_unit(self.ground, &self.decl.address, self.name);
        load.estimate = (!unit.loaded).then(|| load_estimate(&report, rehearsed));

        let what = format!("carry what changed from {from} to {to}, in passes, until they stop shrinking");
        let mut sync = PlanStep::new(&self.decl.address, base.step("sync"), StepKind::Sync, what);
        sync.waits_for = vec![load.address.clone()];
        sync.remarks.push(deletions::remark(self.decl));
        let goes_on = !switches && !drifted && self.goes_on(unit, &report);
        sync.done = unit.passes_total > 1 && !switches && !drifted && !goes_on;
        sync.estimate = (!sync.done).then(|| sync_estimate(unit, &report));

        let mut verify = PlanStep::new(
            &self.decl.address,
            base.step("verify"),
            StepKind::Verify,
            format!("compare both sides, level {}", self.decl.verify.level.as_str()),
        );
        verify.waits_for = vec![sync.address.clone()];
        verify.done = unit.verified.as_ref().is_some_and(|v| v.level >= self.decl.verify.level)
            && !switches
            && !drifted;
        verify.estimate = (!verify.done).then(|| verify_estimate(unit, &report));
        if goes_on {
            sync.reason = Reason::Again;
            if unit.set_aside_total > 0 {
                sync.remarks
                    .push(format!("tries again what was set aside: {} records", unit.set_aside_total));
            }
        }
        if unit.loaded && switches {
            sync.reason = Reason::Again;
            verify.reason = Reason::Again;
        }
        if drifted && !switches {
            sync.reason = Reason::Drifted;
            verify.reason = Reason::Drifted;
            sync.remarks
                .push(format!("{} records at {to} changed behind Segue's back", report.drifted_total));
        }
        let mut steps = vec![load, sync, verify];
        for step in &mut steps {
            step.unit = Some(self.name.to_owned());
        }
        steps
    }
}

/// From the rates that a rehearsal measured, or else from assumed ones.
pub(super) fn load_estimate(report: &DriftReport, rehearsed: Option<&RehearsedUnit>) -> Estimate {
    if let Some(measured) = rehearsed {
        let scaled = |now: u64, then: u64| {
            let us = u128::from(measured.load_us) * u128::from(now) / u128::from(then.max(1));
            u64::try_from(us / 1000).unwrap_or(u64::MAX)
        };
        let time_ms = scaled(report.waiting_bytes, measured.bytes)
            .max(scaled(report.waiting_records, measured.records));
        return Estimate {
            records: Some(report.waiting_records),
            bytes: Some(report.waiting_bytes),
            time_ms: Some(time_ms),
            basis: format!(
                "scan of the source; {} records and {} bytes took {} ms in the rehearsal",
                measured.records,
                measured.bytes,
                measured.load_us.div_ceil(1000)
            ),
        };
    }
    let by_bytes = report.waiting_bytes.saturating_mul(1000) / ASSUMED_BYTES_PER_S;
    let by_records = report.waiting_records.saturating_mul(1000) / ASSUMED_RECORDS_PER_S;
    Estimate {
        records: Some(report.waiting_records),
        bytes: Some(report.waiting_bytes),
        time_ms: Some(by_bytes.max(by_records)),
        basis: format!(
            "scan of the source; {} MiB/s and {ASSUMED_RECORDS_PER_S} records/s assumed",
            ASSUMED_BYTES_PER_S >> 20
        ),
    }
}

fn sync_estimate(unit: &UnitState, report: &DriftReport) -> Estimate {
    let times: Vec<u64> = unit.passes.iter().filter(|p| !p.load).map(|p| p.took_us / 1000).collect();
    let (waiting, bytes) = if unit.loaded { (report.waiting_records, report.waiting_bytes) } else { (0, 0) };
    Estimate {
        records: unit.loaded.then_some(waiting),
        bytes: unit.loaded.then_some(bytes),
        time_ms: crate::cutover::p90(&times),
        basis: if times.is_empty() {
            "depends on what changes meanwhile".to_owned()
        } else {
            format!("metadata against the ledger; {} passes", times.len())
        },
    }
}

fn verify_estimate(unit: &UnitState, report: &DriftReport) -> Estimate {
    let load: Option<&PassRecord> = unit.passes.iter().find(|p| p.load);
    let (records, bytes) = match load {
        Some(load) => (load.records_seen, unit.bytes_total),
        None => (report.waiting_records, report.waiting_bytes),
    };
    Estimate {
        records: Some(records),
        bytes: Some(bytes),
        time_ms: Some(bytes.saturating_mul(1000) / ASSUMED_BYTES_PER_S),
        basis: match load {
            Some(_) => "size of what was carried".to_owned(),
            None => "scan of the source".to_owned(),
        },
    }
}
