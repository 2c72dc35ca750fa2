//! `gate "command"`, `watch "command"`: the user's own program says yes (exit 0) or no.

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, ErrorClass, Finding, Probe, Reading,
    StepError, StepIo,
};

use super::critical;
use crate::command::{Call, is_found, quoted, run, timeout_attribute};

pub(super) fn schema(kind: BlockKind) -> BlockSchema {
    let when = if kind == BlockKind::Gate { "lets the cutover go on" } else { "finds the new side healthy" };
    BlockSchema {
        kind,
        name: "command".to_owned(),
        doc: format!(
            "A command {when} by exit 0; it runs without a shell in the spec's directory, again and again. The last line \
             that it prints is shown; a number there is the measured value."
        ),
        attributes: vec![
            AttributeSchema::required(
                "command",
                AttributeType::Words,
                "Program and arguments. It looks and changes nothing.",
            ),
            timeout_attribute(),
        ],
    }
}

/// How much of a line is shown, in characters.
const SHOWN: usize = 200;

pub(super) struct CommandProbe;

impl Probe for CommandProbe {
    fn check(&self, block: &BlockRef) -> Vec<Finding> {
        let argv = block.words("command").ok().flatten().unwrap_or_default();
        match argv.first() {
            None => vec![critical("command names no program", "write a program and its arguments")],
            Some(program) if !is_found(&block.base_dir, program) => vec![critical(
                format!("command: {program:?} is not an executable file"),
                &format!("commands start in {}", block.base_dir.display()),
            )],
            Some(_) => Vec::new(),
        }
    }

    fn look(&self, block: &BlockRef, io: &dyn StepIo) -> Result<Reading, StepError> {
        let argv = block.words("command")?.unwrap_or_default();
        let ended = match run(&Call { block, argv: &argv, action: "look", environment: Vec::new() }, io) {
            Ok(ended) => ended,
            // Killed at its time-out: that is no yes.
            Err(error) if error.class == ErrorClass::Unknown => {
                return Ok(Reading { ok: false, said: error.to_string(), value: None });
            }
            Err(error) => return Err(error),
        };
        let last = ended.printed.lines().next_back().unwrap_or_default().trim();
        let shown: String = last.chars().take(SHOWN).collect();
        let how = ended.how();
        Ok(Reading {
            ok: ended.status.success(),
            said: if last.is_empty() {
                format!("{how}: {}", quoted(&argv))
            } else {
                format!("{how}: {shown}")
            },
            value: last.parse().ok().filter(|v: &f64| v.is_finite()),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Io, block};

    fn look(script: &str, timeout_ms: u64) -> Reading {
        let settings = [("command", json!(["sh", "-c", script])), ("timeout", json!(timeout_ms))];
        CommandProbe
            .look(&block("cutover.a.gate.command", "command", &settings), &Io::default())
            .expect("looks")
    }

    #[test]
    fn exit_0_is_yes_and_the_last_line_is_shown() {
        let reading = look("echo looking; echo all quiet", 5000);
        assert_eq!(reading, Reading { ok: true, said: "exit 0: all quiet".to_owned(), value: None });
        let reading = look("echo 14; exit 1", 5000);
        assert_eq!(reading, Reading { ok: false, said: "exit 1: 14".to_owned(), value: Some(14.0) });
        assert_eq!(look("true", 5000).said, "exit 0: sh -c true");
        assert_eq!(look("kill -9 $$", 5000).said, "signal 9: sh -c 'kill -9 $$'");
    }

    #[test]
    fn a_command_that_does_not_end_is_no_yes() {
        let reading = look("sleep 60", 50);
        assert!(!reading.ok && reading.said.contains("did not end within 50 ms"), "{reading:?}");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_and_found_before() {
        let block = block("g", "command", &[("command", json!(["./gone"]))]);
        assert_eq!(CommandProbe.check(&block)[0].summary, "command: \"./gone\" is not an executable file");
        assert!(CommandProbe.look(&block, &Io::default()).is_err());
    }
}
