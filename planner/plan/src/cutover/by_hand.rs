//! Where the commands that open each side without Segue are written: named before it is there, so by one function.

use std::path::{Path, PathBuf};

use segue_contract::Address;

/// The file of a cutover. Where there are several cutovers each has a file of its own: they may be in their pause at the
/// same time.
pub fn by_hand_file(state_dir: &Path, several: bool, cutover: &Address) -> PathBuf {
    match several {
        true => state_dir.join(format!("BY_HAND.{}.txt", cutover.file_name())),
        false => state_dir.join("BY_HAND.txt"),
    }
}
