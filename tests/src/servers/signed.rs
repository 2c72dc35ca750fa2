//! A proxy that takes only requests signed by AWS Signature Version 4, as Amazon's endpoints do, and passes them on to a server
//! that knows of no signatures.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use segue_run::clock::{Clock, SystemClock};

use super::signature::{Keys, Signed, refusal};

/// How long a client may take to say what it wants, and a server to answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the proxy has seen.
#[derive(Default)]
struct Seen {
    stop: AtomicBool,
    passed: AtomicU64,
    refused: Mutex<Vec<String>>,
}

/// The proxy. Ends when it is dropped.
pub struct SignedFront {
    port: u16,
    seen: Arc<Seen>,
}

impl SignedFront {
    /// Listens at a port of its own, in front of the server at a URL (`http://127.0.0.1:9200`).
    #[expect(clippy::expect_used, reason = "a test cannot go on without its proxy")]
    pub fn new(keys: Keys, url: &str) -> Self {
        crate::timing::watch();
        let upstream = url.trim_start_matches("http://").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let seen = Arc::new(Seen::default());
        let (shared, keys) = (Arc::clone(&seen), Arc::new((keys, upstream)));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stop.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, keys) = (Arc::clone(&shared), Arc::clone(&keys));
                // A client that goes away is no matter of the proxy's.
                std::thread::spawn(move || stream.and_then(|s| converse(&s, &keys.0, &keys.1, &seen)));
            }
        });
        Self { port, seen }
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many requests were passed on.
    pub fn passed(&self) -> u64 {
        self.seen.passed.load(Ordering::SeqCst)
    }

    /// Why requests were refused, each.
    pub fn refused(&self) -> Vec<String> {
        self.seen.refused.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for SignedFront {
    fn drop(&mut self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        // It looks at that when somebody comes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// A request as it came.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

/// One request a connection.
fn converse(stream: &TcpStream, keys: &Keys, upstream: &str, seen: &Seen) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let Some(request) = read(stream)? else { return Ok(()) };
    let now_s = SystemClock::new().wall_ms() / 1000;
    let Request { method, target, headers, body } = &request;
    let answer = match refusal(keys, &Signed { method, target, headers, body }, now_s) {
        None => {
            seen.passed.fetch_add(1, Ordering::SeqCst);
            pass_on(&request, upstream)?
        }
        Some(why) => {
            let why = format!("{method} {target}: {why}");
            seen.refused.lock().unwrap_or_else(PoisonError::into_inner).push(why);
            let said = r#"{"message":"The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method. Consult the service documentation for details."}"#;
            format!("HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{said}", said.len()).into_bytes()
        }
    };
    let line_end = answer.windows(2).position(|two| two == b"\r\n").map_or(0, |at| at + 2);
    let mut stream = stream;
    stream.write_all(&[&answer[..line_end], b"connection: close\r\n", &answer[line_end..]].concat())
}

pub(super) fn read(stream: &TcpStream) -> std::io::Result<Option<Request>> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
    let mut body = Vec::new();
    if header("expect").is_some() {
        let mut stream = stream;
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
    }
    if header("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        read_chunks(&mut reader, &mut body)?;
    } else {
        let length = header("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        reader.take(length).read_to_end(&mut body)?;
    }
    Ok(Some(Request { method, target, headers, body }))
}

fn read_chunks(reader: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = line.trim().split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size, 16).map_err(std::io::Error::other)?;
        reader.by_ref().take(size).read_to_end(body)?;
        reader.read_line(&mut line)?;
        if size == 0 {
            return Ok(());
        }
    }
}

/// Asks the server the same, without the signature, and returns its whole answer.
fn pass_on(request: &Request, upstream: &str) -> std::io::Result<Vec<u8>> {
    let Request { method, target, headers, body } = request;
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {upstream}\r\nconnection: close\r\n");
    let kept = ["content-type", "accept", "accept-encoding"];
    for (name, value) in headers.iter().filter(|(name, _)| kept.contains(&name.as_str())) {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    let mut server = TcpStream::connect(upstream)?;
    server.set_read_timeout(Some(PATIENCE))?;
    server.write_all(&[head.as_bytes(), body].concat())?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    Ok(answer)
}
