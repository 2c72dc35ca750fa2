//! One message to the server and its answer: over UDP, sent again when nothing comes, over TCP at last; signed and
//! verified where there is a key. What is not known of an update is said to be not known.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::{Duration, Instant};

use domain::base::Message;
use domain::base::iana::{Opcode, Rcode, TsigRcode};
use domain::base::message_builder::PushError;
use domain::rdata::tsig::{Time48, Tsig};
use domain::tsig::{ClientTransaction, Key, ValidationError};
use segue_contract::{BlockRef, StepError};

use super::message::Draft;

/// A message that is longer goes over TCP at once (RFC 1035, 4.2.1), in bytes.
const DATAGRAM_MAX: usize = 512;
/// How long each try over UDP is waited for, in tenths of the time-out; TCP has the rest.
const TRIES: [u32; 3] = [1, 2, 3];
/// The port of name servers.
const PORT: u16 = 53;

/// An answer.
pub(super) type Answer = Message<Vec<u8>>;

/// There is no answer that can be believed.
#[derive(Debug)]
pub(super) enum Lost {
    /// Nothing was asked: nobody is there. It had no effect.
    Nobody(String),
    /// It was asked, or may have been, and no answer came.
    Answer(String),
    /// The server does not believe who asks, or the answer cannot be believed.
    Belief(StepError),
    /// The message cannot be made.
    TooLong(String),
}

impl From<PushError> for Lost {
    fn from(error: PushError) -> Self {
        Self::TooLong(format!("the values do not fit into one message: {error}"))
    }
}

impl Lost {
    /// The error where a question changes nothing.
    pub(super) fn of_query(self) -> StepError {
        match self {
            Self::Nobody(what) | Self::Answer(what) => StepError::transient(what)
                .remedy("is the server running, and can it be reached from this machine?"),
            Self::Belief(error) => error,
            Self::TooLong(what) => StepError::permanent(what),
        }
    }

    /// The error of an update.
    pub(super) fn of_update(self) -> StepError {
        match self {
            Self::Answer(what) => StepError::unknown(what).remedy("the update may have been done: look"),
            other => other.of_query(),
        }
    }
}

/// A server, and how it is asked.
#[derive(Debug)]
pub(super) struct Server {
    /// As it was written.
    pub(super) name: String,
    addresses: Vec<SocketAddr>,
    timeout: Duration,
    key: Option<Key>,
}

/// The host, without brackets, and the port.
///
/// # Errors
/// It is no host.
pub(super) fn host_and_port(route: &BlockRef) -> Result<(String, u16), StepError> {
    let text = route.text("server")?;
    let wrong = || {
        StepError::permanent(format!("{}: server {text:?} is no host", route.address))
            .remedy("write \"ns1.example.com\", \"192.0.2.53:5353\" or \"[2001:db8::53]:53\"")
    };
    let (host, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']').ok_or_else(wrong)) {
        Some(parts) => {
            let (host, port) = parts?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':').ok_or_else(wrong)?) })
        }
        // An IPv6 address without brackets has no port.
        None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
        None => text.rsplit_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(PORT), |port| port.parse().map_err(|_| wrong()))?;
    if host.is_empty() || host.contains(|c: char| c.is_whitespace() || c == '/') || port == 0 {
        return Err(wrong());
    }
    Ok((host.to_owned(), port))
}

impl Server {
    /// The server of a block, not signed.
    ///
    /// # Errors
    /// Its name is not found.
    pub(super) fn new(route: &BlockRef, timeout: Duration) -> Result<Self, StepError> {
        let (host, port) = host_and_port(route)?;
        let found = (host.as_str(), port).to_socket_addrs().map_err(|e| {
            StepError::transient(format!("{}: server {host} is not found", route.address)).because(e)
        })?;
        let addresses: Vec<SocketAddr> = found.collect();
        if addresses.is_empty() {
            return Err(StepError::transient(format!("{}: server {host} has no address", route.address)));
        }
        Ok(Self { name: route.text("server")?.to_owned(), addresses, timeout, key: None })
    }

    /// The same, with a key.
    pub(super) fn signed(self, key: Option<Key>) -> Self {
        Self { key, ..self }
    }

    /// Asks, over UDP first.
    pub(super) fn ask(&self, draft: Result<Draft, PushError>) -> Result<Answer, Lost> {
        self.exchange(draft?, true)
    }

