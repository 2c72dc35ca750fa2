//! What went wrong with a request, and whether it can have had an effect.

use std::io;
use std::time::Duration;

use segue_contract::{ErrorClass, StepError};

/// What kind of failure it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HttpErrorKind {
    /// The request cannot be made: an address, a method or a header that is none.
    Invalid,
    /// Nobody listens there. The request had no effect.
    Refused,
    /// The host is not found, or no connection comes about. The request had no effect.
    Unreachable,
    /// No TLS connection comes about. The request had no effect.
    Tls,
    /// The clocks here and there are so far apart that no signature is believed. The request had no effect.
    Clock,
    /// No whole reply within the time-out. What the request did is not known.
    Timeout,
    /// The reply is larger than what is taken.
    TooLarge,
    /// The connection broke, or what came was no HTTP. What the request did is not known.
    Broken,
}

/// The host has no address.
const NO_NAME: &str = "the host's name cannot be looked up";
/// What answers a handshake is none.
const NO_TLS: &str = "what listens there speaks no TLS";
/// The certificate was good once.
const EXPIRED: &str = "the server's certificate has expired";

/// What to do about a clock that is off.
const CLOCK_REMEDY: &str = "set the clock right (NTP): signatures hold for five minutes";

/// There is no whole reply: what was asked, where, and why not.
#[derive(Debug)]
pub(crate) struct HttpError {
    pub(crate) kind: HttpErrorKind,
    what: String,
    remedy: &'static str,
}

impl HttpError {
    pub(super) fn invalid(asked: &str, what: impl std::fmt::Display) -> Self {
        Self {
            kind: HttpErrorKind::Invalid,
            what: format!("cannot ask {asked}: {what}"),
            remedy: "correct the block",
        }
    }

    pub(super) fn too_large(asked: &str, bytes: u64) -> Self {
        Self {
            kind: HttpErrorKind::TooLarge,
            what: format!("{asked}: the answer is larger than {bytes} bytes"),
            remedy: "ask for less",
        }
    }

    pub(super) fn clock(asked: &str, skew: &str) -> Self {
        Self {
            kind: HttpErrorKind::Clock,
            what: format!("{asked}: the signature was refused (403): {skew}"),
            remedy: CLOCK_REMEDY,
        }
    }

    pub(super) fn new(asked: &str, timeout: Duration, error: &ureq::Error) -> Self {
        let (kind, why) = explain(timeout, error);
        let remedy = match kind {
            HttpErrorKind::Unreachable if why.starts_with(NO_NAME) => {
                "check the host's name, and the name servers of this machine (`getent hosts NAME`)"
            }
            HttpErrorKind::Tls if why == NO_TLS => "write http:// for a plain port, or the port of HTTPS",
            HttpErrorKind::Tls if why.starts_with(EXPIRED) => {
                "renew it at the server; until then nobody can tell who that is"
            }
            HttpErrorKind::Invalid => "correct the block",
            HttpErrorKind::Refused => "is the server running, and is the port right?",
            HttpErrorKind::Unreachable => "check the host's name and the way there from this machine",
            HttpErrorKind::Tls => {
                "check ca_file, the certificate's name and date, and whether the server wants client_cert"
            }
            HttpErrorKind::Clock => CLOCK_REMEDY,
            HttpErrorKind::Timeout => "raise timeout, or see what the server waits for",
            HttpErrorKind::TooLarge => "ask for less",
            HttpErrorKind::Broken => {
                "see the server's log; is this an HTTP port? One of HTTPS breaks off like this: write https:// then"
            }
        };
        Self { kind, what: format!("{asked}: {why}"), remedy }
    }

    /// The same of a client that showed no certificate to a server with TLS: one that wants it may just break the connection, as
    /// its reason comes after the handshake and gets lost.
    pub(super) fn without_certificate(self) -> Self {
        match self.kind {
            HttpErrorKind::Broken => Self {
                remedy: "see the server's log: does it speak HTTPS there, and want client_cert?",
                ..self
            },
            _ => self,
        }
    }

