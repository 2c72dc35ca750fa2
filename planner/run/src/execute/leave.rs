//! Leaving a target that cannot be read (protocol P22): only where the spec accepts the loss, and only when the target
//! is fenced from outside, for it may come back; or where clients may write to both sides anyway.

use segue_contract::{
    Address, Barrier, BlockRef, MarkerError, QuiesceCall, QuiesceKind, Side, StepError, UnitJob, segue,
};
use segue_plan::cutover::{Action, WayBack};
use segue_plan::event::{
    Attempt, Event, FallbackTerms, Leaving, Member, Proof, Release, Resource, ResourceKind,
};
use segue_plan::plan::StepKind;

use super::drive::{CutoverTask, Flight, run_cutover};
use super::gates::Conditions;
use super::io::{Io, Until};
use super::unit::{UnitRef, sync};
use super::{Ground, RunError, RunEvent, claims, passes};

/// Goes back: what the side that serves took is carried first; a target that cannot be read is left, where that is
/// allowed.
///
/// # Errors
/// Where it is not, [`RunError::Unreadable`], and nothing was touched.
pub(super) fn go_back(ground: &Ground, cutover: &Address, mut attempt: Attempt) -> Result<(), RunError> {
    let mut leaving = may_leave(ground, cutover, &attempt)?;
    if leaving.is_none()
        && let Err(error) = carry(ground, &attempt)
    {
        if matches!(error, RunError::Interrupted | RunError::Record(_)) {
            return Err(error);
        }
        // It may have gone away meanwhile.
        leaving = may_leave(ground, cutover, &attempt)?;
        if leaving.is_none() {
            return Err(error);
        }
    }
    if let Some(leaving) = &leaving {
        let Leaving { unreadable, loses } = leaving;
        let text =
            format!("{cutover}: the {} is LEFT, for it cannot be read ({unreadable}): {loses}", attempt.from);
        ground.tell(&RunEvent::Said { text });
    }
    attempt.leaves = leaving;
    run_cutover(
        ground,
        CutoverTask {
            cutover: cutover.clone(),
            attempt,
            conditions: Conditions { at_once: true, ..Conditions::default() },
        },
    )
}

/// Reverse passes until they stop shrinking.
fn carry(ground: &Ground, attempt: &Attempt) -> Result<(), RunError> {
    let unit = |job: &UnitJob| UnitRef { migration: job.migration.clone(), unit: job.unit.clone() };
    let units: Vec<UnitRef> = attempt.jobs.iter().map(unit).collect();
    passes::each(ground, &units, |unit| {
        ground.step(&unit.step("sync"), StepKind::Sync, || sync(ground, unit))
    })
}

/// Whether the side that an attempt leads away from is left unread; `None`: it can be read.
fn may_leave(ground: &Ground, cutover: &Address, attempt: &Attempt) -> Result<Option<Leaving>, RunError> {
    let Some(unreadable) = unreadable(ground, attempt) else { return Ok(None) };
    let loses = loses(ground, cutover, attempt);
    let FallbackTerms { accept_loss, dual_write, fence, .. } = &attempt.fallback;
    if attempt.from == Side::Target && *accept_loss && (*dual_write || fence.is_some()) {
        return Ok(Some(Leaving { unreadable, loses }));
    }
    let live = attempt.from;
    let mut missing = Vec::new();
    if !accept_loss {
        missing.push("accept_loss = true");
    }
    if !dual_write && fence.is_none() {
        missing.push(
            "fence = [\"./fence-target\"] (a command that keeps it from serving, and proves it with exit 0)",
        );
    }
    let leave = match live {
        Side::Target => format!(
            ". To leave it all the same: fallback {{ {} }}, then `{}`",
            missing.join(", "),
            segue(&["switch-back", cutover.as_str()])
        ),
        Side::Source => String::new(),
    };
    Err(RunError::Unreadable {
        cutover: cutover.clone(),
        live,
        why: format!(
            "the {live} is not left: it cannot be read ({unreadable}); {loses}, and it may come back"
        ),
        remedy: format!(
            "make the {live} readable, then `{}`{leave}",
            segue(&["switch-back", cutover.as_str()])
        ),
    })
}

