//! Writing documents to the side that gets them, each with the version that its change has there, and finding out of
//! every one what became of it. A refusal because of a version is never taken for success: both sides are read.

mod clash;

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use segue_contract::{Direction, ErrorClass, KeptDeleted, SetAside, Side, StaleFind, StepError};

use super::again::{PATIENCE, Waiting, pause};
use super::collection::{Found, Key, Want, Write, Written};
use super::json;
use super::ledger::{Mark, Record};
use super::notes::Notes;
use super::pace::Pace;
use super::runs::Entry;
use super::sides::Sides;
use super::versions;
use crate::engines::report::Bounded;

/// The version of what is added beside clients: below every one that they make of it.
const ADDED: u64 = 1;

/// Where what became of documents goes to: in any order.
pub(crate) trait Sink: Send {
    fn push(&mut self, entry: Entry) -> Result<(), StepError>;
}

impl Sink for super::runs::Runs {
    fn push(&mut self, entry: Entry) -> Result<(), StepError> {
        super::runs::Runs::push(self, entry)
    }
}

/// What was done.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) seen: u64,
    pub(crate) written: u64,
    pub(crate) deleted: u64,
    pub(crate) bytes: u64,
    /// Changes that the written side has counted: every write that it took.
    pub(crate) taken: u64,
    /// The highest version that was read, and that was written.
    pub(crate) read_highest: u64,
    /// See `read_highest`.
    pub(crate) write_highest: u64,
    /// Documents that changed again while they were carried: the next pass has them.
    pub(crate) later: u64,
    pub(crate) set_aside: Bounded<SetAside>,
    pub(crate) stale: Bounded<StaleFind>,
    /// What was deleted and kept aside.
    pub(crate) kept: Option<KeptDeleted>,
}

/// See the module.
pub(crate) struct Sender<'a, S> {
    pub(crate) sides: &'a Sides<'a>,
    notes: Notes,
    pace: Pace,
    epoch: AtomicU64,
    pass: u64,
    sink: Mutex<S>,
    tally: Mutex<Tally>,
}

/// A document on its way: as it was read, and as it is written.
#[derive(Clone)]
struct Going {
    found: Found,
    write: Write,
    hash: u128,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<'a, S: Sink> Sender<'a, S> {
    pub(crate) fn new(sides: &'a Sides<'a>, notes: Notes, epoch: u64, pass: u64, sink: S) -> Self {
        Self {
            sides,
            notes,
            pace: Pace::new(sides.workers()),
            epoch: AtomicU64::new(epoch),
            pass,
            sink: Mutex::new(sink),
            tally: Mutex::new(Tally::default()),
        }
    }

    /// The sink, what was done, and the version epoch that it ended with.
    pub(crate) fn finish(self) -> (S, Tally, u64) {
        let sink = self.sink.into_inner().unwrap_or_else(PoisonError::into_inner);
        let tally = self.tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        (sink, tally, self.epoch.into_inner())
    }

    /// The number of the pass.
    pub(crate) fn pass(&self) -> u64 {
        self.pass
    }

    pub(crate) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    pub(crate) fn sink(&self) -> MutexGuard<'_, S> {
        lock(&self.sink)
    }

    /// A version above every one that this engine gives until it is told of a higher one.
    pub(crate) fn raise_above(&self, version: u64) {
        self.epoch.fetch_max(versions::epoch_above(version), Ordering::Relaxed);
    }

    pub(crate) fn version(&self, number: u64) -> Result<u64, StepError> {
        let max = self.sides.write.limits().version_max;
        versions::version(self.epoch.load(Ordering::Relaxed), number, max)
    }

    /// Carries what was read.
    pub(crate) fn carry(&self, found: Vec<Found>) -> Result<(), StepError> {
        let mut tally = self.tally();
        tally.seen += found.len() as u64;
        tally.read_highest = found.iter().map(|f| f.version).fold(tally.read_highest, u64::max);
        drop(tally);
        let there = self.what_was_dropped(&found)?;
        let mut going = Vec::with_capacity(found.len());
        for (at, mut document) in found.into_iter().enumerate() {
            let old = there.get(at).and_then(Option::as_ref).map(|old| old.body.as_slice());
            match self.changed(&mut document, old) {
                Ok((body, hash)) => {
                    let version = if self.sides.adds() { ADDED } else { self.version(document.number)? };
                    let write = Write { key: document.key.clone(), version, body: Some(body) };
                    going.push(Going { found: document, write, hash });
                }
                Err(error) => self.set_aside(&document, &error.to_string())?,
            }
        }
        self.send(going)
    }

