//! What writers did, and what they were told of it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::judge::{self, Verdict};
use crate::servers::client::{Client, Document};

/// What is done to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// The whole document, over what may be there.
    Put,
    /// The whole document, where none is.
    Create,
    /// Its tag alone, where one is.
    Update,
    /// It is deleted.
    Delete,
}

/// What the server said of an operation that it has done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Where: address, backend (behind an `HaProxy`), and index.
    pub place: String,
    /// `_version`.
    pub version: u64,
    /// `_seq_no`.
    pub seq_no: u64,
    /// Whether a delete found something to delete.
    pub found: bool,
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done.
    Acknowledged(Acknowledged),
    /// Not done, now or later; why.
    Refused(String),
    /// Not done: there was no document to change.
    Missing,
    /// Done now, done later, or not; why that is not known.
    Unknown(String),
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Operation {
    /// The document's id.
    pub id: String,
    /// Its routing.
    pub routing: Option<String>,
    /// What was done.
    pub what: What,
    /// What only this operation wrote.
    pub tag: String,
    /// Before it was sent.
    pub began: Instant,
    /// After its answer came.
    pub ended: Instant,
    /// The answer.
    pub outcome: Outcome,
    /// What the answer says that must not be, on a key that one writer alone writes to.
    pub surprise: Option<String>,
}

impl Operation {
    /// What it wrote can be there.
    pub(super) fn may_be_done(&self) -> bool {
        !matches!(self.outcome, Outcome::Refused(_) | Outcome::Missing)
    }

    /// For a key of one writer's own: an answer that contradicts what it was told before is a surprise, and leaves open what
    /// is there.
    pub(super) fn expect_no_surprise(&mut self) {
        let surprise = match (&self.outcome, self.what) {
            (Outcome::Acknowledged(Acknowledged { found: false, .. }), What::Delete) => {
                "there was nothing to delete".to_owned()
            }
            (Outcome::Missing, _) => "there was nothing to change".to_owned(),
            (Outcome::Unknown(why), What::Create) if why.starts_with("409") => {
                format!("there was something already: {why}")
            }
            _ => return,
        };
        self.outcome = Outcome::Unknown(surprise.clone());
        self.surprise = Some(surprise);
    }
}

/// All that a workload did.
pub struct Log {
    pub(super) prefix: String,
    pub(super) seeds: BTreeSet<String>,
    pub(super) operations: Vec<Operation>,
}

impl Log {
    pub(super) fn new(prefix: &str, seeds: &[String], operations: Vec<Operation>) -> Self {
        Self { prefix: prefix.to_owned(), seeds: seeds.iter().cloned().collect(), operations }
    }

    /// Each operation, in the order in which their answers were noted.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// How many were acknowledged.
    pub fn acknowledged(&self) -> usize {
        self.operations.iter().filter(|o| matches!(o.outcome, Outcome::Acknowledged(_))).count()
    }

    /// How many were refused: by a block, by a full queue, or because nobody listened.
    pub fn refused(&self) -> usize {
        self.operations.iter().filter(|o| matches!(o.outcome, Outcome::Refused(_))).count()
    }

    /// How many have an outcome that is not known.
    pub fn unknown(&self) -> usize {
        self.operations.iter().filter(|o| matches!(o.outcome, Outcome::Unknown(_))).count()
    }

    /// How many were acknowledged at a place whose name contains this: a port, a backend, an index.
    pub fn acknowledged_at(&self, part: &str) -> usize {
        let is_there = |o: &&Operation| match &o.outcome {
            Outcome::Acknowledged(acknowledged) => acknowledged.place.contains(part),
            Outcome::Refused(_) | Outcome::Missing | Outcome::Unknown(_) => false,
        };
        self.operations.iter().filter(is_there).count()
    }

    /// The longest time in which no write of any writer was acknowledged, between the first and the last that were: what a
    /// cutover costs those who write.
    pub fn longest_pause(&self) -> Duration {
        let is_done = |o: &&Operation| matches!(o.outcome, Outcome::Acknowledged(_));
        let mut ends: Vec<Instant> = self.operations.iter().filter(is_done).map(|o| o.ended).collect();
        ends.sort();
        ends.windows(2).map(|two| two[1] - two[0]).max().unwrap_or_default()
    }

    /// Holds what an index, alias or pattern has now against all that was acknowledged. Stop the writers first.
    pub fn judge(&self, client: &Client, index: &str) -> Verdict {
        let fields = serde_json::json!({ "_source": ["tag", "made", "text"] });
        self.judge_documents(&client.documents_with(index, &fields))
    }

    /// The same with documents that were read already.
    pub fn judge_documents(&self, documents: &[Document]) -> Verdict {
        judge::judge(self, documents)
    }
}

/// The text that belongs to a tag: a document that is put together of two writes, or is cut short, does not have it.
pub(super) fn text_of(tag: &str) -> String {
    const WORDS: [&str; 8] =
        ["river", "stone", "amber", "lantern", "orchard", "velvet", "thunder", "harbour"];
    let hash = tag.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let words: Vec<&str> = (0..8 + hash % 8)
        .map(|n| WORDS[usize::try_from((hash >> (n * 4)) % 8).unwrap_or_default()])
        .collect();
    words.join(" ")
}
