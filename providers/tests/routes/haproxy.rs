//! `route "haproxy"` at a real HAProxy, with clients.

use std::process::Command;

use segue_contract::{BlockRef, ErrorClass, RouteAt, Side, StepError};
use serde_json::json;

use crate::balancer::Balancer;
use crate::step::{Io, check, free_port, route};

#[track_caller]
fn at(block: &BlockRef) -> RouteAt {
    route(block).observe(block, &Io).expect("observes")
}

fn set(block: &BlockRef, side: Side) -> Result<(), StepError> {
    route(block).set(block, side, &Io)
}

#[test]
fn clients_are_sent_to_one_side_and_back_and_by_hand() {
    let lb = Balancer::new();
    let app = lb.route(&[("backend", json!("app"))]);
    assert_eq!((at(&app), lb.share("/app")), (RouteAt::Side(Side::Source), 0));
    for (side, share) in [(Side::Target, 100), (Side::Target, 100), (Side::Source, 0), (Side::Target, 100)] {
        set(&app, side).expect("sets");
        assert_eq!((at(&app), lb.share("/app")), (RouteAt::Side(side), share));
    }
    let typed = route(&app).set_by_hand(&app, Side::Source);
    assert!(Command::new("sh").args(["-c", &typed]).status().expect("sh").success(), "{typed}");
    assert_eq!((at(&app), lb.share("/app")), (RouteAt::Side(Side::Source), 0), "{typed}");
}

#[test]
fn a_reload_forgets_the_switch_which_is_said_before_and_seen_after() {
    let mut lb = Balancer::new();
    let app = lb.route(&[("backend", json!("app"))]);
    let said = check(&app);
    assert_eq!(
        said,
        ["info: HAProxy forgets a switch of backend app when it is reloaded: its configuration says source"]
    );
    set(&app, Side::Target).expect("sets");
    let said = check(&app);
    assert_eq!(
        said,
        [
            "warning: a reload of HAProxy would move backend app: its configuration sends all to old, and it is at new of app now"
        ]
    );
    lb.reload();
    assert_eq!((at(&app), lb.share("/app")), (RouteAt::Side(Side::Source), 0), "drift");
    set(&app, Side::Target).expect("sets");
    assert_eq!((at(&app), lb.share("/app")), (RouteAt::Side(Side::Target), 100));
}

#[test]
fn a_process_that_is_gone_is_waited_for() {
    let mut lb = Balancer::new();
    let app = lb.route(&[("backend", json!("app"))]);
    lb.kill();
    let error = set(&app, Side::Target).expect_err("nobody is there");
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(error.to_string().contains("nobody listens there"), "{error}");
    lb.start_again();
    set(&app, Side::Target).expect("sets");
    assert_eq!(at(&app), RouteAt::Side(Side::Target));
}

#[test]
fn reads_go_over_in_steps_where_they_have_a_backend_of_their_own() {
    let lb = Balancer::new();
    let both = lb.route(&[("backend", json!("app")), ("reads_backend", json!("reads"))]);
    let weigh = |percent| route(&both).weigh(&both, percent, &Io).expect("weighs");
    assert_eq!(at(&both), RouteAt::Side(Side::Source));
    for percent in [5, 25, 25, 99] {
        weigh(percent);
        assert_eq!(at(&both), RouteAt::Weighted(percent));
        // HAProxy begins its round anew for each of its threads.
        let share = lb.share("/reads");
        assert!(share.abs_diff(usize::from(percent)) <= 2 && share > 0, "{share} of {percent}");
        assert_eq!(lb.share("/app"), 0, "writes stay");
    }
    weigh(0);
    assert_eq!((at(&both), lb.share("/reads")), (RouteAt::Side(Side::Source), 0));
    weigh(25);
    for (side, share) in [(Side::Target, 100), (Side::Source, 0)] {
        set(&both, side).expect("sets, and ends the weight");
        assert_eq!(at(&both), RouteAt::Side(side));
        assert_eq!((lb.share("/reads"), lb.share("/app")), (share, share));
    }
    let weights = lb.ask("get weight reads/old") + &lb.ask("get weight reads/new");
    assert_eq!(
        weights.split_whitespace().collect::<Vec<_>>().join(" "),
        "100 (initial 100) 100 (initial 100)"
    );
    lb.ask("set server reads/new state ready");
    lb.ask("set server reads/old state maint");
    let at = at(&both);
    assert!(
        matches!(&at, RouteAt::Other(what) if what == "writes to old of app, reads to new of reads"),
        "{at:?}"
    );
}

