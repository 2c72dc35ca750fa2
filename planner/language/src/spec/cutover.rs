//! `cutover` blocks as planning sees them.

mod gates;
mod rehearse;
mod steps;
mod watches;
mod window;

use std::collections::BTreeMap;
use std::path::Path;

use segue_contract::{Address, BlockRef, Config, Setting, Side};

use super::body::{Nested, Settings};
use super::resolve::{Instance, config};
use super::shape::{AttributeShape, BodyShape};
use crate::desired::{CutoverDecl, FallbackDecl, MAX_AGE_DEFAULT_MS, QuiesceDecl, Secrets, WAIVABLE};
use crate::syntax::{Diagnostic, Diagnostics};

pub(super) use rehearse::waivers;

/// Protocol P4: two positions at least this far apart must be equal.
const MIN_FREEZE_MS: u64 = 50;

/// The code of a cutover that does not say which side serves.
pub const SPEC_LIVE: &str = "SPEC_LIVE";

/// What decoding needs besides the block.
pub(super) struct Surroundings<'a> {
    /// Shapes of `quiesce` blocks by type.
    pub(super) quiesces: &'a BTreeMap<String, BodyShape>,
    /// Arguments of providers' gates by type.
    pub(super) gates: BTreeMap<String, Vec<AttributeShape>>,
    /// Arguments of watches by type.
    pub(super) watches: BTreeMap<String, Vec<AttributeShape>>,
    pub(super) base_dir: &'a Path,
}

/// Decodes a cutover whose settings are whole; `None` when something was reported.
pub(super) fn decode(
    instance: &Instance,
    around: &Surroundings<'_>,
    secrets: &mut Secrets,
    diagnostics: &mut Diagnostics,
) -> Option<CutoverDecl> {
    let settings = &instance.settings;
    let migrations = settings.references("migrations").to_vec();
    let before = diagnostics.len();
    if migrations.is_empty() {
        diagnostics.push(
            Diagnostic::error("SPEC_GROUP", "a cutover has a migration")
                .at(settings.place("migrations"), "")
                .help("name those that switch together: migrations = [migration.name]"),
        );
    }
    let live = live(instance, diagnostics);
    let (timeout_ms, freeze_ms) = times(settings, diagnostics);
    let gates = gates::decode(instance, around, secrets, diagnostics);
    let watches = watches::decode(instance, around, secrets, diagnostics);
    let weights = settings.nested("switch").and_then(|switch| steps::decode(switch, diagnostics));
    let quiesces = settings
        .all("quiesce")
        .enumerate()
        .map(|(i, nested)| {
            quiesce(instance, nested, same_before(settings, "quiesce", nested, i), around, secrets)
        })
        .collect();
    let fallback = settings.nested("fallback");
    let waivers = waivers(settings, &WAIVABLE, diagnostics);
    (diagnostics.len() == before).then(|| CutoverDecl {
        address: instance.address.clone(),
        migrations,
        live,
        finished: settings.flag("finished"),
        timeout_ms,
        freeze_ms,
        gates,
        quiesces,
        watches,
        routes: settings.nested("switch").map(|s| s.references("routes").to_vec()).unwrap_or_default(),
        settle_ms: settings.nested("switch").and_then(|s| s.number("settle")).unwrap_or(0),
        weights,
        fallback: FallbackDecl {
            reverse: fallback.is_some_and(|f| f.flag("reverse")),
            report_stale_writers: fallback.and_then(|f| f.text("stale_writers")) == Some("report"),
            retain_ms: fallback.and_then(|f| f.number("retain")),
            max_age_ms: fallback.and_then(|f| f.number("max_age")).unwrap_or(MAX_AGE_DEFAULT_MS),
            accept_loss: fallback.is_some_and(|f| f.flag("accept_loss")),
            dual_write: fallback.is_some_and(|f| f.flag("dual_write")),
            fence: fallback.and_then(|f| fence(instance, f, around)),
        },
        rehearse: settings.nested("rehearse").map(rehearse::decode),
        waivers,
        depends_on: settings.references("depends_on").to_vec(),
    })
}

