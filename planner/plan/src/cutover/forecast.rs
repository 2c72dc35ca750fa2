//! Lag, convergence and predicted downtime (protocol P25, P26): arithmetic over measured passes.

use std::collections::{BTreeMap, BTreeSet};

use segue_contract::{Address, PassTimes, segue};
use segue_language::Term;
use serde::{Deserialize, Serialize};

use crate::event::{BootTime, RehearsalReport};
use crate::state::{PassRecord, PauseTerm, State, UnitState};

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
    /// Which.
    #[serde(alias = "name")]
    pub term: Term,
    /// Milliseconds, the 90th percentile of what was measured; 0 where nobody did.
    pub ms: u64,
    /// Where the number comes from: `3 pauses`, `12 passes`, `assumed by the spec`, `not measured`.
    pub basis: String,
    /// Nobody measured it, and the spec assumes nothing: the sum is not known.
    #[serde(default)]
    pub unmeasured: bool,
}

/// The predicted downtime: from QUIESCING to the first write accepted through the route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Forecast {
    /// The terms, in order.
    pub terms: Vec<DowntimeTerm>,
}

impl Forecast {
    /// The sum of what is known, in milliseconds.
    pub fn total_ms(&self) -> u64 {
        self.terms.iter().map(|t| t.ms).sum()
    }

    /// The terms that nobody measured: the pause takes longer than the sum by what they take.
    pub fn unmeasured(&self) -> Vec<Term> {
        self.terms.iter().filter(|t| t.unmeasured).map(|t| t.term).collect()
    }

    /// Whether nothing of it is known.
    pub fn is_unknown(&self) -> bool {
        self.terms.iter().all(|t| t.unmeasured || t.term == Term::Settle)
    }

    /// The terms that nobody measured, as words of a list; empty: all are known.
    pub fn unmeasured_words(&self) -> String {
        self.unmeasured().iter().map(|t| t.words()).collect::<Vec<_>>().join(", ")
    }

    /// The sum, term by term.
    pub fn terms_words(&self) -> String {
        let of = |t: &DowntimeTerm| match t.unmeasured {
            true => format!("{} not measured", t.term.words()),
            false => format!("{} {} ms", t.term.words(), t.ms),
        };
        self.terms.iter().map(of).collect::<Vec<_>>().join(" + ")
    }
}

/// How a term that nobody measured comes to a number.
pub fn how_to_measure(terms: &[Term]) -> String {
    let mut ways = Vec::new();
    if terms.iter().any(|t| !matches!(t, Term::Route)) {
        ways.push(format!("`{}` measures passes, stopping and starting", segue(&["rehearse", "--quiesce"])));
    }
    if terms.contains(&Term::Route) {
        ways.push("an attempt, or a cutover with routes of the same type, measures the route".to_owned());
    }
    let keys: Vec<String> = terms.iter().map(|t| format!("{} = \"...\"", t.key())).collect();
    ways.push(format!("or write your own numbers into the gate: assume = {{ {} }}", keys.join(", ")));
    ways.join("; ")
}

/// The 90th percentile of measurements, nearest rank; `None` without any.
pub fn p90(values: &[u64]) -> Option<u64> {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * 9).div_ceil(10);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// What a prediction is made from.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    /// The cutover's units.
    pub units: Vec<&'a UnitState>,
    /// Those that are verified as a whole in the pause: `verify { in_pause }`.
    pub whole: Vec<&'a UnitState>,
    /// The phases of its own earlier pauses.
    pub pauses: Vec<PauseTerm>,
    /// Those of other cutovers whose blocks are of the same types ([`siblings`]).
    pub siblings: Vec<PauseTerm>,
    /// What a rehearsal measured.
    pub rehearsed: Option<&'a RehearsalReport>,
    /// A person's numbers, in milliseconds.
    pub assumed: BTreeMap<Term, u64>,
    /// The least time between the fence and the last look, in milliseconds.
    pub freeze_ms: u64,
    /// The longest life of a route's old answer, in milliseconds.
    pub ttl_ms: u64,
}

