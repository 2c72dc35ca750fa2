//! The four ways of moving a search index, as the examples show them, on real servers: a pipeline ships events all the while, and
//! in the end every one that was acknowledged is at the cluster that serves.

#![expect(clippy::expect_used, reason = "a test cannot go on without its servers")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use segue_tests::servers::writer::{Door, Workload, Writers};
use segue_tests::servers::{Client, Options, SearchServer, SharedDir, Version};
use segue_tests::{Random, segue_binary, wait_until};
use serde_json::Value;

/// Both clusters, and the directory that both may have snapshots in.
struct Pair {
    old: SearchServer,
    new: SearchServer,
    shared: SharedDir,
}

/// One example after the other: each calls its index `events`.
fn pair() -> (MutexGuard<'static, ()>, &'static Pair) {
    static ALONE: Mutex<()> = Mutex::new(());
    static PAIR: OnceLock<Pair> = OnceLock::new();
    let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let pair = PAIR.get_or_init(|| {
        let shared = SharedDir::new();
        let options = || Options::default().repository(shared.path());
        let wanted = [(Version::Elasticsearch7_10, options()), (Version::OpenSearch2_19, options())];
        let [old, new] = SearchServer::start_all(wanted);
        Pair { old, new, shared }
    });
    (alone, pair)
}

/// An example in a directory of its own, with all that it needs in its environment.
struct Example<'a> {
    dir: tempfile::TempDir,
    pair: &'a Pair,
}

impl<'a> Example<'a> {
    fn copy(name: &str, pair: &'a Pair) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name).join(".");
        let dir = tempfile::Builder::new().prefix("segue-").tempdir().expect("a directory");
        // The pipeline is a link to the one that all share.
        let copied = Command::new("cp").arg("-rL").arg(from).arg(dir.path()).status().expect("cp is there");
        assert!(copied.success());
        Self { dir, pair }
    }

    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .env("OLD_URL", self.pair.old.url())
            .env("NEW_URL", self.pair.new.url())
            .env("SNAPSHOTS", self.pair.shared.path())
            .env("SEGUE", segue_binary());
        command
    }

    /// Runs `./run` or `./pipeline` to its end.
    fn done(&self, argv: &[&str]) -> String {
        let (program, args) = argv.split_first().expect("a program");
        let output = self.command(program).args(args).output().expect("it starts");
        let all = both(&output);
        assert!(output.status.success(), "{argv:?}: {all}");
        all
    }

    fn segue_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(segue_binary());
        command.env("SEGUE_VAR_old_url", self.pair.old.url()).env("SEGUE_VAR_new_url", self.pair.new.url());
        command.args(args);
        command
    }

    fn segue(&self, args: &[&str]) -> String {
        let output = self.segue_command(args).output().expect("segue starts");
        let all = both(&output);
        assert!(output.status.success(), "{args:?}: {all}");
        all
    }

    /// Where the link leads to.
    fn serves(&self) -> PathBuf {
        std::fs::read_link(self.dir.path().join("var/current")).expect("a link")
    }

    /// Writes that follow the link, as an application does.
    fn door(&self) -> Door {
        let (old, new) = (self.pair.old.client(), self.pair.new.client());
        let link = self.dir.path().join("var/current");
        let client = move || match std::fs::read_link(&link) {
            Ok(at) if at == Path::new("new.url") => new.clone(),
            _ => old.clone(),
        };
        Door::asked(client, "events")
    }

    fn client(&self) -> Client {
        if self.serves() == Path::new("new.url") { self.pair.new.client() } else { self.pair.old.client() }
    }
}

impl Drop for Example<'_> {
    fn drop(&mut self) {
        let _ = self.command("./pipeline").arg("clean").output();
    }
}

