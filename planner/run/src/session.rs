//! A session: the right to write to a state directory, with everything that a run stands on; and reading
//! a state directory beside a running apply.

mod take;

use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use segue_contract::{Registry, segue};
use segue_language::Secrets;
use segue_plan::event::{Entry, EntryError, Event, RunRecord, StateBinding};
use segue_plan::state::{State, fold};

use crate::clock::{Clock, SystemClock, rfc3339};
use crate::directory::{DirectoryError, Found, StateDirectory};
use crate::execute::{
    Ask, Board, Control, Ground, Guard, Listener, Live, RecordError, Recorder, Reply, Who, ask,
};
use crate::host;
use crate::journal::{self, Journal, JournalError, JournalOptions, Mark, Seq, Tap, Verdict};
use crate::lease::Program;
use crate::lock::{LockError, LockState, WriterLock, probe};
use crate::store::{SledStore, StateStore, StoreError};
use crate::stored;
use take::take_lock;

/// How to begin.
pub struct Start<'a> {
    /// The state directory; made when it is not there.
    pub state_dir: &'a Path,
    /// The command, as a second one is told: `apply`.
    pub command: &'a str,
    /// Segue's version.
    pub version: &'a str,
    /// Watches durable writes; the product's watches nothing.
    pub tap: Box<dyn Tap>,
    /// Go on although this directory is a copy (only `segue adopt` does).
    pub adopt: bool,
    /// What watches this run's pauses; `None`: nobody does.
    pub watchdog: Option<Program>,
}

/// The right to write, and what a run stands on.
pub struct Session {
    /// For everything that runs.
    pub ground: Arc<Ground>,
    /// What happened before: a torn tail cut off, a store made anew, a run that died.
    pub notices: Vec<String>,
    /// The state directory.
    pub directory: StateDirectory,
    /// Whether it is a copy that waits to be adopted.
    pub copied: bool,
    /// The folded state on disk; `None`: it cannot be used now, and the journal does without.
    store: Option<Mutex<SledStore>>,
}

