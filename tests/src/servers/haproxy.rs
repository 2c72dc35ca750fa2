//! HAProxy with a test's own configuration: weighted backends behind one address, with the runtime socket that changes the
//! weights; or TLS in front of a server that has none.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use segue_contract::paths;

use super::certificates::Certificates;
use super::kept::Kept;
use super::place::{Port, server_dir};
use crate::running::wait_until;

/// The name of the backend that `weighted` and `tls` make.
const BACKEND: &str = "search";

/// A server behind it.
#[derive(Clone, Debug)]
pub struct Backend {
    /// Its name: `source`.
    pub name: String,
    /// `127.0.0.1:9200`, or a URL of that.
    pub address: String,
    /// 0 to 256, beside the others'.
    pub weight: u16,
}

impl Backend {
    /// A server by name, address (or URL) and weight.
    pub fn new(name: &str, address: &str, weight: u16) -> Self {
        Self { name: name.to_owned(), address: address.to_owned(), weight }
    }
}

/// A running HAProxy. Killed when dropped.
pub struct HaProxy {
    kept: Kept,
    address: String,
    port: Port,
    scheme: &'static str,
}

impl HaProxy {
    /// Shares requests among backends by their weights. The backend is called `search`; answers say in a header `served-by`
    /// who gave them.
    pub fn weighted(backends: &[Backend]) -> Self {
        Self::at("127.0.0.1", &Port::take(), "http", |bind| {
            format!("frontend front\n  bind {bind}\n  default_backend {BACKEND}\n{}", section(backends))
        })
    }

    /// TLS in front of a server, with the server's certificate of these; clients must show one of the authority's where that is
    /// asked.
    pub fn tls(url: &str, certificates: &Certificates, clients_show_one: bool) -> Self {
        let pem = certificates.path("server-with-key.pem").display().to_string();
        let authority = certificates.path("ca.pem").display().to_string();
        let verify =
            if clients_show_one { format!("ca-file {authority} verify required") } else { String::new() };
        Self::at("127.0.0.1", &Port::take(), "https", |bind| {
            format!(
                "frontend front\n  bind {bind} ssl crt {pem} {verify}\n  default_backend {BACKEND}\n{}",
                section(&[Backend::new("server", url, 100)])
            )
        })
    }

    /// With sections of the test's own, which are told the address to bind. `scheme` is that of `url()`.
    pub fn at(
        address: &str,
        port: &Port,
        scheme: &'static str,
        sections: impl FnOnce(&str) -> String,
    ) -> Self {
        crate::timing::watch();
        let kept = Kept::new(server_dir("segue-haproxy"));
        let mut proxy = Self { kept, address: address.to_owned(), port: port.clone(), scheme };
        let sections = sections(&format!("{address}:{}", port.number()));
        proxy.configure(&sections);
        proxy.launch();
        proxy
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its proxy")]
    fn configure(&self, sections: &str) {
        let socket = self.socket().display().to_string();
        let text = format!(
            "global\n  stats socket {socket} mode 600 level admin\n  hard-stop-after 5s\n\
             defaults\n  mode http\n  timeout connect 2s\n  timeout client 60s\n  timeout server 60s\n{sections}\n"
        );
        paths::replace(&self.config(), text.as_bytes()).expect("the proxy's configuration");
    }

    fn launch(&mut self) {
        let config = self.config().display().to_string();
        // Master and worker, so that it can be reloaded.
        self.kept.start(Path::new("haproxy"), &["-W".to_owned(), "-f".to_owned(), config], &[]);
        wait_until("the proxy listens", || {
            assert!(!self.kept.ended(), "haproxy ended before it listened:\n{}", self.kept.log());
            TcpStream::connect((self.address.as_str(), self.port.number())).is_ok()
                && UnixStream::connect(self.socket()).is_ok()
        });
    }

    fn config(&self) -> PathBuf {
        self.kept.dir().join("haproxy.cfg")
    }

    /// `http://127.0.0.1:PORT`, or https.
    pub fn url(&self) -> String {
        format!("{}://{}:{}", self.scheme, self.address, self.port.number())
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port.number()
    }

    /// The name of the backend of `weighted` and `tls`.
    pub fn backend(&self) -> &'static str {
        BACKEND
    }

    /// The runtime socket.
    pub fn socket(&self) -> PathBuf {
        self.kept.dir().join("admin.sock")
    }

    /// Says a line to the runtime socket, and returns what it answers: `set server search/source weight 10`.
    ///
    /// # Panics
    /// It does not answer.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its proxy")]
    pub fn say(&self, line: &str) -> String {
        let mut stream = UnixStream::connect(self.socket()).expect("the proxy's socket");
        stream.write_all(format!("{line}\n").as_bytes()).expect("it listens");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("it answers");
        answer.trim().to_owned()
    }

    /// The weight of a server now.
    ///
    /// # Panics
    /// There is no such server.
    #[expect(clippy::panic, reason = "this is an assertion of tests")]
    pub fn weight(&self, server: &str) -> u16 {
        let answer = self.say(&format!("get weight {BACKEND}/{server}"));
        let number = answer.split_whitespace().next().and_then(|word| word.parse().ok());
        number.unwrap_or_else(|| panic!("get weight of {server}: {answer}"))
    }

    /// Reads its configuration anew, in a new worker: what was said to the socket is forgotten.
    pub fn reload(&mut self) {
        let before = self.worker();
        self.kept.signal(Signal::USR2, true);
        wait_until("there is a new worker", || {
            assert!(!self.kept.ended(), "haproxy ended:\n{}", self.kept.log());
            let now = self.worker();
            now.is_some() && now != before
        });
    }

    /// The process that answers at the socket.
    fn worker(&self) -> Option<String> {
        let mut stream = UnixStream::connect(self.socket()).ok()?;
        stream.write_all(b"show info\n").ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        answer.lines().find_map(|line| line.strip_prefix("Pid: ")).map(str::to_owned)
    }

    /// SIGKILL to all of it; nobody listens when this returns.
    pub fn kill(&mut self) {
        self.kept.kill();
        // A worker may outlive its master for a moment, with its socket.
        wait_until("nobody listens for the proxy", || {
            TcpStream::connect((self.address.as_str(), self.port.number())).is_err()
        });
    }

    /// Starts it again, with its configuration as it was written.
    pub fn restart(&mut self) {
        self.kill();
        wait_until("the proxy's port is free", || self.port.is_free());
        self.launch();
    }
}

fn section(backends: &[Backend]) -> String {
    let mut text =
        format!("backend {BACKEND}\n  balance roundrobin\n  http-response set-header served-by %s\n");
    for Backend { name, address, weight } in backends {
        let address = address.trim_start_matches("http://").trim_end_matches('/');
        text.push_str(&format!("  server {name} {address} weight {weight}\n"));
    }
    text
}
