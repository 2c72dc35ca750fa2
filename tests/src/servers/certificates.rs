//! Certificates of a test's own, made with openssl: an authority, a server's, a client's, and an authority that signed none.

use std::path::{Path, PathBuf};
use std::process::Command;

use segue_contract::paths;
use tempfile::TempDir;

/// A directory with certificates and keys in PEM. Removed when dropped.
pub struct Certificates {
    dir: TempDir,
}

impl Certificates {
    /// Makes them: the server's for `localhost`, 127.0.0.1 to 127.0.0.12 and these names, the client's for `segue-client`.
    pub fn new(names: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("segue-certificates-").tempdir();
        #[expect(clippy::expect_used, reason = "a test cannot go on without its certificates")]
        let these = Self { dir: dir.expect("a directory") };
        these.authority("ca");
        these.authority("other-ca");
        let addresses = (1..=12).map(|n| format!("IP:127.0.0.{n}"));
        let names = ["localhost"].iter().chain(names).map(|name| format!("DNS:{name}"));
        let named: Vec<String> = addresses.chain(names).collect();
        these.signed("server", &format!("subjectAltName={}\nextendedKeyUsage=serverAuth\n", named.join(",")));
        these.signed("client", "extendedKeyUsage=clientAuth\n");
        let both = [these.read("server.pem"), these.read("server.key")].concat();
        these.write("server-with-key.pem", &both);
        these
    }

    fn authority(&self, name: &str) {
        let (key, certificate) = (format!("{name}.key"), format!("{name}.pem"));
        let subject = format!("/CN=segue tests {name}");
        let mut words = vec!["req", "-x509", "-days", "2", "-subj", &subject, "-out", &certificate];
        words.extend(["-addext", "keyUsage=critical,keyCertSign,cRLSign"]);
        self.openssl(&[words.as_slice(), &new_key(&key)].concat());
    }

    fn signed(&self, name: &str, extensions: &str) {
        let [key, request, certificate, with] =
            ["key", "csr", "pem", "ext"].map(|suffix| format!("{name}.{suffix}"));
        self.write(&with, format!("basicConstraints=critical,CA:FALSE\n{extensions}").as_bytes());
        let subject = format!("/CN=segue-{name}");
        self.openssl(&[["req", "-subj", &subject, "-out", &request].as_slice(), &new_key(&key)].concat());
        let mut words = vec!["x509", "-req", "-days", "2", "-in", &request, "-out", &certificate];
        words.extend(["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-extfile", &with]);
        self.openssl(&words);
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its certificates")]
    fn openssl(&self, words: &[&str]) {
        let output = Command::new("openssl").args(words).current_dir(self.dir.path()).output();
        let output = output.expect("openssl is installed: tests/run installs it");
        assert!(output.status.success(), "openssl {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its certificates")]
    fn write(&self, name: &str, bytes: &[u8]) {
        paths::replace(&self.path(name), bytes).expect("written");
    }

    /// The bytes of a file.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its certificates")]
    pub fn read(&self, name: &str) -> Vec<u8> {
        paths::read(&self.path(name)).expect("read")
    }

    /// `ca.pem`, `other-ca.pem` (signed none of these), `server.pem`, `server.key`, `server-with-key.pem` (as HAProxy wants it),
    /// `client.pem`, `client.key`.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Where they lie.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }
}

/// The words for a new key on the P-256 curve, without a pass phrase.
fn new_key(path: &str) -> Vec<&str> {
    vec!["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path]
}
