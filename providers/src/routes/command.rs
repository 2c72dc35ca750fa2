//! `route "command"`: whatever clients follow, set and observed by the user's commands.

use segue_contract::{
    AttributeSchema, AttributeType, BlockKind, BlockRef, BlockSchema, Finding, Route, RouteAt, Severity,
    Side, StepError, StepIo,
};

use crate::command::{Call, end_orphans, quoted, run, timeout_attribute};

pub(super) fn schema() -> BlockSchema {
    BlockSchema {
        kind: BlockKind::Route,
        name: "command".to_owned(),
        doc: "Set and observed by commands, each an argument list that runs without a shell in the spec's directory."
            .to_owned(),
        attributes: vec![
            AttributeSchema::required("set_source", AttributeType::Words, "Points clients to the source; may be run again."),
            AttributeSchema::required("set_target", AttributeType::Words, "Points clients to the target; may be run again."),
            AttributeSchema::required(
                "observe",
                AttributeType::Words,
                "Prints `source` or `target`, whichever clients are pointed to, or how many percent of the reads go to the target (`25`, `25%`); anything else is shown as drift.",
            ),
            AttributeSchema::optional(
                "weigh",
                AttributeType::Words,
                "Sends a part of the reads to the target and the others to the source; writes stay where they go. How many percent (0 to 99) is in SEGUE_TARGET_PERCENT, and stands for an argument `{percent}`; may be run again. Needed for `steps`; then set_source and set_target end any weight, and observe tells the percent.",
            ),
            AttributeSchema::optional(
                "ttl",
                AttributeType::Duration,
                "How long clients may keep the old answer. Default 0s.",
            )
            .default(serde_json::json!(0)),
            timeout_attribute(),
        ],
    }
}

pub(super) struct CommandRoute;

fn words(route: &BlockRef, name: &str) -> Vec<String> {
    route.words(name).ok().flatten().unwrap_or_default()
}

fn setter(side: Side) -> &'static str {
    match side {
        Side::Source => "set_source",
        Side::Target => "set_target",
    }
}

fn environment(route: &BlockRef) -> Vec<(&'static str, String)> {
    vec![("SEGUE_ENDPOINT", route.address.to_string())]
}

impl Route for CommandRoute {
    fn atomic(&self) -> bool {
        false
    }

    fn ttl_ms(&self, route: &BlockRef) -> u64 {
        route.number("ttl").ok().flatten().unwrap_or(0)
    }

    fn check(&self, route: &BlockRef) -> Vec<Finding> {
        let mut findings = Vec::new();
        for name in ["set_source", "set_target", "observe", "weigh"] {
            let argv = words(route, name);
            if name == "weigh" && argv.is_empty() {
                continue;
            }
            if !argv.first().is_some_and(|program| crate::command::is_found(&route.base_dir, program)) {
                findings.push(Finding {
                    severity: Severity::Critical,
                    code: "ROUTE_COMMAND".to_owned(),
                    summary: format!(
                        "{name}: {:?} is not an executable file",
                        argv.first().map_or("", String::as_str)
                    ),
                    remedy: format!("commands start in {}", route.base_dir.display()),
                });
            }
        }
        findings
    }

    fn observe(&self, route: &BlockRef, io: &dyn StepIo) -> Result<RouteAt, StepError> {
        let argv = words(route, "observe");
        let ended =
            run(&Call { block: route, argv: &argv, action: "observe", environment: environment(route) }, io)?;
        if !ended.status.success() {
            return Err(StepError::transient(format!(
                "{}: {} ended with {}: {}",
                route.address,
                quoted(&argv),
                ended.how(),
                ended.printed
            )));
        }
        Ok(match ended.printed.as_str() {
            "source" => RouteAt::Side(Side::Source),
            "target" => RouteAt::Side(Side::Target),
            "" => RouteAt::Missing,
            other => match percent_of(other) {
                Some(percent) => RouteAt::weighted(percent),
                None => RouteAt::Other(other.to_owned()),
            },
        })
    }

    fn set(&self, route: &BlockRef, side: Side, io: &dyn StepIo) -> Result<(), StepError> {
        end_orphans(route.address.as_str())?;
        let argv = words(route, setter(side));
        let ended =
            run(&Call { block: route, argv: &argv, action: "set", environment: environment(route) }, io)?;
        if ended.status.success() {
            return Ok(());
        }
        Err(StepError::transient(format!(
            "{}: {} ended with {}: {}",
            route.address,
            quoted(&argv),
            ended.how(),
            ended.printed
        )))
    }

    fn set_by_hand(&self, route: &BlockRef, side: Side) -> String {
        let place = quoted(&[route.base_dir.display().to_string()]);
        format!("cd {place} && {}", quoted(&words(route, setter(side))))
    }

