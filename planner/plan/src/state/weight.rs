//! Reads that go to the target in steps before a switch, as the journal knows them.

use segue_contract::BlockRef;
use segue_language::WeightsDecl;
use serde::{Deserialize, Serialize};

use crate::event::BootTime;

/// How many reads go to the target, and how far the steps are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightState {
    /// Percent of reads at the target, as last asked for.
    pub percent: u8,
    /// Whether that was observed; otherwise nobody knows whether it came to be.
    pub known: bool,
    /// The routes.
    pub routes: Vec<BlockRef>,
    /// The highest step that was held to its end; 0: none.
    pub held: u8,
    /// Since when.
    pub since: BootTime,
}

impl WeightState {
    /// Whether reads go to the target, or may.
    pub fn in_effect(&self) -> bool {
        self.percent > 0 || !self.known
    }
}

/// The steps that are still to be held: a run that died goes on at the one that it was in, and the last one before
/// the switch is always held again. Empty: there are none.
pub fn steps_to_hold(decl: &WeightsDecl, known: Option<&WeightState>) -> Vec<u8> {
    let held = known.map_or(0, |w| w.held);
    let steps: Vec<u8> = decl.before_the_switch().collect();
    let last = steps.last().copied();
    steps.into_iter().filter(|step| *step > held || Some(*step) == last).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_at_the_step_that_was_not_held_to_its_end() {
        let decl = WeightsDecl { steps: vec![5, 25, 50, 100], hold_ms: 1 };
        let at = |held| WeightState {
            percent: 0,
            known: true,
            routes: Vec::new(),
            held,
            since: BootTime::default(),
        };
        for (held, wanted) in [(0, vec![5, 25, 50]), (5, vec![25, 50]), (25, vec![50]), (50, vec![50])] {
            assert_eq!(steps_to_hold(&decl, Some(&at(held))), wanted, "{held}");
        }
        assert_eq!(steps_to_hold(&decl, None), [5, 25, 50]);
        let plain = WeightsDecl { steps: vec![100], hold_ms: 1 };
        assert!(steps_to_hold(&plain, None).is_empty());
    }
}
