//! Gates of providers: each asked at its own interval, those that are due beside each other.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use segue_contract::{Address, BlockRef};
use segue_language::{GateCondition, GateDecl};

use super::look::{Look, Wants};
use crate::execute::io::Io;
use crate::execute::{Ground, RunError};

/// The answers so far.
#[derive(Default)]
pub(super) struct Probes {
    answers: BTreeMap<Address, (Look, Instant, Duration)>,
}

impl Probes {
    /// Asks those that are due; returns how many those were.
    pub(super) fn refresh(&mut self, ground: &Ground, gates: &[GateDecl]) -> Result<usize, RunError> {
        let due: Vec<(&BlockRef, Duration)> = gates
            .iter()
            .filter_map(|gate| match &gate.condition {
                GateCondition::Probe { block, interval_ms } => {
                    Some((block, Duration::from_millis(*interval_ms)))
                }
                _ => None,
            })
            .filter(|(block, _)| {
                self.answers.get(&block.address).is_none_or(|(_, at, interval)| at.elapsed() >= *interval)
            })
            .collect();
        let asked: Vec<(Look, Duration, &Address)> = std::thread::scope(|scope| {
            let tasks: Vec<_> = due
                .iter()
                .map(|(block, interval)| (scope.spawn(|| ask(ground, block)), *interval, &block.address))
                .collect();
            let crashed = || Look::unmet("the look stopped by a defect of segue".to_owned(), Wants::Time);
            let join = |(task, interval, address): (std::thread::ScopedJoinHandle<'_, Look>, _, _)| {
                (task.join().unwrap_or_else(|_| crashed()), interval, address)
            };
            tasks.into_iter().map(join).collect()
        });
        if ground.control.stopping() && !asked.is_empty() {
            return Err(RunError::Interrupted);
        }
        let count = asked.len();
        for (look, interval, address) in asked {
            self.answers.insert(address.clone(), (look, Instant::now(), interval));
        }
        Ok(count)
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.answers.len()
    }

    /// All are due again.
    pub(super) fn forget(&mut self) {
        self.answers.clear();
    }

    /// How long until the next is due.
    pub(super) fn next_due(&self) -> Option<Duration> {
        self.answers.values().map(|(_, at, interval)| interval.saturating_sub(at.elapsed())).min()
    }

    /// The last answer.
    pub(super) fn answer(&self, address: &Address) -> Look {
        match self.answers.get(address) {
            Some((look, _, _)) => look.clone(),
            None => Look::unmet("was not asked yet".to_owned(), Wants::Time),
        }
    }
}

/// A question that could not be put is no yes.
fn ask(ground: &Ground, block: &BlockRef) -> Look {
    let io = Io::new(ground, &block.address);
    match ground.registry.gate(block).and_then(|gate| gate.look(block, &io)) {
        Ok(reading) if reading.ok => Look { value: reading.value, ..Look::met(reading.said) },
        Ok(reading) => Look { value: reading.value, ..Look::unmet(reading.said, Wants::Time) },
        Err(error) => {
            let remedy = error.remedy.as_ref().map(|r| format!(" ({r})")).unwrap_or_default();
            Look::unmet(format!("could not be asked: {error}{remedy}"), Wants::Time)
        }
    }
}
