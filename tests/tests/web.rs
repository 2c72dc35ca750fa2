//! Watches, gates and a quiesce that talk to real servers, through whole applies of the released binary: an HTTP server
//! of the test's own, and a real Prometheus that scrapes it.

#![expect(clippy::expect_used, reason = "a test cannot go on without its application")]

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use segue_tests::{Answer, Asked, Prometheus, Ran, Running, Scratch, Web, wait_until};

const APPLY: [&str; 2] = ["apply", "--auto-approve"];

/// A quickstart with writers and these blocks in its cutover.
fn with(blocks: &str) -> Scratch {
    let scratch = Scratch::new();
    scratch.add_to_cutover(blocks);
    scratch.edit_spec(
        "    level = \"full\"\n  }",
        "    level = \"full\"\n  }\n  sync {\n    interval = \"200ms\"\n  }",
    );
    scratch.app(&["start"]).expect_code(0);
    scratch
}

/// A watch of a type with these settings, long enough never to end by itself.
fn watch(kind: &str, settings: &str) -> String {
    format!(
        "watch \"{kind}\" {{\n {settings}\n for = \"10m\"\n interval = \"100ms\"\n failures = 2\n on_failure = \"switch_back\"\n }}"
    )
}

#[track_caller]
fn says(ran: &Ran, wanted: &str) {
    assert!(ran.all().contains(wanted), "{wanted:?} is not said: {}", ran.all());
}

/// Switches, is healthy, loses its health, and goes back by itself with everything.
#[track_caller]
fn goes_back(scratch: &Scratch, kind: &str, lose: impl FnOnce(), why: &str) {
    let mut apply = Running::new(scratch, &APPLY);
    apply.until_it_says(&format!("cutover.site.watch.{kind}: good"));
    assert_eq!(scratch.live(), "new");
    lose();
    let ended = apply.wait().expect_code(7);
    says(&ended, why);
    says(&ended, "0 writes lost");
    assert_eq!(scratch.live(), "old");
    says(&scratch.segue(&APPLY).expect_code(3), "health was lost after the switch");
    scratch.accepts_writes();
    scratch.nothing_is_lost();
}

/// A server that answers well until it is sick, and then otherwise.
fn server(well: Answer, sick: Answer) -> (Web, Arc<AtomicBool>) {
    let is_sick = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_sick);
    let web = Web::new(move |_| if seen.load(Ordering::SeqCst) { sick.clone() } else { well.clone() });
    (web, is_sick)
}

#[test]
fn a_health_page_that_turns_to_503_leads_back() {
    let (web, sick) = server(Answer::new(200, "fine"), Answer::new(503, "overloaded"));
    let scratch = with(&watch("http", &format!("url = \"{}\"", web.url("/health"))));
    goes_back(&scratch, "http", || sick.store(true, Ordering::SeqCst), "HTTP 503");
}

