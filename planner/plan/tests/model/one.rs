//! One migration: every death, delayed call and data write, stall, lease, hidden writer and operator's hand.

mod events;
mod protocol;
mod reading;
mod steps;
mod world;

use segue_contract::QuiesceKind;

use super::check::{self, bound};
use protocol::Protocol;
use reading::Reading;

fn protocol(kind: QuiesceKind, reading: Reading, faults: u8) -> Protocol {
    Protocol { kind, barred: reading != Reading::HiddenWriter, reading, writes: 2, attempts: 2, faults }
}

fn named(model: &Protocol) -> String {
    let stale = if model.barred { "" } else { ", stale reported" };
    format!("one {:?}{stale}", model.kind).to_lowercase()
}

fn holds(model: Protocol) {
    let Protocol { writes, attempts, faults, .. } = model;
    let bounds = format!("{writes} writes, {attempts} attempts, {faults} faults");
    check::holds(&model, &named(&model), &bounds);
}

/// The reading breaks the invariant whose name begins so.
#[track_caller]
fn breaks(kind: QuiesceKind, reading: Reading, faults: u8, invariant: &str) {
    breaks_within(protocol(kind, reading, faults), invariant);
}

#[track_caller]
fn breaks_within(model: Protocol, invariant: &str) {
    // Most show in one attempt, and in fewer states.
    let two = [Reading::AbortedWithLateCalls, Reading::LateDataWritesLand, Reading::OldCommittedCounts];
    let model = Protocol { attempts: if two.contains(&model.reading) { 2 } else { 1 }, ..model };
    check::breaks(&model, &named(&model), &model.reading, invariant);
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

#[test]
fn a_hardened_holder_that_is_waited_for_leaves_both_sides_closed() {
    breaks(QuiesceKind::Data, Reading::NoForwardLease, 1, "liveness");
}

#[test]
fn going_back_when_the_time_to_complete_is_over_opens_two_sides() {
    breaks(QuiesceKind::Data, Reading::ForwardLeaseGoesBack, 1, "S1");
}
