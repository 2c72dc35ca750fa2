//! Randomness that can be repeated: every test that uses it prints its seed, and `SEGUE_TESTS_SEED` gives it back.

use std::hash::{BuildHasher, RandomState};
use std::io::Write;
use std::time::Duration;

/// Numbers from a seed (splitmix64).
pub struct Random(u64);

impl Random {
    /// From `SEGUE_TESTS_SEED`, or a seed of its own; printed, so that a failure can be repeated.
    pub fn seeded(test: &str) -> Self {
        crate::timing::watch();
        let given = std::env::var("SEGUE_TESTS_SEED").ok().and_then(|s| s.parse().ok());
        let seed = given.unwrap_or_else(|| RandomState::new().hash_one(test) >> 16);
        say(&format!("{test}: SEGUE_TESTS_SEED={seed}"));
        Self(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound; 0 for a bound of 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.number() % bound.max(1)
    }

    /// A duration below a bound.
    pub fn time_below(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl From<u64> for Random {
    /// The numbers of a seed.
    fn from(seed: u64) -> Self {
        Self(seed)
    }
}

/// `short` rounds, or `long` ones with `SEGUE_TESTS_LONG`.
pub fn rounds(short: usize, long: usize) -> usize {
    if std::env::var_os("SEGUE_TESTS_LONG").is_some() { long } else { short }
}

/// Says something that a test run shows although the test passes: seeds, and what was not run and why.
pub fn say(text: &str) {
    // Not by a macro: the test runner keeps what those print to itself.
    let _ = writeln!(std::io::stderr(), "{text}");
}
