//! `quiesce "command"`: the writers' own commands stop them, start them, and try a write.

use segue_contract::{
    AttributeSchema, AttributeType, BarrierState, BlockKind, BlockSchema, Finding, Quiesce, QuiesceCall,
    QuiesceKind, Severity, StepError, StepIo,
};

use crate::command::{Call, Ended, end_orphans, is_found, quoted, run, timeout_attribute};

pub(super) fn schema() -> BlockSchema {
    BlockSchema {
        kind: BlockKind::Quiesce,
        name: "command".to_owned(),
        doc: "Stops and starts the writers by their own commands, each an argument list that runs without a shell in \
              the spec's directory. Every command may be run again: stopping what is stopped succeeds. Stopped \
              writers must stay stopped over a reboot."
            .to_owned(),
        attributes: vec![
            AttributeSchema::required(
                "stop",
                AttributeType::Words,
                "Stops the writers; returns when no write is on its way.",
            ),
            AttributeSchema::required("start", AttributeType::Words, "Starts the writers, on the side that the routes point to."),
            AttributeSchema::required(
                "probe",
                AttributeType::Words,
                "Tries a write by the writers' own way: exit 0 when it got through. Must fail while quiesced.",
            ),
            AttributeSchema::optional(
                "ready",
                AttributeType::Words,
                "Looks whether the writers could be started on the side SEGUE_SIDE, and starts nothing: exit 0 when so. Run \
                 before the pause and before the commit; without it a side that cannot be started is found after the commit.",
            ),
            timeout_attribute(),
        ],
    }
}

pub(super) struct CommandQuiesce;

impl CommandQuiesce {
    fn run(call: &QuiesceCall, action: &str, io: &dyn StepIo) -> Result<Ended, StepError> {
        let argv = call.block.words(action)?.unwrap_or_default();
        let environment = vec![
            ("SEGUE_SIDE", call.side.to_string()),
            ("SEGUE_ENDPOINT", call.endpoint.address.to_string()),
        ];
        run(&Call { block: &call.block, argv: &argv, action, environment }, io)
    }

    fn must(call: &QuiesceCall, action: &str, io: &dyn StepIo) -> Result<(), StepError> {
        end_orphans(call.endpoint.address.as_str())?;
        let ended = Self::run(call, action, io)?;
        if ended.status.success() {
            return Ok(());
        }
        let argv = call.block.words(action)?.unwrap_or_default();
        let printed = if ended.printed.is_empty() {
            String::new()
        } else {
            format!(", and printed: {}", ended.printed)
        };
        Err(StepError::permanent(format!(
            "{}: {} ({action}) ended with {}{printed}",
            call.block.address,
            quoted(&argv),
            ended.how()
        ))
        .remedy(format!("run it by hand in {} and see", call.block.base_dir.display())))
    }
}

impl Quiesce for CommandQuiesce {
    fn kind(&self) -> QuiesceKind {
        QuiesceKind::Writers
    }

    fn check(&self, call: &QuiesceCall) -> Vec<Finding> {
        let mut findings = Vec::new();
        for action in ["stop", "start", "probe", "ready"] {
            let argv = call.block.words(action).ok().flatten();
            if action == "ready" && argv.is_none() {
                continue;
            }
            let argv = argv.unwrap_or_default();
            let Some(program) = argv.first() else {
                findings.push(finding(
                    &format!("{action} names no program"),
                    "write a program and its arguments",
                ));
                continue;
            };
            if !is_found(&call.block.base_dir, program) {
                findings.push(finding(
                    &format!("{action}: {program:?} is not an executable file"),
                    &format!("commands start in {}", call.block.base_dir.display()),
                ));
            }
        }
        findings
    }

    fn close(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        Self::must(call, "stop", io)
    }

