//! Goals that reach a run from outside, by its socket (protocol P31): that a cutover's source serves, that a held cutover
//! goes on. The run reaches them itself. Whoever asked may be gone by then, and asking twice changes nothing more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use segue_contract::{Address, Side, StepError, segue};
use segue_language::Desired;
use segue_plan::cutover::{Phase, Settle, settle};
use segue_plan::event::Event;
use segue_plan::state::CutoverState;
use serde::{Deserialize, Serialize};

use super::attempt::{attempt_from_state, terms_of};
use super::socket::Reply;
use super::{Ground, RunError, RunEvent, accept_deletions, check_claims, leave, take_side_back};

/// Sentences that are kept for whoever asked: a way back has some twenty.
const SAID_MAX: usize = 200;
/// The exit code of a goal that cannot be taken now: another is at work.
const BUSY: i32 = 6;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Goal {
    /// The declared source serves.
    SourceServes,
    /// The cutover is not held, and a side that was left is taken back.
    GoesOn {
        /// What stale writers left is taken care of, too.
        stale: bool,
    },
}

/// How a goal ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GoalEnd {
    /// The exit code that the command would have had by itself.
    pub exit: i32,
    /// What came of it.
    pub said: String,
    /// What to do next, where that is known.
    #[serde(default)]
    pub remedy: Option<String>,
}

impl GoalEnd {
    fn reached(said: String) -> Self {
        Self { exit: 0, said, remedy: None }
    }

    fn busy(said: String, remedy: String) -> Self {
        Self { exit: BUSY, said, remedy: Some(remedy) }
    }

    fn failed(error: &RunError) -> Self {
        Self { exit: error.exit_code(), said: error.to_string(), remedy: error.remedy() }
    }
}

/// Where a goal is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stage {
    /// Nobody has begun it.
    Waits,
    /// It is under way.
    Begun,
    /// It is over.
    Ended(GoalEnd),
}

/// A goal that the run was asked for.
#[derive(Clone, Debug)]
struct Asked {
    goal: Goal,
    by: String,
    stage: Stage,
    said: Vec<String>,
    /// Somebody waits for its end and has not heard of it.
    awaited: bool,
}

/// Every goal that the run was asked for, the last of each cutover, and who reaches them.
#[derive(Debug, Default)]
pub(super) struct Goals {
    of: BTreeMap<Address, Asked>,
    /// A follower reaches those of every cutover.
    follows: bool,
    /// Whoever watches a cutover reaches its own.
    watched: BTreeSet<Address>,
}

impl Goals {
    /// Takes a goal. `false`: the same is under way already.
    fn ask(&mut self, cutover: &Address, goal: &Goal, by: &str, stage: Stage) -> bool {
        let same = |asked: &Asked| asked.goal == *goal && matches!(asked.stage, Stage::Waits | Stage::Begun);
        if self.of.get(cutover).is_some_and(same) {
            return false;
        }
        let asked = Asked { goal: goal.clone(), by: by.to_owned(), stage, said: Vec::new(), awaited: false };
        self.of.insert(cutover.clone(), asked);
        true
    }

    fn under_way(&self, cutover: &Address) -> bool {
        self.of.get(cutover).is_some_and(|asked| matches!(asked.stage, Stage::Waits | Stage::Begun))
    }

    fn reaches(&self, cutover: &Address) -> bool {
        self.follows || self.watched.contains(cutover)
    }

    /// Whether a goal of the cutover waits; `None`: of any.
    pub(super) fn waits(&self, cutover: Option<&Address>) -> bool {
        let mut of = self.of.iter().filter(|(of, _)| cutover.is_none_or(|wanted| wanted == *of));
        of.any(|(_, asked)| asked.stage == Stage::Waits)
    }

    /// Begins the next that waits. Returns whose it is and who asked.
    pub(super) fn begin(&mut self, cutover: Option<&Address>) -> Option<(Address, String)> {
        let mut of = self.of.iter_mut().filter(|(of, _)| cutover.is_none_or(|wanted| wanted == *of));
        let (cutover, asked) = of.find(|(_, asked)| asked.stage == Stage::Waits)?;
        asked.stage = Stage::Begun;
        Some((cutover.clone(), asked.by.clone()))
    }

    /// Something is to be told to whoever asked.
    pub(super) fn say(&mut self, cutover: &Address, said: &str) {
        if let Some(asked) = self.of.get_mut(cutover)
            && asked.stage == Stage::Begun
            && asked.said.len() < SAID_MAX
        {
            asked.said.push(said.to_owned());
        }
    }