#[test]
fn a_health_page_that_says_something_else_leads_back() {
    let (web, sick) =
        server(Answer::new(200, r#"{"status":"green"}"#), Answer::new(200, r#"{"status":"red"}"#));
    let settings = format!("url = \"{}\"\n json = [\"/status=green\"]", web.url("/health"));
    let scratch = with(&watch("http", &settings));
    goes_back(&scratch, "http", || sick.store(true, Ordering::SeqCst), "red");
}

#[test]
fn a_health_page_that_becomes_slow_leads_back() {
    let slow = Answer { after: Duration::from_millis(700), ..Answer::new(200, "fine") };
    let (web, sick) = server(Answer::new(200, "fine"), slow);
    let settings = format!("url = \"{}\"\n max_latency = \"350ms\"", web.url("/health"));
    let scratch = with(&watch("http", &settings));
    goes_back(&scratch, "http", || sick.store(true, Ordering::SeqCst), "350");
}

#[test]
fn a_server_that_is_gone_leads_back() {
    let (web, _) = server(Answer::new(200, "fine"), Answer::new(200, "fine"));
    let scratch = with(&watch("http", &format!("url = \"{}\"", web.url("/health"))));
    goes_back(&scratch, "http", || drop(web), "refused");
}

#[test]
fn a_metric_that_rises_in_a_real_prometheus_leads_back() {
    let (shop, sick) = server(Answer::new(200, "shop_errors 0\n"), Answer::new(200, "shop_errors 17\n"));
    let prometheus = Prometheus::new(Some(shop.port()));
    let settings = format!(
        "url = \"http://127.0.0.1:{}\"\n query = \"shop_errors\"\n max = 1\n absent = \"ok\"",
        prometheus.port()
    );
    let scratch = with(&watch("metric", &settings));
    goes_back(&scratch, "metric", || sick.store(true, Ordering::SeqCst), "17");
}

#[test]
fn two_sides_that_answer_otherwise_lead_back() {
    let (source, _) = server(Answer::new(200, r#"{"count":7,"took":1}"#), Answer::new(200, ""));
    let (target, sick) =
        server(Answer::new(200, r#"{"took":9,"count":7}"#), Answer::new(200, r#"{"took":9,"count":6}"#));
    let settings = format!(
        "source = \"{}\"\n target = \"{}\"\n paths = [\"/products/_count\"]\n ignore = [\"/took\"]",
        source.url(""),
        target.url("")
    );
    let scratch = with(&watch("compare", &settings));
    goes_back(&scratch, "compare", || sick.store(true, Ordering::SeqCst), "/count");
}

#[test]
fn a_gate_waits_for_a_page_and_then_passes() {
    let (web, ready) = server(Answer::new(425, "3 of 7 shards are warm"), Answer::new(200, "warm"));
    let scratch =
        with(&format!("gate \"http\" {{\n url = \"{}\"\n interval = \"100ms\"\n }}", web.url("/warm")));
    let mut apply = Running::new(&scratch, &APPLY);
    apply.until_it_says("cutover.site.gate.http: waiting: ");
    assert!(apply.output().contains("HTTP 425"), "{}", apply.output());
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
    ready.store(true, Ordering::SeqCst);
    apply.wait().expect_code(0);
    scratch.settled_at("new");
}

/// An application that is paused by requests: the quickstart's own, behind a server.
fn pausable(at: PathBuf, hangs: Arc<AtomicBool>) -> Web {
    Web::new(move |asked: &Asked| {
        assert_eq!(asked.method, "POST", "{asked:?}");
        let side = asked
            .headers
            .iter()
            .any(|(name, value)| name == "segue-side" && ["source", "target"].contains(&value.as_str()));
        assert!(side, "it is not told which side: {asked:?}");
        let verb = asked.path.trim_start_matches('/').to_owned();
        let done = Command::new("./app").arg(&verb).current_dir(&at).status().expect("the application");
        if verb == "pause" && hangs.load(Ordering::SeqCst) {
            // The pause is made, and whoever asked for it never hears of it.
            std::thread::sleep(Duration::from_secs(60));
        }
        match (verb.as_str(), done.success()) {
            (_, true) => Answer::new(200, "done"),
            ("try-write", false) => Answer::new(503, "paused"),
            _ => Answer::new(500, "failed"),
        }
    })
}

fn paused_by_requests() -> (Scratch, Web, Arc<AtomicBool>) {
    let scratch = Scratch::new();
    let hangs = Arc::new(AtomicBool::new(false));
    let web = pausable(scratch.path().to_owned(), Arc::clone(&hangs));
    let spec = segue_contract::paths::read_to_string(&scratch.at("site.segue.hcl")).expect("the spec");
    let from = spec.find("  quiesce \"command\" {").expect("a quiesce");
    let to = from + spec[from..].find("\n  }\n").expect("its end") + 5;
    let quiesce = format!(
        "  quiesce \"http\" {{\n    stop_url  = \"{}\"\n    start_url = \"{}\"\n    probe_url = \"{}\"\n  }}\n",
        web.url("/pause"),
        web.url("/resume"),
        web.url("/try-write")
    );
    scratch.edit_spec(&spec[from..to], &quiesce);
    scratch.app(&["start"]).expect_code(0);
    (scratch, web, hangs)
}

#[test]
fn an_application_that_is_paused_by_requests_is_switched_and_switched_back() {
    let (scratch, _web, _) = paused_by_requests();
    let applied = scratch.segue(&APPLY).expect_code(0);
    says(&applied, "HTTP 503");
    scratch.settled_at("new");
    scratch.segue(&["switch-back", "cutover.site", "--auto-approve"]).expect_code(0);
    assert_eq!(scratch.live(), "old");
    scratch.accepts_writes();
    scratch.nothing_is_lost();
}

#[test]
fn a_run_that_dies_while_the_application_is_paused_by_request_is_settled_by_its_watchdog() {
    let (scratch, _web, hangs) = paused_by_requests();
    hangs.store(true, Ordering::SeqCst);
    let apply = Running::new(&scratch, &APPLY);
    wait_until("it pauses", || scratch.at("var/paused").exists());
    assert!(apply.kill());
    wait_until("the source takes writes again", || scratch.app(&["try-write"]).code == Some(0));
    wait_until("it is settled", || scratch.status()["cutovers"][0]["phase"] == "ready");
    hangs.store(false, Ordering::SeqCst);
    scratch.segue(&APPLY).expect_code(0);
    scratch.settled_at("new");
}
