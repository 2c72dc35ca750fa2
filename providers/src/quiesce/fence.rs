//! `fallback { fence = [...] }`: a command that keeps a side from serving, from outside, and proves it (protocol P22).
//!
//! The contract: exit 0 means that the side takes no write from anybody from now on, and comes back only by hand. It may
//! be run again at any time, and then proves the same again. Everything else, its time limit too, proves nothing.

use segue_contract::{BlockRef, Fence, Finding, QuiesceCall, Severity, StepError, StepIo};

use crate::command::{Call, end_orphans, is_found, quoted, run};

/// The attribute that the language puts the words in.
const FENCE: &str = "fence";

pub(super) struct CommandFence;

fn words(block: &BlockRef) -> Result<Vec<String>, StepError> {
    Ok(block.words(FENCE)?.unwrap_or_default())
}

impl Fence for CommandFence {
    fn check(&self, block: &BlockRef) -> Vec<Finding> {
        let critical = |summary: String| Finding {
            severity: Severity::Critical,
            code: "FENCE_COMMAND".to_owned(),
            summary,
            remedy: format!("commands start in {}", block.base_dir.display()),
        };
        match words(block) {
            Ok(argv) => match argv.first() {
                Some(program) if is_found(&block.base_dir, program) => Vec::new(),
                Some(program) => vec![critical(format!("fence: {program:?} is not an executable file"))],
                None => vec![critical("fence names no program".to_owned())],
            },
            Err(error) => vec![critical(error.to_string())],
        }
    }

    fn fence(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<String, StepError> {
        end_orphans(call.endpoint.address.as_str())?;
        let argv = words(&call.block)?;
        let environment = vec![
            ("SEGUE_SIDE", call.side.to_string()),
            ("SEGUE_ENDPOINT", call.endpoint.address.to_string()),
        ];
        let ended = run(&Call { block: &call.block, argv: &argv, action: FENCE, environment }, io)?;
        let printed = if ended.printed.is_empty() { String::new() } else { format!(": {}", ended.printed) };
        if ended.status.success() {
            return Ok(format!("{} ended with exit 0{printed}", quoted(&argv)));
        }
        Err(StepError::permanent(format!(
            "{} is not fenced: {} ended with {}{printed}",
            call.endpoint.address,
            quoted(&argv),
            ended.how()
        ))
        .remedy(format!("run it by hand in {} until it ends with 0", call.block.base_dir.display())))
    }

    fn by_hand(&self, block: &BlockRef) -> String {
        let argv = words(block).unwrap_or_default();
        format!("cd {} && {}", quoted(&[block.base_dir.display().to_string()]), quoted(&argv))
    }
}

#[cfg(test)]
mod tests {
    use segue_contract::Side;
    use serde_json::json;

    use super::*;
    use crate::testing::{Io, block, block_in};

    fn call(dir: &std::path::Path, script: &str) -> QuiesceCall {
        let words = json!(["sh", "-c", script]);
        QuiesceCall {
            block: block_in(
                dir,
                "cutover.a.fallback.fence",
                "command",
                &[(FENCE, words), ("timeout", json!(300))],
            ),
            endpoint: block("target.directory.new", "directory", &[]),
            side: Side::Target,
        }
    }

    #[test]
    fn only_exit_0_proves_a_fence_and_it_may_be_asked_again() {
        let dir = tempfile::tempdir().expect("tempdir");
        let told = call(dir.path(), "echo off: $SEGUE_SIDE $SEGUE_ENDPOINT $SEGUE_ACTION");
        for _ in 0..2 {
            let said = CommandFence.fence(&told, &Io::default()).expect("fenced");
            assert!(said.contains("off: target target.directory.new fence"), "{said}");
        }
        let refused =
            CommandFence.fence(&call(dir.path(), "echo no power; exit 3"), &Io::default()).unwrap_err();
        assert!(refused.to_string().contains("is not fenced"), "{refused}");
        assert!(refused.to_string().contains("no power"), "{refused}");
        assert!(CommandFence.fence(&call(dir.path(), "exec sleep 60"), &Io::default()).is_err(), "too slow");
    }

    #[test]
    fn a_program_that_is_not_there_refuses_the_plan() {
        let dir = tempfile::tempdir().expect("tempdir");
        assert_eq!(CommandFence.check(&call(dir.path(), "true").block), []);
        let gone = block_in(dir.path(), "f", "command", &[(FENCE, json!(["./gone"]))]);
        assert_eq!(CommandFence.check(&gone).len(), 1);
    }
}
