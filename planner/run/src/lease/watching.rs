//! The watchdog's own process: it waits for the end of its holder or of a lease, kills the holder, and only
//! then has what was begun settled (protocol P7, P8).

use std::collections::BTreeMap;
use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use segue_contract::{Address, Secret, SecretRef};
use segue_language::Secrets;
use serde::{Deserialize, Serialize};

use super::file::{Decision, LeaseFile};
use super::{GRACE_MS, SETTLING_MS};
use crate::clock::Clock;
use crate::host::ProcessId;

/// Looks at the boot clock at least this often: it goes on while the machine sleeps, timers do not.
const LOOK: Duration = Duration::from_millis(500);
/// Messages that wait; the holder waits for an answer to each.
const MESSAGES_MAX: usize = 16;

/// What a watchdog is told first. Secrets go by the pipe: the environment and the command line are for all
/// to see.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    /// The state directory, absolute.
    pub state_dir: PathBuf,
    /// Who pauses.
    pub holder: ProcessId,
    /// Values of secrets that the spec's evaluation produced.
    secrets: Vec<(SecretRef, Hidden)>,
}

#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
struct Hidden(String);

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hidden(…)")
    }
}

impl Orders {
    /// For a watchdog of this process.
    pub fn new(state_dir: PathBuf, secrets: &Secrets) -> Self {
        let secrets = secrets.values.iter().map(|(k, v)| (k.clone(), Hidden(v.reveal().to_owned())));
        Self { state_dir, holder: ProcessId::current(), secrets: secrets.collect() }
    }

    /// The secrets.
    pub fn secrets(&self) -> Secrets {
        Secrets { values: self.secrets.iter().map(|(k, v)| (k.clone(), Secret::new(&*v.0))).collect() }
    }
}

/// From the holder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Message {
    Begin(Box<Orders>),
    Lease { cutover: Address, epoch: u64, deadline_ms: u64, forward_ms: u64 },
    Forward { cutover: Address, deadline_ms: u64 },
    There,
    Over { cutover: Address },
    Dismissed,
}

/// To the holder.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Answer {
    Ready { pid: u32, start_ticks: u64 },
    Here,
}

/// How watching ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// The holder ended by itself, with nothing left to do.
    Dismissed,
    /// The holder is dead: what it began is to be settled.
    Settle {
        /// Why it died, for the log.
        why: String,
    },
}

/// Leaves the session of the one who pauses: a Ctrl-C or a closed terminal is not meant for the watchdog.
///
/// # Errors
/// This process leads its group already.
pub fn leave_session() -> std::io::Result<()> {
    rustix::process::setsid()?;
    Ok(())
}

struct Lease {
    epoch: u64,
    deadline_ms: u64,
    /// How long it goes on after `deadline_ms` when the attempt was hardened by then.
    forward_ms: u64,
    /// Whether the attempt cannot be aborted by this lease any more: there is nothing to decide when it is over.
    forward: bool,
}

/// Watches until the holder lets it go, or is dead. `begin` is called with the orders before the first answer.
///
/// # Errors
/// The orders cannot be read, or the holder cannot be killed: nothing was settled.
pub fn watch(
    input: impl BufRead + Send + 'static,
    mut output: impl Write,
    clock: &dyn Clock,
    begin: impl FnOnce(&Orders) -> std::io::Result<()>,
) -> std::io::Result<(Option<Orders>, Ended)> {
    let messages = reader(input)?;
    let Ok(Message::Begin(orders)) = messages.recv() else {
        return Ok((None, Ended::Dismissed));
    };
    begin(&orders)?;
    let own = ProcessId::current();
    say(&mut output, &Answer::Ready { pid: own.pid, start_ticks: own.start_ticks })?;
    let mut leases: BTreeMap<Address, Lease> = BTreeMap::new();
    let why = loop {
        match messages.recv_timeout(wait(&leases, clock.boot_ms())) {
            Ok(Message::Dismissed) => return Ok((Some(*orders), Ended::Dismissed)),
            Ok(message) => {
                take(&mut leases, message);
                // A holder that died meanwhile is found by the next read.
                let _ = say(&mut output, &Answer::Here);
            }
            Err(RecvTimeoutError::Disconnected) => break "it died".to_owned(),
            Err(RecvTimeoutError::Timeout) => {
                if let Some(why) = lapsed(&orders, &mut leases, clock.boot_ms()) {
                    break why;
                }
            }
        }
    };
    orders.holder.kill()?;
    Ok((Some(*orders), Ended::Settle { why }))
}

