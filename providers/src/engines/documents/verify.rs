//! Verification: both sides against the ledger. Counts; or a sample by content; or everything by content, in buckets whose
//! sums do not depend on order, so that only buckets that differ are looked at key by key. What differs is a mismatch only
//! if it still does when both sides are read again by key; what changed since the last pass is the residual.

mod buckets;

use std::time::Instant;

use segue_contract::{ArtifactName, Side, StepError, VerifyCall, VerifyLevel, VerifyMismatch, VerifyReport};

use super::again::{again, pause};
use super::collection::{Collection, Found, Key, Want};
use super::ledger::{About, Reader, Record, about};
use super::micros;
use super::sides::Sides;
use super::windows::Windows;
use crate::engines::report::Bounded;
use buckets::{Buckets, bucket_of};

/// Documents that are read at once.
const READ_AT_ONCE: usize = 200;
/// Of so many documents one is in a sample, and at least so many are.
const SAMPLE: (u64, u64) = (100, 1_000);
/// How long a difference may take to settle before it is one.
const SETTLE: std::time::Duration = std::time::Duration::from_millis(300);

/// See [`segue_contract::Engine::verify`].
pub(crate) fn verify(
    sides: &Sides<'_>,
    ledger: &ArtifactName,
    call: &VerifyCall,
) -> Result<VerifyReport, StepError> {
    let known = about(sides.io.artifacts(), ledger)?;
    let mut verify = Verify {
        sides,
        ledger,
        known,
        began: Instant::now(),
        quiet: call.quiet,
        checked: 0,
        read: 0,
        bytes: 0,
        residual: 0,
        mismatches: Bounded::default(),
    };
    match (&call.since, call.level) {
        (Some(since), level) if level > VerifyLevel::Count => verify.since(since)?,
        (_, VerifyLevel::Count) => verify.count()?,
        (_, VerifyLevel::Sampled) => {
            verify.count()?;
            verify.sample()?;
        }
        (_, VerifyLevel::Full) => verify.full()?,
    }
    Ok(VerifyReport {
        level: call.level,
        ledger: ledger.clone(),
        records_checked: verify.checked,
        records_read: verify.read,
        bytes_read: verify.bytes,
        residual: verify.residual,
        mismatches: verify.mismatches.list,
        mismatches_total: verify.mismatches.total,
        took_us: micros(verify.began.elapsed()),
    })
}

struct Verify<'a> {
    sides: &'a Sides<'a>,
    ledger: &'a ArtifactName,
    known: About,
    began: Instant,
    quiet: bool,
    checked: u64,
    read: u64,
    bytes: u64,
    residual: u64,
    mismatches: Bounded<VerifyMismatch>,
}

