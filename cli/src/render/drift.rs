//! What changed behind Segue's back.

use segue_plan::plan::Drift;

use super::quantity::count;
use crate::printer::{Look, Paint};

/// A line each; those that are not listed are counted.
pub(crate) fn text(drift: &[Drift], look: &Look) -> String {
    let mut out = String::new();
    for Drift { address, key, what, more } in drift {
        let key = key.as_ref().map(|k| format!(" {k}")).unwrap_or_default();
        out.push_str(&format!("  {} {address}{key}: {what}\n", look.paint(Paint::Warning, "!")));
        if *more > 0 {
            out.push_str(&format!("    and {} more in {address}\n", count(*more)));
        }
    }
    out
}
