//! Rehearsing a cutover (design: rehearsal): the whole migration to a scratch place beside the target, measured and
//! judged, and taken away again.
//!
//! It runs on a *stage*: a migration and a cutover of their own in the journal, so that a death in it is resumed and
//! a pause in it is settled by the rules that hold for every other. A staged attempt ends at VERIFIED; it never
//! commits.

mod findings;
mod release;
mod stage;

use std::time::Instant;

use segue_contract::{
    Address, BlockRef, Config, Finding, Setting, Severity, Side, StepError, StepIo, UnitName, VerifyCall,
};
use segue_language::{CutoverDecl, Desired};
use segue_plan::cutover::converged;
use segue_plan::event::{
    Event, MigrationRecord, Rehearsal, RehearsalFinding, RehearsalReport, RehearsedUnit,
};
use segue_plan::plan::{StepKind, Verdict, subject, verdict};
use segue_plan::state::PauseTerm;

use super::attempt::attempt_from_spec;
use super::drive::{CutoverTask, run_cutover};
use super::gates::Conditions;
use super::ground::micros;
use super::io::{Io, Until};
use super::retry::{STEP_DEADLINE, retry};
use super::unit::{UnitRef, compare, job_of, load, pass};
use super::{Ground, RunError, RunEvent};
pub(super) use release::release;
use stage::Stage;

/// Passes after the load: enough for a 90th percentile that means something, few enough not to take long.
const PASSES: usize = 5;

/// Rehearses a cutover. What it found is in the journal; a critical finding that nobody waived is an error.
///
/// # Errors
/// [`RunError::Gate`] for critical findings; otherwise the rehearsal itself could not go on: it is resumed by the
/// next call, or taken away by [`release`].
pub(super) fn rehearse(
    ground: &Ground,
    desired: &Desired,
    decl: &CutoverDecl,
    plan_hash: &str,
) -> Result<(), RunError> {
    let step = decl.address.step(StepKind::Rehearse.as_str());
    let before = ground.state();
    let open = before.rehearsals.get(&decl.address).and_then(|known| known.open.as_ref());
    let died_in_it = before.open_steps.contains_key(&step);
    ground.step(&step, StepKind::Rehearse, || {
        let subject = subject(desired, decl);
        let same = open.is_none_or(|open| open.rehearsal.subject == subject);
        if open.is_some_and(|open| open.ended || !same) {
            release(ground, &decl.address)?;
        }
        // A run that died after it was over: its numbers count.
        let ended = open.map_or(died_in_it, |open| open.ended) && same;
        if ended
            && !matches!(
                verdict(desired, decl, &before, ground.clock.wall_ms()),
                Verdict::None | Verdict::Old(_)
            )
        {
            return Ok("was over; what was left of it is gone".to_owned());
        }
        let stage = Stage::of(ground, desired, decl).map_err(|e| RunError::step(&step, e))?;
        Drill { ground, desired, decl, step: &step, stage, plan_hash, began: Instant::now() }.run(subject)
    })?;
    let state = ground.state();
    match verdict(desired, decl, &state, ground.clock.wall_ms()) {
        Verdict::Refuses(_, critical) => Err(refused(&step, decl, &critical)),
        Verdict::None | Verdict::Old(_) | Verdict::Passes(_) => Ok(()),
    }
}

fn refused(step: &Address, decl: &CutoverDecl, critical: &[&RehearsalFinding]) -> RunError {
    let said: Vec<String> = critical.iter().map(|f| format!("{}: {}", f.about, f.finding.summary)).collect();
    let codes: std::collections::BTreeSet<&str> = critical.iter().map(|f| f.finding.code.as_str()).collect();
    let codes: Vec<String> = codes.iter().map(|code| format!("waive {code:?} {{ reason = ... }}")).collect();
    RunError::Gate {
        step: step.clone(),
        what: format!("the rehearsal found what would fail: {}", said.join("; ")),
        remedy: format!(
            "mend that and rehearse again; or accept it in {}: {}",
            decl.address,
            codes.join(", ")
        ),
    }
}

