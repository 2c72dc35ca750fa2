//! The command line as a library: arguments, a registry of providers and a journal's tap make a whole
//! `segue`. The released binary passes the real ones; the lab passes its memory world and a tap that kills.
//!
//! Arguments lead to one file in `commands/`; it asks the planner, and `render/` turns the answer into text.
//! What may be written where is [`printer`]'s; nothing else writes to the terminal.

mod arguments;
mod commands;
mod diagnostics;
mod exit;
mod failure;
mod invocation;
mod names;
mod printer;
mod progress;
mod render;
mod report;
#[cfg(test)]
mod sample;
mod screen;
mod starter;
mod waiting;
mod workspace;
mod writing;

use std::ffi::OsString;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{CommandFactory, FromArgMatches};
use segue_contract::Registry;
use segue_run::journal::Tap;
use segue_run::lease::Program;

use arguments::Arguments;
use exit::Exit;
use invocation::Invocation;
use printer::Printer;
use waiting::Telling;

/// What a binary brings.
pub struct Setup {
    /// The providers.
    pub registry: Registry,
    /// Watches the journal's durable writes.
    pub tap: Box<dyn Tap>,
    /// The binary's name, as help and completions say it.
    pub name: &'static str,
    /// Whether a process of this binary watches over each pause, and settles it when the one that pauses dies.
    pub watchdog: bool,
}

/// Runs one command of this process's command line; the exit codes are those of the design, section 3.
pub fn main_with(setup: Setup) -> ExitCode {
    main_from(setup, std::env::args_os())
}

fn main_from(setup: Setup, words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let command = Arguments::command().name(setup.name).bin_name(setup.name);
    let parsed =
        command.try_get_matches_from(words).and_then(|matches| Arguments::from_arg_matches(&matches));
    let arguments = match parsed {
        Ok(arguments) => arguments,
        Err(error) => return refuse(&error).code(),
    };
    let printer = Arc::new(Printer::new(&arguments.global));
    let Setup { registry, tap, name, watchdog } = setup;
    // The very file that runs, whatever lies under its name by then.
    let program = Program { program: "/proc/self/exe".into(), arguments: vec!["watchdog".into()] };
    let watchdog = watchdog.then_some(program);
    let early = arguments.command.early();
    let invocation = Invocation::new(arguments.global, printer, registry, tap, name, watchdog, early);
    let _telling = Telling::start(Arc::clone(&invocation.printer));
    let exit = match commands::run(&arguments.command, &invocation) {
        Ok(exit) => exit,
        Err(failure) => {
            failure.print(&invocation.printer);
            failure.exit
        }
    };
    exit.code()
}

/// Help and the version are data and a success; everything else that the parser says is a usage error.
fn refuse(error: &clap::Error) -> Exit {
    let text = error.render();
    if error.use_stderr() {
        let look = printer::look_of_stderr(false);
        let text = if look.colour { text.ansi().to_string() } else { text.to_string() };
        printer::say_raw(&text);
        Exit::Usage
    } else {
        let look = printer::look_of_stdout(false);
        let text = if look.colour { text.ansi().to_string() } else { text.to_string() };
        match printer::write_stdout(&text) {
            Ok(()) => Exit::Done,
            Err(_) => Exit::Error,
        }
    }
}
