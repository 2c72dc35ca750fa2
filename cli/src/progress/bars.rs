//! Bars, one a running step, with rate and time left; everything else is written above them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use segue_contract::{Address, Progress};
use segue_run::execute::{Brakes, Listener, RunEvent};

use super::phrase::{Volume, phrase};
use crate::printer::Printer;

/// How often bars are drawn, a second.
const DRAWS_A_SECOND: u8 = 10;
/// How often a bar without progress turns.
const TICK: Duration = Duration::from_millis(200);

/// Draws bars on stderr.
pub(super) struct Bars {
    printer: Arc<Printer>,
    multi: MultiProgress,
    bars: Mutex<BTreeMap<Address, ProgressBar>>,
    /// What slows the run down: stays in sight as long as it does.
    brakes: Mutex<Option<ProgressBar>>,
    /// What going back now would cost: stays in sight while it is told.
    ways_back: Mutex<BTreeMap<Address, ProgressBar>>,
}

impl Bars {
    /// On stderr.
    pub(super) fn new(printer: Arc<Printer>) -> Self {
        let target = ProgressDrawTarget::stderr_with_hz(DRAWS_A_SECOND);
        let multi = MultiProgress::with_draw_target(target);
        Self { printer, multi, bars: Mutex::default(), brakes: Mutex::default(), ways_back: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Address, ProgressBar>> {
        self.bars.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes above the bars.
    pub(super) fn above(&self, text: &str) {
        if !self.printer.said_above_prompt(text) {
            // Losing a line of talk must not end a run.
            let _ = self.multi.println(text);
        }
    }

    /// Takes all bars away.
    pub(super) fn clear(&self) {
        self.lock().clear();
        self.slowed(&Brakes::default());
        for bar in
            std::mem::take(&mut *self.ways_back.lock().unwrap_or_else(PoisonError::into_inner)).values()
        {
            bar.finish_and_clear();
        }
        let _ = self.multi.clear();
    }

    /// One line at the top, as long as anything slows the run down.
    fn slowed(&self, brakes: &Brakes) {
        let mut shown = self.brakes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = shown.take() {
            bar.finish_and_clear();
        }
        if brakes.is_empty() {
            return;
        }
        let bar = self.multi.insert(0, ProgressBar::no_length());
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            bar.set_style(style);
        }
        bar.set_message(brakes.lines().join("; "));
        *shown = Some(bar);
    }

    /// One line a cutover, replaced by the next.
    fn way_back(&self, cutover: &Address, line: String) {
        let mut shown = self.ways_back.lock().unwrap_or_else(PoisonError::into_inner);
        let bar = shown.entry(cutover.clone()).or_insert_with(|| {
            let bar = self.multi.add(ProgressBar::no_length());
            if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
                bar.set_style(style);
            }
            bar
        });
        bar.set_message(line);
    }

    fn begin(&self, step: &Address) {
        let bar = self.multi.add(ProgressBar::no_length());
        bar.set_style(self.style(false, false));
        bar.set_message(step.to_string());
        bar.enable_steady_tick(TICK);
        self.lock().insert(step.clone(), bar);
    }

    fn end(&self, step: &Address) {
        if let Some(bar) = self.lock().remove(step) {
            bar.finish_and_clear();
        }
    }

    fn progress(&self, step: &Address, progress: &Progress) {
        let Progress { records, records_total, bytes, bytes_total } = *progress;
        let bars = self.lock();
        let Some(bar) = bars.get(step) else { return };
        let of_bytes = bytes_total.is_some() || (records_total.is_none() && bytes > 0);
        let (done, total) = if of_bytes { (bytes, bytes_total) } else { (records, records_total) };
        if let Some(total) = total
            && bar.length() != Some(total)
        {
            bar.set_style(self.style(true, of_bytes));
            bar.set_length(total);
        }
        bar.set_position(done);
    }

    fn style(&self, length: bool, of_bytes: bool) -> ProgressStyle {
        let template = match (length, of_bytes) {
            (false, _) => "{spinner} {wide_msg} {elapsed}",
            (true, true) => {
                "{bar:24} {percent:>3}% {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left  {wide_msg}"
            }
            (true, false) => {
                "{bar:24} {percent:>3}% {human_pos}/{human_len} {per_sec} {eta} left  {wide_msg}"
            }
        };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        if self.printer.talk_look().unicode {
            style
        } else {
            style.progress_chars("=> ").tick_chars("-\\|/ ")
        }
    }
}

impl Bars {
    fn without_bars<T>(&self, ask: impl FnOnce() -> T) -> T {
        let _ = self.multi.clear();
        self.multi.set_draw_target(ProgressDrawTarget::hidden());
        let answer = ask();
        self.multi.set_draw_target(ProgressDrawTarget::stderr_with_hz(DRAWS_A_SECOND));
        answer
    }
}

impl Listener for Bars {
    fn tell(&self, event: &RunEvent) {
        match event {
            RunEvent::StepStarted { step, .. } => {
                self.begin(step);
                return;
            }
            RunEvent::StepProgress { step, progress } => {
                self.progress(step, progress);
                return;
            }
            RunEvent::StepFinished { step, .. } | RunEvent::StepFailed { step, .. } => self.end(step),
            RunEvent::Slowed { brakes } => self.slowed(brakes),
            RunEvent::Fallback { cutover, .. } => {
                if let Some((_, line)) = phrase(event, &self.printer.talk_look()) {
                    self.way_back(cutover, line);
                }
                return;
            }
            RunEvent::StepRetried { .. }
            | RunEvent::Carried { .. }
            | RunEvent::Compared { .. }
            | RunEvent::GateWaits { .. }
            | RunEvent::WatchRead { .. }
            | RunEvent::Rehearsed { .. }
            | RunEvent::HealthLost { .. }
            | RunEvent::Forecast { .. }
            | RunEvent::Phase { .. }
            | RunEvent::Aborting { .. }
            | RunEvent::Aborted { .. }
            | RunEvent::Settling { .. }
            | RunEvent::Found { .. }
            | RunEvent::Stopping { .. }
            | RunEvent::Said { .. } => {}
        }
        match phrase(event, &self.printer.talk_look()) {
            Some((Volume::Talk | Volume::Always, line)) => self.above(&line),
            None => {}
        }
    }

    /// Bars and a prompt cannot share a line: nothing is drawn until it is answered, and what is told is written above
    /// the prompt. (`suspend` would hold everybody who tells something until then.)
    fn confirm(&self, question: &str, expected: &str, over: &dyn Fn() -> bool) -> Option<bool> {
        self.without_bars(|| self.printer.ask_until(question, expected, over))
    }

    fn yes_or_no(&self, question: &str, over: &dyn Fn() -> bool) -> Option<bool> {
        self.without_bars(|| self.printer.ask_yes_or_no(question, over))
    }

    fn somebody_there(&self) -> bool {
        self.printer.somebody_there()
    }
}