fn both(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Repositories that Segue made at a server.
fn repositories(client: &Client) -> Vec<String> {
    let found = client.get("/_snapshot");
    found
        .as_object()
        .into_iter()
        .flatten()
        .map(|(n, _)| n.clone())
        .filter(|n| n.starts_with("segue-"))
        .collect()
}

#[test]
fn both_clusters_get_every_event_and_what_came_before_is_filled_in() {
    let (_alone, pair) = pair();
    let example = Example::copy("search-parallel", pair);
    let said = example.done(&["./run"]);
    assert!(said.contains("new serves; "), "{said}");
    assert!(said.contains("in mode \"parallel\""), "{said}");
    assert!(said.contains("no stale writer found on the old side"), "{said}");
    // What the pipeline had written at the new cluster was not written again.
    let versions = pair.new.client().documents("events");
    assert!(versions.len() > 5_000, "{}", versions.len());
}

#[test]
fn a_pipeline_that_keeps_its_events_is_paused_for_a_copy_by_snapshot() {
    let (_alone, pair) = pair();
    let example = Example::copy("search-pause-and-copy", pair);
    let said = example.done(&["./run"]);
    assert!(said.contains("new serves; "), "{said}");
    assert_eq!(repositories(&pair.old.client()), Vec::<String>::new());
    assert_eq!(repositories(&pair.new.client()), Vec::<String>::new());
}

#[test]
fn passes_shrink_while_clients_write_and_the_last_one_costs_a_short_pause() {
    let (_alone, pair) = pair();
    let example = Example::copy("search-shrinking-passes", pair);
    let said = example.done(&["./run"]);
    assert!(said.contains("new serves; "), "{said}");
    assert!(said.contains("predicted pause"), "{said}");
}

#[test]
fn changes_are_captured_by_sequence_number_and_the_switch_goes_there_and_back() {
    let (_alone, pair) = pair();
    let example = Example::copy("search-change-capture", pair);
    let said = example.done(&["./run"]);
    assert!(said.contains("new serves; ") && said.contains("old serves; "), "{said}");
    assert!(said.contains("in mode \"reindex\""), "{said}");
}

/// The workload of the oracle: documents made, changed, deleted and made again, by several clients, some of them the same.
fn writers(example: &Example<'_>, name: &str) -> Writers {
    let seed = Random::seeded(name).number();
    Writers::start(Workload { rest: Duration::from_millis(2), ..Workload::new(example.door(), seed) })
}

/// Kills apply in the middle of the load, and begins it again, until it ends by itself.
fn applied_with_kills(example: &Example<'_>, kills: usize, during: &str) {
    for kill in 0..kills {
        let log = example.dir.path().join(format!("apply-{kill}.log"));
        let out = segue_contract::paths::create_private(&log).expect("a log");
        let err = out.try_clone().expect("a log");
        let mut apply = example
            .segue_command(&["apply", "--auto-approve"])
            .stdout(out)
            .stderr(err)
            .spawn()
            .expect("segue starts");
        let said = || segue_contract::paths::read_to_string(&log).unwrap_or_default();
        wait_until("apply is where it is to be killed", || {
            said().contains(during) || apply.try_wait().is_ok_and(|ended| ended.is_some())
        });
        apply.kill().expect("killed");
        apply.wait().expect("ended");
    }
    example.segue(&["apply", "--auto-approve"]);
}

#[test]
fn a_reindex_under_writers_that_is_killed_and_gone_on_with_loses_nothing_there_and_back() {
    let (_alone, pair) = pair();
    let example = Example::copy("search-change-capture", pair);
    example.done(&["./pipeline", "make", "8000"]);
    let writers = writers(&example, "a_reindex_under_writers");
    writers.until_more(200);
    applied_with_kills(&example, 3, ".load: started");
    assert_eq!(example.serves(), Path::new("new.url"));
    writers.until_more(200);
    example.segue(&["apply", "--auto-approve", "--var", "live=source"]);
    assert_eq!(example.serves(), Path::new("old.url"));
    writers.until_more(200);
    let log = writers.stop();
    log.judge(&example.client(), "events").expect_clean();
}

#[test]
fn a_snapshot_under_writers_that_is_killed_and_gone_on_with_loses_nothing() {
    let (_alone, pair) = pair();
    let example = Example::copy("search-change-capture", pair);
    let spec = example.dir.path().join("events.segue.hcl");
    let text = segue_contract::paths::read_to_string(&spec).expect("the spec");
    let location = format!("mode = \"snapshot\"\n    location = \"{}\"", pair.shared.path().display());
    let changed = text.replace("mode = \"reindex\"", &location);
    assert_ne!(text, changed);
    segue_contract::paths::replace(&spec, changed.as_bytes()).expect("the spec");
    example.done(&["./pipeline", "make", "8000"]);
    let writers = writers(&example, "a_snapshot_under_writers");
    writers.until_more(200);
    applied_with_kills(&example, 3, ".load: started");
    writers.until_more(200);
    let log = writers.stop();
    assert_eq!(example.serves(), Path::new("new.url"));
    log.judge(&example.client(), "events").expect_clean();
    assert_eq!(repositories(&pair.old.client()), Vec::<String>::new());
    assert_eq!(repositories(&pair.new.client()), Vec::<String>::new());
}

/// What segue says, with the directory of snapshots, however it ends.
fn said_with(example: &Example<'_>, args: &[&str]) -> String {
    let mut command = example.segue_command(args);
    command.env("SEGUE_VAR_snapshots", example.pair.shared.path());
    both(&command.output().expect("segue starts"))
}

#[test]
fn a_load_that_nobody_goes_on_with_leaves_no_repository_once_it_is_abandoned() {
    let (_alone, pair) = pair();
    let example = Example::copy("search-pause-and-copy", pair);
    let apply = |command: &mut Command| {
        command.env("SEGUE_VAR_snapshots", pair.shared.path()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().expect("segue starts")
    };
    example.done(&["./pipeline", "make", "20000"]);
    let mut running = apply(&mut example.segue_command(&["apply", "--auto-approve"]));
    let old = pair.old.client();
    wait_until("a repository is there", || {
        !repositories(&old).is_empty() || running.try_wait().is_ok_and(|ended| ended.is_some())
    });
    running.kill().expect("killed");
    running.wait().expect("ended");
    assert_eq!(repositories(&old).len(), 1, "killed with its repository there");
    let cleanup = said_with(&example, &["cleanup", "--yes"]);
    assert!(cleanup.contains("needed"), "what is to be gone on with stays: {cleanup}");
    assert_eq!(repositories(&old).len(), 1);
    let spec = example.dir.path().join("events.segue.hcl");
    let text = segue_contract::paths::read_to_string(&spec).expect("the spec");
    let changed = text.replace("  timeout    =", "  finished   = true\n  timeout    =");
    assert_ne!(text, changed);
    segue_contract::paths::replace(&spec, changed.as_bytes()).expect("the spec");
    let said = said_with(&example, &["apply", "--auto-approve", "--var", "live=source"]);
    assert_eq!(repositories(&old), Vec::<String>::new(), "{said}");
    assert_eq!(repositories(&pair.new.client()), Vec::<String>::new());
}

#[test]
fn a_mode_that_nobody_has_and_a_target_that_may_not_reindex_are_told_before_anything_runs() {
    let (_alone, pair) = pair();
    let example = Example::copy("search-change-capture", pair);
    example.done(&["./pipeline", "make", "5"]);
    let spec = example.dir.path().join("events.segue.hcl");
    let text = segue_contract::paths::read_to_string(&spec).expect("the spec");
    let with = |load: &str| {
        let changed = text.replace("mode = \"reindex\"", load);
        segue_contract::paths::replace(&spec, changed.as_bytes()).expect("the spec");
        let output = example.segue_command(&["plan"]).output().expect("segue starts");
        (output.status.code(), both(&output))
    };
    let (code, said) = with("mode = \"reindexx\"");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("SPEC_UNKNOWN_MODE") && said.contains("did you mean \"reindex\"?"), "{said}");
    assert!(said.contains("copy, parallel, reload, reindex, snapshot"), "{said}");
    let (code, said) = with("mode = \"reindex\"\n    from = \"http://10.9.9.9:9200\"");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("REINDEX_WHITELIST") && said.contains("reindex.remote.allowlist"), "{said}");
    assert_eq!(pair.new.client().get("/_cat/indices/events*?format=json"), Value::Array(Vec::new()));
}