    /// The error of a step. Unknown where the request can have had an effect.
    pub(crate) fn step(self) -> StepError {
        let class = match self.kind {
            HttpErrorKind::Invalid | HttpErrorKind::Tls | HttpErrorKind::Clock => ErrorClass::Permanent,
            HttpErrorKind::Refused | HttpErrorKind::Unreachable => ErrorClass::Transient,
            HttpErrorKind::Timeout | HttpErrorKind::TooLarge | HttpErrorKind::Broken => ErrorClass::Unknown,
        };
        StepError { class, what: self.what, remedy: Some(self.remedy.to_owned()), source: None }
    }
}

impl std::fmt::Display for HttpError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.what)
    }
}

/// The kind, and the reason in words that hold no address: the library's own texts may repeat the whole
/// address with its secrets.
fn explain(timeout: Duration, error: &ureq::Error) -> (HttpErrorKind, String) {
    match error {
        ureq::Error::Timeout(_) => {
            (HttpErrorKind::Timeout, format!("no whole answer within {} ms", timeout.as_millis()))
        }
        ureq::Error::HostNotFound => (HttpErrorKind::Unreachable, "the host is not found".to_owned()),
        ureq::Error::ConnectionFailed => (HttpErrorKind::Unreachable, "no connection".to_owned()),
        ureq::Error::ConnectProxyFailed(_) | ureq::Error::InvalidProxyUrl => {
            (HttpErrorKind::Unreachable, "the proxy of the environment lets nothing through".to_owned())
        }
        ureq::Error::BadUri(_) => {
            (HttpErrorKind::Invalid, "the address needs a scheme and a host".to_owned())
        }
        ureq::Error::Http(e) => (HttpErrorKind::Invalid, e.to_string()),
        ureq::Error::Tls(why) => (HttpErrorKind::Tls, format!("no TLS connection: {why}")),
        ureq::Error::Rustls(e) => (HttpErrorKind::Tls, format!("no TLS connection: {e}")),
        ureq::Error::TlsRequired => (HttpErrorKind::Tls, "no TLS connection".to_owned()),
        ureq::Error::Io(e) => explain_io(timeout, e),
        ureq::Error::Protocol(e) => (HttpErrorKind::Broken, format!("the answer is no HTTP: {e}")),
        ureq::Error::RedirectFailed => {
            (HttpErrorKind::Broken, "a redirect that cannot be followed with a body".to_owned())
        }
        other => (HttpErrorKind::Broken, other.to_string()),
    }
}

fn explain_io(timeout: Duration, error: &io::Error) -> (HttpErrorKind, String) {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            (HttpErrorKind::Refused, "nobody listens there (connection refused)".to_owned())
        }
        io::ErrorKind::TimedOut => {
            (HttpErrorKind::Timeout, format!("no whole answer within {} ms", timeout.as_millis()))
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => {
            (HttpErrorKind::Unreachable, error.to_string())
        }
        // The system's resolver has no kind of its own.
        _ if error.to_string().starts_with("failed to lookup address information") => {
            let why = error.to_string();
            let why = why.split_once(": ").map_or(String::new(), |(_, why)| format!(" ({why})"));
            (HttpErrorKind::Unreachable, format!("{NO_NAME}{why}"))
        }
        // The library carries its own errors through readers in this form.
        _ => match error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            Some(ureq::Error::Timeout(_)) => {
                (HttpErrorKind::Timeout, format!("no whole answer within {} ms", timeout.as_millis()))
            }
            _ => match tls(error) {
                Some(why) => (HttpErrorKind::Tls, why),
                None => (HttpErrorKind::Broken, format!("the connection broke: {error}")),
            },
        },
    }
}

/// What the TLS library says, where an I/O error carries that. Handshake failures come in this form, as words.
fn tls(error: &io::Error) -> Option<String> {
    let inner = error.get_ref()?;
    let text = inner.to_string();
    let lower = text.to_lowercase();
    let from_tls = error.kind() == io::ErrorKind::InvalidData
        && ["certificate", "handshake", "unknownca"].iter().any(|word| lower.contains(word));
    if error.kind() == io::ErrorKind::InvalidData && lower.contains("invalidcontenttype") {
        return Some(NO_TLS.to_owned());
    }
    if from_tls && lower.contains("certificate expired") {
        let at =
            text.split_once("not valid after ").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
        let at = at.and_then(|second| jiff::Timestamp::from_second(second).ok());
        return Some(at.map_or_else(|| EXPIRED.to_owned(), |at| format!("{EXPIRED}, on {at}")));
    }
    from_tls.then(|| format!("no TLS connection: {text}"))
}
