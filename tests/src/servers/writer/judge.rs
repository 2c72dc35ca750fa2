//! Holds the documents of the side that serves against a log. What must be there, and why: see `writer`.

use std::collections::{BTreeMap, HashMap};

use super::log::{Acknowledged, Log, Operation, Outcome, What, text_of};
use crate::servers::client::Document;

/// How many of the complaints are named.
const NAMED_MAX: usize = 12;

/// What the documents were found to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Acknowledged operations.
    pub acknowledged: u64,
    /// Documents that were judged.
    pub keys: u64,
    /// Documents that are not there, or hold an older value, or not the whole of it.
    pub lost: u64,
    /// Documents that are there once more.
    pub doubled: u64,
    /// Deleted ones that are there.
    pub back: u64,
    /// What nobody wrote, or was refused, or has another routing.
    pub strange: u64,
    /// Answers that contradicted earlier ones: see `writer`.
    pub surprises: u64,
    /// The first complaints.
    pub named: Vec<String>,
}

impl Verdict {
    /// Nothing to complain of.
    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.back + self.strange + self.surprises == 0
    }

    /// Fails unless there is nothing to complain of, and something was judged.
    #[track_caller]
    pub fn expect_clean(&self) {
        assert!(self.is_clean() && self.acknowledged > 0, "{self:#?}");
    }

    /// The same where a primary was killed: the server repeats what was on its way by itself, and its repetition meets what it
    /// did first. `repeated`: how many operations can have been on their way.
    #[track_caller]
    pub fn expect_clean_but_repeated(&self, repeated: u64) {
        let besides = Self { surprises: self.surprises.saturating_sub(repeated), ..self.clone() };
        besides.expect_clean();
    }

    fn complain(&mut self, what: String) {
        if self.named.len() < NAMED_MAX {
            self.named.push(what);
        }
    }
}

/// What a key may hold.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Absent,
    There {
        /// Of the last operation; none: nobody has written to this seed.
        tag: Option<String>,
        /// Of the operation that made the whole document; `None`: it is not known which of them did.
        made: Option<Option<String>>,
    },
}

impl State {
    /// What an operation makes of this.
    fn after(&self, operation: &Operation) -> Self {
        let tag = Some(operation.tag.clone());
        match (operation.what, self) {
            (What::Put | What::Create, _) => Self::There { made: Some(tag.clone()), tag },
            (What::Update, Self::There { made, .. }) => Self::There { tag, made: made.clone() },
            // It was done, so something was there that an operation of unknown outcome made.
            (What::Update, Self::Absent) => Self::There { tag, made: None },
            (What::Delete, _) => Self::Absent,
        }
    }

    fn is_held_by(&self, document: &Document) -> bool {
        let field = |name: &str| document.source[name].as_str().map(str::to_owned);
        match self {
            Self::Absent => false,
            Self::There { tag, made } => {
                *tag == field("tag") && made.as_ref().is_none_or(|made| *made == field("made"))
            }
        }
    }
}

pub(super) fn judge(log: &Log, documents: &[Document]) -> Verdict {
    let mut verdict = Verdict { acknowledged: log.acknowledged() as u64, ..Verdict::default() };
    let mut by_key: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for seed in &log.seeds {
        by_key.insert(seed, Vec::new());
    }
    for operation in &log.operations {
        by_key.entry(&operation.id).or_default().push(operation);
        if let Some(surprise) = &operation.surprise {
            verdict.surprises += 1;
            verdict.complain(format!("{:?} of {}: {surprise}", operation.what, operation.id));
        }
    }
    let own = format!("{}-", log.prefix);
    let mut found: HashMap<&str, Vec<&Document>> = HashMap::new();
    for document in documents {
        if by_key.contains_key(document.id.as_str()) {
            found.entry(&document.id).or_default().push(document);
        } else if document.id.starts_with(&own) {
            verdict.strange += 1;
            verdict.complain(format!("{} is there, and nobody wrote it", document.id));
        }
    }
    for (id, operations) in by_key {
        verdict.keys += 1;
        let seeded = log.seeds.contains(id);
        judge_key(&mut verdict, id, &operations, seeded, found.get(id).map_or(&[], Vec::as_slice));
    }
    verdict
}