/// Why a side cannot be read: it does not answer, it is gone, or what is there now is not what was switched to (an
/// empty mount point).
fn unreadable(ground: &Ground, attempt: &Attempt) -> Option<String> {
    let step = Address::new("switch");
    let io = Io::new(ground, &step).until(Until::Never);
    attempt.members.iter().find_map(|member| {
        let block = &member.close.endpoint;
        let endpoint = match ground.registry.endpoint(block) {
            Ok(endpoint) => endpoint,
            Err(error) => return Some(error.to_string()),
        };
        match endpoint.observe(block, &io) {
            Err(error) => return Some(error.to_string()),
            Ok(facts) if !facts.exists => return Some(format!("{} is not there", block.address)),
            Ok(_) => {}
        }
        is_itself(ground, &member.migration, block).err().map(|e| e.to_string())
    })
}

/// Looks that an endpoint is the one that this state marked. An empty mount point has no marker: reading it would
/// carry its emptiness over.
pub(super) fn is_itself(ground: &Ground, migration: &Address, block: &BlockRef) -> Result<(), StepError> {
    if ground.recorder.look(|s| s.migrations.get(migration).is_none_or(|m| m.marker.is_none())) {
        return Ok(());
    }
    let io = Io::new(ground, migration).until(Until::Never);
    let endpoint = ground.registry.endpoint(block)?;
    endpoint.prove(block, &io)?;
    match endpoint.marker(block, &io) {
        Ok(Some(marker)) if marker.state_id == ground.who.state_id => Ok(()),
        Ok(Some(other)) => {
            Err(StepError::permanent(format!("{} is {}@{}'s by now", block.address, other.user, other.host)))
        }
        // Finishing, or giving up, has begun to take the markers away.
        Ok(None) if being_released(ground, migration, block) => Ok(()),
        Ok(None) => Err(StepError::permanent(format!(
            "{} is not what it was: this state's marker is gone from it",
            block.address
        ))
        .remedy(
            "is its file system mounted? Bring back what was there; nothing is read from what is there now",
        )),
        Err(MarkerError::Failed(error)) => Err(error),
        Err(MarkerError::Refused(_)) => Err(StepError::permanent(format!("{} is another's", block.address))),
    }
}

fn being_released(ground: &Ground, migration: &Address, block: &BlockRef) -> bool {
    let id = format!("{migration}/marker/{}", block.address);
    ground.recorder.look(|s| s.resources.get(&id).is_some_and(|marker| marker.releasing))
}

/// What leaving loses, a phrase.
fn loses(ground: &Ground, cutover: &Address, attempt: &Attempt) -> String {
    let (now_ms, now) = (ground.clock.wall_ms(), ground.now());
    let way = ground.recorder.look(|s| WayBack::of(s, cutover, now_ms, &now));
    let from = attempt.from;
    match way {
        Some(way) => {
            let since = if way.reverse { "the last reverse pass" } else { "the switch" };
            let seconds = way.behind_ms.div_ceil(1_000);
            format!("LOST is what the {from} took since {since} ({seconds} s of writes)")
        }
        None => format!("LOST is what the {from} took"),
    }
}

