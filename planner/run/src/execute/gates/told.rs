//! What was told and recorded of gates: the first look, each change, and then once in a while.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use segue_contract::Address;
use segue_plan::event::Event;

use super::look::Look;
use crate::execute::{Ground, RunError, RunEvent};

/// How often an unmet gate is told again.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// How often a look is recorded that says what the one before said.
const RECORD_EVERY: Duration = Duration::from_secs(60);

/// What was told and recorded last.
#[derive(Default)]
pub(super) struct Told {
    gates: BTreeMap<Address, Last>,
}

struct Last {
    met: bool,
    told: Instant,
    recorded: Instant,
}

impl Told {
    /// Tells and records a look, where it is time to.
    pub(super) fn look(
        &mut self,
        ground: &Ground,
        cutover: &Address,
        gate: &Address,
        look: &Look,
    ) -> Result<(), RunError> {
        let now = Instant::now();
        let last = self.gates.get(gate);
        let changed = last.is_none_or(|l| l.met != look.met);
        let tell = changed || last.is_some_and(|l| now - l.told >= TELL_EVERY);
        let record = changed || last.is_some_and(|l| now - l.recorded >= RECORD_EVERY);
        if tell && !look.met {
            ground.tell(&RunEvent::GateWaits { step: gate.clone(), what: look.said.clone() });
        }
        if record {
            read(ground, cutover, gate, look)?;
        }
        let entry =
            self.gates.entry(gate.clone()).or_insert(Last { met: look.met, told: now, recorded: now });
        entry.met = look.met;
        entry.told = if tell { now } else { entry.told };
        entry.recorded = if record { now } else { entry.recorded };
        Ok(())
    }

    /// Records what a gate was met by, as of the moment at which all were: unless that was just recorded.
    pub(super) fn met(
        &self,
        ground: &Ground,
        cutover: &Address,
        gate: &Address,
        look: &Look,
    ) -> Result<(), RunError> {
        match self.gates.get(gate) {
            Some(last) if last.recorded.elapsed() < TELL_EVERY => Ok(()),
            _ => read(ground, cutover, gate, look),
        }
    }
}

fn read(ground: &Ground, cutover: &Address, gate: &Address, look: &Look) -> Result<(), RunError> {
    ground.record(Event::GateRead {
        cutover: cutover.clone(),
        gate: gate.clone(),
        met: look.met,
        said: look.said.clone(),
        value: look.value,
        at: ground.now(),
    })
}
