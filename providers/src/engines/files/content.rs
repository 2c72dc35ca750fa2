//! Content: read, hashed and written in one go, holes kept.

mod sum;

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::SeekFrom;
use rustix::io::Errno;
use segue_contract::StepIo;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use sum::Sum;

/// Read and written at once: fits the second-level cache, so that hashing and writing find it there.
pub(crate) const CHUNK: usize = 256 * 1024;
/// Cloning extents is tried from this size on: below, one read and write cost less.
const CLONE_FROM: u64 = 1024 * 1024;

/// How copying failed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum ContentError {
    /// The file that is read failed.
    Read(Errno),
    /// The file that is written failed.
    Write(Errno),
    /// The step was asked to stop.
    Cancelled,
}

/// Copies and hashes; one for each worker.
pub(crate) struct Copier<'a> {
    io: &'a dyn StepIo,
    chunk: Vec<u8>,
    /// Off once the file systems turn out not to share extents.
    clones: &'a AtomicBool,
}

impl<'a> Copier<'a> {
    pub(crate) fn new(io: &'a dyn StepIo, clones: &'a AtomicBool) -> Self {
        Self { io, chunk: vec![0; CHUNK], clones }
    }

    /// Copies `size` bytes, which take `blocks` blocks of 512 bytes on the disk. Gives the hash and the
    /// bytes written; a file that ends early gives the hash of what was there.
    pub(crate) fn copy(
        &mut self,
        from: &OwnedFd,
        to: &OwnedFd,
        size: u64,
        blocks: u64,
    ) -> Result<(u128, u64), ContentError> {
        if size >= CLONE_FROM && self.clones.load(Ordering::Relaxed) {
            if rustix::fs::ioctl_ficlone(to, from).is_ok() {
                self.io.take(size);
                return Ok((self.hash(to, size, blocks)?, size));
            }
            self.clones.store(false, Ordering::Relaxed);
        }
        self.run(from, Some(to), (size, blocks), false)
    }

    /// Hashes `size` bytes.
    pub(crate) fn hash(&mut self, from: &OwnedFd, size: u64, blocks: u64) -> Result<u128, ContentError> {
        self.hash_as(from, size, blocks, false)
    }

    /// The same, to be compared with a hash of every byte (`plain`), as ledgers of layout 1 have it.
    pub(crate) fn hash_as(
        &mut self,
        from: &OwnedFd,
        size: u64,
        blocks: u64,
        plain: bool,
    ) -> Result<u128, ContentError> {
        Ok(self.run(from, None, (size, blocks), plain)?.0)
    }

    /// Whether both hold the same `len` bytes at `at`.
    pub(crate) fn same_piece(
        &mut self,
        a: &OwnedFd,
        b: &OwnedFd,
        at: u64,
        len: u64,
    ) -> Result<bool, ContentError> {
        let mut hashes = [0; 2];
        for (fd, hash) in [a, b].into_iter().zip(&mut hashes) {
            let mut sum = Xxh3::new();
            let mut done = 0;
            while done < len {
                let got = self.chunk(fd, None, at + done, len - done)?;
                if got == 0 {
                    break;
                }
                sum.update(self.chunk.get(..got).unwrap_or_default());
                done += got as u64;
            }
            *hash = sum.digest128();
        }
        Ok(hashes[0] == hashes[1])
    }

    fn run(
        &mut self,
        from: &OwnedFd,
        to: Option<&OwnedFd>,
        (size, blocks): (u64, u64),
        plain: bool,
    ) -> Result<(u128, u64), ContentError> {
        let sparse = size > 0 && blocks.saturating_mul(512) < size;
        if size < sum::BLOCK && !sparse {
            return self.small(from, to, size as usize);
        }
        let mut hash = Sum::new(plain);
        let mut written = 0;
        let mut at = 0;
        while at < size {
            let (start, end) = if sparse { next_piece(from, at, size)? } else { (at, size) };
            if !hash.zeros(start - at, || !self.io.cancelled()) {
                return Err(ContentError::Cancelled);
            }
            at = start;
            while at < end {
                let got = self.chunk(from, to, at, end - at)?;
                if got == 0 {
                    return Ok((hash.finish(), written));
                }
                hash.update(self.chunk.get(..got).unwrap_or_default());
                at += got as u64;
                written += got as u64;
            }
        }
        if sparse && let Some(to) = to {
            rustix::fs::ftruncate(to, size).map_err(ContentError::Write)?;
        }
        Ok((hash.finish(), written))
    }

    fn small(
        &mut self,
        from: &OwnedFd,
        to: Option<&OwnedFd>,
        size: usize,
    ) -> Result<(u128, u64), ContentError> {
        let mut len = 0;
        while len < size {
            let got = self.read(from, len as u64, len, size - len)?;
            if got == 0 {
                break;
            }
            len += got;
        }
        let content = self.chunk.get(..len).unwrap_or_default();
        if len > 0
            && let Some(to) = to
        {
            self.io.take(len as u64);
            write_all(to, content, 0)?;
        }
        Ok((xxh3_128(content), len as u64))
    }

    /// Reads up to a chunk at `at` and writes it there.
    fn chunk(
        &mut self,
        from: &OwnedFd,
        to: Option<&OwnedFd>,
        at: u64,
        left: u64,
    ) -> Result<usize, ContentError> {
        if self.io.cancelled() {
            return Err(ContentError::Cancelled);
        }
        let want = left.min(CHUNK as u64) as usize;
        let got = self.read(from, at, 0, want)?;
        if let Some(to) = to {
            self.io.take(got as u64);
            write_all(to, self.chunk.get(..got).unwrap_or_default(), at)?;
        }
        Ok(got)
    }

    fn read(&mut self, from: &OwnedFd, at: u64, into: usize, len: usize) -> Result<usize, ContentError> {
        let buffer = self.chunk.get_mut(into..into + len).unwrap_or_default();
        loop {
            match rustix::io::pread(from, &mut *buffer, at) {
                Err(Errno::INTR) => {}
                done => return done.map_err(ContentError::Read),
            }
        }
    }
}

/// The next piece of data of a file with holes, from `at` on.
fn next_piece(from: &OwnedFd, at: u64, size: u64) -> Result<(u64, u64), ContentError> {
    let start = match rustix::fs::seek(from, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok((size, size)),
        // A file system that does not tell: all is data.
        Err(Errno::INVAL | Errno::NOTSUP) => return Ok((at, size)),
        Err(e) => return Err(ContentError::Read(e)),
    };
    let end = rustix::fs::seek(from, SeekFrom::Hole(start)).unwrap_or(size);
    Ok((start.min(size), end.min(size)))
}

fn write_all(to: &OwnedFd, mut bytes: &[u8], mut at: u64) -> Result<(), ContentError> {
    while !bytes.is_empty() {
        match rustix::io::pwrite(to, bytes, at) {
            Ok(0) => return Err(ContentError::Write(Errno::IO)),
            Ok(got) => {
                bytes = bytes.get(got..).unwrap_or_default();
                at += got as u64;
            }
            Err(Errno::INTR) => {}
            Err(e) => return Err(ContentError::Write(e)),
        }
    }
    Ok(())
}
