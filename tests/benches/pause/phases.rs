//! The terms of a pause as plans call them, and what the state says of the last switch in these terms.

use serde_json::Value;

/// A term, and the phases that it is measured by.
pub(crate) const TERMS: [(&str, &[&str]); 8] = [
    ("quiesce and drain", &["DRAINED"]),
    ("fence", &["FENCED"]),
    ("catch up", &["CAUGHT_UP"]),
    ("verify the residual", &["VERIFIED"]),
    ("harden", &["HARDENED"]),
    ("arm and commit", &["REVERSE_ARMED", "COMMITTED"]),
    ("route", &["ROUTED"]),
    ("open", &["OPEN"]),
];

/// What the terms of the last switch took, in ms, in the order of [`TERMS`]; `cutover`: as the state has it.
pub(crate) fn last_switch(cutover: &Value) -> [f64; TERMS.len()] {
    let pauses = cutover["pauses"].as_array().expect("terms");
    let first = pauses.iter().rposition(|term| term["name"] == "DRAINED").unwrap_or_default();
    TERMS.map(|(_, phases)| {
        let of = |term: &&Value| term["name"].as_str().is_some_and(|name| phases.contains(&name));
        let us = pauses[first..].iter().filter(of).filter_map(|term| term["us"].as_f64());
        // A sum of nothing would be minus zero.
        us.fold(0.0, |sum, us| sum + us) / 1000.0
    })
}

/// The write pause of the last switch, in ms.
pub(crate) fn last_pause(cutover: &Value) -> f64 {
    cutover["last_switch"]["pause_us"].as_f64().expect("a pause") / 1000.0
}
