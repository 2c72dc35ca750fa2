//! Comparing two trees entry by entry, by other means than the engine's own.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A path at which two trees differ, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference(pub String);

#[derive(Debug, PartialEq, Eq)]
struct Entry {
    kind: u32,
    mode: u32,
    owner: (u32, u32),
    /// Size and whole time; not for directories, whose times change with Segue's own marker.
    size_and_time: Option<(u64, i64, i64)>,
    content: Vec<u8>,
    /// The first path with the same inode, for files with several names.
    linked_to: Option<Vec<u8>>,
}

/// How two trees differ, less names for which `skip` says so. Empty: they are equal in type, mode, owner,
/// size, time to the nanosecond, content, link text and hard links.
///
/// # Errors
/// A tree that cannot be read.
pub fn compare_trees(a: &Path, b: &Path, skip: impl Fn(&Path) -> bool) -> std::io::Result<Vec<Difference>> {
    let (left, right) = (read(a, &skip)?, read(b, &skip)?);
    let mut found = Vec::new();
    let name = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    for (path, entry) in &left {
        match right.get(path) {
            None => found.push(Difference(format!("{} is only in {}", name(path), a.display()))),
            Some(other) if other != entry => {
                let what = [
                    (entry.kind != other.kind, "type"),
                    (entry.mode != other.mode, "mode"),
                    (entry.owner != other.owner, "owner"),
                    (entry.size_and_time != other.size_and_time, "size or time"),
                    (entry.content != other.content, "content"),
                    (entry.linked_to != other.linked_to, "hard links"),
                ];
                let what: Vec<&str> =
                    what.iter().filter(|(differs, _)| *differs).map(|(_, what)| *what).collect();
                found.push(Difference(format!("{} differs in {}", name(path), what.join(", "))));
            }
            Some(_) => {}
        }
    }
    for path in right.keys().filter(|path| !left.contains_key(*path)) {
        found.push(Difference(format!("{} is only in {}", name(path), b.display())));
    }
    Ok(found)
}

fn read(root: &Path, skip: &impl Fn(&Path) -> bool) -> std::io::Result<BTreeMap<Vec<u8>, Entry>> {
    let mut entries = BTreeMap::new();
    let mut first_of: BTreeMap<(u64, u64), Vec<u8>> = BTreeMap::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        let mut listed: Vec<_> = std::fs::read_dir(&dir)?.collect::<Result<_, _>>()?;
        listed.sort_by_key(std::fs::DirEntry::file_name);
        for entry in listed {
            let path = entry.path();
            let below = path.strip_prefix(root).unwrap_or(&path).to_owned();
            if skip(&below) || below.as_os_str().as_bytes().starts_with(b".segue-") {
                continue;
            }
            let metadata = std::fs::symlink_metadata(&path)?;
            let kind = metadata.file_type();
            if kind.is_dir() {
                waiting.push(path.clone());
            }
            let content = if kind.is_file() {
                segue_contract::paths::read(&path).map_err(|e| e.source)?
            } else if kind.is_symlink() {
                std::fs::read_link(&path)?.into_os_string().as_bytes().to_vec()
            } else {
                metadata.rdev().to_be_bytes().to_vec()
            };
            let key = below.as_os_str().as_bytes().to_vec();
            let linked_to = (metadata.nlink() > 1 && !kind.is_dir()).then(|| {
                first_of.entry((metadata.dev(), metadata.ino())).or_insert_with(|| key.clone()).clone()
            });
            let size_and_time =
                (!kind.is_dir()).then(|| (metadata.size(), metadata.mtime(), metadata.mtime_nsec()));
            entries.insert(
                key,
                Entry {
                    kind: metadata.mode() & 0o170_000,
                    mode: metadata.mode() & 0o7777,
                    owner: (metadata.uid(), metadata.gid()),
                    size_and_time,
                    content,
                    linked_to,
                },
            );
        }
    }
    Ok(entries)
}