    pub(super) fn end(&mut self, cutover: &Address, end: GoalEnd) {
        if let Some(asked) = self.of.get_mut(cutover) {
            asked.stage = Stage::Ended(end);
        }
    }

    /// Whether somebody who waits has yet to hear how a goal ended.
    pub(super) fn unheard(&self, cutover: &Address) -> bool {
        self.of.get(cutover).is_some_and(|asked| asked.awaited)
    }

    /// What was said after the first `heard` sentences, and how it ended; `None`: nothing new.
    pub(super) fn hear(&mut self, cutover: &Address, heard: usize) -> Option<(Vec<String>, Option<GoalEnd>)> {
        let Some(asked) = self.of.get_mut(cutover) else {
            let said = format!("{cutover} was not asked for anything in this run");
            return Some((Vec::new(), Some(GoalEnd { exit: 1, said, remedy: None })));
        };
        let said: Vec<String> = asked.said.iter().skip(heard).cloned().collect();
        let end = match &asked.stage {
            Stage::Ended(end) => Some(end.clone()),
            Stage::Waits | Stage::Begun => None,
        };
        asked.awaited = end.is_none();
        (!said.is_empty() || end.is_some()).then_some((said, end))
    }

    pub(super) fn follow(&mut self, follows: bool) {
        self.follows = follows;
    }

    pub(super) fn watch(&mut self, cutover: &Address, watches: bool) {
        if watches {
            self.watched.insert(cutover.clone());
        } else {
            self.watched.remove(cutover);
        }
    }
}

/// Answers who asks for a goal: taken, reached already, or why not now and what to type.
pub(super) fn ask(
    ground: &Arc<Ground>,
    cutover: &Address,
    goal: &Goal,
    accept: &[String],
    by: &str,
) -> Reply {
    let over = |end: GoalEnd| Reply::Goal { said: Vec::new(), end: Some(end) };
    let Some(known) = ground.recorder.look(|s| s.cutovers.get(cutover).cloned()) else {
        return Reply::Refused { said: format!("{cutover} is not in the state of this run") };
    };
    if ground.control.goals(|goals| goals.under_way(cutover) && !goals.ask(cutover, goal, by, Stage::Waits)) {
        return Reply::Taken { said: format!("{cutover}: this was asked for already, and is under way") };
    }
    if let Some(end) = not_now(ground, cutover, &known) {
        return over(end);
    }
    match goal {
        Goal::GoesOn { stale } => unhold_aside(ground, cutover, *stale, by),
        Goal::SourceServes if known.live == Side::Source => over(GoalEnd::reached(format!(
            "{cutover}: the source serves already: nothing to do. Where this run waits to lead it to the target, `{}` stops that",
            segue(&["abort", cutover.as_str()])
        ))),
        Goal::SourceServes => {
            for hash in accept {
                match accept_deletions(ground, hash, by) {
                    Ok(text) => ground.tell(&RunEvent::Said { text }),
                    Err(error) => return over(GoalEnd::failed(&error)),
                }
            }
            // What is refused at once is refused before passes are stopped for it.
            if let Err(error) = attempt_from_state(ground, cutover, by, None) {
                return over(GoalEnd::failed(&error));
            }
            let taken = ground.control.goals(|goals| {
                goals.reaches(cutover) && goals.ask(cutover, &Goal::SourceServes, by, Stage::Waits)
            });
            if !taken {
                return over(GoalEnd::busy(
                    format!("the run of process {} is at work on its plan", std::process::id()),
                    format!(
                        "`{}` stops it at its next safe point; then `{}`",
                        segue(&["abort"]),
                        segue(&["switch-back", cutover.as_str()])
                    ),
                ));
            }
            Reply::Taken {
                said: format!(
                    "{cutover}: the run of process {} leads back to the source",
                    std::process::id()
                ),
            }
        }
    }
}

