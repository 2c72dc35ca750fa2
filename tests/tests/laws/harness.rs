//! A lab: a world, a state directory and a spec in a directory of their own, with copies of it to begin again from.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use segue_contract::{Address, BlockRef, Config, LoadSettings, Select, Setting, Side, paths};
use segue_language::{
    CutoverDecl, Desired, FallbackDecl, GateCondition, GateDecl, MigrationDecl, QuiesceDecl, RehearseDecl,
    RehearseMode, RouteDecl, VerifyDecl, WeightsDecl,
};
use segue_plan::event::{Event, WeightEvent};
use segue_plan::state::State;
use segue_run::directory::StateDirectory;
use segue_run::session::{history, snapshot};
use segue_tests::lab::{Case, KILL, KILL_WATCHDOG, Outcome, Task, WATCHDOG};
use segue_tests::memory::{
    Answers, Author, Deed, Fault, Handle, MEMORY, MEMORY_BLOCK, MEMORY_DOCUMENTS, Store, World, expected,
};
use segue_tests::rounds;
use tempfile::TempDir;

/// Writes before the first command.
const WRITES_BEFORE: u64 = 40;
/// Writes in all; more than any test's calls come to.
const WRITES_MAX: u64 = 400;
/// The seed of the writers, unless `SEGUE_LAB_SEED` says another.
const SEED: u64 = 20_240_817;

/// The ways to be quiet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The writers are stopped.
    Writers,
    /// The store refuses clients, not Segue.
    Data,
    /// The store refuses everybody.
    Blind,
    /// The store refuses clients, not Segue, and the documents engine carries its records.
    Documents,
    /// Two migrations that switch as one: the first refuses clients, the second stops writers.
    Group,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Writers, Self::Data, Self::Blind, Self::Documents];

    /// Which of so many calls of one name are looked at: all of them in the long run. The documents engine makes many for
    /// one step: in the short run the first of a name, the last, and the one in the middle.
    pub(crate) fn looked_at(self, count: u64) -> BTreeSet<u64> {
        if self == Self::Documents && rounds(1, 4) == 1 {
            return BTreeSet::from([1, count.div_ceil(2), count]);
        }
        (1..=count).collect()
    }

    fn quiesce(self) -> &'static str {
        match self {
            Self::Writers => MEMORY,
            Self::Data | Self::Blind | Self::Documents | Self::Group => MEMORY_BLOCK,
        }
    }

    fn endpoint(self) -> &'static str {
        match self {
            Self::Documents => MEMORY_DOCUMENTS,
            Self::Writers | Self::Data | Self::Blind | Self::Group => MEMORY,
        }
    }

    fn barrier(self) -> &'static str {
        match self {
            Self::Data | Self::Documents | Self::Group => "identity",
            Self::Writers | Self::Blind => "none",
        }
    }
}

/// What a spec asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Want {
    pub(crate) live: Side,
    pub(crate) finished: bool,
    pub(crate) reverse: bool,
    /// Whether it is only rehearsed, with a pause.
    pub(crate) rehearse: bool,
    /// Whether reads go over in steps.
    pub(crate) weighted: bool,
}

pub(crate) const SOURCE: Want = want(Side::Source, false);
pub(crate) const TARGET: Want = want(Side::Target, false);
pub(crate) const REHEARSED: Want = Want { rehearse: true, ..TARGET };
pub(crate) const WEIGHTED: Want = Want { weighted: true, ..TARGET };
pub(crate) const FINISHED: Want = want(Side::Target, true);
pub(crate) const ABANDONED: Want = want(Side::Source, true);

const fn want(live: Side, finished: bool) -> Want {
    Want { live, finished, reverse: true, rehearse: false, weighted: false }
}

fn rehearsal() -> RehearseDecl {
    RehearseDecl { mode: RehearseMode::Only, quiesce: true, valid_for_ms: 86_400_000, test: Vec::new() }
}

pub(crate) struct Lab {
    dir: TempDir,
    pub(crate) kind: Kind,
    /// Whether a watchdog settles what dies.
    pub(crate) watched: bool,
    /// Where that dies.
    pub(crate) kill_watchdog: Option<String>,
}

pub(crate) fn cutover() -> Address {
    Address::new("cutover.site")
}

pub(crate) fn store(side: Side) -> &'static str {
    match side {
        Side::Source => "old",
        Side::Target => "new",
    }
}

fn fallback(barrier: &str, want: Want) -> FallbackDecl {
    FallbackDecl {
        reverse: want.reverse,
        report_stale_writers: barrier == "none",
        retain_ms: None,
        max_age_ms: 3_600_000,
        accept_loss: !want.reverse,
        dual_write: false,
        fence: None,
    }
}

