//! The metadata scan: parallel, and yet in path order and in bounded memory.
//!
//! Workers list directories ahead of the reader, which walks the tree depth first. Work lies on a stack
//! whose top is what the reader needs next; workers pause when enough is listed, and the reader lists
//! for itself what nobody has begun.

mod list;

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::io::Errno;
use segue_contract::StepError;

use super::put::is_displaced;
use super::select::Chosen;
use super::tree::{Look, Tree, printed};
use crate::ledger::{Kind, is_below};
use list::{Listed, Work};

/// Entries listed and not yet read; about 300 bytes each.
const AHEAD: usize = 32 * 1024;
/// Left-over names and mount points that are remembered; more are only counted.
const REMEMBERED: usize = 1000;

/// A path as the scan saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) path: Vec<u8>,
    pub(crate) look: Look,
    /// The first path of the hard-link group that this is a later name of.
    pub(crate) first: Option<Vec<u8>>,
    /// Why it, or what is below it, cannot be read.
    pub(crate) trouble: Option<String>,
}

/// What a scan came across that is no entry.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// Sockets, which are no data.
    pub(crate) sockets: u64,
    /// Unfinished files of an earlier run.
    pub(crate) leftovers: Vec<Vec<u8>>,
    /// Directories on which another file system is mounted.
    pub(crate) mounts: Vec<Vec<u8>>,
    /// Entries given out.
    pub(crate) entries: u64,
    /// What the files take on a disk, in bytes: each once, in whole blocks, without holes.
    pub(crate) disk_bytes: u64,
}

/// The blocks of a file system, in bytes: most have these.
const BLOCK: u64 = 4096;

/// What an entry takes elsewhere, in bytes: a later name of a file nothing, a sparse file what it has.
fn disk_bytes(entry: &Entry) -> u64 {
    if entry.first.is_some() {
        return 0;
    }
    match entry.look.kind {
        Kind::File => {
            let whole = entry.look.size.next_multiple_of(BLOCK);
            // Very small files, and some file systems, have no blocks of their own.
            if entry.look.blocks == 0 { whole.min(BLOCK) } else { whole.min(entry.look.blocks * 512) }
        }
        Kind::Dir => BLOCK,
        _ => 0,
    }
}

struct Node {
    work: Work,
    state: Mutex<NodeState>,
}

enum NodeState {
    Waiting,
    Running,
    Done(Result<Listed, Errno>),
    Taken,
}

struct Shared {
    tree: Arc<Tree>,
    chosen: Arc<Chosen>,
    queue: Mutex<Queue>,
    /// Told when there is work, room, or an end.
    work: Condvar,
    /// Told when a node is done.
    done: Condvar,
}

struct Queue {
    stack: Vec<Arc<Node>>,
    ahead: usize,
    stop: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A directory that the reader is in.
struct Frame {
    entries: std::vec::IntoIter<(Entry, Option<Arc<Node>>)>,
    next: Option<Arc<Node>>,
    included: bool,
    dev: u64,
    path: Vec<u8>,
}

struct Group {
    first: Vec<u8>,
    left: u64,
}

/// A running scan.
pub(crate) struct Scan {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    frames: Vec<Frame>,
    root: Option<Entry>,
    /// Directories that are given out only when something below them is.
    pending: Vec<Entry>,
    ready: std::collections::VecDeque<Entry>,
    groups: HashMap<(u64, u64), Group>,
    pub(crate) aside: Aside,
}

impl Scan {
    /// Starts scanning with `threads` workers.
    pub(crate) fn start(tree: &Arc<Tree>, chosen: Arc<Chosen>, threads: usize) -> Result<Self, StepError> {
        let started = Self::start_at(Arc::clone(tree), chosen, threads, &[]);
        started.map_err(|(doing, e)| tree.failed(doing, b"", e))
    }

    /// Everything at and below one directory, listed without workers; `None`: it was none at some moment. What it is
    /// by now says nothing: somebody may exchange it all the time.
    pub(crate) fn below(tree: &Arc<Tree>, path: &[u8]) -> Result<Option<Self>, StepError> {
        let chosen = Arc::new(Chosen::new(&segue_contract::Select::default())?);
        match Self::start_at(Arc::clone(tree), chosen, 0, path) {
            Ok(scan) => Ok(Some(scan)),
            Err((_, e)) if is_displaced(e) => Ok(None),
            Err((doing, e)) => Err(tree.failed(doing, path, e)),
        }
    }