/// In the pause nothing else is begun: what happens now, and what to type.
fn not_now(ground: &Ground, cutover: &Address, known: &CutoverState) -> Option<GoalEnd> {
    let to = known.attempt.as_ref().map_or(Side::Target, |a| a.to);
    let pid = std::process::id();
    let at = |next: &str| format!("{cutover} is at {} in process {pid}: {next}", known.phase);
    match (settle(known.phase), known.phase) {
        (Settle::Nothing, _) | (Settle::Complete, Phase::Watching) => {
            let begins = ground.control.closes(cutover);
            begins.then(|| {
                GoalEnd::busy(format!("{cutover} begins its pause in process {pid}"), again(cutover))
            })
        }
        (Settle::Abort, Phase::Aborting) => {
            Some(GoalEnd::busy(at("it is aborted, the side that served opens first"), again(cutover)))
        }
        (Settle::Abort, _) => Some(GoalEnd::busy(
            at(&format!("it is on its way to the {to}, and the {} serves until it is committed", to.other())),
            format!(
                "`{}` keeps the {} serving; or {}",
                segue(&["abort", cutover.as_str()]),
                to.other(),
                again(cutover)
            ),
        )),
        (Settle::Complete, _) => Some(GoalEnd::busy(
            at(&format!("it is committed, and the {to} takes writes in a moment")),
            again(cutover),
        )),
    }
}

fn again(cutover: &Address) -> String {
    format!("the same command again when `{}` says that {cutover} is through", segue(&["status"]))
}

/// Not on the thread that answers: taking a side back asks endpoints.
fn unhold_aside(ground: &Arc<Ground>, cutover: &Address, stale: bool, by: &str) -> Reply {
    let goal = Goal::GoesOn { stale };
    let busy = || GoalEnd::busy(format!("{cutover}: another goal is under way in this run"), again(cutover));
    let begun = ground
        .control
        .goals(|goals| !goals.under_way(cutover) && goals.ask(cutover, &goal, by, Stage::Begun));
    if !begun {
        return Reply::Goal { said: Vec::new(), end: Some(busy()) };
    }
    let (shared, of, by) = (Arc::clone(ground), cutover.clone(), by.to_owned());
    let spawned = std::thread::Builder::new().name("unhold".to_owned()).spawn(move || {
        let end = match unhold(&shared, &of, stale, &by) {
            Ok(said) => {
                said.iter()
                    .for_each(|text| shared.tell(&RunEvent::Said { text: format!("{text} (by {by})") }));
                GoalEnd::reached(said.join("\n"))
            }
            Err(error) => GoalEnd::failed(&error),
        };
        shared.control.goals(|goals| goals.end(&of, end));
    });
    match spawned {
        Ok(_) => {
            Reply::Taken { said: format!("{cutover}: the run of process {} does it", std::process::id()) }
        }
        Err(error) => {
            let end = GoalEnd { exit: 1, said: format!("no thread for it: {error}"), remedy: None };
            ground.control.goals(|goals| goals.end(cutover, end.clone()));
            Reply::Goal { said: Vec::new(), end: Some(end) }
        }
    }
}

/// Lets a held cutover go on. Returns what was done, a sentence each.
///
/// # Errors
/// A side that was left does not answer or is not what was left, or the journal cannot be written.
pub fn unhold(ground: &Ground, cutover: &Address, stale: bool, by: &str) -> Result<Vec<String>, RunError> {
    let Some(known) = ground.recorder.look(|s| s.cutovers.get(cutover).cloned()) else {
        return Err(RunError::Setup(StepError::permanent(format!("{cutover} is not in the state"))));
    };
    let mut said = Vec::new();
    if let Some(taken_back) = take_side_back(ground, cutover, by)? {
        said.push(format!("{cutover}: {taken_back}."));
    }
    if stale && known.stale_total > 0 {
        ground.record(Event::StaleSettled { cutover: cutover.clone(), by: by.to_owned() })?;
        said.push(format!("{} stale writes of {cutover} are settled.", known.stale_total));
    }
    if known.held.is_some() {
        ground.record(Event::Unheld { cutover: cutover.clone(), by: by.to_owned() })?;
        said.push(format!("{cutover} is not held any more: the next apply does what the spec says."));
    }
    if said.is_empty() {
        let what = if stale { "is not held and has no stale writes" } else { "is not held" };
        said.push(format!("{cutover} {what}: nothing to do."));
    }
    Ok(said)
}

