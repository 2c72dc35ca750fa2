//! Small file systems of a test's own: a tmpfs of a size, or an image in a file. Unmounted when dropped.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// A mounted file system.
pub struct Mount {
    /// Also for what lies beside a mount point.
    _dir: TempDir,
    at: PathBuf,
    /// The words with which `mount` mounts it again.
    words: Vec<String>,
    /// The image that it is in, where that is the test's own too.
    _image: Option<TempDir>,
}

impl Mount {
    /// A tmpfs of a size in bytes. Needs root.
    pub fn tmpfs(bytes: u64) -> Self {
        let mount = Self::prepared();
        let options = format!("size={bytes},mode=0755");
        run("mount", &["-t", "tmpfs", "-o", &options, "tmpfs", &text(mount.path())]);
        mount
    }

    /// A ramfs, which keeps neither extended attributes nor ACLs. Needs root.
    pub fn ramfs() -> Self {
        let mount = Self::prepared();
        run("mount", &["-t", "ramfs", "-o", "mode=0755", "ramfs", &text(mount.path())]);
        mount
    }

    /// A file system that `mkfs` (with its arguments) makes in an image of so many MiB, with these words for `mount`
    /// before the image: `&["-o", "loop,ro"]`. Needs root and a loop device.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its directory")]
    pub fn made(mib: u32, mkfs: &[&str], mount: &[&str]) -> Self {
        let place = tempfile::Builder::new().prefix("segue-image-").tempdir().expect("a place for the image");
        let image = text(&place.path().join("image"));
        run("truncate", &["-s", &format!("{mib}M"), &image]);
        let (program, words) = mkfs.split_first().expect("a mkfs");
        run(program, &[words, &[&image]].concat());
        let mut made = Self::prepared();
        let at = text(made.path());
        let words = [mount, &[&image, &at]].concat();
        made.words = words.iter().map(|word| (*word).to_owned()).collect();
        made.mount();
        made._image = Some(place);
        made
    }

    /// A file system in an image file. Needs root and a loop device.
    pub fn image(image: &Path) -> Self {
        let mount = Self::prepared();
        run("mount", &["-o", "loop", &text(image), &text(mount.path())]);
        mount
    }

    #[expect(clippy::expect_used, reason = "a test cannot go on without its directory")]
    fn prepared() -> Self {
        crate::timing::watch();
        let dir = tempfile::Builder::new().prefix("segue-mount-").tempdir().expect("a mount point");
        let at = dir.path().join("disk");
        std::fs::create_dir(&at).expect("a mount point");
        Self { _dir: dir, at, words: Vec::new(), _image: None }
    }

    /// Unmounts it; lazily, what is open in it stays open.
    pub fn unmount(&self, lazily: bool) {
        let at = text(self.path());
        let words: &[&str] = if lazily { &["-l", &at] } else { &[&at] };
        run("umount", words);
    }

    /// Mounts one that was made in an image again.
    pub fn mount(&self) {
        run("mount", &self.words.iter().map(String::as_str).collect::<Vec<_>>());
    }

    /// The same with other options.
    pub fn mount_with(&self, options: &str) {
        let words = self.words.iter().map(String::as_str);
        run("mount", &words.chain(["-o", options]).collect::<Vec<_>>());
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        &self.at
    }

    /// A path in it.
    pub fn at(&self, name: &str) -> PathBuf {
        self.at.join(name)
    }

    /// Gives a tmpfs another size, in bytes.
    pub fn grow(&self, bytes: u64) {
        let options = format!("remount,size={bytes}");
        run("mount", &["-o", &options, &text(self.path())]);
    }

    /// Writes a file `ballast` until no byte is free.
    pub fn fill(&self) {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(self.at("ballast"));
        let Ok(mut file) = file else { return };
        for size in [65_536, 4096, 1] {
            let block = vec![7_u8; size];
            while std::io::Write::write_all(&mut file, &block).is_ok() {}
        }
    }

    /// Removes what `fill` wrote.
    pub fn free(&self) {
        let _ = std::fs::remove_file(self.at("ballast"));
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).status();
    }
}

/// A directory that is shown at a second place. Unmounted when dropped.
pub struct Bound {
    at: PathBuf,
}

impl Bound {
    /// Shows `what` at `at`, a directory that is there.
    pub fn new(what: &Path, at: &Path) -> Self {
        run("mount", &["--bind", &text(what), &text(at)]);
        Self { at: at.to_owned() }
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// Runs a tool that the test cannot go on without.
///
/// # Panics
/// It fails.
#[track_caller]
#[expect(clippy::expect_used, reason = "a test cannot go on without its tools")]
pub fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().expect("the tool starts");
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}
