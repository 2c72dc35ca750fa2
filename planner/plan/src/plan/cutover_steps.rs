//! The steps of a cutover: gates, the protocol's actions in the order of its table, watch, retain; or
//! the release at the end.

use segue_contract::{Address, QuiesceKind, Reopeners, Side, segue};
use segue_language::CutoverDecl;

use super::build::Ground;
use super::condition_steps::{gate_step, watch_of, watch_step, weigh_steps};
use super::migration_steps::last_steps;
use super::{PlanStep, Reason, StepKind, rehearsal_steps};
use crate::cutover::{Action, Forecast, Known, Opens, Phase, action, advance, forecast, siblings};
use crate::diff::Change;
use crate::observe::Seen;
use crate::state::UnitState;

/// All steps of a cutover, and the predicted pause where it switches.
pub(super) fn steps(ground: &Ground<'_>, decl: &CutoverDecl) -> (Vec<PlanStep>, Option<Forecast>) {
    let change = ground.changes.get(&decl.address).copied().unwrap_or(Change::Stay);
    let rehearsal = rehearsal_steps::step(ground, decl);
    if rehearsal_steps::is_all(ground, decl) {
        return (rehearsal.into_iter().collect(), None);
    }
    let (steps, forecast) = steps_of(ground, decl, change);
    (rehearsal.into_iter().chain(steps).collect(), forecast)
}

fn steps_of(ground: &Ground<'_>, decl: &CutoverDecl, change: Change) -> (Vec<PlanStep>, Option<Forecast>) {
    match change {
        Change::Stay => (watching(ground, decl), None),
        Change::Rest | Change::Refused => (Vec::new(), None),
        Change::Finish | Change::Abandon => {
            let mut steps = watching(ground, decl);
            let mut release = release(decl, change);
            release.waits_for.extend(steps.iter().map(|s| s.address.clone()));
            steps.push(release);
            (steps, None)
        }
        Change::Switch | Change::SwitchBack => {
            let to = if change == Change::Switch { Side::Target } else { Side::Source };
            let forecast = predicted(ground, decl);
            (switch_steps(ground, decl, to, &forecast), Some(forecast))
        }
    }
}

/// A switch that is done, and that a run which died or was stopped still watched: the next one goes on.
fn watching(ground: &Ground<'_>, decl: &CutoverDecl) -> Vec<PlanStep> {
    let known = ground.state.cutovers.get(&decl.address).filter(|c| c.watches() || c.goes_back());
    let Some(watch) = known.and_then(|c| c.watch.as_ref()) else { return Vec::new() };
    let steps = watch.plan.watches.iter().map(|w| {
        let mut step = PlanStep { reason: Reason::Resumed, ..watch_step(&decl.address, w) };
        let lost = watch.lost.iter().filter(|(address, _)| *address == step.address);
        step.remarks.extend(lost.map(|(_, said)| format!("health was lost: {said}; it goes back by itself")));
        step
    });
    steps.collect()
}

fn release(decl: &CutoverDecl, change: Change) -> PlanStep {
    let what = match change {
        Change::Finish => {
            "take a last look for stale writers, stop the reverse sync, remove the markers; the source is kept"
        }
        _ => "remove what Segue made at the target, and the markers; the source is not touched",
    };
    let mut step = PlanStep::new(&decl.address, decl.address.step("release"), StepKind::Release, what);
    if change == Change::Abandon {
        step.remarks.push("files at the target that Segue did not write, or that somebody changed since, are left and listed".to_owned());
    }
    step
}

fn predicted(ground: &Ground<'_>, decl: &CutoverDecl) -> Forecast {
    let units: Vec<&UnitState> = decl
        .migrations
        .iter()
        .filter_map(|m| ground.state.migrations.get(m))
        .flat_map(|m| m.units.values())
        .collect();
    let pauses = ground.state.cutovers.get(&decl.address).map(|c| c.pauses.as_slice()).unwrap_or_default();
    let ttl_ms = decl.routes.iter().filter_map(|r| ground.observed.routes.get(r)).map(|r| r.ttl_ms).max();
    let quiesces: Vec<&str> = decl.quiesces.iter().map(|q| q.block.provider.as_str()).collect();
    let declared = decl.routes.iter().filter_map(|r| ground.desired.routes.get(r));
    let routes: Vec<&str> = declared.map(|route| route.block.provider.as_str()).collect();
    forecast(&Known {
        units,
        whole: decl
            .migrations
            .iter()
            .filter(|m| is_whole(ground, m))
            .filter_map(|m| ground.state.migrations.get(m))
            .flat_map(|m| m.units.values())
            .collect(),
        pauses: pauses.to_vec(),
        siblings: siblings(ground.state, &decl.address, &quiesces, &routes),
        rehearsed: ground.state.rehearsed(&decl.address).map(|r| &r.report),
        assumed: decl.assumed(),
        freeze_ms: decl.freeze_ms,
        ttl_ms: ttl_ms.unwrap_or(0),
    })
}