    /// The body as the written side gets it, taken out of the document, and its hash as the declared target has it.
    fn changed(&self, document: &mut Found, there: Option<&[u8]>) -> Result<(Vec<u8>, u128), StepError> {
        let transform = &self.sides.job.transform;
        let read = std::mem::take(&mut document.body);
        match self.sides.job.direction {
            Direction::Forward => {
                let body = json::forward(transform, read)?;
                let hash = json::hash(transform, &body)?;
                Ok((body, hash))
            }
            Direction::Reverse => {
                let hash = json::hash(transform, &read)?;
                Ok((json::back(transform, read, there)?, hash))
            }
        }
    }

    /// On the way back, the documents from which fields that were dropped are kept.
    fn what_was_dropped(&self, found: &[Found]) -> Result<Vec<Option<Found>>, StepError> {
        let job = self.sides.job;
        if job.direction == Direction::Forward || job.transform.drop.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Key> = found.iter().map(|f| f.key.clone()).collect();
        self.sides.look_up(self.sides.to(), &keys, Want::Bodies)
    }

    /// Deletes documents that the side that is read no longer has. `number`: all its changes that were looked at are below.
    pub(crate) fn delete(&self, records: &[Record], number: u64) -> Result<(), StepError> {
        let (limits, to) = (self.sides.write.limits(), self.sides.to());
        for some in records.chunks(limits.batch_documents_max.max(1)) {
            let above = self.version(number)?;
            // Where clients write, too, what they made since stays.
            let version =
                |record: &Record| if self.sides.adds() { record.mark(to).version + 1 } else { above };
            let batch: Vec<Write> =
                some.iter().map(|r| Write { key: r.key.clone(), version: version(r), body: None }).collect();
            let written = self.write_all(&batch)?;
            for (record, written) in some.iter().zip(written) {
                match written {
                    Written::Done { .. } => {
                        let mut tally = self.tally();
                        tally.deleted += 1;
                        tally.taken += 1;
                        tally.write_highest = tally.write_highest.max(version(record));
                        drop(tally);
                        self.sink().push(Entry { record: record.clone(), gone: true })?;
                    }
                    Written::Newer if self.sides.adds() => {
                        self.sink().push(Entry { record: record.clone(), gone: true })?;
                    }
                    // It was made again meanwhile, or somebody wrote there: the next pass looks at both sides.
                    Written::Newer => self.tally().later += 1,
                    Written::Refused(reason) | Written::Later(reason) => {
                        let key = record.key.to_string();
                        let reason = format!("it cannot be deleted: {reason}");
                        self.tally().set_aside.push(SetAside { key, reason });
                    }
                }
            }
        }
        Ok(())
    }

    /// Sends documents, in batches that the written side likes, and sees to each until it is known what became of it.
    fn send(&self, going: Vec<Going>) -> Result<(), StepError> {
        let limits = self.sides.write.limits();
        let mut batch: Vec<Going> = Vec::new();
        let mut bytes = 0;
        for one in going {
            let size = one.write.body.as_ref().map_or(0, Vec::len) + one.write.key.id.len();
            let full = batch.len() >= limits.batch_documents_max || bytes + size > limits.batch_bytes_max;
            if full && !batch.is_empty() {
                self.send_batch(std::mem::take(&mut batch), bytes as u64)?;
                bytes = 0;
            }
            bytes += size;
            batch.push(one);
        }
        if batch.is_empty() { Ok(()) } else { self.send_batch(batch, bytes as u64) }
    }

