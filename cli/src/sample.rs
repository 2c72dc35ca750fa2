//! Plans and states for the tests of the views.

use std::collections::BTreeMap;
use std::path::PathBuf;

use segue_contract::{
    Address, ArtifactName, BlockRef, Config, Direction, Finding, Identity, LoadSettings, QuiesceCall,
    QuiesceKind, Select, Severity, Side, StaleFind, UnitJob, VerifyLevel,
};
use segue_language::{Desired, Term};
use segue_plan::cutover::{DowntimeTerm, Forecast, Phase};
use segue_plan::diff::{Change, SettingDiff};
use segue_plan::event::{Attempt, BootTime, FallbackTerms, Member, MigrationRecord};
use segue_plan::plan::{Basis, Drift, Estimate, Note, Plan, PlanStep, Reason, StepKind};
use segue_plan::state::{
    CutoverState, Held, MigrationState, PassRecord, PauseTerm, State, SwitchRecord, UnitState, VerifiedRecord,
};
use segue_run::session::Snapshot;

use crate::render::status::Now;

/// 2026-01-31T09:30:00Z
const SWITCHED_MS: i64 = 1_769_851_800_000;

/// Two hours after the switch of the sample state.
pub(crate) fn now() -> Now {
    Now { wall_ms: SWITCHED_MS + 7_200_000, boot_ms: 1_012_000, boot_id: "boot".to_owned() }
}

/// A state as a reader sees it.
pub(crate) fn snapshot(state: State, running: Option<&str>) -> Snapshot {
    Snapshot {
        state,
        sequence: 9,
        running: running.map(str::to_owned),
        notices: Vec::new(),
        state_id: Some("id".to_owned()),
        artifacts: PathBuf::from("/srv/.segue/artifacts"),
        live: None,
    }
}

fn cutover() -> Address {
    Address::new("cutover.site")
}

fn migration() -> Address {
    Address::new("migration.site")
}

fn block(address: &str) -> BlockRef {
    BlockRef {
        address: Address::new(address),
        provider: "directory".to_owned(),
        base_dir: PathBuf::from("/srv"),
        config: Config::default(),
        scope: Vec::new(),
    }
}

/// An attempt that stops writers and starts them.
pub(crate) fn attempt() -> Attempt {
    let call = |side, endpoint| QuiesceCall {
        block: block("cutover.site.quiesce.command"),
        endpoint: block(endpoint),
        side,
    };
    Attempt {
        epoch: 2,
        from: Side::Source,
        to: Side::Target,
        plan_hash: "ab".repeat(32),
        held_after: None,
        timeout_ms: 30_000,
        freeze_ms: 50,
        began: BootTime { ms: 1_000_000, boot_id: "boot".to_owned() },
        jobs: Vec::new(),
        members: vec![Member {
            migration: Address::new("migration.site"),
            close_kind: QuiesceKind::Writers,
            close: call(Side::Source, "source.directory.old"),
            open_kind: QuiesceKind::Writers,
            open: call(Side::Target, "target.directory.new"),
            verify: VerifyLevel::Full,
            repair: false,
            verify_all: false,
        }],
        routes: Vec::new(),
        settle_ms: 0,
        old_answers_ms: 0,
        watchdog: None,
        fallback: FallbackTerms::default(),
        leaves: None,
        reverse: true,
        by_hand: PathBuf::from("/srv/.segue/BY_HAND.txt"),
        rehearsal: false,
        waivers: Vec::new(),
    }
}

fn unit() -> UnitState {
    let pass = |load, reverse, began_ms, boot_ms| PassRecord {
        load,
        reverse,
        began_ms,
        began_boot: BootTime { ms: boot_ms, boot_id: "boot".to_owned() },
        took_us: 1_500_000,
        ..PassRecord::default()
    };
    UnitState {
        loaded: true,
        ledger: Some(ArtifactName("ledger-0123".to_owned())),
        passes: vec![
            pass(true, false, SWITCHED_MS - 60_000, 900_000),
            pass(false, true, SWITCHED_MS + 60_000, 1_010_500),
        ],
        passes_total: 4,
        records_total: 100_310,
        bytes_total: 5 << 30,
        records_seen: 100_000,
        verified: Some(VerifiedRecord {
            level: VerifyLevel::Full,
            ledger: ArtifactName("ledger-0123".to_owned()),
            at_ms: SWITCHED_MS - 5_000,
            records: 100_000,
        }),
        ..UnitState::default()
    }
}

