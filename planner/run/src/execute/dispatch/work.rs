//! What the nodes of the dispatcher's graph do, on worker threads.

use segue_contract::{Address, Side, StepError, StepIo};
use segue_language::CutoverDecl;
use segue_plan::event::{Event, WatchPlan};
use segue_plan::plan::{StepKind, watch_of};

use super::super::attempt::attempt_from_spec;
use super::super::drive::{CutoverTask, run_cutover};
use super::super::gates::Conditions;
use super::super::io::Io;
use super::super::retry::{STEP_DEADLINE, retry};
use super::super::unit::{load, sync, verify_unit};
use super::super::{RunError, claims, rehearse, release, watching};
use super::{Job, Work};

pub(super) fn run(job: &Job, work: &Work) -> Result<(), RunError> {
    let ground = &*job.ground;
    match work {
        Work::Check(migration) => check(job, migration),
        Work::Rehearse(cutover) => {
            let decl = job.desired.cutovers.get(cutover).ok_or_else(|| lost(cutover))?;
            rehearse::rehearse(ground, &job.desired, decl, &job.plan.hash)
        }
        Work::Provision(migration) => provision(job, migration),
        Work::Protect(migration) => {
            let step = migration.step(StepKind::Protect.as_str());
            ground.step(&step, StepKind::Protect, || {
                let epoch = claims::claim(
                    ground,
                    &step,
                    std::slice::from_ref(migration),
                    job.options.adopt_from.as_deref(),
                )?;
                Ok(format!("epoch {epoch}"))
            })
        }
        Work::Load(unit) => ground.step(&unit.step("load"), StepKind::Load, || load(ground, unit)),
        Work::Sync(unit) => ground.step(&unit.step("sync"), StepKind::Sync, || sync(ground, unit)),
        Work::Verify(unit) => {
            let decl = job.desired.migrations.get(&unit.migration).map(|m| m.verify.clone());
            let decl = decl.ok_or_else(|| lost(&unit.migration))?;
            ground.step(&unit.step("verify"), StepKind::Verify, || {
                verify_unit(ground, unit, decl.level, decl.repair)
            })
        }
        Work::Cutover(cutover, to) => {
            let decl = job.desired.cutovers.get(cutover).ok_or_else(|| lost(cutover))?;
            let attempt = attempt_from_spec(ground, &job.desired, decl, *to, &job.plan.hash)?;
            let interval = decl
                .migrations
                .iter()
                .filter_map(|m| job.desired.migrations.get(m))
                .map(|m| m.sync_interval_ms);
            let conditions = conditions(job, decl, *to, interval.min().unwrap_or_default());
            run_cutover(ground, CutoverTask { cutover: cutover.clone(), attempt, conditions })
        }
        Work::Forget(address) => {
            ground.step(&address.step(StepKind::Forget.as_str()), StepKind::Forget, || {
                ground.record(Event::AddressForgotten { address: address.clone() })?;
                Ok("managed no longer; the systems are as they were".to_owned())
            })
        }
        Work::Watch(cutover) => watching::go_on(ground, cutover),
        Work::Release(cutover, change) => {
            let decl = job.desired.cutovers.get(cutover).ok_or_else(|| lost(cutover))?;
            release::release(ground, decl, *change)
        }
        Work::Route(route) => mend_route(job, route),
    }
}

/// What a cutover waits for, and what is watched after it.
fn conditions(job: &Job, decl: &CutoverDecl, to: Side, sync_interval_ms: u64) -> Conditions {
    let verify = decl.migrations.iter().filter_map(|m| job.desired.migrations.get(m));
    // What is watched is the new system: going back leads to the one that was there all the time.
    let watches = decl.watches.iter().filter(|_| to == Side::Target);
    Conditions {
        gates: decl.gates.clone(),
        verify: verify.map(|m| (m.address.clone(), m.verify.clone())).collect(),
        sync_interval_ms,
        wait_for_approval: job.options.wait_for_approval,
        ask_for_approval: job.options.ask_for_approval,
        watch: WatchPlan {
            watches: watches.map(watch_of).collect(),
            sync_interval_ms,
            accept_loss: decl.fallback.accept_loss,
        },
        weights: decl.weights.clone(),
        at_once: false,
    }
}

