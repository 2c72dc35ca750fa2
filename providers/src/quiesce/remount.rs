//! `quiesce "remount"`: the endpoint's file system, one of its own, is made read-only as a whole. While
//! anything is open for writing the kernel refuses, so success is the drain barrier.

use std::path::Path;

use rustix::mount::{MountFlags, mount_remount};
use segue_contract::{
    BarrierState, BlockKind, BlockSchema, Finding, Quiesce, QuiesceCall, QuiesceKind, Reopeners, Severity,
    StepError, StepIo, paths,
};

use crate::command::quoted;
use crate::mounts::{self, Mount};

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

/// The flags that a remount must repeat, or it would drop them.
fn flags(mount: &Mount) -> MountFlags {
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
    let has = table.iter().filter(|(name, _)| mount.has(name));
    has.fold(MountFlags::empty(), |flags, (_, flag)| flags | *flag)
}

fn mount_of(call: &QuiesceCall) -> Result<Mount, StepError> {
    let path = call.endpoint.path("path")?;
    let real = std::fs::canonicalize(path).map_err(|e| paths::PathError::new("find", path, e))?;
    // The last mount on a point covers those before it.
    let found = mounts::own()?.into_iter().rfind(|m| m.point == real);
    let mount = found.ok_or_else(|| {
        StepError::permanent(format!("{} is not the root of a file system of its own", real.display()))
            .remedy("use another quiesce, or put the tree on a file system of its own")
    })?;
    if mount.inner != Path::new("/") {
        return Err(StepError::permanent(format!(
            "{} is only the part {} of a file system",
            real.display(),
            mount.inner.display()
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
        if mount.is_read_only_as_a_whole() {
            return Ok(());
        }
        mount_remount(&mount.point, flags(&mount) | MountFlags::RDONLY, "").map_err(|e| {
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
        if !mount.is_read_only_as_a_whole() {
            return Ok(());
        }
        mount_remount(&mount.point, flags(&mount), "").map_err(|e| {
            StepError::transient(format!("cannot make {} writable again", mount.point.display()))
                .because(std::io::Error::from(e))
        })
    }

    fn observe(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<BarrierState, StepError> {
        let mount = mount_of(call)?;
        Ok(if mount.is_read_only_as_a_whole() {
            BarrierState::Closed(format!("{} is mounted read-only as a whole", mount.point.display()))
        } else {
            BarrierState::Open
        })
    }

    /// A device that is read-only itself, or a file system that the kernel has shut after an error, stays read-only.
    fn openable(&self, call: &QuiesceCall, _: &dyn StepIo) -> Result<Option<String>, StepError> {
        let mount = mount_of(call)?;
        if !mount.is_read_only_as_a_whole() {
            return Ok(Some(format!("{} is writable", mount.point.display())));
        }
        let device = format!("/sys/dev/block/{}/ro", mount.device);
        match paths::read_to_string(Path::new(&device)) {
            Ok(read_only) if read_only.trim() != "0" => Err(StepError::permanent(format!(
                "{} could not be made writable: its device {} is read-only",
                mount.point.display(),
                mount.device
            ))
            .remedy("`blockdev --setrw` the device, or see the kernel's log for why it is")),
            Ok(_) => Ok(Some(format!("the device of {} takes writes", mount.point.display()))),
            // A file system in memory has no device.
            Err(_) => Ok(None),
        }
    }

    /// The flag is not kept over a restart.
    fn reopeners(&self, _: &QuiesceCall) -> Reopeners {
        let machine =
            "when it is back, the file system is mounted as /etc/fstab says, writable unless that says ro";
        Reopeners { process: None, machine: Some(machine.to_owned()) }
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
        assert_eq!(flags(&mount_of(&call).expect("mount")) & MountFlags::NOSUID, MountFlags::NOSUID);
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
