//! The answers to what comes over the control socket.

use std::sync::Arc;
use std::time::Duration;

use segue_contract::{Address, Side, segue};
use segue_plan::cutover::{Phase, Settle, settle};
use segue_plan::event::{Event, WHY_MAX, Wish, rate_text};
use segue_plan::state::State;

use super::brake::{Paused, WISHED_MAX, Why};
use super::socket::{Ask, Reply};
use super::{Ground, RunEvent, goals};
use crate::host;

/// How long a question after a goal waits for something new: less than either end's patience.
const HEAR: Duration = Duration::from_secs(2);

/// Answers a question. Who asks is whom the kernel says is at the other end (`uid`), where it can say so.
pub(super) fn answer(ground: &Arc<Ground>, question: Ask, uid: Option<u32>) -> Reply {
    let who = |by: String| uid.map_or(by, |uid| format!("{}@{}", host::user_of(uid), ground.who.host));
    match question {
        Ask::Status => Reply::Status { state: Box::new(ground.state()), live: Some(Box::new(ground.live())) },
        Ask::Live { known } => {
            let (state, sequence) = ground.recorder.changed_since(known);
            Reply::Live { state: state.map(Box::new), sequence, live: Box::new(ground.live()) }
        }
        Ask::Approve { plan_hash, by } => approve(ground, plan_hash, who(by)),
        Ask::Abort { cutover, by } => abort(ground, cutover.as_ref(), &who(by)),
        Ask::Reach { cutover, goal, accept, by } => goals::ask(ground, &cutover, &goal, &accept, &who(by)),
        Ask::Hear { cutover, heard } => {
            let (said, end) = ground.control.hear(&cutover, heard, HEAR);
            Reply::Goal { said, end }
        }
        Ask::Pause { by, why } => pause(ground, who(by), why),
        Ask::Resume { by } => {
            let by = who(by);
            if ground.resume(&format!("resumed by {by}")) {
                remember(ground, Wish::Resume, by, None);
                Reply::Taken { said: "it goes on".to_owned() }
            } else {
                Reply::Taken { said: "it is not paused: it goes on already".to_owned() }
            }
        }
        Ask::Throttle { migration, bytes_per_s, by, why } => {
            throttle(ground, migration, bytes_per_s, who(by), why)
        }
    }
}

fn refuse(said: String) -> Reply {
    Reply::Refused { said }
}

fn approve(ground: &Ground, plan_hash: String, by: String) -> Reply {
    if let Some(approvers) = ground.control.refuses_approval(&plan_hash, &by) {
        let who = approvers.join(", ");
        return refuse(format!("{by} may not approve this plan: {who} may"));
    }
    let said = format!("plan {} is approved by {by}", plan_hash.get(..12).unwrap_or(&plan_hash));
    match ground.record(Event::Approved { plan_hash, by }) {
        Ok(()) => {
            ground.control.nudge();
            Reply::Taken { said }
        }
        Err(error) => refuse(error.to_string()),
    }
}

/// Whether nobody switches a cutover before `unhold`: what an abort wants of it is so already.
fn is_kept(ground: &Ground, cutover: &Address) -> bool {
    ground.recorder.look(|s| s.cutovers.get(cutover).is_some_and(|c| c.held.is_some()))
}

fn kept(ground: &Ground, cutover: Option<&Address>) -> Reply {
    let live = |s: &State| cutover.and_then(|c| s.cutovers.get(c)).map_or(Side::Source, |c| c.live);
    let live = ground.recorder.look(live);
    let name = cutover.map(Address::to_string).unwrap_or_default();
    Reply::Taken { said: format!("{name} is not in flight and is held: the {live} serves; nothing to abort") }
}

fn abort(ground: &Ground, cutover: Option<&Address>, by: &str) -> Reply {
    let in_flight: Vec<(Address, Phase)> = ground.recorder.look(|s| {
        let weighed = s.weighed().map(|(a, _)| (a.clone(), Phase::Ready));
        s.in_flight().map(|(a, c)| (a.clone(), c.phase)).chain(weighed).collect()
    });
    let found = match cutover {
        Some(wanted) => in_flight.iter().find(|(address, _)| address == wanted),
        None if in_flight.len() == 1 => in_flight.first(),
        None => None,
    };
    match found {
        None if cutover.is_some_and(|wanted| is_kept(ground, wanted)) => kept(ground, cutover),
        None if in_flight.is_empty() => {
            ground.control.stop();
            Reply::Taken { said: "no cutover is in flight: the run stops at the next safe point".to_owned() }
        }
        None => {
            let names: Vec<&str> = in_flight.iter().map(|(a, _)| a.as_str()).collect();
            match cutover {
                Some(wanted) => refuse(format!("{wanted} is not in flight; in flight: {}", names.join(", "))),
                None => refuse(format!("say which cutover: {}", names.join(", "))),
            }
        }
        Some((address, phase)) if settle(*phase) == Settle::Complete => refuse(format!(
            "{address} is committed and cannot be aborted; when it is through: `{}`",
            segue(&["switch-back", address.as_str()])
        )),
        Some((address, Phase::Ready)) => {
            ground.control.abort(address.clone(), format!("aborted by {by}"));
            Reply::Taken {
                said: format!("{address} is not switched: its reads go back to the source, and it is held"),
            }
        }
        Some((address, phase)) => {
            ground.control.abort(address.clone(), format!("aborted by {by}"));
            Reply::Taken {
                said: format!("{address} is at {phase}: it is aborted, the side that served opens first"),
            }
        }
    }
}