/// Whether a migration is verified as a whole in the pause.
fn is_whole(ground: &Ground<'_>, migration: &Address) -> bool {
    ground.desired.migrations.get(migration).is_some_and(|m| m.verify.in_pause)
}

/// What the passes of a cutover's migrations may not see, where no whole verification in the pause would (protocol P29).
fn unseen(ground: &Ground<'_>, decl: &CutoverDecl) -> Vec<String> {
    let seen = decl.migrations.iter().filter(|m| !is_whole(ground, m));
    let seen = seen.filter_map(|m| ground.observed.migrations.get(m)?.unseen.clone());
    let mut unseen: Vec<String> = seen.collect();
    unseen.sort();
    unseen.dedup();
    unseen
}

/// How much a pass in the pause reads again because no fingerprint vouches for it.
fn read_again(ground: &Ground<'_>, decl: &CutoverDecl) -> Option<String> {
    let units =
        decl.migrations.iter().filter_map(|m| ground.state.migrations.get(m)).flat_map(|m| m.units.values());
    let audits = units.filter_map(|u| u.passes.last()).map(|p| p.audit);
    let (records, bytes) = audits.fold((0, 0), |(n, b), a| (n + a.unproven, b + a.unproven_bytes));
    (records > 0).then(|| {
        format!("reads {records} records ({bytes} bytes) whatever their fingerprints say: they were mapped, or no time vouches for them")
    })
}

/// How the members' sides open: decides the order of opening and routing.
fn opens(ground: &Ground<'_>, decl: &CutoverDecl, side: Side) -> Opens {
    let seen = ground.observed.quiesces.get(&decl.address);
    let kinds: Vec<QuiesceKind> =
        seen.into_iter().flatten().filter(|q| q.side == side).map(|q| q.kind).collect();
    match kinds.is_empty() {
        true => Opens::from(QuiesceKind::Writers),
        false => kinds.into_iter().collect(),
    }
}

fn switch_steps(ground: &Ground<'_>, decl: &CutoverDecl, to: Side, forecast: &Forecast) -> Vec<PlanStep> {
    let at = |word: &str| decl.address.step(word);
    let mut steps: Vec<PlanStep> = Vec::new();
    let mut before: Vec<Address> = decl.migrations.iter().flat_map(|m| last_steps(ground, m)).collect();
    before.extend(decl.depends_on.iter().flat_map(|d| last_steps(ground, d)));
    let mut push = |mut step: PlanStep, before: &mut Vec<Address>| {
        step.waits_for = std::mem::take(before);
        before.push(step.address.clone());
        steps.push(step);
    };
    for gate in &decl.gates {
        push(gate_step(ground, decl, gate, forecast), &mut before);
    }
    for step in weigh_steps(ground, decl, to) {
        push(step, &mut before);
    }
    let mut quiesce =
        PlanStep::new(&decl.address, at("quiesce"), StepKind::Quiesce, closing(ground, decl, to.other()));
    quiesce.remarks = quiesce_remarks(ground, decl, to.other());
    push(quiesce, &mut before);

    let opens = opens(ground, decl, to);
    let mut phase = Phase::Quiescing;
    while let (Some(act), Some(next)) = (action(phase, opens), advance(phase, opens)) {
        for step in action_steps(ground, decl, act, to, opens) {
            push(step, &mut before);
        }
        phase = next;
    }
    let retain = match decl.fallback.retain_ms {
        Some(ms) => format!("keep the {} as fallback, {}", to.other(), duration(ms)),
        None => format!("keep the {} as fallback until finished = true", to.other()),
    };
    let mut retain = PlanStep::new(&decl.address, at("retain"), StepKind::Retain, retain);
    retain.remarks.push(if decl.fallback.reverse {
        "writes made after the switch are carried back in passes: going back loses none".to_owned()
    } else {
        "no reverse sync: going back later loses what the new side took".to_owned()
    });
    push(retain, &mut before);
    // A plan file that is applied again: the switch may be done, and only be watched still.
    let known = ground.state.cutovers.get(&decl.address).cloned().unwrap_or_default();
    if ground.moved(decl) {
        for step in &mut steps {
            step.done = !((known.watches() || known.goes_back()) && step.kind == StepKind::Watch);
            step.reason = if step.done { Reason::Done } else { Reason::Resumed };
        }
    }
    for step in steps.iter_mut().filter(|s| !s.done) {
        if ground.state.open_steps.contains_key(&step.address) {
            step.reason = Reason::Resumed;
        }
    }
    steps
}

