//! Asking again: what may pass by itself is tried a while, with growing waits, before the step fails.

use std::time::{Duration, Instant};

use segue_contract::{ErrorClass, StepError, StepIo};

/// How long one call is tried again: a node that restarts is back by then, and a step that fails is resumed anyway.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);
/// The waits between tries: doubled each time, from the first to the last.
const WAITS: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// A wait is looked at so often, so that a stop is seen.
const SLICE: Duration = Duration::from_millis(50);

/// A wait that lasts longer than this is told: what passes sooner interests nobody.
const TELL_AFTER: Duration = Duration::from_secs(2);
/// It is told again so often.
const TELL_EVERY: Duration = Duration::from_secs(10);

/// What is waited for since when, and how often it was tried: told while it lasts.
pub(crate) struct Waiting {
    began: Instant,
    tries: u32,
    told: Option<Instant>,
}

impl Waiting {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now(), tries: 0, told: None }
    }

    /// How long it has lasted.
    pub(crate) fn lasted(&self) -> Duration {
        self.began.elapsed()
    }

    /// A try failed, and the next one is made after `wait`.
    pub(crate) fn failed(&mut self, io: &dyn StepIo, error: &StepError, wait: Duration) {
        self.tries = self.tries.saturating_add(1);
        let lasted = self.lasted();
        // Before the wait, not after it: nobody is left without a word for as long as that takes.
        let is_long = lasted + wait >= TELL_AFTER;
        if !is_long || self.told.is_some_and(|at| at.elapsed() + wait < TELL_EVERY) {
            return;
        }
        self.told = Some(Instant::now());
        let left = PATIENCE.saturating_sub(lasted);
        let said = format!(
            "{error}; waiting for {} s, tried {} times, given up in {} s",
            lasted.as_secs(),
            self.tries,
            left.as_secs()
        );
        io.waits(&said, wait);
    }
}

/// Calls until it works, or fails in a way that trying again cannot mend, or patience is over. For calls that may be
/// repeated whatever became of them: reads, and writes that carry versions.
pub(crate) fn again<T>(
    io: &dyn StepIo,
    mut call: impl FnMut() -> Result<T, StepError>,
) -> Result<T, StepError> {
    let mut waiting = Waiting::new();
    let mut wait = WAITS.0;
    loop {
        let error = match call() {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        let may_pass = matches!(error.class, ErrorClass::Transient | ErrorClass::Unknown);
        if !may_pass || waiting.lasted() + wait > PATIENCE {
            return Err(error);
        }
        waiting.failed(io, &error, wait);
        pause(io, wait)?;
        wait = WAITS.1.min(wait * 2);
    }
}

/// Waits, unless the step is asked to stop.
pub(crate) fn pause(io: &dyn StepIo, wait: Duration) -> Result<(), StepError> {
    let end = Instant::now() + wait;
    loop {
        if io.cancelled() {
            return Err(StepError::cancelled());
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(SLICE));
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Mutex;

    use segue_contract::{Checkpoint, Finding, Progress, Secret, SecretRef};

    use super::*;

    /// Hears what is waited for.
    #[derive(Default)]
    struct Hears(Mutex<Vec<String>>);

    impl StepIo for Hears {
        fn cancelled(&self) -> bool {
            // Asked to stop once it was told: the test waits for nothing else.
            !self.0.lock().expect("not poisoned").is_empty()
        }
        fn progress(&self, _: Progress) {}
        fn checkpoint(&self, _: Checkpoint) -> Result<(), StepError> {
            Ok(())
        }
        fn take(&self, _: u64) {}
        fn waits(&self, for_what: &str, _: Duration) {
            self.0.lock().expect("not poisoned").push(for_what.to_owned());
        }
        fn artifacts(&self) -> &Path {
            Path::new("/")
        }
        fn secret(&self, _: &SecretRef) -> Result<Secret, StepError> {
            Err(StepError::permanent("there are no secrets"))
        }
        fn find(&self, _: Finding) {}
    }

    #[test]
    fn a_system_that_stays_away_is_told_while_it_is_waited_for() {
        let io = Hears::default();
        let ended = again(&io, || Err::<(), _>(StepError::transient("target.new refuses connections")));
        assert_eq!(
            ended.expect_err("it never answers").class,
            ErrorClass::Cancelled,
            "told before patience is over"
        );
        let told = io.0.into_inner().expect("not poisoned");
        assert_eq!(told.len(), 1);
        assert!(told[0].starts_with("target.new refuses connections; waiting for "), "{told:?}");
        assert!(told[0].contains("tried ") && told[0].contains("given up in "), "{told:?}");
    }
}
