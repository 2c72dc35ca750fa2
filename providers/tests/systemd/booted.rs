//! A systemd of the test's own. The test's function runs twice, or thrice: outside it boots a systemd for each
//! scope in namespaces where the host's files are read-only and everything else is a private tmpfs, and starts
//! itself in there; inside it does what it is about.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use segue_contract::{
    Address, BarrierState, BlockRef, Checkpoint, Config, Finding, Progress, Quiesce, QuiesceCall, Secret,
    SecretRef, Setting, Side, StepError, StepIo,
};
use serde_json::{Value, json};

/// Set inside: `system` or `user`.
const SCOPE: &str = "SEGUE_TEST_SYSTEMD_SCOPE";
/// Set inside: which part of the test runs.
const BOOT_NUMBER: &str = "SEGUE_TEST_SYSTEMD_BOOT";
/// How long a test waits for anything, before it fails.
const PATIENCE: Duration = Duration::from_secs(300);

/// Nothing of the host is changed: its root is read-only here, so are /sys and /proc/sys, and every place that is
/// written to is a tmpfs of this mount namespace. systemd reads no units but the test's, so that no boot job
/// (cleaning of temporary directories, kernel settings) runs.
const BOOT: &str = r#"
set -eu
[ $$ -eq 1 ] || { echo "not in a PID namespace of its own" >&2; exit 99; }
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs tmpfs /mnt
mkdir /mnt/out /mnt/dev
mount --bind "$OUT" /mnt/out
cp "$TEST" /mnt/test
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir -p "/sys/fs/cgroup/$GROUP"
echo 1 >"/sys/fs/cgroup/$GROUP/cgroup.procs"
for device in null zero full random urandom tty; do
    : >/mnt/dev/$device
    mount --bind /dev/$device /mnt/dev/$device
done
mkdir /mnt/dev/shm
mount --rbind /mnt/dev /dev
for place in /run /tmp /var /home; do mount -t tmpfs tmpfs $place; done
# What a reboot keeps.
mkdir -p /mnt/out/keep/root /mnt/out/keep/systemd
mount --bind /mnt/out/keep/root /root
mount --bind /mnt/out/keep/systemd /etc/systemd
mount -o remount,bind,ro /
mount -o remount,bind,ro /sys
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
for place in /usr /etc /var/../bin; do
    if ( : >$place/segue-must-not-be-writable ) 2>/dev/null; then
        rm -f $place/segue-must-not-be-writable
        echo "the host's $place is writable in here" >&2
        exit 99
    fi
done
mkdir -p /run/systemd/system /etc/systemd/system /run/user/0 /root/.config/systemd/user
chmod 700 /run/user/0
export HOME=/root XDG_RUNTIME_DIR=/run/user/0 container=segue-test
unset DBUS_SESSION_BUS_ADDRESS XDG_CONFIG_HOME
if [ "$SEGUE_TEST_SYSTEMD_SCOPE" = system ]; then
    at=/etc/systemd/system
    transient=/run/systemd/transient
else
    at=/root/.config/systemd/user
    transient=/run/user/0/systemd/transient
fi
export SYSTEMD_UNIT_PATH="$at:$transient"
for target in basic sysinit shutdown exit; do
    printf '[Unit]\nDefaultDependencies=no\n' >$at/$target.target
done
cat >$at/inside.service <<END
[Unit]
DefaultDependencies=no
SuccessAction=exit-force
FailureAction=exit-force
[Service]
Type=oneshot
Environment=HOME=/root XDG_RUNTIME_DIR=/run/user/0 PATH=$PATH RUST_BACKTRACE=0
Environment=SEGUE_TEST_SYSTEMD_SCOPE=$SEGUE_TEST_SYSTEMD_SCOPE SEGUE_TEST_SYSTEMD_BOOT=$SEGUE_TEST_SYSTEMD_BOOT
ExecStart=/mnt/test --exact $NAME --nocapture
StandardOutput=append:/mnt/out/log
StandardError=append:/mnt/out/log
END
exec unshare --cgroup /bin/sh -c '
    mount -o remount,rw,bind /sys 2>/dev/null || true
    umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup
    mount -o remount,bind,ro /sys
    SYSTEMD=$(command -v /usr/lib/systemd/systemd || command -v /lib/systemd/systemd)
    if [ "$SEGUE_TEST_SYSTEMD_SCOPE" = system ]; then
        exec "$SYSTEMD" --system --unit=inside.service --log-target=null
    fi
    # Process 1 cannot be a user manager: this shell is, and reaps.
    "$SYSTEMD" --user --unit=inside.service --log-target=null &
    wait $!