fn state_with(known: CutoverState) -> State {
    let mut state = State::default();
    state.cutovers.insert(cutover(), known);
    let record = MigrationRecord {
        migration: migration(),
        cutover: Some(cutover()),
        source: block("source.directory.old"),
        target: block("target.directory.new"),
        source_identity: Identity("dev 1 inode 2".to_owned()),
        target_identity: Identity("dev 1 inode 3".to_owned()),
        jobs: vec![UnitJob {
            migration: migration(),
            unit: "tree".to_owned(),
            source: block("source.directory.old"),
            target: block("target.directory.new"),
            direction: Direction::Forward,
            select: Select::default(),
            transform: segue_contract::Transform::default(),
            load: LoadSettings::default(),
            audit: segue_contract::Audit::default(),
            quiet: false,
            ledger: None,
            epoch: 0,
            deletions: segue_contract::DeletionTerms::default(),
        }],
    };
    let known = MigrationState {
        record,
        epoch: 2,
        marker: None,
        made: [Address::new("target.directory.new")].into(),
        units: BTreeMap::from([("tree".to_owned(), unit())]),
    };
    state.migrations.insert(migration(), known);
    state
}

fn switched() -> CutoverState {
    let term = |name: &str, us| PauseTerm { name: name.to_owned(), us };
    CutoverState {
        live: Side::Target,
        phase: Phase::Soaking,
        epoch: 2,
        switches: 1,
        attempt: Some(Box::new(attempt())),
        pauses: vec![
            term("DRAINED", 21_000),
            term("FENCED", 61_000),
            term("CAUGHT_UP", 8_400),
            term("VERIFIED", 3_100),
            term("HARDENED", 900),
            term("REVERSE_ARMED", 400),
            term("COMMITTED", 2_000),
            term("ROUTED", 1_100),
            term("OPEN", 15_000),
        ],
        last_switch: Some(SwitchRecord { epoch: 2, to: Side::Target, at_ms: SWITCHED_MS, pause_us: 112_900 }),
        stale_looked: true,
        ..CutoverState::default()
    }
}

/// The target serves.
pub(crate) fn switched_state() -> State {
    state_with(switched())
}

/// Writes are refused.
pub(crate) fn paused_state() -> State {
    state_with(CutoverState {
        phase: Phase::Fenced,
        epoch: 2,
        attempt: Some(Box::new(attempt())),
        ..CutoverState::default()
    })
}

/// The target serves, with a hold, stale writes and records set aside.
pub(crate) fn troubled_state() -> State {
    let stale = |n: u32| StaleFind {
        key: format!("log/{n}.txt"),
        what: "changed".to_owned(),
        kept: Some(format!("stale/{n}")),
        process: None,
    };
    let mut state = state_with(CutoverState {
        held: Some(Held {
            reason: "switched back by ann@host".to_owned(),
            wanted: Side::Target,
            since_ms: SWITCHED_MS + 1000,
        }),
        stale: vec![stale(1), stale(2)],
        stale_total: 14,
        ..switched()
    });
    if let Some(unit) = state.migrations.get_mut(&migration()).and_then(|m| m.units.get_mut("tree")) {
        unit.set_aside =
            vec![segue_contract::SetAside { key: "dev/tty".to_owned(), reason: "a device".to_owned() }];
        unit.set_aside_total = 1;
    }
    state
}

fn plan_of(steps: Vec<PlanStep>) -> Plan {
    let basis = Basis {
        desired: Desired::default(),
        base: BTreeMap::new(),
        identities: BTreeMap::new(),
        settings: BTreeMap::new(),
        steps: steps.iter().map(|s| (s.address.clone(), s.kind)).collect(),
    };
    Plan {
        hash: "0123456789abcdef".repeat(4),
        basis,
        changes: BTreeMap::new(),
        steps,
        drift: Vec::new(),
        settings: Vec::new(),
        notes: Vec::new(),
        forecasts: BTreeMap::new(),
    }
}

