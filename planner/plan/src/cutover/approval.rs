//! Who has approved a plan, and whether that is enough.

use std::collections::BTreeMap;

use crate::state::Approval;

/// The user in `alice@host`: a person counts once, from however many machines.
pub fn person(by: &str) -> &str {
    by.split_once('@').map_or(by, |(user, _)| user)
}

/// Whether `by` may approve where only `approvers` may; nobody named: everybody.
pub fn may_approve(approvers: &[String], by: &str) -> bool {
    approvers.is_empty() || approvers.iter().any(|a| a == by || a == person(by))
}

/// The people whose approvals count, with when each gave theirs (wall clock, milliseconds), in the order of
/// their names.
pub fn counted(approvers: &[String], given: Option<&Approval>) -> Vec<(String, i64)> {
    let mut people: BTreeMap<String, i64> = BTreeMap::new();
    for by in given.iter().flat_map(|a| &a.by).filter(|by| may_approve(approvers, by)) {
        let at_ms = given.map_or(0, |a| a.times.get(by).copied().unwrap_or(a.at_ms));
        let first = people.entry(person(by).to_owned()).or_insert(at_ms);
        *first = (*first).min(at_ms);
    }
    people.into_iter().collect()
}

/// Who may approve, in words: `2 of alice, bob, carol`, `somebody`.
pub fn wanted_text(approvers: &[String], count: u32) -> String {
    match (approvers, count) {
        ([], 1) => "somebody".to_owned(),
        ([], n) => format!("{n} different people"),
        ([one], _) => one.clone(),
        (several, n) => format!("{n} of {}", several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{counted, may_approve, wanted_text};
    use crate::state::Approval;

    fn given(by: &[&str]) -> Approval {
        let by: Vec<String> = by.iter().map(|&b| b.to_owned()).collect();
        let times = by.iter().zip(1..).map(|(b, at)| (b.clone(), at)).collect();
        Approval { by, at_ms: 99, times }
    }

    fn names(approvers: &[&str], by: &[&str]) -> Vec<String> {
        let approvers: Vec<String> = approvers.iter().map(|&a| a.to_owned()).collect();
        counted(&approvers, Some(&given(by))).into_iter().map(|(name, _)| name).collect()
    }

    #[test]
    fn a_person_counts_once_from_however_many_machines() {
        assert_eq!(names(&[], &["alice@a", "alice@b", "bob@a"]), ["alice", "bob"]);
        assert_eq!(counted(&[], Some(&given(&["alice@a", "alice@b"]))), [("alice".to_owned(), 1)]);
        assert_eq!(counted(&[], None), []);
    }

    #[test]
    fn who_is_not_named_does_not_count() {
        assert_eq!(names(&["alice", "bob"], &["mallory@a", "bob@a"]), ["bob"]);
        assert_eq!(names(&["bob@a"], &["bob@b"]), Vec::<String>::new());
        assert_eq!(names(&["bob@a"], &["bob@a"]), ["bob"]);
        assert!(may_approve(&[], "anybody@a"));
        assert!(!may_approve(&["alice".to_owned()], "alicex@a"));
    }

    #[test]
    fn an_approval_from_before_times_were_kept_has_the_last_time() {
        let old = Approval { by: vec!["alice@a".to_owned()], at_ms: 7, times: Default::default() };
        assert_eq!(counted(&[], Some(&old)), [("alice".to_owned(), 7)]);
    }

    #[test]
    fn who_is_wanted_is_said_in_words() {
        let two = ["alice".to_owned(), "bob".to_owned()];
        assert_eq!(wanted_text(&[], 1), "somebody");
        assert_eq!(wanted_text(&[], 2), "2 different people");
        assert_eq!(wanted_text(&two, 1), "1 of alice, bob");
        assert_eq!(wanted_text(&two[..1], 1), "alice");
    }
}
