//! BIND 9 with one zone, which clients change by RFC 2136 updates that are signed with a TSIG key (RFC 8945).

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use segue_contract::paths;
use sha2::{Digest, Sha256};

use super::kept::Kept;
use super::place::{Port, server_dir};
use crate::running::wait_until;

/// How long an answer may take before it counts as none.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// The name of the key that may change the zone.
const KEY: &str = "segue-key";
/// The name of a key that the server knows, and that may change nothing.
const POWERLESS_KEY: &str = "powerless-key";

/// A name server with a zone of its own. Killed when dropped.
pub struct Bind {
    kept: Kept,
    port: Port,
    zone: String,
}

impl Bind {
    /// Starts one that is primary for a zone (`segue.test`), and waits until it answers.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its name server")]
    pub fn start(zone: &str) -> Self {
        crate::timing::watch();
        let (kept, port) = (Kept::new(server_dir("segue-bind")), Port::take());
        let dir = kept.dir().display().to_string();
        let write = |name: &str, text: String| {
            paths::replace(&kept.dir().join(name), text.as_bytes()).expect("a file of the name server");
        };
        for key in [KEY, POWERLESS_KEY] {
            write(
                &format!("{key}.conf"),
                format!(
                    "key \"{key}\" {{ algorithm hmac-sha256; secret \"{}\"; }};\n",
                    secret(kept.dir(), key)
                ),
            );
        }
        let text = format!(
            "include \"{dir}/{KEY}.conf\";\ninclude \"{dir}/{POWERLESS_KEY}.conf\";\n\
             options {{\n  directory \"{dir}\";\n  listen-on port {} {{ 127.0.0.1; }};\n  listen-on-v6 {{ none; }};\n  \
             recursion no;\n  dnssec-validation no;\n  notify no;\n  pid-file none;\n  session-keyfile none;\n}};\n\
             controls {{ }};\n\
             zone \"{zone}\" {{\n  type primary;\n  file \"zone\";\n  \
             update-policy {{ grant {KEY} zonesub A AAAA CNAME TXT; }};\n  \
             allow-transfer {{ key {KEY}; }};\n}};\n",
            port.number()
        );
        write("named.conf", text);
        write(
            "zone",
            format!(
                "$TTL 5\n@ IN SOA ns.{zone}. root.{zone}. 1 60 60 600 5\n@ IN NS ns.{zone}.\nns IN A 127.0.0.1\n"
            ),
        );
        let mut bind = Self { kept, port, zone: zone.to_owned() };
        bind.launch();
        bind
    }

