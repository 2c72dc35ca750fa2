//! A scratch copy of the quickstart, with its application, and the released binary to run in it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use tempfile::TempDir;

/// The released binary: `SEGUE_BIN`, which `tests/run` sets.
///
/// # Panics
/// Without it: a test that drives another binary proves nothing about the released one.
#[expect(clippy::panic, reason = "a test cannot go on without the binary that it is about")]
pub fn segue_binary() -> PathBuf {
    match std::env::var_os("SEGUE_BIN") {
        Some(path) => PathBuf::from(path),
        None => {
            // `cargo test` by hand: the binary beside this test's own, if it was built.
            let built = std::env::current_exe().ok().and_then(|exe| {
                let target = exe.ancestors().nth(3)?.to_owned();
                let found = target.join("release/segue");
                found.is_file().then_some(found)
            });
            built.unwrap_or_else(|| panic!("set SEGUE_BIN, or run tests/run, or cargo build --release first"))
        }
    }
}

/// A program of the tests' own, which cargo built at `built` (`env!("CARGO_BIN_EXE_NAME")`): the same one of the directory that
/// `SEGUE_TEST_PROGRAMS` names, where there is one. Tests that start it thousands of times take a fifth of the time with an
/// optimised one, and `tests/run` builds that.
pub fn program(built: &str) -> PathBuf {
    let built = Path::new(built);
    match (std::env::var_os("SEGUE_TEST_PROGRAMS"), built.file_name()) {
        (Some(dir), Some(name)) => Path::new(&dir).join(name),
        _ => built.to_owned(),
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// Its exit code; `None`: a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Ran {
    fn new(output: &Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Both streams, for messages.
    pub fn all(&self) -> String {
        format!("exit {:?}\n--- stdout\n{}\n--- stderr\n{}", self.code, self.stdout, self.stderr)
    }

    /// Fails unless it said this, on either stream.
    #[track_caller]
    pub fn says(&self, wanted: &str) -> &Self {
        assert!(self.all().contains(wanted), "{wanted:?} is not said: {}", self.all());
        self
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    #[expect(clippy::panic, reason = "this is an assertion of tests")]
    pub fn expect_code(self, code: i32) -> Self {
        if self.code != Some(code) {
            panic!("exit {code} was expected: {}", self.all());
        }
        self
    }
}

/// A scratch copy of the quickstart. Its writers end when it is dropped.
pub struct Scratch {
    dir: TempDir,
    /// Whether the quickstart's application is here.
    has_app: bool,
    environment: Vec<(String, String)>,
}

impl Scratch {
    /// Copies the example and lets its application make the source.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its scratch directory")]
    pub fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("segue-").tempdir().expect("a scratch directory");
        Self::in_place(dir)
    }

    /// A scratch directory with this spec (`site.segue.hcl`) and nothing else; what is run there has these environment
    /// variables.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its scratch directory")]
    pub fn of_spec(spec: &str, environment: &[(&str, &str)]) -> Self {
        crate::timing::watch();
        let dir = tempfile::Builder::new().prefix("segue-").tempdir().expect("a scratch directory");
        let environment = environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let scratch = Self { dir, has_app: false, environment: environment.collect() };
        scratch.write("site.segue.hcl", spec);
        scratch
    }

    /// Sets one of them.
    pub fn set(&mut self, name: &str, value: &str) {
        self.environment.retain(|(known, _)| known != name);
        self.environment.push((name.to_owned(), value.to_owned()));
    }

    /// The environment variables of what is run here, beside this process's own.
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// The same below a given directory (a file system of its own).
    #[expect(clippy::expect_used, reason = "a test cannot go on without its scratch directory")]
    pub fn below(parent: &Path) -> Self {
        let dir = tempfile::Builder::new().prefix("segue-").tempdir_in(parent).expect("a scratch directory");
        Self::in_place(dir)
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its scratch directory")]
    fn in_place(dir: TempDir) -> Self {
        crate::timing::watch();
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/quickstart");
        // A child copies: a program that this process held open for writing could not be started ("text file busy") for as long as a
        // child that another thread has just forked still has the descriptor.
        let copied = Command::new("cp")
            .args(["app", "site.segue.hcl"])
            .arg(dir.path())
            .current_dir(&example)
            .status()
            .expect("cp is there");
        assert!(copied.success(), "the quickstart is copied");
        let scratch = Self { dir, has_app: true, environment: Vec::new() };
        scratch.app(&["setup"]).expect_code(0);
        scratch
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs the application.
    pub fn app(&self, args: &[&str]) -> Ran {
        self.run("./app", args)
    }

    /// Runs the released binary to its end, without a terminal.
    pub fn segue(&self, args: &[&str]) -> Ran {
        self.run(&segue_binary().display().to_string(), args)
    }

    /// Runs any program here.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its program")]
    pub fn run(&self, program: &str, args: &[&str]) -> Ran {
        let output = Command::new(program)
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .env("NO_COLOR", "1")
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .expect("the program starts");
        Ran::new(&output)
    }

    /// Writes a shell script that can be run. A child writes it: see `in_place`.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its script")]
    pub fn executable(&self, name: &str, script: &str) {
        let mut child = Command::new("install")
            .args(["-m", "0755", "/dev/stdin", name])
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .spawn()
            .expect("install is there");
        let mut input = child.stdin.take().expect("a pipe");
        std::io::Write::write_all(&mut input, format!("#!/bin/sh\n{script}\n").as_bytes()).expect("written");
        drop(input);
        assert!(child.wait().expect("it ends").success(), "{name} is written");
    }

    /// Runs the released binary as a user without rights (nobody: 65534). Needs root, to become it.
    pub fn segue_as_nobody(&self, args: &[&str]) -> Ran {
        let segue = segue_binary().display().to_string();
        let mut words = vec!["--reuid=65534", "--regid=65534", "--clear-groups", &segue];
        words.extend(args);
        self.run("setpriv", &words)
    }

    /// Starts the released binary and does not wait.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its program")]
    pub fn start(&self, args: &[&str]) -> Child {
        Command::new(segue_binary())
            .args(args)
            .current_dir(self.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("segue starts")
    }

    /// Puts blocks into the spec's cutover, before its quiesce.
    ///
    /// # Panics
    /// The spec's quiesce is none of commands any more.
    pub fn add_to_cutover(&self, blocks: &str) {
        self.edit_spec("  quiesce \"command\" {", &format!("{blocks}\n  quiesce \"command\" {{"));
    }

    /// Replaces text in the spec.
    ///
    /// # Panics
    /// When the text is not there: the test would test something else.
    #[expect(clippy::expect_used, reason = "a test cannot go on with another spec")]
    pub fn edit_spec(&self, from: &str, to: &str) {
        let path = self.at("site.segue.hcl");
        let text = segue_contract::paths::read_to_string(&path).expect("the spec");
        assert!(text.contains(from), "the spec has no {from:?}");
        segue_contract::paths::replace(&path, text.replace(from, to).as_bytes()).expect("the spec");
    }

    /// Writes a file, with its directories.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its file")]
    pub fn write(&self, name: &str, content: &str) {
        let path = self.at(name);
        if let Some(parent) = path.parent() {
            segue_contract::paths::create_dir_all(parent).expect("the directory");
        }
        let mut file =
            std::fs::OpenOptions::new().write(true).create(true).truncate(true).open(path).expect("the file");
        std::io::Write::write_all(&mut file, content.as_bytes()).expect("written");
    }

    /// What a file says.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its file")]
    pub fn read(&self, name: &str) -> String {
        segue_contract::paths::read_to_string(&self.at(name)).expect("the file")
    }

    /// A second spec in a directory of its own, for the same endpoints by their absolute paths.
    pub fn elsewhere(&self, name: &str) -> PathBuf {
        let at = |path: &str| self.at(path).display().to_string();
        let text = segue_contract::paths::read_to_string(&self.at("site.segue.hcl")).unwrap_or_default();
        let text = text
            .replace("path = \"old\"", &format!("path = \"{}\"", at("old")))
            .replace("path = \"new\"", &format!("path = \"{}\"", at("new")))
            .replace("\"live\" #", &format!("\"{}\" #", at("live")))
            .replace("./app", &at("app"));
        self.write(&format!("{name}/site.segue.hcl"), &text);
        self.at(name)
    }

    /// The state as JSON.
    #[expect(clippy::expect_used, reason = "a test cannot go on without the state")]
    pub fn state(&self) -> serde_json::Value {
        let pulled = self.segue(&["state", "pull"]).expect_code(0);
        serde_json::from_str(&pulled.stdout).expect("state pull prints JSON")
    }

    /// Where the link points.
    pub fn live(&self) -> String {
        std::fs::read_link(self.at("live")).map(|p| p.display().to_string()).unwrap_or_default()
    }
}

impl Default for Scratch {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if self.has_app {
            self.app(&["resume"]);
            self.app(&["stop"]);
        }
    }
}
