//! Units on the screen: what is being done with each, how far it is and how fast, and what is known of it.

use segue_contract::{Address, Progress};
use segue_plan::cutover::Lag;
use segue_plan::event::BootTime;
use segue_plan::state::{State, UnitState};
use segue_run::execute::{Live, LiveStep};

use super::UnitView;
use crate::render::quantity::{ago, bytes, count, millis, of};
use crate::render::status::Now;

/// The worst lag of all units; `None`: one is not known.
pub(super) fn worst_lag(state: &State, boot: &BootTime) -> Option<u64> {
    let units = state.migrations.values().flat_map(|m| m.units.values());
    let lags = units.map(|unit| match Lag::of(unit, boot) {
        Lag::Ms(ms) => Some(ms),
        Lag::Unknown => None,
    });
    lags.collect::<Option<Vec<u64>>>()?.into_iter().max()
}

/// One view a unit, those that are worked on first.
pub(super) fn views(state: &State, live: Option<&Live>, now: &Now, boot: &BootTime) -> Vec<UnitView> {
    let mut views = Vec::new();
    for (migration, known) in &state.migrations {
        let declared = known.record.jobs.iter().map(|job| &job.unit);
        let mut names: Vec<&String> = declared.chain(known.units.keys()).collect();
        names.sort();
        names.dedup();
        for name in names {
            let unit = known.units.get(name).cloned().unwrap_or_default();
            views.push(view(migration, name, &unit, live, now, boot));
        }
    }
    // Stable: within each kind the order of their names stays.
    views.sort_by_key(|v| (v.trouble.is_none(), v.part.is_none()));
    views
}

fn view(
    migration: &Address,
    name: &str,
    unit: &UnitState,
    live: Option<&Live>,
    now: &Now,
    boot: &BootTime,
) -> UnitView {
    let prefix = format!("{}.", migration.step(&format!("unit[{name:?}]")));
    let step = live.and_then(|l| l.steps.iter().find(|s| s.step.as_str().starts_with(&prefix)));
    let retrying = step.and_then(|s| s.retrying.as_ref()).map(|why| format!("tried again: {why}"));
    let aside = (unit.set_aside_total > 0)
        .then(|| format!("{} SET ASIDE", of(unit.set_aside_total, "record", "records")));
    let differ = (unit.mismatches_total > 0)
        .then(|| format!("{} DIFFER", of(unit.mismatches_total, "record", "records")));
    UnitView {
        name: format!("{migration} {name}"),
        doing: step.map_or_else(|| resting(unit), |s| s.kind.to_string()),
        part: step.and_then(|s| part(&s.progress)),
        pace: step.map(pace).unwrap_or_default(),
        lag: match Lag::of(unit, boot) {
            Lag::Ms(ms) => millis(ms / 100 * 100),
            Lag::Unknown => "?".to_owned(),
        },
        verified: unit.verified.as_ref().map_or_else(
            || "not verified".to_owned(),
            |v| format!("{} {}", v.level.as_str(), ago(now.wall_ms, v.at_ms)),
        ),
        trouble: retrying.or(aside).or(differ),
    }
}

fn resting(unit: &UnitState) -> String {
    if unit.loaded {
        format!("{} in {}", bytes(unit.bytes_total), of(unit.passes_total, "pass", "passes"))
    } else {
        "not loaded yet".to_owned()
    }
}

fn part(progress: &Progress) -> Option<f64> {
    let Progress { records, records_total, bytes, bytes_total } = *progress;
    let of = |done: u64, total: Option<u64>| total.filter(|t| *t > 0).map(|t| done as f64 / t as f64);
    of(bytes, bytes_total).or_else(|| of(records, records_total))
}

/// How fast it goes and how long it takes still.
fn pace(step: &LiveStep) -> String {
    let LiveStep { progress, bytes_per_s, records_per_s, .. } = step;
    let by_bytes = progress.bytes_total.is_some() || progress.bytes > 0;
    let (speed, left) = if by_bytes {
        let left = progress.bytes_total.map(|t| t.saturating_sub(progress.bytes));
        (format!("{}/s", bytes(*bytes_per_s as u64)), left.map(|l| (l, *bytes_per_s)))
    } else {
        let left = progress.records_total.map(|t| t.saturating_sub(progress.records));
        (format!("{} records/s", count(*records_per_s as u64)), left.map(|l| (l, *records_per_s)))
    };
    match left {
        Some((left, per_s)) if per_s > 0.0 => {
            format!("{speed}, {} left", millis((left as f64 / per_s) as u64 * 1000))
        }
        _ => speed,
    }
}
