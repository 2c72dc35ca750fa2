//! The lease that systemd holds: it gives the units back by itself, unless it is certainly taken away.

use segue_contract::BarrierState;
use serde_json::json;

use crate::booted::{World, inside, wait_until};

/// How many leases are raced, and how their length follows the outcomes.
const ROUNDS: u32 = 30;
const STEP_MS: u64 = 20;
/// Longer than any test.
const LONG_MS: u64 = 3_600_000;

fn started(world: &World) -> segue_contract::QuiesceCall {
    world.service("web.service", "", "ExecStart=/bin/sleep 1000");
    world.must(&["daemon-reload"]);
    world.must(&["start", "web.service"]);
    world.call(&["web.service"], &json!({}))
}

fn timers(world: &World) -> usize {
    world.must(&["list-units", "--all", "--plain", "--no-legend", "segue-lease-*"]).lines().count()
}

#[test]
fn units_come_back_by_themselves_and_then_hardening_is_refused() {
    inside("lease::units_come_back_by_themselves_and_then_hardening_is_refused", |world| {
        let call = started(world);
        let before = world.files();
        let said = world.lease(&call, 1500).expect("arms").expect("systemd holds it");
        assert!(said.starts_with("systemd on this host (segue-lease-"), "{said}");
        assert!(said.ends_with("starts web.service again after 1500 ms"), "{said}");
        world.close(&call).expect("closes");
        wait_until("the lease runs out", || world.is("web.service") == "active");
        assert!(
            world.files().iter().all(|f| f.extension().is_none_or(|e| e != "conf")),
            "nothing keeps it down"
        );
        assert_eq!(world.observe(&call), BarrierState::Open);
        for _ in 0..2 {
            let error = world.harden(&call).expect_err("too late").to_string();
            assert!(error.contains("not certainly pending"), "{error}");
        }
        let error = world.lease(&call, LONG_MS).expect_err("too late to renew").to_string();
        assert!(error.contains("has started"), "{error}");
        // Settling gives back what is given back, and the next attempt begins clean.
        world.open(&call).expect("opens");
        assert_eq!((timers(world), world.files()), (0, before));
        world.lease(&call, LONG_MS).expect("arms");
        world.close(&call).expect("closes");
        world.harden(&call).expect("hardens");
    });
}

#[test]
fn hardened_stays_down_and_a_renewal_leaves_one_timer() {
    inside("lease::hardened_stays_down_and_a_renewal_leaves_one_timer", |world| {
        let call = started(world);
        world.lease(&call, LONG_MS).expect("arms");
        world.close(&call).expect("closes");
        for _ in 0..3 {
            world.lease(&call, LONG_MS).expect("renews");
        }
        // The timer, and the service that it would start.
        let listed = world.must(&["list-units", "--all", "--plain", "--no-legend", "segue-lease-*.timer"]);
        assert_eq!(listed.lines().count(), 1, "{listed}");
        world.harden(&call).expect("hardens");
        world.harden(&call).expect("for the next migration of the group");
        assert_eq!(timers(world), 0);
        assert!(matches!(world.observe(&call), BarrierState::Closed(_)));
        world.open(&call).expect("opens");
        assert_eq!(world.is("web.service"), "active");
        assert!(world.harden(&call).is_err(), "nothing is closed any more");
    });
}

#[test]
fn a_timer_that_somebody_took_away_is_not_known_to_have_been_pending() {
    inside("lease::a_timer_that_somebody_took_away_is_not_known_to_have_been_pending", |world| {
        let call = started(world);
        world.lease(&call, LONG_MS).expect("arms");
        world.close(&call).expect("closes");
        world.must(&["stop", "segue-lease-*.timer"]);
        let error = world.harden(&call).expect_err("not known").to_string();
        assert!(error.contains("there is no timer"), "{error}");
        world.open(&call).expect("opens");
    });
}

#[test]
fn units_that_somebody_started_are_not_hardened() {
    inside("lease::units_that_somebody_started_are_not_hardened", |world| {
        let call = started(world);
        let by_hand = world.by_hand(&call);
        // First by somebody who leaves the timer alone.
        world.lease(&call, LONG_MS).expect("arms");
        world.close(&call).expect("closes");
        let (start, _) = by_hand.rsplit_once(" && ").expect("several commands");
        assert!(std::process::Command::new("sh").args(["-c", start]).status().expect("sh").success());
        let error = world.harden(&call).expect_err("it runs").to_string();
        assert!(error.contains("run again although"), "{error}");
        world.open(&call).expect("opens");
        world.lease(&call, LONG_MS).expect("arms");
        world.close(&call).expect("closes");
        assert!(std::process::Command::new("sh").args(["-c", &by_hand]).status().expect("sh").success());
        let error = world.harden(&call).expect_err("it runs").to_string();
        assert!(error.contains("there is no timer"), "its timer is gone too: {error}");
        world.open(&call).expect("opens");
        assert_eq!(timers(world), 0);
    });
}

#[test]
fn of_leases_that_run_out_while_they_are_hardened_none_opens_after_yes() {
    let name = "lease::of_leases_that_run_out_while_they_are_hardened_none_opens_after_yes";
    inside(name, |world| {
        let call = started(world);
        let (mut yes, mut no) = (0, 0);
        // Around the time that arming and closing take, so that both outcomes come up.
        let mut lease_ms = 150;
        for _ in 0..ROUNDS {
            world.lease(&call, lease_ms).expect("arms");
            let closed = world.close(&call);
            match world.harden(&call) {
                Ok(()) => {
                    yes += 1;
                    assert!(closed.is_ok());
                    assert_eq!(timers(world), 0, "nothing is left that could start it");
                    assert!(matches!(world.observe(&call), BarrierState::Closed(_)));
                    lease_ms = lease_ms.saturating_sub(STEP_MS).max(1);
                }
                Err(error) => {
                    no += 1;
                    assert!(error.to_string().contains("not certainly pending"), "{error}");
                    lease_ms += STEP_MS;
                }
            }
            world.open(&call).expect("opens");
        }
        assert!(yes > 0 && no > 0, "{yes} hardened, {no} lapsed: the race was not met");
    });
}
