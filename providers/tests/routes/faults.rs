//! `route "dns"` when something is wrong: the key, the clock, the server, the wire, somebody else.

use std::sync::Arc;

use segue_contract::{BlockRef, ErrorClass, RouteAt, Side, StepError};
use serde_json::json;

use crate::named::{KEY, Named, READER, at, record, search, set};
use crate::proxy::{Proxy, Updates};
use crate::step::{Io, block, free_port, route, wait_until};

fn with_key(port: u16, name: &str, algorithm: &str, secret: &str) -> BlockRef {
    let settings = [
        ("server", json!(format!("127.0.0.1:{port}"))),
        ("zone", json!("mig.test.")),
        ("name", json!("search")),
        ("source", json!(["10.0.0.1"])),
        ("target", json!(["10.0.0.2"])),
        ("ttl", json!(5000)),
        ("key_name", json!(name)),
        ("key_algorithm", json!(algorithm)),
        ("timeout", json!(5000)),
    ];
    block("dns", &settings, &[("key_secret", secret)])
}

#[track_caller]
fn told(error: &StepError, class: ErrorClass, wanted: &str) {
    assert!(error.to_string().contains(wanted), "{error}");
    assert_eq!(error.class, class, "{error}");
    assert!(error.remedy.is_some(), "{error}");
    assert!(!format!("{error:?}").contains(KEY), "{error:?}");
}

#[test]
fn a_wrong_key_is_told_when_the_route_is_observed_before_anything_runs() {
    let named = Named::new();
    let cases = [
        ("nobody", "hmac-sha256", KEY, "does not know the key nobody (BADKEY)"),
        ("segue", "hmac-sha256", READER, "knows another secret of the key segue (BADSIG)"),
        ("segue", "hmac-sha512", KEY, "does not know the key segue (BADKEY)"),
        ("segue", "hmac-sha256", "not base64!", "key_secret is not base64"),
    ];
    for (name, algorithm, secret, wanted) in cases {
        let block = with_key(named.port, name, algorithm, secret);
        let error = route(&block).observe(&block, &Io).map(drop).expect_err("a wrong key");
        told(&error, ErrorClass::Permanent, wanted);
        told(&set(&block, Side::Target).expect_err("a wrong key"), ErrorClass::Permanent, wanted);
    }
    assert_eq!(at(&search(named.port)), RouteAt::Side(Side::Source));
}

#[test]
fn an_update_that_is_refused_is_told() {
    let named = Named::new();
    let block = with_key(named.port, "reader", "hmac-sha256", READER);
    assert_eq!(at(&block), RouteAt::Side(Side::Source));
    // Before anything is paused for it, too.
    let error = route(&block).settable(&block, &Io).expect_err("refused");
    told(&error, ErrorClass::Permanent, "refuses the update of search.mig.test. A (REFUSED)");
    let error = set(&block, Side::Target).expect_err("refused");
    told(&error, ErrorClass::Permanent, "refuses the update of search.mig.test. A (REFUSED)");
    assert_eq!(at(&block), RouteAt::Side(Side::Source));
}

#[test]
fn a_server_that_is_not_the_zones_is_told() {
    let named = Named::new();
    let block = record(
        named.port,
        "search",
        json!(["10.0.0.1"]),
        json!(["10.0.0.2"]),
        &[("zone", json!("other.test."))],
    );
    let error = route(&block).observe(&block, &Io).map(drop).expect_err("another zone");
    told(&error, ErrorClass::Permanent, "does not tell search.other.test. A (REFUSED)");
}

/// Set where a test runs once more, inside another clock: the server's port.
const PORT: &str = "SEGUE_TEST_NAMED_PORT";

#[test]
fn clocks_that_differ_are_told_with_how_far() {
    if let Some(port) = std::env::var(PORT).ok().and_then(|port| port.parse().ok()) {
        let block = search(port);
        let error = route(&block).observe(&block, &Io).map(drop).expect_err("another time");
        told(&error, ErrorClass::Permanent, "has another time (BADTIME): this machine is 36");
        assert!(error.to_string().ends_with(" s ahead of it"), "{error}");
        told(&set(&block, Side::Target).expect_err("another time"), ErrorClass::Permanent, "BADTIME");
        return;
    }
    let named = Named::new();
    let output = std::process::Command::new("faketime")
        .args(["-f", "+61m"])
        .arg(std::env::current_exe().expect("this test"))
        .args(["--exact", "faults::clocks_that_differ_are_told_with_how_far", "--nocapture"])
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env(PORT, named.port.to_string())
        .output()
        .expect("faketime is installed");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(at(&search(named.port)), RouteAt::Side(Side::Source));
}

