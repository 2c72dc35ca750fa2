//! Fingerprints are hints (protocol P29): which files a pass reads although they look unchanged.
//!
//! * Files that are, or were, mapped shared and writable, and files of a file system whose times prove nothing,
//!   are read in each pass under quiesce. Of mapped files some are read ahead of that, so that little is left to
//!   write in the pause.
//! * Of all others a sample is read in each pass, others each time, so that in time each is read.
//!   A file in it that is not what its fingerprint says makes the pass begin anew, with all content compared.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use segue_contract::{AuditReport, Finding, Severity, StepError, StepIo, UnitJob, paths};
use xxhash_rust::xxh3::xxh3_64;

use super::content::{ContentError, Copier};
use super::mapped::Mapped;
use super::scan::{self, Entry};
use super::tree::{Look, OpenDirs, name_of};
use super::work::Work;
use crate::engines::beside::{self, side_file};
use crate::ledger::{Kind, Record};

/// So many files at least are read in each pass, where there are as many.
const LEAST: u64 = 100;
/// Which files fall into a sample is chance: half as many again are wanted, so that hardly ever fewer than
/// [`LEAST`] do.
const MARGIN: u64 = 2;
/// Of a larger file one piece of this size is compared with the other side, another one each time.
const PIECE: u64 = 8 * 1024 * 1024;
/// Bytes of mapped files that a pass before the pause reads.
const AHEAD: u64 = 256 * 1024 * 1024;

/// Nothing is cloned here.
static NO_CLONES: AtomicBool = AtomicBool::new(false);

/// What the audits of all walks of a pass share.
pub(crate) struct Terms {
    mapped: Arc<Mapped>,
    /// Whether all content is compared: an earlier walk of this pass found a change that no fingerprint showed.
    pub(crate) all: bool,
    /// Whether nobody writes to the side that is read.
    quiet: bool,
    /// So many of a million unchanged files are read.
    sample_ppm: u32,
    /// Which of the samples this pass reads.
    turn: u64,
}

impl Terms {
    /// Begins the watch for mappings, or looks again, and takes the next sample's turn.
    pub(crate) fn begin(job: &UnitJob, io: &dyn StepIo) -> Result<Self, StepError> {
        Ok(Self {
            mapped: Mapped::watch(job, io)?,
            all: false,
            quiet: job.quiet,
            sample_ppm: job.audit.sample_ppm,
            turn: turn(job, io.artifacts())?,
        })
    }
}

/// Which files' fingerprints prove nothing.
pub(crate) struct Unproven {
    /// Inode numbers of files that are, or were, mapped.
    pub(crate) mapped: HashSet<u64>,
    /// Whether a file system's times prove nothing, by its device.
    devices: HashMap<u64, bool>,
}

impl Unproven {
    pub(crate) fn new(mapped: HashSet<u64>) -> Self {
        Self { mapped, devices: HashMap::new() }
    }

    pub(crate) fn is_mapped(&self, look: &Look) -> bool {
        look.kind == Kind::File && self.mapped.contains(&look.ino)
    }

    pub(crate) fn is_unproven(&mut self, dirs: &mut OpenDirs<'_>, path: &[u8], look: &Look) -> bool {
        if self.is_mapped(look) {
            return true;
        }
        *self.devices.entry(look.dev).or_insert_with(|| {
            let kind = dirs.parent(path).and_then(rustix::fs::fstatfs);
            kind.is_ok_and(|at| proves_nothing(at.f_type as u64))
        })
    }
}

/// The audit of one walk.
pub(crate) struct Audit<'a> {
    work: &'a Work<'a>,
    terms: &'a Terms,
    /// Of so many samples one is read.
    of: u64,
    ahead: u64,
    /// Mapped files that are in the tree.
    there: HashSet<u64>,
    unproven: Unproven,
    to: OpenDirs<'a>,
    copier: Copier<'a>,
    pub(crate) report: AuditReport,
    first: Option<Vec<u8>>,
}

impl<'a> Audit<'a> {
    /// Of a ledger with so many `files`.
    pub(crate) fn new(work: &'a Work<'a>, terms: &'a Terms, files: u64) -> Self {
        let sample_ppm = terms.sample_ppm;
        let share = u128::from(files) * u128::from(sample_ppm) / 1_000_000;
        let wanted = u64::try_from(share).unwrap_or(u64::MAX).max(LEAST + LEAST / MARGIN);
        Self {
            work,
            terms,
            of: if sample_ppm == 0 { 0 } else { (files / wanted).max(1) },
            ahead: AHEAD,
            there: HashSet::new(),
            unproven: Unproven::new(terms.mapped.inodes()),
            to: OpenDirs::new(&work.to),
            copier: Copier::new(work.io, &NO_CLONES),
            report: AuditReport::default(),
            first: None,
        }
    }

