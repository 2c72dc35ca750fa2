//! What running steps may ask: cancel, progress, checkpoints, the rate limit, secrets.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use segue_contract::{
    Address, Checkpoint, ErrorClass, Finding, PassReport, Progress, Secret, SecretRef, StepError, StepIo,
    UnitJob,
};
use segue_language::Secrets;
use segue_plan::event::Event;

use super::retry::STEP_DEADLINE;
use super::{Ground, RunEvent, deletions};

/// Sleeps of the rate limit are cut into slices of this length, so that a cancel is seen.
const SLICE: Duration = Duration::from_millis(50);

/// When a step has to stop although nobody asked the whole run to.
#[derive(Clone, Debug, Default)]
pub(super) enum Until {
    /// A stop asked from outside ends it.
    #[default]
    Stopped,
    /// A stop, an abort of this cutover, or the deadline on the boot clock (milliseconds) ends it.
    Deadline(Address, u64),
    /// A stop ends it, and this flag: what it does is wanted no more.
    Flag(Arc<AtomicBool>),
    /// Nothing ends it: both sides are closed, or one is being re-opened.
    Never,
}

impl Until {
    /// How long what fails may be tried again: inside a pause, no longer than the pause may last.
    pub(super) fn time_left(&self, ground: &Ground) -> Duration {
        match self {
            Self::Stopped | Self::Flag(_) | Self::Never => STEP_DEADLINE,
            Self::Deadline(_, at_ms) => {
                Duration::from_millis(at_ms.saturating_sub(ground.clock.boot_ms())).min(STEP_DEADLINE)
            }
        }
    }
}

/// The executor's side of a running step.
pub(super) struct Io<'a> {
    ground: &'a Ground,
    step: Address,
    until: Until,
    /// The migration whose data it carries, which can be paused and throttled, and the unit: units share a limit.
    carries: Option<(Address, String)>,
    rested: Mutex<Rested>,
}

/// How long a step was made to wait, by whichever of its threads.
#[derive(Debug, Default)]
struct Rested {
    waiting: u32,
    since: Option<Instant>,
    in_all: Duration,
}

impl<'a> Io<'a> {
    /// For a step that a stop ends.
    pub(super) fn new(ground: &'a Ground, step: &Address) -> Self {
        Self { ground, step: step.clone(), until: Until::Stopped, carries: None, rested: Mutex::default() }
    }

    /// With another end.
    pub(super) fn until(mut self, until: Until) -> Self {
        self.until = until;
        self
    }

    /// For carrying a unit's data: it can be paused and throttled, and the spec's limit counts. Inside a cutover's
    /// pause none of that holds: clients wait.
    pub(super) fn carrying(mut self, job: &UnitJob) -> Self {
        if self.ground.control.declare_limit(&job.migration, job.load.rate_limit) {
            self.ground.tell(&RunEvent::Slowed { brakes: self.ground.control.brakes() });
        }
        self.carries = Some((job.migration.clone(), format!("{} {}", job.migration, job.unit)));
        self
    }

    /// The report with the time in which it worked: estimates of a pause, in which nothing is throttled, rest on it.
    pub(super) fn worked(&self, mut report: PassReport) -> PassReport {
        let rested = self.rested.lock().unwrap_or_else(PoisonError::into_inner).in_all;
        let mut rested_us = u64::try_from(rested.as_micros()).unwrap_or(u64::MAX);
        for term in [&mut report.times.apply_us, &mut report.times.scan_us, &mut report.times.sync_us] {
            let taken = rested_us.min(*term);
            *term -= taken;
            rested_us -= taken;
        }
        report
    }

    fn wait_while_paused(&self) {
        if self.ground.control.paused() {
            self.rest(|| self.ground.control.wait_while_paused());
        }
    }

    /// Waits, and notes for how long some thread of the step did.
    fn rest<T>(&self, wait: impl FnOnce() -> T) -> T {
        let lock = || self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        {
            let mut rested = lock();
            rested.waiting += 1;
            rested.since.get_or_insert_with(Instant::now);
        }
        let done = wait();
        let mut rested = lock();
        rested.waiting -= 1;
        if rested.waiting == 0
            && let Some(since) = rested.since.take()
        {
            rested.in_all += since.elapsed();
        }
        done
    }

    fn brakes_hold(&self) -> Option<&(Address, String)> {
        match self.until {
            Until::Stopped | Until::Flag(_) => self.carries.as_ref(),
            Until::Deadline(..) | Until::Never => None,
        }
    }
}

