//! Two servers, a spec that moves an index from one to the other, and the released binary in a directory of its own.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use segue_contract::paths;
use segue_plan::event::{Entry, Event};
use segue_run::session::history;
use segue_tests::segue_binary;
use segue_tests::servers::{Client, Options, SearchServer, Version};
use serde_json::Value;
use tempfile::TempDir;

/// The index that is moved.
pub(crate) const INDEX: &str = "words";
/// Between two looks at how much memory a process has taken.
const LOOK: Duration = Duration::from_millis(5);

/// Source and target.
pub(crate) struct Servers {
    pub(crate) old: SearchServer,
    pub(crate) new: SearchServer,
}

impl Servers {
    pub(crate) fn start() -> Self {
        let options = || Options::default().heap("1g").for_speed();
        let [old, new] = SearchServer::start_all([
            (Version::Elasticsearch7_10, options()),
            (Version::OpenSearch2_19, options()),
        ]);
        Self { old, new }
    }

    pub(crate) fn source(&self) -> Client {
        self.old.client()
    }

    pub(crate) fn target(&self) -> Client {
        self.new.client()
    }
}

/// A directory with a spec.
pub(crate) struct Site {
    dir: TempDir,
}

/// One run of the binary.
pub(crate) struct Ran {
    pub(crate) took: Duration,
    /// The most memory that it had, in MiB.
    pub(crate) peak: f64,
}

impl Site {
    /// Beside a target without the index, and without anything that was noted at either side.
    pub(crate) fn new(servers: &Servers, cutover: bool) -> Self {
        for (client, index) in [
            (servers.target(), INDEX),
            (servers.target(), ".segue-markers"),
            (servers.source(), ".segue-markers"),
        ] {
            if client.has(index) {
                client.delete(&format!("/{index}"));
            }
        }
        let dir = tempfile::Builder::new().prefix("segue-").tempdir().expect("a directory");
        let site = Self { dir };
        let spec = spec(servers, cutover);
        paths::replace(&site.path().join("site.segue.hcl"), spec.as_bytes()).expect("the spec");
        std::os::unix::fs::symlink("old", site.path().join("live")).expect("a link");
        site
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Runs the binary to its end; what it says is shown when it fails.
    pub(crate) fn segue(&self, args: &[&str]) -> Ran {
        let began = Instant::now();
        let output = std::fs::File::options()
            .create(true)
            .append(true)
            .open(self.path().join("output"))
            .expect("a file");
        let mut child = Command::new(segue_binary())
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("the file"))
            .stderr(output)
            .env("NO_COLOR", "1")
            .spawn()
            .expect("segue starts");
        let status = Path::new("/proc").join(child.id().to_string()).join("status");
        let mut peak = 0.0;
        let ended = loop {
            peak = peak_of(&status).unwrap_or(peak);
            if let Some(ended) = child.try_wait().expect("waited") {
                break ended;
            }
            std::thread::sleep(LOOK);
        };
        let said = || paths::read_to_string(&self.path().join("output")).unwrap_or_default();
        assert!(ended.success(), "{args:?}: {}", said());
        Ran { took: began.elapsed(), peak }
    }

    /// What happened, one call an event.
    pub(crate) fn events(&self, mut each: impl FnMut(&Event)) {
        let mut of = |_: u64, entry: &Entry| each(&entry.event);
        history(&self.path().join(".segue"), &mut of).expect("a journal");
    }

    /// The state as JSON.
    pub(crate) fn state(&self) -> Value {
        let pulled = Command::new(segue_binary())
            .args(["state", "pull"])
            .current_dir(self.path())
            .output()
            .expect("segue starts");
        serde_json::from_slice(&pulled.stdout).expect("state pull prints JSON")
    }
}

/// `VmHWM`, in MiB; nothing once the process has ended.
fn peak_of(status: &Path) -> Option<f64> {
    let text = paths::read_to_string(status).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<f64>().ok().map(|kib| kib / 1024.0)
}

fn spec(servers: &Servers, cutover: bool) -> String {
    let (old, new) = (servers.old.url(), servers.new.url());
    let mut spec = format!(
        r#"variable "live" {{
  type    = string
  default = "target"
}}

source "elasticsearch" "old" {{
  url     = "{old}"
  indices = ["{INDEX}"]
}}

target "opensearch" "new" {{
  url = "{new}"
}}

migration "words" {{
  source = source.elasticsearch.old
  target = target.opensearch.new
  verify {{
    level = "full"
  }}
}}
"#
    );
    if cutover {
        spec.push_str(CUTOVER);
    }
    spec
}

const CUTOVER: &str = r#"
route "symlink" "site" {
  path   = "live"
  source = "old"
  target = "new"
}

cutover "site" {
  migrations = [migration.words]
  live       = var.live
  timeout    = "60s"
  quiesce "write_block" {}
  switch {
    routes = [route.symlink.site]
  }
  fallback {
    reverse       = true
    stale_writers = "report"
  }
}
"#;
