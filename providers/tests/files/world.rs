//! Two trees, an artifact directory, an executor's side that can stop a step at will, and the comparer.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use segue_contract::{
    Address, ArtifactName, BlockRef, Checkpoint, Config, Direction, Finding, LoadSettings, Progress, Secret,
    SecretRef, Select, Setting, StepError, StepIo, UnitJob, VerifyCall, VerifyLevel,
};

/// Called with what is taken from the rate limit.
type OnTake = Box<dyn FnMut(u64) + Send>;
type OnAsked = Box<dyn FnMut() + Send>;

pub(crate) struct Io {
    pub(crate) artifacts: PathBuf,
    pub(crate) checkpoints: Mutex<Vec<Checkpoint>>,
    pub(crate) findings: Mutex<Vec<Finding>>,
    pub(crate) taken: AtomicU64,
    /// Calls of `cancelled` and `take` until the step is asked to stop; negative: never.
    pub(crate) calls_left: AtomicI64,
    /// Checkpoints until recording one fails; negative: never.
    pub(crate) checkpoints_left: AtomicI64,
    pub(crate) on_take: Mutex<Option<OnTake>>,
    /// Called whenever a step asks whether it is to stop.
    pub(crate) on_asked: Mutex<Option<OnAsked>>,
}

impl StepIo for Io {
    fn cancelled(&self) -> bool {
        if let Some(f) = self.on_asked.lock().unwrap().as_mut() {
            f();
        }
        let left = self.calls_left.load(Ordering::SeqCst);
        if left < 0 {
            return false;
        }
        self.calls_left.store((left - 1).max(0), Ordering::SeqCst);
        left == 0
    }
    fn progress(&self, _progress: Progress) {}
    fn checkpoint(&self, checkpoint: Checkpoint) -> Result<(), StepError> {
        assert!(checkpoint.bytes.len() <= Checkpoint::BYTES_MAX);
        match self.checkpoints_left.fetch_sub(1, Ordering::SeqCst) {
            0 => Err(StepError::transient("the journal is gone")),
            _ => {
                self.checkpoints.lock().unwrap().push(checkpoint);
                Ok(())
            }
        }
    }
    fn take(&self, bytes: u64) {
        self.taken.fetch_add(bytes, Ordering::SeqCst);
        if let Some(f) = self.on_take.lock().unwrap().as_mut() {
            f(bytes);
        }
    }
    fn artifacts(&self) -> &Path {
        &self.artifacts
    }
    fn secret(&self, _secret: &SecretRef) -> Result<Secret, StepError> {
        Err(StepError::permanent("no secrets here"))
    }
    fn find(&self, finding: Finding) {
        self.findings.lock().unwrap().push(finding);
    }
}

pub(crate) struct World {
    _dir: tempfile::TempDir,
    pub(crate) source: PathBuf,
    pub(crate) target: PathBuf,
    pub(crate) job: UnitJob,
    pub(crate) io: Io,
}

pub(crate) fn block(address: &str, path: &Path) -> BlockRef {
    let mut config = Config::default();
    config.insert("path", Setting::Plain(path.to_str().unwrap().into()));
    BlockRef {
        address: Address::new(address),
        provider: "directory".into(),
        base_dir: "/".into(),
        config,
        scope: Vec::new(),
    }
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("target");
        Self::with_target(dir, target)
    }

    pub(crate) fn with_target(dir: tempfile::TempDir, target: PathBuf) -> Self {
        let source = dir.path().join("source");
        fs::create_dir(&source).unwrap();
        let artifacts = dir.path().join("artifacts");
        fs::create_dir(&artifacts).unwrap();
        let job = UnitJob {
            migration: Address::new("migration.site"),
            unit: "tree".into(),
            source: block("source.directory.old", &source),
            target: block("target.directory.new", &target),
            direction: Direction::Forward,
            select: Select::default(),
            transform: segue_contract::Transform::default(),
            load: LoadSettings { parallelism: 2, ..LoadSettings::default() },
            audit: segue_contract::Audit::default(),
            quiet: false,
            ledger: None,
            epoch: 1,
            deletions: segue_contract::DeletionTerms::default(),
        };
        let io = io(&artifacts);
        Self { _dir: dir, source, target, job, io }
    }

    pub(crate) fn set(&mut self, ledger: ArtifactName) {
        self.job.ledger = Some(ledger);
    }

    pub(crate) fn full(&self) -> VerifyCall {
        VerifyCall { level: VerifyLevel::Full, since: None, quiet: true, set_aside: Vec::new() }
    }

    pub(crate) fn assert_equal(&self) {
        assert_same(&snapshot(&self.source), &snapshot(&self.target));
    }
}

