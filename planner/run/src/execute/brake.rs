//! What slows a run down on somebody's wish: a pause, and limits in bytes a second. Each says who wished it, since
//! when and why; none outlives the run.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use segue_contract::Address;
use segue_plan::event::rate_text;
use serde::{Deserialize, Serialize};

use super::rate::Rate;
use crate::clock::rfc3339;

/// Limits of people at a time: one for each of a wave of migrations and one for all, and never more than a screen.
pub(super) const WISHED_MAX: usize = 64;

/// Everything that slows a run down on somebody's wish now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Brakes {
    /// Running steps take no more work.
    pub paused: Option<Paused>,
    /// The limits that count.
    pub limits: Vec<Limit>,
}

/// A pause on somebody's wish.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Paused {
    /// By whom.
    pub by: String,
    /// Wall clock, milliseconds.
    pub since_ms: i64,
    /// Why, where it was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A limit in bytes a second.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The migration; `None`: all of them together.
    pub migration: Option<Address>,
    /// Bytes a second.
    pub bytes_per_s: u64,
    /// Where it comes from.
    pub why: Why,
}

/// Where a limit comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case")]
pub enum Why {
    /// `load { rate_limit }` in the spec, or `segue { rate_limit }` for all together.
    Spec,
    /// `segue throttle`.
    Person {
        /// By whom.
        by: String,
        /// Wall clock, milliseconds.
        since_ms: i64,
        /// Why, where it was said.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<String>,
    },
}

impl Brakes {
    /// Nothing slows it down.
    pub fn is_empty(&self) -> bool {
        self.paused.is_none() && self.limits.is_empty()
    }

    /// One sentence each, the most urgent first.
    pub fn lines(&self) -> Vec<String> {
        let paused = self.paused.iter().map(ToString::to_string);
        paused.chain(self.limits.iter().map(ToString::to_string)).collect()
    }
}

/// To the second: nobody types faster.
fn since(ms: i64) -> String {
    rfc3339(ms.div_euclid(1000) * 1000).replace(".000Z", "Z")
}

/// `: backup until 9`, or nothing.
fn because(why: Option<&String>) -> String {
    why.map(|why| format!(": {why}")).unwrap_or_default()
}

impl fmt::Display for Paused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "paused by {} since {}{}", self.by, since(self.since_ms), because(self.why.as_ref()))
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(migration) = &self.migration {
            write!(f, "{migration}: ")?;
        }
        write!(f, "throttled to {}", rate_text(self.bytes_per_s))?;
        match &self.why {
            Why::Spec if self.migration.is_none() => f.write_str(" together (spec: segue.rate_limit)"),
            Why::Spec => f.write_str(" (spec: load.rate_limit)"),
            Why::Person { by, since_ms, why } => {
                write!(f, " by {by} since {}{}", since(*since_ms), because(why.as_ref()))
            }
        }
    }
}

/// The limits of a run, each with the bucket that everybody whom it is for takes from.
#[derive(Debug, Default)]
pub(super) struct Limits {
    /// Of a person, for all migrations together (`None`) or for one.
    wished: BTreeMap<Option<Address>, (Limit, Arc<Rate>)>,
    /// Of the spec.
    declared: BTreeMap<Address, (u64, Arc<Rate>)>,
    /// Of the spec, for all of them together.
    overall: Option<(u64, Arc<Rate>)>,
}

impl Limits {
    /// Sets, replaces or takes back a person's limit. `None` for all takes those for one back, too. `false`: there
    /// are [`WISHED_MAX`] already.
    pub(super) fn wish(&mut self, migration: Option<Address>, wish: Option<(u64, Why)>) -> bool {
        match wish {
            None if migration.is_none() => self.wished.clear(),
            None => {
                self.wished.remove(&migration);
            }
            Some(_) if self.wished.len() >= WISHED_MAX && !self.wished.contains_key(&migration) => {
                return false;
            }
            Some((bytes_per_s, why)) => {
                let limit = Limit { migration: migration.clone(), bytes_per_s, why };
                self.wished.insert(migration, (limit, Arc::new(Rate::new(bytes_per_s))));
            }
        }
        true
    }

