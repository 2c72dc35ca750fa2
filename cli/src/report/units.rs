//! A unit in the report: its passes, its lag and rate over time, and what its verifications found.

use std::collections::BTreeMap;

use segue_contract::{Address, Direction, PassReport, VerifyReport};
use serde::Serialize;

use super::{Newest, Series};

/// A unit.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UnitLine {
    pub(crate) migration: Address,
    pub(crate) unit: String,
    /// The first load.
    pub(crate) load: Option<PassLine>,
    pub(crate) passes: Newest<PassLine>,
    pub(crate) records_written: u64,
    pub(crate) bytes_written: u64,
    /// Milliseconds; each pass gives the least (as it ended) and the most (just before).
    pub(crate) lag: Series,
    /// Bytes a second of each load and pass that wrote any.
    pub(crate) rate: Series,
    pub(crate) verifications: Newest<VerificationLine>,
    /// The last that looked at everything.
    pub(crate) last_whole: Option<VerificationLine>,
    /// When the pass before began and ended.
    #[serde(skip)]
    before: Option<(i64, i64)>,
}

/// A load or a pass.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct PassLine {
    pub(crate) began_ms: i64,
    pub(crate) took_us: u64,
    pub(crate) reverse: bool,
    pub(crate) records_seen: u64,
    pub(crate) records_written: u64,
    pub(crate) records_deleted: u64,
    pub(crate) bytes_written: u64,
    pub(crate) set_aside: u64,
    pub(crate) stale: u64,
}

/// A verification.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct VerificationLine {
    pub(crate) at_ms: i64,
    /// Whether it looked at everything; otherwise at what had changed since an earlier one.
    pub(crate) whole: bool,
    pub(crate) level: String,
    pub(crate) records_checked: u64,
    pub(crate) records_read: u64,
    pub(crate) bytes_read: u64,
    pub(crate) differ: u64,
    /// The first that differed, with what did.
    pub(crate) named: Vec<String>,
    pub(crate) took_us: u64,
    /// What it was checked against.
    pub(crate) ledger: String,
}

/// Differing records that are named; the journal has more.
const NAMED_MAX: usize = 20;

/// All units, while events are read.
pub(super) type Units = BTreeMap<(Address, String), UnitLine>;

/// The unit, made when it is new.
pub(super) fn find<'u>(units: &'u mut Units, migration: &Address, unit: &str) -> &'u mut UnitLine {
    units.entry((migration.clone(), unit.to_owned())).or_insert_with(|| UnitLine {
        migration: migration.clone(),
        unit: unit.to_owned(),
        load: None,
        passes: Newest::default(),
        records_written: 0,
        bytes_written: 0,
        lag: Series::default(),
        rate: Series::default(),
        verifications: Newest::default(),
        last_whole: None,
        before: None,
    })
}

impl UnitLine {
    pub(super) fn carried(
        &mut self,
        load: bool,
        direction: Direction,
        report: &PassReport,
        began_ms: i64,
        took_us: u64,
    ) {
        let line = PassLine {
            began_ms,
            took_us,
            reverse: direction == Direction::Reverse,
            records_seen: report.records_seen,
            records_written: report.records_written,
            records_deleted: report.records_deleted,
            bytes_written: report.bytes_written,
            set_aside: report.set_aside_total,
            stale: report.stale_total,
        };
        self.records_written += report.records_written;
        self.bytes_written += report.bytes_written;
        let took_ms = i64::try_from(took_us / 1000).unwrap_or(i64::MAX);
        let ended_ms = began_ms.saturating_add(took_ms);
        // Just before a pass ends, what it carries is as old as the start of the one before.
        let (before_began, before_ended) = self.before.unwrap_or((began_ms, began_ms));
        let most = ended_ms.saturating_sub(before_began).max(0) as f64;
        self.lag.push(before_ended.min(began_ms), ended_ms, (took_us as f64 / 1000.0).min(most), most);
        self.before = Some((began_ms, ended_ms));
        if report.bytes_written > 0 && took_us > 0 {
            let rate = report.bytes_written as f64 * 1_000_000.0 / took_us as f64;
            self.rate.push(began_ms, ended_ms, rate, rate);
        }
        if load {
            self.load = Some(line);
        } else {
            self.passes.push(line);
        }
    }

    pub(super) fn verified(&mut self, at_ms: i64, whole: bool, report: &VerifyReport) {
        let line = VerificationLine {
            at_ms,
            whole,
            level: report.level.as_str().to_owned(),
            records_checked: report.records_checked,
            records_read: report.records_read,
            bytes_read: report.bytes_read,
            differ: report.mismatches_total,
            named: report
                .mismatches
                .iter()
                .take(NAMED_MAX)
                .map(|m| format!("{}: {}", m.key, m.what))
                .collect(),
            took_us: report.took_us,
            ledger: report.ledger.to_string(),
        };
        if whole {
            self.last_whole = Some(line.clone());
        }
        self.verifications.push(line);
    }
}
