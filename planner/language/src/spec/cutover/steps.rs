//! `switch { steps, hold }`: reads that go over in steps, before the switch itself.

use super::super::body::Settings;
use crate::desired::WeightsDecl;
use crate::syntax::{Diagnostic, Diagnostics};

/// How long a step is held where the spec does not say: some looks of any watch.
const HOLD_MS: u64 = 60_000;

/// Decodes the steps of a `switch` block; `None`: there are none, or they were reported.
pub(super) fn decode(switch: &Settings, diagnostics: &mut Diagnostics) -> Option<WeightsDecl> {
    let Some(steps) = switch.numbers("steps") else {
        if switch.number("hold").is_some() {
            diagnostics.push(
                Diagnostic::error("SPEC_BAD_VALUE", "`hold` holds steps, and there are none")
                    .at(switch.place("hold"), "")
                    .help("write steps = [5, 25, 100] beside it, or take it out"),
            );
        }
        return None;
    };
    let problem = if let Some(wrong) = steps.iter().find(|step| !(1..=100).contains(*step)) {
        Some(format!("a step is a percent from 1 to 100, and {wrong} is none"))
    } else if let Some((before, after)) = steps.iter().zip(steps.iter().skip(1)).find(|(a, b)| a >= b) {
        Some(format!("steps rise, and {after} comes after {before}"))
    } else if steps.last() != Some(&100) {
        Some("the last step is 100: the switch itself".to_owned())
    } else {
        None
    };
    if let Some(problem) = problem {
        diagnostics.push(
            Diagnostic::error("SPEC_BAD_STEPS", format!("`steps`: {problem}"))
                .at(switch.place("steps"), "")
                .help("write for example steps = [5, 25, 100]"),
        );
        return None;
    }
    let steps = steps.into_iter().filter_map(|step| u8::try_from(step).ok()).collect();
    Some(WeightsDecl { steps, hold_ms: switch.number("hold").unwrap_or(HOLD_MS) })
}
