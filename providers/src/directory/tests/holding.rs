//! Who holds a tree open, with real processes.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use segue_contract::{Endpoint, Holder};

use super::{Mounted, is_root, mkdir, scratch, source, touch};
use crate::directory::Directory;
use crate::testing::Io;

/// A process that waits, until it is dropped.
struct Held(Child);

impl Held {
    /// Runs a script with `$1` set, until it says that it is ready; then it waits for its input to end.
    fn script(program: &[&str], script: &str, at: &Path) -> Self {
        let script = format!("{script}; echo ready; read wait");
        let mut words: Vec<&str> = program.to_vec();
        words.extend(["sh", "-c", &script, "sh", at.to_str().unwrap()]);
        let mut child = Command::new(words[0])
            .args(&words[1..])
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        Self(child)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// What the process holds, in order.
fn held(at: &Path, by: &Held) -> Vec<String> {
    let found = Directory.in_use(&source(at), &Io::default()).unwrap();
    let ours = |h: &Holder| h.pid == by.0.id();
    let mut what: Vec<String> = found.holders.into_iter().filter(ours).map(|h| h.what).collect();
    what.sort();
    what
}

fn nobody(at: &Path) -> bool {
    Directory.in_use(&source(at), &Io::default()).unwrap().holders.is_empty()
}

#[test]
fn descriptors_are_found_and_say_whether_they_write() {
    let (_keep, dir) = scratch();
    let tree = mkdir(&dir.join("tree")).to_owned();
    touch(&tree.join("f"));
    // A neighbour whose name begins alike is not below the tree.
    touch(&dir.join("tree2"));
    let by = Held::script(&[], "exec 7>>\"$1/f\" 8<\"$1/f\" 9>>\"${1}2\"", &tree);
    let f = tree.join("f");
    let f = f.display();
    assert_eq!(
        held(&tree, &by),
        [format!("descriptor 7 (writable) {f}"), format!("descriptor 8 (read-only) {f}")]
    );
    std::fs::remove_file(tree.join("f")).unwrap();
    assert_eq!(held(&tree, &by).len(), 2, "a deleted file that is still open");
    let all = Directory.in_use(&source(&tree), &Io::default()).unwrap();
    assert!(all.holders[0].command.starts_with("sh -c exec 7"), "{:?}", all.holders);
    drop(by);
    assert!(nobody(&tree));
}

#[test]
fn a_working_directory_is_found_by_any_name_of_the_tree() {
    let (_keep, dir) = scratch();
    let tree = mkdir(&dir.join("tree")).to_owned();
    mkdir(&tree.join("sub"));
    let by = Held::script(&[], "cd \"$1/sub\"", &tree);
    let sub = format!("working directory {}", tree.join("sub").display());
    assert_eq!(held(&tree, &by), std::slice::from_ref(&sub));
    std::os::unix::fs::symlink(&tree, dir.join("link")).unwrap();
    assert_eq!(held(&dir.join("link"), &by), [sub]);
    assert!(nobody(mkdir(&dir.join("other"))));
}

#[test]
fn a_mapping_is_found_without_a_descriptor() {
    let (_keep, dir) = scratch();
    let program = dir.join("program");
    std::fs::copy("/bin/sleep", &program).unwrap();
    // Another thread's fork may hold the copy open for writing for a moment.
    let child = loop {
        match Command::new(&program).arg("600").current_dir("/").spawn() {
            Ok(child) => break child,
            Err(e) => assert_eq!(e.kind(), std::io::ErrorKind::ExecutableFileBusy),
        }
    };
    let by = Held(child);
    assert_eq!(held(&dir, &by), [format!("mapping {}", program.display())]);
}

#[test]
fn bind_mounts_and_other_mount_namespaces_do_not_hide_a_holder() {
    if !is_root() {
        return;
    }
    let (_keep, dir) = scratch();
    let tree = mkdir(&dir.join("tree")).to_owned();
    mkdir(&tree.join("sub"));
    let other = mkdir(&dir.join("other")).to_owned();
    let outside = Held::script(
        &["unshare", "-m"],
        "mount --bind \"$1/sub\" \"$1/../other\" && exec 7>\"$1/../other/f\"",
        &tree,
    );
    let what = format!("descriptor 7 (writable) {}", other.join("f").display());
    assert_eq!(held(&tree, &outside), [what]);
    assert!(held(&other, &outside).iter().all(|w| w.contains("/other/f")));
    let _mount = Mounted::bind(&tree, &other);
    let bound = Held::script(&[], "cd \"$1\"", &other);
    assert_eq!(held(&tree, &bound), [format!("working directory {}", other.display())]);
}

#[test]
fn processes_that_may_not_be_looked_at_are_told() {
    if !is_root() {
        return;
    }
    let (_keep, dir) = scratch();
    let seen_all = Directory.in_use(&source(&dir), &Io::default()).unwrap().incomplete;
    assert!(seen_all.is_none_or(|why| !why.contains("run as root")));
    std::fs::set_permissions(&dir, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let user = std::thread::spawn(move || {
        let nobody = rustix::process::Uid::from_raw(65534);
        rustix::thread::set_thread_res_uid(nobody, nobody, nobody).unwrap();
        let seen = Directory.in_use(&source(&dir), &Io::default()).unwrap();
        assert!(seen.incomplete.unwrap().contains("run as root"));
    });
    user.join().unwrap();
}
