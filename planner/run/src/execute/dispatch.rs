//! The dispatcher: starts steps when what they wait for is done, takes results, signals and messages one
//! after the other, and decides. Steps run on worker threads; a running effect is never dropped.

mod attended;
mod waves;
mod work;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use segue_contract::{Address, Side, StepError, UnitName};
use segue_language::{Desired, RehearseMode};
use segue_plan::diff::Change;
use segue_plan::event::{Event, MigrationRecord};
use segue_plan::observe::{Observed, Seen};
use segue_plan::plan::{Plan, PlanStep, StepKind};
use segue_plan::state::State;
use tokio::sync::mpsc;

use super::unit::UnitRef;
use super::{Ground, RunError, RunEvent, signals, socket};
pub use attended::{attended, follow, rehearse, switch_back};
use waves::tell_what_was_not_begun;
use work::run;

/// Cutovers that wait for their gates, are switched or watched at once; how many of them pause writes is the spec's to
/// say. Each is a thread that mostly waits.
const CUTOVERS_MAX: usize = 64;
/// Small steps that run at once: checks, markers, routes, what is released.
const SMALL_MAX: usize = 4;
/// Results, signals and messages that wait for the dispatcher.
const MESSAGES_MAX: usize = 64;
/// Exit code of a run that a second Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// How to apply.
#[derive(Clone, Debug, Default)]
pub struct ApplyOptions {
    /// Wait at an approval gate instead of ending the run.
    pub wait_for_approval: bool,
    /// Ask the person at the terminal to approve, once every other gate is met.
    pub ask_for_approval: bool,
    /// The adopted state's id, where this run takes endpoints over.
    pub adopt_from: Option<String>,
}

/// What a node of the dispatcher's graph does.
#[derive(Clone, Debug)]
enum Work {
    Check(Address),
    Rehearse(Address),
    Provision(Address),
    Protect(Address),
    Load(UnitRef),
    Sync(UnitRef),
    Verify(UnitRef),
    Cutover(Address, Side),
    Watch(Address),
    Release(Address, Change),
    Route(Address),
    Forget(Address),
}

impl Work {
    /// How much of its kind may run at once.
    fn lane(&self) -> Lane {
        match self {
            Self::Load(_) | Self::Sync(_) | Self::Verify(_) => Lane::Units,
            Self::Cutover(..) | Self::Watch(_) | Self::Rehearse(_) => Lane::Cutovers,
            Self::Check(_)
            | Self::Provision(_)
            | Self::Protect(_)
            | Self::Release(..)
            | Self::Route(_)
            | Self::Forget(_) => Lane::Small,
        }
    }
}

/// What runs at once in numbers of its own: a cutover that waits for an approval must not keep units from being carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Lane {
    Units,
    Cutovers,
    Small,
}

impl Lane {
    fn most(self, job: &Job) -> usize {
        match self {
            Self::Units => job.desired.limits.parallelism,
            Self::Cutovers => CUTOVERS_MAX,
            Self::Small => SMALL_MAX,
        }
    }
}

struct Node {
    /// The addresses that become done with it.
    steps: BTreeSet<Address>,
    needs: BTreeSet<Address>,
    work: Work,
}

enum Message {
    Ended(usize, Result<(), RunError>),
    Signal(&'static str),
}

/// Everything that the workers share.
struct Job {
    ground: Arc<Ground>,
    desired: Desired,
    plan: Plan,
    options: ApplyOptions,
}

/// Executes the pending steps of a plan. Returns every failure; unrelated branches go on after one. A plan
/// without pending steps is applied too: what the spec declares (a block given up, a hold outdated by an
/// edit of `live`) is recorded.
pub fn apply(
    ground: &Arc<Ground>,
    desired: &Desired,
    plan: &Plan,
    observed: &Observed,
    options: &ApplyOptions,
) -> Result<(), Vec<RunError>> {
    declare(ground, desired, plan, observed).map_err(|e| vec![e])?;
    ground.board.planned(plan);
    ground.control.bound(&desired.limits);
    let (nodes, mut failures) = nodes(ground, desired, plan);
    if nodes.is_empty() {
        return if failures.is_empty() { Ok(()) } else { Err(failures) };
    }
    let job = Arc::new(Job {
        ground: Arc::clone(ground),
        desired: desired.clone(),
        plan: plan.clone(),
        options: options.clone(),
    });
    let runtime = runtime().map_err(|e| vec![e])?;
    failures.extend(runtime.block_on(dispatch(job, nodes)));
    if failures.is_empty() { Ok(()) } else { Err(failures) }
}

fn runtime() -> Result<tokio::runtime::Runtime, RunError> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|e| RunError::Setup(StepError::permanent("cannot start the dispatcher").because(e)))
}

