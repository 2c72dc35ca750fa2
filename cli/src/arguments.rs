//! The arguments that every command takes, and the list of commands. What a command takes besides is in its
//! own file.

use std::path::PathBuf;

use clap::{Args, Parser};

use crate::commands::Command;

/// Moves live systems without stopping them.
///
/// A spec (*.segue.hcl) names a source, a target and a cutover. `segue plan` shows what would happen, in
/// order, and why; `segue apply` does it, survives being killed at any instant, and can go back.
#[derive(Debug, Parser)]
#[command(
    name = "segue",
    version,
    propagate_version = false,
    max_term_width = 100,
    after_help = "Begin with `segue init directory directory`, then `segue plan`.\n\
                  Exit codes: 0 done, 1 error, 2 changes and 4 drift (plan --detailed-exitcode), 3 at a gate or held,\n\
                  5 aborted, 6 locked by another, 7 went back, 8 verification mismatch, 64 usage, 130 interrupted."
)]
pub(crate) struct Arguments {
    /// What every command takes.
    #[command(flatten)]
    pub(crate) global: Global,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// Take the spec of this directory instead of the current one
    #[arg(short = 'C', value_name = "DIR", global = true)]
    pub(crate) directory: Option<PathBuf>,
    /// Take this one file as the spec
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) spec: Option<PathBuf>,
    /// Give a variable a value; may be repeated
    #[arg(long = "var", value_name = "NAME=VALUE", global = true, value_parser = name_and_value)]
    pub(crate) vars: Vec<(String, String)>,
    /// Read values of variables from this file; may be repeated
    #[arg(long = "var-file", value_name = "FILE", global = true)]
    pub(crate) var_files: Vec<PathBuf>,
    /// Write facts as JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Write without colours (so does NO_COLOR)
    #[arg(long, global = true)]
    pub(crate) no_color: bool,
    /// Say nothing on stderr but warnings and errors
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::Arguments;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_command_has_help_with_an_example() {
        for command in Arguments::command().get_subcommands() {
            let name = command.get_name();
            if name == "help" {
                continue;
            }
            assert!(command.get_about().is_some(), "{name} has no help");
            let example = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(example.contains(&format!("segue {name}")), "{name} has no example");
        }
    }

    #[test]
    fn options_of_every_command_may_stand_before_and_after_it() {
        for words in [["segue", "--var", "a=b=c", "plan"], ["segue", "plan", "--var", "a=b=c"]] {
            let arguments = Arguments::try_parse_from(words).unwrap();
            assert_eq!(arguments.global.vars, [("a".to_owned(), "b=c".to_owned())]);
        }
        assert!(Arguments::try_parse_from(["segue", "plan", "--var", "a"]).is_err());
    }
}