/// One rehearsal.
struct Drill<'a> {
    ground: &'a Ground,
    desired: &'a Desired,
    decl: &'a CutoverDecl,
    step: &'a Address,
    stage: Stage,
    plan_hash: &'a str,
    began: Instant,
}

impl Drill<'_> {
    fn run(&self, subject: String) -> Result<String, RunError> {
        self.set_up(subject)?;
        let mut found: Vec<RehearsalFinding> = self.stage.findings.clone();
        let mut units = Vec::new();
        let mut whole = true;
        for (real, staged) in &self.stage.members {
            for unit in self.units(staged) {
                let (measured, failed) = self.unit(real, &unit)?;
                whole &= failed.is_none();
                units.push(measured);
                found.extend(failed);
                found.extend(findings::of_unit(self.ground, real, &unit));
            }
        }
        let mut pauses = Vec::new();
        if self.decl.rehearse.as_ref().is_some_and(|r| r.quiesce) {
            if whole {
                let (terms, failed) = self.pause()?;
                pauses = terms;
                found.extend(failed);
            }
        } else {
            found.push(findings::untried(self.decl));
        }
        if whole {
            found.extend(self.test()?);
        }
        let mut report = RehearsalReport { units, pauses, findings: found, ..RehearsalReport::default() };
        findings::predict(self.ground, self.desired, self.decl, &mut report);
        report.findings.sort_by_key(|f| std::cmp::Reverse(f.finding.severity));
        report.took_us = micros(self.began);
        self.end(report)
    }

    fn end(&self, report: RehearsalReport) -> Result<String, RunError> {
        let cutover = self.decl.address.clone();
        let count = |severity| report.findings.iter().filter(|f| f.finding.severity == severity).count();
        let said = format!(
            "{} critical findings, {} warnings; a pause of {} ms is predicted",
            count(Severity::Critical),
            count(Severity::Warning),
            report.forecast.total_ms()
        );
        self.ground
            .record(Event::RehearsalEnded { cutover: cutover.clone(), report: Box::new(report.clone()) })?;
        self.ground.tell(&RunEvent::Rehearsed { cutover: cutover.clone(), report: Box::new(report) });
        release(self.ground, &cutover)?;
        Ok(said)
    }

    /// Makes the stage, or what a run that died left out of it.
    fn set_up(&self, subject: String) -> Result<(), RunError> {
        let ground = self.ground;
        let open =
            ground.recorder.look(|s| s.rehearsals.get(&self.decl.address).is_some_and(|r| r.open.is_some()));
        if !open {
            let rehearsal = Rehearsal {
                subject,
                stage: self.stage.decl.address.clone(),
                members: self.stage.members.clone(),
            };
            ground.record(Event::RehearsalBegan { cutover: self.decl.address.clone(), rehearsal })?;
        }
        for (_, staged) in &self.stage.members {
            if ground.recorder.look(|s| !s.migrations.contains_key(staged)) {
                let record = self.record(staged).map_err(|e| RunError::step(self.step, e))?;
                ground.record(Event::MigrationBegan(record))?;
            }
            self.make(staged)?;
        }
        Ok(())
    }

    fn record(&self, staged: &Address) -> Result<MigrationRecord, StepError> {
        let io = Io::new(self.ground, self.step);
        let (source, target) = self.stage.ends(staged)?;
        let facts = self.ground.registry.endpoint(source)?.observe(source, &io)?;
        let scratch = self.ground.registry.endpoint(target)?.observe(target, &io)?;
        let engine = self.ground.registry.engine(source, target)?;
        let select = self.stage.select(staged)?;
        let selected = facts.units.iter().filter(|u| engine.selects(select, &u.name));
        let units: Vec<UnitName> = selected.map(|u| engine.unit_name(select, &u.name)).collect();
        Ok(MigrationRecord {
            migration: staged.clone(),
            cutover: Some(self.stage.decl.address.clone()),
            source: source.narrowed(units.iter().map(|u| u.unit.clone()).collect()),
            target: target.narrowed(units.iter().map(|u| u.at_target.clone()).collect()),
            source_identity: facts.identity,
            target_identity: scratch.identity,
            jobs: self.stage.jobs(staged, &units)?,
        })
    }

    fn make(&self, staged: &Address) -> Result<(), RunError> {
        let ground = self.ground;
        let bind = |e| RunError::step(self.step, e);
        let (_, target) = self.stage.ends(staged).map_err(bind)?;
        let made = |s: &segue_plan::state::State| {
            s.migrations.get(staged).is_some_and(|m| m.made.contains(&target.address))
        };
        let endpoint = ground.registry.endpoint(target).map_err(bind)?;
        let io = Io::new(ground, self.step);
        if !ground.recorder.look(made) {
            let facts =
                retry(ground, self.step, STEP_DEADLINE, || io.cancelled(), || endpoint.observe(target, &io));
            if facts.map_err(bind)?.exists {
                let what = format!("the place for the copy ({}) is there already", stage::place(target));
                let error = StepError::permanent(what).remedy(
                    "see what it is; when it is nothing that anybody needs, remove it and rehearse again",
                );
                return Err(bind(error));
            }
            // Before it is made, as for every endpoint: a death between the two leaves nothing that nobody knows of.
            ground.record(Event::EndpointMade {
                migration: staged.clone(),
                endpoint: target.address.clone(),
            })?;
        }
        retry(ground, self.step, STEP_DEADLINE, || io.cancelled(), || endpoint.provision(target, &io))
            .map_err(bind)?;
        ground.tell(&RunEvent::Said {
            text: format!("{}: the copy is at {}", self.step, stage::place(target)),
        });
        Ok(())
    }

    fn units(&self, staged: &Address) -> Vec<UnitRef> {
        let names = self
            .ground
            .recorder
            .look(|s| s.migrations.get(staged).map(|m| m.units.keys().cloned().collect::<Vec<_>>()))
            .unwrap_or_default();
        names.into_iter().map(|unit| UnitRef { migration: staged.clone(), unit }).collect()
    }

    /// Loads, passes and verifies one unit, and measures that. What fails is a finding.
    fn unit(
        &self,
        real: &Address,
        unit: &UnitRef,
    ) -> Result<(RehearsedUnit, Option<RehearsalFinding>), RunError> {
        let mut measured = RehearsedUnit {
            migration: real.clone(),
            unit: unit.unit.clone(),
            records: 0,
            bytes: 0,
            load_us: 0,
            passes: Vec::new(),
            level: None,
            verify_us: 0,
            verify_bytes: 0,
        };
        let failed = self.carry_and_compare(real, unit, &mut measured).err();
        let known = self
            .ground
            .recorder
            .look(|s| s.migrations.get(&unit.migration).and_then(|m| m.units.get(&unit.unit)).cloned())
            .unwrap_or_default();
        for done in &known.passes {
            if done.load {
                measured.records = done.records_written;
                measured.bytes = done.bytes_written;
                measured.load_us = done.took_us;
            } else {
                measured.passes.push(done.times);
            }
        }
        match failed {
            Some(error) => Ok((measured, Some(findings::failure(real, error)?))),
            None => Ok((measured, None)),
        }
    }

    fn carry_and_compare(
        &self,
        real: &Address,
        unit: &UnitRef,
        measured: &mut RehearsedUnit,
    ) -> Result<(), RunError> {
        let ground = self.ground;
        ground.step(&unit.step("load"), StepKind::Load, || load(ground, unit))?;
        let step = unit.step("sync");
        ground.step(&step, StepKind::Sync, || {
            for _ in 0..PASSES {
                if ground.control.stopping() {
                    return Err(RunError::Interrupted);
                }
                pass(ground, unit, &step, &Until::Stopped)?;
            }
            let (_, known) = job_of(ground, unit)?;
            Ok(if converged(&known.passes) { "passes stopped shrinking" } else { "passes still shrink" }
                .to_owned())
        })?;
        let step = unit.step("verify");
        let level = self.desired.migrations.get(real).map(|m| m.verify.level);
        let Some(level) = level else { return Ok(()) };
        ground.step(&step, StepKind::Verify, || {
            let (job, _) = job_of(ground, unit)?;
            let call = VerifyCall { level, since: None, quiet: false, set_aside: Vec::new() };
            let report = compare(ground, unit, &step, &job, &call, &Until::Stopped)?;
            measured.level = Some(level);
            measured.verify_us = report.took_us;
            measured.verify_bytes = report.bytes_read;
            match report.mismatches_total {
                0 => Ok(format!(
                    "{} records compared, {}, all equal",
                    report.records_checked,
                    super::unit::by_content(report.records_checked, report.records_read)
                )),
                _ => Err(super::unit::mismatch(&step, &report)),
            }
        })
    }

    /// The pause, as far as VERIFIED; then the source is opened again.
    fn pause(&self) -> Result<(Vec<PauseTerm>, Option<RehearsalFinding>), RunError> {
        let (ground, staged) = (self.ground, &self.stage.decl);
        let mut attempt =
            attempt_from_spec(ground, &self.stage.desired, staged, Side::Target, self.plan_hash)?;
        attempt.rehearsal = true;
        let task =
            CutoverTask { cutover: staged.address.clone(), attempt, conditions: Conditions::default() };
        let ended = run_cutover(ground, task);
        let terms = ground
            .recorder
            .look(|s| s.cutovers.get(&staged.address).map(|c| c.pauses.clone()))
            .unwrap_or_default();
        match ended {
            Ok(()) => Ok((terms, None)),
            Err(_) if ground.control.stopping() => Err(RunError::Interrupted),
            // Records that cannot be carried are a finding already.
            Err(RunError::Gate { .. }) => Ok((terms, None)),
            Err(RunError::Aborted { reason, .. }) => {
                Ok((Vec::new(), Some(findings::quiesce(&self.decl.address, &reason))))
            }
            Err(error) => Ok((Vec::new(), Some(findings::failure(&self.decl.address, error)?))),
        }
    }

    /// The person's own look at the copy.
    fn test(&self) -> Result<Vec<RehearsalFinding>, RunError> {
        let test = self.decl.rehearse.as_ref().map(|r| r.test.clone()).unwrap_or_default();
        let mut found = Vec::new();
        for (real, staged) in self.stage.members.iter().filter(|_| !test.is_empty()) {
            let bind = |e| RunError::step(self.step, e);
            let (_, target) = self.stage.ends(staged).map_err(bind)?;
            let mut config = Config::default();
            let argv: Vec<String> = test.iter().map(|word| stage::filled_in(word, target)).collect();
            config.insert("command", Setting::Plain(argv.into()));
            let block = BlockRef {
                address: self.step.step("test"),
                provider: "command".to_owned(),
                base_dir: target.base_dir.clone(),
                config,
                scope: Vec::new(),
            };
            let io = Io::new(self.ground, self.step);
            let probe = self.ground.registry.gate(&block).map_err(bind)?;
            let said = match probe.look(&block, &io) {
                Ok(reading) if reading.ok => continue,
                Ok(reading) => reading.said,
                Err(_) if self.ground.control.stopping() => return Err(RunError::Interrupted),
                Err(error) => error.to_string(),
            };
            found.push(RehearsalFinding {
                about: real.clone(),
                finding: Finding {
                    severity: Severity::Critical,
                    code: "REHEARSE_TEST".to_owned(),
                    summary: format!("the test of the copy failed: {said}"),
                    remedy: "run the test by hand on the source, and see what it needs".to_owned(),
                },
                keys: Vec::new(),
                all_known: true,
            });
        }
        Ok(found)
    }
}
