//! What is to be said of data streams, which take no writes with versions and are no units: those of the source that nobody
//! carries, and what becomes of those that are to be made at the target.

use segue_contract::{Finding, Severity};

use super::{Pair, shown};
use crate::search::DATA_STREAMS;
use crate::search::cluster::{Ask, Cluster};

const CODE: &str = "SEARCH_DATA_STREAMS";

/// The names of a cluster's data streams, system ones left out; `None`: it knows no data streams, or does not tell.
fn named(cluster: &Cluster) -> Option<Vec<String>> {
    let found = cluster.maybe(&Ask::get("/_data_stream?filter_path=data_streams.name")).ok()??;
    let list = found["data_streams"].as_array().cloned().unwrap_or_default();
    let names = list.iter().filter_map(|stream| stream["name"].as_str());
    Some(names.filter(|name| !name.starts_with('.')).map(str::to_owned).collect())
}

fn finding(severity: Severity, summary: String, remedy: &str) -> Finding {
    Finding { severity, code: CODE.to_owned(), summary, remedy: remedy.to_owned() }
}

/// Those of the source that nobody carries.
pub(super) fn left(from: &Cluster, declared: &[String]) -> Vec<Finding> {
    not_declared(from, &named(from).unwrap_or_default(), declared)
}

fn not_declared(from: &Cluster, ours: &[String], declared: &[String]) -> Vec<Finding> {
    let left: Vec<&str> = ours.iter().filter(|name| !declared.contains(name)).map(String::as_str).collect();
    if left.is_empty() {
        return Vec::new();
    }
    vec![finding(
        Severity::Info,
        format!("{} has data streams, which are no units: {}", from.address, shown(&left)),
        "A data stream takes no writes with versions: have it made at the target (data_streams), send its events to both sides for as long as they are kept, and fill in what came before with a snapshot or the target's reindex.",
    )]
}

/// Looks at both sides.
pub(super) fn findings(pair: &Pair<'_>) -> Vec<Finding> {
    let Pair { from, to, units, streams } = pair;
    let ours = named(from).unwrap_or_default();
    let mut found = not_declared(from, &ours, streams);
    if streams.is_empty() {
        return found;
    }
    let declared = streams.iter().map(String::as_str);
    let (known, lacking): (Vec<&str>, Vec<&str>) =
        declared.clone().partition(|name| ours.iter().any(|n| n == name));
    if !lacking.is_empty() {
        found.push(finding(
            Severity::Warning,
            format!("{} has no data stream {}, which {DATA_STREAMS} names", from.address, shown(&lacking)),
            "Correct its name: patterns are not known there.",
        ));
    }
    let Some(theirs) = named(to) else {
        found.push(finding(
            Severity::Warning,
            format!(
                "{} knows no data streams, and {} cannot be made there",
                to.address,
                shown(&declared.collect::<Vec<_>>())
            ),
            "Take data_streams out, and send the events to an index or an alias there.",
        ));
        return found;
    };
    let absent: Vec<&str> = known.into_iter().filter(|name| !theirs.iter().any(|n| n == name)).collect();
    if absent.is_empty() {
        return found;
    }
    // They are made when an index is.
    found.push(if units.iter().all(|unit| unit.begun) {
        finding(
            Severity::Warning,
            format!("{} has no data stream {}, which {DATA_STREAMS} names", to.address, shown(&absent)),
            "Segue makes it with an index, and all of these are made: make it by hand (`PUT /_data_stream/NAME`), with its template.",
        )
    } else {
        finding(
            Severity::Info,
            format!("data stream {} is made at {}, empty, with its templates", shown(&absent), to.address),
            "Send its events to both sides for as long as they are kept, and fill in what came before.",
        )
    });
    found
}
