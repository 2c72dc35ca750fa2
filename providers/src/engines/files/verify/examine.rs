//! Examining one path closely: both sides looked at now, content read where asked or where the metadata
//! leaves a doubt.

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use segue_contract::{StepError, StepIo};
use std::collections::HashSet;
use std::sync::atomic::AtomicBool;

use crate::engines::files::audit::Unproven;
use crate::engines::files::content::{ContentError, Copier};
use crate::engines::files::mapped::Mapped;
use crate::engines::files::pass::differs_from_ledger;
use crate::engines::files::put::{is_displaced, is_open_at};
use crate::engines::files::tree::{Look, OpenDirs, name_of};
use crate::engines::files::work::Looking;
use crate::ledger::{Kind, Record};

/// Nothing is cloned here.
static NO_CLONES: AtomicBool = AtomicBool::new(false);

/// What an examination says.
pub(super) enum Verdict {
    Same,
    /// Changed on the side that is read since the last pass.
    Residual,
    /// As the side that is read has it, the other one has it not.
    Missing(String),
    Differs(String),
}

/// One worker's hands.
pub(super) struct Examiner<'a> {
    looking: &'a Looking,
    quiet: bool,
    unproven: Unproven,
    from: OpenDirs<'a>,
    to: OpenDirs<'a>,
    copier: Copier<'a>,
    /// Records read since this was last taken.
    pub(super) read: u64,
    /// Bytes read since this was last taken, both sides.
    pub(super) bytes: u64,
}

impl<'a> Examiner<'a> {
    /// `mapped`: the inodes of files whose prints prove nothing because somebody has or had mapped them.
    pub(super) fn new(looking: &'a Looking, io: &'a dyn StepIo, quiet: bool, mapped: &HashSet<u64>) -> Self {
        Self {
            looking,
            quiet,
            unproven: Unproven::new(mapped.clone()),
            from: OpenDirs::new(&looking.from),
            to: OpenDirs::new(&looking.to),
            copier: Copier::new(io, &NO_CLONES),
            read: 0,
            bytes: 0,
        }
    }

    /// Compares a path of both sides with its record.
    pub(super) fn examine(
        &mut self,
        path: &[u8],
        record: Option<&Record>,
        read: bool,
    ) -> Result<Verdict, StepError> {
        // What was open may be another directory by now.
        self.from.forget();
        self.to.forget();
        let here = look(&mut self.from, path)?;
        let there = look(&mut self.to, path)?;
        let side = self.looking.read;
        let Some(record) = record else {
            return Ok(match (here, there) {
                (None, None) => Verdict::Same,
                (None, Some(_)) => Verdict::Differs(format!("extra at {}", side.other())),
                (Some(_), _) => self.changed_here(),
            });
        };
        let Some(here) = here else {
            return Ok(self.changed_here());
        };
        let differs_here = differs_from_ledger(&mut self.from, &here, record, side);
        if differs_here.is_some_and(|what| what != "times" || here.mtime != record.print(side).mtime) {
            return Ok(self.changed_here());
        }
        let Some(there) = there else {
            return Ok(Verdict::Missing(format!("missing at {}", side.other())));
        };
        let mut doubt = false;
        match differs_from_ledger(&mut self.to, &there, record, side.other()) {
            None => {}
            // Only the content can tell.
            Some("touched" | "replaced") => doubt = true,
            Some(what) => return Ok(Verdict::Differs(what.to_owned())),
        }
        if let Some(what) = self.differs_in_kind(path, record, &there)? {
            return Ok(Verdict::Differs(what.to_owned()));
        }
        if (read || doubt) && record.kind == Kind::File {
            return self.compare_content(path, record, &here, &there);
        }
        Ok(Verdict::Same)
    }

    fn changed_here(&self) -> Verdict {
        if self.quiet {
            return Verdict::Missing(format!("changed at {} since the last pass", self.looking.read));
        }
        Verdict::Residual
    }

