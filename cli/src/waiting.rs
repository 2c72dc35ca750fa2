//! Tells people what a command waits for, before they ask themselves whether it hangs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use segue_contract::waits;

use crate::printer::Printer;

/// A wait is told when it is this old. What nobody notices is not told.
const TOLD_AFTER: Duration = Duration::from_secs(4);
/// And again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(30);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Tells, until it is dropped.
pub(crate) struct Telling {
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Telling {
    /// Begins. Where no thread can be had nothing is told: what is waited for comes all the same.
    pub(crate) fn start(printer: Arc<Printer>) -> Self {
        let (stop, stopped) = channel::<()>();
        let tell = move || {
            let mut told: BTreeMap<u64, Instant> = BTreeMap::new();
            while let Err(RecvTimeoutError::Timeout) = stopped.recv_timeout(LOOK_EVERY) {
                let known = waits(TOLD_AFTER);
                told.retain(|id, _| known.iter().any(|wait| wait.id == *id));
                for wait in known {
                    if told.get(&wait.id).is_none_or(|at| at.elapsed() >= AGAIN_AFTER) {
                        told.insert(wait.id, Instant::now());
                        printer.say(&wait.text());
                    }
                }
            }
        };
        let thread = std::thread::Builder::new().name("waits".to_owned()).spawn(tell).ok();
        Self { stop: Some(stop), thread }
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has told its last.
            let _ = thread.join();
        }
    }
}