fn reader(input: impl BufRead + Send + 'static) -> std::io::Result<Receiver<Message>> {
    let (send, messages) = sync_channel(MESSAGES_MAX);
    std::thread::Builder::new().name("holder".to_owned()).spawn(move || {
        for line in input.lines().map_while(Result::ok) {
            // A line that cannot be read is the end of a holder that died while it wrote.
            let Ok(message) = serde_json::from_str(&line) else { break };
            if send.send(message).is_err() {
                break;
            }
        }
    })?;
    Ok(messages)
}

fn say(output: &mut impl Write, answer: &Answer) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    output.write_all(&line)?;
    output.flush()
}

fn take(leases: &mut BTreeMap<Address, Lease>, message: Message) {
    match message {
        Message::Lease { cutover, epoch, deadline_ms, forward_ms } => {
            leases.insert(cutover, Lease { epoch, deadline_ms, forward_ms, forward: false });
        }
        Message::Forward { cutover, deadline_ms } => {
            if let Some(lease) = leases.get_mut(&cutover) {
                (lease.deadline_ms, lease.forward) = (deadline_ms, true);
            }
        }
        Message::Over { cutover } => {
            leases.remove(&cutover);
        }
        Message::Begin(_) | Message::There | Message::Dismissed => {}
    }
}

fn wait(leases: &BTreeMap<Address, Lease>, now_ms: u64) -> Duration {
    let next = leases.values().map(|l| l.deadline_ms.saturating_add(GRACE_MS)).min();
    next.map_or(LOOK, |at| Duration::from_millis(at.saturating_sub(now_ms)).min(LOOK))
}