    /// Asks over TCP: the answer is large.
    pub(super) fn ask_for_much(&self, draft: Result<Draft, PushError>) -> Result<Answer, Lost> {
        self.exchange(draft?, false)
    }

    fn exchange(&self, mut draft: Draft, udp: bool) -> Result<Answer, Lost> {
        let transaction = match &self.key {
            Some(key) => Some(ClientTransaction::request(key.clone(), &mut draft, Time48::now())?),
            None => None,
        };
        let end = Instant::now() + self.timeout;
        let bytes = draft.finish();
        let mut may_have_come = false;
        let mut why = String::new();
        for (address, left) in self.addresses.iter().zip((1..=self.addresses.len()).rev()) {
            // An address that says nothing leaves as much time to each of those after it.
            let left = u32::try_from(left).unwrap_or(u32::MAX);
            let patience = end.saturating_duration_since(Instant::now()) / left;
            let end = Instant::now() + patience;
            let transaction = transaction.as_ref();
            let exchange = Exchange { server: self, bytes: &bytes, transaction, patience, end };
            let tried = match exchange.over_udp(address, udp) {
                Ok(Some(answer)) => return exchange.believed(answer),
                Ok(None) => exchange.over_tcp(address),
                Err(tried) => match exchange.over_tcp(address) {
                    Err(tcp) => Err(Tried { may_have_come: tried.may_have_come || tcp.may_have_come, ..tcp }),
                    answer => answer,
                },
            };
            match tried {
                Ok(answer) => return exchange.believed(answer),
                Err(tried) => {
                    may_have_come |= tried.may_have_come;
                    why = format!("{address}: {}", tried.why);
                }
            }
        }
        let shown = if why.starts_with(&self.name) { why } else { format!("{} ({why})", self.name) };
        Err(if may_have_come {
            Lost::Answer(format!("no answer from {shown}"))
        } else {
            Lost::Nobody(format!("nobody answers at {shown}"))
        })
    }
}

/// A way that brought no answer.
#[derive(Debug)]
struct Tried {
    may_have_come: bool,
    why: String,
}

struct Exchange<'a> {
    server: &'a Server,
    bytes: &'a [u8],
    transaction: Option<&'a ClientTransaction<Key>>,
    /// For UDP and TCP together.
    patience: Duration,
    end: Instant,
}

