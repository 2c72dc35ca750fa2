//! Exit codes: what a script learns from a command without reading a word of it.

use std::process::ExitCode;

/// How a command ended. The numbers are an interface: they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Something failed.
    Error,
    /// `plan --detailed-exitcode`: there are changes.
    Changes,
    /// Stopped at a gate, or held.
    Stopped,
    /// Something drifted, and nothing else is to do.
    Drift,
    /// A cutover was aborted; the side that served never left.
    Aborted,
    /// The state is locked by another process.
    Locked,
    /// It was switched and went back.
    WentBack,
    /// A verification found differences.
    Mismatch,
    /// The command line makes no sense.
    Usage,
    /// Interrupted; the same command goes on from there.
    Interrupted,
}

impl Exit {
    /// Every way to end.
    #[cfg(test)]
    pub(crate) const ALL: [Self; 11] = [
        Self::Done,
        Self::Error,
        Self::Changes,
        Self::Stopped,
        Self::Drift,
        Self::Aborted,
        Self::Locked,
        Self::WentBack,
        Self::Mismatch,
        Self::Usage,
        Self::Interrupted,
    ];

    /// The number.
    pub(crate) fn number(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::Stopped => 3,
            Self::Drift => 4,
            Self::Aborted => 5,
            Self::Locked => 6,
            Self::WentBack => 7,
            Self::Mismatch => 8,
            Self::Usage => 64,
            Self::Interrupted => 130,
        }
    }

    /// For `main`.
    pub(crate) fn code(self) -> ExitCode {
        ExitCode::from(self.number())
    }

    /// What a number from another room means; one that is not in the table is an error.
    pub(crate) fn from_number(number: i32) -> Self {
        match number {
            0 => Self::Done,
            2 => Self::Changes,
            3 => Self::Stopped,
            4 => Self::Drift,
            5 => Self::Aborted,
            6 => Self::Locked,
            7 => Self::WentBack,
            8 => Self::Mismatch,
            64 => Self::Usage,
            130 => Self::Interrupted,
            _ => Self::Error,
        }
    }

    /// How loudly it speaks when several things went wrong at once: the one that needs a person first.
    fn rank(self) -> u8 {
        match self {
            Self::Error => 10,
            Self::Locked => 9,
            Self::WentBack => 8,
            Self::Aborted => 7,
            Self::Mismatch => 6,
            Self::Stopped => 5,
            Self::Usage => 4,
            Self::Interrupted => 3,
            Self::Changes => 2,
            Self::Drift => 1,
            Self::Done => 0,
        }
    }

    /// The exit code of a run in which several things went wrong.
    pub(crate) fn of_several(numbers: impl IntoIterator<Item = i32>) -> Self {
        numbers.into_iter().map(Self::from_number).max_by_key(|exit| exit.rank()).unwrap_or(Self::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn every_exit_code_survives_the_way_there_and_back() {
        for exit in Exit::ALL {
            assert_eq!(Exit::from_number(i32::from(exit.number())), exit);
        }
        assert_eq!(Exit::from_number(99), Exit::Error);
    }

    #[test]
    fn of_several_the_one_that_needs_a_person_first_wins() {
        for (numbers, wanted) in [
            (&[130, 3, 8, 5, 7, 1][..], Exit::Error),
            (&[130, 3, 8, 5, 7], Exit::WentBack),
            (&[130, 3, 8, 5], Exit::Aborted),
            (&[130, 3, 8], Exit::Mismatch),
            (&[130, 3], Exit::Stopped),
            (&[130], Exit::Interrupted),
            (&[], Exit::Done),
        ] {
            assert_eq!(Exit::of_several(numbers.iter().copied()), wanted, "{numbers:?}");
        }
    }
}
