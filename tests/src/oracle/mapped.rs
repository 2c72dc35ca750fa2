//! A writer that keeps files mapped and stores into them. No time of a file tells of a store that comes after the first
//! one into a page.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use segue_contract::paths;

use super::deed::{Deed, PAGE, page};
use super::gate::Gate;
use super::writer::{acknowledge, log_of};
use crate::mapping::Mapping;
use crate::random::Random;

/// Files that each writer keeps mapped.
const FILES: u64 = 16;

/// A file of one page, made where it is not there.
fn map(path: &str) -> io::Result<Mapping> {
    File::options().write(true).create(true).truncate(false).open(path)?.set_len(PAGE as u64)?;
    Mapping::new(Path::new(path), PAGE)
}

/// Stores into files that it keeps mapped from one pause to the next.
pub(super) fn mapped(name: &str, gate: &Gate, stop: &Path, seed: u64, rest: Duration) -> io::Result<()> {
    let (log, mut random) = (log_of(name)?, Random::from(seed));
    let path = |n: u64| format!("own/{name}/mapped-{n}");
    let mut version: u64 = 0;
    while let Some(inside) = gate.enter(stop)? {
        paths::create_dir_all(Path::new(&format!("live/own/{name}"))).map_err(|e| e.source)?;
        let mappings =
            (0..FILES).map(|n| map(&format!("live/{}", path(n)))).collect::<io::Result<Vec<_>>>()?;
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
