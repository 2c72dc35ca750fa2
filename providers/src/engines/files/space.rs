//! A full disk: the error says how much is still to come, and how much room there is.

use rustix::fs::StatVfs;
use segue_contract::StepError;

use super::scan::{Aside, Scan};
use super::work::Work;

/// How the texts of the errors of a full disk end: `ENOSPC`, and `EDQUOT`, that of a quota.
const FULL: &str = "(os error 28)";
const OVER_QUOTA: &str = "(os error 122)";

/// Adds to the error of a full disk how much to free.
pub(crate) fn explain(work: &Work<'_>, error: StepError) -> StepError {
    let quota = error.what.ends_with(OVER_QUOTA);
    if !quota && !error.what.ends_with(FULL) {
        return error;
    }
    let sum = |tree: &std::sync::Arc<super::tree::Tree>| {
        let mut scan = Scan::start(tree, work.chosen.clone(), work.threads).ok()?;
        while scan.next().ok()?.is_some() {}
        Some(std::mem::take(&mut scan.aside))
    };
    let (Some(there), Some(here), Ok(room)) =
        (sum(&work.from), sum(&work.to), rustix::fs::fstatvfs(work.to.fd()))
    else {
        return error;
    };
    let remedy = what_to_free(&there, &here, &room, quota);
    error.remedy(format!(
        "{remedy} on the file system of {}, and run the same command again: nothing was lost, it goes on where it stopped",
        work.to.root().display()
    ))
}

/// A phrase. What a file takes elsewhere is an estimate: block sizes differ, and others write there, too.
fn what_to_free(there: &Aside, here: &Aside, room: &StatVfs, quota: bool) -> String {
    let entries = there.entries.saturating_sub(here.entries);
    // Some file systems count no inodes.
    if !quota && room.f_files > 0 && room.f_favail == 0 {
        return format!("it has no room for more files, whatever their size: remove at least {entries}");
    }
    let to_come = there.disk_bytes.saturating_sub(here.disk_bytes);
    let free = room.f_bavail.saturating_mul(room.f_frsize);
    let still = format!("about {to_come} bytes are still to come");
    if quota {
        return format!("{still}: raise the quota by as much, or free as much");
    }
    match to_come.checked_sub(free) {
        Some(missing) if missing > 0 => {
            format!("{still} and {free} are free: free at least {missing} bytes")
        }
        Some(_) | None => format!("{still} and {free} are free by now: see that nobody else fills it"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Aside, StatVfs, what_to_free};

    fn room(free_blocks: u64, free_files: u64) -> StatVfs {
        StatVfs {
            f_bsize: 4096,
            f_frsize: 4096,
            f_blocks: 1000,
            f_bfree: free_blocks,
            f_bavail: free_blocks,
            f_files: 1000,
            f_ffree: free_files,
            f_favail: free_files,
            f_fsid: 0,
            f_flag: rustix::fs::StatVfsMountFlags::empty(),
            f_namemax: 255,
        }
    }

    #[test]
    fn what_is_missing_is_said_in_numbers_that_hold() {
        let tree = |entries, disk_bytes| Aside { entries, disk_bytes, ..Aside::default() };
        let (there, here) = (tree(100, 900_000), tree(40, 500_000));
        assert_eq!(
            what_to_free(&there, &here, &room(10, 50), false),
            "about 400000 bytes are still to come and 40960 are free: free at least 359040 bytes"
        );
        assert_eq!(
            what_to_free(&there, &here, &room(1000, 50), false),
            "about 400000 bytes are still to come and 4096000 are free by now: see that nobody else fills it"
        );
        assert_eq!(
            what_to_free(&there, &here, &room(1000, 0), false),
            "it has no room for more files, whatever their size: remove at least 60"
        );
        assert_eq!(
            what_to_free(&there, &here, &room(1000, 50), true),
            "about 400000 bytes are still to come: raise the quota by as much, or free as much"
        );
    }
}
