//! Verification: both sides against the ledger. Counts; or a sample by content; or everything by content, in buckets whose
//! sums do not depend on order, so that only buckets that differ are looked at key by key. What differs is a mismatch only
//! if it still does when both sides are read again by key; what changed since the last pass is the residual.

mod buckets;

use std::collections::BTreeMap;
use std::time::Instant;

use segue_contract::{
    ArtifactName, SetAside, Side, StepError, VerifyCall, VerifyLevel, VerifyMismatch, VerifyReport,
};

use super::again::pause;
use super::collection::{Found, Key, Want};
use super::ledger::{About, Ledger, Mark, Marks, Record};
use super::micros;
use super::sides::{Sides, at_once, counted, shown};
use super::sorted::{AT_ONCE, Join, in_batches};
use super::windows::Windows;
use crate::engines::report::Bounded;
use buckets::{Buckets, bucket_of};

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
    let mut known = Ledger::open(sides.io.artifacts(), ledger)?;
    sides.prove_now(known.about().stand(sides.from()))?;
    let mut verify = Verify {
        sides,
        known: known.about().clone(),
        began: Instant::now(),
        quiet: call.quiet,
        checked: 0,
        read: 0,
        bytes: 0,
        residual: 0,
        mismatches: Bounded::default(),
        missing: Bounded::default(),
    };
    match (&call.since, call.level) {
        (Some(since), level) if level > VerifyLevel::Count => verify.since(&mut known, since)?,
        (_, VerifyLevel::Count) => verify.count()?,
        (_, VerifyLevel::Sampled) => {
            verify.count()?;
            verify.sample(&mut known)?;
        }
        (_, VerifyLevel::Full) => verify.full(&mut known)?,
    }
    if call.since.is_none() {
        verify.aside(&mut known, &call.set_aside)?;
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
        missing: verify.missing.list,
        missing_total: verify.missing.total,
        took_us: micros(verify.began.elapsed()),
    })
}

struct Verify<'a> {
    sides: &'a Sides<'a>,
    known: About,
    began: Instant,
    quiet: bool,
    checked: u64,
    read: u64,
    bytes: u64,
    residual: u64,
    mismatches: Bounded<VerifyMismatch>,
    missing: Bounded<SetAside>,
}

