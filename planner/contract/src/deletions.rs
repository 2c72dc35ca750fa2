//! How many deletions a pass makes without asking (protocol P28): an emptied side must not empty the other one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::StepError;

/// Without a limit of the spec, so many may always go: a tidied directory is no accident.
const ALWAYS: u64 = 100;
/// Keys that are named when a pass stops.
const NAMED: usize = 5;
/// Characters of each: the state keeps them.
const NAME_MAX: usize = 200;

/// `sync { max_deletions }`: so many records of a unit may go in one pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MaxDeletions {
    /// `500`
    Records(u64),
    /// `"20%"`: of the records of the unit before the pass.
    Percent(u8),
}

impl MaxDeletions {
    /// Reads `500` or `20%`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.trim().strip_suffix('%') {
            Some(share) => share.trim().parse().ok().filter(|p| *p <= 100).map(Self::Percent),
            None => text.trim().parse().ok().map(Self::Records),
        }
    }
}

impl fmt::Display for MaxDeletions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Records(records) => write!(f, "{records} records"),
            Self::Percent(share) => write!(f, "{share} % of the records"),
        }
    }
}

/// What a job may delete without asking.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeletionTerms {
    /// The spec's limit. `None`: 100 records, and half of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<MaxDeletions>,
    /// A person accepted so many, from the ledger that the job has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<u64>,
}

impl DeletionTerms {
    /// Whether nothing was said: the default limit holds.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a pass may delete so many of the `known` records of its ledger. All of them never go without asking.
    pub fn allow(&self, deletions: u64, known: u64) -> bool {
        if deletions == 0 || self.accepted.is_some_and(|most| deletions <= most) {
            return true;
        }
        let within = match self.max {
            None => deletions <= ALWAYS || deletions <= known / 2,
            Some(MaxDeletions::Records(most)) => deletions <= most,
            Some(MaxDeletions::Percent(share)) => {
                u128::from(deletions) * 100 <= u128::from(known) * u128::from(share)
            }
        };
        within && deletions < known
    }

    /// Stops a pass that would delete more.
    ///
    /// # Errors
    /// One whose source is [`TooManyDeletions`].
    pub fn check(&self, found: &Deletions, known: u64) -> Result<(), StepError> {
        if self.allow(found.count, known) {
            return Ok(());
        }
        let stop = TooManyDeletions { deletions: found.count, known, first: found.first.clone() };
        Err(StepError::permanent("the pass stops before its first deletion").because(stop))
    }

    /// The limit, a phrase: `more than 500 records, or all`.
    pub fn limit(&self) -> String {
        match self.max {
            None => format!("more than half of the records and more than {ALWAYS}, or all"),
            Some(max) => format!("more than {max}, or all"),
        }
    }
}

/// Deletions that a pass found, before it makes them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deletions {
    /// How many.
    pub count: u64,
    /// The first few.
    pub first: Vec<String>,
}

impl Deletions {
    /// Counts one, and names it while there is room.
    pub fn add(&mut self, key: impl FnOnce() -> String) {
        self.count += 1;
        if self.first.len() < NAMED {
            let key = key();
            let cut = key.char_indices().nth(NAME_MAX).map(|(at, _)| at);
            self.first
                .push(cut.and_then(|at| key.get(..at)).map_or(key.clone(), |start| format!("{start}...")));
        }
    }
}

/// Why a pass stopped: it would delete more than its terms allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TooManyDeletions {
    /// How many it would delete.
    pub deletions: u64,
    /// Of how many records.
    pub known: u64,
    /// The first few.
    pub first: Vec<String>,
}

impl fmt::Display for TooManyDeletions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { deletions, known, first } = self;
        write!(f, "{deletions} of {known} records would be deleted: {}", first.join(", "))?;
        if *deletions > first.len() as u64 { f.write_str(", ...") } else { Ok(()) }
    }
}

impl std::error::Error for TooManyDeletions {}

impl StepError {
    /// What would be deleted, where that is why the step stopped.
    pub fn too_many_deletions(&self) -> Option<&TooManyDeletions> {
        self.source.as_deref()?.downcast_ref()
    }
}

/// What a reverse pass deleted at the declared source and kept aside.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptDeleted {
    /// Below the artifact directory.
    pub place: String,
    /// Records kept there by this pass.
    pub records: u64,
    /// Records that were deleted and not kept, for there was no room.
    #[serde(default)]
    pub not_kept: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_asks_before_all_more_than_half_or_more_than_the_limit_goes() {
        let terms =
            |max: Option<&str>| DeletionTerms { max: max.and_then(MaxDeletions::parse), accepted: None };
        let table = [
            (None, 0, 0, true),
            (None, 1, 1, false),
            (None, 6, 6, false),
            (None, 5, 6, true),
            (None, 100, 101, true),
            (None, 101, 150, false),
            (None, 101, 202, true),
            (None, 102, 203, false),
            (Some("500"), 500, 501, true),
            (Some("500"), 501, 10_000, false),
            (Some("0"), 1, 10_000, false),
            (Some("0"), 0, 10, true),
            (Some("20%"), 20, 100, true),
            (Some("20%"), 21, 100, false),
            (Some("100%"), 99, 100, true),
            (Some("100%"), 100, 100, false),
        ];
        for (max, deletions, known, allowed) in table {
            assert_eq!(terms(max).allow(deletions, known), allowed, "{max:?}: {deletions} of {known}");
        }
        let accepted = DeletionTerms { accepted: Some(6), ..terms(Some("0")) };
        assert!(accepted.allow(6, 6) && !accepted.allow(7, 100), "what was accepted, and no more");
        assert_eq!(MaxDeletions::parse("101%"), None);
        assert_eq!(MaxDeletions::parse("some"), None);
    }

    #[test]
    fn the_error_says_how_many_of_how_many_and_the_first() {
        let mut found = Deletions::default();
        (0..7).for_each(|n| found.add(|| format!("f{n}")));
        let error = DeletionTerms::default().check(&found, 7).expect_err("all would go");
        assert_eq!(
            error.to_string(),
            "the pass stops before its first deletion: 7 of 7 records would be deleted: f0, f1, f2, f3, f4, ..."
        );
        assert_eq!(error.too_many_deletions().map(|stop| (stop.deletions, stop.known)), Some((7, 7)));
        assert_eq!(StepError::permanent("else").too_many_deletions(), None);
    }
}
