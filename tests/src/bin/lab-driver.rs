//! Runs one command of the lab's driver as a process that can be killed: `lab-driver CASE.json TASK`, where
//! the task is JSON too. Prints the outcome as JSON.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use segue_contract::paths;
use segue_tests::lab;

fn main() -> ExitCode {
    match outcome() {
        Ok(outcome) => {
            let text = serde_json::to_vec(&outcome).unwrap_or_default();
            let written = std::io::stdout().write_all(&text);
            match (written, u8::try_from(outcome.exit)) {
                (Ok(()), Ok(exit)) => ExitCode::from(exit),
                _ => ExitCode::FAILURE,
            }
        }
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "lab-driver: {error}");
            ExitCode::from(64)
        }
    }
}

fn outcome() -> Result<lab::Outcome, Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let (Some(case), Some(task)) = (words.next(), words.next()) else {
        return Err("usage: lab-driver CASE.json TASK".into());
    };
    let case: lab::Case = serde_json::from_slice(&paths::read(Path::new(&case))?)?;
    let task: lab::Task = serde_json::from_str(&task)?;
    Ok(lab::run(&case, &task))
}