    /// The error says what was being done.
    fn start_at(
        tree: Arc<Tree>,
        chosen: Arc<Chosen>,
        threads: usize,
        top: &[u8],
    ) -> Result<Self, (&'static str, Errno)> {
        let look = tree.look(top).map_err(|e| ("read", e))?;
        let look = look.filter(|look| look.kind == Kind::Dir).ok_or(("list", Errno::NOTDIR))?;
        let node = Arc::new(Node::new(Work::Dir(top.to_vec())));
        let shared = Arc::new(Shared {
            tree,
            chosen,
            queue: Mutex::new(Queue { stack: vec![Arc::clone(&node)], ahead: 0, stop: false }),
            work: Condvar::new(),
            done: Condvar::new(),
        });
        let workers = (0..threads)
            .filter_map(|_| {
                let shared = Arc::clone(&shared);
                // Without workers the reader lists everything itself.
                std::thread::Builder::new().name("scan".into()).spawn(move || shared.work()).ok()
            })
            .collect();
        let mut scan = Self {
            shared,
            workers,
            frames: Vec::new(),
            root: Some(Entry { path: top.to_vec(), look, first: None, trouble: None }),
            pending: Vec::new(),
            ready: std::collections::VecDeque::new(),
            groups: HashMap::new(),
            aside: Aside::default(),
        };
        let listed = scan.shared.resolve(&node).map_err(|e| ("list", e))?;
        let included = !scan.shared.chosen.is_partial();
        scan.enter(top.to_vec(), listed, included, look.dev);
        Ok(scan)
    }

    /// The next entry in path order, the root first.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, StepError> {
        if let Some(root) = self.root.take() {
            self.aside.entries += 1;
            return Ok(Some(root));
        }
        loop {
            if let Some(mut entry) = self.ready.pop_front() {
                self.join_group(&mut entry);
                self.aside.entries += 1;
                self.aside.disk_bytes += disk_bytes(&entry);
                return Ok(Some(entry));
            }
            if !self.step()? {
                return Ok(None);
            }
        }
    }

    /// Goes one entry further; false at the end.
    fn step(&mut self) -> Result<bool, StepError> {
        let Some(frame) = self.frames.last_mut() else {
            return Ok(false);
        };
        let Some((mut entry, node)) = frame.entries.next() else {
            match frame.next.take() {
                Some(node) => {
                    let listed = self.shared.resolve(&node);
                    let path = frame.path.clone();
                    let listed = listed.map_err(|e| self.shared.tree.failed("list", &path, e))?;
                    let (included, dev) = (frame.included, frame.dev);
                    self.frames.pop();
                    self.enter(path, listed, included, dev);
                }
                None => {
                    self.frames.pop();
                }
            }
            return Ok(true);
        };
        let (parent_included, dev) = (frame.included, frame.dev);
        let is_dir = entry.look.kind == Kind::Dir;
        let included = self.shared.chosen.includes(&entry.path, is_dir, parent_included);
        let listed = match node.map(|node| self.shared.resolve(&node)) {
            None => None,
            Some(Ok(listed)) => Some(listed),
            // Removed since it was listed above.
            Some(Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP)) => return Ok(true),
            Some(Err(e)) => {
                entry.trouble = Some(format!("cannot list: {e}"));
                None
            }
        };
        if is_dir && entry.look.dev != dev && self.aside.mounts.len() < REMEMBERED {
            self.aside.mounts.push(entry.path.clone());
        }
        let (path, dev) = (entry.path.clone(), entry.look.dev);
        self.give(entry, included);
        if let Some(listed) = listed {
            self.enter(path, listed, included, dev);
        }
        Ok(true)
    }

    fn give(&mut self, entry: Entry, included: bool) {
        if self.shared.chosen.is_partial() {
            self.pending.retain(|dir| is_below(&entry.path, &dir.path));
            if !included && entry.trouble.is_none() {
                if entry.look.kind == Kind::Dir {
                    self.pending.push(entry);
                }
                return;
            }
            self.ready.extend(self.pending.drain(..));
        }
        self.ready.push_back(entry);
    }

    fn enter(&mut self, path: Vec<u8>, listed: Listed, included: bool, dev: u64) {
        self.aside.sockets += listed.sockets;
        let room = REMEMBERED.saturating_sub(self.aside.leftovers.len());
        self.aside.leftovers.extend(listed.leftovers.into_iter().take(room));
        let mut queue = lock(&self.shared.queue);
        queue.ahead = queue.ahead.saturating_sub(listed.entries.len());
        let wake = queue.ahead < AHEAD;
        drop(queue);
        if wake {
            self.shared.work.notify_all();
        }
        self.frames.push(Frame {
            entries: listed.entries.into_iter(),
            next: listed.next,
            included,
            dev,
            path,
        });
    }

    fn join_group(&mut self, entry: &mut Entry) {
        if entry.look.nlink < 2 || entry.look.kind == Kind::Dir {
            return;
        }
        let key = (entry.look.dev, entry.look.ino);
        let Some(group) = self.groups.get_mut(&key) else {
            let left = entry.look.nlink - 1;
            self.groups.insert(key, Group { first: entry.path.clone(), left });
            return;
        };
        entry.first = Some(group.first.clone());
        group.left = group.left.saturating_sub(1);
        if group.left == 0 {
            self.groups.remove(&key);
        }
    }
}

