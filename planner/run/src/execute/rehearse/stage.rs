//! The stage of a rehearsal: the spec's migrations and their cutover once more, with scratch targets, and without
//! anything that clients would notice.

use segue_contract::{
    Address, BlockRef, LoadMode, LoadSettings, Select, Setting, StepError, UnitJob, UnitName,
};
use segue_language::{CutoverDecl, Desired, FallbackDecl, MigrationDecl, QuiesceDecl};
use segue_plan::event::RehearsalFinding;

use super::super::Ground;

/// The last part of a stage's addresses.
const WORD: &str = "rehearsal";
/// How much of the state's id names a scratch place.
const TAG: usize = 8;

pub(super) struct Stage {
    /// Endpoints and migrations.
    pub(super) desired: Desired,
    /// The cutover.
    pub(super) decl: CutoverDecl,
    /// Each migration, with its stage.
    pub(super) members: Vec<(Address, Address)>,
    /// What is to be said of the scratch places.
    pub(super) findings: Vec<RehearsalFinding>,
}

impl Stage {
    /// Names the scratch places; changes nothing.
    pub(super) fn of(ground: &Ground, desired: &Desired, decl: &CutoverDecl) -> Result<Self, StepError> {
        let tag: String = ground.who.state_id.chars().filter(char::is_ascii_alphanumeric).take(TAG).collect();
        let mut staged = Desired::default();
        let mut members = Vec::new();
        let mut findings = Vec::new();
        for migration in decl.migrations.iter().filter_map(|m| desired.migrations.get(m)) {
            let end = |address: &Address| {
                desired
                    .endpoints
                    .get(address)
                    .ok_or_else(|| StepError::permanent(format!("{address} is not in the spec")))
            };
            let (source, target) = (end(&migration.source)?, end(&migration.target)?);
            let (scratch, said) = ground.registry.endpoint(target)?.scratch(target, &tag)?;
            findings.extend(said.into_iter().map(|finding| RehearsalFinding {
                about: migration.target.clone(),
                finding,
                keys: Vec::new(),
                all_known: true,
            }));
            let address = migration.address.step(WORD);
            members.push((migration.address.clone(), address.clone()));
            let own = MigrationDecl {
                address: address.clone(),
                target: scratch.address.clone(),
                load: load(ground, migration, (source, target)),
                depends_on: migration.depends_on.iter().map(|d| d.step(WORD)).collect(),
                ..migration.clone()
            };
            staged.endpoints.insert(source.address.clone(), source.clone());
            staged.endpoints.insert(scratch.address.clone(), scratch);
            staged.migrations.insert(address, own);
        }
        let narrowed = |quiesce: &QuiesceDecl| QuiesceDecl {
            migrations: quiesce.migrations.iter().map(|m| m.step(WORD)).collect(),
            ..quiesce.clone()
        };
        let cutover = CutoverDecl {
            address: decl.address.step(WORD),
            migrations: members.iter().map(|(_, staged)| staged.clone()).collect(),
            gates: Vec::new(),
            quiesces: decl.quiesces.iter().map(narrowed).collect(),
            routes: Vec::new(),
            watches: Vec::new(),
            settle_ms: 0,
            weights: None,
            fallback: FallbackDecl { reverse: false, ..decl.fallback.clone() },
            rehearse: None,
            depends_on: Vec::new(),
            ..decl.clone()
        };
        Ok(Self { desired: staged, decl: cutover, members, findings })
    }

    fn migration(&self, staged: &Address) -> Result<&MigrationDecl, StepError> {
        self.desired
            .migrations
            .get(staged)
            .ok_or_else(|| StepError::permanent(format!("{staged} is not on the stage")))
    }

    /// The source and the scratch target of a staged migration.
    pub(super) fn ends(&self, staged: &Address) -> Result<(&BlockRef, &BlockRef), StepError> {
        let decl = self.migration(staged)?;
        let end = |address: &Address| {
            let missing = || StepError::permanent(format!("{address} is not on the stage"));
            self.desired.endpoints.get(address).ok_or_else(missing)
        };
        Ok((end(&decl.source)?, end(&decl.target)?))
    }

    /// What a migration on it selects.
    pub(super) fn select(&self, staged: &Address) -> Result<&Select, StepError> {
        Ok(&self.migration(staged)?.select)
    }

    /// One job for each unit.
    pub(super) fn jobs(&self, staged: &Address, units: &[UnitName]) -> Result<Vec<UnitJob>, StepError> {
        let (source, target) = self.ends(staged)?;
        Ok(self.migration(staged)?.jobs(source, target, units))
    }
}

/// How a migration is loaded on the stage: nobody but Segue and the systems knows the scratch place.
fn load(ground: &Ground, migration: &MigrationDecl, ends: (&BlockRef, &BlockRef)) -> LoadSettings {
    let mut load = migration.load.clone();
    let modes = ground.registry.engine(ends.0, ends.1).map(|engine| engine.load_modes()).unwrap_or_default();
    if modes.iter().any(|mode| mode.name == load.mode.name && mode.by_others) {
        load.mode = LoadMode::default();
    }
    load
}

/// Where an endpoint is, for people: its path, or whatever of its settings may be shown.
pub(super) fn place(block: &BlockRef) -> String {
    match block.text("path") {
        Ok(path) => path.to_owned(),
        Err(_) => {
            let shown = block.config.iter().filter_map(|(name, setting)| match setting {
                Setting::Plain(value) if !value.is_null() => Some(format!("{name} = {value}")),
                Setting::Plain(_) | Setting::Secret(_) => None,
            });
            format!("{} ({})", block.address, shown.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A word of the test's command: `{path}` and the like stand for the endpoint's settings that are plain words.
pub(super) fn filled_in(word: &str, block: &BlockRef) -> String {
    let mut filled = word.to_owned();
    for (name, setting) in block.config.iter() {
        if let Setting::Plain(serde_json::Value::String(value)) = setting {
            filled = filled.replace(&format!("{{{name}}}"), value);
        }
    }
    filled
}
