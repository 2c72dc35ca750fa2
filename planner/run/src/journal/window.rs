//! A bounded view into a segment that may be growing while it is read.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use segue_contract::paths::{self, PathError};

use super::MAX_EVENT_BYTES;
use super::frame::{FRAME_HEADER_BYTES, FrameError, RawFrame, u32_at};

/// How much is read at a time: a few of the longest frames.
pub(super) const WINDOW_BYTES: usize = 256 * 1024;

pub(super) struct Window {
    file: File,
    path: PathBuf,
    start: u64,
    buffer: Vec<u8>,
    /// How much of the buffer is the file's.
    filled: usize,
}

impl Window {
    pub(super) fn open(path: &Path) -> Result<Self, PathError> {
        Ok(Self { file: paths::open(path)?, path: path.to_owned(), start: 0, buffer: Vec::new(), filled: 0 })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Forgets what was read, so that the next look is at the file as it is now.
    pub(super) fn refresh(&mut self) {
        self.filled = 0;
    }

    /// Up to `length` bytes from `offset` on; fewer only at the end of the file.
    pub(super) fn at(&mut self, offset: u64, length: usize) -> Result<&[u8], PathError> {
        let have = offset
            .checked_sub(self.start)
            .and_then(|skip| usize::try_from(skip).ok())
            .filter(|skip| skip + length <= self.filled);
        let skip = match have {
            Some(skip) => skip,
            None => {
                self.fill(offset, length.max(WINDOW_BYTES))?;
                0
            }
        };
        let end = (skip + length).min(self.filled);
        Ok(&self.buffer[skip..end])
    }

    fn fill(&mut self, offset: u64, length: usize) -> Result<(), PathError> {
        self.start = offset;
        self.filled = 0;
        if self.buffer.len() < length {
            self.buffer = vec![0; length];
        }
        while self.filled < length {
            let at = offset + self.filled as u64;
            match self.file.read_at(&mut self.buffer[self.filled..length], at) {
                Ok(0) => break,
                Ok(read) => self.filled += read,
                Err(e) if e.kind() == std::io::ErrorKind::Interrupted => {}
                Err(e) => return Err(PathError::new("read", &self.path, e)),
            }
        }
        Ok(())
    }

    /// The frame at `offset`, or why there is none.
    pub(super) fn frame(&mut self, offset: u64) -> Result<Result<RawFrame<'_>, FrameError>, PathError> {
        let header = self.at(offset, FRAME_HEADER_BYTES)?;
        let length = match header.len() {
            FRAME_HEADER_BYTES => u32_at(header, 12) as usize,
            _ => 0,
        };
        let payload = if length > MAX_EVENT_BYTES { 0 } else { length };
        Ok(RawFrame::decode(self.at(offset, FRAME_HEADER_BYTES + payload)?))
    }
}
