//! 100,000 files of which 1 % change a minute, by two writers.

use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use segue_tests::oracle::{Oracle, content};
use segue_tests::{Scratch, wait_until};

use crate::{rival, switches};

const DIRS: u64 = 100;
const FILES_A_DIR: u64 = 1_000;
const WRITERS: [&str; 2] = ["churn0", "churn1"];
/// Between two writes of each: together 1,000 a minute.
const REST_US: u64 = 120_000;

fn prepared() -> Scratch {
    let scratch = Scratch::new();
    for dir in 0..DIRS {
        let place = scratch.at(&format!("old/big/{dir}"));
        segue_contract::paths::create_dir_all(&place).expect("a directory");
        for file in 0..FILES_A_DIR {
            fill(&place.join(file.to_string()), &content(&format!("big-{dir}-{file}")));
        }
    }
    scratch
}

fn fill(path: &Path, bytes: &[u8]) {
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    file.and_then(|mut file| file.write_all(bytes)).expect("a file");
}

fn writers(scratch: &Scratch) -> Vec<Child> {
    let start = |name: &str| {
        Command::new(segue_tests::program(env!("CARGO_BIN_EXE_oracle-writer")))
            .args([name, "churn", &name.len().to_string(), &REST_US.to_string()])
            .current_dir(scratch.path())
            .stdin(Stdio::null())
            .spawn()
            .expect("the writer starts")
    };
    WRITERS.map(start).into_iter().collect()
}

fn stop(scratch: &Scratch, writers: Vec<Child>) {
    for name in WRITERS {
        scratch.write(&format!("var/stop-{name}"), "");
    }
    for mut writer in writers {
        wait_until("the writer ends", || !matches!(writer.try_wait(), Ok(None)));
        assert!(writer.wait().expect("waited").success());
    }
}

pub(crate) fn run(count: usize) {
    println!(
        "\n{} files, {} changes a minute by {} writers",
        DIRS * FILES_A_DIR,
        120_000_000 / REST_US,
        WRITERS.len()
    );
    let scratch = prepared();
    let mut oracle = Oracle::new(&scratch.at("old"), &scratch.at("var")).expect("an oracle");
    let busy = writers(&scratch);
    let measured = switches::run(&scratch, count);
    stop(&scratch, busy);
    oracle.advance().expect("the logs");
    let verdict = oracle.judge(&scratch.at("live")).expect("the tree");
    assert!(verdict.clean(), "{verdict:?}");
    println!(
        "acknowledged {} writes: {} lost, {} doubled, {} deleted ones back",
        verdict.acknowledged, verdict.lost, verdict.doubled, verdict.back
    );
    measured.print();
    drop(scratch);
    let scratch = prepared();
    let busy = writers(&scratch);
    let rival = rival::run(&scratch);
    stop(&scratch, busy);
    rival::print(&rival, &measured.pauses);
}
