//! What going back to the source would do, and what would be lost: shown before it is asked for.

use segue_contract::{Address, Side, segue};
use segue_language::Desired;
use segue_plan::cutover::{Settle, WayBack, settle};
use segue_plan::event::FallbackTerms;
use segue_plan::state::{CutoverState, State};
use segue_run::clock::rfc3339;
use serde::Serialize;

use super::quantity::{micros, millis};
use super::status::Now;
use crate::printer::{Look, Paint};

/// The way back of a cutover whose target serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct WayBackView {
    cutover: Address,
    serves: Side,
    since: Option<String>,
    /// Where a run died: that is settled first.
    settles: Option<String>,
    /// What is carried to the source first.
    carries: String,
    /// What is lost.
    loses: String,
    /// Whether that is more than nothing.
    loses_something: bool,
    last_pause_us: Option<u64>,
    timeout_ms: u64,
    routes: Vec<Address>,
}

impl WayBackView {
    /// As the state, and what the spec says of the way back, have it.
    pub(crate) fn of(
        state: &State,
        cutover: &Address,
        known: &CutoverState,
        desired: Option<&Desired>,
        now: &Now,
    ) -> Self {
        let way = WayBack::of(state, cutover, now.wall_ms, &now.boot());
        let attempt = known.attempt.as_deref();
        let reverse = attempt.is_some_and(|a| a.reverse);
        let since = known.last_switch.as_ref().map(|s| rfc3339(s.at_ms));
        let behind = way.map_or_else(|| "an unknown time".to_owned(), |w| millis(w.behind_ms));
        let took = since.as_ref().map(|s| format!(" since {s}")).unwrap_or_default();
        let loses = match reverse {
            true => {
                let unread = leaves_unread(attempt.map(|a| &a.fallback), cutover, desired);
                let unread = unread.then(|| {
                    format!(
                        "; if it cannot be read it is left, and what it took in the last {behind} is lost"
                    )
                });
                format!("nothing, as long as the target can be read{}", unread.unwrap_or_default())
            }
            false => format!("WHAT THE TARGET TOOK{took}: there is no reverse sync"),
        };
        Self {
            cutover: cutover.clone(),
            serves: known.live,
            settles: (settle(known.phase) != Settle::Nothing && !known.watches())
                .then(|| format!("what is under way, at {}", known.phase)),
            carries: match reverse {
                true => format!("what the target took, in passes; the source is {behind} behind"),
                false => "nothing".to_owned(),
            },
            loses,
            loses_something: !reverse,
            since,
            last_pause_us: known.last_switch.as_ref().map(|s| s.pause_us),
            timeout_ms: attempt.map_or(0, |a| a.timeout_ms),
            routes: attempt.into_iter().flat_map(|a| a.routes.iter().map(|r| r.address.clone())).collect(),
        }
    }

    /// As text.
    pub(crate) fn text(&self, look: &Look) -> String {
        let Self {
            cutover,
            serves,
            since,
            settles,
            carries,
            loses,
            loses_something,
            last_pause_us,
            timeout_ms,
            routes,
        } = self;
        let since = since.as_ref().map(|s| format!(" since {s}")).unwrap_or_default();
        let title = format!("{cutover}: the {serves} serves{since}. Going back to the source:");
        let mut out = format!("{}\n", look.paint(Paint::Title, &title));
        let mut line = |key: &str, value: &str| {
            out.push_str(&format!("  {}{value}\n", look.paint(Paint::Key, &format!("{key:<10}"))));
        };
        if let Some(settles) = settles {
            line("settle", settles);
        }
        line("carry", carries);
        let last = last_pause_us.map(|us| format!(", {} the last time", micros(us))).unwrap_or_default();
        let most = millis(*timeout_ms);
        line("pause", &format!("writes wait{last}; not committed within {most}: aborted, the target opens"));
        if !routes.is_empty() {
            let names: Vec<&str> = routes.iter().map(Address::as_str).collect();
            line("routes", &format!("{} to the source", names.join(", ")));
        }
        let paint = if *loses_something { Paint::Bad } else { Paint::Good };
        line("lost", &look.paint(paint, loses));
        line("then", &format!("held until `{}`", segue(&["unhold", cutover.as_str()])));
        out
    }
}

/// Whether a target that cannot be read would be left.
fn leaves_unread(recorded: Option<&FallbackTerms>, cutover: &Address, desired: Option<&Desired>) -> bool {
    match desired.and_then(|d| d.cutovers.get(cutover)) {
        Some(decl) => {
            decl.fallback.accept_loss && (decl.fallback.dual_write || decl.fallback.fence.is_some())
        }
        None => recorded.is_some_and(|t| t.accept_loss && (t.dual_write || t.fence.is_some())),
    }
}

#[cfg(test)]
mod tests {
    use super::WayBackView;
    use crate::printer::Look;
    use crate::sample;

    #[test]
    fn it_says_what_is_carried_what_is_lost_and_what_comes_after() {
        let state = sample::switched_state();
        let (cutover, known) = state.cutovers.iter().next().expect("a cutover");
        let view = WayBackView::of(&state, cutover, known, None, &sample::now());
        insta::assert_snapshot!(view.text(&Look::plain()), @r"
        cutover.site: the target serves since 2026-01-31T09:30:00.000Z. Going back to the source:
          carry     what the target took, in passes; the source is 1.5s behind
          pause     writes wait, 112.9ms the last time; not committed within 30s: aborted, the target opens
          lost      nothing, as long as the target can be read
          then      held until `segue unhold cutover.site`
        ");
        let mut known = known.clone();
        if let Some(attempt) = known.attempt.as_deref_mut() {
            attempt.reverse = false;
        }
        let view = WayBackView::of(&state, cutover, &known, None, &sample::now());
        assert!(view.loses.starts_with("WHAT THE TARGET TOOK since "), "{}", view.loses);
    }
}
