//! The crash matrix as a table: what ran, where it was killed, and what became of it. Printed when every part of the
//! matrix has run, and written to `crash-matrix.txt` in the directory that `SEGUE_TABLES` names as far as it is.

use std::fmt::Write;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use segue_contract::paths;
use segue_tests::say;

/// The directory for tables.
const TABLES: &str = "SEGUE_TABLES";
/// How many rows there are when all have run.
const ROWS: usize = 16;

/// One part of the matrix.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    /// `switch`, `switch back`, ...
    pub(crate) run: &'static str,
    /// Who is killed, and at what.
    pub(crate) killed: &'static str,
    /// In which worlds.
    pub(crate) worlds: String,
    /// Events, or calls, of the clean runs.
    pub(crate) instants: u64,
    /// Runs that were killed.
    pub(crate) deaths: u64,
    /// What each of them came to.
    pub(crate) outcome: String,
}

static FOUND: Mutex<Vec<Row>> = Mutex::new(Vec::new());

/// Takes a row in.
pub(crate) fn note(row: Row) {
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    found.push(row);
    found.sort();
    let text = text(&found);
    if let Some(dir) = std::env::var_os(TABLES) {
        paths::create_dir_all(Path::new(&dir)).expect("the directory for tables");
        paths::replace(&Path::new(&dir).join("crash-matrix.txt"), text.as_bytes()).expect("written");
    }
    if found.len() == ROWS {
        say(&text);
    }
}

fn text(rows: &[Row]) -> String {
    let mut text = format!(
        "{:<12} {:<34} {:<22} {:>8} {:>7}  outcome of each\n",
        "run", "killed", "worlds", "instants", "deaths"
    );
    for Row { run, killed, worlds, instants, deaths, outcome } in rows {
        writeln!(text, "{run:<12} {killed:<34} {worlds:<22} {instants:>8} {deaths:>7}  {outcome}")
            .expect("a string takes it");
    }
    let deaths: u64 = rows.iter().map(|row| row.deaths).sum();
    writeln!(text, "{deaths} deaths, each resumed by the same command").expect("a string takes it");
    text
}
