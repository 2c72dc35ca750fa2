//! The quickstart's gate: whoever writes holds it shared, whoever pauses raises a flag and takes it alone.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};

const GATE: &str = "var/gate";
const PAUSED: &str = "var/paused";
/// Between two looks at a gate that is closed.
const LOOK_EVERY: Duration = Duration::from_millis(5);

pub(super) struct Gate {
    file: File,
}

/// In the gate until it is dropped: nobody is paused, and nobody switches.
pub(super) struct Inside<'a>(&'a File);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        // The process ends if this fails, and its lock with it.
        let _ = flock(self.0, FlockOperation::Unlock);
    }
}

impl Gate {
    pub(super) fn open() -> io::Result<Self> {
        let file = OpenOptions::new().read(true).write(true).open(GATE)?;
        Ok(Self { file })
    }

    /// Whether somebody pauses, or waits to.
    pub(super) fn is_closing() -> bool {
        Path::new(PAUSED).exists()
    }

    /// Waits until nobody pauses, or there is a file `stop`: then `None`.
    pub(super) fn enter(&self, stop: &Path) -> io::Result<Option<Inside<'_>>> {
        while !stop.exists() {
            flock(&self.file, FlockOperation::LockShared)?;
            let inside = Inside(&self.file);
            if !Self::is_closing() {
                return Ok(Some(inside));
            }
            drop(inside);
            std::thread::sleep(LOOK_EVERY);
        }
        Ok(None)
    }
}