/// The first lease that is over: one that was not hardened, or whose holder did not complete what it had committed in
/// the time for that (protocol P30). One that cannot be decided is looked at again when settling should long be over.
fn lapsed(orders: &Orders, leases: &mut BTreeMap<Address, Lease>, now_ms: u64) -> Option<String> {
    for (cutover, lease) in leases {
        if now_ms < lease.deadline_ms.saturating_add(GRACE_MS) {
            continue;
        }
        if lease.forward {
            return Some(format!("{cutover} was not completed in its time"));
        }
        match LeaseFile::of(&orders.state_dir, cutover, lease.epoch).decide(Decision::Expired) {
            Ok(Decision::Expired) => return Some(format!("the lease of {cutover} lapsed")),
            Ok(Decision::Hardened) => {
                lease.deadline_ms = lease.deadline_ms.saturating_add(lease.forward_ms);
                lease.forward = true;
            }
            Err(_) => lease.deadline_ms = now_ms.saturating_add(SETTLING_MS),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Read};
    use std::process::{Child, Command};

    use super::*;
    use crate::clock::SystemClock;

    /// A holder that sleeps, and is killed at the end of the test.
    struct Holder(Child);

    impl Holder {
        fn new() -> Self {
            Self(Command::new("sleep").arg("1000").spawn().unwrap())
        }

        fn id(&self) -> ProcessId {
            let pid = self.0.id();
            let start_ticks = crate::host::process_start(pid).unwrap();
            ProcessId { pid, start_ticks, ..ProcessId::current() }
        }
    }

    impl Drop for Holder {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Says lines, then waits until `held` is dropped, as a pipe does that a living holder keeps open.
    struct Pipe {
        said: std::io::Cursor<Vec<u8>>,
        held: Receiver<()>,
    }

    impl Read for Pipe {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            match self.said.read(buffer)? {
                0 => {
                    let _ = self.held.recv();
                    Ok(0)
                }
                n => Ok(n),
            }
        }
    }

    fn run(holder: &Holder, state_dir: PathBuf, messages: &[Message], keep_open: bool) -> Ended {
        let orders = Orders { state_dir, holder: holder.id(), secrets: Vec::new() };
        let mut text = serde_json::to_string(&Message::Begin(Box::new(orders))).unwrap() + "\n";
        for message in messages {
            text += &(serde_json::to_string(message).unwrap() + "\n");
        }
        let (open, held) = std::sync::mpsc::channel();
        let open = keep_open.then_some(open);
        let pipe = Pipe { said: std::io::Cursor::new(text.into_bytes()), held };
        let ended = watch(BufReader::new(pipe), Vec::new(), &SystemClock::new(), |_| Ok(())).unwrap().1;
        drop(open);
        ended
    }

    fn cutover() -> Address {
        Address::new("cutover.site")
    }

    fn lease(deadline_ms: u64) -> Message {
        Message::Lease { cutover: cutover(), epoch: 7, deadline_ms, forward_ms: 600_000 }
    }

    #[test]
    fn a_holder_that_is_dismissed_is_left_alone() {
        let (dir, holder) = (tempfile::tempdir().unwrap(), Holder::new());
        let later = lease(SystemClock::new().boot_ms() + 600_000);
        let ended = run(&holder, dir.path().into(), &[later, Message::Dismissed], true);
        assert_eq!(ended, Ended::Dismissed);
        assert_eq!(holder.id().liveness(), crate::host::Liveness::Alive);
    }

    #[test]
    fn a_holder_whose_pipe_ends_is_killed_before_anything_is_settled() {
        let (dir, holder) = (tempfile::tempdir().unwrap(), Holder::new());
        assert!(matches!(run(&holder, dir.path().into(), &[], false), Ended::Settle { .. }));
        assert_eq!(holder.id().liveness(), crate::host::Liveness::Gone);
    }

    #[test]
    fn a_lease_that_lapsed_is_decided_and_its_holder_killed() {
        let (dir, holder) = (tempfile::tempdir().unwrap(), Holder::new());
        let ended = run(&holder, dir.path().into(), &[lease(1)], true);
        assert!(matches!(ended, Ended::Settle { .. }));
        let file = LeaseFile::of(dir.path(), &cutover(), 7);
        assert_eq!(file.decide(Decision::Hardened).unwrap(), Decision::Expired);
        assert_eq!(holder.id().liveness(), crate::host::Liveness::Gone);
    }

    #[test]
    fn a_holder_that_does_not_complete_in_time_is_killed() {
        let (dir, holder) = (tempfile::tempdir().unwrap(), Holder::new());
        LeaseFile::of(dir.path(), &cutover(), 7).decide(Decision::Hardened).unwrap();
        let later = lease(SystemClock::new().boot_ms() + 600_000);
        let forward = Message::Forward { cutover: cutover(), deadline_ms: 1 };
        assert!(matches!(run(&holder, dir.path().into(), &[later, forward], true), Ended::Settle { .. }));
        assert_eq!(holder.id().liveness(), crate::host::Liveness::Gone);
    }

    #[test]
    fn a_hardened_lease_goes_on_for_as_long_as_completing_may_take() {
        let dir = tempfile::tempdir().unwrap();
        LeaseFile::of(dir.path(), &cutover(), 7).decide(Decision::Hardened).unwrap();
        let holder = Holder::new();
        let orders = Orders { state_dir: dir.path().into(), holder: holder.id(), secrets: Vec::new() };
        let lease = Lease { epoch: 7, deadline_ms: 1, forward_ms: 500, forward: false };
        let mut leases = BTreeMap::from([(cutover(), lease)]);
        assert_eq!(lapsed(&orders, &mut leases, 1 + GRACE_MS), None);
        assert_eq!(lapsed(&orders, &mut leases, 500 + GRACE_MS), None);
        let why = lapsed(&orders, &mut leases, 501 + GRACE_MS).unwrap();
        assert_eq!(why, "cutover.site was not completed in its time");
    }

    #[test]
    fn orders_do_not_print_their_secrets() {
        let secrets = Secrets { values: BTreeMap::from([(SecretRef::Env("A".into()), Secret::new("hush"))]) };
        let orders = Orders::new("/s".into(), &secrets);
        assert!(!format!("{orders:?}").contains("hush"));
        assert_eq!(orders.secrets().values.len(), 1);
    }
}