/// `live`: nobody is switched, or given up, because a line is missing.
fn live(instance: &Instance, diagnostics: &mut Diagnostics) -> Side {
    match instance.settings.text("live") {
        Some("source") => Side::Source,
        Some(_) => Side::Target,
        None => {
            diagnostics.push(
                Diagnostic::error(SPEC_LIVE, format!("{} does not say which side serves", instance.address))
                    .at(instance.settings.header.clone(), "no `live` in it")
                    .help(
                        "write live = \"source\" to keep the source serving, or live = \"target\" to switch",
                    )
                    .about(&instance.address),
            );
            Side::Source
        }
    }
}

/// `timeout` and `freeze`, in milliseconds.
fn times(settings: &Settings, diagnostics: &mut Diagnostics) -> (u64, u64) {
    let freeze_ms = settings.number("freeze").unwrap_or(MIN_FREEZE_MS);
    if freeze_ms < MIN_FREEZE_MS {
        diagnostics.push(
            Diagnostic::error("SPEC_BAD_VALUE", format!("`freeze` is at least {MIN_FREEZE_MS}ms"))
                .at(settings.place("freeze"), ""),
        );
    }
    let timeout_ms = settings.number("timeout").unwrap_or(120_000);
    if timeout_ms <= freeze_ms {
        diagnostics.push(
            Diagnostic::error(
                "SPEC_BAD_VALUE",
                "`timeout` leaves no time to commit in: it is not longer than `freeze`",
            )
            .at(settings.place("timeout"), ""),
        );
    }
    (timeout_ms, freeze_ms)
}

/// The provider that runs `fence`, a command.
const FENCE_PROVIDER: &str = "command";

/// `fence` and `fence_timeout`, as a block of their own for the provider.
fn fence(instance: &Instance, fallback: &Settings, around: &Surroundings<'_>) -> Option<BlockRef> {
    let words = fallback.words("fence");
    if words.is_empty() {
        return None;
    }
    let mut config = Config::default();
    config.insert("fence", Setting::Plain(words.into()));
    if let Some(timeout_ms) = fallback.number("fence_timeout") {
        config.insert("timeout", Setting::Plain(timeout_ms.into()));
    }
    Some(BlockRef {
        address: instance.address.step("fallback").step("fence"),
        provider: FENCE_PROVIDER.to_owned(),
        base_dir: around.base_dir.to_path_buf(),
        config,
        scope: Vec::new(),
    })
}

/// How many blocks of the same type stand before this one.
fn same_before(settings: &Settings, keyword: &str, nested: &Nested, index: usize) -> usize {
    settings.all(keyword).take(index).filter(|n| n.label == nested.label).count()
}

/// `cutover.site.gate.window`; the second of a type is `cutover.site.gate.window_2`.
fn nested_address(instance: &Instance, nested: &Nested, same_before: usize) -> Address {
    let address = instance.address.step(&nested.keyword).step(nested.label.as_deref().unwrap_or_default());
    match same_before {
        0 => address,
        n => Address::new(format!("{address}_{}", n + 1)),
    }
}

fn quiesce(
    instance: &Instance,
    nested: &Nested,
    same_before: usize,
    around: &Surroundings<'_>,
    secrets: &mut Secrets,
) -> QuiesceDecl {
    let provider = nested.label.clone().unwrap_or_default();
    let address = nested_address(instance, nested, same_before);
    let attributes = around.quiesces.get(&provider).map_or(&[][..], |b| &b.attributes);
    let side = match (nested.settings.nested("source"), nested.settings.nested("target")) {
        (Some(_), None) => Some(Side::Source),
        (None, Some(_)) => Some(Side::Target),
        (Some(_), Some(_)) | (None, None) => None,
    };
    QuiesceDecl {
        block: BlockRef {
            config: config(&nested.settings, &address, attributes, secrets),
            address,
            provider,
            base_dir: around.base_dir.to_path_buf(),
            scope: Vec::new(),
        },
        migrations: nested.settings.references("migrations").to_vec(),
        side,
    }
}
