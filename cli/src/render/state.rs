//! What is recorded, block by block.

use segue_contract::Address;
use segue_plan::state::{CutoverState, MigrationState, State, UnitState};
use segue_run::clock::rfc3339;

use super::quantity::{bytes, of};
use crate::printer::{Look, Paint};

/// Everything.
pub(crate) fn text(state: &State, look: &Look) -> String {
    let mut out = String::new();
    for (address, migration) in &state.migrations {
        out.push_str(&migration_text(address, migration, look));
    }
    for (address, cutover) in &state.cutovers {
        out.push_str(&cutover_text(address, cutover, look));
    }
    for address in state.open_steps.keys() {
        out.push_str(&format!("{address}: began and did not end\n"));
    }
    if out.is_empty() {
        out.push_str("Nothing is recorded yet.\n");
    }
    out
}

/// One migration.
pub(crate) fn migration_text(address: &Address, migration: &MigrationState, look: &Look) -> String {
    let MigrationState { record, epoch, marker, made, units } = migration;
    let mut out = format!("{}\n", look.paint(Paint::Title, address.as_str()));
    out.push_str(&format!("  source      {} ({})\n", record.source.address, record.source_identity));
    out.push_str(&format!("  target      {} ({})\n", record.target.address, record.target_identity));
    if let Some(cutover) = &record.cutover {
        out.push_str(&format!("  cutover     {cutover}\n"));
    }
    let claimed = if marker.is_some() { "markers at both endpoints" } else { "no markers" };
    out.push_str(&format!("  epoch       {epoch}, {claimed}\n"));
    for endpoint in made {
        out.push_str(&format!("  made        {endpoint}\n"));
    }
    for (name, unit) in units {
        let UnitState {
            loaded,
            ledger,
            passes_total,
            records_seen,
            bytes_total,
            verified,
            set_aside_total,
            ..
        } = unit;
        let loaded = if *loaded { "loaded" } else { "not loaded" };
        out.push_str(&format!(
            "  unit        {name}: {loaded}, {}, {} carried in {}\n",
            of(*records_seen, "record", "records"),
            bytes(*bytes_total),
            of(*passes_total, "pass", "passes")
        ));
        if let Some(ledger) = ledger {
            out.push_str(&format!("                ledger {ledger}\n"));
        }
        if let Some(verified) = verified {
            let at = rfc3339(verified.at_ms);
            out.push_str(&format!("                verified at {at}, level {}\n", verified.level.as_str()));
        }
        if *set_aside_total > 0 {
            out.push_str(&format!(
                "                {} set aside\n",
                of(*set_aside_total, "record", "records")
            ));
        }
    }
    out
}

/// One cutover.
pub(crate) fn cutover_text(address: &Address, cutover: &CutoverState, look: &Look) -> String {
    let CutoverState { live, finished, phase, epoch, switches, held, last_switch, stale_total, .. } = cutover;
    let mut out = format!("{}\n", look.paint(Paint::Title, address.as_str()));
    out.push_str(&format!("  live        {live}\n  finished    {finished}\n  phase       {phase}\n"));
    out.push_str(&format!("  epoch       {epoch}, {}\n", of(*switches, "switch", "switches")));
    if let Some(switch) = last_switch {
        out.push_str(&format!("  switched    to the {} at {}\n", switch.to, rfc3339(switch.at_ms)));
    }
    if let Some(held) = held {
        out.push_str(&format!("  held        since {}: {}\n", rfc3339(held.since_ms), held.reason));
    }
    if *stale_total > 0 {
        out.push_str(&format!("  stale       {}\n", of(*stale_total, "write", "writes")));
    }
    out
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::text;
    use crate::printer::Look;
    use crate::sample;

    #[test]
    fn the_recorded_state_is_shown_block_by_block() {
        assert_snapshot!(text(&sample::switched_state(), &Look::plain()), @r"
        migration.site
          source      source.directory.old (dev 1 inode 2)
          target      target.directory.new (dev 1 inode 3)
          cutover     cutover.site
          epoch       2, no markers
          made        target.directory.new
          unit        tree: loaded, 100,000 records, 5.0 GiB carried in 4 passes
                        ledger ledger-0123
                        verified at 2026-01-31T09:29:55.000Z, level full
        cutover.site
          live        target
          finished    false
          phase       SOAKING
          epoch       2, 1 switch
          switched    to the target at 2026-01-31T09:30:00.000Z
        ");
    }
}