/// Makes a side that was left and came back this state's again: what it holds beyond the other side's is from now on a
/// stale writer's, and kept aside by the next pass. Says what was done; `None`: nothing was left.
///
/// # Errors
/// It does not answer, or is not what was left.
pub fn take_side_back(ground: &Ground, cutover: &Address, by: &str) -> Result<Option<String>, RunError> {
    let known = ground.recorder.look(|s| s.cutovers.get(cutover).cloned()).unwrap_or_default();
    let (Some(left), Some(attempt)) = (known.left, known.attempt) else { return Ok(None) };
    let step = cutover.step(StepKind::Protect.as_str());
    let mut epoch = left.epoch;
    for member in &attempt.members {
        let record = ground
            .recorder
            .look(|s| s.migrations.get(&member.migration).map(|m| (m.record.clone(), m.epoch)));
        let Some((record, known)) = record else { continue };
        let block = match left.side {
            Side::Source => record.source,
            Side::Target => record.target,
        };
        is_itself(ground, &member.migration, &block).map_err(|e| RunError::step(&step, e))?;
        epoch = epoch.max(known);
    }
    for member in
        attempt.members.iter().filter(|m| m.close.side == left.side && m.close_kind == QuiesceKind::Data)
    {
        close_where_segue_may_write(ground, &member.close).map_err(|e| RunError::step(&step, e))?;
    }
    let migrations: Vec<Address> = attempt.migrations().cloned().collect();
    claims::raise_back(ground, &step, &migrations, epoch, known.live)?;
    ground.record(Event::SideTakenBack { cutover: cutover.clone(), side: left.side, by: by.to_owned() })?;
    Ok(Some(format!(
        "the {} is this state's again; what it took beyond what was carried is a stale writer's: the next pass keeps it aside and lists it. Lift its fence by hand when nobody writes to it",
        left.side
    )))
}

/// Before its fence is lifted: a barrier that tells Segue from clients keeps them out from now on.
fn close_where_segue_may_write(ground: &Ground, call: &QuiesceCall) -> Result<(), StepError> {
    let io = Io::new(ground, &call.block.address).until(Until::Never);
    let quiesce = ground.registry.quiesce(&call.block)?;
    match ground.registry.endpoint(&call.endpoint)?.observe(&call.endpoint, &io)?.barrier {
        Barrier::Identity | Barrier::Name if !quiesce.stops_segue() => quiesce.close(call, &io),
        Barrier::Identity | Barrier::Name | Barrier::None => Ok(()),
    }
}

