//! What each action of the transition table does.

use segue_contract::{
    Address, ArtifactName, BarrierState, Direction, PassReport, Position, RouteAt, Side, StepError, UnitJob,
    VerifyCall, VerifyLevel, segue,
};
use segue_language::WaiverDecl;
use segue_plan::cutover::{Action, Phase, Settle, opens_members, settle};
use segue_plan::event::{Attempt, Event, Member, Proof};
use segue_plan::plan::StepKind;
use std::time::Duration;

use super::super::io::{Io, Until};
use super::super::retry::retry;
use super::super::together::{each_once, together};
use super::super::unit::{UnitRef, by_content, carried, compare, mismatch};
use super::super::{RunError, claims, deletions, prove, watching};
use super::{CATCH_UPS_MAX, COMMIT_MARGIN_MS, Flight, SETTLING_DEADLINE, open_where_segue_is_refused};
use crate::lease::Decision;

/// The step that an action appears as in plans.
pub(super) fn step_of(act: Action) -> StepKind {
    match act {
        Action::CloseAndDrain => StepKind::Drain,
        Action::Fence => StepKind::Fence,
        Action::CatchUp => StepKind::CatchUp,
        Action::VerifyResidual => StepKind::VerifyResidual,
        Action::Harden => StepKind::Harden,
        Action::ArmReverse => StepKind::ArmReverse,
        Action::Commit => StepKind::Commit,
        Action::RaiseAndOpen | Action::StartWriters => StepKind::Open,
        Action::RaiseAndRoute | Action::Route => StepKind::Switch,
        Action::EnterWatch | Action::Watch => StepKind::Watch,
    }
}

