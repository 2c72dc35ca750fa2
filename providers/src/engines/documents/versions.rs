//! Which version a carried document gets at the side that is written: a version epoch times 2^40, plus the number of the
//! change that it carries. So of two writes of one document the later change always wins there, whichever arrives last,
//! and a write of a dead run can undo nothing.
//!
//! Change numbers of one side say nothing of those of the other, begin anew when a unit is made anew, and are given anew
//! when another copy takes over; versions that clients wrote are whatever they are. Each of these raises the epoch.

use segue_contract::{Direction, StepError};
use serde::{Deserialize, Serialize};

use super::collection::Stand;

/// Bits for change numbers: a million a second for twelve days, or a thousand for thirty-four years.
const NUMBER_BITS: u32 = 40;

/// The version epoch, and what it was chosen for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Versions {
    /// The epoch; 0: nothing was written yet.
    pub(crate) epoch: u64,
    /// Which way documents were carried.
    pub(crate) direction: Option<Direction>,
    /// The incarnation that was read.
    pub(crate) incarnation: String,
    /// The terms of its slices.
    pub(crate) terms: Vec<u64>,
}

impl Versions {
    pub(crate) fn none() -> Self {
        Self { epoch: 0, direction: None, incarnation: String::new(), terms: Vec::new() }
    }

    /// Those of a pass that reads a side which stands so, and writes one in which the highest version is `above`.
    pub(crate) fn next(&self, direction: Direction, read: &Stand, above: u64) -> Self {
        let terms: Vec<u64> = read.slices.iter().map(|slice| slice.term).collect();
        let same =
            self.direction == Some(direction) && self.incarnation == read.incarnation && self.terms == terms;
        // Within one direction what is there was written by Segue, or is found and written over.
        let epoch = if same { self.epoch } else { (self.epoch + 1).max(epoch_above(above)) };
        Self { epoch, direction: Some(direction), incarnation: read.incarnation.clone(), terms }
    }
}

/// The version of a change within an epoch, at most `max`.
pub(crate) fn version(epoch: u64, number: u64, max: u64) -> Result<u64, StepError> {
    let fits = number < 1 << NUMBER_BITS && epoch < 1 << (64 - NUMBER_BITS);
    let version = (epoch << NUMBER_BITS) | number;
    if fits && version <= max {
        return Ok(version);
    }
    Err(StepError::permanent(format!(
        "no version is left above those that are there (epoch {epoch}, change {number}, highest {max})"
    ))
    .remedy("the documents have versions of the application's own that leave no room above them: load into a unit made anew"))
}

/// The first epoch whose versions are all above this one.
pub(crate) fn epoch_above(version: u64) -> u64 {
    (version >> NUMBER_BITS) + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engines::documents::collection::SliceStand;

    fn stand(incarnation: &str, term: u64) -> Stand {
        let slices = vec![SliceStand { term, settled: 5, all: 5 }];
        Stand { incarnation: incarnation.to_owned(), slices }
    }

    #[test]
    fn the_epoch_rises_with_each_turn_incarnation_and_term_and_with_nothing_else() {
        let first = Versions::none().next(Direction::Forward, &stand("a", 1), 7);
        assert_eq!(first.epoch, 1);
        assert_eq!(first.next(Direction::Forward, &stand("a", 1), 7), first);
        let back = first.next(Direction::Reverse, &stand("b", 1), 7);
        assert_eq!(back.epoch, 2);
        let again = back.next(Direction::Forward, &stand("a", 1), 7);
        assert_eq!(again.epoch, 3);
        assert_eq!(again.next(Direction::Forward, &stand("a", 2), 7).epoch, 4);
        assert_eq!(again.next(Direction::Forward, &stand("c", 1), 7).epoch, 4);
        assert_eq!(first.next(Direction::Reverse, &stand("b", 1), 9 << NUMBER_BITS).epoch, 10);
    }

    #[test]
    fn any_version_of_a_later_epoch_is_above_any_of_an_earlier_one_and_above_clients() {
        let max = i64::MAX as u64;
        let late = version(1, (1 << NUMBER_BITS) - 1, max).expect("fits");
        assert!(version(2, 0, max).expect("fits") > late);
        // What a client made of it by a write of its own is still below the next epoch.
        assert_eq!(epoch_above(version(1, 7, max).expect("fits") + 1), 2);
        // Milliseconds since 1970, as applications like to use them.
        let theirs = 1_795_000_000_000;
        assert!(version(epoch_above(theirs), 0, max).expect("fits") > theirs);
        assert!(version(1, 1 << NUMBER_BITS, max).is_err());
        assert!(version(1 << 23, 0, max).is_err());
    }
}