impl StepIo for Io<'_> {
    fn cancelled(&self) -> bool {
        if self.brakes_hold().is_some() {
            // Between two records: where a step may stop it may rest, too.
            self.wait_while_paused();
        }
        match &self.until {
            Until::Stopped => self.ground.control.stopping(),
            Until::Deadline(cutover, at_ms) => {
                self.ground.control.stopping()
                    || self.ground.clock.boot_ms() >= *at_ms
                    || self.ground.control.abort_of(cutover).is_some()
            }
            Until::Flag(flag) => flag.load(Ordering::SeqCst) || self.ground.control.stopping(),
            Until::Never => false,
        }
    }

    fn progress(&self, progress: Progress) {
        self.ground.tell(&RunEvent::StepProgress { step: self.step.clone(), progress });
    }

    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), StepError> {
        if checkpoint.bytes.len() > Checkpoint::BYTES_MAX {
            return Err(StepError::permanent(format!(
                "a checkpoint of {} has {} bytes, {} are allowed",
                self.step,
                checkpoint.bytes.len(),
                Checkpoint::BYTES_MAX
            )));
        }
        let event = Event::StepCheckpointed { step: self.step.clone(), checkpoint };
        self.ground.record(event).map_err(|e| StepError::permanent(e.to_string()))
    }

    fn take(&self, bytes: u64) {
        let Some((migration, unit)) = self.brakes_hold() else { return };
        self.wait_while_paused();
        let control = &self.ground.control;
        for rate in control.limits_of(migration) {
            let wanted = rate.ask(unit, bytes);
            while let Some(wait) = wanted.take() {
                // A limit that was changed meanwhile counts at once: the old one is not waited for.
                let same = control.limits_of(migration).iter().any(|now| Arc::ptr_eq(now, &rate));
                if self.cancelled() || !same {
                    break;
                }
                self.rest(|| control.sleep(wait.min(SLICE)));
            }
        }
    }

    fn waits(&self, for_what: &str, next_try: Duration) {
        let after_ms = u64::try_from(next_try.as_millis()).unwrap_or(u64::MAX);
        let (step, message) = (self.step.clone(), for_what.to_owned());
        self.ground.tell(&RunEvent::retried(step, message, after_ms, None));
    }

    fn artifacts(&self) -> &Path {
        &self.ground.artifacts
    }

    fn keeping_deleted(&self, migration: &Address, below: &str) -> Result<(), StepError> {
        deletions::keeping(self.ground, migration, below).map_err(|e| StepError::permanent(e.to_string()))
    }

    fn secret(&self, secret: &SecretRef) -> Result<Secret, StepError> {
        find_secret(&self.ground.secrets, secret)
    }

    fn find(&self, finding: Finding) {
        // Each pass comes across the same.
        if !self.ground.board.is_new(&finding) {
            return;
        }
        let event = Event::Found { step: self.step.clone(), finding: finding.clone() };
        if let Err(error) = self.ground.record(event) {
            self.ground.tell(&RunEvent::Said { text: format!("a finding could not be recorded: {error}") });
        }
        self.ground.tell(&RunEvent::Found { step: self.step.clone(), finding });
    }

    fn yes_or_no(&self, question: &str) -> Result<bool, StepError> {
        match self.ground.listener.yes_or_no(question, &|| self.cancelled()) {
            Some(answer) => Ok(answer),
            None if self.cancelled() => Err(StepError::cancelled()),
            None => Err(StepError::permanent(format!(
                "{} needs a person's answer, and there is nobody to ask",
                self.step
            ))
            .remedy("run the command in a terminal")),
        }
    }
}

fn find_secret(secrets: &Secrets, secret: &SecretRef) -> Result<Secret, StepError> {
    if let Some(found) = secrets.values.get(secret) {
        return Ok(found.clone());
    }
    match secret {
        SecretRef::Env(name) => std::env::var(name).map(Secret::new).map_err(|_| {
            StepError::permanent(format!("{secret} is not set"))
                .remedy(format!("export {name} and run the same command again"))
        }),
        SecretRef::Spec { .. } => Err(StepError::permanent(format!("the value of {secret} is not known"))
            .remedy("give the sensitive variables again, as with the first command")),
    }
}

/// For observing before a plan: nothing is recorded, findings are gathered.
pub struct ObserveIo {
    artifacts: PathBuf,
    secrets: Secrets,
    found: Mutex<Vec<Finding>>,
}

impl ObserveIo {
    /// Observes with the artifacts of a state directory.
    pub fn new(artifacts: PathBuf, secrets: Secrets) -> Self {
        Self { artifacts, secrets, found: Mutex::new(Vec::new()) }
    }

    /// What was found meanwhile.
    pub fn findings(&self) -> Vec<Finding> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl StepIo for ObserveIo {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: Progress) {}
    fn checkpoint(&self, _: Checkpoint) -> Result<(), StepError> {
        Err(StepError {
            class: ErrorClass::Permanent,
            ..StepError::permanent("observation has no checkpoints")
        })
    }
    fn take(&self, _: u64) {}
    fn artifacts(&self) -> &Path {
        &self.artifacts
    }
    fn secret(&self, secret: &SecretRef) -> Result<Secret, StepError> {
        find_secret(&self.secrets, secret)
    }
    fn find(&self, finding: Finding) {
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(finding);
    }
    fn yes_or_no(&self, _: &str) -> Result<bool, StepError> {
        Err(StepError::permanent("observation asks nobody"))
    }
}
