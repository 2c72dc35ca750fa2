//! `migration` blocks as planning sees them.

use segue_contract::{Audit, LoadMode, LoadSettings, MaxDeletions, Select, Transform, VerifyLevel};

use super::body::Settings;
use super::resolve::{Instance, config};
use super::shape::{AttributeShape, BlockShape};
use crate::desired::{AUDIT_SAMPLE, MigrationDecl, SET_ASIDE, Secrets, VerifyDecl, WaiverDecl};
use crate::syntax::{Diagnostic, Diagnostics};

/// More workers than this help nobody and take all descriptors.
const MAX_PARALLELISM: u64 = 1_024;

/// What every `load` block may hold; all else belongs to a mode.
pub(super) const LOAD_OWN: [&str; 3] = ["parallelism", "rate_limit", "mode"];

/// Decodes a migration whose settings are whole; `None` when something was reported.
pub(super) fn decode(
    instance: &Instance,
    shapes: &[BlockShape],
    secrets: &mut Secrets,
    diagnostics: &mut Diagnostics,
) -> Option<MigrationDecl> {
    let settings = &instance.settings;
    let select = settings.nested("select");
    let load = settings.nested("load");
    let verify = settings.nested("verify");
    let parallelism = load.and_then(|l| l.number("parallelism")).unwrap_or(0);
    if parallelism > MAX_PARALLELISM {
        let place = load.map_or_else(|| settings.header.clone(), |l| l.place("parallelism"));
        diagnostics.push(
            Diagnostic::error("SPEC_BAD_VALUE", format!("`parallelism` is at most {MAX_PARALLELISM}"))
                .at(place, ""),
        );
        return None;
    }
    let level = match verify.and_then(|v| v.text("level")) {
        Some("count") => VerifyLevel::Count,
        Some("sampled") => VerifyLevel::Sampled,
        _ => VerifyLevel::Full,
    };
    let waivers = super::cutover::waivers(settings, &[SET_ASIDE, AUDIT_SAMPLE], diagnostics);
    Some(MigrationDecl {
        address: instance.address.clone(),
        source: settings.block("source")?.clone(),
        target: settings.block("target")?.clone(),
        select: Select {
            include: select.map(|s| s.words("include")).unwrap_or_default(),
            exclude: select.map(|s| s.words("exclude")).unwrap_or_default(),
            rename: select.map(|s| s.pairs("rename")).unwrap_or_default(),
        },
        transform: settings.nested("transform").map(transform).unwrap_or_default(),
        load: LoadSettings {
            parallelism: u32::try_from(parallelism).unwrap_or(0),
            rate_limit: load.and_then(|l| l.number("rate_limit")),
            mode: load.map(|l| mode(instance, l, shapes, secrets)).unwrap_or_default(),
        },
        sync_interval_ms: settings.nested("sync").and_then(|s| s.number("interval")).unwrap_or(30_000),
        max_deletions: settings
            .nested("sync")
            .and_then(|s| s.text("max_deletions"))
            .and_then(MaxDeletions::parse),
        verify: VerifyDecl {
            level,
            valid_for_ms: verify.and_then(|v| v.number("valid_for")).unwrap_or(86_400_000),
            repair: verify.and_then(|v| v.text("on_mismatch")) == Some("repair"),
            in_pause: verify.is_some_and(|v| v.flag("in_pause")),
        },
        audit: audit(settings, &waivers, diagnostics)?,
        depends_on: settings.references("depends_on").to_vec(),
        waivers,
    })
}

/// `audit { sample = "1%" }`; `None` when it is no share, or nothing without a waiver, which was reported.
fn audit(settings: &Settings, waivers: &[WaiverDecl], diagnostics: &mut Diagnostics) -> Option<Audit> {
    let Some(written) = settings.nested("audit") else { return Some(Audit::default()) };
    let Some(sample) = written.text("sample") else { return Some(Audit::default()) };
    let percent = sample.strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let place = || written.place("sample");
    if percent == Some(0.0) {
        let waived = waivers.iter().any(|waiver| waiver.code == AUDIT_SAMPLE);
        if !waived {
            let said = "without a sample, a change that moves no time of a file is never found";
            let help = "waive \"AUDIT_SAMPLE\" { reason = \"...\" } in the migration, if that is meant";
            diagnostics.push(Diagnostic::error("SPEC_BAD_VALUE", said).at(place(), "").help(help));
        }
        return waived.then_some(Audit { sample_ppm: 0 });
    }
    // Parts of a million: a smaller share would read nothing.
    let ppm = percent.filter(|p| (0.0001..=100.0).contains(p)).map(|p| (p * 10_000.0).round() as u32);
    if ppm.is_none() {
        let said = "`sample` is a share of the unchanged, from \"0.0001%\" to \"100%\"";
        diagnostics.push(Diagnostic::error("SPEC_BAD_VALUE", said).at(place(), "").help("sample = \"1%\""));
    }
    ppm.map(|sample_ppm| Audit { sample_ppm })
}

/// `load { mode }` with what belongs to it.
fn mode(instance: &Instance, load: &Settings, shapes: &[BlockShape], secrets: &mut Secrets) -> LoadMode {
    let migration = shapes.iter().find(|s| s.keyword == "migration");
    let loads = migration.and_then(|s| s.body.block("load")).map_or(&[][..], |b| &b.body.attributes);
    let own: Vec<AttributeShape> =
        loads.iter().filter(|shape| !LOAD_OWN.contains(&shape.name.as_str())).cloned().collect();
    LoadMode {
        name: load.text("mode").unwrap_or(LoadMode::COPY).to_owned(),
        config: config(load, &instance.address, &own, secrets),
    }
}

fn transform(settings: &Settings) -> Transform {
    let map = settings.all("map").filter_map(|nested| {
        let field = nested.label.clone()?;
        Some((field, nested.settings.pairs("values")))
    });
    Transform { rename: settings.pairs("rename"), drop: settings.words("drop"), map: map.collect() }
}
