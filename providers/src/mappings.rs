//! Files that processes have mapped shared and writable, as proc_pid_maps(5) tells them: a store through
//! such a mapping need not move any time of the file. Not seen: mappings shorter than two looks are apart,
//! processes that this user may not look at, processes outside of this process-id namespace, other machines.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};

/// A mapping that is shared and writable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Mapping {
    /// Major and minor number of the file system, which on btrfs and overlays is not what stat says.
    pub(crate) device: (u32, u32),
    /// The inode's number there.
    pub(crate) ino: u64,
    /// The file's name, as the kernel tells it to this process.
    pub(crate) path: PathBuf,
}

/// All of them, each once.
#[derive(Debug, Default)]
pub(crate) struct Mappings {
    pub(crate) list: BTreeSet<Mapping>,
    /// Processes that could not be looked at.
    pub(crate) refused: u64,
}

impl Mappings {
    /// Looks at every process.
    ///
    /// # Errors
    /// /proc cannot be listed.
    pub(crate) fn read() -> Result<Self, PathError> {
        let proc = Path::new("/proc");
        let failed = |e| PathError::new("list", proc, e);
        let mut all = Self::default();
        for entry in std::fs::read_dir(proc).map_err(failed)? {
            let name = entry.map_err(failed)?.file_name();
            if name.to_str().is_some_and(|name| name.parse::<u32>().is_ok()) {
                all.process(&proc.join(name));
            }
        }
        Ok(all)
    }

    fn process(&mut self, dir: &Path) {
        match paths::read(&dir.join("maps")) {
            // A kernel thread has none, nor has a first thread that ended: the others still share its memory.
            Ok(text) if text.is_empty() => self.threads(dir),
            Ok(text) => self.add(&text),
            // A process that ended meanwhile has mapped nothing.
            Err(e) => self.refused += u64::from(e.source.kind() == std::io::ErrorKind::PermissionDenied),
        }
    }

    fn threads(&mut self, dir: &Path) {
        for task in std::fs::read_dir(dir.join("task")).into_iter().flatten().flatten() {
            if let Ok(text) = paths::read(&task.path().join("maps"))
                && !text.is_empty()
            {
                return self.add(&text);
            }
        }
    }

    fn add(&mut self, text: &[u8]) {
        self.list.extend(text.split(|&b| b == b'\n').filter_map(parse));
    }
}

/// `address perms offset major:minor inode path`; `None`: no shared, writable mapping of a file.
fn parse(line: &[u8]) -> Option<Mapping> {
    let mut words = line.splitn(6, |&b| b == b' ');
    let perms = words.nth(1)?;
    if perms.get(1) != Some(&b'w') || perms.get(3) != Some(&b's') {
        return None;
    }
    let mut text = |at: usize| words.nth(at).and_then(|word| std::str::from_utf8(word).ok());
    let (major, minor) = text(1)?.split_once(':')?;
    let device = (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?);
    let ino = text(0)?.parse().ok().filter(|ino| *ino != 0)?;
    let path = words.next()?.trim_ascii_start();
    let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
    Some(Mapping { device, ino, path: PathBuf::from(OsString::from_vec(unescape(path))) })
}

/// A newline is written as `\012`; nothing else is escaped.
fn unescape(path: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((first, more)) = rest.split_first() {
        if let Some(after) = rest.strip_prefix(b"\\012") {
            bytes.push(b'\n');
            rest = after;
        } else {
            bytes.push(*first);
            rest = more;
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_shared_and_writable_mappings_of_files_count() {
        let line = b"7f0000000000-7f0000002000 rw-s 00000000 fd:1a 4711                       /srv/a b\\012c";
        let found = parse(line).expect("a mapping");
        assert_eq!((found.device, found.ino), ((0xfd, 0x1a), 4711));
        assert_eq!(found.path, Path::new("/srv/a b\nc"));
        let gone = parse(b"7f00-7f01 -w-s 00000000 00:2d 9 /srv/db (deleted)").expect("a mapping");
        assert_eq!(gone.path, Path::new("/srv/db"));
        for other in [
            &b"7f00-7f01 rw-p 00000000 fd:00 4711 /srv/db"[..],
            b"7f00-7f01 r--s 00000000 fd:00 4711 /srv/db",
            b"7f00-7f01 rw-p 00000000 00:00 0 [heap]",
            b"7f00-7f01 rw-s 00000000 00:00 0 ",
            b"",
        ] {
            assert_eq!(parse(other), None, "{}", String::from_utf8_lossy(other));
        }
    }
}