impl Flight<'_> {
    /// Does what leaves the current phase, and says what it established.
    pub(super) fn perform(&self, act: Action) -> Result<Proof, RunError> {
        let step = self.step(step_of(act));
        let bind = |e: StepError| RunError::step(&step, e);
        let said = |said: String| Proof { said, ..Proof::default() };
        if settle(self.known.phase) == Settle::Abort
            && let Some(error) = self.lapsed(0)
        {
            return Err(bind(error));
        }
        if let Some(leaving) = &self.attempt.leaves
            && let Some(done) = self.leave(leaving, act, &step)
        {
            return done;
        }
        match act {
            Action::CloseAndDrain => self.close(&step).map(said).map_err(bind),
            Action::Fence => {
                let look = |_: &Io<'_>| prove::positions(self.ground, &step, &self.attempt, &self.until());
                let positions = self.again(&step, look).map_err(bind)?;
                self.nothing_appeared(&step).map_err(bind)?;
                Ok(Proof { said: names(&positions), positions, ..Proof::default() })
            }
            Action::CatchUp => self.catch_up(&step),
            Action::VerifyResidual => self.verify_residual(&step),
            Action::Harden => self.harden(&step).map(said).map_err(bind),
            Action::ArmReverse => self.arm_reverse(&step),
            Action::Commit => {
                let looked = self.last_look(&step).map(said).map_err(bind)?;
                Ok(Proof { at: Some(self.ground.now()), ..looked })
            }
            Action::RaiseAndOpen => {
                self.raise(&step)?;
                self.open(&step, act).map(said).map_err(bind)
            }
            Action::RaiseAndRoute => {
                self.raise(&step)?;
                self.route(&step).map(said).map_err(bind)
            }
            Action::Route => self.route(&step).map(said).map_err(bind),
            Action::StartWriters => self.open(&step, act).map(said).map_err(bind),
            Action::EnterWatch => Ok(Proof::default()),
            Action::Watch => self.watch(&step).map(said),
        }
    }

    fn close(&self, step: &Address) -> Result<String, StepError> {
        together(&self.attempt.members, |member| {
            let quiesce = self.ground.registry.quiesce(&member.close.block)?;
            // Where the endpoint's own host can hold the lease, it re-opens by itself even when this machine dies.
            let left_ms = self.deadline_ms().saturating_sub(self.ground.clock.boot_ms());
            self.again(step, |io| quiesce.lease(&member.close, left_ms, io))?;
            self.again(step, |io| quiesce.close(&member.close, io))
        })?;
        self.closed_and_drained(step)
    }

    /// Passes until the fence itself is seen at the new side of every unit (protocol P5).
    fn catch_up(&self, step: &Address) -> Result<Proof, RunError> {
        let fence = self.known.proofs.get(&Phase::Fenced).map(|p| p.positions.clone()).unwrap_or_default();
        let units: Vec<(&UnitJob, &Position)> = self.attempt.jobs.iter().zip(&fence).collect();
        let caught_up = together(&units, |(job, wanted)| self.catch_unit_up(step, job, wanted))?;
        let records: u64 = caught_up.iter().map(|(_, records)| records).sum();
        let mut proof = Proof { said: format!("{records} records"), ..Proof::default() };
        for (report, _) in caught_up {
            proof.ledgers.push(report.ledger);
            proof.positions.push(report.position);
        }
        Ok(proof)
    }

    /// The last report, and how many records were carried.
    fn catch_unit_up(
        &self,
        step: &Address,
        job: &UnitJob,
        wanted: &Position,
    ) -> Result<(PassReport, u64), RunError> {
        let unit = UnitRef { migration: job.migration.clone(), unit: job.unit.clone() };
        let engine =
            self.ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
        let mut job = UnitJob { quiet: true, ..job.clone() };
        job.deletions.accepted = deletions::accepted(self.ground, &job);
        let mut records = 0;
        for _ in 0..CATCH_UPS_MAX {
            let patience = self.until().time_left(self.ground);
            let report = carried(self.ground, &unit, step, false, job.direction, patience, || {
                self.again(step, |io| engine.pass(&job, None, io))
            })?;
            records += report.records_written + report.records_deleted;
            job.ledger = Some(report.ledger.clone());
            job.deletions.accepted = None;
            if report.position != *wanted {
                continue;
            }
            let accepted = || {
                WaiverDecl::accept_left_out(&self.attempt.waivers, &report.set_aside, report.set_aside_total)
            };
            if let Some(first) = report.set_aside.first().filter(|_| !accepted()) {
                let error = StepError::permanent(format!(
                    "{} records of {} cannot be carried, the first: {} ({})",
                    report.set_aside_total, unit.migration, first.key, first.reason
                ))
                .remedy("make them readable, or exclude them in select");
                return Err(RunError::step(step, error));
            }
            return Ok((report, records));
        }
        Err(RunError::step(step, prove::moved_after_fence(&job)))
    }

    fn verify_residual(&self, step: &Address) -> Result<Proof, RunError> {
        let caught_up =
            self.known.proofs.get(&Phase::CaughtUp).map(|p| p.ledgers.clone()).unwrap_or_default();
        let units: Vec<(&UnitJob, ArtifactName)> = self.attempt.jobs.iter().zip(caught_up).collect();
        let counts = together(&units, |(job, ledger)| {
            let unit = UnitRef { migration: job.migration.clone(), unit: job.unit.clone() };
            let since = self.ground.recorder.look(|s| {
                let unit = s.migrations.get(&unit.migration)?.units.get(&unit.unit)?;
                unit.verified.as_ref().map(|v| v.ledger.clone())
            });
            let member = self.attempt.member(&job.migration);
            let level = member.map_or(VerifyLevel::Full, |m| m.verify);
            let since = since.filter(|_| !member.is_some_and(|m| m.verify_all));
            let call = VerifyCall { level, since, quiet: true, set_aside: Vec::new() };
            let job = UnitJob { ledger: Some(ledger.clone()), ..(*job).clone() };
            let report = compare(self.ground, &unit, step, &job, &call, &self.until())?;
            match report.mismatches_total {
                0 => Ok((report.records_checked, report.records_read)),
                _ => Err(mismatch(step, &report)),
            }
        })?;
        let (checked, read) =
            counts.iter().fold((0_u64, 0_u64), |(c, r), (checked, read)| (c + checked, r + read));
        let said = format!("{checked} records compared, {}, all equal", by_content(checked, read));
        Ok(Proof { said, ..Proof::default() })
    }

    /// Protocol P7: from here on nothing but this attempt, or who settles it, opens the closed side. Decided once,
    /// against whoever thinks that the lease is over; and only while somebody watches.
    fn harden(&self, step: &Address) -> Result<String, StepError> {
        let said = self.closed_and_drained(step)?;
        let look =
            |member: &Member| self.again(step, |_| prove::openable(self.ground, step, member, &self.until()));
        let openable = each_once(&together(&self.attempt.members, look)?).join("; ");
        self.harden_lease(step, format!("{said}; {openable}"))
    }

    pub(in super::super) fn harden_lease(&self, step: &Address, said: String) -> Result<String, StepError> {
        if let Some(error) = self.lapsed_for_commit() {
            return Err(error);
        }
        // An endpoint's own lease is given up only while it is certainly pending, and before anything is decided here.
        for member in &self.attempt.members {
            let quiesce = self.ground.registry.quiesce(&member.close.block)?;
            quiesce.harden(&member.close, &self.io(step))?;
        }
        if self.attempt.watchdog.is_some() {
            self.ground.guard.answers()?;
        }
        match self.lease_file().decide(Decision::Hardened)? {
            Decision::Hardened => Ok(said),
            Decision::Expired => Err(StepError::permanent("the lease of the pause has expired")
                .remedy(format!("another process settles: `{}` says how it ended", segue(&["status"])))),
        }
    }

    /// Where the way back starts: the new side's position before its first write (protocol P10).
    fn arm_reverse(&self, step: &Address) -> Result<Proof, RunError> {
        let mut positions = Vec::new();
        for job in &self.attempt.jobs {
            let mut back = job.clone();
            back.direction = Direction::from_live(self.attempt.to);
            let engine =
                self.ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
            positions.push(
                self.again(step, |io| engine.position(&back, io)).map_err(|e| RunError::step(step, e))?,
            );
        }
        Ok(Proof { said: names(&positions), positions, ..Proof::default() })
    }

    /// Protocol P6 and P10: the position still equals the fence, the drain holds, the deadline is far enough.
    fn last_look(&self, step: &Address) -> Result<String, StepError> {
        let said = self.closed_and_drained(step)?;
        let fence = self.known.proofs.get(&Phase::Fenced).map(|p| p.positions.as_slice()).unwrap_or_default();
        let fenced_ms = self.fenced_ms.unwrap_or_else(|| self.ground.clock.boot_ms());
        self.again(step, |_| {
            prove::frozen(self.ground, step, &self.attempt, fence, fenced_ms, &self.until())
        })?;
        self.nothing_appeared(step)?;
        match self.lapsed_for_commit() {
            Some(error) => Err(error),
            None => Ok(said),
        }
    }

    /// That no unit was made at the side that served since the migration began: it would be left behind.
    fn nothing_appeared(&self, step: &Address) -> Result<(), StepError> {
        for migration in self.attempt.migrations() {
            let record = self.ground.recorder.look(|s| s.migrations.get(migration).map(|m| m.record.clone()));
            let Some(record) = record else { continue };
            let Some(job) = record.jobs.first() else { continue };
            let block = match self.attempt.from {
                Side::Source => &record.source,
                Side::Target => &record.target,
            };
            let engine = self.ground.registry.engine(&record.source, &record.target)?;
            let look = |io: &Io<'_>| engine.appeared(block, self.attempt.from, &job.select, io);
            let found = self.again(step, look)?;
            if !found.is_empty() {
                return Err(StepError::permanent(format!(
                    "{migration} selects what was made at {} after it began, and nothing carries it: {}",
                    block.address,
                    found.join(", ")
                ))
                .remedy("apply again, which moves it, too; or leave it out with select { exclude }"));
            }
        }
        Ok(())
    }

    /// Why no commit may be begun any more, if so.
    pub(in super::super) fn lapsed_for_commit(&self) -> Option<StepError> {
        self.lapsed(COMMIT_MARGIN_MS)
    }

    fn raise(&self, step: &Address) -> Result<(), RunError> {
        if self.opened_by_hand(Action::RaiseAndRoute)? {
            return Err(RunError::step(step, StepError::permanent("the old side was opened by hand")));
        }
        for migration in self.attempt.migrations() {
            let left = self.attempt.left();
            claims::raise(self.ground, step, migration, self.attempt.epoch, self.attempt.to, left)?;
        }
        Ok(())
    }

    /// Opens the new side of every member that the action opens, each after those that it depends on, and records each
    /// (protocol P20).
    fn open(&self, step: &Address, act: Action) -> Result<String, StepError> {
        let mut said = Vec::new();
        for member in self.attempt.members.iter().filter(|m| Some(m.open_kind) == opens_members(act)) {
            said.push(self.open_member(step, member)?);
            let event = Event::MemberOpened {
                cutover: self.cutover.clone(),
                epoch: self.attempt.epoch,
                migration: member.migration.clone(),
            };
            self.ground.record_settling(event).map_err(|e| StepError::unknown(e.to_string()))?;
        }
        Ok(each_once(&said).join("; "))
    }

    fn open_member(&self, step: &Address, member: &Member) -> Result<String, StepError> {
        let quiesce = self.ground.registry.quiesce(&member.open.block)?;
        let io = Io::new(self.ground, step).until(Until::Never);
        let patience = self.opening_patience();
        let opened = retry(self.ground, step, patience, || false, || quiesce.open(&member.open, &io));
        if let Err(error) = opened {
            // A run that died may have opened it: then nothing is missing, and nothing may be taken back.
            return match prove::barrier(self.ground, step, &member.open, &Until::Never) {
                Ok(BarrierState::Open) => Ok(format!("it was open already, and takes writes ({error})")),
                _ => Err(error),
            };
        }
        let look = || match prove::barrier(self.ground, step, &member.open, &Until::Never)? {
            BarrierState::Open => Ok("a write got through".to_owned()),
            BarrierState::Unknown(why) => {
                Ok(format!("opened; whether writes get through cannot be told: {why}"))
            }
            BarrierState::Closed(why) => Err(StepError::transient(format!(
                "{} was opened and still refuses writes: {why}",
                member.open.endpoint.address
            ))),
        };
        retry(self.ground, step, patience, || false, look)
    }

    /// How long opening the new side is tried before the old one is looked at again (protocol P16): both are closed
    /// meanwhile, so no longer than the spec allows a pause to be, nor than what this process has left of the forward
    /// lease. Whoever completes for one that is dead has a time of its own.
    fn opening_patience(&self) -> Duration {
        let most = SETTLING_DEADLINE.min(Duration::from_millis(self.attempt.timeout_ms));
        let ends = self.known.forward_until().filter(|_| self.fenced_ms.is_some());
        let left = ends.map(|ends| ends.ms.saturating_sub(self.ground.clock.boot_ms()));
        left.map_or(most, |ms| most.min(Duration::from_millis(ms)))
    }

    /// Points every route to the new side, and looks that it does; with stopped writers old answers expire
    /// before anybody is started (protocol P12).
    fn route(&self, step: &Address) -> Result<String, StepError> {
        let Attempt { to, settle_ms, old_answers_ms, .. } = self.attempt;
        let ttl_ms = self.point_routes(step, to)?.max(settle_ms).max(old_answers_ms);
        if self.attempt.opens().writers && ttl_ms > 0 {
            let end = self.ground.clock.boot_ms() + ttl_ms;
            while self.ground.clock.boot_ms() < end {
                self.ground
                    .control
                    .sleep(Duration::from_millis(end.saturating_sub(self.ground.clock.boot_ms())));
            }
        }
        Ok(format!("{} routes point to the {}", self.attempt.routes.len(), self.attempt.to))
    }

    /// Points every route to a side and looks that it does. Returns how long old answers live, in milliseconds.
    pub(super) fn point_routes(&self, step: &Address, side: Side) -> Result<u64, StepError> {
        let io = Io::new(self.ground, step).until(Until::Never);
        let mut ttl_ms = 0;
        for block in &self.attempt.routes {
            let route = self.ground.registry.route(block)?;
            let set = || {
                route.set(block, side, &io)?;
                match route.observe(block, &io)? {
                    RouteAt::Side(found) if found == side => Ok(()),
                    other => Err(StepError::transient(format!(
                        "{} was set and points to {other:?}",
                        block.address
                    ))),
                }
            };
            retry(self.ground, step, SETTLING_DEADLINE, || false, set)?;
            let (cutover, epoch) = (self.cutover.clone(), self.attempt.epoch);
            let event = Event::RouteSet { cutover, epoch, route: block.address.clone(), side };
            self.ground.record_settling(event).map_err(|e| StepError::unknown(e.to_string()))?;
            ttl_ms = ttl_ms.max(route.ttl_ms(block));
        }
        Ok(ttl_ms)
    }

    /// The whole old side is compared with the fence's ledger (protocol P6, P21).
    fn watch(&self, step: &Address) -> Result<String, RunError> {
        let ledgers = self.known.proofs.get(&Phase::CaughtUp).map(|p| p.ledgers.clone()).unwrap_or_default();
        let mut total = 0;
        let mut seen = 0;
        for (job, ledger) in self.attempt.jobs.iter().zip(ledgers) {
            let mut back = job.clone();
            back.direction = Direction::from_live(self.attempt.to);
            back.ledger = Some(ledger);
            let engine =
                self.ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
            let report =
                self.again(step, |io| engine.stale(&back, io)).map_err(|e| RunError::step(step, e))?;
            total += report.total;
            seen += report.records_seen;
            self.ground.record(Event::StaleLooked { cutover: self.cutover.clone(), report })?;
        }
        self.reopen_for_reverse(step)?;
        let stale = match total {
            0 => format!("{seen} records on the {} looked at, no stale writes", self.attempt.from),
            n => {
                format!("{n} STALE WRITES on the {}: `{}` lists them", self.attempt.from, segue(&["status"]))
            }
        };
        let watched = watching::watch(self.ground, self.cutover, &self.attempt, &self.known)?;
        Ok(watched.into_iter().fold(stale, |said, more| format!("{said}; {more}")))
    }

    fn reopen_for_reverse(&self, step: &Address) -> Result<(), RunError> {
        if !self.attempt.reverse {
            return Ok(());
        }
        for member in &self.attempt.members {
            open_where_segue_is_refused(self.ground, step, &member.close, member.close_kind)?;
        }
        Ok(())
    }
}

fn names(positions: &[Position]) -> String {
    positions.iter().map(|p| p.0.chars().take(12).collect::<String>()).collect::<Vec<_>>().join(" ")
}
