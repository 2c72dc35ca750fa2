//! From the global options to a loaded spec and its state directory, and from there to a plan.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use segue_language::{Desired, Diagnostic, Loaded, SPEC_LIVE, Secrets, Severity, SpecInput, SpecPath, load};
use segue_plan::plan::{Plan, PlanOptions, plan};
use segue_run::clock::SystemClock;
use segue_run::execute::{ObserveIo, claim_problems};
use segue_run::observe::observe;
use segue_run::session::{Snapshot, snapshot};

use crate::diagnostics::{self, Format};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::invocation::Invocation;

/// The state directory of a spec that does not say otherwise, beside it.
const STATE_DIR: &str = ".segue";

/// A spec as it was read, whether it is right or not, and where its state lies.
pub(crate) struct Workspace {
    /// The spec.
    pub(crate) loaded: Loaded,
    /// The state directory, absolute where the current directory is known.
    pub(crate) state_dir: PathBuf,
}

/// Which files make the spec.
pub(crate) fn spec_path(invocation: &Invocation) -> SpecPath {
    let global = &invocation.global;
    match (&global.directory, &global.spec) {
        (Some(dir), Some(file)) => SpecPath::File(dir.join(file)),
        (None, Some(file)) => SpecPath::File(file.clone()),
        (Some(dir), None) => SpecPath::Dir(dir.clone()),
        (None, None) => SpecPath::Dir(PathBuf::from(".")),
    }
}

impl Workspace {
    /// Reads the spec. A spec that is wrong is no error yet: what a dead run left is settled first.
    pub(crate) fn read(invocation: &Invocation) -> Self {
        Self::read_with(invocation, BTreeMap::new())
    }

    /// The same with the variables that a plan file kept.
    pub(crate) fn read_with(invocation: &Invocation, kept: BTreeMap<String, serde_json::Value>) -> Self {
        let global = &invocation.global;
        let spec = spec_path(invocation);
        let base = spec.base_dir();
        let input = SpecInput {
            dir_or_file: spec,
            vars: global.vars.clone(),
            var_files: global.var_files.clone(),
            env: std::env::vars_os()
                .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
                .collect(),
            kept,
        };
        let mut loaded = load(&input, &invocation.registry);
        invocation.repeat_variables(&loaded.variables);
        let state_dir = loaded.state_dir.clone().unwrap_or_else(|| {
            let beside = base.join(STATE_DIR);
            invocation.printer.warn(&format!(
                "the `segue` block cannot be read, so the state directory is taken to be {}",
                beside.display()
            ));
            beside
        });
        say_who_serves(&mut loaded, &state_dir);
        Self { loaded, state_dir }
    }

    /// The spec, once everything that is wrong with it has been told.
    ///
    /// # Errors
    /// It has errors.
    pub(crate) fn desired(&self, invocation: &Invocation) -> Result<&Desired, Failure> {
        diagnostics::tell(&invocation.printer, &self.loaded, Format::Human)?;
        self.loaded.desired.as_ref().ok_or_else(|| Failure::said(Exit::Error))
    }

    /// The spec, if it is right; nothing is told.
    pub(crate) fn desired_if_right(&self) -> Option<&Desired> {
        self.loaded.desired.as_ref()
    }

    /// Whether the spec has errors.
    pub(crate) fn is_wrong(&self) -> bool {
        self.loaded.diagnostics.iter().any(|d| d.severity == Severity::Error)
    }

    /// The values that the spec computed for its secrets.
    pub(crate) fn secrets(&self) -> Secrets {
        self.loaded.secrets.clone()
    }

    /// The state as a reader sees it; what is to be known of it is told.
    ///
    /// # Errors
    /// It cannot be read, or is damaged.
    pub(crate) fn snapshot(&self, invocation: &Invocation) -> Result<Snapshot, Failure> {
        let snapshot = snapshot(&self.state_dir)?;
        for notice in &snapshot.notices {
            invocation.printer.warn(notice);
        }
        Ok(snapshot)
    }

    /// Why the state may not be believed: what the endpoints' markers say against it. While a run is under way it
    /// knows best.
    pub(crate) fn doubts(&self, invocation: &Invocation, snapshot: &Snapshot) -> Vec<String> {
        let Some(state_id) = snapshot.state_id.as_deref().filter(|_| snapshot.running.is_none()) else {
            return Vec::new();
        };
        let io = ObserveIo::new(snapshot.artifacts.clone(), self.secrets());
        let problems = claim_problems(&invocation.registry, &io, state_id, &snapshot.state);
        problems.iter().map(ToString::to_string).collect()
    }

    /// Observes and plans without the lock.
    ///
    /// # Errors
    /// The spec has errors, or the state cannot be read.
    pub(crate) fn plan(&self, invocation: &Invocation, early: bool) -> Result<Planned, Failure> {
        let desired = self.desired(invocation)?;
        let snapshot = self.snapshot(invocation)?;
        let io = ObserveIo::new(snapshot.artifacts.clone(), self.secrets());
        let observed = observe(desired, &snapshot.state, &invocation.registry, &io, &SystemClock::new());
        let options = PlanOptions { base: None, early, state_id: snapshot.state_id.clone() };
        let plan = plan(desired, &snapshot.state, &observed, &options);
        Ok(Planned { plan, snapshot })
    }
}

/// A cutover that does not say which side serves: the state knows who does now.
fn say_who_serves(loaded: &mut Loaded, state_dir: &Path) {
    let unsaid = |problem: &Diagnostic| problem.code == SPEC_LIVE;
    if !loaded.diagnostics.iter().any(unsaid) || !state_dir.exists() {
        return;
    }
    // What is wrong with the state is told by whoever needs it.
    let Ok(snapshot) = snapshot(state_dir) else { return };
    for problem in loaded.diagnostics.iter_mut().filter(|problem| unsaid(problem)) {
        let known = problem.about.as_ref().and_then(|cutover| snapshot.state.cutovers.get(cutover));
        if let Some(known) = known {
            problem.help =
                Some(format!("the {0} serves now: write live = \"{0}\" to keep it serving", known.live));
        }
    }
}

/// A plan, and what it was made from.
pub(crate) struct Planned {
    /// The plan.
    pub(crate) plan: Plan,
    /// The state.
    pub(crate) snapshot: Snapshot,
}