    /// Whether the content of a file that looks unchanged has to be compared with the ledger. What is only in
    /// the sample is compared here.
    pub(crate) fn asks(
        &mut self,
        from: &mut OpenDirs<'_>,
        entry: &Entry,
        record: Option<&Record>,
        carried: bool,
    ) -> Result<bool, StepError> {
        let look = &entry.look;
        if look.kind != Kind::File {
            return Ok(false);
        }
        let mapped = self.unproven.is_mapped(look);
        if mapped {
            self.there.insert(look.ino);
        }
        let unproven = self.unproven.is_unproven(from, &entry.path, look);
        // Later names are the same file.
        if unproven && entry.first.is_none() {
            self.report.unproven += 1;
            self.report.unproven_bytes += look.size;
            self.report.mapped_bytes += if mapped { look.size } else { 0 };
        }
        let Some(record) = record.filter(|_| !carried) else { return Ok(false) };
        if self.terms.all || (unproven && self.terms.quiet) {
            return Ok(true);
        }
        if mapped {
            let ahead = self.ahead >= look.size;
            self.ahead = self.ahead.saturating_sub(look.size);
            return Ok(ahead);
        }
        if entry.first.is_none() && self.is_sampled(&entry.path) {
            self.sample(from, entry, record)?;
        }
        Ok(false)
    }

    fn is_sampled(&self, path: &[u8]) -> bool {
        self.of > 0 && xxh3_64(path) % self.of == self.terms.turn % self.of
    }

    /// Compares one file with the ledger, or a piece of a large one with the other side.
    fn sample(&mut self, from: &mut OpenDirs<'_>, entry: &Entry, record: &Record) -> Result<(), StepError> {
        let (path, look) = (&entry.path, &entry.look);
        // What cannot be read is told where it is to be carried.
        let Some(ours) = open(from, path) else { return Ok(()) };
        let equal = if look.size <= PIECE {
            let hash = self.copier.hash_as(&ours, look.size, look.blocks, record.plain);
            hash.map(|hash| Some(hash == record.hash))
        } else {
            self.piece(&ours, path, look.size, record)
        };
        let equal = match equal {
            Ok(equal) => equal,
            Err(ContentError::Cancelled) => return Err(StepError::cancelled()),
            Err(ContentError::Read(_) | ContentError::Write(_)) => return Ok(()),
        };
        let Some(equal) = equal else { return Ok(()) };
        self.report.sampled += 1;
        // A change since the scan moved something: the next pass sees it.
        let now = rustix::fs::fstat(&ours).ok().and_then(|stat| Look::of(&stat, self.work.from.owners));
        let still = now.is_some_and(|now| now.same_as(record.print(self.work.read)));
        if !equal && still && !self.is_mapped_now(look)? {
            self.report.missed += 1;
            self.first.get_or_insert_with(|| path.clone());
        }
        Ok(())
    }

    /// Whether somebody has mapped it since the walk began.
    fn is_mapped_now(&mut self, look: &Look) -> Result<bool, StepError> {
        self.terms.mapped.look()?;
        self.unproven.mapped.extend(self.terms.mapped.inodes());
        Ok(self.unproven.is_mapped(look))
    }

    /// Whether one piece of a file is the same on both sides; `None`: somebody else changed the other one.
    fn piece(
        &mut self,
        ours: &OwnedFd,
        path: &[u8],
        size: u64,
        record: &Record,
    ) -> Result<Option<bool>, ContentError> {
        let Some(theirs) = open(&mut self.to, path) else { return Ok(None) };
        let at = (self.terms.turn / self.of.max(1) % size.div_ceil(PIECE)) * PIECE;
        let equal = self.copier.same_piece(ours, &theirs, at, PIECE.min(size - at))?;
        let stat = rustix::fs::fstat(&theirs).map_err(ContentError::Read)?;
        let known = Look::of(&stat, self.work.to.owners)
            .is_some_and(|look| look.same_as(record.print(self.work.write())));
        Ok((equal || known).then_some(equal))
    }