fn lost(address: &Address) -> RunError {
    RunError::Setup(StepError::permanent(format!("{address} is in the plan and not in the spec")))
}

/// Both endpoints are looked at once more, now that the plan is being executed.
fn check(job: &Job, migration: &Address) -> Result<(), RunError> {
    let ground = &*job.ground;
    let step = migration.step(StepKind::Check.as_str());
    let decl = job.desired.migrations.get(migration).ok_or_else(|| lost(migration))?;
    ground.step(&step, StepKind::Check, || {
        for address in [&decl.source, &decl.target] {
            let Some(block) = job.desired.endpoints.get(address) else {
                return Err(lost(address));
            };
            let endpoint = ground.registry.endpoint(block).map_err(|e| RunError::step(&step, e))?;
            let io = Io::new(ground, &step);
            let facts = retry(
                ground,
                &step,
                STEP_DEADLINE,
                || ground.control.stopping(),
                || endpoint.observe(block, &io),
            )
            .map_err(|e| RunError::step(&step, e))?;
            let planned = job.plan.basis.identities.get(address);
            if planned.is_some_and(|p| *p != facts.identity) {
                let what = format!("{address} is another system than the one that was planned with");
                return Err(RunError::step(&step, StepError::permanent(what).remedy("plan again")));
            }
        }
        Ok("both endpoints answer".to_owned())
    })
}

fn provision(job: &Job, migration: &Address) -> Result<(), RunError> {
    let ground = &*job.ground;
    let step = migration.step(StepKind::Provision.as_str());
    let decl = job.desired.migrations.get(migration).ok_or_else(|| lost(migration))?;
    let block = job.desired.endpoints.get(&decl.target).ok_or_else(|| lost(&decl.target))?;
    ground.step(&step, StepKind::Provision, || {
        let endpoint = ground.registry.endpoint(block).map_err(|e| RunError::step(&step, e))?;
        let io = Io::new(ground, &step);
        let again = |work: &dyn Fn() -> Result<bool, StepError>| {
            retry(ground, &step, STEP_DEADLINE, || io.cancelled(), work).map_err(|e| RunError::step(&step, e))
        };
        if again(&|| endpoint.observe(block, &io).map(|facts| facts.exists))? {
            return Ok("was there".to_owned());
        }
        // Recorded before it is made: were it recorded after, a death between the two would leave an endpoint that
        // nobody takes away on abandon.
        ground.record(Event::EndpointMade { migration: migration.clone(), endpoint: decl.target.clone() })?;
        again(&|| endpoint.provision(block, &io))?;
        Ok("made".to_owned())
    })
}

fn mend_route(job: &Job, address: &Address) -> Result<(), RunError> {
    let ground = &*job.ground;
    let step = address.step(StepKind::Switch.as_str());
    let decl = job.desired.routes.get(address).ok_or_else(|| lost(address))?;
    let cutover =
        job.desired.cutovers.values().find(|c| c.routes.contains(address)).ok_or_else(|| lost(address))?;
    let live = ground.recorder.look(|s| s.cutovers.get(&cutover.address).map_or(Side::Source, |c| c.live));
    ground.step(&step, StepKind::Switch, || {
        let route = ground.registry.route(&decl.block).map_err(|e| RunError::step(&step, e))?;
        let io = Io::new(ground, &step);
        let set = || route.set(&decl.block, live, &io);
        retry(ground, &step, STEP_DEADLINE, || io.cancelled(), set).map_err(|e| RunError::step(&step, e))?;
        Ok(format!("points to the {live}"))
    })
}
