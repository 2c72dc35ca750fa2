//! The fold of reads that go to the target in steps before a switch.

use segue_contract::Side;

use super::super::{CutoverState, Held, WeightState};
use crate::event::WeightEvent;

pub(super) fn fold(cutover: &mut CutoverState, event: &WeightEvent, at_ms: i64) {
    match event {
        WeightEvent::Began { percent, routes, at, watchdog: _ } => {
            let held = cutover.weight.as_ref().map_or(0, |w| w.held);
            let (percent, routes, since) = (*percent, routes.clone(), at.clone());
            cutover.weight = Some(Box::new(WeightState { percent, known: false, routes, held, since }));
        }
        WeightEvent::Set { percent } => {
            if let Some(weight) = cutover.weight.as_mut().filter(|w| w.percent == *percent) {
                weight.known = true;
            }
        }
        WeightEvent::Held { percent, held_ms: _ } => {
            if let Some(weight) = &mut cutover.weight {
                weight.held = weight.held.max(*percent);
            }
        }
        WeightEvent::Lost { reason, held } => {
            begin_anew(cutover);
            if *held {
                let (reason, wanted) = (reason.clone(), Side::Target);
                cutover.held = Some(Held { reason, wanted, since_ms: at_ms });
            }
        }
    }
    // All is as if there had never been any.
    if cutover.weight.as_ref().is_some_and(|w| !w.in_effect() && w.held == 0) {
        cutover.weight = None;
    }
}

/// What failed is tried from the first step on.
pub(super) fn begin_anew(cutover: &mut CutoverState) {
    if let Some(weight) = &mut cutover.weight {
        weight.held = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::BootTime;

    fn began(percent: u8) -> WeightEvent {
        WeightEvent::Began { percent, routes: Vec::new(), at: BootTime::default(), watchdog: None }
    }

    fn after(events: &[WeightEvent]) -> CutoverState {
        let mut cutover = CutoverState::default();
        for event in events {
            fold(&mut cutover, event, 7);
        }
        cutover
    }

    #[test]
    fn an_intent_is_in_effect_until_its_end_is_known() {
        let weight = |events: &[WeightEvent]| after(events).weight;
        assert!(weight(&[began(5)]).is_some_and(|w| w.in_effect() && !w.known));
        assert!(weight(&[began(5), WeightEvent::Set { percent: 5 }]).is_some_and(|w| w.in_effect()));
        assert!(weight(&[began(5), began(0)]).is_some_and(|w| w.in_effect()), "taken back, or not");
        assert_eq!(weight(&[began(5), began(0), WeightEvent::Set { percent: 0 }]), None);
    }

    #[test]
    fn a_death_keeps_what_was_held_and_a_loss_does_not() {
        let held = WeightEvent::Held { percent: 5, held_ms: 9 };
        let back = [began(0), WeightEvent::Set { percent: 0 }];
        let died = after(&[&[began(5), WeightEvent::Set { percent: 5 }, held.clone()][..], &back].concat());
        assert_eq!(died.weight.map(|w| (w.in_effect(), w.held)), Some((false, 5)));
        let lost = WeightEvent::Lost { reason: "the lag".to_owned(), held: true };
        let lost = after(&[&[began(5), held, lost][..], &back].concat());
        assert_eq!(lost.weight, None);
        assert_eq!(lost.held.map(|h| (h.reason, h.wanted)), Some(("the lag".to_owned(), Side::Target)));
    }
}
