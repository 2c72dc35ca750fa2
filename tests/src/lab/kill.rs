//! Dying at an event of the journal, as a power switch would have it: without a word.

use rustix::process::{Signal, getpid, kill_process};
use segue_run::journal::{Seq, Tap};

/// The environment variable that says where to die: `before:17` or `after:17`.
pub const KILL: &str = "SEGUE_LAB_KILL";

/// Kills this process with SIGKILL.
pub fn die() -> ! {
    loop {
        // Were it refused, there would be nothing to go on with.
        let _ = kill_process(getpid(), Signal::KILL);
    }
}

/// Kills the process before or after one event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KillTap {
    before: Option<u64>,
    after: Option<u64>,
}

impl KillTap {
    /// From [`KILL`]; without it, nobody dies.
    pub fn from_environment() -> Self {
        std::env::var(KILL).map(|text| Self::parse(&text)).unwrap_or_default()
    }

    fn parse(text: &str) -> Self {
        match text.split_once(':') {
            Some(("before", n)) => Self { before: n.parse().ok(), after: None },
            Some(("after", n)) => Self { before: None, after: n.parse().ok() },
            _ => Self::default(),
        }
    }
}

impl Tap for KillTap {
    fn before(&mut self, seq: Seq, _: &[u8]) {
        if self.before == Some(seq.0) {
            die();
        }
    }

    fn after(&mut self, seq: Seq) {
        if self.after == Some(seq.0) {
            die();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::KillTap;

    #[test]
    fn says_before_or_after_which_event_and_otherwise_never() {
        assert_eq!(KillTap::parse("before:17"), KillTap { before: Some(17), after: None });
        assert_eq!(KillTap::parse("after:3"), KillTap { before: None, after: Some(3) });
        assert_eq!(KillTap::parse("later"), KillTap::default());
    }
}
