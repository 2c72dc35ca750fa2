//! A small HTTP server of a test's own: what gates, watches and quiesces talk to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// `GET`.
    pub method: String,
    /// `/health`.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

/// What is answered, after a while.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// 200.
    pub status: u16,
    /// The body.
    pub body: String,
    /// How long the client waits for it.
    pub after: Duration,
}

impl Answer {
    /// At once.
    pub fn new(status: u16, body: &str) -> Self {
        Self { status, body: body.to_owned(), after: Duration::ZERO }
    }
}

/// The server. Ends when it is dropped.
pub struct Web {
    port: u16,
    stop: Arc<AtomicBool>,
}

impl Web {
    /// Listens at a port of its own; each connection is answered in a thread of its own, and closed.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its server")]
    pub fn new(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        crate::timing::watch();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, answer) = (Arc::clone(&stop), Arc::new(answer));
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::SeqCst) {
                    return;
                }
                let answer = Arc::clone(&answer);
                // A client that goes away is no matter of the server's.
                std::thread::spawn(move || stream.and_then(|stream| converse(&stream, &*answer)));
            }
        });
        Self { port, stop }
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `http://127.0.0.1:PORT` and a path.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // It looks at that when somebody comes.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

fn converse(stream: &TcpStream, answer: &dyn Fn(&Asked) -> Answer) -> std::io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        line.clear();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim().split_once(':') else { break };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.and_then(|(_, value)| value.parse().ok()).unwrap_or(0);
    std::io::copy(&mut reader.take(length), &mut std::io::sink())?;
    let answer = answer(&Asked { method, path, headers });
    std::thread::sleep(answer.after);
    let (status, body) = (answer.status, answer.body);
    let head =
        format!("HTTP/1.1 {status} said\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
    let mut stream = stream;
    stream.write_all(format!("{head}{body}").as_bytes())
}
