//! The transition table under a model checker: what the executor runs is explored with every death, delay and stall
//! that the bounds allow. The protocol as it stands breaks nothing; each order or reading that somebody might have
//! chosen instead is shown to break something.

#[path = "model/events.rs"]
mod events;
#[path = "model/protocol.rs"]
mod protocol;
#[path = "model/reading.rs"]
mod reading;
#[path = "model/steps.rs"]
mod steps;
#[path = "model/world.rs"]
mod world;

use std::io::Write;

use segue_contract::QuiesceKind;
use stateright::{Checker, Model};

use protocol::Protocol;
use reading::Reading;

/// `short`, or `long` where `SEGUE_TESTS_LONG` is set.
fn bound(short: u8, long: u8) -> u8 {
    if std::env::var_os("SEGUE_TESTS_LONG").is_some() { long } else { short }
}

fn say(text: &str) {
    // Not by a macro: the numbers are to be seen when the test passes, too.
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn protocol(kind: QuiesceKind, reading: Reading, faults: u8) -> Protocol {
    Protocol { kind, barred: reading != Reading::HiddenWriter, reading, writes: 2, attempts: 2, faults }
}

/// The protocol breaks no invariant within the bounds.
fn holds(model: Protocol) {
    let checker = model.checker().threads(1).spawn_bfs().join();
    say(&format!(
        "model {:?}, {:?}, data barred {}: {} writes, {} attempts, {} faults: {} states",
        model.kind,
        model.reading,
        model.barred,
        model.writes,
        model.attempts,
        model.faults,
        checker.unique_state_count()
    ));
    for (name, path) in checker.discoveries() {
        assert!(name.starts_with("a switch"), "{name}: {}", trace(path));
    }
    checker.assert_any_discovery("a switch goes through");
}

/// The reading breaks the invariant whose name begins so.
#[track_caller]
fn breaks(kind: QuiesceKind, reading: Reading, faults: u8, invariant: &str) {
    breaks_within(protocol(kind, reading, faults), invariant);
}

#[track_caller]
fn breaks_within(model: Protocol, invariant: &str) {
    let Protocol { kind, reading, .. } = model;
    // Most show in one attempt, and in fewer states.
    let two = [Reading::AbortedWithLateCalls, Reading::LateDataWritesLand, Reading::OldCommittedCounts];
    let model = Protocol { attempts: if two.contains(&reading) { 2 } else { 1 }, ..model };
    let checker = model.checker().threads(1).spawn_bfs().join();
    let found = checker.discoveries();
    let states = checker.unique_state_count();
    let broken = found.into_iter().find(|(name, _)| name.starts_with(invariant));
    assert!(broken.is_some(), "{reading:?} breaks nothing called {invariant} in {states} states");
    let Some((name, path)) = broken else { return };
    say(&format!("model {kind:?} {reading:?} breaks {name}: {}", trace(path)));
}

/// The events, with runs of the same one counted.
fn trace(path: stateright::Path<world::World, events::Event>) -> String {
    let mut events: Vec<(String, usize)> = Vec::new();
    for event in path.into_actions() {
        let event = format!("{event:?}");
        match events.last_mut() {
            Some((last, count)) if *last == event => *count += 1,
            _ => events.push((event, 1)),
        }
    }
    let steps: usize = events.iter().map(|(_, count)| count).sum();
    let shown: Vec<String> = events
        .into_iter()
        .map(|(event, count)| if count > 1 { format!("{event} x{count}") } else { event })
        .collect();
    format!("{steps} steps: {}", shown.join(", "))
}

#[test]
fn on_the_data_the_protocol_breaks_nothing() {
    holds(protocol(QuiesceKind::Data, Reading::Real, bound(2, 3)));
}

#[test]
fn on_the_writers_the_protocol_breaks_nothing() {
    holds(protocol(QuiesceKind::Writers, Reading::Real, bound(2, 3)));
}

#[test]
fn on_the_writers_with_stale_ones_reported_the_protocol_breaks_nothing() {
    holds(Protocol { barred: false, ..protocol(QuiesceKind::Writers, Reading::Real, bound(2, 3)) });
}

#[test]
fn a_fence_before_the_drain_loses_writes() {
    breaks(QuiesceKind::Data, Reading::FenceBeforeDrain, 0, "S2");
}

#[test]
fn without_a_drain_writes_are_lost() {
    breaks(QuiesceKind::Data, Reading::NoDrain, 0, "S2");
}

#[test]
fn a_lease_without_hardening_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::LeaseWithoutHardening, 1, "S1");
}

#[test]
fn a_lease_that_is_checked_only_at_the_commit_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::LeaseCheckedOnlyAtCommit, 1, "S1");
}

#[test]
fn opening_before_committed_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::OpenBeforeCommitted, 1, "S1");
}

#[test]
fn a_way_back_that_is_armed_after_opening_misses_writes() {
    breaks(QuiesceKind::Data, Reading::ReverseArmedAfterOpen, 0, "S4");
}

#[test]
fn writers_that_start_before_the_route_moves_lose_writes() {
    let model = protocol(QuiesceKind::Writers, Reading::StartBeforeRoute, 0);
    breaks_within(Protocol { barred: false, ..model }, "S2");
}

#[test]
fn settling_without_killing_the_holder_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::SettleWithoutKilling, 0, "S1");
}

#[test]
fn a_lost_tail_without_a_marker_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::TailLostWithoutMarker, 1, "S1");
}

#[test]
fn an_endpoints_own_timer_after_hardened_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::TimerAfterHardened, 0, "S1");
}

#[test]
fn a_commit_that_is_given_up_on_its_way_to_the_disk_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::CommitGivenUpOnItsWay, 1, "S1");
}

#[test]
fn a_late_call_after_aborted_leaves_no_side_or_two() {
    breaks(QuiesceKind::Data, Reading::AbortedWithLateCalls, 1, "liveness");
}

#[test]
fn a_late_data_write_overwrites_a_newer_one() {
    breaks(QuiesceKind::Data, Reading::LateDataWritesLand, 1, "S2");
}

#[test]
fn an_operators_hand_that_is_not_looked_for_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::HandNotLookedFor, 2, "S1");
}

#[test]
fn a_hidden_writer_that_is_not_looked_for_loses_writes() {
    breaks(QuiesceKind::Writers, Reading::HiddenWriter, 1, "S2");
}

#[test]
fn writers_that_start_by_themselves_lose_writes() {
    let model = protocol(QuiesceKind::Writers, Reading::WritersNotMasked, 1);
    breaks_within(Protocol { barred: false, ..model }, "S2");
}

#[test]
fn signals_that_are_deferred_only_to_routed_leave_the_writers_stopped() {
    breaks(QuiesceKind::Writers, Reading::SignalsDeferredToRouted, 1, "liveness");
}

#[test]
fn settling_by_a_record_that_is_not_synced_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::SettlesUnsynced, 2, "S1");
}

#[test]
fn an_old_attempts_committed_that_counts_opens_a_side_that_is_behind() {
    breaks(QuiesceKind::Data, Reading::OldCommittedCounts, 1, "S");
}

#[test]
fn writers_that_still_believe_the_old_route_lose_writes() {
    let model = protocol(QuiesceKind::Writers, Reading::RouteBelievedTooEarly, 0);
    breaks_within(Protocol { barred: false, ..model }, "S2");
}

#[test]
fn a_commit_that_is_taken_back_while_an_opening_is_on_its_way_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::TakenBackWithLateOpen, 2, "S1");
}
