//! Segment files: their names, how one comes to be, and how it grows ahead of what is written.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use rustix::fs::FallocateFlags;
use segue_contract::paths::{self, PathError};

use super::frame::{SEGMENT_HEADER_BYTES, SegmentHeader};

static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
const SUFFIX: &str = ".seg";
/// A segment in the making; renamed once its header is on the disk, so that every `.seg` has a good one.
const NEW_SUFFIX: &str = ".seg.new";

/// The numbers and paths of a journal's segments, in order. No directory: none.
pub(super) fn list(journal: &Path) -> Result<Vec<(u64, PathBuf)>, PathError> {
    let mut segments: Vec<(u64, PathBuf)> = entries(journal)?
        .into_iter()
        .filter_map(|name| Some((number(&name, SUFFIX)?, journal.join(name))))
        .collect();
    segments.sort_unstable();
    Ok(segments)
}

/// Removes segments whose making was interrupted: nothing was ever written to them.
pub(super) fn remove_unfinished(journal: &Path) -> Result<(), PathError> {
    for name in entries(journal)? {
        if number(&name, NEW_SUFFIX).is_some() {
            let path = journal.join(name);
            std::fs::remove_file(&path).map_err(|e| PathError::new("remove", path, e))?;
        }
    }
    Ok(())
}

pub(super) fn path(journal: &Path, index: u64) -> PathBuf {
    journal.join(format!("{index:08}{SUFFIX}"))
}

fn number(name: &str, suffix: &str) -> Option<u64> {
    let digits = name.strip_suffix(suffix)?;
    (digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

fn entries(journal: &Path) -> Result<Vec<String>, PathError> {
    let failed = |e| PathError::new("list", journal, e);
    let directory = match std::fs::read_dir(journal) {
        Ok(directory) => directory,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut names = Vec::new();
    for entry in directory {
        if let Ok(name) = entry.map_err(failed)?.file_name().into_string() {
            names.push(name);
        }
    }
    Ok(names)
}

/// The segment that the writer writes to.
pub(super) struct WriteSegment {
    pub(super) file: File,
    pub(super) path: PathBuf,
    pub(super) index: u64,
    /// Where the next frame goes.
    pub(super) position: u64,
    /// How far the file goes, zeros from `position` on.
    pub(super) allocated: u64,
}

impl WriteSegment {
    /// A new segment with `ahead` bytes of room, durable together with its name.
    pub(super) fn create(journal: &Path, header: &SegmentHeader, ahead: u64) -> Result<Self, PathError> {
        let path = path(journal, header.index);
        let unfinished = path.with_extension("seg.new");
        let start = SEGMENT_HEADER_BYTES as u64;
        let made = paths::create_private(&unfinished).and_then(|file| {
            file.write_all_at(&header.encode(), 0)
                .and_then(|()| extend(&file, start, start + ahead))
                .and_then(|()| file.sync_all())
                .map_err(|e| PathError::new("write", &unfinished, e))?;
            paths::rename(&unfinished, &path)?;
            Ok(file)
        });
        let file = made.inspect_err(|_| {
            // What is left of it on a full disk gives its room back; the first error is the one to tell.
            let _ = std::fs::remove_file(&unfinished);
        })?;
        paths::sync_dir(journal)?;
        Ok(Self { file, path, index: header.index, position: start, allocated: start + ahead })
    }

    /// The last segment of a journal that was read to `position`.
    pub(super) fn reopen(path: &Path, index: u64, position: u64) -> Result<Self, PathError> {
        let file = paths::open_with(path, OpenOptions::new().read(true).write(true))?;
        let length = file.metadata().map_err(|e| PathError::new("examine", path, e))?.len();
        Ok(Self { file, path: path.to_owned(), index, position, allocated: length.max(position) })
    }

    /// Grows the file to `to` bytes; on failure it stays as long as it was.
    pub(super) fn grow(&mut self, to: u64) -> Result<(), PathError> {
        extend(&self.file, self.allocated, to).map_err(|e| {
            // Half an extension is zeros, which is harmless; the room is given back where it can be.
            let _ = self.file.set_len(self.allocated);
            PathError::new("extend", &self.path, e)
        })?;
        self.allocated = to;
        Ok(())
    }

    /// Zeros from the write position over `bytes`: keeps the room, which on a full disk may not come back.
    pub(super) fn blank(&self, bytes: u64) -> Result<(), PathError> {
        zero(&self.file, self.position, self.position + bytes)
            .and_then(|()| self.file.sync_all())
            .map_err(|e| PathError::new("cut the tail of", &self.path, e))
    }

    /// Writes again what is there from `start` to the write position, and syncs. A sync that failed in an
    /// earlier process leaves pages that look clean and are not on the disk; written again they are.
    pub(super) fn confirm(&self, start: u64) -> Result<(), PathError> {
        let length = usize::try_from(self.position - start).unwrap_or_default();
        let mut group = vec![0; length];
        self.file
            .read_exact_at(&mut group, start)
            .and_then(|()| self.file.write_all_at(&group, start))
            .and_then(|()| self.file.sync_all())
            .map_err(|e| PathError::new("sync", &self.path, e))
    }

    /// Gives back the room ahead; for a segment that is followed by the next one.
    pub(super) fn trim(&self) -> Result<(), PathError> {
        self.file.set_len(self.position).map_err(|e| PathError::new("trim", &self.path, e))
    }
}

/// Allocates and zeros: allocated alone would make every later sync wait for the extents' conversion.
fn extend(file: &File, from: u64, to: u64) -> io::Result<()> {
    if to <= from {
        return Ok(());
    }
    match rustix::io::retry_on_intr(|| rustix::fs::fallocate(file, FallocateFlags::empty(), from, to - from))
    {
        Ok(()) | Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => zero(file, from, to),
        Err(e) => Err(e.into()),
    }
}

fn zero(file: &File, from: u64, to: u64) -> io::Result<()> {
    let mut at = from;
    while at < to {
        let length = usize::try_from(to - at).map_or(ZEROS.len(), |rest| rest.min(ZEROS.len()));
        file.write_all_at(&ZEROS[..length], at)?;
        at += length as u64;
    }
    Ok(())
}

/// Whether an error means that there is no room.
pub(super) fn is_full(error: &PathError) -> bool {
    matches!(error.source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
