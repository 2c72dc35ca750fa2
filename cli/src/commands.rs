//! The commands: one file each, with its help, its arguments and what it does.

mod abort;
mod accepting;
mod adopt;
mod apply;
mod approve;
mod cleanup;
mod completions;
mod drift;
mod fmt;
mod graph;
mod history;
mod init;
mod metrics;
mod pause;
mod plan;
mod rehearse;
mod report;
mod resume;
mod show;
mod state;
mod status;
mod switch_back;
mod throttle;
mod unhold;
mod validate;
mod verify;
mod version;
mod watch;
mod watchdog;

use clap::Subcommand;

pub(crate) use throttle::rate;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// The commands, in the order in which they are met.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Init(init::Init),
    Validate(validate::Validate),
    Fmt(fmt::Fmt),
    Plan(plan::PlanCommand),
    Rehearse(rehearse::Rehearse),
    Apply(apply::Apply),
    Status(status::Status),
    Watch(watch::Watch),
    Pause(pause::Pause),
    Resume(resume::Resume),
    Throttle(throttle::Throttle),
    Approve(approve::Approve),
    Abort(abort::Abort),
    SwitchBack(switch_back::SwitchBack),
    Unhold(unhold::Unhold),
    Adopt(adopt::Adopt),
    Cleanup(cleanup::Cleanup),
    Verify(verify::Verify),
    Drift(drift::DriftCommand),
    Show(show::Show),
    Graph(graph::Graph),
    #[command(subcommand)]
    State(state::StateCommand),
    History(history::History),
    Report(report::Report),
    Metrics(metrics::Metrics),
    Completions(completions::Completions),
    Version(version::Version),
    #[command(hide = true)]
    Watchdog(watchdog::Watchdog),
}

/// Runs one.
pub(crate) fn run(command: &Command, invocation: &Invocation) -> Result<Exit, Failure> {
    match command {
        Command::Init(command) => command.run(invocation),
        Command::Validate(command) => command.run(invocation),
        Command::Fmt(command) => command.run(invocation),
        Command::Plan(command) => command.run(invocation),
        Command::Rehearse(command) => command.run(invocation),
        Command::Apply(command) => command.run(invocation),
        Command::Status(command) => command.run(invocation),
        Command::Approve(command) => command.run(invocation),
        Command::Abort(command) => command.run(invocation),
        Command::SwitchBack(command) => command.run(invocation),
        Command::Unhold(command) => command.run(invocation),
        Command::Adopt(command) => command.run(invocation),
        Command::Cleanup(command) => command.run(invocation),
        Command::Verify(command) => command.run(invocation),
        Command::Drift(command) => command.run(invocation),
        Command::Show(command) => command.run(invocation),
        Command::Graph(command) => command.run(invocation),
        Command::State(command) => command.run(invocation),
        Command::History(command) => command.run(invocation),
        Command::Completions(command) => command.run(invocation),
        Command::Watch(command) => command.run(invocation),
        Command::Pause(command) => command.run(invocation),
        Command::Resume(command) => command.run(invocation),
        Command::Throttle(command) => command.run(invocation),
        Command::Report(command) => command.run(invocation),
        Command::Metrics(command) => command.run(invocation),
        Command::Version(command) => command.run(invocation),
        Command::Watchdog(command) => command.run(invocation),
    }
}
