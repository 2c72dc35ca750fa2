//! One real search server: one node on the loopback, with its data in a directory of its own.

use std::path::Path;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::Signal;

use super::client::Client;
use super::kept::{Kept, component};
use super::place::{Port, server_dir};
use super::version::Version;

/// How long a server may take to start. The slowest took 22 s on two busy cores; the first start may fetch the server too.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Who a server with a password knows.
const USER: &str = "elastic";

/// How a server is started, where it matters.
#[derive(Clone, Default)]
pub struct Options {
    password: Option<String>,
    settings: Vec<(String, String)>,
    heap: Option<String>,
    for_speed: bool,
    at: Option<(String, Port)>,
}

impl Options {
    /// It asks for this password; the user is `elastic`.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// A setting of the node, over what is set already: `action.auto_create_index`, `false`.
    #[must_use]
    pub fn setting(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Where snapshots may lie: a `SharedDir`, for servers that read each other's.
    #[must_use]
    pub fn repository(self, dir: &Path) -> Self {
        self.setting("path.repo", &dir.display().to_string())
    }

    /// From which other servers this one may reindex (any of this machine unless told): `127.0.0.1:9201`.
    #[must_use]
    pub fn reindex_from(self, version: Version, hosts: &str) -> Self {
        let name = if version == Version::OpenSearch2_19 { "allowlist" } else { "whitelist" };
        self.setting(&format!("reindex.remote.{name}"), hosts)
    }

    /// The size of its heap: `1g`.
    #[must_use]
    pub fn heap(mut self, size: &str) -> Self {
        self.heap = Some(size.to_owned());
        self
    }

    /// Compiled for running long and not for starting soon: for what is measured.
    #[must_use]
    pub fn for_speed(mut self) -> Self {
        self.for_speed = true;
        self
    }

    /// Listens at this address (any of 127/8) and port: two servers may have one port, as a name's two addresses must.
    #[must_use]
    pub fn at(mut self, address: &str, port: &Port) -> Self {
        self.at = Some((address.to_owned(), port.clone()));
        self
    }
}

/// A search server. Killed, and its data removed, when dropped, and when the test binary ends.
pub struct SearchServer {
    version: Version,
    options: Options,
    kept: Kept,
    http: Port,
    transport: Port,
    client: Client,
}

impl SearchServer {
    /// Starts one, and waits until it is healthy.
    pub fn start(version: Version) -> Self {
        Self::with(version, Options::default())
    }

    /// The same with options.
    pub fn with(version: Version, options: Options) -> Self {
        let mut server = Self::begin(version, options, &Port::take());
        server.until_healthy();
        server
    }

    /// Starts several side by side, which takes little longer than one.
    pub fn start_all<const N: usize>(wanted: [(Version, Options); N]) -> [Self; N] {
        let mut servers = wanted.map(|(version, options)| Self::begin(version, options, &Port::take()));
        servers.iter_mut().for_each(Self::until_healthy);
        servers
    }

    /// The one that all tests of this binary share, started when the first of them asks: a start takes 5 to 20 s. Each test
    /// uses names of its own for indices, aliases, templates and pipelines.
    pub fn shared(version: Version) -> &'static Self {
        static SHARED: [OnceLock<SearchServer>; Version::ALL.len()] = [const { OnceLock::new() }; 7];
        SHARED[version as usize].get_or_init(|| Self::start(version))
    }

    /// Starts one without waiting.
    pub(super) fn begin(version: Version, options: Options, transport: &Port) -> Self {
        crate::timing::watch();
        assert!(
            options.password.is_none() || version.knows_passwords(),
            "{} knows no passwords: put an HaProxy in front of it",
            version.server()
        );
        let (address, http) = options.at.clone().unwrap_or_else(|| ("127.0.0.1".to_owned(), Port::take()));
        let mut client =
            Client::new(&format!("http://{address}:{}", http.number())).typed(version.has_types());
        if let Some(password) = &options.password {
            client = client.with_password(USER, password);
        }
        let kept = Kept::new(server_dir(version.server()));
        let mut server = Self { version, options, kept, http, transport: transport.clone(), client };
        server.launch();
        server
    }

    fn launch(&mut self) {
        let number = |port: &Port| port.number().to_string();
        let dir = self.kept.dir().display().to_string();
        let mut args =
            vec![self.version.server().to_owned(), dir, number(&self.http), number(&self.transport)];
        if let Some((address, _)) = &self.options.at {
            args.push(format!("network.host={address}"));
        }
        args.extend(self.options.settings.iter().map(|(name, value)| format!("{name}={value}")));
        let mut environment = Vec::new();
        if let Some(password) = &self.options.password {
            environment.push(("SEGUE_TEST_PASSWORD", password.as_str()));
        }
        if let Some(heap) = &self.options.heap {
            environment.push(("SEGUE_TEST_HEAP", heap.as_str()));
        }
        if self.options.for_speed {
            environment.push(("SEGUE_TEST_SPEED", "run"));
        }
        self.kept.start(&component("search/serve"), &args, &environment);
    }

    /// Waits until its cluster answers, and is this one: on a port that was somebody's a moment ago, somebody may answer.
    ///
    /// # Panics
    /// It ended, or five minutes passed.
    pub(super) fn until_healthy(&mut self) {
        let end = Instant::now() + PATIENCE;
        let wanted = self.cluster_name();
        loop {
            let asked = self.client.ask("GET", "/_cluster/health?wait_for_status=yellow&timeout=1s", None);
            if asked.as_ref().is_ok_and(|r| r.is_good() && r.body["cluster_name"] == wanted.as_str()) {
                return;
            }
            let server = self.version.server();
            assert!(!self.kept.ended(), "{server} ended before it answered:\n{}", self.log());
            assert!(
                Instant::now() < end,
                "{server} is not healthy: {asked:?}; the end of its log:\n{}",
                self.log()
            );
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn cluster_name(&self) -> String {
        let given = self.options.settings.iter().rfind(|(name, _)| name == "cluster.name");
        let dir = || self.kept.dir().file_name().unwrap_or_default().to_string_lossy().into_owned();
        given.map_or_else(dir, |(_, value)| value.clone())
    }

    /// What it is.
    pub fn version(&self) -> Version {
        self.version
    }

    /// `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        self.client.base()
    }

    /// The port of its HTTP.
    pub fn port(&self) -> u16 {
        self.http.number()
    }

    /// A client that knows its password.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        self.kept.log()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.kept.kill();
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) {
        self.kept.stop();
    }

    /// Starts it again on its data after `kill` or `stop`, at the same port, and waits until it is healthy.
    pub fn restart(&mut self) {
        self.restart_without_waiting();
        self.until_healthy();
    }

    /// The same, and does not wait for it.
    pub fn restart_without_waiting(&mut self) {
        self.kept.kill();
        let address = self.options.at.as_ref().map_or("127.0.0.1", |(address, _)| address.as_str());
        crate::wait_until("the server's ports are free", || {
            self.http.is_free_at(address) && self.transport.is_free_at(address)
        });
        self.launch();
    }

    /// SIGSTOP: connections are taken, and nothing is answered.
    pub fn freeze(&mut self) {
        self.kept.signal(Signal::STOP, false);
    }

    /// SIGCONT.
    pub fn thaw(&mut self) {
        self.kept.signal(Signal::CONT, false);
    }
}
