//! A writer: random operations on a range of its own and on one that all writers share, each logged once it is done.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use segue_contract::paths;

use super::deed::{Deed, content};
use super::gate::Gate;
use super::mapped::mapped;
use crate::random::Random;

/// Names in a writer's own range.
const KEYS: u64 = 1500;
/// Directories that they are spread over.
const DIRS: u64 = 16;
/// Names in the range that all writers share.
const SHARED_KEYS: u64 = 200;
/// Lines after which another file is begun.
const LINES_A_FILE: u64 = 2000;
/// Operations each time that the gate is entered.
const BATCH: u64 = 8;
/// Writes of a stale writer after the switch that it did not see, of which some are on others' files.
const STALE_WRITES: u64 = 24;

/// How a writer behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Follows the link, stops when it is told.
    Honest,
    /// Stops when it is told, and then goes on at the side that it found when it started.
    Stale,
    /// Stops for nobody.
    Rogue,
    /// As honest, and changes some of many files that are there (`big/DIRECTORY/FILE`), at a steady rate.
    Churn,
    /// As honest, and stores into files that it keeps mapped.
    Mapped,
}

impl Role {
    /// By its name on a command line.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "honest" => Some(Self::Honest),
            "stale" => Some(Self::Stale),
            "rogue" => Some(Self::Rogue),
            "churn" => Some(Self::Churn),
            "mapped" => Some(Self::Mapped),
            _ => None,
        }
    }
}

/// Writes in the working directory until there is a file `var/stop-NAME`, with this much rest after each batch.
///
/// # Errors
/// An operation that fails: what a writer is allowed to write never fails.
pub fn write(name: &str, role: Role, seed: u64, rest: Duration) -> io::Result<()> {
    let stop = PathBuf::from(format!("var/stop-{name}"));
    let gate = Gate::open()?;
    match role {
        Role::Honest => honest(name, &gate, &stop, seed, rest),
        Role::Stale => stale(name, &gate, &stop, rest),
        Role::Rogue => rogue(name, &stop, rest),
        Role::Churn => churn(name, &gate, &stop, &mut Random::from(seed), rest),
        Role::Mapped => mapped(name, &gate, &stop, seed, rest),
    }
}

fn honest(name: &str, gate: &Gate, stop: &Path, seed: u64, rest: Duration) -> io::Result<()> {
    let mut writer = {
        let Some(_inside) = gate.enter(stop)? else { return Ok(()) };
        Writer::new(name, seed)?
    };
    while let Some(inside) = gate.enter(stop)? {
        for _ in 0..BATCH {
            writer.operate()?;
        }
        drop(inside);
        if !rest.is_zero() {
            std::thread::sleep(rest);
        }
    }
    Ok(())
}

pub(super) fn log_of(name: &str) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(format!("var/acknowledged-{name}"))
}

/// One write of the whole line: whoever reads the log sees all of it or nothing.
pub(super) fn acknowledge(mut log: &File, deed: &Deed) -> io::Result<()> {
    log.write_all(format!("{deed}\n").as_bytes())
}

/// The file of a tag, under a name of its own until it is whole.
fn put_by_rename(root: &str, path: &str, tag: &str) -> io::Result<()> {
    let (dir, base) = path.rsplit_once('/').unwrap_or((".", path));
    let temporary = format!("{root}/{dir}/.{base}.tmp");
    OpenOptions::new().write(true).create(true).truncate(true).open(&temporary)?.write_all(&content(tag))?;
    Ok(rustix::fs::rename(&temporary, format!("{root}/{path}"))?)
}

/// The file of a tag, over what is there.
fn put_in_place(root: &str, path: &str, tag: &str) -> io::Result<()> {
    let bytes = content(tag);
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(format!("{root}/{path}"))?;
    file.write_all_at(&bytes, 0)?;
    file.set_len(bytes.len() as u64)
}

fn append(root: &str, path: &str, line: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().create(true).append(true).open(format!("{root}/{path}"))?;
    file.write_all(format!("{line}\n").as_bytes())
}

