//! What `observed` is in the condition of a `gate "check"`: the facts of the moment, as a value of the language.

use std::collections::BTreeMap;

use segue_contract::{Address, EndpointFacts, Side, UnitFacts};
use segue_language::Value;

use super::Lag;
use crate::event::BootTime;
use crate::state::{State, UnitState};

/// What a condition may look at.
#[derive(Clone, Debug)]
pub struct Facts<'a> {
    /// What the journal knows.
    pub state: &'a State,
    /// The cutover's migrations.
    pub migrations: &'a [Address],
    /// What the endpoints are like now, by migration and side; those that could not be asked are missing.
    pub endpoints: BTreeMap<(Address, Side), EndpointFacts>,
    /// Wall clock, milliseconds since 1970.
    pub wall_ms: i64,
    /// Boot clock.
    pub boot: BootTime,
    /// The predicted pause, in milliseconds.
    pub forecast_ms: u64,
}

/// The facts as a value; what is not known is unknown.
pub fn observed(facts: &Facts<'_>) -> Value {
    let units = |migration: &Address| {
        let known = facts.state.migrations.get(migration).map(|m| &m.units);
        let source = facts.endpoints.get(&(migration.clone(), Side::Source));
        let of = |name: &str| source.and_then(|s| s.units.iter().find(|u| u.name == name));
        let units = known.into_iter().flatten();
        map(units.map(|(name, unit)| (name.clone(), unit_value(facts, unit, of(name)))))
    };
    let side = |migration: &Address, side: Side| {
        facts.endpoints.get(&(migration.clone(), side)).map_or_else(Value::unknown, endpoint_value)
    };
    let by_migration =
        |value: &dyn Fn(&Address) -> Value| map(facts.migrations.iter().map(|m| (m.to_string(), value(m))));
    let now = jiff::Timestamp::from_millisecond(facts.wall_ms).map(|at| at.to_string());
    map([
        ("units".to_owned(), by_migration(&units)),
        ("source".to_owned(), by_migration(&|m| side(m, Side::Source))),
        ("target".to_owned(), by_migration(&|m| side(m, Side::Target))),
        ("now".to_owned(), now.map_or_else(|_| Value::unknown(), Value::string)),
        ("forecast_ms".to_owned(), count(Some(facts.forecast_ms))),
    ])
}

/// The same with units of these names and nothing known of them: a mistyped name is found before anything runs.
pub fn observed_shape(units: &BTreeMap<Address, Vec<String>>) -> Value {
    let unknown = |names: &[&str]| map(names.iter().map(|n| ((*n).to_owned(), Value::unknown())));
    let unit = || unknown(&["records", "bytes", "lag_ms", "passes", "verified_age_ms", "set_aside"]);
    let of_migration = |names: &Vec<String>| match names.as_slice() {
        // Before the first look nobody knows the units.
        [] => Value::unknown(),
        names => map(names.iter().map(|name| (name.clone(), unit()))),
    };
    let endpoint = || unknown(&["identity", "exists", "records", "bytes", "settings"]);
    let by_migration = |value: &dyn Fn(&Vec<String>) -> Value| {
        map(units.iter().map(|(migration, names)| (migration.to_string(), value(names))))
    };
    map([
        ("units".to_owned(), by_migration(&of_migration)),
        ("source".to_owned(), by_migration(&|_| endpoint())),
        ("target".to_owned(), by_migration(&|_| endpoint())),
        ("now".to_owned(), Value::unknown()),
        ("forecast_ms".to_owned(), Value::unknown()),
    ])
}

fn map(entries: impl IntoIterator<Item = (String, Value)>) -> Value {
    Value::map(entries.into_iter().collect())
}

fn count(number: Option<u64>) -> Value {
    number.and_then(|n| i64::try_from(n).ok()).map_or_else(Value::unknown, Value::int)
}

fn unit_value(facts: &Facts<'_>, unit: &UnitState, seen: Option<&UnitFacts>) -> Value {
    let lag_ms = match Lag::of(unit, &facts.boot) {
        Lag::Ms(ms) => Some(ms),
        Lag::Unknown => None,
    };
    let age = |at_ms: i64| u64::try_from(facts.wall_ms.saturating_sub(at_ms)).unwrap_or(0);
    map([
        ("records".to_owned(), count(Some(unit.records_seen))),
        ("bytes".to_owned(), count(seen.and_then(|u| u.bytes))),
        ("lag_ms".to_owned(), count(lag_ms)),
        ("passes".to_owned(), count(Some(unit.passes_total))),
        ("verified_age_ms".to_owned(), count(unit.verified.as_ref().map(|v| age(v.at_ms)))),
        ("set_aside".to_owned(), count(Some(unit.set_aside_total))),
    ])
}

