//! A ledger against a map that should say the same: one that stands alone, and one that leans on another.

use std::collections::BTreeMap;
use std::path::Path;

use segue_contract::{ArtifactName, Side};

use super::*;
use crate::engines::documents::collection::SliceStand;
use crate::engines::documents::merge::merge;
use crate::engines::documents::runs::{Entry, Runs};
use crate::ledger::{bases, collect};

/// What a ledger should say.
type Model = BTreeMap<Key, Record>;

fn key(n: u64) -> Key {
    // The same name at two places, and without one.
    let place = ["a", "b"].get((n % 3) as usize).map(|place| (*place).to_owned());
    Key { id: format!("key{:06}", n / 3), place }
}

fn stand(settled: u64) -> Stand {
    let slice = SliceStand { term: 1, settled, all: settled };
    Stand { incarnation: "a".to_owned(), slices: vec![slice] }
}

fn about(pass: u64, at: &Stand) -> About {
    let stood = || Stood { stand: at.clone(), highest: 7 };
    About::new(pass, 2, Versions::none(), Side::Source, stood(), stood())
}

/// Numbers without a pattern, always the same.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// A ledger on disk, and what it should say.
struct Kept {
    dir: tempfile::TempDir,
    name: Option<ArtifactName>,
    model: Model,
    draw: Draw,
    number: u64,
}

impl Kept {
    fn of(records: u64) -> Self {
        let dir = tempfile::tempdir().expect("a directory");
        let mut kept = Self { dir, name: None, model: Model::new(), draw: Draw(records), number: 0 };
        kept.step(records, records);
        kept
    }

    fn dir(&self) -> &Path {
        self.dir.path()
    }

    fn open(&self) -> Ledger {
        Ledger::open(self.dir(), self.name.as_ref().expect("named")).expect("opened")
    }

    /// Changes, makes and removes some of the first `of` documents.
    fn step(&mut self, changes: u64, of: u64) {
        let (mut runs, before) = (Runs::new(self.dir()), self.model.clone());
        for nth in 0..changes {
            let key = if self.name.is_none() { key(nth) } else { key(self.draw.below(of)) };
            self.number += 1;
            let gone = self.name.is_some() && self.draw.below(3) == 0;
            let mut record = Record::of(key.clone());
            (record.hash, record.pass) = (u128::from(self.number), self.number);
            record.source = Mark::new(self.number, self.number);
            record.target = Mark { version: self.draw.below(4), number: 0 };
            record.aside = self.draw.below(10) == 0;
            let mut kept = record.clone();
            // What could not be written is there as it was.
            if let Some(old) = before.get(&key).filter(|_| record.aside && record.target.version == 0) {
                kept.target = old.target;
            }
            if gone {
                self.model.remove(&key)
            } else {
                self.model.insert(key, kept)
            };
            runs.push(Entry { record, gone }).expect("taken");
        }
        let mut old = self.name.is_some().then(|| self.open());
        let at = stand(self.number + 1);
        let entries = runs.finish().expect("sorted");
        let draft = merge(self.dir(), old.as_mut(), entries, Side::Source, &at).expect("merged");
        assert_eq!(draft.live(Side::Source), self.model.len() as u64);
        self.name = Some(draft.finish(self.dir(), about(self.number, &at)).expect("finished"));
    }

    /// What the ledger says is what it should say.
    fn check(&mut self) {
        let mut ledger = self.open();
        let mut records = ledger.records().expect("read");
        let all: Vec<Record> = std::iter::from_fn(|| records.next_record().expect("read")).collect();
        assert!(all.iter().eq(self.model.values()), "{} and {}", all.len(), self.model.len());
        let aside = std::iter::from_fn({
            let mut records = ledger.records().expect("read");
            move || records.next_where(|marks| marks.aside).expect("read")
        });
        assert_eq!(aside.count(), all.iter().filter(|record| record.aside).count());
        let at = stand(self.number + 1);
        let mut tally = Tally::of(Side::Source, &at);
        all.iter().for_each(|record| tally.add(record));
        let told = &ledger.about().tally;
        assert_eq!((told.records, told.aside), (tally.records, tally.aside));
        assert_eq!(told.live(Side::Target), tally.live(Side::Target));
        let census =
            |tally: &Tally| tally.census(Side::Source, &at).map(|c| (c.total(), c.parts.iter().sum::<u64>()));
        assert_eq!(census(told), census(&tally));
        let mut some: Vec<Key> =
            (0..50).map(|_| key(self.draw.below(self.model.len() as u64 * 2 + 9))).collect();
        some.extend([key(0), key(2)]);
        some.sort();
        some.dedup();
        if ledger.base().is_some() {
            let found = ledger.find(some.iter()).expect("found");
            assert!(
                found.iter().eq(some
                    .iter()
                    .map(|key| self.model.get(key).cloned())
                    .collect::<Vec<_>>()
                    .iter())
            );
        }
    }
}

