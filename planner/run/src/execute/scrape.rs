//! The listener of `apply --metrics-listen`: a few lines of HTTP/1.1, bounded in connections, bytes and time, on a
//! thread of its own, so that whoever asks takes nothing from the run.

use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use segue_contract::StepError;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::{Ground, RunError};
use crate::metrics::{CONTENT_TYPE, Measured, exposition};

/// Connections at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 8;
/// A question's head; Prometheus sends a few hundred bytes.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// How long a client may take for its question and for taking the answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves `GET /metrics` at an address for as long as the run lasts. Returns the address, with the port that was
/// taken for port 0.
///
/// # Errors
/// The address cannot be listened on.
pub fn serve_metrics(ground: &Arc<Ground>, at: SocketAddr, version: &str) -> Result<SocketAddr, RunError> {
    let refused = |what: String, error: std::io::Error| {
        let remedy = "pass another address to --metrics-listen";
        RunError::Setup(StepError::permanent(what).because(error).remedy(remedy))
    };
    let cannot = |error| refused(format!("cannot serve metrics at {at}"), error);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(cannot)?;
    let listener = runtime.block_on(TcpListener::bind(at)).map_err(cannot)?;
    let bound = listener.local_addr().map_err(cannot)?;
    // The run does not wait for this thread, and this thread does not keep the run's journal open.
    let (ground, version) = (Arc::downgrade(ground), version.to_owned());
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || runtime.block_on(accept(&listener, ground, version)))
        .map_err(cannot)?;
    Ok(bound)
}

async fn accept(listener: &TcpListener, ground: Weak<Ground>, version: String) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let version: Arc<str> = version.into();
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Ok((stream, _)) = listener.accept().await else {
            // Out of descriptors, say: the next try is not worth a busy loop.
            tokio::time::sleep(PATIENCE).await;
            continue;
        };
        let (ground, version) = (ground.clone(), Arc::clone(&version));
        tokio::spawn(async move {
            let _ = tokio::time::timeout(PATIENCE, converse(stream, &ground, &version)).await;
            drop(place);
        });
    }
}

async fn converse(mut stream: TcpStream, ground: &Weak<Ground>, version: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        if head.len() >= HEAD_BYTES_MAX {
            return stream.write_all(response("431 Request Header Fields Too Large", "").as_bytes()).await;
        }
        let mut part = [0; 1024];
        let got = stream.read(&mut part).await?;
        if got == 0 {
            return Ok(());
        }
        head.extend_from_slice(part.get(..got).unwrap_or_default());
    }
    let first = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let first = String::from_utf8_lossy(first);
    let mut words = first.split(' ');
    let answer = match (words.next(), words.next(), ground.upgrade()) {
        (Some("GET"), Some("/metrics"), Some(ground)) => response("200 OK", &page(&ground, version)),
        (Some("GET"), Some("/metrics"), None) => response("503 Service Unavailable", "the run has ended\n"),
        (Some("GET"), _, _) => response("404 Not Found", "metrics are at /metrics\n"),
        _ => response("405 Method Not Allowed", "only GET\n"),
    };
    stream.write_all(answer.as_bytes()).await?;
    stream.shutdown().await
}

fn page(ground: &Ground, version: &str) -> String {
    let live = ground.live();
    let now = ground.now();
    ground
        .recorder
        .look(|state| exposition(&Measured { state, live: Some(&live), running: true, now: &now, version }))
}

fn response(status: &str, body: &str) -> String {
    let allow = if status.starts_with("405") { "Allow: GET\r\n" } else { "" };
    format!(
        "HTTP/1.1 {status}\r\nContent-Type: {CONTENT_TYPE}\r\nContent-Length: {}\r\n{allow}Connection: close\r\n\r\n{body}",
        body.len()
    )
}
