//! Holds a tree against everything that was acknowledged.

use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use segue_contract::paths;

use super::deed::{Deed, content, page};

/// How many of a kind of complaint are named.
const NAMED_MAX: usize = 10;

/// What a tree was found to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged operations so far.
    pub acknowledged: u64,
    /// Files and lines that should be there, and are not, or are not as they were written.
    pub lost: u64,
    /// Lines that are there more than once.
    pub doubled: u64,
    /// Files and lines that should not be there: deleted, renamed, never acknowledged.
    pub back: u64,
    /// The first complaints.
    pub named: Vec<String>,
}

impl Verdict {
    /// Nothing to complain of.
    pub fn clean(&self) -> bool {
        self.lost + self.doubled + self.back == 0
    }

    fn complain(&mut self, what: String) {
        if self.named.len() < NAMED_MAX {
            self.named.push(what);
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    /// Exactly these bytes.
    Tag(String),
    /// Exactly these bytes, which no writer wrote.
    Bytes(Vec<u8>),
    /// The page of this tag.
    Page(String),
    /// These lines, in this order.
    Lines(Vec<String>),
}

/// What the logs come to.
pub struct Oracle {
    var: PathBuf,
    /// Each name, and which file has it: hard links are names of one file.
    wanted: BTreeMap<String, usize>,
    /// The files, also those that have lost their last name.
    files: Vec<Wanted>,
    read: BTreeMap<PathBuf, u64>,
    acknowledged: u64,
}

impl Oracle {
    /// Begins with the files that are in a tree now; the writers log below `var`.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn new(tree: &Path, var: &Path) -> std::io::Result<Self> {
        let mut oracle = Self {
            var: var.to_owned(),
            wanted: BTreeMap::new(),
            files: Vec::new(),
            read: BTreeMap::new(),
            acknowledged: 0,
        };
        for (path, bytes) in files(tree)? {
            oracle.name(path, Wanted::Bytes(bytes));
        }
        Ok(oracle)
    }

    /// Reads what was logged since the last time. Returns how many operations that makes in all.
    ///
    /// # Errors
    /// A log that cannot be read or has a line that is none.
    pub fn advance(&mut self) -> std::io::Result<u64> {
        for entry in std::fs::read_dir(&self.var)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if !name.starts_with("acknowledged-") || name.ends_with(".stale") {
                continue;
            }
            for deed in self.fresh(&path)? {
                self.acknowledged += 1;
                self.note(deed);
            }
        }
        Ok(self.acknowledged)
    }

    /// What a stale writer has written where nobody is served from, since the last time.
    ///
    /// # Errors
    /// As `advance`.
    pub fn stale(&mut self, name: &str) -> std::io::Result<Vec<Deed>> {
        self.fresh(&self.var.join(format!("acknowledged-{name}.stale")))
    }