/// What is read in a millisecond where it was never measured: 200 MiB a second.
const ASSUMED_READ_BYTES_A_MS: u64 = 200 * 1024 * 1024 / 1000;
/// From so many bytes on the first load tells how fast files are read, and what is not measured is too much to assume.
const RATE_BYTES_MIN: u64 = 64 * 1024 * 1024;

/// What other cutovers of this state measured of stopping, starting and routing, where they have the same types of
/// blocks for it.
pub fn siblings(state: &State, cutover: &Address, quiesces: &[&str], routes: &[&str]) -> Vec<PauseTerm> {
    let same = |own: &[&str], theirs: BTreeSet<&str>| {
        !own.is_empty() && own.iter().copied().collect::<BTreeSet<_>>() == theirs
    };
    let others = state.cutovers.iter().filter(|(address, _)| *address != cutover && !state.is_stage(address));
    let mut found = Vec::new();
    for (_, known) in others {
        let Some(attempt) = &known.attempt else { continue };
        let stops = same(quiesces, attempt.members.iter().map(|m| m.close.block.provider.as_str()).collect());
        let points = same(routes, attempt.routes.iter().map(|r| r.provider.as_str()).collect());
        found.extend(known.pauses.iter().filter(|term| match term.name.as_str() {
            DRAINED | STARTED | OPENED | REOPENED => stops,
            ROUTED => points,
            _ => false,
        }));
    }
    found.into_iter().cloned().collect()
}

/// Names of what pauses are made of ([`PauseTerm::name`]).
const DRAINED: &str = "DRAINED";
const ROUTED: &str = "ROUTED";
const STARTED: &str = "OPEN";
const OPENED: &str = "TARGET_OPEN";
/// The side that served was opened again, by an abort or at the end of a rehearsal.
pub(crate) const REOPENED: &str = "REOPENED";

impl Known<'_> {
    /// By its own pauses, then a rehearsal, then its siblings.
    fn measured(&self, names: &[&str]) -> Option<(u64, String)> {
        let of = |terms: &[PauseTerm]| -> Vec<u64> {
            let named = terms.iter().filter(|t| names.contains(&t.name.as_str()));
            named.map(|t| t.us.div_ceil(1000)).collect()
        };
        let own = of(&self.pauses);
        let found = p90(&own).map(|ms| (ms, format!("{} pauses", own.len())));
        let found = found.or_else(|| p90(&of(&self.rehearsed?.pauses)).map(|ms| (ms, REHEARSAL.to_owned())));
        let theirs = of(&self.siblings);
        found.or_else(|| p90(&theirs).map(|ms| (ms, format!("{} pauses of others", theirs.len()))))
    }

    /// By its passes, then a rehearsal's. The first load says nothing of a pass in the pause.
    fn passes(&self, of: fn(&PassTimes) -> u64) -> Option<(u64, String)> {
        let incremental = self.units.iter().flat_map(|u| u.passes.iter()).filter(|p| !p.load);
        let own: Vec<u64> = incremental.map(|p| of(&p.times).div_ceil(1000)).collect();
        let found = p90(&own).map(|ms| (ms, format!("{} passes", own.len())));
        found.or_else(|| {
            let passes = self.rehearsed?.units.iter().flat_map(|u| u.passes.iter());
            let rehearsed: Vec<u64> = passes.map(|p| of(p).div_ceil(1000)).collect();
            p90(&rehearsed).map(|ms| (ms, REHEARSAL.to_owned()))
        })
    }
}

const REHEARSAL: &str = "the rehearsal";