    fn launch(&mut self) {
        let config = self.kept.dir().join("named.conf").display().to_string();
        self.kept.start(Path::new("named"), &["-g".to_owned(), "-c".to_owned(), config], &[]);
        wait_until("the name server answers", || {
            assert!(!self.kept.ended(), "named ended before it answered:\n{}", self.kept.log());
            self.address_of(&format!("ns.{}", self.zone)).is_some()
        });
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port.number())
    }

    /// Its port, of UDP and TCP.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The zone, without a dot at its end.
    pub fn zone(&self) -> &str {
        &self.zone
    }

    /// The name of the key that may change the zone; it is an hmac-sha256 one.
    pub fn key_name(&self) -> &'static str {
        KEY
    }

    /// The key's secret, in base64.
    pub fn secret(&self) -> String {
        secret(self.kept.dir(), KEY)
    }

    /// A file with the key, as `nsupdate -k` reads it.
    pub fn key_file(&self) -> PathBuf {
        self.kept.dir().join(format!("{KEY}.conf"))
    }

    /// A key that the server knows, and that may change nothing: its name and its secret. Updates with it are REFUSED.
    pub fn powerless_key(&self) -> (&'static str, String) {
        (POWERLESS_KEY, secret(self.kept.dir(), POWERLESS_KEY))
    }

    /// Changes the zone by `nsupdate`, in its language: `update add app.segue.test 5 A 127.0.0.11`.
    ///
    /// # Errors
    /// The server refuses, in nsupdate's words: `update failed: NXRRSET`.
    pub fn update(&self, lines: &str) -> Result<(), String> {
        self.update_with(&self.key_file(), lines)
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without nsupdate")]
    fn update_with(&self, key: &Path, lines: &str) -> Result<(), String> {
        let text = format!("server 127.0.0.1 {}\nzone {}\n{lines}\nsend\n", self.port(), self.zone);
        let mut child = Command::new("nsupdate")
            .arg("-k")
            .arg(key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("nsupdate is installed: tests/run installs it");
        let mut stdin = child.stdin.take().expect("its input");
        std::io::Write::write_all(&mut stdin, text.as_bytes()).expect("it reads");
        drop(stdin);
        let output = child.wait_with_output().expect("it ends");
        if output.status.success() {
            return Ok(());
        }
        Err(String::from_utf8_lossy(&output.stderr).trim().to_owned())
    }

    /// The records of a name and a type, sorted, as `dig +short` prints them.
    ///
    /// # Panics
    /// The server does not answer.
    #[expect(clippy::expect_used, reason = "a test cannot go on without dig")]
    pub fn records(&self, name: &str, kind: &str) -> Vec<String> {
        let output = Command::new("dig")
            .args(["@127.0.0.1", "-p", &self.port().to_string(), "+short", "+tries=2", "+time=2"])
            .args([name, kind])
            .output()
            .expect("dig is installed: tests/run installs it");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "dig {name} {kind}: {text}");
        let mut found: Vec<String> = text.lines().map(str::to_owned).collect();
        found.sort();
        found
    }

    /// The first address of a name, asked in one packet: quick enough for a writer to ask before each write. Follows CNAMEs
    /// in the zone as the server itself does.
    pub fn address_of(&self, name: &str) -> Option<Ipv4Addr> {
        look_up(self.port(), name)
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.kept.kill();
    }

    /// Starts it again with what it knew, and waits until it answers.
    pub fn restart(&mut self) {
        self.kept.kill();
        wait_until("the name server's port is free", || self.port.is_free());
        self.launch();
    }
}

/// A secret of 32 bytes: from the directory's name, which is random. Nobody but this machine can reach the server.
fn secret(dir: &Path, key: &str) -> String {
    STANDARD.encode(Sha256::digest(format!("{key} of {}", dir.display())))
}

/// The first A record that the server at a port of the loopback answers (RFC 1035, section 4).
pub fn look_up(port: u16, name: &str) -> Option<Ipv4Addr> {
    let socket = UdpSocket::bind("127.0.0.1:0").ok()?;
    socket.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    socket.connect(("127.0.0.1", port)).ok()?;
    // Number 0x5e9e, no recursion asked for, one question.
    let mut asked = vec![0x5e, 0x9e, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.trim_end_matches('.').split('.') {
        asked.push(u8::try_from(label.len()).ok()?);
        asked.extend(label.bytes());
    }
    asked.extend([0, 0, 1, 0, 1]);
    socket.send(&asked).ok()?;
    let mut packet = [0; 1500];
    let length = socket.recv(&mut packet).ok()?;
    first_address(packet.get(..length)?, asked.len())
}

/// Walks the answers, which follow the question.
fn first_address(packet: &[u8], question_end: usize) -> Option<Ipv4Addr> {
    let number = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
    let mut at = question_end;
    for _ in 0..number(6)? {
        // A name: labels up to an empty one, or up to a pointer of two bytes.
        loop {
            match *packet.get(at)? {
                0 => break at += 1,
                length if length >= 0xc0 => break at += 2,
                length => at += usize::from(length) + 1,
            }
        }
        let (kind, length) = (number(at)?, usize::from(number(at + 8)?));
        let data = packet.get(at + 10..at + 10 + length)?;
        if kind == 1 {
            return Some(Ipv4Addr::from(<[u8; 4]>::try_from(data).ok()?));
        }
        at += 10 + length;
    }
    None
}
