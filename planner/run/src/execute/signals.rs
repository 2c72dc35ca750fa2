//! Signals, taken once for the whole process: what comes between two runs of one command (an apply, then its
//! following) waits for the next one, and is not lost.

use std::sync::OnceLock;

use segue_contract::StepError;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Mutex, mpsc};

use super::RunError;

/// Signals that nobody took yet; a person types no more.
const WAITING_MAX: usize = 16;

type Taken = Mutex<mpsc::Receiver<&'static str>>;

static TAKEN: OnceLock<Result<Taken, String>> = OnceLock::new();

/// The signals of this process, by name. Whoever locks it takes them.
pub(super) fn taken() -> Result<&'static Taken, RunError> {
    TAKEN
        .get_or_init(|| listen().map_err(|e| e.to_string()))
        .as_ref()
        .map_err(|e| RunError::Setup(StepError::permanent(format!("cannot wait for signals: {e}"))))
}

fn listen() -> std::io::Result<Taken> {
    let (send, receive) = mpsc::channel(WAITING_MAX);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut streams = {
        let _inside = runtime.enter();
        [
            (SignalKind::interrupt(), "Ctrl-C"),
            (SignalKind::terminate(), "SIGTERM"),
            (SignalKind::hangup(), "SIGHUP"),
        ]
        .into_iter()
        .map(|(kind, name)| Ok((signal(kind)?, name)))
        .collect::<std::io::Result<Vec<_>>>()?
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        runtime.block_on(async move {
            let mut waiting = tokio::task::JoinSet::new();
            for (mut stream, name) in streams.drain(..) {
                let send = send.clone();
                waiting.spawn(async move {
                    while stream.recv().await.is_some() {
                        if send.send(name).await.is_err() {
                            break;
                        }
                    }
                });
            }
            while waiting.join_next().await.is_some() {}
        });
    })?;
    Ok(Mutex::new(receive))
}

/// Waits for the next signal that asks this process to end, for commands that do nothing else with them. Returns its
/// name; `None`: no more can come.
///
/// # Errors
/// Signals cannot be waited for here.
pub fn next_signal() -> Result<Option<&'static str>, RunError> {
    Ok(taken()?.blocking_lock().blocking_recv())
}
