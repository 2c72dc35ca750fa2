//! What a run achieved, once a switch is through.

use segue_contract::{Address, Side, segue};
use segue_plan::cutover::Phase;
use segue_plan::state::{CutoverState, PauseTerm, State, SwitchRecord};
use serde::Serialize;

use super::quantity::{bytes, count, micros, of};
use crate::failure::Failure;
use crate::printer::{Look, Paint, Printer};

/// A switch that a run completed.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Summary {
    event: &'static str,
    cutover: Address,
    serves: Side,
    records: u64,
    bytes: u64,
    passes: u64,
    verified: Vec<String>,
    pause_us: u64,
    pause: Vec<PauseTerm>,
    stale_total: u64,
    /// Whether the old side was looked at.
    stale_looked: bool,
    reverse: bool,
}

/// Tells every switch between two states.
///
/// # Errors
/// Standard output cannot be written to.
pub(crate) fn tell(printer: &Printer, before: &State, after: &State) -> Result<(), Failure> {
    for summary in summaries(before, after) {
        if printer.json() {
            printer.json_line(&summary)?;
        } else {
            printer.data(&summary.text(&printer.out_look()))?;
        }
    }
    Ok(())
}

fn summaries(before: &State, after: &State) -> Vec<Summary> {
    let switches = |state: &State, address: &Address| state.cutovers.get(address).map_or(0, |c| c.switches);
    after
        .cutovers
        .iter()
        .filter(|(address, known)| known.switches > switches(before, address))
        .filter_map(|(address, known)| Some(summary(after, address, known, known.last_switch.as_ref()?)))
        .collect()
}

fn summary(state: &State, address: &Address, known: &CutoverState, switch: &SwitchRecord) -> Summary {
    let units = || {
        let migrations = state.migrations.iter().filter(|(_, m)| m.record.cutover.as_ref() == Some(address));
        migrations.flat_map(|(a, m)| m.units.iter().map(move |(name, unit)| (a, name, unit)))
    };
    let verified = units().filter_map(|(migration, name, unit)| {
        let verified = unit.verified.as_ref()?;
        let records = of(verified.records, "record", "records");
        Some(format!("{migration} {name}: {records} equal, level {}", verified.level.as_str()))
    });
    Summary {
        event: "switched",
        cutover: address.clone(),
        serves: known.live,
        records: units().map(|(_, _, u)| u.records_total).sum(),
        bytes: units().map(|(_, _, u)| u.bytes_total).sum(),
        passes: units().map(|(_, _, u)| u.passes_total).sum(),
        verified: verified.collect(),
        pause_us: switch.pause_us,
        pause: last_pause(&known.pauses),
        stale_total: known.stale_total,
        stale_looked: known.stale_looked || known.phase == Phase::Soaking,
        reverse: known.attempt.as_ref().is_some_and(|a| a.reverse),
    }
}

/// The terms of the last pause.
fn last_pause(pauses: &[PauseTerm]) -> Vec<PauseTerm> {
    let start = pauses.iter().rposition(|t| t.name == Phase::Drained.as_str()).unwrap_or(0);
    pauses.get(start..).unwrap_or_default().to_vec()
}

fn term_name(name: &str) -> &str {
    match name {
        "DRAINED" => "quiesce and drain",
        "FENCED" => "fence",
        "CAUGHT_UP" => "catch up",
        "VERIFIED" => "verify the residual",
        "HARDENED" => "harden",
        "REVERSE_ARMED" => "arm the way back",
        "COMMITTED" => "commit",
        "TARGET_OPEN" | "OPEN" => "open",
        "ROUTED" => "route",
        other => other,
    }
}

impl Summary {
    fn text(&self, look: &Look) -> String {
        let Self {
            event: _,
            cutover,
            serves,
            records,
            bytes: size,
            passes,
            verified,
            pause_us,
            pause,
            stale_total,
            stale_looked,
            reverse,
        } = self;
        let title = format!("{cutover} is switched: the {serves} serves.");
        let mut out = format!("\n{}\n", look.paint(Paint::Good, &title));
        out.push_str(&format!(
            "  carried     {}, {} in {}\n",
            of(*records, "record", "records"),
            bytes(*size),
            of(*passes, "pass", "passes")
        ));
        for line in verified {
            out.push_str(&format!("  verified    {line}\n"));
        }
        out.push_str(&format!("  pause       {} without writes\n", micros(*pause_us)));
        for PauseTerm { name, us } in pause {
            out.push_str(&format!("                {:<20} {:>8}\n", term_name(name), micros(*us)));
        }
        out.push_str(&match (stale_total, stale_looked) {
            (0, true) => "  stale       no stale writer found on the old side\n".to_owned(),
            (0, false) => "  stale       the old side was not looked at yet\n".to_owned(),
            (n, _) => format!(
                "  {}       {} writes on the old side, kept aside: `{}` lists them\n",
                look.paint(Paint::Bad, "STALE"),
                count(*n),
                segue(&["status"])
            ),
        });
        let back = if *reverse || *serves == Side::Source {
            "loses nothing"
        } else {
            "LOSES what was written since"
        };
        out.push_str(&format!("  go back     {}   ({back})\n", segue(&["switch-back", cutover.as_str()])));
        out.push_str(&format!("  look        {}\n", segue(&["status"])));
        out
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use segue_plan::state::State;

    use super::summaries;
    use crate::printer::Look;
    use crate::sample;

    #[test]
    fn a_switch_is_summed_up_with_the_terms_of_its_pause() {
        let found = summaries(&State::default(), &sample::switched_state());
        assert_eq!(found.len(), 1);
        assert_snapshot!(found[0].text(&Look::plain()), @r"
        cutover.site is switched: the target serves.
          carried     100,310 records, 5.0 GiB in 4 passes
          verified    migration.site tree: 100,000 records equal, level full
          pause       112.9ms without writes
                        quiesce and drain      21.0ms
                        fence                  61.0ms
                        catch up                8.4ms
                        verify the residual     3.1ms
                        harden                  900us
                        arm the way back        400us
                        commit                  2.0ms
                        route                   1.1ms
                        open                   15.0ms
          stale       no stale writer found on the old side
          go back     segue switch-back cutover.site   (loses nothing)
          look        segue status
        ");
    }

    #[test]
    fn nothing_is_summed_up_where_nothing_switched() {
        assert_eq!(summaries(&sample::switched_state(), &sample::switched_state()), []);
    }
}
