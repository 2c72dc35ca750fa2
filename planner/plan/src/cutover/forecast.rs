//! Lag, convergence and predicted downtime (protocol P25, P26): arithmetic over measured passes.

use segue_contract::PassTimes;
use serde::{Deserialize, Serialize};

use crate::event::{BootTime, RehearsalReport};
use crate::state::{PassRecord, PauseTerm, UnitState};

/// An upper bound of the age of the oldest source change that is not yet at the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Lag {
    /// Milliseconds: now less the start of the last completed pass.
    Ms(u64),
    /// No pass is complete, or the machine was booted since.
    Unknown,
}

impl Lag {
    /// The lag of a unit.
    pub fn of(unit: &UnitState, now: &BootTime) -> Self {
        match unit.passes.last().and_then(|pass| now.since(&pass.began_boot)) {
            Some(ms) => Self::Ms(ms),
            None => Self::Unknown,
        }
    }
}

/// One term of the predicted downtime.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DowntimeTerm {
    /// `drain`, `catch up`, ...
    pub name: String,
    /// Milliseconds, the 90th percentile of what was measured.
    pub ms: u64,
    /// Where the number comes from: `3 pauses`, `12 passes`, `assumed`.
    pub basis: String,
}

/// The predicted downtime: from QUIESCING to the first write accepted through the route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The terms, in order.
    pub terms: Vec<DowntimeTerm>,
}

impl Forecast {
    /// The sum, in milliseconds.
    pub fn total_ms(&self) -> u64 {
        self.terms.iter().map(|t| t.ms).sum()
    }
}

/// The 90th percentile of measurements, nearest rank; `None` without any.
pub fn p90(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * 9).div_ceil(10);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// What stopping and starting writers costs when it was never measured, in milliseconds.
const ASSUMED_QUIESCE_MS: u64 = 100;

/// What is read in a millisecond where it was never measured: 200 MiB a second.
const ASSUMED_READ_BYTES_A_MS: u64 = 200 * 1024 * 1024 / 1000;
/// From so many bytes on the first load tells how fast files are read.
const RATE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// Predicts the downtime of a cutover whose units are `units`, from its earlier pauses and the units' passes; before
/// there are any, from what a rehearsal measured. `ttl_ms` is the longest life of a route's old answer, `freeze_ms`
/// the least time between the fence and the last look.
pub fn forecast(
    units: &[&UnitState],
    pauses: &[PauseTerm],
    rehearsed: Option<&RehearsalReport>,
    freeze_ms: u64,
    ttl_ms: u64,
) -> Forecast {
    let of_name = |terms: &[PauseTerm], name: &str| -> Vec<u64> {
        terms.iter().filter(|t| t.name == name).map(|t| t.us.div_ceil(1000)).collect()
    };
    let rehearsal = |values: &[u64]| p90(values).map(|ms| (ms, "the rehearsal".to_owned()));
    let measured = |name: &str| {
        let values = of_name(pauses, name);
        let own = p90(&values).map(|ms| (ms, format!("{} pauses", values.len())));
        own.or_else(|| rehearsal(&of_name(&rehearsed?.pauses, name)))
    };
    // The first load says nothing of a pass in the pause.
    let incremental = || units.iter().flat_map(|u| u.passes.iter()).filter(|p| !p.load);
    let passes = |of: fn(&PassTimes) -> u64| {
        let values: Vec<u64> = incremental().map(|p| of(&p.times).div_ceil(1000)).collect();
        let own = p90(&values).map(|ms| (ms, format!("{} passes", values.len())));
        own.or_else(|| {
            let passes = rehearsed?.units.iter().flat_map(|u| u.passes.iter());
            rehearsal(&passes.map(|p| of(p).div_ceil(1000)).collect::<Vec<_>>())
        })
    };
    let mut terms = Vec::new();
    let mut push = |name: &str, found: Option<(u64, String)>, assumed: u64| {
        let (ms, basis) = found.unwrap_or((assumed, "assumed".to_owned()));
        terms.push(DowntimeTerm { name: name.to_owned(), ms, basis });
    };
    let scan = passes(|p| p.scan_us);
    let scan_ms = scan.as_ref().map_or(0, |s| s.0);
    push("quiesce and drain", measured("DRAINED"), ASSUMED_QUIESCE_MS);
    push("fence", measured("FENCED").or(scan), 0);
    push("catch up", passes(|p| p.scan_us + p.apply_us + p.sync_us).or(measured("CAUGHT_UP")), 0);
    // Once in the pass; what is mapped once more on each side by the verification.
    let again = |p: &PassRecord| p.audit.unproven_bytes + 2 * p.audit.mapped_bytes;
    let again: u64 = units.iter().filter_map(|u| u.passes.last()).map(again).sum();
    if again > 0 {
        push("read what no time vouches for", Some(reading(units, again)), 0);
    }
    push("verify the residual", measured("VERIFIED").or(passes(|p| p.apply_us)), 0);
    push("harden", measured("HARDENED"), scan_ms);
    let armed = measured("REVERSE_ARMED").map_or(0, |(ms, _)| ms);
    push("arm and commit", measured("COMMITTED").map(|(ms, basis)| (armed + ms, basis)), scan_ms + freeze_ms);
    push("route", measured("ROUTED"), 0);
    push("open", measured("OPEN"), ASSUMED_QUIESCE_MS);
    if ttl_ms > 0 {
        push("old answers expire", Some((ttl_ms, "the route's TTL".to_owned())), 0);
    }
    Forecast { terms }
}

