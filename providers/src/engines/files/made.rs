//! Which temporary files are Segue's. A name proves nothing, for users may use any: only this process's own names, which
//! hold a number that it drew, and what a note of this state says that an earlier run made.

use std::path::Path;
use std::sync::OnceLock;

use rustix::rand::{GetRandomFlags, getrandom};
use segue_contract::{Direction, Side, StepError, UnitJob};

use super::inflight::Inflight;
use super::tree::{Look, TEMPORARY};
use crate::engines::beside::side_file;

/// What the names that this process makes start with.
pub(crate) fn prefix() -> &'static str {
    static PREFIX: OnceLock<String> = OnceLock::new();
    PREFIX.get_or_init(|| {
        let mut drawn = [0; 8];
        // Without randomness (an early boot): processes at one time differ by their number.
        let drawn = match rustix::io::retry_on_intr(|| getrandom(&mut drawn, GetRandomFlags::empty())) {
            Ok(_) => u64::from_le_bytes(drawn),
            Err(_) => u64::from(std::process::id()),
        };
        format!("{TEMPORARY}{drawn:016x}-")
    })
}

/// The temporary files of one side.
#[derive(Debug)]
pub(crate) struct Temporaries(Inflight);

impl Temporaries {
    /// Those that the notes of this unit tell of, whichever run they are of.
    pub(crate) fn of(artifacts: &Path, job: &UnitJob, side: Side) -> Result<Self, StepError> {
        let direction = Direction::from_live(side.other());
        let job = UnitJob { direction, ..job.clone() };
        Inflight::of_all(&side_file(artifacts, "inflight", &job)).map(Self)
    }

    /// Whether what is at a path was made by Segue, and is not whole.
    pub(crate) fn have(&self, path: &[u8], name: &[u8], look: &Look) -> bool {
        name.starts_with(TEMPORARY.as_bytes())
            && (name.starts_with(prefix().as_bytes()) || self.0.made(path, look))
    }
}
