//! A tiny HTTP server for tests: one thread, one answer a request, everything heard kept.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex};

use segue_contract::{Checkpoint, Finding, Progress, Secret, SecretRef, StepError, StepIo};

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard {
    pub(crate) method: String,
    pub(crate) path: String,
    /// `name: value`, the name in lower case.
    pub(crate) headers: Vec<String>,
    pub(crate) body: String,
}

/// What is answered: the status, more header lines, the body. Status 0: the connection is closed instead.
pub(crate) struct Answer(pub(crate) u16, pub(crate) &'static str, pub(crate) String);

impl Answer {
    pub(crate) fn ok(body: &str) -> Self {
        Self(200, "", body.to_owned())
    }
    pub(crate) fn status(status: u16) -> Self {
        Self(status, "", String::new())
    }
}

/// A running server; its thread ends with the test's process.
pub(crate) struct Stub {
    pub(crate) url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Stub {
    pub(crate) fn new(answer: impl Fn(&Heard) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let heard = Arc::new(Mutex::new(Vec::new()));
        let keeps = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let _ = serve(stream, &answer, &keeps);
            }
        });
        Self { url, heard }
    }

    pub(crate) fn heard(&self) -> Vec<Heard> {
        self.heard.lock().expect("not poisoned").clone()
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    format!("http://{}", listener.local_addr().expect("an address"))
}

fn serve(
    stream: TcpStream,
    answer: &impl Fn(&Heard) -> Answer,
    keeps: &Mutex<Vec<Heard>>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let mut heard = Heard {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        ..Heard::default()
    };
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.trim().split_once(':') {
            let (name, value) = (name.to_lowercase(), value.trim());
            if name == "content-length" {
                length = value.parse().unwrap_or(0);
            }
            heard.headers.push(format!("{name}: {value}"));
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    heard.body = String::from_utf8_lossy(&body).into_owned();
    let Answer(status, headers, body) = answer(&heard);
    keeps.lock().expect("not poisoned").push(heard);
    if status == 0 {
        return Ok(());
    }
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// A step whose every secret is the same.
pub(crate) struct SecretIo(pub(crate) &'static str);

impl StepIo for SecretIo {
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
    fn secret(&self, _: &SecretRef) -> Result<Secret, StepError> {
        Ok(Secret::new(self.0))
    }
    fn find(&self, _: Finding) {}
}