    /// What to tell, and to do again, when the sample found a change that no fingerprint showed.
    pub(crate) fn miss(&self) -> Option<Finding> {
        let first = self.first.as_ref()?;
        Some(Finding {
            severity: Severity::Warning,
            code: "FILES_AUDIT".to_owned(),
            summary: format!(
                "{} of {} files that looked unchanged had changed, the first: {}; this pass begins anew and \
                 compares all content",
                self.report.missed,
                self.report.sampled,
                scan::place(&self.work.from, first)
            ),
            remedy: "Find out what writes there without moving a file's times (a short shared mapping, a tool below \
                     the file system), and compare all content in the pause: verify { level = \"full\", in_pause = true }."
                .to_owned(),
        })
    }

    /// Ends the audit of a walk that saw the whole tree (`whole`): what was removed counts no more.
    pub(crate) fn finish(self, whole: bool) -> Result<AuditReport, StepError> {
        self.terms.mapped.look()?;
        if whole {
            self.terms.mapped.retain(&self.unproven.mapped, &self.there)?;
        }
        Ok(self.report)
    }
}

fn open(dirs: &mut OpenDirs<'_>, path: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let dir = dirs.parent(path).ok()?;
    match rustix::fs::openat(&dir, name_of(path), flags | OFlags::NOATIME, Mode::empty()) {
        // Only the owner may leave the access time alone.
        Err(Errno::PERM) => rustix::fs::openat(&dir, name_of(path), flags, Mode::empty()).ok(),
        done => done.ok(),
    }
}

/// Whether a file system (by statfs's `f_type`, linux/magic.h) may change a file and leave its times alone: another
/// machine writes and keeps the clock, or times are whatever a program says, or none are kept.
fn proves_nothing(kind: u64) -> bool {
    matches!(
        kind & 0xffff_ffff,
        0x6969 // NFS
            | 0x517b // SMB
            | 0xfe53_4d42 // SMB2
            | 0xff53_4d42 // CIFS
            | 0x6573_5546 // FUSE
            | 0x0102_1997 // 9P
            | 0x00c3_6400 // Ceph
            | 0x5346_414f // AFS
            | 0x6b41_4653 // kAFS
            | 0x7375_7245 // Coda
            | 0x786f_4256 // VirtualBox's shared folders
            | 0x2003_0528 // OrangeFS
            | 0x0bd0_0bd0 // Lustre
            | 0x4750_4653 // GPFS
            | 0x0116_1970 // GFS2
            | 0x7461_636f // OCFS2
            | 0x4d44 // FAT: no time of change is kept
            | 0x2011_bab0 // exFAT, too
    )
}

/// The turn of this pass, counted beside the ledgers, and moved on: passes without a change make no ledger. A count
/// that was lost reads a sample again.
fn turn(job: &UnitJob, artifacts: &Path) -> Result<u64, StepError> {
    let path = side_file(artifacts, "audit", job);
    let count = beside::read(&path)?.and_then(|bytes| String::from_utf8(bytes).ok());
    let turn = count.and_then(|text| text.trim().parse::<u64>().ok()).unwrap_or(0);
    paths::replace(&path, turn.wrapping_add(1).to_string().as_bytes())?;
    Ok(turn)
}

/// What may be mapped without Segue seeing it, told once.
pub(crate) fn tell_refused(terms: &Terms, io: &dyn StepIo) {
    let refused = terms.mapped.refused();
    if refused == 0 {
        return;
    }
    let who = match rustix::process::geteuid().is_root() {
        true => "They are not this user's to see, in a container for instance:",
        false => "Run as root to see them, or",
    };
    io.find(Finding {
        severity: Severity::Info,
        code: "FILES_MAPPED".to_owned(),
        summary: format!("the mappings of {refused} processes cannot be looked at"),
        remedy: format!(
            "{who} compare all content in the pause: verify {{ level = \"full\", in_pause = true }}."
        ),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_systems_whose_times_prove_nothing_are_told_from_those_of_this_machine() {
        for kind in [0x6969, 0x6573_5546, 0xff53_4d42, 0x4d44] {
            assert!(proves_nothing(kind), "{kind:x}");
        }
        // As a sign-extended number of 32 bits.
        assert!(proves_nothing(0xffff_ffff_ff53_4d42));
        for local in [0xef53, 0x0102_1994, 0x5846_5342, 0x9123_683e, 0x794c_7630] {
            assert!(!proves_nothing(local), "{local:x}");
        }
    }
}
