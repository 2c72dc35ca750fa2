//! Names of indices: patterns, how they are written into an address, and what a unit is called at a side.

use segue_contract::{BlockRef, Select, StepError};

/// Where Segue keeps what it notes at a cluster.
pub(crate) const NOTES: &str = ".segue-markers";

/// Whether a name matches a pattern in which `*` is any text.
pub(crate) fn matches(pattern: &str, name: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else {
        return pattern == name;
    };
    let Some(tail) = name.strip_prefix(head) else {
        return false;
    };
    let mut left = tail;
    let mut parts = rest.split('*').peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return left.ends_with(part);
        }
        match left.find(part) {
            Some(at) => left = left.get(at + part.len()..).unwrap_or_default(),
            None => return false,
        }
    }
    true
}

/// Whether a migration's selection takes an index.
pub(crate) fn selected(select: &Select, name: &str) -> bool {
    let any = |patterns: &[String]| patterns.iter().any(|p| matches(p, name));
    (select.include.is_empty() || any(&select.include)) && !any(&select.exclude)
}

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

/// What a unit is called at an endpoint: `prefix` and `suffix` of a target's block around its name.
///
/// # Errors
/// The block is not as its schema says.
pub(crate) fn at(block: &BlockRef, unit: &str) -> Result<String, StepError> {
    let part = |name: &str| match block.config.plain(name) {
        None => Ok(""),
        Some(_) => block.text(name),
    };
    Ok(format!("{}{unit}{}", part("prefix")?, part("suffix")?))
}

/// Whether a name is that of an index which the server keeps for itself.
pub(crate) fn is_system(name: &str) -> bool {
    name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::block;

    #[test]
    fn a_star_is_any_text() {
        let yes = [("a", "a"), ("*", ""), ("*", "a"), ("a*", "ab"), ("*b", "ab"), ("a*c", "abbc"), ("a*b*c", "a1b2b3c")];
        assert!(yes.iter().all(|(p, n)| matches(p, n)));
        let no = [("a", "ab"), ("a*", "b"), ("*b", "ba"), ("a*a", "a"), ("a*b*c", "acb"), ("", "a")];
        assert_eq!(no.iter().filter(|(p, n)| matches(p, n)).collect::<Vec<_>>(), Vec::<&(&str, &str)>::new());
    }

    #[test]
    fn a_selection_takes_what_it_includes_and_does_not_exclude() {
        let select = Select { include: vec!["p-*".into(), "x".into()], exclude: vec!["*-old".into()] };
        let taken = ["p-1", "p-old", "x", "y"].map(|name| selected(&select, name));
        assert_eq!(taken, [true, false, true, false]);
        assert!(selected(&Select::default(), "anything"));
    }

    #[test]
    fn names_are_escaped_in_addresses() {
        assert_eq!(listed(&["a-b_c".into(), "50%+ü".into()]), "a-b_c,50%25%2B%C3%BC");
    }

    #[test]
    fn a_target_may_call_its_indices_otherwise() {
        let target = block("target.opensearch.new", "opensearch", &[("prefix", json!("v2-"))]);
        assert_eq!(at(&target, "books").expect("named"), "v2-books");
        assert_eq!(at(&block("source.opensearch.old", "opensearch", &[]), "books").expect("named"), "books");
    }
}
