//! Search servers for these tests, started once for all of them by the scripts in `tests/components`, and ended with the test
//! binary, however that ends: a keeper waits for the end of a pipe that only this process holds.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::world::Server;

/// How long a server may take: the first start may have to fetch it.
const PATIENCE: Duration = Duration::from_secs(300);
/// What holds the pipes of keepers, and the servers: dropped by the kernel, when this process is gone.
static KEPT: Mutex<Vec<Child>> = Mutex::new(Vec::new());
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// The servers that these tests know.
#[derive(Clone, Copy)]
pub(crate) enum Version {
    OpenSearch2,
    OpenSearch1,
    Elasticsearch6,
    Elasticsearch7,
    Elasticsearch7Last,
    Elasticsearch8,
}

impl Version {
    pub(crate) const ALL: [Self; 6] = [
        Self::OpenSearch2,
        Self::OpenSearch1,
        Self::Elasticsearch6,
        Self::Elasticsearch7,
        Self::Elasticsearch7Last,
        Self::Elasticsearch8,
    ];

    /// What the scripts call it, and the variable that names one that runs already.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::OpenSearch2 => ("opensearch-2.19.4", "SEGUE_SEARCH_OPENSEARCH_2"),
            Self::OpenSearch1 => ("opensearch-1.3.14", "SEGUE_SEARCH_OPENSEARCH_1"),
            Self::Elasticsearch6 => ("elasticsearch-6.8.23", "SEGUE_SEARCH_ELASTICSEARCH_6"),
            Self::Elasticsearch7 => ("elasticsearch-7.10.2", "SEGUE_SEARCH_ELASTICSEARCH_7"),
            Self::Elasticsearch7Last => ("elasticsearch-7.17.29", "SEGUE_SEARCH_ELASTICSEARCH_7_17"),
            Self::Elasticsearch8 => ("elasticsearch-8.17.0", "SEGUE_SEARCH_ELASTICSEARCH_8"),
        }
    }
}

/// The server of a version, which all tests share: each uses names of its own.
pub(crate) fn server(version: Version) -> Server {
    static STARTED: [OnceLock<String>; Version::ALL.len()] = [const { OnceLock::new() }; 6];
    let (name, variable) = version.names();
    let url =
        STARTED[version as usize].get_or_init(|| std::env::var(variable).unwrap_or_else(|_| start(name)));
    Server::at(url)
}

/// Where the servers of these tests may have repositories: one directory for all, which goes with this process.
pub(crate) fn snapshots() -> String {
    static PLACE: LazyLock<String> = LazyLock::new(|| {
        std::env::var("SEGUE_SEARCH_SNAPSHOTS").unwrap_or_else(|_| {
            let dir = directory("segue-snapshots");
            let everybody = std::fs::Permissions::from_mode(0o777);
            std::fs::set_permissions(&dir, everybody).expect("a directory for all servers");
            keep(&dir);
            dir.display().to_string()
        })
    });
    PLACE.clone()
}

/// A directory below which the servers, who run as nobody, can get.
fn directory(name: &str) -> PathBuf {
    let made = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir_in("/var/tmp");
    made.expect("a directory").keep()
}

/// Has a directory removed, and the server in it ended, when this process is gone, however it ends.
fn keep(dir: &Path) {
    let keeper = Command::new(component("keeper"))
        .arg(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .process_group(0)
        .spawn()
        .unwrap_or_else(|e| panic!("tests/components/keeper cannot be started: {e}"));
    KEPT.lock().expect("not poisoned").push(keeper);
}

fn component(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/components").join(name)
}

/// Two ports that are free now, below those that the kernel gives to connections.
fn ports() -> [u16; 2] {
    let first = 20_000 + (std::process::id() % 6_000) as u16 * 2;
    let mut free = (first..32_000).filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    [free.next().expect("a free port"), free.next().expect("a free port")]
}

fn start(name: &str) -> String {
    /// One after the other: two would find the same ports free.
    static STARTING: Mutex<()> = Mutex::new(());
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = directory(name);
    keep(&dir);
    let [http, transport] = ports();
    let log = std::fs::OpenOptions::new().create(true).append(true).open(dir.join("log")).expect("a log");
    let mut server = Command::new(component("kept"))
        .arg(&dir)
        .arg(component("search/serve"))
        .args([name, &dir.display().to_string(), &http.to_string(), &transport.to_string()])
        .arg(format!("path.repo={}", snapshots()))
        .stdin(Stdio::null())
        .stdout(log.try_clone().expect("a log"))
        .stderr(log)
        .process_group(0)
        .spawn()
        .expect("the server starts");
    let url = format!("http://127.0.0.1:{http}");
    let end = Instant::now() + PATIENCE;
    while !Server::is_healthy(&url) {
        let log = || segue_contract::paths::read_to_string(&dir.join("log")).unwrap_or_default();
        assert!(matches!(server.try_wait(), Ok(None)), "{name} ended before it answered:\n{}", log());
        assert!(Instant::now() < end, "{name} does not answer:\n{}", log());
        std::thread::sleep(LOOK);
    }
    KEPT.lock().expect("not poisoned").push(server);
    url
}
