//! What each action of the transition table does.

use segue_contract::{
    Address, BarrierState, Direction, ErrorClass, QuiesceKind, RouteAt, StepError, VerifyCall,
};
use segue_plan::cutover::{Action, Phase, Settle, settle};
use segue_plan::event::{Attempt, Event, Proof};
use segue_plan::plan::StepKind;
use std::time::Duration;

use super::super::io::{Io, Until};
use super::super::retry::retry;
use super::super::unit::{UnitRef, carried, compare, mismatch};
use super::super::{RunError, claims, prove};
use super::{
    CATCH_UPS_MAX, COMMIT_MARGIN_MS, Flight, SETTLING_DEADLINE, migrations_of, open_where_segue_is_refused,
    opened_by_hand,
};

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
        match act {
            Action::CloseAndDrain => self.close(&step).map(said).map_err(bind),
            Action::Fence => {
                let frozen = |_: &Io<'_>| prove::frozen(self.ground, &step, &self.attempt, &self.until());
                let positions = self.again(&step, frozen).map_err(bind)?;
                Ok(Proof { said: names(&positions), positions, ..Proof::default() })
            }
            Action::CatchUp => self.catch_up(&step),
            Action::VerifyResidual => self.verify_residual(&step),
            Action::Harden => self.closed_and_drained(&step).map(said).map_err(bind),
            Action::ArmReverse => self.arm_reverse(&step),
            Action::Commit => self.last_look(&step).map(said).map_err(bind),
            Action::RaiseAndOpen => {
                self.raise(&step)?;
                self.open(&step).map(said).map_err(bind)
            }
            Action::RaiseAndRoute => {
                self.raise(&step)?;
                self.route(&step).map(said).map_err(bind)
            }
            Action::Route => self.route(&step).map(said).map_err(bind),
            Action::StartWriters => self.open(&step).map(said).map_err(bind),
            Action::EnterWatch => Ok(Proof::default()),
            Action::Watch => self.watch(&step).map(said),
        }
    }

    fn close(&self, step: &Address) -> Result<String, StepError> {
        let quiesce = self.ground.registry.quiesce(&self.attempt.close.block)?;
        self.again(step, |io| quiesce.close(&self.attempt.close, io))?;
        self.closed_and_drained(step)
    }

    /// Passes until the fence itself is seen at the new side (protocol P5).
    fn catch_up(&self, step: &Address) -> Result<Proof, RunError> {
        let fence = self.known.proofs.get(&Phase::Fenced).map(|p| p.positions.clone()).unwrap_or_default();
        let mut proof = Proof::default();
        let mut records = 0;
        for (job, wanted) in self.attempt.jobs.iter().zip(&fence) {
            let unit = UnitRef { migration: job.migration.clone(), unit: job.unit.clone() };
            let engine =
                self.ground.registry.engine(&job.source, &job.target).map_err(|e| RunError::step(step, e))?;
            let mut job = job.clone();
            let mut tries = 0;
            let report = loop {
                tries += 1;
                let report = carried(self.ground, &unit, step, false, job.direction, || {
                    self.again(step, |io| engine.pass(&job, None, io))
                })?;
                records += report.records_written + report.records_deleted;
                job.ledger = Some(report.ledger.clone());
                if report.position == *wanted {
                    break report;
                }
                if tries == CATCH_UPS_MAX {
                    return Err(RunError::step(step, moved_after_fence(&self.attempt)));
                }
            };
            if let Some(first) = report.set_aside.first() {
                let error = StepError::permanent(format!(
                    "{} records cannot be carried, the first: {} ({})",
                    report.set_aside_total, first.key, first.reason
                ))
                .remedy("make them readable, or exclude them in select");
                return Err(RunError::step(step, error));
            }
            proof.ledgers.push(report.ledger);
            proof.positions.push(report.position);
        }
        proof.said = format!("{records} records");
        Ok(proof)
    }

    fn verify_residual(&self, step: &Address) -> Result<Proof, RunError> {
        let caught_up =
            self.known.proofs.get(&Phase::CaughtUp).map(|p| p.ledgers.clone()).unwrap_or_default();
        let mut checked = 0;
        for (job, ledger) in self.attempt.jobs.iter().zip(caught_up) {
            let unit = UnitRef { migration: job.migration.clone(), unit: job.unit.clone() };
            let since = self.ground.recorder.look(|s| {
                s.migrations
                    .get(&unit.migration)?
                    .units
                    .get(&unit.unit)?
                    .verified
                    .as_ref()
                    .map(|v| v.ledger.clone())
            });
            let mut job = job.clone();
            job.ledger = Some(ledger);
            let call = VerifyCall { level: self.attempt.verify, since, quiet: true };
            let report = compare(self.ground, &unit, step, &job, &call, &self.until())?;
            checked += report.records_checked;
            if report.mismatches_total > 0 {
                return Err(mismatch(step, &report));
            }
        }
        Ok(Proof { said: format!("{checked} records compared, all equal"), ..Proof::default() })
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
        let now = self.again(step, |_| prove::positions(self.ground, step, &self.attempt, &self.until()))?;
        let fence = self.known.proofs.get(&Phase::Fenced).map(|p| &p.positions);
        if fence != Some(&now) {
            return Err(moved_after_fence(&self.attempt));
        }
        match self.lapsed(COMMIT_MARGIN_MS) {
            Some(error) => Err(error),
            None => Ok(said),
        }
    }

    fn raise(&self, step: &Address) -> Result<(), RunError> {
        if opened_by_hand(self, Action::RaiseAndRoute)? {
            return Err(RunError::step(step, StepError::permanent("the old side was opened by hand")));
        }
        for migration in migrations_of(&self.attempt) {
            claims::raise(self.ground, step, &migration, self.attempt.epoch, self.attempt.to)?;
        }
        Ok(())
    }

    fn open(&self, step: &Address) -> Result<String, StepError> {
        let quiesce = self.ground.registry.quiesce(&self.attempt.open.block)?;
        let io = Io::new(self.ground, step).until(Until::Never);
        retry(self.ground, step, SETTLING_DEADLINE, || false, || quiesce.open(&self.attempt.open, &io))?;
        let barrier = |_: &Io<'_>| prove::barrier(self.ground, step, &self.attempt.open, &Until::Never);
        match self.again(step, barrier)? {
            BarrierState::Open => Ok("a write got through".to_owned()),
            BarrierState::Unknown(why) => {
                Ok(format!("opened; whether writes get through cannot be told: {why}"))
            }
            BarrierState::Closed(why) => Err(StepError {
                class: ErrorClass::Transient,
                ..StepError::permanent(format!(
                    "the {} was opened and still refuses writes: {why}",
                    self.attempt.to
                ))
            }),
        }
    }

    /// Points every route to the new side, and looks that it does; with stopped writers old answers expire
    /// before anybody is started (protocol P12).
    fn route(&self, step: &Address) -> Result<String, StepError> {
        let io = Io::new(self.ground, step).until(Until::Never);
        let mut ttl_ms = 0;
        for block in &self.attempt.routes {
            let route = self.ground.registry.route(block)?;
            retry(
                self.ground,
                step,
                SETTLING_DEADLINE,
                || false,
                || {
                    route.set(block, self.attempt.to, &io)?;
                    match route.observe(block, &io)? {
                        RouteAt::Side(side) if side == self.attempt.to => Ok(()),
                        other => Err(StepError::transient(format!(
                            "{} was set and points to {other:?}",
                            block.address
                        ))),
                    }
                },
            )?;
            ttl_ms = ttl_ms.max(route.ttl_ms(block));
        }
        if self.attempt.open_kind == QuiesceKind::Writers && ttl_ms > 0 {
            let end = self.ground.clock.boot_ms() + ttl_ms;
            while self.ground.clock.boot_ms() < end {
                self.ground
                    .control
                    .sleep(Duration::from_millis(end.saturating_sub(self.ground.clock.boot_ms())));
            }
        }
        Ok(format!("{} routes point to the {}", self.attempt.routes.len(), self.attempt.to))
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
        Ok(match total {
            0 => format!("{seen} records on the {} looked at, no stale writes", self.attempt.from),
            n => format!("{n} STALE WRITES on the {}: `segue status` lists them", self.attempt.from),
        })
    }

    fn reopen_for_reverse(&self, step: &Address) -> Result<(), RunError> {
        if !self.attempt.reverse {
            return Ok(());
        }
        let (close, kind) = (&self.attempt.close, self.attempt.close_kind);
        open_where_segue_is_refused(self.ground, step, close, kind)
    }
}

fn moved_after_fence(attempt: &Attempt) -> StepError {
    StepError::permanent(format!("the {} changed after its fence although it was closed", attempt.from))
        .remedy("find the writer that the quiesce does not stop (`segue drift` names what changed)")
}

fn names(positions: &[segue_contract::Position]) -> String {
    positions.iter().map(|p| p.0.chars().take(12).collect::<String>()).collect::<Vec<_>>().join(" ")
}
