//! Running a user's command: argv without a shell, in the spec's directory, with a time limit and a
//! bounded account of what it printed. What a dead run left running is ended before the next command.

mod orphans;
mod run;

pub(crate) use orphans::end_orphans;
pub(crate) use run::{Call, Ended, quoted, run, run_unless};

use segue_contract::{AttributeSchema, AttributeType};

/// How long a command may take when the spec says nothing, in milliseconds.
pub(crate) const TIMEOUT_DEFAULT_MS: u64 = 10_000;

/// The `timeout` attribute of every block that runs commands.
pub(crate) fn timeout_attribute() -> AttributeSchema {
    AttributeSchema::optional(
        "timeout",
        AttributeType::Duration,
        "How long each command may take; then its process group is killed. Default 10s.",
    )
    .default(serde_json::json!(TIMEOUT_DEFAULT_MS))
}

/// Whether a program can be started: a path from the base directory, or a name on PATH.
pub(crate) fn is_found(base_dir: &std::path::Path, program: &str) -> bool {
    use rustix::fs::{Access, access};
    let executable = |path: &std::path::Path| path.is_file() && access(path, Access::EXEC_OK).is_ok();
    if program.contains('/') {
        return executable(&base_dir.join(program));
    }
    std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| executable(&dir.join(program))))
}