impl Drop for Scan {
    fn drop(&mut self) {
        lock(&self.shared.queue).stop = true;
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has nothing more to say here.
            let _ = worker.join();
        }
    }
}

impl Node {
    fn new(work: Work) -> Self {
        Self { work, state: Mutex::new(NodeState::Waiting) }
    }
}

impl Shared {
    /// A worker's life.
    fn work(&self) {
        loop {
            let mut queue = lock(&self.queue);
            let node = loop {
                if queue.stop {
                    return;
                }
                if queue.ahead < AHEAD
                    && let Some(node) = queue.stack.pop()
                {
                    break node;
                }
                queue = self.work.wait(queue).unwrap_or_else(PoisonError::into_inner);
            };
            drop(queue);
            {
                let mut state = lock(&node.state);
                if !matches!(*state, NodeState::Waiting) {
                    continue;
                }
                *state = NodeState::Running;
            }
            self.run(&node);
        }
    }

    /// Lists a node and offers what is below it.
    fn run(&self, node: &Node) {
        let listed = list::list(&self.tree, &self.chosen, &node.work);
        let mut more = false;
        {
            let mut queue = lock(&self.queue);
            if let Ok(listed) = &listed {
                queue.ahead += listed.entries.len();
                queue.stack.extend(listed.next.iter().map(Arc::clone));
                let below = listed.entries.iter().rev().filter_map(|(_, node)| node.as_ref());
                let before = queue.stack.len();
                queue.stack.extend(below.map(Arc::clone));
                more = queue.stack.len() > before || listed.next.is_some();
            }
            // Under the queue's lock, which waiters of `done` hold.
            *lock(&node.state) = NodeState::Done(listed);
        }
        self.done.notify_all();
        if more {
            self.work.notify_all();
        }
    }

    /// The listing of a node, made here when nobody has begun it.
    fn resolve(&self, node: &Node) -> Result<Listed, Errno> {
        let begin = {
            let mut state = lock(&node.state);
            let waiting = matches!(*state, NodeState::Waiting);
            if waiting {
                *state = NodeState::Running;
            }
            waiting
        };
        if begin {
            self.run(node);
        }
        let mut queue = lock(&self.queue);
        loop {
            {
                let mut state = lock(&node.state);
                if matches!(*state, NodeState::Done(_)) {
                    return match std::mem::replace(&mut *state, NodeState::Taken) {
                        NodeState::Done(listed) => listed,
                        _ => Err(Errno::INVAL),
                    };
                }
            }
            queue = self.done.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Where a path of a scan is, for findings.
pub(crate) fn place(tree: &Tree, path: &[u8]) -> String {
    format!("{} in {}", printed(path), tree.root().display())
}