/// Every way in which the members' sides are closed, each once.
fn closing(ground: &Ground<'_>, decl: &CutoverDecl, side: Side) -> String {
    let seen = ground.observed.quiesces.get(&decl.address);
    let mut ways: Vec<String> = Vec::new();
    for migration in &decl.migrations {
        let method = decl.quiesce_of(migration, side).map_or("quiesce", |q| q.block.provider.as_str());
        let kind = seen.and_then(|list| list.iter().find(|q| q.side == side && q.migration == *migration));
        let way = match kind.map(|q| q.kind) {
            Some(QuiesceKind::Writers) | None => format!("stop the writers ({method})"),
            Some(QuiesceKind::Data) => format!("refuse writes at the {side} ({method})"),
        };
        if !ways.contains(&way) {
            ways.push(way);
        }
    }
    ways.join(", ")
}

/// What happens to the pause when something dies, for every side that is closed (protocol P9).
fn quiesce_remarks(ground: &Ground<'_>, decl: &CutoverDecl, from: Side) -> Vec<String> {
    let timeout = duration(decl.timeout_ms);
    let mut remarks = vec![format!("not committed within {timeout}: abort, the {from} is re-opened first")];
    let sides = reopening(ground, decl, from);
    for (endpoint, Reopeners { process, machine }) in &sides {
        if needs_person(ground, decl, from, Some(endpoint)) {
            remarks.push(format!(
                "A PERSON at the terminal of `{}` stops the writers of {endpoint} and answers one question; without a terminal no pause is begun, exit 3",
                segue(&["apply"])
            ));
            remarks.push(format!(
                "if this process or this machine dies before the commit, NOBODY re-opens {endpoint} by itself: type `{}` at a terminal, start the writers, and say so",
                segue(&["abort"])
            ));
            continue;
        }
        let also = process.iter().map(|who| format!("; without it, {who}")).collect::<String>();
        remarks.push(format!(
            "if this process dies or hangs before the commit, its watchdog re-opens {endpoint}: at once, or when the {timeout} are over{also}"
        ));
        remarks.push(match machine {
            Some(who) => format!("if this machine dies before the commit, {endpoint} is re-opened without segue: {who}"),
            None => format!(
                "if this machine dies, NOBODY re-opens {endpoint}: run any segue command when it is back, or follow {}",
                super::fallback_notes::by_hand(ground, decl).display()
            ),
        });
    }
    remarks.push(format!(
        "if this process dies or hangs after the commit, its watchdog completes the switch: at once, or {timeout} after it"
    ));
    remarks
}

/// Whether a person has to stop or start the writers of a side: of one endpoint, or of any.
fn needs_person(ground: &Ground<'_>, decl: &CutoverDecl, side: Side, endpoint: Option<&Address>) -> bool {
    let of = |migration: &Address| {
        let migration = ground.desired.migrations.get(migration);
        migration.map(|m| if side == Side::Source { &m.source } else { &m.target })
    };
    let seen = ground.observed.quiesces.get(&decl.address).into_iter().flatten();
    seen.filter(|q| q.side == side && q.needs_person)
        .any(|q| endpoint.is_none() || of(&q.migration) == endpoint)
}

/// Every endpoint that is closed on a side, each once, with who re-opens it without Segue.
pub(super) fn reopening(ground: &Ground<'_>, decl: &CutoverDecl, from: Side) -> Vec<(Address, Reopeners)> {
    let seen = ground.observed.quiesces.get(&decl.address).map(Vec::as_slice).unwrap_or_default();
    let mut sides: Vec<(Address, Reopeners)> = Vec::new();
    for migration in decl.migrations.iter().filter_map(|m| ground.desired.migrations.get(m)) {
        let endpoint = match from {
            Side::Source => &migration.source,
            Side::Target => &migration.target,
        };
        let quiesce = seen.iter().find(|q| q.side == from && q.migration == migration.address);
        if !sides.iter().any(|(known, _)| known == endpoint) {
            let reopeners = quiesce.map(|q| q.reopeners.clone()).unwrap_or_default();
            sides.push((endpoint.clone(), reopeners));
        }
    }
    sides
}

