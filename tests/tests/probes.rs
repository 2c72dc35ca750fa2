//! `watch "metric"` against a real Prometheus that scrapes itself.

#![expect(clippy::expect_used, reason = "a test cannot go on without its Prometheus")]

use std::path::{Path, PathBuf};

use segue_contract::{
    Address, BlockRef, Checkpoint, Config, Finding, Progress, Reading, Secret, SecretRef, Setting, StepError,
    StepIo,
};
use segue_tests::{Prometheus, wait_until};
use serde_json::{Value, json};

fn look_at(prometheus: &Prometheus, settings: &[(&str, Value)]) -> Result<Reading, StepError> {
    let mut config = Config::default();
    config.insert("url", Setting::Plain(json!(format!("http://127.0.0.1:{}", prometheus.port()))));
    for (name, value) in settings {
        config.insert(*name, Setting::Plain(value.clone()));
    }
    let block = BlockRef {
        address: Address::new("cutover.a.watch.metric"),
        provider: "metric".to_owned(),
        base_dir: PathBuf::from("/"),
        config,
        scope: Vec::new(),
    };
    let registry = segue_providers::registry();
    let probe = registry.watch(&block).expect("registered");
    assert_eq!(probe.check(&block), []);
    probe.look(&block, &Io)
}

#[test]
fn a_query_to_a_real_prometheus_decides() {
    let prometheus = Prometheus::new(None);
    let look = |settings: &[(&str, Value)]| look_at(&prometheus, settings).expect("looks");
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
        look_at(&prometheus, &[("query", json!(query)), ("max", json!(1))]).expect_err("refused").to_string()
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
