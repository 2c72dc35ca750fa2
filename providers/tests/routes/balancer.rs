//! HAProxy on a port of its own, before two servers that say who they are.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};

use segue_contract::BlockRef;
use serde_json::{Value, json};

use crate::step::{block, free_port, wait_until};

pub(crate) struct Balancer {
    dir: tempfile::TempDir,
    port: u16,
    raw: u16,
    process: Option<Child>,
}

/// A server that answers every request with its name; it ends with the test's process.
fn server(name: &'static str) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(&stream, name));
        }
    });
    port
}

fn serve(stream: &TcpStream, name: &str) {
    let mut lines = BufReader::new(stream).lines();
    while lines.by_ref().map_while(Result::ok).take_while(|line| !line.trim().is_empty()).count() > 0 {
        let mut to = stream;
        let said = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{name}", name.len());
        if to.write_all(said.as_bytes()).is_err() {
            return;
        }
    }
}

impl Balancer {
    /// Backends: `pipe` (without HTTP, at a port of its own), `app` and `reads` (servers `old`, and `new` disabled), `crowd` (also with `third` and a backup), `fixed`
    /// (whose balance takes no weights), `be_old` and `be_new` for the map. A request goes to the backend of its path.
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("segue-haproxy-").tempdir().expect("a directory");
        let (old, new) = (server("old"), server("new"));
        let (at, port, raw) = (dir.path().display().to_string(), free_port(), free_port());
        let two = format!(
            "server old 127.0.0.1:{old} weight 100\n  server new 127.0.0.1:{new} weight 100 disabled"
        );
        let config = format!(
            "global
  stats socket {at}/admin.sock mode 600 level admin expose-fd listeners
  stats socket {at}/user.sock mode 600 level operator
defaults
  mode http
  timeout connect 2s
  timeout client 20s
  timeout server 20s
frontend in
  bind 127.0.0.1:{port}
  use_backend %[path,map(\"{at}/route.map\")] if {{ path /shop }}
  use_backend %[path,regsub(^/,)]
frontend raw
  mode tcp
  bind 127.0.0.1:{raw}
  default_backend pipe
backend pipe
  mode tcp
  {two}
backend app
  {two}
backend reads
  {two}
backend crowd
  {two}
  server third 127.0.0.1:{old}
  server spare 127.0.0.1:{old} backup
backend fixed
  balance source
  {two}
backend be_old
  server old 127.0.0.1:{old}
backend be_new
  server new 127.0.0.1:{new}
"
        );
        segue_contract::paths::replace(&dir.path().join("haproxy.cfg"), config.as_bytes()).expect("written");
        segue_contract::paths::replace(&dir.path().join("route.map"), b"/shop be_old\n/other be_new\n")
            .expect("written");
        let mut balancer = Self { dir, port, raw, process: None };
        balancer.start(&[]);
        balancer
    }

    fn start(&mut self, more: &[&str]) {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.path().join("log"))
            .expect("a log");
        let child = Command::new("haproxy")
            .arg("-f")
            .arg(self.dir.path().join("haproxy.cfg"))
            .arg("-db")
            .args(more)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("haproxy is installed");
        let pid = child.id();
        self.process = Some(child);
        wait_until("haproxy answers", || self.ask("show info").contains(&format!("\nPid: {pid}\n")));
    }

    /// As a service manager does it: a new process takes over, the old one ends.
    pub(crate) fn reload(&mut self) {
        let mut old = self.process.take().expect("it runs");
        let pid = old.id().to_string();
        self.start(&["-sf", &pid]);
        let _ = old.wait();
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub(crate) fn start_again(&mut self) {
        self.start(&[]);
    }

    pub(crate) fn socket(&self) -> String {
        self.dir.path().join("admin.sock").display().to_string()
    }

    pub(crate) fn map(&self) -> String {
        self.dir.path().join("route.map").display().to_string()
    }

    /// Somebody else, with the runtime API.
    pub(crate) fn ask(&self, command: &str) -> String {
        let Ok(mut stream) = std::os::unix::net::UnixStream::connect(self.socket()) else {
            return String::new();
        };
        let mut said = String::new();
        if stream.write_all(format!("{command}\n").as_bytes()).is_ok() {
            let _ = stream.read_to_string(&mut said);
        }
        said
    }

    /// Who answers a client, a request on a connection of its own.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).expect("connects");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("asks");
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("answers");
        match said.split_once("\r\n\r\n") {
            Some((head, body)) if head.starts_with("HTTP/1.1 200") => body.to_owned(),
            _ => said.lines().next().unwrap_or_default().to_owned(),
        }
    }

    /// A client that stays connected, through `pipe`.
    pub(crate) fn connected(&self) -> Connected {
        Connected(TcpStream::connect(("127.0.0.1", self.raw)).expect("connects"))
    }

    /// How many of a hundred requests the target answers.
    pub(crate) fn share(&self, path: &str) -> usize {
        (0..100).filter(|_| self.get(path) == "new").count()
    }

    pub(crate) fn route(&self, settings: &[(&str, Value)]) -> BlockRef {
        let mut all =
            vec![("socket", json!(self.socket())), ("source", json!("old")), ("target", json!("new"))];
        all.extend_from_slice(settings);
        block("haproxy", &all, &[])
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        self.kill();
    }
}

pub(crate) struct Connected(TcpStream);

impl Connected {
    /// Who answers on this connection; `None`: it is closed.
    pub(crate) fn get(&mut self) -> Option<String> {
        self.0.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").ok()?;
        let mut said = Vec::new();
        let mut byte = [0];
        while !said.ends_with(b"\r\n\r\nold") && !said.ends_with(b"\r\n\r\nnew") {
            if self.0.read(&mut byte).ok()? == 0 {
                return None;
            }
            said.push(byte[0]);
        }
        String::from_utf8(said.split_off(said.len() - 3)).ok()
    }
}
