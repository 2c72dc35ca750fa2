//! A writer that keeps files mapped and stores into them. No time of a file tells of a store that comes after the first
//! one into a page.

use std::ffi::c_void;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use segue_contract::paths;

use super::deed::{Deed, PAGE, page};
use super::gate::Gate;
use super::writer::{acknowledge, log_of};
use crate::random::Random;

/// Files that each writer keeps mapped.
const FILES: u64 = 16;

/// A file of one page, mapped shared until it is dropped.
struct Mapping(*mut c_void);

impl Mapping {
    #[expect(unsafe_code, reason = "a mapping of this writer's own file")]
    fn new(path: &str) -> io::Result<Self> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len(PAGE as u64)?;
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a mapping at an address that the kernel chooses, of a file that is as long.
        let at = unsafe { mmap(std::ptr::null_mut(), PAGE, protection, MapFlags::SHARED, &file, 0) };
        Ok(Self(at?))
    }

    #[expect(unsafe_code, reason = "a mapping of this writer's own file")]
    fn store(&self, bytes: &[u8; PAGE]) {
        // SAFETY: the whole of a mapping that is still there, which only this writer stores into.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.0.cast::<u8>(), PAGE) }
    }
}

impl Drop for Mapping {
    #[expect(unsafe_code, reason = "a mapping of this writer's own file")]
    fn drop(&mut self) {
        // SAFETY: this very mapping, which nobody uses any more. Where it fails, the process's end unmaps it.
        let _ = unsafe { munmap(self.0, PAGE) };
    }
}

/// Stores into files that it keeps mapped from one pause to the next.
pub(super) fn mapped(name: &str, gate: &Gate, stop: &Path, seed: u64, rest: Duration) -> io::Result<()> {
    let (log, mut random) = (log_of(name)?, Random::from(seed));
    let path = |n: u64| format!("own/{name}/mapped-{n}");
    let mut version: u64 = 0;
    while let Some(inside) = gate.enter(stop)? {
        paths::create_dir_all(Path::new(&format!("live/own/{name}"))).map_err(|e| e.source)?;
        let mappings =
            (0..FILES).map(|n| Mapping::new(&format!("live/{}", path(n)))).collect::<io::Result<Vec<_>>>()?;
        while !Gate::is_closing() && !stop.exists() {
            let one = random.below(FILES);
            // Each has a page as soon as it is there.
            let stored = if version == 0 { 0..FILES } else { one..one + 1 };
            for (n, mapping) in (0..FILES).zip(&mappings).filter(|(n, _)| stored.contains(n)) {
                let tag = format!("{name}-{version}");
                mapping.store(&page(&tag));
                acknowledge(&log, &Deed::Page(path(n), tag))?;
                version += 1;
            }
            std::thread::sleep(rest);
        }
        drop(mappings);
        drop(inside);
    }
    Ok(())
}
