//! The files engine beside `rsync -aHAX` and `cp -a`: the same tree, warm cache, in one run.
//!
//! `SEGUE_BENCH_TREE` names a tree; without it one of `SEGUE_BENCH_FILES` small files (80,000) and
//! `SEGUE_BENCH_LARGE` files of 10 MB (20) is made. `SEGUE_BENCH_ROUNDS` (3) runs of each, the best
//! counts. `SEGUE_BENCH_ONLY=segue` leaves the others out. Reflinks are off for all: `cp` by option,
//! Segue because ext4 has none; hashing is on.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a bench makes trees by hand, prints its table, and has nobody to return errors to"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use segue_contract::{
    Address, BlockRef, Checkpoint, Config, Direction, Engine, Finding, LoadSettings, Progress, Secret,
    SecretRef, Select, Setting, StepError, StepIo, UnitJob, VerifyCall, VerifyLevel,
};
use segue_providers::engines::files::FilesEngine;

struct Io(PathBuf);

impl StepIo for Io {
    fn cancelled(&self) -> bool {
        false
    }
    fn progress(&self, _progress: Progress) {}
    fn checkpoint(&self, _checkpoint: Checkpoint) -> Result<(), StepError> {
        Ok(())
    }
    fn take(&self, _bytes: u64) {}
    fn artifacts(&self) -> &Path {
        &self.0
    }
    fn secret(&self, _secret: &SecretRef) -> Result<Secret, StepError> {
        Err(StepError::permanent("no secrets"))
    }
    fn find(&self, _finding: Finding) {}
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

fn make_tree(root: &Path) {
    let (files, large) = (number("SEGUE_BENCH_FILES", 80_000), number("SEGUE_BENCH_LARGE", 20));
    let size = number("SEGUE_BENCH_SIZE", 12_000);
    for i in 0..files {
        let dir = root.join(format!("d{}/e{}", i / 1000, i / 50 % 20));
        if i % 50 == 0 {
            fs::create_dir_all(&dir).unwrap();
        }
        // Sizes spread like those of a source tree.
        fs::write(dir.join(format!("f{i}.c")), vec![b'x'; (i * 7919) % (size * 2 + 1)]).unwrap();
    }
    for i in 0..large {
        fs::write(root.join(format!("large{i}")), vec![i as u8; 10 << 20]).unwrap();
    }
}

fn block(path: &Path) -> BlockRef {
    let mut config = Config::default();
    config.insert("path", Setting::Plain(path.to_str().expect("a path that is text").into()));
    BlockRef {
        address: Address::new("source.directory.x"),
        provider: "directory".into(),
        base_dir: "/".into(),
        config,
        scope: Vec::new(),
    }
}

fn job(source: &Path, target: &Path) -> UnitJob {
    UnitJob {
        migration: Address::new("migration.bench"),
        unit: "tree".into(),
        source: block(source),
        target: block(target),
        direction: Direction::Forward,
        select: Select::default(),
        transform: segue_contract::Transform::default(),
        load: LoadSettings::default(),
        audit: segue_contract::Audit::default(),
        quiet: false,
        ledger: None,
        epoch: 1,
        deletions: segue_contract::DeletionTerms::default(),
    }
}

fn syncfs(path: &Path) {
    let dir = fs::File::open(path).unwrap();
    rustix::fs::syncfs(dir).unwrap();
}

fn fresh(path: &Path) {
    if path.exists() {
        fs::remove_dir_all(path).unwrap();
    }
    fs::create_dir_all(path).unwrap();
    syncfs(path);
}

/// Runs `body` and gives its seconds, and those with a `syncfs` after it.
fn timed(at: &Path, body: impl FnOnce()) -> (f64, f64) {
    let start = Instant::now();
    body();
    let done = start.elapsed().as_secs_f64();
    syncfs(at);
    (done, start.elapsed().as_secs_f64())
}

fn run(program: &str, args: &[&str]) {
    let status = Command::new(program).args(args).status().expect("the program runs");
    assert!(status.success(), "{program} failed");
}

#[derive(Clone, Copy)]
struct Best(f64, f64);

impl Best {
    fn add(&mut self, (bare, synced): (f64, f64)) {
        self.0 = self.0.min(bare);
        self.1 = self.1.min(synced);
    }
}

fn peak_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|n| n.parse().ok()).unwrap_or(0)
}