/// Predicts the downtime of a cutover, term by term.
pub fn forecast(known: &Known<'_>) -> Forecast {
    let scan = known.passes(|p| p.scan_us);
    let and_freeze = |(ms, basis): (u64, String)| (ms + known.freeze_ms, basis);
    let armed = known.measured(&["REVERSE_ARMED"]).map_or(0, |(ms, _)| ms);
    let committed = known.measured(&["COMMITTED"]).map(|(ms, basis)| (armed + ms, basis));
    let found = [
        (Term::Drain, known.measured(&[DRAINED])),
        (Term::Fence, known.measured(&["FENCED"]).or(scan.clone())),
        (
            Term::CatchUp,
            known.passes(|p| p.scan_us + p.apply_us + p.sync_us).or(known.measured(&["CAUGHT_UP"])),
        ),
        (Term::VerifyResidual, known.measured(&["VERIFIED"]).or(known.passes(|p| p.apply_us))),
        (Term::Harden, known.measured(&["HARDENED"]).or(scan.clone())),
        (Term::Commit, committed.or(scan.map(and_freeze))),
        (Term::Route, known.measured(&[ROUTED])),
        (Term::Open, known.measured(&[STARTED, OPENED]).or(known.measured(&[REOPENED]))),
    ];
    let assumed = |term: Term| Some((*known.assumed.get(&term)?, "assumed by the spec".to_owned()));
    let term = |(term, found): (Term, Option<(u64, String)>)| {
        let found = found.or_else(|| assumed(term));
        let unmeasured = found.is_none();
        let (ms, basis) = found.unwrap_or((0, "not measured".to_owned()));
        DowntimeTerm { term, ms, basis, unmeasured }
    };
    let mut terms: Vec<DowntimeTerm> = found.into_iter().map(term).collect();
    // Once in the pass; what is mapped once more on each side by the verification.
    let again = |p: &PassRecord| p.audit.unproven_bytes + 2 * p.audit.mapped_bytes;
    let again: u64 = known.units.iter().filter_map(|u| u.passes.last()).map(again).sum();
    if again > 0 {
        terms.push(term((Term::ReadAgain, reading(&known.units, again))));
    }
    if !known.whole.is_empty() {
        let bytes: u64 = known.whole.iter().map(|u| u.bytes_total.saturating_mul(2)).sum();
        terms.push(term((Term::VerifyAll, reading(&known.whole, bytes))));
    }
    if known.ttl_ms > 0 {
        terms.push(term((Term::Settle, Some((known.ttl_ms, "the route's TTL".to_owned())))));
    }
    Forecast { terms }
}

