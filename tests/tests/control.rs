//! What a running apply is asked from outside, and what it tells: pause, throttle, metrics, the report beside it.

#![expect(clippy::expect_used, reason = "a test cannot go on without its connection")]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use segue_tests::{Running, Scratch, wait_until};

const FOLLOW: [&str; 5] = ["apply", "--follow", "--auto-approve", "--metrics-listen", "127.0.0.1:0"];

fn promtool(metrics: &str) {
    let mut checker = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool starts");
    checker.stdin.take().expect("piped").write_all(metrics.as_bytes()).expect("written");
    let output = checker.wait_with_output().expect("it ends");
    let said =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.trim().is_empty(), "{said}\n{metrics}");
}

/// Where the metrics are served.
fn metrics_address(apply: &mut Running) -> String {
    apply.until_it_says("Metrics: http://");
    let said = apply.output();
    let at = said.split("Metrics: http://").nth(1).and_then(|rest| rest.split("/metrics").next());
    at.expect("an address").to_owned()
}

fn ask(address: &str, question: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).expect("it listens");
    // One that refuses may close before it has read all.
    let _ = stream.write_all(question);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn without_a_running_apply_there_is_nothing_to_steer_and_it_says_what_to_do() {
    let scratch = Scratch::new();
    for words in [&["pause"][..], &["resume"], &["throttle", "5MiB/s"]] {
        let refused = scratch.segue(words).expect_code(1);
        assert!(refused.stderr.contains("no apply is running"), "{}", refused.all());
        assert!(refused.stderr.contains("segue apply"), "{}", refused.all());
    }
    scratch.segue(&["throttle", "fast"]).expect_code(64);
    assert!(!scratch.at(".segue").exists(), "asking makes no state");
    let report = scratch.segue(&["report"]).expect_code(0);
    assert!(report.stdout.contains("Nothing has been applied here yet"), "{}", report.stdout);
    promtool(&scratch.segue(&["metrics"]).expect_code(0).stdout);
}