#[test]
fn a_server_that_cannot_write_is_tried_again() {
    let named = Named::new();
    let block = search(named.port);
    let journal = named.dir().join("mig.test.zone.jnl");
    std::fs::create_dir(&journal).expect("in the journal's place");
    let error = set(&block, Side::Target).expect_err("it cannot");
    told(&error, ErrorClass::Transient, "could not do the update of search.mig.test. A (SERVFAIL)");
    assert_eq!(at(&block), RouteAt::Side(Side::Source));
    std::fs::remove_dir(&journal).expect("away");
    set(&block, Side::Target).expect("sets");
    assert_eq!(at(&block), RouteAt::Side(Side::Target));
}

#[test]
fn a_server_that_is_killed_and_back_is_set_after_all() {
    let mut named = Named::new();
    let block = search(named.port);
    set(&block, Side::Target).expect("sets");
    named.kill();
    for error in [
        set(&block, Side::Source).expect_err("nobody is there"),
        route(&block).observe(&block, &Io).map(drop).expect_err("nobody is there"),
    ] {
        told(&error, ErrorClass::Transient, "nobody answers at 127.0.0.1:");
    }
    named.start();
    assert_eq!(at(&block), RouteAt::Side(Side::Target), "what it answered it kept");
    set(&block, Side::Source).expect("sets");
    assert_eq!(at(&block), RouteAt::Side(Side::Source));
}

#[test]
fn an_update_whose_answer_is_lost_is_looked_for_and_found_done() {
    let named = Named::new();
    let proxy = Proxy::new(named.port);
    let block = search(proxy.port);
    proxy.updates(Updates::LoseAnswers);
    set(&block, Side::Target).expect("done, as the record says");
    wait_until("it was sent again until nobody is waited for", || proxy.counts() == (3, 3));
    assert_eq!(named.dig("search.mig.test", "A"), ["search.mig.test. 5 IN A 10.0.0.2"]);
}

#[test]
fn an_update_that_is_sent_twice_is_done_once() {
    let named = Named::new();
    let proxy = Proxy::new(named.port);
    let block = search(proxy.port);
    proxy.updates(Updates::LoseFirstAnswer);
    // The second one finds that what was there before is there no more, since the first one was done.
    set(&block, Side::Target).expect("done");
    let (came, lost) = proxy.counts();
    assert!(came > 1 && lost == 1, "{came}, {lost}");
    assert!(named.log().contains("prerequisite not satisfied"), "{}", named.log());
    assert_eq!(at(&block), RouteAt::Side(Side::Target));
}

#[test]
fn an_update_that_never_arrives_leaves_the_outcome_open_and_can_be_set_again() {
    let named = Named::new();
    let proxy = Proxy::new(named.port);
    let block = search(proxy.port);
    proxy.updates(Updates::Lose);
    let error = set(&block, Side::Target).expect_err("it never came");
    told(&error, ErrorClass::Unknown, "search.mig.test. A is not changed yet (it points to the source now)");
    proxy.updates(Updates::Pass);
    set(&block, Side::Target).expect("sets");
    assert_eq!(at(&block), RouteAt::Side(Side::Target));
}

#[test]
fn a_change_between_the_look_and_the_update_is_told_with_what_is_there() {
    let named = Arc::new(Named::new());
    let proxy = Proxy::new(named.port);
    let block = search(proxy.port);
    let other = Arc::clone(&named);
    proxy.before_next_update(move || {
        other.update(&["update delete search.mig.test A", "update add search.mig.test 5 A 10.0.0.9"]);
    });
    let error = set(&block, Side::Target).expect_err("somebody was faster");
    told(&error, ErrorClass::Permanent, "somebody else changed the record: it is A 10.0.0.9 now");
    assert_eq!(named.dig("search.mig.test", "A"), ["search.mig.test. 5 IN A 10.0.0.9"], "and is left");

    // Gone under our hands: told as well, and made when it is set again.
    named.update(&["update delete search.mig.test A", "update add search.mig.test 5 A 10.0.0.1"]);
    let other = Arc::clone(&named);
    proxy.before_next_update(move || other.update(&["update delete search.mig.test A"]));
    let error = set(&block, Side::Target).expect_err("somebody was faster");
    told(&error, ErrorClass::Transient, "between the look and the update: it is gone now");
    set(&block, Side::Target).expect("sets");
    assert_eq!(at(&block), RouteAt::Side(Side::Target));
}

#[test]
fn a_host_that_is_not_found_is_no_reason_to_stop() {
    let block = record(
        free_port(),
        "search",
        json!(["10.0.0.1"]),
        json!(["10.0.0.2"]),
        &[("server", json!("no-such-host.invalid"))],
    );
    let error = set(&block, Side::Target).expect_err("not found");
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(error.to_string().contains("server no-such-host.invalid is not found"), "{error}");
}
