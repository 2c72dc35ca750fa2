//! A full disk: the error says how much is still to come, and how much room there is.

use segue_contract::StepError;

use super::scan::Scan;
use super::work::Work;

/// How the texts of the two errors of a full disk end (`ENOSPC`, `EDQUOT`).
const FULL: [&str; 2] = ["(os error 28)", "(os error 122)"];

/// Adds to the error of a full disk how much to free.
pub(crate) fn explain(work: &Work<'_>, error: StepError) -> StepError {
    if !FULL.iter().any(|end| error.what.ends_with(end)) {
        return error;
    }
    let sum = |tree: &std::sync::Arc<super::tree::Tree>| {
        let mut scan = Scan::start(tree.clone(), work.chosen.clone(), work.threads).ok()?;
        while scan.next().ok()?.is_some() {}
        Some(scan.aside.bytes)
    };
    let free = rustix::fs::fstatvfs(work.to.fd()).ok().map(|at| at.f_bavail.saturating_mul(at.f_frsize));
    let (Some(there), Some(here), Some(free)) = (sum(&work.from), sum(&work.to), free) else {
        return error;
    };
    let missing = there.saturating_sub(here).saturating_sub(free).max(1);
    error.remedy(format!(
        "free at least {missing} bytes on the file system of {} and run the same command again: nothing was lost, it goes on where it stopped",
        work.to.root().display()
    ))
}
