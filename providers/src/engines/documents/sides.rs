//! Both ends of a job, opened, and which of them is read.

use std::sync::Arc;

use segue_contract::{Direction, Position, Side, StepError, StepIo, UnitJob};

use super::again::again;
use super::collection::{Collection, Documents, Found, Key, Stand, Want};
use super::fill::Way;
use super::json;
use super::keys;
use super::ledger::Record;
use super::runs::Merged;
use super::windows::Windows;

/// Writes at once when the spec says nothing: most systems have more than one core behind each.
const WORKERS: usize = 4;

/// See the module.
pub(crate) struct Sides<'a> {
    pub(crate) job: &'a UnitJob,
    pub(crate) io: &'a dyn StepIo,
    /// The side that is read.
    pub(crate) read: Arc<dyn Collection>,
    /// The side that is written.
    pub(crate) write: Arc<dyn Collection>,
    /// The system behind the side that is written.
    pub(crate) writes: &'a dyn Documents,
}

impl<'a> Sides<'a> {
    /// Opens both; the side that is written may be made first.
    pub(crate) fn open(
        source: &'a dyn Documents,
        target: &'a dyn Documents,
        job: &'a UnitJob,
        io: &'a dyn StepIo,
    ) -> Result<Self, StepError> {
        let (reads, writes) = match job.direction {
            Direction::Forward => (source, target),
            Direction::Reverse => (target, source),
        };
        let (read, write) = at_once(|| reads.open(job.reads(), io), || writes.open(job.writes(), io));
        Ok(Self { job, io, read: read?, write: write?, writes })
    }

    /// Which side is read.
    pub(crate) fn from(&self) -> Side {
        self.job.direction.from()
    }

    /// Which side is written.
    pub(crate) fn to(&self) -> Side {
        self.from().other()
    }

    /// Whether clients write to the side that is written, too: what is there is never overwritten.
    pub(crate) fn adds(&self) -> bool {
        Way::of(self.job) == Way::Added
    }

    pub(crate) fn workers(&self) -> usize {
        workers_of(self.job)
    }

    /// The unit of a side.
    pub(crate) fn of(&self, side: Side) -> &dyn Collection {
        if side == self.from() { &*self.read } else { &*self.write }
    }

    /// Hands what a side has in some windows to `each`, from several workers and in any order.
    pub(crate) fn scan(
        &self,
        side: Side,
        windows: &Windows,
        want: Want,
        each: &(dyn Fn(Vec<Found>) -> Result<(), StepError> + Sync),
    ) -> Result<(), StepError> {
        windows.run(self.of(side), want, self.workers(), self.io, each, &|| Ok(()))
    }

    /// The keys that a side has in some windows, in their order.
    pub(crate) fn keys(&self, side: Side, windows: &Windows) -> Result<Merged, StepError> {
        keys::keys(self.of(side), side, windows, self.workers(), self.io)
    }

    /// Documents of a side as they are now, whatever its scans see; `None` where there is none.
    pub(crate) fn look_up(
        &self,
        side: Side,
        keys: &[Key],
        want: Want,
    ) -> Result<Vec<Option<Found>>, StepError> {
        again(self.io, || self.of(side).read(keys, want))
    }

    /// What a side has now of the documents that some records are about, without bodies; unless the step is to end.
    pub(crate) fn now(&self, side: Side, records: &[Record]) -> Result<Vec<Option<Found>>, StepError> {
        self.go_on()?;
        let keys: Vec<Key> = records.iter().map(|record| record.key.clone()).collect();
        self.look_up(side, &keys, Want::Keys)
    }

    /// The hash of a body of one side, as the declared target has it.
    pub(crate) fn hash(&self, side: Side, body: &[u8]) -> Result<u128, StepError> {
        match side {
            Side::Target => json::hash(&self.job.transform, body),
            Side::Source if self.job.transform.is_nothing() => json::hash(&self.job.transform, body),
            Side::Source => {
                let there = json::forward(&self.job.transform, body.to_vec())?;
                json::hash(&self.job.transform, &there)
            }
        }
    }

    /// Proves that the declared target, which is read back, is the unit that was loaded (protocol P27): one that was deleted
    /// and made anew under its name would carry its emptiness to the declared source. Forward, a unit that was made anew is
    /// read anew: the target only follows it.
    pub(crate) fn prove(&self, here: &Stand, known: &Stand) -> Result<(), StepError> {
        if self.job.direction == Direction::Forward || known.is_of_one_unit_with(here) {
            return Ok(());
        }
        let (block, unit) = (self.job.reads(), self.job.reads().scope.join(", "));
        Err(StepError::permanent(format!(
            "{}: {unit} is not what it was: it was deleted and made anew ({} is known, {} is there)",
            block.address, known.incarnation, here.incarnation
        ))
        .remedy(
            "nothing was written or deleted: bring back the one that was loaded, then run the same command again",
        ))
    }

    /// The same for those who do not look where it stands anyway.
    pub(crate) fn prove_now(&self, known: &Stand) -> Result<(), StepError> {
        match self.job.direction {
            Direction::Forward => Ok(()),
            Direction::Reverse => self.prove(&again(self.io, || self.read.stand())?, known),
        }
    }

    /// Ends the step where it was asked to.
    pub(crate) fn go_on(&self) -> Result<(), StepError> {
        if self.io.cancelled() { Err(StepError::cancelled()) } else { Ok(()) }
    }
}

/// Where a unit stands; all of what is settled is seen by the scans that begin afterwards.
pub(crate) fn shown(of: &dyn Collection, io: &dyn StepIo) -> Result<Stand, StepError> {
    let stand = again(io, || of.stand())?;
    again(io, || of.show())?;
    Ok(stand)
}

/// How many documents a unit has now.
pub(crate) fn counted(of: &dyn Collection, io: &dyn StepIo) -> Result<u64, StepError> {
    again(io, || of.show())?;
    again(io, || of.count())
}

/// Asks both sides at the same time: neither waits for the other.
pub(crate) fn at_once<A: Send, B: Send>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let one = scope.spawn(one);
        let other = other();
        match one.join() {
            Ok(one) => (one, other),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Asks the same of several, so many at the same time; the answers are in their order.
pub(crate) fn each_at_once<A: Sync, B: Send>(
    list: &[A],
    most: usize,
    ask: impl Fn(&A) -> Result<B, StepError> + Sync,
) -> Result<Vec<B>, StepError> {
    let mut answers = Vec::with_capacity(list.len());
    for some in list.chunks(most.max(1)) {
        let ask = &ask;
        let of_some: Result<Vec<B>, StepError> = std::thread::scope(|scope| {
            let asked: Vec<_> = some.iter().map(|one| scope.spawn(move || ask(one))).collect();
            let answered = asked.into_iter().map(|one| one.join());
            answered.map(|one| one.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        answers.extend(of_some?);
    }
    Ok(answers)
}

/// How many work on a job at once.
pub(crate) fn workers_of(job: &UnitJob) -> usize {
    match job.load.parallelism {
        0 => WORKERS,
        some => some as usize,
    }
}

/// What is settled at a side, as a position.
pub(crate) fn position(stand: &Stand, number: impl Fn(&super::SliceStand) -> u64, open: u64) -> Position {
    let slices: Vec<String> =
        stand.slices.iter().map(|slice| format!("{}.{}", slice.term, number(slice))).collect();
    let open = if open > 0 { format!(" and {open} open") } else { String::new() };
    Position(format!("{} {}{open}", stand.incarnation, slices.join(",")))
}
