//! Blocks, a step that knows the secrets of the tests, and waiting for a condition.

use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use segue_contract::{
    Address, BlockRef, Checkpoint, Config, Finding, Progress, Route, Secret, SecretRef, Setting, Severity,
    StepError, StepIo,
};
use serde_json::Value;

/// How long a test waits for anything, before it fails.
const PATIENCE: Duration = Duration::from_secs(30);

/// A step; a secret is what its reference names.
pub(crate) struct Io;

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
        match secret {
            SecretRef::Env(value) => Ok(Secret::new(value.clone())),
            SecretRef::Spec { .. } => Err(StepError::permanent("no such secret")),
        }
    }
    fn find(&self, _: Finding) {}
}

/// A block of a provider.
pub(crate) fn block(provider: &str, settings: &[(&str, Value)], secrets: &[(&str, &str)]) -> BlockRef {
    let mut config = Config::default();
    for (name, value) in settings {
        config.insert(*name, Setting::Plain(value.clone()));
    }
    for (name, value) in secrets {
        config.insert(*name, Setting::Secret(SecretRef::Env((*value).to_owned())));
    }
    BlockRef {
        address: Address::new(format!("route.{provider}.search")),
        provider: provider.to_owned(),
        base_dir: "/".into(),
        config,
        scope: Vec::new(),
    }
}

/// The route as the released tool has it.
pub(crate) fn route(block: &BlockRef) -> Arc<dyn Route> {
    Arc::clone(segue_providers::registry().route(block).expect("registered"))
}

/// The findings of a check, `warning: …`.
pub(crate) fn check(block: &BlockRef) -> Vec<String> {
    let word = |severity: Severity| match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    route(block).check(block).into_iter().map(|f| format!("{}: {}", word(f.severity), f.summary)).collect()
}

/// Waits until something is so.
#[track_caller]
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "{what}: not within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A port of the loopback that is free for UDP and TCP.
pub(crate) fn free_port() -> u16 {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").expect("binds");
        let port = udp.local_addr().expect("an address").port();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