fn endpoint_value(facts: &EndpointFacts) -> Value {
    let sum = |of: fn(&UnitFacts) -> Option<u64>| {
        count(facts.units.iter().map(of).try_fold(0_u64, |all, one| one.map(|n| all.saturating_add(n))))
    };
    let settings = facts.settings.iter().map(|(k, v)| (k.clone(), Value::string(v.as_str())));
    map([
        ("identity".to_owned(), Value::string(facts.identity.0.as_str())),
        ("exists".to_owned(), Value::bool(facts.exists)),
        ("records".to_owned(), sum(|u| u.records)),
        ("bytes".to_owned(), sum(|u| u.bytes)),
        ("settings".to_owned(), map(settings)),
    ])
}

#[cfg(test)]
mod tests {
    use segue_language::{Condition, Verdict};

    use super::*;
    use crate::event::MigrationRecord;
    use crate::state::{MigrationState, PassRecord, VerifiedRecord};

    fn condition(text: &str) -> Condition {
        Condition { text: text.to_owned(), known: BTreeMap::new() }
    }

    fn state() -> State {
        let endpoint = |address: &str| segue_contract::BlockRef {
            address: Address::new(address),
            provider: "memory".to_owned(),
            base_dir: "/".into(),
            config: segue_contract::Config::default(),
            scope: Vec::new(),
        };
        let unit = UnitState {
            records_seen: 12,
            passes_total: 3,
            passes: vec![PassRecord {
                began_boot: BootTime { ms: 1_000, boot_id: "boot".to_owned() },
                ..PassRecord::default()
            }],
            verified: Some(VerifiedRecord {
                level: segue_contract::VerifyLevel::Full,
                ledger: segue_contract::ArtifactName("l".to_owned()),
                at_ms: 40_000,
                records: 12,
            }),
            ..UnitState::default()
        };
        let record = MigrationRecord {
            migration: Address::new("migration.site"),
            cutover: None,
            source: endpoint("source.memory.old"),
            target: endpoint("target.memory.new"),
            source_identity: segue_contract::Identity("a".to_owned()),
            target_identity: segue_contract::Identity("b".to_owned()),
            jobs: Vec::new(),
        };
        let migration = MigrationState {
            record,
            epoch: 1,
            marker: None,
            made: Default::default(),
            units: BTreeMap::from([("tree".to_owned(), unit)]),
        };
        let migrations = BTreeMap::from([(Address::new("migration.site"), migration)]);
        State { migrations, ..State::default() }
    }

    fn judge(text: &str) -> Result<(Verdict, String), String> {
        let (state, migrations) = (state(), [Address::new("migration.site")]);
        let facts = Facts {
            state: &state,
            migrations: &migrations,
            endpoints: BTreeMap::new(),
            wall_ms: 100_000,
            boot: BootTime { ms: 1_250, boot_id: "boot".to_owned() },
            forecast_ms: 800,
        };
        condition(text).judge(&observed(&facts)).map(|j| (j.verdict, j.evidence()))
    }

    #[test]
    fn a_condition_is_judged_by_the_facts_and_says_which() {
        let unit = "observed.units[\"migration.site\"][\"tree\"]";
        let (verdict, by) = judge(&format!("{unit}.records == 12 && {unit}.lag_ms <= 250")).unwrap();
        assert_eq!(verdict, Verdict::Holds);
        assert_eq!(by, format!("{unit}.records = 12, {unit}.lag_ms = 250"));
        assert_eq!(judge(&format!("{unit}.verified_age_ms < 60000")).unwrap().0, Verdict::Fails);
        assert_eq!(judge("observed.forecast_ms < duration(\"1s\")").unwrap().0, Verdict::Holds);
        assert_eq!(judge("observed.now == \"1970-01-01T00:01:40Z\"").unwrap().0, Verdict::Holds);
        let every = "length([for m in observed.units : 1 if m[\"tree\"].set_aside > 0]) == 0";
        assert_eq!(judge(every).unwrap().0, Verdict::Holds);
    }

    #[test]
    fn what_could_not_be_observed_is_unknown_and_what_does_not_exist_is_told() {
        let source = "observed.source[\"migration.site\"].exists";
        assert_eq!(judge(source).unwrap(), (Verdict::Unknown, String::new()));
        assert!(judge("observed.units[\"migration.sit\"][\"tree\"].records > 0").is_err());
        assert!(
            judge("observed.units[\"migration.site\"][\"tree\"].record > 0").unwrap_err().contains("records")
        );
        assert!(judge("observed.forecast_ms").unwrap_err().contains("true or false"));
    }

    #[test]
    fn mistyped_names_are_found_before_anything_is_known() {
        let units = BTreeMap::from([(Address::new("migration.site"), vec!["tree".to_owned()])]);
        let judge = |text: &str| condition(text).judge(&observed_shape(&units)).map(|j| j.verdict);
        let unit = "observed.units[\"migration.site\"][\"tree\"]";
        assert_eq!(judge(&format!("{unit}.lag_ms < 5")), Ok(Verdict::Unknown));
        assert!(judge(&format!("{unit}.lag < 5")).is_err());
        assert!(judge("observed.units[\"migration.site\"][\"tre\"].lag_ms < 5").is_err());
        assert!(judge("observed.source[\"migration.site\"].size < 5").is_err());
    }
}