/// Sees to it that the declared source serves (protocol P31). Where it does, that is told and nothing changes. Otherwise:
/// reverse passes until they stop shrinking, then the protocol, with no gates; the cutover is held afterwards
/// (protocol P23). What `desired` says of the way back counts before what was recorded.
///
/// # Errors
/// The source does not serve, and why.
pub(super) fn source_serves(
    ground: &Ground,
    cutover: &Address,
    reason: &str,
    desired: Option<&Desired>,
) -> Result<(), RunError> {
    if let Some(problem) = check_claims(ground, &ground.state()).into_iter().next() {
        let error = StepError::permanent(format!("who serves is not known here: {problem}"));
        return Err(RunError::Setup(
            error
                .remedy("bring back the newest state directory; nothing is opened or closed from an old one"),
        ));
    }
    if ground.recorder.look(|s| s.cutovers.get(cutover).is_some_and(|c| c.live == Side::Source)) {
        ground.tell(&RunEvent::Said { text: format!("{cutover}: the source serves already: nothing to do") });
        return Ok(());
    }
    let terms = desired.and_then(|d| d.cutovers.get(cutover)).map(terms_of);
    let attempt = attempt_from_state(ground, cutover, reason, terms)?;
    let ended = leave::go_back(ground, cutover, attempt);
    if let Err(RunError::Unreadable { why, .. }) = &ended {
        let epoch = ground.recorder.look(|s| s.cutovers.get(cutover).map_or(0, |c| c.epoch));
        let why = why.clone();
        ground.record(Event::BackRefused { cutover: cutover.clone(), epoch, why, held: true })?;
    }
    ended
}

/// Reaches the goals that wait: of one cutover, or of all. Returns those that it began, and how each ended.
pub(super) fn serve(
    ground: &Ground,
    of: Option<&Address>,
    desired: Option<&Desired>,
) -> Vec<(Address, String, Result<(), RunError>)> {
    let mut served = Vec::new();
    while let Some((cutover, by)) = ground.control.goals(|goals| goals.begin(of)) {
        let reason = format!("switched back by {by}");
        ground.resume(&reason);
        ground.tell(&RunEvent::Said { text: format!("{cutover}: {by} asks that the source serves") });
        let result = source_serves(ground, &cutover, &reason, desired);
        let end = match &result {
            Ok(()) => GoalEnd::reached(format!(
                "{cutover}: the source serves. It is held: `{}` lets apply switch it again.",
                segue(&["unhold", cutover.as_str()])
            )),
            Err(error) => GoalEnd::failed(error),
        };
        ground.control.end_goal(&cutover, end);
        served.push((cutover, reason, result));
    }
    served
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cutover() -> Address {
        Address::new("cutover.a")
    }

    #[test]
    fn a_goal_that_is_under_way_is_begun_once_however_often_it_is_asked_for() {
        let mut goals = Goals::default();
        assert!(goals.ask(&cutover(), &Goal::SourceServes, "alice@a", Stage::Waits));
        assert!(!goals.ask(&cutover(), &Goal::SourceServes, "bob@b", Stage::Waits));
        assert!(goals.waits(None) && goals.waits(Some(&cutover())));
        assert!(!goals.waits(Some(&Address::new("cutover.b"))));
        assert_eq!(goals.begin(None), Some((cutover(), "alice@a".to_owned())));
        assert!(!goals.ask(&cutover(), &Goal::SourceServes, "bob@b", Stage::Waits));
        assert_eq!(goals.begin(None), None);
        goals.end(&cutover(), GoalEnd::reached("done".to_owned()));
        assert!(!goals.waits(None) && !goals.under_way(&cutover()));
    }

    #[test]
    fn whoever_asks_hears_each_sentence_once_and_the_end() {
        let mut goals = Goals::default();
        goals.ask(&cutover(), &Goal::SourceServes, "alice@a", Stage::Waits);
        assert_eq!(goals.hear(&cutover(), 0), None);
        assert!(goals.unheard(&cutover()), "somebody waits");
        goals.begin(None);
        goals.say(&cutover(), "DRAINED");
        goals.say(&cutover(), "FENCED");
        assert_eq!(goals.hear(&cutover(), 1), Some((vec!["FENCED".to_owned()], None)));
        let end = GoalEnd::reached("done".to_owned());
        goals.end(&cutover(), end.clone());
        assert!(goals.unheard(&cutover()), "its end was not heard");
        assert_eq!(goals.hear(&cutover(), 2), Some((Vec::new(), Some(end))));
        assert!(!goals.unheard(&cutover()));
    }

    #[test]
    fn a_follower_reaches_every_goal_and_a_watch_its_own() {
        let mut goals = Goals::default();
        let other = Address::new("cutover.b");
        assert!(!goals.reaches(&cutover()));
        goals.watch(&cutover(), true);
        assert!(goals.reaches(&cutover()) && !goals.reaches(&other));
        goals.watch(&cutover(), false);
        goals.follow(true);
        assert!(goals.reaches(&cutover()) && goals.reaches(&other));
    }
}
