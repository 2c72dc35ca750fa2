//! A real Prometheus of a test's own, killed when dropped.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use crate::running::wait_until;

/// A Prometheus that scrapes itself, and what it is told to.
pub struct Prometheus {
    child: Child,
    dir: tempfile::TempDir,
    port: u16,
}

impl Prometheus {
    /// Starts one that also scrapes `/metrics` at a port of this machine, and waits until it answers.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its Prometheus")]
    pub fn new(scraped: Option<u16>) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        // Free a moment ago: Prometheus cannot be asked which port it took.
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let job = |name: &str, port: u16| {
            format!("- job_name: {name}\n  static_configs:\n  - targets: ['127.0.0.1:{port}']\n")
        };
        let jobs: String =
            [Some(job("self", port)), scraped.map(|port| job("shop", port))].into_iter().flatten().collect();
        let config =
            format!("global:\n  scrape_interval: 200ms\n  scrape_timeout: 200ms\nscrape_configs:\n{jobs}");
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

    /// Where it answers.
    pub fn port(&self) -> u16 {
        self.port
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
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
