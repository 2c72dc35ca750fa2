//! The tool with the `memory` provider and a journal that kills the process at the event that
//! `SEGUE_LAB_KILL` names (`before:17`, `after:17`).

use std::process::ExitCode;

use segue::Setup;
use segue_tests::lab::{KillTap, registry};

fn main() -> ExitCode {
    segue::main_with(Setup {
        registry: registry(),
        tap: Box::new(KillTap::from_environment()),
        name: "segue-lab",
        watchdog: false,
    })
}
