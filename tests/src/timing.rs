//! How long tests take, one by one, on the stable toolchain, where libtest does not say: whatever of this crate a test uses
//! first notes the time in a value of the test's own thread, which libtest ends with the test. What it took is then appended
//! to the file that `SEGUE_TESTS_TIMES` names; `tests/run` names one, and prints the slowest ten.

use std::cell::RefCell;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

/// A test that has begun.
struct Begun {
    test: String,
    at: Instant,
}

impl Drop for Begun {
    fn drop(&mut self) {
        let Some(file) = std::env::var_os("SEGUE_TESTS_TIMES") else { return };
        let Some(exe) = std::env::current_exe().ok().filter(|exe| is_test(exe)) else { return };
        let binary = exe.file_stem().unwrap_or_default().to_string_lossy();
        // Cargo adds a hash to the name.
        let binary = binary.rsplit_once('-').map_or(binary.as_ref(), |(name, _)| name);
        let line = format!("{:.2} {binary} {}\n", self.at.elapsed().as_secs_f64(), self.test);
        // One write of a whole line; a run without times is still a run.
        if let Ok(mut file) = OpenOptions::new().create(true).append(true).open(file) {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

/// What tests start may use this crate too, and is no test: Cargo keeps test binaries in a folder of their own.
fn is_test(exe: &Path) -> bool {
    exe.parent().and_then(Path::file_name).is_some_and(|dir| dir == "deps")
}

/// Begins to measure the test that this thread is, unless that has begun already.
pub(crate) fn watch() {
    thread_local! {
        static TEST: RefCell<Option<Begun>> = const { RefCell::new(None) };
    }
    TEST.with_borrow_mut(|test| {
        if test.is_none()
            && let Some(name) = std::thread::current().name().filter(|name| *name != "main")
        {
            *test = Some(Begun { test: name.to_owned(), at: Instant::now() });
        }
    });
}