    fn can_weigh(&self, route: &BlockRef) -> bool {
        !words(route, "weigh").is_empty()
    }

    fn weigh(&self, route: &BlockRef, target_percent: u8, io: &dyn StepIo) -> Result<(), StepError> {
        if !self.can_weigh(route) {
            let what = format!("{} has no `weigh` command", route.address);
            return Err(
                StepError::permanent(what).remedy("give it one, or leave steps out of the switch block")
            );
        }
        end_orphans(route.address.as_str())?;
        let percent = target_percent.to_string();
        let argv: Vec<String> =
            words(route, "weigh").into_iter().map(|word| word.replace("{percent}", &percent)).collect();
        let mut environment = environment(route);
        environment.push(("SEGUE_TARGET_PERCENT", percent));
        let ended = run(&Call { block: route, argv: &argv, action: "weigh", environment }, io)?;
        if ended.status.success() {
            return Ok(());
        }
        Err(StepError::transient(format!(
            "{}: {} ended with {}: {}",
            route.address,
            quoted(&argv),
            ended.how(),
            ended.printed
        )))
    }
}

/// `25`, `25%`, `25 %`
fn percent_of(printed: &str) -> Option<u8> {
    let digits = printed.strip_suffix('%').unwrap_or(printed).trim_end();
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|percent| plain && *percent <= 100)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{Io, block_in};

    #[test]
    fn sends_a_part_of_the_reads_where_it_has_a_command_for_that() {
        let dir = tempfile::tempdir().expect("tempdir");
        let words = |script: &str| json!(["sh", "-c", script]);
        let settings = [
            ("set_source", words("echo source >at")),
            ("set_target", words("echo target >at")),
            ("observe", words("cat at")),
            ("weigh", json!(["sh", "-c", "echo \"$SEGUE_TARGET_PERCENT$1\" >at", "sh", "%"])),
        ];
        let route = block_in(dir.path(), "route.command.lb", "command", &settings);
        let plain = block_in(dir.path(), "route.command.plain", "command", &settings[..3]);
        let io = Io::default();
        assert!(CommandRoute.can_weigh(&route) && !CommandRoute.can_weigh(&plain));
        assert!(CommandRoute.weigh(&plain, 5, &io).is_err());
        assert_eq!((CommandRoute.check(&route), CommandRoute.check(&plain)), (vec![], vec![]));
        for (percent, wanted) in [(25, RouteAt::Weighted(25)), (0, RouteAt::Side(Side::Source))] {
            CommandRoute.weigh(&route, percent, &io).expect("weighs");
            assert_eq!(CommandRoute.observe(&route, &io).expect("observes"), wanted);
        }
        CommandRoute.set(&route, Side::Target, &io).expect("sets");
        assert_eq!(CommandRoute.observe(&route, &io).expect("observes"), RouteAt::Side(Side::Target));
        let argument = [("weigh", json!(["sh", "-c", "echo $0 >at", "{percent}"]))];
        let route =
            block_in(dir.path(), "route.command.lb", "command", &[&settings[..3], &argument].concat());
        CommandRoute.weigh(&route, 40, &io).expect("weighs");
        assert_eq!(CommandRoute.observe(&route, &io).expect("observes"), RouteAt::Weighted(40));
        for other in ["101", "-5", "5 of 100", "%", "+5"] {
            assert_eq!(percent_of(other), None, "{other}");
        }
    }

    #[test]
    fn is_set_and_observed_by_its_commands() {
        let dir = tempfile::tempdir().expect("tempdir");
        let words = |script: &str| json!(["sh", "-c", script]);
        let route = block_in(
            dir.path(),
            "route.command.lb",
            "command",
            &[
                ("set_source", words("echo source >at")),
                ("set_target", words("echo target >at")),
                ("observe", words("cat at 2>/dev/null || true")),
            ],
        );
        let io = Io::default();
        assert_eq!(CommandRoute.check(&route), []);
        assert_eq!(CommandRoute.observe(&route, &io).expect("observes"), RouteAt::Missing);
        for side in [Side::Target, Side::Source] {
            CommandRoute.set(&route, side, &io).expect("sets");
            assert_eq!(CommandRoute.observe(&route, &io).expect("observes"), RouteAt::Side(side));
        }
        std::fs::remove_file(dir.path().join("at")).expect("remove");
        let mut at = std::fs::File::create_new(dir.path().join("at")).expect("create");
        std::io::Write::write_all(&mut at, b"maintenance").expect("write");
        assert_eq!(
            CommandRoute.observe(&route, &io).expect("observes"),
            RouteAt::Other("maintenance".into())
        );
    }
}
