//! The `rehearse` block of a cutover, and its `waive` blocks.

use super::super::body::{Nested, Settings};
use crate::desired::{RehearseDecl, RehearseMode, SET_ASIDE, WaiverDecl};
use crate::syntax::{Diagnostic, Diagnostics, nearest};

/// How long a rehearsal counts when nothing is said: a week.
const VALID_FOR_MS: u64 = 7 * 86_400_000;

/// A block whose settings are whole.
pub(super) fn decode(settings: &Settings) -> RehearseDecl {
    RehearseDecl {
        mode: match settings.text("mode") {
            Some("only") => RehearseMode::Only,
            _ => RehearseMode::Before,
        },
        quiesce: settings.flag("quiesce"),
        valid_for_ms: settings.number("valid_for").unwrap_or(VALID_FOR_MS),
        test: settings.words("test"),
    }
}

/// The waivers of some codes; what is wrong is reported.
pub(in super::super) fn waivers(
    settings: &Settings,
    codes: &[&str],
    diagnostics: &mut Diagnostics,
) -> Vec<WaiverDecl> {
    settings.all("waive").filter_map(|nested| waiver(nested, codes, diagnostics)).collect()
}

fn waiver(nested: &Nested, codes: &[&str], diagnostics: &mut Diagnostics) -> Option<WaiverDecl> {
    let own = &nested.settings;
    let code = nested.label.clone().unwrap_or_default();
    if !codes.contains(&code.as_str()) {
        let help = match nearest(&code, codes.iter().copied()) {
            Some(near) => format!("did you mean {near:?}?"),
            None => format!("these can be waived: {}", codes.join(", ")),
        };
        diagnostics.push(
            Diagnostic::error("SPEC_WAIVER", format!("{code:?} is no finding that can be waived here"))
                .at(own.header.clone(), "")
                .help(help),
        );
        return None;
    }
    let reason = own.text("reason").unwrap_or_default().trim().to_owned();
    if reason.is_empty() {
        diagnostics.push(
            Diagnostic::error("SPEC_WAIVER", "a waiver says why")
                .at(own.place("reason"), "")
                .help("reason = \"...\": it is part of the plan's hash, and in the report"),
        );
        return None;
    }
    let keys = own.words("keys");
    if keys.is_empty() && code == SET_ASIDE {
        diagnostics.push(
            Diagnostic::error("SPEC_WAIVER", "records that cannot be carried are waived by name")
                .at(own.header.clone(), "")
                .help("keys = [\"run/app.sock\", \"spool/*\"]: each whole, or a beginning and *"),
        );
        return None;
    }
    Some(WaiverDecl { code, keys, reason })
}