/// What Segue is measured against.
struct Rivals {
    rsync: Best,
    cp: Best,
    /// rsync with nothing to do.
    idle: Best,
}

impl Rivals {
    fn run(&mut self, base: &Path, from: &str) {
        let target = base.join("rsync");
        fresh(&target);
        let to = format!("{}/", target.display());
        self.rsync.add(timed(&target, || run("rsync", &["-aHAX", from, &to])));
        for _ in 0..3 {
            self.idle.add(timed(&target, || run("rsync", &["-aHAX", from, &to])));
        }
        fs::remove_dir_all(&target).unwrap();
        let target = base.join("cp");
        fresh(&target);
        let (from, to) = (format!("{from}."), format!("{}", target.display()));
        self.cp.add(timed(&target, || {
            run("cp", &["-a", "--reflink=never", &from, &to]);
        }));
        fs::remove_dir_all(&target).unwrap();
    }
}

fn print(&[load, pass, full]: &[Best; 3], rivals: Option<&Rivals>) {
    println!("{:<34}{:>10}{:>12}", "", "seconds", "with syncfs");
    let row = |name: &str, best: Best| println!("{name:<34}{:>10.3}{:>12.3}", best.0, best.1);
    row("segue load (syncs by itself)", load);
    if let Some(Rivals { rsync, cp, .. }) = rivals {
        row("rsync -aHAX", *rsync);
        row("cp -a", *cp);
    }
    row("segue pass, no change", pass);
    if let Some(Rivals { idle, .. }) = rivals {
        row("rsync -aHAX, no change", *idle);
    }
    row("segue verify, full", full);
    if let Some(Rivals { rsync, cp, idle }) = rivals {
        println!("rsync / segue load: {:.2} ({:.2} with syncfs)", rsync.0 / load.0, rsync.1 / load.1);
        println!("cp / segue load: {:.2} ({:.2} with syncfs)", cp.0 / load.0, cp.1 / load.1);
        println!("rsync / segue no-change pass: {:.2} ({:.2} with syncfs)", idle.0 / pass.0, idle.1 / pass.1);
    }
}

fn main() {
    let base = std::env::var("SEGUE_BENCH_DIR").map_or_else(|_| std::env::temp_dir(), PathBuf::from);
    let base = base.join(format!("segue-bench-{}", std::process::id()));
    fs::create_dir_all(&base).unwrap();
    let source = std::env::var("SEGUE_BENCH_TREE").map_or_else(
        |_| {
            let source = base.join("source");
            make_tree(&source);
            source
        },
        PathBuf::from,
    );
    let others = std::env::var("SEGUE_BENCH_ONLY").is_err();
    let none = Best(f64::MAX, f64::MAX);
    let [mut load, mut pass, mut full] = [none; 3];
    let mut rivals = Rivals { rsync: none, cp: none, idle: none };
    let from = format!("{}/", source.display());
    for round in 0..number("SEGUE_BENCH_ROUNDS", 3) {
        let target = base.join("segue");
        fresh(&target);
        let io = Io(base.join(format!("artifacts-{round}")));
        let mut job = job(&source, &target);
        let engine = FilesEngine::new();
        let mut report = None;
        load.add(timed(&target, || {
            report = Some(engine.load(&job, None, &io).expect("the load"));
        }));
        let mut report = report.expect("a report");
        // What was too fresh is hashed again in the first passes, not in the measured one.
        loop {
            job.ledger = Some(report.ledger.clone());
            report = engine.pass(&job, None, &io).expect("a pass");
            if job.ledger.as_ref() == Some(&report.ledger) {
                break;
            }
        }
        for _ in 0..3 {
            pass.add(timed(&target, || {
                drop(engine.pass(&job, None, &io).expect("a pass"));
            }));
        }
        let call = VerifyCall { level: VerifyLevel::Full, since: None, quiet: true, set_aside: Vec::new() };
        full.add(timed(&target, || {
            let found = engine.verify(&job, &call, &io).expect("a verification");
            assert_eq!(found.mismatches_total, 0, "{:?}", found.mismatches);
        }));
        if !others {
            println!("{} records, peak {} MiB", report.records_seen, peak_kib() / 1024);
            continue;
        }
        fs::remove_dir_all(&target).unwrap();
        rivals.run(&base, &from);
    }
    print(&[load, pass, full], others.then_some(&rivals));
    println!("peak memory of segue: {} MiB", peak_kib() / 1024);
    fs::remove_dir_all(&base).unwrap();
}