/// The steps that one action of the table appears as.
fn action_steps(
    ground: &Ground<'_>,
    decl: &CutoverDecl,
    act: Action,
    to: Side,
    opens: Opens,
) -> Vec<PlanStep> {
    let from = to.other();
    let step = |kind: StepKind, what: String| {
        PlanStep::new(&decl.address, decl.address.step(kind.as_str()), kind, what)
    };
    let routes = || decl.routes.iter().map(Address::as_str).collect::<Vec<_>>().join(", ");
    match act {
        Action::CloseAndDrain => {
            vec![step(
                StepKind::Drain,
                format!("prove that no write to the {from} gets through or is on its way"),
            )]
        }
        Action::Fence => vec![step(
            StepKind::Fence,
            format!(
                "fix the {from}'s position, to be the same {} later and to the end",
                duration(decl.freeze_ms)
            ),
        )],
        Action::CatchUp => {
            let mut step = step(StepKind::CatchUp, format!("carry the {to} to the fence"));
            step.remarks = lost(ground, decl, to);
            step.remarks.extend(read_again(ground, decl));
            vec![step]
        }
        Action::VerifyResidual => {
            let whole = decl.migrations.iter().any(|m| is_whole(ground, m));
            let what = if whole {
                "verify everything (`in_pause = true`), both sides quiet"
            } else {
                "verify what changed since the last verification, both sides quiet"
            };
            let mut step = step(StepKind::VerifyResidual, what.to_owned());
            step.remarks = unseen(ground, decl);
            vec![step]
        }
        Action::Harden => vec![step(
            StepKind::Harden,
            format!("look once more that the {from} is closed and nothing moved"),
        )],
        Action::ArmReverse => vec![step(StepKind::ArmReverse, "record where the way back starts".to_owned())],
        Action::Commit => {
            vec![step(StepKind::Commit, format!("from here on the {to} is the side that serves"))]
        }
        Action::RaiseAndOpen => vec![step(StepKind::Open, format!("accept writes at the {to}"))],
        Action::RaiseAndRoute | Action::Route => {
            let mut step =
                step(StepKind::Switch, format!("point {} to the {to}, and look that it does", routes()));
            if to == Side::Target && decl.weights.is_some() {
                step.remarks.push("the last step of the reads: with the writes, at once".to_owned());
            }
            vec![step]
        }
        Action::StartWriters => {
            let mut step = step(StepKind::Open, format!("start the writers on the {to}"));
            if needs_person(ground, decl, to, None) {
                let what = format!("A PERSON starts the writers on the {to} and answers one question");
                step.remarks.push(what);
            }
            if opens.data {
                // A group of both kinds has a step of its own for each.
                step.address = decl.address.step("start");
            }
            vec![step]
        }
        Action::EnterWatch => Vec::new(),
        Action::Watch => {
            let mut steps = vec![step(StepKind::Watch, format!("look for stale writers on the {from}"))];
            // What is watched is the new system: going back leads to the one that was there all the time.
            if to == Side::Target {
                steps.extend(decl.watches.iter().map(|w| watch_step(&decl.address, &watch_of(w))));
            }
            steps
        }
    }
}

/// What going over would lose: the sentence that a reviewer looks for.
fn lost(ground: &Ground<'_>, decl: &CutoverDecl, to: Side) -> Vec<String> {
    if to == Side::Target {
        return Vec::new();
    }
    let waiting: u64 = decl
        .migrations
        .iter()
        .filter_map(|m| ground.observed.migrations.get(m))
        .flat_map(|m| m.units.values())
        .filter_map(Seen::fact)
        .map(|report| report.waiting_records)
        .sum();
    vec![if decl.fallback.reverse {
        format!(
            "going back loses 0 writes: {waiting} records changed at the target wait for a reverse pass and are carried first"
        )
    } else {
        format!(
            "going back LOSES what the target took: {waiting} records differ, and there is no reverse sync"
        )
    }]
}

/// Milliseconds for people: `50ms`, `2s`, `1h30m`.
pub(crate) fn duration(ms: u64) -> String {
    if ms == 0 {
        return "0s".to_owned();
    }
    let units = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
    let mut rest = ms;
    let mut text = String::new();
    for (name, size) in units {
        if rest >= size {
            text.push_str(&format!("{}{name}", rest / size));
            rest %= size;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::duration;

    #[test]
    fn durations_read_as_they_are_written_in_specs() {
        assert_eq!(duration(0), "0s");
        assert_eq!(duration(50), "50ms");
        assert_eq!(duration(90_000), "1m30s");
        assert_eq!(duration(1_209_600_000), "14d");
    }
}