impl Flight<'_> {
    /// What an action of the table comes to when the side that is left cannot be read; `None`: as always.
    pub(super) fn leave(
        &self,
        leaving: &Leaving,
        act: Action,
        step: &Address,
    ) -> Option<Result<Proof, RunError>> {
        let said = |said: String| Proof { said, ..Proof::default() };
        let bind = |e: StepError| RunError::step(step, e);
        let from = self.attempt.from;
        match act {
            Action::CloseAndDrain => {
                Some(self.close_what_answers(step).and_then(|()| self.fence_out(step)).map(said))
            }
            Action::Fence => Some(Ok(said(leaving.loses.clone()))),
            Action::CatchUp => {
                let ledgers: Option<Vec<_>> = self.attempt.jobs.iter().map(|j| j.ledger.clone()).collect();
                let said = "nothing can be carried".to_owned();
                Some(Ok(Proof { ledgers: ledgers.unwrap_or_default(), said, ..Proof::default() }))
            }
            Action::VerifyResidual => {
                Some(Ok(said(format!("the {from} cannot be read: nothing to compare with"))))
            }
            Action::Harden => Some(
                self.harden_lease(step, "nobody opens it but by hand".to_owned()).map(said).map_err(bind),
            ),
            // Passes begin anew from the ledger.
            Action::ArmReverse => Some(Ok(said(format!("from the last pass towards the {from}")))),
            Action::Commit => Some(self.fence_out(step).and_then(|fenced| match self.lapsed_for_commit() {
                Some(error) => Err(bind(error)),
                None => Ok(said(fenced)),
            })),
            Action::Watch => Some(Ok(said(format!("the {from} was left: {}", leaving.loses)))),
            Action::RaiseAndOpen | Action::RaiseAndRoute => match self.fenced_by_this_run() {
                true => None,
                // A death came between: what was proven then is proven again before anything opens.
                false => self.fence_out(step).err().map(Err),
            },
            Action::Route | Action::StartWriters | Action::EnterWatch => None,
        }
    }

    /// Stops the writers; a side that does not answer cannot be asked to refuse them.
    fn close_what_answers(&self, step: &Address) -> Result<(), RunError> {
        for member in &self.attempt.members {
            let quiesce =
                self.ground.registry.quiesce(&member.close.block).map_err(|e| RunError::step(step, e))?;
            match member.close_kind {
                QuiesceKind::Writers => {
                    let close = |io: &Io<'_>| quiesce.close(&member.close, io);
                    self.again(step, close).map_err(|e| RunError::step(step, e))?;
                }
                QuiesceKind::Data => {
                    if let Err(error) = quiesce.close(&member.close, &self.io(step)) {
                        let address = &member.close.endpoint.address;
                        let text =
                            format!("{address} cannot be closed from here ({error}): the fence has to do");
                        self.ground.tell(&RunEvent::Said { text });
                    }
                }
            }
        }
        Ok(())
    }

    fn fenced_by_this_run(&self) -> bool {
        let run = self.ground.recorder.look(|s| s.last_run.as_ref().map(|r| r.record.run));
        self.attempt.fallback.fence.is_none()
            || self
                .attempt
                .members
                .iter()
                .all(|m| self.known.fenced.get(&m.close.endpoint.address).copied() == run)
    }

    /// Fences every endpoint of the side that is left, or proves again that it is; between an intent and an outcome.
    fn fence_out(&self, step: &Address) -> Result<String, RunError> {
        let Some(block) = &self.attempt.fallback.fence else {
            return Ok("dual_write is declared: clients may write to both sides".to_owned());
        };
        let fence = self.ground.registry.fence(block).map_err(|e| RunError::step(step, e))?;
        let mut proofs = Vec::new();
        for member in &self.attempt.members {
            let endpoint = member.close.endpoint.clone();
            let address = endpoint.address.clone();
            let call = QuiesceCall { block: block.clone(), endpoint, side: self.attempt.from };
            self.ground.record_settling(Event::FenceBegan {
                cutover: self.cutover.clone(),
                epoch: self.attempt.epoch,
                resource: Box::new(fence_resource(self.cutover, self.attempt.epoch, block, &address)),
            })?;
            let said = self.again(step, |io| fence.fence(&call, io)).map_err(|e| RunError::step(step, e))?;
            self.ground.record_settling(Event::FenceProven {
                cutover: self.cutover.clone(),
                epoch: self.attempt.epoch,
                endpoint: address.clone(),
                said: said.clone(),
            })?;
            proofs.push(format!("{address} is fenced from outside: {said}"));
        }
        Ok(proofs.join("; "))
    }

    /// Aborting what leaves a side that cannot be read: its writers are started again, and no more can be done for it.
    pub(super) fn reopen_what_answers(&self, step: &Address) {
        let io = Io::new(self.ground, step).until(Until::Never);
        let open =
            |member: &Member| self.ground.registry.quiesce(&member.close.block)?.open(&member.close, &io);
        for member in &self.attempt.members {
            if let Err(error) = open(member) {
                let address = &member.close.endpoint.address;
                let text = format!("{address} was not opened, it does not answer: {error}");
                self.ground.tell(&RunEvent::Said { text });
            }
        }
        if self.attempt.fallback.fence.is_some() {
            let text = format!(
                "{}: the {} may be fenced now; segue lifts no fence",
                self.cutover, self.attempt.from
            );
            self.ground.tell(&RunEvent::Said { text });
        }
    }
}

fn fence_resource(cutover: &Address, epoch: u64, block: &BlockRef, endpoint: &Address) -> Resource {
    Resource {
        id: format!("{cutover}/fence/{endpoint}"),
        kind: ResourceKind::Fence,
        what: format!("fenced from outside by {}", block.address),
        place: endpoint.to_string(),
        owner: cutover.clone(),
        epoch,
        ttl_ms: None,
        release: Release::ByHand(format!(
            "bring {endpoint} back, `{}` takes it back; then lift the fence by hand",
            segue(&["unhold", cutover.as_str()])
        )),
    }
}
