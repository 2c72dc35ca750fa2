//! `quiesce "systemd"` against a real systemd, booted for each test in namespaces of its own: as process 1 for
//! the system's scope, as a user's manager for the other. Needs root.

#![expect(clippy::expect_used, reason = "a test cannot go on without its systemd")]

mod booted;
mod lease;
mod stopping;
