//! Names of indices: patterns, how they are written into an address, and what a unit is called at a side.

use std::collections::BTreeSet;

use segue_contract::{BlockRef, Setting, StepError};

pub(crate) use crate::engines::documents::matches;

/// Where Segue keeps what it notes at a cluster.
pub(crate) const NOTES: &str = ".segue-markers";

/// A name as a part of a path: everything but letters, digits and `-._~` is escaped.
pub(crate) fn encoded(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
    text
}

/// Several names as one part of a path.
pub(crate) fn listed(names: &[String]) -> String {
    names.iter().map(|n| encoded(n)).collect::<Vec<_>>().join(",")
}

/// The setting of a block that stands for a rehearsal's scratch place: what every index there is called begins with it.
const PREFIX: &str = "scratch_prefix";

/// The same cluster as a place for a rehearsal.
pub(crate) fn scratch(block: &BlockRef, tag: &str) -> BlockRef {
    let mut scratch = block.clone();
    scratch.address = block.address.step("rehearsal");
    scratch.config.insert(PREFIX, Setting::Plain(format!("segue-{}-", tag.to_lowercase()).into()));
    scratch
}

/// What the names of indices begin with at a scratch place; elsewhere nothing.
pub(crate) fn prefix(block: &BlockRef) -> &str {
    block.config.plain(PREFIX).and_then(serde_json::Value::as_str).unwrap_or_default()
}

/// What a unit's index is really called at an endpoint.
pub(crate) fn index_of(block: &BlockRef, unit: &str) -> String {
    format!("{}{unit}", prefix(block))
}

/// The indices of the units that a block is narrowed to, in order, each once.
///
/// # Errors
/// It is narrowed to none.
pub(crate) fn scope(block: &BlockRef) -> Result<Vec<String>, StepError> {
    let names: BTreeSet<String> = block.scope.iter().map(|unit| index_of(block, unit)).collect();
    if names.is_empty() {
        return Err(StepError::permanent(format!("{}: no index is named", block.address))
            .remedy("see that the migration selects an index that is there"));
    }
    Ok(names.into_iter().collect())
}

/// Whether a name is that of an index which the server keeps for itself.
pub(crate) fn is_system(name: &str) -> bool {
    name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::block;

    #[test]
    fn a_star_is_any_text() {
        let yes = [
            ("a", "a"),
            ("*", ""),
            ("*", "a"),
            ("a*", "ab"),
            ("*b", "ab"),
            ("a*c", "abbc"),
            ("a*b*c", "a1b2b3c"),
        ];
        assert!(yes.iter().all(|(p, n)| matches(p, n)));
        let no = [("a", "ab"), ("a*", "b"), ("*b", "ba"), ("a*a", "a"), ("a*b*c", "acb"), ("", "a")];
        assert_eq!(no.iter().filter(|(p, n)| matches(p, n)).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new());
    }

    #[test]
    fn names_are_escaped_in_addresses() {
        assert_eq!(listed(&["a-b_c".into(), "50%+ü".into()]), "a-b_c,50%25%2B%C3%BC");
    }

    #[test]
    fn a_scratch_place_calls_its_indices_otherwise() {
        let target = block("target.opensearch.new", "opensearch", &[]).narrowed(vec![
            "b".into(),
            "a".into(),
            "b".into(),
        ]);
        assert_eq!(scope(&target).expect("named"), ["a", "b"]);
        let scratch = scratch(&target, "AB12");
        assert_eq!(scope(&scratch).expect("named"), ["segue-ab12-a", "segue-ab12-b"]);
        assert!(scope(&target.narrowed(Vec::new())).is_err());
    }
}
