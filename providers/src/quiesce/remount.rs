//! `quiesce "remount"`: the endpoint's file system, one of its own, is made read-only as a whole. While
//! anything is open for writing the kernel refuses, so success is the drain barrier.

use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, mount_remount};
use segue_contract::{
    BarrierState, BlockKind, BlockSchema, Finding, Quiesce, QuiesceCall, QuiesceKind, Severity, StepError,
    StepIo, paths,
};

use crate::command::quoted;

pub(super) fn schema() -> BlockSchema {
    BlockSchema {
        kind: BlockKind::Quiesce,
        name: "remount".to_owned(),
        doc: "Makes the endpoint's file system read-only as a whole, which fails while anything is open for writing. The \
              endpoint must be the root of a file system of its own, and Segue must run as root."
            .to_owned(),
        attributes: Vec::new(),
    }
}

/// A line of /proc/self/mountinfo (proc_pid_mountinfo(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mount {
    /// What of the file system is mounted: `/` is all of it.
    root: String,
    point: PathBuf,
    options: Vec<String>,
    super_options: Vec<String>,
}

impl Mount {
    fn parse(line: &str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let left: Vec<&str> = left.split(' ').collect();
        let right: Vec<&str> = right.split(' ').collect();
        let list = |text: &str| text.split(',').map(str::to_owned).collect();
        Some(Self {
            root: unescape(left.get(3)?),
            point: PathBuf::from(unescape(left.get(4)?)),
            options: list(left.get(5)?),
            super_options: list(right.get(2)?),
        })
    }

    /// The flags that a remount must repeat, or it would drop them.
    fn flags(&self) -> MountFlags {
        let table = [
            ("nosuid", MountFlags::NOSUID),
            ("nodev", MountFlags::NODEV),
            ("noexec", MountFlags::NOEXEC),
            ("noatime", MountFlags::NOATIME),
            ("nodiratime", MountFlags::NODIRATIME),
            ("relatime", MountFlags::RELATIME),
            ("sync", MountFlags::SYNCHRONOUS),
            ("dirsync", MountFlags::DIRSYNC),
        ];
        let has = |name: &str| self.options.iter().chain(&self.super_options).any(|o| o == name);
        table.iter().filter(|(name, _)| has(name)).fold(MountFlags::empty(), |flags, (_, flag)| flags | *flag)
    }

    fn is_read_only(&self) -> bool {
        self.super_options.iter().any(|o| o == "ro")
    }
}

