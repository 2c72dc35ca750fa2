//! The table of `gate` and `watch` blocks: the language's own, and what every provider's block takes besides its own
//! arguments.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::shape::{AttributeShape, BodyShape, ShapeType, attribute};
use super::{DURATION, NUMBER, PAIRS, STRING, WORDS};

fn wait() -> AttributeShape {
    attribute("wait", DURATION, "How long to wait for it at most.").or(json!(3_600_000))
}

fn interval() -> AttributeShape {
    attribute("interval", DURATION, "Between two looks.").or(json!(5_000))
}

fn body(doc: &str, attributes: Vec<AttributeShape>) -> BodyShape {
    BodyShape { doc: doc.to_owned(), attributes, blocks: Vec::new() }
}

/// All gates, those of providers with `wait` and `interval`.
pub(super) fn gates(provided: BTreeMap<String, BodyShape>) -> BTreeMap<String, BodyShape> {
    let max = |doc| attribute("max", DURATION, doc).required();
    let mut gates = with(provided, &[wait(), interval()]);
    gates.extend([
        ("lag".to_owned(), body("The target is nearly up to date.", vec![max("The largest lag."), wait()])),
        (
            "downtime".to_owned(),
            body(
                "The predicted write pause is short.",
                vec![
                    max("The longest pause, predicted term by term from what was measured."),
                    attribute(
                        "assume",
                        PAIRS,
                        "Your own numbers for terms that nobody measured: a duration for each of drain, fence, catch_up, verify_residual, harden, commit, route, open, read_again, verify_all. What is measured counts instead.",
                    ),
                    wait(),
                ],
            ),
        ),
        ("verified".to_owned(), body("The last whole verification is good enough.", verified())),
        ("approval".to_owned(), body("Somebody approved the plan (`segue approve`).", approval())),
        ("window".to_owned(), body("The calendar allows it.", window())),
        ("check".to_owned(), body("A condition over what is observed holds.", check())),
    ]);
    gates
}

/// All watches.
pub(super) fn watches(provided: BTreeMap<String, BodyShape>) -> BTreeMap<String, BodyShape> {
    let own = [
        attribute("for", DURATION, "How long it is watched after the switch.").required(),
        interval(),
        attribute("failures", NUMBER, "So many looks in a row that are not good mean lost health.")
            .or(json!(3)),
        attribute("on_failure", STRING, "What lost health leads to.")
            .one_of(&["switch_back", "report"])
            .or(json!("report")),
    ];
    with(provided, &own)
}

fn with(mut provided: BTreeMap<String, BodyShape>, own: &[AttributeShape]) -> BTreeMap<String, BodyShape> {
    for body in provided.values_mut() {
        let more = own.iter().filter(|a| !body.attributes.iter().any(|known| known.name == a.name));
        let more: Vec<AttributeShape> = more.cloned().collect();
        body.attributes.extend(more);
    }
    provided
}

fn verified() -> Vec<AttributeShape> {
    vec![
        attribute("level", STRING, "How closely at least; absent: as the migration's verify says.")
            .one_of(&["count", "sampled", "full"]),
        attribute("max_age", DURATION, "How old at most; absent: the migration's verify { valid_for }."),
        attribute(
            "migrations",
            ShapeType::References(&["migration"]),
            "Of these migrations; absent: of all of the cutover.",
        ),
        wait(),
    ]
}

fn approval() -> Vec<AttributeShape> {
    vec![
        attribute("approvers", WORDS, "The users who may approve; absent: everybody who can."),
        attribute("count", NUMBER, "How many different people must.").or(json!(1)),
        wait(),
    ]
}

fn window() -> Vec<AttributeShape> {
    vec![
        attribute("days", WORDS, "Days on which it opens: \"mon-fri\", \"sat\"; absent: every day."),
        attribute("from", STRING, "When it opens: \"22:00\"; absent: at midnight."),
        attribute("to", STRING, "When it closes, where not later than `from` on the day after: \"04:00\"."),
        attribute("zone", STRING, "The time zone of days and times: \"Europe/Berlin\".").or(json!("UTC")),
        attribute("not_before", STRING, "Closed before: \"2026-12-01T22:00:00+01:00\"."),
        attribute("not_after", STRING, "Closed from then on."),
        wait(),
    ]
}

fn check() -> Vec<AttributeShape> {
    vec![
        attribute("condition", ShapeType::Condition, "True when it may go on; it may refer to `observed`.")
            .required(),
        attribute("message", STRING, "What to say while it does not hold."),
        wait(),
    ]
}