/// Why a state directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// Another process writes.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The directory.
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    /// The journal.
    #[error("the journal cannot be used: {0}")]
    Journal(#[from] JournalError),
    /// Recording.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// An event of the journal.
    #[error("event {sequence} of the journal cannot be read: {error}")]
    Entry {
        /// Which.
        sequence: u64,
        /// Why.
        error: EntryError,
    },
    /// The stored state.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The stored state could not be made anew.
    #[error("the stored state cannot be made anew: {0}")]
    Stored(String),
    /// The directory is a copy.
    #[error("{} is a copy of a state directory: it was moved to another machine or restored under another inode", .0.display())]
    Copy(PathBuf),
    /// A file.
    #[error(transparent)]
    Path(#[from] segue_contract::paths::PathError),
}

impl SessionError {
    /// The exit code: 6 when another process writes, otherwise 1.
    pub fn exit_code(&self) -> i32 {
        match self {
            Self::Lock(LockError::Locked { .. }) => 6,
            _ => 1,
        }
    }

    /// What to do next.
    pub fn remedy(&self) -> Option<String> {
        match self {
            Self::Lock(LockError::Locked { .. }) => Some(format!(
                "wait for it, or ask it: `{}`, `{}`, `{}` talk to a running apply",
                segue(&["status"]),
                segue(&["approve"]),
                segue(&["abort"])
            )),
            Self::Lock(LockError::Path(error)) | Self::Path(error) => error.remedy(),
            Self::Directory(error) => error.remedy(),
            Self::Journal(error) | Self::Record(RecordError::Journal(error)) => error.remedy(),
            Self::Record(RecordError::Encode(_)) | Self::Store(_) | Self::Stored(_) => None,
            Self::Entry { error: EntryError::Later(_), .. } => {
                Some("use the version of segue that wrote it".to_owned())
            }
            Self::Entry { .. } => {
                Some(format!("`{}` on a copy, or restore the directory", segue(&["state", "pull"])))
            }
            Self::Copy(_) => Some(format!(
                "work from the original; when it is gone for good, `{}` makes this one its successor",
                segue(&["adopt"])
            )),
        }
    }
}

impl Session {
    /// Takes the lock, reads the journal, and records that a run began.
    ///
    /// # Errors
    /// See [`SessionError`]; nothing was changed, but that a torn last group of the journal may be cut off.
    pub fn open(
        start: Start<'_>,
        registry: Registry,
        listener: Arc<dyn Listener>,
        secrets: Secrets,
    ) -> Result<Self, SessionError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        let (directory, found) = StateDirectory::open_or_create(start.state_dir, &*clock)?;
        let lock = Arc::new(take_lock(&directory, start.command, &*clock, &*listener)?);
        if found.copied_to.is_some() && !start.adopt {
            return Err(SessionError::Copy(directory.root().to_owned()));
        }
        let mut notices = Vec::new();
        if let Some(dead) = lock.abandoned_by() {
            notices.push(format!("the run before this one died: {dead}"));
        }
        let mut store = open_store(&lock, &mut notices)?;
        let known: Vec<Mark> = store.as_ref().and_then(StateStore::stands_at).into_iter().collect();
        let (journal, opened) = Journal::open(&lock, JournalOptions::default(), &known, BoxedTap(start.tap))?;
        if let Some((segment, bytes)) = &opened.cut {
            notices.push(format!(
                "{bytes} bytes of a half-written last event were cut off {}",
                segment.display()
            ));
        }
        if opened.reserve_short {
            notices.push(
                "the disk of the state directory is full: only a cutover in flight can be settled".to_owned(),
            );
        }
        let stored = store.as_ref().and_then(|store| match stored::load(store) {
            Ok(stored) => stored,
            Err(error) => {
                notices.push(format!("the stored state is made anew from the journal: {error}"));
                None
            }
        });
        let (state, sequence) = replay(&directory, stored)?;
        if let (Some(store), Some(mark)) = (&mut store, opened.last) {
            keep(store, &state, mark, &mut notices);
        }
        private_dir(&directory.artifacts())?;
        let recorder = Recorder::new(journal, state, sequence);
        let who = who(&directory, &found);
        let ground = Ground {
            registry,
            recorder,
            listener,
            clock,
            secrets,
            control: Arc::new(Control::default()),
            board: Board::default(),
            guard: Guard::new(start.watchdog, who.state_dir.clone()),
            who,
            artifacts: directory.artifacts(),
        };
        begin(&ground, &found, start.command, start.version, &mut notices)?;
        let copied = found.copied_to.is_some();
        Ok(Self { ground: Arc::new(ground), notices, directory, copied, store: store.map(Mutex::new) })
    }

    /// Records that the run ended, and stores the state. A store that fails costs the next start some time.
    ///
    /// # Errors
    /// The record could not be made durable; what the run did before is.
    pub fn close(self, exit: i32) -> Result<(), SessionError> {
        let at_ms = self.ground.clock.wall_ms();
        let ended = self.ground.recorder.record(at_ms, Event::RunEnded { exit });
        self.ground.guard.dismiss();
        ended?;
        self.store_state(&mut Vec::new());
        Ok(())
    }

    /// Makes the stored state anew from the journal (`segue state rebuild`). Returns how many events it was
    /// folded from.
    ///
    /// # Errors
    /// A journal that cannot be read to its end, or a store that cannot be written.
    pub fn rebuild(&self) -> Result<u64, SessionError> {
        let (state, sequence) = replay(&self.directory, None)?;
        if let (Some(store), Some(mark)) = (&self.store, self.ground.recorder.durable()) {
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            store.clear()?;
            stored::save(&mut *store, &state, mark).map_err(|e| SessionError::Stored(e.to_string()))?;
        }
        Ok(sequence)
    }

    fn store_state(&self, notices: &mut Vec<String>) {
        if let (Some(store), Some(mark)) = (&self.store, self.ground.recorder.durable()) {
            let state = self.ground.recorder.state();
            keep(&mut store.lock().unwrap_or_else(PoisonError::into_inner), &state, mark, notices);
        }
    }
}

