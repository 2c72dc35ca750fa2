//! `watch` blocks of a cutover.

use segue_contract::BlockRef;

use super::super::resolve::{Instance, config};
use super::{Surroundings, nested_address, same_before};
use crate::desired::{Secrets, WatchDecl};
use crate::syntax::{Diagnostic, Diagnostics};

/// More failures in a row than this are no watch.
const MAX_FAILURES: u64 = 10_000;

/// Decodes them; what is wrong is reported.
pub(super) fn decode(
    instance: &Instance,
    around: &Surroundings<'_>,
    secrets: &mut Secrets,
    diagnostics: &mut Diagnostics,
) -> Vec<WatchDecl> {
    let settings = &instance.settings;
    let mut watches = Vec::new();
    for (i, nested) in settings.all("watch").enumerate() {
        let own = &nested.settings;
        let address = nested_address(instance, nested, same_before(settings, "watch", nested, i));
        let provider = nested.label.clone().unwrap_or_default();
        let attributes = around.watches.get(&provider).map_or(&[][..], Vec::as_slice);
        let interval_ms = own.number("interval").unwrap_or(5_000);
        let for_ms = own.number("for").unwrap_or(0);
        let failures = own.number("failures").unwrap_or(3);
        let mut refuse = |name: &str, summary: &str| {
            diagnostics.push(Diagnostic::error("SPEC_BAD_VALUE", summary).at(own.place(name), ""));
        };
        if interval_ms == 0 {
            refuse("interval", "`interval` is longer than nothing");
        }
        if for_ms == 0 {
            refuse("for", "`for` is longer than nothing");
        }
        if failures == 0 || failures > MAX_FAILURES {
            refuse("failures", "`failures` is between 1 and 10000");
        } else if interval_ms.saturating_mul(failures - 1) > for_ms {
            refuse("failures", "`for` is over before so many looks could fail: `failures` times `interval`");
        }
        watches.push(WatchDecl {
            block: BlockRef {
                config: config(own, &address, attributes, secrets),
                address,
                provider,
                base_dir: around.base_dir.to_path_buf(),
                scope: Vec::new(),
            },
            for_ms,
            interval_ms,
            failures: u32::try_from(failures).unwrap_or(u32::MAX),
            switch_back: own.text("on_failure") == Some("switch_back"),
        });
    }
    watches
}
