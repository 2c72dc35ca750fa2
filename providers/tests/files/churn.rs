//! Loads and passes beside somebody who never rests: directories with hard links in them are renamed, a directory and a
//! link change places (what an unprivileged user can do), and kinds change. No pass fails for that, and once it is quiet both
//! sides are alike.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{CWD, FileType, Mode, OFlags, RenameFlags, mknodat, renameat_with};
use segue_contract::{Direction, Engine, PassReport};
use segue_providers::engines::files::FilesEngine;

use crate::world::{World, put};

/// Passes within which it must come to rest once nobody changes anything.
const PASSES: usize = 6;

/// Marsaglia's xorshift: every run of a seed is the same, as far as one side goes.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }

    fn of(&mut self, root: &Path, letter: char) -> PathBuf {
        root.join(format!("{letter}{}", self.roll(5)))
    }

    /// A file in a directory, or in one below it.
    fn file(&mut self, root: &Path) -> PathBuf {
        let dir = self.of(root, 'd');
        let dir = if self.roll(3) == 0 { dir.join("below") } else { dir };
        self.of(&dir, 'f')
    }
}

/// One change; what cannot be done is not done: somebody else is there, too.
fn stir(root: &Path, dice: &mut Dice) {
    let (dir, other, link) = (dice.of(root, 'd'), dice.of(root, 'd'), dice.of(root, 'l'));
    let (file, name) = (dice.file(root), dice.file(root));
    let size = dice.roll(20_000) as usize;
    let _ = match dice.roll(12) {
        0 => fs::create_dir_all(dir.join("below")),
        1..=3 => fs::create_dir_all(file.parent().unwrap()).and_then(|()| write(&file, size)),
        4 | 5 => fs::hard_link(file, name),
        6 => fs::rename(dir, other),
        7 => fs::rename(dir, dice.of(root, 'm')).and_then(|()| fs::rename(dice.of(root, 'm'), other)),
        8 | 9 => renameat_with(CWD, dir, CWD, link, RenameFlags::EXCHANGE).map_err(Into::into),
        10 => fs::remove_file(&link).or_else(|_| fs::rename(&link, other)).and_then(|()| symlink("d0", link)),
        _ => {
            let _ = fs::remove_file(&file).and_then(|()| match size % 3 {
                0 => fs::create_dir(&file),
                1 => symlink("f1", &file),
                _ => mknodat(CWD, &file, FileType::Fifo, Mode::from_raw_mode(0o600), 0).map_err(Into::into),
            });
            Ok(())
        }
    };
}

/// Writes a file; what may be a pipe is not waited for.
fn write(path: &Path, size: usize) -> std::io::Result<()> {
    let flags = (OFlags::NONBLOCK | OFlags::NOFOLLOW).bits().cast_signed();
    let mut file =
        fs::OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)?;
    file.write_all(&vec![7; size])
}

fn begin(root: &Path) {
    for at in 0..5 {
        put(&root.join(format!("d{at}/f0")), "first");
        fs::hard_link(root.join(format!("d{at}/f0")), root.join(format!("d{at}/f1"))).unwrap();
        symlink(format!("d{at}"), root.join(format!("l{at}"))).unwrap();
    }
    // Keeps a pass busy while names change.
    for at in 0..300 {
        put(&root.join(format!("busy/{at:03}")), vec![1; 3000]);
    }
}

/// Does some work while another thread changes `root`.
fn beside<T>(root: &Path, seed: u64, work: impl FnOnce() -> T) -> T {
    beside_of(root, seed, stir, work)
}

fn beside_of<T>(root: &Path, seed: u64, change: fn(&Path, &mut Dice), work: impl FnOnce() -> T) -> T {
    let quiet = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut dice = Dice(seed);
            while !quiet.load(Ordering::Relaxed) {
                change(root, &mut dice);
            }
        });
        let done = work();
        quiet.store(true, Ordering::Relaxed);
        done
    })
}

/// One change by somebody who should not write there: where files are to stand, directories come, and change places with
/// links.
fn meddle(root: &Path, dice: &mut Dice) {
    let (dir, link) = (dice.of(root, 'd'), dice.of(root, 'l'));
    let _ = match dice.roll(8) {
        0 => fs::remove_file(&dir).or_else(|_| fs::remove_dir_all(&dir)),
        1 | 2 => fs::create_dir_all(dir.join("below")).and_then(|()| write(&dir.join("below/f0"), 10)),
        3 => fs::remove_file(&link).or_else(|_| fs::remove_dir_all(&link)).and_then(|()| symlink("d0", link)),
        _ => renameat_with(CWD, dir, CWD, link, RenameFlags::EXCHANGE).map_err(Into::into),
    };
}

fn carried(world: &mut World, report: PassReport, what: &str) {
    assert_eq!(report.set_aside, [], "{what}");
    world.set(report.ledger);
}

fn comes_to_rest(world: &mut World, engine: &FilesEngine, what: &str) {
    for _ in 0..PASSES {
        let report = engine.pass(&world.job, None, &world.io).unwrap_or_else(|e| panic!("{what}: {e}"));
        let position = report.position.clone();
        carried(world, report, what);
        if engine.position(&world.job, &world.io).unwrap() == position {
            world.assert_equal();
            let verified = engine.verify(&world.job, &world.full(), &world.io).unwrap();
            assert_eq!(verified.mismatches, [], "{what}");
            return;
        }
    }
    panic!("{what}: {PASSES} passes in quiet did not carry everything");
}

#[test]
fn what_changes_kind_and_place_while_it_is_read_fails_nothing() {
    for seed in 1..=12 {
        let mut world = World::new();
        let engine = FilesEngine::new();
        begin(&world.source);
        let source = world.source.clone();
        let what = format!("seed {seed}, load");
        let report = beside(&source, seed, || engine.load(&world.job, None, &world.io));
        carried(&mut world, report.unwrap_or_else(|e| panic!("{what}: {e}")), &what);
        for pass in 0..6 {
            let what = format!("seed {seed}, pass {pass}");
            put(&source.join("busy/again"), vec![pass; 100]);
            let report =
                beside(&source, seed * 100 + u64::from(pass), || engine.pass(&world.job, None, &world.io));
            carried(&mut world, report.unwrap_or_else(|e| panic!("{what}: {e}")), &what);
        }
        comes_to_rest(&mut world, &engine, &format!("seed {seed}"));
    }
}

#[test]
fn what_changes_kind_and_place_on_the_written_side_fails_nothing() {
    for seed in 1..=4 {
        let mut world = World::new();
        let engine = FilesEngine::new();
        for at in 0..5 {
            put(&world.source.join(format!("d{at}")), "first");
            put(&world.source.join(format!("l{at}")), "first");
        }
        put(&world.source.join("stays"), "whatever else goes");
        let report = engine.load(&world.job, None, &world.io).unwrap();
        carried(&mut world, report, "load");
        world.job.direction = Direction::Reverse;
        let written = world.source.clone();
        for pass in 0..25_u8 {
            let what = format!("seed {seed}, pass {pass}");
            for at in 0..5 {
                put(&world.target.join(format!("d{at}")), vec![pass; 100]);
                put(&world.target.join(format!("l{at}")), vec![pass; 100]);
            }
            let seed = seed * 100 + u64::from(pass);
            let report = beside_of(&written, seed, meddle, || engine.pass(&world.job, None, &world.io));
            carried(&mut world, report.unwrap_or_else(|e| panic!("{what}: {e}")), &what);
        }
        comes_to_rest(&mut world, &engine, &format!("seed {seed}"));
    }
}
