//! What a run tells while it runs: bars on a terminal, a line for each change elsewhere, JSON lines on stdout
//! with `--json`.

mod bars;
mod lines;
pub(crate) mod phrase;
mod rehearsed;

use std::sync::Arc;

use segue_run::execute::{Listener, RunEvent};

use crate::printer::Printer;
use bars::Bars;
use lines::Lines;

/// A listener, and what must be put away when the run is over.
pub(crate) struct Progress {
    listener: Arc<dyn Listener>,
    bars: Option<Arc<Bars>>,
    printer: Arc<Printer>,
}

impl Progress {
    /// For the run.
    pub(crate) fn listen(&self) -> Arc<dyn Listener> {
        Arc::clone(&self.listener)
    }

    /// Takes the bars from the terminal.
    pub(crate) fn finish(&self) {
        if let Some(bars) = &self.bars {
            self.printer.divert(None);
            bars.clear();
        }
    }
}

/// The listener that fits where output goes.
pub(crate) fn listener(printer: &Arc<Printer>) -> Progress {
    let shared = Arc::clone(printer);
    if printer.json() {
        return Progress {
            listener: Arc::new(JsonLines { printer: shared }),
            bars: None,
            printer: Arc::clone(printer),
        };
    }
    if printer.draws_bars() {
        let bars = Arc::new(Bars::new(shared));
        let above = Arc::clone(&bars);
        printer.divert(Some(Box::new(move |text| above.above(text))));
        return Progress { listener: Arc::clone(&bars) as _, bars: Some(bars), printer: Arc::clone(printer) };
    }
    Progress { listener: Arc::new(Lines::new(shared)), bars: None, printer: Arc::clone(printer) }
}

/// One JSON object a line, on stdout.
struct JsonLines {
    printer: Arc<Printer>,
}

impl Listener for JsonLines {
    fn tell(&self, event: &RunEvent) {
        if let Err(failure) = self.printer.json_line(event) {
            // A full disk behind stdout must not stop a run half-way.
            failure.print(&self.printer);
        }
    }

    fn confirm(&self, _question: &str, _expected: &str, _over: &dyn Fn() -> bool) -> Option<bool> {
        None
    }

    fn yes_or_no(&self, _question: &str, _over: &dyn Fn() -> bool) -> Option<bool> {
        None
    }

    fn somebody_there(&self) -> bool {
        false
    }
}