/// A reason as it is shown: one line, of bounded length. `Err`: it is neither.
fn reason(why: Option<String>) -> Result<Option<String>, Reply> {
    let Some(why) = why.map(|w| w.trim().to_owned()).filter(|w| !w.is_empty()) else { return Ok(None) };
    if why.len() > WHY_MAX || why.chars().any(char::is_control) {
        return Err(refuse(format!("a reason is one line of at most {WHY_MAX} bytes: say it shorter")));
    }
    Ok(Some(why))
}

/// The journal says who slowed the run, and why. That it cannot (a full disk) must not undo a wish that may be urgent.
fn remember(ground: &Ground, wish: Wish, by: String, why: Option<String>) {
    if let Err(error) = ground.record(Event::Steered { wish, by, why }) {
        ground.tell(&RunEvent::Said { text: format!("that could not be recorded: {error}") });
    }
}

/// Protocol P13: between QUIESCING and WATCHING clients wait, and nobody may make them wait longer.
fn pause(ground: &Ground, by: String, why: Option<String>) -> Reply {
    let why = match reason(why) {
        Ok(why) => why,
        Err(refused) => return refused,
    };
    let closed = |address: &Address, phase: Phase| {
        refuse(format!(
            "{address} is at {phase}: clients' writes wait for it, and a pause would make them wait longer; pause again when it is watched, or `{}` before its commit",
            segue(&["abort", address.as_str()])
        ))
    };
    let in_pause = ground.recorder.look(|s| {
        let mut pausing = s.in_flight().filter(|(_, c)| c.phase != Phase::Watching);
        pausing.next().map(|(a, c)| (a.clone(), c.phase))
    });
    if let Some((address, phase)) = in_pause {
        return closed(&address, phase);
    }
    if let Some(known) = ground.control.brakes().paused {
        return Reply::Taken {
            said: format!("{known}: it is paused already, and stays so; `{}` goes on", segue(&["resume"])),
        };
    }
    let paused = Paused { by: by.clone(), since_ms: ground.clock.wall_ms(), why: why.clone() };
    match ground.control.pause(paused) {
        Ok(()) => {
            remember(ground, Wish::Pause, by, why);
            ground.tell_brakes();
            let said = format!(
                "paused: running steps stop at their next safe point, gates wait, what is watched is still looked at; `{}` goes on. It is forgotten when this run ends",
                segue(&["resume"])
            );
            Reply::Taken { said }
        }
        Err(closing) => closed(closing.first().unwrap_or(&Address::new("a cutover")), Phase::Quiescing),
    }
}

fn throttle(
    ground: &Ground,
    migration: Option<Address>,
    bytes_per_s: Option<u64>,
    by: String,
    why: Option<String>,
) -> Reply {
    let why = match reason(why) {
        Ok(why) => why,
        Err(refused) => return refused,
    };
    if let Some(wanted) = &migration {
        let known: Vec<Address> = ground.recorder.look(|s| s.migrations.keys().cloned().collect());
        if !known.contains(wanted) {
            let names: Vec<&str> = known.iter().map(Address::as_str).collect();
            return refuse(format!("there is no {wanted} in this run; there are: {}", names.join(", ")));
        }
    }
    let since_ms = ground.clock.wall_ms();
    let wish = bytes_per_s.map(|rate| (rate, Why::Person { by: by.clone(), since_ms, why: why.clone() }));
    if !ground.control.throttle(migration.clone(), wish) {
        return refuse(format!(
            "there are {WISHED_MAX} limits already: take one back (`{}`), or throttle everything together",
            segue(&["throttle", "off", "--migration", "ADDRESS"])
        ));
    }
    remember(ground, Wish::Throttle { migration: migration.clone(), bytes_per_s }, by, why);
    ground.tell_brakes();
    let whom = migration.map_or_else(|| "everything together".to_owned(), |m| m.to_string());
    let said = match bytes_per_s {
        Some(rate) => format!(
            "{whom} is throttled to {} from now on; it is forgotten when this run ends",
            rate_text(rate)
        ),
        None => format!("{whom}: the spec's rate limits count again, where there are any"),
    };
    Reply::Taken { said }
}

impl Ground {
    /// What this run is doing right now.
    pub fn live(&self) -> super::Live {
        self.board.show(self.control.brakes())
    }

    /// Tells what slows the run down.
    fn tell_brakes(&self) {
        self.tell(&RunEvent::Slowed { brakes: self.control.brakes() });
    }

    /// Lets a paused run go on. Returns whether it was paused.
    pub(super) fn resume(&self, why: &str) -> bool {
        let was = self.control.resume();
        if was {
            self.tell(&RunEvent::Said { text: format!("goes on: {why}") });
            self.tell_brakes();
        }
        was
    }
}