#[test]
fn what_the_configuration_lacks_or_has_besides_is_told() {
    let lb = Balancer::new();
    let gone = lb.route(&[("backend", json!("nowhere"))]);
    assert_eq!(at(&gone), RouteAt::Missing);
    let said = check(&gone);
    assert_eq!(
        said,
        ["critical: HAProxy has no server nowhere/old", "critical: HAProxy has no server nowhere/new"]
    );
    let error = set(&gone, Side::Target).expect_err("nothing there");
    assert_eq!(error.class, ErrorClass::Permanent, "{error}");
    let other = lb.route(&[("backend", json!("app")), ("target", json!("newer"))]);
    assert_eq!(check(&other), ["critical: HAProxy has no server app/newer"]);
    let crowd = lb.route(&[("backend", json!("crowd"))]);
    let said = check(&crowd);
    assert!(said.iter().any(|f| f.starts_with("warning: backend crowd also has third, ready")), "{said:?}");
    let operator = lb.socket().replace("admin.sock", "user.sock");
    let weak = lb.route(&[("backend", json!("app")), ("socket", json!(operator))]);
    let said = check(&weak);
    assert!(said.iter().any(|f| f.starts_with("critical:") && f.contains("has level operator")), "{said:?}");
    let error = set(&weak, Side::Target).expect_err("not permitted");
    assert_eq!(error.class, ErrorClass::Permanent, "{error}");
    assert_eq!(at(&weak), RouteAt::Side(Side::Source));
    let settable = |block: &BlockRef| route(block).settable(block, &Io);
    for block in [&gone, &other, &weak] {
        assert_eq!(settable(block).expect_err("it could not").class, ErrorClass::Permanent);
    }
    assert!(settable(&crowd).expect("it could").is_some());
    assert_eq!(at(&crowd), RouteAt::Side(Side::Source));
}

#[test]
fn a_balance_that_takes_no_weights_switches_and_does_not_weigh() {
    let lb = Balancer::new();
    let fixed = lb.route(&[("backend", json!("app")), ("reads_backend", json!("fixed"))]);
    for (side, share) in [(Side::Target, 100), (Side::Source, 0)] {
        set(&fixed, side).expect("sets");
        assert_eq!((at(&fixed), lb.share("/fixed")), (RouteAt::Side(side), share));
    }
    let error = route(&fixed).weigh(&fixed, 5, &Io).expect_err("no weights");
    assert_eq!(error.class, ErrorClass::Permanent, "{error}");
    assert!(error.remedy.as_deref().is_some_and(|r| r.contains("roundrobin")), "{error:?}");
    assert_eq!(at(&fixed), RouteAt::Side(Side::Source), "and nothing was changed");
}

#[test]
fn sessions_that_stay_open_are_ended_where_the_spec_says_so() {
    let lb = Balancer::new();
    let keeps = lb.route(&[("backend", json!("pipe"))]);
    let ends = lb.route(&[("backend", json!("pipe")), ("end_sessions", json!(true))]);
    let mut client = lb.connected();
    assert_eq!(client.get().as_deref(), Some("old"));
    set(&keeps, Side::Target).expect("sets");
    assert_eq!(client.get().as_deref(), Some("old"), "a session stays where it is");
    assert_eq!(lb.connected().get().as_deref(), Some("new"));
    set(&ends, Side::Target).expect("sets");
    assert_eq!(client.get(), None, "it is closed");
    assert_eq!(lb.connected().get().as_deref(), Some("new"));
}

#[test]
fn an_entry_of_a_map_says_where_clients_go() {
    let lb = Balancer::new();
    let shop = lb.route(&[
        ("map", json!(lb.map())),
        ("map_key", json!("/shop")),
        ("source", json!("be_old")),
        ("target", json!("be_new")),
    ]);
    assert_eq!((at(&shop), lb.get("/shop")), (RouteAt::Side(Side::Source), "old".to_owned()));
    let said = check(&shop);
    assert!(
        matches!(said.as_slice(), [one] if one.starts_with("warning: HAProxy forgets what is set in ")),
        "{said:?}"
    );
    for (side, name) in [(Side::Target, "new"), (Side::Target, "new"), (Side::Source, "old")] {
        set(&shop, side).expect("sets");
        assert_eq!((at(&shop), lb.get("/shop")), (RouteAt::Side(side), name.to_owned()));
    }
    let typed = route(&shop).set_by_hand(&shop, Side::Target);
    assert!(Command::new("sh").args(["-c", &typed]).status().expect("sh").success(), "{typed}");
    assert_eq!(at(&shop), RouteAt::Side(Side::Target));
    lb.ask(&format!("set map {} /shop be_third", lb.map()));
    assert_eq!(at(&shop), RouteAt::Other("be_third".into()));
    lb.ask(&format!("del map {} /shop", lb.map()));
    assert_eq!(at(&shop), RouteAt::Missing);
    set(&shop, Side::Source).expect("is made");
    assert_eq!((at(&shop), lb.get("/shop")), (RouteAt::Side(Side::Source), "old".to_owned()));
    let gone = lb.route(&[("map", json!("/no/such.map")), ("map_key", json!("k"))]);
    assert_eq!(at(&gone), RouteAt::Missing);
    assert!(check(&gone).iter().any(|f| f.starts_with("critical: HAProxy has no map")), "{:?}", check(&gone));
    let nobody =
        lb.route(&[("backend", json!("app")), ("socket", json!(format!("127.0.0.1:{}", free_port())))]);
    assert_eq!(set(&nobody, Side::Target).expect_err("nobody").class, ErrorClass::Transient);
}