/// Spaces and such are octal there: `\040`.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let octal = tail
            .get(..3)
            .and_then(|d| std::str::from_utf8(d).ok())
            .and_then(|d| u8::from_str_radix(d, 8).ok());
        match (first, octal) {
            (b'\\', Some(byte)) => {
                bytes.push(byte);
                rest = tail.get(3..).unwrap_or_default();
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn mount_of(call: &QuiesceCall) -> Result<Mount, StepError> {
    let path = call.endpoint.path("path")?;
    let real = std::fs::canonicalize(path).map_err(|e| paths::PathError::new("find", path, e))?;
    let table = paths::read_to_string(Path::new("/proc/self/mountinfo"))?;
    // The last mount on a point covers those before it.
    let found = table.lines().filter_map(Mount::parse).rfind(|m| m.point == real);
    let mount = found.ok_or_else(|| {
        StepError::permanent(format!("{} is not the root of a file system of its own", real.display()))
            .remedy("use another quiesce, or put the tree on a file system of its own")
    })?;
    if mount.root != "/" {
        return Err(StepError::permanent(format!(
            "{} is only the part {} of a file system",
            real.display(),
            mount.root
        ))
        .remedy("name the mount point of the whole file system, or use another quiesce"));
    }
    Ok(mount)
}

pub(super) struct Remount;

impl Quiesce for Remount {
    fn kind(&self) -> QuiesceKind {
        QuiesceKind::Data
    }

    fn check(&self, call: &QuiesceCall) -> Vec<Finding> {
        let critical = |summary: String, remedy: &str| Finding {
            severity: Severity::Critical,
            code: "QUIESCE_REMOUNT".to_owned(),
            summary,
            remedy: remedy.to_owned(),
        };
        let mut findings = Vec::new();
        if !rustix::process::geteuid().is_root() {
            findings.push(critical("remount needs root".to_owned(), "run segue as root"));
        }
        if let Err(error) = mount_of(call) {
            let remedy = error.remedy.clone().unwrap_or_default();
            findings.push(critical(error.to_string(), &remedy));
        }
        findings
    }

    fn close(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<(), StepError> {
        let mount = mount_of(call)?;
        if mount.is_read_only() {
            return Ok(());
        }
        mount_remount(&mount.point, mount.flags() | MountFlags::RDONLY, "").map_err(|e| {
            let what = format!("cannot make {} read-only", mount.point.display());
            if e == rustix::io::Errno::BUSY {
                StepError::permanent(format!("{what}: something there is open for writing")).remedy(format!(
                    "`fuser -vm {}` names the processes: stop them, then apply again",
                    mount.point.display()
                ))
            } else {
                StepError::permanent(what).because(std::io::Error::from(e))
            }
        })
    }

    fn open(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<(), StepError> {
        let mount = mount_of(call)?;
        if !mount.is_read_only() {
            return Ok(());
        }
        mount_remount(&mount.point, mount.flags(), "").map_err(|e| {
            StepError::transient(format!("cannot make {} writable again", mount.point.display()))
                .because(std::io::Error::from(e))
        })
    }

    fn observe(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<BarrierState, StepError> {
        let mount = mount_of(call)?;
        Ok(if mount.is_read_only() {
            BarrierState::Closed(format!("{} is mounted read-only as a whole", mount.point.display()))
        } else {
            BarrierState::Open
        })
    }

    fn open_by_hand(&self, call: &QuiesceCall) -> String {
        let path = call.endpoint.text("path").unwrap_or_default();
        format!("mount -o remount,rw {}", quoted(&[path.to_owned()]))
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use segue_contract::Side;
    use serde_json::json;

    use super::*;
    use crate::testing::{Io, block};

    #[test]
    fn a_mountinfo_line_is_read_with_its_escapes() {
        let line =
            r"36 35 98:0 /mnt1 /mnt/my\040disk rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = Mount::parse(line).expect("parses");
        assert_eq!(mount.point, Path::new("/mnt/my disk"));
        assert_eq!(mount.root, "/mnt1");
        assert!(!mount.is_read_only());
        assert_eq!(mount.flags(), MountFlags::NOATIME);
    }

    /// A tmpfs for one test; needs root, and fails without.
    struct Tmpfs(tempfile::TempDir);

    impl Tmpfs {
        fn new() -> Self {
            let dir = tempfile::tempdir().expect("tempdir");
            let status = Command::new("mount")
                .args(["-t", "tmpfs", "-o", "size=1m,nosuid", "none"])
                .arg(dir.path())
                .status();
            assert!(status.expect("mount runs").success(), "this test needs root to mount a tmpfs");
            Self(dir)
        }
    }

    impl Drop for Tmpfs {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0.path()).status();
        }
    }

    fn call(path: &Path) -> QuiesceCall {
        QuiesceCall {
            block: block("cutover.a.quiesce.remount", "remount", &[]),
            endpoint: block("source.directory.old", "directory", &[("path", json!(path))]),
            side: Side::Source,
        }
    }

    #[test]
    fn closing_refuses_writes_keeps_options_and_opening_restores_them() {
        let disk = Tmpfs::new();
        let (call, io) = (call(disk.0.path()), Io::default());
        assert_eq!(Remount.check(&call), []);
        assert_eq!(Remount.observe(&call, &io).expect("observes"), BarrierState::Open);
        Remount.close(&call, &io).expect("closes");
        Remount.close(&call, &io).expect("closes again");
        let refused = std::fs::File::create_new(disk.0.path().join("x")).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ReadOnlyFilesystem);
        assert!(matches!(Remount.observe(&call, &io), Ok(BarrierState::Closed(_))));
        Remount.open(&call, &io).expect("opens");
        assert_eq!(mount_of(&call).expect("mount").flags() & MountFlags::NOSUID, MountFlags::NOSUID);
        std::fs::File::create_new(disk.0.path().join("x")).expect("writable again");
    }

    #[test]
    fn a_file_open_for_writing_is_not_drained() {
        let disk = Tmpfs::new();
        let open = std::fs::File::create_new(disk.0.path().join("open")).expect("create");
        let error = Remount.close(&call(disk.0.path()), &Io::default()).unwrap_err();
        assert!(error.to_string().contains("open for writing"), "{error}");
        drop(open);
        Remount.close(&call(disk.0.path()), &Io::default()).expect("closes once it is closed");
    }

    #[test]
    fn a_directory_of_a_larger_file_system_is_refused() {
        let dir = tempfile::tempdir().expect("tempdir");
        let findings = Remount.check(&call(dir.path()));
        assert!(
            findings.iter().any(|f| f.summary.contains("is not the root of a file system")),
            "{findings:?}"
        );
    }
}
