//! The sections of the page, in the order in which they are read.

mod evidence;
mod people;
mod rehearsals;
mod time;

use super::Report;
use super::html::Html;
use segue_contract::segue;

/// Writes one section; one that has nothing to tell writes nothing.
pub(super) type Section = fn(&mut Html, &Report);

/// All of them.
pub(super) const ALL: &[Section] = &[
    time::timeline,
    time::pauses,
    time::plots,
    people::stops,
    people::reads,
    rehearsals::rehearsals,
    evidence::verifications,
    evidence::gates,
    people::approvals,
    people::waivers,
    people::steering,
    evidence::changes,
    evidence::findings,
    evidence::failures,
    time::passes,
    people::plans,
    people::runs,
];

/// What is said below a list that keeps only its newest entries.
fn more(html: &mut Html, n: u64, what: &str) {
    if n > 0 {
        let n = crate::render::quantity::count(n);
        html.words(
            "p",
            "dim",
            format_args!("and {n} earlier {what}: `{}` has them all", segue(&["history"])),
        );
    }
}

/// The part of a hash that people compare.
fn short(hash: &str) -> String {
    hash.get(..12).unwrap_or(hash).to_owned()
}