impl Verify<'_> {
    fn differs(&mut self, key: &Key, what: impl Into<String>) {
        self.mismatches.push(VerifyMismatch { key: key.to_string(), what: what.into() });
    }

    /// How many documents each side has, against the ledger.
    fn count(&mut self) -> Result<(), StepError> {
        let (io, to) = (self.sides.io, self.sides.to());
        let mut expected = self.known.tally.live(to);
        self.checked += expected;
        let (here, there) = at_once(|| counted(&*self.sides.read, io), || counted(&*self.sides.write, io));
        let (here, there) = (here?, there?);
        if self.sides.adds() {
            // What clients made since is on both sides, sooner or later.
            expected = if self.quiet { here } else { there };
        }
        // Of what is set aside an older state may be there.
        if there < expected || there > expected + self.known.tally.aside {
            let what = format!("{there} documents at {to}, {expected} were carried");
            self.mismatches.push(VerifyMismatch { key: self.sides.job.unit.clone(), what });
        }
        if self.quiet && here != self.known.tally.records {
            let what = format!(
                "{here} documents at {}, {} in the ledger",
                self.sides.from(),
                self.known.tally.records
            );
            self.mismatches.push(VerifyMismatch { key: self.sides.job.unit.clone(), what });
        }
        Ok(())
    }

    /// A part of the documents by content: one of so many, spread over all keys.
    fn sample(&mut self, ledger: &mut Ledger) -> Result<(), StepError> {
        let wanted = (self.known.tally.records / SAMPLE.0).max(SAMPLE.1).max(1);
        let step = (self.known.tally.records / wanted).max(1);
        let (mut records, mut at) = (ledger.records()?, 0u64);
        let mut is_one_of_many = |_: &Marks| {
            at += 1;
            at.is_multiple_of(step)
        };
        in_batches(|| records.next_where(&mut is_one_of_many), Some, |some| self.compare(some))
    }

    /// What was set aside, as both sides have it now: missing, unless the other side has it all the same.
    fn aside(&mut self, ledger: &mut Ledger, known: &[SetAside]) -> Result<(), StepError> {
        if self.known.tally.aside == 0 {
            return Ok(());
        }
        let reasons: BTreeMap<&str, &str> =
            known.iter().map(|set| (set.key.as_str(), set.reason.as_str())).collect();
        let mut records = ledger.records()?;
        let next = || records.next_where(&mut |marks: &Marks| marks.aside);
        in_batches(next, Some, |some| {
            self.sides.go_on()?;
            let keys: Vec<Key> = some.into_iter().map(|record| record.key).collect();
            let look_up = |side| self.sides.look_up(side, &keys, Want::Bodies);
            let (here, there) = at_once(|| look_up(self.sides.from()), || look_up(self.sides.to()));
            for ((key, here), there) in keys.iter().zip(here?).zip(there?) {
                // What is gone at the side that is read, the next pass deletes.
                if here.is_none() || self.difference(here.as_ref(), there.as_ref())?.is_none() {
                    continue;
                }
                let key = key.to_string();
                let reason = reasons.get(key.as_str()).copied().unwrap_or("set aside by an earlier pass");
                self.missing.push(SetAside { reason: reason.to_owned(), key });
            }
            Ok(())
        })
    }

    /// What passes touched since another ledger: on both sides by content.
    fn since(&mut self, ledger: &mut Ledger, since: &ArtifactName) -> Result<(), StepError> {
        let mut before = Ledger::open(self.sides.io.artifacts(), since)?;
        let touched = |pair: (Option<Record>, Option<Record>)| match pair {
            // Of what is gone nothing is known.
            (Some(gone), None) => {
                Some(Record { hash: 0, source: Mark::default(), target: Mark::default(), ..gone })
            }
            (before, now) => now.filter(|now| before.as_ref() != Some(now)),
        };
        if let Some(differences) = ledger.differences(&mut before)? {
            let mut differences = differences.into_iter();
            return in_batches(|| Ok(differences.next()), touched, |some| self.compare(some));
        }
        let mut join = Join::of(before.records()?, ledger.records()?)?;
        in_batches(|| join.next(), touched, |some| self.compare(some))
    }

    /// Everything by content.
    fn full(&mut self, ledger: &mut Ledger) -> Result<(), StepError> {
        let (here, there) = (self.buckets(self.sides.from())?, self.buckets(self.sides.to())?);
        let mut expected = Buckets::default();
        let mut records = ledger.records()?;
        while let Some(record) = records.next_record()? {
            self.checked += 1;
            // What is set aside, or changed while it was carried, is not known: its bucket is looked at key by key.
            expected.add(&record.key, record.hash);
        }
        let differing = expected.differing(&[&here, &there]);
        if differing.is_empty() { Ok(()) } else { self.drill_down(ledger, &differing) }
    }

    /// The sums of one side; on the side that serves only of what was there when the ledger was made.
    fn buckets(&mut self, side: Side) -> Result<Buckets, StepError> {
        let stand = shown(self.sides.of(side), self.sides.io)?;
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
        self.sides.scan(side, &Windows::all(&stand), Want::Bodies, &each)?;
        let (buckets, read, bytes) = sums.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        self.read += read;
        self.bytes += bytes;
        Ok(buckets)
    }

    /// Every key of the buckets that differ, of the ledger and of both sides.
    fn drill_down(&mut self, ledger: &mut Ledger, differing: &[usize]) -> Result<(), StepError> {
        let is_in = |key: &Key| differing.binary_search(&bucket_of(key)).is_ok();
        let to = self.sides.to();
        let mut extra = self.keys_in(to, &is_in)?;
        let mut records = ledger.records()?;
        let known = |record: Record| {
            extra.remove(&record.key);
            is_in(&record.key).then_some(record)
        };
        in_batches(|| records.next_record(), known, |some| self.compare(some))?;
        let extra: Vec<Record> = extra.into_iter().map(Record::of).collect();
        for some in extra.chunks(AT_ONCE) {
            if self.sides.adds() {
                // Clients may have made them on both sides since the last pass.
                self.compare(some.to_vec())?;
                continue;
            }
            for (record, there) in some.iter().zip(self.sides.now(to, some)?) {
                if there.is_some() {
                    self.differs(&record.key, format!("extra at {to}"));
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
        let stand = shown(self.sides.of(side), self.sides.io)?;
        let keys = std::sync::Mutex::new(std::collections::BTreeSet::new());
        let each = |found: Vec<Found>| {
            let mut keys = keys.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            keys.extend(found.into_iter().map(|f| f.key).filter(|key| is_in(key)));
            Ok(())
        };
        self.sides.scan(side, &Windows::all(&stand), Want::Keys, &each)?;
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

    /// Reads both sides. Gives what differs, with what does. What is set aside is no difference: it is missing, see
    /// [`Self::aside`].
    fn look(&mut self, mut records: Vec<Record>, first: bool) -> Result<Vec<(Record, String)>, StepError> {
        records.retain(|record| !record.aside);
        let keys: Vec<Key> = records.iter().map(|record| record.key.clone()).collect();
        let look_up = |side| self.sides.look_up(side, &keys, Want::Bodies);
        let (here, there) = at_once(|| look_up(self.sides.from()), || look_up(self.sides.to()));
        let mut differing = Vec::new();
        for ((record, here), there) in records.into_iter().zip(here?).zip(there?) {
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
