//! Mounts, as proc_pid_mountinfo(5) tells them: on which file system a path lies, and by which other
//! paths the same files are reached. Bind mounts and other mount namespaces hide both from path names.

use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};

/// One mount of a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    /// `major:minor` of the file system.
    pub(super) device: String,
    /// The directory of that file system that is mounted.
    pub(super) inner: PathBuf,
    /// Where.
    pub(super) point: PathBuf,
    /// `ext4`, `tmpfs`, ...
    pub(super) kind: String,
    /// The options of the file system itself: `rw,hidepid=invisible`.
    pub(super) options: String,
}

/// A place on a file system, whatever it is mounted as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    device: String,
    inner: PathBuf,
}

impl Location {
    /// Whether one lies inside the other, or both are one.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        self.device == other.device
            && (self.inner.starts_with(&other.inner) || other.inner.starts_with(&self.inner))
    }
}

/// The mounts of a process's namespace: `/proc/self/mountinfo` or `/proc/PID/mountinfo`.
pub(super) fn read(mountinfo: &Path) -> Result<Vec<Mount>, PathError> {
    let text = paths::read(mountinfo)?;
    Ok(text.split(|&b| b == b'\n').filter_map(parse).collect())
}

fn parse(line: &[u8]) -> Option<Mount> {
    let mut words = line.split(|&b| b == b' ').skip(2);
    let text = |word: &[u8]| String::from_utf8_lossy(word).into_owned();
    let device = text(words.next()?);
    let inner = unescape(words.next()?);
    let point = unescape(words.next()?);
    words.by_ref().find(|word| *word == b"-")?;
    let kind = text(words.next()?);
    words.next()?;
    let options = text(words.next().unwrap_or_default());
    Some(Mount { device, inner, point, kind, options })
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
pub(super) fn mount_of<'m>(mounts: &'m [Mount], path: &Path) -> Option<&'m Mount> {
    // `max_by_key` returns the last of equals: the mount that covers the others at that point.
    mounts.iter().filter(|m| path.starts_with(&m.point)).max_by_key(|m| m.point.as_os_str().len())
}

/// Where a resolved path lies.
pub(super) fn location(mounts: &[Mount], path: &Path) -> Option<Location> {
    let mount = mount_of(mounts, path)?;
    let below = path.strip_prefix(&mount.point).ok()?;
    Some(Location { device: mount.device.clone(), inner: joined(&mount.inner, below) })
}

/// Where the mounts below a path come from.
pub(super) fn mounted_below(mounts: &[Mount], path: &Path) -> Vec<(PathBuf, Location)> {
    let below = mounts.iter().filter(|m| m.point != path && m.point.starts_with(path));
    below
        .map(|m| {
            let location = Location { device: m.device.clone(), inner: m.inner.clone() };
            (m.point.clone(), location)
        })
        .collect()
}

/// Every path by which what lies at a location (or a part of it) is reached in a namespace.
pub(super) fn names_of(mounts: &[Mount], location: &Location) -> Vec<PathBuf> {
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
