//! Documents in the order of their keys: two lists of them side by side (a merge join), and any list in batches.

use std::cmp::Ordering;

use segue_contract::StepError;

use super::collection::Key;
use super::ledger::{Record, Records};
use super::runs::{Entry, Merged};

/// How many documents are asked for by key, or deleted, at once.
pub(crate) const AT_ONCE: usize = 500;

/// What gives one document after the other in the order of their keys, each key once.
pub(crate) trait Sorted {
    /// What it says of a document.
    type Item;

    fn pull(&mut self) -> Result<Option<Self::Item>, StepError>;

    fn key(item: &Self::Item) -> &Key;
}

impl Sorted for Records<'_> {
    type Item = Record;

    fn pull(&mut self) -> Result<Option<Record>, StepError> {
        self.next_record()
    }

    fn key(item: &Record) -> &Key {
        &item.key
    }
}

impl Sorted for Merged {
    type Item = Entry;

    fn pull(&mut self) -> Result<Option<Entry>, StepError> {
        self.next()
    }

    fn key(item: &Entry) -> &Key {
        &item.record.key
    }
}

/// Where there may be no list, it is an empty one.
impl<S: Sorted> Sorted for Option<S> {
    type Item = S::Item;

    fn pull(&mut self) -> Result<Option<S::Item>, StepError> {
        self.as_mut().map_or(Ok(None), S::pull)
    }

    fn key(item: &S::Item) -> &Key {
        S::key(item)
    }
}

/// Two lists side by side: each key of either once, with what each of them says of it.
pub(crate) struct Join<L: Sorted, R: Sorted> {
    left: L,
    right: R,
    /// What each gives next.
    heads: (Option<L::Item>, Option<R::Item>),
}

/// What both lists say of one key; one of them at least says something.
type Joined<L, R> = (Option<<L as Sorted>::Item>, Option<<R as Sorted>::Item>);

impl<L: Sorted, R: Sorted> Join<L, R> {
    pub(crate) fn of(mut left: L, mut right: R) -> Result<Self, StepError> {
        let heads = (left.pull()?, right.pull()?);
        Ok(Self { left, right, heads })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Joined<L, R>>, StepError> {
        let order = match &self.heads {
            (None, None) => return Ok(None),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => L::key(left).cmp(R::key(right)),
        };
        let mut pair = (None, None);
        if order.is_le() {
            pair.0 = std::mem::replace(&mut self.heads.0, self.left.pull()?);
        }
        if order.is_ge() {
            pair.1 = std::mem::replace(&mut self.heads.1, self.right.pull()?);
        }
        Ok(Some(pair))
    }
}

/// Calls `act` with [`AT_ONCE`] at the most of what `pick` takes out of everything that `next` gives; never with nothing.
pub(crate) fn in_batches<T, U>(
    mut next: impl FnMut() -> Result<Option<T>, StepError>,
    mut pick: impl FnMut(T) -> Option<U>,
    mut act: impl FnMut(Vec<U>) -> Result<(), StepError>,
) -> Result<(), StepError> {
    let mut batch = Vec::new();
    while let Some(item) = next()? {
        batch.extend(pick(item));
        if batch.len() >= AT_ONCE {
            act(std::mem::take(&mut batch))?;
        }
    }
    if batch.is_empty() { Ok(()) } else { act(batch) }
}

#[cfg(test)]
mod tests {
    use super::super::runs::Runs;
    use super::*;

    fn list(dir: &std::path::Path, ids: &[&str]) -> Merged {
        let mut runs = Runs::new(dir);
        for id in ids {
            let key = Key { id: (*id).to_owned(), place: None };
            runs.push(Entry { record: Record::of(key), gone: false }).expect("taken in");
        }
        runs.finish().expect("merged")
    }

    #[test]
    fn every_key_of_two_lists_comes_once_with_what_each_says_of_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let list = |ids| list(dir.path(), ids);
        let mut join = Join::of(list(&["a", "c", "d"]), Some(list(&["b", "c", "e", "f"]))).expect("joined");
        let mut seen = Vec::new();
        while let Some((left, right)) = join.next().expect("read") {
            let id = |entry: Option<Entry>| entry.map_or_else(String::new, |entry| entry.record.key.id);
            seen.push(format!("{}-{}", id(left), id(right)));
        }
        assert_eq!(seen, ["a-", "-b", "c-c", "d-", "-e", "-f"]);
        let mut alone = Join::of(list(&["a"]), None::<Merged>).expect("joined");
        assert!(matches!(alone.next(), Ok(Some((Some(_), None)))) && matches!(alone.next(), Ok(None)));
    }

    #[test]
    fn batches_hold_everything_once_and_none_is_empty() {
        for count in [0, 1, AT_ONCE, AT_ONCE + 1, 3 * AT_ONCE] {
            let mut left = 0..2 * count;
            let (mut sizes, mut sum) = (Vec::new(), 0);
            let act = |batch: Vec<usize>| {
                sizes.push(batch.len());
                sum += batch.into_iter().sum::<usize>();
                Ok(())
            };
            in_batches(|| Ok(left.next()), |n| (n % 2 == 1).then_some(n), act).expect("all of it");
            assert_eq!((sizes.iter().sum::<usize>(), sum), (count, count * count));
            assert!(sizes.iter().all(|size| (1..=AT_ONCE).contains(size)), "{sizes:?}");
        }
    }
}
