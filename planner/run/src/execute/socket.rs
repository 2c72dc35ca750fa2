//! The control socket: `status`, `watch`, `approve`, `abort`, `pause`, `resume`, `throttle`, `switch-back` and `unhold` talk
//! to a running apply by it. One JSON line asks, one answers.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use segue_contract::paths::PathError;
use segue_contract::{Address, waiting};
use segue_plan::state::State;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

use super::answer::answer;
use super::{Goal, GoalEnd, Ground, Live};

const SOCKET: &str = "socket";
/// A question is one short line.
const ASK_BYTES_MAX: u64 = 64 * 1024;
/// A group that may list and enter the state directory: its owner wants it to reach the socket.
const TEAM_ENTERS: u32 = 0o050;
/// How long either end waits for the other.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// The state as of now.
    Status,
    /// What the run is doing right now; the state, too, if it changed since event `known`.
    Live {
        /// The journal's number of the last event that the asker has folded in.
        known: Option<u64>,
    },
    /// Take no more work until told to go on.
    Pause {
        /// By whom.
        by: String,
        /// Why.
        #[serde(default)]
        why: Option<String>,
    },
    /// Go on.
    Resume {
        /// By whom.
        by: String,
    },
    /// Limit how fast data is carried, from now on and as long as the run lasts.
    Throttle {
        /// The migration; `None`: all of them together.
        migration: Option<Address>,
        /// Bytes a second; `None`: the spec's limits count again.
        bytes_per_s: Option<u64>,
        /// By whom.
        by: String,
        /// Why.
        #[serde(default)]
        why: Option<String>,
    },
    /// Approve a plan.
    Approve {
        /// Its hash.
        plan_hash: String,
        /// By whom.
        by: String,
    },
    /// Reach a goal, and go on with what was asked for before.
    Reach {
        /// The cutover.
        cutover: Address,
        /// What.
        goal: Goal,
        /// Deletions that are let go first, by their hashes.
        #[serde(default)]
        accept: Vec<String>,
        /// By whom.
        by: String,
    },
    /// How far the goal of a cutover is. Answered when there is something new, or after a while.
    Hear {
        /// The cutover.
        cutover: Address,
        /// How many sentences were heard before.
        heard: usize,
    },
    /// Abort an attempt in flight.
    Abort {
        /// The cutover; `None`: the only one in flight.
        cutover: Option<Address>,
        /// By whom.
        by: String,
    },
}

/// What is answered.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// The state.
    Status {
        /// After everything recorded so far.
        state: Box<State>,
        /// What the run is doing right now.
        #[serde(default)]
        live: Option<Box<Live>>,
    },
    /// What the run is doing right now.
    Live {
        /// The state; `None`: it is what the asker knows.
        state: Option<Box<State>>,
        /// The journal's number of its last event.
        sequence: u64,
        /// The rest.
        live: Box<Live>,
    },
    /// It was taken; what happens now.
    Taken {
        /// A sentence.
        said: String,
    },
    /// How far a goal is.
    Goal {
        /// What was said since.
        said: Vec<String>,
        /// How it ended; `None`: it is under way.
        end: Option<GoalEnd>,
    },
    /// It was refused.
    Refused {
        /// Why, and what to do.
        said: String,
    },
}

/// Why a running apply could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum SocketError {
    /// Nothing listens.
    #[error("no apply is running in {}", .0.display())]
    Nobody(PathBuf),
    /// Somebody listens, and not to this user.
    #[error("{} is closed to this user", .0.display())]
    Closed(PathBuf),
    /// The conversation failed.
    #[error("the running apply did not answer: {0}")]
    Broken(#[from] std::io::Error),
    /// The answer is not an answer.
    #[error("the running apply answered something else: {0}")]
    Garbled(#[from] serde_json::Error),
    /// The state directory cannot be opened.
    #[error(transparent)]
    Path(#[from] PathError),
}

/// A socket's path may have 107 bytes; a state directory's may have more. Through a descriptor of the
/// directory every path is short.
fn short_path(dir: &std::fs::File) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", dir.as_raw_fd()))
}

/// Asks the apply that runs in a state directory.
pub fn ask(state_dir: &Path, question: &Ask) -> Result<Reply, SocketError> {
    let denied = |error: &std::io::Error| error.kind() == std::io::ErrorKind::PermissionDenied;
    let closed = || SocketError::Closed(state_dir.to_owned());
    let dir = segue_contract::paths::open(state_dir)
        .map_err(|e| if denied(&e.source) { closed() } else { SocketError::Path(e) })?;
    let stream = UnixStream::connect(short_path(&dir))
        .map_err(|e| if denied(&e) { closed() } else { SocketError::Nobody(state_dir.to_owned()) })?;
    let _waits = waiting("an answer of the running apply".to_owned(), PATIENCE);
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let mut line = serde_json::to_vec(question)?;
    line.push(b'\n');
    (&stream).write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(&stream).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// Listens until the task is dropped. A client that vanishes or talks nonsense costs nothing but its connection.
pub(super) fn listen(ground: Arc<Ground>) -> Result<tokio::task::JoinHandle<()>, PathError> {
    let state_dir = ground.who.state_dir.clone();
    let dir = segue_contract::paths::open(&state_dir)?;
    let path = state_dir.join(SOCKET);
    // The lock is ours: a socket that is there is a dead run's.
    match std::fs::remove_file(&path) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(PathError::new("remove", path, error)),
    }
    let listener = UnixListener::bind(short_path(&dir)).map_err(|e| PathError::new("listen on", &path, e))?;
    open_to_team(&dir, &path)?;
    Ok(tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let ground = Arc::clone(&ground);
            tokio::spawn(async move {
                let _ = tokio::time::timeout(PATIENCE, converse(ground, stream)).await;
            });
        }
    }))
}

/// The socket is as open as the state directory: to its owner, and to the directory's group where that can enter it.
fn open_to_team(dir: &std::fs::File, path: &Path) -> Result<(), PathError> {
    let directory = dir.metadata().map_err(|e| PathError::new("examine", path, e))?;
    let team = directory.mode() & TEAM_ENTERS == TEAM_ENTERS;
    if team {
        let group = rustix::fs::Gid::from_raw(directory.gid());
        rustix::fs::chown(short_path(dir), None, Some(group))
            .map_err(|e| PathError::new("give to the directory's group", path, e))?;
    }
    let mode = if team { 0o660 } else { 0o600 };
    std::fs::set_permissions(short_path(dir), Permissions::from_mode(mode))
        .map_err(|e| PathError::new("set the mode of", path, e))
}

async fn converse(ground: Arc<Ground>, stream: tokio::net::UnixStream) -> std::io::Result<()> {
    // Who asks is what the system says, not what the question says.
    let uid = stream.peer_cred().ok().map(|peer| peer.uid());
    let (read, mut write) = stream.into_split();
    let mut line = String::new();
    tokio::io::BufReader::new(read.take(ASK_BYTES_MAX)).read_line(&mut line).await?;
    let reply = match serde_json::from_str::<Ask>(&line) {
        Ok(question) => {
            let answered = tokio::task::spawn_blocking(move || answer(&ground, question, uid)).await;
            answered
                .unwrap_or_else(|_| Reply::Refused { said: "the question could not be answered".to_owned() })
        }
        Err(error) => Reply::Refused { said: format!("not a question: {error}") },
    };
    let mut text = serde_json::to_vec(&reply)?;
    text.push(b'\n');
    write.write_all(&text).await
}