/// Records what the spec declares: migrations that begin or changed, blocks given up, holds that an edit
/// of `live` lifts.
pub(super) fn declare(
    ground: &Ground,
    desired: &Desired,
    plan: &Plan,
    observed: &Observed,
) -> Result<(), RunError> {
    let state = ground.state();
    if plan.pending().next().is_some() && !state.plans_begun.contains(&plan.hash) {
        ground.record(Event::PlanBegan { plan_hash: plan.hash.clone() })?;
    }
    for decl in desired.cutovers.values() {
        let held = state.cutovers.get(&decl.address).and_then(|c| c.held.as_ref());
        if held.is_some_and(|h| h.wanted != decl.live) {
            ground.record(Event::HoldOutdated { cutover: decl.address.clone() })?;
        }
    }
    for decl in desired.migrations.values() {
        let identity = |a| observed.endpoints.get(a).and_then(Seen::fact).map(|f| f.identity.clone());
        let (Some(source), Some(target)) =
            (desired.endpoints.get(&decl.source), desired.endpoints.get(&decl.target))
        else {
            continue;
        };
        let (Some(source_identity), Some(target_identity)) = (identity(&decl.source), identity(&decl.target))
        else {
            continue;
        };
        let cutover = desired.cutovers.values().find(|c| c.migrations.contains(&decl.address));
        let change = cutover.and_then(|c| plan.changes.get(&c.address));
        // A migration that is only rehearsed is not begun.
        let only = cutover.and_then(|c| c.rehearse.as_ref()).is_some_and(|r| r.mode == RehearseMode::Only);
        if only && !state.migrations.contains_key(&decl.address)
            || change.is_some_and(|c| matches!(c, Change::Rest | Change::Refused))
        {
            continue;
        }
        let engine = ground.registry.engine(source, target).map_err(RunError::Setup)?;
        let seen = observed.migrations.get(&decl.address).map(|m| m.units.keys());
        let units: Vec<UnitName> =
            seen.into_iter().flatten().map(|unit| engine.unit_name(&decl.select, unit)).collect();
        let record = MigrationRecord {
            migration: decl.address.clone(),
            cutover: cutover.map(|c| c.address.clone()),
            source: source.narrowed(units.iter().map(|u| u.unit.clone()).collect()),
            target: target.narrowed(units.iter().map(|u| u.at_target.clone()).collect()),
            source_identity,
            target_identity,
            jobs: decl.jobs(source, target, &units),
        };
        if state.migrations.get(&decl.address).is_none_or(|m| m.record != record) {
            ground.record(Event::MigrationBegan(record))?;
        }
    }
    Ok(())
}

/// The nodes of the pending steps: a cutover that switches is one node, for its order is the protocol's.
fn nodes(ground: &Ground, desired: &Desired, plan: &Plan) -> (Vec<Node>, Vec<RunError>) {
    let (failures, resting) = held(ground, desired, plan);
    let mut nodes: Vec<Node> = Vec::new();
    let mut cutovers: BTreeMap<Address, Node> = BTreeMap::new();
    let watched = |block: &Address| {
        let known = |s: &State| {
            let known = s.cutovers.get(block).filter(|c| c.watches() || c.goes_back());
            known.map(|c| c.live)
        };
        let live = ground.recorder.look(known);
        live.is_some() && live == desired.cutovers.get(block).map(|c| c.live)
    };
    for step in plan.pending().filter(|step| !resting.contains(&step.block)) {
        let own = BTreeSet::from([step.address.clone()]);
        let needs: BTreeSet<Address> = step.waits_for.iter().cloned().collect();
        let mut push = |work: Work| {
            nodes.push(Node { steps: own.clone(), needs: needs.clone(), work });
        };
        match (step.kind, unit_of(step)) {
            (StepKind::Check, _) => push(Work::Check(step.block.clone())),
            (StepKind::Rehearse, _) => push(Work::Rehearse(step.block.clone())),
            (StepKind::Provision, _) => push(Work::Provision(step.block.clone())),
            (StepKind::Protect, _) => push(Work::Protect(step.block.clone())),
            (StepKind::Load, Some(unit)) => push(Work::Load(unit)),
            (StepKind::Sync, Some(unit)) => push(Work::Sync(unit)),
            (StepKind::Verify, Some(unit)) => push(Work::Verify(unit)),
            (StepKind::Switch, _) if step.block.kind() == "route" => push(Work::Route(step.block.clone())),
            (StepKind::Forget, _) => push(Work::Forget(step.block.clone())),
            (StepKind::Release, _) => {
                let change = plan.changes.get(&step.block).copied().unwrap_or(Change::Stay);
                push(Work::Release(step.block.clone(), change));
            }
            (StepKind::Watch, _) if watched(&step.block) => {
                // However many watches there are, they are looked at beside each other.
                let node = cutovers.entry(step.block.clone()).or_insert_with(|| Node {
                    steps: BTreeSet::new(),
                    needs: BTreeSet::new(),
                    work: Work::Watch(step.block.clone()),
                });
                node.steps.extend(own);
                node.needs.extend(needs);
                // Watching makes passes of its own: no two at once of one unit.
                let decl = desired.cutovers.get(&step.block);
                let migrations = decl.map(|c| c.migrations.as_slice()).unwrap_or_default();
                let carrying = plan.pending().filter(|s| migrations.contains(&s.block));
                node.needs.extend(carrying.map(|s| s.address.clone()));
            }
            _ => {
                let to = desired.cutovers.get(&step.block).map_or(Side::Target, |c| c.live);
                let node = cutovers.entry(step.block.clone()).or_insert_with(|| Node {
                    steps: BTreeSet::new(),
                    needs: BTreeSet::new(),
                    work: Work::Cutover(step.block.clone(), to),
                });
                node.steps.extend(own);
                node.needs.extend(needs);
            }
        }
    }
    for mut node in cutovers.into_values() {
        node.needs.retain(|need| !node.steps.contains(need));
        nodes.push(node);
    }
    // What is not a pending step of this plan is done.
    let pending: BTreeSet<Address> = nodes.iter().flat_map(|n| n.steps.iter().cloned()).collect();
    for node in &mut nodes {
        node.needs.retain(|need| pending.contains(need));
    }
    (nodes, failures)
}

