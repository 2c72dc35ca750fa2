//! A file mapped shared and writable: stores into it move no time of the file, but for the first into a page.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::path::Path;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// A mapping of the beginning of a file, until it is dropped.
#[derive(Debug)]
pub struct Mapping {
    at: *mut c_void,
    len: usize,
}

#[expect(unsafe_code, reason = "an address of this process is good in each of its threads")]
// SAFETY: nothing else refers to it.
unsafe impl Send for Mapping {}

impl Mapping {
    /// Maps the first `len` bytes of a file that is at least as long.
    ///
    /// # Errors
    /// The file cannot be opened for writing, or not be mapped.
    #[expect(unsafe_code, reason = "a mapping of a test's own file")]
    pub fn new(path: &Path, len: usize) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open(path)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a mapping at an address that the kernel chooses, of a file that is at least as long.
        let at = unsafe { mmap(std::ptr::null_mut(), len, protection, MapFlags::SHARED, &file, 0) }?;
        Ok(Self { at, len })
    }

    /// Stores bytes at the beginning.
    ///
    /// # Panics
    /// When there are more than the mapping has.
    #[expect(unsafe_code, reason = "a mapping of a test's own file")]
    pub fn store(&self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len, "{} bytes into {}", bytes.len(), self.len);
        // SAFETY: within a mapping that is still there, and that only its owner stores into.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.at.cast::<u8>(), bytes.len()) }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "a mapping of a test's own file")]
    fn drop(&mut self) {
        // SAFETY: this very mapping, which nobody uses any more. Where it fails, the process's end unmaps it.
        let _ = unsafe { munmap(self.at, self.len) };
    }
}
