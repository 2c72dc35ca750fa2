//! A cutover on the screen: who serves, whether writes are open, where it is, what going back now would lose.

use segue_contract::{Address, Side, segue};
use segue_plan::cutover::{Freshness, Phase, Settle, WayBack, settle};
use segue_plan::event::BootTime;
use segue_plan::state::{CutoverState, PauseTerm, State};
use segue_run::clock::rfc3339;
use segue_run::execute::Live;

use super::CutoverView;
use crate::render::pause::{predicted, term};
use crate::render::quantity::{micros, millis};
use crate::render::status::Now;

pub(super) fn views(state: &State, live: Option<&Live>, now: &Now, boot: &BootTime) -> Vec<CutoverView> {
    let mut views: Vec<CutoverView> =
        state.cutovers.iter().map(|(address, known)| view(state, address, known, live, now, boot)).collect();
    // Before its first attempt a cutover is known by its migrations alone.
    let named = state.migrations.values().filter_map(|m| m.record.cutover.as_ref());
    let mut fresh: Vec<&Address> = named.filter(|c| !state.cutovers.contains_key(c)).collect();
    fresh.sort();
    fresh.dedup();
    let unknown = CutoverState::default();
    views.extend(fresh.into_iter().map(|address| view(state, address, &unknown, live, now, boot)));
    views
}

fn view(
    state: &State,
    address: &Address,
    known: &CutoverState,
    live: Option<&Live>,
    now: &Now,
    boot: &BootTime,
) -> CutoverView {
    let endpoints: Vec<String> = state
        .migrations
        .values()
        .filter(|m| m.record.cutover.as_ref() == Some(address))
        .map(|m| match known.live {
            Side::Source => m.record.source.address.to_string(),
            Side::Target => m.record.target.address.to_string(),
        })
        .collect();
    let since = known.last_switch.as_ref().map(|s| format!(" since {}", to_second(s.at_ms)));
    let (back, loses) = going_back(state, address, known, now, boot);
    CutoverView {
        cutover: address.to_string(),
        serves: format!("the {} serves{} ({})", known.live, since.unwrap_or_default(), shortened(&endpoints)),
        writes: writes(known, live.is_some(), boot),
        writes_paused: known.refuses_writes(),
        phase: phase(known),
        pause: pause(address, known, live),
        back,
        loses,
        held: known.held.as_ref().map(|h| format!("since {}: {}", to_second(h.since_ms), h.reason)),
    }
}

fn to_second(ms: i64) -> String {
    rfc3339(ms.div_euclid(1000) * 1000).replace(".000Z", "Z")
}

fn shortened(names: &[String]) -> String {
    match names {
        [] => "no endpoint yet".to_owned(),
        [one] => one.clone(),
        [first, rest @ ..] => format!("{first} and {} more", rest.len()),
    }
}

fn writes(known: &CutoverState, runs: bool, boot: &BootTime) -> String {
    let Some(attempt) = known.attempt.as_deref().filter(|_| known.refuses_writes()) else {
        return "open".to_owned();
    };
    let since_ms = boot.since(&attempt.began);
    let since =
        since_ms.map_or_else(|| "since before this boot".to_owned(), |ms| format!("for {}", millis(ms)));
    let next = match (runs, settle(known.phase) == Settle::Complete) {
        (false, _) => {
            format!("the run died: any segue command that writes settles it, `{}`", segue(&["abort"]))
        }
        (true, true) => format!("the {} opens next", attempt.to),
        (true, false) => {
            let left = since_ms.map_or(0, |since| attempt.timeout_ms.saturating_sub(since));
            format!("not committed within {}: aborted, the {} opens", millis(left), attempt.from)
        }
    };
    format!("PAUSED {since}; {next}")
}

/// The phase, and in an attempt the way to it with the time of each part.
fn phase(known: &CutoverState) -> String {
    if settle(known.phase) == Settle::Nothing {
        return known.phase.to_string();
    }
    let terms: Vec<String> =
        of_attempt(known).iter().map(|t| format!("{} {}", t.name, micros(t.us))).collect();
    if terms.is_empty() || known.phase == Phase::Quiescing {
        return known.phase.to_string();
    }
    format!("{} ({})", known.phase, terms.join(", "))
}

/// The terms of the attempt in flight: those since its DRAINED.
fn of_attempt(known: &CutoverState) -> &[PauseTerm] {
    let start = known.pauses.iter().rposition(|t| t.name == Phase::Drained.as_str());
    start.and_then(|start| known.pauses.get(start..)).unwrap_or_default()
}

fn pause(address: &Address, known: &CutoverState, live: Option<&Live>) -> String {
    let predicted = live.and_then(|l| l.forecasts.get(address)).map(|f| {
        let terms = f.terms.iter().filter(|t| t.ms > 0 || t.unmeasured).map(term).collect::<Vec<_>>();
        format!("predicted {} ({})", predicted(f), terms.join(", "))
    });
    let last = known.last_switch.as_ref().map(|s| format!("last {}", micros(s.pause_us)));
    let parts: Vec<String> = last.into_iter().chain(predicted).collect();
    if parts.is_empty() { "not measured yet".to_owned() } else { parts.join("; ") }
}

/// What going back now would lose, and whether that is anything.
fn going_back(
    state: &State,
    address: &Address,
    known: &CutoverState,
    now: &Now,
    boot: &BootTime,
) -> (String, bool) {
    if known.finished {
        return ("not possible: the fallback was given up".to_owned(), false);
    }
    let switched = known.attempt.as_deref().zip(known.last_switch.as_ref());
    let Some((attempt, switch)) = switched.filter(|_| known.live == Side::Target && known.switches > 0)
    else {
        return ("nothing to go back from: it never left".to_owned(), false);
    };
    if !attempt.reverse {
        let since = to_second(switch.at_ms);
        return (format!("if you go back now: what the target took since {since} is LOST"), true);
    }
    let way_back = WayBack::of(state, address, now.wall_ms, boot);
    let behind_ms = way_back.map_or(0, |w| w.behind_ms) / 100 * 100;
    let stale = match way_back.map(|w| w.freshness()) {
        Some(Freshness::StaleSoon { in_ms }) => format!("; STALE IN {}", millis(in_ms / 1000 * 1000)),
        Some(Freshness::Stale) => "; STALE".to_owned(),
        Some(Freshness::Fresh) | None => String::new(),
    };
    (format!("if you go back now: 0 writes lost, {} behind{stale}", millis(behind_ms)), !stale.is_empty())
}
