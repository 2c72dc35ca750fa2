//! How fresh the way back is (protocol P26): what going back now would cost, and when it gets too old to be one.

use segue_contract::{Address, Side};
use serde::{Deserialize, Serialize};

use crate::event::BootTime;
use crate::state::{State, UnitState};

/// From which age on a way back is stale when the spec does not say, in milliseconds.
const MAX_AGE_DEFAULT_MS: u64 = 3_600_000;

/// The way back of a cutover whose target serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WayBack {
    /// Whether what the target took is carried back: going back loses nothing.
    pub reverse: bool,
    /// How far the source is behind, in milliseconds: since the last pass towards it began, or else the switch.
    pub behind_ms: u64,
    /// When the target began to serve, wall clock, milliseconds.
    pub since_ms: i64,
    /// From which age on it is stale, in milliseconds.
    pub max_age_ms: u64,
}

/// How fresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Freshness {
    /// Well within its age.
    Fresh,
    /// The last quarter of its age has begun.
    StaleSoon {
        /// What is left, in milliseconds.
        in_ms: u64,
    },
    /// Too old.
    Stale,
}

impl WayBack {
    /// Of a cutover at a time (wall clock in milliseconds, and boot clock); `None`: there is nothing to go back from.
    pub fn of(state: &State, cutover: &Address, now_ms: i64, now: &BootTime) -> Option<Self> {
        let known = state.cutovers.get(cutover)?;
        let attempt = known.attempt.as_deref()?;
        if known.finished || known.switches == 0 || known.live != Side::Target {
            return None;
        }
        let since_ms = known.last_switch.as_ref()?.at_ms;
        let served_ms = u64::try_from(now_ms.saturating_sub(since_ms)).unwrap_or(0);
        let behind = |unit: &UnitState| {
            let Some(pass) = unit.passes.iter().rev().find(|p| p.reverse) else { return served_ms };
            let wall_ms = || u64::try_from(now_ms.saturating_sub(pass.began_ms)).unwrap_or(0);
            // Nobody sets the boot clock; after a boot there is only the other.
            now.since(&pass.began_boot).unwrap_or_else(wall_ms).min(served_ms)
        };
        let member = |address: &Address| attempt.members.iter().any(|m| m.migration == *address);
        let migrations = state
            .migrations
            .iter()
            .filter(|(address, m)| m.record.cutover.as_ref() == Some(cutover) || member(address));
        let units = migrations.flat_map(|(_, m)| m.units.values());
        Some(Self {
            reverse: attempt.reverse,
            behind_ms: units.map(behind).max().unwrap_or(served_ms),
            since_ms,
            max_age_ms: attempt.fallback.max_age_ms.unwrap_or(MAX_AGE_DEFAULT_MS),
        })
    }

    /// How fresh it is.
    pub fn freshness(&self) -> Freshness {
        let left_ms = self.max_age_ms.saturating_sub(self.behind_ms);
        if left_ms == 0 {
            Freshness::Stale
        } else if left_ms <= self.max_age_ms / 4 {
            Freshness::StaleSoon { in_ms: left_ms }
        } else {
            Freshness::Fresh
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_said_to_go_stale_before_it_is() {
        let age = |behind_ms| WayBack { reverse: true, behind_ms, since_ms: 0, max_age_ms: 1000 }.freshness();
        assert_eq!(age(749), Freshness::Fresh);
        assert_eq!(age(750), Freshness::StaleSoon { in_ms: 250 });
        assert_eq!(age(999), Freshness::StaleSoon { in_ms: 1 });
        assert_eq!(age(1000), Freshness::Stale);
        assert_eq!(age(5000), Freshness::Stale);
    }
}