impl Lab {
    /// A world in which the writers have written to the source for a while, and nothing else is there.
    pub(crate) fn new(kind: Kind) -> Self {
        let seed = std::env::var("SEGUE_LAB_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(SEED);
        eprintln!("{kind:?}: writers' seed {seed} (SEGUE_LAB_SEED)");
        // Memory where there is such a directory: every event is synced, and no law is about the disk.
        let shm = Path::new("/dev/shm");
        let place = if shm.is_dir() { shm.to_owned() } else { std::env::temp_dir() };
        let dir = tempfile::Builder::new().prefix("segue-lab-").tempdir_in(place).expect("a directory");
        let lab = Self { dir, kind, watched: false, kill_watchdog: None };
        paths::create_dir_all(&lab.here()).expect("made");
        let mut world = World {
            seed,
            writes_max: WRITES_MAX,
            running: true,
            follows: "site".to_owned(),
            routes: BTreeMap::from([("site".to_owned(), Some("old".to_owned()))]),
            ..World::default()
        };
        let old = Store { exists: true, open: true, ..Store::default() };
        if kind == Kind::Group {
            // Nobody writes to it: what matters is that it is never served from another side than the first.
            let mut second = old.clone();
            for n in 1..9 {
                second.put(&format!("side-{n}"), Some(n.to_string()), n, Author::Client, None);
            }
            world.stores.insert("old2".to_owned(), second);
            world.routes.insert("side".to_owned(), Some("old2".to_owned()));
        }
        world.stores.insert("old".to_owned(), old);
        for _ in 0..WRITES_BEFORE {
            world.tick();
        }
        lab.put(&world);
        lab
    }

    fn here(&self) -> PathBuf {
        self.dir.path().join("here")
    }

    pub(crate) fn state_dir(&self) -> PathBuf {
        self.here().join("state")
    }

    fn handle(&self) -> Handle {
        Handle::new(&self.here().join("world.json"))
    }

    pub(crate) fn world(&self) -> World {
        self.handle().read().expect("a world")
    }

    pub(crate) fn put(&self, world: &World) {
        self.handle().write(world).expect("written");
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut World)) {
        let mut world = self.world();
        change(&mut world);
        self.put(&world);
    }

    /// Writes the fault script; calls are counted from now on.
    pub(crate) fn script(&self, faults: &[(&str, Deed)]) {
        self.change(|world| {
            world.calls.clear();
            world.faults =
                faults.iter().map(|(at, deed)| Fault { at: (*at).to_owned(), deed: deed.clone() }).collect();
        });
    }

    /// Keeps a copy of world and state.
    pub(crate) fn keep(&self, name: &str) {
        copy(&self.here(), &self.dir.path().join(name));
    }

    /// Goes on from a copy as if it had always been here.
    pub(crate) fn restore(&self, name: &str) {
        std::fs::remove_dir_all(self.here()).expect("removed");
        copy(&self.dir.path().join(name), &self.here());
        if let Some((directory, _)) = StateDirectory::open(&self.state_dir()).expect("readable") {
            directory.settle_here().expect("settled");
        }
    }

    pub(crate) fn case(&self, want: Want) -> Case {
        Case { desired: self.desired(want), state_dir: self.state_dir() }
    }

