//! `watch "metric"` against a real Prometheus that scrapes itself.

#![expect(clippy::expect_used, reason = "a test cannot go on without its Prometheus")]

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use segue_contract::{
    Address, BlockRef, Checkpoint, Config, Finding, Progress, Reading, Secret, SecretRef, Setting, StepError,
    StepIo,
};
use segue_tests::wait_until;
use serde_json::{Value, json};

/// A Prometheus of the test's own, killed when dropped.
struct Prometheus {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Prometheus {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // Free a moment ago: Prometheus cannot be asked which port it took.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let config = format!(
            "global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n- job_name: self\n  static_configs:\n  - targets: ['127.0.0.1:{port}']\n"
        );
        segue_contract::paths::replace(&dir.path().join("p.yml"), config.as_bytes()).expect("written");
        let log = std::fs::File::create_new(dir.path().join("log")).expect("a log");
        let child = Command::new("prometheus")
            .args(["--config.file=p.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus is installed: tests/run installs it");
        let mut this = Self { child, dir, port };
        wait_until("Prometheus is ready", || {
            assert!(this.child.try_wait().is_ok_and(|e| e.is_none()), "{}", this.log());
            this.is_ready()
        });
        this
    }

    fn log(&self) -> String {
        segue_contract::paths::read_to_string(&self.dir.path().join("log")).unwrap_or_default()
    }

    fn is_ready(&self) -> bool {
        let Ok(mut stream) = TcpStream::connect(("127.0.0.1", self.port)) else { return false };
        let mut answer = String::new();
        stream.write_all(b"GET /-/ready HTTP/1.0\r\n\r\n").is_ok()
            && stream.read_to_string(&mut answer).is_ok()
            && answer.starts_with("HTTP/1.0 200")
    }

    fn look(&self, settings: &[(&str, Value)]) -> Result<Reading, StepError> {
        let mut config = Config::default();
        config.insert("url", Setting::Plain(json!(format!("http://127.0.0.1:{}", self.port))));
        for (name, value) in settings {
            config.insert(*name, Setting::Plain(value.clone()));
        }
        let block = BlockRef {
            address: Address::new("cutover.a.watch.metric"),
            provider: "metric".to_owned(),
            base_dir: PathBuf::from("/"),
            config,
        };
        let registry = segue_providers::registry();
        let probe = registry.watch(&block).expect("registered");
        assert_eq!(probe.check(&block), []);
        probe.look(&block, &Io)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_query_to_a_real_prometheus_decides() {
    let prometheus = Prometheus::new();
    let look = |settings: &[(&str, Value)]| prometheus.look(settings).expect("looks");
    let up = ("query", json!("up{job=\"self\"} == 1"));
    // No sample yet, or one: both are answers.
    wait_until("it has scraped itself", || look(&[up.clone(), ("min", json!(1))]).ok);
    let reading = look(&[up.clone(), ("min", json!(0.5)), ("max", json!(1.5))]);
    assert_eq!(reading.said, "up{job=\"self\"} == 1 = 1 (0.5 to 1.5)");
    assert_eq!(reading.value, Some(1.0));
    assert!(!look(&[up, ("min", json!(1.5))]).ok);

    let several = ("query", json!("prometheus_http_requests_total"));
    wait_until("it has counted requests at several places", || {
        let reading = look(&[several.clone(), ("max", json!(-1))]);
        assert!(!reading.ok, "{reading:?}");
        reading.said.contains(" series: {\"__name__\":\"prometheus_http_requests_total\"")
    });

    let nothing = ("query", json!("no_such_metric"));
    assert!(!look(&[nothing.clone(), ("max", json!(1))]).ok);
    assert!(look(&[nothing, ("max", json!(1)), ("absent", json!("ok"))]).ok);
    assert_eq!(look(&[("query", json!("scalar(vector(7))")), ("max", json!(7))]).value, Some(7.0));
    assert!(!look(&[("query", json!("vector(0) / 0")), ("max", json!(7))]).ok, "not a number");

    let refused = |query: &str| {
        prometheus.look(&[("query", json!(query)), ("max", json!(1))]).expect_err("refused").to_string()
    };
    assert!(refused("up{").contains("cutover.a.watch.metric: query: "), "{}", refused("up{"));
    assert!(refused("up[5m]").contains("gives a matrix"), "{}", refused("up[5m]"));
}

/// A step that nobody watches.
struct Io;

impl StepIo for Io {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: Progress) {}
    fn checkpoint(&self, _: Checkpoint) -> Result<(), StepError> {
        Ok(())
    }
    fn take(&self, _: u64) {}
    fn artifacts(&self) -> &Path {
        Path::new("/nonexistent")
    }
    fn secret(&self, secret: &SecretRef) -> Result<Secret, StepError> {
        Err(StepError::permanent(format!("no secret {secret}")))
    }
    fn find(&self, _: Finding) {}
}
