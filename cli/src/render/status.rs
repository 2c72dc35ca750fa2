//! The status: who serves, whether writes are open, when they re-open by themselves, what going back would
//! lose, and what to type next. Data first; its text is in `status/text.rs`.

mod rehearsals;
mod text;

use std::path::PathBuf;

use crate::render::quantity::millis;
use segue_contract::{Address, SetAside, Side, StaleFind};
use segue_language::Desired;
use segue_plan::cutover::{Freshness, Lag, Phase, Settle, WayBack, settle};
use segue_plan::event::{BootTime, Watch};
use segue_plan::state::{CutoverState, Held, MigrationState, State, UnitState};
use segue_run::clock::rfc3339;
use segue_run::execute::{Brakes, HeldUp};
use segue_run::session::Snapshot;
use serde::Serialize;

use super::resources::{self, ResourceView};
use rehearsals::RehearsalView;

/// What time it is, told so that views stay pure.
#[derive(Clone, Debug)]
pub(crate) struct Now {
    /// Wall clock, milliseconds.
    pub(crate) wall_ms: i64,
    /// Boot clock, milliseconds.
    pub(crate) boot_ms: u64,
    /// The boot.
    pub(crate) boot_id: String,
}

impl Now {
    fn boot(&self) -> BootTime {
        BootTime { ms: self.boot_ms, boot_id: self.boot_id.clone() }
    }
}

/// Everything that status tells.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct StatusView {
    /// What the endpoints' markers say against this state: with any, who serves is not known here.
    doubts: Vec<String>,
    /// Who writes now.
    running: Option<String>,
    cutovers: Vec<CutoverView>,
    migrations: Vec<MigrationView>,
    /// What was rehearsed.
    rehearsals: Vec<RehearsalView>,
    /// Who wrote last, and how it ended.
    last_run: Option<String>,
    /// What slows the running command down, who wished it and since when; not kept beyond that run.
    brakes: Brakes,
    /// What is temporary somewhere, in release order.
    resources: Vec<ResourceView>,
    /// What waits although it could go on, and why: a try after a failure, a slot.
    held_up: Vec<HeldUp>,
    #[serde(skip)]
    slowed: Vec<String>,
    #[serde(skip)]
    now_ms: i64,
}

#[derive(Clone, Debug, Serialize)]
struct CutoverView {
    cutover: Address,
    serves: Side,
    endpoint: Option<Address>,
    since: Option<String>,
    pause_us: Option<u64>,
    phase: Phase,
    finished: bool,
    /// A run died while this was in flight, and nobody has settled it.
    died: bool,
    writes: Writes,
    going_back: GoingBack,
    fallback: Option<Fallback>,
    held: Option<HeldView>,
    /// What is watched after the switch, as last seen, and whether health was lost.
    watch: Vec<String>,
    /// Reads that go to the target before the switch.
    #[serde(skip_serializing_if = "Option::is_none")]
    reads: Option<String>,
    stale: Vec<StaleFind>,
    stale_total: u64,
    /// Where what stale writers left is kept.
    stale_kept: PathBuf,
    set_aside: Vec<SetAside>,
    set_aside_total: u64,
    mismatches_total: u64,
    next: Vec<String>,
}

/// Whether clients can write.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum Writes {
    Open,
    Paused { since_ms: Option<u64>, reopens: Reopens },
}

