//! `segue graph`

use clap::{Args, ValueEnum};
use segue_plan::graph;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::Workspace;

/// The languages of graphs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Language {
    /// Graphviz
    Dot,
    /// Mermaid, as GitHub and GitLab draw it
    Mermaid,
}

/// Draw the plan's steps and what they wait for
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue graph | dot -Tsvg > plan.svg")]
pub(crate) struct Graph {
    /// The language
    #[arg(long, value_enum, default_value = "dot")]
    format: Language,
}

impl Graph {
    /// Draws it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let planned = Workspace::read(invocation).plan(invocation, false)?;
        let text = match self.format {
            Language::Dot => graph::dot(&planned.plan.steps),
            Language::Mermaid => graph::mermaid(&planned.plan.steps),
        };
        invocation.printer.data(&text)?;
        Ok(Exit::Done)
    }
}