    /// Notes what the spec declares for a migration. Returns whether that was not known.
    pub(super) fn declare(&mut self, migration: &Address, bytes_per_s: Option<u64>) -> bool {
        let known = self.declared.get(migration).map(|(rate, _)| *rate);
        match bytes_per_s {
            same if same == known => return false,
            None => {
                self.declared.remove(migration);
            }
            Some(rate) => {
                self.declared.insert(migration.clone(), (rate, Arc::new(Rate::new(rate))));
            }
        }
        true
    }

    /// Notes what the spec declares for all migrations together.
    pub(super) fn declare_overall(&mut self, bytes_per_s: Option<u64>) {
        self.overall = bytes_per_s.map(|rate| (rate, Arc::new(Rate::new(rate))));
    }

    /// The buckets for a migration, from each of which it takes: a person's for it, a person's for all, or the spec's for
    /// it; and the spec's for all, unless a person set one for all.
    pub(super) fn buckets(&self, migration: &Address) -> Vec<Arc<Rate>> {
        let for_all = self.wished.get(&None).map(|(_, rate)| rate);
        let wished = self.wished.get(&Some(migration.clone())).map(|(_, rate)| rate).or(for_all);
        let own = wished.or_else(|| self.declared.get(migration).map(|(_, rate)| rate));
        let overall = self.overall.as_ref().map(|(_, rate)| rate).filter(|_| for_all.is_none());
        own.into_iter().chain(overall).cloned().collect()
    }

    /// The limits that count.
    pub(super) fn list(&self) -> Vec<Limit> {
        let mut limits: Vec<Limit> = self.wished.values().map(|(limit, _)| limit.clone()).collect();
        if !self.wished.contains_key(&None) {
            limits.extend(self.overall.iter().map(|(bytes_per_s, _)| Limit {
                migration: None,
                bytes_per_s: *bytes_per_s,
                why: Why::Spec,
            }));
            let declared =
                self.declared.iter().filter(|(m, _)| !self.wished.contains_key(&Some((*m).clone())));
            limits.extend(declared.map(|(migration, (bytes_per_s, _))| Limit {
                migration: Some(migration.clone()),
                bytes_per_s: *bytes_per_s,
                why: Why::Spec,
            }));
        }
        limits
    }
}

/// A pause, and how long the run was paused in all.
#[derive(Debug, Default)]
pub(super) struct Halt {
    pub(super) now: Option<(Paused, Instant)>,
    before: Duration,
}

impl Halt {
    /// Whoever paused first stays the one who did, since then: paused is a goal, and asked for again it is reached.
    pub(super) fn begin(&mut self, paused: Paused) {
        self.now.get_or_insert_with(|| (paused, Instant::now()));
    }

    /// Returns whether it was paused.
    pub(super) fn end(&mut self) -> bool {
        match self.now.take() {
            Some((_, since)) => {
                self.before += since.elapsed();
                true
            }
            None => false,
        }
    }