/// The store is a cache: one that cannot be used now is done without, and one that cannot be written is told.
fn open_store(lock: &Arc<WriterLock>, notices: &mut Vec<String>) -> Result<Option<SledStore>, SessionError> {
    match SledStore::open(lock) {
        Ok(opened) => {
            if let Some(aside) = opened.set_aside {
                notices.push(format!(
                    "the stored state was damaged ({}) and is made anew from the journal; the damaged one is {}",
                    aside.why,
                    aside.path.display()
                ));
            }
            Ok(Some(opened.store))
        }
        Err(error @ StoreError::Unavailable { .. }) => {
            notices.push(format!("{error}; the journal does without it"));
            Ok(None)
        }
        Err(error) => Err(error.into()),
    }
}

fn keep(store: &mut SledStore, state: &State, mark: Mark, notices: &mut Vec<String>) {
    if let Err(error) = stored::save(store, state, mark) {
        notices.push(format!("the stored state is not up to date: {error}; the journal has it all"));
    }
}

struct BoxedTap(Box<dyn Tap>);

impl Tap for BoxedTap {
    fn before(&mut self, seq: Seq, payload: &[u8]) {
        self.0.before(seq, payload);
    }
    fn after(&mut self, seq: Seq) {
        self.0.after(seq);
    }
}

fn private_dir(path: &Path) -> Result<(), segue_contract::paths::PathError> {
    segue_contract::paths::create_dir_all(path)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700))
        .map_err(|e| segue_contract::paths::PathError::new("set the mode of", path, e))
}

fn who(directory: &StateDirectory, found: &Found) -> Who {
    Who {
        state_id: found.identity.state_id.clone(),
        state_dir: std::path::absolute(directory.root()).unwrap_or_else(|_| directory.root().to_owned()),
        machine_id: host::machine_id().unwrap_or_default(),
        host: host::hostname(),
        user: host::user(),
    }
}