impl Forecast {
    /// With the units that are verified as a whole in the pause: `verify { in_pause }`.
    #[must_use]
    pub fn with_whole_verification(mut self, units: &[&UnitState]) -> Self {
        let bytes: u64 = units.iter().map(|u| u.bytes_total.saturating_mul(2)).sum();
        if !units.is_empty() {
            let (ms, basis) = reading(units, bytes);
            self.terms.push(DowntimeTerm { name: "verify everything".to_owned(), ms, basis });
        }
        self
    }
}

/// What reading takes, at the rate of the first loads.
fn reading(units: &[&UnitState], bytes: u64) -> (u64, String) {
    let loads = units.iter().flat_map(|u| u.passes.iter()).filter(|p| p.load && p.bytes_written > 0);
    let (read, us) = loads.fold((0_u64, 0_u64), |(b, us), p| (b + p.bytes_written, us + p.times.apply_us));
    // A small load measures the making of files, not reading.
    if read < RATE_BYTES_MIN || us == 0 {
        return (bytes.div_ceil(ASSUMED_READ_BYTES_A_MS), format!("{bytes} bytes; 200 MiB/s assumed"));
    }
    let ms = u128::from(bytes) * u128::from(us) / u128::from(read) / 1000;
    (u64::try_from(ms).unwrap_or(u64::MAX), format!("{bytes} bytes at the rate of the load"))
}

/// Whether passes stopped shrinking: without gates, a unit is converged when a pass carried no less than
/// the one before, or nothing at all (protocol P26).
pub fn converged(passes: &[PassRecord]) -> bool {
    match passes {
        [.., before, last] => last.size() == 0 || last.size() >= before.size(),
        [only] => only.size() == 0,
        [] => false,
    }
}

