//! The journal's events, a line each.

use segue_contract::Severity;
use segue_plan::event::{AcceptedDeletions, Entry, Event, StoppedPass, WeightEvent};
use segue_run::clock::rfc3339;

use super::quantity::{bytes, count, micros, millis};
use crate::printer::{Look, Paint};

/// One event: its number, when, which run, what.
pub(crate) fn line(sequence: u64, entry: &Entry, look: &Look) -> String {
    let Entry { v: _, at_ms, run, event } = entry;
    format!("{sequence:>6}  {}  run {run:<3} {}\n", look.paint(Paint::Dim, &rfc3339(*at_ms)), phrase(event))
}

fn phrase(event: &Event) -> String {
    match event {
        Event::StateBound(binding) => format!("state {} is bound to this directory", binding.state_id),
        Event::RunStarted(run) => format!(
            "`{}` started by {}@{} (process {}, segue {})",
            run.command, run.user, run.host, run.pid, run.version
        ),
        Event::RunEnded { exit } => format!("ended, exit {exit}"),
        Event::MigrationBegan(record) => {
            format!("{} declared: {} to {}", record.migration, record.source.address, record.target.address)
        }
        Event::EndpointMade { migration, endpoint } => format!("{endpoint} was made for {migration}"),
        Event::ClaimBegan { migration, epoch } => format!("{migration}: claiming epoch {epoch}"),
        Event::ClaimMade { migration, marker } => {
            let raised = if marker.raised { ", raised" } else { "" };
            format!("{migration}: markers written, epoch {}, live {}{raised}", marker.epoch, marker.live)
        }
        Event::ClaimReleased { migration } => format!("{migration}: markers removed"),
        Event::StepStarted { step, kind: _ } => format!("{step} started"),
        Event::StepCheckpointed { step, checkpoint: _ } => format!("{step} checkpointed"),
        Event::StepFinished { step, took_us } => format!("{step} finished in {}", micros(*took_us)),
        Event::StepFailed { step, class: _, message, remedy: _ } => format!("{step} FAILED: {message}"),
        Event::UnitCarried {
            migration,
            unit,
            load,
            direction: _,
            report,
            took_us,
            began_ms: _,
            began_boot: _,
        } => format!(
            "{migration} {unit}: {} carried {} records, {} in {}",
            if *load { "load" } else { "pass" },
            count(report.records_written + report.records_deleted),
            bytes(report.bytes_written),
            micros(*took_us)
        ),
        Event::DeletionsAsked(StoppedPass { migration, unit, asked }) => format!(
            "{migration} {unit}: a pass stopped before {} deletions of {} records, hash {}",
            count(asked.deletions),
            count(asked.known),
            asked.hash(migration, unit)
        ),
        Event::DeletionsAccepted(AcceptedDeletions { migration, unit, hash, allowed, by }) => {
            format!("{migration} {unit}: up to {} deletions accepted by {by}, hash {hash}", count(*allowed))
        }
        Event::UnitVerified { migration, unit, report, whole } => format!(
            "{migration} {unit}: verified {}, {} records, {} differ",
            if *whole { "as a whole" } else { "the residual" },
            count(report.records_checked),
            count(report.mismatches_total)
        ),
        Event::StaleLooked { cutover, report } => {
            format!("{cutover}: looked for stale writers, found {}", count(report.total))
        }
        Event::StaleSettled { cutover, by } => format!("{cutover}: stale writes settled by {by}"),
        Event::AttemptBegan { cutover, attempt } => {
            format!(
                "{cutover}: epoch {} began, from the {} to the {}",
                attempt.epoch, attempt.from, attempt.to
            )
        }
        Event::PhaseReached { cutover, epoch, phase, proof, took_us } => {
            let said = if proof.said.is_empty() { String::new() } else { format!(": {}", proof.said) };
            format!("{cutover}: epoch {epoch} reached {phase} after {}{said}", micros(*took_us))
        }
        Event::MemberOpened { cutover, epoch, migration } => {
            format!("{cutover}: epoch {epoch}: {migration} takes writes on its new side")
        }
        Event::RouteSet { cutover, epoch, route, side } => {
            format!("{cutover}: epoch {epoch}: {route} points to the {side}")
        }
        Event::CommitTakenBack { cutover, epoch, reason, held: _ } => {
            format!("{cutover}: epoch {epoch}: its commit is taken back, and held: {reason}")
        }
        Event::AbortBegan { cutover, epoch, reason, held } => {
            let held = if held.is_some() { ", held" } else { "" };
            format!("{cutover}: epoch {epoch} is aborted{held}: {reason}")
        }
        Event::SideReopened { cutover, epoch, side, took_us: _ } => {
            format!("{cutover}: epoch {epoch}: the {side} takes writes again")
        }
        Event::Aborted { cutover, epoch } => format!("{cutover}: epoch {epoch} is over"),
        Event::Unheld { cutover, by } => format!("{cutover}: let go on by {by}"),
        Event::HoldOutdated { cutover } => format!("{cutover}: hold lifted by an edit of live"),
        Event::CutoverFinished { cutover } => format!("{cutover}: finished"),
        Event::Approved { plan_hash, by } => format!("plan {} approved by {by}", short(plan_hash)),
        Event::PlanBegan { plan_hash } => format!("plan {} began", short(plan_hash)),
        Event::Found { step, finding } => format!("{step}: {} {}", finding.code, finding.summary),
        Event::AddressMoved { from, to } => format!("{from} is {to} from here on"),
        Event::AddressForgotten { address } => format!("{address} forgotten"),
        Event::GateRead { cutover: _, gate, met, said, value: _, at: _ } => {
            format!("{gate}: {}: {said}", if *met { "met" } else { "waits" })
        }
        Event::WatchPlanned { cutover, plan } => {
            format!("{cutover}: {} watches after the switch", plan.watches.len())
        }
        Event::WatchBegan { cutover, epoch, watched_ms, at: _ } => {
            let before =
                if *watched_ms == 0 { String::new() } else { format!(" after {}", millis(*watched_ms)) };
            format!("{cutover}: epoch {epoch} is watched{before}")
        }
        Event::WatchRead { cutover: _, epoch: _, watch, ok, said, value: _, failed: _, at: _ } => {
            format!("{watch}: {}: {said}", if *ok { "good" } else { "NOT GOOD" })
        }
        Event::HealthLost { cutover, epoch, watch, said } => {
            format!("{cutover}: epoch {epoch}: HEALTH LOST at {watch}: {said}")
        }
        Event::BackRefused { cutover, epoch, why, held } => {
            let held = if *held { ", held" } else { "" };
            format!("{cutover}: epoch {epoch} is not gone back from{held}: {why}")
        }
        Event::RehearsalBegan { cutover, rehearsal: _ } => format!("{cutover}: a rehearsal began"),
        Event::RehearsalEnded { cutover, report } => {
            let critical = report.findings.iter().filter(|f| f.finding.severity == Severity::Critical);
            format!(
                "{cutover}: rehearsed: {} critical findings of {}; a pause of {} is predicted",
                critical.count(),
                report.findings.len(),
                millis(report.forecast.total_ms())
            )
        }
        Event::RehearsalReleased { cutover } => format!("{cutover}: what the rehearsal made is gone"),
        Event::FenceBegan { cutover, epoch, resource } => {
            format!("{cutover}: epoch {epoch}: fencing {} from outside", resource.place)
        }
        Event::FenceProven { cutover, epoch, endpoint, said } => {
            format!("{cutover}: epoch {epoch}: {endpoint} is fenced: {said}")
        }
        Event::SideTakenBack { cutover, side, by } => {
            format!("{cutover}: the {side} that was left is taken back by {by}")
        }
        Event::ResourceMade { resource } => {
            format!("{}: making {} at {}", resource.id, resource.what, resource.place)
        }
        Event::ResourceReleasing { id, by } => format!("{id}: being released by {by}"),
        Event::ResourceReleased { id, said } => format!("{id}: released: {said}"),
        Event::Weight { cutover, weight } => format!("{cutover}: {}", reads(weight)),
        Event::Steered { wish, by, why } => {
            let why = why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
            format!("{} {wish} by {by}{why}", wish.about())
        }
        Event::StatePart { first, last, part: _ } => match (first, last) {
            (_, true) => "a state was restored".to_owned(),
            (true, false) => "a state is being restored".to_owned(),
            (false, false) => "a part of the restored state".to_owned(),
        },
    }
}

