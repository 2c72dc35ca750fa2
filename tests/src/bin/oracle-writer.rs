//! One writer of the oracle workload: `oracle-writer NAME ROLE SEED REST_US`, in the scratch directory. Ends when there
//! is a file `var/stop-NAME`.

use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use segue_tests::oracle::{Role, write};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let parsed = match words.as_slice() {
        [name, role, seed, rest] => {
            Role::named(role).zip(seed.parse().ok()).zip(rest.parse().ok()).map(|p| (name, p))
        }
        _ => None,
    };
    let Some((name, ((role, seed), rest_us))) = parsed else {
        let _ = writeln!(
            std::io::stderr(),
            "usage: oracle-writer NAME honest|stale|rogue|churn|mapped SEED REST_US"
        );
        return ExitCode::from(64);
    };
    match write(name, role, seed, Duration::from_micros(rest_us)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "oracle-writer {name}: {error}");
            ExitCode::FAILURE
        }
    }
}