    pub(super) fn in_all(&self) -> Duration {
        self.before + self.now.as_ref().map_or(Duration::ZERO, |(_, since)| since.elapsed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(rate: u64) -> Option<(u64, Why)> {
        Some((rate, Why::Person { by: "alice@a".to_owned(), since_ms: 1_769_851_800_125, why: None }))
    }

    #[test]
    fn there_are_only_so_many_limits_and_one_that_is_there_can_be_changed() {
        let mut limits = Limits::default();
        let number = |n: usize| Some(Address::new(format!("migration.m{n}")));
        assert!((0..WISHED_MAX).all(|n| limits.wish(number(n), wish(5))));
        assert!(!limits.wish(number(WISHED_MAX), wish(5)) && !limits.wish(None, wish(5)));
        assert!(limits.wish(number(7), wish(9)), "a known one is replaced");
        assert_eq!(limits.list().len(), WISHED_MAX);
        assert!(limits.wish(number(7), None) && limits.wish(number(WISHED_MAX), wish(5)));
    }

    #[test]
    fn a_reason_is_part_of_the_sentence() {
        let paused =
            Paused { by: "bob@b".to_owned(), since_ms: 1_769_851_800_125, why: Some("backup".to_owned()) };
        assert_eq!(paused.to_string(), "paused by bob@b since 2026-01-31T09:30:00Z: backup");
        let why = Why::Person { by: "bob@b".to_owned(), since_ms: 1_769_851_800_125, why: paused.why };
        let limit = Limit { migration: None, bytes_per_s: 5 << 20, why };
        assert_eq!(limit.to_string(), "throttled to 5 MiB/s by bob@b since 2026-01-31T09:30:00Z: backup");
    }

    fn only(limits: &Limits, migration: &Address) -> Arc<Rate> {
        let buckets = limits.buckets(migration);
        assert_eq!(buckets.len(), 1);
        Arc::clone(&buckets[0])
    }

    #[test]
    fn a_persons_limit_counts_before_the_specs_and_one_for_a_migration_before_one_for_all() {
        let (a, b) = (Address::new("migration.a"), Address::new("migration.b"));
        let mut limits = Limits::default();
        assert!(limits.buckets(&a).is_empty());
        assert!(limits.declare(&a, Some(50 << 20)) && !limits.declare(&a, Some(50 << 20)));
        let spec = only(&limits, &a);
        limits.wish(None, wish(5 << 20));
        assert!(!Arc::ptr_eq(&spec, &only(&limits, &a)));
        assert!(Arc::ptr_eq(&only(&limits, &b), &only(&limits, &a)), "all together");
        limits.wish(Some(a.clone()), wish(1 << 20));
        assert!(!Arc::ptr_eq(&only(&limits, &b), &only(&limits, &a)));
        let said: Vec<String> = limits.list().iter().map(ToString::to_string).collect();
        assert_eq!(
            said,
            [
                "throttled to 5 MiB/s by alice@a since 2026-01-31T09:30:00Z",
                "migration.a: throttled to 1 MiB/s by alice@a since 2026-01-31T09:30:00Z"
            ]
        );
        limits.wish(None, None);
        assert!(Arc::ptr_eq(&spec, &only(&limits, &a)));
        assert_eq!(
            limits.list()[0].to_string(),
            "migration.a: throttled to 50 MiB/s (spec: load.rate_limit)"
        );
    }

    #[test]
    fn the_specs_limit_for_all_is_one_bucket_and_holds_beside_each_migrations_own() {
        let (a, b) = (Address::new("migration.a"), Address::new("migration.b"));
        let mut limits = Limits::default();
        limits.declare_overall(Some(100 << 20));
        let all = only(&limits, &a);
        assert!(Arc::ptr_eq(&all, &only(&limits, &b)), "together, not each");
        limits.declare(&a, Some(50 << 20));
        let of_a = limits.buckets(&a);
        assert!(of_a.len() == 2 && Arc::ptr_eq(&of_a[1], &all) && !Arc::ptr_eq(&of_a[0], &all));
        limits.wish(Some(b.clone()), wish(1 << 20));
        assert!(limits.buckets(&b).iter().any(|rate| Arc::ptr_eq(rate, &all)));
        assert!(
            limits
                .list()
                .iter()
                .any(|l| l.to_string() == "throttled to 100 MiB/s together (spec: segue.rate_limit)")
        );
        limits.wish(None, wish(1 << 20));
        assert!(!limits.buckets(&a).iter().any(|rate| Arc::ptr_eq(rate, &all)), "a person's word counts");
    }
}