    /// Runs a command in a process of its own. `None`: it was killed.
    pub(crate) fn try_run(&self, case: &Case, task: &Task, kill: Option<&str>) -> Option<Outcome> {
        let file = self.dir.path().join("case.json");
        paths::replace(&file, &serde_json::to_vec(case).expect("JSON")).expect("written");
        let mut command = Command::new(segue_tests::program(env!("CARGO_BIN_EXE_lab-driver")));
        command.arg(&file).arg(serde_json::to_string(task).expect("JSON"));
        if let Some(kill) = kill {
            command.env(KILL, kill);
        }
        if self.watched {
            command.env(WATCHDOG, segue_tests::program(env!("CARGO_BIN_EXE_segue-lab")));
        }
        if let Some(kill) = &self.kill_watchdog {
            command.env(KILL_WATCHDOG, kill);
        }
        let output = command.output().expect("started");
        if output.status.signal() == Some(9) {
            return None;
        }
        let said = String::from_utf8_lossy(&output.stderr);
        eprint!("{said}");
        let outcome: Outcome = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("{e}: {} {said}", output.status));
        Some(outcome)
    }

    pub(crate) fn run(&self, want: Want, task: &Task) -> Outcome {
        self.try_run(&self.case(want), task, None).expect("nobody kills it")
    }

    /// What probes answer from now on, by name: one a look, the last for ever.
    pub(crate) fn answers(&self, name: &str, script: &[bool]) {
        self.change(|world| {
            world.answers.insert(name.to_owned(), Answers { script: script.to_vec(), given: 0 });
        });
    }

    pub(crate) fn apply(&self, want: Want) -> Outcome {
        self.run(want, &Task::Apply)
    }

    /// Applies, and nothing may go wrong.
    pub(crate) fn applied(&self, want: Want) {
        let outcome = self.apply(want);
        assert_eq!(outcome.exit, 0, "{:?} {want:?}: {:?}", self.kind, outcome.messages);
    }

    pub(crate) fn state(&self) -> State {
        snapshot(&self.state_dir()).expect("readable").state
    }

    /// Waits until the watchdog of the attempt that died has ended, if there is one.
    pub(crate) fn until_nobody_watches(&self) {
        // The last that was begun under a watchdog: a pause, or reads that went to the target.
        let begun = |(_, event)| match event {
            Event::AttemptBegan { attempt, .. } => Some(attempt.watchdog),
            Event::Weight { weight: WeightEvent::Began { watchdog, .. }, .. } => Some(watchdog),
            _ => None,
        };
        let Some(watcher) = self.events().into_iter().filter_map(begun).flatten().last() else { return };
        segue_tests::wait_until("the watchdog is through", || {
            !segue_run::host::process_alive(watcher.pid, watcher.start_time)
        });
    }

    pub(crate) fn events(&self) -> Vec<(u64, Event)> {
        let mut events = Vec::new();
        history(&self.state_dir(), &mut |seq, entry| {
            events.push((seq, entry.event.clone()));
        })
        .expect("readable");
        events
    }

    pub(crate) fn last_event(&self) -> u64 {
        self.events().last().map_or(0, |(seq, _)| *seq)
    }

    /// What must hold whenever a command has ended and nothing is in flight: one side takes the writes, the
    /// route leads there, and it has every acknowledged write exactly once and nothing else.
    pub(crate) fn check_serves(&self, live: Side, what: &str) {
        let mut world = self.world();
        let shown = (
            world.running,
            &world.routes,
            world.stores.get("old").map(|s| s.open),
            world.stores.get("new").map(|s| s.open),
        );
        assert_eq!(world.serving(), Some(store(live)), "{what}: running, route, old, new open: {shown:?}");
        assert_eq!(world.routes["site"].as_deref(), Some(store(live)), "{what}: the route");
        if matches!(self.kind, Kind::Data | Kind::Documents | Kind::Group) {
            let other = world.stores.get(store(live.other()));
            assert!(other.is_none_or(|s| !s.open), "{what}: both sides take writes");
        }
        if self.kind == Kind::Group {
            let second = format!("{}2", store(live));
            assert_eq!(world.routes["side"], Some(second.clone()), "{what}: the second route");
            assert_eq!(world.stores[&second].live().len(), 8, "{what}: the second's records");
        }
        // And it goes on doing so until the writers have nothing more to write.
        for _ in 0..=WRITES_MAX {
            world.tick();
        }
        assert_eq!(world.written(), WRITES_MAX, "{what}: writes are refused");
        let there = world.stores[store(live)].live();
        assert_eq!(there, expected(&world), "{what}: the live side against what was acknowledged");
    }

    /// Nothing is left to do, and nothing has drifted.
    pub(crate) fn check_plan_is_empty(&self, want: Want, what: &str) {
        let outcome = segue_tests::lab::run(&self.case(want), &Task::Plan);
        let plan = outcome.plan.expect("a plan");
        let pending: Vec<_> = plan.pending().map(|s| (s.address.clone(), s.reason.clone())).collect();
        assert_eq!(outcome.exit, 0, "{what}: {pending:?} {:?} {:?}", plan.drift, outcome.messages);
    }

    pub(crate) fn block(&self, address: &str, provider: &str, settings: &[(&str, &str)]) -> BlockRef {
        let mut config = Config::default();
        let world = self.here().join("world.json");
        config.insert("world", Setting::Plain(world.display().to_string().into()));
        for (name, value) in settings {
            config.insert(*name, Setting::Plain((*value).into()));
        }
        BlockRef {
            address: Address::new(address),
            provider: provider.to_owned(),
            base_dir: self.here(),
            config,
            scope: Vec::new(),
        }
    }

    /// The spec, resolved.
    pub(crate) fn desired(&self, want: Want) -> Desired {
        let barrier = self.kind.barrier();
        let endpoints = [
            self.block("source.memory.old", self.kind.endpoint(), &[("name", "old"), ("barrier", barrier)]),
            self.block("target.memory.new", self.kind.endpoint(), &[("name", "new"), ("barrier", barrier)]),
        ];
        let ends = [("name", "site"), ("source", "old"), ("target", "new")];
        let route = self.block("route.memory.site", MEMORY, &ends);
        let migration = MigrationDecl {
            address: Address::new("migration.site"),
            source: endpoints[0].address.clone(),
            target: endpoints[1].address.clone(),
            transform: segue_contract::Transform::default(),
            select: Select::default(),
            load: LoadSettings { parallelism: 1, ..LoadSettings::default() },
            sync_interval_ms: 1,
            max_deletions: None,
            verify: VerifyDecl { repair: true, ..VerifyDecl::default() },
            audit: segue_contract::Audit::default(),
            depends_on: Vec::new(),
            waivers: Vec::new(),
        };
        let second = (self.kind == Kind::Group).then(|| self.second(&migration));
        let quiesce = self.block("cutover.site.quiesce", self.kind.quiesce(), &[]);
        let condition = GateCondition::Lag { max_ms: 60_000 };
        let gate = GateDecl { address: cutover().step("gate").step("lag"), timeout_ms: 1000, condition };
        let cutover = CutoverDecl {
            address: cutover(),
            migrations: vec![migration.address.clone()],
            live: want.live,
            finished: want.finished,
            timeout_ms: 60_000,
            freeze_ms: 1,
            gates: vec![gate],
            quiesces: vec![QuiesceDecl { block: quiesce, migrations: Vec::new(), side: None }],
            settle_ms: 0,
            weights: want.weighted.then(|| WeightsDecl { steps: vec![5, 25, 100], hold_ms: 1 }),
            routes: vec![route.address.clone()],
            watches: Vec::new(),
            fallback: fallback(barrier, want),
            rehearse: want.rehearse.then(rehearsal),
            waivers: Vec::new(),
            depends_on: Vec::new(),
        };
        let mut desired = Desired {
            endpoints: endpoints.into_iter().map(|b| (b.address.clone(), b)).collect(),
            routes: BTreeMap::from([(route.address.clone(), RouteDecl { block: route })]),
            migrations: BTreeMap::from([(migration.address.clone(), migration)]),
            cutovers: BTreeMap::from([(cutover.address.clone(), cutover)]),
            ..Desired::default()
        };
        if let Some(second) = second {
            second.join(&mut desired);
        }
        desired
    }

    /// The second member of a group.
    fn second(&self, first: &MigrationDecl) -> Second {
        let settings = |name| [("name", name), ("barrier", "none")];
        let source = self.block("source.memory.old2", MEMORY, &settings("old2"));
        let target = self.block("target.memory.new2", MEMORY, &settings("new2"));
        let migration = MigrationDecl {
            address: Address::new("migration.side"),
            source: source.address.clone(),
            target: target.address.clone(),
            depends_on: vec![first.address.clone()],
            waivers: Vec::new(),
            ..first.clone()
        };
        Second {
            endpoints: [source, target],
            route: self.block(
                "route.memory.side",
                MEMORY,
                &[("name", "side"), ("source", "old2"), ("target", "new2")],
            ),
            quiesce: self.block("cutover.site.quiesce_2", MEMORY, &[]),
            migration,
        }
    }
}

