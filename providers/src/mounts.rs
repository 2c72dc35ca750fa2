//! Mounts, as proc_pid_mountinfo(5) tells them: on which file system a path lies, and by which other
//! paths the same files are reached. The only reader of that table. Bind mounts and other mount namespaces hide both from path names.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use segue_contract::SystemPath;
use segue_contract::paths::{self, PathError};

/// One mount of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mount {
    /// `major:minor` of the file system.
    pub(crate) device: String,
    /// The directory of that file system that is mounted.
    pub(crate) inner: PathBuf,
    /// Where.
    pub(crate) point: PathBuf,
    /// `ext4`, `tmpfs`, ...
    pub(crate) kind: String,
    /// The options of this mount: `rw,noatime`.
    pub(crate) mount_options: String,
    /// The options of the file system itself: `rw,hidepid=invisible`.
    pub(crate) options: String,
}

impl Mount {
    /// Whether it, or its file system, has an option.
    pub(crate) fn has(&self, option: &str) -> bool {
        self.mount_options.split(',').chain(self.options.split(',')).any(|has| has == option)
    }

    /// Whether the file system as a whole is mounted read-only, whatever this mount of it says.
    pub(crate) fn is_read_only_as_a_whole(&self) -> bool {
        self.options.split(',').any(|has| has == "ro")
    }
}

/// A place on a file system, whatever it is mounted as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Location {
    device: String,
    inner: PathBuf,
}

impl Location {
    /// As it is compared with places of other blocks.
    pub(crate) fn system_path(&self) -> SystemPath {
        SystemPath::file(&format!("file system {}", self.device), &self.inner)
    }

    /// Whether one lies inside the other, or both are one.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.device == other.device
            && (self.inner.starts_with(&other.inner) || other.inner.starts_with(&self.inner))
    }
}

/// The mounts of this process's namespace.
pub(crate) fn own() -> Result<Vec<Mount>, PathError> {
    read(Path::new("/proc/self/mountinfo"))
}

/// The mounts of a process's namespace, from `/proc/PID/mountinfo`.
pub(crate) fn read(mountinfo: &Path) -> Result<Vec<Mount>, PathError> {
    let text = paths::read(mountinfo)?;
    Ok(text.split(|&b| b == b'\n').filter_map(parse).collect())
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&b| b == b' ').skip(2);
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let device = text(words.next()?);
    let inner = unescape(words.next()?);
    let point = unescape(words.next()?);
    let mount_options = text(words.next()?);
    words.by_ref().find(|word| *word == b"-")?;
    let kind = text(words.next()?);
    words.next()?;
    let options = text(words.next().unwrap_or_default());
    Some(Mount { device, inner, point, kind, mount_options, options })
}

/// Space, tab, newline and backslash are written as three octal digits after a backslash.
fn unescape(word: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(word.len());
    let mut at = 0;
    while let Some(&byte) = word.get(at) {
        let code = word.get(at + 1..at + 4).filter(|_| byte == b'\\');
        let code = code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(byte));
        at += if code.is_some() { 4 } else { 1 };
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

/// The mount that a resolved path lies on.
pub(crate) fn mount_of<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    // `max_by_key` returns the last of equals: the mount that covers the others at that point.
    mounts.iter().filter(|m| path.starts_with(&m.point)).max_by_key(|m| m.point.as_os_str().len())
}

/// Where a resolved path lies.
pub(crate) fn location(mounts: &[Mount], path: &Path) -> Option<Location> {
    let mount = mount_of(mounts, path)?;
    let below = path.strip_prefix(&mount.point).ok()?;
    Some(Location { device: mount.device.clone(), inner: joined(&mount.inner, below) })
}

/// Where the mounts below a path come from.
pub(crate) fn mounted_below(mounts: &[Mount], path: &Path) -> Vec<(PathBuf, Location)> {
    let below = mounts.iter().filter(|m| m.point != path && m.point.starts_with(path));
    below
        .map(|m| {
            let location = Location { device: m.device.clone(), inner: m.inner.clone() };
            (m.point.clone(), location)
        })
        .collect()
}

/// Every path by which what lies at a location (or a part of it) is reached in a namespace.
pub(crate) fn names_of(mounts: &[Mount], location: &Location) -> Vec<PathBuf> {
    let same = mounts.iter().filter(|m| m.device == location.device);
    let mut names: Vec<PathBuf> = same
        .filter_map(|m| match location.inner.strip_prefix(&m.inner) {
            Ok(below) => Some(joined(&m.point, below)),
            Err(_) => m.inner.starts_with(&location.inner).then(|| m.point.clone()),
        })
        .collect();
    names.sort();
    names.dedup();
    names
}

/// `join` without the slash that it leaves for an empty rest.
fn joined(path: &Path, below: &Path) -> PathBuf {
    if below.as_os_str().as_bytes().is_empty() { path.to_path_buf() } else { path.join(below) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_read_with_its_escapes_and_both_kinds_of_options() {
        let line =
            br"36 35 98:0 /mnt1 /mnt/my\040disk rw,noatime master:1 - ext3 /dev/root ro,errors=continue";
        let mount = parse(line).unwrap();
        assert_eq!(
            (mount.point.as_path(), mount.inner.as_path()),
            (Path::new("/mnt/my disk"), Path::new("/mnt1"))
        );
        assert!(mount.has("noatime") && mount.has("errors=continue") && !mount.has("nodev"));
        assert!(mount.is_read_only_as_a_whole());
    }

    #[test]
    fn a_bind_mount_is_another_name_of_the_same_location() {
        let lines: [&[u8]; 3] = [
            b"1 0 8:1 / / rw - ext4 /dev/sda rw",
            b"2 1 8:1 /srv/a\\040b /mnt/x rw shared:3 master:1 - ext4 /dev/sda rw",
            b"3 1 0:9 / /srv/tmp rw - tmpfs none rw",
        ];
        let mounts: Vec<Mount> = lines.iter().filter_map(|l| parse(l)).collect();
        assert_eq!(mounts.len(), 3);
        let plain = location(&mounts, Path::new("/srv/a b/c")).unwrap();
        assert_eq!(location(&mounts, Path::new("/mnt/x/c")).unwrap(), plain);
        assert_eq!(names_of(&mounts, &plain), [PathBuf::from("/mnt/x/c"), PathBuf::from("/srv/a b/c")]);
        let srv = location(&mounts, Path::new("/srv")).unwrap();
        assert!(srv.overlaps(&plain));
        assert_eq!(names_of(&mounts, &srv), [PathBuf::from("/mnt/x"), PathBuf::from("/srv")]);
        assert!(!location(&mounts, Path::new("/srv/tmp")).unwrap().overlaps(&srv));
    }
}