/// The cutovers that would switch and are held, as failures; and the blocks that rest because of it: they, and the
/// migrations that would be carried and verified only for the switch.
fn held(ground: &Ground, desired: &Desired, plan: &Plan) -> (Vec<RunError>, BTreeSet<Address>) {
    let mut failures = Vec::new();
    let mut resting = BTreeSet::new();
    for decl in desired.cutovers.values() {
        let switches =
            plan.changes.get(&decl.address).is_some_and(|c| matches!(c, Change::Switch | Change::SwitchBack));
        let held = ground.recorder.look(|s| s.cutovers.get(&decl.address).and_then(|c| c.held.clone()));
        if let Some(held) = held.filter(|_| switches) {
            failures.push(RunError::Held { cutover: decl.address.clone(), reason: held.reason });
            resting.insert(decl.address.clone());
            resting.extend(decl.migrations.iter().cloned());
        }
    }
    (failures, resting)
}

fn unit_of(step: &PlanStep) -> Option<UnitRef> {
    step.unit.as_ref().map(|unit| UnitRef { migration: step.block.clone(), unit: unit.clone() })
}

/// Without a socket the run goes on: readers fold the journal.
fn listen(ground: &Arc<Ground>) {
    if let Err(error) = socket::listen(Arc::clone(ground)) {
        ground.tell(&RunEvent::Said {
            text: format!("no control socket: {error}; `segue status` reads the journal instead"),
        });
    }
}

async fn dispatch(job: Arc<Job>, nodes: Vec<Node>) -> Vec<RunError> {
    let (send, mut receive) = mpsc::channel::<Message>(MESSAGES_MAX);
    let mut failures = Vec::new();
    job.ground.control.attend();
    listen(&job.ground);
    if let Err(error) = watch_signals(&send) {
        failures.push(error);
        return failures;
    }
    let mut done: BTreeSet<Address> = BTreeSet::new();
    let mut waiting: BTreeSet<usize> = (0..nodes.len()).collect();
    let mut running: BTreeMap<Lane, usize> = BTreeMap::new();
    let mut signals = 0;
    loop {
        let ready: Vec<usize> = waiting
            .iter()
            .copied()
            .filter(|i| nodes.get(*i).is_some_and(|n| n.needs.is_subset(&done)))
            .collect();
        for i in ready {
            if nodes.get(i).is_some_and(|node| start_in_its_lane(&job, i, node, &mut running, &send)) {
                waiting.remove(&i);
            }
        }
        tell_queue(&job, &nodes, &waiting, &done);
        if running.values().all(|n| *n == 0) {
            break;
        }
        match receive.recv().await {
            Some(Message::Ended(i, result)) => {
                let lane = nodes.get(i).map(|n| n.work.lane());
                if let Some(of_lane) = lane.and_then(|lane| running.get_mut(&lane)) {
                    *of_lane = of_lane.saturating_sub(1);
                }
                match (result, nodes.get(i)) {
                    (Ok(()), Some(node)) => done.extend(node.steps.iter().cloned()),
                    (Ok(()), None) => {}
                    // What depends on a failed step is never ready; unrelated branches go on.
                    (Err(error), _) => failures.push(error),
                }
            }
            Some(Message::Signal(name)) => {
                signals += 1;
                take_signal(&job.ground, name, signals);
            }
            None => break,
        }
    }
    // What came while the last step ended is for whoever goes on after it.
    while let Ok(Message::Signal(name)) = receive.try_recv() {
        signals += 1;
        take_signal(&job.ground, name, signals);
    }
    if !job.ground.control.stopping() {
        tell_what_was_not_begun(&job.ground, &nodes, &waiting, &done);
    }
    if job.ground.control.stopping() && failures.is_empty() && !waiting.is_empty() {
        failures.push(RunError::Interrupted);
    }
    failures
}