/// What reading takes, at the rate of the first loads; `None`: nobody measured that, and it is too much to assume one.
fn reading(units: &[&UnitState], bytes: u64) -> Option<(u64, String)> {
    let loads = units.iter().flat_map(|u| u.passes.iter()).filter(|p| p.load && p.bytes_written > 0);
    let (read, us) = loads.fold((0_u64, 0_u64), |(b, us), p| (b + p.bytes_written, us + p.times.apply_us));
    // A small load measures the making of files, not reading.
    if read < RATE_BYTES_MIN || us == 0 {
        let assumed =
            || (bytes.div_ceil(ASSUMED_READ_BYTES_A_MS), format!("{bytes} bytes; 200 MiB/s assumed"));
        return (bytes < RATE_BYTES_MIN).then(assumed);
    }
    let ms = u128::from(bytes) * u128::from(us) / u128::from(read) / 1000;
    Some((u64::try_from(ms).unwrap_or(u64::MAX), format!("{bytes} bytes at the rate of the load")))
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
        let predicted = forecast(&Known { units: vec![&unit], freeze_ms: 50, ..Known::default() });
        let catch_up = predicted.terms.iter().find(|t| t.term == Term::CatchUp).expect("a term");
        assert_eq!((catch_up.ms, catch_up.basis.as_str()), (4, "1 passes"));
    }

    #[test]
    fn what_was_rehearsed_counts_until_something_was_measured() {
        let times = PassTimes { scan_us: 2_000, apply_us: 5_000, sync_us: 1_000 };
        let unit = crate::event::RehearsedUnit {
            migration: Address::new("migration.a"),
            unit: "tree".to_owned(),
            records: 1,
            bytes: 1,
            load_us: 1,
            passes: vec![times],
            level: None,
            verify_us: 0,
            verify_bytes: 0,
        };
        let measured = |name: &str, us| PauseTerm { name: name.to_owned(), us };
        let pauses = vec![measured("DRAINED", 40_000), measured("REOPENED", 70_000)];
        let report = RehearsalReport { units: vec![unit], pauses, ..RehearsalReport::default() };
        let term = |forecast: &Forecast, term: Term| {
            let found = forecast.terms.iter().find(|t| t.term == term).expect("a term");
            (found.ms, found.basis.clone())
        };
        let siblings = vec![measured("DRAINED", 900_000), measured("ROUTED", 6_000)];
        let known = Known { rehearsed: Some(&report), siblings, freeze_ms: 50, ..Known::default() };
        let before = forecast(&known);
        assert_eq!(term(&before, Term::Drain), (40, "the rehearsal".to_owned()));
        assert_eq!(term(&before, Term::CatchUp), (8, "the rehearsal".to_owned()));
        assert_eq!(term(&before, Term::Open), (70, "the rehearsal".to_owned()), "the source, opened again");
        assert_eq!(term(&before, Term::Route), (6, "1 pauses of others".to_owned()));
        assert_eq!(before.unmeasured(), []);
        let own = vec![measured("DRAINED", 10_000), measured("TARGET_OPEN", 3_000)];
        let after = forecast(&Known { pauses: own, ..known });
        assert_eq!(term(&after, Term::Drain), (10, "1 pauses".to_owned()));
        assert_eq!(term(&after, Term::Open), (3, "1 pauses".to_owned()));
    }

    #[test]
    fn what_nobody_measured_is_no_number_unless_the_spec_assumes_one() {
        let times = PassTimes { scan_us: 2_000, apply_us: 5_000, sync_us: 1_000 };
        let passes = vec![PassRecord { times, ..PassRecord::default() }];
        let unit = UnitState { passes, ..UnitState::default() };
        let known = Known { units: vec![&unit], freeze_ms: 50, ttl_ms: 5_000, ..Known::default() };
        let predicted = forecast(&known);
        assert_eq!(predicted.unmeasured(), [Term::Drain, Term::Route, Term::Open]);
        assert_eq!(predicted.total_ms(), 2 + 8 + 5 + 2 + 52 + 5_000);
        assert!(predicted.terms_words().starts_with("quiesce and drain not measured + fence 2 ms + "));
        assert!(how_to_measure(&predicted.unmeasured()).contains("assume = { drain = \"...\", route = "));
        let assumed =
            BTreeMap::from([(Term::Drain, 700), (Term::Route, 20), (Term::Open, 1_000), (Term::Fence, 9)]);
        let predicted = forecast(&Known { assumed, ..known });
        assert_eq!(predicted.unmeasured(), []);
        assert_eq!(
            predicted.total_ms(),
            700 + 20 + 1_000 + 2 + 8 + 5 + 2 + 52 + 5_000,
            "what is measured counts"
        );
        assert_eq!(forecast(&Known::default()).unmeasured(), Term::ASSUMABLE[..8]);
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
        let term = |unit: &UnitState, term: Term| {
            let known = Known { units: vec![unit], whole: vec![unit], ..Known::default() };
            forecast(&known).terms.into_iter().find(|t| t.term == term)
        };
        let unknown = term(&unit, Term::ReadAgain).expect("a term");
        assert!(unknown.unmeasured, "400 MiB at a rate that nobody measured: {unknown:?}");
        // 1 GiB in 2 s.
        unit.passes[0].bytes_written = 1 << 30;
        unit.passes[0].times.apply_us = 2_000_000;
        let measured = term(&unit, Term::ReadAgain).expect("a term");
        assert_eq!((measured.ms, measured.basis.as_str()), (781, "419430400 bytes at the rate of the load"));
        assert_eq!(term(&unit, Term::VerifyAll).map(|t| t.ms), Some(4000));
        unit.passes[1].audit = AuditReport::default();
        assert_eq!(term(&unit, Term::ReadAgain), None);
        unit.passes[0].bytes_written = 1 << 20;
        unit.passes[1].audit.unproven_bytes = 1 << 20;
        let small = term(&unit, Term::ReadAgain).expect("a term");
        assert_eq!((small.ms, small.basis.as_str()), (6, "1048576 bytes; 200 MiB/s assumed"));
    }
}