/// Two passes in a row over 80 % of the one before, with a gate unmet: reported, with the rates.
pub fn will_not_converge(passes: &[PassRecord]) -> bool {
    match passes {
        [.., a, b, c] => {
            let slow = |before: &PassRecord, after: &PassRecord| {
                after.took_us.saturating_mul(10) > before.took_us.saturating_mul(8) && after.size() > 0
            };
            slow(a, b) && slow(b, c)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use segue_contract::AuditReport;

    use super::*;

    #[test]
    fn p90_is_the_nearest_rank() {
        assert_eq!(p90(&[]), None);
        assert_eq!(p90(&[7]), Some(7));
        assert_eq!(p90(&(1..=10).collect::<Vec<_>>()), Some(9));
        assert_eq!(p90(&[5, 1, 9]), Some(9));
    }

    #[test]
    fn lag_is_unknown_across_a_boot() {
        let mut unit = UnitState::default();
        assert_eq!(Lag::of(&unit, &BootTime { ms: 10, boot_id: "a".into() }), Lag::Unknown);
        unit.passes.push(PassRecord {
            began_boot: BootTime { ms: 4, boot_id: "a".into() },
            ..PassRecord::default()
        });
        assert_eq!(Lag::of(&unit, &BootTime { ms: 10, boot_id: "a".into() }), Lag::Ms(6));
        assert_eq!(Lag::of(&unit, &BootTime { ms: 10, boot_id: "b".into() }), Lag::Unknown);
    }

    #[test]
    fn a_unit_converges_when_a_pass_is_no_smaller_than_the_one_before() {
        let pass = |records: u64| PassRecord { records_written: records, ..PassRecord::default() };
        assert!(!converged(&[]));
        assert!(!converged(&[pass(5)]));
        assert!(converged(&[pass(0)]));
        assert!(!converged(&[pass(9), pass(5)]));
        assert!(converged(&[pass(5), pass(5)]));
    }

    #[test]
    fn the_first_load_is_no_measure_of_a_pass_in_the_pause() {
        let pass = |load: bool, apply_us: u64| PassRecord {
            load,
            times: PassTimes { apply_us, ..Default::default() },
            ..PassRecord::default()
        };
        let unit =
            UnitState { passes: vec![pass(true, 9_000_000), pass(false, 4_000)], ..UnitState::default() };
        let predicted = forecast(&[&unit], &[], None, 50, 0);
        let catch_up = predicted.terms.iter().find(|t| t.name == "catch up").expect("a term");
        assert_eq!((catch_up.ms, catch_up.basis.as_str()), (4, "1 passes"));
    }

    #[test]
    fn what_was_rehearsed_counts_until_something_was_measured() {
        let times = PassTimes { scan_us: 2_000, apply_us: 5_000, sync_us: 1_000 };
        let unit = crate::event::RehearsedUnit {
            migration: segue_contract::Address::new("migration.a"),
            unit: "tree".to_owned(),
            records: 1,
            bytes: 1,
            load_us: 1,
            passes: vec![times],
            level: None,
            verify_us: 0,
            verify_bytes: 0,
        };
        let pauses = vec![PauseTerm { name: "DRAINED".to_owned(), us: 40_000 }];
        let report = RehearsalReport { units: vec![unit], pauses, ..RehearsalReport::default() };
        let term = |forecast: &Forecast, name: &str| {
            let found = forecast.terms.iter().find(|t| t.name == name).expect("a term");
            (found.ms, found.basis.clone())
        };
        let before = forecast(&[], &[], Some(&report), 50, 0);
        assert_eq!(term(&before, "quiesce and drain"), (40, "the rehearsal".to_owned()));
        assert_eq!(term(&before, "catch up"), (8, "the rehearsal".to_owned()));
        let own = [PauseTerm { name: "DRAINED".to_owned(), us: 10_000 }];
        let after = forecast(&[], &own, Some(&report), 50, 0);
        assert_eq!(term(&after, "quiesce and drain"), (10, "1 pauses".to_owned()));
    }

    #[test]
    fn what_is_read_again_in_the_pause_is_a_term() {
        let audit = AuditReport {
            unproven: 2,
            unproven_bytes: 300 << 20,
            mapped_bytes: 50 << 20,
            ..Default::default()
        };
        let load = PassRecord { load: true, ..PassRecord::default() };
        let mut unit = UnitState {
            passes: vec![load, PassRecord { audit, ..PassRecord::default() }],
            bytes_total: 1 << 30,
            ..UnitState::default()
        };
        let name = "read what no time vouches for";
        let term = |units: &[&UnitState], name: &str| {
            let forecast = forecast(units, &[], None, 50, 0).with_whole_verification(units);
            forecast.terms.into_iter().find(|t| t.name == name)
        };
        let assumed = term(&[&unit], name).expect("a term");
        assert_eq!((assumed.ms, assumed.basis.as_str()), (2001, "419430400 bytes; 200 MiB/s assumed"));
        // 1 GiB in 2 s.
        unit.passes[0].bytes_written = 1 << 30;
        unit.passes[0].times.apply_us = 2_000_000;
        let measured = term(&[&unit], name).expect("a term");
        assert_eq!((measured.ms, measured.basis.as_str()), (781, "419430400 bytes at the rate of the load"));
        assert_eq!(term(&[&unit], "verify everything").map(|t| t.ms), Some(4000));
        unit.passes[1].audit = AuditReport::default();
        assert_eq!(term(&[&unit], name), None);
        assert_eq!(term(&[], "verify everything"), None);
    }

    #[test]
    fn every_term_of_the_forecast_says_where_it_comes_from() {
        let forecast = forecast(&[], &[], None, 50, 5000);
        assert_eq!(forecast.total_ms(), 100 + 50 + 100 + 5000);
        assert!(forecast.terms.iter().all(|t| !t.basis.is_empty()));
    }
}
