//! `segue state pull` and `segue state push`: the state as a file.

use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use segue_contract::{paths, segue};
use segue_plan::event::Event;
use segue_plan::state::{STATE_VERSION, State};
use serde::{Deserialize, Serialize};

use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::workspace::Workspace;
use crate::writing::writing;

const FORMAT: &str = "segue state";

/// A state as a file.
#[derive(Debug, Serialize, Deserialize)]
struct StateFile {
    /// `segue state`
    format: String,
    /// [`STATE_VERSION`] of the writer.
    version: u32,
    /// The state's id, for people.
    state_id: Option<String>,
    /// The journal's number of the last event in it; 0 when a running apply was asked.
    sequence: u64,
    /// Ledgers and scans that the state names, below `artifacts/` of the state directory.
    artifacts: Vec<String>,
    /// The state.
    state: State,
}

/// Print the state as JSON, with the names of its artifacts
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue state pull > state.json")]
pub(crate) struct Pull {}

impl Pull {
    /// Prints it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let Self {} = self;
        let workspace = Workspace::read(invocation);
        let snapshot = workspace.snapshot(invocation)?;
        for doubt in workspace.doubts(invocation, &snapshot) {
            invocation.printer.warn(&format!("this state is not to be believed: {doubt}"));
        }
        let mut named = snapshot.state.artifacts();
        named.extend(segue_providers::ledger::bases(&snapshot.artifacts, &named)?);
        let mut artifacts: Vec<String> = named.into_iter().map(|a| a.0).collect();
        artifacts.sort();
        artifacts.dedup();
        invocation.printer.json_data(&StateFile {
            format: FORMAT.to_owned(),
            version: STATE_VERSION,
            state_id: snapshot.state_id,
            sequence: snapshot.sequence,
            artifacts,
            state: snapshot.state,
        })?;
        Ok(Exit::Done)
    }
}

/// Replace the state by one that `pull` printed
///
/// What the directory lacks of its artifacts is scanned again. Recorded as an event: the history stays.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  segue state push state.json")]
pub(crate) struct Push {
    /// The file, or `-` for standard input
    file: PathBuf,
}

impl Push {
    /// Replaces it.
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<Exit, Failure> {
        let text = if self.file == Path::new("-") {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| Failure::new(format!("cannot read standard input: {e}")))?;
            text
        } else {
            paths::read_to_string(&self.file)?
        };
        let file = decode(&text).map_err(|why| {
            Failure::new(format!("{} {why}", self.file.display()))
                .remedy(format!("give a file that `{}` printed", segue(&["state", "pull"])))
        })?;
        let workspace = Workspace::read(invocation);
        writing(invocation, &workspace, "state push", false, |desk| {
            if let Some((cutover, known)) = file.state.in_flight().next() {
                return Err(Failure::new(format!(
                    "{cutover} is at {} in that state: a cutover in flight cannot be restored from a file",
                    known.phase
                ))
                .remedy("settle it where it runs, then pull again"));
            }
            for event in parts(&file.state) {
                desk.ground.record(event)?;
            }
            let missing =
                file.artifacts.iter().filter(|name| !desk.ground.artifacts.join(name).exists()).count();
            if missing > 0 {
                invocation
                    .printer
                    .warn(&format!("{missing} artifacts are not here: what they knew is scanned again"));
            }
            invocation.printer.say(&format!(
                "The state has {} migrations and {} cutovers now; `{}` shows what they need.",
                file.state.migrations.len(),
                file.state.cutovers.len(),
                segue(&["plan"])
            ));
            Ok(Exit::Done)
        })
    }
}

/// A state as events: one has a size limit, so each migration and each cutover has its own.
fn parts(state: &State) -> Vec<Event> {
    let mut parts = vec![State { open_steps: state.open_steps.clone(), ..State::default() }];
    for (id, resource) in &state.resources {
        let resources = [(id.clone(), resource.clone())].into();
        parts.push(State { resources, ..State::default() });
    }
    for (hash, approval) in &state.approvals {
        let approvals = [(hash.clone(), approval.clone())].into();
        parts.push(State { approvals, ..State::default() });
    }
    for (address, migration) in &state.migrations {
        let migrations = [(address.clone(), migration.clone())].into();
        parts.push(State { migrations, ..State::default() });
    }
    for (address, cutover) in &state.cutovers {
        let cutovers = [(address.clone(), cutover.clone())].into();
        parts.push(State { cutovers, ..State::default() });
    }
    for (address, rehearsal) in &state.rehearsals {
        let rehearsals = [(address.clone(), rehearsal.clone())].into();
        parts.push(State { rehearsals, ..State::default() });
    }
    let last = parts.len() - 1;
    parts
        .into_iter()
        .enumerate()
        .map(|(i, part)| Event::StatePart { first: i == 0, last: i == last, part: Box::new(part) })
        .collect()
}

fn decode(text: &str) -> Result<StateFile, String> {
    #[derive(Deserialize)]
    struct Head {
        #[serde(default)]
        format: String,
        #[serde(default)]
        version: u32,
    }
    let head: Head = serde_json::from_str(text).map_err(|e| format!("is not JSON: {e}"))?;
    if head.format != FORMAT {
        return Err(format!("is not a state (its format says {:?})", head.format));
    }
    if head.version > STATE_VERSION {
        return Err(format!("has state version {}; this segue reads up to {STATE_VERSION}", head.version));
    }
    serde_json::from_str(text).map_err(|e| format!("is not a whole state: {e}"))
}

#[cfg(test)]
mod tests {
    use segue_plan::event::{Entry, WIRE_VERSION};
    use segue_plan::state::{State, fold};

    use super::{FORMAT, StateFile, decode, parts};
    use crate::sample;

    #[test]
    fn the_parts_of_a_state_fold_to_the_whole() {
        let wanted = sample::troubled_state();
        let mut state = sample::paused_state();
        for event in parts(&wanted) {
            fold(&mut state, &Entry { v: WIRE_VERSION, at_ms: 1, run: 1, event });
        }
        assert_eq!(state, wanted);
        let mut state = sample::paused_state();
        for event in parts(&State::default()) {
            fold(&mut state, &Entry { v: WIRE_VERSION, at_ms: 1, run: 1, event });
        }
        assert_eq!(state, State::default());
    }

    #[test]
    fn a_pulled_state_can_be_pushed_and_nothing_else_can() {
        let file = StateFile {
            format: FORMAT.to_owned(),
            version: 1,
            state_id: Some("id".to_owned()),
            sequence: 7,
            artifacts: Vec::new(),
            state: sample::switched_state(),
        };
        let text = serde_json::to_string(&file).unwrap();
        assert_eq!(decode(&text).unwrap().state, file.state);
        assert!(decode("{}").unwrap_err().contains("is not a state"));
        assert!(
            decode(&text.replace("\"version\":1,\"state_id\"", "\"version\":9,\"state_id\""))
                .unwrap_err()
                .contains("version 9")
        );
        assert!(decode(&text[..text.len() / 2]).unwrap_err().contains("is not JSON"));
    }
}
