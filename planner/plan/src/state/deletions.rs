//! A pass that stopped before its first deletion, and what a person let go (protocol P28).

use segue_contract::{Address, ArtifactName, Direction, TooManyDeletions};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::State;

/// Digits of the hash that is shown and typed.
const HASH_DIGITS: usize = 12;

/// What a pass that stopped would have deleted. It is over with the next pass that completes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AskedDeletions {
    /// Which way it carried.
    pub direction: Direction,
    /// The ledger that it began from.
    pub ledger: ArtifactName,
    /// How many it would have deleted.
    pub deletions: u64,
    /// Of how many records.
    pub known: u64,
    /// The first few.
    pub first: Vec<String>,
    /// So many may go since a person accepted it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<u64>,
}

impl AskedDeletions {
    /// Of a pass that stopped.
    pub fn new(direction: Direction, ledger: ArtifactName, stop: &TooManyDeletions) -> Self {
        let TooManyDeletions { deletions, known, first } = stop;
        Self { direction, ledger, deletions: *deletions, known: *known, first: first.clone(), accepted: None }
    }

    /// What is typed to accept it: it names the unit, the direction and the ledger, not the number.
    pub fn hash(&self, migration: &Address, unit: &str) -> String {
        let text = format!("{migration}\n{unit}\n{}\n{}", self.direction.from(), self.ledger);
        let digest = Sha256::digest(text.as_bytes());
        digest
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
            .chars()
            .take(HASH_DIGITS)
            .collect()
    }

    /// What an acceptance allows: the number that was shown, and a tenth more, for clients go on meanwhile.
    pub fn allowance(&self) -> u64 {
        self.deletions.saturating_add(self.deletions / 10)
    }
}

impl State {
    /// Every pass that stopped and still waits, or was accepted and did not come through yet: migration, unit, what it
    /// would delete.
    pub fn asked_deletions(&self) -> impl Iterator<Item = (&Address, &str, &AskedDeletions)> {
        self.migrations.iter().flat_map(|(address, migration)| {
            let units = migration.units.iter();
            units.filter_map(move |(unit, known)| {
                Some((address, unit.as_str(), known.asked_deletions.as_ref()?))
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_names_unit_direction_and_ledger_and_allows_a_tenth_more() {
        let asked = |direction, ledger: &str, deletions| AskedDeletions {
            direction,
            ledger: ArtifactName(ledger.to_owned()),
            deletions,
            known: 1000,
            first: Vec::new(),
            accepted: None,
        };
        let site = Address::new("migration.site");
        let one = asked(Direction::Reverse, "l1", 200).hash(&site, "tree");
        assert_eq!(one.len(), HASH_DIGITS);
        assert_eq!(one, asked(Direction::Reverse, "l1", 300).hash(&site, "tree"), "not the number");
        let others = [
            asked(Direction::Forward, "l1", 200).hash(&site, "tree"),
            asked(Direction::Reverse, "l2", 200).hash(&site, "tree"),
            asked(Direction::Reverse, "l1", 200).hash(&site, "other"),
            asked(Direction::Reverse, "l1", 200).hash(&Address::new("migration.b"), "tree"),
        ];
        assert!(others.iter().all(|other| *other != one));
        assert_eq!(asked(Direction::Forward, "l1", 209).allowance(), 229);
        assert_eq!(asked(Direction::Forward, "l1", 6).allowance(), 6);
    }
}