/// Renames a file in place of what may be there. Where both are names of one file, rename(2) does nothing.
fn move_name(from: &str, to: &str) -> io::Result<()> {
    rustix::fs::rename(from, to)?;
    match std::fs::remove_file(from) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

struct Writer {
    name: String,
    log: File,
    shared_lock: File,
    shared_log: File,
    random: Random,
    there: Vec<bool>,
    /// How often each directory was renamed.
    generations: Vec<u64>,
    version: u64,
    lines: u64,
}

impl Writer {
    fn new(name: &str, seed: u64) -> io::Result<Self> {
        let writer = Self {
            name: name.to_owned(),
            log: log_of(name)?,
            shared_lock: OpenOptions::new().create(true).append(true).open("var/shared.lock")?,
            shared_log: log_of("shared")?,
            random: Random::from(seed),
            there: vec![false; KEYS as usize],
            generations: vec![0; DIRS as usize],
            version: 0,
            lines: 0,
        };
        for dir in 0..DIRS {
            paths::create_dir_all(Path::new(&format!("live/{}", writer.dir(dir)))).map_err(|e| e.source)?;
        }
        paths::create_dir_all(Path::new("live/shared")).map_err(|e| e.source)?;
        Ok(writer)
    }

    fn dir(&self, dir: u64) -> String {
        format!("own/{}/{dir}.{}", self.name, self.generations[dir as usize])
    }

    fn path(&self, key: u64) -> String {
        format!("{}/{key}", self.dir(key % DIRS))
    }

    fn tag(&mut self) -> String {
        self.version += 1;
        format!("{}-{}", self.name, self.version)
    }

    /// One operation, and its acknowledgement.
    fn operate(&mut self) -> io::Result<()> {
        let key = self.random.below(KEYS);
        let there = self.there[key as usize];
        let deed = match self.random.below(1000) {
            0 => self.move_dir(key % DIRS)?,
            1..=49 => return self.shared(),
            50..=199 => self.line()?,
            200..=349 if there => {
                let path = self.path(key);
                std::fs::remove_file(format!("live/{path}"))?;
                self.there[key as usize] = false;
                Deed::Delete(path)
            }
            350..=499 if there => self.move_key(key)?,
            500..=519 if there => self.link_key(key)?,
            n => {
                let (path, tag) = (self.path(key), self.tag());
                self.there[key as usize] = true;
                if n % 2 == 0 {
                    put_by_rename("live", &path, &tag)?;
                    Deed::Put(path, tag)
                } else {
                    put_in_place("live", &path, &tag)?;
                    Deed::Over(path, tag)
                }
            }
        };
        acknowledge(&self.log, &deed)
    }

    fn move_dir(&mut self, dir: u64) -> io::Result<Deed> {
        let from = self.dir(dir);
        self.generations[dir as usize] += 1;
        let to = self.dir(dir);
        rustix::fs::rename(format!("live/{from}"), format!("live/{to}"))?;
        Ok(Deed::MoveDir(from, to))
    }

    /// To another name, in place of what may be there.
    fn move_key(&mut self, key: u64) -> io::Result<Deed> {
        let other = (key + 1 + self.random.below(KEYS - 1)) % KEYS;
        let (from, to) = (self.path(key), self.path(other));
        move_name(&format!("live/{from}"), &format!("live/{to}"))?;
        self.there[key as usize] = false;
        self.there[other as usize] = true;
        Ok(Deed::Move(from, to))
    }

    /// A second name for the file, mostly in another directory, in place of what may be there.
    fn link_key(&mut self, key: u64) -> io::Result<Deed> {
        let other = (key + 1 + self.random.below(KEYS - 1)) % KEYS;
        let (from, to) = (self.path(key), self.path(other));
        let temporary = format!("live/{}/.{other}.tmp", self.dir(other % DIRS));
        rustix::fs::link(format!("live/{from}"), &temporary)?;
        move_name(&temporary, &format!("live/{to}"))?;
        self.there[other as usize] = true;
        Ok(Deed::Link(from, to))
    }

    fn line(&mut self) -> io::Result<Deed> {
        let (path, line) = (format!("own/{}/lines-{}", self.name, self.lines / LINES_A_FILE), self.tag());
        self.lines += 1;
        append("live", &path, &line)?;
        Ok(Deed::Line(path, line))
    }

    /// An operation where all writers meet: done and logged under one lock, so that the log has the order.
    fn shared(&mut self) -> io::Result<()> {
        flock(&self.shared_lock, FlockOperation::LockExclusive)?;
        let key = self.random.below(SHARED_KEYS);
        let (path, tag) = (format!("shared/{key}"), self.tag());
        let deed = match self.random.below(4) {
            0 => {
                append("live", "shared/lines", &tag)?;
                Deed::Line("shared/lines".to_owned(), tag)
            }
            1 => match std::fs::remove_file(format!("live/{path}")) {
                Ok(()) => Deed::Delete(path),
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    put_by_rename("live", &path, &tag)?;
                    Deed::Put(path, tag)
                }
                Err(error) => return Err(error),
            },
            _ => {
                put_in_place("live", &path, &tag)?;
                Deed::Over(path, tag)
            }
        };
        acknowledge(&self.shared_log, &deed)?;
        Ok(flock(&self.shared_lock, FlockOperation::Unlock)?)
    }
}