/// What is ready and was not started waits for a slot, and whoever looks is told so.
fn tell_queue(job: &Job, nodes: &[Node], waiting: &BTreeSet<usize>, done: &BTreeSet<Address>) {
    let ground = &job.ground;
    let ready = waiting.iter().filter_map(|i| nodes.get(*i)).filter(|node| node.needs.is_subset(done));
    let queued = |node: &Node| Some((node.steps.first()?.clone(), node.work.lane().most(job)));
    let steps: Vec<(Address, usize)> = match ground.control.stopping() {
        true => Vec::new(),
        false => ready.filter_map(queued).collect(),
    };
    ground.board.queue(&steps, ground.clock.wall_ms());
}

/// Starts a node unless as many of its kind run as may, or the run is to stop. Returns whether it did.
fn start_in_its_lane(
    job: &Arc<Job>,
    index: usize,
    node: &Node,
    running: &mut BTreeMap<Lane, usize>,
    send: &mpsc::Sender<Message>,
) -> bool {
    let lane = node.work.lane();
    let of_lane = running.entry(lane).or_default();
    let may = !job.ground.control.stopping() && *of_lane < lane.most(job);
    if may {
        *of_lane += 1;
        start(job, index, node.work.clone(), send);
    }
    may
}

fn start(job: &Arc<Job>, index: usize, work: Work, send: &mpsc::Sender<Message>) {
    let (job, send) = (Arc::clone(job), send.clone());
    tokio::task::spawn_blocking(move || {
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run(&job, &work)));
        let result = result.unwrap_or_else(|_| {
            let what = format!("a step stopped by a defect of segue: {work:?}");
            Err(RunError::Setup(
                StepError::permanent(what).remedy("run the same command again; it settles first"),
            ))
        });
        // The dispatcher outlives every worker, unless the process is ending.
        let _ = send.blocking_send(Message::Ended(index, result));
    });
}

fn watch_signals(send: &mpsc::Sender<Message>) -> Result<(), RunError> {
    let taken = signals::taken()?;
    let send = send.clone();
    tokio::spawn(async move {
        let mut taken = taken.lock().await;
        while let Some(name) = taken.recv().await {
            if send.send(Message::Signal(name)).await.is_err() {
                break;
            }
        }
    });
    Ok(())
}

/// The first signal stops at the next safe point (in a pause before HARDENED: aborts); the second leaves
/// at once.
fn take_signal(ground: &Ground, name: &str, count: u32) {
    let deferred: Vec<String> = ground.recorder.look(|s| {
        s.in_flight()
            .filter(|(_, c)| c.phase.defers_signals())
            .map(|(a, c)| format!("{a} ({})", c.phase))
            .collect()
    });
    // One that is only watched takes writes.
    let pausing = ground.recorder.look(|s| s.in_flight().any(|(_, c)| !c.watches()));
    let watched = ground.recorder.look(|s| s.in_flight().any(|(_, c)| c.watches()));
    if count == 1 {
        let said = if !deferred.is_empty() {
            format!(
                "{name}: both sides of {} are closed; stopping when the new side takes writes",
                deferred.join(", ")
            )
        } else if pausing {
            format!("{name}: aborting the cutover, the side that serves opens first")
        } else if watched {
            format!("{name}: not watching any more; the next apply goes on with it")
        } else {
            format!("{name}: finishing what is in flight, then stopping; again to stop at once")
        };
        ground.tell(&RunEvent::Stopping { said });
        ground.control.stop();
        return;
    }
    let said = if pausing {
        format!(
            "{name} again: stopping at once. WRITES MAY BE REFUSED until {} settles the cutover",
            if ground.guard.watches() { "the watchdog, in a moment," } else { "the next segue command here" }
        )
    } else {
        format!("{name} again: stopping at once; the same command goes on from the last checkpoint")
    };
    ground.tell(&RunEvent::Stopping { said });
    std::process::exit(INTERRUPTED);
}