    fn fresh(&mut self, path: &Path) -> std::io::Result<Vec<Deed>> {
        let mut file = std::fs::OpenOptions::new().read(true).open(path)?;
        let from = self.read.get(path).copied().unwrap_or(0);
        file.seek(SeekFrom::Start(from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        // Whole lines only.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        self.read.insert(path.to_owned(), from + whole as u64);
        text[..whole]
            .lines()
            .map(|line| Deed::parse(line).ok_or_else(|| std::io::Error::other(format!("no deed: {line}"))))
            .collect()
    }

    /// A new file has this name.
    fn name(&mut self, path: String, wanted: Wanted) {
        self.wanted.insert(path, self.files.len());
        self.files.push(wanted);
    }

    fn file(&mut self, path: &str) -> Option<&mut Wanted> {
        self.wanted.get(path).and_then(|file| self.files.get_mut(*file))
    }

    fn note(&mut self, deed: Deed) {
        match deed {
            Deed::Put(path, tag) => self.name(path, Wanted::Tag(tag)),
            Deed::Page(path, tag) => match self.file(&path) {
                Some(wanted) => *wanted = Wanted::Page(tag),
                None => self.name(path, Wanted::Page(tag)),
            },
            Deed::Over(path, tag) => match self.file(&path) {
                Some(wanted) => *wanted = Wanted::Tag(tag),
                None => self.name(path, Wanted::Tag(tag)),
            },
            Deed::Link(from, to) => {
                if let Some(file) = self.wanted.get(&from).copied() {
                    self.wanted.insert(to, file);
                }
            }
            Deed::Delete(path) => {
                self.wanted.remove(&path);
            }
            Deed::Move(from, to) => {
                if let Some(wanted) = self.wanted.remove(&from) {
                    self.wanted.insert(to, wanted);
                }
            }
            Deed::MoveDir(from, to) => {
                let below = format!("{from}/");
                let moved: Vec<String> = self
                    .wanted
                    .range(below.clone()..)
                    .map(|(p, _)| p.clone())
                    .take_while(|p| p.starts_with(&below))
                    .collect();
                for path in moved {
                    if let Some(wanted) = self.wanted.remove(&path) {
                        self.wanted.insert(format!("{to}/{}", &path[below.len()..]), wanted);
                    }
                }
            }
            Deed::Line(path, line) => match self.file(&path) {
                Some(Wanted::Lines(lines)) => lines.push(line),
                Some(other) => *other = Wanted::Lines(vec![line]),
                None => self.name(path, Wanted::Lines(vec![line])),
            },
        }
    }

    /// Holds a tree against all of it. Nobody may write meanwhile.
    ///
    /// # Errors
    /// The tree cannot be read.
    pub fn judge(&self, tree: &Path) -> std::io::Result<Verdict> {
        let mut verdict = Verdict { acknowledged: self.acknowledged, ..Verdict::default() };
        let found = files(tree)?;
        for (path, file) in &self.wanted {
            let Some(wanted) = self.files.get(*file) else { continue };
            let Some(bytes) = found.get(path) else {
                verdict.lost += 1;
                verdict.complain(format!("lost: {path}"));
                continue;
            };
            let other = |verdict: &mut Verdict, wanted: &[u8]| {
                if bytes != wanted {
                    verdict.lost += 1;
                    let head = |b: &[u8]| String::from_utf8_lossy(&b[..b.len().min(60)]).into_owned();
                    verdict.complain(format!(
                        "other content: {path}: {:?} instead of {:?}",
                        head(bytes),
                        head(wanted)
                    ));
                }
            };
            match wanted {
                Wanted::Tag(tag) => other(&mut verdict, &content(tag)),
                Wanted::Page(tag) => other(&mut verdict, &page(tag)),
                Wanted::Bytes(wanted) => other(&mut verdict, wanted),
                Wanted::Lines(lines) => judge_lines(path, lines, bytes, &mut verdict),
            }
        }
        for path in found.keys().filter(|path| !self.wanted.contains_key(*path)) {
            verdict.back += 1;
            verdict.complain(format!("came back: {path}"));
        }
        Ok(verdict)
    }
}

fn judge_lines(path: &str, wanted: &[String], bytes: &[u8], verdict: &mut Verdict) {
    let text = String::from_utf8_lossy(bytes);
    let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
    for line in text.lines() {
        *seen.entry(line).or_default() += 1;
    }
    for line in wanted {
        match seen.remove(line.as_str()) {
            None => {
                verdict.lost += 1;
                verdict.complain(format!("lost: {path}: {line}"));
            }
            Some(1) => {}
            Some(n) => {
                verdict.doubled += n - 1;
                verdict.complain(format!("{n} times: {path}: {line}"));
            }
        }
    }
    for line in seen.keys() {
        verdict.back += 1;
        verdict.complain(format!("came back: {path}: {line}"));
    }
}

/// Every regular file of a tree that is moved, with its content.
fn files(tree: &Path) -> std::io::Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut waiting = vec![tree.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            // Segue's own, the application's probe, and what the spec excludes.
            if name.starts_with(".segue") || name == ".probe" || name.ends_with(".tmp") || name == "cache" {
                continue;
            }
            let kind = entry.file_type()?;
            if kind.is_dir() {
                waiting.push(path);
            } else if kind.is_file() {
                let below = path.strip_prefix(tree).unwrap_or(&path).display().to_string();
                found.insert(below, paths::read(&path).map_err(|e| e.source)?);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::{Oracle, paths};

    /// An oracle that cannot say no proves nothing.
    #[test]
    fn what_is_lost_doubled_or_back_is_told() {
        let dir = tempfile::tempdir().expect("a directory");
        let (tree, var) = (dir.path().join("tree"), dir.path().join("var"));
        paths::create_dir_all(&tree.join("d")).expect("made");
        paths::create_dir_all(&var).expect("made");
        let write = |path: &std::path::Path, bytes: &[u8]| paths::replace(path, bytes).expect("written");
        write(&tree.join("kept"), b"as it was");
        let mut oracle = Oracle::new(&tree, &var).expect("an oracle");
        write(
            &var.join("acknowledged-a"),
            b"put a t-1\nput b t-2\nline l one\nline l two\nmove b c\nput d/x t-3\nmovedir d e\nput gone t-4\ndelete gone\nput f t-5\nlink f g\nover g t-6\n",
        );
        assert_eq!(oracle.advance().expect("read"), 12);
        assert_eq!(oracle.advance().expect("read"), 12, "each line once");
        let judged = oracle.judge(&tree).expect("read");
        assert_eq!((judged.lost, judged.doubled, judged.back), (6, 0, 0), "{judged:?}");
        paths::create_dir_all(&tree.join("e")).expect("made");
        for (path, tag) in [("a", "t-1"), ("c", "t-2"), ("e/x", "t-3"), ("f", "t-6"), ("g", "t-6")] {
            write(&tree.join(path), &super::content(tag));
        }
        write(&tree.join("l"), b"one\ntwo\n");
        assert!(oracle.judge(&tree).expect("read").clean());
        write(&tree.join("l"), b"one\ntwo\none\nthree\n");
        write(&tree.join("gone"), &super::content("t-4"));
        write(&tree.join("a"), &super::content("t-0"));
        let judged = oracle.judge(&tree).expect("read");
        assert_eq!((judged.lost, judged.doubled, judged.back), (1, 1, 2), "{judged:?}");
    }
}