    fn send_batch(&self, batch: Vec<Going>, bytes: u64) -> Result<(), StepError> {
        self.sides.io.take(bytes);
        self.tally().bytes += bytes;
        let (carried, writes): (Vec<(Found, u128)>, Vec<Write>) =
            batch.into_iter().map(|one| ((one.found, one.hash), one.write)).unzip();
        let written = self.write_all(&writes)?;
        let mut clashed = Vec::new();
        for (((found, hash), write), written) in carried.into_iter().zip(writes).zip(written) {
            let one = Going { found, write, hash };
            match written {
                Written::Done { number } => self.done(&one, number)?,
                Written::Newer => clashed.push(one),
                Written::Refused(reason) | Written::Later(reason) => self.set_aside(&one.found, &reason)?,
            }
        }
        if clashed.is_empty() { Ok(()) } else { self.settle_clashes(clashed) }
    }

    /// `number`: of the change where it was written.
    fn done(&self, one: &Going, number: u64) -> Result<(), StepError> {
        let mut tally = self.tally();
        tally.written += 1;
        tally.taken += 1;
        tally.write_highest = tally.write_highest.max(one.write.version);
        drop(tally);
        self.record(&one.found, one.hash, Mark::new(one.write.version, number), false)
    }

    /// Notes what the ledger is to say of a document.
    fn record(&self, found: &Found, hash: u128, written: Mark, aside: bool) -> Result<(), StepError> {
        let mut record = Record {
            key: found.key.clone(),
            hash,
            source: Mark::default(),
            target: Mark::default(),
            aside,
            pass: self.pass,
        };
        record.set_mark(self.sides.from(), Mark::new(found.version, found.number));
        record.set_mark(self.sides.to(), written);
        self.sink().push(Entry { record, gone: false })
    }

    /// What cannot be carried stays in the ledger, so that each pass tries it again and its deletion is seen.
    fn set_aside(&self, found: &Found, reason: &str) -> Result<(), StepError> {
        self.tally().set_aside.push(SetAside { key: found.key.to_string(), reason: reason.to_owned() });
        self.record(found, 0, Mark::default(), true)
    }

    /// Writes a batch; what is only not taken now is sent again. The answers are in the order of the batch.
    fn write_all(&self, batch: &[Write]) -> Result<Vec<Written>, StepError> {
        let mut waiting = Waiting::new();
        let mut answers: Vec<Option<Written>> = vec![None; batch.len()];
        let mut left: Vec<usize> = (0..batch.len()).collect();
        while !left.is_empty() {
            self.sides.go_on()?;
            // The bodies are copied only where a part is sent again.
            let writes: Cow<'_, [Write]> = match left.len() == batch.len() {
                true => Cow::Borrowed(batch),
                false => left.iter().filter_map(|at| batch.get(*at).cloned()).collect(),
            };
            self.notes.note(&writes)?;
            let turn = self.pace.turn();
            let adds = self.sides.adds() && writes.iter().all(|write| write.body.is_some());
            let answered = if adds { self.sides.write.add(&writes) } else { self.sides.write.write(&writes) };
            let refused = match answered {
                Ok(answered) => {
                    let mut again = Vec::new();
                    let mut why = None;
                    for (at, written) in left.into_iter().zip(answered) {
                        match written {
                            Written::Later(reason) => {
                                why = Some(StepError::transient(format!(
                                    "{}: the system does not take writes now: {reason}",
                                    self.address()
                                )));
                                again.push(at);
                            }
                            written => {
                                if let Some(answer) = answers.get_mut(at) {
                                    *answer = Some(written);
                                }
                            }
                        }
                    }
                    left = again;
                    why
                }
                // Every write carries its version: sent again it is the same write.
                Err(error) if matches!(error.class, ErrorClass::Transient | ErrorClass::Unknown) => {
                    Some(error)
                }
                Err(error) => return Err(error),
            };
            match refused {
                None => self.pace.went_well(&turn),
                Some(error) if waiting.lasted() > PATIENCE => return Err(error),
                Some(error) => {
                    drop(turn);
                    let wait = self.pace.too_much();
                    waiting.failed(self.sides.io, &error, wait);
                    pause(self.sides.io, wait)?;
                }
            }
        }
        let missing = || StepError::unknown(format!("{}: a batch was not answered in full", self.address()));
        answers.into_iter().map(|answer| answer.ok_or_else(missing)).collect()
    }

    fn side(&self) -> Side {
        self.sides.to()
    }

    /// Of the side that is written.
    fn address(&self) -> &segue_contract::Address {
        &self.sides.job.writes().address
    }
}
