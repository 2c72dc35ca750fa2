//! What has to change: desired against recorded, a row of the design's table for each cutover; and how
//! the two sides' settings differ.

use segue_contract::{Address, Side};
use segue_language::CutoverDecl;
use serde::{Deserialize, Serialize};
use similar::{ChangeTag, TextDiff};

use crate::state::CutoverState;

/// What a cutover has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The side that serves stays; the other one is made and kept ready.
    Stay,
    /// From the source to the target.
    Switch,
    /// From the target to the source, by the same protocol.
    SwitchBack,
    /// The target serves for good: the fallback is given up.
    Finish,
    /// The source serves for good: what Segue made at the target is released.
    Abandon,
    /// It is finished and stays so.
    Rest,
    /// It is finished, and the spec wants something else.
    Refused,
}

/// The change that leads from the recorded to the desired state of a cutover.
pub fn change(desired: &CutoverDecl, recorded: Option<&CutoverState>) -> Change {
    let (live, finished) = recorded.map_or((Side::Source, false), |c| (c.live, c.finished));
    match (finished, desired.finished, live, desired.live) {
        (true, true, Side::Source, Side::Source) | (true, true, Side::Target, Side::Target) => Change::Rest,
        (true, _, _, _) => Change::Refused,
        (false, _, Side::Source, Side::Target) => Change::Switch,
        (false, _, Side::Target, Side::Source) => Change::SwitchBack,
        (false, false, _, _) => Change::Stay,
        (false, true, Side::Target, Side::Target) => Change::Finish,
        (false, true, Side::Source, Side::Source) => Change::Abandon,
    }
}

/// A setting that differs between the two sides of a migration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingDiff {
    /// The migration.
    pub migration: Address,
    /// The setting.
    pub name: String,
    /// The lines of both sides in order: `-` source only, `+` target only, ` ` both.
    pub lines: Vec<(char, String)>,
}

/// How long a diff of settings may take before it becomes coarser.
const DIFF_TIMEOUT_MS: u64 = 200;

/// The lines in which two texts differ, with those around them.
pub fn diff_lines(source: &str, target: &str) -> Vec<(char, String)> {
    let diff = TextDiff::configure()
        .timeout(std::time::Duration::from_millis(DIFF_TIMEOUT_MS))
        .diff_lines(source, target);
    diff.iter_all_changes()
        .map(|change| {
            let tag = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            (tag, change.value().trim_end_matches('\n').to_owned())
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_line_is_shown_on_both_sides() {
        let lines = diff_lines("a\nb\n", "a\nc\n");
        assert_eq!(lines, [(' ', "a".into()), ('-', "b".into()), ('+', "c".into())]);
    }
}
