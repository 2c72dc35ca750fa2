//! BIND on a port of its own, with a zone that takes signed updates.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use segue_contract::{BlockRef, RouteAt, Side, StepError};
use serde_json::{Value, json};

use crate::step::{Io, block, free_port, route, wait_until};

/// The key that may change addresses, names and texts below the zone.
pub(crate) const KEY: &str = "c2VndWUtdGVzdC1rZXktMzItYnl0ZXMtbG9uZy0wMDE=";
/// One that the server knows, and lets change nothing.
pub(crate) const READER: &str = "c2VndWUtdGVzdC1rZXktMzItYnl0ZXMtbG9uZy0wMDI=";
/// The test's own hand, which may change everything.
const ADMIN: &str = "c2VndWUtdGVzdC1rZXktMzItYnl0ZXMtbG9uZy0wMDM=";

pub(crate) struct Named {
    dir: tempfile::TempDir,
    pub(crate) port: u16,
    process: Option<Child>,
}

impl Named {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("segue-named-").tempdir().expect("a directory");
        let mut named = Self { dir, port: free_port(), process: None };
        named.write("mig.test.zone", ZONE);
        for (name, secret, algorithm) in [
            ("segue", KEY, "sha256"),
            ("long", KEY, "sha512"),
            ("reader", READER, "sha256"),
            ("admin", ADMIN, "sha256"),
        ] {
            let key = format!("key \"{name}\" {{ algorithm hmac-{algorithm}; secret \"{secret}\"; }};\n");
            named.write(&format!("{name}.key"), &key);
        }
        let at = named.dir.path().display();
        let config = format!(
            r#"
include "{at}/segue.key"; include "{at}/long.key"; include "{at}/reader.key"; include "{at}/admin.key";
options {{ directory "{at}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 {{ none; }}; recursion no;
  pid-file "{at}/named.pid"; session-keyfile "{at}/session.key"; managed-keys-directory "{at}"; dnssec-validation no; notify no; }};
controls {{ }};
zone "mig.test" {{ type primary; file "mig.test.zone"; update-policy {{
  grant segue zonesub A AAAA CNAME TXT; grant long zonesub A; grant admin zonesub ANY; }}; }};
"#,
            port = named.port
        );
        named.write("named.conf", &config);
        named.start();
        named
    }

    fn write(&self, name: &str, text: &str) {
        segue_contract::paths::replace(&self.dir.path().join(name), text.as_bytes()).expect("written");
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn start(&mut self) {
        let config = self.dir.path().join("named.conf");
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .expect("a log");
        let child = Command::new("named")
            .args(["-g", "-n", "1", "-c"])
            .arg(config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("bind9 is installed");
        self.process = Some(child);
        wait_until("named answers", || !self.dig("mig.test", "SOA").is_empty());
    }

    /// At once, as by a power cut.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// What the server has, as it is in a zone's file.
    pub(crate) fn dig(&self, name: &str, rtype: &str) -> Vec<String> {
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &self.port.to_string(), "+time=1", "+tries=1", "+noall", "+answer"])
            .args([name, rtype])
            .output()
            .expect("bind9-dnsutils is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let lines = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
        let mut found: Vec<String> =
            lines.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        found.sort();
        found
    }

    /// Somebody else, with nsupdate: the lines between `zone` and `send`.
    #[track_caller]
    pub(crate) fn update(&self, lines: &[&str]) {
        let script = format!("server 127.0.0.1 {}\nzone mig.test\n{}\nsend\n", self.port, lines.join("\n"));
        self.nsupdate("admin", &script);
    }

    #[track_caller]
    fn nsupdate(&self, key: &str, script: &str) {
        let file = self.dir.path().join(format!("{key}.key"));
        let path = self.dir.path().join("script");
        segue_contract::paths::replace(&path, script.as_bytes()).expect("written");
        let output = Command::new("nsupdate").arg("-k").arg(file).arg(path).output();
        let output = output.expect("bind9-dnsutils is installed");
        assert!(output.status.success(), "{script}{}", String::from_utf8_lossy(&output.stderr));
    }

    pub(crate) fn log(&self) -> String {
        segue_contract::paths::read_to_string(&self.dir.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Named {
    fn drop(&mut self) {
        self.kill();
    }
}

const ZONE: &str = "$TTL 300
@ IN SOA ns.mig.test. admin.mig.test. 1 3600 600 86400 30
@ IN NS ns.mig.test.
ns IN A 127.0.0.1
search 5 IN A 10.0.0.1
slow 3600 IN A 10.0.0.1
www 5 IN CNAME old.mig.test.
mixed 5 IN A 10.0.0.1
mixed 5 IN AAAA 2001:db8::1
mixed 5 IN TXT \"keep me\"
mixed 5 IN MX 10 mail.mig.test.
";

/// A route with the key, below `mig.test`, TTL 5 s.
pub(crate) fn record(
    port: u16,
    name: &str,
    source: Value,
    target: Value,
    more: &[(&str, Value)],
) -> BlockRef {
    let mut settings = vec![
        ("server", json!(format!("127.0.0.1:{port}"))),
        ("zone", json!("mig.test.")),
        ("name", json!(name)),
        ("source", source),
        ("target", target),
        ("ttl", json!(5000)),
        ("key_name", json!("segue")),
        ("timeout", json!(5000)),
    ];
    settings.extend_from_slice(more);
    block("dns", &settings, &[("key_secret", KEY)])
}

/// `search.mig.test.` at 10.0.0.1 and 10.0.0.2.
pub(crate) fn search(port: u16) -> BlockRef {
    record(port, "search", json!(["10.0.0.1"]), json!(["10.0.0.2"]), &[])
}

pub(crate) fn set(block: &BlockRef, side: Side) -> Result<(), StepError> {
    route(block).set(block, side, &Io)
}

#[track_caller]
pub(crate) fn at(block: &BlockRef) -> RouteAt {
    route(block).observe(block, &Io).expect("observes")
}
