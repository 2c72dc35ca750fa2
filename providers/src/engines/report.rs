//! Lists in reports: bounded, with the true count beside them.

/// Entries that a report lists; it counts all.
pub(crate) const LISTED: usize = 1000;

/// A bounded list.
#[derive(Debug)]
pub(crate) struct Bounded<T> {
    pub(crate) list: Vec<T>,
    pub(crate) total: u64,
}

impl<T> Default for Bounded<T> {
    fn default() -> Self {
        Self { list: Vec::new(), total: 0 }
    }
}

impl<T> Bounded<T> {
    /// Counts one more, and lists it while there is room.
    pub(crate) fn push(&mut self, item: T) {
        self.total += 1;
        if self.list.len() < LISTED {
            self.list.push(item);
        }
    }
}