/// What re-opens, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
enum Reopens {
    /// The running command: commits, or aborts at the latest then.
    RunningBeforeCommit { side: Side, at_most_ms: Option<u64> },
    /// The running command, which is past the commit; or whoever completes for it at the latest then.
    RunningAfterCommit { side: Side, at_most_ms: Option<u64>, watchdog: bool },
    /// Nobody by itself.
    Nobody { side: Side, by_hand: PathBuf },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum GoingBack {
    /// It never left.
    NothingToGoBackTo,
    /// What the side that serves took is carried back first.
    LosesNothing,
    /// What it took since then is lost.
    Loses { since: String },
    /// The fallback was given up.
    NotPossible,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct Fallback {
    side: Side,
    /// Since the last pass towards it began; `None`: there was none, or it gets none.
    age_ms: Option<u64>,
    reverse: bool,
    /// How near it is to being stale; `None`: it is the target, or gets no passes.
    freshness: Option<Freshness>,
    follower: bool,
    retain_ms: Option<u64>,
    served_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
struct HeldView {
    reason: String,
    wanted: Side,
    since: String,
}

#[derive(Clone, Debug, Serialize)]
struct MigrationView {
    migration: Address,
    unit: String,
    loaded: bool,
    records: u64,
    bytes: u64,
    passes: u64,
    lag_ms: Option<u64>,
    verified: Option<String>,
    verified_ms: Option<i64>,
}

impl StatusView {
    /// Gathers it. The spec adds what it wants, where it can be read.
    pub(crate) fn of(snapshot: &Snapshot, doubts: Vec<String>, desired: Option<&Desired>, now: &Now) -> Self {
        let Snapshot { state, sequence: _, running, notices: _, state_id: _, artifacts, live } = snapshot;
        // The stage of a rehearsal is shown while somebody waits for its source to open.
        let shown = |a: &Address, c: &CutoverState| !state.is_stage(a) || settle(c.phase) != Settle::Nothing;
        let views = Views { state, running: running.as_deref(), desired, now, artifacts };
        Self {
            doubts,
            running: running.clone(),
            cutovers: state
                .cutovers
                .iter()
                .filter(|(a, c)| shown(a, c))
                .map(|(a, c)| views.cutover(a, c))
                .collect(),
            migrations: state
                .migrations
                .iter()
                .filter(|(a, _)| !state.is_stage(a))
                .flat_map(|(a, m)| views.migration(a, m))
                .collect(),
            rehearsals: rehearsals::gather(state),
            last_run: state.last_run.as_ref().map(|run| {
                let how = match run.exit {
                    Some(code) => format!("exit {code}"),
                    None if running.is_some() => "runs".to_owned(),
                    None => "died".to_owned(),
                };
                format!(
                    "{} by {}@{} at {}: {how}",
                    run.record.command,
                    run.record.user,
                    run.record.host,
                    rfc3339(run.began_ms)
                )
            }),
            brakes: live.as_ref().map(|l| l.brakes.clone()).unwrap_or_default(),
            resources: resources::views(state, now.wall_ms, running.is_some()),
            held_up: live.as_ref().map(|l| l.held_up.clone()).unwrap_or_default(),
            slowed: live.as_ref().map(|l| l.slowed()).unwrap_or_default(),
            now_ms: now.wall_ms,
        }
    }
}

struct Views<'a> {
    state: &'a State,
    running: Option<&'a str>,
    desired: Option<&'a Desired>,
    now: &'a Now,
    artifacts: &'a std::path::Path,
}

impl Views<'_> {
    fn migrations_of(&self, cutover: &Address) -> impl Iterator<Item = &MigrationState> {
        self.state.migrations.values().filter(move |m| m.record.cutover.as_ref() == Some(cutover))
    }

    fn units_of(&self, cutover: &Address) -> impl Iterator<Item = &UnitState> {
        self.migrations_of(cutover).flat_map(|m| m.units.values())
    }

    fn cutover(&self, address: &Address, known: &CutoverState) -> CutoverView {
        let in_flight = settle(known.phase) != Settle::Nothing;
        // What is only watched takes writes: nothing is to be settled.
        let died = in_flight && self.running.is_none() && !known.watches();
        let record = self.migrations_of(address).next().map(|m| &m.record);
        let endpoint = record.map(|r| match known.live {
            Side::Source => r.source.address.clone(),
            Side::Target => r.target.address.clone(),
        });
        let mut view = CutoverView {
            cutover: address.clone(),
            serves: known.live,
            endpoint,
            since: known.last_switch.as_ref().map(|s| rfc3339(s.at_ms)),
            pause_us: known.last_switch.as_ref().map(|s| s.pause_us),
            phase: known.phase,
            finished: known.finished,
            died,
            writes: self.writes(known, died),
            going_back: going_back(known),
            fallback: self.fallback(address, known),
            held: known.held.as_ref().map(|Held { reason, wanted, since_ms }| HeldView {
                reason: reason.clone(),
                wanted: *wanted,
                since: rfc3339(*since_ms),
            }),
            watch: self.watch(known),
            reads: self.reads(known),
            stale: known.stale.clone(),
            stale_total: known.stale_total,
            stale_kept: self.artifacts.to_owned(),
            set_aside: self.units_of(address).flat_map(|u| u.set_aside.iter().cloned()).collect(),
            set_aside_total: self.units_of(address).map(|u| u.set_aside_total).sum(),
            mismatches_total: self.units_of(address).map(|u| u.mismatches_total).sum(),
            next: Vec::new(),
        };
        view.next = self.next(address, known, &view);
        view
    }

    fn watch(&self, known: &CutoverState) -> Vec<String> {
        let Some(watch) = known.watch.as_ref().filter(|_| known.live == Side::Target) else {
            return Vec::new();
        };
        let lost = watch.lost.iter().map(|(address, said)| format!("HEALTH LOST at {address}: {said}"));
        let line = |w: &Watch| {
            let address = &w.block.address;
            match watch.seen.get(address) {
                Some(seen) if seen.ok => format!("{address}: good: {}", seen.said),
                Some(seen) => {
                    format!("{address}: NOT GOOD, {} of {} in a row: {}", seen.failed, w.failures, seen.said)
                }
                None => format!("{address}: not looked at yet"),
            }
        };
        let lines = watch.plan.watches.iter().filter(|_| known.watches()).map(line);
        let paused = known.watches() && self.running.is_none();
        lost.chain(lines).chain(paused.then(|| "nobody watches now".to_owned())).collect()
    }

    fn reads(&self, known: &CutoverState) -> Option<String> {
        let weight = known.weight.as_deref().filter(|w| w.in_effect())?;
        let since =
            self.now.boot().since(&weight.since).map(|ms| format!(" for {}", millis(ms))).unwrap_or_default();
        let what = match (weight.percent, weight.known) {
            (0, _) => "are being taken back from the target".to_owned(),
            (percent, true) => format!("{percent} % go to the target{since}"),
            (percent, false) => format!("{percent} % are being sent to the target"),
        };
        Some(match self.running {
            Some(_) => what,
            None => format!(
                "{what}; THE RUN DIED: nobody keeps them fresh, `segue apply` or `segue abort` takes them back"
            ),
        })
    }

    fn writes(&self, known: &CutoverState, died: bool) -> Writes {
        let Some(attempt) = known.attempt.as_deref().filter(|_| known.refuses_writes()) else {
            return Writes::Open;
        };
        let since_ms = self.now.boot().since(&attempt.began);
        let reopens = match (died, settle(known.phase) == Settle::Complete) {
            (true, complete) => Reopens::Nobody {
                side: if complete { attempt.to } else { attempt.from },
                by_hand: attempt.by_hand.clone(),
            },
            (false, true) => {
                let now = self.now.boot();
                let until = known.forward_until().filter(|until| until.boot_id == now.boot_id);
                Reopens::RunningAfterCommit {
                    side: attempt.to,
                    at_most_ms: until.map(|until| until.ms.saturating_sub(now.ms)),
                    watchdog: attempt.watchdog.is_some(),
                }
            }
            (false, false) => Reopens::RunningBeforeCommit {
                side: attempt.from,
                at_most_ms: since_ms.map(|since| attempt.timeout_ms.saturating_sub(since)),
            },
        };
        Writes::Paused { since_ms, reopens }
    }

    fn fallback(&self, address: &Address, known: &CutoverState) -> Option<Fallback> {
        let attempt = known.attempt.as_deref()?;
        if known.switches == 0 || known.finished {
            return None;
        }
        let reverse = attempt.reverse || known.live == Side::Source;
        let served = known.last_switch.as_ref().and_then(|s| u64::try_from(self.now.wall_ms - s.at_ms).ok());
        // What was carried before the switch is on both sides: the fallback is as old as the switch, or the last pass.
        let ages = self.units_of(address).map(|u| {
            let towards = u.passes.iter().rev().find(|p| p.reverse == (known.live == Side::Target));
            let began = towards.map(|p| p.began_ms).into_iter();
            let since = began.chain(known.last_switch.as_ref().map(|s| s.at_ms)).max();
            since.and_then(|since| u64::try_from(self.now.wall_ms - since).ok())
        });
        let declared = self.desired.and_then(|d| d.cutovers.get(address)).map(|c| c.fallback.retain_ms);
        let retain = declared.unwrap_or(attempt.fallback.retain_ms);
        let way_back = WayBack::of(self.state, address, self.now.wall_ms, &self.now.boot());
        Some(Fallback {
            side: known.live.other(),
            age_ms: way_back
                .map(|w| w.behind_ms)
                .or_else(|| ages.collect::<Option<Vec<_>>>().and_then(|ages| ages.into_iter().max())),
            reverse,
            freshness: way_back.filter(|w| w.reverse).map(|w| w.freshness()),
            follower: self.running.is_some_and(|r| r.contains("--follow")),
            retain_ms: retain,
            served_ms: served,
        })
    }

    fn next(&self, address: &Address, known: &CutoverState, view: &CutoverView) -> Vec<String> {
        let mut next = Vec::new();
        if view.died {
            next.push("segue apply   (settles it first, then goes on)".to_owned());
            next.push("segue abort   (settles it, and no more)".to_owned());
            return next;
        }
        if view.reads.is_some() {
            next.push(format!("segue abort {address}   (all reads back to the source)"));
        }
        if matches!(view.writes, Writes::Paused { reopens: Reopens::RunningBeforeCommit { .. }, .. }) {
            next.push(format!("segue abort {address}   (re-opens the {} now)", known.live));
            return next;
        }
        if (known.watches() || known.goes_back()) && self.running.is_none() {
            let what = if known.goes_back() { "health was lost: it goes back" } else { "goes on watching" };
            next.push(format!("segue apply   ({what})"));
        }
        if known.held.is_some() {
            next.push(format!("segue unhold {address}   (lets apply go on)"));
        }
        if known.stale_total > 0 {
            next.push(format!("segue unhold {address} --stale   (when the stale writes are taken care of)"));
        }
        let declared = self.desired.and_then(|d| d.cutovers.get(address));
        if declared.is_some_and(|d| (d.live, d.finished) != (known.live, known.finished))
            && known.held.is_none()
        {
            next.push("segue plan   (the spec wants something else)".to_owned());
        } else if known.live == Side::Target && !known.finished {
            next.push(format!("segue switch-back {address}   (back to the source)"));
            next.push("finished = true in the spec, then segue apply   (give the fallback up)".to_owned());
        }
        next
    }

    fn migration(&self, address: &Address, known: &MigrationState) -> Vec<MigrationView> {
        let one = |(name, unit): (&String, &UnitState)| MigrationView {
            migration: address.clone(),
            unit: name.clone(),
            loaded: unit.loaded,
            records: unit.records_seen,
            bytes: unit.bytes_total,
            passes: unit.passes_total,
            lag_ms: match Lag::of(unit, &self.now.boot()) {
                Lag::Ms(ms) => Some(ms),
                Lag::Unknown => None,
            },
            verified: unit.verified.as_ref().map(|v| v.level.as_str().to_owned()),
            verified_ms: unit.verified.as_ref().map(|v| v.at_ms),
        };
        known.units.iter().map(one).collect()
    }
}

fn going_back(known: &CutoverState) -> GoingBack {
    if known.finished {
        return GoingBack::NotPossible;
    }
    match (&known.attempt, &known.last_switch, known.live) {
        (Some(attempt), Some(switch), Side::Target) if known.switches > 0 => {
            if attempt.reverse {
                GoingBack::LosesNothing
            } else {
                GoingBack::Loses { since: rfc3339(switch.at_ms) }
            }
        }
        _ => GoingBack::NothingToGoBackTo,
    }
}
