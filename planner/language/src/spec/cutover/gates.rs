//! `gate` blocks of a cutover.

use std::collections::BTreeMap;

use segue_contract::{Address, BlockRef, VerifyLevel};

use super::super::body::{Nested, Settings};
use super::super::resolve::{Instance, config};
use super::{Surroundings, nested_address, same_before, window};
use crate::desired::{GateCondition, GateDecl, Secrets, Term};
use crate::lang::{Value, parse_duration_ms};
use crate::syntax::{Diagnostic, Diagnostics, Span};

/// Two of these say the same thing twice.
const ONCE: [&str; 3] = ["lag", "downtime", "approval"];
/// No company is larger.
const MAX_APPROVALS: u64 = 1_000;

/// Decodes them; what is wrong is reported.
pub(super) fn decode(
    instance: &Instance,
    around: &Surroundings<'_>,
    secrets: &mut Secrets,
    diagnostics: &mut Diagnostics,
) -> Vec<GateDecl> {
    let settings = &instance.settings;
    let mut seen: BTreeMap<&str, &Span> = BTreeMap::new();
    let mut gates = Vec::new();
    for (i, nested) in settings.all("gate").enumerate() {
        let ty = nested.label.as_deref().unwrap_or_default();
        if let Some(first) = seen.insert(ty, &nested.settings.header).filter(|_| ONCE.contains(&ty)) {
            diagnostics.push(
                Diagnostic::error("SPEC_DUPLICATE_BLOCK", format!("this cutover has two gates {ty:?}"))
                    .at(nested.settings.header.clone(), "again here")
                    .at(first.clone(), "first here")
                    .help("keep the stricter one"),
            );
        }
        let address = nested_address(instance, nested, same_before(settings, "gate", nested, i));
        let own = &nested.settings;
        let max_ms = own.number("max").unwrap_or(0);
        let condition = match ty {
            "lag" => Some(GateCondition::Lag { max_ms }),
            "downtime" => Some(GateCondition::Downtime { max_ms, assume: assume(own, diagnostics) }),
            "verified" => Some(verified(instance, own, diagnostics)),
            "approval" => Some(approval(own, diagnostics)),
            "window" => window::decode(own, diagnostics).map(GateCondition::Window),
            "check" => check(instance, own, diagnostics),
            _ => Some(probe(nested, &address, around, secrets, diagnostics)),
        };
        let timeout_ms = own.number("wait").unwrap_or(3_600_000);
        gates.extend(condition.map(|condition| GateDecl { address, timeout_ms, condition }));
    }
    gates
}

/// `assume = { drain = "2s", route = "1s" }`
fn assume(own: &Settings, diagnostics: &mut Diagnostics) -> BTreeMap<Term, u64> {
    let mut assumed = BTreeMap::new();
    let mut refuse = |summary: String, help: String| {
        diagnostics.push(Diagnostic::error("SPEC_BAD_VALUE", summary).at(own.place("assume"), "").help(help));
    };
    for (name, text) in own.pairs("assume") {
        let Some(term) = Term::ASSUMABLE.into_iter().find(|term| term.key() == name) else {
            let known = Term::ASSUMABLE.map(Term::key).join(", ");
            refuse(format!("{name:?} is no term of the predicted pause"), format!("its terms are {known}"));
            continue;
        };
        match parse_duration_ms(&text) {
            Ok(ms) => {
                assumed.insert(term, ms);
            }
            Err(why) => refuse(format!("`assume` of {name}: {why}"), "write for example \"2s\"".to_owned()),
        }
    }
    assumed
}

fn verified(instance: &Instance, own: &Settings, diagnostics: &mut Diagnostics) -> GateCondition {
    let of_cutover = instance.settings.references("migrations");
    let migrations = own.references("migrations").to_vec();
    for migration in migrations.iter().filter(|m| !of_cutover.contains(m)) {
        diagnostics.push(
            Diagnostic::error(
                "SPEC_WRONG_REFERENCE",
                format!("{migration} is no migration of {}", instance.address),
            )
            .at(own.place("migrations"), "")
            .help("name migrations of this cutover"),
        );
    }
    let level = own.text("level").map(|level| match level {
        "count" => VerifyLevel::Count,
        "sampled" => VerifyLevel::Sampled,
        _ => VerifyLevel::Full,
    });
    GateCondition::Verified { level, max_age_ms: own.number("max_age"), migrations }
}

fn approval(own: &Settings, diagnostics: &mut Diagnostics) -> GateCondition {
    let mut approvers = own.words("approvers");
    approvers.sort();
    approvers.dedup();
    let count = own.number("count").unwrap_or(1);
    let mut refuse = |name: &str, summary: String, help: &str| {
        diagnostics.push(Diagnostic::error("SPEC_BAD_VALUE", summary).at(own.place(name), "").help(help));
    };
    if own.values.contains_key("approvers") && approvers.is_empty() {
        refuse("approvers", "`approvers` names nobody: it could never be approved".to_owned(), "name users");
    }
    if let Some(empty) = approvers.iter().find(|a| a.trim().is_empty()) {
        refuse("approvers", format!("{empty:?} is no user's name"), "write the name that `id -un` prints");
    }
    if count == 0 || count > MAX_APPROVALS {
        refuse("count", format!("`count` is between 1 and {MAX_APPROVALS}"), "leave it out for one");
    } else if !approvers.is_empty() && count > approvers.len() as u64 {
        let summary =
            format!("{count} approvals are wanted, and only {} people may give one", approvers.len());
        refuse("count", summary, "name more approvers, or lower count");
    }
    GateCondition::Approval { approvers, count: u32::try_from(count).unwrap_or(u32::MAX) }
}

/// A condition that names a migration which this cutover does not have could never be evaluated.
fn check(instance: &Instance, own: &Settings, diagnostics: &mut Diagnostics) -> Option<GateCondition> {
    let condition = own.condition("condition")?.clone();
    let by_migration = || {
        let migrations = instance.settings.references("migrations").iter();
        Value::map(migrations.map(|m| (m.to_string(), Value::unknown())).collect())
    };
    let observed = Value::map(BTreeMap::from([
        ("units".to_owned(), by_migration()),
        ("source".to_owned(), by_migration()),
        ("target".to_owned(), by_migration()),
        ("now".to_owned(), Value::unknown()),
        ("forecast_ms".to_owned(), Value::unknown()),
    ]));
    if let Err(why) = condition.judge(&observed) {
        diagnostics.push(
            Diagnostic::error("SPEC_BAD_VALUE", why)
                .at(own.place("condition"), "")
                .help("observed.units, .source and .target go by the migrations of this cutover"),
        );
        return None;
    }
    Some(GateCondition::Check { condition, message: own.text("message").map(str::to_owned) })
}

fn probe(
    nested: &Nested,
    address: &Address,
    around: &Surroundings<'_>,
    secrets: &mut Secrets,
    diagnostics: &mut Diagnostics,
) -> GateCondition {
    let provider = nested.label.clone().unwrap_or_default();
    let attributes = around.gates.get(&provider).map_or(&[][..], Vec::as_slice);
    let interval_ms = nested.settings.number("interval").unwrap_or(5_000);
    if interval_ms == 0 {
        let place = nested.settings.place("interval");
        diagnostics
            .push(Diagnostic::error("SPEC_BAD_VALUE", "`interval` is longer than nothing").at(place, ""));
    }
    let block = BlockRef {
        config: config(&nested.settings, address, attributes, secrets),
        address: address.clone(),
        provider,
        base_dir: around.base_dir.to_path_buf(),
        scope: Vec::new(),
    };
    GateCondition::Probe { block, interval_ms }
}