pub(crate) fn io(artifacts: &Path) -> Io {
    Io {
        artifacts: artifacts.to_owned(),
        checkpoints: Mutex::default(),
        findings: Mutex::default(),
        taken: AtomicU64::new(0),
        calls_left: AtomicI64::new(-1),
        checkpoints_left: AtomicI64::new(-1),
        on_take: Mutex::new(None),
        on_asked: Mutex::new(None),
    }
}

/// Everything that must be alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Node {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    rdev: u64,
    content: Vec<u8>,
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    group: Option<Vec<u8>>,
}

pub(crate) fn snapshot(root: &Path) -> BTreeMap<Vec<u8>, Node> {
    let mut nodes = BTreeMap::new();
    let mut groups = BTreeMap::new();
    let mut paths = Vec::new();
    walk(root, &mut paths);
    paths.sort();
    for path in paths {
        let meta = fs::symlink_metadata(&path).unwrap();
        let key = path.strip_prefix(root).unwrap().as_os_str().as_bytes().to_vec();
        if key == b".segue-marker" || key == b".segue-marker.id" {
            continue;
        }
        let content = if meta.is_symlink() {
            fs::read_link(&path).unwrap().as_os_str().as_bytes().to_vec()
        } else if meta.is_file() {
            fs::read(&path).unwrap()
        } else {
            Vec::new()
        };
        let group = (!meta.is_dir() && meta.nlink() > 1)
            .then(|| groups.entry(meta.ino()).or_insert_with(|| key.clone()).clone());
        let node = Node {
            mode: meta.mode(),
            owner: (meta.uid(), meta.gid()),
            mtime: if key.is_empty() { (0, 0) } else { (meta.mtime(), meta.mtime_nsec()) },
            rdev: meta.rdev(),
            content,
            xattrs: xattrs(&path),
            group,
        };
        nodes.insert(key, node);
    }
    nodes
}

fn walk(path: &Path, into: &mut Vec<PathBuf>) {
    into.push(path.to_owned());
    if fs::symlink_metadata(path).unwrap().is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            walk(&entry.unwrap().path(), into);
        }
    }
}

fn xattrs(path: &Path) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut names = vec![0; 4096];
    let len = rustix::fs::llistxattr(path, names.as_mut_slice()).unwrap_or(0);
    let mut all = Vec::new();
    for name in names[..len].split(|b| *b == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 65536];
        let len = rustix::fs::lgetxattr(path, name, value.as_mut_slice()).unwrap();
        all.push((name.to_vec(), value[..len].to_vec()));
    }
    all.sort();
    all
}

pub(crate) fn assert_same(a: &BTreeMap<Vec<u8>, Node>, b: &BTreeMap<Vec<u8>, Node>) {
    for key in a.keys().chain(b.keys()) {
        let (left, right) = (a.get(key), b.get(key));
        let name = String::from_utf8_lossy(key);
        if left.map(|n| &n.content) != right.map(|n| &n.content) {
            assert_eq!(
                left.map(|n| n.content.len()),
                right.map(|n| n.content.len()),
                "{name}: presence or length"
            );
            panic!("{name}: content differs");
        }
        let strip = |n: &Node| Node { content: Vec::new(), ..n.clone() };
        assert_eq!(left.map(strip), right.map(strip), "{name}");
    }
}

pub(crate) fn put(path: &Path, content: impl AsRef<[u8]>) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

pub(crate) fn set_mtime(path: &Path, s: i64) {
    let time = rustix::fs::Timespec { tv_sec: s, tv_nsec: 123_456_789 };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(rustix::fs::CWD, path, &times, rustix::fs::AtFlags::SYMLINK_NOFOLLOW).unwrap();
}