/// What happened to the reads of a cutover.
pub(crate) fn reads(weight: &WeightEvent) -> String {
    match weight {
        WeightEvent::Began { percent: 0, routes: _, at: _, watchdog: _ } => {
            "sending all reads back to the source".to_owned()
        }
        WeightEvent::Began { percent, routes: _, at: _, watchdog: _ } => {
            format!("sending {percent} % of the reads to the target")
        }
        WeightEvent::Set { percent: 0 } => "all reads go to the source".to_owned(),
        WeightEvent::Set { percent } => format!("{percent} % of the reads go to the target"),
        WeightEvent::Held { percent, held_ms } => {
            format!("{percent} % of the reads were held for {}, nothing was lost", millis(*held_ms))
        }
        WeightEvent::Lost { reason, held } => {
            let held = if *held { ", held" } else { "" };
            format!("the reads are taken back{held}: {reason}")
        }
    }
}

fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use segue_contract::Address;
    use segue_plan::cutover::Phase;
    use segue_plan::event::{Entry, Event, Proof, WIRE_VERSION};

    use super::line;
    use crate::printer::Look;

    #[test]
    fn an_event_says_when_and_what() {
        let event = Event::PhaseReached {
            cutover: Address::new("cutover.site"),
            epoch: 3,
            phase: Phase::Drained,
            proof: Proof { said: "probe refused: exit 1".to_owned(), ..Proof::default() },
            took_us: 12_300,
        };
        let entry = Entry { v: WIRE_VERSION, at_ms: 1_769_851_800_125, run: 2, event };
        assert_snapshot!(line(41, &entry, &Look::plain()), @"    41  2026-01-31T09:30:00.125Z  run 2   cutover.site: epoch 3 reached DRAINED after 12.3ms: probe refused: exit 1");
    }
}
