//! The tool with the released providers and a journal that kills the process at an event of a kind, which `SEGUE_MORTAL`
//! names: `before:phase_reached COMMITTED:1`, `after:unit_carried:2`. For deaths on real servers at chosen events; the released
//! binary has no such hook.

use std::process::ExitCode;

use segue::Setup;
use segue_tests::lab::KindTap;

fn main() -> ExitCode {
    segue::main_with(Setup {
        registry: segue_providers::registry(),
        tap: Box::new(KindTap::from_environment()),
        name: "segue-mortal",
        watchdog: false,
    })
}
