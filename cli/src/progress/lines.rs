//! One line for each change: what a log file or CI gets.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use segue_contract::{Address, Progress};
use segue_run::execute::{Listener, RunEvent};

use super::phrase::{Volume, phrase};
use crate::printer::Printer;
use crate::render::quantity::{bytes, count};

/// A long step says so each time that it is this much further, in percent.
const STEP_PERCENT: u64 = 10;

/// Writes lines.
pub(super) struct Lines {
    printer: Arc<Printer>,
    told: Mutex<BTreeMap<Address, u64>>,
}

impl Lines {
    /// To stderr.
    pub(super) fn new(printer: Arc<Printer>) -> Self {
        Self { printer, told: Mutex::new(BTreeMap::new()) }
    }

    fn progress(&self, step: &Address, progress: &Progress) {
        let Some(percent) = percent(progress) else { return };
        let tenth = percent / STEP_PERCENT;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let last = told.insert(step.clone(), tenth).unwrap_or(0);
        drop(told);
        if tenth > last && percent < 100 {
            self.printer.say(&format!(
                "{step}: {percent} % ({} records, {})",
                count(progress.records),
                bytes(progress.bytes)
            ));
        }
    }
}

/// How far a step is: by bytes where they are known, else by records.
pub(super) fn percent(progress: &Progress) -> Option<u64> {
    let Progress { records, records_total, bytes, bytes_total } = *progress;
    let of = |done: u64, total: Option<u64>| {
        total.filter(|t| *t > 0).map(|t| (u128::from(done.min(t)) * 100 / u128::from(t)) as u64)
    };
    of(bytes, bytes_total).or_else(|| of(records, records_total))
}

impl Listener for Lines {
    fn tell(&self, event: &RunEvent) {
        if let RunEvent::StepProgress { step, progress } = event {
            self.progress(step, progress);
        }
        match phrase(event, &self.printer.talk_look()) {
            Some((Volume::Talk, line)) => self.printer.say(&line),
            Some((Volume::Always, line)) => self.printer.say_anyway(&line),
            None => {}
        }
    }

    fn confirm(&self, question: &str, expected: &str, over: &dyn Fn() -> bool) -> Option<bool> {
        self.printer.ask_until(question, expected, over)
    }

    fn yes_or_no(&self, question: &str, over: &dyn Fn() -> bool) -> Option<bool> {
        self.printer.ask_yes_or_no(question, over)
    }

    fn somebody_there(&self) -> bool {
        self.printer.somebody_there()
    }
}

#[cfg(test)]
mod tests {
    use segue_contract::Progress;

    use super::percent;

    #[test]
    fn how_far_a_step_is_goes_by_bytes_then_by_records() {
        let progress =
            |bytes, bytes_total| Progress { records: 1, records_total: Some(2), bytes, bytes_total };
        assert_eq!(percent(&progress(25, Some(100))), Some(25));
        assert_eq!(percent(&progress(250, Some(100))), Some(100));
        assert_eq!(percent(&progress(0, None)), Some(50));
        assert_eq!(percent(&Progress::default()), None);
    }
}
