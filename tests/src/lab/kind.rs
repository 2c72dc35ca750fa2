//! Dying at an event of a kind: on real servers runs differ in how many passes they make, so a number says little, and "the
//! second pass" says the same each time.

use segue_plan::event::{Entry, Event};
use segue_run::journal::{Seq, Tap};

use super::kill::die;

/// The environment variable that says where to die: `before:KIND:N` or `after:KIND:N`, the Nth event of that kind that the
/// process writes, from 1.
pub const KILL_KIND: &str = "SEGUE_MORTAL";

/// The kind of an event: its type, and what tells its life's turns apart.
pub fn kind_of(event: &Event) -> String {
    let value = serde_json::to_value(event).unwrap_or_default();
    let text = |name: &str| value[name].as_str().map(str::to_owned);
    let kind = text("type").unwrap_or_default();
    let more = match event {
        Event::PhaseReached { .. } => text("phase"),
        Event::StepStarted { .. } => text("kind"),
        // The last part of its address says what the step does.
        Event::StepFinished { step, .. } => step.as_str().rsplit('.').next().map(str::to_owned),
        Event::UnitCarried { load, .. } => Some(if *load { "load" } else { "pass" }.to_owned()),
        Event::RouteSet { route, .. } => route.as_str().split('.').nth(1).map(str::to_owned),
        _ => None,
    };
    more.map_or_else(|| kind.clone(), |more| format!("{kind} {more}"))
}

/// Kills the process before or after an event of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KindTap {
    before: bool,
    kind: String,
    /// How many of that kind are still let by; 0: nobody dies.
    left: u64,
    /// The event after which to die.
    fatal: Option<Seq>,
}

impl KindTap {
    /// From [`KILL_KIND`]; without it, nobody dies.
    pub fn from_environment() -> Self {
        std::env::var(KILL_KIND).ok().and_then(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Option<Self> {
        let (when, rest) = text.split_once(':')?;
        let (kind, number) = rest.rsplit_once(':')?;
        Some(Self {
            before: when == "before",
            kind: kind.to_owned(),
            left: number.parse().ok()?,
            fatal: None,
        })
    }
}

impl Tap for KindTap {
    fn before(&mut self, seq: Seq, payload: &[u8]) {
        if self.left == 0 || !Entry::decode(payload).is_ok_and(|entry| kind_of(&entry.event) == self.kind) {
            return;
        }
        self.left -= 1;
        match (self.left, self.before) {
            (0, true) => die(),
            (0, false) => self.fatal = Some(seq),
            _ => {}
        }
    }

    fn after(&mut self, seq: Seq) {
        if self.fatal == Some(seq) {
            die();
        }
    }
}

#[cfg(test)]
mod tests {
    use segue_plan::event::Event;

    use super::{KindTap, kind_of};

    #[test]
    fn says_before_or_after_which_of_a_kind() {
        let tap = KindTap::parse("after:phase_reached COMMITTED:2").expect("well written");
        assert_eq!((tap.before, tap.kind.as_str(), tap.left), (false, "phase_reached COMMITTED", 2));
        assert_eq!(KindTap::parse("later"), None);
        assert_eq!(kind_of(&Event::RunEnded { exit: 0 }), "run_ended");
    }
}
