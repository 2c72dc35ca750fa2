//! The predicted pause, in words.

use segue_plan::cutover::{DowntimeTerm, Forecast};

use super::quantity::millis;

/// The sum, or what is known of it.
pub(crate) fn predicted(forecast: &Forecast) -> String {
    match (forecast.total_ms(), forecast.unmeasured().len()) {
        (ms, 0) => millis(ms),
        _ if forecast.is_unknown() => "not known, nothing was measured yet".to_owned(),
        (ms, _) => format!("more than {}, not all of it was measured", millis(ms)),
    }
}

/// One term, with its number.
pub(crate) fn term(term: &DowntimeTerm) -> String {
    let number = if term.unmeasured { "not measured".to_owned() } else { millis(term.ms) };
    format!("{} {number}", term.term.words())
}

/// All terms.
pub(crate) fn terms(forecast: &Forecast) -> String {
    forecast.terms.iter().map(term).collect::<Vec<_>>().join(", ")
}
