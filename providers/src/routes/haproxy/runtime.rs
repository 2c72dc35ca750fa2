//! HAProxy's runtime API: one command a connection, its answer up to the end of the connection.

use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use segue_contract::{Address, Finding, Severity, StepError};

use super::finding;
use crate::command::quoted;

/// How much of an answer is taken, in bytes: a map may have very many entries.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Where the socket is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Unix(PathBuf),
    Tcp(String),
}

impl Place {
    /// A path, or `host:port`.
    pub(super) fn read(text: &str, base_dir: &Path) -> Self {
        let port =
            text.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if port && !text.contains('/') { Self::Tcp(text.to_owned()) } else { Self::Unix(base_dir.join(text)) }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "{}", path.display()),
            Self::Tcp(at) => f.write_str(at),
        }
    }
}

/// A socket, and how long it is waited for.
pub(super) struct Runtime {
    route: Address,
    place: Place,
    timeout: Duration,
}

impl Runtime {
    pub(super) fn new(route: &Address, place: Place, timeout: Duration) -> Self {
        Self { route: route.clone(), place, timeout }
    }

    /// Asks something that changes nothing.
    ///
    /// # Errors
    /// Nobody answers, all of them transient but a socket that is not ours.
    pub(super) fn ask(&self, command: &str) -> Result<String, StepError> {
        let answer = self.exchange(command).map_err(|failed| {
            let error = StepError { class: failed.asked_class(), ..self.lost(command, &failed.error) };
            error.remedy(remedy(&failed.error))
        })?;
        match answer.trim() {
            "Permission denied" => Err(self.denied(command)),
            _ => Ok(answer),
        }
    }

    /// Does something of which HAProxy says nothing when it is done.
    ///
    /// # Errors
    /// Nobody answers, or HAProxy says why not. Unknown where the command was sent and not answered.
    pub(super) fn tell(&self, command: &str) -> Result<(), StepError> {
        let answer = self.exchange(command).map_err(|failed| {
            let error = StepError { class: failed.told_class(), ..self.lost(command, &failed.error) };
            error.remedy(remedy(&failed.error))
        })?;
        match answer.trim() {
            "" => Ok(()),
            "Permission denied" => Err(self.denied(command)),
            said => {
                let what = format!("{}: HAProxy at {} refuses {command:?}: {said}", self.route, self.place);
                let remedy = if said.contains("static LB") {
                    "give the backend a `balance` that takes weights: roundrobin or leastconn"
                } else {
                    "look at it with: show servers state"
                };
                Err(StepError::permanent(what).remedy(remedy))
            }
        }
    }

    /// One after the other, until one fails: none of them is done before the one that it builds upon.
    pub(super) fn tell_all(&self, commands: &[String]) -> Result<(), StepError> {
        commands.iter().try_for_each(|command| self.tell(command))
    }

    /// What a person types.
    pub(super) fn by_hand(&self, commands: &[String]) -> String {
        let to = match &self.place {
            Place::Unix(path) => format!("UNIX-CONNECT:{}", path.display()),
            Place::Tcp(at) => format!("TCP:{at}"),
        };
        let socat = ["socat".to_owned(), "-".to_owned(), to];
        format!("echo {} | {}", quoted(&[commands.join("; ")]), quoted(&socat))
    }

    /// Whether this socket may change anything.
    pub(super) fn findings(&self) -> Option<Finding> {
        let level = self.ask("show cli level").ok()?;
        let level = level.trim();
        ["user", "operator"].contains(&level).then(|| {
            let summary = format!("HAProxy's socket {} has level {level}: it cannot switch", self.place);
            finding(Severity::Critical, summary, "give its `stats socket` line `level admin`")
        })
    }

    fn denied(&self, command: &str) -> StepError {
        let what = format!("{}: HAProxy at {} does not permit {command:?}", self.route, self.place);
        StepError::permanent(what).remedy("give its `stats socket` line `level admin`")
    }

    fn lost(&self, command: &str, error: &io::Error) -> StepError {
        let why = match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                format!("no answer within {} ms", self.timeout.as_millis())
            }
            ErrorKind::NotFound => "there is no such socket".to_owned(),
            ErrorKind::ConnectionRefused => "nobody listens there".to_owned(),
            _ => error.to_string(),
        };
        StepError::transient(format!(
            "{}: HAProxy at {} does not answer {command:?}: {why}",
            self.route, self.place
        ))
    }

    fn exchange(&self, command: &str) -> Result<String, Failed> {
        let end = Instant::now() + self.timeout;
        let unsent = |error| Failed { error, sent: false };
        let mut stream = self.connect().map_err(unsent)?;
        stream.limit(end).map_err(unsent)?;
        let sent = |error| Failed { error, sent: true };
        stream.write_all(format!("{command}\n").as_bytes()).map_err(sent)?;
        let mut answer = Vec::new();
        let mut part = [0; 16_384];
        loop {
            stream.limit(end).map_err(sent)?;
            match stream.read(&mut part) {
                Ok(0) => break,
                Ok(length) => answer.extend_from_slice(part.get(..length).unwrap_or_default()),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(sent(e)),
            }
            if answer.len() as u64 > ANSWER_BYTES_MAX {
                return Err(sent(io::Error::new(ErrorKind::InvalidData, "the answer does not end")));
            }
        }
        // Every answer ends with a line; a process that dies says nothing at all.
        if answer.is_empty() {
            return Err(sent(ErrorKind::UnexpectedEof.into()));
        }
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn connect(&self) -> io::Result<Box<dyn Stream>> {
        match &self.place {
            Place::Unix(path) => Ok(Box::new(UnixStream::connect(path)?)),
            Place::Tcp(at) => {
                let mut last = io::Error::from(ErrorKind::NotFound);
                for address in at.to_socket_addrs()? {
                    match TcpStream::connect_timeout(&address, self.timeout) {
                        Ok(stream) => return Ok(Box::new(stream)),
                        Err(error) => last = error,
                    }
                }
                Err(last)
            }
        }
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::PermissionDenied => "run as a user who may use the socket",
        ErrorKind::NotFound => "name the socket of HAProxy's `stats socket` line; is HAProxy running?",
        _ => "is HAProxy running?",
    }
}

/// An exchange without an answer.
struct Failed {
    error: io::Error,
    sent: bool,
}

impl Failed {
    fn asked_class(&self) -> segue_contract::ErrorClass {
        match self.error.kind() {
            ErrorKind::PermissionDenied => segue_contract::ErrorClass::Permanent,
            _ => segue_contract::ErrorClass::Transient,
        }
    }

    fn told_class(&self) -> segue_contract::ErrorClass {
        if self.sent { segue_contract::ErrorClass::Unknown } else { self.asked_class() }
    }
}

/// A connection with a limit.
trait Stream: Read + Write {
    /// Neither reading nor writing goes beyond a time.
    fn limit(&self, end: Instant) -> io::Result<()>;
}

fn left(end: Instant) -> io::Result<Option<Duration>> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(ErrorKind::TimedOut.into()) } else { Ok(Some(left)) }
}

impl Stream for UnixStream {
    fn limit(&self, end: Instant) -> io::Result<()> {
        self.set_read_timeout(left(end)?)?;
        self.set_write_timeout(left(end)?)
    }
}

impl Stream for TcpStream {
    fn limit(&self, end: Instant) -> io::Result<()> {
        self.set_read_timeout(left(end)?)?;
        self.set_write_timeout(left(end)?)
    }
}