    fn open(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<(), StepError> {
        // A start that fails now may succeed in a moment: whoever re-opens a side tries again.
        Self::must(call, "start", io).map_err(|mut error| {
            if error.class == segue_contract::ErrorClass::Permanent {
                error.class = segue_contract::ErrorClass::Transient;
            }
            error
        })
    }

    fn observe(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<BarrierState, StepError> {
        match Self::run(call, "probe", io) {
            Ok(ended) if ended.status.success() => Ok(BarrierState::Open),
            Ok(ended) if ended.status.code().is_some_and(|c| c != 126 && c != 127) => {
                Ok(BarrierState::Closed(format!("the probe was refused ({})", ended.how())))
            }
            Ok(ended) => {
                Ok(BarrierState::Unknown(format!("the probe ended with {}: {}", ended.how(), ended.printed)))
            }
            Err(error) if error.class == segue_contract::ErrorClass::Cancelled => Err(error),
            Err(error) => Ok(BarrierState::Unknown(error.to_string())),
        }
    }

    fn openable(&self, call: &QuiesceCall, io: &dyn StepIo) -> Result<Option<String>, StepError> {
        if call.block.words("ready")?.is_none() {
            return Ok(None);
        }
        Self::must(call, "ready", io)?;
        Ok(Some(format!("{} says that it is ready", call.block.address)))
    }

    fn open_by_hand(&self, call: &QuiesceCall) -> String {
        let argv = call.block.words("start").ok().flatten().unwrap_or_default();
        format!("cd {} && {}", quoted(&[call.block.base_dir.display().to_string()]), quoted(&argv))
    }
}

fn finding(summary: &str, remedy: &str) -> Finding {
    Finding {
        severity: Severity::Critical,
        code: "QUIESCE_COMMAND".to_owned(),
        summary: summary.to_owned(),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use segue_contract::Side;
    use serde_json::json;

    use super::*;
    use crate::testing::{Io, block, block_in};

    fn call(dir: &std::path::Path, probe: &str) -> QuiesceCall {
        let words = |script: &str| json!(["sh", "-c", script]);
        QuiesceCall {
            block: block_in(
                dir,
                "cutover.a.quiesce.command",
                "command",
                &[
                    ("stop", words("touch stopped")),
                    ("start", words("rm -f stopped")),
                    ("probe", words(probe)),
                    ("timeout", json!(5000)),
                ],
            ),
            endpoint: block("source.directory.old", "directory", &[]),
            side: Side::Source,
        }
    }

    #[test]
    fn the_probe_decides_what_is_open() {
        let dir = tempfile::tempdir().expect("tempdir");
        let call = call(dir.path(), "test ! -e stopped");
        let io = Io::default();
        assert_eq!(CommandQuiesce.observe(&call, &io).expect("observes"), BarrierState::Open);
        CommandQuiesce.close(&call, &io).expect("closes");
        CommandQuiesce.close(&call, &io).expect("closes again");
        assert!(matches!(CommandQuiesce.observe(&call, &io), Ok(BarrierState::Closed(_))));
        CommandQuiesce.open(&call, &io).expect("opens");
        CommandQuiesce.open(&call, &io).expect("opens again");
        assert_eq!(CommandQuiesce.observe(&call, &io).expect("observes"), BarrierState::Open);
    }

    #[test]
    fn a_probe_that_cannot_run_proves_nothing() {
        let dir = tempfile::tempdir().expect("tempdir");
        let call = call(dir.path(), "./no-such-probe");
        assert!(matches!(CommandQuiesce.observe(&call, &Io::default()), Ok(BarrierState::Unknown(_))));
    }

    #[test]
    fn a_missing_program_is_found_before_anything_runs() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut call = call(dir.path(), "true");
        assert_eq!(CommandQuiesce.check(&call), []);
        call.block = block_in(
            dir.path(),
            "q",
            "command",
            &[("stop", json!(["./gone"])), ("start", json!(["sh"])), ("probe", json!([]))],
        );
        let codes: Vec<String> = CommandQuiesce.check(&call).into_iter().map(|f| f.summary).collect();
        assert_eq!(codes, ["stop: \"./gone\" is not an executable file", "probe names no program"]);
    }

    #[test]
    fn ready_is_asked_and_nothing_is_started() {
        let dir = tempfile::tempdir().expect("tempdir");
        let mut call = call(dir.path(), "test ! -e stopped");
        let io = Io::default();
        assert_eq!(CommandQuiesce.openable(&call, &io).expect("cannot tell"), None);
        let ready = json!(["sh", "-c", "test -e ready || { echo no licence; exit 3; }"]);
        call.block.config.insert("ready", segue_contract::Setting::Plain(ready));
        CommandQuiesce.close(&call, &io).expect("closes");
        let error = CommandQuiesce.openable(&call, &io).expect_err("not ready");
        assert!(error.to_string().contains("(ready)") && error.to_string().contains("no licence"), "{error}");
        segue_contract::paths::replace(&dir.path().join("ready"), b"").expect("written");
        assert!(CommandQuiesce.openable(&call, &io).expect("ready").is_some());
        assert!(matches!(CommandQuiesce.observe(&call, &io), Ok(BarrierState::Closed(_))));
    }

    #[test]
    fn by_hand_is_a_line_for_a_shell() {
        let dir = std::path::Path::new("/srv/my app");
        let by_hand = CommandQuiesce.open_by_hand(&call(dir, "true"));
        assert_eq!(by_hand, "cd '/srv/my app' && sh -c 'rm -f stopped'");
    }
}