#[test]
fn a_throttle_counts_at_once_and_a_pause_stops_all_work_until_it_is_resumed() {
    let scratch = Scratch::new();
    scratch.run("sh", &["-c", "head -c 60000000 /dev/urandom > old/assets/large.bin"]).expect_code(0);
    scratch.edit_spec("  verify {", "  load {\n    rate_limit = \"20KiB/s\"\n  }\n  verify {");
    let mut apply = Running::new(&scratch, &FOLLOW);
    let metrics = metrics_address(&mut apply);
    apply.until_it_says("throttled to 20 KiB/s (spec: load.rate_limit)");
    let scraped = || ask(&metrics, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(
        scraped()
            .contains("segue_rate_limit_bytes_per_second{migration=\"migration.site\",from=\"spec\"} 20480")
    );
    scratch.segue(&["pause", "--why", "two\nlines"]).expect_code(1);
    scratch.segue(&["pause", "--why", "nightly dump"]).expect_code(0);
    let status = scratch.segue(&["status", "--json"]).expect_code(0);
    let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
    assert!(status["brakes"]["paused"]["by"].is_string(), "{status}");
    assert_eq!(status["brakes"]["paused"]["why"], "nightly dump", "{status}");
    assert!(scraped().contains("segue_run_paused 1"));
    // At 20 KiB/s this would take most of an hour: what was owed to the old limit is forgotten.
    scratch.segue(&["throttle", "1GiB/s", "--migration", "site", "--why", "the link is free"]).expect_code(0);
    let status = scratch.segue(&["status"]).expect_code(0);
    assert!(status.stdout.contains("throttled to 1 GiB/s by "), "{}", status.stdout);
    assert!(status.stdout.contains(": the link is free"), "{}", status.stdout);
    assert!(!apply.output().contains(".load: done"), "{}", apply.output());
    scratch.segue(&["resume"]).expect_code(0);
    apply.until_it_says("cutover.site is switched: the target serves");
    scratch.segue(&["throttle", "1MiB/s", "--migration", "sit"]).expect_code(1);
    scratch.segue(&["throttle", "off"]).expect_code(0);
    wait_until("the spec's limit counts again", || {
        scratch.segue(&["status"]).stdout.contains("throttled to 20 KiB/s (spec: load.rate_limit)")
    });
    assert_eq!(scratch.live(), "new");
    apply.kill();
    remembered(&scratch);
}

/// Who paused and throttled, and why, outlives the run.
fn remembered(scratch: &Scratch) {
    let history = scratch.segue(&["history"]).expect_code(0).stdout;
    let html = scratch.segue(&["report"]).expect_code(0).stdout;
    for said in [
        "paused",
        "nightly dump",
        "resumed",
        "throttled to 1 GiB/s",
        "the link is free",
        "no longer throttled",
    ] {
        assert!(history.contains(said) && html.contains(said), "{said}:\n{history}\n{html}");
    }
    let json = scratch.segue(&["report", "--json"]).expect_code(0).stdout;
    let json: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(json["steering"]["total"], 4, "{}", json["steering"]);
    assert_eq!(json["steering"]["kept"][0]["what"], "paused: nightly dump");
}

#[test]
fn a_pause_is_refused_while_clients_wait() {
    let scratch = Scratch::new();
    scratch.edit_spec(
        "stop  = [\"./app\", \"pause\"]",
        "stop  = [\"sh\", \"-c\", \"./app pause; while [ ! -e go-on ]; do sleep 0.05; done\"]",
    );
    let mut apply = Running::new(&scratch, &["apply", "--auto-approve"]);
    apply.until_it_says("QUIESCING");
    let refused = scratch.segue(&["pause"]).expect_code(1);
    assert!(refused.stderr.contains("clients' writes wait"), "{}", refused.all());
    scratch.write("go-on", "");
    apply.until_it_says("Done.");
}

#[test]
fn metrics_are_what_prometheus_reads_and_nothing_else_is_served() {
    let scratch = Scratch::new();
    scratch.app(&["start"]).expect_code(0);
    let mut apply = Running::new(&scratch, &FOLLOW);
    let address = metrics_address(&mut apply);
    apply.until_it_says("cutover.site is switched");
    let answer = ask(&address, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(head.contains(&format!("Content-Length: {}", body.len())), "{head}");
    promtool(body);
    assert!(body.contains("segue_cutover_live{cutover=\"cutover.site\",side=\"target\"} 1"), "{body}");
    promtool(&scratch.segue(&["metrics"]).expect_code(0).stdout);
    assert!(ask(&address, b"GET / HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 404"));
    assert!(ask(&address, b"POST /metrics HTTP/1.1\r\n\r\n").starts_with("HTTP/1.1 405"));
    let endless = ask(
        &address,
        &b"GET /metrics HTTP/1.1\r\nx: ".iter().chain(&[b'a'; 64 * 1024]).copied().collect::<Vec<u8>>(),
    );
    assert!(endless.is_empty() || endless.starts_with("HTTP/1.1 431"), "{endless}");
    let taken = scratch.segue(&["metrics"]).expect_code(0);
    assert!(taken.stdout.contains("segue_running 1"), "{}", taken.stdout);
}

#[test]
fn the_report_is_written_beside_a_run_and_hostile_names_in_it_are_text() {
    let scratch = Scratch::new();
    scratch.edit_spec("  verify {", "  sync {\n    interval = \"1s\"\n  }\n  verify {");
    scratch.app(&["start"]).expect_code(0);
    let mut apply = Running::new(&scratch, &FOLLOW);
    apply.until_it_says("cutover.site is switched");
    // A stale writer on the old side, with a name that is markup.
    scratch.write("old/<script>alert(1)<\u{200b}script>.html", "stale");
    apply.until_it_says("STALE WRITES");
    scratch.segue(&["report", "--out", "report.html"]).expect_code(0);
    let html = segue_contract::paths::read_to_string(&scratch.at("report.html")).expect("UTF-8");
    assert!(html.starts_with("<!doctype html>") && html.trim_end().ends_with("</html>"));
    assert!(!html.contains("<script") && !html.contains("http://"), "{html}");
    for word in [
        "the target serves",
        "WRITERS_STARTED",
        "predicted",
        "all equal",
        "in place",
        "1 stale",
        "&lt;script&gt;",
    ] {
        assert!(html.contains(word), "{word} is not in\n{html}");
    }
    let json = scratch.segue(&["report", "--json"]).expect_code(0);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json["version"], 1);
    assert_eq!(json["attempts"]["kept"][0]["outcome"]["is"], "switched");
    assert_eq!(json["cutovers"][0]["stale"], 1, "{}", json["cutovers"]);
    let measured = json["attempts"]["kept"][0]["terms"].as_array().expect("terms");
    assert!(measured.iter().all(|t| t["measured_us"].is_u64()), "{measured:?}");
}
