//! The judge, by hand-made logs: times are whole milliseconds from one beginning.

use std::time::{Duration, Instant};

use serde_json::json;

use super::super::log::{Acknowledged, Log, Operation, Outcome, What, text_of};
use super::Verdict;
use crate::servers::client::Document;

struct Made {
    zero: Instant,
    operations: Vec<Operation>,
    documents: Vec<Document>,
    seeds: Vec<String>,
}

impl Made {
    fn new() -> Self {
        Self { zero: Instant::now(), operations: Vec::new(), documents: Vec::new(), seeds: Vec::new() }
    }

    /// An operation from one millisecond to another; acknowledged at `old` or `new` with a number.
    fn done(mut self, what: What, tag: &str, from_to: (u64, u64), at: (&str, u64)) -> Self {
        let acknowledged = Acknowledged { place: at.0.to_owned(), version: 1, seq_no: at.1, found: true };
        self.push(what, tag, from_to, Outcome::Acknowledged(acknowledged));
        self
    }

    fn open(mut self, what: What, tag: &str, from_to: (u64, u64)) -> Self {
        self.push(what, tag, from_to, Outcome::Unknown("reset".to_owned()));
        self
    }

    fn refused(mut self, what: What, tag: &str, from_to: (u64, u64)) -> Self {
        self.push(what, tag, from_to, Outcome::Refused("403".to_owned()));
        self
    }

    fn push(&mut self, what: What, tag: &str, (from, to): (u64, u64), outcome: Outcome) {
        let at = |ms| self.zero + Duration::from_millis(ms);
        self.operations.push(Operation {
            id: "live-1".to_owned(),
            routing: None,
            what,
            tag: tag.to_owned(),
            began: at(from),
            ended: at(to),
            outcome,
            surprise: None,
        });
    }

    /// A document of a tag, made by another.
    fn holds(mut self, tag: &str, made: &str) -> Self {
        self.documents.push(Document {
            index: "i".to_owned(),
            id: "live-1".to_owned(),
            routing: None,
            version: 1,
            seq_no: 1,
            primary_term: 1,
            source: json!({ "tag": tag, "made": made, "text": text_of(made) }),
        });
        self
    }

    fn verdict(self) -> Verdict {
        Log::new("live", &self.seeds, self.operations).judge_documents(&self.documents)
    }

    #[track_caller]
    fn expect_clean(self) {
        let verdict = self.verdict();
        assert!(verdict.is_clean(), "{verdict:#?}");
    }

    /// Lost, doubled, back, strange.
    #[track_caller]
    fn expect(self, wanted: [u64; 4]) {
        let verdict = self.verdict();
        let Verdict { lost, doubled, back, strange, .. } = verdict;
        assert_eq!([lost, doubled, back, strange], wanted, "{verdict:#?}");
    }
}

const LOST: [u64; 4] = [1, 0, 0, 0];
const DOUBLED: [u64; 4] = [0, 1, 0, 0];
const BACK: [u64; 4] = [0, 0, 1, 0];
const STRANGE: [u64; 4] = [0, 0, 0, 1];

#[test]
fn operations_in_turn_leave_exactly_what_the_last_one_left() {
    let made =
        || {
            Made::new()
                .done(What::Create, "a", (0, 1), ("old", 0))
                .done(What::Put, "b", (1, 2), ("old", 1))
                .done(What::Update, "c", (2, 3), ("new", 0))
        };
    made().holds("c", "b").expect_clean();
    made().expect(LOST);
    made().holds("b", "b").expect(LOST);
    made().holds("c", "a").expect(LOST);
    made().holds("z", "z").expect(STRANGE);
    made().holds("c", "b").holds("c", "b").expect(DOUBLED);
}

#[test]
fn a_deleted_document_that_is_there_is_back() {
    let made =
        || Made::new().done(What::Put, "a", (0, 1), ("old", 0)).done(What::Delete, "b", (1, 2), ("old", 1));
    made().expect_clean();
    made().holds("a", "a").expect(BACK);
    made().done(What::Create, "c", (3, 4), ("new", 7)).holds("a", "a").expect(LOST);
}

#[test]
fn a_document_that_is_not_whole_is_lost() {
    let mut made = Made::new().done(What::Put, "a", (0, 1), ("old", 0)).holds("a", "a");
    made.documents[0].source["text"] = json!("river");
    made.expect(LOST);
}

#[test]
fn an_unknown_outcome_may_be_either_and_nothing_else() {
    let made = || Made::new().done(What::Put, "a", (0, 1), ("old", 0)).open(What::Update, "b", (1, 9));
    made().holds("a", "a").expect_clean();
    made().holds("b", "a").expect_clean();
    made().holds("b", "b").expect(LOST);
    made().expect(LOST);
    made().open(What::Delete, "c", (9, 10)).expect_clean();
}

#[test]
fn what_was_refused_must_not_be_there() {
    let made = || Made::new().refused(What::Create, "a", (0, 1));
    made().expect_clean();
    made().holds("a", "a").expect(STRANGE);
}

#[test]
fn of_operations_that_overlap_at_one_index_the_highest_number_stays() {
    let made =
        || {
            Made::new()
                .done(What::Put, "a", (0, 10), ("old", 5))
                .done(What::Put, "b", (1, 9), ("old", 7))
                .done(What::Delete, "c", (2, 11), ("old", 6))
        };
    made().holds("b", "b").expect_clean();
    made().holds("a", "a").expect(LOST);
    made().expect(LOST);
    // Whoever met which document is not known: the update's number alone says that it stays.
    made().done(What::Update, "d", (3, 12), ("old", 8)).holds("d", "a").expect_clean();
}

#[test]
fn what_began_after_the_others_ended_stays_wherever_it_was() {
    let made = || {
        Made::new()
            .done(What::Put, "a", (0, 10), ("old", 900))
            .done(What::Put, "b", (1, 9), ("old", 901))
            .done(What::Put, "c", (20, 30), ("new", 3))
    };
    made().holds("c", "c").expect_clean();
    made().holds("b", "b").expect(LOST);
    // A stale writer at the side that was left: its write is the newest, and is not there.
    made().done(What::Put, "d", (31, 32), ("old", 902)).holds("c", "c").expect(LOST);
}

#[test]
fn of_operations_that_overlap_at_two_sides_either_may_stay() {
    let made =
        || {
            Made::new()
                .done(What::Put, "x", (0, 4), ("old", 1))
                .done(What::Put, "a", (3, 20), ("old", 2))
                .done(What::Put, "b", (15, 18), ("new", 0))
        };
    made().holds("b", "b").expect_clean();
    made().holds("a", "a").expect_clean();
    made().holds("x", "x").expect(LOST);
}

#[test]
fn a_seed_that_nobody_wrote_to_stays_as_it_was() {
    let seeded = || {
        let mut made = Made::new();
        made.seeds.push("live-1".to_owned());
        made
    };
    seeded().expect(LOST);
    let mut there = seeded().holds("a", "a");
    there.documents[0].source = json!({});
    there.expect_clean();
    seeded().done(What::Delete, "b", (0, 1), ("old", 3)).expect_clean();
}
