//! Who holds a tree open: the drain barrier of stopped writers (protocol P3). Looks at every process in
//! /proc for descriptors, mappings and directories below the tree (proc(5)).

use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};
use segue_contract::{Holder, InUse};

/// The inode number of the initial pid namespace (include/linux/proc_ns.h).
const INITIAL_PID_NAMESPACE: &str = "pid:[4026531836]";
/// Holders that are listed; one is enough to be not drained.
const HOLDERS_MAX: usize = 100;
/// How much of a command line is shown, in characters.
const COMMAND_CHARS: usize = 120;

/// Everybody but this process who holds something below `root` (a real path).
pub(super) fn holders(root: &Path) -> Result<InUse, PathError> {
    let mut found = InUse::default();
    let mut hidden = 0;
    let own = rustix::process::getpid().as_raw_nonzero().get();
    let listed = std::fs::read_dir("/proc").map_err(|e| PathError::new("list", "/proc", e))?;
    for entry in listed.flatten() {
        let Some(pid) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<i32>().ok())
        else {
            continue;
        };
        if pid == own {
            continue;
        }
        match held_by(&entry.path(), root) {
            Ok(held) => {
                let pid = u32::try_from(pid).unwrap_or_default();
                let command = if held.is_empty() {
                    String::new()
                } else {
                    command_of(&entry.path())
                };
                found.holders.extend(held.into_iter().map(|what| Holder {
                    pid,
                    command: command.clone(),
                    what,
                }));
            }
            // It ended meanwhile.
            Err(error) if gone(&error) => {}
            Err(_) => hidden += 1,
        }
        if found.holders.len() >= HOLDERS_MAX {
            found.holders.truncate(HOLDERS_MAX);
            break;
        }
    }
    found.incomplete = incomplete(hidden);
    Ok(found)
}

fn gone(error: &std::io::Error) -> bool {
    error.kind() == std::io::ErrorKind::NotFound
        || error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn incomplete(hidden: usize) -> Option<String> {
    if hidden > 0 {
        return Some(format!(
            "{hidden} processes of other users cannot be looked at; run as root to see them"
        ));
    }
    match std::fs::read_link("/proc/self/ns/pid") {
        Ok(namespace) if namespace == Path::new(INITIAL_PID_NAMESPACE) => None,
        _ => Some("this is a container: processes outside it cannot be seen".to_owned()),
    }
}

fn held_by(process: &Path, root: &Path) -> std::io::Result<Vec<String>> {
    let mut held = Vec::new();
    for (name, what) in [("cwd", "working directory"), ("root", "root directory")] {
        match std::fs::read_link(process.join(name)) {
            Ok(path) if below(&path, root) => held.push(format!("{what} {}", path.display())),
            Ok(_) => {}
            Err(error) if gone(&error) => {}
            Err(error) => return Err(error),
        }
    }
    for entry in std::fs::read_dir(process.join("fd"))? {
        let entry = entry?;
        match std::fs::read_link(entry.path()) {
            Ok(path) if below(&path, root) => {
                let number = entry.file_name().to_string_lossy().into_owned();
                let how = if writable(process, &number) {
                    "writable"
                } else {
                    "read-only"
                };
                held.push(format!("descriptor {number} ({how}) {}", path.display()));
            }
            // Closed meanwhile.
            Ok(_) | Err(_) => {}
        }
    }
    held.extend(mappings(process, root));
    Ok(held)
}

/// A deleted file's link ends with ` (deleted)`: it is below the tree all the same.
fn below(path: &Path, root: &Path) -> bool {
    path.starts_with(root)
}

/// The access mode is in the last octal digits of `flags`.
fn writable(process: &Path, number: &str) -> bool {
    let text = paths::read_to_string(&process.join("fdinfo").join(number)).unwrap_or_default();
    let flags = text.lines().find_map(|l| l.strip_prefix("flags:")).map(str::trim);
    flags
        .and_then(|f| u32::from_str_radix(f, 8).ok())
        .is_some_and(|f| f & 0o3 != 0)
}

/// The sixth field of a line of `maps` is the path, and the rest of the line.
fn mappings(process: &Path, root: &Path) -> Vec<String> {
    let text = paths::read(&process.join("maps")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let mut found: Vec<String> = text
        .lines()
        .filter_map(|line| line.find('/').map(|at| PathBuf::from(&line[at..])))
        .filter(|path| below(path, root))
        .map(|path| format!("mapping {}", path.display()))
        .collect();
    found.dedup();
    found
}

fn command_of(process: &Path) -> String {
    let text = paths::read(&process.join("cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&text).replace('\0', " ");
    let text = text.trim();
    if text.is_empty() {
        return paths::read_to_string(&process.join("comm"))
            .unwrap_or_default()
            .trim()
            .to_owned();
    }
    text.chars().take(COMMAND_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command, Stdio};

    use super::*;

    /// Starts a shell that says when it is ready and then waits for its input to end.
    fn shell(script: &str, dir: &Path) -> Child {
        let mut child = Command::new("sh")
            .args(["-c", &format!("{script}; echo ready; read x")])
            .current_dir(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("sh starts");
        let mut byte = [0];
        std::io::Read::read_exact(child.stdout.as_mut().expect("piped"), &mut byte).expect("ready");
        child
    }

    fn end(mut child: Child) {
        drop(child.stdin.take());
        child.wait().expect("ends");
    }

    #[test]
    fn an_open_file_and_a_working_directory_are_found_and_named() {
        let dir = tempfile::tempdir().expect("tempdir");
        let root = std::fs::canonicalize(dir.path()).expect("real");
        assert_eq!(holders(&root).expect("looks").holders, []);
        let writer = shell(
            &format!("exec 5>{}/open; rm {}/open", root.display(), root.display()),
            Path::new("/"),
        );
        let found = holders(&root).expect("looks").holders;
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].pid, writer.id());
        assert!(found[0].what.starts_with("descriptor 5 (writable)"), "{found:?}");
        assert!(found[0].command.starts_with("sh -c"), "{found:?}");
        end(writer);
        let sitter = shell("true", &root);
        let found = holders(&root).expect("looks").holders;
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.starts_with("working directory"), "{found:?}");
        end(sitter);
        assert_eq!(holders(&root).expect("looks").holders, []);
    }
}
