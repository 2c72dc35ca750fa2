//! A group of two migrations that switches as one (protocol P20), of one kind or of both: one COMMITTED, all hardened
//! or none, and a member that cannot be opened after it takes the whole group back.

mod events;
mod program;
mod steps;
mod world;

use segue_contract::QuiesceKind;

use super::check::{self, bound};
use program::{Group, Reading};

const DATA: [QuiesceKind; 2] = [QuiesceKind::Data; 2];
const BOTH: [QuiesceKind; 2] = [QuiesceKind::Data, QuiesceKind::Writers];

fn named(kinds: [QuiesceKind; 2]) -> String {
    format!("group {:?}+{:?}", kinds[0], kinds[1]).to_lowercase()
}

fn holds(kinds: [QuiesceKind; 2], attempts: u8, faults: u8) {
    let group = Group { kinds, reading: Reading::Real, writes: 2, attempts, faults };
    check::holds(&group, &named(kinds), &format!("2 writes, {attempts} attempts, {faults} faults"));
}

#[track_caller]
fn breaks(kinds: [QuiesceKind; 2], reading: Reading, faults: u8, invariant: &str) {
    let group = Group { kinds, reading, writes: 2, attempts: 1, faults };
    check::breaks(&group, &named(kinds), &reading, invariant);
}

#[test]
fn a_group_on_the_data_breaks_nothing() {
    holds(DATA, 1, bound(2, 3));
}

#[test]
fn a_group_of_both_kinds_breaks_nothing() {
    holds(BOTH, 1, bound(2, 3));
}

#[test]
fn a_group_on_the_data_that_switches_there_and_back_breaks_nothing() {
    holds(DATA, 2, bound(1, 2));
}

#[test]
fn a_group_of_both_kinds_that_switches_there_and_back_breaks_nothing() {
    holds(BOTH, 2, bound(1, 2));
}

#[test]
fn a_group_that_is_hardened_in_part_opens_two_sides() {
    breaks(DATA, Reading::HardenedInPart, 0, "S1");
}

#[test]
fn a_commit_of_each_member_splits_the_group() {
    breaks(DATA, Reading::CommitPerMember, 1, "S1");
}

#[test]
fn targets_that_are_proven_openable_by_opening_them_take_writes_before_the_way_back_is_armed() {
    breaks(DATA, Reading::ProvenByOpening, 0, "S4");
}

#[test]
fn targets_that_are_proven_openable_by_opening_them_are_open_beside_their_sources() {
    breaks(DATA, Reading::ProvenByOpening, 1, "S1");
}

#[test]
fn a_group_of_both_kinds_in_which_each_waits_for_the_other_never_opens() {
    breaks(BOTH, Reading::EachWaitsForTheOther, 0, "liveness");
}

#[test]
fn a_commit_that_is_taken_back_after_a_member_took_writes_loses_them() {
    breaks(DATA, Reading::TakenBackInPart, 1, "S2, S3");
}

#[test]
fn a_group_that_died_on_its_way_back_and_is_aborted_stays_closed() {
    breaks(DATA, Reading::WayBackAborted, 2, "liveness: whoever");
}

#[test]
fn a_way_back_that_is_aborted_with_the_routes_left_behind_serves_nobody() {
    breaks(DATA, Reading::RoutesLeftBehind, 1, "liveness: at rest");
}