fn judge_key(verdict: &mut Verdict, id: &str, operations: &[&Operation], seeded: bool, found: &[&Document]) {
    let allowed = allowed(operations, seeded);
    let may_be_absent = allowed.contains(&State::Absent);
    if found.len() > 1 {
        verdict.doubled += found.len() as u64 - 1;
        let places: Vec<String> =
            found.iter().map(|d| format!("{} (routing {:?})", d.index, d.routing)).collect();
        verdict.complain(format!("{id} is there {} times: {}", found.len(), places.join(", ")));
    }
    let good = found.iter().find(|document| allowed.iter().any(|state| state.is_held_by(document)));
    match (good, found.first()) {
        (None, None) if may_be_absent => {}
        (None, None) => {
            verdict.lost += 1;
            verdict.complain(format!("{id} is not there: {}", history(operations)));
        }
        (None, Some(document)) => {
            let tag = document.source["tag"].as_str();
            let writer = operations.iter().find(|o| Some(o.tag.as_str()) == tag);
            let only_absent = allowed.iter().all(|state| *state == State::Absent);
            let (count, what) = match writer {
                Some(o) if !o.may_be_done() => (&mut verdict.strange, "holds what was refused"),
                None if tag.is_some() || !seeded => (&mut verdict.strange, "holds what nobody wrote"),
                _ if only_absent => (&mut verdict.back, "was deleted, and is there"),
                _ => (&mut verdict.lost, "holds an older value"),
            };
            *count += 1;
            verdict.complain(format!("{id} {what}: {}: {}", document.source, history(operations)));
        }
        (Some(document), _) => {
            let made = document.source["made"].as_str();
            if made.is_some_and(|made| document.source["text"] != text_of(made).as_str()) {
                verdict.lost += 1;
                verdict.complain(format!("{id} is not whole: {}", document.source));
            }
            if operations.first().is_some_and(|o| o.routing != document.routing) {
                verdict.strange += 1;
                verdict.complain(format!("{id} has the routing {:?}", document.routing));
            }
        }
    }
}

/// The last operations on a key, for messages.
fn history(operations: &[&Operation]) -> String {
    let one = |o: &&Operation| match &o.outcome {
        Outcome::Acknowledged(a) => format!("{:?} {} -> {} #{}", o.what, o.tag, a.place, a.seq_no),
        Outcome::Refused(why) => format!("{:?} {} refused: {}", o.what, o.tag, short(why)),
        Outcome::Missing => format!("{:?} {} of nothing", o.what, o.tag),
        Outcome::Unknown(why) => format!("{:?} {} unknown: {}", o.what, o.tag, short(why)),
    };
    let last = &operations[operations.len().saturating_sub(4)..];
    last.iter().map(one).collect::<Vec<_>>().join("; ")
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}

/// All that a key may hold.
fn allowed(operations: &[&Operation], seeded: bool) -> Vec<State> {
    let first = match seeded {
        true => State::There { tag: None, made: Some(None) },
        false => State::Absent,
    };
    let mut done: Vec<(&Operation, &Acknowledged)> = Vec::new();
    let mut open: Vec<&Operation> = Vec::new();
    for operation in operations {
        match &operation.outcome {
            Outcome::Acknowledged(acknowledged) => done.push((operation, acknowledged)),
            Outcome::Unknown(_) => open.push(operation),
            Outcome::Refused(_) | Outcome::Missing => {}
        }
    }
    done.sort_by_key(|(operation, _)| operation.began);
    let in_turn = done.windows(2).all(|two| two[0].0.ended <= two[1].0.began);
    let mut states = if in_turn {
        vec![done.iter().fold(first, |state, (operation, _)| state.after(operation))]
    } else {
        last_of(&done).into_iter().map(last_state).collect()
    };
    let open_states: Vec<State> =
        states.iter().flat_map(|state| open.iter().map(|operation| state.after(operation))).collect();
    states.extend(open_states);
    states
}

/// What an operation leaves of which it is not known what it met.
fn last_state(operation: &Operation) -> State {
    State::Absent.after(operation)
}

/// Of operations that overlap, those after which no other one was done for certain.
fn last_of<'a>(done: &[(&'a Operation, &'a Acknowledged)]) -> Vec<&'a Operation> {
    let is_before = |(a, x): &(&Operation, &Acknowledged), (b, y): &(&Operation, &Acknowledged)| {
        if a.ended <= b.began {
            return true;
        }
        let overlap = b.ended > a.began;
        overlap && x.place == y.place && x.seq_no < y.seq_no
    };
    // Whatever had ended when the last one began is not the last: few are left, and those are held against all.
    let newest = done.iter().map(|(operation, _)| operation.began).max();
    done.iter()
        .filter(|(operation, _)| newest.is_none_or(|newest| operation.ended > newest))
        .filter(|one| !done.iter().any(|other| is_before(one, other)))
        .map(|(operation, _)| *operation)
        .collect()
}

#[cfg(test)]
mod tests;