'
"#;

/// A booted test that takes longer hangs, whatever the machine does besides.
const HANGS_AFTER_S: &str = "900";

/// Runs a test inside a systemd of each scope.
#[track_caller]
pub(crate) fn inside(name: &str, test: impl Fn(&World)) {
    over_boots(name, &[&test]);
}

/// Runs the parts of a test inside a systemd of each scope, with a reboot between two.
#[track_caller]
pub(crate) fn over_boots(name: &str, parts: &[&dyn Fn(&World)]) {
    if let (Ok(scope), Ok(boot)) = (std::env::var(SCOPE), std::env::var(BOOT_NUMBER)) {
        let part = parts.get(boot.parse::<usize>().expect("a number")).expect("a part");
        part(&World::new(&scope));
        return;
    }
    for scope in ["system", "user"] {
        let out = tempfile::tempdir().expect("a directory");
        for boot in 0..parts.len() {
            boot_and_run(name, scope, boot, out.path());
        }
    }
}

#[track_caller]
fn boot_and_run(name: &str, scope: &str, boot: usize, out: &Path) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let group = format!("segue-test-{}-{number}", std::process::id());
    let ended = Command::new("timeout")
        .args(["-s", "KILL", HANGS_AFTER_S, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts"])
        .args(["--ipc", "--net", "/bin/sh", "-c", BOOT])
        .env("OUT", out)
        .env("TEST", std::env::current_exe().expect("this test"))
        .env("NAME", name)
        .env("GROUP", &group)
        .env(SCOPE, scope)
        .env(BOOT_NUMBER, boot.to_string())
        .stdin(Stdio::null())
        .output()
        .expect("unshare starts");
    let clean = "mount -t cgroup2 cgroup2 /mnt && find /mnt/\"$1\" -depth -type d -exec rmdir {} +";
    let _ = Command::new("unshare")
        .args(["--mount", "/bin/sh", "-c", clean, "sh", &group])
        .stderr(Stdio::null())
        .status();
    let log = segue_contract::paths::read_to_string(&out.join("log")).unwrap_or_default();
    let said =
        format!("{}{}", String::from_utf8_lossy(&ended.stdout), String::from_utf8_lossy(&ended.stderr));
    assert!(
        ended.status.success() && log.matches("1 passed").count() == boot + 1,
        "in the {scope}'s scope, boot {boot} ({}; this needs root and systemd): {said}\n{log}",
        ended.status
    );
}

/// The inside of a booted systemd.
pub(crate) struct World {
    pub(crate) scope: String,
    pub(crate) io: Io,
    quiesce: Arc<dyn Quiesce>,
}

impl World {
    fn new(scope: &str) -> Self {
        let io = Io { artifacts: PathBuf::from("/mnt/out/keep/artifacts"), found: Mutex::default() };
        let quiesce =
            segue_providers::registry().quiesce(&block(&[], &json!({}))).expect("registered").clone();
        Self { scope: scope.to_owned(), io, quiesce }
    }

    /// Where unit files lie.
    pub(crate) fn at(&self) -> PathBuf {
        match self.scope.as_str() {
            "system" => PathBuf::from("/etc/systemd/system"),
            _ => PathBuf::from("/root/.config/systemd/user"),
        }
    }

    /// A service: its `[Unit]` and `[Service]` lines.
    pub(crate) fn service(&self, name: &str, unit: &str, service: &str) {
        let text = format!("[Unit]\nDefaultDependencies=no\n{unit}\n[Service]\n{service}\n");
        segue_contract::paths::replace(&self.at().join(name), text.as_bytes()).expect("written");
    }

    /// `systemctl` in this scope; whether it succeeded, and what it printed.
    pub(crate) fn systemctl(&self, words: &[&str]) -> (bool, String) {
        let mut command = Command::new("systemctl");
        if self.scope == "user" {
            command.arg("--user");
        }
        let output = command.args(words).output().expect("systemctl starts");
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.trim().to_owned())
    }

    /// `systemctl`, which has to succeed.
    #[track_caller]
    pub(crate) fn must(&self, words: &[&str]) -> String {
        let (ok, said) = self.systemctl(words);
        assert!(ok, "systemctl {words:?}: {said}");
        said
    }

    /// `active`, `inactive`, ...
    pub(crate) fn is(&self, unit: &str) -> String {
        self.must(&["show", "-P", "ActiveState", unit])
    }

    /// A call of a block with these units.
    pub(crate) fn call(&self, units: &[&str], more: &Value) -> QuiesceCall {
        let mut settings = json!({"scope": self.scope, "timeout": 20_000});
        if let (Some(all), Some(more)) = (settings.as_object_mut(), more.as_object()) {
            all.extend(more.clone());
        }
        let mut endpoint = block(&[], &json!({}));
        endpoint.address = Address::new("source.directory.old");
        QuiesceCall { block: block(units, &settings), endpoint, side: Side::Source }
    }

    pub(crate) fn check(&self, call: &QuiesceCall) -> Vec<String> {
        self.quiesce.check(call).into_iter().map(|f| f.summary).collect()
    }
    pub(crate) fn close(&self, call: &QuiesceCall) -> Result<(), StepError> {
        self.quiesce.close(call, &self.io)
    }
    pub(crate) fn open(&self, call: &QuiesceCall) -> Result<(), StepError> {
        self.quiesce.open(call, &self.io)
    }
    pub(crate) fn observe(&self, call: &QuiesceCall) -> BarrierState {
        self.quiesce.observe(call, &self.io).expect("observes")
    }
    pub(crate) fn lease(&self, call: &QuiesceCall, ms: u64) -> Result<Option<String>, StepError> {
        self.quiesce.lease(call, ms, &self.io)
    }
    pub(crate) fn harden(&self, call: &QuiesceCall) -> Result<(), StepError> {
        self.quiesce.harden(call, &self.io)
    }
    pub(crate) fn by_hand(&self, call: &QuiesceCall) -> String {
        self.quiesce.open_by_hand(call)
    }

    /// Every file below the unit directory: what a quiesce may not leave behind.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut next = vec![self.at()];
        while let Some(directory) = next.pop() {
            for entry in std::fs::read_dir(directory).expect("lists").flatten() {
                if entry.path().is_dir() {
                    next.push(entry.path());
                }
                found.push(entry.path());
            }
        }
        found.sort();
        found
    }
}

fn block(units: &[&str], settings: &Value) -> BlockRef {
    let mut config = Config::default();
    config.insert("units", Setting::Plain(json!(units)));
    for (name, value) in settings.as_object().cloned().unwrap_or_default() {
        config.insert(name, Setting::Plain(value));
    }
    BlockRef {
        address: Address::new("cutover.a.quiesce.systemd"),
        provider: "systemd".to_owned(),
        base_dir: PathBuf::from("/run"),
        config,
        scope: Vec::new(),
    }
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A step that nobody watches.
pub(crate) struct Io {
    artifacts: PathBuf,
    found: Mutex<Vec<Finding>>,
}

impl StepIo for Io {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _: Progress) {}
    fn checkpoint(&self, _: Checkpoint) -> Result<(), StepError> {
        Ok(())
    }
    fn take(&self, _: u64) {}
    fn artifacts(&self) -> &Path {
        &self.artifacts
    }
    fn secret(&self, secret: &SecretRef) -> Result<Secret, StepError> {
        Err(StepError::permanent(format!("no secret {secret}")))
    }
    fn find(&self, finding: Finding) {
        self.found.lock().expect("not poisoned").push(finding);
    }
}