/// Records the run. On a disk that is full the run goes on without the record when a cutover is in flight:
/// that it can be settled matters more.
fn begin(
    ground: &Ground,
    found: &Found,
    command: &str,
    version: &str,
    notices: &mut Vec<String>,
) -> Result<(), SessionError> {
    let at_ms = ground.clock.wall_ms();
    let (bound, run, in_flight) = ground.recorder.look(|s| {
        (
            s.binding.is_some(),
            s.last_run.as_ref().map_or(0, |r| r.record.run) + 1,
            s.in_flight().next().is_some(),
        )
    });
    if !bound {
        let binding = StateBinding {
            state_id: found.identity.state_id.clone(),
            machine_id: found.identity.place.machine_id.clone().unwrap_or_default(),
            directory_inode: found.identity.place.inode,
        };
        ground.recorder.record(at_ms, Event::StateBound(binding))?;
    }
    let process = host::ProcessId::current();
    let record = RunRecord {
        run,
        pid: process.pid,
        start_time: process.start_ticks,
        boot_id: ground.clock.boot_id().to_owned(),
        host: ground.who.host.clone(),
        user: ground.who.user.clone(),
        command: command.to_owned(),
        version: version.to_owned(),
    };
    match ground.recorder.record(at_ms, Event::RunStarted(record)) {
        Ok(()) => Ok(()),
        Err(error) if in_flight => {
            notices.push(format!("that this run began could not be recorded: {error}"));
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

/// Folds the journal, from a stored state on where there is one.
fn replay(directory: &StateDirectory, stored: Option<(State, Mark)>) -> Result<(State, u64), SessionError> {
    let (mut state, mut sequence, from) = match stored {
        Some((state, mark)) => (state, mark.seq.0, mark.seq.next()),
        None => (State::default(), 0, Seq::FIRST),
    };
    let reading = each_entry(directory, from, &mut |seq, entry| {
        fold(&mut state, entry);
        sequence = seq;
    })?;
    match reading {
        Verdict::Damaged(damage) => Err(JournalError::Damaged(damage).into()),
        Verdict::Clean | Verdict::TornTail { .. } | Verdict::Stopped => Ok((state, sequence)),
    }
}

fn each_entry(
    directory: &StateDirectory,
    from: Seq,
    each: &mut dyn FnMut(u64, &Entry),
) -> Result<Verdict, SessionError> {
    let mut failed = None;
    if !directory.journal().exists() {
        return Ok(Verdict::Clean);
    }
    let reading =
        journal::read(&directory.journal(), from, &[], &mut |frame| match Entry::decode(frame.payload) {
            Ok(entry) => {
                each(frame.mark.seq.0, &entry);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failed = Some(SessionError::Entry { sequence: frame.mark.seq.0, error });
                ControlFlow::Break(())
            }
        })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(reading.verdict),
    }
}

/// A state as a reader sees it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// The state.
    pub state: State,
    /// The journal's number of the last event in it; 0 when a running apply was asked.
    pub sequence: u64,
    /// Who holds the writer's lock.
    pub running: Option<String>,
    /// What to know of the directory.
    pub notices: Vec<String>,
    /// The state's id; `None`: there is no state directory yet.
    pub state_id: Option<String>,
    /// Where ledgers lie.
    pub artifacts: PathBuf,
    /// What a running apply is doing right now; `None`: none answered.
    pub live: Option<Box<Live>>,
}

/// Reads a state directory without its lock: asks a running apply, or folds the journal. One that is not
/// there is an empty state.
///
/// # Errors
/// Damage is an error: a state that is folded from half a journal says nothing.
pub fn snapshot(state_dir: &Path) -> Result<Snapshot, SessionError> {
    let artifacts = state_dir.join("artifacts");
    let Some((directory, found)) = StateDirectory::open(state_dir)? else {
        let state = State::default();
        return Ok(Snapshot {
            state,
            sequence: 0,
            running: None,
            notices: Vec::new(),
            state_id: None,
            artifacts,
            live: None,
        });
    };
    let mut notices = Vec::new();
    if found.copied_to.is_some() {
        notices.push(SessionError::Copy(state_dir.to_owned()).to_string());
    }
    let running = match probe(&directory)? {
        LockState::Held(holder) | LockState::Unclear(holder) => Some(holder.to_string()),
        LockState::Abandoned(holder) => {
            notices.push(format!("the last run died: {holder}"));
            None
        }
        LockState::Free => None,
    };
    let state_id = Some(found.identity.state_id);
    if running.is_some()
        && let Ok(Reply::Status { state, live }) = ask(state_dir, &Ask::Status)
    {
        return Ok(Snapshot { state: *state, sequence: 0, running, notices, state_id, artifacts, live });
    }
    let (state, sequence) = replay(&directory, None)?;
    Ok(Snapshot { state, sequence, running, notices, state_id, artifacts, live: None })
}

/// Shows every event of the journal, oldest first. Returns what to know of its end: a damaged journal is
/// shown up to the damage.
///
/// # Errors
/// Files that cannot be read, and events of a later version.
pub fn history(state_dir: &Path, each: &mut dyn FnMut(u64, &Entry)) -> Result<Vec<String>, SessionError> {
    let Some((directory, _)) = StateDirectory::open(state_dir)? else {
        return Ok(Vec::new());
    };
    Ok(match each_entry(&directory, Seq::FIRST, each)? {
        Verdict::Damaged(damage) => vec![format!("{damage}; {}", damage.remedy())],
        Verdict::Clean | Verdict::TornTail { .. } | Verdict::Stopped => Vec::new(),
    })
}

/// A wall-clock time for people.
pub fn time_text(wall_ms: i64) -> String {
    rfc3339(wall_ms)
}
