//! A faulty way to a server: a proxy that passes requests on and answers back, unless a test's script says to do otherwise with
//! one of them: refuse it, cut the connection before or after it, cut the answer short, or let only a part of a bulk through.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::signed::{Request, read};

/// The beginning of a request that is looked at before the script is asked: its head, and more.
const HEAD_BYTES: usize = 4096;
/// How long a client may take to say what it wants, and a server to answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Passing {
    /// `POST`.
    pub method: String,
    /// `/index/_bulk`, with its query.
    pub path: String,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// It is passed on, and its answer back.
    Pass,
    /// The server never hears of it: this status, with a reason as servers give it.
    Refuse(u16),
    /// The connection is reset while the client still sends: the server never hears of it.
    Reset,
    /// The server does it, and the connection ends before anything of the answer is passed back.
    NoAnswer,
    /// The server does it, and only the first half of the answer is passed back.
    CutShort,
    /// Of a bulk, every second document reaches the server; the others are answered by 429.
    HalfOfBulk,
}

type Script = dyn Fn(&Passing) -> Deed + Send + Sync;

/// The proxy. Ends when it is dropped.
pub struct Faulty {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Faulty {
    /// Listens at a port of its own, in front of the server at a URL (`http://127.0.0.1:9200`). The script is asked of each
    /// request, from several threads at once, and may wait.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its proxy")]
    pub fn new(url: &str, script: impl Fn(&Passing) -> Deed + Send + Sync + 'static) -> Self {
        crate::timing::watch();
        let upstream = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, script): (_, Arc<Script>) = (Arc::clone(&stop), Arc::new(script));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let (upstream, script) = (upstream.clone(), Arc::clone(&script));
                // A client that goes away is no matter of the proxy's.
                std::thread::spawn(move || stream.and_then(|s| converse(&s, &upstream, &*script)));
            }
        });
        Self { port, stop }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Faulty {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // It looks at that when somebody comes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One request a connection.
fn converse(stream: &TcpStream, upstream: &str, script: &Script) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut beginning = [0; HEAD_BYTES];
    let seen = stream.peek(&mut beginning)?;
    let text = String::from_utf8_lossy(&beginning[..seen]).into_owned();
    let mut words = text.split_whitespace().map(str::to_owned);
    let (Some(method), Some(path)) = (words.next(), words.next()) else { return Ok(()) };
    let deed = script(&Passing { method, path });
    if deed == Deed::Reset {
        // What is closed with something unread in it is reset.
        return Ok(());
    }
    let Some(request) = read(stream)? else { return Ok(()) };
    let answer = match deed {
        Deed::Pass => pass_on(&request, &request.body, upstream)?.concat(),
        Deed::Refuse(status) => refusal(status).concat(),
        Deed::Reset => return Ok(()),
        Deed::NoAnswer => return pass_on(&request, &request.body, upstream).map(drop),
        Deed::CutShort => {
            let [head, body] = pass_on(&request, &request.body, upstream)?;
            [head.as_slice(), &body[..body.len() / 2]].concat()
        }
        Deed::HalfOfBulk => half_of_bulk(&request, upstream)?.concat(),
    };
    let mut stream = stream;
    stream.write_all(&answer)
}

fn refusal(status: u16) -> [Vec<u8>; 2] {
    let kind = if status == 429 { "es_rejected_execution_exception" } else { "faulty_exception" };
    let body = json!({ "error": { "type": kind, "reason": "the proxy refuses it" }, "status": status });
    answer(status, &body)
}

fn answer(status: u16, body: &Value) -> [Vec<u8>; 2] {
    let body = body.to_string().into_bytes();
    let head = format!(
        "HTTP/1.1 {status} said\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.into_bytes(), body]
}

/// Lets every second document of a bulk through, and answers for all.
fn half_of_bulk(request: &Request, upstream: &str) -> std::io::Result<[Vec<u8>; 2]> {
    let text = String::from_utf8_lossy(&request.body).into_owned();
    let (mut actions, mut lines): (Vec<(String, String)>, _) = (Vec::new(), text.lines());
    while let Some(line) = lines.next() {
        let whole = match line.starts_with("{\"delete\"") {
            true => format!("{line}\n"),
            false => format!("{line}\n{}\n", lines.next().unwrap_or_default()),
        };
        let action = if line.starts_with("{\"delete\"") { "delete" } else { "index" };
        actions.push((action.to_owned(), whole));
    }
    let sent: String = actions.iter().step_by(2).map(|(_, text)| text.as_str()).collect();
    let [head, body] = pass_on(request, sent.as_bytes(), upstream)?;
    let mut said: Value = serde_json::from_slice(&body).unwrap_or_default();
    let Value::Array(mut done) = said["items"].take() else { return Ok([head, body]) };
    done.reverse();
    let busy = json!({ "type": "es_rejected_execution_exception", "reason": "the proxy is busy" });
    let items = actions.iter().enumerate().map(|(at, (action, _))| match at % 2 {
        0 => done.pop().unwrap_or_default(),
        _ => json!({ action: { "status": 429, "error": busy } }),
    });
    said["items"] = items.collect();
    said["errors"] = json!(true);
    Ok(answer(200, &said))
}

/// Asks the server the same with a body, and returns its answer: the head, which says that the connection is closed, and the
/// body.
fn pass_on(request: &Request, body: &[u8], upstream: &str) -> std::io::Result<[Vec<u8>; 2]> {
    let Request { method, target, headers, .. } = request;
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {upstream}\r\nconnection: close\r\n");
    let kept = ["content-type", "accept", "authorization"];
    for (name, value) in headers.iter().filter(|(name, _)| kept.contains(&name.as_str())) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if !body.is_empty() {
        head.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    head.push_str("\r\n");
    let mut server = TcpStream::connect(upstream)?;
    server.set_read_timeout(Some(PATIENCE))?;
    server.write_all(&[head.as_bytes(), body].concat())?;
    let mut whole = Vec::new();
    BufReader::new(server).read_to_end(&mut whole)?;
    let end = whole.windows(4).position(|four| four == b"\r\n\r\n").map_or(whole.len(), |at| at + 4);
    let body = whole.split_off(end);
    let text = String::from_utf8_lossy(&whole).into_owned();
    let (line, rest) = text.split_once("\r\n").unwrap_or((&text, "\r\n"));
    let rest: String =
        rest.split_inclusive("\r\n").filter(|line| !line.to_lowercase().starts_with("connection:")).collect();
    Ok([format!("{line}\r\nconnection: close\r\n{rest}").into_bytes(), body])
}