#[test]
fn a_ledger_that_leans_on_another_says_what_one_that_stands_alone_would() {
    // Fewer than there are in one piece of the index; more; more than are buffered at once.
    for (records, rounds) in [(9, 12), (200, 12), (3_000, 5), (20_000, 2)] {
        let mut kept = Kept::of(records);
        kept.check();
        for round in 0..rounds {
            let before = (kept.name.clone().expect("named"), kept.model.clone());
            kept.step(records / 20 + round % 3, records + records / 10);
            kept.check();
            // What nobody names and nobody leans on goes.
            let names = [before.0.clone(), kept.name.clone().expect("named")];
            collect(kept.dir(), &names).expect("collected");
            differ(
                &mut kept.open(),
                &mut Ledger::open(kept.dir(), &before.0).expect("kept"),
                &before.1,
                &kept.model,
            );
        }
        let files = std::fs::read_dir(kept.dir()).expect("listed").count();
        let named = [kept.name.clone().expect("named")];
        collect(kept.dir(), &named).expect("collected");
        let left = std::fs::read_dir(kept.dir()).expect("listed").count();
        assert_eq!(left, 1 + bases(kept.dir(), &named).expect("read").len());
        assert!(left <= files);
        kept.check();
    }
}

/// What differs between two ledgers, as far as that can be told without reading them, is what differs between the models.
fn differ(now: &mut Ledger, before: &mut Ledger, then: &Model, model: &Model) {
    let Some(told) = now.differences(before).expect("told") else { return };
    let keys: std::collections::BTreeSet<&Key> = then.keys().chain(model.keys()).collect();
    let pairs = keys.into_iter().map(|key| (then.get(key).cloned(), model.get(key).cloned()));
    let wanted: Vec<_> = pairs.filter(|(then, now)| then != now).collect();
    assert_eq!(told, wanted);
}

#[test]
fn little_that_changed_costs_little_whatever_the_size_and_much_is_written_anew() {
    let mut kept = Kept::of(20_000);
    let size = |kept: &Kept| {
        let name = kept.name.clone().expect("named");
        std::fs::metadata(kept.dir().join(name.0)).expect("there").len()
    };
    let whole = size(&kept);
    kept.step(10, 20_000);
    assert!(size(&kept) < whole / 50, "{} of {whole}", size(&kept));
    assert_eq!(bases(kept.dir(), &[kept.name.clone().expect("named")]).expect("read").len(), 1);
    kept.step(6_000, 20_000);
    assert!(size(&kept) > whole / 2, "{} of {whole}", size(&kept));
    assert_eq!(bases(kept.dir(), &[kept.name.clone().expect("named")]).expect("read"), []);
}

#[test]
fn a_ledger_whose_base_is_gone_or_damaged_is_not_believed() {
    let mut kept = Kept::of(500);
    kept.step(3, 500);
    let [base] = &bases(kept.dir(), &[kept.name.clone().expect("named")]).expect("read")[..] else {
        panic!("it leans on none");
    };
    let path = kept.dir().join(&base.0);
    let mut bytes = segue_contract::paths::read(&path).expect("read");
    bytes[100] ^= 1;
    segue_contract::paths::replace(&path, &bytes).expect("written");
    let open =
        || Ledger::open(kept.dir(), kept.name.as_ref().expect("named")).err().expect("an error").to_string();
    assert!(open().contains(&base.0), "{}", open());
    std::fs::remove_file(&path).expect("removed");
    assert!(open().contains(&base.0), "{}", open());
}

#[test]
fn a_step_that_nobody_names_leaves_no_file_and_is_read_as_often_as_is_wanted() {
    let kept = Kept::of(30_000);
    let mut runs = Runs::new(kept.dir());
    // Too much for one that leans.
    (0..20_000).for_each(|n| runs.push(Entry { record: Record::of(key(n)), gone: true }).expect("taken"));
    let (mut old, at) = (kept.open(), stand(1));
    let entries = runs.finish().expect("sorted");
    let draft = merge(kept.dir(), Some(&mut old), entries, Side::Source, &at).expect("merged");
    let mut step = draft.into_ledger(about(2, &at)).expect("ended");
    assert_eq!(std::fs::read_dir(kept.dir()).expect("listed").count(), 1, "it has no name");
    for most in [3, 10_000] {
        let mut records = step.records().expect("read");
        let read = std::iter::from_fn(|| records.next_record().expect("read")).take(most);
        assert_eq!(read.count(), most);
    }
}