    /// Link text, device number, hard-link group.
    fn differs_in_kind(
        &mut self,
        path: &[u8],
        record: &Record,
        there: &Look,
    ) -> Result<Option<&'static str>, StepError> {
        if there.rdev != record.rdev {
            return Ok(Some("device"));
        }
        if let Some(first) = &record.first {
            let leader = look(&mut self.to, first)?;
            if leader.is_none_or(|leader| leader.ino != there.ino) {
                return Ok(Some("hard link"));
            }
        }
        if record.kind != Kind::Symlink {
            return Ok(None);
        }
        let text =
            self.to.parent(path).and_then(|dir| rustix::fs::readlinkat(&dir, name_of(path), Vec::new()));
        match text {
            Ok(text) => Ok((text.as_bytes() != record.symlink).then_some("link target")),
            // No link by now.
            Err(Errno::INVAL) => Ok(Some("type")),
            Err(e) if is_displaced(e) => Ok(Some("type")),
            Err(e) => Err(self.looking.to.failed("read", path, e)),
        }
    }

    fn compare_content(
        &mut self,
        path: &[u8],
        record: &Record,
        here: &Look,
        there: &Look,
    ) -> Result<Verdict, StepError> {
        self.read += 1;
        self.bytes += here.size + there.size;
        let ours = self.hash(true, path, here, record.plain)?;
        let now = look(&mut self.from, path)?;
        if now.is_none_or(|now| (now.ctime, now.ino, now.size) != (here.ctime, here.ino, here.size)) {
            return Ok(self.changed_here());
        }
        let theirs = self.hash(false, path, there, record.plain)?;
        let side = self.looking.read;
        Ok(match (ours == Some(record.hash), theirs == Some(record.hash)) {
            (true, true) => Verdict::Same,
            (_, false) => Verdict::Differs("content".to_owned()),
            // A change within the clock tick of the last look.
            (false, true) if record.print(side).hot => self.changed_here(),
            // A store that moves no time: the next pass under quiesce reads it.
            (false, true) if self.is_unproven(path, here) => self.changed_here(),
            (false, true) => Verdict::Differs(format!("content at {side}")),
        })
    }

    fn is_unproven(&mut self, path: &[u8], here: &Look) -> bool {
        self.unproven.is_unproven(&mut self.from, path, here) || {
            // Somebody may have mapped it since the verification began.
            self.unproven.mapped.extend(Mapped::now(self.looking.from.root()));
            self.unproven.is_mapped(here)
        }
    }

    fn hash(&mut self, ours: bool, path: &[u8], look: &Look, plain: bool) -> Result<Option<u128>, StepError> {
        let dirs = if ours { &mut self.from } else { &mut self.to };
        let tree = dirs.tree;
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let fd = dirs.parent(path).and_then(|dir| {
            match rustix::fs::openat(&dir, name_of(path), flags | OFlags::NOATIME, Mode::empty()) {
                Err(Errno::PERM) => rustix::fs::openat(&dir, name_of(path), flags, Mode::empty()),
                done => done,
            }
        });
        let fd = match fd {
            Ok(fd) if is_open_at(&fd, look) => fd,
            // Something else is there by now.
            Ok(_) | Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => return Ok(None),
            Err(e) => return Err(tree.failed("read", path, e)),
        };
        match self.copier.hash_as(&fd, look.size, look.blocks, plain) {
            Ok(hash) => Ok(Some(hash)),
            Err(ContentError::Read(e) | ContentError::Write(e)) => Err(tree.failed("read", path, e)),
            Err(ContentError::Cancelled) => Err(StepError::cancelled()),
        }
    }
}

fn look(dirs: &mut OpenDirs<'_>, path: &[u8]) -> Result<Option<Look>, StepError> {
    let tree = dirs.tree;
    let found = dirs.parent(path).and_then(|dir| tree.look_at(&dir, name_of(path)));
    match found {
        Ok(look) => Ok(look),
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
        Err(e) => Err(tree.failed("look at", path, e)),
    }
}
