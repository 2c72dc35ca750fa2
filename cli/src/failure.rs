//! How a command fails: every reason, what to do about each, and the exit code.

use segue_contract::StepError;
use segue_contract::paths::PathError;
use segue_run::execute::{RunError, SocketError};
use segue_run::session::SessionError;

use crate::exit::Exit;
use crate::printer::{Look, Paint, Printer};

/// One thing that went wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reason {
    /// What happened, where; a fragment without a full stop.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) remedy: Option<String>,
}

/// A command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the process ends.
    pub(crate) exit: Exit,
    /// Why; empty when everything has been said already.
    pub(crate) reasons: Vec<Reason>,
}

impl Failure {
    /// An error with one reason.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { exit: Exit::Error, reasons: vec![Reason { message: message.into(), remedy: None }] }
    }

    /// A failure that the user has been told of already.
    pub(crate) fn said(exit: Exit) -> Self {
        Self { exit, reasons: Vec::new() }
    }

    /// Adds what to do next to the last reason.
    #[must_use]
    pub(crate) fn remedy(mut self, remedy: impl Into<String>) -> Self {
        if let Some(reason) = self.reasons.last_mut() {
            reason.remedy = Some(remedy.into());
        }
        self
    }

    /// With another exit code.
    #[must_use]
    pub(crate) fn exit(mut self, exit: Exit) -> Self {
        self.exit = exit;
        self
    }

    /// Everything that went wrong in a run.
    pub(crate) fn of_run(errors: &[RunError]) -> Self {
        Self {
            exit: Exit::of_several(errors.iter().map(RunError::exit_code)),
            reasons: errors.iter().map(|e| Reason { message: e.to_string(), remedy: e.remedy() }).collect(),
        }
    }

    /// Tells all reasons on stderr, the ones of an interruption as a note.
    pub(crate) fn print(&self, printer: &Printer) {
        if !self.reasons.is_empty() {
            printer.say_anyway(&self.text(&printer.talk_look()));
        }
    }

    /// All reasons as text.
    pub(crate) fn text(&self, look: &Look) -> String {
        let mut text = String::new();
        let (word, paint) = match self.exit {
            Exit::Interrupted => ("stopped", Paint::Warning),
            Exit::Stopped => ("waiting", Paint::Warning),
            _ => ("error", Paint::Bad),
        };
        for Reason { message, remedy } in &self.reasons {
            text.push_str(&format!("{}: {message}\n", look.paint(paint, word)));
            if let Some(remedy) = remedy {
                text.push_str(&format!("  {} {remedy}\n", look.paint(Paint::Key, "next:")));
            }
        }
        text
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::of_run(&[error])
    }
}

impl From<Vec<RunError>> for Failure {
    fn from(errors: Vec<RunError>) -> Self {
        Self::of_run(&errors)
    }
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self {
            exit: Exit::from_number(error.exit_code()),
            reasons: vec![Reason { message: error.to_string(), remedy: error.remedy() }],
        }
    }
}

impl From<StepError> for Failure {
    fn from(error: StepError) -> Self {
        Self { exit: Exit::Error, reasons: vec![Reason { message: error.to_string(), remedy: error.remedy }] }
    }
}

impl From<PathError> for Failure {
    fn from(error: PathError) -> Self {
        let remedy = error.remedy();
        Self { exit: Exit::Error, reasons: vec![Reason { message: error.to_string(), remedy }] }
    }
}

impl From<SocketError> for Failure {
    fn from(error: SocketError) -> Self {
        Self::new(error.to_string())
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::new(format!("cannot write JSON: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use segue_contract::{Address, Side, StepError};
    use segue_run::execute::RunError;

    use super::Failure;
    use crate::exit::Exit;
    use crate::printer::Look;

    fn cutover() -> Address {
        Address::new("cutover.site")
    }

    fn error_of(what: &str) -> StepError {
        StepError::permanent(what).remedy("start the service and run the same command again")
    }

    #[test]
    fn each_error_of_a_run_has_its_exit_code() {
        let step = Address::new("cutover.site.gate.approval");
        let table = [
            (
                RunError::BothClosed {
                    cutover: cutover(),
                    error: error_of("x"),
                    by_hand: "/srv/.segue/BY_HAND.txt".into(),
                },
                Exit::Error,
            ),
            (RunError::Setup(StepError::permanent("x")), Exit::Error),
            (RunError::Setup(StepError::cancelled()), Exit::Interrupted),
            (RunError::Step { step: step.clone(), error: error_of("x") }, Exit::Error),
            (RunError::Gate { step: step.clone(), what: "x".into(), remedy: "y".into() }, Exit::Stopped),
            (RunError::Held { cutover: cutover(), reason: "x".into() }, Exit::Stopped),
            (RunError::Aborted { cutover: cutover(), live: Side::Source, reason: "x".into() }, Exit::Aborted),
            (RunError::Missing { step: step.clone(), total: 1, first: "a".into() }, Exit::Mismatch),
            (RunError::LeftOut { step: step.clone(), total: 1, first: "a".into() }, Exit::Stopped),
            (RunError::Mismatch { step, total: 1, first: "a".into() }, Exit::Mismatch),
            (RunError::Interrupted, Exit::Interrupted),
        ];
        for (error, wanted) in table {
            let said = error.to_string();
            assert_eq!(Failure::from(error).exit, wanted, "{said}");
        }
    }

    #[test]
    fn all_errors_of_a_run_are_told_with_what_to_do_next() {
        let errors = vec![
            RunError::Aborted {
                cutover: cutover(),
                live: Side::Source,
                reason: "the probe got a write through".into(),
            },
            RunError::BothClosed {
                cutover: Address::new("cutover.shop"),
                error: error_of("cannot run ./app start"),
                by_hand: "/srv/.segue/BY_HAND.txt".into(),
            },
        ];
        let failure = Failure::from(errors);
        assert_eq!(failure.exit, Exit::Error);
        assert_snapshot!(failure.text(&Look::plain()), @r"
        error: cutover.site was aborted, the source serves: the probe got a write through
          next: mend the cause, then `segue unhold cutover.site` and apply again
        error: cutover.shop: BOTH SIDES ARE CLOSED: cannot run ./app start
          next: start the service and run the same command again
        ");
    }
}
