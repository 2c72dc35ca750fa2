//! `segue init`

use std::fs::OpenOptions;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use segue_contract::BlockKind;
use segue_contract::paths::{self, PathError};
use segue_language::nearest;

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::starter;

/// The name of the file that is written.
const FILE: &str = "main.segue.hcl";

/// Write a commented starter spec for a pair of systems
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue init directory directory")]
pub(crate) struct Init {
    /// The type of the source
    source: String,
    /// The type of the target
    target: String,
}

impl Init {
    /// Writes it; a file that is there is never overwritten.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self { source, target } = self;
        let registry = &invocation.registry;
        known(registry, BlockKind::Source, source)?;
        known(registry, BlockKind::Target, target)?;
        let text = starter::text(registry, source, target);
        let dir = invocation.global.directory.clone().unwrap_or_else(|| PathBuf::from("."));
        let path = invocation.global.spec.clone().unwrap_or_else(|| dir.join(FILE));
        let mut file =
            paths::open_with(&path, OpenOptions::new().write(true).create_new(true)).map_err(|error| {
                if error.source.kind() == std::io::ErrorKind::AlreadyExists {
                    Failure::new(format!("{} is there already, and is not overwritten", path.display()))
                        .remedy("remove it first, or write another file with --spec")
                } else {
                    error.into()
                }
            })?;
        file.write_all(text.as_bytes()).map_err(|e| PathError::new("write", &path, e))?;
        let printer = &invocation.printer;
        printer.data(&format!("{}\n", path.display()))?;
        printer.say(&format!(
            "Fill in what it asks for, then `{} validate` and `{} plan`.",
            invocation.name, invocation.name
        ));
        Ok(Exit::Done)
    }
}

fn known(registry: &segue_contract::Registry, kind: BlockKind, name: &str) -> Result<(), Failure> {
    if registry.find_schema(kind, name).is_some() {
        return Ok(());
    }
    let names: Vec<&str> =
        registry.schemas().iter().filter(|s| s.kind == kind).map(|s| s.name.as_str()).collect();
    let failure = Failure::new(format!("there is no {} of type {name:?}", kind.as_str())).exit(Exit::Usage);
    Err(match nearest(name, &names) {
        Some(near) => failure.remedy(format!("did you mean `{near}`?")),
        None => failure.remedy(format!("there are: {}", names.join(", "))),
    })
}