/// Writes where the link led when it started; once the link leads elsewhere, what it writes is stale and is logged as
/// that, and after some such writes it ends.
fn stale(name: &str, gate: &Gate, stop: &Path, rest: Duration) -> io::Result<()> {
    let (log, stale_log) = (log_of(name)?, log_of(&format!("{name}.stale"))?);
    let side = std::fs::read_link("live")?;
    let root = side.display().to_string();
    let (mut version, mut late) = (0, 0);
    while late < STALE_WRITES {
        let Some(_inside) = gate.enter(stop)? else { return Ok(()) };
        if std::fs::read_link("live")? == side {
            // As everybody: it counts.
            paths::create_dir_all(Path::new(&format!("{root}/own/{name}"))).map_err(|e| e.source)?;
            let (path, tag) = (format!("own/{name}/{version}"), format!("{name}-{version}"));
            put_by_rename(&root, &path, &tag)?;
            acknowledge(&log, &Deed::Put(path, tag))?;
            version += 1;
            std::thread::sleep(rest.max(Duration::from_millis(5)));
            continue;
        }
        let tag = format!("{name}-stale-{late}");
        let deed = match late % 4 {
            0 => {
                // A page that everybody has.
                let path = format!("pages/{late}.html");
                put_in_place(&root, &path, &tag)?;
                Deed::Put(path, tag)
            }
            1 => {
                let path = format!("pages/{late}.html");
                std::fs::remove_file(format!("{root}/{path}"))?;
                Deed::Delete(path)
            }
            2 => {
                let path = format!("pages/{tag}");
                put_by_rename(&root, &path, &tag)?;
                Deed::Put(path, tag)
            }
            _ => {
                let path = format!("pages/{late}.html");
                append(&root, &path, &tag)?;
                Deed::Line(path, tag)
            }
        };
        acknowledge(&stale_log, &deed)?;
        late += 1;
    }
    Ok(())
}

/// Writes through every pause.
fn rogue(name: &str, stop: &Path, rest: Duration) -> io::Result<()> {
    let log = log_of(name)?;
    paths::create_dir_all(Path::new(&format!("live/own/{name}"))).map_err(|e| e.source)?;
    let mut version: u64 = 0;
    while !stop.exists() {
        let (path, tag) = (format!("own/{name}/{}", version % 50), format!("{name}-{version}"));
        put_by_rename("live", &path, &tag)?;
        acknowledge(&log, &Deed::Put(path, tag))?;
        version += 1;
        std::thread::sleep(rest.max(Duration::from_millis(1)));
    }
    Ok(())
}

fn churn(name: &str, gate: &Gate, stop: &Path, random: &mut Random, rest: Duration) -> io::Result<()> {
    let log = log_of(name)?;
    let (dirs, files) = (count("live/big")?, count("live/big/0")?);
    let mut version: u64 = 0;
    while let Some(inside) = gate.enter(stop)? {
        // Each writer has files of its own: nobody orders the log of two.
        let own = u64::from(name.as_bytes().last().is_some_and(|last| last % 2 == 1));
        let file = (random.below(files / 2) * 2 + own) % files;
        let (path, tag) = (format!("big/{}/{file}", random.below(dirs)), format!("{name}-{version}"));
        put_by_rename("live", &path, &tag)?;
        acknowledge(&log, &Deed::Put(path, tag))?;
        version += 1;
        drop(inside);
        std::thread::sleep(rest);
    }
    Ok(())
}

fn count(dir: &str) -> io::Result<u64> {
    Ok(std::fs::read_dir(dir)?.count() as u64)
}
