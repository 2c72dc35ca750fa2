//! Findings that somebody accepts, and why.

use segue_contract::SetAside;
use serde::{Deserialize, Serialize};

/// `waive "CODE" { keys, reason }`: a finding that somebody accepts. Part of the plan's hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaiverDecl {
    /// The finding's code: one of [`WAIVABLE`].
    pub code: String,
    /// The records that it holds for, each whole or a beginning and `*`; empty: the finding as a whole.
    pub keys: Vec<String>,
    /// Why.
    pub reason: String,
}

/// What may be waived: records that cannot be carried, and what a rehearsal finds.
pub const WAIVABLE: [&str; 8] = [
    SET_ASIDE,
    "REHEARSE_DIFFERS",
    "REHEARSE_DOWNTIME",
    "REHEARSE_FAILED",
    "REHEARSE_LAG",
    "REHEARSE_PLACE",
    "REHEARSE_QUIESCE",
    "REHEARSE_TEST",
];

/// The code of records that cannot be carried.
pub const SET_ASIDE: &str = "SET_ASIDE";

/// The code of a migration whose passes audit nothing: `audit { sample = "0%" }`.
pub const AUDIT_SAMPLE: &str = "AUDIT_SAMPLE";

impl WaiverDecl {
    /// Whether it holds for a record.
    pub fn covers(&self, key: &str) -> bool {
        let one = |pattern: &String| match pattern.strip_suffix('*') {
            Some(beginning) => key.starts_with(beginning),
            None => pattern == key,
        };
        self.keys.iter().any(one)
    }

    /// The waiver that accepts a finding: as a whole; or record by record, where all of its records are known and
    /// each is covered (protocol P24).
    pub fn of<'w>(waivers: &'w [Self], code: &str, keys: &[String], all_known: bool) -> Option<&'w Self> {
        let of_code = || waivers.iter().filter(|w| w.code == code);
        let whole = of_code().find(|w| w.keys.is_empty());
        let covered = |key: &String| of_code().any(|w| w.covers(key));
        let by_key = || all_known && !keys.is_empty() && keys.iter().all(covered);
        whole.or_else(|| of_code().next().filter(|_| by_key()))
    }

    /// The waiver that names a record that cannot be carried.
    pub fn of_left_out<'w>(waivers: &'w [Self], key: &str) -> Option<&'w Self> {
        waivers.iter().find(|w| w.code == SET_ASIDE && w.covers(key))
    }

    /// Whether these waivers accept that records were left out: each is named, and these are all (protocol P24).
    pub fn accept_left_out(waivers: &[Self], left_out: &[SetAside], total: u64) -> bool {
        let keys: Vec<String> = left_out.iter().map(|s| s.key.clone()).collect();
        Self::of(waivers, SET_ASIDE, &keys, left_out.len() as u64 == total).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::{SET_ASIDE, WaiverDecl};

    fn waiver(code: &str, keys: &[&str]) -> WaiverDecl {
        let keys = keys.iter().map(|&k| k.to_owned()).collect();
        WaiverDecl { code: code.to_owned(), keys, reason: "known".to_owned() }
    }

    #[test]
    fn records_are_waived_one_by_one_and_only_when_all_are_known() {
        let waivers = [waiver(SET_ASIDE, &["run/a.sock"]), waiver(SET_ASIDE, &["spool/*"])];
        let keys = |list: &[&str]| list.iter().map(|&k| k.to_owned()).collect::<Vec<_>>();
        let of = |code, list: &[&str], known| WaiverDecl::of(&waivers, code, &keys(list), known).is_some();
        assert!(of(SET_ASIDE, &["run/a.sock", "spool/x"], true));
        assert!(!of(SET_ASIDE, &["run/a.sock", "spool/x"], false));
        assert!(!of(SET_ASIDE, &["run/b.sock"], true));
        assert!(!of(SET_ASIDE, &[], true));
        assert!(!of("REHEARSE_LAG", &[], true));
    }

    #[test]
    fn a_waiver_without_keys_accepts_the_finding_as_a_whole() {
        let waivers = [waiver("REHEARSE_LAG", &[])];
        let found = WaiverDecl::of(&waivers, "REHEARSE_LAG", &[], true);
        assert_eq!(found.map(|w| w.reason.as_str()), Some("known"));
    }
}