struct Second {
    endpoints: [BlockRef; 2],
    route: BlockRef,
    quiesce: BlockRef,
    migration: MigrationDecl,
}

impl Second {
    fn join(self, desired: &mut Desired) {
        let Self { endpoints, route, quiesce, migration } = self;
        let cutover = desired.cutovers.values_mut().next().expect("the cutover");
        for first in &mut cutover.quiesces {
            first.migrations.clone_from(&cutover.migrations);
        }
        cutover.quiesces.push(QuiesceDecl {
            block: quiesce,
            migrations: vec![migration.address.clone()],
            side: None,
        });
        cutover.migrations.push(migration.address.clone());
        cutover.routes.push(route.address.clone());
        cutover.fallback.report_stale_writers = true;
        desired.endpoints.extend(endpoints.map(|b| (b.address.clone(), b)));
        desired.routes.insert(route.address.clone(), RouteDecl { block: route });
        desired.migrations.insert(migration.address.clone(), migration);
    }
}

pub(crate) fn copy(from: &Path, to: &Path) {
    paths::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("listed") {
        let entry = entry.expect("listed");
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            copy(&path, &copied);
        } else if kind.is_file() {
            std::fs::copy(&path, &copied).expect("copied");
        }
    }
}

/// Every file below a directory with its content.
pub(crate) fn bytes_below(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.expect("listed").path();
        if path.is_dir() {
            found.extend(bytes_below(&path));
        } else if path.is_file() {
            let bytes = paths::read(&path).expect("read");
            found.insert(path, bytes);
        }
    }
    found
}