/// Everything is done.
pub(crate) fn empty_plan() -> Plan {
    plan_of(Vec::new())
}

/// A critical note.
pub(crate) fn refused_plan() -> Plan {
    let mut plan = first_plan();
    plan.steps.truncate(1);
    plan.drift.clear();
    plan.settings.clear();
    plan.forecasts.clear();
    plan.notes.push(Note {
        address: Address::new("target.directory.new"),
        finding: Finding {
            severity: Severity::Critical,
            code: "DIR_NOT_EMPTY".to_owned(),
            summary: "has 3 entries that Segue did not make".to_owned(),
            remedy: "empty it, or name another directory".to_owned(),
        },
    });
    plan
}

/// From nothing to a switch, with drift, a setting that differs and a note.
pub(crate) fn first_plan() -> Plan {
    let (site, unit, cut) = (migration(), migration().step("unit[\"tree\"]"), cutover());
    let mut steps = vec![
        PlanStep::new(&site, site.step("check"), StepKind::Check, "look at both endpoints"),
        PlanStep::new(
            &site,
            site.step("provision"),
            StepKind::Provision,
            "make target (target.directory.new) ready to receive",
        ),
        PlanStep::new(
            &site,
            unit.step("load"),
            StepKind::Load,
            "copy tree from source.directory.old to target.directory.new",
        ),
        PlanStep::new(
            &site,
            unit.step("sync"),
            StepKind::Sync,
            "carry what changed, in passes, until they stop shrinking",
        ),
        PlanStep::new(
            &cut,
            cut.step("gate.approval"),
            StepKind::Gate,
            "wait until somebody approves this plan's hash",
        ),
        PlanStep::new(&cut, cut.step("quiesce"), StepKind::Quiesce, "stop the writers (command)"),
        PlanStep::new(
            &cut,
            cut.step("commit"),
            StepKind::Commit,
            "from here on the target is the side that serves",
        ),
        PlanStep::new(&cut, cut.step("open"), StepKind::Open, "start the writers on the target"),
        PlanStep::new(&cut, cut.step("retain"), StepKind::Retain, "keep the source as fallback, 14d"),
    ];
    for i in 1..steps.len() {
        let before = steps[i - 1].address.clone();
        steps[i].waits_for = vec![before];
    }
    steps[4].waits_for.push(Address::new("migration.other.unit[\"tree\"].verify"));
    steps[2].reason = Reason::Resumed;
    steps[2].estimate = Some(Estimate {
        records: Some(100_000),
        bytes: Some(5 << 30),
        time_ms: Some(25_600),
        basis: "scan of the source; 200 MiB/s and 10000 records/s assumed".to_owned(),
    });
    steps[3].reason = Reason::Again;
    steps[4].asks_approval = true;
    steps[5].remarks = vec!["not committed within 30s: abort, the source is re-opened first".to_owned()];
    let mut plan = plan_of(steps);
    plan.changes.insert(cut.clone(), Change::Switch);
    plan.drift =
        vec![Drift { address: unit, key: Some("a/b.txt".to_owned()), what: "content".to_owned(), more: 2 }];
    plan.settings = vec![SettingDiff {
        migration: site,
        name: "file system".to_owned(),
        lines: vec![('-', "ext4".to_owned()), ('+', "xfs".to_owned()), (' ', "case-sensitive".to_owned())],
    }];
    plan.notes = vec![Note {
        address: Address::new("target.directory.new"),
        finding: Finding {
            severity: Severity::Warning,
            code: "NO_BARRIER".to_owned(),
            summary: "nothing keeps stale clients out of it while the other side serves".to_owned(),
            remedy: "stale_writers = \"report\" is declared: what they write is found, kept aside and listed"
                .to_owned(),
        },
    }];
    let term = |term, ms, basis: &str| DowntimeTerm { term, ms, basis: basis.to_owned(), unmeasured: false };
    let terms = vec![
        DowntimeTerm { unmeasured: true, ..term(Term::Drain, 0, "not measured") },
        term(Term::Fence, 70, "12 passes"),
        term(Term::Open, 2000, "3 pauses"),
    ];
    plan.forecasts.insert(cut, Forecast { terms });
    plan
}
