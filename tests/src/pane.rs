//! A terminal of its own for a program that needs one: a tmux server, driven by keys and read as a person would.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::running::wait_until;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A terminal. Its server, and everything in it, ends when it is dropped.
pub struct Pane {
    server: String,
}

impl Pane {
    /// Runs a shell command in a new terminal, in a directory.
    pub fn new(directory: &Path, shell: &str) -> Self {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let pane = Self { server: format!("segue-test-{}-{number}", std::process::id()) };
        let directory = directory.display().to_string();
        let size = ["-x", "110", "-y", "40"];
        let args = [&["new-session", "-d", "-s", "w", "-c", &directory][..], &size, &[shell]].concat();
        pane.tmux(&args);
        pane
    }

    /// Asks its server; what it answers.
    ///
    /// # Panics
    /// Without tmux.
    #[expect(clippy::expect_used, reason = "a test cannot go on without its terminal")]
    pub fn tmux(&self, args: &[&str]) -> String {
        let output = Command::new("tmux")
            .args(["-L", &self.server, "-f", "/dev/null"])
            .args(args)
            .env("LANG", "C.UTF-8")
            .output()
            .expect("tmux starts");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What is on the screen.
    pub fn shows(&self) -> String {
        self.tmux(&["capture-pane", "-p", "-t", "w"])
    }

    /// Waits until the screen is so.
    ///
    /// # Panics
    /// When it is not in a minute: with the screen.
    #[track_caller]
    pub fn until(&self, what: &str, holds: impl Fn(&str) -> bool) {
        let last = RefCell::new(String::new());
        let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_until(what, || {
                *last.borrow_mut() = self.shows();
                holds(&last.borrow())
            });
        }));
        assert!(seen.is_ok(), "{what}:\n{}", last.borrow());
    }

    /// Waits until the screen shows a text.
    ///
    /// # Panics
    /// When it does not in a minute.
    #[track_caller]
    pub fn until_it_shows(&self, text: &str) {
        self.until(text, |shown| shown.contains(text));
    }

    /// Types letters.
    pub fn keys(&self, text: &str) {
        self.tmux(&["send-keys", "-t", "w", "-l", text]);
    }

    /// Presses a key by its name.
    pub fn press(&self, key: &str) {
        self.tmux(&["send-keys", "-t", "w", key]);
    }

    /// Presses Enter.
    pub fn enter(&self) {
        self.press("Enter");
    }
}

impl Drop for Pane {
    fn drop(&mut self) {
        self.tmux(&["kill-server"]);
    }
}
