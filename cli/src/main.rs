//! The released binary: the library with the released providers and a journal that nobody watches.

use std::process::ExitCode;

use segue::Setup;

fn main() -> ExitCode {
    segue::main_with(Setup {
        registry: segue_providers::registry(),
        tap: Box::new(segue_run::journal::NoTap),
        name: "segue",
        watchdog: true,
    })
}