impl Verify<'_> {
    fn reader(&self) -> Result<Reader, StepError> {
        Reader::open(self.sides.io.artifacts(), self.ledger)
    }

    fn differs(&mut self, key: &Key, what: impl Into<String>) {
        self.mismatches.push(VerifyMismatch { key: key.to_string(), what: what.into() });
    }

    /// How many documents each side has, against the ledger.
    fn count(&mut self) -> Result<(), StepError> {
        let (io, to) = (self.sides.io, self.sides.to());
        let mut expected = 0;
        let mut reader = self.reader()?;
        while let Some(record) = reader.next_record()? {
            expected += u64::from(record.mark(to).version > 0);
        }
        self.checked += expected;
        let there = again(io, || self.sides.write.count())?;
        if self.sides.adds() {
            // What clients made since is on both sides, sooner or later.
            expected = if self.quiet { again(io, || self.sides.read.count())? } else { there };
        }
        // Of what is set aside an older state may be there.
        if there < expected || there > expected + self.known.aside {
            let what = format!("{there} documents at {to}, {expected} were carried");
            self.mismatches.push(VerifyMismatch { key: self.sides.job.unit.clone(), what });
        }
        let here = again(io, || self.sides.read.count())?;
        if self.quiet && here != self.known.records {
            let what =
                format!("{here} documents at {}, {} in the ledger", self.sides.from(), self.known.records);
            self.mismatches.push(VerifyMismatch { key: self.sides.job.unit.clone(), what });
        }
        Ok(())
    }

    /// A part of the documents by content: one of so many, spread over all keys.
    fn sample(&mut self) -> Result<(), StepError> {
        let wanted = (self.known.records / SAMPLE.0).max(SAMPLE.1).max(1);
        let step = (self.known.records / wanted).max(1);
        let mut reader = self.reader()?;
        let (mut at, mut some) = (0u64, Vec::new());
        while let Some(record) = reader.next_record()? {
            at += 1;
            if at.is_multiple_of(step) {
                some.push(record);
            }
            if some.len() >= READ_AT_ONCE {
                self.compare(std::mem::take(&mut some))?;
            }
        }
        self.compare(some)
    }

    /// What passes touched since another ledger: on both sides by content.
    fn since(&mut self, since: &ArtifactName) -> Result<(), StepError> {
        let mut before = Reader::open(self.sides.io.artifacts(), since)?;
        let mut now = self.reader()?;
        let (mut old, mut new) = (before.next_record()?, now.next_record()?);
        let mut some = Vec::new();
        loop {
            match (&old, &new) {
                (None, None) => break,
                (Some(gone), new) if new.as_ref().is_none_or(|new| gone.key < new.key) => {
                    some.push(Record {
                        hash: 0,
                        source: Default::default(),
                        target: Default::default(),
                        ..gone.clone()
                    });
                    old = before.next_record()?;
                }
                (old_record, Some(record)) => {
                    let same = old_record.as_ref().is_some_and(|old| old.key == record.key);
                    if old_record.as_ref() != Some(record) {
                        some.push(record.clone());
                    }
                    if same {
                        old = before.next_record()?;
                    }
                    new = now.next_record()?;
                }
                (Some(_), None) => break,
            }
            if some.len() >= READ_AT_ONCE {
                self.compare(std::mem::take(&mut some))?;
            }
        }
        self.compare(some)
    }

    /// Everything by content.
    fn full(&mut self) -> Result<(), StepError> {
        let (here, there) = (self.buckets(self.sides.from())?, self.buckets(self.sides.to())?);
        let mut expected = Buckets::default();
        let mut reader = self.reader()?;
        while let Some(record) = reader.next_record()? {
            self.checked += 1;
            // What is set aside, or changed while it was carried, is not known: its bucket is looked at key by key.
            expected.add(&record.key, record.hash);
        }
        let differing = expected.differing(&[&here, &there]);
        if differing.is_empty() { Ok(()) } else { self.drill_down(&differing) }
    }

    /// The sums of one side; on the side that serves only of what was there when the ledger was made.
    fn buckets(&mut self, side: Side) -> Result<Buckets, StepError> {
        let collection = self.of(side);
        let stand = again(self.sides.io, || collection.stand())?;
        let sums = std::sync::Mutex::new((Buckets::default(), 0u64, 0u64));
        let each = |found: Vec<Found>| {
            let mut hashed = Vec::with_capacity(found.len());
            let mut bytes = 0;
            for document in &found {
                bytes += document.body.len() as u64;
                hashed.push(self.sides.hash(side, &document.body)?);
            }
            let mut sums = sums.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            for (document, hash) in found.iter().zip(hashed) {
                sums.0.add(&document.key, hash);
            }
            sums.1 += found.len() as u64;
            sums.2 += bytes;
            Ok(())
        };
        let to: Vec<u64> = stand.slices.iter().map(|slice| slice.settled).collect();
        let windows = Windows::new(&vec![0; to.len()], &to);
        windows.run(&*collection, Want::Bodies, self.sides.workers(), self.sides.io, &each, &|| Ok(()))?;
        let (buckets, read, bytes) = sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.read += read;
        self.bytes += bytes;
        Ok(buckets)
    }

    fn of(&self, side: Side) -> std::sync::Arc<dyn Collection> {
        if side == self.sides.from() { self.sides.read.clone() } else { self.sides.write.clone() }
    }

    /// Every key of the buckets that differ, of the ledger and of both sides.
    fn drill_down(&mut self, differing: &[usize]) -> Result<(), StepError> {
        let is_in = |key: &Key| differing.binary_search(&bucket_of(key)).is_ok();
        let mut extra = self.keys_in(self.sides.to(), &is_in)?;
        let mut some = Vec::new();
        let mut reader = self.reader()?;
        while let Some(record) = reader.next_record()? {
            if !is_in(&record.key) {
                continue;
            }
            extra.remove(&record.key);
            some.push(record);
            if some.len() >= READ_AT_ONCE {
                self.compare(std::mem::take(&mut some))?;
            }
        }
        self.compare(some)?;
        let extra: Vec<Key> = extra.into_iter().collect();
        for keys in extra.chunks(READ_AT_ONCE) {
            if self.sides.adds() {
                // Clients may have made them on both sides since the last pass.
                self.compare(keys.iter().cloned().map(Record::of).collect())?;
                continue;
            }
            let there = again(self.sides.io, || self.sides.write.read(keys, Want::Keys))?;
            for (key, there) in keys.iter().zip(there) {
                if there.is_some() {
                    self.differs(key, format!("extra at {}", self.sides.to()));
                }
            }
        }
        Ok(())
    }

    /// The keys of one side that are in some buckets. In memory: a bucket is a thousandth of all keys.
    fn keys_in(
        &self,
        side: Side,
        is_in: &(dyn Fn(&Key) -> bool + Sync),
    ) -> Result<std::collections::BTreeSet<Key>, StepError> {
        let collection = self.of(side);
        let stand = again(self.sides.io, || collection.stand())?;
        let keys = std::sync::Mutex::new(std::collections::BTreeSet::new());
        let each = |found: Vec<Found>| {
            let mut keys = keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            keys.extend(found.into_iter().map(|f| f.key).filter(|key| is_in(key)));
            Ok(())
        };
        let to: Vec<u64> = stand.slices.iter().map(|slice| slice.settled).collect();
        let windows = Windows::new(&vec![0; to.len()], &to);
        windows.run(&*collection, Want::Keys, self.sides.workers(), self.sides.io, &each, &|| Ok(()))?;
        Ok(keys.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    /// Compares documents by key: each that differs once more after a while.
    fn compare(&mut self, records: Vec<Record>) -> Result<(), StepError> {
        if records.is_empty() {
            return Ok(());
        }
        self.sides.go_on()?;
        let doubtful = self.look(records, true)?;
        if doubtful.is_empty() {
            return Ok(());
        }
        if !self.quiet {
            pause(self.sides.io, SETTLE)?;
        }
        for (record, what) in self.look(doubtful.into_iter().map(|(record, _)| record).collect(), false)? {
            self.differs(&record.key, what);
        }
        Ok(())
    }

    /// Reads both sides. Gives what differs, with what does. What is set aside is told as that, by its reason, and fails its
    /// own gate: it is no difference.
    fn look(&mut self, mut records: Vec<Record>, first: bool) -> Result<Vec<(Record, String)>, StepError> {
        records.retain(|record| !record.aside);
        let keys: Vec<Key> = records.iter().map(|record| record.key.clone()).collect();
        let io = self.sides.io;
        let here = again(io, || self.sides.read.read(&keys, Want::Bodies))?;
        let there = again(io, || self.sides.write.read(&keys, Want::Bodies))?;
        let mut differing = Vec::new();
        for ((record, here), there) in records.into_iter().zip(here).zip(there) {
            if first {
                self.checked += u64::from(record.hash == 0);
                self.read += 1;
                self.bytes += [&here, &there].into_iter().flatten().map(|f| f.body.len() as u64).sum::<u64>();
            }
            // Changed since the last pass on the side that serves: verified once it was carried.
            let since =
                here.as_ref().map_or(0, |here| here.version) != record.mark(self.sides.from()).version;
            if since && !self.quiet {
                self.residual += u64::from(first);
                continue;
            }
            if let Some(what) = self.difference(here.as_ref(), there.as_ref())? {
                differing.push((record, what));
            }
        }
        Ok(differing)
    }

    fn difference(&self, here: Option<&Found>, there: Option<&Found>) -> Result<Option<String>, StepError> {
        let (from, to) = (self.sides.from(), self.sides.to());
        Ok(match (here, there) {
            (None, None) => None,
            (None, Some(_)) => Some(format!("extra at {to}")),
            (Some(_), None) => Some(format!("missing at {to}")),
            (Some(here), Some(there)) => {
                let same = self.sides.hash(from, &here.body)? == self.sides.hash(to, &there.body)?;
                (!same).then(|| "content".to_owned())
            }
        })
    }
}