impl Exchange<'_> {
    fn left(&self) -> Duration {
        // Zero means without end to a socket.
        self.end.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
    }

    /// `None`: to be asked over TCP.
    fn over_udp(&self, address: &SocketAddr, wanted: bool) -> Result<Option<Answer>, Tried> {
        if !wanted || self.bytes.len() > DATAGRAM_MAX {
            return Ok(None);
        }
        let failed = |sent: u32, e: &io::Error| {
            // Of one datagram that nobody took nothing can have come; of those before it nobody knows.
            let refused = e.kind() == ErrorKind::ConnectionRefused;
            Tried { may_have_come: sent > u32::from(refused), why: e.to_string() }
        };
        let from: IpAddr = match address {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((from, 0)).map_err(|e| failed(0, &e))?;
        socket.connect(address).map_err(|e| failed(0, &e))?;
        for (sent, tenths) in (0..).zip(TRIES) {
            let until = Instant::now() + (self.patience / 10 * tenths).min(self.left());
            socket.send(self.bytes).map_err(|e| failed(sent, &e))?;
            if let Some(answer) = self.datagram(&socket, until).map_err(|e| failed(sent + 1, &e))? {
                return Ok((!answer.header().tc()).then_some(answer));
            }
        }
        Err(Tried { may_have_come: true, why: "nothing came back".to_owned() })
    }

    /// The first datagram that is an answer to this.
    fn datagram(&self, socket: &UdpSocket, until: Instant) -> io::Result<Option<Answer>> {
        let mut buffer = vec![0; 65_536];
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            socket.set_read_timeout(Some(left))?;
            match socket.recv(&mut buffer) {
                Ok(length) => {
                    let answer = Message::from_octets(buffer.get(..length).unwrap_or_default().to_vec());
                    if let Some(answer) = answer.ok().filter(|answer| self.is_for_this(answer)) {
                        return Ok(Some(answer));
                    }
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => return Ok(None),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
    }

    fn over_tcp(&self, address: &SocketAddr) -> Result<Answer, Tried> {
        let mut stream = TcpStream::connect_timeout(address, self.left())
            .map_err(|e| Tried { may_have_come: false, why: e.to_string() })?;
        self.on_stream(&mut stream).map_err(|e| Tried { may_have_come: true, why: e.to_string() })
    }

    fn on_stream(&self, stream: &mut TcpStream) -> io::Result<Answer> {
        let broken = |what: &str| io::Error::new(ErrorKind::InvalidData, what.to_owned());
        let length = u16::try_from(self.bytes.len()).map_err(|_| broken("the message is too long"))?;
        stream.set_write_timeout(Some(self.left()))?;
        stream.write_all(&[&length.to_be_bytes(), self.bytes].concat())?;
        let mut length = [0; 2];
        self.read(stream, &mut length)?;
        let mut bytes = vec![0; usize::from(u16::from_be_bytes(length))];
        self.read(stream, &mut bytes)?;
        let answer = Message::from_octets(bytes).map_err(|_| broken("what came is no answer"))?;
        if !self.is_for_this(&answer) {
            return Err(broken("what came answers something else"));
        }
        Ok(answer)
    }

    fn read(&self, stream: &mut TcpStream, buffer: &mut [u8]) -> io::Result<()> {
        let mut rest = buffer;
        while !rest.is_empty() {
            if Instant::now() >= self.end {
                return Err(ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(self.left()))?;
            match stream.read(rest) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => rest = rest.get_mut(length..).unwrap_or_default(),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    fn is_for_this(&self, answer: &Answer) -> bool {
        let Ok(asked) = Message::from_octets(self.bytes) else { return false };
        let (asked_for, answered) = (asked.header(), answer.header());
        let alike =
            answered.qr() && answered.id() == asked_for.id() && answered.opcode() == asked_for.opcode();
        // Some servers repeat the zone of an update, some do not.
        alike && (asked_for.opcode() == Opcode::UPDATE || asked.first_question() == answer.first_question())
    }

    /// The answer, if it can be believed.
    fn believed(&self, mut answer: Answer) -> Result<Answer, Lost> {
        let Some(transaction) = self.transaction else { return Ok(answer) };
        if let Some(error) = self.disbelieved(&answer, transaction.key()) {
            return Err(Lost::Belief(error));
        }
        let name = &self.server.name;
        match transaction.answer(&mut answer, Time48::now()) {
            Ok(()) => Ok(answer),
            // A server that does not get as far as the key says what is wrong without it (RFC 8945, 5.2).
            Err(ValidationError::ServerUnsigned) if answer.header().rcode() != Rcode::NOERROR => Ok(answer),
            Err(ValidationError::BadTime) => Err(Lost::Belief(clock(format!(
                "the answer of {name} is signed at another time: the clocks differ by more than five minutes"
            )))),
            Err(error) => Err(Lost::Belief(
                StepError::unknown(format!("the answer of {name} cannot be believed: {error}"))
                    .remedy("is something between here and the server that changes answers?"),
            )),
        }
    }

    /// What the server says against the key (RFC 8945, 5.2 and 5.3): it may say so without a signature.
    fn disbelieved(&self, answer: &Answer, key: &Key) -> Option<StepError> {
        if answer.header().rcode() != Rcode::NOTAUTH {
            return None;
        }
        let record = answer.additional().ok()?.flatten().last()?;
        let record = record.to_record::<Tsig<_, _>>().ok()??;
        let (name, server) = (key.name(), &self.server.name);
        Some(match record.data().error() {
            TsigRcode::BADKEY => {
                StepError::permanent(format!("{server} does not know the key {name} (BADKEY)"))
                    .remedy("key_name and key_algorithm must be those of the server's configuration")
            }
            TsigRcode::BADSIG => {
                StepError::permanent(format!("{server} knows another secret of the key {name} (BADSIG)"))
                    .remedy("key_secret and key_algorithm must be those of the server's configuration")
            }
            TsigRcode::BADTIME => {
                let theirs = record.data().other_time().map(u64::from);
                let ours = u64::from(record.data().time_signed());
                let off = theirs.map_or_else(String::new, |theirs| {
                    let way = if ours > theirs { "ahead of" } else { "behind" };
                    format!(": this machine is {} s {way} it", ours.abs_diff(theirs))
                });
                clock(format!("{server} has another time (BADTIME){off}"))
            }
            _ => return None,
        })
    }
}

fn clock(what: String) -> StepError {
    StepError::permanent(what).remedy("set the clocks right (NTP), on both machines")
}
