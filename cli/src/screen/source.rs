//! Where the screen's facts come from: a thread asks the running apply four times a second, or reads the journal
//! while none runs, and puts the questions that keys became.

use segue_contract::segue;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, TrySendError, channel, sync_channel};
use std::time::{Duration, Instant};

use segue_plan::state::State;
use segue_run::execute::{Ask, Live, Reply, SocketError, ask};
use segue_run::session::snapshot;

/// How often a running apply is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// How often the journal is read while none runs, at most; a long one is read more seldom.
const READ_EVERY: Duration = Duration::from_secs(1);
/// Reading takes at most this part of the time.
const READ_SHARE: u32 = 10;
/// Facts that wait for the screen: it takes them ten times a second.
const UPDATES_MAX: usize = 4;

/// What the thread found.
pub(super) enum Update {
    /// The facts of the moment.
    Facts(Box<Fresh>),
    /// What came of a question.
    Answer(String),
}

/// Facts as they arrive.
#[derive(Clone, Debug, Default)]
pub(super) struct Fresh {
    /// `None`: as before.
    pub(super) state: Option<State>,
    /// `None`: nothing runs, or it does not answer.
    pub(super) live: Option<Live>,
    /// Who holds the state, where nothing answers.
    pub(super) holder: Option<String>,
    /// What to know: damage, a dead run.
    pub(super) notices: Vec<String>,
}

/// The thread's two ends.
pub(super) struct Source {
    questions: Sender<Ask>,
    updates: Receiver<Update>,
}

impl Source {
    /// Starts the thread; it ends when this is dropped.
    pub(super) fn start(state_dir: PathBuf) -> Self {
        let (questions, asked) = channel();
        let (send, updates) = sync_channel(UPDATES_MAX);
        std::thread::spawn(move || gather(&state_dir, &asked, &send));
        Self { questions, updates }
    }

    /// Puts a question; what comes of it is an update.
    pub(super) fn ask(&self, question: Ask) {
        // The thread lives as long as this does.
        let _ = self.questions.send(question);
    }

    /// What came since the last call.
    pub(super) fn updates(&self) -> impl Iterator<Item = Update> {
        self.updates.try_iter()
    }
}

fn gather(state_dir: &Path, asked: &Receiver<Ask>, send: &SyncSender<Update>) {
    let mut known = None;
    loop {
        let (fresh, wait) = look(state_dir, &mut known);
        match send.try_send(Update::Facts(Box::new(fresh))) {
            Ok(()) => {}
            // The screen is behind: it gets the whole state with the next facts.
            Err(TrySendError::Full(_)) => known = None,
            Err(TrySendError::Disconnected(_)) => return,
        }
        match asked.recv_timeout(wait) {
            Ok(question) => {
                if send.send(Update::Answer(put(state_dir, &question))).is_err() {
                    return;
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Asks once; how long to wait until the next time.
fn look(state_dir: &Path, known: &mut Option<u64>) -> (Fresh, Duration) {
    if let Ok(Reply::Live { state, sequence, live }) = ask(state_dir, &Ask::Live { known: *known }) {
        *known = Some(sequence);
        let fresh = Fresh { state: state.map(|s| *s), live: Some(*live), ..Fresh::default() };
        return (fresh, ASK_EVERY);
    }
    *known = None;
    let began = Instant::now();
    let fresh = match snapshot(state_dir) {
        Ok(read) => {
            Fresh { state: Some(read.state), live: None, holder: read.running, notices: read.notices }
        }
        Err(error) => Fresh { notices: vec![error.to_string()], ..Fresh::default() },
    };
    (fresh, READ_EVERY.max(began.elapsed() * READ_SHARE))
}

fn put(state_dir: &Path, question: &Ask) -> String {
    match ask(state_dir, question) {
        Ok(Reply::Taken { said }) => said,
        Ok(Reply::Refused { said }) => format!("refused: {said}"),
        Ok(Reply::Status { .. } | Reply::Live { .. } | Reply::Goal { .. }) => {
            "the running apply answered something else".to_owned()
        }
        Err(SocketError::Nobody(_) | SocketError::Path(_)) => {
            format!("no apply is running: start one with `{}`", segue(&["apply"]))
        }
        Err(error) => error.to_string(),
    }
}
